//! Side outputs: records that leave an operator on a path of their own (Flink's `OutputTag`).

use std::any::{Any, type_name};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use weir_types::EventTime;

use crate::{Batch, CHUNK_ROWS, Data, OperatorError, Output, SideOutputId};

/// Names a side output and says what flows there. Tags of one operator differ by name.
pub struct OutputTag<T> {
    name: SideOutputId,
    record: PhantomData<fn() -> T>,
}

impl<T: Data> OutputTag<T> {
    /// A tag of this name.
    pub fn new(name: &str) -> Self {
        Self {
            name: Arc::from(name),
            record: PhantomData,
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name as the runtime passes it around.
    pub fn id(&self) -> &SideOutputId {
        &self.name
    }
}

impl<T> Clone for OutputTag<T> {
    fn clone(&self) -> Self {
        Self {
            name: Arc::clone(&self.name),
            record: PhantomData,
        }
    }
}

impl<T> fmt::Debug for OutputTag<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutputTag({} of {})", self.name, type_name::<T>())
    }
}

/// The side records that an operator has produced and not passed on yet. A function's context
/// fills it while the main output is borrowed by the collector; the operator empties it.
#[derive(Default)]
pub(crate) struct SideOutputs {
    buffers: Vec<(SideOutputId, Box<dyn SideBuffer>)>,
    rows: usize,
    failure: Option<OperatorError>,
}

impl SideOutputs {
    /// Keeps a record for the tag's output.
    pub(crate) fn push<T: Data>(
        &mut self,
        tag: &OutputTag<T>,
        record: T,
        timestamp: Option<EventTime>,
    ) {
        let known = self.buffers.iter().position(|(name, _)| *name == tag.name);
        let index = known.unwrap_or_else(|| {
            self.buffers
                .push((Arc::clone(&tag.name), Box::new(TypedBuffer::<T>::default())));
            self.buffers.len() - 1
        });
        let buffer = self.buffers[index].1.as_any();
        if let Some(buffer) = buffer.downcast_mut::<TypedBuffer<T>>() {
            buffer.push(record, timestamp);
            self.rows += 1;
        } else {
            self.failure = Some(OperatorError::Invalid(format!(
                "side output `{}` is used with two record types, one of them `{}`: give each its \
                 own name",
                tag.name,
                type_name::<T>()
            )));
        }
    }

    /// Whether there is enough for a chunk, so that memory stays bounded within one input chunk.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.rows >= CHUNK_ROWS || self.failure.is_some()
    }

    /// Passes on what there is.
    pub(crate) fn flush(&mut self, out: &mut dyn Output) -> Result<(), OperatorError> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        if self.rows == 0 {
            return Ok(());
        }
        self.rows = 0;
        for (name, buffer) in &mut self.buffers {
            buffer.flush(name, out)?;
        }
        Ok(())
    }
}

trait SideBuffer: Send {
    fn as_any(&mut self) -> &mut dyn Any;
    fn flush(&mut self, tag: &SideOutputId, out: &mut dyn Output) -> Result<(), OperatorError>;
}

/// Batches of one tag; within each, all records have an event time or none has.
struct TypedBuffer<T> {
    batches: Vec<(Vec<T>, Vec<EventTime>)>,
}

impl<T> Default for TypedBuffer<T> {
    fn default() -> Self {
        Self {
            batches: Vec::new(),
        }
    }
}

impl<T> TypedBuffer<T> {
    fn push(&mut self, record: T, timestamp: Option<EventTime>) {
        let fits = |(rows, times): &(Vec<T>, Vec<EventTime>)| {
            rows.len() < CHUNK_ROWS && times.is_empty() == timestamp.is_none()
        };
        if !self.batches.last().is_some_and(fits) {
            self.batches.push((Vec::new(), Vec::new()));
        }
        if let Some((rows, times)) = self.batches.last_mut() {
            rows.push(record);
            times.extend(timestamp);
        }
    }
}

impl<T: Data> SideBuffer for TypedBuffer<T> {
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }

    fn flush(&mut self, tag: &SideOutputId, out: &mut dyn Output) -> Result<(), OperatorError> {
        for (rows, times) in self.batches.drain(..) {
            out.emit_side(tag, Box::new(Batch::with_timestamps(rows, times)))?;
        }
        Ok(())
    }
}
