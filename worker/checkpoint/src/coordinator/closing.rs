//! The end of a job: the last checkpoint is complete, the sinks commit what it holds, and only then
//! the pointer says that the job is stopped or finished. A leader that is lost in between leaves a
//! pointer that says what there is left to do, which its successor does.

use std::collections::BTreeSet;

use weir_types::{CheckpointId, ExecutionAttemptId};

use super::{Action, Coordinator, FinalOutcome, Turn};
use crate::pointer::{OperationId, RunState, SnapshotRef};

/// The last commits.
#[derive(Debug)]
pub(super) struct Closing {
    snapshot: SnapshotRef,
    /// Who asked for the end; none: the input has ended.
    operation: Option<OperationId>,
    waiting: BTreeSet<ExecutionAttemptId>,
}

impl Closing {
    pub(super) fn new(
        snapshot: SnapshotRef,
        operation: Option<OperationId>,
        waiting: BTreeSet<ExecutionAttemptId>,
    ) -> Self {
        Self {
            snapshot,
            operation,
            waiting,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn run_state(&self) -> RunState {
        match &self.operation {
            Some(operation) => RunState::Stopped(operation.clone()),
            None => RunState::Finished,
        }
    }
}

impl Coordinator {
    /// The subtasks that commit.
    pub(super) fn committers(&self) -> Vec<ExecutionAttemptId> {
        let participants = self.participants.values();
        let commits = participants.filter(|participant| participant.commits);
        commits.map(|participant| participant.attempt).collect()
    }

    pub(super) fn on_committed(&mut self, id: CheckpointId, attempt: ExecutionAttemptId) {
        if let Some(closing) = &mut self.closing
            && closing.snapshot.id <= id
        {
            closing.waiting.remove(&attempt);
        }
    }

    /// A job that is to stop runs again only to commit what its savepoint holds.
    pub(super) fn resume_stopping(&mut self, turn: &mut Turn<'_>) {
        let (RunState::Stopping(operation), Some(snapshot), None) =
            (&self.pointer.run_state, &self.pointer.latest, &self.closing)
        else {
            return;
        };
        let commits = self.committers();
        turn.act(Action::Complete {
            id: snapshot.id,
            last: true,
            commits: commits.clone(),
        });
        let waiting = commits.into_iter().collect();
        let operation = Some(operation.clone());
        self.closing = Some(Closing::new(snapshot.clone(), operation, waiting));
    }

    /// The tasks are gone. What they have not confirmed is committed again by their successors.
    pub(super) fn give_up_commits(&mut self) {
        self.closing.take_if(|closing| !closing.is_done());
    }

    /// The pointer says how the job ended.
    pub(super) fn recorded(&mut self, turn: &mut Turn<'_>) {
        self.over = true;
        let recorded = &self.pointer.run_state;
        let decided = |closing: &mut Closing| closing.is_done() && closing.run_state() == *recorded;
        let Some(closing) = self.closing.take_if(decided) else {
            turn.act(Action::EndRecorded);
            return;
        };
        let outcome = match closing.operation {
            None => FinalOutcome::Finished,
            Some(operation) => {
                turn.answer(operation, Ok(closing.snapshot.clone()));
                FinalOutcome::Stopped(closing.snapshot)
            }
        };
        for request in std::mem::take(&mut self.queue) {
            turn.answer(request.operation, Err("the job has ended".to_owned()));
        }
        turn.act(Action::End(outcome));
    }
}
