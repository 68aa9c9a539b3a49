//! Why a job failed: the root cause first, then what failed after it (Flink's
//! `ExceptionHistoryEntry`).

use serde::{Deserialize, Serialize};
use weir_types::{ExecutionAttemptId, Fault, FaultClass};

/// How many failures are kept; when more come, the oldest go.
const FAILURES_MAX: usize = 16;

/// How many faults are kept with one root cause: a job with a thousand subtasks loses them all at
/// once, and the first few tell as much.
const CONCURRENT_MAX: usize = 32;

/// One fault, when and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureRecord {
    /// What happened.
    pub fault: Fault,
    /// The attempt that failed; none for a fault of the whole job.
    pub attempt: Option<ExecutionAttemptId>,
    /// The vertex and subtask for people, as `flat_map -> map (2/4)`.
    pub task_name: Option<String>,
    /// When it was recorded, in milliseconds since 1970.
    pub at_ms: i64,
}

/// A root cause with what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureEntry {
    /// What the job fails with.
    pub root_cause: FailureRecord,
    /// What failed while the job was failing, in order.
    pub concurrent: Vec<FailureRecord>,
    /// How many more there were.
    pub concurrent_left_out: u64,
}

/// A job's failures, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureHistory {
    /// The failures.
    pub entries: Vec<FailureEntry>,
    /// How many older ones there were.
    pub left_out: u64,
}

impl FailureHistory {
    /// The newest failure.
    pub fn latest(&self) -> Option<&FailureEntry> {
        self.entries.last()
    }

    pub(super) fn push_root_cause(&mut self, record: FailureRecord) {
        if self.entries.len() == FAILURES_MAX {
            self.entries.remove(0);
            self.left_out += 1;
        }
        self.entries.push(FailureEntry {
            root_cause: record,
            concurrent: Vec::new(),
            concurrent_left_out: 0,
        });
    }

    /// Records what failed while the job was failing already.
    ///
    /// That a producer's data is gone is only ever a consequence, but its news may overtake that
    /// of the cause, as they come from different processes. So the first fault of another class
    /// takes its place as the root cause.
    pub(super) fn push_concurrent(&mut self, record: FailureRecord) {
        let Some(entry) = self.entries.last_mut() else {
            return self.push_root_cause(record);
        };
        let is_consequence =
            |record: &FailureRecord| record.fault.class == FaultClass::PartitionDataMissing;
        let (record, first) = if is_consequence(&entry.root_cause) && !is_consequence(&record) {
            (std::mem::replace(&mut entry.root_cause, record), true)
        } else {
            (record, false)
        };
        if entry.concurrent.len() == CONCURRENT_MAX {
            entry.concurrent_left_out += 1;
            if !first {
                return;
            }
            entry.concurrent.pop();
        }
        let position = if first { 0 } else { entry.concurrent.len() };
        entry.concurrent.insert(position, record);
    }
}
