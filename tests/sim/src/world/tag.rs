//! What tells one run from another.

use weir_checkpoint::coordinator::SnapshotRequest;
use weir_jobmanager::job_master;
use weir_rpc::TaskManagerMessage;
use weir_types::ExecutionAttemptId;

use super::Event;
use crate::graph::number_of;
use crate::message::{ToJm, ToTm};

fn of(kind: u64, index: usize, rest: u64) -> u64 {
    kind << 56 | (index as u64) << 40 | rest
}

fn of_attempt(kind: u64, attempt: &ExecutionAttemptId) -> u64 {
    let (vertex, n) = (
        number_of(attempt.vertex) as u64,
        u64::from(attempt.attempt.0),
    );
    of(kind, attempt.subtask.0 as usize, vertex << 32 | n)
}

fn of_said(message: &TaskManagerMessage) -> u64 {
    match message {
        TaskManagerMessage::Ready { .. } => 0x20,
        TaskManagerMessage::Heartbeat { .. } => 0x21,
        TaskManagerMessage::TaskState { state, .. } => 0x30 + *state as u64,
        TaskManagerMessage::RequestSplit { .. } => 0x22,
        TaskManagerMessage::EndOfInput { .. } => 0x23,
        TaskManagerMessage::CheckpointAcknowledged { checkpoint, .. } => 0x300 + checkpoint.0,
        TaskManagerMessage::CheckpointDeclined { checkpoint, .. } => 0x500 + checkpoint.0,
        TaskManagerMessage::Committed { checkpoint, .. } => 0x700 + checkpoint.0,
    }
}

fn of_report(event: &job_master::Event) -> u64 {
    match event {
        job_master::Event::EnumeratorState { id, .. } => 0x400 + id.0,
        job_master::Event::SplitFound { .. } => 0x40,
        job_master::Event::Prepared { .. } => 0x41,
        _ => 0x42,
    }
}

fn of_request(request: &SnapshotRequest) -> u64 {
    0x50 + request.operation.0.len() as u64
}

fn to_jm(message: &ToJm) -> u64 {
    match message {
        ToJm::Tick => 0,
        ToJm::Wake => 1,
        ToJm::Swapped(_) => 2,
        ToJm::Read(..) => 3,
        ToJm::Loaded(_) => 4,
        ToJm::MetadataWritten(id, _) => 0x100 + id.0,
        ToJm::Enumerator(node, life) => 0x10_000 + u64::from(node.0 << 8 | life),
        ToJm::Report(event) => of_report(event),
        ToJm::Request(request) => of_request(request),
        ToJm::Cancel => 10,
        ToJm::Forget(_) => 11,
        ToJm::Register(connection, _) => 0x20_000 + connection.0,
        ToJm::Said(_, _, message) => of_said(message),
        ToJm::Disconnected(connection) => 0x30_000 + connection.0,
        ToJm::GoOn => 8,
        ToJm::Collect(_) => 9,
    }
}

fn to_tm(message: &ToTm) -> u64 {
    match message {
        ToTm::Tick => 0,
        ToTm::Answer(connection, _) => 0x20_000 + connection.0,
        ToTm::Command(..) => 1,
        ToTm::Disconnected(connection) => 0x30_000 + connection.0,
    }
}

/// What of an event goes into the trace's hash.
pub(super) fn tag(event: &Event) -> u64 {
    match event {
        Event::ToJm { jm, life, message } => of(1, *jm, u64::from(*life) << 20 | to_jm(message)),
        Event::ToTm { tm, life, message } => of(2, *tm, u64::from(*life) << 20 | to_tm(message)),
        Event::Step(attempt) => of_attempt(3, attempt),
        Event::Cancelled(attempt) => of_attempt(9, attempt),
        Event::Broken(attempt) => of_attempt(11, attempt),
        Event::Collect(_) => of(10, 0, 0),
        Event::Put { path, .. } => of(12, path.len(), 0),
        Event::Stored { id, ok, .. } => of(4, usize::from(*ok), id.0),
        Event::Swap { content, .. } => of(5, 0, (content.nonce & 0xFF_FFFF) as u64),
        Event::Fault(index) => of(6, *index, 0),
        Event::Restart { index, .. } => of(7, *index, 0),
        Event::Client => of(8, 0, 0),
    }
}
