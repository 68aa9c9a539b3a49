//! A sink that keeps its records in memory, for tests in the same process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_stream::sink::{Sink, SinkWriter};
use weir_stream::{Batch, BoxError, Data, OperatorContext};
use weir_types::EventTime;

type Records<T> = Arc<Mutex<Vec<(T, Option<EventTime>)>>>;

/// Keeps all records that any of its subtasks, in this process, gets. Its clones share them.
/// The records of one subtask stay in order; those of several mix. They are kept without bound.
pub struct CollectSink<T> {
    records: Records<T>,
}

impl<T> Clone for CollectSink<T> {
    fn clone(&self) -> Self {
        Self {
            records: Arc::clone(&self.records),
        }
    }
}

impl<T> Default for CollectSink<T> {
    fn default() -> Self {
        Self {
            records: Arc::default(),
        }
    }
}

impl<T: Clone> CollectSink<T> {
    /// An empty sink.
    pub fn new() -> Self {
        Self::default()
    }

    /// The records so far.
    pub fn rows(&self) -> Vec<T> {
        locked(&self.records)
            .iter()
            .map(|(record, _)| record.clone())
            .collect()
    }

    /// The records so far with their event times.
    pub fn rows_with_timestamps(&self) -> Vec<(T, Option<EventTime>)> {
        locked(&self.records).clone()
    }
}

/// A writer that panicked has not left a record half-pushed.
fn locked<T>(records: &Records<T>) -> MutexGuard<'_, Vec<(T, Option<EventTime>)>> {
    records.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Data> Sink for CollectSink<T> {
    type In = T;
    type Writer = CollectWriter<T>;

    fn kind(&self) -> &'static str {
        "collect"
    }

    fn make_writer(&self) -> CollectWriter<T> {
        CollectWriter {
            records: Arc::clone(&self.records),
        }
    }
}

/// The writer of a [`CollectSink`].
pub struct CollectWriter<T> {
    records: Records<T>,
}

impl<T: Data> SinkWriter<T> for CollectWriter<T> {
    fn open(&mut self, _context: &OperatorContext) -> Result<(), BoxError> {
        Ok(())
    }

    fn write(&mut self, batch: Batch<T>) -> Result<(), BoxError> {
        let (rows, times) = batch.into_parts();
        let mut times = times.into_iter();
        locked(&self.records).extend(rows.into_iter().map(|row| (row, times.next())));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::context;

    #[test]
    fn all_writers_of_a_sink_and_its_clones_share_the_records() {
        let sink = CollectSink::new();
        let clone = sink.clone();
        let mut first = clone.make_writer();
        let mut second = sink.make_writer();
        first.open(&context(0, 2)).expect("opens");
        first
            .write(Batch::with_timestamps(vec![1u32], vec![EventTime(5)]))
            .expect("writes");
        second.write(Batch::new(vec![2])).expect("writes");
        assert_eq!(sink.rows(), [1, 2]);
        assert_eq!(
            sink.rows_with_timestamps(),
            [(1, Some(EventTime(5))), (2, None)]
        );
    }
}
