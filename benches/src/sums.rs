//! A sink that adds up a checksum and writes nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use weir::stream::sink::{Sink, SinkWriter};
use weir::stream::{Batch, BoxError, Data, OperatorContext};

static COUNT: AtomicU64 = AtomicU64::new(0);
static SUM: AtomicU64 = AtomicU64::new(0);
static PASSED: AtomicU64 = AtomicU64::new(0);

/// Rows and checksum of all sinks of this process that have ended.
pub(crate) fn totals() -> (u64, u64) {
    (COUNT.load(Ordering::SeqCst), SUM.load(Ordering::SeqCst))
}

/// Rows that have come so far.
pub(crate) fn passed() -> u64 {
    PASSED.load(Ordering::Relaxed)
}

/// Adds the function's value for each row.
pub(crate) struct Sums<T, F> {
    value: F,
    row: std::marker::PhantomData<fn(T)>,
}

impl<T, F: Clone> Clone for Sums<T, F> {
    fn clone(&self) -> Self {
        Self {
            value: self.value.clone(),
            row: self.row,
        }
    }
}

impl<T, F> Sums<T, F> {
    /// A sink over this function.
    pub(crate) fn new(value: F) -> Self {
        Self {
            value,
            row: std::marker::PhantomData,
        }
    }
}

impl<T: Data, F: Fn(&T) -> u64 + Clone + Send + Sync + 'static> Sink for Sums<T, F> {
    type In = T;
    type Writer = SumWriter<T, F>;

    fn kind(&self) -> &'static str {
        "sums"
    }

    fn make_writer(&self) -> Self::Writer {
        SumWriter {
            sink: self.clone(),
            count: 0,
            sum: 0,
        }
    }
}

/// One subtask's share.
pub(crate) struct SumWriter<T, F> {
    sink: Sums<T, F>,
    count: u64,
    sum: u64,
}

impl<T: Data, F: Fn(&T) -> u64 + Clone + Send + Sync + 'static> SinkWriter<T> for SumWriter<T, F> {
    fn open(&mut self, _context: &OperatorContext) -> Result<(), BoxError> {
        Ok(())
    }

    fn write(&mut self, batch: Batch<T>) -> Result<(), BoxError> {
        for row in batch.rows() {
            self.sum = self.sum.wrapping_add((self.sink.value)(row));
        }
        self.count += batch.rows().len() as u64;
        PASSED.fetch_add(batch.rows().len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn end_input(&mut self) -> Result<(), BoxError> {
        COUNT.fetch_add(self.count, Ordering::SeqCst);
        SUM.fetch_add(self.sum, Ordering::SeqCst);
        Ok(())
    }
}
