//! What this crate's tests share: a chunk of numbers, ids, and gates with senders.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use weir_types::{
    AttemptNumber, BarrierKind, CheckpointBarrier, CheckpointId, Epoch, ExecutionAttemptId,
    SubtaskIndex, SystemClock, VertexId,
};

use crate::{
    CancelToken, Chunk, ChunkCodec, CodecError, EdgeId, Element, GateError, InputGate, PartitionId,
    SenderContext, SharedCodec, Signal,
};

/// Long enough for anything to happen that will.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const EPOCH: Epoch = Epoch(7);

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Numbers(pub(crate) Vec<u64>);

impl Chunk for Numbers {
    fn rows(&self) -> usize {
        self.0.len()
    }

    fn bytes(&self) -> usize {
        self.0.len() * 8
    }

    fn clone_chunk(&self) -> Box<dyn Chunk> {
        Box::new(self.clone())
    }

    fn split_off(&mut self, rows: usize) -> Option<Box<dyn Chunk>> {
        let at = rows.min(self.0.len());
        Some(Box::new(Self(self.0.split_off(at))))
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct NumbersCodec;

impl ChunkCodec for NumbersCodec {
    fn encode(&self, chunk: &dyn Chunk, out: &mut Vec<u8>) -> Result<(), CodecError> {
        for number in &numbers_of(chunk).0 {
            out.extend_from_slice(&number.to_le_bytes());
        }
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Box<dyn Chunk>, CodecError> {
        if !bytes.len().is_multiple_of(8) {
            let cause = format!("{} bytes are no numbers", bytes.len());
            return Err(CodecError {
                action: "decode",
                type_name: "u64",
                cause,
            });
        }
        let numbers = bytes
            .chunks_exact(8)
            .map(|b| u64::from_le_bytes(b.try_into().unwrap()));
        Ok(Box::new(Numbers(numbers.collect())))
    }

    fn type_name(&self) -> &'static str {
        "u64"
    }
}

pub(crate) fn codec() -> SharedCodec {
    Arc::new(NumbersCodec)
}

pub(crate) fn numbers_of(chunk: &dyn Chunk) -> &Numbers {
    chunk.as_any().downcast_ref().unwrap()
}

/// A chunk of `rows` equal numbers.
pub(crate) fn chunk(number: u64, rows: usize) -> Element {
    Element::Chunk(Box::new(Numbers(vec![number; rows])))
}

/// Elements as texts, for comparing.
pub(crate) fn show(element: &Element) -> String {
    match element {
        Element::Chunk(chunk) => {
            let numbers = numbers_of(&**chunk);
            assert!(
                numbers.0.iter().all(|number| *number == numbers.0[0]),
                "a torn chunk"
            );
            format!("{}x{}", numbers.0[0], numbers.0.len())
        }
        other => format!("{other:?}"),
    }
}

pub(crate) fn barrier(id: u64) -> CheckpointBarrier {
    CheckpointBarrier {
        epoch: EPOCH,
        id: CheckpointId(id),
        triggered_at_ms: 1_000,
        kind: BarrierKind::Checkpoint,
    }
}

pub(crate) fn attempt(vertex: u128, subtask: u32) -> ExecutionAttemptId {
    ExecutionAttemptId {
        epoch: EPOCH,
        vertex: VertexId(vertex),
        subtask: SubtaskIndex(subtask),
        attempt: AttemptNumber(0),
    }
}

pub(crate) fn partition(vertex: u128, subpartition: u32) -> PartitionId {
    PartitionId {
        producer: attempt(vertex, 0),
        edge: EdgeId(1),
        subpartition,
    }
}

pub(crate) fn context() -> SenderContext {
    SenderContext::new(CancelToken::new(Signal::new()), Arc::new(SystemClock))
}

/// Waits for the gate's next element.
pub(crate) fn next(gate: &mut InputGate) -> Result<(usize, Element), GateError> {
    loop {
        if let Some(found) = gate.poll()? {
            return Ok(found);
        }
        assert!(gate.signal().wait(Some(PATIENCE)), "nothing came");
    }
}

/// Waits until the gate breaks.
pub(crate) fn next_failure(gate: &mut InputGate) -> GateError {
    loop {
        if let Err(error) = next(gate) {
            return error;
        }
    }
}

/// Everything until the end of a gate with one channel.
pub(crate) fn read_to_end(gate: &mut InputGate) -> Vec<String> {
    let mut all = Vec::new();
    while !gate.is_finished() {
        all.push(show(&next(gate).unwrap().1));
    }
    all
}
