use super::*;
use crate::fixtures::{Program, diamond, wordcount};
use crate::stream_graph::{EdgeSpec, NodeSpec};

fn ids(graph: &StreamGraph) -> Vec<String> {
    graph
        .nodes
        .iter()
        .map(|node| node.operator_id.to_string())
        .collect()
}

/// Never edit an expected value: state on disk belongs to these ids.
#[test]
fn the_golden_ids_of_version_1_hold() {
    assert_eq!(ids(&wordcount(2)), WORDCOUNT);
    assert_eq!(ids(&diamond(2)), DIAMOND);
}

const WORDCOUNT: [&str; 4] = [
    "ea963a2c258f2a03be1df83260b46af7",
    "fa999823e4f2812ef8b3dd3dddd2f271",
    "5704d92204745bb18d29d92c13fd167e",
    "51255c9e0fa2152d16df81a3b3a1265c",
];
const DIAMOND: [&str; 5] = [
    "ea963a2c258f2a03be1df83260b46af7",
    "fa999823e4f2812ef8b3dd3dddd2f271",
    "1cb893aae54feefdf0489bf3a9fcd8ab",
    "d0cb0a8c606a7743931fdde75bdcf956",
    "c6f39cdf7e6fe21cfaf72bee5b0982ea",
];

#[test]
fn parallelism_and_chaining_do_not_change_ids() {
    assert_eq!(ids(&wordcount(1)), ids(&wordcount(64)));

    let mut program = Program::new("wordcount", 2);
    let lines = program.source("file");
    let words = program.operator("split", lines);
    let counts = program.keyed("sum", words);
    program.set(counts, |node| node.uid = Some("counts".to_owned()));
    let sink = program.sink("print", counts);
    // Chain and partitioner of the last edge change, and so do names and kinds.
    program.set(sink, |node| node.parallelism = Some(1));
    assert_eq!(ids(&program.build()), ids(&wordcount(2)));
}

#[test]
fn a_uid_alone_decides_the_id() {
    let graph = wordcount(2);
    assert_eq!(graph.nodes[2].operator_id, OperatorId::from_text("counts"));
}

/// Fails if the place were counted over the whole graph, as Flink does.
#[test]
fn a_flow_that_is_added_elsewhere_leaves_the_other_ids_as_they_are() {
    let build = |with_more: bool| {
        let mut program = Program::new("job", 2);
        let a = program.source("a");
        let b = program.source("b");
        let first = program.operator("map", a);
        let second = program.operator("map", b);
        let mut kept = vec![a, b, first, second];
        kept.push(program.sink("print", first));
        if with_more {
            let more = program.operator("more", first);
            program.set(more, |node| node.uid = Some("more".to_owned()));
            program.sink("more", more);
            let c = program.source("c");
            program.sink("c", c);
        }
        kept.push(program.sink("print", second));
        let graph = program.build();
        kept.into_iter()
            .map(|id| graph.node(id).operator_id)
            .collect::<Vec<_>>()
    };
    assert_eq!(build(false), build(true));
}

#[test]
fn operators_with_the_same_inputs_are_told_apart_by_input_side_output_and_order() {
    let mut program = Program::new("job", 1);
    let a = program.source("a");
    let b = program.source("b");
    let mut made = vec![a, b];
    for swap in [false, true] {
        let join = program
            .0
            .add_node(NodeSpec::operator("join", ["String", "String"], "String"));
        program
            .0
            .add_edge(EdgeSpec::new(a, join).to_input(u8::from(swap)));
        program
            .0
            .add_edge(EdgeSpec::new(b, join).to_input(u8::from(!swap)));
        made.push(join);
        made.push(program.sink("print", join));
    }
    for _ in 0..2 {
        made.push(program.sink("print", a));
        let side = program.0.add_node(NodeSpec::sink("sink: side", "String"));
        program
            .0
            .add_edge(EdgeSpec::new(a, side).from_side_output("late"));
        made.push(side);
    }
    let graph = program.build();
    let ids: std::collections::BTreeSet<_> =
        made.iter().map(|&id| graph.node(id).operator_id).collect();
    assert_eq!(ids.len(), made.len());
}

/// A uid that is the very text that another operator's id is derived from.
#[test]
fn two_operators_with_one_id_are_refused() {
    let mut program = Program::new("job", 1);
    let a = program.source("a");
    program.sink("print", a);
    let b = program.source("b");
    program.set(b, |node| node.uid = Some("operator/1\n0".to_owned()));
    program.sink("print", b);
    let error = program.0.build().expect_err("the ids are equal");
    assert!(
        matches!(error, GraphError::OperatorIdCollision { .. }),
        "{error}"
    );
}
