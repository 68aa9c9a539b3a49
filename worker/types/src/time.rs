//! Event time, watermarks and checkpoint barriers.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{CheckpointId, Epoch};

/// A record's time in milliseconds since 1970-01-01 UTC, as the record itself tells it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
pub struct EventTime(pub i64);

impl EventTime {
    /// Before every record.
    pub const MIN: Self = Self(i64::MIN);
    /// After every record.
    pub const MAX: Self = Self(i64::MAX);
}

impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Says that no record with a time at or before it is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Watermark(pub EventTime);

impl Watermark {
    /// Nothing is known yet.
    pub const MIN: Self = Self(EventTime::MIN);
    /// The input has ended: all event-time timers fire.
    pub const MAX: Self = Self(EventTime::MAX);
}

impl fmt::Display for Watermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What a barrier asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BarrierKind {
    /// A periodic checkpoint.
    Checkpoint,
    /// A savepoint: always aligned, canonical format.
    Savepoint,
}

/// Flows in-band through all channels; what lies before it belongs to the checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CheckpointBarrier {
    /// The epoch that triggered it.
    pub epoch: Epoch,
    /// The checkpoint's number.
    pub id: CheckpointId,
    /// When it was triggered, in milliseconds since 1970 on the JobManager's clock.
    pub triggered_at_ms: i64,
    /// Checkpoint or savepoint.
    pub kind: BarrierKind,
}
