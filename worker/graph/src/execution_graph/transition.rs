//! The events of an [`ExecutionGraph`], and what follows from each.
//!
//! Every event changes what it is about and then calls `settle`, which draws the conclusions for
//! the rest of the job: cancel what still runs, tell sinks to publish, end the job.

use weir_types::{ExecutionAttemptId, Fault, FaultClass, TaskManagerId};

use crate::execution_state::ExecutionState;
use crate::job_graph::ExecutionVertexId;
use crate::job_status::JobStatus;
use crate::slot::SlotAssignment;

use super::{ExecutionGraph, FailureRecord, Update, UpdateError};

impl ExecutionGraph {
    /// Starts the job: all subtasks wait for slots.
    pub fn schedule(&mut self, now_ms: i64) -> Result<Update, UpdateError> {
        let mut update = Update::default();
        self.enter(JobStatus::Running, now_ms, &mut update)?;
        for position in 0..self.executions.len() {
            if self.executions[position].state == ExecutionState::Created {
                self.move_to(position, ExecutionState::Scheduled, now_ms, &mut update);
            }
        }
        Ok(update)
    }

    /// Places waiting subtasks into slots: all or none. The attempts that `executions` of the
    /// result names are to be deployed.
    pub fn deploy(
        &mut self,
        assignments: &[SlotAssignment],
        now_ms: i64,
    ) -> Result<Update, UpdateError> {
        let mut places = Vec::new();
        for assignment in assignments {
            for &subtask in &assignment.request.subtasks {
                places.push((self.waiting_for_slot(subtask)?, assignment.slot));
            }
        }
        places.sort_unstable();
        places.dedup_by_key(|(position, _)| *position);
        let mut update = Update::default();
        for (position, slot) in places {
            self.executions[position].slot = Some(slot);
            self.move_to(position, ExecutionState::Deploying, now_ms, &mut update);
        }
        Ok(update)
    }

    /// Takes in what a TaskManager reports of an attempt.
    ///
    /// Reporting the same state again changes nothing, and neither does a report of progress that
    /// crossed the order to stop. Any end of an attempt that was asked to stop counts as
    /// cancelled. A cancellation that nobody asked for fails the job: it would hang otherwise.
    pub fn update(
        &mut self,
        attempt: ExecutionAttemptId,
        to: ExecutionState,
        fault: Option<Fault>,
        now_ms: i64,
    ) -> Result<Update, UpdateError> {
        use ExecutionState::{Canceled, Canceling, Failed, Finished, Initializing, Running};
        let position = self.current(attempt)?;
        let from = self.executions[position].state;
        if !matches!(to, Initializing | Running | Finished | Canceled | Failed) {
            // The others are for the JobManager to set.
            return Err(self.illegal(position, to));
        }
        let mut update = Update::default();
        if from == to || (from == Canceling && !to.is_terminal()) {
            return Ok(update);
        }
        if from.is_terminal() {
            return Err(self.already_ended(position));
        }
        let end = if from == Canceling { Canceled } else { to };
        if !from.may_become(end) {
            return Err(self.illegal(position, to));
        }
        self.move_to(position, end, now_ms, &mut update);
        self.executions[position].input_ended |= end == Finished;
        let fault = match (end, fault) {
            (Failed, None) => Some(unexplained(attempt, "failed without saying why")),
            (Canceled, None) if from != Canceling => Some(unexplained(
                attempt,
                "was cancelled though nobody asked for it",
            )),
            (Failed | Canceled, fault) => fault,
            _ => None,
        };
        if let Some(fault) = fault {
            self.note_failure(Some(position), fault, now_ms, &mut update);
        }
        self.settle(now_ms, &mut update);
        Ok(update)
    }

    /// An attempt has processed all its input, and waits if it has to publish.
    pub fn end_of_input(
        &mut self,
        attempt: ExecutionAttemptId,
        now_ms: i64,
    ) -> Result<Update, UpdateError> {
        let position = self.current(attempt)?;
        if self.executions[position].state.is_terminal() {
            return Err(self.already_ended(position));
        }
        self.executions[position].input_ended = true;
        let mut update = Update::default();
        self.settle(now_ms, &mut update);
        Ok(update)
    }

    /// Fails the whole job.
    pub fn fail(&mut self, fault: Fault, now_ms: i64) -> Update {
        let mut update = Update::default();
        self.note_failure(None, fault, now_ms, &mut update);
        self.settle(now_ms, &mut update);
        update
    }

    /// All that ran on a TaskManager is lost: it is not asked to stop anything.
    pub fn lose_task_manager(&mut self, lost: TaskManagerId, fault: &Fault, now_ms: i64) -> Update {
        let mut update = Update::default();
        for position in 0..self.executions.len() {
            let execution = &self.executions[position];
            let there = execution.slot.is_some_and(|slot| slot.task_manager == lost);
            if !there || !execution.state.is_deployed() {
                continue;
            }
            if execution.state == ExecutionState::Canceling {
                self.move_to(position, ExecutionState::Canceled, now_ms, &mut update);
            } else {
                self.move_to(position, ExecutionState::Failed, now_ms, &mut update);
                self.note_failure(Some(position), fault.clone(), now_ms, &mut update);
            }
        }
        self.settle(now_ms, &mut update);
        update
    }

    /// The job's results stand, and it is recorded that they do: it has finished once all of it
    /// has ended, in whatever way. What still runs ends by itself, or is stopped as soon as
    /// something fails, as it may wait for what has failed.
    pub fn conclude(&mut self, now_ms: i64) -> Update {
        let mut update = Update::default();
        self.concluded = true;
        if self.status == JobStatus::Restarting {
            self.enter(JobStatus::Running, now_ms, &mut update)
                .expect("the job's table has this transition");
        }
        self.settle(now_ms, &mut update);
        update
    }

    /// Stops the job because a person asked for it. Asking again changes nothing.
    pub fn cancel(&mut self, now_ms: i64) -> Result<Update, UpdateError> {
        let mut update = Update::default();
        if !matches!(self.status, JobStatus::Cancelling | JobStatus::Cancelled) {
            self.enter(JobStatus::Cancelling, now_ms, &mut update)?;
            self.settle(now_ms, &mut update);
        }
        Ok(update)
    }

    /// Gives the job up, for another JobManager to take over. Asking again changes nothing.
    pub fn suspend(&mut self, now_ms: i64) -> Result<Update, UpdateError> {
        let mut update = Update::default();
        if self.status != JobStatus::Suspended {
            self.enter(JobStatus::Suspended, now_ms, &mut update)?;
            self.settle(now_ms, &mut update);
        }
        Ok(update)
    }

    /// Records a fault, and moves the job to `Failing` if it is the first. A job that is being
    /// cancelled goes on being cancelled. One whose results are being published is not restarted:
    /// those that are visible already would be there twice.
    fn note_failure(
        &mut self,
        position: Option<usize>,
        fault: Fault,
        now_ms: i64,
        update: &mut Update,
    ) {
        let execution = position.map(|position| &self.executions[position]);
        let record = FailureRecord {
            fault,
            attempt: execution.map(|execution| execution.attempt),
            task_name: execution.map(|execution| execution.task_name.clone()),
            at_ms: now_ms,
        };
        let may_restart = self.options.restarts
            && record.fault.class != FaultClass::NonRecoverable
            && !self.is_publishing();
        if self.concluded {
            self.failures.push_concurrent(record);
        } else if may_restart && matches!(self.status, JobStatus::Running | JobStatus::Restarting) {
            update.failed.push(record.clone());
            if self.status == JobStatus::Restarting || update.failed.len() > 1 {
                self.failures.push_concurrent(record);
            } else {
                self.failures.push_root_cause(record);
            }
        } else if self.status == JobStatus::Failing {
            self.failures.push_concurrent(record);
        } else if self.status != JobStatus::Cancelling
            && self.enter(JobStatus::Failing, now_ms, update).is_ok()
        {
            self.failures.push_root_cause(record);
        }
    }

    pub(super) fn settle(&mut self, now_ms: i64, update: &mut Update) {
        match self.status {
            JobStatus::Failing | JobStatus::Cancelling | JobStatus::Suspended => {
                self.cancel_the_rest(now_ms, update);
            }
            JobStatus::Running if self.concluded => {
                let failed = |e: &super::ExecutionVertex| {
                    e.state.is_terminal() && e.state != ExecutionState::Finished
                };
                if self.executions.iter().any(failed) {
                    self.cancel_the_rest(now_ms, update);
                }
            }
            JobStatus::Running => self.publish_at_end(update),
            _ => {}
        }
        let end = match self.status {
            JobStatus::Running => JobStatus::Finished,
            JobStatus::Failing => JobStatus::Failed,
            JobStatus::Cancelling => JobStatus::Cancelled,
            _ => return,
        };
        let over = |state: ExecutionState| match end {
            // What has failed is about to be restarted or given up.
            JobStatus::Finished if !self.concluded => state == ExecutionState::Finished,
            _ => state.is_terminal(),
        };
        if self
            .executions
            .iter()
            .all(|execution| over(execution.state))
        {
            self.enter(end, now_ms, update)
                .expect("the job's table has this transition");
        }
    }

    fn cancel_the_rest(&mut self, now_ms: i64, update: &mut Update) {
        for position in 0..self.executions.len() {
            self.stop(position, now_ms, update);
        }
    }

    /// Has an attempt stopped, if it has not ended: by its TaskManager if one may have it.
    pub(super) fn stop(&mut self, position: usize, now_ms: i64, update: &mut Update) {
        let execution = &self.executions[position];
        if execution.state.may_become(ExecutionState::Canceling) {
            update.cancel.push(execution.attempt);
            self.move_to(position, ExecutionState::Canceling, now_ms, update);
        } else if !execution.state.is_terminal() && !execution.state.is_deployed() {
            self.move_to(position, ExecutionState::Canceled, now_ms, update);
        }
    }

    /// When every subtask has processed its input, those that commit are told, once.
    fn publish_at_end(&mut self, update: &mut Update) {
        if self.publishing
            || self.options.checkpoints
            || !self
                .executions
                .iter()
                .all(|execution| execution.input_ended)
        {
            return;
        }
        self.publishing = true;
        let waiting = self
            .executions
            .iter()
            .filter(|execution| execution.commits && !execution.state.is_terminal());
        update
            .publish
            .extend(waiting.map(|execution| execution.attempt));
    }

    pub(super) fn enter(
        &mut self,
        to: JobStatus,
        now_ms: i64,
        update: &mut Update,
    ) -> Result<(), UpdateError> {
        if !self.status.may_become(to) {
            return Err(UpdateError::IllegalJobTransition {
                job_name: self.job.job_name.clone(),
                from: self.status,
                to,
            });
        }
        self.status = to;
        self.status_since_ms.insert(to, now_ms);
        update.job.push(to);
        Ok(())
    }

    pub(super) fn move_to(
        &mut self,
        position: usize,
        state: ExecutionState,
        now_ms: i64,
        update: &mut Update,
    ) {
        let execution = &mut self.executions[position];
        execution.enter(state, now_ms);
        update.executions.push((execution.attempt, state));
    }

    /// The position of the subtask whose current attempt this is.
    fn current(&self, attempt: ExecutionAttemptId) -> Result<usize, UpdateError> {
        let id = ExecutionVertexId {
            vertex: attempt.vertex,
            subtask: attempt.subtask,
        };
        let Some(position) = self.position(id) else {
            return Err(UpdateError::Unknown {
                attempt,
                job_name: self.job.job_name.clone(),
            });
        };
        let execution = &self.executions[position];
        if execution.attempt != attempt {
            return Err(UpdateError::Stale {
                attempt,
                current: execution.attempt,
                task_name: execution.task_name.clone(),
            });
        }
        Ok(position)
    }

    fn waiting_for_slot(&self, subtask: ExecutionVertexId) -> Result<usize, UpdateError> {
        let Some(position) = self.position(subtask) else {
            let attempt = ExecutionAttemptId {
                epoch: self.epoch,
                vertex: subtask.vertex,
                subtask: subtask.subtask,
                attempt: weir_types::AttemptNumber(0),
            };
            return Err(UpdateError::Unknown {
                attempt,
                job_name: self.job.job_name.clone(),
            });
        };
        if self.executions[position].state != ExecutionState::Scheduled {
            return Err(self.illegal(position, ExecutionState::Deploying));
        }
        Ok(position)
    }

    fn already_ended(&self, position: usize) -> UpdateError {
        let execution = &self.executions[position];
        UpdateError::AlreadyEnded {
            attempt: execution.attempt,
            task_name: execution.task_name.clone(),
            state: execution.state,
        }
    }

    fn illegal(&self, position: usize, to: ExecutionState) -> UpdateError {
        let execution = &self.executions[position];
        UpdateError::IllegalTransition {
            attempt: execution.attempt,
            task_name: execution.task_name.clone(),
            from: execution.state,
            to,
        }
    }
}

fn unexplained(attempt: ExecutionAttemptId, what: &str) -> Fault {
    Fault::task(FaultClass::Recoverable, attempt, format!("the task {what}"))
}
