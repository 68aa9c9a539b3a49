//! What came out of an operator, kept in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_network::Chunk;

use crate::{Batch, Control, Data, OperatorError, Output, OutputTag, SideOutputId};

/// Something that came out of an operator.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<O> {
    /// A record with its event time.
    Record(O, Option<i64>),
    /// A watermark.
    Watermark(i64),
    /// The operator's output has become idle.
    Idle,
    /// It is active again.
    Active,
}

enum Recorded {
    Chunk(Box<dyn Chunk>),
    Control(Control),
}

/// An output that keeps everything.
#[derive(Default)]
pub struct RecordingOutput {
    main: Vec<Recorded>,
    side: BTreeMap<SideOutputId, Vec<Box<dyn Chunk>>>,
}

impl RecordingOutput {
    /// What came out of the main output since the last call, in order.
    pub fn take_events<O: Data>(&mut self) -> Vec<Event<O>> {
        let mut events = Vec::new();
        for recorded in self.main.drain(..) {
            match recorded {
                Recorded::Chunk(chunk) => events.extend(
                    rows(chunk)
                        .into_iter()
                        .map(|(record, time)| Event::Record(record, time)),
                ),
                Recorded::Control(Control::Watermark(watermark)) => {
                    events.push(Event::Watermark(watermark.0.0));
                }
                Recorded::Control(Control::Idle) => events.push(Event::Idle),
                Recorded::Control(Control::Active) => events.push(Event::Active),
            }
        }
        events
    }

    /// What came out of a side output since the last call, in order, with event times.
    pub fn take_side<T: Data>(&mut self, tag: &OutputTag<T>) -> Vec<(T, Option<i64>)> {
        let chunks = self.side.remove(tag.id()).unwrap_or_default();
        chunks.into_iter().flat_map(rows).collect()
    }
}

fn rows<T: Data>(chunk: Box<dyn Chunk>) -> Vec<(T, Option<i64>)> {
    let (rows, times) = Batch::<T>::from_chunk(chunk).into_parts();
    let times = times
        .into_iter()
        .map(|time| Some(time.0))
        .chain(std::iter::repeat(None));
    rows.into_iter().zip(times).collect()
}

impl Output for RecordingOutput {
    fn emit(&mut self, chunk: Box<dyn Chunk>) -> Result<(), OperatorError> {
        assert!(chunk.rows() > 0, "an operator passed on an empty chunk");
        self.main.push(Recorded::Chunk(chunk));
        Ok(())
    }

    fn emit_side(
        &mut self,
        tag: &SideOutputId,
        chunk: Box<dyn Chunk>,
    ) -> Result<(), OperatorError> {
        assert!(chunk.rows() > 0, "an operator passed on an empty chunk");
        self.side.entry(Arc::clone(tag)).or_default().push(chunk);
        Ok(())
    }

    fn control(&mut self, control: Control) -> Result<(), OperatorError> {
        self.main.push(Recorded::Control(control));
        Ok(())
    }
}
