//! Whether a program can continue a checkpoint, and what a person can do if it cannot.

use std::fmt;

use weir_types::{KeyGroup, OperatorId};

use super::RestoreOptions;
use crate::coordinator::OperatorInfo;
use crate::metadata::{CheckpointMetadata, OperatorMetadata};

/// An operator as a person knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhichOperator {
    /// Its name.
    pub name: String,
    /// Its uid, if the program gave it one.
    pub uid: Option<String>,
    /// Its id.
    pub id: OperatorId,
}

impl WhichOperator {
    pub(super) fn of_program(info: &OperatorInfo) -> Self {
        Self {
            name: info.name.clone(),
            uid: info.uid.clone(),
            id: info.operator,
        }
    }

    fn of_checkpoint(former: &OperatorMetadata) -> Self {
        Self {
            name: former.name.clone(),
            uid: former.uid.clone(),
            id: former.operator,
        }
    }
}

impl fmt::Display for WhichOperator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.uid {
            Some(uid) => write!(f, "`{}` (uid `{uid}`)", self.name),
            None => write!(f, "`{}` (no uid, id {})", self.name, self.id),
        }
    }
}

/// A checkpoint that the program cannot continue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The program lacks an operator.
    #[error(
        "restore operator {operator}: the checkpoint holds state of it and the program has no \
         operator with that id; give the operator that continues it {}, or allow state to be left \
         behind (`allowNonRestoredState`)",
        advice(operator)
    )]
    Missing {
        /// Which one.
        operator: WhichOperator,
    },
    /// The program lacks a sink whose results are promised and not yet visible.
    #[error(
        "restore operator {operator}: the checkpoint holds results of this sink that are still to \
         be committed and the program has no operator with that id; they would be lost, so this \
         cannot be allowed: start once with the sink in the program and stop with a savepoint"
    )]
    Uncommitted {
        /// Which one.
        operator: WhichOperator,
    },
    /// Keys are placed by the max parallelism.
    #[error(
        "restore operator {operator}: the checkpoint has max parallelism {checkpoint}, the program \
         {program}; it cannot change, because keys are placed by it: leave \
         `spec.job.maxParallelism` out, which takes it over, or set the operator's max \
         parallelism to {checkpoint}"
    )]
    MaxParallelism {
        /// Which one.
        operator: WhichOperator,
        /// When the checkpoint was taken.
        checkpoint: u32,
        /// Now.
        program: u32,
    },
    /// Key groups that nothing in the checkpoint covers, and no subtask that had ended.
    #[error(
        "restore operator {operator}: the checkpoint has keyed state of it, but none for key group \
         {group}; the checkpoint is incomplete: restore another one"
    )]
    Gap {
        /// Which one.
        operator: WhichOperator,
        /// The first one.
        group: KeyGroup,
    },
}

fn advice(operator: &WhichOperator) -> String {
    match &operator.uid {
        Some(uid) => format!("the uid `{uid}`"),
        None => "its former place in the program and from now on a uid".to_owned(),
    }
}

/// What of the checkpoint the program has no operator for, if that is allowed.
pub(super) fn left_behind(
    metadata: &CheckpointMetadata,
    program: &[OperatorInfo],
    options: RestoreOptions,
) -> Result<Vec<WhichOperator>, RestoreError> {
    let missing = metadata.operators.iter().filter(|former| {
        let has_state = former.enumerator.is_some() || !former.subtasks.is_empty();
        has_state && program.iter().all(|info| info.operator != former.operator)
    });
    let mut left_behind = Vec::new();
    for former in missing {
        let operator = WhichOperator::of_checkpoint(former);
        if former.subtasks.iter().any(|(_, state)| state.uncommitted) {
            return Err(RestoreError::Uncommitted { operator });
        }
        if !options.allow_non_restored_state {
            return Err(RestoreError::Missing { operator });
        }
        left_behind.push(operator);
    }
    Ok(left_behind)
}

/// Whether an operator's state can be given to its successor.
pub(super) fn fits(former: &OperatorMetadata, info: &OperatorInfo) -> Result<(), RestoreError> {
    let handles = || former.subtasks.iter().flat_map(|(_, state)| &state.keyed);
    if handles().next().is_none() {
        // What is not placed by key does not care.
        return Ok(());
    }
    let operator = WhichOperator::of_program(info);
    if former.max_parallelism != info.max_parallelism {
        return Err(RestoreError::MaxParallelism {
            operator,
            checkpoint: former.max_parallelism,
            program: info.max_parallelism,
        });
    }
    let covered = handles().map(|handle| handle.range);
    let mut ranges: Vec<_> = covered.chain(former.empty_ranges()).collect();
    ranges.sort_by_key(|range| range.start);
    let mut next = 0u32;
    for range in ranges {
        if u32::from(range.start) > next {
            break;
        }
        next = next.max(u32::from(range.end) + 1);
    }
    match u16::try_from(next) {
        Ok(group) if next < former.max_parallelism => Err(RestoreError::Gap {
            operator,
            group: KeyGroup(group),
        }),
        _ => Ok(()),
    }
}
