//! Gives the operator state of a stopped job to the subtasks of the next run (Flink's
//! `RoundRobinOperatorStateRepartitioner`). A pure function.

use std::collections::BTreeMap;
use std::ops::Range;

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
    let subtasks = 0..parallelism;
    subtasks
        .map(|subtask| own_part(snapshots, parallelism, subtask))
        .collect()
}

/// What [`repartition`] gives to one of the subtasks, without a copy of what the others get: of
/// union state each gets all.
pub fn own_part(
    snapshots: &[OperatorSnapshot],
    parallelism: usize,
    subtask: usize,
) -> Result<OperatorSnapshot, StateError> {
    assert!(
        subtask < parallelism,
        "no subtask {subtask} of {parallelism}"
    );
    let mut states = Vec::new();
    let mut first = 0;
    for (meta, parts) in by_name(snapshots)? {
        let whole = || parts.iter().flat_map(|(_, elements)| elements.iter());
        let elements = match meta.mode {
            OperatorStateMode::Union => whole().cloned().collect(),
            OperatorStateMode::Broadcast => parts[subtask % parts.len()].1.to_vec(),
            OperatorStateMode::Split if snapshots.len() == parallelism => {
                let own = parts.iter().find(|(former, _)| *former == subtask);
                own.map_or_else(Vec::new, |(_, elements)| elements.to_vec())
            }
            OperatorStateMode::Split => {
                let run = run(whole().count(), parallelism, subtask, &mut first);
                whole().skip(run.start).take(run.len()).cloned().collect()
            }
        };
        states.push(OperatorStateSnapshot {
            meta: meta.clone(),
            elements,
        });
    }
    Ok(OperatorSnapshot { states })
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

/// The subtask's run of so many elements. They are dealt out in runs, the first one to subtask
/// `first`, which moves on to the one behind the last longer run.
fn run(elements: usize, parallelism: usize, subtask: usize, first: &mut usize) -> Range<usize> {
    let (short, longer) = (elements / parallelism, elements % parallelism);
    let nth = (subtask + parallelism - *first) % parallelism;
    let start = nth * short + nth.min(longer);
    *first = (*first + longer) % parallelism;
    start..start + short + usize::from(nth < longer)
}

#[cfg(test)]
mod tests;
