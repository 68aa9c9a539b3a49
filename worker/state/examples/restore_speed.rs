//! Measures how long a restored state keeps its first records waiting: the snapshot is taken over,
//! a chunk of uniform keys is processed, then the rest is read.
//!
//! `cargo run --release -p weir-state --example restore_speed [KEYS_M]`

use std::hint::black_box;

use weir_state::{KeyedBackend, KeyedSnapshot, SnapshotKind, StateError, key_hash};
use weir_types::{CheckpointId, KeyGroup, KeyGroupRange};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MAX_PARALLELISM: u32 = 128;
const CHUNK: u64 = 1024;

/// 104 bytes, which do not compress.
type Wide = [u64; 13];

/// CPU time of this thread in nanoseconds: others may be using the machine.
fn thread_cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let first = text.split(' ').next().and_then(|ns| ns.parse().ok());
    first.unwrap_or(0)
}

fn range() -> KeyGroupRange {
    KeyGroupRange::of_subtask(MAX_PARALLELISM, 2, 0)
}

fn own(keys: u64) -> impl Iterator<Item = (u64, u64)> {
    let hashed = (0..keys).map(|key| (key, key_hash(&key).unwrap_or_default()));
    hashed.filter(|(_, hash)| range().contains(KeyGroup::of_hash(*hash, MAX_PARALLELISM)))
}

fn add(value: &mut Wide, key: u64) {
    value[0] += 1;
    for (nth, word) in (1u64..).zip(&mut value[1..]) {
        *word = (key ^ nth).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 8;
    }
}

fn chunk(
    backend: &mut KeyedBackend<u64>,
    rows: impl Iterator<Item = (u64, u64)>,
) -> Result<usize, StateError> {
    let (keys, hashes): (Vec<u64>, Vec<u64>) = rows.unzip();
    let state = backend.value_state::<Wide>("wide")?;
    let table = backend.table_mut(&state)?;
    let insert = |key| {
        let mut value = [0; 13];
        add(&mut value, key);
        value
    };
    let rows = keys.iter().map(|key| (key, *key));
    table.upsert_all(&hashes, &(), rows, (insert, add), |_, value| {
        black_box(value);
    })?;
    Ok(keys.len())
}

fn snapshot(keys: u64) -> Result<KeyedSnapshot, StateError> {
    let mut backend = KeyedBackend::<u64>::new(MAX_PARALLELISM, range());
    let state = backend.value_state::<Wide>("wide")?;
    for (key, _) in own(keys) {
        backend.set_key_ref(&key)?;
        state.modify(&mut backend, || [0; 13], |value| add(value, key))?;
    }
    backend.snapshot_begin(CheckpointId(1), SnapshotKind::Full)?;
    backend.snapshot_finish()
}

fn main() -> Result<(), StateError> {
    let millions = std::env::args().nth(1).and_then(|n| n.parse().ok());
    let keys = millions.unwrap_or(4u64) * 1_000_000;
    let snapshot = snapshot(keys)?;
    let since = |from: u64| (thread_cpu_ns() - from) / 1_000_000;
    for _ in 0..3 {
        let copy = [snapshot.clone()];
        let from = thread_cpu_ns();
        let mut backend = KeyedBackend::<u64>::restored(MAX_PARALLELISM, range(), copy)?;
        backend.value_state::<Wide>("wide")?;
        let taken_over = since(from);
        let rows = own(keys).take(usize::try_from(CHUNK).unwrap_or_default());
        chunk(&mut backend, rows)?;
        let first = since(from);
        let state = backend.value_state::<Wide>("wide")?;
        let entries = backend.table_mut(&state)?.len();
        let before = thread_cpu_ns();
        let count = backend.table_mut(&state)?.iter()?.count();
        println!(
            "{entries} entries: taken over in {taken_over} ms, first chunk after {first} ms, \
             the rest ({count}) read in {} ms",
            since(before)
        );
    }
    Ok(())
}
