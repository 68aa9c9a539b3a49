//! The records of the simulated job, and how a task writes down what it keeps.

use std::collections::{BTreeMap, BTreeSet};

use weir_checkpoint::handle::Stored;
use weir_types::KeyGroup;

use super::Position;
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

/// The key of a record.
pub(crate) fn key_of(split: u8, index: u8) -> u8 {
    (split.wrapping_mul(3).wrapping_add(index.wrapping_mul(5))) % 11
}

/// Everything that the sources had read, as a reader of the output would see it.
pub(crate) fn expected(positions: &[Position]) -> Vec<Row> {
    let mut counts: BTreeMap<u8, u32> = BTreeMap::new();
    let mut rows = Vec::new();
    let unique: BTreeSet<&Position> = positions.iter().collect();
    for (split, end) in unique {
        for index in 0..*end {
            let seen = counts.entry(key_of(*split, index)).or_default();
            *seen += 1;
            rows.push((key_of(*split, index), *seen));
        }
    }
    rows.sort_unstable();
    rows
}
