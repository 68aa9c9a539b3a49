//! Which subtasks of two vertices are connected, and by which channel (Flink's
//! `EdgeManagerBuildUtil`).
//!
//! A producer's subtask has one subpartition for each consumer's subtask that it is connected to;
//! a consumer's subtask has, for each edge, one channel for each producer's subtask. Both sides
//! are computed on their own, in different processes, and have to agree: each subpartition is read
//! by exactly one channel.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use weir_types::{SubtaskIndex, VertexId};

use crate::job_graph::{JobEdge, JobGraph};
use crate::stream_graph::{EdgeId, NodeId, Partitioner};

/// Which subtasks of two vertices are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DistributionPattern {
    /// Each subtask of the side with more subtasks with one of the other.
    Pointwise,
    /// Each with each.
    AllToAll,
}

impl DistributionPattern {
    /// The pattern that a partitioner needs.
    pub fn of(partitioner: Partitioner) -> Self {
        match partitioner {
            Partitioner::Forward | Partitioner::Rescale => Self::Pointwise,
            Partitioner::Hash
            | Partitioner::Rebalance
            | Partitioner::Shuffle
            | Partitioner::Broadcast
            | Partitioner::Global
            | Partitioner::Custom => Self::AllToAll,
        }
    }

    /// The consumer's subtasks that a producer's subtask is connected to.
    pub fn consumers(self, producer: u32, producers: u32, consumers: u32) -> Range<u32> {
        match self {
            Self::AllToAll => 0..consumers,
            Self::Pointwise if producers > consumers => {
                let consumer = ((producer + 1) * consumers).div_ceil(producers) - 1;
                consumer..consumer + 1
            }
            Self::Pointwise => {
                let first = |producer: u32| (producer * consumers).div_ceil(producers);
                first(producer)..first(producer + 1)
            }
        }
    }

    /// The producer's subtasks that a consumer's subtask is connected to.
    pub fn producers(self, consumer: u32, producers: u32, consumers: u32) -> Range<u32> {
        match self {
            Self::AllToAll => 0..producers,
            Self::Pointwise if producers > consumers => {
                let first = |consumer: u32| consumer * producers / consumers;
                first(consumer)..first(consumer + 1)
            }
            Self::Pointwise => {
                let producer = consumer * producers / consumers;
                producer..producer + 1
            }
        }
    }
}

/// What one subtask writes to one edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultPartitionSpec {
    /// The edge.
    pub edge: EdgeId,
    /// The operator of the chain that writes it.
    pub source_node: NodeId,
    /// The side output that it carries; none for the main output.
    pub side_output: Option<String>,
    /// Which subpartition a record goes to.
    pub partitioner: Partitioner,
    /// The vertex that reads it.
    pub consumer: VertexId,
    /// How many subtasks the reader has; more than there are subpartitions if not all are
    /// connected.
    pub consumer_parallelism: u32,
    /// How many key groups the reader has: what a hash partitioner computes with.
    pub consumer_max_parallelism: u32,
    /// The longest time that records wait in the output buffer.
    pub buffer_timeout_ms: Option<u64>,
    /// The subpartitions, by index.
    pub subpartitions: Vec<SubpartitionSpec>,
}

/// One subpartition and the channel that reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubpartitionSpec {
    /// Its place in the result partition, from 0.
    pub index: u32,
    /// The subtask that reads it.
    pub consumer: SubtaskIndex,
    /// The channel of that subtask's input gate that reads it.
    pub channel: u32,
}

/// What one subtask reads from one edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputGateSpec {
    /// The edge.
    pub edge: EdgeId,
    /// Which input of the chain's head it feeds.
    pub input: u8,
    /// Which channel a record came through follows from this.
    pub partitioner: Partitioner,
    /// The vertex that writes it.
    pub producer: VertexId,
    /// The channels, by index.
    pub channels: Vec<InputChannelSpec>,
}

/// One channel and the subpartition that it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputChannelSpec {
    /// Its place in the input gate, from 0.
    pub index: u32,
    /// The subtask that writes it.
    pub producer: SubtaskIndex,
    /// The subpartition of that subtask's result partition that it reads.
    pub subpartition: u32,
}

impl JobGraph {
    /// What a subtask of a vertex writes, in the order of the edges. Empty for an unknown vertex.
    pub fn result_partitions(
        &self,
        vertex: VertexId,
        subtask: SubtaskIndex,
    ) -> Vec<ResultPartitionSpec> {
        self.outputs(vertex)
            .into_iter()
            .filter_map(|edge| {
                let (producer, consumer) = (self.vertex(edge.source)?, self.vertex(edge.target)?);
                Some(ResultPartitionSpec {
                    edge: edge.id,
                    source_node: edge.source_node,
                    side_output: edge.side_output.clone(),
                    partitioner: edge.partitioner,
                    consumer: edge.target,
                    consumer_parallelism: consumer.parallelism,
                    consumer_max_parallelism: consumer.max_parallelism,
                    buffer_timeout_ms: edge.buffer_timeout_ms,
                    subpartitions: subpartitions(
                        edge,
                        subtask,
                        producer.parallelism,
                        consumer.parallelism,
                    ),
                })
            })
            .collect()
    }

    /// What a subtask of a vertex reads, by input and then in the order of the edges. Empty for an
    /// unknown vertex.
    pub fn input_gates(&self, vertex: VertexId, subtask: SubtaskIndex) -> Vec<InputGateSpec> {
        self.inputs(vertex)
            .into_iter()
            .filter_map(|edge| {
                let (producer, consumer) = (self.vertex(edge.source)?, self.vertex(edge.target)?);
                Some(InputGateSpec {
                    edge: edge.id,
                    input: edge.target_input,
                    partitioner: edge.partitioner,
                    producer: edge.source,
                    channels: channels(edge, subtask, producer.parallelism, consumer.parallelism),
                })
            })
            .collect()
    }
}

fn subpartitions(
    edge: &JobEdge,
    producer: SubtaskIndex,
    producers: u32,
    consumers: u32,
) -> Vec<SubpartitionSpec> {
    edge.pattern
        .consumers(producer.0, producers, consumers)
        .zip(0..)
        .map(|(consumer, index)| SubpartitionSpec {
            index,
            consumer: SubtaskIndex(consumer),
            channel: producer.0 - edge.pattern.producers(consumer, producers, consumers).start,
        })
        .collect()
}

fn channels(
    edge: &JobEdge,
    consumer: SubtaskIndex,
    producers: u32,
    consumers: u32,
) -> Vec<InputChannelSpec> {
    edge.pattern
        .producers(consumer.0, producers, consumers)
        .zip(0..)
        .map(|(producer, index)| InputChannelSpec {
            index,
            producer: SubtaskIndex(producer),
            subpartition: consumer.0 - edge.pattern.consumers(producer, producers, consumers).start,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Fails if the two sides' formulas disagree for some pair of parallelisms: a channel
        /// would then wait for a subpartition that nobody writes, or one would never be read.
        #[test]
        fn producers_and_consumers_agree_on_who_is_connected(
            producers in 1u32..70, consumers in 1u32..70, all in any::<bool>()
        ) {
            let pattern =
                if all { DistributionPattern::AllToAll } else { DistributionPattern::Pointwise };
            let mut from_producers = Vec::new();
            for p in 0..producers {
                from_producers
                    .extend(pattern.consumers(p, producers, consumers).map(|c| (p, c)));
            }
            let mut from_consumers = Vec::new();
            for c in 0..consumers {
                from_consumers
                    .extend(pattern.producers(c, producers, consumers).map(|p| (p, c)));
            }
            from_consumers.sort_unstable();
            prop_assert_eq!(&from_producers, &from_consumers);
            let want = if all { producers * consumers } else { producers.max(consumers) };
            prop_assert_eq!(from_producers.len(), want as usize);
        }

        /// Fails if one side gets more than its share, or a subtask is left out.
        #[test]
        fn pointwise_shares_are_even(producers in 1u32..70, consumers in 1u32..70) {
            let pattern = DistributionPattern::Pointwise;
            for p in 0..producers {
                let share = pattern.consumers(p, producers, consumers).len();
                prop_assert!(share >= 1 && share <= consumers.div_ceil(producers) as usize);
            }
            for c in 0..consumers {
                let share = pattern.producers(c, producers, consumers).len();
                prop_assert!(share >= 1 && share <= producers.div_ceil(consumers) as usize);
            }
        }
    }

    #[test]
    fn pointwise_follows_flinks_table() {
        let pattern = DistributionPattern::Pointwise;
        let spread: Vec<_> = (0..2).map(|p| pattern.consumers(p, 2, 4)).collect();
        assert_eq!(spread, [0..2, 2..4]);
        let uneven: Vec<_> = (0..2).map(|p| pattern.consumers(p, 2, 3)).collect();
        assert_eq!(uneven, [0..2, 2..3]);
        let merged: Vec<_> = (0..2).map(|c| pattern.producers(c, 5, 2)).collect();
        assert_eq!(merged, [0..2, 2..5]);
    }

    #[test]
    fn the_largest_parallelisms_do_not_overflow() {
        let max = weir_types::MAX_PARALLELISM_LIMIT;
        let pattern = DistributionPattern::Pointwise;
        assert_eq!(pattern.consumers(max - 1, max, max - 1), max - 2..max - 1);
        assert_eq!(pattern.producers(max - 1, max - 1, max), max - 2..max - 1);
    }
}
