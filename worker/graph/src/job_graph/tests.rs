use proptest::prelude::*;

use super::*;
use crate::fixtures::{any_program, diamond, rescale, side_output, wordcount};

#[test]
fn a_vertex_takes_its_id_and_settings_from_its_head() {
    let graph = wordcount(2);
    let job = JobGraph::from_stream_graph(&graph);
    let reduce = job
        .vertex_of_node(NodeId(3))
        .expect("the sink is in a vertex");
    assert_eq!(reduce.id, VertexId(graph.nodes[2].operator_id.0));
    assert!(reduce.commits && reduce.bounded && !reduce.is_source());
    assert_eq!(
        reduce.operators[1].input.as_ref().map(|input| input.from),
        Some(NodeId(2))
    );
}

#[test]
fn a_chained_stream_is_no_edge_of_the_job() {
    assert!(JobGraph::from_stream_graph(&side_output()).edges.is_empty());
    let job = JobGraph::from_stream_graph(&wordcount(2));
    assert_eq!(
        job.edges.iter().map(|edge| edge.id).collect::<Vec<_>>(),
        [EdgeId(1)]
    );
}

#[test]
fn inputs_come_in_the_order_of_the_heads_inputs() {
    let job = JobGraph::from_stream_graph(&diamond(2));
    let join = &job.vertices[1];
    let inputs: Vec<_> = job
        .inputs(join.id)
        .iter()
        .map(|edge| edge.target_input)
        .collect();
    assert_eq!(inputs, [0, 1]);
    assert!(job.outputs(join.id).is_empty());
}

#[test]
fn one_unbounded_source_makes_the_job_unbounded() {
    assert!(JobGraph::from_stream_graph(&wordcount(1)).is_bounded());
    assert!(!JobGraph::from_stream_graph(&rescale()).is_bounded());
}

#[test]
fn both_graphs_survive_json() {
    let graph = diamond(3);
    let text = serde_json::to_string(&graph).expect("write");
    assert_eq!(
        serde_json::from_str::<StreamGraph>(&text).expect("read"),
        graph
    );
    let job = JobGraph::from_stream_graph(&graph);
    let text = serde_json::to_string(&job).expect("write");
    assert_eq!(serde_json::from_str::<JobGraph>(&text).expect("read"), job);
}

proptest! {
    #[test]
    fn every_edge_leads_forward_to_a_head(graph in any_program()) {
        let job = JobGraph::from_stream_graph(&graph);
        let place: BTreeMap<_, _> =
            job.vertices.iter().zip(0..).map(|(vertex, place)| (vertex.id, place)).collect();
        prop_assert_eq!(place.len(), job.vertices.len(), "vertex ids are unique");
        for edge in &job.edges {
            prop_assert!(place[&edge.source] < place[&edge.target]);
            let target = job.vertex(edge.target).expect("it exists");
            prop_assert_eq!(target.head().node, edge.target_node);
        }
    }

    /// Fails if a stream of the program is lost or doubled on the way.
    #[test]
    fn every_stream_is_either_chained_or_an_edge(graph in any_program()) {
        let job = JobGraph::from_stream_graph(&graph);
        let chained = job
            .vertices
            .iter()
            .flat_map(|vertex| &vertex.operators)
            .filter_map(|operator| operator.input.as_ref())
            .map(|input| input.edge);
        let mut ids: Vec<_> = chained.chain(job.edges.iter().map(|edge| edge.id)).collect();
        ids.sort_unstable();
        let all: Vec<_> = graph.edges.iter().map(|edge| edge.id).collect();
        prop_assert_eq!(ids, all);
    }

    /// Fails if a producer's subpartition is read twice or by nobody, or if its two ends differ on
    /// which channel it is.
    #[test]
    fn each_subpartition_is_read_by_exactly_the_channel_that_it_names(graph in any_program()) {
        let job = JobGraph::from_stream_graph(&graph);
        let mut written = BTreeSet::new();
        let mut read = BTreeSet::new();
        for vertex in &job.vertices {
            for id in vertex.subtasks() {
                for partition in job.result_partitions(id.vertex, id.subtask) {
                    for (position, sub) in (0..).zip(&partition.subpartitions) {
                        prop_assert_eq!(sub.index, position);
                        written.insert((
                            (partition.edge, id.subtask, sub.index),
                            (sub.consumer, sub.channel),
                        ));
                    }
                }
                for gate in job.input_gates(id.vertex, id.subtask) {
                    for (position, channel) in (0..).zip(&gate.channels) {
                        prop_assert_eq!(channel.index, position);
                        let from = (gate.edge, channel.producer, channel.subpartition);
                        prop_assert!(read.insert((from, (id.subtask, channel.index))));
                    }
                }
            }
        }
        prop_assert_eq!(written, read);
    }
}
