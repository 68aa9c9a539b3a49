//! A leader's collector in a world where all that may happen does, at random: checkpoints complete
//! late or never, the collector lags behind the pointer, clocks jump, leaders follow each other.

use std::collections::BTreeMap;

use proptest::prelude::*;
use weir_types::{Epoch, JobId, KeyGroupRange};

use super::*;
use crate::collector::{metadata_objects, place, reused_outside};
use crate::fixtures;
use crate::handle::{KeyedHandle, ObjectRef, Stored};
use crate::pointer::{OperationId, Root, RunState, SnapshotKind};

const SECOND: Duration = Duration::from_secs(1);

fn options() -> UpkeepOptions {
    UpkeepOptions {
        grace: SECOND * 10,
        sweep_interval: SECOND * 5,
        release_interval: SECOND,
        batch: 3,
    }
}

fn object(path: String) -> Stored {
    Stored::Object(ObjectRef {
        path,
        size: 1,
        checksum: 1,
    })
}

/// A snapshot with the files of its chain and one of its own.
fn snapshot(
    (epoch, id): (u64, u64),
    kind: SnapshotKind,
    chain: &[(u64, String)],
) -> CheckpointMetadata {
    let range = KeyGroupRange { start: 0, end: 0 };
    let keyed = chain.iter().map(|(checkpoint, path)| KeyedHandle {
        stored: object(path.clone()),
        checkpoint: CheckpointId(*checkpoint),
        base: None,
        range,
        max_parallelism: 1,
        states: Vec::new(),
    });
    let own = match kind {
        SnapshotKind::Checkpoint => format!("chk-{epoch}-{id}/raw"),
        SnapshotKind::Savepoint => "raw".to_owned(),
    };
    let mut metadata = fixtures::metadata(id, kind, 1, keyed.collect(), object(own));
    metadata.epoch = Epoch(epoch);
    metadata
}

fn folder(metadata: &CheckpointMetadata) -> String {
    metadata.kind.folder(metadata.epoch, metadata.id)
}

fn reference(metadata: &CheckpointMetadata) -> SnapshotRef {
    SnapshotRef {
        id: metadata.id,
        epoch: metadata.epoch,
        kind: metadata.kind,
        path: folder(metadata),
        sha256: String::new(),
        size: 1,
        completed_ms: 0,
        operation: Some(OperationId(format!("operation-{}", metadata.id))),
    }
}

fn objects(metadata: &CheckpointMetadata) -> BTreeSet<String> {
    let path = folder(metadata);
    let objects = metadata_objects(metadata);
    let objects = objects.map(|object| place(&path, metadata.kind, object));
    objects.chain([format!("{path}/_metadata")]).collect()
}

fn first_pointer() -> Pointer {
    Pointer {
        state_id: JobId(1),
        deployment: 1,
        epoch: Epoch(1),
        holder: String::new(),
        nonce: 0,
        run_state: RunState::Running,
        last_id: CheckpointId(0),
        latest: None,
        retained: Vec::new(),
        roots: Vec::new(),
        forgotten: Vec::new(),
        branch: None,
        rewind: None,
    }
}

struct World {
    now: Timestamp,
    /// The wall clock of the store and of the leader, which jumps.
    unix_ms: i64,
    store: BTreeMap<String, i64>,
    known: BTreeMap<String, CheckpointMetadata>,
    pointer: Pointer,
    retained: u32,
    next: u64,
    pending: Vec<CheckpointMetadata>,
    /// What the tasks build on.
    told: Option<CheckpointMetadata>,
    upkeep: Upkeep,
    /// Moves that the collector has not heard of.
    untold: Vec<Pointer>,
    /// A batch that an earlier leader decided on, and what it believes to be its epoch.
    stale: Option<(Batch, Epoch)>,
    listing: Option<Vec<Listed>>,
}

#[derive(Clone, Debug)]
enum Op {
    Trigger,
    Savepoint,
    /// The oldest but so many completes, if it can.
    Complete(usize),
    Abort(usize),
    /// The collector hears of so many moves and takes so many steps.
    Work(usize, usize),
    Wait(u64),
    Jump(i64),
    Lead,
    Root,
    /// The oldest savepoint is let go of.
    Forget,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => Just(Op::Trigger),
        1 => Just(Op::Savepoint),
        8 => (0usize..2).prop_map(Op::Complete),
        2 => (0usize..3).prop_map(Op::Abort),
        12 => (0usize..3, 1usize..6).prop_map(|(heard, steps)| Op::Work(heard, steps)),
        6 => (1u64..8).prop_map(Op::Wait),
        1 => (-3_600_000i64..3_600_000).prop_map(Op::Jump),
        1 => Just(Op::Lead),
        1 => Just(Op::Root),
        1 => Just(Op::Forget),
    ]
}

impl World {
    fn new(retained: u32) -> Self {
        let (pointer, now) = (first_pointer(), Timestamp(0));
        Self {
            now,
            unix_ms: 10_000_000,
            store: BTreeMap::new(),
            known: BTreeMap::new(),
            upkeep: Upkeep::new(pointer.clone(), options(), now),
            pointer,
            retained,
            next: 1,
            pending: Vec::new(),
            told: None,
            untold: Vec::new(),
            stale: None,
            listing: None,
        }
    }

    fn run(&mut self, op: &Op) {
        match *op {
            Op::Trigger => self.trigger(SnapshotKind::Checkpoint),
            Op::Savepoint => self.trigger(SnapshotKind::Savepoint),
            Op::Complete(nth) => self.complete(nth),
            Op::Abort(nth) => {
                if nth < self.pending.len() {
                    self.pending.remove(nth);
                }
            }
            Op::Work(heard, steps) => {
                self.hear(heard);
                for _ in 0..steps {
                    self.work();
                }
            }
            Op::Wait(seconds) => self.wait(seconds),
            Op::Jump(ms) => self.unix_ms += ms,
            Op::Lead => self.lead(),
            Op::Root => self.add_root(),
            Op::Forget => self.forget(),
        }
        self.check();
    }

    fn wait(&mut self, seconds: u64) {
        self.now = self.now + SECOND * u32::try_from(seconds).unwrap();
        self.unix_ms += i64::try_from(seconds).unwrap() * 1_000;
    }

    /// Tasks upload at once what they do not take over from the checkpoint they build on.
    fn trigger(&mut self, kind: SnapshotKind) {
        let (epoch, id) = (self.pointer.epoch.0, self.next);
        self.next += 1;
        let mut chain: Vec<(u64, String)> = Vec::new();
        if let (SnapshotKind::Checkpoint, Some(told)) = (kind, &self.told) {
            let (_, state) = &told.operators[0].subtasks[0];
            if state.keyed.len() < 4 {
                chain.extend(state.keyed.iter().map(|handle| {
                    let path = handle.stored.objects().next().unwrap().path.clone();
                    (handle.checkpoint.0, path)
                }));
            }
        }
        let own = match kind {
            SnapshotKind::Checkpoint if id % 2 == 0 => format!("shared/{epoch}-{id}"),
            SnapshotKind::Checkpoint => format!("chk-{epoch}-{id}/keyed"),
            SnapshotKind::Savepoint => "keyed".to_owned(),
        };
        let reused: BTreeSet<String> = chain.iter().map(|(_, path)| path.clone()).collect();
        chain.push((id, own));
        let metadata = snapshot((epoch, id), kind, &chain);
        for path in objects(&metadata).difference(&reused) {
            self.store.insert(path.clone(), self.unix_ms);
        }
        self.pending.push(metadata);
    }

    fn complete(&mut self, nth: usize) {
        if nth >= self.pending.len() {
            return;
        }
        let metadata = self.pending.remove(nth);
        // Older ones are given up; so is one that builds on what is not kept.
        self.pending.retain(|other| other.id > metadata.id);
        let retained = self.pointer.retained.iter();
        let kept: Vec<_> = retained.map(|kept| &self.known[&kept.path]).collect();
        if !reused_outside(&metadata, &kept).is_empty() {
            return;
        }
        let mut pointer = self.pointer.clone();
        pointer.complete(reference(&metadata), self.retained);
        self.known.insert(folder(&metadata), metadata.clone());
        if metadata.kind == SnapshotKind::Checkpoint {
            self.told = Some(metadata);
        }
        self.write(pointer);
    }

    /// Another process leads from now on, and goes on from `latest`.
    fn lead(&mut self) {
        if let Step::Delete(batch) = self.upkeep.next(self.now) {
            self.stale = Some((batch, self.pointer.epoch));
        }
        self.pending.clear();
        self.untold.clear();
        self.listing = None;
        self.pointer.epoch.0 += 1;
        self.pointer.nonce += 1;
        self.told = self.pointer.latest.as_ref().and_then(|latest| {
            let metadata = &self.known[&latest.path];
            (latest.kind == SnapshotKind::Checkpoint).then(|| metadata.clone())
        });
        self.upkeep = Upkeep::new(self.pointer.clone(), options(), self.now);
    }

    /// An operation that needs a snapshot which is kept.
    fn add_root(&mut self) {
        let Some(kept) = self.pointer.retained.first() else {
            return;
        };
        let root = Root {
            operation: OperationId("restore".to_owned()),
            path: format!("s3://elsewhere/job/{}/_metadata", kept.path),
        };
        if !self.pointer.roots.contains(&root) {
            let mut pointer = self.pointer.clone();
            pointer.roots = vec![root];
            self.write(pointer);
        }
    }

    /// A person has no more use for the oldest savepoint.
    fn forget(&mut self) {
        let mut kept = self.pointer.retained.iter();
        let oldest = kept.find(|kept| kept.kind == SnapshotKind::Savepoint);
        let Some(operation) = oldest.and_then(|kept| kept.operation.clone()) else {
            return;
        };
        let mut pointer = self.pointer.clone();
        if pointer.forget(&operation) {
            self.write(pointer);
        }
    }

    /// Whatever a leader writes the pointer for, it says which numbers were given: that is what the
    /// collector tells by that a checkpoint's fate is decided.
    fn write(&mut self, mut pointer: Pointer) {
        pointer.nonce += 1;
        pointer.last_id = CheckpointId(self.next - 1);
        self.pointer = pointer.clone();
        self.untold.push(pointer);
    }

    fn hear(&mut self, moves: usize) {
        for pointer in self.untold.drain(..moves.min(self.untold.len())) {
            let kept = pointer.retained.iter();
            // What it is not given it has to read.
            let written = kept
                .filter(|kept| kept.id.0 % 5 != 0)
                .map(|kept| (kept.path.clone(), self.known[&kept.path].clone()));
            let written: Vec<_> = written.collect();
            self.upkeep.on_pointer(pointer, written);
        }
    }

    fn work(&mut self) {
        if let Some((batch, epoch)) = self.stale.take() {
            assert!(
                epoch == self.pointer.epoch || !batch.still_holds(&self.pointer),
                "a leader of old would delete"
            );
        }
        if let Some(listing) = self.listing.take() {
            self.hear(usize::MAX);
            self.upkeep.on_listing(self.now, self.unix_ms, &listing);
        }
        match self.upkeep.next(self.now) {
            Step::Idle(_) => {}
            Step::ReadKept(kept) => {
                if let Some(metadata) = self.known.get(&kept.path) {
                    let metadata = metadata.clone();
                    self.upkeep.on_metadata(kept.path, metadata);
                }
            }
            Step::ReadRoot(path) => {
                let name = crate::collector::root_name(&path);
                let metadata = self.known.get(name).cloned();
                self.upkeep.on_root(path, metadata);
            }
            Step::List => {
                let listed = self.store.iter().map(|(path, modified_ms)| Listed {
                    path: path.clone(),
                    size: 1,
                    modified_ms: *modified_ms,
                });
                self.listing = Some(listed.collect());
            }
            Step::Delete(batch) => {
                if batch.still_holds(&self.pointer) {
                    for listed in &batch.objects {
                        self.store.remove(&listed.path);
                    }
                } else {
                    self.upkeep.put_back(batch.objects);
                }
            }
        }
    }

    /// What must be there.
    fn needed(&self) -> BTreeSet<String> {
        let kept = self.pointer.retained.iter();
        let mut needed: BTreeSet<String> = kept
            .flat_map(|kept| objects(&self.known[&kept.path]))
            .collect();
        for root in &self.pointer.roots {
            let name = crate::collector::root_name(&root.path);
            needed.extend(objects(&self.known[name]));
        }
        // A checkpoint under way may yet complete, unless what it builds on is let go.
        let retained = self.pointer.retained.iter();
        let kept: Vec<_> = retained.map(|kept| &self.known[&kept.path]).collect();
        for pending in &self.pending {
            if reused_outside(pending, &kept).is_empty() {
                needed.extend(objects(pending));
            }
        }
        needed
    }

    fn check(&self) {
        let needed = self.needed();
        let missing = needed.iter().filter(|path| !self.store.contains_key(*path));
        let missing: Vec<_> = missing.collect();
        assert!(missing.is_empty(), "{missing:?} were deleted");
    }

    /// The job goes on for a while and the collector keeps up.
    fn settle(&mut self) {
        // Where the clock was set back, what was written before looks young for so long.
        self.unix_ms += 1_000 * 3_600_000;
        for _ in 0..12 {
            self.trigger(SnapshotKind::Checkpoint);
            self.complete(self.pending.len() - 1);
            self.wait(6);
            for _ in 0..200 {
                self.hear(usize::MAX);
                self.work();
            }
            self.check();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Fails if a sweep trusted in age alone, if what a checkpoint under way has uploaded went, if
    /// what one kept checkpoint shares with one that is let go went with it.
    #[test]
    fn nothing_that_is_needed_goes_and_all_else_does_in_time(
        retained in 1u32..4,
        ops in prop::collection::vec(op(), 1..120),
    ) {
        let mut world = World::new(retained);
        for op in &ops {
            world.run(op);
        }
        world.settle();
        let needed = world.needed();
        let left = world.store.keys().filter(|path| !needed.contains(*path));
        prop_assert_eq!(left.collect::<Vec<_>>(), Vec::<&String>::new());
    }
}

#[test]
fn a_thousand_checkpoints_take_no_more_room_than_a_few() {
    let mut world = World::new(3);
    let mut most = 0;
    for nth in 0..1_000 {
        world.trigger(SnapshotKind::Checkpoint);
        if nth % 7 == 0 {
            world.trigger(SnapshotKind::Checkpoint);
            world.pending.remove(0);
        }
        world.complete(0);
        world.wait(1);
        for _ in 0..8 {
            world.hear(usize::MAX);
            world.work();
        }
        world.check();
        most = most.max(world.store.len());
    }
    assert!(most < 100, "{most} objects at a time");
}

#[test]
fn what_is_released_goes_without_a_listing_and_many_moves_are_dealt_with_at_once() {
    let mut world = World::new(1);
    for _ in 0..5 {
        world.trigger(SnapshotKind::Checkpoint);
        world.complete(0);
        world.hear(1);
    }
    assert!(matches!(world.upkeep.next(world.now), Step::Idle(Some(_))));
    world.wait(1);
    let mut deleted = 0;
    loop {
        match world.upkeep.next(world.now) {
            Step::ReadKept(kept) => {
                let metadata = world.known[&kept.path].clone();
                world.upkeep.on_metadata(kept.path, metadata);
            }
            Step::Delete(batch) => deleted += batch.objects.len(),
            Step::Idle(_) | Step::List => break,
            Step::ReadRoot(path) => panic!("{path}"),
        }
    }
    assert!(deleted >= 4, "{deleted}");
}

#[test]
fn a_job_without_a_checkpoint_is_left_alone() {
    let mut world = World::new(1);
    world.trigger(SnapshotKind::Checkpoint);
    world.wait(1_000);
    assert_eq!(world.upkeep.next(world.now), Step::Idle(None));
}

#[test]
fn a_cleared_job_keeps_its_savepoints_and_nothing_else() {
    let mut world = World::new(2);
    for kind in [
        SnapshotKind::Checkpoint,
        SnapshotKind::Savepoint,
        SnapshotKind::Checkpoint,
    ] {
        world.trigger(kind);
        world.complete(0);
    }
    world.trigger(SnapshotKind::Checkpoint);
    world.pending.clear();
    world.pointer.let_go();
    world.untold.push(world.pointer.clone());
    world.hear(usize::MAX);
    world.upkeep.clear(world.now);
    assert!(!world.upkeep.is_clear(world.now));
    for _ in 0..50 {
        world.work();
    }
    assert!(world.upkeep.is_clear(world.now));
    let left: Vec<_> = world.store.keys().map(String::as_str).collect();
    assert_eq!(
        left,
        [
            "savepoint-1-2/_metadata",
            "savepoint-1-2/keyed",
            "savepoint-1-2/raw"
        ]
    );
    assert_eq!(world.pointer.latest, None);
}
