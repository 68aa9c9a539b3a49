use super::*;
use crate::fixtures::{Program, co_location, wordcount};

fn refused(program: Program) -> GraphError {
    program.0.build().expect_err("the graph cannot run")
}

fn text(program: Program) -> String {
    refused(program).to_string()
}

/// source -> map -> sink
fn line(parallelism: u32) -> (Program, [NodeId; 3]) {
    let mut program = Program::new("line", parallelism);
    let source = program.source("file");
    let map = program.operator("map", source);
    let sink = program.sink("print", map);
    (program, [source, map, sink])
}

#[test]
fn an_open_partitioner_is_forward_between_equal_parallelisms_and_rebalance_otherwise() {
    let (mut program, [_, _, sink]) = line(2);
    program.set(sink, |node| node.parallelism = Some(1));
    let graph = program.build();
    let partitioners: Vec<_> = graph.edges.iter().map(|edge| edge.partitioner).collect();
    assert_eq!(partitioners, [Partitioner::Forward, Partitioner::Rebalance]);
}

#[test]
fn the_default_max_parallelism_is_that_of_flink() {
    let table = [
        (1, 128),
        (85, 128),
        (86, 256),
        (170, 256),
        (171, 256),
        (172, 512),
        (20_000, 32_768),
        (32_768, 32_768),
        (u32::MAX, 32_768),
    ];
    for (parallelism, want) in table {
        assert_eq!(default_max_parallelism(parallelism), want, "{parallelism}");
    }
}

#[test]
fn a_nodes_own_settings_win_over_the_jobs() {
    let (mut program, [source, map, _]) = line(2);
    program.0.settings_mut().max_parallelism = Some(16);
    program.0.settings_mut().buffer_timeout_ms = Some(100);
    program.set(map, |node| {
        node.max_parallelism = Some(32);
        node.buffer_timeout_ms = Some(0);
    });
    program.set(source, |node| node.non_parallel = true);
    let graph = program.build();
    let of = |id: NodeId| {
        let node = graph.node(id);
        (
            node.parallelism,
            node.max_parallelism,
            node.buffer_timeout_ms,
        )
    };
    assert_eq!(of(source), (1, 16, Some(100)));
    assert_eq!(of(map), (2, 32, Some(0)));
}

#[test]
fn a_slot_sharing_group_is_inherited_only_where_all_inputs_agree() {
    let graph = co_location();
    let groups: Vec<_> = graph
        .nodes
        .iter()
        .map(|node| node.slot_sharing_group.as_str())
        .collect();
    assert_eq!(groups, ["default", "default", "big", "big", "big"]);

    let mut program = Program::new("union", 1);
    let a = program.source("a");
    program.set(a, |node| node.slot_sharing_group = Some("big".to_owned()));
    let b = program.source("b");
    let both = program.operator("map", a);
    program.0.add_edge(EdgeSpec::new(b, both));
    program.sink("print", both);
    assert_eq!(program.build().node(both).slot_sharing_group, "default");
}

#[test]
fn an_operator_is_bounded_only_if_all_sources_before_it_are() {
    let mut program = Program::new("union", 1);
    let file = program.source("file");
    let socket = program.source("socket");
    program.set(socket, |node| node.bounded = false);
    let before = program.operator("before", file);
    let both = program.operator("both", before);
    program.0.add_edge(EdgeSpec::new(socket, both));
    let sink = program.sink("print", both);
    let graph = program.build();
    let bounded: Vec<_> = [file, socket, before, both, sink]
        .map(|id| graph.node(id).bounded)
        .to_vec();
    assert_eq!(bounded, [true, false, true, false, false]);
}

#[test]
fn building_twice_gives_the_same_graph() {
    assert_eq!(wordcount(4), wordcount(4));
}

#[test]
fn forward_between_different_parallelisms_is_refused() {
    let mut program = Program::new("line", 2);
    let source = program.source("file");
    let map = program
        .0
        .add_node(NodeSpec::operator("map", ["String"], "String"));
    program.set(map, |node| node.parallelism = Some(3));
    program
        .0
        .add_edge(EdgeSpec::new(source, map).partitioned(Partitioner::Forward));
    program.sink("print", map);
    assert_eq!(
        text(program),
        "forward from `source: file` (parallelism 2) to `map` (parallelism 3) needs equal \
         parallelism: set the same, or use rebalance, rescale, shuffle, broadcast or global"
    );
}

#[test]
fn a_uid_that_is_given_twice_is_refused() {
    let (mut program, [source, map, _]) = line(1);
    for id in [source, map] {
        program.set(id, |node| node.uid = Some("a".to_owned()));
    }
    assert_eq!(
        text(program),
        "`source: file` and `map` both have the uid `a`: give each operator its own uid"
    );
}

#[test]
fn an_empty_uid_is_refused() {
    let (mut program, [_, map, _]) = line(1);
    program.set(map, |node| node.uid = Some(String::new()));
    assert_eq!(
        refused(program),
        GraphError::EmptyUid {
            name: "map".to_owned()
        }
    );
}

#[test]
fn parallelism_out_of_range_is_refused_for_operator_and_job() {
    for parallelism in [0, 32_769] {
        let (mut program, [_, map, _]) = line(1);
        program.set(map, |node| node.parallelism = Some(parallelism));
        let what = "`map`".to_owned();
        assert_eq!(
            refused(program),
            GraphError::Parallelism { what, parallelism }
        );

        let (program, _) = line(parallelism);
        let what = "the job".to_owned();
        assert_eq!(
            refused(program),
            GraphError::Parallelism { what, parallelism }
        );
    }
}

#[test]
fn max_parallelism_out_of_range_is_refused() {
    for max_parallelism in [0, 32_769] {
        let (mut program, [_, map, _]) = line(1);
        program.set(map, |node| node.max_parallelism = Some(max_parallelism));
        let what = "`map`".to_owned();
        assert_eq!(
            refused(program),
            GraphError::MaxParallelism {
                what,
                max_parallelism
            }
        );
    }
}

#[test]
fn more_subtasks_than_key_groups_are_refused() {
    let (mut program, [_, map, _]) = line(1);
    program.0.settings_mut().max_parallelism = Some(4);
    program.set(map, |node| node.parallelism = Some(5));
    let want = GraphError::ParallelismOverMax {
        name: "map".to_owned(),
        parallelism: 5,
        max_parallelism: 4,
    };
    assert_eq!(refused(program), want);
}

#[test]
fn an_operator_that_has_to_be_alone_is_not_made_parallel() {
    let (mut program, [source, ..]) = line(1);
    program.set(source, |node| {
        node.non_parallel = true;
        node.parallelism = Some(2);
    });
    let want = GraphError::NotParallel {
        name: "source: file".to_owned(),
        parallelism: 2,
    };
    assert_eq!(refused(program), want);
}

#[test]
fn a_graph_without_operators_is_refused() {
    assert_eq!(
        text(Program::new("none", 1)),
        "job `none` has no operators: add a source and a sink"
    );
}

#[test]
fn an_operator_that_nobody_reads_is_refused() {
    let (mut program, [source, ..]) = line(1);
    program.operator("forgotten", source);
    assert_eq!(
        refused(program),
        GraphError::NoConsumer {
            name: "forgotten".to_owned()
        }
    );
}

#[test]
fn an_input_that_nobody_writes_is_refused() {
    let (mut program, [source, ..]) = line(1);
    let join = program
        .0
        .add_node(NodeSpec::operator("join", ["String", "String"], "String"));
    program.0.add_edge(EdgeSpec::new(source, join));
    program.sink("print", join);
    assert_eq!(
        refused(program),
        GraphError::NoInput {
            name: "join".to_owned(),
            input: 1
        }
    );
}

#[test]
fn an_edge_must_lead_from_and_to_what_exists() {
    let (mut program, [source, _, sink]) = line(1);
    program.0.add_edge(EdgeSpec::new(source, NodeId(9)));
    assert_eq!(
        refused(program),
        GraphError::UnknownNode { node: 9, nodes: 3 }
    );

    let (mut program, _) = line(1);
    program.0.add_edge(EdgeSpec::new(source, sink).to_input(1));
    assert!(matches!(
        refused(program),
        GraphError::UnknownInput {
            input: 1,
            inputs: 1,
            ..
        }
    ));

    let (mut program, [_, map, sink]) = line(1);
    program.0.add_edge(EdgeSpec::new(sink, map));
    assert!(matches!(refused(program), GraphError::OutputOfSink { .. }));

    let (mut program, [source, map, _]) = line(1);
    program.0.add_edge(EdgeSpec::new(map, source));
    assert!(matches!(
        refused(program),
        GraphError::UnknownInput { inputs: 0, .. }
    ));
}

#[test]
fn a_role_with_the_wrong_number_of_inputs_is_refused() {
    let (mut program, [source, ..]) = line(1);
    program.set(source, |node| node.input_types = vec!["String".to_owned()]);
    assert!(matches!(
        refused(program),
        GraphError::InputCount { inputs: 1, .. }
    ));
}

#[test]
fn a_cycle_is_refused_and_names_only_the_operators_on_it() {
    let (mut program, [source, map, _]) = line(1);
    let ahead = program.operator("ahead", source);
    program.0.add_edge(EdgeSpec::new(ahead, map));
    let back = program.operator("back", map);
    program.0.add_edge(EdgeSpec::new(back, map));
    let behind = program.operator("behind", back);
    program.sink("end", behind);
    assert_eq!(
        text(program),
        "the graph has a cycle through `map`, `back`: a stream must not lead back"
    );
}

#[test]
fn co_location_needs_equal_parallelism_and_one_slot_sharing_group() {
    let (mut program, [source, map, _]) = line(2);
    for id in [source, map] {
        program.set(id, |node| node.co_location_group = Some("pair".to_owned()));
    }
    program.set(map, |node| node.parallelism = Some(1));
    assert!(matches!(
        refused(program),
        GraphError::CoLocationParallelism { .. }
    ));

    let (mut program, [source, map, _]) = line(2);
    for id in [source, map] {
        program.set(id, |node| node.co_location_group = Some("pair".to_owned()));
    }
    program.set(map, |node| node.slot_sharing_group = Some("own".to_owned()));
    assert!(matches!(
        refused(program),
        GraphError::CoLocationSlotSharing { .. }
    ));
}
