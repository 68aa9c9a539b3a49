//! A folder of one job, as the job would have left it: checkpoints 1 and 2, which share an object,
//! and savepoint 3, which is the newest.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use tempfile::TempDir;
use weir_checkpoint::blob::{self, RawState};
use weir_checkpoint::handle::{KeyedHandle, ObjectRef, OperatorSubtaskState, Stored};
use weir_checkpoint::keyed_file::{self, Compression};
use weir_checkpoint::metadata::{self, CheckpointMetadata, OperatorMetadata, sha256_hex};
use weir_checkpoint::pointer::{
    OperationId, POINTER, Pointer, Root, RunState, SnapshotKind, SnapshotRef,
};
use weir_cli::StoreRequest;
use weir_state::{KeyedBackend, SnapshotKind as Size, StateDescriptor};
use weir_storage::{LocalStore, MemoryStore, ObjectPath, ObjectStore, StoreOptions};
use weir_types::{
    CheckpointId, Clock, Epoch, JobId, KeyGroupRange, OperatorId, SubtaskIndex, hash128,
};

use crate::offline::place::Place;

const RANGE: KeyGroupRange = KeyGroupRange { start: 0, end: 3 };

/// A folder with job `wc` in it.
pub(super) struct State {
    folder: TempDir,
}

impl State {
    pub(super) fn new() -> Self {
        let state = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        state.add_job("wc");
        state
    }

    pub(super) fn dir(&self) -> String {
        self.folder.path().to_str().unwrap().to_owned()
    }

    pub(super) fn file(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub(super) fn request(&self, path: &str) -> StoreRequest {
        StoreRequest {
            location: self.file(path).to_str().unwrap().to_owned(),
            ..StoreRequest::default()
        }
    }

    /// The whole folder, seen through another store.
    pub(super) fn place(store: Arc<dyn ObjectStore>) -> Place {
        Place {
            store,
            options: StoreOptions::default(),
            jobs: Vec::new(),
        }
    }

    pub(super) fn store(&self, path: &str) -> Arc<dyn ObjectStore> {
        Arc::new(LocalStore::open(self.file(path)).unwrap())
    }

    /// The same in memory, which shows what was begun as a bucket does.
    pub(super) fn in_memory(&self, clock: Arc<dyn Clock>) -> Arc<dyn ObjectStore> {
        let (folder, memory) = (self.store(""), MemoryStore::with_clock(clock));
        for object in folder.list(&ObjectPath::default()).unwrap() {
            if let Some((bytes, _)) = folder.read_register(&object.path).unwrap() {
                memory.swap_register(&object.path, None, &bytes).unwrap();
            } else {
                let bytes = folder.get(&object.path).unwrap();
                memory.create(&object.path, &bytes).unwrap();
            }
        }
        Arc::new(memory)
    }

    /// An object that nothing needs, written a second after 1970.
    pub(super) fn orphan(&self, path: &str) {
        let file = self.file(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, path).unwrap();
        age(&file);
    }

    /// All files of a folder, whatever they are called, were written a second after 1970.
    pub(super) fn age_all(&self, folder: &str) {
        for file in fs::read_dir(self.file(folder)).unwrap() {
            age(&file.unwrap().path());
        }
    }

    pub(super) fn pointer(&self, job: &str) -> Pointer {
        let found = self.store(job).read_register(&path(POINTER)).unwrap();
        Pointer::decode(&found.unwrap().0).unwrap()
    }

    /// Moves a job's pointer.
    pub(super) fn change(&self, job: &str, change: impl FnOnce(&mut Pointer)) {
        move_pointer(self.store(job).as_ref(), change);
    }

    pub(super) fn add_root(&self, job: &str, path: &str) {
        let root = Root {
            operation: OperationId("restore".to_owned()),
            path: path.to_owned(),
        };
        self.change(job, |pointer| pointer.roots.push(root));
    }

    pub(super) fn add_job(&self, job: &str) {
        let store = self.store(job);
        let keyed = keyed_bytes(CheckpointId(1));
        let later = keyed_bytes(CheckpointId(2));
        let raw = blob::encode(&RawState::from([("split".to_owned(), vec![7; 40])]));
        for (name, bytes) in [
            ("shared/keyed-1", &keyed),
            ("shared/keyed-2", &later),
            ("shared/raw-2", &raw),
            ("savepoint-1-3/keyed-1", &keyed),
            ("savepoint-1-3/raw", &raw),
        ] {
            store.create(&path(name), bytes).unwrap();
        }
        let first = handle(1, stored("shared/keyed-1", &keyed));
        let second = handle(2, stored("shared/keyed-2", &later));
        let mut pointer = pointer();
        let kinds = [
            (
                SnapshotKind::Checkpoint,
                vec![first.clone()],
                Stored::Inline(raw.clone()),
            ),
            (
                SnapshotKind::Checkpoint,
                vec![first, second],
                stored("shared/raw-2", &raw),
            ),
            (
                SnapshotKind::Savepoint,
                vec![handle(1, stored("keyed-1", &keyed))],
                stored("raw", &raw),
            ),
        ];
        for (nth, (kind, keyed, raw)) in (1..).zip(kinds) {
            let snapshot = write(store.as_ref(), &metadata(nth, kind, keyed, raw));
            pointer.complete(snapshot, 2);
        }
        let bytes = pointer.encode();
        store.swap_register(&path(POINTER), None, &bytes).unwrap();
        let listing = store.list(&ObjectPath::default()).unwrap();
        for object in listing.iter().filter(|o| o.path.as_str() != POINTER) {
            age(&self.file(job).join(object.path.as_str()));
        }
    }
}

/// A large object whose writer is killed: it runs no destructors.
pub(super) fn begin(store: &dyn ObjectStore, name: &str) {
    let mut killed = store.create_large(&path(name)).unwrap();
    killed.write(&[7; 100]).unwrap();
    std::mem::forget(killed);
}

/// What was begun and is not finished, in the order in which it was begun.
pub(super) fn begun(store: &dyn ObjectStore) -> Vec<String> {
    let found = store.list_unfinished(&ObjectPath::default()).unwrap();
    let names = found.into_iter().map(|one| one.path.to_string());
    names.collect()
}

/// Moves the pointer of the store of a job.
pub(super) fn move_pointer(store: &dyn ObjectStore, change: impl FnOnce(&mut Pointer)) {
    let (bytes, version) = store.read_register(&path(POINTER)).unwrap().unwrap();
    let mut pointer = Pointer::decode(&bytes).unwrap();
    change(&mut pointer);
    pointer.nonce += 1;
    let bytes = pointer.encode();
    store
        .swap_register(&path(POINTER), Some(&version), &bytes)
        .unwrap();
}

fn age(file: &Path) {
    let file = fs::File::options().write(true).open(file).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_secs(1))
        .unwrap();
}

fn path(path: &str) -> ObjectPath {
    ObjectPath::new(path).unwrap()
}

fn keyed_bytes(checkpoint: CheckpointId) -> Vec<u8> {
    let mut backend = KeyedBackend::<u32>::new(4, RANGE);
    drop(backend.value_state::<u64>(StateDescriptor::new("sum")));
    backend.snapshot_begin(checkpoint, Size::Full).unwrap();
    keyed_file::encode(&backend.snapshot_finish().unwrap(), Compression::None)
}

fn stored(path: &str, bytes: &[u8]) -> Stored {
    Stored::Object(ObjectRef {
        path: path.to_owned(),
        size: bytes.len() as u64,
        checksum: hash128(bytes),
    })
}

fn handle(checkpoint: u64, stored: Stored) -> KeyedHandle {
    let checkpoint = CheckpointId(checkpoint);
    let file = keyed_file::decode(&keyed_bytes(checkpoint)).unwrap();
    KeyedHandle {
        stored,
        checkpoint,
        base: None,
        range: RANGE,
        max_parallelism: 4,
        states: file.states.into_iter().map(|state| state.meta).collect(),
    }
}

fn metadata(
    id: u64,
    kind: SnapshotKind,
    keyed: Vec<KeyedHandle>,
    raw: Stored,
) -> CheckpointMetadata {
    let operator = OperatorId(1);
    let state = OperatorSubtaskState {
        operator,
        keyed,
        operator_state: None,
        raw: Some(raw),
        uncommitted: false,
    };
    CheckpointMetadata {
        state_id: JobId(1),
        id: CheckpointId(id),
        epoch: Epoch(1),
        kind,
        operation: None,
        triggered_ms: 1_000,
        completed_ms: 1_000 + i64::try_from(id).unwrap(),
        weir_version: "0.1.0".to_owned(),
        operators: vec![OperatorMetadata {
            operator,
            name: "count".to_owned(),
            uid: Some("count".to_owned()),
            parallelism: 1,
            max_parallelism: 4,
            enumerator: Some(vec![1, 2, 3]),
            subtasks: vec![(SubtaskIndex(0), state)],
            ended: Vec::new(),
        }],
    }
}

fn write(store: &dyn ObjectStore, metadata: &CheckpointMetadata) -> SnapshotRef {
    let bytes = metadata::encode(metadata);
    let folder = metadata.kind.folder(metadata.epoch, metadata.id);
    let name = path(&format!("{folder}/_metadata"));
    store.create(&name, &bytes).unwrap();
    SnapshotRef {
        id: metadata.id,
        epoch: metadata.epoch,
        kind: metadata.kind,
        path: folder,
        sha256: sha256_hex(&bytes),
        size: bytes.len() as u64,
        completed_ms: metadata.completed_ms,
        operation: None,
    }
}

fn pointer() -> Pointer {
    Pointer {
        state_id: JobId(1),
        deployment: 2,
        epoch: Epoch(1),
        holder: "host".to_owned(),
        nonce: 1,
        run_state: RunState::Stopped(OperationId("stop".to_owned())),
        last_id: CheckpointId(0),
        latest: None,
        retained: Vec::new(),
        roots: Vec::new(),
        forgotten: Vec::new(),
        branch: None,
        rewind: None,
    }
}
