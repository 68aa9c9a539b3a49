//! Drives every kind of keyed state and timers with random operations, through checkpoints that
//! are written to files, confirmed or given up, and restored at other parallelisms, and compares
//! with maps and lists that do the same in the plainest way.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../state/tests/keyed_model/model.rs"]
mod model;

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use model::{Backend, Change, KEYS, MAX_PARALLELISM, Model};
use proptest::prelude::*;
use weir_checkpoint::coordinator::OperatorInfo;
use weir_checkpoint::fsck;
use weir_checkpoint::handle::{KeyedHandle, ObjectRef, OperatorSubtaskState, Stored};
use weir_checkpoint::keyed_file::{self, Compression, Reader};
use weir_checkpoint::metadata::{self, CheckpointMetadata, OperatorMetadata};
use weir_checkpoint::pointer::SnapshotKind as Kind;
use weir_checkpoint::restore::{RestoreOptions, plan};
use weir_state::{KeyedBackend, KeyedSnapshot, SnapshotKind, key_hash};
use weir_types::{
    CheckpointId, Epoch, JobId, KeyGroup, KeyGroupRange, OperatorId, SubtaskIndex, VertexId,
    hash128, subtask_of_key_group,
};

const OPERATOR: OperatorId = OperatorId(7);

#[derive(Clone, Debug)]
enum Op {
    Change(usize, Change),
    Begin(bool),
    Step(usize),
    Finish,
    Complete(Compression),
    Abort,
    /// At this parallelism, from the latest checkpoint.
    Restore(u32),
}

fn op() -> impl Strategy<Value = Op> {
    let compression = prop_oneof![Just(Compression::None), Just(Compression::Lz4)];
    prop_oneof![
        30 => (0..KEYS, model::change()).prop_map(|(key, change)| Op::Change(key, change)),
        3 => any::<bool>().prop_map(Op::Begin),
        4 => (1usize..100).prop_map(Op::Step),
        3 => Just(Op::Finish),
        3 => compression.prop_map(Op::Complete),
        1 => Just(Op::Abort),
        1 => (1u32..=4).prop_map(Op::Restore),
    ]
}

/// A keyed operator, its store, and the latest checkpoint's metadata with what it must hold.
struct Job {
    subtasks: Vec<Backend>,
    model: Model,
    next: u64,
    running: Option<(CheckpointId, Model, Vec<Option<KeyedSnapshot>>)>,
    finished: Option<(CheckpointId, Model, Vec<KeyedSnapshot>)>,
    objects: BTreeMap<String, Vec<u8>>,
    latest: Option<(Vec<u8>, Model)>,
    /// By subtask, the files that its latest confirmed checkpoint consists of.
    chains: Vec<Vec<KeyedHandle>>,
}

fn backend(keyed: KeyedBackend<String>) -> Backend {
    Backend::open(keyed)
}

impl Job {
    fn new() -> Self {
        let range = KeyGroupRange::of_subtask(MAX_PARALLELISM, 1, 0);
        Self {
            subtasks: vec![backend(KeyedBackend::new(MAX_PARALLELISM, range))],
            model: Model::default(),
            next: 1,
            running: None,
            finished: None,
            objects: BTreeMap::new(),
            latest: None,
            chains: vec![Vec::new()],
        }
    }

    fn parallelism(&self) -> u32 {
        u32::try_from(self.subtasks.len()).unwrap()
    }

    fn subtask_of(&self, key: usize) -> usize {
        let hash = key_hash(&model::key(key)).unwrap();
        let group = KeyGroup::of_hash(hash, MAX_PARALLELISM);
        subtask_of_key_group(group, MAX_PARALLELISM, self.parallelism()) as usize
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Change(key, change) => {
                let subtask = self.subtask_of(key);
                self.subtasks[subtask].change(key, &change);
                self.model.change(key, &change);
            }
            Op::Begin(full) => self.begin(full),
            Op::Step(budget) => self.step(budget),
            Op::Finish => self.step(usize::MAX),
            Op::Complete(compression) => self.complete(compression),
            Op::Abort => self.abort(),
            Op::Restore(parallelism) => {
                self.restore(parallelism);
                self.check();
            }
        }
    }

    fn begin(&mut self, full: bool) {
        if self.running.is_some() || self.finished.is_some() {
            return;
        }
        let kind = if full {
            SnapshotKind::Full
        } else {
            SnapshotKind::Incremental
        };
        let checkpoint = CheckpointId(self.next);
        self.next += 1;
        for subtask in &mut self.subtasks {
            subtask.keyed.snapshot_begin(checkpoint, kind).unwrap();
        }
        let snapshots = vec![None; self.subtasks.len()];
        self.running = Some((checkpoint, self.model.clone(), snapshots));
    }

    fn step(&mut self, budget: usize) {
        let Some((_, _, snapshots)) = &mut self.running else {
            return;
        };
        for (subtask, snapshot) in self.subtasks.iter_mut().zip(snapshots.iter_mut()) {
            if snapshot.is_none() {
                *snapshot = subtask.keyed.snapshot_step(budget).unwrap();
            }
        }
        if snapshots.iter().all(Option::is_some) {
            let (checkpoint, model, snapshots) = self.running.take().unwrap();
            let snapshots = snapshots.into_iter().flatten().collect();
            self.finished = Some((checkpoint, model, snapshots));
        }
    }

    fn abort(&mut self) {
        let running = self.running.take().map(|(checkpoint, _, _)| checkpoint);
        let finished = self.finished.take().map(|(checkpoint, _, _)| checkpoint);
        for checkpoint in running.into_iter().chain(finished) {
            for subtask in &mut self.subtasks {
                subtask.keyed.abort(checkpoint);
            }
        }
    }

    /// Writes the files and the metadata, and confirms.
    fn complete(&mut self, compression: Compression) {
        let Some((checkpoint, model, snapshots)) = self.finished.take() else {
            return;
        };
        let mut subtasks = Vec::new();
        for (nth, snapshot) in snapshots.iter().enumerate() {
            let bytes = keyed_file::encode(snapshot, compression);
            let path = format!("shared/1-{checkpoint}-{nth}");
            let object = ObjectRef {
                path: path.clone(),
                size: bytes.len() as u64,
                checksum: hash128(&bytes),
            };
            self.objects.insert(path, bytes);
            let chain = &mut self.chains[nth];
            if snapshot.base.is_none() {
                chain.clear();
            }
            chain.push(KeyedHandle {
                stored: Stored::Object(object),
                checkpoint,
                base: snapshot.base,
                range: snapshot.range,
                max_parallelism: MAX_PARALLELISM,
                states: snapshot.states.iter().map(|s| s.meta.clone()).collect(),
            });
            let state = OperatorSubtaskState {
                operator: OPERATOR,
                keyed: chain.clone(),
                operator_state: None,
                raw: None,
                uncommitted: false,
            };
            subtasks.push((SubtaskIndex(u32::try_from(nth).unwrap()), state));
        }
        let metadata = self.metadata(checkpoint, subtasks);
        self.latest = Some((metadata::encode(&metadata), model));
        for subtask in &mut self.subtasks {
            subtask.keyed.confirm(checkpoint);
        }
    }

    fn metadata(
        &self,
        id: CheckpointId,
        subtasks: Vec<(SubtaskIndex, OperatorSubtaskState)>,
    ) -> CheckpointMetadata {
        CheckpointMetadata {
            state_id: JobId(1),
            id,
            epoch: Epoch(1),
            kind: Kind::Checkpoint,
            operation: None,
            triggered_ms: 0,
            completed_ms: 0,
            weir_version: String::new(),
            operators: vec![OperatorMetadata {
                operator: OPERATOR,
                name: "model".to_owned(),
                uid: None,
                parallelism: self.parallelism(),
                max_parallelism: MAX_PARALLELISM,
                enumerator: None,
                subtasks,
                ended: Vec::new(),
            }],
        }
    }

    /// Throws the subtasks away and goes on from the latest checkpoint.
    fn restore(&mut self, parallelism: u32) {
        let Some((bytes, model)) = &self.latest else {
            return;
        };
        let metadata = metadata::decode(bytes).unwrap();
        let (checks, defects) = fsck::checks("chk", &metadata);
        assert_eq!(defects, []);
        for check in checks {
            check.verify(&self.objects[&check.path]).unwrap();
        }
        let program = [OperatorInfo {
            operator: OPERATOR,
            vertex: VertexId(1),
            name: "model".to_owned(),
            uid: None,
            parallelism,
            max_parallelism: MAX_PARALLELISM,
            source: None,
        }];
        let options = RestoreOptions::default();
        let plan = plan(&metadata, String::new(), true, &program, options).unwrap();
        let files_of = |subtask| {
            let restore = plan.subtask(VertexId(1), SubtaskIndex(subtask));
            restore.operators[0].1.keyed.clone()
        };
        let open = |subtask| {
            let files = files_of(subtask);
            let files = files.iter();
            let snapshots: Vec<KeyedSnapshot> = files.map(|handle| self.read(handle)).collect();
            let range = KeyGroupRange::of_subtask(MAX_PARALLELISM, parallelism, subtask);
            backend(KeyedBackend::restored(MAX_PARALLELISM, range, snapshots).unwrap())
        };
        self.subtasks = (0..parallelism).map(open).collect();
        self.model = model.clone();
        (self.running, self.finished) = (None, None);
        // What comes next may continue them; a snapshot that stands for itself forgets them.
        self.chains = (0..parallelism).map(files_of).collect();
    }

    fn read(&self, handle: &KeyedHandle) -> KeyedSnapshot {
        let object = handle.stored.objects().next().unwrap();
        let bytes = &self.objects[&object.path];
        let mut read = |range: Range<u64>| -> io::Result<Vec<u8>> {
            let (start, end) = (
                range.start.try_into().unwrap(),
                range.end.try_into().unwrap(),
            );
            let part: &[u8] = &bytes[Range { start, end }];
            Ok(part.to_vec())
        };
        let mut reader = Reader::open(&mut read, object.size).unwrap();
        let states: Vec<_> = reader.states().cloned().collect();
        assert_eq!(states, handle.states);
        reader.read_groups(handle.range).unwrap()
    }

    fn check(&mut self) {
        for key in 0..KEYS {
            let subtask = self.subtask_of(key);
            let found = self.subtasks[subtask].read(key);
            assert_eq!(found, self.model.read(key), "key {key}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn state_is_what_the_model_says_through_files_restores_and_rescaling(
        ops in prop::collection::vec(op(), 1..250), parallelism in 1u32..=4,
    ) {
        let mut job = Job::new();
        for op in ops {
            job.apply(op);
        }
        job.check();
        // One more checkpoint, so that every history ends with a restore.
        job.abort();
        job.begin(false);
        job.step(usize::MAX);
        job.complete(Compression::Lz4);
        job.restore(parallelism);
        job.check();
    }
}
