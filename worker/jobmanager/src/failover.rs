//! What is restarted when something fails (Flink's `RestartPipelinedRegionFailoverStrategy` and
//! `RestartAllFailoverStrategy`). Pure.

use std::collections::BTreeSet;

use weir_graph::{ExecutionVertexId, FailureRecord, JobGraph};

use crate::StartError;

/// What the user chose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailoverStrategy {
    /// The whole job.
    Full,
    /// The pipelined region of the task: all that it exchanges records with, directly or not. As
    /// every exchange is pipelined, a producer whose data is missing is always in it.
    #[default]
    Region,
    /// Only the task. Its neighbours would see some records twice or never, so it is refused where
    /// tasks exchange records.
    Individual,
}

/// Whether a job can have this strategy, as its start would find out.
pub fn check_failover(strategy: FailoverStrategy, job: &JobGraph) -> Result<(), StartError> {
    match Failover::new(strategy, job).refusal() {
        Some(refusal) => Err(StartError::Failover(refusal)),
        None => Ok(()),
    }
}

/// A job's regions, and which of them a failure concerns.
#[derive(Debug)]
pub(crate) struct Failover {
    strategy: FailoverStrategy,
    regions: Vec<BTreeSet<ExecutionVertexId>>,
}

impl Failover {
    pub(crate) fn new(strategy: FailoverStrategy, job: &JobGraph) -> Self {
        let regions = job.pipelined_regions().into_iter();
        Self {
            strategy,
            regions: regions
                .map(|region| region.subtasks.into_iter().collect())
                .collect(),
        }
    }

    /// Why the strategy cannot be, if it cannot.
    pub(crate) fn refusal(&self) -> Option<&'static str> {
        let shared = self.regions.iter().any(|region| region.len() > 1);
        (self.strategy == FailoverStrategy::Individual && shared).then_some(
            "failoverStrategy `Individual` restarts one task while its neighbours go on, but tasks \
             of this job exchange records, which would be lost or repeated: use `Region`",
        )
    }

    /// All subtasks.
    pub(crate) fn all(&self) -> BTreeSet<ExecutionVertexId> {
        self.regions.iter().flatten().copied().collect()
    }

    /// The subtasks to restart for these failures. A fault without a subtask concerns all.
    pub(crate) fn concerned(&self, failures: &[FailureRecord]) -> BTreeSet<ExecutionVertexId> {
        if self.strategy == FailoverStrategy::Full {
            return self.all();
        }
        let mut concerned = BTreeSet::new();
        for failure in failures {
            let Some(attempt) = failure.attempt else {
                return self.all();
            };
            let id = ExecutionVertexId {
                vertex: attempt.vertex,
                subtask: attempt.subtask,
            };
            let region = self.regions.iter().find(|region| region.contains(&id));
            concerned.extend(region.into_iter().flatten());
        }
        concerned
    }
}
