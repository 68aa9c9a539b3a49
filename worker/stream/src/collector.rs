//! How typed results leave an operator: rows are gathered and passed on as a chunk.

use weir_types::EventTime;

use crate::{Batch, CHUNK_ROWS, Data, OperatorError, Output};

/// The rows that an operator has produced and not passed on yet. Lives as long as the operator.
pub struct Emitter<T> {
    rows: Vec<T>,
    timestamps: Vec<EventTime>,
    newest: Option<EventTime>,
    failure: Option<OperatorError>,
}

impl<T: Data> Default for Emitter<T> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            timestamps: Vec::new(),
            newest: None,
            failure: None,
        }
    }
}

impl<T: Data> Emitter<T> {
    /// A collector that gives its records the event time `timestamp`.
    #[inline]
    pub fn collector<'a>(
        &'a mut self,
        timestamp: Option<EventTime>,
        out: &'a mut dyn Output,
    ) -> Collector<'a, T> {
        Collector {
            emitter: self,
            timestamp,
            out,
        }
    }

    /// The event time of the last record passed on since the last call, if that had one.
    pub(crate) fn take_newest(&mut self) -> Option<EventTime> {
        self.newest.take()
    }

    /// Makes room for about this many rows at once.
    pub fn reserve(&mut self, rows: usize) {
        self.rows.reserve(rows.min(CHUNK_ROWS));
    }

    /// Passes on what there is, and reports a failure of an earlier, implicit flush.
    pub fn flush(&mut self, out: &mut dyn Output) -> Result<(), OperatorError> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        if self.rows.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.rows);
        let timestamps = std::mem::take(&mut self.timestamps);
        self.newest = timestamps.last().copied();
        out.emit(Box::new(Batch::with_timestamps(rows, timestamps)))
    }

    #[inline]
    fn push(&mut self, row: T, timestamp: Option<EventTime>, out: &mut dyn Output) {
        // All rows of a chunk have an event time or none has.
        if !self.rows.is_empty() && self.timestamps.is_empty() != timestamp.is_none() {
            self.flush_or_keep_failure(out);
        }
        self.rows.push(row);
        if let Some(timestamp) = timestamp {
            self.timestamps.push(timestamp);
        }
        if self.rows.len() >= CHUNK_ROWS {
            self.flush_or_keep_failure(out);
        }
    }

    #[cold]
    fn flush_or_keep_failure(&mut self, out: &mut dyn Output) {
        if self.failure.is_some() {
            // The subtask is about to stop: what it still produces goes nowhere.
            self.rows.clear();
            self.timestamps.clear();
            return;
        }
        if let Err(failure) = self.flush(out) {
            self.failure = Some(failure);
        } else {
            self.rows.reserve(CHUNK_ROWS);
        }
    }
}

/// Takes the results of a user's function (Flink's `Collector`). A result gets the event time of
/// the record it was made from.
pub struct Collector<'a, T> {
    emitter: &'a mut Emitter<T>,
    timestamp: Option<EventTime>,
    out: &'a mut dyn Output,
}

impl<T: Data> Collector<'_, T> {
    /// Emits a record. It may wait while there is no room downstream.
    #[inline]
    pub fn collect(&mut self, record: T) {
        self.emitter.push(record, self.timestamp, self.out);
    }

    /// Emits a record with an event time of its own.
    #[inline]
    pub fn collect_at(&mut self, record: T, timestamp: EventTime) {
        self.emitter.push(record, Some(timestamp), self.out);
    }

    /// The output below, for side outputs.
    pub fn output(&mut self) -> &mut dyn Output {
        self.out
    }
}
