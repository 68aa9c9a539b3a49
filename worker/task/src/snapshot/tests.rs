//! When a snapshot is copied and how long the task stands still for it, on a clock that the copying
//! moves.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use weir_checkpoint::handle::SubtaskState;
use weir_network::{CancelToken, Chunk};
use weir_state::KeyedSnapshot;
use weir_storage::MemoryStore;
use weir_stream::harness::HarnessOptions;
use weir_stream::{Operator, OperatorContext, Output};
use weir_types::{Epoch, KeyGroupRange, ManualClock};

use super::*;
use crate::chain::ChainNode;
use crate::deployment::ExecutionState;
use crate::metrics::TaskMetrics;
use crate::pace::Pace;

/// How long each piece takes, and how many there are.
const PIECE: Duration = Duration::from_millis(1);
const PIECES: u32 = 20;

/// The methods of an operator of which only the snapshots matter.
macro_rules! takes_no_records {
    () => {
        fn open(&mut self, _context: &OperatorContext) -> Result<(), OperatorError> {
            Ok(())
        }

        fn process(
            &mut self,
            _input: usize,
            _chunk: Box<dyn Chunk>,
            _out: &mut dyn Output,
        ) -> Result<(), OperatorError> {
            Ok(())
        }

        fn restore(&mut self, _snapshots: Vec<OperatorSnapshot>) -> Result<(), OperatorError> {
            Ok(())
        }
    };
}
pub(super) use takes_no_records;

/// An operator with keyed state.
struct Keyed {
    clock: Arc<ManualClock>,
    running: Option<CheckpointId>,
    left: u32,
    /// Another thread copies the second half.
    has_tier: bool,
}

impl Operator for Keyed {
    takes_no_records!();

    fn snapshot_begin(
        &mut self,
        request: SnapshotRequest,
    ) -> Result<OperatorSnapshot, OperatorError> {
        assert_eq!(self.running, None, "one at a time");
        (self.running, self.left) = (Some(request.id), PIECES);
        Ok(OperatorSnapshot::default())
    }

    fn snapshot_step(&mut self, budget: usize) -> Result<Option<TakenSnapshot>, OperatorError> {
        let pieces = if budget == usize::MAX { self.left } else { 1 };
        self.clock.advance(PIECE * pieces);
        self.left -= pieces;
        let taken = self.running.take_if(|_| self.left == 0);
        let keyed = |checkpoint| KeyedSnapshot {
            checkpoint,
            base: None,
            max_parallelism: 1,
            range: KeyGroupRange { start: 0, end: 0 },
            states: Vec::new(),
        };
        Ok(taken.map(|id| TakenSnapshot::Entries(keyed(id))))
    }

    fn snapshot_running(&self) -> Option<CheckpointId> {
        self.running
    }

    fn snapshot_waits(&self) -> bool {
        self.has_tier && self.running.is_some() && self.left <= PIECES / 2
    }
}

pub(super) type Answer = (
    CheckpointId,
    Result<(SubtaskState, SnapshotMetrics), String>,
);

/// Passes on what becomes of each checkpoint.
pub(super) struct Answers(pub(super) SyncSender<Answer>);

impl TaskEvents for Answers {
    fn acknowledged(
        &self,
        _attempt: ExecutionAttemptId,
        id: CheckpointId,
        state: SubtaskState,
        metrics: SnapshotMetrics,
    ) {
        self.0.send((id, Ok((state, metrics)))).unwrap_or_default();
    }

    fn declined(&self, _attempt: ExecutionAttemptId, id: CheckpointId, why: SnapshotFailure) {
        self.0
            .send((id, Err(format!("{why:?}"))))
            .unwrap_or_default();
    }

    fn state_changed(
        &self,
        _attempt: ExecutionAttemptId,
        _state: ExecutionState,
        _fault: Option<weir_types::Fault>,
    ) {
    }

    fn request_split(&self, _attempt: ExecutionAttemptId, _node: weir_graph::NodeId) {}
    fn end_of_input(&self, _attempt: ExecutionAttemptId) {}
    fn committed(&self, _attempt: ExecutionAttemptId, _id: CheckpointId) {}
}

/// A chain of this operator alone.
pub(super) fn chain_of(
    operator: Box<dyn Operator>,
    context: OperatorContext,
    metrics: Arc<TaskMetrics>,
) -> OperatorChain {
    let node = ChainNode {
        operator: Some(operator),
        context,
        pace: Pace::default(),
        successors: Vec::new(),
    };
    OperatorChain {
        nodes: vec![node],
        partitions: Vec::new(),
        metrics,
        cancel: CancelToken::default(),
    }
}

struct Rig {
    clock: Arc<ManualClock>,
    answers: Receiver<Answer>,
    snapshots: Snapshots,
    chain: OperatorChain,
}

impl Rig {
    fn new() -> Self {
        Self::with_tier(false)
    }

    fn with_tier(has_tier: bool) -> Self {
        let clock = Arc::new(ManualClock::at(0));
        let timed: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let context = HarnessOptions::default().context(Arc::clone(&timed));
        let (sender, answers) = sync_channel(4);
        let events: Arc<dyn TaskEvents> = Arc::new(Answers(sender));
        let config = Arc::new(TaskCheckpoints::new(Arc::new(MemoryStore::new())));
        let metrics = Arc::new(TaskMetrics::new(Vec::new(), false, Arc::default()));
        let attempt = context.attempt;
        let snapshots = Snapshots::new(&config, attempt, &events, &timed, &metrics, 1);
        let operator = Keyed {
            clock: Arc::clone(&clock),
            running: None,
            left: 0,
            has_tier,
        };
        let chain = chain_of(Box::new(operator), context, metrics);
        Self {
            clock,
            answers,
            snapshots: snapshots.unwrap(),
            chain,
        }
    }

    fn begin(&mut self, id: u64, kind: BarrierKind) {
        let barrier = CheckpointBarrier {
            epoch: Epoch(1),
            id: CheckpointId(id),
            triggered_at_ms: 0,
            kind,
        };
        let aligned = Aligned::at_once(barrier);
        let begun = self.snapshots.begin(&mut self.chain, None, aligned, false);
        begun.unwrap();
    }

    /// Copies what is due while there is input. Gives how long that took.
    fn step(&mut self, input: Input) -> Duration {
        let began = self.clock.now();
        self.snapshots.step(&mut self.chain, input);
        self.clock.now().since(began)
    }

    /// How long the task stood still for these snapshots, once they are stored.
    fn stood(&self, ids: std::ops::RangeInclusive<u64>) -> Vec<Duration> {
        let answer = |id: u64| {
            let answer = self.answers.recv_timeout(Duration::from_secs(20));
            let (given, stored) = answer.unwrap();
            assert_eq!(given, CheckpointId(id));
            let (_, metrics) = stored.unwrap();
            Duration::from_micros(metrics.sync_us)
        };
        ids.map(answer).collect()
    }
}

#[test]
fn what_is_left_to_copy_of_the_snapshot_before_counts_as_time_that_the_task_stands_still() {
    for kind in [BarrierKind::Checkpoint, BarrierKind::Savepoint] {
        let mut rig = Rig::new();
        rig.begin(1, BarrierKind::Checkpoint);
        rig.begin(2, kind);
        while rig.snapshots.is_copying() {
            rig.step(Input::Idle);
        }
        // A piece of the first was copied as it began.
        let want = [Duration::ZERO, PIECE * (PIECES - 1)];
        assert_eq!(rig.stood(1..=2), want, "{kind:?}");
    }
}

#[test]
fn once_a_second_snapshot_waits_the_first_is_copied_without_pauses() {
    let mut rig = Rig::new();
    rig.begin(1, BarrierKind::Checkpoint);
    assert_eq!(rig.step(Input::Busy), Duration::ZERO, "records come first");
    rig.clock.advance(PIECE * PAUSE);
    assert_eq!(rig.step(Input::Busy), PIECE);
    assert_eq!(rig.step(Input::Busy), Duration::ZERO);
    for _ in 2..PIECES {
        assert!(rig.snapshots.is_copying());
        assert_eq!(rig.step(Input::Blocked), PIECE);
    }
    assert!(!rig.snapshots.is_copying());
    rig.begin(2, BarrierKind::Checkpoint);
    while rig.snapshots.is_copying() {
        rig.step(Input::Blocked);
    }
    assert_eq!(rig.stood(1..=2), [Duration::ZERO; 2]);
}

#[test]
fn a_subtask_waits_for_what_another_thread_copies_and_for_nothing_else() {
    for has_tier in [false, true] {
        let mut rig = Rig::with_tier(has_tier);
        assert!(!rig.snapshots.waits(&rig.chain), "no snapshot");
        rig.begin(1, BarrierKind::Checkpoint);
        let mut waits = Vec::new();
        while rig.snapshots.is_copying() {
            waits.push(rig.snapshots.waits(&rig.chain));
            rig.step(Input::Idle);
        }
        // A piece was copied as it began.
        let half = (PIECES / 2 - 1) as usize;
        let want = [vec![false; half], vec![has_tier; half + 1]].concat();
        assert_eq!(waits, want);
        assert!(!rig.snapshots.waits(&rig.chain), "it is copied");
    }
}
