//! Why a checkpoint is given up.

use std::fmt;

/// What has kept a checkpoint from its end. Whoever decides by it never looks at the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailureKind {
    /// The job's storage: it can't be reached, does not let the job write, or has no room.
    Storage,
    /// Anything else: a task, a time-out, something newer that overtook it.
    #[default]
    Other,
}

/// Why a checkpoint, or a subtask's part of it, was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotFailure {
    /// What is at fault.
    pub kind: FailureKind,
    /// For people.
    pub reason: String,
}

impl SnapshotFailure {
    /// The storage is at fault, or something else is.
    pub fn new(of_the_storage: bool, reason: impl Into<String>) -> Self {
        match of_the_storage {
            true => Self::storage(reason),
            false => Self::other(reason),
        }
    }

    /// The storage is at fault.
    pub fn storage(reason: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Storage,
            reason: reason.into(),
        }
    }

    /// Something else is.
    pub fn other(reason: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Other,
            reason: reason.into(),
        }
    }

    /// The same, with what was being done when it happened.
    #[must_use]
    pub fn while_doing(self, what: impl fmt::Display) -> Self {
        Self {
            kind: self.kind,
            reason: format!("{what}: {}", self.reason),
        }
    }
}
