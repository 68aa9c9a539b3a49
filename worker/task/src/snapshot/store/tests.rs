//! Entries that lie on the local disk become the objects that they would be in memory.

use std::cell::Cell;
use std::sync::Arc;

use weir_state::{
    KeyedBackend, Records, SnapshotKind, Span, SpillFile, SpilledBlock, SpilledState,
};
use weir_storage::MemoryStore;
use weir_types::{
    AttemptNumber, CheckpointId, Epoch, KeyGroupRange, SubtaskIndex, VertexId, hash_bytes,
};

use super::*;

const RANGE: KeyGroupRange = KeyGroupRange { start: 0, end: 7 };

/// Bytes that play a file on the local disk.
#[derive(Debug)]
struct Disk(Vec<u8>);

impl SpillFile for Disk {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), ColdError> {
        let start = usize::try_from(offset).unwrap();
        into.copy_from_slice(&self.0[start..start + into.len()]);
        Ok(())
    }
}

/// A state with a block of so many bytes in each key group.
fn spilled(block_len: usize, damage: impl FnOnce(&mut [u8])) -> FileSnapshot {
    let mut keyed = KeyedBackend::<u64>::new(8, RANGE);
    keyed.value_state::<u64>("sum").unwrap();
    let id = CheckpointId(12);
    keyed.snapshot_begin(id, SnapshotKind::Full).unwrap();
    let meta = keyed.snapshot_finish().unwrap().states.remove(0).meta;
    let (mut disk, mut blocks) = (Vec::new(), Vec::new());
    for group in RANGE.iter() {
        let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(block_len).collect();
        blocks.push(SpilledBlock {
            group,
            records: Records::OnDisk(Span {
                offset: disk.len() as u64,
                len: block_len as u64,
                checksum: hash_bytes(&bytes),
            }),
        });
        disk.extend(bytes);
    }
    damage(&mut disk);
    FileSnapshot {
        checkpoint: id,
        max_parallelism: 8,
        range: RANGE,
        states: vec![meta.clone()],
        folder: PathBuf::new(),
        files: Vec::new(),
        spilled: Some(Arc::new(Spilled {
            file: Arc::new(Disk(disk)),
            states: vec![SpilledState {
                meta,
                complete: true,
                blocks,
            }],
        })),
    }
}

/// What was stored, and all objects that the store has then.
type StoredObjects = (Result<KeyedHandle, SaveError>, Vec<Vec<u8>>);

/// So much of a database's new files is in the handle.
const INLINE_FILES_MAX: usize = 100_000;

/// What is stored of it as a savepoint, and all objects that the store has then.
fn stored(snapshot: &FileSnapshot, compress: bool, go_on: impl Fn() -> bool) -> StoredObjects {
    let spilled = snapshot.spilled.as_ref().unwrap();
    stored_in(Arc::new(MemoryStore::new()), compress, |saver| {
        saver.save_spilled(0, snapshot.clone(), spilled, &go_on)
    })
}

/// The same in this store.
fn stored_in(
    store: Arc<dyn ObjectStore>,
    compress: bool,
    save: impl FnOnce(&mut Saver<'_>) -> Result<KeyedHandle, SaveError>,
) -> StoredObjects {
    let mut config = TaskCheckpoints::new(Arc::clone(&store));
    config.compress = compress;
    config.inline_files_max = INLINE_FILES_MAX;
    let attempt = ExecutionAttemptId {
        epoch: Epoch(3),
        vertex: VertexId(7),
        subtask: SubtaskIndex(0),
        attempt: AttemptNumber(0),
    };
    let barrier = CheckpointBarrier {
        epoch: Epoch(3),
        id: CheckpointId(12),
        triggered_at_ms: 0,
        kind: BarrierKind::Savepoint,
    };
    let mut give_way = GiveWay::new(None);
    let mut saver = Saver::new(&config, attempt, barrier, &mut give_way);
    let handle = save(&mut saver);
    let folder = ObjectPath::new("savepoint-3-12").unwrap();
    let objects = store.list(&folder).unwrap().into_iter();
    let objects = objects.map(|object| store.get(&object.path).unwrap());
    (handle, objects.collect())
}

#[test]
fn however_large_it_is_the_object_is_the_one_that_memory_would_have_made() {
    for (block_len, compress) in [(5_000, false), (3_000_001, false), (3_000_001, true)] {
        let snapshot = spilled(block_len, |_| {});
        let (handle, objects) = stored(&snapshot, compress, || true);
        let handle = handle.unwrap();
        let compression = match compress {
            true => Compression::Lz4,
            false => Compression::None,
        };
        let entries = snapshot.read_spilled().unwrap().unwrap();
        let want = weir_checkpoint::keyed_file::encode(&entries, compression);
        assert!(objects == [want.clone()], "{block_len} {compress}");
        let Stored::Object(object) = &handle.stored else {
            unreachable!("it is too large for the handle");
        };
        assert_eq!(object.size, want.len() as u64);
        assert_eq!(object.checksum, hash128(&want));
        assert!(!object.path.contains('/'), "{object:?}");
        assert_eq!((handle.base, handle.range), (None, RANGE));
        assert_eq!(handle.states, snapshot.states);
    }
}

#[test]
fn a_few_bytes_are_in_the_handle() {
    let (handle, objects) = stored(&spilled(40, |_| {}), false, || true);
    assert!(matches!(handle.unwrap().stored, Stored::Inline(_)));
    assert_eq!(objects, Vec::<Vec<u8>>::new());
}

#[test]
fn what_is_given_up_or_damaged_on_the_local_disk_becomes_no_object() {
    let asked = Cell::new(0);
    let some = || {
        asked.set(asked.get() + 1);
        asked.get() <= 5
    };
    let (handle, objects) = stored(&spilled(3_000_000, |_| {}), false, some);
    assert!(matches!(handle, Err(SaveError::GivenUp)));
    assert_eq!(asked.get(), 6, "it stops at once");
    assert!(objects.is_empty());

    let damaged = spilled(3_000_000, |disk| disk[20_000_000] ^= 1);
    for compress in [false, true] {
        let (handle, objects) = stored(&damaged, compress, || true);
        let error = weir_types::causes(&handle.unwrap_err());
        assert!(error.contains("damaged"), "{error}");
        assert!(objects.is_empty());
    }
}

/// A database with one file, and what is stored of it in a store elsewhere and in a folder.
fn stored_file(content: &[u8], bytes: u64) -> Vec<StoredObjects> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("000012.sst"), content).unwrap();
    let file = SnapshotFile {
        name: "000012.sst".to_owned(),
        bytes,
        shared: true,
        grows: false,
    };
    let snapshot = FileSnapshot {
        folder: folder.path().to_owned(),
        files: vec![file],
        spilled: None,
        ..spilled(1, |_| {})
    };
    let here = tempfile::tempdir().unwrap();
    let stores: [Arc<dyn ObjectStore>; 2] = [
        Arc::new(MemoryStore::new()),
        Arc::new(weir_storage::LocalStore::open(here.path()).unwrap()),
    ];
    let store = |store| {
        stored_in(store, false, |saver| {
            saver.save_files(0, snapshot.clone(), &[], &|| true)
        })
    };
    stores.map(store).into()
}

#[test]
fn a_file_of_a_database_becomes_the_same_object_in_every_store_however_large_it_is() {
    for len in [0, 1, DIRECT_BYTES, 3 * DIRECT_BYTES + 1, LARGE_BYTES + 5] {
        let content: Vec<u8> = (0..=250).cycle().take(len).collect();
        for (handle, objects) in stored_file(&content, len as u64) {
            let Stored::Files(files) = handle.unwrap().stored else {
                unreachable!("files are stored as files");
            };
            let object = files[0].content.object().unwrap();
            assert_eq!(
                (object.size, object.checksum),
                (len as u64, hash128(&content))
            );
            assert!(objects == [content.clone()], "{len}");
        }
    }
}

#[test]
fn a_file_that_was_cut_off_is_told_and_becomes_no_object() {
    for (len, want) in [
        (10, 11),
        (LARGE_BYTES - 1, LARGE_BYTES + 1),
        (LARGE_BYTES + 1, LARGE_BYTES),
    ] {
        for (handle, objects) in stored_file(&vec![7; len], want as u64) {
            let error = handle.unwrap_err().to_string();
            let told =
                format!("000012.sst`, a file of the snapshot, has {len} bytes instead of {want}");
            assert!(error.contains(&told), "{error}");
            assert!(objects.is_empty());
        }
    }
}

/// Files of a database, by their names and lengths, as checkpoint 1 finds them and as checkpoint 2
/// does. Which of the second are those of the first.
fn stored_twice(first: &[(&str, usize)], second: &[(&str, usize)]) -> Vec<bool> {
    let folder = tempfile::tempdir().unwrap();
    let mut known = Vec::new();
    for (checkpoint, files) in (1..).map(CheckpointId).zip([first, second]) {
        let files = files.iter().map(|(name, len)| {
            std::fs::write(folder.path().join(name), vec![7; *len]).unwrap();
            SnapshotFile {
                name: (*name).to_owned(),
                bytes: *len as u64,
                shared: name.ends_with(".sst"),
                grows: name.starts_with("MANIFEST"),
            }
        });
        let snapshot = FileSnapshot {
            checkpoint,
            folder: folder.path().to_owned(),
            files: files.collect(),
            spilled: None,
            ..spilled(1, |_| {})
        };
        let (handle, _) = stored_in(Arc::new(MemoryStore::new()), false, |saver| {
            saver.save_files(0, snapshot, &known, &|| true)
        });
        let Stored::Files(files) = handle.unwrap().stored else {
            unreachable!("files are stored as files");
        };
        known = files;
    }
    let stored = known.iter();
    stored
        .map(|file| file.checkpoint == CheckpointId(1))
        .collect()
}

#[test]
fn a_file_is_stored_again_unless_it_never_changes_or_has_not_grown() {
    let first = [("000012.sst", 9), ("MANIFEST-000005", 30), ("CURRENT", 16)];
    assert_eq!(stored_twice(&first, &first), [true, true, false]);
    let second = [("000012.sst", 9), ("MANIFEST-000005", 31), ("CURRENT", 16)];
    assert_eq!(stored_twice(&first, &second), [true, false, false]);
    let second = [("000013.sst", 9), ("MANIFEST-000006", 30), ("CURRENT", 16)];
    assert_eq!(stored_twice(&first, &second), [false; 3]);
}

/// Which files of two checkpoints, one behind the other, are in their handles. `ahead`: of what is
/// written ahead of them.
fn in_handles(files: &[(&str, usize)], ahead: bool) -> [Vec<bool>; 2] {
    let folder = tempfile::tempdir().unwrap();
    let files = files.iter().map(|(name, len)| {
        std::fs::write(folder.path().join(name), vec![7; *len]).unwrap();
        SnapshotFile {
            name: (*name).to_owned(),
            bytes: *len as u64,
            shared: false,
            grows: true,
        }
    });
    let snapshot = FileSnapshot {
        folder: folder.path().to_owned(),
        files: files.collect(),
        spilled: None,
        ..spilled(1, |_| {})
    };
    let mut known = Vec::new();
    [1, 2].map(|checkpoint| {
        let (handle, _) = stored_in(Arc::new(MemoryStore::new()), false, |saver| {
            saver.round = ahead.then_some(checkpoint);
            let snapshot = FileSnapshot {
                checkpoint: CheckpointId(checkpoint),
                ..snapshot.clone()
            };
            saver.save_files(0, snapshot, &known, &|| true)
        });
        let Stored::Files(files) = handle.unwrap().stored else {
            unreachable!("files are stored as files");
        };
        known = files;
        let in_handle = known.iter().map(|file| file.content.object().is_none());
        in_handle.collect()
    })
}

#[test]
fn new_files_are_in_the_handle_if_there_is_room_and_become_objects_if_they_stay() {
    let large = INLINE_FILES_MAX / 2 + 1;
    let files = [("MANIFEST", 10), ("a", large), ("b", large), ("c", 10)];
    let [first, second] = in_handles(&files, false);
    assert_eq!(first, [true, true, false, true]);
    assert_eq!(second, [true, false, false, true]);
}

#[test]
fn what_is_written_ahead_is_in_the_handle_only_if_it_is_next_to_nothing() {
    let files = [("a", INLINE_FILES_MAX / 2), ("b", 10)];
    assert_eq!(in_handles(&files, true)[0], [false, true]);
}
