//! When a subtask writes ahead: how long before the next barrier it stores what has changed, so
//! that the checkpoint itself has little left to store. Pure: times and sizes come in.
//!
//! ```text
//!  barrier n ── n complete ─────────────── first part ──── second part ─── barrier n + 1
//!      └────────────────── as long as from the barrier before ───────────────────┘
//!                                          └── 2 × what storing takes + margin ──┘
//!                                                           └── 1½ × and margin ──┘
//! ```
//!
//! A part that comes too early holds less of what the checkpoint needs, one that comes too late
//! holds it up: so it begins as late as it can be expected to be stored in time. A part that is
//! small enough to go into the acknowledgement is left to the checkpoint. However much changes, the
//! last part begins about as long before the barrier: what is left is what changes in that time.
//!
//! What changes again behind a part is written twice. Where that is most of it, writing ahead is
//! left alone for a number of checkpoints that doubles with each vain attempt; and it is only done
//! in time that the subtask would have been idle.

use std::time::Duration;

use weir_types::{CheckpointId, Timestamp};

/// Barriers come so much earlier than expected, even if none did.
const MARGIN_MIN: Duration = Duration::from_millis(1);

/// A barrier that would ask for more has another rhythm, or none, and says nothing.
const MARGIN_MAX: Duration = Duration::from_millis(20);

/// Parts before one barrier.
const PARTS_MAX: u32 = 6;

/// However little a part holds, storing it takes this long.
const TOOK_MIN: Duration = Duration::from_micros(1500);

/// While the part before is being stored, the next one is looked at again so often.
const RETRY: Duration = Duration::from_millis(2);

/// Each part holds what has changed since the one before: that is one in so many of its bytes, and
/// takes one in so many of its time.
const SHRINKS: u32 = 4;

/// One in so many moments must have been idle since the last barrier.
const IDLE: u32 = 5;

/// After the first vain attempt so many checkpoints are left alone.
const REST_FIRST: u32 = 8;

/// However often it was in vain.
const REST_MAX: u32 = 256;

/// What a delta took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    /// How many bytes were stored.
    pub(super) bytes: u64,
    /// From the freeze until they were.
    pub(super) took: Duration,
}

impl Cost {
    /// How long so many bytes more would have taken.
    fn took_with(self, extra: u64) -> Duration {
        let took = u64::try_from(self.took.as_nanos()).unwrap_or(u64::MAX);
        let more = u128::from(took) * u128::from(extra) / u128::from(self.bytes.max(1));
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        self.took.saturating_add(Duration::from_nanos(more))
    }
}

/// What the parts took that were written ahead of one checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AheadCost {
    first: Cost,
    /// Of all.
    pub(super) bytes: u64,
    /// How long the one took that took the shortest.
    quickest: Duration,
}

impl AheadCost {
    /// None if there are none.
    pub(super) fn of(parts: impl IntoIterator<Item = Cost>) -> Option<Self> {
        let mut parts = parts.into_iter();
        let first = parts.next()?;
        let alone = Self {
            first,
            bytes: first.bytes,
            quickest: first.took,
        };
        Some(parts.fold(alone, |all, part| Self {
            bytes: all.bytes + part.bytes,
            quickest: all.quickest.min(part.took),
            ..all
        }))
    }
}

/// The last barrier of a checkpoint.
#[derive(Clone, Copy, Debug)]
struct Seen {
    id: CheckpointId,
    at: Timestamp,
    /// How long the subtask had been idle in its life.
    idle: Duration,
}

/// The next part.
#[derive(Clone, Copy, Debug)]
struct Next {
    at: Timestamp,
    /// What it is expected to take.
    cost: Cost,
    /// How many come before it.
    parts: u32,
    /// It holds other things, too, for which it begins earlier.
    has_extra: bool,
}

/// What is known of a subtask's checkpoints.
#[derive(Debug)]
pub(super) struct Plan {
    /// So many bytes go into the acknowledgement.
    inline_max: u64,
    last: Option<Seen>,
    /// Between the last barriers.
    periods: [Option<Duration>; 2],
    /// Of all that changes between two checkpoints, stored at once.
    cost: Option<Cost>,
    /// However little a part holds, storing it takes this long: half of what the quickest part of
    /// the last checkpoint took, as a smaller one may be quicker.
    took_min: Duration,
    /// When the next barrier is expected.
    expected: Option<Timestamp>,
    /// What was written ahead of it is not only what changes: it says nothing of what that takes.
    has_extra: bool,
    /// Barriers come so much earlier now and then.
    margin: Duration,
    next: Option<Next>,
    /// So many checkpoints are left alone.
    rest: u32,
    /// After the next vain attempt.
    next_rest: u32,
}

impl Plan {
    /// Of a subtask that puts so many bytes into its acknowledgements instead of objects.
    pub(super) fn new(inline_max: usize) -> Self {
        Self {
            inline_max: inline_max as u64,
            last: None,
            periods: [None; 2],
            cost: None,
            took_min: TOOK_MIN,
            expected: None,
            has_extra: false,
            margin: MARGIN_MIN,
            next: None,
            rest: 0,
            next_rest: 0,
        }
    }

    /// A barrier of a checkpoint has come, whether parts were written ahead or not.
    pub(super) fn on_barrier(&mut self, id: CheckpointId, at: Timestamp, idle: Duration) {
        self.next = None;
        if let Some(expected) = self.expected.take() {
            let early = expected.since(at) * 2;
            if early <= MARGIN_MAX {
                // Earlier counts at once, later by and by.
                self.margin = early.max(self.margin * 7 / 8).max(MARGIN_MIN);
            }
        }
        let last = self.last.replace(Seen { id, at, idle });
        if let Some(last) = last {
            self.periods = [Some(at.since(last.at)), self.periods[0]];
        }
    }

    /// Something else has happened than checkpoints in their order: nothing is expected until the
    /// next one is complete.
    pub(super) fn on_other(&mut self) {
        self.next = None;
        self.expected = None;
    }

    /// A checkpoint is complete whose own part was this delta, if it was one, behind what was
    /// written ahead.
    pub(super) fn on_delta(&mut self, delta: Option<Cost>, ahead: Option<AheadCost>) {
        match (delta, ahead) {
            (Some(left), Some(ahead)) => {
                self.took_min = TOOK_MIN.max(ahead.quickest / 2);
                if !self.has_extra {
                    self.on_stored(ahead.first);
                }
                self.on_used(ahead.bytes, left);
            }
            (Some(whole), None) => self.on_stored(whole),
            (None, _) => {}
        }
    }

    /// A part, or a whole delta, is stored.
    fn on_stored(&mut self, cost: Cost) {
        let before = self.cost.map_or(cost.took, |before| before.took);
        // Slower counts at once, faster by and by.
        let took = cost.took.max((before + cost.took) / 2);
        self.cost = Some(Cost { took, ..cost });
    }

    /// A part was not copied when the barrier came, and had begun so long before.
    pub(super) fn on_late(&mut self, since: Duration) {
        if let Some(cost) = &mut self.cost {
            cost.took = cost.took.max(since * 2);
        }
    }

    /// A checkpoint had this left behind what was written ahead, in so many bytes.
    fn on_used(&mut self, ahead: u64, left: Cost) {
        if left.bytes.saturating_mul(2) <= ahead {
            self.next_rest = 0;
            return;
        }
        self.next_rest = match self.next_rest {
            0 => REST_FIRST,
            rest => (rest * 2).min(REST_MAX),
        };
        self.rest = self.next_rest;
    }

    /// A checkpoint is complete. If it is the newest one, the next is expected, whose first part
    /// has so many bytes beside what changes.
    pub(super) fn on_complete(&mut self, id: CheckpointId, now: Timestamp, extra: u64) {
        self.rest = self.rest.saturating_sub(1);
        (self.next, self.has_extra) = (None, false);
        // A checkpoint that took long has put off the one behind it.
        let period = self.periods.into_iter().flatten().min();
        let (Some(last), Some(period), Some(cost)) = (self.last, period, self.cost) else {
            return;
        };
        let pays = cost.bytes > self.inline_max && self.lead(cost.took, 0) <= period / 2;
        if last.id == id && pays && self.rest == 0 {
            self.expected = Some(last.at + period);
            self.has_extra = extra > 0;
            let lead = self.lead(cost.took_with(extra), 0).min(period / 2);
            let at = last.at + (period - lead);
            self.next = (now <= at).then_some(Next {
                at,
                cost,
                parts: 0,
                has_extra: self.has_extra,
            });
        }
    }

    /// When the next part is to be written.
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.next.map(|next| next.at)
    }

    /// Whether a part is to be written now, which is noted. `idle`: as in [`Self::on_barrier`];
    /// `ready`: the part before is stored.
    pub(super) fn take(&mut self, now: Timestamp, idle: Duration, ready: bool) -> bool {
        let next = self.next.take_if(|next| next.at <= now);
        let (Some(next), Some(last), Some(barrier)) = (next, self.last, self.expected) else {
            return false;
        };
        let is_idle = idle.saturating_sub(last.idle) * IDLE >= now.since(last.at);
        let left = barrier.since(now);
        // One that begins late would hold the barrier up.
        if !is_idle || left < next.cost.took + self.margin / 2 {
            return false;
        }
        if !ready {
            let at = now + RETRY;
            self.next = Some(Next { at, ..next });
            return false;
        }
        let shrunk = Cost {
            bytes: next.cost.bytes / u64::from(SHRINKS),
            took: (next.cost.took / SHRINKS).max(self.took_min),
        };
        let follows = |cost: Cost, parts: u32| {
            let lead = self.lead(cost.took, parts);
            // It leaves less behind it, or it is not worth a file.
            let pays = cost.bytes > self.inline_max && lead * 4 <= left * 3;
            (parts < PARTS_MAX && pays).then(|| Next {
                at: now + (left - lead),
                cost,
                parts,
                has_extra: false,
            })
        };
        // Behind one that began early as much changes as ever.
        let full = next.has_extra.then(|| follows(next.cost, next.parts));
        self.next = full.flatten().or_else(|| follows(shrunk, next.parts + 1));
        true
    }

    /// How long before the barrier the part begins that has so many before it. If that was not
    /// enough, the barrier waits: for the first longer than for others.
    fn lead(&self, took: Duration, parts: u32) -> Duration {
        let time = match parts {
            0 => took.saturating_mul(2),
            _ => took + took / 2,
        };
        time.saturating_add(self.margin)
    }
}

#[cfg(test)]
mod tests;
