//! The threads of a leader on a store that fails, is slow, or has another leader by now.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use weir_checkpoint::claim::Claimant;
use weir_checkpoint::collector::metadata_objects;
use weir_checkpoint::coordinator::PointerOutcome;
use weir_checkpoint::metadata::CheckpointMetadata;
use weir_checkpoint::pointer::SnapshotKind;
use weir_storage::{Call, Fault, FaultyStore, MemoryStore, Operation};
use weir_types::{CheckpointId, JobId, SystemClock};

use super::*;
use crate::checkpoint_store::{StoreThread, StoreWork};
use crate::claiming::{Claim, claim};
use crate::fixtures::{checkpoint, keyed};

const QUICK: Duration = Duration::from_millis(20);

/// A leader's threads, as the driver has them.
struct Leader {
    store: Arc<dyn ObjectStore>,
    thread: StoreThread,
    events: mpsc::Receiver<Event>,
    pointer: Pointer,
    retained: u32,
    collected: Collected,
    cleared: bool,
}

fn claim_of(store: &Arc<dyn ObjectStore>, deployment: u64) -> crate::Claimed {
    claim(Claim {
        store: Arc::clone(store),
        claimant: Claimant {
            state_id: JobId(1),
            deployment,
            from_deployment: deployment.checked_sub(1),
            holder: "test".to_owned(),
        },
        seed: deployment,
        above: Epoch(0),
        anew: false,
        begins_with: None,
        rewind: None,
        looked_at: None,
    })
    .expect("nobody else is there")
}

fn quick() -> UpkeepOptions {
    UpkeepOptions {
        grace: Duration::ZERO,
        sweep_interval: QUICK * 5,
        release_interval: QUICK,
        batch: 10,
    }
}

impl Leader {
    fn start(store: Arc<dyn ObjectStore>, options: UpkeepOptions) -> Self {
        let claimed = claim_of(&store, 1);
        let (events_in, events) = mpsc::channel(64);
        let collector = Collector::start(CollectorWork {
            store: Arc::clone(&store),
            pointer: claimed.pointer.clone(),
            options,
            clock: Arc::new(SystemClock),
            events: events_in.clone(),
        });
        let pointer = claimed.pointer.clone();
        let thread = StoreThread::start(StoreWork {
            store: Arc::clone(&store),
            claimed,
            seed: 7,
            events: events_in,
            collector: collector.expect("a thread"),
        });
        Self {
            store,
            thread: thread.expect("a thread"),
            events,
            pointer,
            retained: 2,
            collected: Collected::default(),
            cleared: false,
        }
    }

    /// A checkpoint with an object of its own and one that it takes over from the one before.
    fn upload(&self, id: u64) -> (String, CheckpointMetadata) {
        let path = SnapshotKind::Checkpoint.folder(self.pointer.epoch, CheckpointId(id));
        let own = format!("{path}/keyed");
        let bytes = id.to_le_bytes();
        let name = ObjectPath::new(own.as_str()).expect("a path");
        self.store.create(&name, &bytes).expect("it is new");
        let former = self.pointer.latest.as_ref();
        let former = former.map(|former| keyed(format!("{}/keyed", former.path), former.id.0));
        let handles = former.into_iter().chain([keyed(own, id)]).collect();
        let metadata = checkpoint(self.pointer.epoch, id, handles);
        (path, metadata)
    }

    fn event(&mut self) -> Event {
        let event = self.events.blocking_recv().expect("the threads live");
        match &event {
            Event::Collected(new) => {
                self.collected.objects += new.objects;
                self.collected.failures += new.failures;
            }
            Event::Cleared => self.cleared = true,
            _ => {}
        }
        event
    }

    fn complete(&mut self, id: u64) -> PointerOutcome {
        let (path, metadata) = self.upload(id);
        self.thread.write_metadata(path.clone(), Arc::new(metadata));
        let (sha256, size) = loop {
            if let Event::MetadataWritten { result, .. } = self.event() {
                break result.expect("the store takes metadata");
            }
        };
        let mut pointer = self.pointer.clone();
        let snapshot = SnapshotRef {
            id: CheckpointId(id),
            epoch: pointer.epoch,
            kind: SnapshotKind::Checkpoint,
            path,
            sha256,
            size,
            completed_ms: 0,
            operation: None,
        };
        pointer.complete(snapshot, self.retained);
        self.write(pointer)
    }

    fn write(&mut self, mut pointer: Pointer) -> PointerOutcome {
        pointer.nonce += 1;
        self.thread.write_pointer(Box::new(pointer.clone()));
        loop {
            if let Event::PointerWritten { outcome, .. } = self.event() {
                if outcome == PointerOutcome::Written {
                    self.pointer = pointer;
                }
                return outcome;
            }
        }
    }

    /// A large object whose writer is killed: it runs no destructors.
    fn begin(&self, name: &str) {
        let name = ObjectPath::new(name).expect("a path");
        let mut killed = self.store.create_large(&name).expect("it begins");
        killed.write(&[7; 100]).expect("it is written");
        std::mem::forget(killed);
    }

    fn listed(&self) -> BTreeSet<String> {
        let listed = self.store.list(&ObjectPath::default()).expect("it lists");
        listed
            .into_iter()
            .map(|object| object.path.as_str().to_owned())
            .collect()
    }

    /// All that is kept is there. Gives the names.
    fn needed(&self) -> BTreeSet<String> {
        let mut needed = BTreeSet::new();
        for kept in &self.pointer.retained {
            let metadata = read_snapshot(self.store.as_ref(), kept).expect("it is kept");
            needed.extend(metadata_objects(&metadata).map(|object| object.path.clone()));
            needed.insert(format!("{}/{METADATA}", kept.path));
        }
        let listed = self.listed();
        assert_eq!(needed.difference(&listed).next(), None, "it is gone");
        needed
    }

    fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let clock = SystemClock;
        let deadline = clock.now() + Duration::from_secs(20);
        while !done(self) {
            assert!(clock.now() < deadline, "{what}: {:?}", self.listed());
            while let Ok(event) = self.events.try_recv() {
                if let Event::Collected(new) = event {
                    self.collected.failures += new.failures;
                } else if matches!(event, Event::Cleared) {
                    self.cleared = true;
                }
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until there is nothing but what is needed, and the pointer.
    fn until_clean(&mut self) {
        self.until("all else goes", |leader| {
            let needed = leader.needed();
            let listed = leader.listed();
            listed.difference(&needed).all(|path| path == "pointer")
        });
    }
}

#[test]
fn a_thousand_checkpoints_leave_only_what_is_kept() {
    let mut leader = Leader::start(Arc::new(MemoryStore::new()), quick());
    let mut most = 0;
    for id in 1..=1_000 {
        assert_eq!(leader.complete(id), PointerOutcome::Written);
        if id % 50 == 0 {
            leader.needed();
            most = most.max(leader.listed().len());
            thread::sleep(QUICK);
        }
    }
    leader.until_clean();
    assert!(leader.collected.objects > 0);
    assert!(most < 1_000, "{most} objects lay there at a time");
}

#[test]
fn what_given_up_checkpoints_have_left_behind_goes() {
    let mut leader = Leader::start(Arc::new(MemoryStore::new()), quick());
    for id in (1..=10).map(|id| id * 2) {
        drop(leader.upload(id - 1));
        leader.complete(id);
    }
    // Each further checkpoint decides the fate of what was under way.
    let mut id = 100;
    leader.until("orphans go", |leader| {
        id += 1;
        leader.complete(id);
        thread::sleep(QUICK * 2);
        let listed = leader.listed();
        !listed.iter().any(|path| path == "chk-1-1/keyed")
    });
    leader.needed();
}

fn begun(store: &dyn ObjectStore) -> Vec<String> {
    let found = store.list_unfinished(&ObjectPath::default());
    let found = found.expect("it lists").into_iter();
    found.map(|one| one.path.as_str().to_owned()).collect()
}

/// Results that lie beside the checkpoints and wait for their commit are not the collector's.
#[test]
fn what_killed_writers_have_begun_goes_once_the_checkpoint_is_decided() {
    let mut leader = Leader::start(Arc::new(MemoryStore::new()), quick());
    let results = ["part-1-0-0-000001.csv", "results/part-1-0-0-000001.csv"];
    for name in results {
        leader.begin(name);
    }
    leader.begin("chk-1-1/large");
    let mut id = 1;
    leader.until("it goes", |leader| {
        id += 1;
        leader.complete(id);
        thread::sleep(QUICK * 2);
        !begun(&*leader.store).contains(&"chk-1-1/large".to_owned())
    });
    for name in results {
        assert!(begun(&*leader.store).contains(&name.to_owned()), "{name}");
    }
    leader.needed();
}

#[test]
fn what_was_begun_within_the_grace_period_stays() {
    let options = UpkeepOptions {
        grace: Duration::from_secs(3_600),
        ..quick()
    };
    let listings = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&listings);
    let store = FaultyStore::new(Arc::new(MemoryStore::new()), move |call: &Call| {
        if call.operation == Operation::ListUnfinished {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        Fault::None
    });
    let mut leader = Leader::start(Arc::new(store), options);
    leader.begin("chk-1-1/large");
    let mut id = 1;
    leader.until("it is listed", |leader| {
        id += 1;
        leader.complete(id);
        thread::sleep(QUICK * 2);
        listings.load(Ordering::SeqCst) >= 5
    });
    assert_eq!(begun(&*leader.store), ["chk-1-1/large"]);
}

#[test]
fn what_was_begun_and_cannot_be_listed_or_abandoned_holds_up_no_object() {
    for failing in [Operation::ListUnfinished, Operation::Abandon] {
        let memory: Arc<dyn ObjectStore> = Arc::new(MemoryStore::new());
        let store = FaultyStore::new(Arc::clone(&memory), move |call: &Call| {
            if call.operation == failing {
                Fault::Fail(StoreErrorKind::Denied)
            } else {
                Fault::None
            }
        });
        let mut leader = Leader::start(Arc::new(store), quick());
        leader.begin("chk-1-1/large");
        drop(leader.upload(1));
        let mut id = 1;
        leader.until("orphans go and failures are counted", |leader| {
            id += 1;
            leader.complete(id);
            thread::sleep(QUICK * 2);
            leader.collected.failures > 0 && !leader.listed().contains("chk-1-1/keyed")
        });
        leader.needed();
        assert_eq!(begun(&*memory), ["chk-1-1/large"], "{failing:?}");
    }
}

/// Fails if the pointer were not read again right before the deletes.
#[test]
fn a_leader_that_was_deposed_deletes_nothing() {
    let deletes = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&deletes);
    let memory: Arc<dyn ObjectStore> = Arc::new(MemoryStore::new());
    let store = FaultyStore::new(Arc::clone(&memory), move |call: &Call| {
        if call.operation == Operation::Delete {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        Fault::None
    });
    let options = UpkeepOptions {
        release_interval: QUICK * 20,
        ..quick()
    };
    let mut leader = Leader::start(Arc::new(store), options);
    for id in 1..=5 {
        leader.complete(id);
    }
    claim_of(&memory, 2);
    let before = deletes.load(Ordering::SeqCst);
    let there = leader.listed();
    thread::sleep(QUICK * 40);
    assert_eq!(deletes.load(Ordering::SeqCst), before);
    assert_eq!(leader.listed(), there);
    assert!(matches!(leader.complete(6), PointerOutcome::Fenced(_)));
}

#[test]
fn nothing_is_deleted_while_the_pointer_is_being_written() {
    // Since when, in nanoseconds; 0: it is not.
    let writing = Arc::new(AtomicU64::new(0));
    let broken = Arc::new(AtomicBool::new(false));
    let deleted = Arc::new(AtomicBool::new(false));
    let plan = {
        let (writing, broken) = (Arc::clone(&writing), Arc::clone(&broken));
        let deleted = Arc::clone(&deleted);
        move |call: &Call| {
            match call.operation {
                Operation::SwapRegister => {
                    writing.store(SystemClock.now().0.max(1), Ordering::SeqCst);
                    thread::sleep(Duration::from_millis(30));
                    writing.store(0, Ordering::SeqCst);
                }
                Operation::Delete => {
                    // What was decided on a moment before may go on.
                    let since = Timestamp(writing.load(Ordering::SeqCst));
                    let during =
                        since.0 > 0 && SystemClock.now().since(since) > Duration::from_millis(15);
                    broken.fetch_or(during, Ordering::SeqCst);
                    deleted.store(true, Ordering::SeqCst);
                }
                _ => {}
            }
            Fault::None
        }
    };
    let store = FaultyStore::new(Arc::new(MemoryStore::new()), plan);
    let mut leader = Leader::start(Arc::new(store), quick());
    for id in 1..=40 {
        leader.complete(id);
        thread::sleep(Duration::from_millis(10));
    }
    leader.until_clean();
    assert!(deleted.load(Ordering::SeqCst));
    assert!(!broken.load(Ordering::SeqCst), "deleted during a write");
}

/// Fails if the collector worked on the thread that completes checkpoints.
#[test]
fn a_store_that_is_slow_to_list_and_delete_holds_up_no_checkpoint() {
    let store = FaultyStore::new(Arc::new(MemoryStore::new()), |call: &Call| {
        match call.operation {
            Operation::List => Fault::Delay(Duration::from_secs(2)),
            Operation::Delete => Fault::Delay(Duration::from_millis(200)),
            _ => Fault::None,
        }
    });
    let mut leader = Leader::start(Arc::new(store), quick());
    let clock = SystemClock;
    let start = clock.now();
    for id in 1..=50 {
        leader.complete(id);
        thread::sleep(Duration::from_millis(10));
    }
    let took = clock.now().since(start);
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_store_that_fails_makes_the_collector_wait_and_nothing_else() {
    let fails = Arc::new(AtomicBool::new(true));
    let failing = Arc::clone(&fails);
    let store = FaultyStore::new(Arc::new(MemoryStore::new()), move |call: &Call| {
        let own = matches!(call.operation, Operation::List | Operation::Delete);
        if own && failing.load(Ordering::SeqCst) && call.path.as_str() != "" {
            return Fault::Fail(StoreErrorKind::Unavailable);
        }
        Fault::None
    });
    let mut leader = Leader::start(Arc::new(store), quick());
    for id in 1..=20 {
        assert_eq!(leader.complete(id), PointerOutcome::Written);
    }
    leader.until("failures are counted", |leader| {
        leader.collected.failures > 0
    });
    leader.needed();
    fails.store(false, Ordering::SeqCst);
    leader.until_clean();
}

#[test]
fn a_job_that_takes_its_checkpoints_with_it_leaves_the_pointer_and_says_so() {
    let mut leader = Leader::start(Arc::new(MemoryStore::new()), UpkeepOptions::default());
    for id in 1..=4 {
        leader.complete(id);
    }
    drop(leader.upload(5));
    leader.begin("chk-1-6/large");
    let mut pointer = leader.pointer.clone();
    pointer.let_go();
    leader.write(pointer);
    leader.thread.clear();
    leader.until("it is told", |leader| leader.cleared);
    let listed: Vec<_> = leader.listed().into_iter().collect();
    assert_eq!(listed, ["pointer"]);
    assert_eq!(begun(&*leader.store), [""; 0]);
    let claimed = claim(Claim {
        store: Arc::clone(&leader.store),
        claimant: Claimant {
            state_id: JobId(1),
            deployment: 2,
            from_deployment: Some(1),
            holder: "test".to_owned(),
        },
        seed: 9,
        above: Epoch(0),
        anew: false,
        begins_with: None,
        rewind: None,
        looked_at: None,
    });
    let said = claimed.expect_err("its checkpoints are gone").to_string();
    assert!(said.contains("its checkpoints were deleted"), "{said}");
}

/// The listing that was under way did not show it, and there was no other: it stayed for ever.
#[test]
fn what_a_task_stores_while_its_collector_lists_goes_with_a_job_that_is_cancelled_meanwhile() {
    let memory = MemoryStore::default();
    let (armed, listed) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let plan = {
        let (memory, armed, listed) = (memory.clone(), Arc::clone(&armed), Arc::clone(&listed));
        move |call: &Call| {
            // It comes right behind the listing of objects.
            if call.operation == Operation::ListUnfinished && armed.load(Ordering::SeqCst) {
                let late = ObjectPath::new("chk-1-9/keyed").expect("a path");
                memory
                    .create(&late, b"late")
                    .expect("it is new, or the same");
                listed.store(true, Ordering::SeqCst);
                while armed.load(Ordering::SeqCst) {
                    thread::sleep(Duration::from_millis(1));
                }
            }
            Fault::None
        }
    };
    let store: Arc<dyn ObjectStore> = Arc::new(FaultyStore::new(Arc::new(memory), plan));
    let mut leader = Leader::start(store, quick());
    leader.complete(1);
    armed.store(true, Ordering::SeqCst);
    while !listed.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(1));
    }
    let mut pointer = leader.pointer.clone();
    pointer.let_go();
    leader.write(pointer);
    leader.thread.clear();
    // It goes by way of the other thread.
    thread::sleep(QUICK * 5);
    armed.store(false, Ordering::SeqCst);
    leader.until("it is told", |leader| leader.cleared);
    let listed: Vec<_> = leader.listed().into_iter().collect();
    assert_eq!(listed, ["pointer"]);
}
