//! All subtasks of a keyed operator over tiers, with what a job does to take snapshots and to
//! restore them, beside a model that does it in plain maps. Also used by the crates that bring
//! tiers.

use proptest::prelude::*;
use weir_state::{
    ColdSetup, FileSnapshot, KeyedBackend, KeyedSnapshot, SnapshotKind, TakenSnapshot, key_hash,
};
use weir_types::{CheckpointId, KeyGroup, KeyGroupRange, subtask_of_key_group};

use crate::model::{self, Backend, Change, KEYS, MAX_PARALLELISM, Model};

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Change(usize, Change),
    Read(usize),
    /// Of files, if the tier has any.
    Begin(bool),
    /// One of files is written ahead of the next one, whatever that will be.
    Ahead,
    Step(usize),
    Abort,
    Confirm,
    /// Finishes the snapshot under way and goes on from it at this parallelism, with a tier and so
    /// many bytes for its tables, or without one.
    Restore(u32, Option<usize>),
}

pub(crate) fn memory() -> impl Strategy<Value = Option<usize>> {
    prop_oneof![
        Just(None),
        prop_oneof![Just(1usize), 2_000..60_000usize, Just(1 << 30)].prop_map(Some),
    ]
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        40 => (0..KEYS, model::change()).prop_map(|(key, change)| Op::Change(key, change)),
        6 => (0..KEYS).prop_map(Op::Read),
        2 => any::<bool>().prop_map(Op::Begin),
        2 => Just(Op::Ahead),
        4 => (1usize..100).prop_map(Op::Step),
        1 => Just(Op::Abort),
        1 => Just(Op::Confirm),
        1 => (1u32..=3, memory()).prop_map(|(parallelism, memory)| Op::Restore(parallelism, memory)),
    ]
}

/// What makes tiers for subtasks.
pub(crate) trait Tiers {
    /// Whether snapshots of files can be taken.
    const FILES: bool;

    /// The tier of a subtask, with so many bytes for its tables.
    fn open(
        &mut self,
        subtask: u32,
        range: KeyGroupRange,
        files: &[FileSnapshot],
        memory: usize,
    ) -> ColdSetup;
}

pub(crate) struct Job<T> {
    tiers: T,
    subtasks: Vec<Backend>,
    model: Model,
    next: u64,
    /// Whether the subtasks have tiers.
    tiered: bool,
    /// The snapshot under way: what it must show, and the parts that are complete.
    running: Option<(Model, Vec<Option<TakenSnapshot>>)>,
}

impl<T: Tiers> Job<T> {
    pub(crate) fn new(tiers: T, memory: Option<usize>) -> Self {
        let mut job = Self {
            tiers,
            subtasks: Vec::new(),
            model: Model::default(),
            next: 0,
            tiered: false,
            running: None,
        };
        job.subtasks = job.open(1, memory, &[], &[]);
        job
    }

    fn open(
        &mut self,
        parallelism: u32,
        memory: Option<usize>,
        files: &[FileSnapshot],
        entries: &[KeyedSnapshot],
    ) -> Vec<Backend> {
        let mut opened = Vec::new();
        self.tiered = memory.is_some() || !files.is_empty();
        for subtask in 0..parallelism {
            let range = KeyGroupRange::of_subtask(MAX_PARALLELISM, parallelism, subtask);
            let memory = memory.or_else(|| (!files.is_empty()).then_some(1 << 20));
            let setup = memory.map(|bytes| self.tiers.open(subtask, range, files, bytes));
            let keyed = KeyedBackend::open(MAX_PARALLELISM, range, entries.to_vec(), setup);
            opened.push(Backend::open(keyed.unwrap()));
        }
        opened
    }

    fn subtask_of(&self, key: usize) -> usize {
        let hash = key_hash(&model::key(key)).unwrap();
        let group = KeyGroup::of_hash(hash, MAX_PARALLELISM);
        let parallelism = u32::try_from(self.subtasks.len()).unwrap();
        subtask_of_key_group(group, MAX_PARALLELISM, parallelism) as usize
    }

    pub(crate) fn apply(&mut self, op: Op) {
        match op {
            Op::Change(key, change) => {
                let subtask = self.subtask_of(key);
                self.subtasks[subtask].change(key, &change);
                self.model.change(key, &change);
            }
            Op::Read(key) => self.check(key),
            Op::Begin(files) if self.running.is_none() => self.begin(files),
            Op::Ahead if T::FILES && self.tiered && self.running.is_none() => self.ahead(),
            Op::Step(budget) => self.step(budget),
            Op::Abort if self.running.is_some() => {
                self.running = None;
                for subtask in &mut self.subtasks {
                    subtask.keyed.abort(CheckpointId(self.next));
                }
            }
            Op::Confirm if self.running.is_some() => {
                self.step(usize::MAX);
                self.running = None;
                for subtask in &mut self.subtasks {
                    subtask.keyed.confirm(CheckpointId(self.next));
                }
            }
            Op::Restore(parallelism, memory) => self.restore(parallelism, memory),
            Op::Begin(_) | Op::Ahead | Op::Abort | Op::Confirm => {}
        }
    }

    fn begin(&mut self, files: bool) {
        self.next += 1;
        let kind = if T::FILES && files && self.tiered {
            SnapshotKind::Files
        } else {
            SnapshotKind::Full
        };
        for subtask in &mut self.subtasks {
            let keyed = &mut subtask.keyed;
            keyed.snapshot_begin(CheckpointId(self.next), kind).unwrap();
        }
        let parts = self.subtasks.iter().map(|_| None).collect();
        self.running = Some((self.model.clone(), parts));
    }

    fn ahead(&mut self) {
        let next = CheckpointId(self.next + 1);
        for subtask in &mut self.subtasks {
            let keyed = &mut subtask.keyed;
            if keyed.snapshot_ahead(next, SnapshotKind::Files).unwrap() {
                keyed.snapshot_poll(usize::MAX).unwrap();
            }
        }
    }

    fn step(&mut self, budget: usize) {
        let Some((_, parts)) = &mut self.running else {
            return;
        };
        for (subtask, part) in self.subtasks.iter_mut().zip(parts) {
            if part.is_none() {
                *part = subtask.keyed.snapshot_poll(budget).unwrap();
            }
        }
    }

    pub(crate) fn restore(&mut self, parallelism: u32, memory: Option<usize>) {
        if self.running.is_none() {
            self.begin(self.next.is_multiple_of(2));
        }
        self.step(usize::MAX);
        let (model, parts) = self.running.take().unwrap();
        let (mut files, mut entries) = (Vec::new(), Vec::new());
        for part in parts {
            match part.unwrap() {
                TakenSnapshot::Entries(part) => entries.push(part),
                TakenSnapshot::Files(part) => match part.read_spilled().unwrap() {
                    Some(part) => entries.push(part),
                    None => files.push(part),
                },
            }
        }
        // The old ones are dropped, and their folders go, once the new ones are open.
        self.subtasks = self.open(parallelism, memory, &files, &entries);
        self.model = model;
    }

    pub(crate) fn check(&mut self, key: usize) {
        let subtask = self.subtask_of(key);
        // With hardly any memory each change is a file: of some keys the timers will do.
        if T::FILES && !key.is_multiple_of(4) {
            let found = self.subtasks[subtask].read_without_timers(key);
            assert_eq!(found, self.model.read(key).without_timers(), "key {key}");
            return;
        }
        let found = self.subtasks[subtask].read(key);
        assert_eq!(found, self.model.read(key), "key {key}");
    }

    pub(crate) fn check_all(&mut self) {
        (0..KEYS).for_each(|key| self.check(key));
    }
}

/// Runs a job to its end and restores it at other parallelisms, with and without a tier.
pub(crate) fn run<T: Tiers>(tiers: T, memory: Option<usize>, ops: Vec<Op>) {
    let mut job = Job::new(tiers, memory);
    ops.into_iter().for_each(|op| job.apply(op));
    job.check_all();
    for (parallelism, memory) in [
        (2, Some(1)),
        (1, Some(40_000)),
        (3, Some(1 << 30)),
        (2, None),
    ] {
        job.restore(parallelism, memory);
        job.check_all();
    }
}
