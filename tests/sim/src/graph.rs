//! The simulated job's graph: one or two regions, each with a source, a count and a sink of its
//! own, and no channel between them. So each may fail and start again alone.

use weir_graph::NodeId;
use weir_types::VertexId;

/// The places in a region, from the source on.
pub(crate) const SOURCE: u128 = 1;
pub(crate) const COUNT: u128 = 2;
pub(crate) const SINK: u128 = 3;
const PLACES: u128 = 3;

pub(crate) const KEY_GROUPS: u32 = 8;

/// Every region has keys of its own, so many.
const KEYS: u8 = 11;

/// The vertex at a place of a region.
pub(crate) fn vertex_at(region: usize, place: u128) -> VertexId {
    VertexId(region as u128 * PLACES + place)
}

pub(crate) fn region_of(vertex: VertexId) -> usize {
    usize::try_from((vertex.0 - 1) / PLACES).unwrap_or(0)
}

pub(crate) fn place_of(vertex: VertexId) -> u128 {
    (vertex.0 - 1) % PLACES + 1
}

/// The node of a region's source.
pub(crate) fn node_of(region: usize) -> NodeId {
    NodeId(u32::try_from(region).unwrap_or(0))
}

pub(crate) fn region_of_node(node: NodeId) -> usize {
    usize::try_from(node.0).unwrap_or(0)
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
