//! The operator chain: operators of one vertex that call each other directly, without a queue
//! between them (Flink's `OperatorChain`).
//!
//! The chain is a tree, stored parents first: the nodes after a node hold all its successors. So
//! an operator runs while the rest of the chain is lent to its output, and nothing needs a lock or
//! a reference count. Types are erased at each edge, once per chunk.

use weir_network::{CancelToken, Chunk, ResultPartition};
use weir_stream::{
    Commit, Control, Operator, OperatorContext, OperatorError, Output, SideOutputId,
};
use weir_types::{Clock, Watermark};

use crate::metrics::TaskMetrics;
use crate::pace::{Pace, Watch};

/// Where a node's results go.
pub(crate) struct Successor {
    pub(crate) to: Target,
    /// Takes this side output; `None` is the main output.
    pub(crate) side: Option<SideOutputId>,
}

/// The other end of an edge.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// An operator of this chain, by its place in the chain.
    Next { node: usize, input: usize },
    /// A result partition of this subtask, by its place among them.
    Partition(usize),
}

/// An operator in its place.
pub(crate) struct ChainNode {
    /// `None` for a source, which the task drives itself.
    pub(crate) operator: Option<Box<dyn Operator>>,
    pub(crate) context: OperatorContext,
    pub(crate) pace: Pace,
    pub(crate) successors: Vec<Successor>,
}

/// All operators of a subtask, and what leaves it.
pub(crate) struct OperatorChain {
    pub(crate) nodes: Vec<ChainNode>,
    pub(crate) partitions: Vec<ResultPartition>,
    pub(crate) metrics: std::sync::Arc<TaskMetrics>,
    pub(crate) cancel: CancelToken,
}

/// The output of one node: the part of the chain that lies behind it.
pub(crate) struct ChainOutput<'a> {
    /// The place of the node whose output this is.
    node: usize,
    /// The nodes after it.
    rest: &'a mut [ChainNode],
    successors: &'a [Successor],
    partitions: &'a mut [ResultPartition],
    metrics: &'a TaskMetrics,
    cancel: &'a CancelToken,
}

/// An operator, while the nodes after it are lent to its output.
struct Lent<'a> {
    operator: &'a mut dyn Operator,
    pace: &'a mut Pace,
    clock: &'a dyn Clock,
}

impl<'a> Lent<'a> {
    fn of(
        operator: &'a mut Option<Box<dyn Operator>>,
        pace: &'a mut Pace,
        context: &'a OperatorContext,
    ) -> Option<Self> {
        Some(Self {
            operator: operator.as_mut()?.as_mut(),
            pace,
            clock: &*context.clock,
        })
    }

    /// Gives the operator a chunk, in parts if it is slow.
    #[inline]
    fn process(
        self,
        input: usize,
        chunk: Box<dyn Chunk>,
        out: &mut ChainOutput<'_>,
    ) -> Result<(), OperatorError> {
        let watch = Watch {
            cancel: out.cancel,
            clock: self.clock,
            times: &out.metrics.times,
        };
        let records_in = &out.metrics.operators[out.node].records_in;
        self.pace.feed(chunk, watch, |chunk| {
            records_in.add(chunk.rows() as u64);
            self.operator.process(input, chunk, out)
        })
    }
}

impl OperatorChain {
    /// Splits off one node and its output.
    fn at(&mut self, node: usize) -> (Option<Lent<'_>>, ChainOutput<'_>) {
        let (head, rest) = self.nodes.split_at_mut(node + 1);
        let this = &mut head[node];
        let lent = Lent::of(&mut this.operator, &mut this.pace, &this.context);
        let out = ChainOutput {
            node,
            rest,
            successors: &this.successors,
            partitions: &mut self.partitions,
            metrics: &self.metrics,
            cancel: &self.cancel,
        };
        (lent, out)
    }

    /// The output of the chain's head: for sources.
    pub(crate) fn head_output(&mut self) -> ChainOutput<'_> {
        self.at(0).1
    }

    /// Opens the operators, the last first, so that each finds its successors open.
    pub(crate) fn open(&mut self) -> Result<(), OperatorError> {
        for node in self.nodes.iter_mut().rev() {
            if let Some(operator) = &mut node.operator {
                operator.open(&node.context)?;
            }
        }
        Ok(())
    }

    /// Gives the head a chunk.
    #[inline]
    pub(crate) fn process(
        &mut self,
        input: usize,
        chunk: Box<dyn Chunk>,
    ) -> Result<(), OperatorError> {
        match self.at(0) {
            (Some(lent), mut out) => lent.process(input, chunk, &mut out),
            (None, mut out) => out.emit(chunk),
        }
    }

    /// Gives the head a watermark or a change of activity.
    pub(crate) fn control(&mut self, control: Control) -> Result<(), OperatorError> {
        if let Control::Watermark(Watermark(time)) = control {
            self.metrics.set_watermark(time);
        }
        match self.at(0) {
            (Some(lent), mut out) => apply(lent.operator, control, &mut out),
            (None, mut out) => out.control(control),
        }
    }

    /// An input of the head has ended.
    pub(crate) fn end_head_input(&mut self, input: usize) -> Result<(), OperatorError> {
        match self.at(0) {
            (Some(lent), mut out) => lent.operator.end_input(input, &mut out),
            (None, _) => Ok(()),
        }
    }

    /// The head has nothing more to say: the inputs of all others end, in the chain's order.
    pub(crate) fn end_chained_inputs(&mut self) -> Result<(), OperatorError> {
        for node in 1..self.nodes.len() {
            if let (Some(lent), mut out) = self.at(node) {
                lent.operator.end_input(0, &mut out)?;
            }
        }
        Ok(())
    }

    /// The next moment at which an operator wants to be called, in milliseconds since 1970.
    pub(crate) fn next_processing_time(&self) -> Option<i64> {
        let operators = self.nodes.iter().filter_map(|node| node.operator.as_ref());
        operators
            .filter_map(|operator| operator.next_processing_time())
            .min()
    }

    /// Calls the operators whose moment has come.
    pub(crate) fn processing_time(&mut self, now_ms: i64) -> Result<(), OperatorError> {
        for node in 0..self.nodes.len() {
            if let (Some(Lent { operator, .. }), mut out) = self.at(node)
                && operator
                    .next_processing_time()
                    .is_some_and(|due| due <= now_ms)
            {
                operator.processing_time(now_ms, &mut out)?;
            }
        }
        Ok(())
    }

    /// Makes the results of the chain's sinks visible.
    pub(crate) fn commit(&mut self, commit: Commit) -> Result<(), OperatorError> {
        for node in &mut self.nodes {
            if let Some(operator) = &mut node.operator {
                operator.commit(commit)?;
            }
        }
        Ok(())
    }

    /// Sends off the rows that routers still gather.
    pub(crate) fn flush(&mut self) -> Result<(), OperatorError> {
        for partition in &mut self.partitions {
            partition.flush()?;
        }
        Ok(())
    }

    /// Has each operator's keyed state measured.
    pub(crate) fn measure_state(&mut self) {
        for node in &mut self.nodes {
            if let Some(operator) = &mut node.operator {
                let bytes = operator.state_bytes();
                node.context.metrics.set_state_bytes(bytes as u64);
            }
        }
    }

    /// Closes all operators, the head first, and gives back the first error.
    pub(crate) fn close(&mut self) -> Result<(), OperatorError> {
        let mut first = Ok(());
        for node in &mut self.nodes {
            if let Some(operator) = &mut node.operator {
                let closed = operator.close();
                first = first.and(closed);
            }
        }
        first
    }
}

fn apply(
    operator: &mut dyn Operator,
    control: Control,
    out: &mut ChainOutput<'_>,
) -> Result<(), OperatorError> {
    match control {
        Control::Watermark(watermark) => operator.watermark(watermark, out),
        Control::Idle => operator.activity(false, out),
        Control::Active => operator.activity(true, out),
    }
}

impl ChainOutput<'_> {
    /// Runs `call` on a later node, with that node's own output.
    fn with_node<R>(
        &mut self,
        node: usize,
        call: impl FnOnce(Lent<'_>, &mut ChainOutput<'_>) -> R,
    ) -> Option<R> {
        let (head, rest) = self.rest.split_at_mut(node - self.node);
        let this = head.last_mut()?;
        let lent = Lent::of(&mut this.operator, &mut this.pace, &this.context)?;
        let mut out = ChainOutput {
            node,
            rest,
            successors: &this.successors,
            partitions: self.partitions,
            metrics: self.metrics,
            cancel: self.cancel,
        };
        Some(call(lent, &mut out))
    }

    fn deliver(&mut self, target: Target, chunk: Box<dyn Chunk>) -> Result<(), OperatorError> {
        match target {
            Target::Next { node, input } => self
                .with_node(node, |lent, out| lent.process(input, chunk, out))
                .unwrap_or(Ok(())),
            Target::Partition(partition) => {
                self.metrics.records_out.add(chunk.rows() as u64);
                self.metrics.bytes_out.add(chunk.bytes() as u64);
                Ok(self.partitions[partition].emit(chunk)?)
            }
        }
    }

    fn send(
        &mut self,
        side: Option<&SideOutputId>,
        chunk: Box<dyn Chunk>,
    ) -> Result<(), OperatorError> {
        self.metrics.operators[self.node]
            .records_out
            .add(chunk.rows() as u64);
        let successors = self.successors;
        let mut targets = successors
            .iter()
            .filter(|successor| successor.side.as_ref() == side)
            .map(|successor| successor.to)
            .peekable();
        while let Some(target) = targets.next() {
            if targets.peek().is_none() {
                return self.deliver(target, chunk);
            }
            self.deliver(target, chunk.clone_chunk())?;
        }
        Ok(())
    }
}

impl Output for ChainOutput<'_> {
    fn emit(&mut self, chunk: Box<dyn Chunk>) -> Result<(), OperatorError> {
        self.send(None, chunk)
    }

    fn emit_side(
        &mut self,
        tag: &SideOutputId,
        chunk: Box<dyn Chunk>,
    ) -> Result<(), OperatorError> {
        self.send(Some(tag), chunk)
    }

    fn control(&mut self, control: Control) -> Result<(), OperatorError> {
        let successors = self.successors;
        for successor in successors {
            match successor.to {
                Target::Next { node, .. } => self
                    .with_node(node, |lent, out| apply(lent.operator, control, out))
                    .unwrap_or(Ok(()))?,
                Target::Partition(partition) => {
                    self.partitions[partition].broadcast(on_the_wire(control))?;
                }
            }
        }
        Ok(())
    }
}

fn on_the_wire(control: Control) -> weir_network::Control {
    match control {
        Control::Watermark(watermark) => weir_network::Control::Watermark(watermark),
        Control::Idle => weir_network::Control::Idle,
        Control::Active => weir_network::Control::Active,
    }
}
