//! Whether a program reads the types of state that a snapshot holds, found out before anything of
//! it runs.
//!
//! Which states an operator has, and of which types, it says when it is opened. So one instance of
//! each operator that has keyed state in the snapshot is made, given that state without any
//! entries, opened and closed again: it takes part in nothing, and no record comes. What it finds
//! of its types is what a subtask would find. Sinks and sources have no keyed state, and are left
//! alone; states that are asked for by the first record only, and lists of operators, are compared
//! when they are restored.

use std::sync::Arc;

use weir_checkpoint::metadata::{CheckpointMetadata, OperatorMetadata};
use weir_graph::{ChainedOperator, JobVertex};
use weir_network::CancelToken;
use weir_state::{HeapFactory, KeyedSnapshot, StateMeta, StateSnapshot};
use weir_stream::metrics::OperatorMetrics;
use weir_stream::{Operator, OperatorContext, OperatorError, OperatorSnapshot};
use weir_types::{
    AttemptNumber, Clock, Epoch, ExecutionAttemptId, KeyGroupRange, SubtaskIndex, causes,
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

/// The types of the keyed states of an operator in a snapshot. Its subtasks may differ in them, and
/// one may have several of a state, if the program changed it while the snapshot was copied.
pub fn state_types(former: &OperatorMetadata) -> Vec<StateMeta> {
    let mut types: Vec<StateMeta> = Vec::new();
    let handles = former.subtasks.iter().flat_map(|(_, state)| &state.keyed);
    for meta in handles.flat_map(|handle| &handle.states) {
        if !types.contains(meta) {
            types.push(meta.clone());
        }
    }
    types
}

/// Opens the program's operators with the types of a snapshot. What else fails as they open is
/// passed over: here it may lack what it has where it runs.
pub fn check_state_types(
    program: &Program,
    metadata: &CheckpointMetadata,
    clock: &Arc<dyn Clock>,
) -> Result<(), StateTypesError> {
    for vertex in &program.job_graph.vertices {
        for operator in &vertex.operators {
            let mut formers = metadata.operators.iter();
            let former = formers.find(|former| former.operator == operator.operator_id);
            let types = former.map(state_types).unwrap_or_default();
            let make = program.factories.operators.get(&operator.node);
            let (Some(make), false) = (make, types.is_empty()) else {
                continue;
            };
            let context = context(vertex, operator, clock);
            let snapshot = without_entries(metadata, &context, types);
            if let Some(source) = dry_open(make(), &context, snapshot) {
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

fn without_entries(
    metadata: &CheckpointMetadata,
    context: &OperatorContext,
    types: Vec<StateMeta>,
) -> OperatorSnapshot {
    let states = types.into_iter().map(|meta| StateSnapshot {
        meta,
        complete: true,
        blocks: Vec::new(),
    });
    OperatorSnapshot {
        keyed: Some(KeyedSnapshot {
            checkpoint: metadata.id,
            base: None,
            max_parallelism: context.max_parallelism,
            range: context.key_groups,
            states: states.collect(),
        }),
        ..OperatorSnapshot::default()
    }
}

/// What keeps the operator from reading its state, if anything does.
fn dry_open(
    mut operator: Box<dyn Operator>,
    context: &OperatorContext,
    snapshot: OperatorSnapshot,
) -> Option<OperatorError> {
    let opened = panics::catch(|| {
        operator.restore(vec![snapshot])?;
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
