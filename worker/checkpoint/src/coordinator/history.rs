//! The newest checkpoints, for people (Flink's `CheckpointStatsTracker`).

use std::collections::VecDeque;
use std::time::Duration;

use weir_types::{CheckpointId, ExecutionAttemptId, Timestamp};

use super::failure::SnapshotFailure;
use super::pending::PendingCheckpoint;
use crate::handle::SnapshotMetrics;
use crate::pointer::{OperationId, SnapshotKind, SnapshotRef};

/// How many are remembered that have ended.
const ENDED_MAX: usize = 20;

/// How a checkpoint stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckpointStatus {
    /// It is under way.
    Pending,
    /// It is complete.
    Completed(SnapshotRef),
    /// It never will be.
    Failed {
        /// Why.
        why: SnapshotFailure,
    },
}

/// A subtask's part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubtaskView {
    /// The subtask.
    pub attempt: ExecutionAttemptId,
    /// When its acknowledgement came, in milliseconds since 1970.
    pub acknowledged_ms: i64,
    /// How it went.
    pub metrics: SnapshotMetrics,
}

/// A checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointView {
    /// Its number.
    pub id: CheckpointId,
    /// Checkpoint or savepoint.
    pub kind: SnapshotKind,
    /// Who asked for it.
    pub operation: Option<OperationId>,
    /// When it was begun, in milliseconds since 1970.
    pub triggered_ms: i64,
    triggered_at: Timestamp,
    ended_at: Option<Timestamp>,
    /// How many subtasks take part.
    pub subtasks_total: usize,
    /// Those that have acknowledged it, in the order in which they did.
    pub subtasks: Vec<SubtaskView>,
    /// How it stands.
    pub status: CheckpointStatus,
}

impl CheckpointView {
    /// From when it was begun until the pointer named it or it was given up, or until now. (Flink's
    /// end-to-end duration ends with the last acknowledgement, before anything is committed.)
    pub fn duration(&self, now: Timestamp) -> Duration {
        self.ended_at.unwrap_or(now).since(self.triggered_at)
    }

    /// Bytes that it stored anew, and bytes of all that it refers to.
    pub fn bytes(&self) -> (u64, u64) {
        let metrics = self.subtasks.iter().map(|subtask| &subtask.metrics);
        metrics.fold((0, 0), |(written, full), part| {
            (written + part.written_bytes, full + part.full_bytes)
        })
    }
}

/// The newest checkpoints of this epoch.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Oldest first.
    views: VecDeque<CheckpointView>,
    completed: u64,
    failed: u64,
}

impl History {
    /// Those that are remembered, oldest first.
    pub fn checkpoints(&self) -> impl DoubleEndedIterator<Item = &CheckpointView> {
        self.views.iter()
    }

    /// How many have completed in this epoch.
    pub fn completed_count(&self) -> u64 {
        self.completed
    }

    /// How many have failed or were given up in this epoch.
    pub fn failed_count(&self) -> u64 {
        self.failed
    }

    /// How many are under way.
    pub fn pending_count(&self) -> usize {
        let pending = |view: &&CheckpointView| view.status == CheckpointStatus::Pending;
        self.views.iter().filter(pending).count()
    }

    pub(super) fn began(
        &mut self,
        pending: &PendingCheckpoint,
        subtasks_total: usize,
        now: Timestamp,
    ) {
        self.views.push_back(CheckpointView {
            id: pending.id,
            kind: pending.cause.kind,
            operation: pending.cause.operation.clone(),
            triggered_ms: pending.triggered_ms(),
            triggered_at: now,
            ended_at: None,
            subtasks_total,
            subtasks: Vec::new(),
            status: CheckpointStatus::Pending,
        });
        let ended = |view: &CheckpointView| view.status != CheckpointStatus::Pending;
        while self.views.iter().filter(|view| ended(view)).count() > ENDED_MAX
            && let Some(oldest) = self.views.iter().position(ended)
        {
            self.views.remove(oldest);
        }
    }

    pub(super) fn acknowledged(
        &mut self,
        id: CheckpointId,
        attempt: ExecutionAttemptId,
        metrics: SnapshotMetrics,
        acknowledged_ms: i64,
    ) {
        if let Some(view) = self.find(id) {
            view.subtasks.push(SubtaskView {
                attempt,
                acknowledged_ms,
                metrics,
            });
        }
    }

    pub(super) fn completed(&mut self, snapshot: &SnapshotRef, now: Timestamp) {
        self.completed += 1;
        let status = CheckpointStatus::Completed(snapshot.clone());
        self.ended(snapshot.id, status, now);
    }

    pub(super) fn failed(&mut self, id: CheckpointId, why: SnapshotFailure, now: Timestamp) {
        self.failed += 1;
        self.ended(id, CheckpointStatus::Failed { why }, now);
    }

    fn ended(&mut self, id: CheckpointId, status: CheckpointStatus, now: Timestamp) {
        if let Some(view) = self.find(id) {
            (view.status, view.ended_at) = (status, Some(now));
        }
    }

    fn find(&mut self, id: CheckpointId) -> Option<&mut CheckpointView> {
        self.views.iter_mut().rev().find(|view| view.id == id)
    }
}
