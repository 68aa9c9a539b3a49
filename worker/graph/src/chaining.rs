//! Which operators run in one thread, calling each other directly (the chaining of Flink's
//! `StreamingJobGraphGenerator`).
//!
//! A chain is a tree: one head, which alone may have inputs from other threads, and operators that
//! are each fed by exactly one other of the chain. Side outputs are chained as main outputs are.

use crate::stream_graph::{
    ChainingStrategy, NodeId, Partitioner, StreamEdge, StreamGraph, StreamNode,
};

/// Whether the edge's two operators run in one chain.
///
/// The conditions are Flink's `isChainable`, and two more. A vertex has the max parallelism and the
/// co-location group of its head, so an operator that would lose its own stays apart: a keyed one
/// whose key groups are others, and one with another co-location group. Flink chains those too, and
/// ignores what they say.
pub fn is_chainable(graph: &StreamGraph, edge: &StreamEdge) -> bool {
    let (source, target) = (graph.node(edge.source), graph.node(edge.target));
    graph.settings.chaining
        && edge.partitioner == Partitioner::Forward
        && source.chaining != ChainingStrategy::Never
        && target.chaining == ChainingStrategy::Always
        && source.parallelism == target.parallelism
        && source.slot_sharing_group == target.slot_sharing_group
        && keeps_key_groups(source, target)
        && keeps_co_location(source, target)
        && graph.in_edges(target.id).count() == 1
}

/// An operator without keyed state has no use for key groups. As keyed operators are only chained
/// to keyed ones, their key groups are those of the head.
fn keeps_key_groups(source: &StreamNode, target: &StreamNode) -> bool {
    !target.keyed || (source.keyed && source.max_parallelism == target.max_parallelism)
}

fn keeps_co_location(source: &StreamNode, target: &StreamNode) -> bool {
    target.co_location_group.is_none() || source.co_location_group == target.co_location_group
}

/// The operators of one chain.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Chain<'a> {
    /// The head first, then each operator behind the one that feeds it; with each the edge that
    /// feeds it within the chain.
    pub(crate) operators: Vec<(NodeId, Option<&'a StreamEdge>)>,
    /// Operator names with arrows, as `a -> b` or `a -> (b, c -> d)`.
    pub(crate) name: String,
}

/// All chains, in the order of their heads.
pub(crate) fn chains(graph: &StreamGraph) -> Vec<Chain<'_>> {
    let is_head = |id: NodeId| !graph.in_edges(id).any(|edge| is_chainable(graph, edge));
    let heads = graph
        .nodes
        .iter()
        .map(|node| node.id)
        .filter(|&id| is_head(id));
    heads
        .map(|head| {
            let mut operators = Vec::new();
            collect(graph, head, &mut operators);
            let name = chain_name(graph, &operators);
            Chain { operators, name }
        })
        .collect()
}

/// Depth first with a stack of its own: a program may chain more operators than a thread's stack
/// would bear calls.
fn collect<'a>(
    graph: &'a StreamGraph,
    head: NodeId,
    operators: &mut Vec<(NodeId, Option<&'a StreamEdge>)>,
) {
    let mut stack = vec![(head, None)];
    while let Some((node, edge)) = stack.pop() {
        operators.push((node, edge));
        let chained: Vec<_> = graph
            .out_edges(node)
            .filter(|edge| is_chainable(graph, edge))
            .collect();
        stack.extend(
            chained
                .into_iter()
                .rev()
                .map(|edge| (edge.target, Some(edge))),
        );
    }
}

/// Built from the leaves up, as the operators come in depth-first order.
fn chain_name(graph: &StreamGraph, operators: &[(NodeId, Option<&StreamEdge>)]) -> String {
    let mut behind: std::collections::BTreeMap<NodeId, Vec<String>> = Default::default();
    for (node, edge) in operators.iter().rev() {
        let mut parts = behind.remove(node).unwrap_or_default();
        parts.reverse();
        let own = &graph.node(*node).name;
        let name = match parts.as_slice() {
            [] => own.clone(),
            [next] => format!("{own} -> {next}"),
            _ => format!("{own} -> ({})", parts.join(", ")),
        };
        match edge {
            Some(edge) => behind.entry(edge.source).or_default().push(name),
            None => return name,
        }
    }
    String::new()
}

#[cfg(test)]
mod tests;
