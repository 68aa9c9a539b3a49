//! Where the splits of sources are while checkpoints are taken.
//!
//! A source's state is in two places: splits that were not handed out are with the enumerator, the
//! others with the readers. A checkpoint must find each split in exactly one of them. So what an
//! enumerator hands out after it told its state is held back until the readers have been told to
//! trigger: messages to a TaskManager keep their order, so each reader gets the split after the
//! barrier.

use std::collections::{BTreeMap, BTreeSet};

use weir_checkpoint::coordinator;
use weir_graph::NodeId;
use weir_rpc::{SplitResponse, TaskExecutorCommand};
use weir_stream::source::SplitBytes;
use weir_types::{CheckpointId, ExecutionAttemptId, SubtaskIndex};

use super::{Action, JobMaster, Now};

/// An answer of an enumerator, and the reader that has asked.
type Answer = (ExecutionAttemptId, NodeId, SplitResponse);

/// The splits of a job with checkpoints.
pub(super) struct Splits {
    /// Enumerators that were asked for their state; true: they have told it.
    enumerators: BTreeMap<NodeId, (CheckpointId, bool)>,
    held: Vec<Answer>,
    handed_out: Vec<HandedOut>,
    /// The highest checkpoint that sources were told to trigger, in this epoch or before.
    triggered: CheckpointId,
}

/// A split that a reader has got.
struct HandedOut {
    node: NodeId,
    subtask: SubtaskIndex,
    split: SplitBytes,
    /// The last checkpoint that was triggered before: it does not have the split with the reader.
    after: CheckpointId,
}

impl Splits {
    /// None was handed out behind this checkpoint yet.
    pub(super) fn new(triggered: CheckpointId) -> Self {
        Self {
            enumerators: BTreeMap::new(),
            held: Vec::new(),
            handed_out: Vec::new(),
            triggered,
        }
    }

    /// An enumerator is asked for its state.
    pub(super) fn ask(&mut self, node: NodeId, id: CheckpointId) {
        self.enumerators.insert(node, (id, false));
    }

    /// It has told it: what it hands out from now on is not in it.
    fn told(&mut self, node: NodeId, id: CheckpointId) {
        if let Some((asked, told)) = self.enumerators.get_mut(&node)
            && *asked == id
        {
            *told = true;
        }
    }

    /// Sources are told to trigger a checkpoint.
    pub(super) fn trigger(&mut self, id: CheckpointId) {
        self.triggered = self.triggered.max(id);
    }

    /// A checkpoint is complete: its readers have what they got before it.
    pub(super) fn complete(&mut self, id: CheckpointId) {
        self.handed_out.retain(|handed| handed.after >= id);
    }

    /// What waited for a checkpoint's trigger, or for its end.
    fn release(&mut self, id: CheckpointId) -> Vec<Answer> {
        self.enumerators.retain(|_, (asked, _)| *asked != id);
        std::mem::take(&mut self.held)
    }

    /// The same when all checkpoints are given up.
    pub(super) fn interrupt(&mut self) -> Vec<Answer> {
        self.enumerators.clear();
        std::mem::take(&mut self.held)
    }

    /// Notes an answer that goes to its reader now; gives it back if it does, and keeps it if it
    /// has to wait for a trigger.
    fn pass(&mut self, answer: Answer) -> Option<Answer> {
        let (attempt, node, response) = &answer;
        if self.enumerators.get(node).is_some_and(|(_, told)| *told) {
            self.held.push(answer);
            return None;
        }
        if let SplitResponse::Split(split) = response {
            self.handed_out.push(HandedOut {
                node: *node,
                subtask: attempt.subtask,
                split: split.clone(),
                after: self.triggered,
            });
        }
        Some(answer)
    }

    /// Splits that these readers got behind the checkpoint that they are restored from.
    pub(super) fn take_back(
        &mut self,
        node: NodeId,
        subtasks: &BTreeSet<SubtaskIndex>,
        restored: CheckpointId,
    ) -> Vec<(SubtaskIndex, SplitBytes)> {
        let mut back = Vec::new();
        self.handed_out.retain(|handed| {
            let lost = handed.node == node && subtasks.contains(&handed.subtask);
            if lost && handed.after >= restored {
                back.push((handed.subtask, handed.split.clone()));
            }
            !lost
        });
        back
    }

    /// The enumerator is made anew: what it handed out is forgotten.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.handed_out.retain(|handed| handed.node != node);
    }
}

impl JobMaster {
    /// Splits that waited for this checkpoint's trigger may go out.
    pub(super) fn release_splits(&mut self, id: CheckpointId, actions: &mut Vec<Action>) {
        let Some(checkpoints) = &mut self.checkpoints else {
            return;
        };
        for (attempt, node, response) in checkpoints.splits.release(id) {
            self.hand_out(attempt, node, response, actions);
        }
    }

    /// An enumerator has told what it keeps.
    pub(super) fn enumerator_state(
        &mut self,
        now: Now,
        (id, node): (CheckpointId, NodeId),
        result: Result<Vec<u8>, String>,
        actions: &mut Vec<Action>,
    ) {
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.splits.told(node, id);
        }
        let event = coordinator::Event::EnumeratorState { id, node, result };
        self.tell_coordinator(now, event, actions);
    }

    /// An answer of an enumerator goes to its reader, or waits.
    pub(super) fn hand_out(
        &mut self,
        attempt: ExecutionAttemptId,
        node: NodeId,
        response: SplitResponse,
        actions: &mut Vec<Action>,
    ) {
        if !self.is_live(attempt) {
            // The reader is gone; what it asked for must not be.
            if let SplitResponse::Split(split) = response {
                let splits = vec![(attempt.subtask, split)];
                actions.push(Action::AddSplitsBack { node, splits });
            }
            return;
        }
        let answer = (attempt, node, response);
        let passed = match &mut self.checkpoints {
            Some(checkpoints) => checkpoints.splits.pass(answer),
            None => Some(answer),
        };
        if let Some((attempt, node, response)) = passed {
            let command = TaskExecutorCommand::Split {
                attempt,
                node,
                response,
            };
            self.tell_attempt(attempt, command, actions);
        }
    }
}
