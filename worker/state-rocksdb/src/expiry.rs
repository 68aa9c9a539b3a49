//! Lets values vanish whose time to live is over, when RocksDB merges the files they are in
//! (Flink's compaction filter). Otherwise those that nobody asks for would stay for ever.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use rocksdb::{CompactionDecision, Options};

use crate::writer::lock;

/// Until when values have expired, by column family. By name, because a column family is opened
/// with its filter before anybody knows what is in it.
#[derive(Default)]
pub(crate) struct Expiry {
    until_ms: Mutex<BTreeMap<String, Arc<AtomicI64>>>,
    /// The filters belong to the options, and column families made after the database was opened do
    /// not keep theirs. So this must live longer than the database.
    options: Mutex<Vec<Options>>,
}

impl Expiry {
    fn of(&self, family: &str) -> Arc<AtomicI64> {
        let mut known = lock(&self.until_ms);
        let until = known.entry(family.to_owned());
        Arc::clone(until.or_insert_with(|| Arc::new(AtomicI64::new(i64::MIN))))
    }

    /// Values that were last used then or before may go.
    pub(crate) fn set(&self, family: &str, until_ms: i64) {
        self.of(family).store(until_ms, Ordering::Relaxed);
    }

    /// The options of a column family: those given, with its filter.
    pub(crate) fn options(&self, family: &str, options: &Options) -> Options {
        let until = self.of(family);
        let mut options = options.clone();
        options.set_compaction_filter("time-to-live", move |_, _, value| {
            let until = until.load(Ordering::Relaxed);
            if until > i64::MIN && last_used(value).is_some_and(|at| at <= until) {
                CompactionDecision::Remove
            } else {
                CompactionDecision::Keep
            }
        });
        lock(&self.options).push(options.clone());
        options
    }
}

/// The time in front of a value: a number in seven-bit groups, the lowest first, its sign in the
/// lowest bit.
fn last_used(value: &[u8]) -> Option<i64> {
    let mut folded = 0u64;
    for (nth, byte) in value.iter().enumerate().take(10) {
        folded |= u64::from(byte & 127) << (7 * nth);
        if *byte < 128 {
            let half = i64::try_from(folded >> 1).ok()?;
            return Some(if folded & 1 == 0 { half } else { !half });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_in_front_of_a_value_is_the_one_that_was_written() {
        for at in [0, 1, -1, 63, 64, -65, 1_700_000_000_000, i64::MAX, i64::MIN] {
            let mut value = Vec::new();
            weir_state::encode(&(at, "rest"), &mut value).unwrap();
            assert_eq!(last_used(&value), Some(at));
        }
        assert_eq!(last_used(&[]), None);
        assert_eq!(last_used(&[255; 4]), None);
    }
}
