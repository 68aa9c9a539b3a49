//! The life of a database: its folder, a kill, a full disk, files that are not whole, its memory.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod beside;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use weir_state::{
    BackendRequest, FileSnapshot, HeapFactory, KeyedBackend, SnapshotFile, SnapshotKind,
    StateBackendFactory, StateDescriptor, StateError, TakenSnapshot, TtlConfig, TtlVisibility,
    key_hash,
};
use weir_state_rocksdb::{ReadingHeapFactory, RocksDbFactory, RocksDbOptions};
use weir_types::{AttemptNumber, CheckpointId, Epoch, ExecutionAttemptId, KeyGroupRange};
use weir_types::{OperatorId, SubtaskIndex, VertexId};

const GROUPS: u32 = 128;

fn whole() -> KeyGroupRange {
    KeyGroupRange::of_subtask(GROUPS, 1, 0)
}

fn request(attempt: u32, files: Vec<FileSnapshot>) -> BackendRequest {
    BackendRequest {
        operator: OperatorId(8),
        attempt: ExecutionAttemptId {
            epoch: Epoch(3),
            vertex: VertexId(7),
            subtask: SubtaskIndex(0),
            attempt: AttemptNumber(attempt),
        },
        max_parallelism: GROUPS,
        key_groups: whole(),
        files,
    }
}

fn open(
    folder: &Path,
    memory: usize,
    request: &BackendRequest,
) -> Result<KeyedBackend<u64>, StateError> {
    let factory = RocksDbFactory::new(RocksDbOptions::new(folder, memory));
    KeyedBackend::open_on(&factory, request, Vec::new())
}

/// The key of state that plays this one: neighbours are far from each other.
fn spread(key: u64) -> u64 {
    key.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Which subtask has the state of this key.
fn subtask_of(key: u64, parallelism: u32) -> usize {
    let group = weir_types::KeyGroup::of_hash(key_hash(&spread(key)).unwrap(), GROUPS);
    weir_types::subtask_of_key_group(group, GROUPS, parallelism) as usize
}

/// The bytes of all files of a snapshot.
fn contents(files: &FileSnapshot) -> Vec<Vec<u8>> {
    let names = files.files.iter().map(|file| files.folder.join(&file.name));
    names.map(|path| fs::read(path).unwrap()).collect()
}

/// Adds 1 to the sums of these keys, a chunk at a time; the most memory that was taken.
fn add(keyed: &mut KeyedBackend<u64>, keys: std::ops::Range<u64>) -> Result<usize, StateError> {
    let sum = keyed.value_state::<u64>("sum")?;
    let mut most = 0;
    let keys: Vec<u64> = keys.map(spread).collect();
    for chunk in keys.chunks(512) {
        let hashes: Vec<u64> = chunk.iter().map(|key| key_hash(key).unwrap()).collect();
        let table = keyed.table_mut(&sum)?;
        let rows = chunk.iter().map(|key| (key, 1));
        table.upsert_all(
            &hashes,
            &(),
            rows,
            (|n| n, |sum: &mut u64, n| *sum += n),
            |_, _| {},
        )?;
        most = most.max(keyed.memory_bytes());
    }
    Ok(most)
}

fn sum_of(keyed: &mut KeyedBackend<u64>, key: u64) -> Option<u64> {
    let sum = keyed.value_state::<u64>("sum").unwrap();
    keyed.set_key(spread(key)).unwrap();
    sum.get(keyed).unwrap().copied()
}

fn files_of(keyed: &mut KeyedBackend<u64>, checkpoint: u64) -> Result<FileSnapshot, StateError> {
    keyed.snapshot_begin(CheckpointId(checkpoint), SnapshotKind::Files)?;
    taken_files(keyed)
}

/// Those of the snapshot that has begun.
fn taken_files(keyed: &mut KeyedBackend<u64>) -> Result<FileSnapshot, StateError> {
    match keyed.snapshot_poll(usize::MAX)? {
        Some(TakenSnapshot::Files(files)) => Ok(files),
        other => panic!("wanted files, got {other:?}"),
    }
}

#[test]
fn ten_times_the_memory_keeps_its_limit_and_every_sum() {
    let folder = tempfile::tempdir().unwrap();
    let memory = 2 << 20;
    let mut keyed = open(folder.path(), memory, &request(0, Vec::new())).unwrap();
    let keys = 500_000;
    for _ in 0..2 {
        let most = add(&mut keyed, 0..keys).unwrap();
        assert!(most <= memory, "{most} bytes of tables");
    }
    for key in (0..keys).step_by(991) {
        assert_eq!(sum_of(&mut keyed, key), Some(2), "key {key}");
    }
    let stats = keyed.cold_stats().unwrap();
    assert!(stats.read_keys > 400_000, "{stats:?}");
}

#[test]
fn a_snapshot_that_the_writer_makes_is_waited_for_until_it_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let mut keyed = open(folder.path(), 64 << 20, &request(0, Vec::new())).unwrap();
    add(&mut keyed, 0..50_000).unwrap();
    assert!(!keyed.snapshot_waits());
    keyed
        .snapshot_begin(CheckpointId(1), SnapshotKind::Files)
        .unwrap();
    assert!(
        !keyed.snapshot_waits(),
        "the entries are to be copied first"
    );
    let mut taken = keyed.snapshot_poll(1 << 10).unwrap();
    assert!(!keyed.snapshot_waits(), "a part of them is");
    while !keyed.snapshot_waits() && taken.is_none() {
        taken = keyed.snapshot_poll(64 << 10).unwrap();
    }
    if taken.is_none() {
        taken = keyed.snapshot_poll(usize::MAX).unwrap();
    }
    assert!(matches!(taken, Some(TakenSnapshot::Files(_))), "{taken:?}");
    assert!(!keyed.snapshot_waits());
}

#[test]
fn an_unchanged_file_is_the_same_in_the_next_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let mut keyed = open(folder.path(), 64 << 20, &request(0, Vec::new())).unwrap();
    add(&mut keyed, 0..600_000).unwrap();
    let first = files_of(&mut keyed, 1).unwrap();
    add(&mut keyed, 0..200_000).unwrap();
    let second = files_of(&mut keyed, 2).unwrap();
    let (first, second) = (shared(&first), shared(&second));
    assert!(
        !first.is_empty() && second.len() == first.len() + 1,
        "{first:?} {second:?}"
    );
    assert!(first.iter().all(|file| second.contains(file)));
    let new = second.iter().filter(|file| !first.contains(file));
    let new: u64 = new.map(|file| file.bytes).sum();
    assert!(new < first[0].bytes / 2, "only what changed: {new}");
}

/// The files that never change.
fn shared(files: &FileSnapshot) -> Vec<SnapshotFile> {
    let all = files.files.iter();
    all.filter(|file| file.shared).cloned().collect()
}

#[test]
fn a_later_write_changes_no_linked_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut keyed = open(folder.path(), 64 << 20, &request(0, Vec::new())).unwrap();
    add(&mut keyed, 0..20_000).unwrap();
    let files = files_of(&mut keyed, 1).unwrap();
    let before = contents(&files);
    for n in 2..6 {
        add(&mut keyed, 0..100_000).unwrap();
        files_of(&mut keyed, n).unwrap();
    }
    assert!(before == contents(&files));
}

#[test]
fn a_closed_database_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut keyed = open(folder.path(), 4 << 20, &request(0, Vec::new())).unwrap();
    add(&mut keyed, 0..10_000).unwrap();
    files_of(&mut keyed, 1).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    drop(keyed);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// Runs in a process of its own, until it is killed.
#[test]
#[ignore = "a part of the test below"]
fn works_until_it_is_killed() {
    let folder = std::env::var("WEIR_TEST_FOLDER").unwrap();
    let mut keyed = open(folder.as_ref(), 1 << 20, &request(0, Vec::new())).unwrap();
    for checkpoint in 1.. {
        add(&mut keyed, 0..100_000).unwrap();
        files_of(&mut keyed, checkpoint).unwrap();
        fs::write(Path::new(&folder).join("working"), "").unwrap();
    }
}

#[test]
fn a_killed_process_leaves_nothing_that_the_next_attempt_trips_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["works_until_it_is_killed", "--exact", "--ignored"])
        .env("WEIR_TEST_FOLDER", folder.path())
        .spawn()
        .unwrap();
    let working = folder.path().join("working");
    while !working.exists() {
        assert_eq!(child.try_wait().unwrap(), None, "it works");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    fs::remove_file(&working).unwrap();
    // A process that is back may count its attempts from the same number again.
    for attempt in [0, 1] {
        let mut keyed = open(folder.path(), 1 << 20, &request(attempt, Vec::new())).unwrap();
        assert_eq!(
            sum_of(&mut keyed, 1),
            None,
            "nothing of the old attempt is seen"
        );
        add(&mut keyed, 0..1_000).unwrap();
        let all = fs::read_dir(folder.path()).unwrap().map(Result::unwrap);
        // What was put away is on its way out.
        let own = all.filter(|entry| !entry.file_name().to_string_lossy().starts_with("removed-"));
        let own: Vec<_> = own.collect();
        assert_eq!(own.len(), 1);
        let attempts = fs::read_dir(own[0].path()).unwrap();
        assert_eq!(attempts.count(), 1, "the old attempt's folder is gone");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_cut_file_or_a_missing_key_group_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut keyed = open(&folder.path().join("a"), 4 << 20, &request(0, Vec::new())).unwrap();
    add(&mut keyed, 0..10_000).unwrap();
    let files = files_of(&mut keyed, 1).unwrap();

    let half = FileSnapshot {
        range: KeyGroupRange::of_subtask(GROUPS, 2, 0),
        ..files.clone()
    };
    let error = open(&folder.path().join("b"), 4 << 20, &request(1, vec![half]))
        .err()
        .unwrap();
    let text = format!("{:?}", chain(&error));
    assert!(text.contains("key group 64"), "{text}");

    let sst = files.files.iter().find(|file| file.shared).unwrap();
    let bytes = fs::read(files.folder.join(&sst.name)).unwrap();
    fs::remove_file(files.folder.join(&sst.name)).unwrap();
    fs::write(files.folder.join(&sst.name), &bytes[..bytes.len() / 2]).unwrap();
    let error = open(
        &folder.path().join("c"),
        4 << 20,
        &request(1, vec![files.clone()]),
    )
    .err()
    .unwrap();
    let text = format!("{:?}", chain(&error));
    assert!(
        text.contains(&sst.name) && text.contains("instead of"),
        "{text}"
    );
}

fn chain(error: &dyn std::error::Error) -> Vec<String> {
    let all = std::iter::successors(Some(error), |error| error.source());
    all.map(ToString::to_string).collect()
}

#[test]
fn a_full_disk_is_the_machines_fault_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mount = ["-t", "tmpfs", "-o", "size=6m", "none"];
    let mounted = Command::new("mount")
        .args(mount)
        .arg(folder.path())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no right to mount a small file system");
        return;
    }
    let failed = (|| {
        let mut keyed = open(&folder.path().join("job"), 1 << 20, &request(0, Vec::new()))?;
        add(&mut keyed, 0..2_000_000).map(drop)
    })();
    let unmounted = Command::new("umount").arg(folder.path()).status();
    assert!(unmounted.unwrap().success());
    let error = failed.unwrap_err();
    assert!(error.is_environment(), "{error:?}");
    let text = chain(&error).join(": ");
    assert!(
        text.contains("the disk is full") && text.contains("free space"),
        "{text}"
    );
}

#[test]
fn a_slots_memory_is_shared_by_its_operators() {
    let folder = tempfile::tempdir().unwrap();
    let factory = RocksDbFactory::new(RocksDbOptions::new(folder.path(), 10 << 20));
    let first = factory.open(&request(0, Vec::new())).unwrap().unwrap();
    let alone = first.memory.bytes();
    assert!(alone > 8 << 20, "a tenth is the cache");
    let other = BackendRequest {
        operator: OperatorId(9),
        ..request(0, Vec::new())
    };
    let second = factory.open(&other).unwrap().unwrap();
    assert_eq!(first.memory.bytes(), alone / 2);
    drop(second);
    assert_eq!(first.memory.bytes(), alone);
}

#[test]
fn two_operators_of_a_subtask_keep_their_state_apart() {
    let folder = tempfile::tempdir().unwrap();
    let factory = RocksDbFactory::new(RocksDbOptions::new(folder.path(), 1 << 20));
    let open = |operator: u128, attempt: u32| {
        let request = BackendRequest {
            operator: OperatorId(operator),
            ..request(attempt, Vec::new())
        };
        KeyedBackend::<u64>::open_on(&factory, &request, Vec::new()).unwrap()
    };
    let (mut one, mut other) = (open(1, 0), open(2, 0));
    add(&mut one, 0..1000).unwrap();
    add(&mut other, 500..1500).unwrap();
    add(&mut other, 500..1500).unwrap();
    files_of(&mut one, 1).unwrap();
    files_of(&mut other, 1).unwrap();
    // The next attempt of one of them clears up behind the one before, and nowhere else.
    drop(open(1, 1));
    let sums = |keyed: &mut KeyedBackend<u64>| [0, 700, 1400].map(|key| sum_of(keyed, key));
    assert_eq!(sums(&mut one).map(|sum| sum.is_some()), [true, true, false]);
    assert_eq!(
        sums(&mut other).map(|sum| sum.is_some()),
        [false, true, true]
    );
    assert_ne!(sum_of(&mut one, 700), sum_of(&mut other, 700));
}

fn sst_bytes(keyed: &KeyedBackend<u64>) -> u64 {
    let figures = keyed.cold_stats().unwrap().figures;
    let mut figures = figures.into_iter();
    let found = figures.find(|(figure, _)| *figure == "sst_bytes");
    found.unwrap().1
}

#[test]
fn a_value_that_nobody_asks_for_goes_when_its_time_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let ttl = TtlConfig::new(std::time::Duration::from_secs(10)).with_sweep_size(0);
    let mut keyed = open(folder.path(), 1 << 20, &request(0, Vec::new())).unwrap();
    let seen = || StateDescriptor::new("seen").with_ttl(ttl);
    let mut put_all = |now_ms: i64, keys: std::ops::Range<u64>, checkpoint: u64| {
        keyed.set_now_ms(now_ms);
        let seen = keyed.value_state::<u64>(seen()).unwrap();
        for key in keys {
            keyed.set_key(key).unwrap();
            seen.set(&mut keyed, 7).unwrap();
        }
        files_of(&mut keyed, checkpoint).unwrap();
        sst_bytes(&keyed)
    };
    let full = put_all(0, 0..200_000, 1);
    // Long after, other keys keep the state busy until its files are merged.
    let bytes_left = (2..1000).map(|n| {
        std::thread::sleep(std::time::Duration::from_millis(5));
        put_all(100_000, 1_000_000..1_000_500, n)
    });
    let found = bytes_left.into_iter().any(|left| left < full / 2);
    assert!(found, "{full} bytes stayed");
}

#[test]
fn a_list_that_nobody_asks_for_goes_when_the_time_of_its_newest_element_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let ttl = TtlConfig::new(std::time::Duration::from_secs(10))
        .with_sweep_size(0)
        .with_visibility(TtlVisibility::ReturnExpiredIfNotCleanedUp);
    let mut keyed = open(folder.path(), 1 << 20, &request(0, Vec::new())).unwrap();
    let descriptor = StateDescriptor::new("seen").with_ttl(ttl);
    let list = keyed.list_state::<u64>(descriptor).unwrap();
    let add = |keyed: &mut KeyedBackend<u64>, keys: std::ops::Range<u64>, element| {
        for key in keys {
            keyed.set_key(key).unwrap();
            list.add(keyed, element).unwrap();
        }
    };
    keyed.set_now_ms(0);
    add(&mut keyed, 0..200_000, 7);
    files_of(&mut keyed, 1).unwrap();
    let full = sst_bytes(&keyed);
    // Long after, a few get a second element, and new keys keep the state busy until its files are
    // merged.
    keyed.set_now_ms(100_000);
    add(&mut keyed, 0..100, 8);
    let merged = (2..1000).any(|n| {
        std::thread::sleep(std::time::Duration::from_millis(5));
        let first = 1_000_000 + n * 500;
        add(&mut keyed, first..first + 500, 7);
        files_of(&mut keyed, n).unwrap();
        sst_bytes(&keyed) < full / 2
    });
    assert!(merged, "{full} bytes stayed");
    for key in 0..100 {
        keyed.set_key(key).unwrap();
        let left: Vec<u64> = list.get(&mut keyed).unwrap().copied().collect();
        assert_eq!(left, [7, 8], "key {key}");
    }
}

/// Subtasks of one operator, each with a folder of its own.
fn rescaled(folder: &Path, parallelism: u32, files: &[FileSnapshot]) -> Vec<KeyedBackend<u64>> {
    let open = |subtask| {
        let request = BackendRequest {
            key_groups: KeyGroupRange::of_subtask(GROUPS, parallelism, subtask),
            ..request(subtask, files.to_vec())
        };
        let folder = folder.join(format!("{parallelism}-{subtask}"));
        open(&folder, 1 << 20, &request).unwrap()
    };
    (0..parallelism).map(open).collect()
}

/// The same entries after RocksDB has merged all files of each state, as it may at any time: what
/// was removed, and key groups that were cut off, are not in them any more.
fn merged(files: &FileSnapshot, folder: &Path) -> FileSnapshot {
    let (database, linked) = (folder.join("database"), folder.join("linked"));
    fs::create_dir_all(&database).unwrap();
    for file in &files.files {
        fs::copy(files.folder.join(&file.name), database.join(&file.name)).unwrap();
    }
    let options = rocksdb::Options::default();
    let states = rocksdb::DB::list_cf(&options, &database).unwrap();
    let db = rocksdb::DB::open_cf(&options, &database, &states).unwrap();
    let mut all = rocksdb::CompactOptions::default();
    all.set_bottommost_level_compaction(rocksdb::BottommostLevelCompaction::Force);
    for state in &states {
        let state = db.cf_handle(state).unwrap();
        db.compact_range_cf_opt(&state, None::<&[u8]>, None::<&[u8]>, &all);
    }
    let links = rocksdb::checkpoint::Checkpoint::new(&db).unwrap();
    links.create_checkpoint(&linked).unwrap();
    let found = fs::read_dir(&linked).unwrap().map(Result::unwrap);
    let found = found.map(|entry| SnapshotFile {
        bytes: entry.metadata().unwrap().len(),
        name: entry.file_name().into_string().unwrap(),
        shared: false,
        grows: false,
    });
    let found: Vec<_> = found
        .filter(|file| !file.name.starts_with("OPTIONS-"))
        .collect();
    let name = |file: &SnapshotFile| file.name.clone();
    let tables = |files: &[SnapshotFile]| -> BTreeSet<String> {
        let names = files.iter().map(name);
        names.filter(|name| name.ends_with(".sst")).collect()
    };
    assert!(
        tables(&found).is_disjoint(&tables(&files.files)),
        "all were written anew: {found:?}"
    );
    FileSnapshot {
        folder: linked,
        files: found,
        ..files.clone()
    }
}

#[test]
fn files_restore_at_any_parallelism_with_removals_in_between() {
    rescaled_again_and_again(|files, _| files);
}

#[test]
fn files_restore_at_any_parallelism_with_removals_and_merges_in_between() {
    rescaled_again_and_again(|files, folder| merged(&files, folder));
}

/// `change`: what becomes of each subtask's files before they are restored; the folder is its own.
#[track_caller]
fn rescaled_again_and_again(change: impl Fn(FileSnapshot, &Path) -> FileSnapshot) {
    let folder = tempfile::tempdir().unwrap();
    let mut subtasks = rescaled(&folder.path().join("0"), 1, &[]);
    let keys = 30_000;
    let mut want = vec![None; 30_000];
    for (step, parallelism) in [2u32, 1, 3, 2, 5].into_iter().enumerate() {
        let former = u32::try_from(subtasks.len()).unwrap();
        for key in 0..keys {
            let group = weir_types::KeyGroup::of_hash(key_hash(&key).unwrap(), GROUPS);
            let subtask = weir_types::subtask_of_key_group(group, GROUPS, former);
            let keyed = &mut subtasks[subtask as usize];
            let sum = keyed.value_state::<u64>("sum").unwrap();
            keyed.set_key(key).unwrap();
            let of_key = &mut want[usize::try_from(key).unwrap()];
            assert_eq!(
                sum.get(keyed).unwrap(),
                of_key.as_ref(),
                "key {key}, step {step}"
            );
            if key % 7 == step as u64 {
                sum.clear(keyed).unwrap();
                *of_key = None;
            } else if key % 2 == 0 || step == 0 {
                sum.set(keyed, key + step as u64).unwrap();
                *of_key = Some(key + step as u64);
            }
        }
        let folder = folder.path().join((step + 1).to_string());
        let files = subtasks.iter_mut().enumerate().map(|(subtask, keyed)| {
            let files = files_of(keyed, step as u64 + 1).unwrap();
            change(files, &folder.join(format!("changed-{subtask}")))
        });
        let files: Vec<_> = files.collect();
        subtasks = rescaled(&folder, parallelism, &files);
    }
}

/// All sums that subtasks have, of the keys that `add` was given.
fn check_sums(subtasks: &mut [KeyedBackend<u64>], keys: std::ops::Range<u64>) {
    let parallelism = u32::try_from(subtasks.len()).unwrap();
    for key in keys {
        let keyed = &mut subtasks[subtask_of(key, parallelism)];
        assert_eq!(sum_of(keyed, key), Some(1), "key {key}");
    }
}

fn request_of(subtask: u32, parallelism: u32, files: &[FileSnapshot]) -> BackendRequest {
    BackendRequest {
        key_groups: KeyGroupRange::of_subtask(GROUPS, parallelism, subtask),
        ..request(subtask, files.to_vec())
    }
}

#[test]
fn memory_alone_goes_on_from_files_at_any_parallelism() {
    let folder = tempfile::tempdir().unwrap();
    let mut keyed = open(&folder.path().join("a"), 1 << 20, &request(0, Vec::new())).unwrap();
    add(&mut keyed, 0..20_000).unwrap();
    let files = [files_of(&mut keyed, 1).unwrap()];
    let heap = ReadingHeapFactory::new(folder.path().join("b"), 1 << 20);
    for parallelism in [1, 3] {
        let open = |subtask| {
            let request = request_of(subtask, parallelism, &files);
            KeyedBackend::<u64>::open_on(&heap, &request, Vec::new()).unwrap()
        };
        let mut subtasks: Vec<_> = (0..parallelism).map(open).collect();
        assert!(subtasks.iter().all(|keyed| !keyed.has_tier()));
        check_sums(&mut subtasks, 0..20_000);
    }
    let error = KeyedBackend::<u64>::open_on(&HeapFactory, &request(0, files.into()), Vec::new());
    let text = chain(&error.err().unwrap()).join(": ");
    assert!(text.contains("take a savepoint"), "{text}");
}

/// A subtask gives its entries instead of its files if some of its state is in memory only.
#[test]
fn files_of_one_subtask_and_entries_of_another_are_restored_together() {
    let folder = tempfile::tempdir().unwrap();
    let mut whole = open(&folder.path().join("a"), 1 << 20, &request(0, Vec::new())).unwrap();
    add(&mut whole, 0..20_000).unwrap();
    let files = files_of(&mut whole, 1).unwrap();
    let mut second = open(
        &folder.path().join("b"),
        1 << 20,
        &request_of(1, 2, std::slice::from_ref(&files)),
    )
    .unwrap();
    second
        .snapshot_begin(CheckpointId(2), SnapshotKind::Full)
        .unwrap();
    let entries = second.snapshot_finish().unwrap();
    let first = FileSnapshot {
        range: KeyGroupRange::of_subtask(GROUPS, 2, 0),
        ..files
    };
    let disk = RocksDbFactory::new(RocksDbOptions::new(folder.path().join("c"), 1 << 20));
    let heap = ReadingHeapFactory::new(folder.path().join("d"), 1 << 20);
    let factories: [&dyn StateBackendFactory; 2] = [&disk, &heap];
    for factory in factories {
        let request = request(0, vec![first.clone()]);
        let keyed = KeyedBackend::<u64>::open_on(factory, &request, vec![entries.clone()]);
        check_sums(&mut [keyed.unwrap()], 0..20_000);
        let gap = KeyedBackend::<u64>::open_on(factory, &request, Vec::new());
        let text = chain(&gap.err().unwrap()).join(": ");
        assert!(text.contains("key group 64"), "{text}");
    }
}

/// Each got a share of the memory that was larger when it was opened.
#[test]
fn a_snapshot_of_one_of_many_operators_of_a_slot_comes_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let factory = RocksDbFactory::new(RocksDbOptions::new(folder.path(), 64 << 20));
    let open = |operator: u128| {
        let request = BackendRequest {
            operator: OperatorId(operator),
            ..request(0, Vec::new())
        };
        KeyedBackend::<u64>::open_on(&factory, &request, Vec::new()).unwrap()
    };
    let mut operators: Vec<_> = (1..=6).map(open).collect();
    let keyed = &mut operators[0];
    add(keyed, 0..200_000).unwrap();
    keyed
        .snapshot_begin(CheckpointId(1), SnapshotKind::Files)
        .unwrap();
    let ended = (0..30_000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(1));
        keyed.snapshot_poll(64 << 10).unwrap().is_some()
    });
    assert!(ended, "it waits for ever");
}
