//! The large keyed state of several workloads, as in the comparison program: 104 bytes a key, which
//! do not compress.

use weir::state::AggregateFunction;

use crate::rng::{at, below, mix64};

/// Words of a value: 104 bytes.
const WORDS: usize = 13;

/// Record `index` with its key: each key once, then any of the first `hot`.
pub(crate) fn record(index: u64, keys: u64, hot: u64) -> (u64, u64) {
    if index < keys {
        (index, index)
    } else {
        (below(at(23, index), hot), index)
    }
}

/// Keeps 104 bytes a key, and counts the key's records in the first 8.
#[derive(Clone)]
pub(crate) struct Wide;

impl AggregateFunction for Wide {
    type In = (u64, u64);
    type Acc = [u64; WORDS];
    /// The number of records, and the index of the last one.
    type Out = (u64, u64);

    fn create_accumulator(&self) -> Self::Acc {
        [0; WORDS]
    }

    fn add(&self, value: &mut Self::Acc, (key, index): (u64, u64)) {
        value[0] += 1;
        value[1] = index;
        for (nth, word) in (0u64..).zip(&mut value[2..]) {
            *word = mix64(key ^ nth) >> 8;
        }
    }

    fn result(&self, value: &Self::Acc) -> (u64, u64) {
        (value[0], value[1])
    }

    fn merge(&self, into: &mut Self::Acc, other: Self::Acc) {
        into[0] += other[0];
        into[1] = into[1].max(other[1]);
    }
}
