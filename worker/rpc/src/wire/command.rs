//! From the JobMaster to a TaskManager.

use std::time::Duration;

use weir_checkpoint::coordinator::Then;
use weir_graph::{EdgeId, NodeId};
use weir_types::{BarrierKind, CheckpointBarrier, CheckpointId, Epoch, SlotIndex, TaskManagerId};

use super::common::{
    address_from_wire, attempt_from_wire, attempt_to_wire, blob_from_wire, blob_to_wire,
    id_from_wire, id_to_wire, result_from_wire, result_to_wire,
};
use super::{WireError, pb, required};
use crate::{
    CommitRequest, Fenced, InputGateDescriptor, ProducerDescriptor, RemoteProducer, SplitResponse,
    TaskDeploymentDescriptor, TaskExecutorCommand,
};

pub(crate) fn command_to_wire(command: &Fenced<TaskExecutorCommand>) -> pb::JobMasterMessage {
    use pb::job_master_message::Body;
    let (epoch, body) = command.parts();
    let body = match body {
        TaskExecutorCommand::Deploy(task) => Body::Deploy(deploy_to_wire(task)),
        TaskExecutorCommand::Cancel(attempt) => Body::Cancel(attempt_to_wire(*attempt)),
        TaskExecutorCommand::Commit { attempt, commit } => Body::Commit(pb::Commit {
            attempt: Some(attempt_to_wire(*attempt)),
            commit: Some(match commit {
                CommitRequest::Checkpoint { id, last } => {
                    let (checkpoint, last) = (id.0, *last);
                    pb::commit::Commit::Checkpoint(pb::CommitCheckpoint { checkpoint, last })
                }
                CommitRequest::Final => pb::commit::Commit::Final(pb::CommitFinal {}),
            }),
        }),
        TaskExecutorCommand::Split {
            attempt,
            node,
            response,
        } => Body::Split(pb::Split {
            attempt: Some(attempt_to_wire(*attempt)),
            node: node.0,
            response: Some(match response {
                SplitResponse::Split(bytes) => pb::split::Response::Split(bytes.clone()),
                SplitResponse::NotYet(rest) => pb::split::Response::NotYetMs(millis(*rest)),
                SplitResponse::NoMore => pb::split::Response::NoMore(pb::NoMoreSplits {}),
            }),
        }),
        TaskExecutorCommand::TriggerCheckpoint {
            attempt,
            barrier,
            then,
        } => Body::TriggerCheckpoint(pb::TriggerCheckpoint {
            attempt: Some(attempt_to_wire(*attempt)),
            checkpoint: barrier.id.0,
            triggered_at_ms: barrier.triggered_at_ms,
            savepoint: barrier.kind == BarrierKind::Savepoint,
            then: then_to_wire(*then).into(),
        }),
        TaskExecutorCommand::AbortCheckpoint {
            attempt,
            checkpoint,
        } => Body::AbortCheckpoint(pb::AbortCheckpoint {
            attempt: Some(attempt_to_wire(*attempt)),
            checkpoint: checkpoint.0,
        }),
        TaskExecutorCommand::Heartbeat => Body::Heartbeat(pb::Heartbeat {}),
        TaskExecutorCommand::Dismissed { reason } => Body::Dismissed(pb::Dismissed {
            reason: reason.clone(),
        }),
        TaskExecutorCommand::JobEnded(result) => Body::JobEnded(result_to_wire(result)),
    };
    pb::JobMasterMessage {
        epoch: epoch.0,
        body: Some(body),
    }
}

pub(crate) fn command_from_wire(
    message: pb::JobMasterMessage,
) -> Result<Fenced<TaskExecutorCommand>, WireError> {
    use pb::job_master_message::Body;
    let body = match required("body", message.body)? {
        Body::Refused(_) | Body::Registered(_) => {
            return Err(WireError::new(
                "body",
                "the registration was answered already",
            ));
        }
        Body::Deploy(task) => TaskExecutorCommand::Deploy(Box::new(deploy_from_wire(task)?)),
        Body::Cancel(attempt) => TaskExecutorCommand::Cancel(attempt_from_wire(Some(attempt))?),
        Body::Commit(commit) => TaskExecutorCommand::Commit {
            attempt: attempt_from_wire(commit.attempt)?,
            commit: match required("commit", commit.commit)? {
                pb::commit::Commit::Checkpoint(commit) => CommitRequest::Checkpoint {
                    id: CheckpointId(commit.checkpoint),
                    last: commit.last,
                },
                pb::commit::Commit::Final(pb::CommitFinal {}) => CommitRequest::Final,
            },
        },
        Body::Split(split) => TaskExecutorCommand::Split {
            attempt: attempt_from_wire(split.attempt)?,
            node: NodeId(split.node),
            response: match required("response", split.response)? {
                pb::split::Response::Split(bytes) => SplitResponse::Split(bytes),
                pb::split::Response::NotYetMs(ms) => {
                    SplitResponse::NotYet(Duration::from_millis(ms))
                }
                pb::split::Response::NoMore(pb::NoMoreSplits {}) => SplitResponse::NoMore,
            },
        },
        Body::TriggerCheckpoint(trigger) => trigger_from_wire(Epoch(message.epoch), trigger)?,
        Body::AbortCheckpoint(abort) => TaskExecutorCommand::AbortCheckpoint {
            attempt: attempt_from_wire(abort.attempt)?,
            checkpoint: CheckpointId(abort.checkpoint),
        },
        Body::Heartbeat(pb::Heartbeat {}) => TaskExecutorCommand::Heartbeat,
        Body::Dismissed(dismissed) => TaskExecutorCommand::Dismissed {
            reason: dismissed.reason,
        },
        Body::JobEnded(ended) => TaskExecutorCommand::JobEnded(result_from_wire(ended)?),
    };
    Ok(Fenced::new(Epoch(message.epoch), body))
}

fn then_to_wire(then: Then) -> pb::AfterSnapshot {
    match then {
        Then::Continue => pb::AfterSnapshot::Continue,
        Then::Stop => pb::AfterSnapshot::Stop,
        Then::Drain => pb::AfterSnapshot::Drain,
    }
}

fn trigger_from_wire(
    epoch: Epoch,
    trigger: pb::TriggerCheckpoint,
) -> Result<TaskExecutorCommand, WireError> {
    let then = match pb::AfterSnapshot::try_from(trigger.then) {
        Ok(pb::AfterSnapshot::Continue) => Then::Continue,
        Ok(pb::AfterSnapshot::Stop) => Then::Stop,
        Ok(pb::AfterSnapshot::Drain) => Then::Drain,
        Ok(pb::AfterSnapshot::Unspecified) | Err(_) => {
            let cause = format!("no such thing as {}", trigger.then);
            return Err(WireError::new("trigger_checkpoint.then", cause));
        }
    };
    let kind = if trigger.savepoint {
        BarrierKind::Savepoint
    } else {
        BarrierKind::Checkpoint
    };
    Ok(TaskExecutorCommand::TriggerCheckpoint {
        attempt: attempt_from_wire(trigger.attempt)?,
        barrier: CheckpointBarrier {
            epoch,
            id: CheckpointId(trigger.checkpoint),
            triggered_at_ms: trigger.triggered_at_ms,
            kind,
        },
        then,
    })
}

/// Whole milliseconds, rounded up, so that a wait does not turn into none.
fn millis(rest: Duration) -> u64 {
    u64::try_from(rest.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

fn deploy_to_wire(task: &TaskDeploymentDescriptor) -> pb::Deploy {
    let inputs = task.inputs.iter().map(|gate| pb::InputGate {
        edge: gate.edge.0,
        producers: gate
            .producers
            .iter()
            .map(|producer| pb::Producer {
                attempt: Some(attempt_to_wire(producer.attempt)),
                remote: producer.remote.map(|remote| pb::RemoteProducer {
                    taskmanager: id_to_wire(remote.taskmanager.0),
                    address: remote.address.to_string(),
                }),
            })
            .collect(),
    });
    pb::Deploy {
        attempt: Some(attempt_to_wire(task.attempt)),
        slot: task.slot.0,
        inputs: inputs.collect(),
        restore: task.restore.as_ref().map(blob_to_wire),
    }
}

fn remote_from_wire(remote: pb::RemoteProducer) -> Result<RemoteProducer, WireError> {
    let id = id_from_wire("producer.remote.taskmanager", &remote.taskmanager)?;
    Ok(RemoteProducer {
        taskmanager: TaskManagerId(id),
        address: address_from_wire("producer.remote.address", &remote.address)?,
    })
}

fn deploy_from_wire(task: pb::Deploy) -> Result<TaskDeploymentDescriptor, WireError> {
    let attempt = attempt_from_wire(task.attempt)?;
    let mut inputs = Vec::with_capacity(task.inputs.len());
    for gate in task.inputs {
        let mut producers = Vec::with_capacity(gate.producers.len());
        for producer in gate.producers {
            producers.push(ProducerDescriptor {
                attempt: attempt_from_wire(producer.attempt)?,
                remote: producer.remote.map(remote_from_wire).transpose()?,
            });
        }
        inputs.push(InputGateDescriptor {
            edge: EdgeId(gate.edge),
            producers,
        });
    }
    Ok(TaskDeploymentDescriptor {
        attempt,
        slot: SlotIndex(task.slot),
        inputs,
        restore: match task.restore {
            Some(bytes) => Some(blob_from_wire("deploy.restore", &bytes)?),
            None => None,
        },
    })
}
