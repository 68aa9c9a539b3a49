//! From the last acknowledgement to the pointer, and what becomes of a checkpoint that does not get
//! there (Flink's `CheckpointFailureManager`).

use std::sync::Arc;

use weir_graph::NodeId;
use weir_types::CheckpointId;

use super::closing::Closing;
use super::failure::SnapshotFailure;
use super::pending::{Cause, PendingCheckpoint};
use super::{Action, Coordinator, PointerOutcome, RETRY_PAUSE, Then, Turn};
use crate::collector::reused_outside;
use crate::pointer::{Pointer, RunState, SnapshotKind};

/// A write of the pointer whose outcome is not known.
#[derive(Debug)]
pub(super) struct InFlight {
    content: Box<Pointer>,
    pub(super) purpose: Purpose,
}

/// What a write of the pointer is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// It completes a snapshot.
    Completes(CheckpointId),
    /// It lets go of savepoints.
    Forgets,
    /// A damaged checkpoint is no longer the newest.
    Leaves,
    /// It records how the job ended.
    Ends,
}

#[cfg(test)]
impl InFlight {
    pub(super) fn nonce(&self) -> u128 {
        self.content.nonce
    }

    pub(super) fn last_id(&self) -> CheckpointId {
        self.content.last_id
    }
}

impl Coordinator {
    pub(super) fn on_enumerator(
        &mut self,
        turn: &mut Turn<'_>,
        id: CheckpointId,
        node: NodeId,
        result: Result<Vec<u8>, String>,
    ) {
        let Some(pending) = self.pending.get_mut(&id) else {
            return;
        };
        match result {
            Ok(state) => {
                if pending.enumerator(node, state) {
                    self.trigger_if_enumerated(turn, id);
                }
            }
            Err(reason) if !pending.is_in_flight() => {
                let reason = format!("the enumerator of source {node:?} failed: {reason}");
                self.fail(turn, id, SnapshotFailure::other(reason));
            }
            Err(_) => {}
        }
    }

    /// Has the metadata written once all parts are there.
    pub(super) fn if_acknowledged(&mut self, turn: &mut Turn<'_>, id: CheckpointId) {
        let Some(pending) = self.pending.get_mut(&id) else {
            return;
        };
        let operators = &self.config.operators;
        match pending.assemble(self.pointer.state_id, turn.unix_ms, operators) {
            Ok(None) => {}
            Ok(Some(metadata)) => turn.act(Action::WriteMetadata {
                path: pending.folder(),
                metadata,
            }),
            Err(reason) => self.fail(turn, id, SnapshotFailure::other(reason)),
        }
    }

    pub(super) fn on_metadata(
        &mut self,
        turn: &mut Turn<'_>,
        id: CheckpointId,
        result: Result<(String, u64), SnapshotFailure>,
    ) {
        let Some(pending) = self.pending.get_mut(&id) else {
            return;
        };
        match result {
            Ok((sha256, size)) => {
                pending.stored(sha256, size, turn.unix_ms);
            }
            Err(why) if pending.writes_metadata() => {
                self.fail(turn, id, why.while_doing("write its metadata"));
            }
            Err(_) => {}
        }
    }

    /// Has the pointer written, if there is a reason and nothing in the way.
    pub(super) fn write_next(&mut self, turn: &mut Turn<'_>) {
        if self.write.is_some() {
            return;
        }
        let mut content = Box::new(self.pointer.clone());
        let purpose;
        // What is committed decides, whatever has failed or was asked for since.
        let committed = self.closing.as_ref().filter(|closing| closing.is_done());
        let end = committed.map(Closing::run_state);
        if let Some(state) = end.or_else(|| self.ending.clone()) {
            if !self.schedule.may_retry() {
                return;
            }
            match state {
                RunState::Deleted => content.let_go(),
                state => content.run_state = state,
            }
            purpose = Purpose::Ends;
        } else if self.leave_into(&mut content) {
            if !self.schedule.may_retry() {
                return;
            }
            purpose = Purpose::Leaves;
        } else if let Some(id) = self.complete_into(turn, &mut content) {
            purpose = Purpose::Completes(id);
        } else if self.forget_into(&mut content) {
            purpose = Purpose::Forgets;
        } else {
            return;
        }
        content.nonce = self.nonces.draw();
        content.last_id = CheckpointId(self.next_id.0 - 1);
        turn.act(Action::WritePointer(content.clone()));
        self.write = Some(InFlight { content, purpose });
    }

    /// Completes a snapshot in the pointer that is to be written, if one is ready.
    fn complete_into(
        &mut self,
        turn: &mut Turn<'_>,
        content: &mut Pointer,
    ) -> Option<CheckpointId> {
        self.give_up_groundless(turn);
        let ready = self.pending.values_mut().find(|p| p.ready().is_some())?;
        let complete = ready.ready().cloned()?;
        ready.take_off();
        let id = complete.id;
        content.complete(complete, self.config.retained);
        if let Cause {
            operation: Some(operation),
            then: Then::Stop | Then::Drain,
            ..
        } = &ready.cause
        {
            content.run_state = RunState::Stopping(operation.clone());
        }
        Some(id)
    }

    /// Lets go of savepoints in the pointer that is to be written. Whoever asked for it asks again
    /// if the write fails.
    fn forget_into(&mut self, content: &mut Pointer) -> bool {
        let mut changed = false;
        for operation in std::mem::take(&mut self.forgets) {
            changed |= content.forget(&operation);
        }
        changed
    }

    /// Gives up what builds on files of a checkpoint that is not kept any more: a subtask had not
    /// heard yet of a newer one. The files may be deleted at any moment. It counts as no failure:
    /// by the next checkpoint the subtask has heard.
    fn give_up_groundless(&mut self, turn: &mut Turn<'_>) {
        let kept: Vec<_> = self.kept.iter().map(Arc::as_ref).collect();
        let groundless = |pending: &&PendingCheckpoint| {
            let metadata = pending.ready_metadata();
            metadata.is_some_and(|metadata| !reused_outside(metadata, &kept).is_empty())
        };
        let groundless = self.pending.values().filter(groundless);
        let groundless: Vec<_> = groundless.map(|pending| pending.id).collect();
        for id in groundless {
            self.abort(
                turn,
                id,
                "it builds on a checkpoint that is not kept any more",
            );
        }
    }

    pub(super) fn on_pointer(&mut self, turn: &mut Turn<'_>, nonce: u128, outcome: PointerOutcome) {
        let Some(write) = self.write.take_if(|write| write.content.nonce == nonce) else {
            return;
        };
        match (outcome, write.purpose) {
            (PointerOutcome::Written, purpose) => {
                self.pointer = *write.content;
                match purpose {
                    Purpose::Completes(id) => {
                        if let Some(pending) = self.pending.remove(&id) {
                            self.completed(turn, pending);
                        }
                    }
                    Purpose::Forgets => self.drop_what_is_not_kept(),
                    Purpose::Leaves => self.left(turn),
                    Purpose::Ends => self.recorded(turn),
                }
            }
            (PointerOutcome::Failed(reason), Purpose::Completes(id)) => {
                let now = turn.now;
                let young = self.pending.get_mut(&id).is_some_and(|p| p.come_back(now));
                if !young || !self.started {
                    let why = SnapshotFailure::storage(reason);
                    self.fail(turn, id, why.while_doing("write the pointer"));
                }
            }
            (PointerOutcome::Failed(reason), Purpose::Forgets) => {
                turn.act(Action::Say(format!("let go of a savepoint: {reason}")));
            }
            (PointerOutcome::Failed(reason), Purpose::Leaves) => {
                let text = format!("leave a damaged checkpoint, will be tried again: {reason}");
                turn.act(Action::Say(text));
                self.schedule.retry(turn.now, RETRY_PAUSE);
            }
            (PointerOutcome::Failed(reason), Purpose::Ends) => {
                let text = format!("record how the job ended, will be tried again: {reason}");
                turn.act(Action::Say(text));
                self.schedule.retry(turn.now, RETRY_PAUSE);
            }
            (PointerOutcome::Fenced(other), _) => {
                self.over = true;
                let reason = format!(
                    "epoch {} of {} leads the job, this is epoch {}",
                    other.epoch, other.holder, self.pointer.epoch
                );
                turn.act(Action::Fenced { reason });
            }
        }
    }

    /// The pointer names it: from here on nothing can take it back.
    fn completed(&mut self, turn: &mut Turn<'_>, pending: PendingCheckpoint) {
        let (id, cause) = (pending.id, pending.cause.clone());
        let Some((metadata, snapshot)) = pending.land() else {
            return;
        };
        let older: Vec<_> = self.pending.range(..id).map(|(id, _)| *id).collect();
        for older in older {
            self.abort(turn, older, "a newer one is complete");
        }
        self.kept.push(metadata);
        self.drop_what_is_not_kept();
        self.failures_in_a_row = 0;
        self.schedule.snapshot_ended(turn.now);
        self.history.completed(&snapshot, turn.now);
        let last = cause.is_last();
        if self.started {
            let commits = self.committers();
            if last {
                let waiting = commits.iter().copied().collect();
                let operation = cause.operation.clone();
                self.closing = Some(Closing::new(snapshot.clone(), operation, waiting));
            }
            turn.act(Action::Complete { id, last, commits });
        }
        if last {
            self.draining = None;
        } else if let Some(operation) = cause.operation {
            turn.answer(operation, Ok(snapshot));
        }
    }

    fn drop_what_is_not_kept(&mut self) {
        let retained = &self.pointer.retained;
        self.kept
            .retain(|kept| retained.iter().any(|snapshot| snapshot.id == kept.id));
    }

    /// Gives a checkpoint up because something went wrong with it, and counts that.
    pub(super) fn fail(&mut self, turn: &mut Turn<'_>, id: CheckpointId, why: SnapshotFailure) {
        let Some(pending) = self.pending.get(&id) else {
            return;
        };
        let cause = &pending.cause;
        // Nobody but a person waits for a savepoint: the job is as safe without it.
        let counts = cause.kind == SnapshotKind::Checkpoint || cause.then == Then::Drain;
        let last = cause.is_last();
        let reason = why.reason.clone();
        self.give_up(turn, id, why);
        if last {
            self.schedule
                .retry(turn.now, RETRY_PAUSE.max(self.config.min_pause));
        }
        if !counts {
            return;
        }
        self.failures_in_a_row += 1;
        if self.failures_in_a_row > self.config.tolerable_failures && self.started {
            let reason = format!(
                "{} checkpoints failed in a row, {} are tolerated; the last one, {id}: {reason}",
                self.failures_in_a_row, self.config.tolerable_failures
            );
            self.failures_in_a_row = 0;
            self.failing = true;
            turn.act(Action::Fail { reason });
        }
    }

    /// Gives a checkpoint up with which nothing went wrong.
    pub(super) fn abort(&mut self, turn: &mut Turn<'_>, id: CheckpointId, reason: &str) {
        self.give_up(turn, id, SnapshotFailure::other(reason));
    }

    fn give_up(&mut self, turn: &mut Turn<'_>, id: CheckpointId, why: SnapshotFailure) {
        let Some(pending) = self.pending.remove(&id) else {
            return;
        };
        self.schedule.snapshot_ended(turn.now);
        let reason = why.reason.clone();
        self.history.failed(id, why, turn.now);
        turn.act(Action::Abort {
            id,
            reason: reason.clone(),
        });
        // A drained job stands at its end: its savepoint is tried again while it does.
        let again = pending.cause.then == Then::Drain && self.started;
        if let (Some(operation), false) = (pending.cause.operation, again) {
            self.draining = None;
            turn.answer(operation, Err(reason));
        }
    }
}
