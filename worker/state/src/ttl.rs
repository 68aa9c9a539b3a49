//! Time to live of keyed state, by processing time (Flink's `StateTtlConfig`).
//!
//! A value that was not used for so long is as good as gone. It really goes when somebody comes
//! across it, or when the sweep does that looks at a few entries at each use of the state.
//! Unlike in Flink, an expired value that reads may still return stays until it is
//! swept or overwritten: a read does not remove it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::codec::{CodecError, StateValue, decode};
use crate::table::state_table::ValueFormat;

/// What renews a value's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TtlUpdate {
    /// Writing it.
    #[default]
    OnCreateAndWrite,
    /// Reading it too.
    OnReadAndWrite,
}

/// Whether an expired value is still seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TtlVisibility {
    /// Never.
    #[default]
    NeverReturnExpired,
    /// As long as it was not removed.
    ReturnExpiredIfNotCleanedUp,
}

/// How long values of a state live. List and map state have a time for each element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TtlConfig {
    time_to_live_ms: i64,
    update: TtlUpdate,
    visibility: TtlVisibility,
    sweep_size: u32,
}

impl TtlConfig {
    /// Values expire when they were not written for this long.
    pub fn new(time_to_live: Duration) -> Self {
        Self {
            time_to_live_ms: i64::try_from(time_to_live.as_millis()).unwrap_or(i64::MAX),
            update: TtlUpdate::default(),
            visibility: TtlVisibility::default(),
            sweep_size: 5,
        }
    }

    /// Says what renews a value's time.
    #[must_use]
    pub fn with_update(self, update: TtlUpdate) -> Self {
        Self { update, ..self }
    }

    /// Says whether an expired value is still seen.
    #[must_use]
    pub fn with_visibility(self, visibility: TtlVisibility) -> Self {
        Self { visibility, ..self }
    }

    /// How many entries to look at for expired ones at each use of the state. 0: none.
    #[must_use]
    pub fn with_sweep_size(self, sweep_size: u32) -> Self {
        Self { sweep_size, ..self }
    }

    pub(crate) fn sweep_size(self) -> u32 {
        self.sweep_size
    }

    pub(crate) fn expired<V>(self, value: &Timed<V>, now_ms: i64) -> bool {
        value.at_ms.saturating_add(self.time_to_live_ms) <= now_ms
    }

    /// When a value was last used that has just expired.
    pub(crate) fn expired_at(self, now_ms: i64) -> i64 {
        now_ms.saturating_sub(self.time_to_live_ms)
    }

    /// Whether the value must not be seen any more.
    pub(crate) fn hides<V>(self, value: &Timed<V>, now_ms: i64) -> bool {
        self.visibility == TtlVisibility::NeverReturnExpired && self.expired(value, now_ms)
    }

    /// Whether a read of the value renews it.
    pub(crate) fn read_renews<V>(self, value: &Timed<V>, now_ms: i64) -> bool {
        self.update == TtlUpdate::OnReadAndWrite
            && value.at_ms != now_ms
            && !self.expired(value, now_ms)
    }
}

/// A value and when it was last used, in milliseconds since 1970.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Timed<V> {
    pub(crate) at_ms: i64,
    pub(crate) value: V,
}

impl<V> Timed<V> {
    pub(crate) fn new(value: V, at_ms: i64) -> Self {
        Self { at_ms, value }
    }
}

/// Reads a value that the program wants without a time.
pub(crate) fn read_plain<V: StateValue>(
    bytes: &[u8],
    format: ValueFormat,
) -> Result<V, CodecError> {
    if format.timed {
        Ok(decode::<Timed<V>>(bytes)?.value)
    } else {
        decode(bytes)
    }
}

/// Reads a value that the program wants with a time.
pub(crate) fn read_timed<V: StateValue>(
    bytes: &[u8],
    format: ValueFormat,
) -> Result<Timed<V>, CodecError> {
    if format.timed {
        decode(bytes)
    } else {
        Ok(Timed::new(decode(bytes)?, format.now_ms))
    }
}

/// Reads a list that the program wants without times.
pub(crate) fn read_plain_list<V: StateValue>(
    bytes: &[u8],
    format: ValueFormat,
) -> Result<Vec<V>, CodecError> {
    if !format.timed {
        return decode(bytes);
    }
    Ok(decode::<Vec<Timed<V>>>(bytes)?
        .into_iter()
        .map(|timed| timed.value)
        .collect())
}

/// Reads a list that the program wants with times.
pub(crate) fn read_timed_list<V: StateValue>(
    bytes: &[u8],
    format: ValueFormat,
) -> Result<Vec<Timed<V>>, CodecError> {
    if format.timed {
        return decode(bytes);
    }
    let plain = decode::<Vec<V>>(bytes)?;
    Ok(plain
        .into_iter()
        .map(|value| Timed::new(value, format.now_ms))
        .collect())
}
