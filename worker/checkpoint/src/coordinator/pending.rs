//! A checkpoint or savepoint that is not complete (Flink's `PendingCheckpoint`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_graph::NodeId;
use weir_types::{
    BarrierKind, CheckpointBarrier, CheckpointId, Epoch, ExecutionAttemptId, JobId, OperatorId,
    Timestamp,
};

use super::{OperatorInfo, Participant, SnapshotRequest, Then};
use crate::handle::{OperatorSubtaskState, SubtaskState};
use crate::metadata::{CheckpointMetadata, OperatorMetadata};
use crate::pointer::{OperationId, SnapshotKind, SnapshotRef};

/// How often the pointer is written for one checkpoint before that is given up.
const WRITES_MAX: u32 = 3;

/// How far it has come.
#[derive(Debug)]
enum Step {
    /// The enumerators are asked; the sources know nothing yet.
    Enumerators,
    /// The subtasks are at it.
    Subtasks,
    /// All is there; the metadata is being written.
    Metadata(Arc<CheckpointMetadata>),
    /// The metadata is there; the pointer is free or will be.
    Ready(Arc<CheckpointMetadata>, SnapshotRef),
    /// The pointer is being written: whether the checkpoint is complete is in doubt.
    InFlight(Arc<CheckpointMetadata>, SnapshotRef),
}

/// Why it was begun.
#[derive(Clone, Debug)]
pub(super) struct Cause {
    pub(super) kind: SnapshotKind,
    pub(super) operation: Option<OperationId>,
    pub(super) then: Then,
}

impl Cause {
    pub(super) const PERIODIC: Self = Self {
        kind: SnapshotKind::Checkpoint,
        operation: None,
        then: Then::Continue,
    };

    /// The last checkpoint of a job that has come to the end of its input.
    pub(super) const FINAL: Self = Self {
        then: Then::Stop,
        ..Self::PERIODIC
    };

    pub(super) fn request(request: SnapshotRequest) -> Self {
        Self {
            kind: request.kind,
            operation: Some(request.operation),
            then: request.then,
        }
    }

    /// The job is over after it.
    pub(super) fn is_last(&self) -> bool {
        self.then != Then::Continue
    }
}

/// A checkpoint or savepoint that is not complete.
#[derive(Debug)]
pub(super) struct PendingCheckpoint {
    pub(super) id: CheckpointId,
    pub(super) cause: Cause,
    epoch: Epoch,
    triggered_ms: i64,
    deadline: Timestamp,
    step: Step,
    /// How often the pointer's write has begun.
    writes: u32,
    /// `None`: not told yet.
    enumerators: BTreeMap<NodeId, Option<Vec<u8>>>,
    awaited: BTreeSet<ExecutionAttemptId>,
    acknowledged: BTreeMap<ExecutionAttemptId, SubtaskState>,
}

impl PendingCheckpoint {
    pub(super) fn new<'a>(
        (epoch, id): (Epoch, CheckpointId),
        cause: Cause,
        (triggered_ms, deadline): (i64, Timestamp),
        operators: &[OperatorInfo],
        participants: impl Iterator<Item = &'a Participant>,
    ) -> Self {
        let sources = operators.iter().filter_map(|operator| operator.source);
        Self {
            id,
            cause,
            epoch,
            triggered_ms,
            deadline,
            step: Step::Enumerators,
            writes: 0,
            enumerators: sources.map(|node| (node, None)).collect(),
            awaited: participants
                .map(|participant| participant.attempt)
                .collect(),
            acknowledged: BTreeMap::new(),
        }
    }

    pub(super) fn deadline(&self) -> Timestamp {
        self.deadline
    }

    pub(super) fn triggered_ms(&self) -> i64 {
        self.triggered_ms
    }

    pub(super) fn barrier(&self) -> CheckpointBarrier {
        CheckpointBarrier {
            epoch: self.epoch,
            id: self.id,
            triggered_at_ms: self.triggered_ms,
            kind: barrier_kind(self.cause.kind),
        }
    }

    pub(super) fn enumerators(&self) -> impl Iterator<Item = NodeId> {
        self.enumerators.keys().copied()
    }

    /// Takes an enumerator's state; `false`: nobody has asked for it.
    pub(super) fn enumerator(&mut self, node: NodeId, state: Vec<u8>) -> bool {
        match self.enumerators.get_mut(&node) {
            Some(place @ None) => {
                *place = Some(state);
                true
            }
            _ => false,
        }
    }

    /// Whether the sources may be told now. Says so once.
    pub(super) fn take_trigger(&mut self) -> bool {
        let all = self.enumerators.values().all(Option::is_some);
        let begins = all && matches!(self.step, Step::Enumerators);
        if begins {
            self.step = Step::Subtasks;
        }
        begins
    }

    /// Whether enumerators are being asked, and the sources know nothing yet.
    pub(super) fn asks_enumerators(&self) -> bool {
        matches!(self.step, Step::Enumerators)
    }

    pub(super) fn awaits(&self, attempt: ExecutionAttemptId) -> bool {
        self.awaited.contains(&attempt)
    }

    /// Takes a subtask's part; `false`: it is not awaited (any more).
    pub(super) fn acknowledge(&mut self, attempt: ExecutionAttemptId, state: SubtaskState) -> bool {
        let fresh = matches!(self.step, Step::Subtasks) && self.awaited.remove(&attempt);
        if fresh {
            self.acknowledged.insert(attempt, state);
        }
        fresh
    }

    /// When all parts are there, the metadata; once.
    pub(super) fn assemble(
        &mut self,
        state_id: JobId,
        completed_ms: i64,
        operators: &[OperatorInfo],
    ) -> Result<Option<Arc<CheckpointMetadata>>, String> {
        if !matches!(self.step, Step::Subtasks) || !self.awaited.is_empty() {
            return Ok(None);
        }
        let mut by_id: BTreeMap<OperatorId, OperatorMetadata> = operators
            .iter()
            .map(|info| (info.operator, self.operator(info)))
            .collect();
        for (attempt, state) in std::mem::take(&mut self.acknowledged) {
            for part in state.operators {
                let Some(operator) = by_id.get_mut(&part.operator) else {
                    let unknown = part.operator;
                    return Err(format!(
                        "subtask {attempt} sent the state of operator {unknown}, which the job \
                         does not have"
                    ));
                };
                if !is_empty(&part) {
                    operator.subtasks.push((attempt.subtask, part));
                }
            }
        }
        let metadata = Arc::new(CheckpointMetadata {
            state_id,
            id: self.id,
            epoch: self.epoch,
            kind: self.cause.kind,
            operation: self.cause.operation.clone(),
            triggered_ms: self.triggered_ms,
            completed_ms,
            weir_version: env!("CARGO_PKG_VERSION").to_owned(),
            operators: by_id.into_values().collect(),
        });
        self.step = Step::Metadata(Arc::clone(&metadata));
        Ok(Some(metadata))
    }

    fn operator(&self, info: &OperatorInfo) -> OperatorMetadata {
        let of_vertex = self
            .acknowledged
            .iter()
            .filter(|(attempt, state)| attempt.vertex == info.vertex && state.ended);
        let enumerator = info.source.and_then(|node| self.enumerators.get(&node));
        OperatorMetadata {
            operator: info.operator,
            name: info.name.clone(),
            uid: info.uid.clone(),
            parallelism: info.parallelism,
            max_parallelism: info.max_parallelism,
            enumerator: enumerator.cloned().flatten(),
            subtasks: Vec::new(),
            ended: of_vertex.map(|(attempt, _)| attempt.subtask).collect(),
        }
    }

    pub(super) fn folder(&self) -> String {
        self.cause.kind.folder(self.epoch, self.id)
    }

    /// The metadata is stored; `false`: nobody waits for it.
    pub(super) fn stored(&mut self, sha256: String, size: u64, completed_ms: i64) -> bool {
        let Step::Metadata(metadata) = &self.step else {
            return false;
        };
        let snapshot = SnapshotRef {
            id: self.id,
            epoch: self.epoch,
            kind: self.cause.kind,
            path: self.folder(),
            sha256,
            size,
            completed_ms,
            operation: self.cause.operation.clone(),
        };
        self.step = Step::Ready(Arc::clone(metadata), snapshot);
        true
    }

    pub(super) fn writes_metadata(&self) -> bool {
        matches!(self.step, Step::Metadata(_))
    }

    /// What the pointer is to name, if all else is done.
    pub(super) fn ready(&self) -> Option<&SnapshotRef> {
        match &self.step {
            Step::Ready(_, snapshot) => Some(snapshot),
            _ => None,
        }
    }

    pub(super) fn ready_metadata(&self) -> Option<&CheckpointMetadata> {
        match &self.step {
            Step::Ready(metadata, _) => Some(metadata),
            _ => None,
        }
    }

    pub(super) fn is_in_flight(&self) -> bool {
        matches!(self.step, Step::InFlight(..))
    }

    /// The pointer's write begins.
    pub(super) fn take_off(&mut self) {
        let step = std::mem::replace(&mut self.step, Step::Subtasks);
        self.step = match step {
            Step::Ready(metadata, snapshot) => Step::InFlight(metadata, snapshot),
            other => other,
        };
        self.writes += 1;
    }

    /// The pointer's write has failed for certain. `true`: it may be tried again, as the checkpoint
    /// is still young enough that nobody takes its objects for garbage.
    pub(super) fn come_back(&mut self, now: Timestamp) -> bool {
        let step = std::mem::replace(&mut self.step, Step::Subtasks);
        self.step = match step {
            Step::InFlight(metadata, snapshot) => Step::Ready(metadata, snapshot),
            other => other,
        };
        self.writes < WRITES_MAX && now < self.deadline
    }

    /// The pointer names it.
    pub(super) fn land(self) -> Option<(Arc<CheckpointMetadata>, SnapshotRef)> {
        match self.step {
            Step::InFlight(metadata, snapshot) => Some((metadata, snapshot)),
            _ => None,
        }
    }

    /// The subtasks that have not sent their part, for people.
    pub(super) fn missing(&self) -> String {
        match (&self.step, self.awaited.first()) {
            (Step::Enumerators, _) => "a source's enumerator has not answered".to_owned(),
            (Step::Subtasks, Some(first)) => format!(
                "{} of {} subtasks have not acknowledged it, among them {first}",
                self.awaited.len(),
                self.awaited.len() + self.acknowledged.len()
            ),
            (Step::Ready(..), _) => "the pointer is not written".to_owned(),
            _ => "its metadata is not stored".to_owned(),
        }
    }
}

pub(super) fn barrier_kind(kind: SnapshotKind) -> BarrierKind {
    match kind {
        SnapshotKind::Checkpoint => BarrierKind::Checkpoint,
        SnapshotKind::Savepoint => BarrierKind::Savepoint,
    }
}

fn is_empty(part: &OperatorSubtaskState) -> bool {
    let OperatorSubtaskState {
        operator: _,
        keyed,
        operator_state,
        raw,
        uncommitted,
    } = part;
    keyed.is_empty() && operator_state.is_none() && raw.is_none() && !uncommitted
}
