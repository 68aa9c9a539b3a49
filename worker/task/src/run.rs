//! The life of a subtask: one thread, one loop over control mail, timers and input (Flink's
//! `StreamTask` and its mailbox).
//!
//! Between two chunks the thread looks at its mail and its timers, copies a piece of the snapshot
//! under way, and before each call of an operator it asks whether it is cancelled; `pace.rs` keeps
//! the calls and the turns of a source short. It waits in two places only: here, when there is
//! nothing to do, and in a result partition, when there is no room downstream; both end at once
//! when the subtask is cancelled. What routers gather is sent off as soon as the input is empty, or
//! when the buffer time-out has passed while input keeps coming.
//!
//! In a job with checkpoints a subtask that has come to the end of its data goes on living, so that
//! it takes part in checkpoints, until the last one is complete and its results are committed:
//!
//! ```text
//!  Reading ─ end of data ─▶ Ended ─ last checkpoint complete ─▶ end of input, gone
//!     │ ▲                                     ▲
//!     │ └ it fails                            │
//!     └ snapshot to stop with ─▶ Stopped ─────┘
//! ```

mod gate;
mod source;

use std::sync::Arc;
use std::time::Duration;

use weir_checkpoint::coordinator::Then;
use weir_network::{CancelToken, Control as Wire, GateError, SendError};
use weir_stream::source::AnySource;
use weir_stream::{Commit, OperatorError};
use weir_types::{CheckpointBarrier, CheckpointId, Clock, ExecutionAttemptId, Timestamp};

use crate::chain::OperatorChain;
use crate::deployment::TaskEvents;
use crate::mailbox::{Mailbox, TaskCommit};
use crate::restore::RestoreError;
use crate::setup::Intake;
use crate::snapshot::{Aligned, Input, Snapshots};

/// Why a subtask's loop ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    /// It was told to stop.
    #[error("cancelled")]
    Cancelled,
    /// An operator could not go on.
    #[error(transparent)]
    Operator(OperatorError),
    /// A channel broke.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// The state that it was to go on from cannot be had.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// Something came that this version cannot have sent.
    #[error("{0}")]
    Protocol(String),
}

impl From<OperatorError> for TaskError {
    fn from(error: OperatorError) -> Self {
        match error {
            OperatorError::Cancelled | OperatorError::Send(SendError::Cancelled { .. }) => {
                Self::Cancelled
            }
            error => Self::Operator(error),
        }
    }
}

/// How often the size of its state is measured.
const MEASURE_INTERVAL: Duration = Duration::from_secs(1);

/// A subtask without input looks so often whether what another thread copies is ready.
const SNAPSHOT_LOOK: Duration = Duration::from_micros(200);

/// Where a subtask stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It processes records.
    Reading,
    /// A source that reads nothing more, because the job is to stop with this snapshot.
    Stopped(CheckpointId),
    /// All its data is processed.
    Ended,
}

/// A subtask while it runs.
pub(crate) struct TaskLoop {
    pub(crate) attempt: ExecutionAttemptId,
    pub(crate) chain: OperatorChain,
    pub(crate) mailbox: Mailbox,
    pub(crate) cancel: CancelToken,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) events: Arc<dyn TaskEvents>,
    pub(crate) buffer_timeout: Duration,
    /// A sink of the chain commits.
    pub(crate) commits: bool,
    /// None: the job has no checkpoints.
    pub(crate) snapshots: Option<Snapshots>,
    /// It was restored from a state in which all its data had been processed.
    pub(crate) restored_ended: bool,
    pub(crate) phase: Phase,
    pub(crate) last_flush: Timestamp,
    /// When the size of its state was last measured.
    pub(crate) measured: Timestamp,
    pub(crate) unflushed: bool,
}

impl TaskLoop {
    /// Runs to the end of all input.
    pub(crate) fn run(&mut self, intake: Intake) -> Result<(), TaskError> {
        self.last_flush = self.clock.now();
        if self.restored_ended {
            self.repeat_end_of_data()?;
        }
        match intake {
            Intake::Source { node, source } => self.run_source(node, source),
            Intake::Gate(intake) => self.run_gate(intake),
        }
    }

    fn check_cancelled(&self) -> Result<(), TaskError> {
        if self.cancel.is_cancelled() {
            return Err(TaskError::Cancelled);
        }
        Ok(())
    }

    /// The head of the chain has had its last record: the other operators end, in order, and so do
    /// the outputs. True if the subtask has nothing to wait for.
    fn end_of_data(&mut self) -> Result<bool, TaskError> {
        self.chain.end_chained_inputs()?;
        self.phase = Phase::Ended;
        let checkpoints = self.snapshots.is_some();
        self.broadcast(if checkpoints {
            Wire::EndOfData
        } else {
            Wire::EndOfInput
        })?;
        if checkpoints || self.commits {
            self.events.end_of_input(self.attempt);
        }
        Ok(!checkpoints && !self.commits)
    }

    /// What consumers have heard before the restored checkpoint, they do not remember; the
    /// operators do.
    fn repeat_end_of_data(&mut self) -> Result<(), TaskError> {
        self.phase = Phase::Ended;
        self.broadcast(Wire::Watermark(weir_types::Watermark::MAX))?;
        self.broadcast(Wire::EndOfData)?;
        self.events.end_of_input(self.attempt);
        Ok(())
    }

    fn broadcast(&mut self, control: Wire) -> Result<(), TaskError> {
        for partition in &mut self.chain.partitions {
            partition.broadcast(control).map_err(OperatorError::from)?;
        }
        Ok(())
    }

    /// Passes a barrier on, before any later record, and takes the snapshot.
    fn snapshot(
        &mut self,
        aligned: Aligned,
        source: Option<&mut dyn AnySource>,
    ) -> Result<(), TaskError> {
        let Some(snapshots) = &mut self.snapshots else {
            let text = format!(
                "barrier {} came, but checkpoints are off",
                aligned.barrier.id
            );
            return Err(TaskError::Protocol(text));
        };
        for partition in &mut self.chain.partitions {
            let barrier = Wire::Barrier(aligned.barrier);
            partition.broadcast(barrier).map_err(OperatorError::from)?;
        }
        let ended = self.phase == Phase::Ended;
        Ok(snapshots.begin(&mut self.chain, source, aligned, ended)?)
    }

    /// Begins a checkpoint at a source.
    fn trigger(
        &mut self,
        barrier: CheckpointBarrier,
        then: Then,
        source: Option<&mut dyn AnySource>,
    ) -> Result<(), TaskError> {
        if then == Then::Drain && self.phase != Phase::Ended {
            self.end_source()?;
        }
        self.snapshot(Aligned::at_once(barrier), source)?;
        if then == Then::Stop && self.phase == Phase::Reading {
            self.flush()?;
            self.phase = Phase::Stopped(barrier.id);
        }
        Ok(())
    }

    fn abort(&mut self, id: CheckpointId) {
        if self.phase == Phase::Stopped(id) {
            self.phase = Phase::Reading;
        }
        if let Some(snapshots) = &mut self.snapshots {
            snapshots.abort(&mut self.chain, id);
        }
    }

    /// A checkpoint is complete, or the job without checkpoints is: results become visible. True
    /// if that was the last.
    fn commit(&mut self, commit: TaskCommit) -> Result<bool, TaskError> {
        match commit {
            TaskCommit::Final => {
                self.chain.commit(Commit::Final)?;
                Ok(self.phase == Phase::Ended)
            }
            TaskCommit::Checkpoint { id, last } => {
                if let Some(snapshots) = &mut self.snapshots {
                    snapshots.confirm(&mut self.chain, id);
                }
                self.chain.commit(Commit::Checkpoint(id))?;
                if self.commits {
                    self.events.committed(self.attempt, id);
                }
                Ok(last)
            }
        }
    }

    /// The last checkpoint is complete and committed: nothing that happens to the channels matters
    /// any more.
    fn leave(&mut self) {
        self.phase = Phase::Ended;
        if self.snapshots.is_some() {
            drop(self.broadcast(Wire::EndOfInput));
        }
    }

    /// Copies a piece of the snapshot under way, if there is one and it is due.
    #[inline]
    fn copy(&mut self, input: Input) {
        if let Some(snapshots) = &mut self.snapshots {
            snapshots.step(&mut self.chain, input);
        }
    }

    fn is_copying(&self) -> bool {
        self.snapshots.as_ref().is_some_and(Snapshots::is_copying)
    }

    fn fire_timers(&mut self) -> Result<(), TaskError> {
        if self.phase == Phase::Reading
            && let Some(due) = self.chain.next_processing_time()
        {
            let now = self.clock.unix_ms();
            if due <= now {
                self.unflushed = true;
                self.chain.processing_time(now)?;
            }
        }
        Ok(())
    }

    /// There is nothing to do: sends off what is gathered, or waits. Never both in one turn:
    /// sending may use up the notification that mail or input has come, so the caller has to
    /// look at both again before the wait.
    fn idle(&mut self, rest: Option<Duration>) -> Result<(), TaskError> {
        if self.unflushed {
            return self.flush();
        }
        if self.is_copying() {
            self.copy(Input::Idle);
            if self.waits_for_snapshot() {
                self.wait(Some(SNAPSHOT_LOOK));
            }
        } else {
            self.wait(rest);
        }
        Ok(())
    }

    /// Whether somebody else copies what is left of the snapshot under way.
    fn waits_for_snapshot(&self) -> bool {
        let snapshots = self.snapshots.as_ref();
        snapshots.is_some_and(|snapshots| snapshots.waits(&self.chain))
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        self.chain.flush()?;
        self.unflushed = false;
        self.last_flush = self.clock.now();
        Ok(())
    }

    fn flush_if_due(&mut self) -> Result<(), TaskError> {
        let now = self.clock.now();
        self.measure_if_due(now);
        if now.since(self.last_flush) >= self.buffer_timeout {
            self.flush()?;
        }
        Ok(())
    }

    fn measure_if_due(&mut self, now: Timestamp) {
        if now.since(self.measured) >= MEASURE_INTERVAL {
            self.measured = now;
            self.chain.measure_state();
        }
    }

    /// Waits for mail, input, the next timer, or the end of `rest`.
    fn wait(&mut self, rest: Option<Duration>) {
        let due = self.chain.next_processing_time();
        let reading = self.phase == Phase::Reading;
        let due = due.filter(|_| reading);
        let timer = due.map(|due| {
            let ms = due.saturating_sub(self.clock.unix_ms());
            Duration::from_millis(u64::try_from(ms).unwrap_or(0))
        });
        let ahead = self.snapshots.as_ref().filter(|_| reading);
        let ahead = ahead.and_then(Snapshots::due_in);
        let limit = [rest, timer, ahead].into_iter().flatten().min();
        let now = self.clock.now();
        self.measure_if_due(now);
        self.chain.metrics.times.idle_from(now);
        self.cancel.signal().wait(limit);
        self.chain.metrics.times.idle_until(self.clock.now());
    }
}
