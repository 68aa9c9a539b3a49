//! The simulated job's graph: one or two regions, each with a source, a count and a sink of its
//! own, and no channel between them. So each may fail and start again alone.
//!
//! It is a real graph. Its operators have uids, so vertices are the same at any parallelism.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::OnceLock;

use weir_graph::{
    EdgeSpec, Fingerprint, JobGraph, NodeId, NodeSpec, PartHash, Partitioner, Settings,
    StreamGraphBuilder,
};
use weir_types::VertexId;

/// The places in a region, from the source on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Source,
    Count,
    Sink,
}

const PLACES: [Place; 3] = [Place::Source, Place::Count, Place::Sink];
const REGIONS_MAX: usize = 2;

pub(crate) const KEY_GROUPS: u32 = 8;

/// Every region has keys of its own, so many.
const KEYS: u8 = 11;

/// The parallelism of each source, count and sink.
pub(crate) type Parallelism = [u32; 3];

fn build(regions: usize, parallelism: Parallelism) -> JobGraph {
    let settings = Settings {
        max_parallelism: Some(KEY_GROUPS),
        ..Settings::default()
    };
    let mut builder = StreamGraphBuilder::new("simulated", settings);
    for region in 0..regions {
        let mut add = |mut node: NodeSpec, parallelism| {
            node.uid = Some(format!("{}-{region}", node.kind));
            node.parallelism = Some(parallelism);
            builder.add_node(node)
        };
        let mut source = NodeSpec::source("source", "u8");
        source.bounded = true;
        let source = add(source, parallelism[0]);
        let mut count = NodeSpec::operator("count", ["u8"], "(u8, u32)");
        count.keyed = true;
        let count = add(count, parallelism[1]);
        let mut sink = NodeSpec::sink("sink", "(u8, u32)");
        sink.commits = true;
        let sink = add(sink, parallelism[2]);
        builder.add_edge(EdgeSpec::new(source, count).partitioned(Partitioner::Hash));
        builder.add_edge(EdgeSpec::new(count, sink).partitioned(Partitioner::Hash));
    }
    let graph = builder.build().expect("the simulated graph is a good one");
    JobGraph::from_stream_graph(&graph)
}

/// The job's graph. Made once in each thread: a run needs it for each of its leaders.
pub(crate) fn job_graph(regions: usize, parallelism: Parallelism) -> JobGraph {
    thread_local! {
        static MADE: RefCell<BTreeMap<(usize, Parallelism), JobGraph>> =
            const { RefCell::new(BTreeMap::new()) };
    }
    MADE.with_borrow_mut(|made| {
        let graph = made.entry((regions, parallelism));
        graph.or_insert_with(|| build(regions, parallelism)).clone()
    })
}

/// What all processes have built: the same.
pub(crate) fn fingerprint() -> Fingerprint {
    let part = PartHash(1);
    Fingerprint {
        graph: part,
        args: part,
        config: part,
        executable: part,
    }
}

/// The vertices by region and place.
fn vertices() -> &'static [[VertexId; 3]; REGIONS_MAX] {
    static VERTICES: OnceLock<[[VertexId; 3]; REGIONS_MAX]> = OnceLock::new();
    VERTICES.get_or_init(|| {
        let graph = build(REGIONS_MAX, [1, 1, 1]);
        let of = |region, place| {
            let vertex = graph.vertex_of_node(node(region, place));
            vertex
                .expect("no operator of the simulated graph is chained")
                .id
        };
        std::array::from_fn(|region| PLACES.map(|place| of(region, place)))
    })
}

fn node(region: usize, place: Place) -> NodeId {
    NodeId(u32::try_from(region * PLACES.len() + place as usize).unwrap_or(u32::MAX))
}

/// The vertex at a place of a region.
pub(crate) fn vertex_at(region: usize, place: Place) -> VertexId {
    vertices()[region][place as usize]
}

fn position(vertex: VertexId) -> (usize, Place) {
    let places = (0..REGIONS_MAX).flat_map(|region| PLACES.map(|place| (region, place)));
    let mut there = places.filter(|(region, place)| vertex_at(*region, *place) == vertex);
    there.next().expect("the simulated graph has this vertex")
}

pub(crate) fn region_of(vertex: VertexId) -> usize {
    position(vertex).0
}

pub(crate) fn place_of(vertex: VertexId) -> Place {
    position(vertex).1
}

/// Its number among all vertices.
pub(crate) fn number_of(vertex: VertexId) -> usize {
    let (region, place) = position(vertex);
    region * PLACES.len() + place as usize
}

/// The region that a source's or sink's node belongs to.
pub(crate) fn region_of_node(node: NodeId) -> usize {
    usize::try_from(node.0).unwrap_or(0) / PLACES.len()
}

/// The node of a region's source.
pub(crate) fn source_node(region: usize) -> NodeId {
    node(region, Place::Source)
}

/// The node of a region's sink.
pub(crate) fn sink_node(region: usize) -> NodeId {
    node(region, Place::Sink)
}

/// The region that reads a split: they take turns.
pub(crate) fn reads(regions: usize, split: u8) -> usize {
    usize::from(split) % regions
}

/// The key of a record.
pub(crate) fn key_of(region: usize, split: u8, index: u8) -> u8 {
    let key = split.wrapping_mul(3).wrapping_add(index.wrapping_mul(5)) % KEYS;
    u8::try_from(region).unwrap_or(0) * KEYS + key
}
