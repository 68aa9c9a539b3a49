use proptest::prelude::*;
use weir_types::{CheckpointId, JobId, KeyGroupRange};

use super::*;
use crate::fixtures;
use crate::handle::{FileContent, KeyedHandle, StoredFile};
use crate::pointer::{OperationId, RunState};

fn object(path: &str) -> ObjectRef {
    ObjectRef {
        path: path.to_owned(),
        size: 1,
        checksum: 1,
    }
}

/// A snapshot of one subtask, with the objects of its chain and those that it has alone.
fn metadata(id: u64, kind: SnapshotKind, chain: &[(u64, String)]) -> CheckpointMetadata {
    metadata_of((1, id), kind, chain)
}

fn metadata_of(
    (epoch, id): (u64, u64),
    kind: SnapshotKind,
    chain: &[(u64, String)],
) -> CheckpointMetadata {
    let range = KeyGroupRange { start: 0, end: 0 };
    let mut base = None;
    let keyed = chain.iter().map(|(checkpoint, path)| KeyedHandle {
        stored: Stored::Object(object(path)),
        checkpoint: CheckpointId(*checkpoint),
        base: base.replace(CheckpointId(*checkpoint)),
        range,
        max_parallelism: 1,
        states: Vec::new(),
    });
    let own = match kind {
        SnapshotKind::Checkpoint => format!("{}/raw", chk(epoch, id)),
        SnapshotKind::Savepoint => "raw".to_owned(),
    };
    let raw = Stored::Object(object(&own));
    let mut metadata = fixtures::metadata(id, kind, 1, keyed.collect(), raw);
    metadata.epoch = Epoch(epoch);
    metadata
}

fn chk(epoch: u64, id: u64) -> String {
    format!("chk-{epoch}-{id}")
}

fn snapshot(metadata: &CheckpointMetadata, path: String) -> SnapshotRef {
    SnapshotRef {
        id: metadata.id,
        epoch: metadata.epoch,
        kind: metadata.kind,
        path,
        sha256: String::new(),
        size: 1,
        completed_ms: 0,
        operation: None,
    }
}

fn pointer(retained: Vec<SnapshotRef>) -> Pointer {
    Pointer {
        state_id: JobId(1),
        deployment: 1,
        epoch: Epoch(1),
        holder: "somebody".to_owned(),
        nonce: 1,
        run_state: RunState::Running,
        last_id: CheckpointId(0),
        latest: retained.last().cloned(),
        retained,
        roots: Vec::new(),
        forgotten: Vec::new(),
        branch: None,
        rewind: None,
    }
}

fn listed(path: &str, modified_ms: i64) -> Listed {
    Listed {
        path: path.to_owned(),
        size: 1,
        modified_ms,
    }
}

fn options(now_ms: i64) -> SweepOptions {
    SweepOptions {
        now_ms,
        grace_ms: 100,
        batch: 2,
    }
}

fn gone(batches: &[Batch]) -> Vec<&str> {
    let objects = batches.iter().flat_map(|batch| &batch.objects);
    objects.map(|listed| listed.path.as_str()).collect()
}

#[test]
fn the_files_of_a_kept_database_stay_and_must_be_held_by_what_is_kept() {
    let file = |checkpoint: u64| StoredFile {
        name: format!("{checkpoint}.sst"),
        checkpoint: CheckpointId(checkpoint),
        shared: true,
        content: FileContent::Object(object(&format!("chk-1-{checkpoint}/file"))),
    };
    let database = |id: u64, files: &[u64]| {
        let mut metadata = metadata(id, SnapshotKind::Checkpoint, &[(id, String::new())]);
        let handle = &mut metadata.operators[0].subtasks[0].1.keyed[0];
        handle.stored = Stored::Files(files.iter().copied().map(file).collect());
        metadata
    };
    let (second, third) = (database(2, &[1, 2]), database(3, &[1, 3]));
    assert_eq!(reused_outside(&third, &[&second]), [] as [&ObjectRef; 0]);
    let alone = reused_outside(&third, &[]);
    assert_eq!(alone, [&object("chk-1-1/file")]);
    let pointer = pointer(vec![snapshot(&third, chk(1, 3))]);
    let contents = Contents {
        metadata: [(chk(1, 3), third)].into(),
    };
    let marked = mark(&pointer, &contents).unwrap();
    let needs = |id| marked.needs(&format!("chk-1-{id}/file"));
    assert_eq!([needs(1), needs(2), needs(3)], [true, false, true]);
}

/// Checkpoint 2 with a chain of two files, and savepoint 3.
fn kept() -> (Pointer, Contents) {
    let chain = [(1, "shared/1".to_owned()), (2, "shared/2".to_owned())];
    let checkpoint = metadata(2, SnapshotKind::Checkpoint, &chain);
    let chain = [(3, "keyed".to_owned())];
    let savepoint = metadata(3, SnapshotKind::Savepoint, &chain);
    let pointer = pointer(vec![
        snapshot(&savepoint, "savepoint-1-3".to_owned()),
        snapshot(&checkpoint, chk(1, 2)),
    ]);
    let metadata = [
        (chk(1, 2), checkpoint),
        ("savepoint-1-3".to_owned(), savepoint),
    ];
    let contents = Contents {
        metadata: metadata.into(),
    };
    (pointer, contents)
}

#[test]
fn what_kept_snapshots_name_stays_and_old_orphans_go_oldest_first() {
    let (mut pointer, contents) = kept();
    // What was under way in epoch 1 never completes.
    pointer.epoch = Epoch(2);
    let marked = mark(&pointer, &contents).unwrap();
    let listing = [
        listed("pointer.7", 0),
        listed("notes.txt", 0),
        listed("taskowned/sink/part", 0),
        listed("chk-1-1/_metadata", 4),
        listed("chk-1-1/raw", 3),
        listed("chk-1-2/_metadata", 0),
        listed("chk-1-2/raw", 0),
        listed("chk-1-2/of-a-dead-attempt", 5),
        listed("shared/1", 0),
        listed("shared/2", 0),
        listed("shared/3", 900),
        listed("shared/4", 899),
        listed("savepoint-1-3/_metadata", 0),
        listed("savepoint-1-3/raw", 0),
        listed("savepoint-1-3/keyed", 0),
        listed("savepoint-1-30/keyed", 1),
        listed("keyed", 0),
    ];
    let batches = sweep(&marked, &listing, options(1000));
    let want = [
        "savepoint-1-30/keyed",
        "chk-1-1/raw",
        "chk-1-1/_metadata",
        "chk-1-2/of-a-dead-attempt",
        "shared/4",
    ];
    assert_eq!(gone(&batches), want);
    assert_eq!(batches.len(), 3);
}

#[test]
fn a_batch_is_void_when_another_took_over_or_keeps_something_else() {
    let (before, contents) = kept();
    let marked = mark(&before, &contents).unwrap();
    let batch = sweep(&marked, &[listed("shared/9", 0)], options(1000)).remove(0);
    let mut now = before.clone();
    (now.nonce, now.holder) = (99, "the same".to_owned());
    assert!(batch.still_holds(&now), "only its nonce differs");
    now.epoch = Epoch(2);
    assert!(!batch.still_holds(&now));
    let mut now = before.clone();
    now.retained.pop();
    assert!(!batch.still_holds(&now));
    let mut now = before;
    now.roots.push(Root {
        operation: OperationId("restore".to_owned()),
        path: chk(1, 1),
    });
    assert!(!batch.still_holds(&now));
}

#[test]
fn nothing_is_collected_when_a_kept_snapshot_was_not_read() {
    let (pointer, mut contents) = kept();
    let read = contents.metadata.remove(&chk(1, 2)).unwrap();
    let error = mark(&pointer, &contents).unwrap_err();
    assert_eq!(error, MarkError::Unread { path: chk(1, 2) });
    let other = CheckpointMetadata {
        id: CheckpointId(9),
        ..read
    };
    contents.metadata.insert(chk(1, 2), other);
    let error = mark(&pointer, &contents).unwrap_err();
    assert!(matches!(error, MarkError::Mismatch { found: 9, .. }));
}

#[test]
fn all_in_the_folder_of_an_open_operation_stays_with_what_its_metadata_names() {
    let (mut pointer, mut contents) = kept();
    pointer.epoch = Epoch(2);
    let chain = [(7, "shared/7".to_owned())];
    let restored = metadata(8, SnapshotKind::Checkpoint, &chain);
    contents.metadata.insert(chk(1, 8), restored);
    for path in [chk(1, 8), "savepoint-1-9".to_owned()] {
        let operation = OperationId(path.clone());
        pointer.roots.push(Root { operation, path });
    }
    let marked = mark(&pointer, &contents).unwrap();
    let listing = [
        listed("chk-1-8/whatever", 0),
        listed("chk-1-8/raw", 0),
        listed("shared/7", 0),
        listed("savepoint-1-9/half", 0),
        listed("savepoint-1-90/half", 0),
    ];
    let batches = sweep(&marked, &listing, options(1000));
    assert_eq!(gone(&batches), ["savepoint-1-90/half"]);
}

#[test]
fn while_a_job_is_not_over_what_may_yet_complete_stays_however_old_it_is() {
    let (mut pointer, contents) = kept();
    pointer.epoch = Epoch(2);
    let listing = [
        listed("chk-1-9/of-an-earlier-epoch", 0),
        listed("chk-2-1/given-up", 0),
        listed("chk-2-2/of-the-latest", 0),
        listed("chk-2-3/keyed", 0),
        listed("savepoint-2-4/_metadata", 0),
        listed("savepoint-3-5/of-the-next-leader", 0),
        listed("chk-2-x/nobodys", 0),
        listed("shared/nobodys", 0),
    ];
    let dead = [
        "chk-1-9/of-an-earlier-epoch",
        "chk-2-1/given-up",
        "chk-2-2/of-the-latest",
        "chk-2-x/nobodys",
        "shared/nobodys",
    ];
    let stopping = RunState::Stopping(OperationId("stop".to_owned()));
    for run_state in [RunState::Running, stopping] {
        pointer.run_state = run_state;
        let marked = mark(&pointer, &contents).unwrap();
        assert_eq!(gone(&sweep(&marked, &listing, options(1000))), dead);
    }
    pointer.run_state = RunState::Finished;
    let marked = mark(&pointer, &contents).unwrap();
    let all = gone(&sweep(&marked, &listing, options(1000))).len();
    assert_eq!(all, listing.len());
}

/// A job with its store, a collector that is slow, and a clock: what is allowed to happen, at
/// random.
struct World {
    now_ms: i64,
    next: u64,
    objects: BTreeMap<String, i64>,
    metadata: BTreeMap<String, CheckpointMetadata>,
    pointer: Pointer,
    pending: Vec<Pending>,
    /// What the task was told to be complete last: what it builds on.
    told: Option<CheckpointMetadata>,
    /// Batches that were decided on and not carried out yet.
    decided: Vec<Batch>,
    since_full: usize,
    /// What adopted snapshots need.
    adopted: BTreeSet<String>,
}

struct Pending {
    metadata: CheckpointMetadata,
    begun_ms: i64,
    /// It must complete within half the grace period, as a name of its objects does not say whose
    /// they are.
    in_time: bool,
}

const GRACE_MS: i64 = 100;

#[derive(Clone, Debug)]
enum Step {
    Wait(i64),
    Trigger,
    Savepoint,
    Complete(usize),
    Abort(usize),
    Tell,
    DropSavepoint,
    /// Somebody wants to restore a snapshot that is not kept any more.
    Adopt(usize),
    Close,
    Epoch,
    Decide,
    Delete(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1i64..80).prop_map(Step::Wait),
        4 => Just(Step::Trigger),
        1 => Just(Step::Savepoint),
        5 => (0usize..3).prop_map(Step::Complete),
        1 => (0usize..3).prop_map(Step::Abort),
        3 => Just(Step::Tell),
        1 => Just(Step::DropSavepoint),
        2 => (0usize..4).prop_map(Step::Adopt),
        1 => Just(Step::Close),
        1 => Just(Step::Epoch),
        2 => Just(Step::Decide),
        4 => (1usize..3).prop_map(Step::Delete),
    ]
}

impl World {
    fn new() -> Self {
        Self {
            now_ms: 0,
            next: 1,
            objects: BTreeMap::new(),
            metadata: BTreeMap::new(),
            pointer: pointer(Vec::new()),
            pending: Vec::new(),
            told: None,
            decided: Vec::new(),
            since_full: 0,
            adopted: BTreeSet::new(),
        }
    }

    fn put(&mut self, path: String) {
        self.objects.insert(path, self.now_ms);
    }

    fn folder(metadata: &CheckpointMetadata) -> String {
        match metadata.kind {
            SnapshotKind::Checkpoint => chk(metadata.epoch.0, metadata.id.0),
            SnapshotKind::Savepoint => {
                format!("savepoint-{}-{}", metadata.epoch.0, metadata.id.0)
            }
        }
    }

    /// The task uploads at once; whether the checkpoint completes is seen later.
    fn trigger(&mut self, kind: SnapshotKind) {
        let (epoch, id) = (self.pointer.epoch.0, self.next);
        self.next += 1;
        let mut chain = Vec::new();
        let own = match kind {
            SnapshotKind::Checkpoint if id % 2 == 0 => format!("shared/{id}"),
            SnapshotKind::Checkpoint => format!("{}/keyed", chk(epoch, id)),
            SnapshotKind::Savepoint => "keyed".to_owned(),
        };
        let in_time = own.starts_with("shared/");
        if let (SnapshotKind::Checkpoint, Some(told), true) =
            (kind, &self.told, self.since_full < 3)
        {
            let (_, state) = &told.operators[0].subtasks[0];
            let known = state.keyed.iter().map(|handle| {
                let path = handle.stored.objects().next().unwrap().path.clone();
                (handle.checkpoint.0, path)
            });
            chain.extend(known);
            self.since_full += 1;
        } else {
            self.since_full = 0;
        }
        chain.push((id, own));
        let metadata = metadata_of((epoch, id), kind, &chain);
        let path = Self::folder(&metadata);
        let new = metadata_objects(&metadata).map(|object| place(&path, kind, object));
        let new: Vec<String> = new
            .filter(|path| !self.objects.contains_key(path))
            .collect();
        // What a task takes over from a checkpoint that it was told of, it does not write again,
        // be it there or not.
        let reused: BTreeSet<String> = chain[..chain.len() - 1]
            .iter()
            .map(|(_, path)| path.clone())
            .collect();
        for path in new.into_iter().filter(|path| !reused.contains(path)) {
            self.put(path);
        }
        let begun_ms = self.now_ms;
        self.pending.push(Pending {
            metadata,
            begun_ms,
            in_time,
        });
    }

    fn complete(&mut self, nth: usize) {
        if nth >= self.pending.len() {
            return;
        }
        let Pending {
            metadata,
            begun_ms,
            in_time,
        } = self.pending.remove(nth);
        let id = metadata.id;
        let newest = self
            .pointer
            .latest
            .as_ref()
            .is_none_or(|latest| latest.id < id);
        let kept: Vec<&CheckpointMetadata> = self
            .pointer
            .retained
            .iter()
            .map(|s| &self.metadata[&s.path])
            .collect();
        let late = in_time && self.now_ms - begun_ms > GRACE_MS / 2;
        if late || !newest || !reused_outside(&metadata, &kept).is_empty() {
            return;
        }
        let path = Self::folder(&metadata);
        self.put(format!("{path}/{METADATA}"));
        let retained = &mut self.pointer.retained;
        retained.push(snapshot(&metadata, path.clone()));
        let checkpoints = retained
            .iter()
            .filter(|s| s.kind == SnapshotKind::Checkpoint);
        if checkpoints.count() > 1 {
            let oldest = retained
                .iter()
                .position(|s| s.kind == SnapshotKind::Checkpoint);
            drop(retained.remove(oldest.unwrap()));
        }
        self.pointer.latest = Some(snapshot(&metadata, path.clone()));
        self.metadata.insert(path, metadata);
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Wait(ms) => self.now_ms += ms,
            Step::Trigger => self.trigger(SnapshotKind::Checkpoint),
            Step::Savepoint => self.trigger(SnapshotKind::Savepoint),
            Step::Complete(nth) => self.complete(*nth),
            Step::Abort(nth) if *nth < self.pending.len() => drop(self.pending.remove(*nth)),
            Step::Tell => {
                let newest = self
                    .pointer
                    .retained
                    .iter()
                    .rfind(|s| s.kind == SnapshotKind::Checkpoint);
                self.told = newest
                    .map(|s| self.metadata[&s.path].clone())
                    .or_else(|| self.told.take());
            }
            Step::DropSavepoint => {
                let latest = self.pointer.latest.clone();
                self.pointer
                    .retained
                    .retain(|s| s.kind == SnapshotKind::Checkpoint || Some(s) == latest.as_ref());
            }
            Step::Adopt(nth) => self.adopt(*nth),
            Step::Close => self.close(),
            Step::Epoch => {
                // Another leader: what was pending is lost, what was stored is restored from.
                self.pointer.epoch.0 += 1;
                self.pending.clear();
                self.told = None;
            }
            Step::Decide => self.decide(),
            Step::Delete(many) => self.delete(*many),
            Step::Abort(_) => {}
        }
        self.check();
    }

    /// The pointer's write comes before anything is read: what is complete then, stays so.
    fn adopt(&mut self, nth: usize) {
        let Some(path) = self.metadata.keys().rev().nth(nth).cloned() else {
            return;
        };
        self.pointer.roots.push(Root {
            operation: OperationId("restore".to_owned()),
            path: path.clone(),
        });
        let wanted = needed(&path, &self.metadata[&path]);
        if wanted.iter().all(|path| self.objects.contains_key(path)) {
            self.adopted.extend(wanted);
        }
    }

    fn close(&mut self) {
        self.pointer.roots.clear();
        self.adopted.clear();
    }

    fn decide(&mut self) {
        let contents = Contents {
            metadata: self.metadata.clone(),
        };
        let marked = mark(&self.pointer, &contents).unwrap();
        let listing: Vec<Listed> = self
            .objects
            .iter()
            .map(|(path, at)| listed(path, *at))
            .collect();
        self.decided = sweep(
            &marked,
            &listing,
            SweepOptions {
                now_ms: self.now_ms,
                grace_ms: GRACE_MS,
                batch: 2,
            },
        );
    }

    fn delete(&mut self, many: usize) {
        for _ in 0..many.min(self.decided.len()) {
            let batch = self.decided.remove(0);
            if !batch.still_holds(&self.pointer) {
                self.decided.clear();
                return;
            }
            for listed in batch.objects {
                self.objects.remove(&listed.path);
            }
        }
    }

    fn check(&self) {
        for path in &self.adopted {
            assert!(self.objects.contains_key(path), "{path} is gone");
        }
        for kept in &self.pointer.retained {
            for path in needed(&kept.path, &self.metadata[&kept.path]) {
                assert!(
                    self.objects.contains_key(&path),
                    "{path} of {} is gone",
                    kept.path
                );
            }
        }
    }

    /// The folders of what may yet complete.
    fn under_way(&self) -> Vec<String> {
        let latest = self.pointer.latest.as_ref().map_or(0, |latest| latest.id.0);
        let epoch = self.pointer.epoch.0;
        let folders = |id| {
            [
                format!("{}/", chk(epoch, id)),
                format!("savepoint-{epoch}-{id}/"),
            ]
        };
        (latest + 1..self.next).flat_map(folders).collect()
    }

    /// At rest, a whole collection leaves what is needed, what may yet be, and what is young.
    fn check_no_orphan_is_left(&mut self) {
        self.close();
        self.decide();
        self.delete(usize::MAX);
        self.check();
        let kept = &self.pointer.retained;
        let needed: BTreeSet<String> = kept
            .iter()
            .flat_map(|s| needed(&s.path, &self.metadata[&s.path]))
            .collect();
        let under_way = self.under_way();
        for (path, at) in &self.objects {
            let stays = needed.contains(path)
                || self.now_ms - at <= GRACE_MS
                || under_way.iter().any(|folder| path.starts_with(folder));
            assert!(stays, "{path} is left");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_needed_is_deleted_and_no_old_orphan_is_left(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.check_no_orphan_is_left();
    }
}
