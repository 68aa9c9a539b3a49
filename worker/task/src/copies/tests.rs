use std::time::Duration;

use weir_state::{BackendRequest, ColdError, ColdSetup};
use weir_types::{Clock, SystemClock, hash128};

use super::*;

/// All state in memory, and a local folder.
#[derive(Debug)]
struct Scratch(Result<Option<PathBuf>, ColdError>);

impl StateBackendFactory for Scratch {
    fn open(&self, _request: &BackendRequest) -> Result<Option<ColdSetup>, ColdError> {
        Ok(None)
    }

    fn scratch(&self) -> Result<Option<PathBuf>, ColdError> {
        self.0.clone()
    }
}

struct Rig {
    folder: tempfile::TempDir,
    copies: LocalCopies,
    backend: Arc<dyn StateBackendFactory>,
}

impl Rig {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let scratch = Scratch(Ok(Some(folder.path().to_owned())));
        let backend: Arc<dyn StateBackendFactory> = Arc::new(scratch);
        let copies = LocalCopies::new(&backend);
        Self {
            folder,
            copies,
            backend,
        }
    }

    fn keep(&self, checkpoint: u64, object: &ObjectRef, bytes: &[u8]) {
        self.copies
            .keep_bytes(CheckpointId(checkpoint), object, bytes);
    }

    fn read(&self, object: &ObjectRef) -> Option<Vec<u8>> {
        self.copies
            .find(object)
            .map(|copy| fs::read(copy).expect("a copy that is known is there"))
    }

    fn files(&self) -> usize {
        fs::read_dir(self.folder.path().join("copies")).map_or(0, Iterator::count)
    }

    fn wait_for_files(&self, want: usize) {
        let deadline = SystemClock.now() + Duration::from_secs(20);
        while self.files() != want {
            assert!(SystemClock.now() < deadline, "{} files", self.files());
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn object(name: &str, bytes: &[u8]) -> ObjectRef {
    ObjectRef {
        path: format!("chk-1-7/{name}"),
        size: bytes.len() as u64,
        checksum: hash128(bytes),
    }
}

#[test]
fn a_copy_stands_for_one_object_of_one_name_size_and_checksum() {
    let rig = Rig::new();
    let mine = object("a", b"state");
    rig.keep(7, &mine, b"state");
    assert_eq!(rig.read(&mine).as_deref(), Some(&b"state"[..]));
    for other in [
        object("b", b"state"),
        ObjectRef {
            size: 6,
            ..mine.clone()
        },
        ObjectRef {
            checksum: 1,
            ..mine
        },
    ] {
        assert_eq!(rig.read(&other), None, "{other:?}");
    }
}

#[test]
fn what_only_older_checkpoints_need_goes_when_one_is_complete() {
    let rig = Rig::new();
    let (old, base, new) = (object("a", b"1"), object("b", b"2"), object("c", b"3"));
    rig.keep(7, &old, b"1");
    rig.keep(7, &base, b"2");
    rig.keep(8, &new, b"3");
    rig.copies.keep_known(CheckpointId(8), &base);
    assert!(rig.read(&old).is_some(), "8 is not complete yet");
    rig.copies.completed(CheckpointId(8));
    let found = [&old, &base, &new].map(|object| rig.read(object).is_some());
    assert_eq!(found, [false, true, true]);
    rig.wait_for_files(2);
}

#[test]
fn what_only_an_aborted_checkpoint_needs_goes_and_a_restore_leaves_its_own() {
    let rig = Rig::new();
    let objects = [7, 8, 9].map(|n| (n, object(&n.to_string(), b"x")));
    let found = || {
        objects
            .clone()
            .map(|(_, object)| rig.read(&object).is_some())
    };
    for (checkpoint, object) in &objects {
        rig.keep(*checkpoint, object, b"x");
    }
    rig.copies.aborted(CheckpointId(9));
    assert_eq!(found(), [true, true, false]);
    rig.copies.restoring(Some(CheckpointId(7)));
    assert_eq!(found(), [true, false, false]);
    rig.copies.restoring(None);
    assert_eq!(found(), [false; 3]);
    rig.wait_for_files(0);
}

#[test]
fn a_link_outlives_the_file_that_it_was_made_of() {
    let rig = Rig::new();
    let file = rig.folder.path().join("000007.sst");
    fs::write(&file, b"sorted").unwrap();
    let sst = object("a", b"sorted");
    rig.copies.keep_link(CheckpointId(7), &sst, &file);
    fs::remove_file(&file).unwrap();
    assert_eq!(rig.read(&sst).as_deref(), Some(&b"sorted"[..]));
}

#[test]
fn a_copy_that_is_distrusted_is_gone_at_once() {
    let rig = Rig::new();
    let mine = object("a", b"state");
    rig.keep(7, &mine, b"state");
    rig.copies.distrust(&mine, "a test");
    assert_eq!((rig.read(&mine), rig.files()), (None, 0));
}

#[test]
fn copies_have_a_limit_and_a_disk_that_fails_ends_them() {
    let mut rig = Rig::new();
    rig.copies.bytes_max = 10;
    let (small, large) = (object("a", &[1; 6]), object("b", &[2; 6]));
    rig.keep(7, &small, &[1; 6]);
    rig.keep(7, &large, &[2; 6]);
    assert!(rig.read(&small).is_some() && rig.read(&large).is_none());
    rig.copies.completed(CheckpointId(8));
    rig.keep(8, &large, &[2; 6]);
    assert!(rig.read(&large).is_some(), "there is room again");

    // What cannot be written where the next copy is to be: as if the disk failed.
    let next = rig.copies.lock().next_file.to_string();
    fs::create_dir(rig.folder.path().join("copies").join(next)).unwrap();
    rig.keep(8, &object("c", b"x"), b"x");
    assert!(rig.read(&large).is_none());
    rig.keep(9, &small, &[1; 6]);
    assert!(rig.read(&small).is_none(), "there are none from then on");
    rig.wait_for_files(1);
}

/// It turned them off for good: the subtask that failed was the last to find any.
#[test]
fn a_file_that_went_with_its_subtask_costs_its_own_copy_and_no_other() {
    let rig = Rig::new();
    let (kept, gone, next) = (object("a", b"1"), object("b", b"2"), object("c", b"3"));
    rig.keep(7, &kept, b"1");
    let file = rig.folder.path().join("000007.sst");
    rig.copies.keep_link(CheckpointId(8), &gone, &file);
    rig.keep(8, &next, b"3");
    let found = [&kept, &gone, &next].map(|object| rig.read(object).is_some());
    assert_eq!(found, [true, false, true]);
}

#[test]
fn copies_do_not_hold_on_to_the_folder_that_they_lie_in() {
    let rig = Rig::new();
    let Rig {
        folder,
        copies,
        backend,
    } = rig;
    let (one, other) = (object("a", b"1"), object("b", b"2"));
    copies.keep_bytes(CheckpointId(7), &one, b"1");
    let gone = Arc::downgrade(&backend);
    drop(backend);
    assert!(gone.upgrade().is_none());
    copies.keep_bytes(CheckpointId(7), &other, b"2");
    assert_eq!(copies.find(&other), None);
    drop(copies);
    let next = folder.path().join("copies");
    assert!(next.exists(), "it may be the next one's by now");
}

#[test]
fn a_backend_without_a_local_folder_has_no_copies() {
    let full = ColdError::DiskFull {
        action: "make a folder",
        folder: PathBuf::from("/scratch"),
        cause: "no space left".to_owned(),
    };
    for scratch in [Ok(None), Err(full)] {
        let backend: Arc<dyn StateBackendFactory> = Arc::new(Scratch(scratch));
        let copies = LocalCopies::new(&backend);
        let mine = object("a", b"state");
        copies.keep_bytes(CheckpointId(7), &mine, b"state");
        assert_eq!(copies.find(&mine), None);
    }
}
