//! What a person reads of a job before it runs: vertices with their chains, streams, slots.
//!
//! The text and the JSON hold the same. The text is also what two graphs are compared by when
//! their fingerprints differ, so it names everything that a program can set.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use weir_types::VertexId;

use crate::distribution::DistributionPattern;
use crate::job_graph::{ChainedOperator, JobEdge, JobGraph, JobVertex};
use crate::stream_graph::{Partitioner, Role};

/// A job as a person reads it: prints as text, serializes to JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// What a person calls the job.
    pub job: String,
    /// Whether it comes to an end by itself.
    pub bounded: bool,
    /// How many subtasks it has.
    pub subtasks: usize,
    /// How many slots it needs.
    pub slots: usize,
    /// How many slots each slot sharing group needs.
    pub slots_per_group: BTreeMap<String, u32>,
    /// How many parts of it can be restarted on their own.
    pub pipelined_regions: usize,
    /// The vertices, in topological order.
    pub vertices: Vec<ExplainedVertex>,
}

/// One chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedVertex {
    /// Its place in the list, from 1: what the text calls it.
    pub number: usize,
    /// Its id.
    pub id: String,
    /// Its operators' names with arrows.
    pub name: String,
    /// How many subtasks it has.
    pub parallelism: u32,
    /// How many key groups it has.
    pub max_parallelism: u32,
    /// The slot sharing group.
    pub slot_sharing_group: String,
    /// The co-location group.
    pub co_location_group: Option<String>,
    /// Whether it comes to an end by itself.
    pub bounded: bool,
    /// The operators, the head first.
    pub operators: Vec<ExplainedOperator>,
    /// The streams that it writes.
    pub outputs: Vec<ExplainedEdge>,
}

/// One operator of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedOperator {
    /// What a person reads.
    pub name: String,
    /// What it does.
    pub kind: String,
    /// What its state belongs to.
    pub operator_id: String,
    /// The id that the program gave it.
    pub uid: Option<String>,
    /// How many operators of the chain a record has gone through before.
    pub depth: usize,
    /// The operator that feeds it; none for the head.
    pub chained_to: Option<String>,
    /// The side output of that operator that feeds it.
    pub side_output: Option<String>,
    /// The row types that it takes.
    pub input_types: Vec<String>,
    /// The row type that it gives.
    pub output_type: Option<String>,
    /// Source, operator or sink.
    pub role: Role,
    /// Whether it has keyed state.
    pub keyed: bool,
    /// Whether it publishes when the whole job reached its end.
    pub commits: bool,
}

/// One stream to another vertex.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedEdge {
    /// Its place in the program.
    pub edge: u32,
    /// The operator that writes it.
    pub from: String,
    /// The side output that it carries.
    pub side_output: Option<String>,
    /// The vertex that reads it, by its number.
    pub to: usize,
    /// The operator that reads it.
    pub to_operator: String,
    /// Which of the reader's inputs it goes to, from 0.
    pub to_input: u8,
    /// Which subtask a record goes to.
    pub partitioner: Partitioner,
    /// Which subtasks are connected.
    pub pattern: DistributionPattern,
    /// How many pairs of subtasks are connected.
    pub channels: u64,
    /// The longest time that records wait in the output buffer.
    pub buffer_timeout_ms: Option<u64>,
}

/// Explains a job.
pub fn explain(graph: &JobGraph) -> Explanation {
    let numbers: BTreeMap<VertexId, usize> = graph
        .vertices
        .iter()
        .zip(1..)
        .map(|(vertex, number)| (vertex.id, number))
        .collect();
    Explanation {
        job: graph.job_name.clone(),
        bounded: graph.is_bounded(),
        subtasks: graph.subtask_count(),
        slots: graph.slots_needed(),
        slots_per_group: graph.slots_per_group(),
        pipelined_regions: graph.pipelined_regions().len(),
        vertices: graph
            .vertices
            .iter()
            .map(|vertex| explain_vertex(graph, vertex, &numbers))
            .collect(),
    }
}

impl Explanation {
    /// The JSON text, indented.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("an explanation has only text keys")
    }
}

fn explain_vertex(
    graph: &JobGraph,
    vertex: &JobVertex,
    numbers: &BTreeMap<VertexId, usize>,
) -> ExplainedVertex {
    ExplainedVertex {
        number: numbers[&vertex.id],
        id: vertex.id.to_string(),
        name: vertex.name.clone(),
        parallelism: vertex.parallelism,
        max_parallelism: vertex.max_parallelism,
        slot_sharing_group: vertex.slot_sharing_group.clone(),
        co_location_group: vertex.co_location_group.clone(),
        bounded: vertex.bounded,
        operators: vertex
            .operators
            .iter()
            .map(|operator| explain_operator(vertex, operator))
            .collect(),
        outputs: graph
            .outputs(vertex.id)
            .into_iter()
            .filter_map(|edge| explain_edge(graph, vertex, edge, numbers))
            .collect(),
    }
}

fn explain_operator(vertex: &JobVertex, operator: &ChainedOperator) -> ExplainedOperator {
    let feeder = |operator: &ChainedOperator| {
        operator
            .input
            .as_ref()
            .and_then(|input| vertex.operator(input.from))
    };
    let first = feeder(operator);
    let depth = std::iter::successors(first, |&operator| feeder(operator)).count();
    ExplainedOperator {
        name: operator.name.clone(),
        kind: operator.kind.clone(),
        operator_id: operator.operator_id.to_string(),
        uid: operator.uid.clone(),
        depth,
        chained_to: first.map(|feeder| feeder.name.clone()),
        side_output: operator
            .input
            .as_ref()
            .and_then(|input| input.side_output.clone()),
        input_types: operator.input_types.clone(),
        output_type: operator.output_type.clone(),
        role: operator.role,
        keyed: operator.keyed,
        commits: operator.commits,
    }
}

fn explain_edge(
    graph: &JobGraph,
    source: &JobVertex,
    edge: &JobEdge,
    numbers: &BTreeMap<VertexId, usize>,
) -> Option<ExplainedEdge> {
    let target = graph.vertex(edge.target)?;
    let channels = match edge.pattern {
        DistributionPattern::Pointwise => u64::from(source.parallelism.max(target.parallelism)),
        DistributionPattern::AllToAll => {
            u64::from(source.parallelism) * u64::from(target.parallelism)
        }
    };
    Some(ExplainedEdge {
        edge: edge.id.0,
        from: source.operator(edge.source_node)?.name.clone(),
        side_output: edge.side_output.clone(),
        to: *numbers.get(&edge.target)?,
        to_operator: target.head().name.clone(),
        to_input: edge.target_input,
        partitioner: edge.partitioner,
        pattern: edge.pattern,
        channels,
        buffer_timeout_ms: edge.buffer_timeout_ms,
    })
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = if self.bounded { "bounded" } else { "unbounded" };
        writeln!(f, "job `{}`: {end}", self.job)?;
        let counts = [
            counted(self.vertices.len(), "vertex", "vertices"),
            counted(self.subtasks, "subtask", "subtasks"),
            counted(self.slots, "slot", "slots"),
            counted(
                self.pipelined_regions,
                "pipelined region",
                "pipelined regions",
            ),
        ];
        writeln!(f, "  {}", counts.join(", "))?;
        let groups: Vec<String> = self
            .slots_per_group
            .iter()
            .map(|(group, slots)| format!("{group} {slots}"))
            .collect();
        writeln!(f, "  slots per slot sharing group: {}", groups.join(", "))?;
        self.vertices
            .iter()
            .try_for_each(|vertex| write!(f, "\n{vertex}"))
    }
}

impl fmt::Display for ExplainedVertex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "[{}] {}", self.number, self.name)?;
        write!(
            f,
            "    parallelism {} of at most {}, slot sharing group {}",
            self.parallelism, self.max_parallelism, self.slot_sharing_group
        )?;
        if let Some(group) = &self.co_location_group {
            write!(f, ", co-location group {group}")?;
        }
        if !self.bounded {
            write!(f, ", unbounded")?;
        }
        writeln!(f)?;
        self.operators
            .iter()
            .try_for_each(|operator| writeln!(f, "    {operator}"))?;
        self.outputs
            .iter()
            .try_for_each(|edge| writeln!(f, "    => {edge}"))
    }
}

impl fmt::Display for ExplainedOperator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.depth > 0 {
            write!(f, "{}-> ", "   ".repeat(self.depth - 1))?;
        }
        write!(f, "{}", self.name)?;
        if self.kind != self.name {
            write!(f, " ({})", self.kind)?;
        }
        if let Some(tag) = &self.side_output {
            write!(f, " from side output {tag}")?;
        }
        let inputs = self.input_types.join(" + ");
        match (inputs.is_empty(), &self.output_type) {
            (true, Some(output)) => write!(f, ": {output}")?,
            (false, Some(output)) => write!(f, ": {inputs} -> {output}")?,
            (false, None) => write!(f, ": {inputs}")?,
            (true, None) => {}
        }
        write!(f, ", id {}", self.operator_id)?;
        if let Some(uid) = &self.uid {
            write!(f, ", uid {uid}")?;
        }
        if self.keyed {
            write!(f, ", keyed")?;
        }
        if self.commits {
            write!(f, ", publishes at the end")?;
        }
        Ok(())
    }
}

impl fmt::Display for ExplainedEdge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.to, self.to_operator)?;
        if self.to_input > 0 {
            write!(f, " input {}", self.to_input)?;
        }
        write!(f, ": {} from {}", self.partitioner, self.from)?;
        if let Some(tag) = &self.side_output {
            write!(f, " side output {tag}")?;
        }
        let channels = usize::try_from(self.channels).unwrap_or(usize::MAX);
        write!(f, ", {}", counted(channels, "channel", "channels"))?;
        if let Some(ms) = self.buffer_timeout_ms {
            write!(f, ", buffer timeout {ms} ms")?;
        }
        Ok(())
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests;
