//! Gives the operator state of a stopped job to the subtasks of the next run (Flink's
//! `RoundRobinOperatorStateRepartitioner`). A pure function.

use std::collections::BTreeMap;

use crate::error::StateError;
use crate::operator::snapshot::{
    OperatorSnapshot, OperatorStateMeta, OperatorStateMode, OperatorStateSnapshot,
};

/// The state that each of `parallelism` subtasks starts with. `snapshots` are those of all
/// subtasks of the stopped job, in the order of their indices.
///
/// Split state stays where it is if the parallelism is the same. Otherwise its elements are dealt
/// out in runs whose lengths differ by one at most; the next state's longer runs go to the
/// subtasks behind, so that many short lists do not all end at the first ones.
pub fn repartition(
    snapshots: &[OperatorSnapshot],
    parallelism: usize,
) -> Result<Vec<OperatorSnapshot>, StateError> {
    assert!(parallelism > 0, "an operator has at least one subtask");
    let mut subtasks = vec![OperatorSnapshot::default(); parallelism];
    let mut first = 0;
    for (meta, parts) in by_name(snapshots)? {
        let whole = || {
            parts
                .iter()
                .flat_map(|(_, elements)| elements.iter())
                .cloned()
        };
        let dealt: Vec<Vec<Vec<u8>>> = match meta.mode {
            OperatorStateMode::Union => (0..parallelism).map(|_| whole().collect()).collect(),
            OperatorStateMode::Broadcast => (0..parallelism)
                .map(|subtask| parts[subtask % parts.len()].1.to_vec())
                .collect(),
            OperatorStateMode::Split if snapshots.len() == parallelism => {
                let mut dealt = vec![Vec::new(); parallelism];
                for (subtask, elements) in &parts {
                    dealt[*subtask] = elements.to_vec();
                }
                dealt
            }
            OperatorStateMode::Split => deal(whole().collect(), parallelism, &mut first),
        };
        for (subtask, elements) in subtasks.iter_mut().zip(dealt) {
            subtask.states.push(OperatorStateSnapshot {
                meta: meta.clone(),
                elements,
            });
        }
    }
    Ok(subtasks)
}

/// A state's elements in each subtask that had it, with the subtask's index.
type Parts<'a> = Vec<(usize, &'a [Vec<u8>])>;

fn by_name(
    snapshots: &[OperatorSnapshot],
) -> Result<Vec<(&OperatorStateMeta, Parts<'_>)>, StateError> {
    let mut states = BTreeMap::<&str, (&OperatorStateMeta, Parts)>::new();
    for (subtask, snapshot) in snapshots.iter().enumerate() {
        for state in &snapshot.states {
            let name = state.meta.name.as_str();
            let (meta, parts) = states
                .entry(name)
                .or_insert_with(|| (&state.meta, Vec::new()));
            if **meta != state.meta {
                let cause = format!("subtasks disagree: one has {meta}, one {}", state.meta);
                return Err(StateError::Repartition {
                    state: name.to_owned(),
                    cause,
                });
            }
            parts.push((subtask, &state.elements));
        }
    }
    Ok(states.into_values().collect())
}

/// Deals elements out in runs, the first one to subtask `first`, which moves on to the one behind
/// the last longer run.
fn deal(elements: Vec<Vec<u8>>, parallelism: usize, first: &mut usize) -> Vec<Vec<Vec<u8>>> {
    let (short, longer) = (elements.len() / parallelism, elements.len() % parallelism);
    let mut dealt = vec![Vec::new(); parallelism];
    let mut elements = elements.into_iter();
    for nth in 0..parallelism {
        let run = short + usize::from(nth < longer);
        dealt[(*first + nth) % parallelism] = elements.by_ref().take(run).collect();
    }
    *first = (*first + longer) % parallelism;
    dealt
}

#[cfg(test)]
mod tests;
