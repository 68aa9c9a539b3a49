//! The checkpoint coordinator (Flink's `CheckpointCoordinator` with `PendingCheckpoint` and
//! `CheckpointFailureManager`).
//!
//! It decides when a checkpoint begins, what belongs to it, when it is complete, and what becomes
//! of the job when the last one is. A checkpoint goes through these steps, each of which is asked
//! for by an action and confirmed by an event:
//!
//! ```text
//! enumerators' states ─► Trigger ─► all acknowledgements
//!                                          └─► WriteMetadata ─► WritePointer ─► Complete
//! ```
//!
//! The pointer decides: from `WritePointer` on the checkpoint neither times out nor is given up, as
//! nobody knows whether it is complete, until the write's outcome is certain. Everything before
//! that point can be given up at any time; nothing after it can be taken back. A write that has
//! certainly failed is tried again, but never after the checkpoint's time-out: its objects are not
//! safe from collectors for ever while no pointer names them. Numbers only grow, and of two
//! checkpoints the older never completes after the newer: `latest` goes back only where it is
//! damaged and no sink has committed by it.
//!
//! Where it differs from Flink: a savepoint becomes `latest`, so that a restore never goes behind
//! it, and therefore no periodic checkpoint begins while a savepoint is under way. A drained job's
//! savepoint is taken when all subtasks have come to their end, not by a barrier before it.
//!
//! Pure and single-threaded: it has no clock and does nothing by itself. What is lost with the
//! process is pending only; the pointer has the rest.

mod closing;
mod completion;
mod event;
mod failure;
mod history;
mod leaving;
mod pending;
mod requests;
mod schedule;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use weir_types::{CheckpointId, ExecutionAttemptId, Timestamp};

use crate::metadata::CheckpointMetadata;
use crate::pointer::{Nonces, OperationId, Pointer, RunState};
use closing::Closing;
use completion::{InFlight, Purpose};
use pending::PendingCheckpoint;
use schedule::Schedule;

pub use event::{
    Action, CoordinatorConfig, Event, FinalOutcome, OperatorInfo, Participant, PointerOutcome,
    SnapshotRequest, Then,
};
pub use failure::{FailureKind, SnapshotFailure};
pub use history::{CheckpointStatus, CheckpointView, History, SubtaskView};

/// How long to wait before something is tried again that has to succeed: a last checkpoint, the
/// record that the job is over.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// The coordinator of one job in one epoch.
#[derive(Debug)]
pub struct Coordinator {
    config: CoordinatorConfig,
    /// What the store holds, as far as is certain.
    pointer: Pointer,
    /// Of the completed checkpoints and savepoints that the pointer keeps, as far as they were
    /// completed or restored in this epoch; the newest is the last.
    kept: Vec<Arc<CheckpointMetadata>>,
    nonces: Nonces,
    /// The number after all that were given in this epoch.
    next_id: CheckpointId,
    /// All subtasks; empty while the job is not running.
    participants: BTreeMap<ExecutionAttemptId, Participant>,
    started: bool,
    /// All subtasks have processed all their input.
    at_end: bool,
    schedule: Schedule,
    pending: BTreeMap<CheckpointId, PendingCheckpoint>,
    /// Requests whose snapshot has not begun.
    queue: VecDeque<SnapshotRequest>,
    /// The sources were told to end; the savepoint follows when all have.
    draining: Option<SnapshotRequest>,
    write: Option<InFlight>,
    /// Operations whose savepoints are to go.
    forgets: BTreeSet<OperationId>,
    /// The newest checkpoint is damaged: the one before is to be the newest.
    leaves: Option<CheckpointId>,
    /// The last checkpoint is complete, its results are being committed.
    closing: Option<Closing>,
    /// To be recorded as soon as no write is in the way.
    ending: Option<RunState>,
    failures_in_a_row: u32,
    /// The job was told to fail: nothing begins until it has.
    failing: bool,
    history: History,
    over: bool,
}

impl Coordinator {
    /// A coordinator for the leader whose claim wrote this pointer. The seed is the caller's
    /// randomness: no other coordinator may have the same.
    pub fn new(config: CoordinatorConfig, pointer: Pointer, nonce_seed: u64) -> Self {
        Self {
            config,
            next_id: pointer.next_id(),
            pointer,
            kept: Vec::new(),
            nonces: Nonces::new(nonce_seed),
            participants: BTreeMap::new(),
            started: false,
            at_end: false,
            schedule: Schedule::default(),
            pending: BTreeMap::new(),
            queue: VecDeque::new(),
            draining: None,
            write: None,
            forgets: BTreeSet::new(),
            leaves: None,
            closing: None,
            ending: None,
            failures_in_a_row: 0,
            failing: false,
            history: History::default(),
            over: false,
        }
    }

    /// The same, with the content of `latest`, which the job is restored from. Without it no
    /// checkpoint is completed that builds on the restored one.
    #[must_use]
    pub fn with_latest(mut self, metadata: CheckpointMetadata) -> Self {
        self.kept = vec![Arc::new(metadata)];
        self
    }

    /// The pointer as it is, as far as is certain.
    pub fn pointer(&self) -> &Pointer {
        &self.pointer
    }

    /// The content of the newest completed checkpoint: what a failover in this epoch restores.
    pub fn latest_metadata(&self) -> Option<&CheckpointMetadata> {
        self.kept.last().map(Arc::as_ref)
    }

    /// Whether a write of the pointer is under way. Until its outcome is known nobody can say which
    /// checkpoint is the newest: no restore may begin, and no object may be deleted.
    pub fn in_doubt(&self) -> bool {
        self.write.is_some()
    }

    /// Whether all results are committed and only the record of the job's end is missing: nothing
    /// that fails now changes how it ended, and nothing is to run again.
    pub fn is_decided(&self) -> bool {
        self.closing.as_ref().is_some_and(Closing::is_done)
    }

    /// Whether subtasks were told that the last checkpoint is complete: whoever hears it commits
    /// and finishes, and takes part in no other.
    pub fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// Whether sources were told to end before their input has: those that have done so will not
    /// read on, whatever becomes of the others.
    pub fn is_draining(&self) -> bool {
        self.draining.is_some()
    }

    /// The newest checkpoints, for people.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// When to come back with [`Event::Tick`], if nothing happens before.
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        if self.over {
            return None;
        }
        let timeouts = self.pending.values().filter(|p| !p.is_in_flight());
        let timeouts = timeouts.map(PendingCheckpoint::deadline);
        let due = self.periodic_due();
        let retry = self.schedule.retry_at;
        timeouts.chain(due).chain(retry).min()
    }

    /// Takes in what happened and says what to do. `now` never goes back; `unix_ms` may.
    pub fn on_event(&mut self, now: Timestamp, unix_ms: i64, event: Event) -> Vec<Action> {
        let mut out = Vec::new();
        if self.over {
            return out;
        }
        let mut turn = Turn {
            now,
            unix_ms,
            out: &mut out,
        };
        self.handle(&mut turn, event);
        if !self.over {
            self.expire(&mut turn);
            self.advance(&mut turn);
        }
        out
    }

    fn handle(&mut self, turn: &mut Turn<'_>, event: Event) {
        match event {
            Event::Tick => {}
            Event::Started { participants } => self.on_started(turn, participants),
            Event::Interrupted { reason } => self.on_interrupted(turn, &reason),
            Event::Request(request) => self.on_request(turn, request),
            Event::Forget(operation) => drop(self.forgets.insert(operation)),
            Event::Damaged(id) => self.leaves = Some(id),
            Event::EndOfInput => self.at_end = self.started,
            Event::EnumeratorState { id, node, result } => {
                self.on_enumerator(turn, id, node, result);
            }
            Event::Acknowledged {
                id,
                attempt,
                state,
                metrics,
            } => {
                if self.participants.contains_key(&attempt)
                    && let Some(pending) = self.pending.get_mut(&id)
                    && pending.acknowledge(attempt, state)
                {
                    self.history
                        .acknowledged(id, attempt, metrics, turn.unix_ms);
                    self.if_acknowledged(turn, id);
                }
            }
            Event::Declined { id, attempt, why } => {
                if self.participants.contains_key(&attempt)
                    && self.pending.get(&id).is_some_and(|p| p.awaits(attempt))
                {
                    let why = why.while_doing(format_args!("subtask {attempt} declined"));
                    self.fail(turn, id, why);
                }
            }
            Event::MetadataWritten { id, result } => self.on_metadata(turn, id, result),
            Event::PointerWritten { nonce, outcome } => self.on_pointer(turn, nonce, outcome),
            Event::Committed { id, attempt } => self.on_committed(id, attempt),
            Event::Ended(state) => self.on_ended(turn, state),
        }
    }

    /// Whatever can go on now: the record of an end first, then snapshots.
    fn advance(&mut self, turn: &mut Turn<'_>) {
        self.schedule.pass(turn.now);
        self.write_next(turn);
        self.begin_next(turn);
    }

    fn on_started(&mut self, turn: &mut Turn<'_>, participants: Vec<Participant>) {
        assert!(
            !matches!(
                self.write,
                Some(InFlight {
                    purpose: Purpose::Completes(_),
                    ..
                })
            ),
            "a restore waits until it is certain which checkpoint is the newest"
        );
        if self.started {
            self.on_interrupted(turn, "the job was started again");
        }
        let by_attempt = |participant: Participant| (participant.attempt, participant);
        self.participants = participants.into_iter().map(by_attempt).collect();
        self.started = true;
        self.schedule.started(turn.now, self.config.interval);
        self.resume_stopping(turn);
    }

    fn on_interrupted(&mut self, turn: &mut Turn<'_>, reason: &str) {
        self.started = false;
        self.failing = false;
        self.at_end = false;
        self.participants.clear();
        self.give_up_commits();
        for id in self.not_in_flight() {
            self.abort(turn, id, reason);
        }
        // What is in flight may yet be the drained job's savepoint.
        if !self.pending.values().any(|p| p.cause.then == Then::Drain)
            && let Some(request) = self.draining.take()
        {
            turn.answer(request.operation, Err(format!("the job failed: {reason}")));
        }
    }

    fn on_ended(&mut self, turn: &mut Turn<'_>, state: RunState) {
        self.on_interrupted(turn, "the job has ended");
        for request in std::mem::take(&mut self.queue) {
            turn.answer(request.operation, Err("the job has ended".to_owned()));
        }
        self.ending = Some(state);
    }

    /// The pending checkpoints that can still be given up.
    fn not_in_flight(&self) -> Vec<CheckpointId> {
        let pending = self.pending.iter().filter(|(_, p)| !p.is_in_flight());
        pending.map(|(id, _)| *id).collect()
    }
}

/// One call: its time, and what comes out of it.
struct Turn<'a> {
    now: Timestamp,
    unix_ms: i64,
    out: &'a mut Vec<Action>,
}

impl Turn<'_> {
    fn act(&mut self, action: Action) {
        self.out.push(action);
    }

    fn answer(
        &mut self,
        operation: OperationId,
        result: Result<crate::pointer::SnapshotRef, String>,
    ) {
        self.act(Action::Answer { operation, result });
    }
}

#[cfg(test)]
mod tests;
