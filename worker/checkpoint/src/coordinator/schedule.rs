//! When a snapshot begins (Flink's `CheckpointRequestDecider` and the periodic trigger).

use std::time::Duration;

use weir_types::{CheckpointId, Timestamp};

use super::pending::{Cause, PendingCheckpoint};
use super::{Action, Coordinator, SnapshotFailure, Then, Turn};
use crate::pointer::{RunState, SnapshotKind};

/// The times that decide.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    /// When the next periodic checkpoint is to begin; none: never.
    next: Option<Timestamp>,
    /// When the last one of any kind ended.
    last_end: Option<Timestamp>,
    /// Nothing that has failed is tried again before.
    pub(super) retry_at: Option<Timestamp>,
}

impl Schedule {
    pub(super) fn started(&mut self, now: Timestamp, interval: Duration) {
        self.next = (!interval.is_zero()).then(|| now + interval);
        self.retry_at = None;
    }

    /// The next one is as long behind when this one was due (Flink's `scheduleAtFixedRate`), so
    /// that a timer which is late does not put off all that come, and subtasks can expect their
    /// barriers. What could not be begun for an interval is not made up for.
    fn periodic_began(&mut self, due: Timestamp, now: Timestamp, interval: Duration) {
        let next = due + interval;
        self.next = Some(if next > now { next } else { now + interval });
    }

    pub(super) fn snapshot_ended(&mut self, now: Timestamp) {
        self.last_end = Some(now);
    }

    pub(super) fn retry(&mut self, now: Timestamp, pause: Duration) {
        self.retry_at = Some(now + pause);
    }

    /// Forgets a wait that is over.
    pub(super) fn pass(&mut self, now: Timestamp) {
        self.retry_at.take_if(|at| *at <= now);
    }

    /// Whether what has failed may be tried again.
    pub(super) fn may_retry(&self) -> bool {
        self.retry_at.is_none()
    }
}

impl Coordinator {
    /// When the next periodic checkpoint begins, if nothing else is in its way.
    pub(super) fn periodic_due(&self) -> Option<Timestamp> {
        let pending = self.pending.len() as u64;
        let free = self.may_begin()
            && !self.at_end
            && self.draining.is_none()
            && pending < u64::from(self.config.max_concurrent.max(1))
            && !self.asks_enumerators()
            && !self.pending.values().any(|p| is_exclusive(&p.cause));
        let due = self.schedule.next.filter(|_| free)?;
        let rested = self
            .schedule
            .last_end
            .map(|end| end + self.config.min_pause);
        Some(rested.map_or(due, |rested| rested.max(due)))
    }

    /// Whether the job runs and is to go on.
    fn may_begin(&self) -> bool {
        self.started
            && !self.failing
            && self.closing.is_none()
            && self.ending.is_none()
            && self.pointer.run_state == RunState::Running
    }

    /// Whether a pending checkpoint waits for enumerators. A second one must not ask them by then:
    /// splits are held back for one trigger, and would be in none or in both of two.
    fn asks_enumerators(&self) -> bool {
        self.pending.values().any(|p| p.asks_enumerators())
    }

    /// Begins what is due: requests in their order, then the last checkpoint, then a periodic one.
    pub(super) fn begin_next(&mut self, turn: &mut Turn<'_>) {
        while self.may_begin()
            && self.draining.is_none()
            && !self.pending.values().any(|p| is_exclusive(&p.cause))
            && let asks = self.asks_enumerators()
            // What ends the job gives up all that is pending.
            && let Some(request) = self
                .queue
                .pop_front_if(|next| next.then != Then::Continue || !asks)
        {
            match request.then {
                Then::Drain => self.drain(turn, request),
                Then::Continue | Then::Stop => self.begin(turn, Cause::request(request)),
            }
        }
        let exclusive = self.pending.values().any(|p| is_exclusive(&p.cause));
        if self.may_begin() && self.at_end && !exclusive {
            if self.schedule.may_retry() {
                self.begin(turn, self.final_cause());
            }
        } else if let Some(due) = self.periodic_due().filter(|due| *due <= turn.now) {
            self.schedule
                .periodic_began(due, turn.now, self.config.interval);
            self.begin(turn, Cause::PERIODIC);
        }
    }

    fn final_cause(&self) -> Cause {
        match &self.draining {
            None => Cause::FINAL,
            Some(request) => Cause::request(request.clone()),
        }
    }

    fn begin(&mut self, turn: &mut Turn<'_>, cause: Cause) {
        let id = self.next_id;
        self.next_id.0 += 1;
        if cause.is_last() {
            // They would be commits behind the job's back while it stops.
            for older in self.not_in_flight() {
                self.abort(turn, older, "the job's last snapshot has begun");
            }
        }
        let timeout = match cause.kind {
            SnapshotKind::Checkpoint => self.config.timeout,
            SnapshotKind::Savepoint => self.config.savepoint_timeout,
        };
        let pending = PendingCheckpoint::new(
            (self.pointer.epoch, id),
            cause,
            (turn.unix_ms, turn.now + timeout),
            &self.config.operators,
            self.participants.values(),
        );
        let subtasks = self.participants.len();
        self.history.began(&pending, subtasks, turn.now);
        for node in pending.enumerators() {
            turn.act(Action::SnapshotEnumerator { id, node });
        }
        self.pending.insert(id, pending);
        self.trigger_if_enumerated(turn, id);
    }

    /// Tells the sources, once the enumerators have said what they keep: a split is either with its
    /// enumerator or with its reader.
    pub(super) fn trigger_if_enumerated(&mut self, turn: &mut Turn<'_>, id: CheckpointId) {
        let Some(pending) = self.pending.get_mut(&id) else {
            return;
        };
        if !pending.take_trigger() {
            return;
        }
        let sources = self.participants.values().filter(|p| p.source);
        let then = match pending.cause.then {
            Then::Continue => Then::Continue,
            // A drained job has come to its end: all that is left is to stop.
            Then::Stop | Then::Drain => Then::Stop,
        };
        turn.act(Action::Trigger {
            barrier: pending.barrier(),
            then,
            attempts: sources.map(|participant| participant.attempt).collect(),
        });
        self.if_acknowledged(turn, id);
    }

    /// Gives up what has taken too long.
    pub(super) fn expire(&mut self, turn: &mut Turn<'_>) {
        let late = self.pending.values().filter(|p| !p.is_in_flight());
        let late = late.filter(|p| p.deadline() <= turn.now);
        let late: Vec<_> = late.map(|p| (p.id, late_by(p))).collect();
        for (id, why) in late {
            self.fail(
                turn,
                id,
                why.while_doing("it took longer than its time-out"),
            );
        }
    }
}

/// What a checkpoint still waits for. Once all parts are there, that is the storage alone.
fn late_by(pending: &PendingCheckpoint) -> SnapshotFailure {
    match pending.writes_metadata() {
        true => SnapshotFailure::storage(pending.missing()),
        false => SnapshotFailure::other(pending.missing()),
    }
}

/// Whether nothing newer may begin before it has ended. What a person asked for must not be
/// overtaken, and after the last one nothing may come.
pub(super) fn is_exclusive(cause: &Cause) -> bool {
    cause.kind == SnapshotKind::Savepoint || cause.operation.is_some() || cause.is_last()
}
