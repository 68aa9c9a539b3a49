//! What storing a part is expected to take, as the last checkpoints tell: so long whatever it
//! holds, and so long for each byte.

use std::time::Duration;

use super::cost::{AheadCost, Cost, SECOND, share};

/// However little a part holds, storing it takes this long.
pub(super) const TOOK_MIN: Duration = Duration::from_millis(1);

/// In a short time so many times as much changes as in the same share of all the time between two
/// checkpoints, in which keys change again, unless it is known better.
const RUSH: u64 = 4;

/// What is known of it.
#[derive(Debug)]
pub(super) struct Reckoning {
    /// Of all that changes between two checkpoints, stored at once.
    whole: Option<Cost>,
    /// How many bytes change in a second, as far as a short time tells.
    pub(super) rate: Option<u64>,
    /// However little a part holds, storing it takes this long, as the last checkpoint tells.
    pub(super) took_min: Duration,
    /// Longer than that, as a part that began in time was not stored when the barrier came: by and
    /// by this is forgotten.
    missed: Duration,
}

impl Reckoning {
    pub(super) fn new() -> Self {
        Self {
            whole: None,
            rate: None,
            took_min: TOOK_MIN,
            missed: Duration::ZERO,
        }
    }

    /// The parts of a checkpoint are stored.
    pub(super) fn on_parts(&mut self, parts: &AheadCost) {
        if let Some(least) = parts.least {
            self.took_min = TOOK_MIN.max(least).max(self.missed);
        }
        self.missed = self.missed * 3 / 4;
        if let Some(rate) = parts.rate {
            // More counts at once, less by and by.
            self.rate = Some(self.rate.map_or(rate, |old| rate.max(old.midpoint(rate))));
        }
    }

    /// A first part, or a whole delta, is stored.
    pub(super) fn on_whole(&mut self, cost: Cost) {
        let as_before = |before: Cost| before.took.min(before.took_by(cost.bytes));
        let before = self.whole.map_or(cost.took, as_before);
        // Slower counts at once, faster by and by.
        let took = cost.took.max((before + cost.took) / 2);
        self.whole = Some(Cost { took, ..cost });
    }

    /// A first part was not copied when the barrier came, and had begun so long before.
    pub(super) fn on_late(&mut self, since: Duration) {
        if let Some(whole) = &mut self.whole {
            whole.took = whole.took.max(since * 2);
        }
    }

    /// A later part was not stored when the barrier came.
    pub(super) fn on_missed(&mut self) {
        let most = self.whole.map_or(Duration::MAX, |whole| whole.took);
        self.missed = (self.took_min * 2).min(most);
        self.took_min = self.took_min.max(self.missed);
    }

    /// Of all that changes between two checkpoints.
    pub(super) fn whole(&self) -> Option<Cost> {
        self.whole
    }

    /// Of what changes in so long, if checkpoints are so far apart.
    pub(super) fn part(&self, since: Duration, period: Duration) -> Option<Cost> {
        let whole = self.whole?;
        let rate = match self.rate {
            Some(rate) => rate,
            None => share(whole.bytes.saturating_mul(RUSH), SECOND, period),
        };
        let bytes = share(rate, since, SECOND).min(whole.bytes);
        let by_bytes = Cost {
            took: whole.took.saturating_sub(self.took_min),
            ..whole
        };
        let took = self.took_min + by_bytes.took_by(bytes);
        Some(Cost { bytes, took })
    }
}
