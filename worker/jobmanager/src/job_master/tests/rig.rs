//! A JobMaster with a clock and TaskManagers that do only what a test says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use weir_graph::StreamGraph;
use weir_rpc::{
    Durations, OperatorMetricsReport, PROTOCOL_VERSION, TaskDeploymentDescriptor,
    TaskMetricsReport, VERSION,
};

use super::*;
use crate::fixtures::fingerprint;

/// source -> split =hash=> count -> sink, the sink has to be told to publish.
pub(super) fn wordcount(parallelism: u32) -> StreamGraph {
    let settings = Settings {
        parallelism,
        ..Settings::default()
    };
    let mut builder = StreamGraphBuilder::new("wordcount", settings);
    let mut source = NodeSpec::source("source: file", "String");
    source.bounded = true;
    let source = builder.add_node(source);
    let split = builder.add_node(NodeSpec::operator("split", ["String"], "(String, u64)"));
    let count = builder.add_node(NodeSpec::operator(
        "count",
        ["(String, u64)"],
        "(String, u64)",
    ));
    let mut sink = NodeSpec::sink("sink: file", "(String, u64)");
    sink.commits = true;
    let sink = builder.add_node(sink);
    builder.add_edge(EdgeSpec::new(source, split));
    builder.add_edge(EdgeSpec::new(split, count).partitioned(Partitioner::Hash));
    builder.add_edge(EdgeSpec::new(count, sink));
    builder.build().expect("a graph")
}

pub(super) fn config(graph: &StreamGraph) -> JobMasterConfig {
    let job_graph = JobGraph::from_stream_graph(graph);
    let heads = job_graph
        .vertices
        .iter()
        .filter(|vertex| vertex.is_source());
    JobMasterConfig {
        id: JobId(1),
        name: "wordcount".to_owned(),
        preparations: heads
            .map(|vertex| Preparation::Source(vertex.head().node))
            .collect(),
        job_graph,
        fingerprint: fingerprint(),
        epoch: Epoch(1),
        deployment: 1,
        rpc_address: Some("127.0.0.1:6123".to_owned()),
        heartbeat_interval: Duration::from_secs(1),
        heartbeat_timeout: Duration::from_secs(10),
        slot_request_timeout: Duration::from_secs(300),
        waiting_message_interval: Duration::from_secs(5),
        cancellation_timeout: Duration::from_secs(30),
        restart: RestartStrategy::None,
        failover: FailoverStrategy::Region,
        block_time: Duration::from_secs(60),
        random_seed: 1,
    }
}

/// Each on a machine of its own.
pub(super) fn registration(id: u128, slots: u32) -> Registration {
    registration_at(id, slots, id)
}

pub(super) fn registration_at(id: u128, slots: u32, machine: u128) -> Registration {
    Registration {
        protocol: PROTOCOL_VERSION,
        version: VERSION.to_owned(),
        id: TaskManagerId(id),
        name: format!("host-{id}"),
        deployment: 1,
        slots,
        data_address: format!("10.0.0.{machine}:{}", 1000 + id).parse().ok(),
    }
}

/// `records_out` records written; the head operator has read ten times as many.
pub(super) fn report(attempt: ExecutionAttemptId, records_out: u64) -> TaskMetricsReport {
    TaskMetricsReport {
        attempt,
        records_in: 0,
        records_out,
        bytes_in: 0,
        bytes_out: 0,
        busy_ns: 1,
        idle_ns: 1,
        backpressured_ns: 0,
        restored_local_bytes: 0,
        restored_store_bytes: 0,
        queue_bytes: 0,
        event_time_lag_ms: None,
        watermark: None,
        operators: vec![OperatorMetricsReport {
            node: NodeId(0),
            records_in: records_out * 10,
            records_out,
            late_records: 0,
            skipped_records: 0,
            state_bytes: 0,
            commits: Durations::default(),
        }],
        state: Vec::new(),
    }
}

pub(super) struct Rig {
    pub(super) master: JobMaster,
    ms: u64,
    /// The connection of each TaskManager that was taken in.
    connections: BTreeMap<TaskManagerId, ConnectionId>,
    silent: BTreeSet<TaskManagerId>,
    next_connection: u64,
    /// All actions since the test last cleared it.
    pub(super) log: Vec<Action>,
    /// All commands ever, by the connection that they went to.
    commands: Vec<(ConnectionId, TaskExecutorCommand)>,
}

impl Rig {
    pub(super) fn new(graph: StreamGraph) -> Self {
        Self::with(config(&graph), None)
    }

    pub(super) fn with(config: JobMasterConfig, checkpoints: Option<Checkpoints>) -> Self {
        let now = Now {
            at: Timestamp(0),
            unix_ms: 0,
        };
        let (master, log) = JobMaster::new(config, checkpoints, now);
        Self {
            master,
            ms: 0,
            connections: BTreeMap::new(),
            silent: BTreeSet::new(),
            next_connection: 0,
            log,
            commands: Vec::new(),
        }
    }

    /// A job whose tasks all run, one slot a TaskManager.
    pub(super) fn running(graph: StreamGraph) -> Self {
        Self::new(graph).run()
    }

    pub(super) fn run(self) -> Self {
        let mut rig = self;
        rig.prepare_all();
        for id in 1..=rig.master.graph.job().slots_needed() {
            rig.take_in(id as u128, 1);
        }
        rig.run_all();
        rig
    }

    pub(super) fn run_all(&mut self) {
        for task in self.deployed() {
            self.state(task.attempt, ExecutionState::Initializing);
            self.state(task.attempt, ExecutionState::Running);
        }
    }

    pub(super) fn now(&self) -> Now {
        let unix_ms = i64::try_from(self.ms).expect("a test is short");
        Now {
            at: Timestamp(self.ms * 1_000_000),
            unix_ms,
        }
    }

    pub(super) fn event(&mut self, event: Event) -> Vec<Action> {
        let actions = self.master.on_event(self.now(), event);
        for action in &actions {
            if let Action::Tell {
                connection,
                command,
            } = action
            {
                let command = command
                    .clone()
                    .open(Epoch(1))
                    .expect("the JobMaster's own epoch");
                self.commands.push((*connection, command));
            }
        }
        self.log.extend(actions.clone());
        actions
    }

    pub(super) fn prepare_all(&mut self) -> Vec<Action> {
        let preparations = self.master.preparations.clone().into_iter();
        let done = preparations.map(|what| {
            let life = self.master.life_of(what.node());
            (what, life)
        });
        let done: Vec<_> = done.collect();
        done.into_iter()
            .flat_map(|(what, life)| self.prepared(what, life, Ok(())))
            .collect()
    }

    pub(super) fn prepared(
        &mut self,
        what: Preparation,
        life: u32,
        result: Result<(), Fault>,
    ) -> Vec<Action> {
        self.event(Event::Prepared { what, life, result })
    }

    pub(super) fn register(&mut self, registration: Registration) -> Vec<Action> {
        let (id, connection) = (registration.id, ConnectionId(self.next_connection));
        self.next_connection += 1;
        let actions = self.event(Event::Register {
            connection,
            registration,
        });
        if actions.contains(&Action::Accept { connection }) {
            self.connections.insert(id, connection);
        }
        actions
    }

    pub(super) fn ready(&mut self, id: u128) -> Vec<Action> {
        self.message(
            id,
            TaskManagerMessage::Ready {
                fingerprint: fingerprint(),
            },
        )
    }

    pub(super) fn take_in(&mut self, id: u128, slots: u32) {
        self.register(registration(id, slots));
        self.ready(id);
    }

    /// The same, on a machine where there may be others.
    pub(super) fn take_in_at(&mut self, id: u128, slots: u32, machine: u128) {
        self.register(registration_at(id, slots, machine));
        self.ready(id);
    }

    pub(super) fn message(&mut self, id: u128, message: TaskManagerMessage) -> Vec<Action> {
        self.raw_message(TaskManagerId(id), Fenced::new(Epoch(1), message))
    }

    pub(super) fn raw_message(
        &mut self,
        id: TaskManagerId,
        message: Fenced<TaskManagerMessage>,
    ) -> Vec<Action> {
        let connection = self.connections[&id];
        self.event(Event::Message {
            connection,
            message: Box::new(message),
        })
    }

    /// From the TaskManager where the attempt runs.
    pub(super) fn message_of(
        &mut self,
        attempt: ExecutionAttemptId,
        message: TaskManagerMessage,
    ) -> Vec<Action> {
        self.message(self.home(attempt).0, message)
    }

    pub(super) fn state_by(
        &mut self,
        id: TaskManagerId,
        attempt: ExecutionAttemptId,
        state: ExecutionState,
    ) -> Vec<Action> {
        let (fault, metrics) = (None, None);
        self.message(
            id.0,
            TaskManagerMessage::TaskState {
                attempt,
                state,
                fault,
                metrics,
            },
        )
    }

    pub(super) fn state(
        &mut self,
        attempt: ExecutionAttemptId,
        state: ExecutionState,
    ) -> Vec<Action> {
        self.state_by(self.home(attempt), attempt, state)
    }

    pub(super) fn fail(&mut self, attempt: ExecutionAttemptId, cause: &str) -> Vec<Action> {
        let message = TaskManagerMessage::TaskState {
            attempt,
            state: ExecutionState::Failed,
            fault: Some(Fault::task(FaultClass::Recoverable, attempt, cause)),
            metrics: None,
        };
        self.message_of(attempt, message)
    }

    pub(super) fn end_of_input(&mut self, attempt: ExecutionAttemptId) {
        self.message_of(attempt, TaskManagerMessage::EndOfInput { attempt });
    }

    pub(super) fn disconnect(&mut self, id: TaskManagerId) {
        let connection = self.connections[&id];
        let reason = "its connection was closed".to_owned();
        self.event(Event::Disconnected { connection, reason });
    }

    /// The connection that asked last goes away.
    pub(super) fn disconnect_last(&mut self) {
        let connection = ConnectionId(self.next_connection - 1);
        self.event(Event::Disconnected {
            connection,
            reason: "gone".to_owned(),
        });
    }

    /// The TaskManager sends no heartbeats from now on.
    pub(super) fn silence(&mut self, id: TaskManagerId) {
        self.silent.insert(id);
    }

    /// Lets time pass in steps of half a second, with heartbeats.
    pub(super) fn pass_ms(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(500) {
            self.ms += 500;
            let alive: Vec<_> = self
                .connections
                .keys()
                .filter(|id| !self.silent.contains(id))
                .copied()
                .collect();
            for id in alive {
                self.message(id.0, TaskManagerMessage::Heartbeat { tasks: Vec::new() });
            }
            self.event(Event::Tick);
        }
    }

    pub(super) fn deployed(&self) -> Vec<TaskDeploymentDescriptor> {
        let deployed = self
            .commands
            .iter()
            .filter_map(|(_, command)| match command {
                TaskExecutorCommand::Deploy(task) => Some(task.as_ref().clone()),
                _ => None,
            });
        deployed.collect()
    }

    pub(super) fn cancelled(&self) -> Vec<ExecutionAttemptId> {
        let cancelled = self
            .commands
            .iter()
            .filter_map(|(_, command)| match command {
                TaskExecutorCommand::Cancel(attempt) => Some(*attempt),
                _ => None,
            });
        cancelled.collect()
    }

    pub(super) fn commits(&self) -> Vec<ExecutionAttemptId> {
        let commits = self
            .commands
            .iter()
            .filter_map(|(_, command)| match command {
                TaskExecutorCommand::Commit {
                    attempt,
                    commit: CommitRequest::Final,
                } => Some(*attempt),
                _ => None,
            });
        commits.collect()
    }

    pub(super) fn told_end(&self) -> usize {
        let end =
            |command: &TaskExecutorCommand| matches!(command, TaskExecutorCommand::JobEnded(_));
        self.commands
            .iter()
            .filter(|(_, command)| end(command))
            .count()
    }

    /// Whether the TaskManager was told anything since the log was cleared.
    pub(super) fn was_told(&self, id: TaskManagerId) -> bool {
        let to = self.connections[&id];
        self.log
            .iter()
            .any(|action| matches!(action, Action::Tell { connection, .. } if *connection == to))
    }

    /// Where an attempt was deployed.
    pub(super) fn home(&self, attempt: ExecutionAttemptId) -> TaskManagerId {
        let deployed = self
            .commands
            .iter()
            .find_map(|(connection, command)| match command {
                TaskExecutorCommand::Deploy(task) if task.attempt == attempt => Some(*connection),
                _ => None,
            });
        let connection = deployed.expect("it was deployed");
        *self
            .connections
            .iter()
            .find(|(_, c)| **c == connection)
            .expect("it was taken in")
            .0
    }

    pub(super) fn other_than(&self, id: TaskManagerId) -> TaskManagerId {
        *self
            .connections
            .keys()
            .find(|other| **other != id)
            .expect("two TaskManagers")
    }

    /// The current attempts of all subtasks.
    pub(super) fn attempts(&self) -> Vec<ExecutionAttemptId> {
        let executions = self.master.graph.executions().iter();
        executions.map(|execution| execution.attempt).collect()
    }

    /// The attempts of the first and of the last vertex.
    pub(super) fn sources_and_sinks(&self) -> (Vec<ExecutionAttemptId>, Vec<ExecutionAttemptId>) {
        let vertices = &self.master.graph.job().vertices;
        let of = |id| {
            self.master
                .graph
                .subtasks(id)
                .iter()
                .map(|e| e.attempt)
                .collect()
        };
        (of(vertices[0].id), of(vertices[vertices.len() - 1].id))
    }
}
