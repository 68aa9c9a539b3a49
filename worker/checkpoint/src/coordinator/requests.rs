//! Snapshots that somebody asks for: savepoints, stopping, draining.
//!
//! A request is known by its operation's id. One whose snapshot is complete is answered from the
//! pointer, whoever wrote that; one that is under way is joined. So a request can be repeated after
//! a lost answer, also to another leader, and there is at most one snapshot of it, also after that
//! has been deleted. A request that has failed has left nothing behind, and may be tried again
//! under the same id.

use weir_types::CheckpointBarrier;

use super::pending::{Cause, barrier_kind};
use super::{Action, Coordinator, SnapshotRequest, Then, Turn};
use crate::pointer::{OperationId, RunState};

fn taken_before() -> String {
    "it was taken before, and deleted since: ask for another one under another name".to_owned()
}

impl Coordinator {
    pub(super) fn on_request(&mut self, turn: &mut Turn<'_>, request: SnapshotRequest) {
        let operation = &request.operation;
        if self.pointer.run_state == RunState::Stopping(operation.clone())
            || self.is_open(operation)
        {
            return;
        }
        if let Some(snapshot) = self.pointer.of_operation(operation) {
            turn.answer(request.operation.clone(), Ok(snapshot.clone()));
            return;
        }
        let forgotten = self.pointer.forgotten.contains(operation);
        if let Some(why) = self.refuses().or_else(|| forgotten.then(taken_before)) {
            turn.answer(request.operation, Err(why));
            return;
        }
        self.queue.push_back(request);
    }

    /// Whether the operation is waiting or under way.
    fn is_open(&self, operation: &OperationId) -> bool {
        let pending = self.pending.values().map(|p| &p.cause.operation);
        self.queue
            .iter()
            .any(|queued| queued.operation == *operation)
            || pending.flatten().any(|open| open == operation)
            || self
                .draining
                .iter()
                .any(|draining| draining.operation == *operation)
    }

    /// Why no request is taken now, if none is.
    fn refuses(&self) -> Option<String> {
        let stops = |cause: &Cause| cause.is_last();
        let queued = self
            .queue
            .iter()
            .find(|queued| queued.then != Then::Continue);
        let pending = self.pending.values().find(|p| stops(&p.cause));
        let stopping = match &self.pointer.run_state {
            RunState::Stopping(operation) => Some(operation),
            _ => None,
        };
        let stops_first = self.draining.as_ref().or(queued);
        let by = stops_first.map(|request| &request.operation).or(stopping);
        if let Some(by) = by.or_else(|| pending?.cause.operation.as_ref()) {
            return Some(format!("the job is being stopped by operation `{}`", by.0));
        }
        if self.ending.is_some() || self.pointer.run_state != RunState::Running {
            return Some("the job has ended".to_owned());
        }
        (pending.is_some() || self.closing.is_some())
            .then(|| "the job has come to the end of its input and is finishing".to_owned())
    }

    /// Tells the sources to end; the savepoint follows when all subtasks have come to their end.
    /// Until then there is no checkpoint: it would hold sources that have ended although they had
    /// more to read, and a restore from it would never read the rest.
    pub(super) fn drain(&mut self, turn: &mut Turn<'_>, request: SnapshotRequest) {
        for id in self.not_in_flight() {
            self.abort(turn, id, "the job is being drained");
        }
        let id = self.next_id;
        self.next_id.0 += 1;
        let sources = self.participants.values().filter(|p| p.source);
        turn.act(Action::Trigger {
            barrier: CheckpointBarrier {
                epoch: self.pointer.epoch,
                id,
                triggered_at_ms: turn.unix_ms,
                kind: barrier_kind(request.kind),
            },
            then: Then::Drain,
            attempts: sources.map(|participant| participant.attempt).collect(),
        });
        self.draining = Some(request);
    }
}
