//! Time to live of keyed state, by processing time (Flink's `StateTtlConfig`).
//!
//! A value that was not used for so long is as good as gone. It really goes when somebody comes
//! across it, or when the sweep does that looks at a few entries at each use of the state.
//! Unlike in Flink, an expired value that reads may still return stays until it is
//! swept or overwritten: a read does not remove it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::codec::{CodecError, StateValue, decode, decode_front};
use crate::schema::{Schema, skip_front};
use crate::snapshot::{StateKind, StateMeta};
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

/// Where the written values of a state with a time to live have their times, for whoever keeps
/// bytes and is to forget those that have expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedValues {
    /// Of a list, what an element consists of: each has a time in front. Other values have one.
    element: Option<Schema>,
}

impl TimedValues {
    /// The values of this state.
    pub fn of(meta: &StateMeta) -> Self {
        let is_list = meta.kind == StateKind::List;
        Self {
            element: is_list.then(|| meta.schemas.value.clone()),
        }
    }

    /// Whether a value was last used at this time (in milliseconds since 1970) or before; of a
    /// list, each of its elements. What cannot be read has not expired.
    pub fn expired(&self, mut value: &[u8], until_ms: i64) -> bool {
        match &self.element {
            None => decode_front::<i64>(&mut value).is_ok_and(|at_ms| at_ms <= until_ms),
            Some(element) => list_expired(element, value, until_ms).unwrap_or(false),
        }
    }
}

fn list_expired(element: &Schema, mut list: &[u8], until_ms: i64) -> Result<bool, CodecError> {
    let len: u64 = decode_front(&mut list)?;
    for _ in 0..len {
        if decode_front::<i64>(&mut list)? > until_ms {
            return Ok(false);
        }
        skip_front(element, &mut list)?;
    }
    Ok(len > 0 && list.is_empty())
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::codec::encode;

    fn written(value: &impl Serialize) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(value, &mut bytes).unwrap();
        bytes
    }

    fn list<V: StateValue>(times: &[i64], value: &V) -> Vec<u8> {
        let timed = times.iter().map(|at_ms| Timed::new(value.clone(), *at_ms));
        written(&timed.collect::<Vec<_>>())
    }

    #[test]
    fn a_value_has_its_time_in_front() {
        let values = TimedValues { element: None };
        for at in [0, 1, -1, 63, 64, -65, 1_700_000_000_000, i64::MAX, i64::MIN] {
            let value = written(&Timed::new("rest".to_owned(), at));
            assert!(values.expired(&value, at), "{at}");
            let before = at.checked_sub(1);
            assert!(
                before.is_none_or(|before| !values.expired(&value, before)),
                "{at}"
            );
        }
        assert!(!values.expired(&[], i64::MAX));
        assert!(!values.expired(&[255; 4], i64::MAX));
    }

    #[test]
    fn a_list_has_expired_when_each_of_its_elements_has() {
        fn check<V: StateValue>(value: &V) {
            let values = TimedValues {
                element: Some(Schema::of::<V>()),
            };
            let old = list(&[3, -70_000, 12], value);
            assert!(values.expired(&old, 12));
            assert!(!values.expired(&old, 11));
            for young in [&[20, 3][..], &[3, 20], &[3, 20, 3]] {
                assert!(!values.expired(&list(young, value), 12), "{young:?}");
            }
        }
        check(&7_u64);
        check(&());
        check(&"a text that is longer than a hundred and twenty-seven bytes ".repeat(4));
        check(&(Some(-1_i32), vec![(1_u8, 'x')], [1.5_f64; 3]));
        check(&BTreeMap::from([
            ("key".to_owned(), None),
            ("other".to_owned(), Some(true)),
        ]));
    }

    #[test]
    fn a_list_that_cannot_be_read_has_not_expired() {
        let values = TimedValues {
            element: Some(Schema::of::<String>()),
        };
        let whole = list(&[1, 2], &"text".to_owned());
        assert!(values.expired(&whole, i64::MAX));
        for cut in 0..whole.len() {
            assert!(!values.expired(&whole[..cut], i64::MAX), "cut off at {cut}");
        }
        let longer = [&whole[..], &[0]].concat();
        assert!(!values.expired(&longer, i64::MAX));
        assert!(!values.expired(&list::<String>(&[], &String::new()), i64::MAX));
    }

    /// A type that cannot be looked into.
    #[derive(Clone, Serialize, Deserialize)]
    struct Tree(Vec<Tree>);

    #[test]
    fn a_list_of_what_nobody_can_look_into_has_not_expired() {
        let values = TimedValues {
            element: Some(Schema::of::<Tree>()),
        };
        assert!(!values.expired(&list(&[1], &Tree(Vec::new())), i64::MAX));
    }
}
