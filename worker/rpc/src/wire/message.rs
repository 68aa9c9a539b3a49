//! From a TaskManager to the JobMaster.

use weir_checkpoint::coordinator::{FailureKind, SnapshotFailure};
use weir_graph::NodeId;
use weir_types::{CheckpointId, Epoch};

use super::common::{
    attempt_from_wire, attempt_to_wire, blob_from_wire, blob_to_wire, fault_from_wire,
    fault_to_wire, metrics_from_wire, metrics_to_wire, state_from_wire, state_to_wire,
};
use super::registration::{fingerprint_from_wire, fingerprint_to_wire};
use super::{WireError, pb, required};
use crate::{Fenced, TaskManagerMessage};

pub(crate) fn message_to_wire(message: &Fenced<TaskManagerMessage>) -> pb::TaskManagerMessage {
    use pb::task_manager_message::Body;
    let (epoch, body) = message.parts();
    let body = match body {
        TaskManagerMessage::Ready { fingerprint } => Body::Ready(pb::Ready {
            fingerprint: Some(fingerprint_to_wire(fingerprint)),
        }),
        TaskManagerMessage::Heartbeat { tasks } => Body::Heartbeat(pb::TaskHeartbeat {
            tasks: tasks.iter().map(metrics_to_wire).collect(),
        }),
        TaskManagerMessage::TaskState {
            attempt,
            state,
            fault,
            metrics,
        } => Body::TaskState(pb::TaskState {
            attempt: Some(attempt_to_wire(*attempt)),
            state: state_to_wire(*state).into(),
            fault: fault.as_ref().map(fault_to_wire),
            metrics: metrics.as_ref().map(metrics_to_wire),
        }),
        TaskManagerMessage::RequestSplit { attempt, node } => {
            Body::RequestSplit(pb::RequestSplit {
                attempt: Some(attempt_to_wire(*attempt)),
                node: node.0,
            })
        }
        TaskManagerMessage::EndOfInput { attempt } => Body::EndOfInput(pb::EndOfInput {
            attempt: Some(attempt_to_wire(*attempt)),
        }),
        TaskManagerMessage::CheckpointAcknowledged {
            attempt,
            checkpoint,
            state,
            metrics,
        } => Body::CheckpointAcknowledged(pb::CheckpointAcknowledged {
            attempt: Some(attempt_to_wire(*attempt)),
            checkpoint: checkpoint.0,
            state: blob_to_wire(state),
            metrics: blob_to_wire(metrics),
        }),
        TaskManagerMessage::CheckpointDeclined {
            attempt,
            checkpoint,
            why,
        } => Body::CheckpointDeclined(pb::CheckpointDeclined {
            attempt: Some(attempt_to_wire(*attempt)),
            checkpoint: checkpoint.0,
            reason: why.reason.clone(),
            storage: why.kind == FailureKind::Storage,
        }),
        TaskManagerMessage::Committed {
            attempt,
            checkpoint,
        } => Body::Committed(pb::Committed {
            attempt: Some(attempt_to_wire(*attempt)),
            checkpoint: checkpoint.0,
        }),
    };
    pb::TaskManagerMessage {
        epoch: epoch.0,
        body: Some(body),
    }
}

pub(crate) fn message_from_wire(
    message: pb::TaskManagerMessage,
) -> Result<Fenced<TaskManagerMessage>, WireError> {
    use pb::task_manager_message::Body;
    let body = match required("body", message.body)? {
        Body::Register(_) => {
            return Err(WireError::new(
                "body",
                "this TaskManager has registered already",
            ));
        }
        Body::Ready(ready) => TaskManagerMessage::Ready {
            fingerprint: fingerprint_from_wire(ready.fingerprint)?,
        },
        Body::Heartbeat(heartbeat) => TaskManagerMessage::Heartbeat {
            tasks: heartbeat
                .tasks
                .into_iter()
                .map(metrics_from_wire)
                .collect::<Result<_, _>>()?,
        },
        Body::TaskState(update) => TaskManagerMessage::TaskState {
            attempt: attempt_from_wire(update.attempt)?,
            state: state_from_wire(update.state)?,
            fault: update.fault.map(fault_from_wire).transpose()?,
            metrics: update.metrics.map(metrics_from_wire).transpose()?,
        },
        Body::RequestSplit(request) => TaskManagerMessage::RequestSplit {
            attempt: attempt_from_wire(request.attempt)?,
            node: NodeId(request.node),
        },
        Body::EndOfInput(end) => TaskManagerMessage::EndOfInput {
            attempt: attempt_from_wire(end.attempt)?,
        },
        Body::CheckpointAcknowledged(done) => TaskManagerMessage::CheckpointAcknowledged {
            attempt: attempt_from_wire(done.attempt)?,
            checkpoint: CheckpointId(done.checkpoint),
            state: blob_from_wire("checkpoint_acknowledged.state", &done.state)?,
            metrics: blob_from_wire("checkpoint_acknowledged.metrics", &done.metrics)?,
        },
        Body::CheckpointDeclined(declined) => TaskManagerMessage::CheckpointDeclined {
            attempt: attempt_from_wire(declined.attempt)?,
            checkpoint: CheckpointId(declined.checkpoint),
            why: SnapshotFailure::new(declined.storage, declined.reason),
        },
        Body::Committed(committed) => TaskManagerMessage::Committed {
            attempt: attempt_from_wire(committed.attempt)?,
            checkpoint: CheckpointId(committed.checkpoint),
        },
    };
    Ok(Fenced::new(Epoch(message.epoch), body))
}
