use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::fixtures::{Program, any_program, diamond, side_output, wordcount};
use crate::stream_graph::{EdgeSpec, NodeSpec, Settings};

fn names(graph: &StreamGraph) -> Vec<String> {
    chains(graph).into_iter().map(|chain| chain.name).collect()
}

#[test]
fn a_hash_edge_starts_a_new_chain() {
    assert_eq!(
        names(&wordcount(2)),
        ["source: file -> flat_map", "reduce -> sink: csv"]
    );
}

#[test]
fn a_chain_branches_and_takes_side_outputs_in() {
    let graph = side_output();
    assert_eq!(
        names(&graph),
        ["source: log -> process -> (sink: pages, sink: late)"]
    );
}

#[test]
fn an_operator_with_two_inputs_starts_a_chain_but_its_feeders_do_not() {
    let want = [
        "source: numbers -> (left, right)",
        "co_process -> sink: print",
    ];
    assert_eq!(names(&diamond(2)), want);
}

#[test]
fn a_union_starts_a_chain() {
    let mut program = Program::new("union", 1);
    let a = program.source("a");
    let b = program.source("b");
    let both = program.operator("map", a);
    program.0.add_edge(EdgeSpec::new(b, both));
    program.sink("print", both);
    assert_eq!(
        names(&program.build()),
        ["source: a", "source: b", "map -> sink: print"]
    );
}

/// Fails if max parallelism or co-location of one neighbour costs a hop through a channel.
#[test]
fn an_operator_without_a_wish_follows_the_one_before_it() {
    let mut program = Program::new("line", 2);
    let source = program.source("file");
    let sums = program.keyed("sum", source);
    program.set(sums, |node| {
        node.max_parallelism = Some(64);
        node.co_location_group = Some("own".to_owned());
    });
    program.sink("print", sums);
    assert_eq!(
        names(&program.build()),
        ["source: file", "sum -> sink: print"]
    );
}

/// Each row breaks exactly one condition. Fails if that condition is not looked at.
#[test]
fn each_condition_alone_breaks_a_chain() {
    type Change = fn(&mut Program, NodeId, NodeId);
    let rows: [(&str, Change); 10] = [
        ("chaining off", |program, _, _| {
            program.0.settings_mut().chaining = false
        }),
        ("head", |program, _, map| {
            program.set(map, |node| node.chaining = ChainingStrategy::Head);
        }),
        ("never below", |program, _, map| {
            program.set(map, |node| node.chaining = ChainingStrategy::Never);
        }),
        ("never above", |program, source, _| {
            program.set(source, |node| node.chaining = ChainingStrategy::Never);
        }),
        ("parallelism", |program, _, map| {
            program.set(map, |node| node.parallelism = Some(1));
        }),
        ("key groups", |program, source, map| {
            program.set(source, |node| node.keyed = true);
            program.set(map, |node| {
                node.keyed = true;
                node.max_parallelism = Some(64);
            });
        }),
        ("keyed below not keyed", |program, _, map| {
            program.set(map, |node| node.keyed = true);
        }),
        ("slot sharing group", |program, _, map| {
            program.set(map, |node| node.slot_sharing_group = Some("own".to_owned()));
        }),
        ("co-location group", |program, _, map| {
            program.set(map, |node| node.co_location_group = Some("own".to_owned()));
        }),
        ("second input edge", |program, source, map| {
            program
                .0
                .add_edge(EdgeSpec::new(source, map).from_side_output("again"));
        }),
    ];
    for (what, change) in rows {
        let mut program = Program::new("line", 2);
        let source = program.source("file");
        let map = program.operator("map", source);
        program.sink("print", map);
        change(&mut program, source, map);
        let graph = program.build();
        assert!(!is_chainable(&graph, &graph.edges[0]), "{what}");
    }
}

#[test]
fn every_partitioner_but_forward_breaks_a_chain() {
    use Partitioner::{Broadcast, Custom, Forward, Global, Hash, Rebalance, Rescale, Shuffle};
    for partitioner in [
        Forward, Hash, Rebalance, Rescale, Shuffle, Broadcast, Global, Custom,
    ] {
        let mut program = Program::new("line", 2);
        let source = program.source("file");
        let sink = program.0.add_node(NodeSpec::sink("sink: print", "String"));
        program
            .0
            .add_edge(EdgeSpec::new(source, sink).partitioned(partitioner));
        let graph = program.build();
        assert_eq!(
            is_chainable(&graph, &graph.edges[0]),
            partitioner == Forward
        );
    }
}

#[test]
fn a_source_that_starts_a_chain_still_takes_others_in() {
    let mut program = Program::new("line", 2);
    let source = program.source("file");
    program.set(source, |node| node.chaining = ChainingStrategy::Head);
    program.sink("print", source);
    assert_eq!(names(&program.build()), ["source: file -> sink: print"]);
}

/// Fails if chains are walked with one call per operator.
#[test]
fn a_chain_of_many_operators_does_not_use_up_the_stack() {
    let settings = Settings::default();
    let mut program = Program(crate::StreamGraphBuilder::new("long", settings));
    let mut last = program.source("file");
    for _ in 0..1_000 {
        last = program.operator("m", last);
    }
    program.sink("print", last);
    let graph = program.build();
    let run = move || chains(&graph).len();
    let thread = std::thread::Builder::new().stack_size(64 * 1024).spawn(run);
    assert_eq!(thread.expect("start").join().expect("it ends"), 1);
}

proptest! {
    #[test]
    fn every_operator_is_in_exactly_one_chain(graph in any_program()) {
        let mut seen = BTreeSet::new();
        for chain in chains(&graph) {
            for (node, _) in chain.operators {
                prop_assert!(seen.insert(node));
            }
        }
        prop_assert_eq!(seen.len(), graph.nodes.len());
    }

    #[test]
    fn a_chain_is_a_tree_of_like_operators_below_its_head(graph in any_program()) {
        for chain in chains(&graph) {
            let (head, none) = chain.operators[0];
            prop_assert_eq!(none, None);
            let mut before = BTreeSet::from([head]);
            for &(node, edge) in &chain.operators[1..] {
                let edge = edge.expect("only a head has no feeder");
                prop_assert_eq!(edge.target, node);
                prop_assert!(before.contains(&edge.source), "the feeder comes first");
                prop_assert_eq!(graph.in_edges(node).count(), 1);
                let (a, b) = (graph.node(head), graph.node(node));
                prop_assert_eq!(a.parallelism, b.parallelism);
                prop_assert!(!b.keyed || a.max_parallelism == b.max_parallelism);
                let together = b.co_location_group.is_none()
                    || a.co_location_group == b.co_location_group;
                prop_assert!(together);
                prop_assert_eq!(&a.slot_sharing_group, &b.slot_sharing_group);
                before.insert(node);
            }
        }
    }
}
