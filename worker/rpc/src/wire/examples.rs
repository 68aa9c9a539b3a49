//! One of everything, for tests.

use std::time::Duration;

use weir_checkpoint::coordinator::{SnapshotFailure, Then};
use weir_checkpoint::handle::{
    OperatorRestore, OperatorSubtaskState, SnapshotMetrics, Stored, SubtaskRestore, SubtaskState,
};
use weir_graph::{EdgeId, ExecutionState, Fingerprint, NodeId, PartHash};
use weir_types::{
    AttemptNumber, BarrierKind, CheckpointBarrier, CheckpointId, Epoch, EventTime,
    ExecutionAttemptId, Fault, FaultClass, FaultScope, JobId, OperatorId, SlotIndex, SubtaskIndex,
    TaskManagerId, VertexId,
};

use crate::{
    CheckpointSettings, CommitRequest, Durations, InputGateDescriptor, JobInfo, JobResult,
    OperatorMetricsReport, PROTOCOL_VERSION, ProducerDescriptor, ProgramSpec, Registration,
    RemoteProducer, SplitResponse, StateFigure, TaskDeploymentDescriptor, TaskExecutorCommand,
    TaskManagerMessage, TaskMetricsReport, VERSION,
};

pub(crate) fn attempt() -> ExecutionAttemptId {
    ExecutionAttemptId {
        epoch: Epoch(3),
        vertex: VertexId(u128::MAX - 5),
        subtask: SubtaskIndex(7),
        attempt: AttemptNumber(2),
    }
}

pub(crate) fn registration() -> Registration {
    Registration {
        protocol: PROTOCOL_VERSION,
        version: VERSION.to_owned(),
        id: TaskManagerId(11),
        name: "host-1".to_owned(),
        deployment: 4,
        slots: 2,
        data_address: Some("[::1]:4711".parse().expect("an address")),
    }
}

pub(crate) fn fingerprint() -> Fingerprint {
    Fingerprint {
        graph: PartHash(1),
        args: PartHash(2),
        config: PartHash(3),
        executable: PartHash(u128::MAX),
    }
}

pub(crate) fn job_info() -> JobInfo {
    let map = |key: &str| [(key.to_owned(), "x".to_owned())].into_iter().collect();
    JobInfo {
        epoch: Epoch(3),
        id: JobId(9),
        name: "count".to_owned(),
        program: ProgramSpec {
            program: "wordcount".to_owned(),
            args: map("input"),
            config: map("parallelism"),
            environment: map("HOME"),
        },
        fingerprint: fingerprint(),
        heartbeat_interval: Duration::from_millis(1000),
        heartbeat_timeout: Duration::from_millis(10_000),
        checkpoints: Some(CheckpointSettings {
            folder: "s3://bucket/jobs/count".to_owned(),
            store: map("s3.endpoint"),
            exactly_once: true,
            incremental: false,
            compress: true,
            local_recovery: true,
        }),
    }
}

fn metrics() -> TaskMetricsReport {
    TaskMetricsReport {
        attempt: attempt(),
        records_in: 1,
        records_out: 2,
        bytes_in: 3,
        bytes_out: 4,
        busy_ns: 5,
        idle_ns: 6,
        backpressured_ns: 7,
        restored_local_bytes: 8,
        restored_store_bytes: 9,
        queue_bytes: 10,
        event_time_lag_ms: Some(-11),
        watermark: Some(EventTime(-8)),
        operators: vec![OperatorMetricsReport {
            node: NodeId(9),
            records_in: 10,
            records_out: 11,
            late_records: 12,
            skipped_records: 13,
            state_bytes: 15,
            commits: {
                let mut commits = Durations::default();
                for ms in [16, 17_000, 1_800_000] {
                    commits.add(Duration::from_millis(ms));
                }
                commits
            },
        }],
        state: vec![StateFigure {
            node: NodeId(9),
            name: "read_keys".to_owned(),
            value: 14,
        }],
    }
}

fn faults() -> Vec<Fault> {
    let scopes = [
        FaultScope::Job,
        FaultScope::Task(attempt()),
        FaultScope::TaskManager(TaskManagerId(5)),
    ];
    let classes = [
        FaultClass::NonRecoverable,
        FaultClass::PartitionDataMissing,
        FaultClass::StateDamaged,
        FaultClass::Environment,
        FaultClass::Recoverable,
    ];
    let all = scopes
        .into_iter()
        .flat_map(|scope| classes.map(|class| (class, scope)));
    all.map(|(class, scope)| Fault {
        class,
        scope,
        cause: "line\nnext".to_owned(),
    })
    .collect()
}

pub(crate) fn results() -> Vec<JobResult> {
    let mut results = vec![JobResult::Finished, JobResult::Canceled];
    results.extend(faults().into_iter().map(JobResult::Failed));
    results
}

pub(crate) fn messages() -> Vec<TaskManagerMessage> {
    let attempt = attempt();
    let mut messages = vec![
        TaskManagerMessage::Ready {
            fingerprint: fingerprint(),
        },
        TaskManagerMessage::Heartbeat { tasks: Vec::new() },
        TaskManagerMessage::Heartbeat {
            tasks: vec![
                metrics(),
                TaskMetricsReport {
                    watermark: None,
                    event_time_lag_ms: None,
                    ..metrics()
                },
            ],
        },
        TaskManagerMessage::RequestSplit {
            attempt,
            node: NodeId(1),
        },
        TaskManagerMessage::EndOfInput { attempt },
        TaskManagerMessage::CheckpointAcknowledged {
            attempt,
            checkpoint: CheckpointId(5),
            state: SubtaskState {
                operators: vec![OperatorSubtaskState {
                    operator: OperatorId(6),
                    keyed: Vec::new(),
                    operator_state: None,
                    raw: Some(Stored::Inline(vec![1, 2])),
                    uncommitted: true,
                }],
                ended: true,
            },
            metrics: SnapshotMetrics {
                sync_us: 7,
                ..SnapshotMetrics::default()
            },
        },
        TaskManagerMessage::CheckpointDeclined {
            attempt,
            checkpoint: CheckpointId(5),
            why: SnapshotFailure::other("disk full"),
        },
        TaskManagerMessage::CheckpointDeclined {
            attempt,
            checkpoint: CheckpointId(6),
            why: SnapshotFailure::storage("no answer"),
        },
        TaskManagerMessage::Committed {
            attempt,
            checkpoint: CheckpointId(5),
        },
    ];
    for state in ExecutionState::ALL {
        messages.push(TaskManagerMessage::TaskState {
            attempt,
            state,
            fault: None,
            metrics: None,
        });
    }
    for fault in faults() {
        messages.push(TaskManagerMessage::TaskState {
            attempt,
            state: ExecutionState::Failed,
            fault: Some(fault),
            metrics: Some(metrics()),
        });
    }
    messages
}

pub(crate) fn commands() -> Vec<TaskExecutorCommand> {
    let (attempt, node) = (attempt(), NodeId(4));
    let producers = vec![
        ProducerDescriptor {
            attempt,
            remote: None,
        },
        ProducerDescriptor {
            attempt,
            remote: Some(RemoteProducer {
                taskmanager: TaskManagerId(12),
                address: "10.0.0.1:80".parse().expect("an address"),
            }),
        },
    ];
    let task = TaskDeploymentDescriptor {
        attempt,
        slot: SlotIndex(3),
        inputs: vec![
            InputGateDescriptor {
                edge: EdgeId(1),
                producers,
            },
            InputGateDescriptor {
                edge: EdgeId(2),
                producers: Vec::new(),
            },
        ],
        restore: Some(SubtaskRestore {
            checkpoint: CheckpointId(4),
            base: "/state/count".to_owned(),
            own: true,
            operators: vec![(OperatorId(6), OperatorRestore::default())],
            ended: false,
        }),
    };
    let responses = [
        SplitResponse::Split(vec![0, 255]),
        SplitResponse::NotYet(Duration::from_millis(50)),
        SplitResponse::NoMore,
    ];
    let mut commands = vec![
        TaskExecutorCommand::Deploy(Box::new(task)),
        TaskExecutorCommand::Cancel(attempt),
        TaskExecutorCommand::Commit {
            attempt,
            commit: CommitRequest::Final,
        },
        TaskExecutorCommand::Commit {
            attempt,
            commit: CommitRequest::Checkpoint {
                id: CheckpointId(6),
                last: true,
            },
        },
        TaskExecutorCommand::Heartbeat,
        TaskExecutorCommand::Dismissed {
            reason: "not wanted".to_owned(),
        },
    ];
    let split = |response| TaskExecutorCommand::Split {
        attempt,
        node,
        response,
    };
    commands.extend(checkpoint_commands());
    commands.extend(responses.into_iter().map(split));
    commands.extend(results().into_iter().map(TaskExecutorCommand::JobEnded));
    commands
}

fn checkpoint_commands() -> Vec<TaskExecutorCommand> {
    let attempt = attempt();
    let mut commands = Vec::new();
    for then in [Then::Continue, Then::Stop, Then::Drain] {
        commands.push(TaskExecutorCommand::TriggerCheckpoint {
            attempt,
            barrier: CheckpointBarrier {
                epoch: attempt.epoch,
                id: CheckpointId(8),
                triggered_at_ms: 1234,
                kind: BarrierKind::Savepoint,
            },
            then,
        });
    }
    commands.push(TaskExecutorCommand::AbortCheckpoint {
        attempt,
        checkpoint: CheckpointId(8),
    });
    commands
}
