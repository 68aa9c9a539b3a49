use std::path::Path;
use std::sync::Mutex;

use weir_checkpoint::handle::{ObjectRef, Stored};
use weir_checkpoint::keyed_file::{self, Compression};
use weir_network::CancelToken;
use weir_state::{
    BackendRequest, ColdSetup, GroupBlock, HeapFactory, KeyedBackend, NextGroups, SnapshotFile,
    SnapshotKind, StateBackendFactory,
};
use weir_storage::{MemoryStore, ObjectPath, ObjectStore};
use weir_stream::OperatorContext;
use weir_stream::metrics::OperatorMetrics;
use weir_types::{
    AttemptNumber, CheckpointId, Epoch, ExecutionAttemptId, FaultClass, KeyGroup, OperatorId,
    SubtaskIndex, SystemClock, VertexId, hash128,
};

use super::*;
use crate::restore::objects::Objects;

/// Two of them are read at a time.
const BLOCK_BYTES: usize = 7 << 20;

/// Keeps what it is to import.
#[derive(Debug)]
struct Importer {
    scratch: PathBuf,
    taken: Mutex<Vec<Vec<StateSnapshot>>>,
}

impl StateBackendFactory for Importer {
    fn open(&self, _request: &BackendRequest) -> Result<Option<ColdSetup>, ColdError> {
        Ok(None)
    }

    fn scratch(&self) -> Result<Option<PathBuf>, ColdError> {
        Ok(Some(self.scratch.clone()))
    }

    fn importer(&self) -> Option<&dyn ColdImporter> {
        Some(self)
    }
}

impl ColdImporter for Importer {
    fn import(
        &self,
        folder: &Path,
        _states: &[StateMeta],
        next: NextGroups<'_>,
    ) -> Result<(PathBuf, Vec<SnapshotFile>), ColdError> {
        assert!(folder.is_dir(), "the caller makes it");
        while let Some(groups) = next()? {
            self.taken.lock().unwrap().push(groups);
        }
        Ok((folder.join("files"), Vec::new()))
    }
}

struct Rig {
    _folder: tempfile::TempDir,
    store: MemoryStore,
    importer: Arc<Importer>,
}

impl Rig {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let importer = Importer {
            scratch: folder.path().to_owned(),
            taken: Mutex::default(),
        };
        Self {
            _folder: folder,
            store: MemoryStore::new(),
            importer: Arc::new(importer),
        }
    }

    /// Stores a file.
    fn store(&self, snapshot: &KeyedSnapshot) -> KeyedHandle {
        let bytes = keyed_file::encode(snapshot, Compression::None);
        let path = format!("{}-{}", snapshot.checkpoint, snapshot.range.start);
        let name = ObjectPath::new(path.as_str()).unwrap();
        self.store.create(&name, &bytes).unwrap();
        KeyedHandle {
            stored: Stored::Object(ObjectRef {
                path,
                size: bytes.len() as u64,
                checksum: hash128(&bytes),
            }),
            checkpoint: snapshot.checkpoint,
            base: snapshot.base,
            range: snapshot.range,
            max_parallelism: snapshot.max_parallelism,
            states: snapshot.states.iter().map(|s| s.meta.clone()).collect(),
        }
    }

    /// What the only subtask of eight key groups gets of the files, and what is read at a time.
    fn snapshots(
        &self,
        backend: Arc<dyn StateBackendFactory>,
        keyed: Vec<KeyedHandle>,
    ) -> Result<Vec<weir_stream::OperatorSnapshot>, RestoreError> {
        let context = OperatorContext {
            operator: OperatorId(8),
            name: "sum".into(),
            attempt: ExecutionAttemptId {
                epoch: Epoch(3),
                vertex: VertexId(7),
                subtask: SubtaskIndex(0),
                attempt: AttemptNumber(0),
            },
            parallelism: 1,
            max_parallelism: 8,
            key_groups: KeyGroupRange { start: 0, end: 7 },
            clock: Arc::new(SystemClock),
            state_backend: backend,
            cancel: CancelToken::default(),
            metrics: Arc::new(OperatorMetrics::default()),
        };
        let checkpoint = CheckpointId(5);
        let objects = Objects::new(&self.store, checkpoint, None);
        let reading = Reading {
            objects: &objects,
            checkpoint,
            context: &context,
        };
        let restore = weir_checkpoint::handle::OperatorRestore {
            keyed,
            ..Default::default()
        };
        reading.snapshots(&restore, &mut Vec::new())
    }

    fn imported(&self, keyed: Vec<KeyedHandle>) -> Result<Vec<FileSnapshot>, RestoreError> {
        let backend = Arc::clone(&self.importer);
        let snapshots = self.snapshots(backend, keyed)?;
        Ok(snapshots.into_iter().filter_map(|s| s.files).collect())
    }

    /// Of what was imported, at a time: key groups of the first state and their bytes.
    fn taken(&self) -> Vec<Vec<(u16, usize)>> {
        let taken = self.importer.taken.lock().unwrap();
        let blocks = |states: &Vec<StateSnapshot>| {
            let blocks = states[0].blocks.iter();
            blocks.map(|b| (b.group.0, b.bytes.len())).collect()
        };
        taken.iter().map(blocks).collect()
    }
}

/// A snapshot of one state with blocks of so many bytes in these key groups.
fn snapshot(
    (checkpoint, base): (u64, Option<u64>),
    range: KeyGroupRange,
    blocks: &[(u16, usize)],
) -> KeyedSnapshot {
    let mut keyed = KeyedBackend::<u64>::new(8, range);
    keyed.value_state::<u64>("sum").unwrap();
    keyed
        .snapshot_begin(CheckpointId(checkpoint), SnapshotKind::Full)
        .unwrap();
    let mut snapshot = keyed.snapshot_finish().unwrap();
    snapshot.base = base.map(CheckpointId);
    let state = &mut snapshot.states[0];
    state.complete = base.is_none();
    let blocks = blocks.iter().map(|(group, len)| GroupBlock {
        group: KeyGroup(*group),
        bytes: vec![group.to_le_bytes()[0]; *len],
    });
    state.blocks = blocks.collect();
    snapshot
}

const LOW: KeyGroupRange = KeyGroupRange { start: 0, end: 3 };
const HIGH: KeyGroupRange = KeyGroupRange { start: 4, end: 7 };

/// Blocks that are not all read at a time.
const THREE: [(u16, usize); 3] = [(0, BLOCK_BYTES), (1, BLOCK_BYTES), (7, BLOCK_BYTES)];

fn large(range: KeyGroupRange) -> Vec<(u16, usize)> {
    let groups = range.iter();
    groups.map(|group| (group.0, BLOCK_BYTES)).collect()
}

#[test]
fn a_few_key_groups_are_read_at_a_time_and_those_of_all_former_subtasks_become_one_database() {
    let rig = Rig::new();
    let delta = snapshot((5, Some(4)), LOW, &[(1, 100), (3, 5 << 20)]);
    let files = vec![
        rig.store(&snapshot((5, None), HIGH, &large(HIGH))),
        rig.store(&snapshot((4, None), LOW, &large(LOW))),
        rig.store(&delta),
    ];
    let imported = rig.imported(files).unwrap();
    let [imported] = &imported[..] else {
        unreachable!("key groups lie side by side: {imported:?}");
    };
    assert_eq!(imported.range, KeyGroupRange { start: 0, end: 7 });
    assert_eq!(imported.max_parallelism, 8);
    assert_eq!(imported.states.len(), 1);
    assert!(imported.folder.ends_with("files"));
    let both = BLOCK_BYTES + 100;
    let last = BLOCK_BYTES + (5 << 20);
    let whole = BLOCK_BYTES;
    let want = [
        vec![(0, whole), (1, both)],
        vec![(2, whole)],
        vec![(3, last)],
        vec![(4, whole), (5, whole)],
        vec![(6, whole), (7, whole)],
    ];
    assert_eq!(rig.taken(), want);
}

#[test]
fn what_is_small_and_what_is_for_memory_alone_is_read_at_once() {
    let rig = Rig::new();
    let all = KeyGroupRange { start: 0, end: 7 };
    let small = snapshot((4, None), all, &[(2, 100), (6, 7_000)]);
    let small_file = rig.store(&small);
    let large = snapshot((5, None), all, &THREE);
    let large_file = rig.store(&large);
    let importer: Arc<dyn StateBackendFactory> = Arc::clone(&rig.importer) as _;
    let heap: Arc<dyn StateBackendFactory> = Arc::new(HeapFactory);
    for (backend, file, want) in [(importer, small_file, small), (heap, large_file, large)] {
        let found = rig.snapshots(backend, vec![file]).unwrap();
        assert_eq!(found.len(), 1);
        assert!(found[0].keyed.as_ref() == Some(&want));
    }
    assert!(rig.taken().is_empty());
}

#[test]
fn state_in_two_encodings_is_left_to_the_backend() {
    let rig = Rig::new();
    let low = snapshot((5, None), LOW, &THREE[..2]);
    let mut high = snapshot((5, None), HIGH, &THREE[2..]);
    high.states[0].meta.timed = true;
    let files = vec![rig.store(&low), rig.store(&high)];
    let backend = Arc::clone(&rig.importer);
    let found = rig.snapshots(backend, files).unwrap();
    assert_eq!(found.iter().filter(|s| s.keyed.is_some()).count(), 2);
    assert!(rig.taken().is_empty());
}

#[test]
fn what_is_damaged_missing_or_does_not_fit_is_no_database() {
    let all = KeyGroupRange { start: 0, end: 7 };
    let rig = Rig::new();
    let file = rig.store(&snapshot((5, None), all, &THREE));
    let name = ObjectPath::new("5-0").unwrap();
    let mut bytes = rig.store.get(&name).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    rig.store.corrupt(&name, &bytes);
    let error = rig.imported(vec![file.clone()]).unwrap_err();
    assert_eq!(error.class(), FaultClass::StateDamaged);
    let text = weir_types::causes(&error);
    assert!(
        text.contains("key group 7") && text.contains("damaged"),
        "{text}"
    );
    assert!(!rig.taken().is_empty(), "it had begun");

    rig.store.delete(&name).unwrap();
    let error = rig.imported(vec![file]).unwrap_err();
    assert_eq!(error.class(), FaultClass::StateDamaged);

    let delta = rig.store(&snapshot((6, Some(4)), all, &THREE));
    let error = rig.imported(vec![delta]).unwrap_err();
    assert_eq!(error.class(), FaultClass::NonRecoverable);
    let text = weir_types::causes(&error);
    assert!(
        text.contains("snapshot 4, which it continues, is missing"),
        "{text}"
    );
}
