//! How timers lie in snapshots and in the tier below.
//!
//! ```text
//! timer = time (8 bytes, big-endian, sign bit flipped) key namespace     since version 2
//!       | key namespace time (as any number)                             version 1
//! ```
//!
//! With the time in front those of a key group lie in the order in which they are due, and one
//! timer is still found by its key, namespace and time alone.

use crate::codec::{CodecError, decode_front, encode};
use crate::key::StateKey;
use crate::table::record::Record;
use crate::table::shard::EntryCodec;
use crate::table::state_table::check_read;

/// The version of the encoding of timers that is written.
pub(crate) const TIMERS_VERSION: u16 = 2;

/// A namespace and a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moment<N> {
    pub(super) namespace: N,
    pub(super) time: i64,
}

pub(super) struct TimerCodec;

impl<K: StateKey, N: StateKey> EntryCodec<K, Moment<N>, ()> for TimerCodec {
    fn key(&self, key: &K, moment: &Moment<N>, out: &mut Vec<u8>) -> Result<(), CodecError> {
        out.extend_from_slice(&front(moment.time));
        encode(key, out)?;
        encode(&moment.namespace, out)
    }

    fn value(&self, (): &(), _out: &mut Vec<u8>) -> Result<(), CodecError> {
        Ok(())
    }
}

/// What the texts of all timers of a time begin with. In the order of bytes, which is that of
/// times.
pub(super) fn front(time: i64) -> [u8; 8] {
    (time ^ i64::MIN).to_be_bytes()
}

/// The time of a text, of which the end may be missing.
pub(super) fn time_of(text: &[u8]) -> i64 {
    let mut front = [0; 8];
    for (to, from) in front.iter_mut().zip(text) {
        *to = *from;
    }
    i64::from_be_bytes(front) ^ i64::MIN
}

/// Reads a timer that was written in this version.
pub(super) fn read_timer<K: StateKey, N: StateKey>(
    mut text: &[u8],
    version: u16,
) -> Result<(K, Moment<N>), CodecError> {
    let (time, key, namespace) = if version < TIMERS_VERSION {
        let (key, namespace) = (decode_front(&mut text)?, decode_front(&mut text)?);
        (decode_front(&mut text)?, key, namespace)
    } else {
        let Some((front, rest)) = text.split_first_chunk::<8>() else {
            return Err(CodecError::decode::<Record>("a timer has no time"));
        };
        text = rest;
        let (key, namespace) = (decode_front(&mut text)?, decode_front(&mut text)?);
        (time_of(front), key, namespace)
    };
    check_read(text)?;
    Ok((key, Moment { namespace, time }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn texts_are_in_the_order_of_times_and_read_back(
            timers in prop::collection::vec((any::<i64>(), any::<String>(), any::<u8>()), 2),
        ) {
            let texts: Vec<_> = timers.iter().map(|(time, key, namespace)| {
                let moment = Moment { namespace: *namespace, time: *time };
                let mut text = Vec::new();
                TimerCodec.key(key, &moment, &mut text).unwrap();
                assert_eq!(time_of(&text), *time);
                let read = read_timer::<String, u8>(&text, TIMERS_VERSION).unwrap();
                assert_eq!(read, (key.clone(), moment));
                text
            }).collect();
            if timers[0].0 != timers[1].0 {
                prop_assert_eq!(timers[0].0 < timers[1].0, texts[0] < texts[1]);
            }
        }
    }

    #[test]
    fn no_text_at_all_is_before_every_time() {
        assert_eq!(time_of(&[]), i64::MIN);
        assert_eq!(front(i64::MIN), [0; 8]);
        assert_eq!(front(i64::MAX), [255; 8]);
    }

    #[test]
    fn a_timer_of_version_1_is_read() {
        // "to", a window, and the time behind them.
        let text = b"\x02to\x00\xc0\xa9\x07\xbe\xa9\x07";
        let read = read_timer::<String, (i64, i64)>(text, 1).unwrap();
        let namespace = (0, 60_000);
        let time = 59_999;
        assert_eq!(read, ("to".to_owned(), Moment { namespace, time }));
        assert!(read_timer::<String, u8>(b"short", TIMERS_VERSION).is_err());
    }
}
