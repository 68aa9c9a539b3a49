//! Few changes: files of their own beside those of the database.

use super::*;

/// All keys that the tests below use, and those of which a few change.
const KEYS: u64 = 50_000;
const FEW: u64 = 100;

/// Removes the sums of these keys.
fn remove(keyed: &mut KeyedBackend<u64>, keys: std::ops::Range<u64>) {
    let sum = keyed.value_state::<u64>("sum").unwrap();
    for key in keys {
        keyed.set_key(spread(key)).unwrap();
        sum.clear(keyed).unwrap();
    }
}

/// How many bytes of changes lie beside the database's files.
fn beside(files: &FileSnapshot) -> u64 {
    let all = files.files.iter();
    let beside = all.filter(|file| file.name.starts_with("beside="));
    beside.map(|file| file.bytes).sum()
}

/// The files of a snapshot that comes ahead of this checkpoint's own.
fn ahead_of(keyed: &mut KeyedBackend<u64>, checkpoint: u64) -> FileSnapshot {
    let begun = keyed.snapshot_ahead(CheckpointId(checkpoint), SnapshotKind::Files);
    assert!(begun.unwrap());
    taken_files(keyed).unwrap()
}

/// A snapshot of many keys, then one in which the first ten are removed and the others of a few
/// have been added to once more, and new ones have come.
fn changed(folder: &Path, memory: usize) -> (KeyedBackend<u64>, [FileSnapshot; 2]) {
    let mut keyed = open(folder, memory, &request(0, Vec::new())).unwrap();
    add(&mut keyed, 0..KEYS).unwrap();
    let first = files_of(&mut keyed, 1).unwrap();
    add(&mut keyed, 0..FEW).unwrap();
    remove(&mut keyed, 0..10);
    add(&mut keyed, KEYS..KEYS + FEW).unwrap();
    let second = files_of(&mut keyed, 2).unwrap();
    (keyed, [first, second])
}

fn want(key: u64) -> Option<u64> {
    match key {
        0..10 => None,
        10..FEW => Some(2),
        _ => Some(1),
    }
}

fn check(keyed: &mut KeyedBackend<u64>) {
    for key in (0..2 * FEW).chain(KEYS - FEW..KEYS + FEW) {
        assert_eq!(sum_of(keyed, key), want(key), "key {key}");
    }
}

#[test]
fn few_changes_lie_beside_the_files_of_the_snapshot_before_and_come_back_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let (_keyed, [first, second]) = changed(&folder.path().join("a"), 64 << 20);
    assert_eq!(beside(&first), 0, "there is nothing to lie beside yet");
    assert!((1..10_000).contains(&beside(&second)), "{second:?}");
    assert_eq!(shared(&first), shared(&second));
    let again = request(1, vec![second]);
    let mut keyed = open(&folder.path().join("b"), 64 << 20, &again).unwrap();
    check(&mut keyed);
    // What it was restored from is whole: another one may restore from it.
    let mut other = open(&folder.path().join("c"), 64 << 20, &again).unwrap();
    check(&mut other);
    let heap = ReadingHeapFactory::new(folder.path().join("d"), 16 << 20);
    let mut keyed = KeyedBackend::<u64>::open_on(&heap, &again, Vec::new()).unwrap();
    check(&mut keyed);
}

#[test]
fn few_changes_come_back_at_any_other_parallelism() {
    let folder = tempfile::tempdir().unwrap();
    let (_keyed, [_, second]) = changed(&folder.path().join("a"), 64 << 20);
    let (mut files, mut kept) = (vec![second], Vec::new());
    for parallelism in [3, 2, 1] {
        let mut subtasks = rescaled(folder.path(), parallelism, &files);
        for key in (0..2 * FEW).chain(KEYS - FEW..KEYS + FEW) {
            let keyed = &mut subtasks[subtask_of(key, parallelism)];
            assert_eq!(sum_of(keyed, key), want(key), "key {key} of {parallelism}");
        }
        // One change in each part, so that the next one has several that bring some.
        files.clear();
        for keyed in &mut subtasks {
            files_of(keyed, 3).unwrap();
            let sum = keyed.value_state::<u64>("sum").unwrap();
            let mine = (KEYS + FEW..).find(|key| subtask_of(*key, parallelism) == files.len());
            keyed.set_key(spread(mine.unwrap())).unwrap();
            sum.set(keyed, 7).unwrap();
            files.push(files_of(keyed, 4).unwrap());
        }
        assert!(files.iter().all(|files| beside(files) > 0));
        // Their folders go with them.
        kept.push(subtasks);
    }
}

/// The database still has what was removed: nobody may read it there. When memory is given back,
/// and the database is told, is not for the test to say.
#[test]
fn what_was_removed_stays_so_while_its_removal_lies_beside() {
    let folder = tempfile::tempdir().unwrap();
    let mut keyed = open(folder.path(), 400 << 10, &request(0, Vec::new())).unwrap();
    add(&mut keyed, 0..KEYS).unwrap();
    files_of(&mut keyed, 1).unwrap();
    let mut lay_beside = 0;
    for key in 0..FEW {
        remove(&mut keyed, key..key + 1);
        let files = files_of(&mut keyed, 2 + key).unwrap();
        lay_beside += u64::from(beside(&files) > 0);
        assert_eq!(sum_of(&mut keyed, key), None, "key {key}");
    }
    assert!(lay_beside > FEW / 10, "{lay_beside}");
    let read_keys = keyed.cold_stats().unwrap().read_keys;
    assert!(read_keys > 0, "not all is in memory");
    // Nor once the database is told.
    add(&mut keyed, 2 * KEYS..4 * KEYS).unwrap();
    for key in 0..2 * FEW {
        let want = (key >= FEW).then_some(1);
        assert_eq!(sum_of(&mut keyed, key), want, "key {key}");
    }
}

#[test]
fn few_changes_and_few_more_are_beside_until_they_are_many() {
    let folder = tempfile::tempdir().unwrap();
    let (mut keyed, [first, second]) = changed(folder.path(), 64 << 20);
    add(&mut keyed, 100..110).unwrap();
    let third = files_of(&mut keyed, 3).unwrap();
    assert!(beside(&third) > beside(&second), "these and those before");
    assert_eq!(shared(&first), shared(&third));
    add(&mut keyed, 0..KEYS).unwrap();
    add(&mut keyed, 2 * KEYS..4 * KEYS).unwrap();
    let fourth = files_of(&mut keyed, 4).unwrap();
    assert_eq!(beside(&fourth), 0);
    assert_eq!(shared(&fourth).len(), shared(&first).len() + 1);
    let mut keyed = open(
        &folder.path().join("b"),
        64 << 20,
        &request(1, vec![fourth]),
    )
    .unwrap();
    assert_eq!(
        [0, 50, 105, 120].map(|key| sum_of(&mut keyed, key)),
        [Some(1), Some(3), Some(3), Some(2)]
    );
}

#[test]
fn what_is_more_than_half_of_a_small_database_is_not_few() {
    let folder = tempfile::tempdir().unwrap();
    let mut keyed = open(folder.path(), 64 << 20, &request(0, Vec::new())).unwrap();
    add(&mut keyed, 0..5_000).unwrap();
    let first = files_of(&mut keyed, 1).unwrap();
    add(&mut keyed, 0..5_000).unwrap();
    let second = files_of(&mut keyed, 2).unwrap();
    assert_eq!(beside(&second), 0);
    assert_eq!(shared(&second).len(), shared(&first).len() + 1);
    add(&mut keyed, 0..1_000).unwrap();
    let third = files_of(&mut keyed, 3).unwrap();
    assert!(beside(&third) > 0);
}

/// The names of the files that lie beside the database's.
fn names(files: &FileSnapshot) -> Vec<String> {
    let names = files.files.iter().map(|file| file.name.clone());
    names.filter(|name| name.starts_with("beside=")).collect()
}

#[test]
fn what_lies_beside_stays_in_later_snapshots_until_one_file_takes_the_place_of_all() {
    let folder = tempfile::tempdir().unwrap();
    let mut keyed = open(&folder.path().join("a"), 64 << 20, &request(0, Vec::new())).unwrap();
    add(&mut keyed, 0..KEYS).unwrap();
    let first = files_of(&mut keyed, 1).unwrap();
    let (mut before, mut most) = (Vec::new(), 0);
    for id in 2..40 {
        // One key in all of them, and one for each.
        add(&mut keyed, 0..1).unwrap();
        add(&mut keyed, id..id + 1).unwrap();
        let files = files_of(&mut keyed, id).unwrap();
        let names = names(&files);
        assert!(names.starts_with(&before) || names.len() == 1, "{names:?}");
        assert_ne!(names, before);
        most = most.max(names.len());
        before = names;
        assert_eq!(shared(&files), shared(&first));
        if id % 5 == 0 {
            let again = folder.path().join(format!("b{id}"));
            let mut keyed = open(&again, 64 << 20, &request(1, vec![files])).unwrap();
            let sums = [0, 2, id, id + 1].map(|key| sum_of(&mut keyed, key));
            assert_eq!(sums, [Some(id), Some(2), Some(2), Some(1)], "{id}");
        }
        keyed.confirm(CheckpointId(id));
    }
    assert_eq!(most, 6);
    // Without a change there is none.
    let files = files_of(&mut keyed, 40).unwrap();
    assert_eq!(names(&files), before);
}

#[test]
fn what_could_not_be_laid_beside_is_in_the_next_snapshot_all_the_same() {
    for times in [3, 6] {
        let folder = tempfile::tempdir().unwrap();
        let mut keyed = open(&folder.path().join("a"), 64 << 20, &request(0, Vec::new())).unwrap();
        add(&mut keyed, 0..KEYS).unwrap();
        let first = files_of(&mut keyed, 1).unwrap();
        let mut name = String::new();
        for id in 2..2 + times {
            add(&mut keyed, id..id + 1).unwrap();
            let files = files_of(&mut keyed, id).unwrap();
            name = names(&files).pop().unwrap();
            keyed.confirm(CheckpointId(id));
        }
        let (rest, number) = name.rsplit_once('-').unwrap();
        let number: u64 = number.parse().unwrap();
        let in_the_way = first.folder.join(format!("{rest}-{}", number + 1));
        fs::write(&in_the_way, "").unwrap();
        add(&mut keyed, 0..1).unwrap();
        let error = files_of(&mut keyed, 20).unwrap_err();
        assert!(chain(&error).join(": ").contains("make a sorted file"));
        keyed.abort(CheckpointId(20));
        let files = files_of(&mut keyed, 21).unwrap();
        let again = request(1, vec![files]);
        let mut keyed = open(&folder.path().join("b"), 64 << 20, &again).unwrap();
        let sums = [0, 2, 1 + times, 20].map(|key| sum_of(&mut keyed, key));
        assert_eq!(sums, [Some(2), Some(2), Some(2), Some(1)]);
    }
}

#[test]
fn what_is_written_ahead_leaves_room_beside_for_what_comes_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut keyed = open(folder.path(), 64 << 20, &request(0, Vec::new())).unwrap();
    add(&mut keyed, 0..4 * KEYS).unwrap();
    let first = files_of(&mut keyed, 1).unwrap();
    // More than half of what may lie there.
    add(&mut keyed, 0..90_000).unwrap();
    let ahead = ahead_of(&mut keyed, 2);
    assert_eq!(beside(&ahead), 0);
    assert_eq!(shared(&ahead).len(), shared(&first).len() + 1);
    add(&mut keyed, 0..90_000).unwrap();
    let own = files_of(&mut keyed, 2).unwrap();
    assert!(beside(&own) > 1 << 20);
    assert_eq!(shared(&ahead), shared(&own));
}

/// Whoever writes ahead begins so much earlier.
#[test]
fn what_lies_beside_is_announced_before_it_is_put_into_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let mut keyed = open(folder.path(), 64 << 20, &request(0, Vec::new())).unwrap();
    add(&mut keyed, 0..4 * KEYS).unwrap();
    let first = files_of(&mut keyed, 1).unwrap();
    assert_eq!(keyed.ahead_extra_bytes(), 0);
    let mut ahead = |id| {
        let said = keyed.ahead_extra_bytes();
        add(&mut keyed, 0..20_000).unwrap();
        let files = ahead_of(&mut keyed, id);
        let own = files_of(&mut keyed, id).unwrap();
        assert_eq!(beside(&files) == 0, said > 0, "{id}");
        assert_eq!(shared(&own), shared(&files), "{id}: not at the barrier");
        (said, shared(&files).len() - shared(&first).len())
    };
    let all = (2..12).map(&mut ahead).collect::<Vec<_>>();
    let announced = all.iter().filter(|(said, _)| *said > 0).count();
    let put = all.last().map(|(_, put)| *put);
    assert_eq!(put, Some(announced), "{all:?}");
    assert!((2..5).contains(&announced), "{all:?}");
}

/// What is there at the barrier has no time to be put anywhere else.
#[test]
fn what_is_written_ahead_again_stays_beside_as_long_as_what_comes_behind_it_has_room() {
    let folder = tempfile::tempdir().unwrap();
    let mut keyed = open(folder.path(), 64 << 20, &request(0, Vec::new())).unwrap();
    add(&mut keyed, 0..4 * KEYS).unwrap();
    files_of(&mut keyed, 1).unwrap();
    let mut ahead = |keys: u64| {
        add(&mut keyed, 0..keys).unwrap();
        ahead_of(&mut keyed, 2)
    };
    let first = ahead(90_000);
    let (mut bytes, mut files) = (0, 0);
    for keys in [
        50_000, 20_000, 8000, 3000, 1200, 500, 200, 100, 50, 20, 10, 5,
    ] {
        let later = ahead(keys);
        assert_eq!(shared(&later), shared(&first));
        assert!(beside(&later) > bytes);
        (bytes, files) = (beside(&later), files + 1);
        assert_eq!(names(&later).len(), files);
    }
    assert!(bytes > 1 << 20, "{bytes}");
    // So many are enough.
    assert_eq!(names(&ahead(5)).len(), 1);
}

/// The numbers of the snapshots that have a folder.
fn folders(files: &FileSnapshot) -> Vec<u64> {
    let all = fs::read_dir(files.folder.parent().unwrap()).unwrap();
    let names = all.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let numbers = names.filter_map(|name| name.strip_prefix("chk-")?.parse().ok());
    let mut numbers: Vec<u64> = numbers.collect();
    numbers.sort_unstable();
    numbers
}

/// The folder of the first one is what the others are made of.
#[test]
fn what_later_snapshots_link_again_stays_when_its_own_is_confirmed_and_no_longer() {
    let folder = tempfile::tempdir().unwrap();
    let (mut keyed, [_, second]) = changed(folder.path(), 64 << 20);
    assert_eq!(folders(&second), [1, 2]);
    keyed.confirm(CheckpointId(2));
    assert_eq!(folders(&second), [1]);
    let third = files_of(&mut keyed, 3).unwrap();
    assert_eq!(folders(&third), [1, 3]);
    keyed.abort(CheckpointId(3));
    let fourth = files_of(&mut keyed, 4).unwrap();
    assert_eq!(folders(&fourth), [1, 4]);
    // From here on others are.
    add(&mut keyed, 2 * KEYS..4 * KEYS).unwrap();
    let fifth = files_of(&mut keyed, 5).unwrap();
    assert_eq!(folders(&fifth), [4, 5]);
    keyed.confirm(CheckpointId(5));
    assert_eq!(folders(&fifth), [5]);
    // Written ahead and given up: its folder is there for the checkpoint's own snapshot.
    add(&mut keyed, 4 * KEYS..8 * KEYS).unwrap();
    files_of(&mut keyed, 6).unwrap();
    keyed.abort(CheckpointId(6));
    add(&mut keyed, 0..FEW).unwrap();
    let own = files_of(&mut keyed, 6).unwrap();
    assert_eq!(folders(&own), [6]);
    keyed.abort(CheckpointId(5));
    let mut keyed = open(&folder.path().join("b"), 64 << 20, &request(1, vec![own])).unwrap();
    assert_eq!(
        [0, 50, 5 * KEYS].map(|key| sum_of(&mut keyed, key)),
        [Some(1), Some(3), Some(1)]
    );
}

/// What was written ahead of a checkpoint, and may still be read, and then its own part.
#[test]
fn the_snapshots_of_one_number_have_one_folder_and_files_of_their_own_beside() {
    let folder = tempfile::tempdir().unwrap();
    let (mut keyed, _) = changed(folder.path(), 64 << 20);
    let ahead = files_of(&mut keyed, 3).unwrap();
    let before = contents(&ahead);
    add(&mut keyed, 200..210).unwrap();
    let own = files_of(&mut keyed, 3).unwrap();
    assert_eq!(ahead.folder, own.folder);
    assert!(before == contents(&ahead));
    assert_ne!(before, contents(&own));
    let restore = |name: &str, files: &FileSnapshot| {
        let again = request(1, vec![files.clone()]);
        open(&folder.path().join(name), 64 << 20, &again).unwrap()
    };
    assert_eq!(sum_of(&mut restore("b", &ahead), 205), Some(1));
    assert_eq!(sum_of(&mut restore("c", &own), 205), Some(2));
}

/// Whatever was put into the database since the last links is not in them.
#[test]
fn what_was_written_for_want_of_memory_is_in_the_next_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let (mut keyed, _) = changed(folder.path(), 1 << 20);
    add(&mut keyed, 2 * KEYS..4 * KEYS).unwrap();
    let third = files_of(&mut keyed, 3).unwrap();
    let mut keyed = open(&folder.path().join("b"), 1 << 20, &request(1, vec![third])).unwrap();
    check(&mut keyed);
    for key in (2 * KEYS..4 * KEYS).step_by(997) {
        assert_eq!(sum_of(&mut keyed, key), Some(1), "key {key}");
    }
}

#[test]
fn a_savepoint_has_what_lies_beside() {
    let folder = tempfile::tempdir().unwrap();
    let (mut keyed, _) = changed(folder.path(), 64 << 20);
    keyed
        .snapshot_begin(CheckpointId(3), SnapshotKind::Full)
        .unwrap();
    let entries = keyed.snapshot_finish().unwrap();
    let again = request(1, Vec::new());
    let mut heap = KeyedBackend::<u64>::open_on(&HeapFactory, &again, vec![entries]).unwrap();
    check(&mut heap);
}

#[test]
fn a_file_beside_that_was_cut_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (_keyed, [_, second]) = changed(&folder.path().join("a"), 64 << 20);
    let mut files = second.files.iter();
    let file = files.find(|file| file.name.starts_with("beside=")).unwrap();
    let path = second.folder.join(&file.name);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let again = request(1, vec![second.clone()]);
    let error = open(&folder.path().join("b"), 64 << 20, &again)
        .err()
        .unwrap();
    let text = chain(&error).join(": ");
    assert!(
        text.contains(&file.name) && text.contains("instead of"),
        "{text}"
    );
}
