//! Whether a program reads the types of state that a snapshot holds, found out before anything of
//! it runs.
//!
//! Which states an operator has, and of which types, it says when it is opened. So one instance of
//! each operator that has keyed state, lists or broadcast maps in the snapshot is made, given that
//! state without any entries, opened and closed again: it takes part in nothing, and no record
//! comes. What it finds of its types is what a subtask would find. Operators without such state
//! (most sinks and sources) are left alone; states that are asked for by the first record only are
//! compared when they are restored.

use std::sync::Arc;

use weir_checkpoint::blob;
use weir_checkpoint::handle::{ObjectRef, Stored};
use weir_checkpoint::metadata::{CheckpointMetadata, OperatorMetadata};
use weir_graph::{ChainedOperator, JobVertex};
use weir_network::CancelToken;
use weir_state::{
    HeapFactory, KeyedSnapshot, OperatorStateMeta, OperatorStateSnapshot, StateMeta, StateSnapshot,
};
use weir_stream::metrics::OperatorMetrics;
use weir_stream::{Operator, OperatorContext, OperatorError, OperatorSnapshot};
use weir_types::{
    AttemptNumber, CheckpointId, Clock, Epoch, ExecutionAttemptId, KeyGroupRange, OperatorId,
    SubtaskIndex, causes,
};

use crate::deployment::Program;
use crate::{fault, panics};

/// An operator declares a state with another type than the snapshot has.
#[derive(Debug, thiserror::Error)]
#[error("open operator `{operator}` with the types of its state")]
pub struct StateTypesError {
    /// The operator's name.
    operator: String,
    source: Box<OperatorError>,
}

/// Larger objects of lists and maps are not read for their types: they are compared when they are
/// restored.
const READ_MAX: u64 = 16 << 20;

/// The types of the state that an operator has in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormerTypes {
    operator: OperatorId,
    /// Of keyed state. Subtasks may differ in them, and one may have several of a state, if the
    /// program changed it while the snapshot was copied.
    keyed: Vec<StateMeta>,
    /// Of list, union and broadcast state.
    lists: Vec<OperatorStateMeta>,
}

/// The types of a snapshot's operators. The metadata has those of keyed state; those of lists and
/// maps are in the objects that hold their content, which `read` gets. What it cannot get is left
/// out.
pub fn former_types(
    metadata: &CheckpointMetadata,
    mut read: impl FnMut(&ObjectRef) -> Option<Vec<u8>>,
) -> Vec<FormerTypes> {
    let of_operator = |former: &OperatorMetadata| FormerTypes {
        operator: former.operator,
        keyed: keyed_types(former),
        lists: list_types(former, &mut read),
    };
    metadata.operators.iter().map(of_operator).collect()
}

fn keyed_types(former: &OperatorMetadata) -> Vec<StateMeta> {
    let mut types: Vec<StateMeta> = Vec::new();
    let handles = former.subtasks.iter().flat_map(|(_, state)| &state.keyed);
    for meta in handles.flat_map(|handle| &handle.states) {
        if !types.contains(meta) {
            types.push(meta.clone());
        }
    }
    types
}

/// Subtasks with different types of one list cannot be restored whatever the program says: the
/// first one is taken.
fn list_types(
    former: &OperatorMetadata,
    read: &mut impl FnMut(&ObjectRef) -> Option<Vec<u8>>,
) -> Vec<OperatorStateMeta> {
    let mut types: Vec<OperatorStateMeta> = Vec::new();
    let subtasks = former.subtasks.iter();
    for stored in subtasks.filter_map(|(_, state)| state.operator_state.as_ref()) {
        let decoded = match stored {
            Stored::Inline(bytes) => blob::decode(bytes).ok(),
            Stored::Object(object) if object.size <= READ_MAX => {
                read(object).and_then(|bytes| blob::decode(&bytes).ok())
            }
            Stored::Object(_) | Stored::Files(_) => None,
        };
        let Some(weir_state::OperatorSnapshot { states }) = decoded else {
            continue;
        };
        for OperatorStateSnapshot { meta, .. } in states {
            if types.iter().all(|known| known.name != meta.name) {
                types.push(meta);
            }
        }
    }
    types
}

/// Opens the program's operators with the types of a snapshot. What else fails as they open is
/// passed over: here it may lack what it has where it runs.
pub fn check_state_types(
    program: &Program,
    (snapshot, types): (CheckpointId, &[FormerTypes]),
    clock: &Arc<dyn Clock>,
) -> Result<(), StateTypesError> {
    for vertex in &program.job_graph.vertices {
        for operator in &vertex.operators {
            let former = types.iter().find(|f| f.operator == operator.operator_id);
            let former = former.filter(|f| !f.keyed.is_empty() || !f.lists.is_empty());
            let make = program.factories.operators.get(&operator.node);
            let (Some(make), Some(former)) = (make, former) else {
                continue;
            };
            let context = context(vertex, operator, clock);
            let empty = without_entries(snapshot, &context, former);
            if let Some(source) = dry_open(make(), &context, empty) {
                return Err(StateTypesError {
                    operator: operator.name.clone(),
                    source: Box::new(source),
                });
            }
        }
    }
    Ok(())
}

fn context(
    vertex: &JobVertex,
    operator: &ChainedOperator,
    clock: &Arc<dyn Clock>,
) -> OperatorContext {
    let (parallelism, max_parallelism) = (vertex.parallelism, vertex.max_parallelism);
    OperatorContext {
        operator: operator.operator_id,
        name: operator.name.as_str().into(),
        attempt: ExecutionAttemptId {
            epoch: Epoch(0),
            vertex: vertex.id,
            subtask: SubtaskIndex(0),
            attempt: AttemptNumber(0),
        },
        parallelism,
        max_parallelism,
        key_groups: KeyGroupRange::of_subtask(max_parallelism, parallelism, 0),
        clock: Arc::clone(clock),
        state_backend: Arc::new(HeapFactory),
        cancel: CancelToken::default(),
        metrics: Arc::new(OperatorMetrics::default()),
    }
}

/// A snapshot for each kind of state, as a subtask is restored with them.
fn without_entries(
    checkpoint: CheckpointId,
    context: &OperatorContext,
    former: &FormerTypes,
) -> Vec<OperatorSnapshot> {
    let mut snapshots = Vec::new();
    if !former.lists.is_empty() {
        let states = former.lists.iter().map(|meta| OperatorStateSnapshot {
            meta: meta.clone(),
            elements: Vec::new(),
        });
        snapshots.push(OperatorSnapshot {
            operator: Some(weir_state::OperatorSnapshot {
                states: states.collect(),
            }),
            ..OperatorSnapshot::default()
        });
    }
    if !former.keyed.is_empty() {
        let states = former.keyed.iter().map(|meta| StateSnapshot {
            meta: meta.clone(),
            complete: true,
            blocks: Vec::new(),
        });
        snapshots.push(OperatorSnapshot {
            keyed: Some(KeyedSnapshot {
                checkpoint,
                base: None,
                max_parallelism: context.max_parallelism,
                range: context.key_groups,
                states: states.collect(),
            }),
            ..OperatorSnapshot::default()
        });
    }
    snapshots
}

/// What keeps the operator from reading its state, if anything does.
fn dry_open(
    mut operator: Box<dyn Operator>,
    context: &OperatorContext,
    snapshots: Vec<OperatorSnapshot>,
) -> Option<OperatorError> {
    let opened = panics::catch(|| {
        operator.restore(snapshots)?;
        operator.open(context)
    });
    let closed = panics::catch(|| operator.close());
    let name = &context.name;
    match opened {
        Ok(Err(error)) if fault::is_incompatible(&error) => return Some(error),
        Ok(Err(error)) => {
            tracing::info!(
                "operator {name} opens only where it runs: {}",
                causes(&error)
            );
        }
        Err(panic) => tracing::info!("operator {name} opens only where it runs: {panic}"),
        Ok(Ok(())) => {}
    }
    if let Ok(Err(error)) = closed {
        tracing::info!(
            "operator {name} closes only where it runs: {}",
            causes(&error)
        );
    }
    None
}

#[cfg(test)]
mod tests;
