//! With what checkpoints a job starts.

use weir_checkpoint::claim::LeaderTask;
use weir_checkpoint::coordinator::{Coordinator, CoordinatorConfig};
use weir_checkpoint::metadata::CheckpointMetadata;
use weir_checkpoint::pointer::Pointer;
use weir_checkpoint::restore::{RestoreError, RestoreOptions};
use weir_graph::JobGraph;

use super::Checkpoints;
use crate::RestoreFrom;
use crate::restoring::{Restoring, operators};

/// What is known of a job's checkpoints when it starts.
pub struct CheckpointStart<'a> {
    /// How they are taken. The operators are those of the graph, whatever stands here.
    pub config: CoordinatorConfig,
    /// The job.
    pub job_graph: &'a JobGraph,
    /// The job's state folder.
    pub folder: &'a str,
    /// As the claim has written it.
    pub pointer: Pointer,
    /// What the claim says is to be done.
    pub task: &'a LeaderTask,
    /// What the job goes on from.
    pub restore: Option<&'a RestoreFrom>,
    /// Whether state of operators that the program no longer has may be left behind.
    pub allow_non_restored_state: bool,
    /// Randomness for telling writes apart; another one in each process.
    pub seed: u64,
}

impl Checkpoints {
    /// Plans the restore. An error means that nothing may run.
    pub fn start(start: CheckpointStart<'_>) -> Result<Self, RestoreError> {
        let config = CoordinatorConfig {
            operators: operators(start.job_graph),
            ..start.config
        };
        let options = RestoreOptions {
            allow_non_restored_state: start.allow_non_restored_state,
        };
        let folder = start.folder.to_owned();
        let mut restoring =
            Restoring::new(start.job_graph, folder.clone(), options, start.restore)?;
        if matches!(start.task, LeaderTask::FinishCommits(_)) {
            restoring.only_commit();
        }
        let mut coordinator = Coordinator::new(config, start.pointer, start.seed);
        if let Some(own) = start.restore.filter(|restore| restore.lineage) {
            coordinator = coordinator
                .with_latest(CheckpointMetadata::clone(&own.metadata))
                .with_older(own.older.iter().cloned());
        }
        Ok(Self::new(coordinator, restoring, folder))
    }
}
