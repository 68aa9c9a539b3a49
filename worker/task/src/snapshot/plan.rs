//! When a subtask writes ahead: how long before the next barrier it stores what has changed, so
//! that the checkpoint itself has little left to store. Pure: times and sizes come in.
//!
//! ```text
//!  barrier n ── n complete ─────────────── first part ──── second part ─── barrier n + 1
//!      └────────────────── as long as from the barrier before ───────────────────┘
//!                                          └── 2 × what storing takes + margin ──┘
//!                                                           └── 1¼ × and margin ──┘
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

mod cost;
mod reckoning;
mod rhythm;

pub(super) use self::cost::{AheadCost, Cost};
use self::reckoning::Reckoning;
use self::rhythm::Rhythm;

/// Barriers come so much earlier than expected, even if none did.
const MARGIN_MIN: Duration = Duration::from_micros(500);

/// A barrier that would ask for more has another rhythm, or none, and says nothing.
const MARGIN_MAX: Duration = Duration::from_millis(20);

/// Parts before one barrier.
const PARTS_MAX: u32 = 6;

/// While the part before is being stored, the next one is looked at again after one in so many of
/// the moments that are left until the barrier.
const RETRY: u32 = 16;

/// Or after this, if that is longer.
const RETRY_MIN: Duration = Duration::from_micros(200);

/// One in so many moments must have been idle since the last barrier.
const IDLE: u32 = 5;

/// After the first vain attempt so many checkpoints are left alone.
const REST_FIRST: u32 = 8;

/// However often it was in vain.
const REST_MAX: u32 = 256;

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
    /// When the part before it began, if there is one.
    before: Option<Timestamp>,
}

/// What is known of a subtask's checkpoints.
#[derive(Debug)]
pub(super) struct Plan {
    /// So many bytes go into the acknowledgement.
    inline_max: u64,
    last: Option<Seen>,
    rhythm: Rhythm,
    reckoning: Reckoning,
    /// When the next barrier is expected.
    expected: Option<Timestamp>,
    /// What was written ahead of it is not only what changes: it says nothing of what that takes.
    has_extra: bool,
    /// The first part ahead of it has less time than it may need.
    is_short: bool,
    /// How many parts there are of it.
    parts: u32,
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
            rhythm: Rhythm::default(),
            reckoning: Reckoning::new(),
            expected: None,
            has_extra: false,
            is_short: false,
            parts: 0,
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
            let early = expected.since(at);
            if early <= MARGIN_MAX {
                // Earlier counts at once, and is soon forgotten: what it costs is one round.
                self.margin = early.max(self.margin / 2).max(MARGIN_MIN);
            }
        }
        self.last = Some(Seen { id, at, idle });
        self.rhythm.on_barrier(at);
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
                self.reckoning.on_parts(&ahead);
                if !self.has_extra {
                    self.reckoning.on_whole(ahead.first);
                }
                self.on_used(ahead.bytes, left);
            }
            (Some(whole), None) => {
                self.reckoning.on_whole(whole);
                if self.is_short && self.parts > 0 {
                    self.on_vain();
                }
            }
            (None, _) => {}
        }
    }

    /// A part was not copied when the barrier came, and had begun so long before.
    pub(super) fn on_late(&mut self, since: Duration) {
        self.reckoning.on_late(since);
    }

    /// However little a part holds, storing it is expected to take this long.
    #[cfg(test)]
    pub(super) fn took_min(&self) -> Duration {
        self.reckoning.took_min
    }

    /// The last part was not stored when the barrier came.
    pub(super) fn on_missed(&mut self) {
        self.reckoning.on_missed();
    }

    /// A checkpoint had this left behind what was written ahead, in so many bytes.
    fn on_used(&mut self, ahead: u64, left: Cost) {
        if left.bytes.saturating_mul(2) <= ahead {
            self.next_rest = 0;
        } else if !self.is_short {
            self.on_vain();
        }
    }

    /// What was written ahead was of no use.
    fn on_vain(&mut self) {
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
        (self.next, self.parts) = (None, 0);
        (self.has_extra, self.is_short) = (false, false);
        let (Some(last), Some(cost)) = (self.last, self.reckoning.whole()) else {
            return;
        };
        let (Some(period), Some(expected)) = (self.rhythm.period(), self.rhythm.next()) else {
            return;
        };
        let pays = cost.bytes > self.inline_max && cost.took < period / 2;
        if last.id == id && pays && self.rest == 0 {
            self.expected = Some(expected);
            self.has_extra = extra > 0;
            self.is_short = self.lead(cost.took, 0) > period / 2;
            let all = cost.took.saturating_add(cost.took_by(extra));
            let lead = self.lead(all, 0).min(period / 2);
            let at = last.at + expected.since(last.at).saturating_sub(lead);
            self.next = (now <= at).then_some(Next { at, before: None });
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
        let since = next.before.map(|before| now.since(before));
        let Some(cost) = self.expect(since) else {
            return false;
        };
        // One that begins late would hold the barrier up.
        if !is_idle || left < cost.took + self.margin / 2 {
            return false;
        }
        if !ready {
            let at = now + RETRY_MIN.max(left / RETRY);
            self.next = Some(Next { at, ..next });
            return false;
        }
        self.parts += 1;
        let lead = self.lead_behind(left).filter(|_| self.parts < PARTS_MAX);
        self.next = lead.map(|lead| {
            // It is stored when another one is to begin, if both are worth it.
            let both = self.lead_behind(lead).map(|behind| lead + behind);
            let lead = both.filter(|both| *both <= left / 2).unwrap_or(lead);
            Next {
                at: now + left.saturating_sub(lead),
                before: Some(now),
            }
        });
        true
    }

    /// How long before the barrier the part begins that follows one that begins so long before it;
    /// none if it would hold too little, or would leave hardly less behind it.
    fn lead_behind(&self, before: Duration) -> Option<Duration> {
        let cost = self.expect(Some(before))?;
        let lead = self.lead(cost.took, 1);
        (cost.bytes > self.inline_max && lead * 4 <= before * 3).then_some(lead)
    }

    /// What a part takes that holds what changes in so long; none: in all the time between two
    /// checkpoints.
    fn expect(&self, since: Option<Duration>) -> Option<Cost> {
        match since {
            None => self.reckoning.whole(),
            Some(since) => self.reckoning.part(since, self.rhythm.period()?),
        }
    }

    /// How long before the barrier the part begins that has so many before it. If that was not
    /// enough, the barrier waits: for the first longer than for others.
    fn lead(&self, took: Duration, parts: u32) -> Duration {
        let time = match parts {
            0 => took.saturating_mul(2),
            _ => took + took / 4,
        };
        time.saturating_add(self.margin)
    }
}

#[cfg(test)]
mod tests;
