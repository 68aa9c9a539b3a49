//! Keyed state over a tier that takes what memory has no room for, driven by random operations and
//! compared with plain maps: memory limits from nothing to plenty, snapshots at random places,
//! restores at another parallelism, with and without a tier. And what a slow tier must not change.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "cold_model/job.rs"]
mod job;
#[path = "support/memory_tier.rs"]
mod memory_tier;
#[path = "keyed_model/model.rs"]
mod model;

use std::sync::Arc;

use job::Tiers;
use memory_tier::MemoryTier;
use proptest::prelude::*;
use weir_state::{ColdSetup, FileSnapshot, KeyedBackend, MemoryBudget, SnapshotKind, key_hash};
use weir_types::{CheckpointId, KeyGroupRange};

struct InMemory;

impl Tiers for InMemory {
    const FILES: bool = false;

    fn open(
        &mut self,
        _subtask: u32,
        _range: KeyGroupRange,
        _files: &[FileSnapshot],
        memory: usize,
    ) -> ColdSetup {
        ColdSetup {
            tier: Arc::new(MemoryTier::default()),
            memory: MemoryBudget::new(memory).share(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn state_over_a_tier_is_what_the_model_says_at_any_memory_limit(
        memory in job::memory(), ops in prop::collection::vec(job::op(), 1..250),
    ) {
        job::run(InMemory, memory, ops);
    }
}

const LIMIT: usize = 1 << 20;

fn over_memory(tier: &Arc<MemoryTier>, limit: usize) -> KeyedBackend<u64> {
    let range = KeyGroupRange::of_subtask(128, 1, 0);
    let setup = ColdSetup {
        tier: Arc::clone(tier) as _,
        memory: MemoryBudget::new(limit).share(),
    };
    KeyedBackend::open(128, range, Vec::new(), Some(setup)).unwrap()
}

/// Adds 1 to the sum of each key, a chunk at a time; the most memory that was taken.
fn add_to_all(keyed: &mut KeyedBackend<u64>, keys: u64, mut between: impl FnMut(u64)) -> usize {
    let sum = keyed.value_state::<u64>("sum").unwrap();
    let mut most = 0;
    for start in (0..keys).step_by(512) {
        let chunk: Vec<u64> = (start..keys.min(start + 512)).collect();
        let hashes: Vec<u64> = chunk.iter().map(|key| key_hash(key).unwrap()).collect();
        let table = keyed.table_mut(&sum).unwrap();
        let rows = chunk.iter().map(|key| (key, 1));
        let add = (|n| n, |sum: &mut u64, n| *sum += n);
        table
            .upsert_all(&hashes, &(), rows, add, |_, _| {})
            .unwrap();
        most = most.max(keyed.memory_bytes());
        between(start);
    }
    most
}

#[test]
fn every_key_changes_at_a_tenth_of_the_memory_and_the_limit_holds() {
    let tier = Arc::new(MemoryTier::default());
    let mut keyed = over_memory(&tier, LIMIT);
    let keys = 300_000;
    for _ in 0..3 {
        let most = add_to_all(&mut keyed, keys, |_| {});
        // Beside the limit: what one chunk may add.
        assert!(most + tier.most_pending() < 2 * LIMIT + LIMIT / 4, "{most}");
        assert!(most < LIMIT + LIMIT / 8, "{most}");
    }
    let sum = keyed.value_state::<u64>("sum").unwrap();
    for key in (0..keys).step_by(97) {
        keyed.set_key(key).unwrap();
        assert_eq!(sum.get(&mut keyed).unwrap(), Some(&3), "key {key}");
    }
}

#[test]
fn with_memory_for_all_state_the_tier_is_never_read() {
    let tier = Arc::new(MemoryTier::default());
    let mut keyed = over_memory(&tier, 1 << 30);
    for n in 1..=3 {
        add_to_all(&mut keyed, 20_000, |_| {});
        keyed
            .snapshot_begin(CheckpointId(n), SnapshotKind::Full)
            .unwrap();
        keyed.snapshot_finish().unwrap();
        keyed.confirm(CheckpointId(n));
    }
    let stats = keyed.cold_stats().unwrap();
    assert_eq!((stats.read_keys, stats.written_entries), (0, 60_000));
}

#[test]
fn an_unchanged_entry_is_written_once() {
    let tier = Arc::new(MemoryTier::default());
    let mut keyed = over_memory(&tier, 1 << 30);
    add_to_all(&mut keyed, 1_000, |_| {});
    for n in 1..=3 {
        keyed
            .snapshot_begin(CheckpointId(n), SnapshotKind::Full)
            .unwrap();
        let snapshot = keyed.snapshot_finish().unwrap();
        assert_eq!(snapshot.base, None);
        let restored =
            KeyedBackend::restored(128, KeyGroupRange::of_subtask(128, 1, 0), [snapshot]);
        let mut restored: KeyedBackend<u64> = restored.unwrap();
        let sum = restored.value_state::<u64>("sum").unwrap();
        assert_eq!(restored.table_mut(&sum).unwrap().len(), 1_000);
    }
    assert_eq!(keyed.cold_stats().unwrap().written_entries, 1_000);
}

/// One key group, of which a part is read ahead and the rest one by one.
#[test]
fn an_entry_that_was_read_ahead_is_not_read_again() {
    let range = KeyGroupRange::of_subtask(1, 1, 0);
    let mut heap = KeyedBackend::<u64>::new(1, range);
    let (sum, map) = (heap.value_state::<u64>("sum").unwrap(), "map");
    let entries = heap.map_state::<u8, u64>(map).unwrap();
    for key in 0..4_000 {
        heap.set_key(key).unwrap();
        sum.set(&mut heap, key).unwrap();
        entries.put(&mut heap, 1, key).unwrap();
    }
    heap.snapshot_begin(CheckpointId(1), SnapshotKind::Full)
        .unwrap();
    let snapshot = heap.snapshot_finish().unwrap();
    let setup = InMemory.open(0, range, &[], 60_000);
    let mut keyed = KeyedBackend::<u64>::open(1, range, vec![snapshot], Some(setup)).unwrap();
    let sum = keyed.value_state::<u64>("sum").unwrap();
    let entries = keyed.map_state::<u8, u64>(map).unwrap();
    for key in 0..4_000 {
        keyed.set_key(key).unwrap();
        sum.modify(&mut keyed, || 0, |sum| *sum += 1).unwrap();
        let value = *entries.get(&mut keyed, &1).unwrap().unwrap();
        entries.put(&mut keyed, 1, value + 2).unwrap();
    }
    keyed
        .snapshot_begin(CheckpointId(2), SnapshotKind::Full)
        .unwrap();
    let snapshot = keyed.snapshot_finish().unwrap();
    let mut heap = KeyedBackend::<u64>::restored(1, range, [snapshot]).unwrap();
    let sum = heap.value_state::<u64>("sum").unwrap();
    let entries = heap.map_state::<u8, u64>(map).unwrap();
    assert_eq!(heap.table_mut(&sum).unwrap().len(), 4_000);
    for key in 0..4_000 {
        heap.set_key(key).unwrap();
        assert_eq!(sum.get(&mut heap).unwrap(), Some(&(key + 1)));
        assert_eq!(entries.get(&mut heap, &1).unwrap(), Some(&(key + 2)));
    }
}

/// Its key group can only be dropped as a whole, and is larger than memory.
#[test]
fn a_map_larger_than_memory_is_written_and_read_entry_by_entry() {
    let tier = Arc::new(MemoryTier::default());
    let mut keyed = over_memory(&tier, LIMIT);
    let map = keyed.map_state::<u64, u64>("map").unwrap();
    keyed.set_key(7).unwrap();
    let (entries, mut most) = (200_000, 0);
    for user_key in 0..entries {
        map.put(&mut keyed, user_key, user_key * 3).unwrap();
        if user_key % 256 == 0 {
            most = most.max(keyed.memory_bytes());
        }
    }
    assert_eq!(tier.reads(), 0, "what is overwritten need not be known");
    for user_key in (0..entries).step_by(3) {
        let value = map.get(&mut keyed, &user_key).unwrap().copied();
        assert_eq!(value, Some(user_key * 3));
        map.put(&mut keyed, user_key, 0).unwrap();
        let removed = map.remove(&mut keyed, &(user_key + 1)).unwrap();
        assert_eq!(
            removed,
            (user_key + 1 < entries).then_some((user_key + 1) * 3)
        );
        assert!(!map.contains(&mut keyed, &(user_key + 1)).unwrap());
        assert!(!map.contains(&mut keyed, &(user_key + entries)).unwrap());
        if user_key % 256 == 0 {
            most = most.max(keyed.memory_bytes());
        }
    }
    assert!(!map.is_empty(&mut keyed).unwrap());
    let mut seen = 0;
    map.for_each(&mut keyed, |_, _| seen += 1).unwrap();
    assert_eq!(seen, entries - (entries + 1) / 3);
    most = most.max(keyed.memory_bytes());
    assert!(most < LIMIT + LIMIT / 4, "{most}");
    let snapshot = keyed.snapshot_begin(CheckpointId(1), SnapshotKind::Full);
    let snapshot = snapshot.and_then(|()| keyed.snapshot_finish()).unwrap();
    let range = KeyGroupRange::of_subtask(128, 1, 0);
    let mut heap = KeyedBackend::<u64>::restored(128, range, [snapshot]).unwrap();
    let map = heap.map_state::<u64, u64>("map").unwrap();
    heap.set_key(7).unwrap();
    let mut left: Vec<_> = map
        .iter(&mut heap)
        .unwrap()
        .map(|(k, v)| (*k, *v))
        .collect();
    left.sort_unstable();
    let expected = (0..entries).filter(|user_key| user_key % 3 != 1);
    let expected = expected.map(|k| (k, if k % 3 == 0 { 0 } else { k * 3 }));
    assert_eq!(left, expected.collect::<Vec<_>>());
}

#[test]
fn a_map_larger_than_memory_is_cleared_or_thinned_out_without_being_in_it() {
    for retains in [true, false] {
        let tier = Arc::new(MemoryTier::default());
        let mut keyed = over_memory(&tier, LIMIT);
        let map = keyed.map_state::<u64, String>("map").unwrap();
        keyed.set_key(7).unwrap();
        let entries = 10_000;
        for user_key in 0..entries {
            map.put(&mut keyed, user_key, "x".repeat(1_000)).unwrap();
            keyed.memory_bytes();
        }
        // In memory, and not as the tier has it.
        map.put(&mut keyed, 4, "y".to_owned()).unwrap();
        map.put(&mut keyed, 5, "y".to_owned()).unwrap();
        let stays = |user_key: &u64| retains && user_key.is_multiple_of(2);
        match retains {
            true => map.retain(&mut keyed, |user_key, _| stays(user_key)),
            false => map.clear(&mut keyed),
        }
        .unwrap();
        let most = keyed.memory_bytes();
        assert!(
            most < 2 * LIMIT,
            "{most} bytes for {entries} values of 1 KB"
        );
        let left = |keyed: &mut KeyedBackend<u64>| {
            let mut left = Vec::new();
            let note = |user_key: &u64, value: &String| left.push((*user_key, value.len()));
            map.for_each(keyed, note).unwrap();
            left.sort_unstable();
            left
        };
        let expected = (0..entries).filter(stays);
        let expected: Vec<_> = expected
            .map(|k| (k, if k == 4 { 1 } else { 1_000 }))
            .collect();
        assert_eq!(left(&mut keyed), expected);
        assert_eq!(map.is_empty(&mut keyed).unwrap(), !retains);
        map.put(&mut keyed, 9, "z".to_owned()).unwrap();
        let snapshot = keyed.snapshot_begin(CheckpointId(1), SnapshotKind::Full);
        let snapshot = snapshot.and_then(|()| keyed.snapshot_finish()).unwrap();
        let range = KeyGroupRange::of_subtask(128, 1, 0);
        let mut heap = KeyedBackend::<u64>::restored(128, range, [snapshot]).unwrap();
        let restored = heap.map_state::<u64, String>("map").unwrap();
        heap.set_key(7).unwrap();
        let found = restored.iter(&mut heap).unwrap();
        let mut found: Vec<_> = found.map(|(k, v)| (*k, v.len())).collect();
        found.sort_unstable();
        let mut expected = expected;
        expected.push((9, 1));
        expected.sort_unstable();
        assert_eq!(found, expected);
    }
}

/// What is written before anything was read must not hide the rest, nor come back.
#[test]
fn a_map_that_is_known_in_part_is_iterated_as_a_whole() {
    let tier = Arc::new(MemoryTier::default());
    let mut keyed = over_memory(&tier, 1);
    let map = keyed.map_state::<u64, u64>("map").unwrap();
    keyed.set_key(7).unwrap();
    for user_key in 0..100 {
        map.put(&mut keyed, user_key, 1).unwrap();
    }
    // Another key's, so that its memory is dropped.
    keyed.set_key(8).unwrap();
    map.put(&mut keyed, 0, 1).unwrap();
    keyed.set_key(7).unwrap();
    map.put(&mut keyed, 50, 2).unwrap();
    map.remove(&mut keyed, &51).unwrap();
    map.put(&mut keyed, 200, 3).unwrap();
    map.remove(&mut keyed, &200).unwrap();
    // Put without having been read: the tier has an older one, which must go as well.
    map.put(&mut keyed, 52, 4).unwrap();
    map.remove(&mut keyed, &52).unwrap();
    let mut found: Vec<_> = map
        .iter(&mut keyed)
        .unwrap()
        .map(|(k, v)| (*k, *v))
        .collect();
    found.sort_unstable();
    let expected = (0..100).filter(|k| ![51, 52].contains(k));
    let expected = expected.map(|k| (k, if k == 50 { 2 } else { 1 }));
    assert_eq!(found, expected.collect::<Vec<_>>());
    map.clear(&mut keyed).unwrap();
    assert!(map.is_empty(&mut keyed).unwrap());
    keyed.set_key(8).unwrap();
    assert!(!map.is_empty(&mut keyed).unwrap());
}
