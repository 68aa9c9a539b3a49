//! Puts a subtask together from its deployment and the program: operators, input gate, result
//! partitions.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use weir_checkpoint::align::AlignMode;
use weir_graph::{InputGateSpec, JobVertex, NodeId, Partitioner, ResultPartitionSpec};
use weir_network::{
    Broadcast, CancelToken, ConnectRequest, Forward, GateOptions, Global, InputGate, Location,
    PartitionId, RegisterError, ResultPartition, Router, SenderContext,
};
use weir_stream::OperatorContext;
use weir_stream::factory::{RouterContext, Spread};
use weir_stream::metrics::OperatorMetrics;
use weir_stream::source::AnySource;
use weir_stream::watermark_valve::WatermarkValve;
use weir_types::{ExecutionAttemptId, KeyGroupRange, hash_bytes};

use crate::chain::{ChainNode, OperatorChain, Successor, Target};
use crate::deployment::{Program, TaskDeployment, TaskEnvironment};
use crate::metrics::{ChainedOperatorMetrics, Counter, TaskMetrics};
use crate::pace::Pace;
use crate::snapshot::Snapshots;

/// A deployment does not fit the program. Both come from the same fingerprint, so this is a fault
/// of the engine, told rather than survived.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The vertex does not exist.
    #[error("deploy {0}: the program has no such vertex")]
    UnknownVertex(ExecutionAttemptId),
    /// A node has no factory.
    #[error("deploy {attempt}: no factory for operator `{operator}`")]
    NoFactory {
        /// What was deployed.
        attempt: ExecutionAttemptId,
        /// Which operator.
        operator: String,
    },
    /// The producers told do not match the graph's channels.
    #[error("deploy {attempt}: edge {edge} has {want} channels, the deployment names {got}")]
    Channels {
        /// What was deployed.
        attempt: ExecutionAttemptId,
        /// Which edge.
        edge: weir_graph::EdgeId,
        /// By the graph.
        want: usize,
        /// By the deployment.
        got: usize,
    },
    /// An output could not be registered.
    #[error(transparent)]
    Register(#[from] RegisterError),
}

/// One channel's place: which of the head's inputs it feeds, and its number among those.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChannelPlace {
    pub(crate) input: usize,
    pub(crate) index: usize,
}

/// Where a subtask's records come from.
pub(crate) enum Intake {
    /// The chain's head is a source.
    Source {
        node: NodeId,
        source: Box<dyn AnySource>,
    },
    /// The chain's head has inputs.
    Gate(GateIntake),
}

/// The inputs of a chain's head.
pub(crate) struct GateIntake {
    pub(crate) gate: InputGate,
    /// By channel.
    pub(crate) places: Vec<ChannelPlace>,
    /// By input.
    pub(crate) valves: Vec<WatermarkValve>,
    /// None: the job has no checkpoints.
    pub(crate) align: Option<AlignMode>,
}

/// What the deployment names besides itself.
pub(crate) struct Context<'a> {
    pub(crate) deployment: &'a TaskDeployment,
    pub(crate) vertex: &'a JobVertex,
    pub(crate) program: &'a Program,
    pub(crate) environment: &'a TaskEnvironment,
    pub(crate) cancel: &'a CancelToken,
}

impl Context<'_> {
    fn attempt(&self) -> ExecutionAttemptId {
        self.deployment.attempt
    }

    /// Metrics of the subtask, one entry per operator of the chain.
    pub(crate) fn metrics(&self, sender: &SenderContext) -> Arc<TaskMetrics> {
        let blocked_ns = sender.blocked_ns();
        let operators = self
            .vertex
            .operators
            .iter()
            .map(|operator| ChainedOperatorMetrics {
                node: operator.node,
                operator: operator.operator_id,
                name: operator.name.as_str().into(),
                records_in: Counter::default(),
                records_out: Counter::default(),
                own: Arc::new(OperatorMetrics::of_subtask(Arc::clone(&blocked_ns))),
            });
        let operators = operators.collect();
        let is_source = self.vertex.is_source();
        Arc::new(TaskMetrics::new(operators, is_source, blocked_ns))
    }

    /// The chain with its result partitions, which are registered with the exchange.
    pub(crate) fn chain(
        &self,
        metrics: Arc<TaskMetrics>,
        sender: &SenderContext,
    ) -> Result<OperatorChain, SetupError> {
        let attempt = self.attempt();
        let outputs = self
            .program
            .job_graph
            .result_partitions(attempt.vertex, attempt.subtask);
        let mut nodes = self.nodes(&metrics)?;
        let places = self.places();
        for (operator, place) in self.vertex.operators.iter().zip(0..) {
            if let Some(input) = &operator.input {
                nodes[places[&input.from]].successors.push(Successor {
                    to: Target::Next {
                        node: place,
                        input: 0,
                    },
                    side: input.side_output.as_deref().map(Into::into),
                });
            }
        }
        let mut partitions = Vec::new();
        for output in &outputs {
            nodes[places[&output.source_node]]
                .successors
                .push(Successor {
                    to: Target::Partition(partitions.len()),
                    side: output.side_output.as_deref().map(Into::into),
                });
            partitions.push(self.partition(output, sender)?);
        }
        Ok(OperatorChain {
            nodes,
            partitions,
            metrics,
            cancel: self.cancel.clone(),
        })
    }

    fn places(&self) -> BTreeMap<NodeId, usize> {
        self.vertex
            .operators
            .iter()
            .map(|operator| operator.node)
            .zip(0..)
            .collect()
    }

    fn nodes(&self, metrics: &TaskMetrics) -> Result<Vec<ChainNode>, SetupError> {
        let mut nodes = Vec::new();
        for (operator, metrics) in self.vertex.operators.iter().zip(&metrics.operators) {
            let factories = &self.program.factories;
            let made = factories.operators.get(&operator.node).map(|make| make());
            if made.is_none() && !factories.sources.contains_key(&operator.node) {
                return Err(self.no_factory(&operator.name));
            }
            let context = OperatorContext {
                operator: operator.operator_id,
                name: Arc::clone(&metrics.name),
                attempt: self.attempt(),
                parallelism: self.vertex.parallelism,
                max_parallelism: self.vertex.max_parallelism,
                key_groups: KeyGroupRange::of_subtask(
                    self.vertex.max_parallelism,
                    self.vertex.parallelism,
                    self.attempt().subtask.0,
                ),
                clock: Arc::clone(&self.environment.clock),
                state_backend: Arc::clone(&self.environment.state_backend),
                cancel: self.cancel.clone(),
                metrics: Arc::clone(&metrics.own),
            };
            nodes.push(ChainNode {
                operator: made,
                context,
                pace: Pace::default(),
                successors: Vec::new(),
            });
        }
        Ok(nodes)
    }

    fn no_factory(&self, operator: &str) -> SetupError {
        SetupError::NoFactory {
            attempt: self.attempt(),
            operator: operator.to_owned(),
        }
    }

    fn partition(
        &self,
        output: &ResultPartitionSpec,
        sender: &SenderContext,
    ) -> Result<ResultPartition, SetupError> {
        let factories = &self.program.factories;
        let Some(codec) = factories.codecs.get(&output.edge) else {
            return Err(self.no_factory(&format!("codec of edge {}", output.edge)));
        };
        let router = self.router(output)?;
        let mut senders = Vec::new();
        for subpartition in &output.subpartitions {
            let partition = PartitionId {
                producer: self.attempt(),
                edge: weir_network::EdgeId(output.edge.0),
                subpartition: subpartition.index,
            };
            let codec = Arc::clone(codec);
            senders.push(
                self.environment
                    .exchange
                    .register(partition, codec, sender.clone())?,
            );
        }
        Ok(ResultPartition::new(router, senders))
    }

    fn router(&self, output: &ResultPartitionSpec) -> Result<Box<dyn Router>, SetupError> {
        let (factories, edge) = (&self.program.factories, output.edge);
        let context = RouterContext {
            subtask: self.attempt().subtask.0,
            channels: output.subpartitions.len(),
            consumers: output.consumer_parallelism,
            max_parallelism: output.consumer_max_parallelism,
        };
        // Where a producer begins its round differs between producers, so that the first consumer
        // does not get everybody's first records; it is the same in every run.
        let seed = hash_bytes(format!("{}/{edge}", self.attempt()).as_bytes());
        let spread = match output.partitioner {
            Partitioner::Forward => return Ok(Box::new(Forward)),
            Partitioner::Broadcast => return Ok(Box::new(Broadcast)),
            Partitioner::Global => return Ok(Box::new(Global)),
            Partitioner::Hash | Partitioner::Custom => {
                let make = factories.routers.get(&edge);
                let missing = || self.no_factory(&format!("router of edge {edge}"));
                return Ok(make.ok_or_else(missing)?(&context));
            }
            Partitioner::Rebalance => Spread::InTurn(seed),
            Partitioner::Rescale => Spread::InTurn(0),
            Partitioner::Shuffle => Spread::Random(seed),
        };
        let make = factories.spreaders.get(&edge);
        let missing = || self.no_factory(&format!("spreader of edge {edge}"));
        Ok(make.ok_or_else(missing)?(spread, &context))
    }

    /// How it takes part in checkpoints, if the job has any.
    pub(crate) fn snapshots(&self, metrics: &Arc<TaskMetrics>) -> io::Result<Option<Snapshots>> {
        let Some(config) = &self.environment.checkpoints else {
            return Ok(None);
        };
        let TaskEnvironment { events, clock, .. } = &self.environment;
        let operators = self.vertex.operators.iter();
        let operators: Vec<_> = operators.map(|operator| operator.operator_id).collect();
        let attempt = self.deployment.attempt;
        let config = &Arc::new(config.of_each(self.vertex.parallelism));
        let snapshots = Snapshots::new(config, attempt, events, clock, metrics, operators.len());
        let mut snapshots = snapshots?;
        if let Some(restore) = &self.deployment.restore {
            snapshots.restored(restore, &operators);
        }
        Ok(Some(snapshots))
    }

    /// The source or the gate at the head of the chain.
    pub(crate) fn intake(&self, metrics: &TaskMetrics) -> Result<Intake, SetupError> {
        let head = self.vertex.head();
        if let Some(make) = self.program.factories.sources.get(&head.node) {
            return Ok(Intake::Source {
                node: head.node,
                source: make(),
            });
        }
        let attempt = self.attempt();
        let gates = self
            .program
            .job_graph
            .input_gates(attempt.vertex, attempt.subtask);
        let channels = gates.iter().map(|gate| gate.channels.len()).sum();
        let mut options = GateOptions::default();
        if let Some(bytes) = self.environment.channel_window_bytes {
            options.window_bytes = bytes;
        }
        let gate = InputGate::new(Arc::clone(self.cancel.signal()), channels, options);
        metrics.set_input(gate.fill());
        let mut places = Vec::new();
        let mut counts: Vec<usize> = Vec::new();
        for spec in &gates {
            self.connect(spec, &gate, places.len())?;
            let input = usize::from(spec.input);
            counts.resize(counts.len().max(input + 1), 0);
            for _ in &spec.channels {
                places.push(ChannelPlace {
                    input,
                    index: counts[input],
                });
                counts[input] += 1;
            }
        }
        let valves = counts.into_iter().map(WatermarkValve::new).collect();
        let checkpoints = self.environment.checkpoints.as_ref();
        Ok(Intake::Gate(GateIntake {
            gate,
            places,
            valves,
            align: checkpoints.map(|checkpoints| checkpoints.mode),
        }))
    }

    fn connect(
        &self,
        spec: &InputGateSpec,
        gate: &InputGate,
        first: usize,
    ) -> Result<(), SetupError> {
        let told = self
            .deployment
            .inputs
            .iter()
            .find(|input| input.edge == spec.edge);
        let producers = told.map_or(&[][..], |input| &input.producers);
        if producers.len() != spec.channels.len() {
            return Err(SetupError::Channels {
                attempt: self.attempt(),
                edge: spec.edge,
                want: spec.channels.len(),
                got: producers.len(),
            });
        }
        let Some(codec) = self.program.factories.codecs.get(&spec.edge) else {
            return Err(self.no_factory(&format!("codec of edge {}", spec.edge)));
        };
        for ((channel, producer), place) in spec.channels.iter().zip(producers).zip(first..) {
            let location = match producer.remote {
                None => Location::Local,
                Some((taskmanager, address)) => Location::Remote {
                    taskmanager,
                    address: address.to_string(),
                },
            };
            let request = ConnectRequest {
                consumer: self.attempt(),
                partition: PartitionId {
                    producer: producer.attempt,
                    edge: weir_network::EdgeId(spec.edge.0),
                    subpartition: channel.subpartition,
                },
                codec: Arc::clone(codec),
                location,
            };
            self.environment
                .exchange
                .connect(request, gate.inlet(place));
        }
        Ok(())
    }
}
