//! Operator state on its way into snapshots and back: lists and broadcast maps, which belong to no
//! key.
//!
//! Whoever restores an operator deals its former subtasks' operator state out with [`deal`], since
//! that needs all of them; the operator itself only reads what it got.

use weir_state::{OperatorStateBackend, StateError, repartition};

use crate::OperatorSnapshot;

/// Puts the state, as it is now, into a snapshot.
pub(crate) fn write(
    backend: &OperatorStateBackend,
    snapshot: &mut OperatorSnapshot,
) -> Result<(), StateError> {
    snapshot.operator = Some(backend.snapshot()?).filter(|state| !state.states.is_empty());
    Ok(())
}

/// The state that was dealt to this subtask. It normally is in one of the snapshots; parts that
/// are in several are put together.
pub(crate) fn read(snapshots: &[OperatorSnapshot]) -> Result<OperatorStateBackend, StateError> {
    let whole = repartition(&parts(snapshots), 1)?.pop();
    Ok(OperatorStateBackend::restored(whole.unwrap_or_default()))
}

/// Gives each of `parallelism` subtasks its part of the operator state in the snapshots of all
/// former subtasks, which are in the order of their indices. The result has the same snapshots
/// for each subtask, except that the first alone has operator state.
pub fn deal(
    snapshots: &[OperatorSnapshot],
    parallelism: u32,
) -> Result<Vec<Vec<OperatorSnapshot>>, StateError> {
    let mut without = snapshots.to_vec();
    for snapshot in &mut without {
        snapshot.operator = None;
    }
    let dealt = repartition(&parts(snapshots), parallelism as usize)?.into_iter();
    let subtasks = dealt.map(|state| {
        let mut subtask = without.clone();
        if let Some(first) = subtask.first_mut() {
            first.operator = Some(state).filter(|state| !state.states.is_empty());
        }
        subtask
    });
    Ok(subtasks.collect())
}

fn parts(snapshots: &[OperatorSnapshot]) -> Vec<weir_state::OperatorSnapshot> {
    let parts = snapshots.iter().map(|snapshot| snapshot.operator.clone());
    parts.map(Option::unwrap_or_default).collect()
}
