//! The JobMaster: takes TaskManagers in, places the job's subtasks into their slots, and follows
//! the job to its end (Flink's `JobMaster` with `DefaultScheduler`).
//!
//! It is pure: an [`Event`] goes in, [`Action`]s come out, time is an argument. What an execution
//! may do next is the business of [`ExecutionGraph`]; here is who runs it.
//!
//! ```text
//!   new ──▶ prepares sources and sinks ┐
//!           waits for slots ───────────┴──▶ deploys ──▶ follows ──▶ End(result)
//!                 │ time-out, bad source       │ fault, lost TaskManager   ▲
//!                 └──────────────┬─────────────┘                           │
//!                                └──▶ cancels the rest, waits for it ──────┘
//! ```
//!
//! It always comes to an end once it is failing or cancelled: a TaskManager that does not stop its
//! tasks in time counts as lost, and what ran there as stopped. A job that may be restarted goes
//! back to waiting for slots instead; see `restarts`. Its checkpoints are in `checkpoints`, its end
//! with them in `ending`.

mod checkpoints;
mod ending;
mod event;
mod messages;
mod metrics;
mod operations;
mod restarts;
mod schedule;
mod splits;
mod start;
mod view;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use weir_checkpoint::coordinator;
use weir_graph::{
    ExecutionGraph, ExecutionOptions, ExecutionState, Fingerprint, JobGraph, JobStatus, NodeId,
    Update,
};
use weir_rpc::{CommitRequest, ConnectionId, Fenced, JobResult, TaskExecutorCommand};
use weir_types::{
    Epoch, ExecutionAttemptId, Fault, FaultClass, FaultScope, JobId, TaskManagerId, Timestamp,
};

use crate::failover::{Failover, FailoverStrategy};
use crate::random::Random;
use crate::restart_strategy::{RestartBackoff, RestartStrategy};
use crate::slot_pool::SlotPool;
use crate::taskmanagers::{Machine, TaskManagers};

pub use checkpoints::Checkpoints;
use ending::Withdrawal;
pub use event::{Action, Event, Now, Preparation};
use metrics::JobMetrics;
use restarts::PendingRestart;
pub use start::CheckpointStart;

/// What a JobMaster knows from the start.
pub struct JobMasterConfig {
    /// The job's id.
    pub id: JobId,
    /// What people call it.
    pub name: String,
    /// What is to run.
    pub job_graph: JobGraph,
    /// What TaskManagers must have built.
    pub fingerprint: Fingerprint,
    /// The run of the job that this is. Messages of another are refused.
    pub epoch: Epoch,
    /// The operation that started the job. TaskManagers of another are refused.
    pub deployment: u64,
    /// What has to be ready before anything is deployed.
    pub preparations: BTreeSet<Preparation>,
    /// Where TaskManagers are to be pointed, for the message that asks for more.
    pub rpc_address: Option<String>,
    /// How often TaskManagers hear that it lives.
    pub heartbeat_interval: Duration,
    /// After how long a silence a TaskManager is lost.
    pub heartbeat_timeout: Duration,
    /// How long the job waits for enough slots before it fails.
    pub slot_request_timeout: Duration,
    /// How often it says that it waits.
    pub waiting_message_interval: Duration,
    /// How long TaskManagers have for stopping tasks, before they count as lost.
    pub cancellation_timeout: Duration,
    /// Whether, and when, what failed is started again.
    pub restart: RestartStrategy,
    /// What is started again with it.
    pub failover: FailoverStrategy,
    /// How long a machine at fault is used last.
    pub block_time: Duration,
    /// Randomness, for jitter.
    pub random_seed: u64,
}

/// One job and those who run it.
pub struct JobMaster {
    config: JobMasterConfig,
    graph: ExecutionGraph,
    task_managers: TaskManagers,
    slots: SlotPool,
    metrics: JobMetrics,
    /// What is not ready yet.
    preparations: BTreeSet<Preparation>,
    /// Since when the job has been waiting for slots, if it is.
    waiting_since: Timestamp,
    submitted_at_ms: i64,
    last_beat: Timestamp,
    last_waiting_message: Option<Timestamp>,
    /// Since when tasks are being stopped.
    stopping_since: Option<Timestamp>,
    /// The results of a job that did not finish are being taken back, or have been.
    withdrawal: Option<Withdrawal>,
    result: Option<JobResult>,
    failover: Failover,
    backoff: RestartBackoff,
    restart: Option<PendingRestart>,
    /// How often something was restarted, by the class of the fault.
    restarts: Vec<(FaultClass, u64)>,
    checkpoints: Option<Checkpoints>,
    /// How often each source's enumerator was made anew.
    source_lives: BTreeMap<NodeId, u32>,
    /// Machines at fault, and until when.
    blocked: BTreeMap<Machine, Timestamp>,
    random: Random,
}

impl JobMaster {
    /// A job that waits for its sources and for slots, and what to do first.
    pub fn new(
        config: JobMasterConfig,
        checkpoints: Option<Checkpoints>,
        now: Now,
    ) -> (Self, Vec<Action>) {
        let backoff = RestartBackoff::new(config.restart);
        let options = ExecutionOptions {
            restarts: backoff.may_restart(),
            checkpoints: checkpoints.is_some(),
        };
        let mut graph = ExecutionGraph::new(config.job_graph.clone(), config.epoch, now.unix_ms)
            .with_options(options);
        let update = graph.schedule(now.unix_ms);
        let update = update.expect("a job that was just created can be scheduled");
        let mut master = Self {
            preparations: config.preparations.clone(),
            task_managers: TaskManagers::new(config.deployment),
            slots: SlotPool::default(),
            metrics: JobMetrics::default(),
            waiting_since: now.at,
            submitted_at_ms: now.unix_ms,
            last_beat: now.at,
            last_waiting_message: None,
            stopping_since: None,
            withdrawal: None,
            result: None,
            failover: Failover::new(config.failover, &config.job_graph),
            backoff,
            restart: None,
            restarts: Vec::new(),
            checkpoints,
            source_lives: BTreeMap::new(),
            blocked: BTreeMap::new(),
            random: Random::new(config.random_seed),
            graph,
            config,
        };
        let mut actions: Vec<Action> = master.prepare_next().collect();
        master.follow(update, now, &mut actions);
        (master, actions)
    }

    fn prepare_next(&self) -> impl Iterator<Item = Action> + use<'_> {
        self.next_preparations().map(|what| match what {
            Preparation::Source(node) => Action::PrepareSource {
                node,
                restore: self.enumerator_restore(node),
            },
            Preparation::Sink(_) => Action::Prepare(what),
        })
    }

    /// What can be prepared now: sinks only once every source is ready. A sink's check may remove
    /// an earlier run's results, which must not be lost to a run that has nothing to read.
    fn next_preparations(&self) -> impl Iterator<Item = Preparation> + use<'_> {
        let sources = self.preparations.iter().any(|what| what.is_source());
        let all = self.preparations.iter().copied();
        all.filter(move |what| what.is_source() == sources)
    }

    /// What happened, and what is to be done about it. Actions are to be carried out in order.
    pub fn on_event(&mut self, now: Now, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Tick => self.tick(now, &mut actions),
            Event::Register {
                connection,
                registration,
            } => {
                self.register(now, connection, registration, &mut actions);
            }
            Event::Message {
                connection,
                message,
            } => {
                self.message(now, connection, *message, &mut actions);
            }
            Event::Disconnected { connection, reason } => {
                if let Some(id) = self.task_managers.of_connection(connection).map(|tm| tm.id) {
                    self.lose(now, id, &reason, &mut actions);
                }
            }
            Event::Prepared { what, life, result } => {
                self.prepared(now, (what, life), result, &mut actions);
            }
            Event::SplitFound {
                attempt,
                node,
                life,
                response,
            } => {
                if life != self.life_of(node) {
                    // The enumerator that found it is gone, and with it what it handed out.
                    return actions;
                }
                match response {
                    Ok(response) => self.hand_out(attempt, node, response, &mut actions),
                    Err(fault) => self.fail(now, fault, &mut actions),
                }
            }
            Event::EnumeratorState { id, node, result } => {
                self.enumerator_state(now, (id, node), result, &mut actions);
            }
            Event::MetadataWritten { id, result } => {
                let event = coordinator::Event::MetadataWritten { id, result };
                self.tell_coordinator(now, event, &mut actions);
            }
            Event::PointerWritten { nonce, outcome } => {
                let event = coordinator::Event::PointerWritten { nonce, outcome };
                self.tell_coordinator(now, event, &mut actions);
                self.restart_if_possible(now, &mut actions);
            }
            Event::Collected(new) => self.collected(new),
            Event::Cleared => self.cleared(now, &mut actions),
            Event::Withdrawn => self.withdrawn(now, &mut actions),
            Event::CancelAndKeep => {
                self.keep_checkpoints();
                return self.on_event(now, Event::Cancel);
            }
            Event::Cancel => {
                if let Ok(update) = self.graph.cancel(now.unix_ms) {
                    self.follow(update, now, &mut actions);
                }
            }
        }
        actions
    }

    /// A source or sink is ready, or is not: unless it is a source's enumerator that was made anew
    /// since. What that was says nothing of its successor.
    fn prepared(
        &mut self,
        now: Now,
        (what, life): (Preparation, u32),
        result: Result<(), Fault>,
        actions: &mut Vec<Action>,
    ) {
        if let Preparation::Source(node) = what
            && life != self.life_of(node)
        {
            return;
        }
        match result {
            Ok(()) => {
                self.preparations.remove(&what);
                if what.is_source() && self.is_waiting() {
                    let sinks = self.next_preparations().filter(|next| !next.is_source());
                    actions.extend(sinks.map(Action::Prepare));
                }
                self.deploy_if_possible(now, actions);
            }
            Err(fault) => self.fail(now, fault, actions),
        }
    }

    /// How often a source's enumerator was made anew.
    fn life_of(&self, source: NodeId) -> u32 {
        self.source_lives.get(&source).copied().unwrap_or(0)
    }

    /// How the job ended, once it has.
    pub fn result(&self) -> Option<&JobResult> {
        self.result.as_ref()
    }

    /// The job.
    pub(crate) fn id(&self) -> JobId {
        self.config.id
    }

    /// Whether this is the current attempt of a subtask that is placed on this TaskManager.
    fn runs_on(&self, attempt: ExecutionAttemptId, id: TaskManagerId) -> bool {
        self.execution(attempt)
            .and_then(|execution| execution.slot)
            .is_some_and(|slot| slot.task_manager == id)
    }

    fn is_live(&self, attempt: ExecutionAttemptId) -> bool {
        self.execution(attempt)
            .is_some_and(|execution| execution.state.is_deployed())
    }

    fn fail(&mut self, now: Now, fault: Fault, actions: &mut Vec<Action>) {
        if self.result.is_none() {
            let update = self.graph.fail(fault, now.unix_ms);
            self.follow(update, now, actions);
        }
    }

    /// Gives a TaskManager up, with all that ran on it.
    fn lose(&mut self, now: Now, id: TaskManagerId, reason: &str, actions: &mut Vec<Action>) {
        let Some(lost) = self.task_managers.remove(id) else {
            return;
        };
        actions.push(Action::HangUp {
            connection: lost.connection,
        });
        self.slots.remove(id);
        if self.result.is_some() {
            return;
        }
        let name = lost.name;
        actions.push(Action::Say(format!(
            "TaskManager `{name}` is lost: {reason}"
        )));
        let fault = Fault {
            class: FaultClass::Recoverable,
            scope: FaultScope::TaskManager(id),
            cause: format!(
                "TaskManager `{name}` is lost: {reason}; its own log may say why, but ends without \
                 a word if it was killed, for example because memory ran out: `dmesg` there or \
                 `kubectl describe pod` tells"
            ),
        };
        // Tasks that are being stopped already do not fail with it. But a failure that only tells
        // of missing data may be explained by it.
        let stopping = self.graph.executions().iter().any(|execution| {
            execution.state == ExecutionState::Canceling
                && execution.slot.is_some_and(|slot| slot.task_manager == id)
        });
        if stopping && self.graph.status() == JobStatus::Failing {
            let update = self.graph.fail(fault.clone(), now.unix_ms);
            self.follow(update, now, actions);
        }
        let update = self.graph.lose_task_manager(id, &fault, now.unix_ms);
        self.follow(update, now, actions);
    }

    fn follow_if_valid(
        &mut self,
        update: Result<Update, weir_graph::UpdateError>,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        match update {
            Ok(update) => self.follow(update, now, actions),
            // What is stale or late is expected after a failure, and says nothing about the job.
            Err(error) => actions.push(Action::Note(error.to_string())),
        }
    }

    /// Carries on from what has changed in the graph.
    fn follow(&mut self, update: Update, now: Now, actions: &mut Vec<Action>) {
        for &attempt in &update.cancel {
            self.tell_attempt(attempt, TaskExecutorCommand::Cancel(attempt), actions);
        }
        for &attempt in &update.publish {
            let command = TaskExecutorCommand::Commit {
                attempt,
                commit: CommitRequest::Final,
            };
            self.tell_attempt(attempt, command, actions);
        }
        for &status in &update.job {
            actions.push(Action::Say(format!(
                "job `{}` is {status}",
                self.config.name
            )));
            if matches!(status, JobStatus::Failing | JobStatus::Cancelling) {
                self.stopping_since.get_or_insert(now.at);
            }
        }
        if !update.failed.is_empty() {
            self.on_failures(now, &update.failed, actions);
        }
        if update
            .job
            .iter()
            .any(|status| matches!(status, JobStatus::Failing | JobStatus::Cancelling))
        {
            self.interrupt_checkpoints(now, "the job is ending", actions);
        }
        self.restart_if_possible(now, actions);
        self.watch_progress(now, actions);
        self.end_if_over(now, actions);
    }

    /// Ends when all tasks have, and the pointer says so.
    pub(super) fn end_if_over(&mut self, now: Now, actions: &mut Vec<Action>) {
        if self.graph.status().is_terminal()
            && self.result.is_none()
            && self.nothing_is_half_published(now, actions)
            && self.end_is_recorded(now, actions)
            && self.result.is_none()
        {
            self.end(actions);
        }
    }

    fn end(&mut self, actions: &mut Vec<Action>) {
        // What the pointer says of the job's end counts, whatever has failed since.
        let checkpoints = self.checkpoints.as_ref();
        let recorded = checkpoints.is_some_and(|checkpoints| checkpoints.end.is_some());
        let result = match self.graph.status() {
            _ if recorded => JobResult::Finished,
            JobStatus::Finished => JobResult::Finished,
            JobStatus::Failed => JobResult::Failed(self.root_cause()),
            _ => JobResult::Canceled,
        };
        self.slots.release_all();
        for connection in self
            .task_managers
            .iter()
            .map(|tm| tm.connection)
            .collect::<Vec<_>>()
        {
            actions.push(self.tell(connection, TaskExecutorCommand::JobEnded(result.clone())));
        }
        self.result = Some(result.clone());
        actions.push(Action::End(result));
    }

    fn root_cause(&self) -> Fault {
        self.graph.root_cause().map_or_else(
            || Fault::job(FaultClass::Recoverable, "the cause was not recorded"),
            |record| record.fault.clone(),
        )
    }

    fn tell(&self, connection: ConnectionId, command: TaskExecutorCommand) -> Action {
        Action::Tell {
            connection,
            command: Fenced::new(self.config.epoch, command),
        }
    }

    fn tell_attempt(
        &self,
        attempt: ExecutionAttemptId,
        command: TaskExecutorCommand,
        actions: &mut Vec<Action>,
    ) {
        // Who asked may be gone, and its TaskManager lost.
        let Some(execution) = self.execution(attempt) else {
            return;
        };
        let Some(slot) = execution.slot else { return };
        if let Some(task_manager) = self.task_managers.get(slot.task_manager) {
            actions.push(self.tell(task_manager.connection, command));
        }
    }

    fn execution(&self, attempt: ExecutionAttemptId) -> Option<&weir_graph::ExecutionVertex> {
        let id = weir_graph::ExecutionVertexId {
            vertex: attempt.vertex,
            subtask: attempt.subtask,
        };
        self.graph
            .execution(id)
            .filter(|execution| execution.attempt == attempt)
    }
}
