//! Drives every kind of keyed state, timers and snapshots with random operations, and compares it
//! with maps and lists that do the same in the plainest way.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "keyed_model/model.rs"]
mod model;

use std::collections::BTreeMap;

use model::{Backend, Change, KEYS, MAX_PARALLELISM, Model};
use proptest::prelude::*;
use weir_state::{KeyedBackend, KeyedSnapshot, SnapshotKind, key_hash};
use weir_types::{CheckpointId, KeyGroup, KeyGroupRange, subtask_of_key_group};

#[derive(Clone, Debug)]
enum Op {
    Change(usize, Change),
    /// A full one, or a delta; not the checkpoint that was expected.
    Begin(bool, bool),
    /// Of what has changed, for the next checkpoint.
    Ahead,
    Step(usize),
    Finish,
    Confirm(usize),
    Abort(usize),
    /// To this parallelism. Comparing all state asks for the last one, too.
    Restore(u32, bool),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        30 => (0..KEYS, model::change()).prop_map(|(key, change)| Op::Change(key, change)),
        2 => (prop::bool::weighted(0.3), prop::bool::weighted(0.2))
            .prop_map(|(full, other)| Op::Begin(full, other)),
        2 => Just(Op::Ahead),
        4 => (1usize..100).prop_map(Op::Step),
        2 => Just(Op::Finish),
        2 => (0usize..3).prop_map(Op::Confirm),
        1 => (0usize..3).prop_map(Op::Abort),
        1 => (1u32..=4, any::<bool>()).prop_map(|(parallelism, check)| Op::Restore(parallelism, check)),
    ]
}

/// A snapshot that is being copied.
struct Running {
    checkpoint: CheckpointId,
    /// None: it is written ahead. Otherwise as it was when the snapshot began.
    model: Option<Model>,
    /// By subtask, if it takes part.
    copied: Vec<Option<Copied>>,
}

enum Copied {
    NotYet,
    Done(KeyedSnapshot),
}

/// By subtask, the parts of one checkpoint.
type Parts = Vec<Vec<KeyedSnapshot>>;

/// All subtasks of a keyed operator, with what a job does to take and restore checkpoints.
struct Job {
    subtasks: Vec<Backend>,
    model: Model,
    next: u64,
    running: Option<Running>,
    /// What was written ahead for the next checkpoint.
    ahead: Option<(CheckpointId, Parts)>,
    /// Complete copies that are neither confirmed nor aborted.
    finished: Vec<(CheckpointId, Model, Parts)>,
    /// Confirmed checkpoints: what to restore each from.
    confirmed: BTreeMap<CheckpointId, (Model, Vec<Vec<KeyedSnapshot>>)>,
    /// The one that was restored last, and what each subtask of now may continue of it.
    restored: Option<(CheckpointId, Vec<Vec<KeyedSnapshot>>)>,
}

impl Job {
    fn new() -> Self {
        let range = KeyGroupRange::of_subtask(MAX_PARALLELISM, 1, 0);
        let subtasks = vec![Backend::open(KeyedBackend::new(MAX_PARALLELISM, range))];
        Self {
            subtasks,
            model: Model::default(),
            next: 1,
            running: None,
            ahead: None,
            finished: Vec::new(),
            confirmed: BTreeMap::new(),
            restored: None,
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
            Op::Begin(full, other) => self.begin(full, other),
            Op::Ahead if self.running.is_none() => {
                let checkpoint = CheckpointId(self.next);
                let begun = self.subtasks.iter_mut().map(|subtask| {
                    let kind = SnapshotKind::Incremental;
                    let begun = subtask.keyed.snapshot_ahead(checkpoint, kind).unwrap();
                    begun.then_some(Copied::NotYet)
                });
                self.running = Some(Running {
                    checkpoint,
                    model: None,
                    copied: begun.collect(),
                });
            }
            Op::Step(budget) => self.step(budget),
            Op::Finish => self.step(usize::MAX),
            Op::Confirm(nth) if nth < self.finished.len() => {
                let (checkpoint, model, parts) = self.finished.remove(nth);
                // A confirmed checkpoint makes older ones pointless.
                self.finished.retain(|(other, _, _)| *other > checkpoint);
                self.confirm(checkpoint, model, parts);
            }
            Op::Abort(nth) => {
                let aborted = if nth < self.finished.len() {
                    Some(self.finished.remove(nth).0)
                } else {
                    let ahead = self.ahead.take().map(|(checkpoint, _)| checkpoint);
                    let running = self.running.take().map(|running| running.checkpoint);
                    running.or(ahead)
                };
                for (subtask, checkpoint) in self.subtasks.iter_mut().zip(aborted.iter().cycle()) {
                    subtask.keyed.abort(*checkpoint);
                }
            }
            Op::Restore(parallelism, check) => {
                self.restore(parallelism);
                if check {
                    self.check();
                }
            }
            Op::Ahead | Op::Confirm(_) => {}
        }
    }

    fn begin(&mut self, full: bool, other: bool) {
        match &self.running {
            // It is not there in time.
            Some(Running {
                checkpoint,
                model: None,
                ..
            }) => {
                for subtask in &mut self.subtasks {
                    subtask.keyed.abort(*checkpoint);
                }
                (self.running, self.ahead) = (None, None);
            }
            Some(_) => return,
            None => {}
        }
        let checkpoint = CheckpointId(self.next + u64::from(other));
        self.next = checkpoint.0 + 1;
        let kind = if full {
            SnapshotKind::Full
        } else {
            SnapshotKind::Incremental
        };
        for subtask in &mut self.subtasks {
            subtask.keyed.snapshot_begin(checkpoint, kind).unwrap();
        }
        let copied = self.subtasks.iter().map(|_| Some(Copied::NotYet));
        self.running = Some(Running {
            checkpoint,
            model: Some(self.model.clone()),
            copied: copied.collect(),
        });
    }

    fn step(&mut self, budget: usize) {
        let Some(running) = &mut self.running else {
            return;
        };
        let mut done = true;
        for (subtask, copied) in self.subtasks.iter_mut().zip(&mut running.copied) {
            if let Some(Copied::NotYet) = copied {
                let snapshot = subtask.keyed.snapshot_step(budget).unwrap();
                done &= snapshot.is_some();
                *copied = snapshot.map(Copied::Done).or(Some(Copied::NotYet));
            }
        }
        if done {
            self.copied();
        }
    }

    /// The running snapshot is copied. What was written ahead for its checkpoint belongs to it
    /// where it continues that.
    fn copied(&mut self) {
        let Running {
            checkpoint,
            model,
            copied,
        } = self.running.take().unwrap();
        let ahead = self.ahead.take().filter(|(of, _)| *of == checkpoint);
        let mut parts = ahead.map_or_else(|| vec![Vec::new(); copied.len()], |(_, parts)| parts);
        for (parts, copied) in parts.iter_mut().zip(copied) {
            if let Some(Copied::Done(snapshot)) = copied {
                if snapshot.base != Some(checkpoint) {
                    parts.clear();
                }
                parts.push(snapshot);
            }
        }
        match model {
            Some(model) => self.finished.push((checkpoint, model, parts)),
            None => self.ahead = Some((checkpoint, parts)),
        }
    }

    fn confirm(&mut self, checkpoint: CheckpointId, model: Model, parts: Parts) {
        let mut chains = Vec::new();
        for (subtask, parts) in parts.into_iter().enumerate() {
            let mut chain = match parts[0].base {
                Some(base) => match &self.restored {
                    Some((restored, continued)) if *restored == base => continued[subtask].clone(),
                    _ => self.confirmed[&base].1[subtask].clone(),
                },
                None => Vec::new(),
            };
            chain.extend(parts);
            chains.push(chain);
        }
        for subtask in &mut self.subtasks {
            subtask.keyed.confirm(checkpoint);
        }
        self.confirmed.insert(checkpoint, (model, chains));
    }

    /// Throws the subtasks away and goes on from the latest checkpoint.
    fn restore(&mut self, parallelism: u32) {
        let Some((checkpoint, (model, chains))) = self.confirmed.last_key_value() else {
            return;
        };
        let open = |subtask| {
            let range = KeyGroupRange::of_subtask(MAX_PARALLELISM, parallelism, subtask);
            let snapshots = chains.iter().flatten().cloned();
            Backend::open(KeyedBackend::restored(MAX_PARALLELISM, range, snapshots).unwrap())
        };
        self.subtasks = (0..parallelism).map(open).collect();
        self.model = model.clone();
        (self.running, self.ahead, self.finished) = (None, None, Vec::new());
        // Whoever has the key groups of one former subtask may continue its snapshots.
        let continued = |subtask| {
            let range = KeyGroupRange::of_subtask(MAX_PARALLELISM, parallelism, subtask);
            let same = |chain: &&Vec<KeyedSnapshot>| chain.iter().all(|one| one.range == range);
            chains.iter().find(same).cloned().unwrap_or_default()
        };
        let continued = (0..parallelism).map(continued).collect();
        self.restored = Some((*checkpoint, continued));
        let latest = self.confirmed.pop_last();
        self.confirmed = latest.into_iter().collect();
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
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn state_is_what_the_model_says_through_snapshots_restores_and_rescaling(
        ops in prop::collection::vec(op(), 1..250),
    ) {
        let mut job = Job::new();
        for op in ops {
            job.apply(op);
        }
        job.check();
        // Whatever is under way shows the moment it began.
        job.step(usize::MAX);
        if let Some((checkpoint, model, parts)) = job.finished.pop() {
            job.finished.clear();
            job.confirm(checkpoint, model, parts);
        }
        job.restore(3);
        job.check();
    }
}
