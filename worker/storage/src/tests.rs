//! Tests of what all stores have in common, and of those that are made for tests.

mod contract;
mod faults;
mod probing;
mod recoverable;

use crate::{ObjectPath, ObjectStore, StoreError};

pub(crate) fn path(text: &str) -> ObjectPath {
    ObjectPath::new(text).unwrap()
}

pub(crate) fn names(store: &dyn ObjectStore, folder: &str) -> Vec<String> {
    let listed = store.list(&path(folder)).unwrap();
    listed
        .into_iter()
        .map(|info| info.path.to_string())
        .collect()
}

pub(crate) fn write_large(
    store: &dyn ObjectStore,
    name: &str,
    pieces: &[&[u8]],
) -> Result<u64, StoreError> {
    let mut writer = store.create_large(&path(name))?;
    for piece in pieces {
        writer.write(piece)?;
    }
    writer.finish()
}

/// Bytes that look random and are the same each time.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        u8::try_from(state >> 56).unwrap()
    };
    (0..length).map(|_| next()).collect()
}
