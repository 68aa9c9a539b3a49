//! How a job that takes checkpoints ends: the pointer says so first, and the checkpoints of one
//! that was cancelled go, if they are to. A store that is out of reach holds up neither for ever.

use weir_checkpoint::coordinator;
use weir_checkpoint::pointer::RunState;
use weir_graph::JobStatus;

use super::{Action, JobMaster, Now};

impl JobMaster {
    /// Whether the pointer says how the job ended; asks for it if it does not. A store that stays
    /// out of reach does not hold up the end for ever.
    pub(super) fn end_is_recorded(&mut self, now: Now, actions: &mut Vec<Action>) -> bool {
        let status = self.graph.status();
        let Some(checkpoints) = &mut self.checkpoints else {
            return true;
        };
        if status == JobStatus::Finished {
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
