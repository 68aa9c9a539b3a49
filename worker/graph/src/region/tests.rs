use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::fixtures::{Program, any_program, co_location, wordcount};
use crate::stream_graph::ChainingStrategy;

fn sizes(job: &JobGraph) -> Vec<usize> {
    job.pipelined_regions()
        .iter()
        .map(|region| region.subtasks.len())
        .collect()
}

#[test]
fn an_exchange_between_all_joins_all() {
    let job = JobGraph::from_stream_graph(&wordcount(3));
    assert_eq!(sizes(&job), [6]);
}

#[test]
fn forward_edges_give_a_region_per_index() {
    let mut program = Program::new("line", 3);
    let source = program.source("file");
    let sink = program.sink("print", source);
    program.set(sink, |node| node.chaining = ChainingStrategy::Never);
    let job = JobGraph::from_stream_graph(&program.build());
    assert_eq!(sizes(&job), [2, 2, 2]);
}

#[test]
fn flows_apart_are_regions_apart() {
    // The light flow is one chain: a region per subtask. The heavy one exchanges by key.
    let job = JobGraph::from_stream_graph(&co_location());
    assert_eq!(sizes(&job), [1, 1, 4]);
}

proptest! {
    /// The naive model: spread from each subtask along every single channel.
    #[test]
    fn regions_are_the_connected_components(graph in any_program()) {
        let job = JobGraph::from_stream_graph(&graph);
        let mut links = BTreeSet::new();
        for vertex in &job.vertices {
            for id in vertex.subtasks() {
                for gate in job.input_gates(id.vertex, id.subtask) {
                    for channel in gate.channels {
                        let producer =
                            ExecutionVertexId { vertex: gate.producer, subtask: channel.producer };
                        links.insert((producer, id));
                        links.insert((id, producer));
                    }
                }
            }
        }
        let mut left: BTreeSet<_> = job.vertices.iter().flat_map(|v| v.subtasks()).collect();
        let mut want = BTreeSet::new();
        while let Some(first) = left.pop_first() {
            let mut component = BTreeSet::from([first]);
            let mut next = vec![first];
            while let Some(id) = next.pop() {
                for &(_, other) in links.range((id, MIN)..=(id, MAX)) {
                    if component.insert(other) {
                        left.remove(&other);
                        next.push(other);
                    }
                }
            }
            want.insert(component);
        }
        let got: BTreeSet<BTreeSet<_>> = job
            .pipelined_regions()
            .into_iter()
            .map(|region| region.subtasks.into_iter().collect())
            .collect();
        prop_assert_eq!(got, want);
    }
}

const MIN: ExecutionVertexId = ExecutionVertexId {
    vertex: VertexId(0),
    subtask: weir_types::SubtaskIndex(0),
};
const MAX: ExecutionVertexId = ExecutionVertexId {
    vertex: VertexId(u128::MAX),
    subtask: weir_types::SubtaskIndex(u32::MAX),
};
