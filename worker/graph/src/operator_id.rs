//! Operator ids: what state belongs to, over restarts, upgrades and changes of parallelism.
//!
//! An operator with a uid has the hash of that text as its id. For the others the id follows from
//! the topology, as with Flink's `StreamGraphHasherV2`: from the ids of the inputs, and from the
//! place among the operators that have the same inputs. Name, kind, partitioner and parallelism do
//! not count, so changing them keeps the state.
//!
//! Two things differ from Flink, both so that less state is lost. Chained outputs do not count:
//! there, a new parallelism that breaks a chain changes ids. And the place is counted among
//! siblings (those with a uid included), not over the whole graph: a branch that is added elsewhere
//! leaves the others as they are. The derivation is a **storage format**: golden ids hold it.

use std::collections::BTreeMap;
use std::fmt::Write;

use weir_types::OperatorId;

use crate::stream_graph::{GraphError, NodeId, StreamGraph};

/// The id of each node, in the order of the nodes. `order` is topological and, among nodes with
/// the same inputs, that of the program.
pub(crate) fn operator_ids(
    graph: &StreamGraph,
    order: &[NodeId],
) -> Result<Vec<OperatorId>, GraphError> {
    uids_are_unique(graph)?;
    let mut ids = vec![OperatorId(0); graph.nodes.len()];
    let mut siblings: BTreeMap<String, u32> = BTreeMap::new();
    let mut owners: BTreeMap<OperatorId, NodeId> = BTreeMap::new();
    for &node in order {
        let inputs = inputs_text(graph, node, &ids);
        let place = siblings.entry(inputs.clone()).or_default();
        let id = match &graph.node(node).uid {
            Some(uid) => OperatorId::from_text(uid),
            None => OperatorId::from_text(&format!("{inputs}\n{place}")),
        };
        *place += 1;
        if let Some(&owner) = owners.get(&id) {
            return Err(GraphError::OperatorIdCollision {
                id: id.to_string(),
                first: graph.node(owner).name.clone(),
                second: graph.node(node).name.clone(),
            });
        }
        owners.insert(id, node);
        ids[node.index()] = id;
    }
    Ok(ids)
}

fn uids_are_unique(graph: &StreamGraph) -> Result<(), GraphError> {
    let mut owners = BTreeMap::new();
    for node in &graph.nodes {
        let Some(uid) = &node.uid else { continue };
        if uid.is_empty() {
            return Err(GraphError::EmptyUid {
                name: node.name.clone(),
            });
        }
        if let Some(first) = owners.insert(uid, node) {
            return Err(GraphError::DuplicateUid {
                uid: uid.clone(),
                first: first.name.clone(),
                second: node.name.clone(),
            });
        }
    }
    Ok(())
}

/// One line per edge that ends at the node: input, writer, side output.
fn inputs_text(graph: &StreamGraph, node: NodeId, ids: &[OperatorId]) -> String {
    let mut edges: Vec<_> = graph.in_edges(node).collect();
    edges.sort_by_key(|edge| (edge.target_input, edge.id));
    let mut text = String::from("operator/1");
    for edge in edges {
        let side = edge.side_output.as_deref().unwrap_or_default();
        write!(
            text,
            "\n{} {} {side}",
            edge.target_input,
            ids[edge.source.index()]
        )
        .expect("writing to a string cannot fail");
    }
    text
}

#[cfg(test)]
mod tests;
