//! What makes a graph unable to run. Each check says which operators, and what to change.

use std::collections::{BTreeMap, BTreeSet};

use weir_types::MAX_PARALLELISM_LIMIT;

use super::{GraphError, NodeId, NodeSpec, Role, Settings, StreamGraph, StreamGraphBuilder};

/// Checks that the edges connect the operators into a flow from sources to sinks. Returns the
/// nodes in topological order; among those that could come next, the one made first.
pub(super) fn shape(graph: &StreamGraphBuilder) -> Result<Vec<NodeId>, GraphError> {
    if graph.nodes.is_empty() {
        return Err(GraphError::Empty {
            job: graph.job_name.clone(),
        });
    }
    for node in &graph.nodes {
        inputs_fit_role(node)?;
    }
    edges_lead_somewhere(graph)?;
    all_are_connected(graph)?;
    topological_order(graph)
}

/// Checks the job's own numbers, so that an error names the job and not its first operator.
pub(super) fn settings(settings: &Settings) -> Result<(), GraphError> {
    let what = || "the job".to_owned();
    parallelism_in_range(settings.parallelism, what)?;
    settings
        .max_parallelism
        .map_or(Ok(()), |max| max_parallelism_in_range(max, what))
}

/// Checks a node's resolved numbers.
pub(super) fn parallelism(
    node: &NodeSpec,
    parallelism: u32,
    max_parallelism: u32,
) -> Result<(), GraphError> {
    let what = || format!("`{}`", node.name);
    parallelism_in_range(parallelism, what)?;
    max_parallelism_in_range(max_parallelism, what)?;
    let name = node.name.clone();
    if node.non_parallel && parallelism != 1 {
        return Err(GraphError::NotParallel { name, parallelism });
    }
    if parallelism > max_parallelism {
        return Err(GraphError::ParallelismOverMax {
            name,
            parallelism,
            max_parallelism,
        });
    }
    Ok(())
}

/// Checks that the subtasks of each co-location group can lie together.
pub(super) fn co_location(graph: &StreamGraph) -> Result<(), GraphError> {
    let mut first_of_group = BTreeMap::new();
    for node in &graph.nodes {
        let Some(group) = &node.co_location_group else {
            continue;
        };
        let first = *first_of_group.entry(group).or_insert(node);
        if first.parallelism != node.parallelism {
            return Err(GraphError::CoLocationParallelism {
                group: group.clone(),
                first: first.name.clone(),
                first_parallelism: first.parallelism,
                second: node.name.clone(),
                second_parallelism: node.parallelism,
            });
        }
        if first.slot_sharing_group != node.slot_sharing_group {
            return Err(GraphError::CoLocationSlotSharing {
                group: group.clone(),
                first: first.name.clone(),
                first_slots: first.slot_sharing_group.clone(),
                second: node.name.clone(),
                second_slots: node.slot_sharing_group.clone(),
            });
        }
    }
    Ok(())
}

fn parallelism_in_range(parallelism: u32, what: impl Fn() -> String) -> Result<(), GraphError> {
    if (1..=MAX_PARALLELISM_LIMIT).contains(&parallelism) {
        return Ok(());
    }
    Err(GraphError::Parallelism {
        what: what(),
        parallelism,
    })
}

fn max_parallelism_in_range(
    max_parallelism: u32,
    what: impl Fn() -> String,
) -> Result<(), GraphError> {
    if (1..=MAX_PARALLELISM_LIMIT).contains(&max_parallelism) {
        return Ok(());
    }
    Err(GraphError::MaxParallelism {
        what: what(),
        max_parallelism,
    })
}

fn inputs_fit_role(node: &NodeSpec) -> Result<(), GraphError> {
    let inputs = node.input_types.len();
    let (fits, role) = match node.role {
        Role::Source => (inputs == 0, "a source"),
        Role::Operator => ((1..=2).contains(&inputs), "an operator"),
        Role::Sink => (inputs == 1, "a sink"),
    };
    if fits {
        return Ok(());
    }
    Err(GraphError::InputCount {
        name: node.name.clone(),
        inputs,
        role,
    })
}

fn edges_lead_somewhere(graph: &StreamGraphBuilder) -> Result<(), GraphError> {
    let nodes = graph.nodes.len();
    let known = |id: NodeId| {
        graph
            .nodes
            .get(id.index())
            .ok_or(GraphError::UnknownNode { node: id.0, nodes })
    };
    for edge in &graph.edges {
        let (source, target) = (known(edge.source)?, known(edge.target)?);
        if source.role == Role::Sink {
            return Err(GraphError::OutputOfSink {
                name: source.name.clone(),
                target: target.name.clone(),
            });
        }
        if usize::from(edge.target_input) >= target.input_types.len() {
            return Err(GraphError::UnknownInput {
                source_name: source.name.clone(),
                target: target.name.clone(),
                input: edge.target_input,
                inputs: target.input_types.len(),
            });
        }
    }
    Ok(())
}

fn all_are_connected(graph: &StreamGraphBuilder) -> Result<(), GraphError> {
    let written: BTreeSet<(usize, usize)> = graph
        .edges
        .iter()
        .map(|edge| (edge.target.index(), usize::from(edge.target_input)))
        .collect();
    let read: BTreeSet<usize> = graph.edges.iter().map(|edge| edge.source.index()).collect();
    for (position, node) in graph.nodes.iter().enumerate() {
        let open = (0..node.input_types.len()).find(|&input| !written.contains(&(position, input)));
        if let Some(input) = open {
            return Err(GraphError::NoInput {
                name: node.name.clone(),
                input,
            });
        }
        if node.role != Role::Sink && !read.contains(&position) {
            return Err(GraphError::NoConsumer {
                name: node.name.clone(),
            });
        }
    }
    Ok(())
}

fn topological_order(graph: &StreamGraphBuilder) -> Result<Vec<NodeId>, GraphError> {
    let mut missing = vec![0usize; graph.nodes.len()];
    let mut readers = vec![Vec::new(); graph.nodes.len()];
    for edge in &graph.edges {
        missing[edge.target.index()] += 1;
        readers[edge.source.index()].push(edge.target);
    }
    let all = (0..graph.nodes.len()).map(|position| NodeId(super::builder::position(position)));
    let mut ready: BTreeSet<NodeId> = all.clone().filter(|id| missing[id.index()] == 0).collect();
    let mut order = Vec::with_capacity(graph.nodes.len());
    while let Some(id) = ready.pop_first() {
        order.push(id);
        for &reader in &readers[id.index()] {
            missing[reader.index()] -= 1;
            if missing[reader.index()] == 0 {
                ready.insert(reader);
            }
        }
    }
    if order.len() == graph.nodes.len() {
        return Ok(order);
    }
    let rest: BTreeSet<NodeId> = all.filter(|id| missing[id.index()] > 0).collect();
    Err(GraphError::Cycle {
        names: cycle_names(graph, &readers, rest),
    })
}

/// The operators of one cycle, in its order: `rest` holds those that lie on a cycle or behind one.
fn cycle_names(
    graph: &StreamGraphBuilder,
    readers: &[Vec<NodeId>],
    mut rest: BTreeSet<NodeId>,
) -> Vec<String> {
    // Whoever has no reader left lies behind the cycle, not on it.
    loop {
        let leaves: Vec<NodeId> = rest
            .iter()
            .copied()
            .filter(|id| {
                !readers[id.index()]
                    .iter()
                    .any(|reader| rest.contains(reader))
            })
            .collect();
        if leaves.is_empty() {
            break;
        }
        for leaf in leaves {
            rest.remove(&leaf);
        }
    }
    let mut path: Vec<NodeId> = Vec::new();
    let mut next = rest.first().copied();
    while let Some(id) = next {
        if let Some(start) = path.iter().position(|&earlier| earlier == id) {
            path.drain(..start);
            break;
        }
        path.push(id);
        next = readers[id.index()]
            .iter()
            .copied()
            .find(|reader| rest.contains(reader));
    }
    path.iter()
        .map(|id| graph.nodes[id.index()].name.clone())
        .collect()
}
