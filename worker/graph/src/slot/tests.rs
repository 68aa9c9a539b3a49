use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::fixtures::{any_program, co_location, rescale, wordcount};

fn free(slots_per_manager: &[u32]) -> Vec<FreeSlot> {
    let mut free = Vec::new();
    for (manager, &slots) in (1..).zip(slots_per_manager) {
        free.extend((0..slots).map(|slot| FreeSlot {
            task_manager: TaskManagerId(manager),
            slot: SlotIndex(slot),
        }));
    }
    free
}

/// For each group, the TaskManagers of its slots in order.
fn homes(assignments: &[SlotAssignment]) -> Vec<(String, Vec<u128>)> {
    assignments
        .chunk_by(|a, b| a.request.group == b.request.group)
        .map(|group| {
            let managers = group.iter().map(|a| a.slot.task_manager.0).collect();
            (group[0].request.group.clone(), managers)
        })
        .collect()
}

#[test]
fn a_group_needs_as_many_slots_as_its_widest_vertex() {
    let job = JobGraph::from_stream_graph(&rescale());
    assert_eq!(job.slots_needed(), 4);
    let job = JobGraph::from_stream_graph(&co_location());
    assert_eq!(
        job.slots_per_group(),
        BTreeMap::from([("big".into(), 2), ("default".into(), 2)])
    );
    assert_eq!(job.slots_needed(), 4);
}

/// The two sources of four slots lie in the first and the third, so that on two TaskManagers each
/// gets one.
#[test]
fn a_narrow_vertex_is_spread_over_the_slots() {
    let job = JobGraph::from_stream_graph(&rescale());
    let subtasks: Vec<_> = job
        .slot_requests()
        .iter()
        .map(|request| request.subtasks.len())
        .collect();
    assert_eq!(subtasks, [3, 1, 2, 1]);
}

#[test]
fn too_few_slots_say_how_many_are_missing_and_what_helps() {
    let job = JobGraph::from_stream_graph(&co_location());
    let shortage = assign_slots(&job, &free(&[2, 1])).expect_err("three are too few");
    assert_eq!(
        shortage.to_string(),
        "job `co-location` needs 4 slot(s) (big 2, default 2), 3 are free: start more \
         TaskManagers, give them more slots, or lower the parallelism"
    );
}

#[test]
fn one_slot_offered_twice_counts_once() {
    let job = JobGraph::from_stream_graph(&wordcount(2));
    let twice = [free(&[1]), free(&[1])].concat();
    assert_eq!(assign_slots(&job, &twice).expect_err("it is one").free, 1);
}

#[test]
fn each_group_is_spread_over_the_task_managers() {
    let job = JobGraph::from_stream_graph(&co_location());
    let assignments = assign_slots(&job, &free(&[4, 4])).expect("enough");
    let want = [
        ("big".to_owned(), vec![1, 2]),
        ("default".to_owned(), vec![1, 2]),
    ];
    assert_eq!(homes(&assignments), want);
}

#[test]
fn neighbouring_slots_go_to_the_same_task_manager() {
    let job = JobGraph::from_stream_graph(&wordcount(5));
    let assignments = assign_slots(&job, &free(&[3, 4])).expect("enough");
    assert_eq!(
        homes(&assignments),
        [("default".to_owned(), vec![1, 1, 2, 2, 2])]
    );
}

proptest! {
    #[test]
    fn every_subtask_has_one_slot_and_no_slot_two_of_a_vertex(graph in any_program()) {
        let job = JobGraph::from_stream_graph(&graph);
        let mut seen = BTreeSet::new();
        for request in job.slot_requests() {
            prop_assert!(!request.subtasks.is_empty());
            let mut vertices = BTreeSet::new();
            for subtask in request.subtasks {
                let vertex = job.vertex(subtask.vertex).expect("it exists");
                prop_assert_eq!(&vertex.slot_sharing_group, &request.group);
                prop_assert!(vertices.insert(subtask.vertex));
                prop_assert!(seen.insert(subtask));
            }
        }
        prop_assert_eq!(seen.len(), job.subtask_count());
    }

    /// Holds co-location: same index and same parallelism give the same slot.
    #[test]
    fn like_subtasks_of_a_group_share_a_slot(graph in any_program()) {
        let job = JobGraph::from_stream_graph(&graph);
        let mut slots = BTreeMap::new();
        for request in job.slot_requests() {
            for subtask in request.subtasks {
                let parallelism = job.vertex(subtask.vertex).expect("it exists").parallelism;
                let like = (request.group.clone(), parallelism, subtask.subtask);
                let first = *slots.entry(like).or_insert(request.index);
                prop_assert_eq!(first, request.index);
            }
        }
    }

    #[test]
    fn no_slot_is_given_twice_and_the_load_is_even(
        parallelism in 1u32..20, managers in proptest::collection::vec(0u32..8, 1..6), turn in 0usize..40
    ) {
        let job = JobGraph::from_stream_graph(&wordcount(parallelism));
        let mut offered = free(&managers);
        let total = offered.len();
        match assign_slots(&job, &offered) {
            Err(shortage) => {
                prop_assert!(total < parallelism as usize);
                prop_assert_eq!((shortage.needed, shortage.free), (parallelism as usize, total));
            }
            Ok(assignments) => {
                let taken: BTreeSet<_> = assignments.iter().map(|a| a.slot).collect();
                prop_assert_eq!(taken.len(), assignments.len());
                prop_assert!(taken.iter().all(|slot| offered.contains(slot)));
                let used = |manager: u128| {
                    taken.iter().filter(|slot| slot.task_manager.0 == manager).count()
                };
                for (a, &slots) in (1..).zip(&managers) {
                    for b in 1..=managers.len() as u128 {
                        let a_has_room = used(a) < slots as usize;
                        prop_assert!(!a_has_room || used(b) <= used(a) + 1);
                    }
                }
                offered.rotate_left(turn % total);
                prop_assert_eq!(assign_slots(&job, &offered), Ok(assignments));
            }
        }
    }
}
