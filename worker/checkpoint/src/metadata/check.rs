//! Whether metadata makes sense: what others rely on when they compute with it.

use std::collections::BTreeSet;

use weir_types::{MAX_PARALLELISM_LIMIT, OperatorId};

use super::{CheckpointMetadata, MetadataError, OperatorMetadata};
use crate::handle::{KeyedHandle, OperatorSubtaskState, Stored, StoredFile};

pub(super) fn check(metadata: &CheckpointMetadata) -> Result<(), MetadataError> {
    let mut before: Option<OperatorId> = None;
    for operator in &metadata.operators {
        let fault = if before.is_some_and(|before| before >= operator.operator) {
            Err("operators are not in the order of their ids".to_owned())
        } else {
            check_operator(operator)
        };
        fault.map_err(|cause| MetadataError::Inconsistent {
            operator: operator.name.clone(),
            cause,
        })?;
        before = Some(operator.operator);
    }
    Ok(())
}

fn check_operator(operator: &OperatorMetadata) -> Result<(), String> {
    let (parallelism, max) = (operator.parallelism, operator.max_parallelism);
    if parallelism == 0 || parallelism > max || max > MAX_PARALLELISM_LIMIT {
        return Err(format!(
            "parallelism {parallelism} and max parallelism {max} cannot be"
        ));
    }
    let mut seen = BTreeSet::new();
    for (subtask, state) in &operator.subtasks {
        if subtask.0 >= parallelism || !seen.insert(*subtask) {
            return Err(format!("subtask {subtask} is there twice or not of it"));
        }
        check_state(operator, state).map_err(|cause| format!("subtask {subtask}: {cause}"))?;
    }
    let mut ended = BTreeSet::new();
    for subtask in &operator.ended {
        if subtask.0 >= parallelism || !ended.insert(*subtask) {
            return Err(format!(
                "ended subtask {subtask} is there twice or not of it"
            ));
        }
    }
    Ok(())
}

fn check_state(operator: &OperatorMetadata, state: &OperatorSubtaskState) -> Result<(), String> {
    if state.operator != operator.operator {
        return Err(format!("its state is of operator {}", state.operator));
    }
    let others = state.operator_state.iter().chain(&state.raw);
    if others
        .into_iter()
        .any(|stored| matches!(stored, Stored::Files(_)))
    {
        return Err("files of a database are where a blob should be".to_owned());
    }
    for (nth, handle) in state.keyed.iter().enumerate() {
        check_handle(operator, handle)?;
        let Some(base) = handle.base else { continue };
        let before = &state.keyed[..nth];
        let continued = before.iter().rfind(|other| other.range == handle.range);
        if continued.is_none_or(|other| other.checkpoint != base) {
            return Err(format!(
                "its file of checkpoint {} for key groups {} continues one of checkpoint {base}, \
                 which is not right before it",
                handle.checkpoint, handle.range
            ));
        }
    }
    Ok(())
}

fn check_handle(operator: &OperatorMetadata, handle: &KeyedHandle) -> Result<(), String> {
    let range = handle.range;
    if range.start > range.end || u32::from(range.end) >= operator.max_parallelism {
        return Err(format!("key groups {range} cannot be"));
    }
    if handle.max_parallelism != operator.max_parallelism {
        return Err(format!(
            "its file of checkpoint {} was written with max parallelism {}, the operator had {}",
            handle.checkpoint, handle.max_parallelism, operator.max_parallelism
        ));
    }
    match &handle.stored {
        Stored::Files(_) if handle.base.is_some() => {
            Err("files of a database continue nothing".to_owned())
        }
        Stored::Files(files) => check_files(files),
        Stored::Inline(_) | Stored::Object(_) => Ok(()),
    }
}

fn check_files(files: &[StoredFile]) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for file in files {
        if !file.has_good_name() || !seen.insert(&file.name) {
            return Err(format!(
                "a database has no file `{}`, or not twice",
                file.name
            ));
        }
    }
    Ok(())
}
