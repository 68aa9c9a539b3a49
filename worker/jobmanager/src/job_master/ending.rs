//! What has to be done before a job is told to have ended.
//!
//! With checkpoints: the pointer says so first, and the checkpoints of a job that was cancelled go,
//! if they are to. Without checkpoints: what some subtasks have published of a job that failed
//! meanwhile is withdrawn. A store or folder that is out of reach holds up none of it for ever.

use weir_checkpoint::coordinator;
use weir_checkpoint::pointer::RunState;
use weir_graph::{ExecutionState, JobStatus, NodeId};
use weir_types::{ExecutionAttemptId, Timestamp};

use super::{Action, JobMaster, Now};

/// How far it is that published results of a job that did not finish are taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Withdrawal {
    /// It has begun.
    Since(Timestamp),
    /// Nobody waits for it any more.
    Over,
}

impl JobMaster {
    /// Whether all results of the job are visible, or none. Subtasks publish one by one: if the job
    /// fails meanwhile, what some of them have shown is taken back.
    pub(super) fn nothing_is_half_published(
        &mut self,
        now: Now,
        actions: &mut Vec<Action>,
    ) -> bool {
        if self.graph.status() == JobStatus::Finished || !self.graph.is_publishing() {
            return true;
        }
        match self.withdrawal {
            Some(Withdrawal::Over) => true,
            Some(Withdrawal::Since(since)) => {
                let waits = now.at.since(since) <= self.config.cancellation_timeout;
                if !waits {
                    self.withdrawal = Some(Withdrawal::Over);
                    let text = "the results are not taken back in time: some may be visible";
                    actions.push(Action::Say(text.to_owned()));
                }
                !waits
            }
            None => {
                self.withdrawal = Some(Withdrawal::Since(now.at));
                actions.push(Action::Withdraw(self.published()));
                false
            }
        }
    }

    /// By sink, the attempts that may have published. One that has failed has cleared up itself.
    fn published(&self) -> Vec<(NodeId, Vec<ExecutionAttemptId>)> {
        let mut published = Vec::new();
        for vertex in self.graph.job().vertices.iter().filter(|v| v.commits) {
            let subtasks = self.graph.subtasks(vertex.id).iter();
            let attempts: Vec<_> = subtasks
                .filter(|subtask| subtask.state != ExecutionState::Failed || self.is_lost(subtask))
                .map(|subtask| subtask.attempt)
                .collect();
            let nodes = vertex.operators.iter().map(|operator| operator.node);
            published.extend(nodes.map(|node| (node, attempts.clone())));
        }
        published
    }

    /// Its TaskManager is gone.
    fn is_lost(&self, subtask: &weir_graph::ExecutionVertex) -> bool {
        let home = subtask.slot.map(|slot| slot.task_manager);
        home.is_none_or(|home| self.task_managers.get(home).is_none())
    }

    pub(super) fn withdrawn(&mut self, now: Now, actions: &mut Vec<Action>) {
        self.withdrawal = Some(Withdrawal::Over);
        self.end_if_over(now, actions);
    }

    /// Whether the pointer says how the job ended; asks for it if it does not. A store that stays
    /// out of reach does not hold up the end for ever.
    pub(super) fn end_is_recorded(&mut self, now: Now, actions: &mut Vec<Action>) -> bool {
        let status = self.graph.status();
        let Some(checkpoints) = &mut self.checkpoints else {
            return true;
        };
        if status == JobStatus::Finished || checkpoints.end.is_some() {
            return checkpoints.end.is_some();
        }
        if checkpoints.recorded && checkpoints.cleared {
            return true;
        }
        let limit = self.config.cancellation_timeout;
        match checkpoints.recording {
            Some(since) if now.at.since(since) > limit => {
                let text = if checkpoints.recorded {
                    "not all checkpoints of the cancelled job are deleted: `weir gc --delete` \
                     deletes the rest"
                } else {
                    "the store did not take the job's end; it will be resumed if started again"
                };
                actions.push(Action::Say(text.to_owned()));
                true
            }
            Some(_) => false,
            None => {
                checkpoints.recording = Some(now.at);
                let state = match status {
                    JobStatus::Failed => RunState::Failed,
                    _ if checkpoints.delete_on_cancel => RunState::Deleted,
                    _ => RunState::Cancelled,
                };
                checkpoints.cleared = state != RunState::Deleted;
                self.tell_coordinator(now, coordinator::Event::Ended(state), actions);
                self.checkpoints
                    .as_ref()
                    .is_none_or(|checkpoints| checkpoints.recorded && checkpoints.cleared)
            }
        }
    }

    /// Whatever ends the job now, its checkpoints stay.
    pub(super) fn keep_checkpoints(&mut self) {
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.delete_on_cancel = false;
        }
    }

    pub(super) fn cleared(&mut self, now: Now, actions: &mut Vec<Action>) {
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.cleared = true;
            self.end_if_over(now, actions);
        }
    }
}
