//! The subtask: one OS thread that runs one operator chain, and its connections to its neighbours.
//!
//! [`launch`] starts the thread; a [`TaskHandle`] steers it; [`TaskEvents`] hears of it. Who
//! scheduled it, and why, is not known here.
//!
//! ```text
//!      mail (trigger, abort, commit, splits), cancel
//!                     │
//!  InputGate ─▶ one loop ─▶ operator ─▶ operator ─▶ ResultPartition
//!  or source          │        (direct calls)
//!                     └─▶ uploader ─▶ objects of checkpoints
//! ```
//!
//! In a job with checkpoints ([`TaskCheckpoints`]) it aligns barriers, takes snapshots and has a
//! second thread store them, goes on from a checkpoint if the deployment names one, and ends only
//! after the last checkpoint is complete and its results are committed.
//!
//! Failure story: an error or a panic anywhere on the thread ends this subtask alone, with a
//! `Fault` that holds the chain of causes. Its partitions tell their consumers, whose own failures
//! are marked as consequences, so that the first cause stays visible.

mod chain;
mod copies;
mod deployment;
mod fault;
mod mailbox;
mod metrics;
mod pace;
mod panics;
mod restore;
mod run;
mod setup;
mod snapshot;
mod state_types;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use weir_checkpoint::coordinator::Then;
use weir_checkpoint::handle::{ObjectRef, SubtaskRestore};
use weir_graph::NodeId;
use weir_network::{CancelToken, SenderContext, Signal};
use weir_stream::source::SplitAnswer;
use weir_types::{CheckpointBarrier, CheckpointId, ExecutionAttemptId, Fault, FaultClass};

use crate::chain::OperatorChain;
use crate::mailbox::{Mail, Mailbox};
use crate::restore::{RestoreError, Restored, Sources};
use crate::run::{Phase, TaskError, TaskLoop};
use crate::setup::{Context, Intake};
use crate::snapshot::Snapshots;

pub use copies::LocalCopies;
pub use deployment::{
    ExecutionState, InputDeployment, OpenBase, ProducerLocation, Program, TaskCheckpoints,
    TaskDeployment, TaskEnvironment, TaskEvents,
};
pub use mailbox::TaskCommit;
pub use metrics::{
    ChainedOperatorMetrics, Counter, RestoredBytes, TaskMetrics, TaskTimes, TimesSpent,
};
pub use setup::SetupError;
pub use state_types::{FormerTypes, StateTypesError, check_state_types, former_types};

/// Rows that a router gathers are sent off after this time at the latest, as in Flink.
const BUFFER_TIMEOUT: Duration = Duration::from_millis(100);

/// Steers a subtask from outside.
#[derive(Clone)]
pub struct TaskHandle {
    attempt: ExecutionAttemptId,
    mailbox: Mailbox,
    cancel: CancelToken,
    metrics: Arc<TaskMetrics>,
}

impl TaskHandle {
    /// Who it is.
    pub fn attempt(&self) -> ExecutionAttemptId {
        self.attempt
    }

    /// Stops it, wherever it waits. It reports `Canceled` when it has released everything.
    pub fn cancel(&self) {
        self.cancel.cancel();
        self.mailbox.call();
    }

    /// A checkpoint has completed, or the job without checkpoints has come to its end: its sinks
    /// make their results visible.
    pub fn commit(&self, commit: TaskCommit) {
        self.mailbox.put(Mail::Commit(commit));
    }

    /// Begins a checkpoint, if it is a source.
    pub fn trigger(&self, barrier: CheckpointBarrier, then: Then) {
        self.mailbox.put(Mail::Trigger(barrier, then));
    }

    /// A checkpoint will never be complete.
    pub fn abort_checkpoint(&self, id: CheckpointId) {
        self.mailbox.put(Mail::Abort(id));
    }

    /// Answers the request of one of its sources.
    pub fn split_answer(&self, node: NodeId, answer: SplitAnswer) {
        self.mailbox.put(Mail::Split(node, answer));
    }

    /// Its counters.
    pub fn metrics(&self) -> &Arc<TaskMetrics> {
        &self.metrics
    }
}

/// Starts a subtask. An error means that it was never started.
pub fn launch(
    deployment: TaskDeployment,
    program: Arc<Program>,
    environment: TaskEnvironment,
) -> Result<TaskHandle, Fault> {
    let attempt = deployment.attempt;
    let cancel = CancelToken::new(Signal::new());
    let mailbox = Mailbox::new(Arc::clone(cancel.signal()));
    let refuse =
        |error: &SetupError| Fault::task(FaultClass::NonRecoverable, attempt, error.to_string());
    let Some(vertex) = program.job_graph.vertex(attempt.vertex) else {
        return Err(refuse(&SetupError::UnknownVertex(attempt)));
    };
    let sender = SenderContext::new(cancel.clone(), Arc::clone(&environment.clock));
    let context = Context {
        deployment: &deployment,
        vertex,
        program: &program,
        environment: &environment,
        cancel: &cancel,
    };
    let metrics = context.metrics(&sender);
    // Partitions are registered before this returns: a consumer that is deployed next finds them.
    let chain = context
        .chain(Arc::clone(&metrics), &sender)
        .map_err(|error| refuse(&error))?;
    let intake = context.intake(&metrics).map_err(|error| refuse(&error))?;
    let outputs = program
        .job_graph
        .result_partitions(attempt.vertex, attempt.subtask);
    let buffer_timeout = outputs
        .iter()
        .filter_map(|output| output.buffer_timeout_ms.map(Duration::from_millis))
        .min()
        .unwrap_or(BUFFER_TIMEOUT);
    let no_thread = |error: std::io::Error| {
        let cause = format!("start a thread for subtask {attempt}: {error}");
        Fault::task(FaultClass::Environment, attempt, cause)
    };
    let snapshots = context.snapshots(&metrics).map_err(no_thread)?;
    let TaskDeployment { restore, .. } = deployment;
    let task = TaskLoop {
        attempt,
        chain,
        mailbox: mailbox.clone(),
        cancel: cancel.clone(),
        clock: Arc::clone(&environment.clock),
        events: Arc::clone(&environment.events),
        buffer_timeout,
        commits: vertex.commits,
        snapshots,
        restored_ended: restore.as_ref().is_some_and(|restore| restore.ended),
        phase: Phase::Reading,
        last_flush: environment.clock.now(),
        measured: environment.clock.now(),
        unflushed: false,
    };
    let restoring = Restoring {
        restore,
        config: environment.checkpoints.clone(),
    };
    let place = format!(
        "{} ({}/{})",
        vertex.name,
        attempt.subtask.0 + 1,
        vertex.parallelism
    );
    thread::Builder::new()
        .name(format!("{}/{}", short(&vertex.name), attempt.subtask))
        .spawn(move || live(task, intake, restoring, &place))
        .map_err(no_thread)?;
    Ok(TaskHandle {
        attempt,
        mailbox,
        cancel,
        metrics,
    })
}

/// Linux shows 15 bytes of a thread's name.
fn short(name: &str) -> String {
    name.chars()
        .filter(|c| !c.is_whitespace())
        .take(11)
        .collect()
}

/// What a subtask goes on from, if from anything, and how that is read.
struct Restoring {
    restore: Option<SubtaskRestore>,
    config: Option<Arc<TaskCheckpoints>>,
}

impl Restoring {
    fn run(
        &self,
        chain: &mut OperatorChain,
        intake: &mut Intake,
    ) -> Result<Restored, RestoreError> {
        if let Some(copies) = self.copies() {
            copies.restoring(self.restore.as_ref().map(|state| state.checkpoint));
        }
        let Some(state) = &self.restore else {
            return Ok(Restored::default());
        };
        let config = self.config.as_deref();
        match intake {
            Intake::Source { source, .. } => {
                restore::restore(state, config, chain, Some(source.as_mut()))
            }
            Intake::Gate(_) => restore::restore(state, config, chain, None),
        }
    }

    fn copies(&self) -> Option<&LocalCopies> {
        self.config.as_deref()?.copies.as_deref()
    }

    /// The state that was read can be used.
    fn tell(&self, place: &str, sources: Sources, took: Duration) {
        let Some(state) = &self.restore else {
            return;
        };
        let (
            checkpoint,
            Sources {
                local_bytes,
                store_bytes,
            },
        ) = (state.checkpoint, sources);
        tracing::info!(
            "{place}: restored from checkpoint {checkpoint} in {took:.1?}: {local_bytes} bytes from \
             local copies, {store_bytes} from the store"
        );
    }

    /// Whoever starts again here must not begin with what the failure may come from.
    fn distrust(&self, unproven: &[ObjectRef]) {
        if let Some(copies) = self.copies() {
            let why = "a subtask that began with it has failed";
            unproven
                .iter()
                .for_each(|object| copies.distrust(object, why));
        }
    }
}

/// The thread of a subtask, from its first state to its last.
fn live(mut task: TaskLoop, mut intake: Intake, mut restoring: Restoring, place: &str) {
    let (attempt, events) = (task.attempt, Arc::clone(&task.events));
    events.state_changed(attempt, ExecutionState::Initializing, None);
    let mut unproven = Vec::new();
    let outcome = panics::catch(|| -> Result<(), TaskError> {
        let began = task.clock.now();
        let restored = restoring.run(&mut task.chain, &mut intake)?;
        unproven = restored.unproven;
        task.chain.open()?;
        if let Some(snapshots) = &task.snapshots {
            snapshots.give_way(&task.chain.metrics);
        }
        drop(restored.files);
        task.chain.measure_state();
        let now = task.clock.now();
        task.chain.metrics.restored.set(restored.sources);
        restoring.tell(place, restored.sources, now.since(began));
        // It may hold the operator state of all former subtasks, and all of it has been read.
        restoring.restore = None;
        events.state_changed(attempt, ExecutionState::Running, None);
        task.chain.metrics.times.begin(now);
        task.run(intake)
    });
    task.chain.metrics.times.end(task.clock.now());
    if matches!(outcome, Ok(Ok(()))) {
        task.chain.measure_state();
    }
    let confirmed = task
        .snapshots
        .as_ref()
        .is_some_and(Snapshots::has_confirmed);
    if fault::casts_doubt_on_state(&outcome, confirmed) {
        restoring.distrust(&unproven);
    }
    let closed = panics::catch(|| task.chain.close());
    let (state, fault) = match fault::of_outcome(outcome, closed) {
        fault::Outcome::Finished => (ExecutionState::Finished, None),
        fault::Outcome::Canceled => (ExecutionState::Canceled, None),
        fault::Outcome::Failed(class, cause) => {
            for partition in &mut task.chain.partitions {
                partition.close(&cause);
            }
            let fault = Fault::task(class, attempt, format!("{place}: {cause}"));
            (ExecutionState::Failed, Some(fault))
        }
    };
    // Everything is released before anybody hears that it ended.
    drop(task);
    events.state_changed(attempt, state, fault);
}

#[cfg(test)]
mod tests;
