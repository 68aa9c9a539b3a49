//! What storing took.

use std::time::Duration;

use weir_types::Timestamp;

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// What changes in less than this comes in a burst, or not at all.
const GAP_MIN: Duration = Duration::from_millis(10);

/// What a delta took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::snapshot) struct Cost {
    /// How many bytes were stored.
    pub(in crate::snapshot) bytes: u64,
    /// From the freeze until they were.
    pub(in crate::snapshot) took: Duration,
}

impl Cost {
    /// How long so many of its bytes took, or would have taken, if all were for them.
    pub(super) fn took_by(self, bytes: u64) -> Duration {
        let took = self.took.as_nanos() * u128::from(bytes) / u128::from(self.bytes.max(1));
        Duration::from_nanos(u64::try_from(took).unwrap_or(u64::MAX))
    }
}

/// What the parts took that were written ahead of one checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::snapshot) struct AheadCost {
    pub(super) first: Cost,
    /// Of all.
    pub(in crate::snapshot) bytes: u64,
    /// How long storing takes, however little it is, as far as those behind the first tell.
    pub(super) least: Option<Duration>,
    /// The most bytes that have changed in a second, as far as those behind the first tell.
    pub(super) rate: Option<u64>,
}

impl AheadCost {
    /// Of parts and when each began, in their order; none if there are none.
    pub(in crate::snapshot) fn of(
        parts: impl IntoIterator<Item = (Timestamp, Cost)>,
    ) -> Option<Self> {
        let mut parts = parts.into_iter();
        let (mut before, first) = parts.next()?;
        let mut all = Self {
            first,
            bytes: first.bytes,
            least: None,
            rate: None,
        };
        for (began, part) in parts {
            let rate = share(part.bytes, SECOND, began.since(before).max(GAP_MIN));
            all.bytes += part.bytes;
            // The rest is for its bytes.
            let least = part.took.saturating_sub(first.took_by(part.bytes));
            all.least = Some(all.least.map_or(least, |other| other.min(least)));
            all.rate = all.rate.max(Some(rate));
            before = began;
        }
        Some(all)
    }
}

/// What comes in a part of a time, if so many come in all of it.
pub(super) fn share(all: u64, part: Duration, of: Duration) -> u64 {
    let share = u128::from(all) * part.as_nanos() / of.as_nanos().max(1);
    u64::try_from(share).unwrap_or(u64::MAX)
}
