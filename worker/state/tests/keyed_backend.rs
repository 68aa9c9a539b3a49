//! What the keyed backend refuses, and what large tables do.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use weir_state::{
    KeyedBackend, KeyedSnapshot, SnapshotKind, StateDescriptor, StateError, TtlConfig, key_hash,
};
use weir_types::{CheckpointId, KeyGroup, KeyGroupRange};

const ALL: KeyGroupRange = KeyGroupRange { start: 0, end: 15 };

fn backend() -> KeyedBackend<u64> {
    KeyedBackend::new(16, ALL)
}

fn snapshot(keyed: &mut KeyedBackend<u64>, n: u64, kind: SnapshotKind) -> KeyedSnapshot {
    keyed.snapshot_begin(CheckpointId(n), kind).unwrap();
    let snapshot = keyed.snapshot_finish().unwrap();
    keyed.confirm(CheckpointId(n));
    snapshot
}

/// A backend whose only state has the keys 0..n.
fn filled(n: u64) -> KeyedBackend<u64> {
    let mut keyed = backend();
    let value = keyed.value_state::<u64>("value").unwrap();
    for key in 0..n {
        keyed.set_key(key).unwrap();
        value.set(&mut keyed, key).unwrap();
    }
    keyed
}

fn message<T>(result: Result<T, StateError>) -> String {
    result.err().expect("it is refused").to_string()
}

#[test]
fn state_without_a_key_is_refused() {
    let mut keyed = backend();
    let value = keyed.value_state::<u8>("value").unwrap();
    assert!(matches!(
        value.get(&mut keyed),
        Err(StateError::NoCurrentKey)
    ));
    keyed.set_key(1).unwrap();
    value.set(&mut keyed, 1).unwrap();
    keyed.clear_key();
    assert!(matches!(
        value.set(&mut keyed, 1),
        Err(StateError::NoCurrentKey)
    ));
}

#[test]
fn a_key_of_another_subtask_is_refused() {
    let mut keyed = KeyedBackend::new(16, KeyGroupRange { start: 4, end: 7 });
    let value = keyed.value_state::<u8>("value").unwrap();
    for key in 0u64..100 {
        let group = KeyGroup::of_hash(key_hash(&key).unwrap(), 16);
        keyed.set_key(key).unwrap();
        let set = value.set(&mut keyed, 1);
        assert_eq!(set.is_ok(), (4..=7).contains(&group.0), "{group}");
        if let Err(error) = set {
            let text = error.to_string();
            assert!(
                text.contains(&group.to_string()) && text.contains("4..=7"),
                "{text}"
            );
        }
    }
}

#[test]
fn asking_again_gives_the_same_state_and_another_type_is_refused() {
    let mut keyed = backend();
    keyed.set_key(1).unwrap();
    let value = keyed.value_state::<u32>("x").unwrap();
    value.set(&mut keyed, 5).unwrap();
    assert_eq!(
        keyed
            .value_state::<u32>("x")
            .unwrap()
            .get(&mut keyed)
            .unwrap(),
        Some(&5)
    );
    let other = message(keyed.value_state::<u64>("x"));
    assert!(
        other.contains("`x`") && other.contains("`u64`") && other.contains("`u32`"),
        "{other}"
    );
    let other = message(keyed.list_state::<u32>("x"));
    assert!(other.contains("List") && other.contains("Value"), "{other}");
    assert!(keyed.namespaced_value_state::<u32, u8>("x").is_err());
    let ttl = TtlConfig::new(std::time::Duration::from_secs(1));
    assert!(
        keyed
            .value_state::<u32>(StateDescriptor::new("x").with_ttl(ttl))
            .is_err()
    );
}

#[test]
fn a_handle_of_another_backend_is_refused() {
    let mut keyed = backend();
    let value = keyed.value_state::<u32>("x").unwrap();
    let list = keyed.list_state::<u32>("y").unwrap();
    let mut other = backend();
    other.set_key(1).unwrap();
    assert!(matches!(
        value.get(&mut other),
        Err(StateError::ForeignHandle { .. })
    ));
    other.list_state::<u32>("y").unwrap();
    assert!(matches!(
        value.get(&mut other),
        Err(StateError::ForeignHandle { .. })
    ));
    assert!(list.get(&mut other).is_err());
}

#[test]
fn a_restored_state_of_another_type_is_refused() {
    let mut keyed = filled(3);
    let snapshot = snapshot(&mut keyed, 1, SnapshotKind::Full);
    let mut restored = KeyedBackend::<u64>::restored(16, ALL, [snapshot.clone()]).unwrap();
    let text = message(restored.value_state::<i64>("value"));
    assert!(
        text.contains("`value`") && text.contains("`u64`") && text.contains("`i64`"),
        "{text}"
    );
    let mut restored = KeyedBackend::<i64>::restored(16, ALL, [snapshot]).unwrap();
    assert!(message(restored.value_state::<u64>("value")).contains("keyed by `i64`"));
}

#[test]
fn a_state_nobody_asks_for_stays_in_snapshots() {
    let mut keyed = filled(3);
    let first = snapshot(&mut keyed, 1, SnapshotKind::Full);
    let mut restored = KeyedBackend::<u64>::restored(16, ALL, [first.clone()]).unwrap();
    let second = snapshot(&mut restored, 2, SnapshotKind::Full);
    assert_eq!(second.states, first.states);
}

#[test]
fn a_restored_state_asked_for_during_a_snapshot_is_in_it() {
    let mut keyed = filled(3);
    let first = snapshot(&mut keyed, 1, SnapshotKind::Full);
    let mut restored = KeyedBackend::<u64>::restored(16, ALL, [first.clone()]).unwrap();
    restored
        .snapshot_begin(CheckpointId(2), SnapshotKind::Full)
        .unwrap();
    let value = restored.value_state::<u64>("value").unwrap();
    restored.set_key(1).unwrap();
    value.set(&mut restored, 100).unwrap();
    assert_eq!(restored.snapshot_finish().unwrap().states, first.states);
}

#[test]
fn damaged_bytes_are_an_error_that_names_the_state() {
    let mut keyed = filled(3);
    let good = snapshot(&mut keyed, 1, SnapshotKind::Full);
    let damages: [fn(&mut Vec<u8>); 4] = [
        |bytes| bytes.truncate(bytes.len() - 1),
        |bytes| bytes[0] = 9,
        |bytes| bytes[1] = 120,
        |bytes| bytes.extend([1, 0, 0]),
    ];
    for damage in damages {
        let mut bad = good.clone();
        damage(&mut bad.states[0].blocks[0].bytes);
        let mut restored = KeyedBackend::<u64>::restored(16, ALL, [bad]).unwrap();
        let text = message(restored.value_state::<u64>("value"));
        assert!(text.contains("read state `value`"), "{text}");
    }
}

#[test]
fn keys_among_those_of_another_key_group_are_an_error() {
    let mut keyed = filled(100);
    let mut bad = snapshot(&mut keyed, 1, SnapshotKind::Full);
    let blocks = &mut bad.states[0].blocks;
    blocks[0].bytes = blocks[1].bytes.clone();
    let mut restored = KeyedBackend::<u64>::restored(16, ALL, [bad]).unwrap();
    let error = restored.value_state::<u64>("value").unwrap_err();
    let cause = std::error::Error::source(&error)
        .expect("it has a cause")
        .to_string();
    assert!(cause.contains("lies among those of key group 0"), "{cause}");
}

#[test]
fn snapshots_that_do_not_fit_are_refused() {
    let mut keyed = filled(100);
    let full = snapshot(&mut keyed, 1, SnapshotKind::Full);
    let second = snapshot(&mut keyed, 2, SnapshotKind::Incremental);
    let third = snapshot(&mut keyed, 3, SnapshotKind::Incremental);
    assert_eq!((full.base, second.base), (None, Some(CheckpointId(1))));
    let restore = |max_parallelism, snapshots: &[&KeyedSnapshot]| {
        let snapshots = snapshots.iter().copied().cloned();
        KeyedBackend::<u64>::restored(max_parallelism, ALL, snapshots).map(drop)
    };
    assert!(restore(16, &[&full, &second, &third]).is_ok());
    assert!(message(restore(16, &[&second])).contains("missing"));
    assert!(message(restore(16, &[&full, &third])).contains("continues snapshot 2"));
    assert!(message(restore(16, &[&full, &full])).contains("follows snapshot 1"));
    assert!(message(restore(32, &[&full])).contains("max parallelism 16"));
    assert!(message(restore(16, &[])).contains("no snapshot covers key group 0"));
    let mut part = full.clone();
    part.range = KeyGroupRange { start: 0, end: 7 };
    assert!(message(restore(16, &[&part])).contains("key group 8"));
    part.range = KeyGroupRange { start: 8, end: 15 };
    assert!(message(restore(16, &[&full, &part])).contains("0..=15"));
}

#[test]
fn a_delta_after_a_restore_holds_what_changed_since() {
    let mut keyed = filled(1000);
    let kept = keyed.value_state::<u64>("kept").unwrap();
    keyed.set_key(1).unwrap();
    kept.set(&mut keyed, 11).unwrap();
    let full = snapshot(&mut keyed, 1, SnapshotKind::Full);
    let restore = |snapshots: &[&KeyedSnapshot]| {
        let snapshots = snapshots.iter().copied().cloned();
        KeyedBackend::<u64>::restored(16, ALL, snapshots).unwrap()
    };

    let mut keyed = restore(&[&full]);
    let value = keyed.value_state::<u64>("value").unwrap();
    keyed.set_key(2).unwrap();
    value.set(&mut keyed, 22).unwrap();
    keyed.set_key(3).unwrap();
    value.clear(&mut keyed).unwrap();
    let new = keyed.value_state::<u64>("new").unwrap();
    new.set(&mut keyed, 33).unwrap();
    let second = snapshot(&mut keyed, 2, SnapshotKind::Incremental);
    assert_eq!(second.base, Some(CheckpointId(1)));
    let state = |name: &str| {
        let mut states = second.states.iter();
        states.find(|state| state.meta.name == name)
    };
    assert!(state("new").unwrap().complete && !state("value").unwrap().complete);
    assert!(state("kept").is_none(), "nobody has asked for it");

    let mut keyed = restore(&[&full, &second]);
    let [value, kept, new] =
        ["value", "kept", "new"].map(|name| keyed.value_state::<u64>(name).unwrap());
    let mut read = |key| {
        keyed.set_key(key).unwrap();
        [&value, &kept, &new].map(|state| state.get(&mut keyed).unwrap().copied())
    };
    assert_eq!(read(1), [Some(1), Some(11), None]);
    assert_eq!(read(2), [Some(22), None, None]);
    assert_eq!(read(3), [None, None, Some(33)]);
    let mut other =
        KeyedBackend::<u64>::restored(16, KeyGroupRange { start: 0, end: 7 }, [full]).unwrap();
    let cut = snapshot(&mut other, 2, SnapshotKind::Incremental);
    assert_eq!(cut.base, None, "it is not of the same key groups");
}

#[test]
fn a_second_snapshot_waits_for_the_first_copy() {
    let mut keyed = filled(100);
    assert!(matches!(
        keyed.snapshot_step(1),
        Err(StateError::NoSnapshot)
    ));
    keyed
        .snapshot_begin(CheckpointId(1), SnapshotKind::Full)
        .unwrap();
    let text = message(keyed.snapshot_begin(CheckpointId(2), SnapshotKind::Full));
    assert!(text.contains("snapshot 1 is still being copied"), "{text}");
    keyed.abort(CheckpointId(1));
    keyed
        .snapshot_begin(CheckpointId(2), SnapshotKind::Full)
        .unwrap();
    assert_eq!(keyed.snapshot_running(), Some(CheckpointId(2)));
}

#[test]
fn a_delta_holds_what_changed_and_nothing_else() {
    let mut keyed = filled(10_000);
    let value = keyed.value_state::<u64>("value").unwrap();
    let bytes = |snapshot: &KeyedSnapshot| {
        let blocks = snapshot.states.iter().flat_map(|state| &state.blocks);
        blocks.map(|block| block.bytes.len()).sum::<usize>()
    };
    let full = snapshot(&mut keyed, 1, SnapshotKind::Full);
    assert!(bytes(&full) > 50_000);
    let nothing = snapshot(&mut keyed, 2, SnapshotKind::Incremental);
    assert_eq!(bytes(&nothing), 0);
    // Created and removed between two snapshots: no snapshot need know.
    for key in 50_000..60_000 {
        keyed.set_key(key).unwrap();
        value.set(&mut keyed, key).unwrap();
        value.clear(&mut keyed).unwrap();
    }
    keyed.set_key(7).unwrap();
    value.set(&mut keyed, 1).unwrap();
    keyed.set_key(8).unwrap();
    value.clear(&mut keyed).unwrap();
    let two = snapshot(&mut keyed, 3, SnapshotKind::Incremental);
    assert_eq!(bytes(&two), 5 + 3, "one put and one removal");
}

#[test]
fn a_delta_continues_the_newest_confirmed_snapshot() {
    let mut keyed = filled(100);
    let value = keyed.value_state::<u64>("value").unwrap();
    snapshot(&mut keyed, 1, SnapshotKind::Full);
    let mut changed_then_copied = |n: u64| {
        keyed.set_key(n).unwrap();
        value.set(&mut keyed, 0).unwrap();
        keyed
            .snapshot_begin(CheckpointId(n), SnapshotKind::Incremental)
            .unwrap();
        let snapshot = keyed.snapshot_finish().unwrap();
        let entries = snapshot.states[0]
            .blocks
            .iter()
            .map(|block| block.bytes.len() / 5)
            .sum();
        match n {
            3 => keyed.abort(CheckpointId(3)),
            6 => keyed.confirm(CheckpointId(6)),
            _ => {}
        }
        (snapshot.base.unwrap().0, entries)
    };
    let found: Vec<(u64, usize)> = (2..10).map(&mut changed_then_copied).collect();
    // Each repeats what is not confirmed; the sixth makes the ones before it pointless.
    let want = [
        (1, 1),
        (1, 2),
        (1, 3),
        (1, 4),
        (1, 5),
        (6, 1),
        (6, 2),
        (6, 3),
    ];
    assert_eq!(found, want);
}

#[test]
fn a_large_table_grows_while_a_snapshot_of_it_is_copied() {
    const KEYS: u64 = 200_000;
    let mut keyed = filled(KEYS);
    let value = keyed.value_state::<u64>("value").unwrap();
    keyed
        .snapshot_begin(CheckpointId(1), SnapshotKind::Full)
        .unwrap();
    let mut copied = None;
    for key in 0..3 * KEYS {
        keyed.set_key(key).unwrap();
        if key % 5 == 0 {
            value.clear(&mut keyed).unwrap();
        } else {
            value.set(&mut keyed, key + 1).unwrap();
        }
        if key % 100 == 0 && copied.is_none() {
            copied = keyed.snapshot_step(1000).unwrap();
        }
    }
    let copied = copied.expect("the copy is done long since");
    let mut restored = KeyedBackend::<u64>::restored(16, ALL, [copied]).unwrap();
    let before = restored.value_state::<u64>("value").unwrap();
    let table = restored.table_mut(&before).unwrap();
    assert_eq!(table.len() as u64, KEYS);
    assert!(
        table
            .iter()
            .unwrap()
            .all(|(key, (), value)| key == value && *key < KEYS)
    );
    let table = keyed.table_mut(&value).unwrap();
    assert_eq!(table.len() as u64, 3 * KEYS / 5 * 4);
    assert!(
        table
            .iter()
            .unwrap()
            .all(|(key, (), value)| key + 1 == *value && key % 5 != 0)
    );
}

#[test]
fn a_snapshot_shows_the_moment_it_began_however_large_the_entries_around_are() {
    const KEYS: usize = 3000;
    // Of the first, a record that changes one copies all around it; of the last, itself alone.
    for length in [0, 12, 100, 700, 3000] {
        let text = |key: usize, round: usize| format!("{key}-{round}-{}", "x".repeat(length));
        let mut keyed = backend();
        let value = keyed.value_state::<String>("value").unwrap();
        let set = |keyed: &mut KeyedBackend<u64>, key: usize, round| {
            keyed.set_key(key as u64).unwrap();
            value.set(keyed, text(key, round)).unwrap();
        };
        (0..KEYS).for_each(|key| set(&mut keyed, key, 0));
        for (id, kind) in [(1, SnapshotKind::Full), (2, SnapshotKind::Incremental)] {
            let before = usize::try_from(id).unwrap() - 1;
            keyed.snapshot_begin(CheckpointId(id), kind).unwrap();
            let mut copied = None;
            for nth in 0..KEYS {
                set(&mut keyed, nth * 7 % KEYS, before + 1);
                if nth % 10 == 0 && copied.is_none() {
                    copied = keyed.snapshot_step(100).unwrap();
                }
            }
            let copied = copied.unwrap_or_else(|| keyed.snapshot_finish().unwrap());
            let mut holds = copied.clone();
            holds.base = None;
            let mut restored = KeyedBackend::<u64>::restored(16, ALL, [holds]).unwrap();
            let old = restored.value_state::<String>("value").unwrap();
            let table = restored.table_mut(&old).unwrap();
            assert_eq!(table.len(), KEYS, "each has changed since the last one");
            for (key, (), value) in table.iter().unwrap() {
                assert_eq!(*value, text(usize::try_from(*key).unwrap(), before));
            }
            let records: usize = copied.states[0].blocks.iter().map(|b| b.bytes.len()).sum();
            assert!(records < KEYS * (length + 40), "none is copied twice");
            keyed.confirm(CheckpointId(id));
        }
    }
}

#[test]
fn a_chunk_of_rows_is_applied_in_order() {
    let mut keyed = backend();
    let sums = keyed.namespaced_value_state::<u64, u8>("sums").unwrap();
    let mut model = BTreeMap::<(u8, u64), u64>::new();
    for round in 0..50u64 {
        let window = u8::try_from(round % 2).unwrap();
        // Keys repeat within a chunk, also new ones.
        let rows: Vec<(u64, u64)> = (0..1000).map(|n| (n * n % (100 + round * 20), n)).collect();
        let hashes: Vec<u64> = rows.iter().map(|(key, _)| key_hash(key).unwrap()).collect();
        let mut want = Vec::new();
        for (key, n) in &rows {
            let sum = model.entry((window, *key)).or_default();
            *sum += n;
            want.push((*key, *sum));
        }
        let mut found = Vec::new();
        let add = (|n| n, |sum: &mut u64, n| *sum += n);
        let table = keyed.namespaced_table_mut(sums).unwrap();
        let rows = rows.iter().map(|(key, n)| (key, *n));
        let emit = |key: &u64, sum: &u64| found.push((*key, *sum));
        table.upsert_all(&hashes, &window, rows, add, emit).unwrap();
        assert_eq!(found, want);
        if round % 10 == 0 {
            snapshot(&mut keyed, round + 1, SnapshotKind::Incremental);
        }
    }
    let table = keyed.namespaced_table_mut(sums).unwrap();
    assert_eq!(table.len(), model.len());
    assert!(
        table
            .iter()
            .unwrap()
            .all(|(key, window, sum)| model[&(*window, *key)] == *sum)
    );
}

/// Replaces every key by a new one.
fn replace_all(keyed: &mut KeyedBackend<u64>, round: u64) {
    let value = keyed.value_state::<u64>("value").unwrap();
    for key in 0..1000 {
        keyed.set_key((round - 1) * 1000 + key).unwrap();
        value.clear(keyed).unwrap();
        keyed.set_key(round * 1000 + key).unwrap();
        value.set(keyed, key).unwrap();
    }
}

fn assert_holds_round(snapshots: &[&KeyedSnapshot], round: u64) {
    let snapshots = snapshots.iter().copied().cloned();
    let mut restored = KeyedBackend::restored(16, ALL, snapshots).unwrap();
    let value = restored.value_state::<u64>("value").unwrap();
    let table = restored.table_mut(&value).unwrap();
    assert_eq!(table.len(), 1000);
    assert!(
        table
            .iter()
            .unwrap()
            .all(|(key, (), value): (&u64, _, _)| *key == round * 1000 + value)
    );
}

#[test]
fn aborted_snapshots_do_not_pile_up() {
    let mut keyed = filled(1000);
    let full = snapshot(&mut keyed, 1, SnapshotKind::Full);
    let mut early = 0;
    for round in 1..200 {
        replace_all(&mut keyed, round);
        let checkpoint = CheckpointId(round + 1);
        keyed
            .snapshot_begin(checkpoint, SnapshotKind::Incremental)
            .unwrap();
        let copied = keyed.snapshot_finish().unwrap();
        assert_holds_round(&[&full, &copied], round);
        keyed.abort(checkpoint);
        if round == 20 {
            early = keyed.bytes();
        }
    }
    assert!(keyed.bytes() < early * 2, "{} after {early}", keyed.bytes());
}

#[test]
fn a_confirmation_that_comes_after_many_other_snapshots_is_still_right() {
    let mut keyed = filled(1000);
    let full = snapshot(&mut keyed, 1, SnapshotKind::Full);
    let mut second = None;
    for round in 1..50 {
        replace_all(&mut keyed, round);
        keyed
            .snapshot_begin(CheckpointId(round + 1), SnapshotKind::Incremental)
            .unwrap();
        let copied = keyed.snapshot_finish().unwrap();
        second.get_or_insert(copied);
    }
    keyed.confirm(CheckpointId(2));
    replace_all(&mut keyed, 50);
    keyed
        .snapshot_begin(CheckpointId(60), SnapshotKind::Incremental)
        .unwrap();
    let last = keyed.snapshot_finish().unwrap();
    assert_eq!(last.base, Some(CheckpointId(2)));
    assert_holds_round(&[&full, &second.unwrap(), &last], 50);
}

#[test]
fn what_is_removed_gives_its_memory_to_what_comes() {
    let mut keyed = backend();
    let value = keyed.value_state::<u64>("value").unwrap();
    let list = keyed.list_state::<u64>("list").unwrap();
    let map = keyed.map_state::<u64, u64>("map").unwrap();
    let mut early = 0;
    for key in 0..20_000 {
        keyed.set_key(key).unwrap();
        value.set(&mut keyed, key).unwrap();
        list.add(&mut keyed, key).unwrap();
        map.put(&mut keyed, key, key).unwrap();
        map.put(&mut keyed, 1 << 40, key).unwrap();
        // A hundred keys live at a time.
        let Some(old) = key.checked_sub(100) else {
            continue;
        };
        keyed.set_key(old).unwrap();
        value.clear(&mut keyed).unwrap();
        list.clear(&mut keyed).unwrap();
        map.remove(&mut keyed, &old).unwrap();
        map.clear(&mut keyed).unwrap();
        if key == 5_000 {
            early = keyed.bytes();
        }
    }
    assert!(
        keyed.bytes() <= early * 5 / 4,
        "{} after {early}",
        keyed.bytes()
    );
}

/// Refuses to be written when it is 13.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
struct Shy(u8);

impl serde::Serialize for Shy {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 == 13 {
            return Err(serde::ser::Error::custom("it is 13"));
        }
        serializer.serialize_newtype_struct("Shy", &self.0)
    }
}

#[test]
fn a_value_that_cannot_be_written_fails_the_snapshot_and_no_record() {
    let mut keyed = backend();
    let shy = keyed.value_state::<Shy>("shy").unwrap();
    for key in 0..10 {
        keyed.set_key(key).unwrap();
        shy.set(&mut keyed, Shy(0)).unwrap();
    }
    snapshot(&mut keyed, 1, SnapshotKind::Full);
    shy.set(&mut keyed, Shy(13)).unwrap();
    keyed
        .snapshot_begin(CheckpointId(2), SnapshotKind::Incremental)
        .unwrap();
    // This copies the old value, which fails.
    shy.set(&mut keyed, Shy(1)).unwrap();
    assert!(message(keyed.snapshot_finish()).contains("write state `shy`"));
    keyed.abort(CheckpointId(2));
    let third = snapshot(&mut keyed, 3, SnapshotKind::Incremental);
    assert!(
        third.states[0].complete,
        "what the failed copy lost, this one has"
    );
    let mut restored = KeyedBackend::<u64>::restored(16, ALL, [third]);
    assert!(restored.is_err(), "its base is missing");
    keyed.set_key(3).unwrap();
    shy.clear(&mut keyed).unwrap();
    let full = snapshot(&mut keyed, 4, SnapshotKind::Full);
    restored = KeyedBackend::restored(16, ALL, [full]);
    let mut restored = restored.unwrap();
    let shy = restored.value_state::<Shy>("shy").unwrap();
    restored.set_key(9).unwrap();
    assert_eq!(shy.get(&mut restored).unwrap(), Some(&Shy(1)));
    assert_eq!(restored.table_mut(&shy).unwrap().len(), 9);
}
