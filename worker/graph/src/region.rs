//! Pipelined regions: the sets of subtasks that exchange records while they run, and so can only
//! be restarted together (Flink's `PipelinedRegion`).
//!
//! Every edge is pipelined, so a region is a connected component of the subtasks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_types::VertexId;

use crate::job_graph::{ExecutionVertexId, JobGraph};

/// Subtasks that can only be restarted together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelinedRegion {
    /// Its subtasks, by vertex in topological order, then by index.
    pub subtasks: Vec<ExecutionVertexId>,
}

impl JobGraph {
    /// The job's pipelined regions, in the order of their first subtasks.
    pub fn pipelined_regions(&self) -> Vec<PipelinedRegion> {
        let mut first_of_vertex: BTreeMap<VertexId, usize> = BTreeMap::new();
        let mut subtasks = Vec::with_capacity(self.subtask_count());
        for vertex in &self.vertices {
            first_of_vertex.insert(vertex.id, subtasks.len());
            subtasks.extend(vertex.subtasks());
        }
        let mut sets = DisjointSets::new(subtasks.len());
        for edge in &self.edges {
            let (Some(source), Some(target)) = (self.vertex(edge.source), self.vertex(edge.target))
            else {
                continue;
            };
            let sources = first_of_vertex[&source.id];
            let targets = first_of_vertex[&target.id];
            let (n, m) = (source.parallelism, target.parallelism);
            // A row and a column of the matrix of connections join the same as the whole of it,
            // as two subtasks of one side are connected to one range or to ranges apart.
            for producer in 0..n {
                let first = edge.pattern.consumers(producer, n, m).start;
                sets.join(sources + producer as usize, targets + first as usize);
            }
            for consumer in 0..m {
                let first = edge.pattern.producers(consumer, n, m).start;
                sets.join(sources + first as usize, targets + consumer as usize);
            }
        }
        let mut regions: BTreeMap<usize, PipelinedRegion> = BTreeMap::new();
        for (position, subtask) in subtasks.into_iter().enumerate() {
            let region = regions.entry(sets.root(position));
            region
                .or_insert_with(|| PipelinedRegion {
                    subtasks: Vec::new(),
                })
                .subtasks
                .push(subtask);
        }
        regions.into_values().collect()
    }
}

/// Union-find. The smallest member is the root, so that regions come in order.
struct DisjointSets {
    parents: Vec<usize>,
}

impl DisjointSets {
    fn new(len: usize) -> Self {
        Self {
            parents: (0..len).collect(),
        }
    }

    fn root(&mut self, mut member: usize) -> usize {
        while self.parents[member] != member {
            self.parents[member] = self.parents[self.parents[member]];
            member = self.parents[member];
        }
        member
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parents[a.max(b)] = a.min(b);
    }
}

#[cfg(test)]
mod tests;
