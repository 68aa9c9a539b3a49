//! Writing ahead: shortly before a barrier is expected, what has changed since the last checkpoint
//! is copied and stored, so that the checkpoint has only that left which changes until its barrier
//! comes. So how long a checkpoint takes depends little on how much has changed. Flink gets there
//! with its changelog backend, which writes each change as it happens; here a key that changes a
//! hundred times is written once or twice.
//!
//! ```text
//!            expected                          comes
//!  ──┬──────────────────┬──────────────────────┬─────────▶ subtask
//!    │ round 1: a delta │ round 2: what has    │ barrier n: what has changed since
//!    ▼                  ▼ changed since        ▼
//!    objects in the folder of checkpoint n, which its metadata names with the last
//! ```
//!
//! Rounds are stored for the number that the next checkpoint is expected to have, and for nothing
//! else: no other checkpoint refers to them. If another one comes, a savepoint or one that is not
//! to be a delta, or if a round is not copied when the barrier comes or could not be stored, what
//! it held counts as changed and not written; its objects are left to the collector, as those of
//! any checkpoint that was given up. Of the files of databases each round has all: there, any round
//! that is stored will do.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use weir_checkpoint::coordinator::SnapshotFailure;
use weir_checkpoint::handle::{KeyedHandle, Stored};
use weir_stream::OperatorSnapshot;
use weir_types::{BarrierKind, CheckpointBarrier, CheckpointId, Timestamp, causes};

use super::store::{Chain, StoredChains};
use super::uploader::What;
use super::{Copying, Cost, Part, Snapshots};
use crate::chain::OperatorChain;

/// So much of a round but the first may be left to copy when its checkpoint's barrier comes: a
/// millisecond's work.
const REST_BYTES: usize = 1 << 20;

/// One delta that is written ahead. The subtask and the uploader both look at it.
#[derive(Debug)]
pub(super) struct Round {
    /// Tells its objects from those of the checkpoint and of other rounds.
    pub(super) number: u64,
    /// The places of the operators that take part.
    places: Vec<usize>,
    pub(super) frozen_at: Timestamp,
    given_up: AtomicBool,
    stored: OnceLock<Result<StoredRound, SnapshotFailure>>,
}

/// What a round has put into the store.
#[derive(Debug)]
pub(super) struct StoredRound {
    pub(super) chains: StoredChains,
    pub(super) cost: Cost,
}

impl Round {
    /// Whether it holds something of the operator in this place.
    pub(super) fn has(&self, place: usize) -> bool {
        self.places.contains(&place)
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    /// The uploader has done with it.
    pub(super) fn end(&self, stored: Result<StoredRound, SnapshotFailure>) {
        // Said once: what comes later is a panic's.
        drop(self.stored.set(stored));
    }

    pub(super) fn stored(&self) -> Option<&StoredRound> {
        self.stored.get()?.as_ref().ok()
    }

    /// The files of the operator in this place, with those that they continue.
    fn chain(&self, place: usize) -> Result<&Chain, SnapshotFailure> {
        let missing = || SnapshotFailure::other("what was written ahead is missing".to_owned());
        let stored = self.stored.get().ok_or_else(missing)?;
        let chains = &stored.as_ref().map_err(SnapshotFailure::clone)?.chains;
        let of = chains.iter().find(|(other, _)| *other == place);
        of.map(|(_, chain)| chain).ok_or_else(missing)
    }
}

/// What is written ahead.
#[derive(Default)]
pub(super) struct Ahead {
    /// The newest barrier that has come, of whatever kind.
    last: Option<CheckpointBarrier>,
    next_number: u64,
    open: Option<Open>,
}

/// The rounds for one checkpoint that are copied.
struct Open {
    barrier: CheckpointBarrier,
    rounds: Vec<Arc<Round>>,
    /// They are links to files of databases, of which each round has all: the checkpoint's own take
    /// their place, and any that is stored will do for it to continue.
    links: bool,
}

impl Open {
    fn is_for(&self, barrier: CheckpointBarrier) -> bool {
        (self.barrier.id, self.barrier.kind) == (barrier.id, barrier.kind)
    }

    /// Whether the last round is behind the first and is not stored yet.
    fn is_last_missed(&self) -> bool {
        match self.rounds.as_slice() {
            [_, .., last] => last.stored.get().is_none(),
            _ => false,
        }
    }

    /// Whether the checkpoint of this barrier can continue the rounds.
    fn serves(&self, barrier: CheckpointBarrier) -> bool {
        let stored = |round: &Arc<Round>| match round.stored.get() {
            Some(stored) => stored.is_ok(),
            // The uploader comes to it before it comes to the checkpoint.
            None => true,
        };
        self.is_for(barrier) && self.rounds.iter().all(stored)
    }

    /// Leaves out what is not stored yet: the checkpoint stores it with its own part.
    fn retain_stored(&mut self) {
        let (stored, not) = std::mem::take(&mut self.rounds)
            .into_iter()
            .partition(|round| round.stored().is_some());
        self.rounds = stored;
        give_up(&not);
    }
}

impl Ahead {
    /// The checkpoint will not come.
    pub(super) fn forget(&mut self, id: CheckpointId) {
        if let Some(open) = self.open.take_if(|open| open.barrier.id == id) {
            give_up(&open.rounds);
        }
    }

    /// Whether the uploader has done with all rounds.
    fn is_stored(&self) -> bool {
        let rounds = self.open.iter().flat_map(|open| &open.rounds);
        rounds.rev().all(|round| round.stored.get().is_some())
    }

    /// A round is copied: the next one, or the checkpoint, continues it.
    pub(super) fn copied(&mut self, barrier: CheckpointBarrier, round: &Arc<Round>, links: bool) {
        let open = self.open.get_or_insert_with(|| Open {
            barrier,
            rounds: Vec::new(),
            links: false,
        });
        open.rounds.push(Arc::clone(round));
        open.links |= links;
    }
}

impl Snapshots {
    /// A barrier has come. What was written ahead for its checkpoint, if that can continue it.
    pub(super) fn barrier_came(
        &mut self,
        chain: &mut OperatorChain,
        barrier: CheckpointBarrier,
        now: Timestamp,
    ) -> Vec<Arc<Round>> {
        self.ahead.last = Some(barrier);
        match barrier.kind {
            BarrierKind::Checkpoint => self.plan.on_barrier(barrier.id, now, idle(chain, now)),
            BarrierKind::Savepoint => self.plan.on_other(),
        }
        if self.is_copying_ahead() {
            self.end_round(chain, now);
        }
        if let Some(open) = self.ahead.open.as_mut().filter(|open| open.is_for(barrier)) {
            if open.is_last_missed() {
                self.plan.on_missed();
            }
            if open.links {
                open.retain_stored();
            }
        }
        match self.ahead.open.take_if(|open| open.serves(barrier)) {
            Some(open) => open.rounds,
            None => {
                self.drop_ahead(chain);
                Vec::new()
            }
        }
    }

    fn is_copying_ahead(&self) -> bool {
        let copying = self.copying.as_ref();
        copying.is_some_and(|copying| matches!(copying.what, What::Ahead(_)))
    }

    /// The barrier finds a round that is not copied.
    fn end_round(&mut self, chain: &mut OperatorChain, now: Timestamp) {
        match self.ahead.open.as_ref().map(|open| open.links) {
            // There is another one.
            Some(true) => {
                if let Some(copying) = self.copying.take() {
                    self.plan.on_missed();
                    chain.snapshot_abort(copying.barrier.id);
                }
            }
            // It holds what changed since the round before: that should not be much.
            Some(false) => self.copy(chain, REST_BYTES),
            None => {}
        }
        if let Some(copying) = self.copying.as_ref().filter(|_| self.is_copying_ahead()) {
            self.plan.on_late(now.since(copying.frozen_at));
            self.drop_ahead(chain);
        }
    }

    /// When [`Self::step`] has something to begin, if there is no record before.
    pub(crate) fn due_in(&self) -> Option<Duration> {
        let due = self.plan.due()?;
        Some(due.since(self.clock.now()))
    }

    /// Begins a round, if it is time to.
    #[inline]
    pub(super) fn write_ahead_if_due(&mut self, chain: &mut OperatorChain) {
        if let Some(due) = self.plan.due() {
            let now = self.clock.now();
            if due <= now
                && self
                    .plan
                    .take(now, idle(chain, now), self.ahead.is_stored())
            {
                self.write_ahead(chain, now);
            }
        }
    }

    fn write_ahead(&mut self, chain: &mut OperatorChain, now: Timestamp) {
        let Some(last) = self.ahead.last else {
            return;
        };
        let barrier = CheckpointBarrier {
            id: CheckpointId(last.id.0 + 1),
            ..last
        };
        let mut parts = Vec::new();
        for (place, node) in chain.nodes.iter_mut().enumerate() {
            let Some(operator) = &mut node.operator else {
                continue;
            };
            match operator.snapshot_ahead(self.request(place, barrier)) {
                Ok(true) => parts.push(Part::new(place, node, OperatorSnapshot::default())),
                Ok(false) => {}
                Err(error) => {
                    // The checkpoint itself will tell, if it persists.
                    tracing::debug!("nothing is written ahead: {}", causes(&error));
                    chain.snapshot_abort(barrier.id);
                    return self.drop_ahead(chain);
                }
            }
        }
        if parts.is_empty() {
            return;
        }
        let round = Round {
            number: self.ahead.next_number,
            places: parts.iter().map(|part| part.place).collect(),
            frozen_at: now,
            given_up: AtomicBool::new(false),
            stored: OnceLock::new(),
        };
        self.ahead.next_number += 1;
        let open = self.ahead.open.as_ref();
        self.copying = Some(Copying {
            barrier,
            parts,
            what: What::Ahead(Arc::new(round)),
            ahead: open.map_or_else(Vec::new, |open| open.rounds.clone()),
            frozen_at: now,
            due: now,
        });
    }

    /// Nothing is to continue what was written ahead: it counts as changed and not written.
    pub(super) fn drop_ahead(&mut self, chain: &mut OperatorChain) {
        if self.is_copying_ahead()
            && let Some(copying) = self.copying.take()
        {
            chain.snapshot_abort(copying.barrier.id);
        }
        if let Some(open) = self.ahead.open.take() {
            give_up(&open.rounds);
            chain.snapshot_abort(open.barrier.id);
        }
    }
}

impl Part {
    /// Takes the files that it continues from the round before, which must be stored by now.
    pub(super) fn continue_ahead(&mut self) -> Result<(), SnapshotFailure> {
        if let Some(round) = self.ahead.take() {
            let chain = round.chain(self.place)?;
            match chain.last() {
                Some(KeyedHandle {
                    stored: Stored::Files(files),
                    ..
                }) => self.known.clone_from(files),
                _ => self.base.clone_from(chain),
            }
        }
        Ok(())
    }
}

fn give_up(rounds: &[Arc<Round>]) {
    for round in rounds {
        round.given_up.store(true, Ordering::Relaxed);
    }
}

/// How long the subtask has been idle in its life.
fn idle(chain: &OperatorChain, now: Timestamp) -> Duration {
    Duration::from_nanos(chain.metrics.times.spent(now).idle_ns)
}

#[cfg(test)]
mod tests;
