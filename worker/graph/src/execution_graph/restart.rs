//! Restarts: a set of subtasks is stopped, then started again as new attempts (Flink's
//! `DefaultScheduler::restartTasks`). Which subtasks, when, and whether at all, is decided by
//! whoever drives the graph.

use std::collections::BTreeSet;

use weir_types::AttemptNumber;

use crate::execution_state::ExecutionState;
use crate::job_graph::ExecutionVertexId;
use crate::job_status::JobStatus;

use super::{ExecutionGraph, Update, UpdateError};

impl ExecutionGraph {
    /// Stops what still runs of a set of subtasks, for a restart. The job is `Restarting` until
    /// [`Self::restart`]. More subtasks may join meanwhile.
    pub fn begin_restart(
        &mut self,
        subtasks: &BTreeSet<ExecutionVertexId>,
        now_ms: i64,
    ) -> Result<Update, UpdateError> {
        let mut update = Update::default();
        if self.status != JobStatus::Restarting {
            self.enter(JobStatus::Restarting, now_ms, &mut update)?;
        }
        for position in 0..self.executions.len() {
            if subtasks.contains(&self.executions[position].id) {
                self.stop(position, now_ms, &mut update);
            }
        }
        Ok(update)
    }

    /// Whether all of these have ended, so that they can be started again.
    pub fn have_ended(&self, subtasks: &BTreeSet<ExecutionVertexId>) -> bool {
        let mut those = self.executions.iter().filter(|e| subtasks.contains(&e.id));
        those.all(|execution| execution.state.is_terminal())
    }

    /// Makes new attempts of these subtasks, which wait for slots; the job runs again. They keep
    /// the slot that they had, as a wish.
    ///
    /// All of them must have ended.
    pub fn restart(
        &mut self,
        subtasks: &BTreeSet<ExecutionVertexId>,
        now_ms: i64,
    ) -> Result<Update, UpdateError> {
        assert!(
            self.have_ended(subtasks),
            "an attempt that runs has no successor"
        );
        let mut update = Update::default();
        self.enter(JobStatus::Running, now_ms, &mut update)?;
        self.publishing = false;
        for position in 0..self.executions.len() {
            let execution = &mut self.executions[position];
            if !subtasks.contains(&execution.id) {
                continue;
            }
            execution.attempt.attempt = AttemptNumber(execution.attempt.attempt.0 + 1);
            execution.state = ExecutionState::Created;
            execution.state_since_ms.clear();
            execution
                .state_since_ms
                .insert(ExecutionState::Created, now_ms);
            execution.input_ended = false;
            self.move_to(position, ExecutionState::Scheduled, now_ms, &mut update);
        }
        Ok(update)
    }

    /// Fails the job with what was recorded last: it is not restarted.
    pub fn give_up(&mut self, now_ms: i64) -> Update {
        let mut update = Update::default();
        if self.enter(JobStatus::Failing, now_ms, &mut update).is_ok() {
            self.settle(now_ms, &mut update);
        }
        update
    }

    /// Whether all subtasks run.
    pub fn all_running(&self) -> bool {
        let mut executions = self.executions.iter();
        executions.all(|execution| execution.state == ExecutionState::Running)
    }

    /// Whether all subtasks have processed all their input.
    pub fn all_input_ended(&self) -> bool {
        self.executions
            .iter()
            .all(|execution| execution.input_ended)
    }
}
