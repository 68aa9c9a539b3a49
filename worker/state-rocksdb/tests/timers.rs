//! Timers over a database: many more than memory holds, files of checkpoints at another
//! parallelism, and files of an older version.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::path::Path;

use weir_state::{
    BackendRequest, ColdBatch, ColdSetup, ColdSnapshot, ColdSnapshotKind, FileSnapshot, GroupBlock,
    KeyedBackend, SnapshotKind, StateBackendFactory, StateMeta, TakenSnapshot, TimerService,
    append_entry, encode, key_hash,
};
use weir_state_rocksdb::{ReadingHeapFactory, RocksDbFactory, RocksDbOptions};
use weir_types::{AttemptNumber, CheckpointId, Epoch, ExecutionAttemptId, KeyGroup, KeyGroupRange};
use weir_types::{EventTime, OperatorId, SubtaskIndex, VertexId, Watermark};

const GROUPS: u32 = 128;

fn request(attempt: u32, (of, subtask): (u32, u32), files: &[FileSnapshot]) -> BackendRequest {
    let key_groups = KeyGroupRange::of_subtask(GROUPS, of, subtask);
    let overlaps = |files: &&FileSnapshot| files.range.iter().any(|g| key_groups.contains(g));
    BackendRequest {
        operator: OperatorId(8),
        attempt: ExecutionAttemptId {
            epoch: Epoch(3),
            vertex: VertexId(7),
            subtask: SubtaskIndex(subtask),
            attempt: AttemptNumber(attempt),
        },
        max_parallelism: GROUPS,
        key_groups,
        files: files.iter().filter(overlaps).cloned().collect(),
    }
}

type Timers = (KeyedBackend<u64>, TimerService);

fn open(factory: &dyn StateBackendFactory, request: &BackendRequest) -> Timers {
    let mut keyed = KeyedBackend::open_on(factory, request, Vec::new()).unwrap();
    let timers = keyed.timer_service("timers").unwrap();
    (keyed, timers)
}

fn rocksdb(folder: &Path, memory: usize) -> RocksDbFactory {
    RocksDbFactory::new(RocksDbOptions::new(folder, memory))
}

/// The timers that are due, in the order in which they come; the most memory that was taken.
fn fire((keyed, timers): &mut Timers, until: i64) -> (Vec<(i64, u64)>, usize) {
    let (mut fired, mut most) = (Vec::new(), 0);
    let watermark = Watermark(EventTime(until));
    while let Some(timer) = timers.pop_event_time_timer(keyed, watermark).unwrap() {
        fired.push((timer.time, *keyed.current_key().unwrap()));
        most = most.max(keyed.memory_bytes());
    }
    (fired, most)
}

fn files_of(keyed: &mut KeyedBackend<u64>, checkpoint: u64) -> FileSnapshot {
    let checkpoint = CheckpointId(checkpoint);
    keyed
        .snapshot_begin(checkpoint, SnapshotKind::Files)
        .unwrap();
    match keyed.snapshot_poll(usize::MAX).unwrap() {
        Some(TakenSnapshot::Files(files)) => files,
        other => panic!("wanted files, got {other:?}"),
    }
}

fn time_of(key: u64) -> i64 {
    i64::try_from(key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 44).unwrap()
}

#[test]
fn many_more_timers_than_memory_holds_fire_once_also_from_files_at_any_parallelism() {
    let folder = tempfile::tempdir().unwrap();
    let (memory, keys) = (2 << 20, 200_000u64);
    let factory = rocksdb(&folder.path().join("a"), memory);
    let (mut keyed, timers) = open(&factory, &request(0, (1, 0), &[]));
    let mut most = 0;
    for key in 0..keys {
        keyed.set_key(key).unwrap();
        let time = EventTime(time_of(key));
        let new = timers.register_event_time_timer(&mut keyed, &(), time);
        assert!(new.unwrap());
        most = most.max(keyed.memory_bytes());
    }
    for key in (0..keys).step_by(4) {
        keyed.set_key(key).unwrap();
        let time = EventTime(time_of(key));
        let was = timers.delete_event_time_timer(&mut keyed, &(), time);
        assert!(was.unwrap(), "key {key}");
    }
    let mut want: Vec<_> = (0..keys).filter(|key| key % 4 != 0).collect();
    want.sort_unstable_by_key(|key| time_of(*key));
    let half = time_of(want[want.len() / 2]);
    let mut all = (keyed, timers);
    let (first, during) = fire(&mut all, half);
    let files = files_of(&mut all.0, 1);
    let (rest, after) = fire(&mut all, i64::MAX);
    let most = most.max(during).max(after);
    assert!(most <= memory, "{most} bytes of tables");
    assert!(first.iter().all(|(time, _)| *time <= half));
    let fired: Vec<_> = first.iter().chain(&rest).copied().collect();
    assert!(fired.is_sorted_by_key(|(time, _)| *time));
    assert_eq!(fired.len(), want.len(), "each once");
    let want: BTreeSet<_> = want.iter().map(|key| (time_of(*key), *key)).collect();
    assert_eq!(fired.into_iter().collect::<BTreeSet<_>>(), want);

    // What fired after the checkpoint fires again, at any parallelism, and nothing else does.
    let want: BTreeSet<_> = rest.iter().copied().collect();
    let factory = rocksdb(&folder.path().join("b"), memory);
    let (mut halves, mut twos, mut again) = (Vec::new(), Vec::new(), Vec::new());
    for subtask in 0..2 {
        let request = request(1, (2, subtask), std::slice::from_ref(&files));
        let mut half = open(&factory, &request);
        twos.push(files_of(&mut half.0, 2));
        again.extend(fire(&mut half, i64::MAX).0);
        // The files would go with it.
        halves.push(half);
    }
    assert_eq!(again.len(), want.len());
    assert_eq!(again.into_iter().collect::<BTreeSet<_>>(), want);

    let factory = rocksdb(&folder.path().join("c"), memory);
    let mut one = open(&factory, &request(2, (1, 0), &twos));
    let (again, most) = fire(&mut one, i64::MAX);
    assert!(most <= memory, "{most} bytes of tables");
    assert_eq!(again.len(), want.len());
    assert_eq!(again.into_iter().collect::<BTreeSet<_>>(), want);

    let heap = ReadingHeapFactory::new(folder.path().join("d"), 16 << 20);
    let mut heap = open(&heap, &request(3, (1, 0), &twos));
    let (again, _) = fire(&mut heap, i64::MAX);
    assert_eq!(again.len(), want.len());
    assert_eq!(again.into_iter().collect::<BTreeSet<_>>(), want);
}

/// A database as version 1 wrote it: with the time behind key and namespace.
fn files_of_version_1(folder: &Path, metas: &[StateMeta]) -> (ColdSetup, FileSnapshot) {
    let setup = rocksdb(folder, 1 << 20).open(&request(0, (1, 0), &[]));
    let setup = setup.unwrap().unwrap();
    let ids: Vec<_> = metas
        .iter()
        .map(|meta| setup.tier.open_state(meta).unwrap())
        .collect();
    let mut blocks = vec![Vec::new(); GROUPS as usize];
    for key in 0..10_000 {
        let mut text = Vec::new();
        encode(&(key, (), time_of(key)), &mut text).unwrap();
        let group = KeyGroup::of_hash(key_hash(&key).unwrap(), GROUPS);
        append_entry(&text, &[], &mut blocks[usize::from(group.0)]);
    }
    let blocks = (0..).map(KeyGroup).zip(blocks);
    let blocks = blocks.map(|(group, bytes)| GroupBlock { group, bytes });
    let (state, blocks) = (ids[0], blocks.collect());
    setup.tier.write(ColdBatch { state, blocks }).unwrap();
    setup
        .tier
        .snapshot_begin(CheckpointId(1), ColdSnapshotKind::Files { ahead: false })
        .unwrap();
    let taken = setup.tier.snapshot_take(true).unwrap();
    let Some(ColdSnapshot::Files { folder, files, .. }) = taken else {
        panic!("wanted files, got {taken:?}");
    };
    let files = FileSnapshot {
        checkpoint: CheckpointId(1),
        max_parallelism: GROUPS,
        range: KeyGroupRange::of_subtask(GROUPS, 1, 0),
        states: metas.to_vec(),
        folder,
        files,
        spilled: None,
    };
    (setup, files)
}

#[test]
fn timers_in_files_of_version_1_go_on_within_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let memory = 512 << 10;
    let factory = rocksdb(&folder.path().join("now"), memory);
    let (mut keyed, _) = open(&factory, &request(0, (1, 0), &[]));
    let mut metas = files_of(&mut keyed, 1).states;
    for meta in &mut metas {
        assert_eq!(meta.format_version, 2);
        meta.format_version = 1;
    }
    let (_old, files) = files_of_version_1(&folder.path().join("old"), &metas);

    let want: BTreeSet<_> = (0..10_000).map(|key| (time_of(key), key)).collect();
    let factory = rocksdb(&folder.path().join("new"), memory);
    let mut timers = open(&factory, &request(1, (1, 0), std::slice::from_ref(&files)));
    assert!(timers.0.memory_bytes() <= memory);
    let new = files_of(&mut timers.0, 2);
    assert!(new.states.iter().all(|meta| meta.format_version == 2));
    let (fired, most) = fire(&mut timers, i64::MAX);
    assert!(most <= memory, "{most} bytes of tables");
    assert!(fired.is_sorted_by_key(|(time, _)| *time));
    assert_eq!(fired.len(), want.len());
    assert_eq!(fired.into_iter().collect::<BTreeSet<_>>(), want);

    // Nothing of version 1 is in the new files.
    let factory = rocksdb(&folder.path().join("newer"), memory);
    for files in [new, files] {
        let request_of = |attempt| request(attempt, (1, 0), std::slice::from_ref(&files));
        let mut timers = open(&factory, &request_of(2));
        assert_eq!(fire(&mut timers, i64::MAX).0.len(), want.len());
        let heap = ReadingHeapFactory::new(folder.path().join("heap"), 4 << 20);
        let mut timers = open(&heap, &request_of(3));
        assert_eq!(fire(&mut timers, i64::MAX).0.len(), want.len());
    }
}
