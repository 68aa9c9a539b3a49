//! Lets values vanish whose time to live is over, when RocksDB merges the files they are in
//! (Flink's compaction filter). Otherwise those that nobody asks for would stay for ever.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use rocksdb::{CompactionDecision, Options};
use weir_state::{StateMeta, TimedValues};

use crate::shared::lock;

/// What has expired, by column family. By name, because a column family is opened with its filter
/// before anybody knows what is in it.
#[derive(Default)]
pub(crate) struct Expiry {
    families: Mutex<BTreeMap<String, Arc<Expired>>>,
    /// The filters belong to the options, and column families made after the database was opened do
    /// not keep theirs. So this must live longer than the database.
    options: Mutex<Vec<Options>>,
}

/// What has expired in one column family.
struct Expired {
    /// Nothing, as long as this is not known.
    values: OnceLock<TimedValues>,
    /// What was last used then or before.
    until_ms: AtomicI64,
}

impl Expired {
    fn nothing() -> Self {
        Self {
            values: OnceLock::new(),
            until_ms: AtomicI64::new(i64::MIN),
        }
    }

    fn has(&self, value: &[u8]) -> bool {
        let until_ms = self.until_ms.load(Ordering::Relaxed);
        let values = self.values.get();
        until_ms > i64::MIN && values.is_some_and(|values| values.expired(value, until_ms))
    }
}

impl Expiry {
    fn of(&self, family: &str) -> Arc<Expired> {
        let mut families = lock(&self.families);
        let known = families.entry(family.to_owned());
        Arc::clone(known.or_insert_with(|| Arc::new(Expired::nothing())))
    }

    /// Values of this state that were last used then or before may go. What the state is does not
    /// change once this was said.
    pub(crate) fn set(&self, family: &str, meta: &StateMeta, until_ms: i64) {
        let expired = self.of(family);
        expired.values.get_or_init(|| TimedValues::of(meta));
        expired.until_ms.store(until_ms, Ordering::Relaxed);
    }

    /// The options of a column family: those given, with its filter.
    pub(crate) fn options(&self, family: &str, options: &Options) -> Options {
        let expired = self.of(family);
        let mut options = options.clone();
        options.set_compaction_filter("time-to-live", move |_, _, value| {
            if expired.has(value) {
                CompactionDecision::Remove
            } else {
                CompactionDecision::Keep
            }
        });
        lock(&self.options).push(options.clone());
        options
    }
}
