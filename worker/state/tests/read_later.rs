//! Values that were restored are read when they are asked for, and nobody can tell but by the
//! clock.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::Cell;
use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use weir_state::{KeyedBackend, KeyedSnapshot, SnapshotKind, StateDescriptor, TtlConfig, key_hash};
use weir_types::{CheckpointId, KeyGroupRange};

const ALL: KeyGroupRange = KeyGroupRange { start: 0, end: 15 };
const KEYS: u64 = 1000;

thread_local! {
    static READS: Cell<usize> = const { Cell::new(0) };
}

/// Counts how often one is read, on this thread. Refuses to be 13.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Counted(u64);

impl<'de> Deserialize<'de> for Counted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename = "Counted")]
        struct Plain(u64);
        READS.with(|reads| reads.set(reads.get() + 1));
        match Plain::deserialize(deserializer)?.0 {
            13 => Err(serde::de::Error::custom("it is 13")),
            n => Ok(Self(n)),
        }
    }
}

/// What was read since this was asked last.
fn reads() -> usize {
    READS.with(|reads| reads.replace(0))
}

fn snapshot(keyed: &mut KeyedBackend<u64>, nth: u64, kind: SnapshotKind) -> KeyedSnapshot {
    keyed.snapshot_begin(CheckpointId(nth), kind).unwrap();
    keyed.snapshot_finish().unwrap()
}

fn full(values: impl IntoIterator<Item = (u64, u64)>) -> KeyedSnapshot {
    let mut keyed = KeyedBackend::<u64>::new(16, ALL);
    let value = keyed.value_state::<Counted>("value").unwrap();
    for (key, n) in values {
        keyed.set_key(key).unwrap();
        value.set(&mut keyed, Counted(n)).unwrap();
    }
    snapshot(&mut keyed, 1, SnapshotKind::Full)
}

fn restored(snapshots: &[&KeyedSnapshot]) -> KeyedBackend<u64> {
    let snapshots = snapshots.iter().copied().cloned();
    KeyedBackend::restored(16, ALL, snapshots).unwrap()
}

fn get(keyed: &mut KeyedBackend<u64>, key: u64) -> Option<u64> {
    let value = keyed.value_state::<Counted>("value").unwrap();
    keyed.set_key(key).unwrap();
    value.get(keyed).unwrap().map(|value| value.0)
}

fn set(keyed: &mut KeyedBackend<u64>, key: u64, n: Option<u64>) {
    let value = keyed.value_state::<Counted>("value").unwrap();
    keyed.set_key(key).unwrap();
    match n {
        Some(n) => value.set(keyed, Counted(n)).unwrap(),
        None => value.clear(keyed).unwrap(),
    }
}

fn all(keyed: &mut KeyedBackend<u64>) -> BTreeMap<u64, u64> {
    let value = keyed.value_state::<Counted>("value").unwrap();
    let table = keyed.table_mut(&value).unwrap();
    let entries = table.iter().unwrap();
    entries.map(|(key, (), value)| (*key, value.0)).collect()
}

fn thousand() -> BTreeMap<u64, u64> {
    (0..KEYS).map(|key| (key, key + 100)).collect()
}

#[test]
fn a_restore_reads_one_value_of_each_key_group_and_the_others_when_they_are_used() {
    let full = full(thousand());
    reads();
    let mut keyed = restored(&[&full]);
    let value = keyed.value_state::<Counted>("value").unwrap();
    // And some to find out what the type consists of.
    let some = reads();
    assert!((16..100).contains(&some), "{some} were read for none");
    assert_eq!(get(&mut keyed, 5), Some(105));
    let some = reads();
    assert!((1..100).contains(&some), "{some} were read for one");
    assert_eq!(all(&mut keyed), thousand());
    // Each one once.
    assert!(reads() + some <= 1000);
    assert_eq!(get(&mut keyed, 6), Some(106));
    assert_eq!(reads(), 0);
    assert_eq!(keyed.table_mut(&value).unwrap().len(), 1000);
}

#[test]
fn what_nobody_asks_for_is_read_bit_by_bit_and_takes_no_more_memory_then() {
    let full = full(thousand());
    let mut fresh = KeyedBackend::<u64>::new(16, ALL);
    for (key, n) in thousand() {
        set(&mut fresh, key, Some(n));
    }
    let mut keyed = restored(&[&full]);
    let value = keyed.value_state::<Counted>("value").unwrap();
    let missing = |keyed: &mut KeyedBackend<u64>| {
        assert_eq!(get(keyed, KEYS), None);
        reads()
    };
    reads();
    let first = missing(&mut keyed);
    assert!((1..100).contains(&first), "{first} at once");
    let all: usize = (0..KEYS).map(|_| missing(&mut keyed)).sum();
    assert_eq!(first + all, 1000);
    assert_eq!(keyed.table_mut(&value).unwrap().len(), 1000);
    let (now, want) = (keyed.bytes(), fresh.bytes());
    assert!(now <= 2 * want, "{now} bytes, elsewhere {want}");
}

#[test]
fn a_full_snapshot_shows_its_moment_whatever_is_read_and_changed_while_it_is_copied() {
    let full = full(thousand());
    for changes_before_steps in [0, 1, 10, 100] {
        let mut keyed = restored(&[&full]);
        set(&mut keyed, 1, Some(1));
        set(&mut keyed, 2, None);
        keyed
            .snapshot_begin(CheckpointId(2), SnapshotKind::Full)
            .unwrap();
        let mut copied = None;
        for key in (0..KEYS + 10).rev() {
            set(&mut keyed, key, (key % 3 != 0).then_some(7));
            if copied.is_none() && key % (changes_before_steps + 1) == 0 {
                copied = keyed.snapshot_step(200).unwrap();
            }
        }
        let copied = match copied {
            Some(copied) => copied,
            None => keyed.snapshot_finish().unwrap(),
        };
        let mut want = thousand();
        want.insert(1, 1);
        want.remove(&2);
        assert_eq!(all(&mut restored(&[&copied])), want);
        let now = (0..KEYS + 10).filter(|key| key % 3 != 0);
        assert_eq!(all(&mut keyed), now.map(|key| (key, 7)).collect());
    }
}

#[test]
fn a_delta_before_all_is_read_has_what_changed_and_nothing_else() {
    let full = full(thousand());
    let mut keyed = restored(&[&full]);
    set(&mut keyed, 1, Some(1));
    set(&mut keyed, 2, None);
    assert_eq!(get(&mut keyed, 3), Some(103));
    reads();
    let delta = snapshot(&mut keyed, 2, SnapshotKind::Incremental);
    assert_eq!(delta.base, Some(CheckpointId(1)));
    assert_eq!(reads(), 0, "a delta needs no old values");
    let bytes = |snapshot: &KeyedSnapshot| {
        let blocks = snapshot.states.iter().flat_map(|state| &state.blocks);
        blocks.map(|block| block.bytes.len()).sum::<usize>()
    };
    assert!(bytes(&delta) < 20, "{} bytes", bytes(&delta));
    let mut want = thousand();
    want.insert(1, 1);
    want.remove(&2);
    assert_eq!(all(&mut restored(&[&full, &delta])), want);
    // And one that goes on from both, of which the removal is undone.
    let mut keyed = restored(&[&full, &delta]);
    assert_eq!(get(&mut keyed, 2), None);
    set(&mut keyed, 2, Some(2));
    keyed
        .snapshot_begin(CheckpointId(3), SnapshotKind::Incremental)
        .unwrap();
    let third = keyed.snapshot_finish().unwrap();
    want.insert(2, 2);
    assert_eq!(all(&mut restored(&[&full, &delta, &third])), want);
}

#[test]
fn what_is_removed_before_it_was_read_does_not_come_back() {
    let full = full(thousand());
    let mut keyed = restored(&[&full]);
    for key in 0..KEYS {
        set(&mut keyed, key, None);
    }
    assert_eq!(all(&mut keyed), BTreeMap::new());
    let value = keyed.value_state::<Counted>("value").unwrap();
    assert_eq!(keyed.table_mut(&value).unwrap().len(), 0);
    assert!((0..KEYS).all(|key| get(&mut keyed, key).is_none()));
}

#[test]
fn a_chunk_of_rows_finds_what_was_restored() {
    // More than is read before a chunk.
    const MANY: u64 = 20 * KEYS;
    let full = full((0..MANY).map(|key| (key, key + 100)));
    let mut keyed = restored(&[&full]);
    let value = keyed.value_state::<Counted>("value").unwrap();
    let keys: Vec<u64> = (0..MANY + 50).chain(0..MANY).rev().collect();
    let hashes: Vec<u64> = keys.iter().map(|key| key_hash(key).unwrap()).collect();
    let add = (Counted, |value: &mut Counted, n| value.0 += n);
    let table = keyed.table_mut(&value).unwrap();
    let rows = keys.iter().map(|key| (key, 1));
    table
        .upsert_all(&hashes, &(), rows, add, |_, _| {})
        .unwrap();
    let want = |key| if key < MANY { key + 102 } else { 1 };
    let want: BTreeMap<u64, u64> = (0..MANY + 50).map(|key| (key, want(key))).collect();
    assert_eq!(all(&mut keyed), want);
}

#[test]
fn a_value_that_this_program_refuses_is_told_when_the_state_is_asked_for() {
    let mut keyed = restored(&[&full((0..KEYS).map(|key| (key, 13)))]);
    for _ in 0..2 {
        let refused = keyed.value_state::<Counted>("value").unwrap_err();
        let text = weir_types::causes(&refused);
        assert!(
            text.contains("read state `value` from its snapshot"),
            "{text}"
        );
    }
    // Of a single one the record is told that needs it, or a later one.
    let mut keyed = restored(&[&full(
        (0..KEYS).map(|key| (key, if key == 700 { 13 } else { 0 })),
    )]);
    let Ok(value) = keyed.value_state::<Counted>("value") else {
        return;
    };
    keyed.set_key(700).unwrap();
    let text = weir_types::causes(&value.get(&mut keyed).unwrap_err());
    assert!(
        text.contains("read state `value` from its snapshot"),
        "{text}"
    );
}

#[test]
fn values_get_a_time_to_live_whenever_they_are_read() {
    let full = full(thousand());
    let mut keyed = restored(&[&full]);
    keyed.set_now_ms(1_000);
    let ttl = TtlConfig::new(std::time::Duration::from_secs(1)).with_sweep_size(0);
    let descriptor = StateDescriptor::new("value").with_ttl(ttl);
    let value = keyed.value_state::<Counted>(descriptor).unwrap();
    keyed.set_now_ms(1_999);
    keyed.set_key(3).unwrap();
    assert_eq!(value.get(&mut keyed).unwrap(), Some(&Counted(103)));
    // Its time is that of the restore, not that of the first use.
    keyed.set_now_ms(2_000);
    for key in 0..KEYS {
        keyed.set_key(key).unwrap();
        assert_eq!(value.get(&mut keyed).unwrap(), None, "key {key}");
    }
}

#[test]
fn at_another_parallelism_each_subtask_reads_its_own() {
    let full = full(thousand());
    let mut found = BTreeMap::new();
    for subtask in 0..3 {
        let range = KeyGroupRange::of_subtask(16, 3, subtask);
        let mut keyed = KeyedBackend::<u64>::restored(16, range, [full.clone()]).unwrap();
        keyed.value_state::<Counted>("value").unwrap();
        keyed
            .snapshot_begin(CheckpointId(9), SnapshotKind::Incremental)
            .unwrap();
        let copied = keyed.snapshot_finish().unwrap();
        assert!(copied.base.is_none(), "it continues no one's snapshot");
        let mut again = KeyedBackend::restored(16, range, [copied]).unwrap();
        found.extend(all(&mut again));
    }
    assert_eq!(found, thousand());
}
