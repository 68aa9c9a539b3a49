//! Faults: what an error is at the job's boundary. The class, never a text, drives what happens
//! next (Flink's `ThrowableType`).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ExecutionAttemptId, TaskManagerId};

/// Flink's `ThrowableType`, which a restart strategy looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FaultClass {
    /// Trying again cannot help: a bad argument, a graph that differs, a panic in user code at
    /// open.
    NonRecoverable,
    /// A producer's data is gone: the producer must run again.
    PartitionDataMissing,
    /// What the job goes on from is damaged or gone: the same again gives the same, an older
    /// snapshot may not.
    StateDamaged,
    /// The machine is at fault: disk full, cannot start a thread.
    Environment,
    /// Everything else: trying again may help.
    Recoverable,
}

/// Where a fault happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FaultScope {
    /// One attempt of one subtask.
    Task(ExecutionAttemptId),
    /// A whole TaskManager.
    TaskManager(TaskManagerId),
    /// The job, for example its graph or a source's enumerator.
    Job,
}

/// An error at the job's boundary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What may help.
    pub class: FaultClass,
    /// Where it happened.
    pub scope: FaultScope,
    /// A short text that names the cause, the place and, if there is one, the next step; further
    /// lines may hold the chain of causes.
    pub cause: String,
}

impl Fault {
    /// A fault of the whole job.
    pub fn job(class: FaultClass, cause: impl Into<String>) -> Self {
        Self {
            class,
            scope: FaultScope::Job,
            cause: cause.into(),
        }
    }

    /// A fault of one attempt.
    pub fn task(class: FaultClass, attempt: ExecutionAttemptId, cause: impl Into<String>) -> Self {
        Self {
            class,
            scope: FaultScope::Task(attempt),
            cause: cause.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl std::error::Error for Fault {}
