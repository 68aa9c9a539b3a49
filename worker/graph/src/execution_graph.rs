//! The graph of what runs: one execution vertex per subtask, the state of its attempt, and the
//! state of the job that follows from them (Flink's `ExecutionGraph` and `DefaultExecutionGraph`).
//!
//! It decides and does not act: each event returns an [`Update`] that names the attempts to be
//! stopped or told to publish, and who drives it makes the calls. Time is an argument, there are no
//! threads, and the same events in the same order give the same graph.
//!
//! Failures: the first one is the root cause. A job that may be restarted tells of it in
//! [`Update::failed`] and goes on with what is left; whoever drives it then restarts a set of
//! subtasks ([`ExecutionGraph::begin_restart`], [`ExecutionGraph::restart`]) or gives the job up
//! ([`ExecutionGraph::give_up`]). Then, and at once in a job that may not be restarted, the job is
//! `Failing`, and everything that still runs is cancelled. When the last attempt is over, the job
//! is `Failed`.

mod failure;
mod restart;
mod transition;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_types::{AttemptNumber, Epoch, ExecutionAttemptId, KeyGroupRange, SubtaskIndex, VertexId};

use crate::execution_state::ExecutionState;
use crate::job_graph::{ExecutionVertexId, JobGraph};
use crate::job_status::JobStatus;
use crate::slot::FreeSlot;

pub use failure::{FailureEntry, FailureHistory, FailureRecord};

/// One subtask and its current attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionVertex {
    /// Its place in the job.
    pub id: ExecutionVertexId,
    /// For people: the vertex's name and place, as `flat_map -> map (2/4)`.
    pub task_name: String,
    /// The key groups that it owns.
    pub key_group_range: KeyGroupRange,
    /// The attempt that counts; reports of others are refused.
    pub attempt: ExecutionAttemptId,
    /// How that attempt is doing.
    pub state: ExecutionState,
    /// When that attempt entered each state that it was in, in milliseconds since 1970.
    pub state_since_ms: BTreeMap<ExecutionState, i64>,
    /// Where it runs.
    pub slot: Option<FreeSlot>,
    /// Whether it said that it has processed all its input.
    pub input_ended: bool,
    /// Whether it holds a sink that has to be told to publish.
    pub commits: bool,
}

impl ExecutionVertex {
    fn enter(&mut self, state: ExecutionState, now_ms: i64) {
        assert!(
            self.state.may_become(state),
            "{} cannot go from {} to {state}",
            self.attempt,
            self.state
        );
        self.state = state;
        self.state_since_ms.insert(state, now_ms);
    }
}

/// What an event changed, and what is to be done about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "attempts that have to be stopped or told to publish wait for it"]
pub struct Update {
    /// The attempts that changed their state, in order.
    pub executions: Vec<(ExecutionAttemptId, ExecutionState)>,
    /// The states that the job went through, in order.
    pub job: Vec<JobStatus>,
    /// The attempts that their TaskManagers have to stop.
    pub cancel: Vec<ExecutionAttemptId>,
    /// The attempts that have to publish what they wrote: every subtask has reached its end.
    pub publish: Vec<ExecutionAttemptId>,
    /// What failed, in a job that may be restarted: restart it or give it up.
    pub failed: Vec<FailureRecord>,
}

/// An event that was refused. The graph is as before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// The job has no such vertex or subtask.
    #[error("attempt {attempt} belongs to no subtask of job `{job_name}`")]
    Unknown {
        /// The attempt that was named.
        attempt: ExecutionAttemptId,
        /// The job.
        job_name: String,
    },
    /// Another attempt has taken its place, or it belongs to another epoch.
    #[error("attempt {attempt} is stale: the current one of {task_name} is {current}")]
    Stale {
        /// The attempt that was named.
        attempt: ExecutionAttemptId,
        /// The attempt that counts.
        current: ExecutionAttemptId,
        /// The subtask.
        task_name: String,
    },
    /// It is over.
    #[error("attempt {attempt} of {task_name} is already {state}")]
    AlreadyEnded {
        /// The attempt.
        attempt: ExecutionAttemptId,
        /// The subtask.
        task_name: String,
        /// How it ended.
        state: ExecutionState,
    },
    /// The new state may not follow.
    #[error("attempt {attempt} of {task_name} cannot go from {from} to {to}")]
    IllegalTransition {
        /// The attempt.
        attempt: ExecutionAttemptId,
        /// The subtask.
        task_name: String,
        /// Its state.
        from: ExecutionState,
        /// The state that was reported.
        to: ExecutionState,
    },
    /// The job is in no state for that.
    #[error("job `{job_name}` cannot go from {from} to {to}")]
    IllegalJobTransition {
        /// The job.
        job_name: String,
        /// Its state.
        from: JobStatus,
        /// The state that was asked for.
        to: JobStatus,
    },
}

/// The rules that a job runs by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExecutionOptions {
    /// What fails may be restarted, unless its fault says that this cannot help.
    pub restarts: bool,
    /// The job takes checkpoints: its sinks publish with the last of them, so nobody is told to
    /// publish at the end of the input.
    pub checkpoints: bool,
}

/// The graph of what runs.
#[derive(Clone, Debug)]
pub struct ExecutionGraph {
    job: JobGraph,
    epoch: Epoch,
    status: JobStatus,
    status_since_ms: BTreeMap<JobStatus, i64>,
    executions: Vec<ExecutionVertex>,
    first_of_vertex: BTreeMap<VertexId, usize>,
    failures: FailureHistory,
    /// The committing attempts were told to publish.
    publishing: bool,
    /// The job's results stand, whatever becomes of what still runs.
    concluded: bool,
    options: ExecutionOptions,
}

impl ExecutionGraph {
    /// The subtasks of a job, all `Created`.
    pub fn new(job: JobGraph, epoch: Epoch, now_ms: i64) -> Self {
        let mut executions = Vec::with_capacity(job.subtask_count());
        let mut first_of_vertex = BTreeMap::new();
        for vertex in &job.vertices {
            first_of_vertex.insert(vertex.id, executions.len());
            executions.extend(vertex.subtasks().map(|id| ExecutionVertex {
                id,
                task_name: task_name(&vertex.name, id.subtask, vertex.parallelism),
                key_group_range: KeyGroupRange::of_subtask(
                    vertex.max_parallelism,
                    vertex.parallelism,
                    id.subtask.0,
                ),
                attempt: ExecutionAttemptId {
                    epoch,
                    vertex: id.vertex,
                    subtask: id.subtask,
                    attempt: AttemptNumber(0),
                },
                state: ExecutionState::Created,
                state_since_ms: BTreeMap::from([(ExecutionState::Created, now_ms)]),
                slot: None,
                input_ended: false,
                commits: vertex.commits,
            }));
        }
        Self {
            job,
            epoch,
            status: JobStatus::Created,
            status_since_ms: BTreeMap::from([(JobStatus::Created, now_ms)]),
            executions,
            first_of_vertex,
            failures: FailureHistory::default(),
            publishing: false,
            concluded: false,
            options: ExecutionOptions::default(),
        }
    }

    /// The same graph with other rules.
    pub fn with_options(mut self, options: ExecutionOptions) -> Self {
        self.options = options;
        self
    }

    /// The graph that it runs.
    pub fn job(&self) -> &JobGraph {
        &self.job
    }

    /// The epoch that it runs in.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The job's state.
    pub fn status(&self) -> JobStatus {
        self.status
    }

    /// When the job last entered each state that it was in, in milliseconds since 1970.
    pub fn status_since_ms(&self) -> &BTreeMap<JobStatus, i64> {
        &self.status_since_ms
    }

    /// Whether attempts were told to publish what they wrote: some of it may be visible.
    pub fn is_publishing(&self) -> bool {
        self.publishing && self.executions.iter().any(|execution| execution.commits)
    }

    /// What failed so far.
    pub fn failures(&self) -> &FailureHistory {
        &self.failures
    }

    /// What the job fails or failed with.
    pub fn root_cause(&self) -> Option<&FailureRecord> {
        self.failures.latest().map(|entry| &entry.root_cause)
    }

    /// All subtasks, by vertex in topological order, then by index.
    pub fn executions(&self) -> &[ExecutionVertex] {
        &self.executions
    }

    /// The subtasks of a vertex, by index. Empty for an unknown vertex.
    pub fn subtasks(&self, vertex: VertexId) -> &[ExecutionVertex] {
        let Some(&first) = self.first_of_vertex.get(&vertex) else {
            return &[];
        };
        let rest = &self.executions[first..];
        let len = rest
            .iter()
            .take_while(|execution| execution.id.vertex == vertex)
            .count();
        &rest[..len]
    }

    /// One subtask.
    pub fn execution(&self, id: ExecutionVertexId) -> Option<&ExecutionVertex> {
        self.position(id).map(|position| &self.executions[position])
    }

    fn position(&self, id: ExecutionVertexId) -> Option<usize> {
        let position = self.first_of_vertex.get(&id.vertex)? + id.subtask.0 as usize;
        self.executions
            .get(position)
            .filter(|execution| execution.id == id)
            .map(|_| position)
    }
}

fn task_name(vertex: &str, subtask: SubtaskIndex, parallelism: u32) -> String {
    format!("{vertex} ({}/{parallelism})", subtask.0 + 1)
}

#[cfg(test)]
mod tests;
