//! The records of the simulated job, and how a task writes down what it keeps.

use std::collections::{BTreeMap, BTreeSet};

use weir_checkpoint::handle::Stored;
use weir_types::KeyGroup;

use super::Position;
use crate::graph::{key_of, reads};
use crate::store::Row;

pub(super) fn encode<T: serde::Serialize>(value: &T) -> Stored {
    Stored::Inline(postcard::to_allocvec(value).expect("plain data has an encoding"))
}

pub(super) fn decode<T: serde::de::DeserializeOwned>(stored: &Stored) -> Result<T, String> {
    match stored {
        Stored::Inline(bytes) => postcard::from_bytes(bytes).map_err(|e| e.to_string()),
        Stored::Object(_) | Stored::Files(_) => Err("an object where bytes were".to_owned()),
    }
}

/// The positions that a source put into a snapshot.
pub(crate) fn positions(stored: &Stored) -> Result<Vec<Position>, String> {
    decode(stored)
}

pub(crate) fn key_group(key: u8) -> KeyGroup {
    KeyGroup(u16::from(key) % 8)
}

/// Everything that the sources had read, as a reader of the output would see it.
pub(crate) fn expected(regions: usize, positions: &[Position]) -> Vec<Row> {
    let mut counts: BTreeMap<u8, u32> = BTreeMap::new();
    let mut rows = Vec::new();
    let unique: BTreeSet<&Position> = positions.iter().collect();
    for (split, end) in unique {
        for index in 0..*end {
            let key = key_of(reads(regions, *split), *split, index);
            let seen = counts.entry(key).or_default();
            *seen += 1;
            rows.push((key, *seen));
        }
    }
    rows.sort_unstable();
    rows
}
