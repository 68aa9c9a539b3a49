//! A sink that drops everything: for measuring what comes before it (Flink's `DiscardingSink`).

use std::marker::PhantomData;

use weir_stream::sink::{Sink, SinkWriter};
use weir_stream::{Batch, BoxError, Data, OperatorContext};

/// Drops all records.
pub struct BlackholeSink<T>(PhantomData<fn(T)>);

impl<T> BlackholeSink<T> {
    /// A sink that drops all records.
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> Default for BlackholeSink<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for BlackholeSink<T> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<T: Data> Sink for BlackholeSink<T> {
    type In = T;
    type Writer = BlackholeWriter;

    fn kind(&self) -> &'static str {
        "blackhole"
    }

    fn make_writer(&self) -> BlackholeWriter {
        BlackholeWriter
    }
}

/// The writer of a [`BlackholeSink`].
#[derive(Debug)]
pub struct BlackholeWriter;

impl<T: Data> SinkWriter<T> for BlackholeWriter {
    fn open(&mut self, _context: &OperatorContext) -> Result<(), BoxError> {
        Ok(())
    }

    fn write(&mut self, batch: Batch<T>) -> Result<(), BoxError> {
        drop(batch);
        Ok(())
    }
}
