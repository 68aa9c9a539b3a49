//! The JobMaster's part in checkpoints: feeds the coordinator, and turns what it says into commands
//! to TaskManagers and work for the store's thread.

use std::collections::BTreeSet;

use weir_checkpoint::coordinator::{self, Coordinator, FinalOutcome, Participant};
use weir_checkpoint::pointer::RunState;
use weir_graph::{ExecutionVertexId, JobStatus, NodeId};
use weir_rpc::{
    Collected, CommitRequest, Durations, JobCheckpoints, OperationStatus, TaskExecutorCommand,
};
use weir_stream::source::SplitBytes;
use weir_types::{CheckpointId, ExecutionAttemptId, Fault, FaultClass, SubtaskIndex, Timestamp};

use super::operations::Operations;
use super::splits::Splits;
use super::{Action, JobMaster, Now};
use crate::restoring::Restoring;

/// What a job with checkpoints has beside its graph.
pub struct Checkpoints {
    pub(super) coordinator: Coordinator,
    /// What subtasks are restored from.
    pub(super) restoring: Restoring,
    /// The job's state folder, for people.
    folder: String,
    /// What the job was started from.
    restored: Option<CheckpointId>,
    /// All subtasks run, and the coordinator knows.
    started: bool,
    /// The coordinator knows that all input has ended.
    input_ended: bool,
    pub(super) splits: Splits,
    pub(super) operations: Operations,
    durations: Durations,
    pub(super) end: Option<FinalOutcome>,
    /// Since when the end is to be recorded in the pointer.
    pub(super) recording: Option<Timestamp>,
    pub(super) recorded: bool,
    /// A job that a person cancels takes its checkpoints with it.
    pub(super) delete_on_cancel: bool,
    /// They are gone, or there is nothing to delete.
    pub(super) cleared: bool,
    collected: Collected,
}

impl Checkpoints {
    pub(crate) fn new(coordinator: Coordinator, restoring: Restoring, folder: String) -> Self {
        Self {
            restored: restoring.checkpoint(),
            splits: Splits::new(coordinator.pointer().last_id),
            coordinator,
            restoring,
            folder,
            started: false,
            input_ended: false,
            operations: Operations::default(),
            durations: Durations::default(),
            end: None,
            recording: None,
            recorded: false,
            delete_on_cancel: false,
            cleared: true,
            collected: Collected::default(),
        }
    }

    /// Whether the checkpoints go when a person cancels the job.
    pub fn deleted_on_cancel(mut self, delete: bool) -> Self {
        self.delete_on_cancel = delete;
        self
    }

    /// Splits that these readers got after what they are restored from. The snapshot of another job
    /// or lineage has none of them, whatever its number.
    pub(super) fn take_back(
        &mut self,
        node: NodeId,
        subtasks: &BTreeSet<SubtaskIndex>,
    ) -> Vec<(SubtaskIndex, SplitBytes)> {
        let own = self.coordinator.latest_metadata();
        let restored = own.map_or(CheckpointId(0), |latest| latest.id);
        self.splits.take_back(node, subtasks, restored)
    }

    fn count_duration(&mut self, id: CheckpointId, now: Timestamp) {
        let mut views = self.coordinator.history().checkpoints().rev();
        let view = views.find(|view| view.id == id);
        if let Some(view) = view {
            self.durations.add(view.duration(now));
        }
    }
}

impl JobMaster {
    /// Tells the coordinator something, if there is one, and does what it says.
    pub(super) fn tell_coordinator(
        &mut self,
        now: Now,
        event: coordinator::Event,
        actions: &mut Vec<Action>,
    ) {
        let Some(checkpoints) = &mut self.checkpoints else {
            return;
        };
        let said = checkpoints.coordinator.on_event(now.at, now.unix_ms, event);
        for action in said {
            self.carry_out(now, action, actions);
        }
    }

    fn carry_out(&mut self, now: Now, action: coordinator::Action, actions: &mut Vec<Action>) {
        use coordinator::Action as Said;
        let Some(checkpoints) = &mut self.checkpoints else {
            return;
        };
        match action {
            Said::SnapshotEnumerator { id, node } => {
                checkpoints.splits.ask(node, id);
                actions.push(Action::SnapshotEnumerator { id, node });
            }
            Said::Trigger {
                barrier,
                then,
                attempts,
            } => {
                checkpoints.splits.trigger(barrier.id);
                for attempt in attempts {
                    let command = TaskExecutorCommand::TriggerCheckpoint {
                        attempt,
                        barrier,
                        then,
                    };
                    self.tell_attempt(attempt, command, actions);
                }
                self.release_splits(barrier.id, actions);
            }
            Said::Abort { id, reason } => {
                actions.push(Action::Say(format!(
                    "checkpoint {id} was given up: {reason}"
                )));
                self.tell_all(actions, |attempt| TaskExecutorCommand::AbortCheckpoint {
                    attempt,
                    checkpoint: id,
                });
                self.release_splits(id, actions);
            }
            Said::WriteMetadata { path, metadata } => {
                actions.push(Action::WriteMetadata { path, metadata });
            }
            Said::WritePointer(pointer) => actions.push(Action::WritePointer(pointer)),
            Said::Complete { id, last, .. } => {
                checkpoints.splits.complete(id);
                checkpoints.count_duration(id, now.at);
                let commit = CommitRequest::Checkpoint { id, last };
                self.tell_all(actions, |attempt| TaskExecutorCommand::Commit {
                    attempt,
                    commit,
                });
            }
            Said::Answer { operation, result } => {
                let status = match result {
                    Ok(snapshot) => OperationStatus::Completed {
                        location: format!("{}/{}", checkpoints.folder, snapshot.path),
                        snapshot,
                    },
                    Err(reason) => OperationStatus::Failed(reason),
                };
                checkpoints.operations.note(operation, status);
            }
            Said::End(outcome) => self.conclude(now, outcome, actions),
            Said::EndRecorded => {
                checkpoints.recorded = true;
                if !checkpoints.cleared {
                    actions.push(Action::ClearCheckpoints);
                }
                self.end_if_over(now, actions);
            }
            Said::Fail { reason } => {
                self.fail(now, Fault::job(FaultClass::Recoverable, reason), actions);
            }
            Said::Fenced { reason } => self.abdicate(&reason, actions),
            Said::Say(text) => actions.push(Action::Say(text)),
        }
    }

    /// The pointer says how the job ended, and that stands.
    fn conclude(&mut self, now: Now, outcome: FinalOutcome, actions: &mut Vec<Action>) {
        let Some(checkpoints) = &mut self.checkpoints else {
            return;
        };
        if let FinalOutcome::Stopped(snapshot) = &outcome {
            let place = format!("{}/{}", checkpoints.folder, snapshot.path);
            actions.push(Action::Say(format!("the job has stopped with {place}")));
        }
        checkpoints.end = Some(outcome);
        checkpoints.cleared = true;
        let update = self.graph.conclude(now.unix_ms);
        self.follow(update, now, actions);
    }

    /// Somebody else leads the job: nothing more is told to anybody.
    fn abdicate(&mut self, reason: &str, actions: &mut Vec<Action>) {
        if self.result.is_some() {
            return;
        }
        let cause = format!("this JobManager no longer leads the job: {reason}");
        let result = weir_rpc::JobResult::Failed(Fault::job(FaultClass::NonRecoverable, cause));
        let connections: Vec<_> = self.task_managers.iter().map(|tm| tm.connection).collect();
        let hang_up = connections
            .into_iter()
            .map(|connection| Action::HangUp { connection });
        actions.extend(hang_up);
        self.result = Some(result.clone());
        actions.push(Action::End(result));
    }

    fn tell_all(
        &self,
        actions: &mut Vec<Action>,
        command: impl Fn(ExecutionAttemptId) -> TaskExecutorCommand,
    ) {
        let live = self.graph.executions().iter();
        for execution in live.filter(|execution| execution.state.is_deployed()) {
            self.tell_attempt(execution.attempt, command(execution.attempt), actions);
        }
    }

    /// Tells the coordinator when all subtasks run, and when all have read everything.
    pub(super) fn watch_progress(&mut self, now: Now, actions: &mut Vec<Action>) {
        let Some(checkpoints) = &mut self.checkpoints else {
            return;
        };
        if self.graph.status() != JobStatus::Running || self.result.is_some() {
            return;
        }
        if !checkpoints.started && self.graph.all_running() {
            checkpoints.started = true;
            let participants = self.graph.executions().iter().map(|execution| {
                let vertex = self.graph.job().vertex(execution.id.vertex);
                Participant {
                    attempt: execution.attempt,
                    source: vertex.is_some_and(weir_graph::JobVertex::is_source),
                    commits: execution.commits,
                }
            });
            let participants = participants.collect();
            self.tell_coordinator(now, coordinator::Event::Started { participants }, actions);
        }
        let Some(checkpoints) = &mut self.checkpoints else {
            return;
        };
        if checkpoints.started && !checkpoints.input_ended && self.graph.all_input_ended() {
            checkpoints.input_ended = true;
            self.tell_coordinator(now, coordinator::Event::EndOfInput, actions);
        }
    }

    /// Something failed: what is pending is given up.
    pub(super) fn interrupt_checkpoints(
        &mut self,
        now: Now,
        reason: &str,
        actions: &mut Vec<Action>,
    ) {
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.started = false;
            checkpoints.input_ended = false;
            for (attempt, node, response) in checkpoints.splits.interrupt() {
                self.hand_out(attempt, node, response, actions);
            }
            let reason = reason.to_owned();
            self.tell_coordinator(now, coordinator::Event::Interrupted { reason }, actions);
        }
    }

    pub(super) fn collected(&mut self, new: Collected) {
        if let Some(checkpoints) = &mut self.checkpoints {
            let Collected {
                objects,
                bytes,
                failures,
            } = new;
            checkpoints.collected.objects += objects;
            checkpoints.collected.bytes += bytes;
            checkpoints.collected.failures += failures;
        }
    }

    /// What is known of the job's snapshots.
    pub(crate) fn job_checkpoints(&self, now: Now) -> Option<JobCheckpoints> {
        let checkpoints = self.checkpoints.as_ref()?;
        Some(JobCheckpoints {
            folder: checkpoints.folder.clone(),
            restored: checkpoints.restored,
            durations: checkpoints.durations,
            collected: checkpoints.collected,
            ..crate::history::of(&checkpoints.coordinator, now.at)
        })
    }

    /// The newest completed state is what subtasks are restored from next.
    pub(super) fn refresh_restore(&mut self) -> Result<(), Fault> {
        let Some(checkpoints) = &mut self.checkpoints else {
            return Ok(());
        };
        let Some(latest) = checkpoints.coordinator.latest_metadata() else {
            return Ok(());
        };
        checkpoints.restoring.advance(latest)?;
        // Behind the savepoint that a job stops with nothing is read.
        let stopping = &checkpoints.coordinator.pointer().run_state;
        if matches!(stopping, RunState::Stopping(_)) {
            checkpoints.restoring.only_commit();
        }
        Ok(())
    }

    /// What the job goes on from is damaged: another checkpoint is to be restored. False: there is
    /// none, or results may be committed beyond it.
    pub(super) fn leave_damaged(&mut self, now: Now, actions: &mut Vec<Action>) -> bool {
        let mut vertices = self.graph.job().vertices.iter();
        let commits = vertices.any(|vertex| vertex.commits);
        let Some(checkpoints) = self.checkpoints.as_ref().filter(|_| !commits) else {
            return false;
        };
        let Some(damaged) = checkpoints.restoring.checkpoint() else {
            return false;
        };
        let leaves = checkpoints.coordinator.can_leave(damaged);
        if leaves {
            self.tell_coordinator(now, coordinator::Event::Damaged(damaged), actions);
        }
        leaves
    }

    /// When something is due that no event announces.
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        let checkpoints = self.checkpoints.as_ref();
        let due = checkpoints.and_then(|checkpoints| checkpoints.coordinator.next_wakeup());
        due.into_iter().chain(self.restart_due()).min()
    }

    /// What this subtask goes on from.
    pub(super) fn restore_of(
        &self,
        id: ExecutionVertexId,
    ) -> Option<weir_checkpoint::handle::SubtaskRestore> {
        let checkpoints = self.checkpoints.as_ref()?;
        checkpoints.restoring.subtask(id)
    }
}
