//! Programs that several tests look at.

use proptest::prelude::*;

use crate::stream_graph::{
    ChainingStrategy, EdgeSpec, NodeId, NodeSpec, Partitioner, Settings, StreamGraph,
    StreamGraphBuilder,
};

/// A builder with a short way to add what the tests need.
pub(crate) struct Program(pub(crate) StreamGraphBuilder);

impl Program {
    pub(crate) fn new(name: &str, parallelism: u32) -> Self {
        let settings = Settings {
            parallelism,
            ..Settings::default()
        };
        Self(StreamGraphBuilder::new(name, settings))
    }

    pub(crate) fn source(&mut self, kind: &str) -> NodeId {
        let mut spec = NodeSpec::source(format!("source: {kind}"), "String");
        spec.bounded = true;
        self.0.add_node(spec)
    }

    pub(crate) fn operator(&mut self, kind: &str, input: NodeId) -> NodeId {
        let id = self
            .0
            .add_node(NodeSpec::operator(kind, ["String"], "String"));
        self.0.add_edge(EdgeSpec::new(input, id));
        id
    }

    pub(crate) fn keyed(&mut self, kind: &str, input: NodeId) -> NodeId {
        let mut spec = NodeSpec::operator(kind, ["(String, u64)"], "(String, u64)");
        spec.keyed = true;
        let id = self.0.add_node(spec);
        self.0
            .add_edge(EdgeSpec::new(input, id).partitioned(Partitioner::Hash));
        id
    }

    pub(crate) fn sink(&mut self, kind: &str, input: NodeId) -> NodeId {
        let id = self
            .0
            .add_node(NodeSpec::sink(format!("sink: {kind}"), "String"));
        self.0.add_edge(EdgeSpec::new(input, id));
        id
    }

    pub(crate) fn set(&mut self, id: NodeId, change: impl FnOnce(&mut NodeSpec)) -> NodeId {
        change(self.0.node_mut(id));
        id
    }

    pub(crate) fn build(self) -> StreamGraph {
        self.0.build().expect("the fixture is a graph that can run")
    }
}

/// source -> flat_map =hash=> reduce -> sink
pub(crate) fn wordcount(parallelism: u32) -> StreamGraph {
    let mut program = Program::new("wordcount", parallelism);
    let lines = program.source("file");
    let words = program.operator("flat_map", lines);
    let counts = program.keyed("reduce", words);
    program.set(counts, |node| node.uid = Some("counts".to_owned()));
    let sink = program.sink("csv", counts);
    program.set(sink, |node| node.commits = true);
    program.build()
}

/// One source, two ways, joined again by an operator with two inputs.
pub(crate) fn diamond(parallelism: u32) -> StreamGraph {
    let mut program = Program::new("diamond", parallelism);
    let source = program.source("numbers");
    let left = program.operator("map", source);
    program.set(left, |node| node.name = "left".to_owned());
    let right = program.operator("filter", source);
    program.set(right, |node| node.name = "right".to_owned());
    let join = program.0.add_node(NodeSpec::operator(
        "co_process",
        ["String", "u64"],
        "String",
    ));
    program
        .0
        .add_edge(EdgeSpec::new(left, join).partitioned(Partitioner::Hash));
    program.0.add_edge(
        EdgeSpec::new(right, join)
            .to_input(1)
            .partitioned(Partitioner::Broadcast),
    );
    program.sink("print", join);
    program.build()
}

/// A chain that branches, one branch from a side output.
pub(crate) fn side_output() -> StreamGraph {
    let mut program = Program::new("side-output", 2);
    let source = program.source("log");
    let process = program.operator("process", source);
    program.sink("pages", process);
    let late = program.0.add_node(NodeSpec::sink("sink: late", "String"));
    program
        .0
        .add_edge(EdgeSpec::new(process, late).from_side_output("late"));
    program.build()
}

/// source(2) =rescale=> map(4) =rebalance=> sink(1)
pub(crate) fn rescale() -> StreamGraph {
    let mut program = Program::new("rescale", 4);
    let source = program.source("socket");
    program.set(source, |node| {
        node.parallelism = Some(2);
        node.bounded = false;
        node.buffer_timeout_ms = Some(5);
    });
    let map = program
        .0
        .add_node(NodeSpec::operator("map", ["String"], "String"));
    program
        .0
        .add_edge(EdgeSpec::new(source, map).partitioned(Partitioner::Rescale));
    let sink = program.sink("print", map);
    program.set(sink, |node| node.non_parallel = true);
    program.build()
}

/// Two flows apart; one has a slot sharing group of its own and is co-located.
pub(crate) fn co_location() -> StreamGraph {
    let mut program = Program::new("co-location", 2);
    let light = program.source("light");
    program.sink("blackhole", light);
    let heavy = program.source("heavy");
    program.set(heavy, |node| {
        node.slot_sharing_group = Some("big".to_owned());
        node.co_location_group = Some("pair".to_owned());
    });
    let model = program.keyed("train", heavy);
    program.set(model, |node| {
        node.co_location_group = Some("pair".to_owned())
    });
    program.sink("model", model);
    program.build()
}

/// One node of a random program: how many of the earlier nodes it reads (0 makes it a source), and
/// numbers that stand for choices.
pub(crate) type Choices = (u8, [u8; 8]);

/// Random programs that can run: each node reads earlier ones, what nobody reads gets a sink.
pub(crate) fn any_program() -> impl Strategy<Value = StreamGraph> {
    let node = (0u8..4, any::<[u8; 8]>());
    (
        1u32..5,
        any::<bool>(),
        proptest::collection::vec(node, 1..12),
    )
        .prop_map(|(parallelism, chaining, nodes)| random_program(parallelism, chaining, &nodes))
}

fn random_program(parallelism: u32, chaining: bool, nodes: &[Choices]) -> StreamGraph {
    let mut program = Program::new("random", parallelism);
    program.0.settings_mut().chaining = chaining;
    let mut made: Vec<NodeId> = Vec::new();
    let mut read = std::collections::BTreeSet::new();
    for (position, &(inputs, choices)) in nodes.iter().enumerate() {
        let pick = |choice: u8| made.get(usize::from(choice) % made.len().max(1)).copied();
        let feeders: Vec<NodeId> = match inputs.min(2) {
            0 => Vec::new(),
            1 => pick(choices[0]).into_iter().collect(),
            _ => pick(choices[0])
                .into_iter()
                .chain(pick(choices[1]))
                .collect(),
        };
        let mut spec = match feeders.len() {
            0 => NodeSpec::source("source: any", "u64"),
            // Two feeders of one input are a union.
            count if inputs == 3 || count == 1 => NodeSpec::operator("union", ["u64"], "u64"),
            _ => NodeSpec::operator("connect", ["u64", "u64"], "u64"),
        };
        let unions = spec.input_types.len() == 1;
        spec.name = format!("n{position}");
        spec.bounded = choices[2] % 2 == 0;
        spec.keyed = choices[2] % 3 == 0;
        spec.parallelism = (choices[3] % 3 == 0).then_some(u32::from(choices[3]) % 7 + 1);
        spec.max_parallelism = (choices[4] % 8 == 0).then_some(64);
        spec.chaining = match choices[5] % 6 {
            0 => ChainingStrategy::Head,
            1 => ChainingStrategy::Never,
            _ => ChainingStrategy::Always,
        };
        spec.slot_sharing_group = (choices[6] % 5 == 0).then(|| "other".to_owned());
        spec.co_location_group = (choices[4] % 7 == 1).then(|| "pair".to_owned());
        spec.uid = (choices[6] % 3 == 0).then(|| format!("uid {position}"));
        if spec.co_location_group.is_some() {
            spec.parallelism = None;
            spec.slot_sharing_group = Some("default".to_owned());
        }
        let id = program.0.add_node(spec);
        for (input, feeder) in (0..).zip(feeders) {
            read.insert(feeder);
            let partitioner = match choices[7] % 8 {
                0 => Some(Partitioner::Hash),
                1 => Some(Partitioner::Rescale),
                2 => Some(Partitioner::Broadcast),
                _ => None,
            };
            program.0.add_edge(EdgeSpec {
                source: feeder,
                target: id,
                target_input: if unions { 0 } else { input },
                partitioner,
                side_output: (choices[7] % 5 == 0).then(|| "side".to_owned()),
            });
        }
        made.push(id);
    }
    for id in made {
        if !read.contains(&id) {
            program.sink("any", id);
        }
    }
    program.build()
}
