//! Whatever comes between a round and the next barrier, a checkpoint holds what there was at its
//! barrier: real state, a store, an uploader's thread.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, sync_channel};

use proptest::prelude::*;
use weir_checkpoint::handle::{SnapshotMetrics, StoredFile, SubtaskState};
use weir_checkpoint::keyed_file;
use weir_network::Chunk;
use weir_state::{FileSnapshot, KeyedBackend, SnapshotFile, TakenSnapshot, ValueState};
use weir_storage::{
    Fault, FaultyStore, MemoryStore, ObjectPath, ObjectStore, Operation, StoreErrorKind,
};
use weir_stream::harness::HarnessOptions;
use weir_stream::{Operator, OperatorContext, OperatorError, Output, SnapshotRequest};
use weir_types::{Clock, Epoch, KeyGroupRange, ManualClock};

use super::super::tests::{Answer, Answers, chain_of, takes_no_records};
use super::super::{Aligned, Input};
use super::*;
use crate::deployment::{TaskCheckpoints, TaskEvents};
use crate::metrics::TaskMetrics;

const RANGE: KeyGroupRange = KeyGroupRange { start: 0, end: 3 };

/// Enough that a full file outweighs some deltas, which describe the state, too.
const KEYS: u64 = 600;

/// Has a sum for each key.
struct Sums {
    keyed: KeyedBackend<u64>,
    sum: ValueState<u64>,
}

impl Sums {
    fn over(mut keyed: KeyedBackend<u64>) -> Self {
        let sum = keyed.value_state("sum").unwrap();
        Self { keyed, sum }
    }

    fn all(&mut self) -> BTreeMap<u64, u64> {
        let mut all = BTreeMap::new();
        for key in 0..KEYS {
            self.keyed.set_key(key).unwrap();
            if let Some(sum) = self.sum.get(&mut self.keyed).unwrap() {
                all.insert(key, *sum);
            }
        }
        all
    }
}

/// How long copying takes.
const COPY: Duration = Duration::from_millis(20);

/// The operator, which the test looks at, too.
#[derive(Clone)]
struct Shared(Arc<Mutex<Sums>>, Arc<ManualClock>);

impl Operator for Shared {
    takes_no_records!();

    fn snapshot_begin(
        &mut self,
        request: SnapshotRequest,
    ) -> Result<OperatorSnapshot, OperatorError> {
        let mut sums = self.0.lock().unwrap();
        sums.keyed.snapshot_begin(request.id, request.kind)?;
        Ok(OperatorSnapshot::default())
    }

    fn snapshot_ahead(&mut self, request: SnapshotRequest) -> Result<bool, OperatorError> {
        let mut sums = self.0.lock().unwrap();
        Ok(sums.keyed.snapshot_ahead(request.id, request.kind)?)
    }

    fn snapshot_step(&mut self, budget: usize) -> Result<Option<TakenSnapshot>, OperatorError> {
        let keyed = &mut self.0.lock().unwrap().keyed;
        match keyed.snapshot_running() {
            Some(_) => {
                self.1.advance(COPY);
                Ok(keyed.snapshot_poll(budget)?)
            }
            None => Ok(None),
        }
    }

    fn snapshot_running(&self) -> Option<CheckpointId> {
        self.0.lock().unwrap().keyed.snapshot_running()
    }

    fn snapshot_confirm(&mut self, id: CheckpointId) {
        self.0.lock().unwrap().keyed.confirm(id);
    }

    fn snapshot_abort(&mut self, id: CheckpointId) {
        self.0.lock().unwrap().keyed.abort(id);
    }
}

struct Rig {
    clock: Arc<ManualClock>,
    store: Arc<FaultyStore>,
    /// The store refuses what is written ahead.
    refuses: Arc<AtomicBool>,
    /// It takes a while to store it.
    is_slow: Arc<AtomicBool>,
    answers: Receiver<Answer>,
    sums: Shared,
    snapshots: Snapshots,
    chain: OperatorChain,
    next: u64,
}

/// A checkpoint whose barrier has come.
struct Begun {
    id: CheckpointId,
    held: BTreeMap<u64, u64>,
}

impl Rig {
    fn new(full_every: u32) -> Self {
        let clock = Arc::new(ManualClock::at(0));
        clock.advance(Duration::from_secs(1));
        let timed: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let context = HarnessOptions::default().context(Arc::clone(&timed));
        let refuses = Arc::new(AtomicBool::new(false));
        let refused = Arc::clone(&refuses);
        let is_slow = Arc::new(AtomicBool::new(false));
        let slow = Arc::clone(&is_slow);
        let store = FaultyStore::new(Arc::new(MemoryStore::new()), move |call| {
            let ahead = call.path.as_str().contains("-ahead");
            if call.operation != Operation::Create || !ahead {
                Fault::None
            } else if refused.load(Ordering::SeqCst) {
                Fault::Fail(StoreErrorKind::Denied)
            } else if slow.load(Ordering::SeqCst) {
                Fault::Delay(Duration::from_millis(300))
            } else {
                Fault::None
            }
        });
        let store = Arc::new(store);
        let (sender, answers) = sync_channel(4);
        let events: Arc<dyn TaskEvents> = Arc::new(Answers(sender));
        let mut config = TaskCheckpoints::new(Arc::<FaultyStore>::clone(&store));
        config.incremental = true;
        config.full_every = full_every;
        config.inline_max = 0;
        let metrics = Arc::new(TaskMetrics::new(Vec::new(), false, Arc::default()));
        // Nobody measures what it does: it is idle all the time.
        metrics.times.begin(clock.now());
        metrics.times.idle_from(clock.now());
        let attempt = context.attempt;
        let config = Arc::new(config);
        let snapshots = Snapshots::new(&config, attempt, &events, &timed, &metrics, 1);
        let sums = Sums::over(KeyedBackend::new(4, RANGE));
        let sums = Shared(Arc::new(Mutex::new(sums)), Arc::clone(&clock));
        let chain = chain_of(Box::new(sums.clone()), context, metrics);
        Self {
            clock,
            store,
            refuses,
            is_slow,
            answers,
            sums,
            snapshots: snapshots.unwrap(),
            chain,
            next: 1,
        }
    }

    fn add(&mut self, keys: impl IntoIterator<Item = u64>) {
        let sums = &mut *self.sums.0.lock().unwrap();
        for key in keys {
            sums.keyed.set_key(key).unwrap();
            let add = |sum: &mut u64| *sum += 1;
            sums.sum.modify(&mut sums.keyed, || 0, add).unwrap();
        }
    }

    fn remove(&mut self, key: u64) {
        let sums = &mut *self.sums.0.lock().unwrap();
        sums.keyed.set_key(key).unwrap();
        sums.sum.clear(&mut sums.keyed).unwrap();
    }

    /// The next barrier comes; `skipped` numbers before it were given to others.
    fn barrier(&mut self, kind: BarrierKind, skipped: u64) -> Begun {
        let id = CheckpointId(self.next + skipped);
        self.next = id.0 + 1;
        let barrier = CheckpointBarrier {
            epoch: Epoch(1),
            id,
            triggered_at_ms: 0,
            kind,
        };
        let held = self.sums.0.lock().unwrap().all();
        let aligned = Aligned::at_once(barrier);
        let begun = self.snapshots.begin(&mut self.chain, None, aligned, false);
        begun.unwrap();
        Begun { id, held }
    }

    /// Time goes by until a round is due, if one is; begins it.
    fn wait_for_round(&mut self) -> bool {
        match self.snapshots.due_in() {
            Some(rest) => {
                self.clock.advance(rest);
                self.snapshots.step(&mut self.chain, Input::Idle);
                self.snapshots.is_copying_ahead()
            }
            None => false,
        }
    }

    /// The round that has begun is copied, and `stored`: stored, or refused.
    fn copy_round(&mut self, stored: bool) {
        self.snapshots.step(&mut self.chain, Input::Idle);
        assert!(!self.snapshots.is_copying());
        let open = self.snapshots.ahead.open.as_ref().unwrap();
        let round = Arc::clone(open.rounds.last().unwrap());
        while stored && round.stored.get().is_none() {
            std::thread::yield_now();
        }
    }

    /// What becomes of the checkpoint.
    fn stored(&mut self, begun: &Begun) -> Result<(SubtaskState, SnapshotMetrics), String> {
        while self.snapshots.is_copying() {
            self.snapshots.step(&mut self.chain, Input::Idle);
        }
        let (id, answer) = self.answers.recv_timeout(Duration::from_secs(20)).unwrap();
        assert_eq!(id, begun.id);
        answer
    }

    /// What becomes of the checkpoint. If it is stored, it holds what there was at its barrier.
    fn answer(&mut self, begun: &Begun) -> Result<(SubtaskState, SnapshotMetrics), String> {
        let (id, answer) = (begun.id, self.stored(begun));
        if let Ok((state, _)) = &answer {
            assert_eq!(self.restored(id, state), begun.held, "checkpoint {id}");
        }
        answer
    }

    fn restored(&self, id: CheckpointId, state: &SubtaskState) -> BTreeMap<u64, u64> {
        let handles = &state.operators[0].keyed;
        let read = |handle: &KeyedHandle| {
            let bytes = match &handle.stored {
                Stored::Inline(bytes) => bytes.clone(),
                Stored::Object(object) => {
                    let path = match object.path.contains('/') {
                        true => object.path.clone(),
                        false => format!("savepoint-1-{id}/{}", object.path),
                    };
                    self.store.get(&ObjectPath::new(path).unwrap()).unwrap()
                }
                Stored::Files(_) => panic!("there is no database"),
            };
            let snapshot = keyed_file::decode(&bytes).unwrap();
            assert_eq!(
                (snapshot.checkpoint, snapshot.base),
                (handle.checkpoint, handle.base)
            );
            snapshot
        };
        let snapshots: Vec<_> = handles.iter().map(read).collect();
        let keyed = KeyedBackend::restored(4, RANGE, snapshots).unwrap();
        Sums::over(keyed).all()
    }

    fn complete(&mut self, begun: &Begun) {
        self.snapshots.confirm(&mut self.chain, begun.id);
    }

    /// A checkpoint, a second after the one before, that changes these keys and is complete. Gives
    /// how many files each number has.
    fn checkpoint(&mut self, keys: Range<u64>) -> Vec<(u64, usize)> {
        self.clock.advance(Duration::from_secs(1));
        self.add(keys);
        let begun = self.barrier(BarrierKind::Checkpoint, 0);
        let (state, _) = self.answer(&begun).unwrap();
        self.complete(&begun);
        files(&state)
    }

    /// Three checkpoints; a round for the fourth can follow.
    fn with_a_rhythm() -> Self {
        let mut rig = Self::new(100);
        for keys in [KEYS, 4, 4] {
            rig.checkpoint(0..keys);
        }
        rig
    }
}

/// How many files there are of each checkpoint.
fn files(state: &SubtaskState) -> Vec<(u64, usize)> {
    let handles = state.operators[0].keyed.iter();
    let numbers: Vec<u64> = handles.map(|handle| handle.checkpoint.0).collect();
    let same = numbers.chunk_by(|a, b| a == b);
    same.map(|same| (same[0], same.len())).collect()
}

#[test]
fn a_later_round_that_is_not_stored_when_the_barrier_comes_makes_the_next_ones_begin_earlier() {
    // What storing is expected to take at least, once the barrier has come while the round of this
    // number, if any, was being stored.
    let took_min = |slow: Option<u32>| {
        let mut rig = Rig::with_a_rhythm();
        rig.add(0..4);
        for round in 0..2 {
            assert!(rig.wait_for_round());
            let is_slow = slow == Some(round);
            rig.is_slow.store(is_slow, Ordering::SeqCst);
            rig.copy_round(!is_slow);
            rig.add(3..5);
            if is_slow {
                break;
            }
        }
        let begun = rig.barrier(BarrierKind::Checkpoint, 0);
        let took_min = rig.snapshots.plan.took_min();
        // The checkpoint has waited for it, and continues it.
        rig.answer(&begun).unwrap();
        took_min
    };
    let usual = took_min(None);
    assert_eq!(
        took_min(Some(0)),
        usual,
        "all of it: the next one has its time"
    );
    assert!(took_min(Some(1)) > usual);
}

#[test]
fn a_checkpoint_continues_the_rounds_that_were_written_ahead_of_it() {
    let mut rig = Rig::with_a_rhythm();
    rig.add(0..4);
    let mut rounds = 0;
    while rig.wait_for_round() {
        rig.add(3..5);
        rig.copy_round(true);
        rig.add([20]);
        rig.remove(30);
        rounds += 1;
    }
    assert!(rounds > 1);
    let begun = rig.barrier(BarrierKind::Checkpoint, 0);
    let (state, metrics) = rig.answer(&begun).unwrap();
    let want = [(1, 1), (2, 1), (3, 1), (4, rounds + 1)];
    assert_eq!(files(&state), want);
    let of_four = &state.operators[0].keyed[3..];
    let sizes = of_four.iter().map(|file| file.stored.size());
    assert_eq!(metrics.written_bytes, sizes.sum::<u64>());
    let named = |part: &str| {
        let objects = of_four.iter().flat_map(|file| file.stored.objects());
        let named = objects.filter(|object| object.path.contains(part));
        named.count()
    };
    assert_eq!((named("chk-1-4/"), named("-ahead")), (rounds + 1, rounds));
    rig.complete(&begun);
    let after = rig.checkpoint(7..8);
    assert_eq!(after[3..], [(4, rounds + 1), (5, 1)]);
}

#[test]
fn what_was_written_ahead_is_left_out_of_a_savepoint_and_of_another_number() {
    for (kind, skipped) in [(BarrierKind::Savepoint, 0), (BarrierKind::Checkpoint, 1)] {
        let mut rig = Rig::with_a_rhythm();
        rig.add(0..10);
        assert!(rig.wait_for_round());
        rig.copy_round(true);
        rig.add(5..15);
        let begun = rig.barrier(kind, skipped);
        let (state, metrics) = rig.answer(&begun).unwrap();
        let own = files(&state).pop();
        assert_eq!(own, Some((4 + skipped, 1)), "{kind:?}");
        let own = state.operators[0].keyed.last().unwrap();
        assert_eq!(metrics.written_bytes, own.stored.size());
        rig.complete(&begun);
        rig.checkpoint(0..1);
    }
}

#[test]
fn a_round_that_is_not_copied_when_the_barrier_comes_does_not_hold_it_up() {
    let mut rig = Rig::with_a_rhythm();
    rig.add(0..10);
    assert!(rig.wait_for_round());
    let begun = rig.barrier(BarrierKind::Checkpoint, 0);
    let (state, _) = rig.answer(&begun).unwrap();
    assert_eq!(files(&state).pop(), Some((4, 1)));
    rig.complete(&begun);
    rig.checkpoint(0..1);
}

#[test]
fn a_round_that_the_store_refuses_costs_no_checkpoint() {
    let mut rig = Rig::with_a_rhythm();
    rig.add(0..10);
    assert!(rig.wait_for_round());
    rig.refuses.store(true, Ordering::SeqCst);
    rig.copy_round(true);
    let begun = rig.barrier(BarrierKind::Checkpoint, 0);
    let (state, _) = rig.answer(&begun).unwrap();
    assert_eq!(files(&state).pop(), Some((4, 1)));
}

/// An operator with a database, which gets a file for each snapshot.
struct Database {
    folder: tempfile::TempDir,
    files: u64,
    begun: Option<CheckpointId>,
    /// It would have to link its files again.
    aborted: Arc<AtomicBool>,
}

impl Database {
    fn begin(&mut self, id: CheckpointId) {
        assert_eq!(self.begun.replace(id), None);
        self.files += 1;
    }
}

impl Operator for Database {
    takes_no_records!();

    fn snapshot_begin(
        &mut self,
        request: SnapshotRequest,
    ) -> Result<OperatorSnapshot, OperatorError> {
        self.begin(request.id);
        Ok(OperatorSnapshot::default())
    }

    fn snapshot_ahead(&mut self, request: SnapshotRequest) -> Result<bool, OperatorError> {
        self.begin(request.id);
        Ok(true)
    }

    fn snapshot_step(&mut self, _budget: usize) -> Result<Option<TakenSnapshot>, OperatorError> {
        let Some(checkpoint) = self.begun.take() else {
            return Ok(None);
        };
        // As long as another snapshot of the same number has not taken its place.
        let folder = self.folder.path().join(format!("chk-{checkpoint}"));
        drop(std::fs::remove_dir_all(&folder));
        std::fs::create_dir(&folder).unwrap();
        let files = (1..=self.files).map(|file| {
            let name = format!("{file:06}.sst");
            std::fs::write(folder.join(&name), [0; 100]).unwrap();
            SnapshotFile {
                name,
                bytes: 100,
                shared: true,
                grows: false,
            }
        });
        Ok(Some(TakenSnapshot::Files(FileSnapshot {
            checkpoint,
            max_parallelism: 4,
            range: RANGE,
            states: Vec::new(),
            files: files.collect(),
            folder,
            spilled: None,
        })))
    }

    fn snapshot_running(&self) -> Option<CheckpointId> {
        self.begun
    }

    fn snapshot_abort(&mut self, id: CheckpointId) {
        self.begun.take_if(|begun| *begun == id);
        self.aborted.store(true, Ordering::SeqCst);
    }
}

/// Of which checkpoint each file of a database is, and whether it was written ahead.
fn origins(state: &SubtaskState) -> Vec<(u64, bool)> {
    let [
        KeyedHandle {
            stored: Stored::Files(files),
            ..
        },
    ] = &state.operators[0].keyed[..]
    else {
        panic!("the files of one database");
    };
    let origin = |file: &StoredFile| {
        let object = file.content.object().unwrap();
        let folder = format!("chk-1-{}/", file.checkpoint);
        assert!(object.path.starts_with(&folder), "{}", object.path);
        (file.checkpoint.0, object.path.contains("-ahead"))
    };
    files.iter().map(origin).collect()
}

/// What the fourth checkpoint of a database holds after two rounds, the second of which is refused
/// or, if not that, still under way.
fn database_after_two_rounds(refused: bool) -> Vec<(u64, bool)> {
    let mut rig = Rig::new(100);
    let aborted = Arc::new(AtomicBool::new(false));
    rig.chain.nodes[0].operator = Some(Box::new(Database {
        folder: tempfile::tempdir().unwrap(),
        files: 0,
        begun: None,
        aborted: Arc::clone(&aborted),
    }));
    for _ in 0..3 {
        rig.clock.advance(Duration::from_secs(1));
        let begun = rig.barrier(BarrierKind::Checkpoint, 0);
        assert!(rig.stored(&begun).is_ok());
        rig.complete(&begun);
    }
    assert!(rig.wait_for_round());
    rig.copy_round(true);
    rig.snapshots.write_ahead(&mut rig.chain, rig.clock.now());
    if refused {
        rig.refuses.store(true, Ordering::SeqCst);
        rig.copy_round(true);
    }
    let begun = rig.barrier(BarrierKind::Checkpoint, 0);
    let origins = origins(&rig.stored(&begun).unwrap().0);
    // One that is copied stays where it is.
    assert_eq!(aborted.load(Ordering::SeqCst), !refused);
    origins
}

#[test]
fn a_database_continues_the_last_round_that_is_stored() {
    let before = [(1, false), (2, false), (3, false), (4, true)];
    for refused in [false, true] {
        let origins = database_after_two_rounds(refused);
        // The files of the second round and of the checkpoint itself.
        let own = [(4, false), (4, false)];
        assert_eq!(origins, [&before[..], &own].concat(), "refused: {refused}");
    }
}

#[derive(Clone, Debug)]
enum Op {
    Add(u64, u64),
    Remove(u64),
    /// Time goes by until the round; it is copied, and it is stored.
    Round(bool, bool),
    Refuse(bool),
    /// A checkpoint or savepoint, with so many numbers before it, after part of a period.
    Barrier(bool, u64, u64),
    /// The oldest that is stored is complete, or it is given up.
    End(bool),
    /// The next number is given up before its barrier has come.
    AbortNext,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0..KEYS, 1u64..8).prop_map(|(key, keys)| Op::Add(key, keys)),
        2 => (0..KEYS).prop_map(Op::Remove),
        6 => (prop::bool::weighted(0.8), any::<bool>()).prop_map(|(c, s)| Op::Round(c, s)),
        1 => any::<bool>().prop_map(Op::Refuse),
        4 => (prop::bool::weighted(0.15), prop_oneof![9 => Just(0u64), 1 => Just(1)], 0u64..10)
            .prop_map(|(savepoint, skipped, rest)| Op::Barrier(savepoint, skipped, rest)),
        6 => prop::bool::weighted(0.85).prop_map(Op::End),
        1 => Just(Op::AbortNext),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn a_checkpoint_holds_what_there_was_at_its_barrier_whatever_was_written_ahead(
        ops in prop::collection::vec(op(), 1..120),
    ) {
        let mut rig = Rig::new(5);
        rig.checkpoint(0..KEYS);
        let mut open = Vec::new();
        for op in ops {
            match op {
                Op::Add(key, keys) => rig.add((key..key + keys).map(|key| key % KEYS)),
                Op::Remove(key) => rig.remove(key),
                Op::Round(copied, stored) => {
                    if rig.wait_for_round() && copied {
                        rig.copy_round(stored);
                    }
                }
                Op::Refuse(refuse) => rig.refuses.store(refuse, Ordering::SeqCst),
                Op::Barrier(savepoint, skipped, rest) => {
                    rig.clock.advance(Duration::from_millis(500 + 100 * rest));
                    let kind = match savepoint {
                        true => BarrierKind::Savepoint,
                        false => BarrierKind::Checkpoint,
                    };
                    let begun = rig.barrier(kind, skipped);
                    if rig.answer(&begun).is_ok() {
                        open.push(begun);
                    }
                }
                Op::End(complete) if !open.is_empty() => {
                    let begun = open.remove(0);
                    match complete {
                        true => rig.complete(&begun),
                        false => rig.snapshots.abort(&mut rig.chain, begun.id),
                    }
                }
                Op::AbortNext => {
                    rig.snapshots.abort(&mut rig.chain, CheckpointId(rig.next));
                    rig.next += 1;
                }
                Op::End(_) => {}
            }
        }
    }
}
