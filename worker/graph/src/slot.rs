//! Which subtasks share a slot, and which slot of which TaskManager they get (Flink's
//! `SlotSharingExecutionSlotAllocator` with evenly spread slots).
//!
//! A slot holds at most one subtask of each vertex of one slot sharing group, so a group needs as
//! many slots as its widest vertex has subtasks. A narrower vertex is spread over the group's
//! slots. Subtasks with the same index of vertices with the same parallelism lie in the same slot:
//! forward edges stay inside a slot, and co-location holds by itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_types::{SlotIndex, SubtaskIndex, TaskManagerId};

use crate::job_graph::{ExecutionVertexId, JobGraph};

/// A slot that the job needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRequest {
    /// The slot sharing group.
    pub group: String,
    /// Its place among the group's slots, from 0.
    pub index: u32,
    /// What runs in it, by vertex in topological order.
    pub subtasks: Vec<ExecutionVertexId>,
}

/// A slot that a TaskManager offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FreeSlot {
    /// The TaskManager.
    pub task_manager: TaskManagerId,
    /// Which of its slots.
    pub slot: SlotIndex,
}

/// A request and the slot that it gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotAssignment {
    /// What is to run.
    pub request: SlotRequest,
    /// Where.
    pub slot: FreeSlot,
}

/// There are too few slots for the job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error(
    "job `{job_name}` needs {needed} slot(s) ({groups}), {free} are free: \
     start more TaskManagers, give them more slots, or lower the parallelism"
)]
pub struct SlotShortage {
    /// The job.
    pub job_name: String,
    /// How many slots it needs.
    pub needed: usize,
    /// How many there are.
    pub free: usize,
    /// What each slot sharing group needs, as `default 4, heavy 2`.
    pub groups: String,
}

impl JobGraph {
    /// How many slots each slot sharing group needs.
    pub fn slots_per_group(&self) -> BTreeMap<String, u32> {
        let mut groups = BTreeMap::new();
        for vertex in &self.vertices {
            let slots: &mut u32 = groups.entry(vertex.slot_sharing_group.clone()).or_default();
            *slots = vertex.parallelism.max(*slots);
        }
        groups
    }

    /// How many slots the job needs.
    pub fn slots_needed(&self) -> usize {
        self.slots_per_group()
            .values()
            .map(|&slots| slots as usize)
            .sum()
    }

    /// The slots that the job needs, by group and index.
    pub fn slot_requests(&self) -> Vec<SlotRequest> {
        let mut requests = Vec::with_capacity(self.slots_needed());
        for (group, slots) in self.slots_per_group() {
            let first = requests.len();
            requests.extend((0..slots).map(|index| SlotRequest {
                group: group.clone(),
                index,
                subtasks: Vec::new(),
            }));
            for vertex in self
                .vertices
                .iter()
                .filter(|v| v.slot_sharing_group == group)
            {
                for subtask in vertex.subtasks() {
                    let slot = slot_of(subtask.subtask, vertex.parallelism, slots);
                    requests[first + slot as usize].subtasks.push(subtask);
                }
            }
        }
        requests
    }
}

/// Spreads a vertex's subtasks over its group's slots, at most one to each.
fn slot_of(subtask: SubtaskIndex, parallelism: u32, slots: u32) -> u32 {
    subtask.0 * slots / parallelism
}

/// Gives each slot that the job needs one of the free ones, spread evenly over the TaskManagers:
/// for each group and in all, no TaskManager gets a slot more while one with fewer has a free one.
/// Neighbouring slots of a group go to the same TaskManager. The order of `free` does not matter.
pub fn assign_slots(
    graph: &JobGraph,
    free: &[FreeSlot],
) -> Result<Vec<SlotAssignment>, SlotShortage> {
    assign_requests(graph, &graph.slot_requests(), free)
}

/// [`assign_slots`] for some of the job's requests, which are in order.
pub fn assign_requests(
    graph: &JobGraph,
    requests: &[SlotRequest],
    free: &[FreeSlot],
) -> Result<Vec<SlotAssignment>, SlotShortage> {
    let mut free_of: BTreeMap<TaskManagerId, Vec<SlotIndex>> = BTreeMap::new();
    for slot in free {
        free_of
            .entry(slot.task_manager)
            .or_default()
            .push(slot.slot);
    }
    for slots in free_of.values_mut() {
        slots.sort_unstable_by(|a, b| b.cmp(a));
        slots.dedup();
    }
    let available = free_of.values().map(Vec::len).sum();
    if requests.len() > available {
        return Err(shortage(graph, requests.len(), available));
    }
    let mut used: BTreeMap<TaskManagerId, usize> = free_of.keys().map(|&id| (id, 0)).collect();
    let mut assignments = Vec::with_capacity(requests.len());
    for group in requests.chunk_by(|a, b| a.group == b.group) {
        let mut homes = pick(group.len(), &mut free_of, &mut used);
        homes.sort_unstable();
        assignments.extend(
            group
                .iter()
                .zip(homes)
                .map(|(request, slot)| SlotAssignment {
                    request: request.clone(),
                    slot,
                }),
        );
    }
    Ok(assignments)
}

/// Takes slots one by one from the TaskManager that has given fewest to this group, then fewest in
/// all, then has most left.
fn pick(
    count: usize,
    free_of: &mut BTreeMap<TaskManagerId, Vec<SlotIndex>>,
    used: &mut BTreeMap<TaskManagerId, usize>,
) -> Vec<FreeSlot> {
    let mut given: BTreeMap<TaskManagerId, usize> = BTreeMap::new();
    let mut homes = Vec::with_capacity(count);
    while homes.len() < count {
        let next = free_of
            .iter()
            .filter(|(_, slots)| !slots.is_empty())
            .min_by_key(|&(id, slots)| {
                let in_group = given.get(id).copied().unwrap_or_default();
                (in_group, used[id], std::cmp::Reverse(slots.len()), *id)
            })
            .map(|(&id, _)| id)
            .expect("the free slots were counted before");
        let slot = free_of
            .get_mut(&next)
            .and_then(Vec::pop)
            .expect("it has a free slot");
        *given.entry(next).or_default() += 1;
        *used.entry(next).or_default() += 1;
        homes.push(FreeSlot {
            task_manager: next,
            slot,
        });
    }
    homes
}

fn shortage(graph: &JobGraph, needed: usize, free: usize) -> SlotShortage {
    let groups = graph.slots_per_group();
    let groups: Vec<String> = groups
        .iter()
        .map(|(group, slots)| format!("{group} {slots}"))
        .collect();
    SlotShortage {
        job_name: graph.job_name.clone(),
        needed,
        free,
        groups: groups.join(", "),
    }
}

#[cfg(test)]
mod tests;
