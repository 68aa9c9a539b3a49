//! The dataflow operator, as the runtime sees it: types are erased once per chunk.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_network::{CancelToken, Chunk};
use weir_state::{FileSnapshot, KeyedSnapshot, SnapshotKind, StateBackendFactory, TakenSnapshot};
use weir_types::{CheckpointId, Clock, ExecutionAttemptId, KeyGroupRange, OperatorId, Watermark};

use crate::OperatorError;

/// Names one of an operator's side outputs: its tag's text.
pub type SideOutputId = Arc<str>;

/// What an operator may tell its successors besides records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// No record at or before this time is still to come.
    Watermark(Watermark),
    /// This path takes no part in the watermark until it is active again.
    Idle,
    /// It takes part again.
    Active,
}

/// Where an operator puts its results: the next operator of the chain, or the exchange. A call
/// may block while there is no room downstream, and fails once the subtask is cancelled.
pub trait Output {
    /// Passes records on.
    fn emit(&mut self, chunk: Box<dyn Chunk>) -> Result<(), OperatorError>;

    /// Passes records to a side output. Without a consumer they are dropped.
    fn emit_side(&mut self, tag: &SideOutputId, chunk: Box<dyn Chunk>)
    -> Result<(), OperatorError>;

    /// Passes a watermark or a change of activity to every output, side outputs included.
    fn control(&mut self, control: Control) -> Result<(), OperatorError>;
}

/// What an operator is told when it opens.
#[derive(Clone)]
pub struct OperatorContext {
    /// The logical operator: state belongs to it.
    pub operator: OperatorId,
    /// Its name, for messages.
    pub name: Arc<str>,
    /// This attempt; file and transaction names carry it.
    pub attempt: ExecutionAttemptId,
    /// How many subtasks the operator has.
    pub parallelism: u32,
    /// How many key groups there are.
    pub max_parallelism: u32,
    /// The key groups of this subtask.
    pub key_groups: KeyGroupRange,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// What keyed state lies on.
    pub state_backend: Arc<dyn StateBackendFactory>,
    /// Whether the subtask is to stop: what may take long is to ask, and to return
    /// [`OperatorError::Cancelled`].
    pub cancel: CancelToken,
    /// Counters that the operator feeds beside the runtime's own, for example late records; and the
    /// runtime's own of the time that the subtask has waited for room downstream.
    pub metrics: Arc<crate::metrics::OperatorMetrics>,
}

/// What one operator of one subtask puts into a checkpoint: pure data.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OperatorSnapshot {
    /// Keyed state and timers, if the operator is keyed.
    pub keyed: Option<KeyedSnapshot>,
    /// The same as local files, instead.
    pub files: Option<FileSnapshot>,
    /// List, union and broadcast state.
    pub operator: Option<weir_state::OperatorSnapshot>,
    /// Whatever the operator itself wants to keep, by name: split states of a source, prepared
    /// transactions of a sink.
    pub raw: BTreeMap<String, Vec<u8>>,
    /// Whether there are prepared transactions in it, which must be committed once the checkpoint
    /// is complete.
    pub uncommitted: bool,
}

impl OperatorSnapshot {
    /// Adds the keyed state once it is copied.
    pub fn add_keyed(&mut self, taken: TakenSnapshot) {
        match taken {
            TakenSnapshot::Entries(entries) => self.keyed = Some(entries),
            TakenSnapshot::Files(files) => self.files = Some(files),
        }
    }
}

/// What a snapshot is asked to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotRequest {
    /// The checkpoint or savepoint.
    pub id: CheckpointId,
    /// Whether keyed state may leave out what the last confirmed checkpoint holds.
    pub kind: SnapshotKind,
    /// Whether keyed state that lies on a tier on disk may be given as the files of that tier.
    pub files: bool,
}

/// Why a sink is told to make its results visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// This checkpoint has completed.
    Checkpoint(CheckpointId),
    /// The job runs without checkpoints and every subtask has reached the end of its input.
    Final,
}

/// One instance of a dataflow operator. All calls come from one thread, in this order: `restore`
/// at most once, `open`, then any mix of the others, `close` last (also after an error).
pub trait Operator: Send {
    /// Called once before the first record.
    fn open(&mut self, context: &OperatorContext) -> Result<(), OperatorError>;

    /// Takes a chunk of records from one of the inputs (0, or 1 for the second of two).
    fn process(
        &mut self,
        input: usize,
        chunk: Box<dyn Chunk>,
        out: &mut dyn Output,
    ) -> Result<(), OperatorError>;

    /// The smallest watermark over all inputs has advanced. Due timers fire before it is passed
    /// on.
    fn watermark(
        &mut self,
        watermark: Watermark,
        out: &mut dyn Output,
    ) -> Result<(), OperatorError> {
        out.control(Control::Watermark(watermark))
    }

    /// All inputs have become idle, or one is active again.
    fn activity(&mut self, active: bool, out: &mut dyn Output) -> Result<(), OperatorError> {
        out.control(if active {
            Control::Active
        } else {
            Control::Idle
        })
    }

    /// When [`Operator::processing_time`] wants to be called next, in milliseconds since 1970.
    fn next_processing_time(&self) -> Option<i64> {
        None
    }

    /// The clock has reached a time that was asked for.
    fn processing_time(&mut self, now_ms: i64, out: &mut dyn Output) -> Result<(), OperatorError> {
        let (_, _) = (now_ms, out);
        Ok(())
    }

    /// One input has ended. A watermark of [`Watermark::MAX`] came before the end of the last.
    fn end_input(&mut self, input: usize, out: &mut dyn Output) -> Result<(), OperatorError> {
        let (_, _) = (input, out);
        Ok(())
    }

    /// Freezes the operator's state as of now for a checkpoint. It is short whatever the state's
    /// size: keyed state is left out of the result, and copied by [`Operator::snapshot_step`]
    /// while records are processed. The rest is in the result.
    fn snapshot_begin(
        &mut self,
        request: SnapshotRequest,
    ) -> Result<OperatorSnapshot, OperatorError>;

    /// Freezes what has changed of the keyed state before the checkpoint that is expected next, so
    /// that this one has less to hold: see [`weir_state::KeyedBackend::snapshot_ahead`]. It is
    /// copied by [`Operator::snapshot_step`], too. False: nothing is frozen.
    fn snapshot_ahead(&mut self, request: SnapshotRequest) -> Result<bool, OperatorError> {
        let _no_keyed_state = request;
        Ok(false)
    }

    /// So many bytes the next one of these stores beside what changes until then.
    fn ahead_extra_bytes(&self) -> usize {
        0
    }

    /// Copies about `budget` bytes of the keyed state that was frozen, and gives it once all is
    /// copied.
    fn snapshot_step(&mut self, budget: usize) -> Result<Option<TakenSnapshot>, OperatorError> {
        let _nothing_to_copy = budget;
        Ok(None)
    }

    /// The checkpoint whose keyed state is still being copied.
    fn snapshot_running(&self) -> Option<CheckpointId> {
        None
    }

    /// Whether that is being done by another thread, so that more steps now are of no use.
    fn snapshot_waits(&self) -> bool {
        false
    }

    /// The snapshot is stored and its checkpoint complete: later ones may leave out what it holds.
    fn snapshot_confirm(&mut self, id: CheckpointId) {
        let _ = id;
    }

    /// No later snapshot may build on this one: its checkpoint failed, or it was a savepoint. What
    /// it holds is in the next one too.
    fn snapshot_abort(&mut self, id: CheckpointId) {
        let _ = id;
    }

    /// The whole state as of now, at once.
    fn snapshot(&mut self, id: CheckpointId) -> Result<OperatorSnapshot, OperatorError> {
        let mut snapshot = self.snapshot_begin(SnapshotRequest {
            id,
            kind: SnapshotKind::Full,
            files: false,
        })?;
        while self.snapshot_running().is_some() {
            if let Some(taken) = self.snapshot_step(usize::MAX)? {
                snapshot.add_keyed(taken);
            }
        }
        Ok(snapshot)
    }

    /// Takes over state: one snapshot per former subtask whose key groups or lists this one gets.
    fn restore(&mut self, snapshots: Vec<OperatorSnapshot>) -> Result<(), OperatorError>;

    /// About how much memory its keyed state takes now. Asked once a second: it may cost
    /// microseconds.
    fn state_bytes(&mut self) -> usize {
        0
    }

    /// Make results visible: all of them, or those that were prepared for this checkpoint and for
    /// earlier ones. Repeating it is harmless.
    fn commit(&mut self, commit: Commit) -> Result<(), OperatorError> {
        let _ = commit;
        Ok(())
    }

    /// Called last. Results that were not committed stay invisible.
    fn close(&mut self) -> Result<(), OperatorError> {
        Ok(())
    }
}
