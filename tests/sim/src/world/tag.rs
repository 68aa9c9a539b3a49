//! What tells one run from another.

use weir_types::{CheckpointId, ExecutionAttemptId};

use super::Event;
use crate::message::{FromTask, ToJm};

fn of(kind: u64, index: usize, rest: u64) -> u64 {
    kind << 56 | (index as u64) << 40 | rest
}

/// Of a checkpoint, and a region.
fn of_region(kind: u64, id: CheckpointId, region: usize) -> u64 {
    (region as u64) << 24 | (kind + id.0)
}

fn of_attempt(kind: u64, attempt: &ExecutionAttemptId) -> u64 {
    let vertex = (attempt.vertex.0 & 0xFF) as u64;
    of(kind, attempt.subtask.0 as usize, vertex)
}

/// What of an event goes into the trace's hash.
pub(super) fn tag(event: &Event) -> u64 {
    match event {
        Event::ToJm { jm, life, message } => {
            let kind = match message {
                ToJm::Tick => 0,
                ToJm::Wake => 1,
                ToJm::Swapped(_) => 2,
                ToJm::Read(..) => 3,
                ToJm::Loaded(_) => 4,
                ToJm::MetadataWritten(id, _) => 0x100 + id.0,
                ToJm::Enumerator(id, region) => of_region(0x200, *id, *region),
                ToJm::Enumerated(id, region, _) => of_region(0x400, *id, *region),
                ToJm::Request(_) => 5,
                ToJm::Cancel => 10,
                ToJm::Register { reg, .. } => 0x10_000 + reg,
                ToJm::Heartbeat { .. } => 6,
                ToJm::CallLost { .. } => 7,
                ToJm::Task {
                    told: FromTask::Acknowledged(id, _),
                    ..
                } => 0x300 + id.0,
                ToJm::Task { .. } => 8,
                ToJm::Collect(_) => 9,
            };
            of(1, *jm, u64::from(*life) << 32 | kind)
        }
        Event::ToTm { tm, life, .. } => of(2, *tm, u64::from(*life)),
        Event::Step(attempt) => of_attempt(3, attempt),
        Event::Cancelled(attempt) => of_attempt(9, attempt),
        Event::Collect(_) => of(10, 0, 0),
        Event::Stored { id, ok, .. } => of(4, usize::from(*ok), id.0),
        Event::Swap { content, .. } => of(5, 0, (content.nonce & 0xFF_FFFF) as u64),
        Event::Fault(index) => of(6, *index, 0),
        Event::Restart { index, .. } => of(7, *index, 0),
        Event::Client => of(8, 0, 0),
    }
}
