//! Entries of snapshots that need not fit into memory: copied into a file on the local disk, and
//! taken in as the files of a database, some key groups at a time.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use weir_state::{
    BackendRequest, ColdError, ColdSnapshotKind, FileSnapshot, HeapFactory, KeyedBackend,
    KeyedSnapshot, Records, SnapshotKind, StateBackendFactory, StateMeta, StateSnapshot,
    TakenSnapshot, append_entry, group_prefix, merge_snapshots,
};
use weir_state_rocksdb::{RocksDbFactory, RocksDbOptions};
use weir_types::{AttemptNumber, CheckpointId, Epoch, ExecutionAttemptId, KeyGroupRange};
use weir_types::{EventTime, OperatorId, SubtaskIndex, VertexId, Watermark, hash_bytes};

const GROUPS: u32 = 128;

const KEYS: u64 = 20_000;

/// Far less than the keys take.
const MEMORY: usize = 1 << 20;

fn request((of, subtask): (u32, u32), files: &[FileSnapshot]) -> BackendRequest {
    BackendRequest {
        operator: OperatorId(8),
        attempt: ExecutionAttemptId {
            epoch: Epoch(3),
            vertex: VertexId(7),
            subtask: SubtaskIndex(subtask),
            attempt: AttemptNumber(0),
        },
        max_parallelism: GROUPS,
        key_groups: KeyGroupRange::of_subtask(GROUPS, of, subtask),
        files: files.to_vec(),
    }
}

fn rocksdb(folder: &Path) -> RocksDbFactory {
    RocksDbFactory::new(RocksDbOptions::new(folder, MEMORY))
}

fn open(factory: &dyn StateBackendFactory, request: &BackendRequest) -> KeyedBackend<u64> {
    KeyedBackend::open_on(factory, request, Vec::new()).unwrap()
}

/// State of several kinds for these keys.
fn fill(keyed: &mut KeyedBackend<u64>, keys: std::ops::Range<u64>, add: u64) {
    let name = keyed.value_state::<String>("name").unwrap();
    let list = keyed.list_state::<u64>("list").unwrap();
    let map = keyed.map_state::<u8, u64>("map").unwrap();
    let timers = keyed.timer_service::<()>("timers").unwrap();
    for key in keys {
        keyed.set_key(key).unwrap();
        name.set(keyed, format!("the name of {}", key + add))
            .unwrap();
        if key % 3 == 0 {
            list.add(keyed, key + add).unwrap();
            map.put(keyed, 1, key + add).unwrap();
            let time = EventTime(i64::try_from(key).unwrap());
            timers.register_event_time_timer(keyed, &(), time).unwrap();
        }
    }
}

/// What was filled in once is there, of the keys of this backend.
fn check(keyed: &mut KeyedBackend<u64>, add: impl Fn(u64) -> Option<u64>) {
    let name = keyed.value_state::<String>("name").unwrap();
    let list = keyed.list_state::<u64>("list").unwrap();
    let map = keyed.map_state::<u8, u64>("map").unwrap();
    let timers = keyed.timer_service::<()>("timers").unwrap();
    let mut with_timers = 0;
    for key in 0..KEYS {
        keyed.set_key(key).unwrap();
        if !keyed.key_group_range().contains(keyed.key_group().unwrap()) {
            continue;
        }
        let add = add(key);
        let want = add.map(|add| format!("the name of {}", key + add));
        assert_eq!(name.get(keyed).unwrap(), want.as_ref(), "key {key}");
        if key % 3 == 0 {
            with_timers += 1;
            let last = list.get(keyed).unwrap().last().copied();
            assert_eq!(last, Some(key + add.unwrap_or(0)), "key {key}");
            let value = map.get(keyed, &1).unwrap().copied();
            assert_eq!(value, Some(key + add.unwrap_or(0)), "key {key}");
        }
    }
    let mut fired = 0;
    let end = Watermark(EventTime(i64::MAX));
    while timers.pop_event_time_timer(keyed, end).unwrap().is_some() {
        fired += 1;
    }
    assert_eq!(fired, with_timers);
}

fn spill(keyed: &mut KeyedBackend<u64>, checkpoint: u64) -> FileSnapshot {
    let checkpoint = CheckpointId(checkpoint);
    keyed
        .snapshot_begin(checkpoint, SnapshotKind::Full)
        .unwrap();
    match keyed.snapshot_poll(usize::MAX).unwrap() {
        Some(TakenSnapshot::Files(files)) if files.spilled.is_some() => files,
        other => panic!("wanted entries on the disk, got {other:?}"),
    }
}

#[test]
fn a_full_snapshot_is_what_the_database_holds_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let mut keyed = open(&rocksdb(folder.path()), &request((1, 0), &[]));
    fill(&mut keyed, 0..KEYS, 0);
    let files = spill(&mut keyed, 1);
    let spilled = files.spilled.as_ref().unwrap();
    let names = spilled.states.iter().map(|state| state.meta.name.as_str());
    assert!(names.clone().is_sorted(), "{:?}", names.collect::<Vec<_>>());
    let metas = spilled.states.iter().map(|state| &state.meta);
    assert!(files.states.iter().eq(metas));
    let tier = keyed.tier().unwrap();
    for state in &spilled.states {
        let id = tier.open_state(&state.meta).unwrap();
        let mut blocks = state.blocks.iter();
        for group in files.range.iter() {
            let (prefix, mut want) = (group_prefix(group), Vec::new());
            tier.scan(id, &prefix, &prefix, &mut |key, value| {
                append_entry(&key[2..], value, &mut want);
                Ok(true)
            })
            .unwrap();
            if want.is_empty() {
                continue;
            }
            let block = blocks.next().unwrap();
            assert_eq!(block.group, group);
            assert!(*spilled.read(&block.records).unwrap() == *want, "{group}");
            let Records::OnDisk(span) = block.records else {
                panic!("it is in memory: {block:?}");
            };
            assert_eq!(span.checksum, hash_bytes(&want));
        }
        assert_eq!(blocks.next(), None);
    }
    // It shows the state as it was, also when its tier is gone.
    fill(&mut keyed, 0..10, 5);
    drop(keyed);
    let entries = files.read_spilled().unwrap().unwrap();
    let mut heap = KeyedBackend::restored(GROUPS, files.range, [entries]).unwrap();
    check(&mut heap, |_| Some(0));
}

/// Open files of this process that are copies for this checkpoint.
fn copies(checkpoint: u64) -> usize {
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let paths = open.filter_map(|entry| fs::read_link(entry.path()).ok());
    let name = format!("/copy-{checkpoint} (deleted)");
    paths
        .filter(|path| path.to_string_lossy().ends_with(&name))
        .count()
}

#[test]
fn a_snapshot_that_is_given_up_leaves_nothing_and_the_next_one_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let mut keyed = open(&rocksdb(folder.path()), &request((1, 0), &[]));
    fill(&mut keyed, 0..KEYS, 0);
    drop(spill(&mut keyed, 1));
    let tier = keyed.tier().unwrap();
    let given_up = [4_700, 4_701, 4_702];
    // The copy has not begun, is under way, or is ready.
    for (checkpoint, wait) in given_up.into_iter().zip([0, 1, 200]) {
        let id = CheckpointId(checkpoint);
        tier.snapshot_begin(id, ColdSnapshotKind::Blocks).unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        tier.abort(id);
        assert!(tier.snapshot_take(true).unwrap().is_none());
    }
    let files = spill(&mut keyed, 4_800);
    let entries = files.read_spilled().unwrap().unwrap();
    assert_eq!(copies(4_800), 1);
    drop(files);
    let gone = (0..2_000).any(|_| {
        std::thread::sleep(Duration::from_millis(5));
        let mut all = given_up.into_iter().chain([4_800]);
        all.all(|checkpoint| copies(checkpoint) == 0)
    });
    assert!(gone, "a copy is still there");
    let mut heap = KeyedBackend::restored(GROUPS, entries.range, [entries]).unwrap();
    check(&mut heap, |_| Some(0));
}

/// Only these key groups of a snapshot.
fn cut(snapshot: &KeyedSnapshot, range: KeyGroupRange) -> KeyedSnapshot {
    let states = snapshot.states.iter().map(|state| StateSnapshot {
        meta: state.meta.clone(),
        complete: state.complete,
        blocks: state
            .blocks
            .iter()
            .filter(|block| range.contains(block.group))
            .cloned()
            .collect(),
    });
    KeyedSnapshot {
        range,
        states: states.collect(),
        ..snapshot.clone()
    }
}

/// A full snapshot in memory, and one that continues it with other values and removals.
fn two_snapshots() -> (Vec<StateMeta>, [KeyedSnapshot; 2]) {
    let mut heap = open(&HeapFactory, &request((1, 0), &[]));
    fill(&mut heap, 0..KEYS, 0);
    heap.snapshot_begin(CheckpointId(1), SnapshotKind::Full)
        .unwrap();
    let full = heap.snapshot_finish().unwrap();
    heap.confirm(CheckpointId(1));
    fill(&mut heap, 0..1_000, 5);
    let name = heap.value_state::<String>("name").unwrap();
    for key in 2_000..3_000 {
        heap.set_key(key).unwrap();
        name.clear(&mut heap).unwrap();
    }
    heap.snapshot_begin(CheckpointId(2), SnapshotKind::Incremental)
        .unwrap();
    let delta = heap.snapshot_finish().unwrap();
    assert_eq!(delta.base, Some(CheckpointId(1)));
    let metas = full.states.iter().map(|state| state.meta.clone());
    (metas.collect(), [full, delta])
}

fn expected(key: u64) -> Option<u64> {
    match key {
        0..1_000 => Some(5),
        2_000..3_000 => None,
        _ => Some(0),
    }
}

#[test]
fn entries_that_come_some_key_groups_at_a_time_are_restored_at_any_parallelism() {
    let folder = tempfile::tempdir().unwrap();
    let (metas, snapshots) = two_snapshots();
    let factory = rocksdb(&folder.path().join("job"));
    let own = folder.path().join("import");
    fs::create_dir(&own).unwrap();
    let mut slices = (0..8).map(|nth| KeyGroupRange {
        start: nth * 16,
        end: nth * 16 + 15,
    });
    let mut next = || -> Result<_, ColdError> {
        let Some(range) = slices.next() else {
            return Ok(None);
        };
        let parts = snapshots.iter().map(|snapshot| cut(snapshot, range));
        Ok(Some(merge_snapshots(GROUPS, range, parts).unwrap()))
    };
    let importer = factory.importer().unwrap();
    let (place, files) = importer.import(&own, &metas, &mut next).unwrap();
    let files = FileSnapshot {
        checkpoint: CheckpointId(2),
        max_parallelism: GROUPS,
        range: KeyGroupRange::of_subtask(GROUPS, 1, 0),
        states: metas,
        folder: place,
        files,
        spilled: None,
    };
    for parallelism in [1, 2] {
        let factory = rocksdb(&folder.path().join(parallelism.to_string()));
        for subtask in 0..parallelism {
            let request = request((parallelism, subtask), std::slice::from_ref(&files));
            check(&mut open(&factory, &request), expected);
        }
    }
    // It is linked, so that its folder may go.
    let mut keyed = open(&factory, &request((1, 0), std::slice::from_ref(&files)));
    fs::remove_dir_all(own).unwrap();
    check(&mut keyed, expected);
}

#[test]
fn what_cannot_be_read_on_its_way_is_no_database() {
    let folder = tempfile::tempdir().unwrap();
    let (metas, [full, _]) = two_snapshots();
    let factory = rocksdb(&folder.path().join("job"));
    let importer = factory.importer().unwrap();
    let import = |name: &str, metas: &[StateMeta], second: Result<_, ColdError>| {
        let own = folder.path().join(name);
        fs::create_dir(&own).unwrap();
        let first = Ok(Some(cut_to(&full, 3)));
        let mut all = [first, second, Ok(None)].into_iter();
        let done = importer.import(&own, metas, &mut || all.next().unwrap());
        done.map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(import("whole", &metas, Ok(Some(cut_to(&full, 4)))), Ok(()));
    let failed = import("failed", &metas, Err(ColdError::NoTier));
    assert_eq!(failed, Err(ColdError::NoTier.to_string()));
    let mut garbage = cut_to(&full, 4);
    let mut states = garbage.iter_mut();
    let names = states.find(|state| state.meta.name == "name").unwrap();
    names.blocks[0].bytes.truncate(7);
    let damaged = import("damaged", &metas, Ok(Some(garbage))).unwrap_err();
    assert!(damaged.contains("cut off"), "{damaged}");
    let again = import("again", &metas, Ok(Some(cut_to(&full, 3)))).unwrap_err();
    assert!(again.contains("write a sorted file"), "{again}");
    let foreign = import("foreign", &metas[1..], Ok(None)).unwrap_err();
    assert!(foreign.contains("is none of the states"), "{foreign}");
}

fn cut_to(snapshot: &KeyedSnapshot, group: u16) -> Vec<StateSnapshot> {
    let range = KeyGroupRange {
        start: group,
        end: group,
    };
    cut(snapshot, range).states
}
