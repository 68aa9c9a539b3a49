//! Keeps some records (Flink's `StreamFilter`).

use std::marker::PhantomData;

use weir_network::{CancelToken, Chunk};
use weir_types::EventTime;

use crate::keyed_runtime::check;
use crate::ops::{emit_rows, stateless};
use crate::{Batch, BoxError, Data, Operator, OperatorError, Output};

/// Keeps the records for which a predicate holds.
pub struct FilterOperator<T, F> {
    predicate: F,
    cancel: CancelToken,
    record: PhantomData<fn(T)>,
}

impl<T, F: FnMut(&T) -> bool> FilterOperator<T, F> {
    /// Keeps the records for which `predicate` holds.
    pub fn new(predicate: F) -> Self {
        Self {
            predicate,
            cancel: CancelToken::default(),
            record: PhantomData,
        }
    }
}

impl<T: Data, F: FnMut(&T) -> bool + Send> Operator for FilterOperator<T, F> {
    fn process(
        &mut self,
        _input: usize,
        chunk: Box<dyn Chunk>,
        out: &mut dyn Output,
    ) -> Result<(), OperatorError> {
        let (rows, timestamps) = retain(Batch::from_chunk(chunk), |row| {
            check(&self.cancel)?;
            Ok((self.predicate)(row))
        })?;
        emit_rows(rows, timestamps, out)
    }

    stateless!();
}

/// Keeps the records for which a predicate holds, which may fail. The first failure ends the
/// subtask.
pub struct TryFilterOperator<T, F> {
    predicate: F,
    cancel: CancelToken,
    record: PhantomData<fn(T)>,
}

impl<T, F: FnMut(&T) -> Result<bool, BoxError>> TryFilterOperator<T, F> {
    /// Keeps the records for which `predicate` holds.
    pub fn new(predicate: F) -> Self {
        Self {
            predicate,
            cancel: CancelToken::default(),
            record: PhantomData,
        }
    }
}

impl<T, F> Operator for TryFilterOperator<T, F>
where
    T: Data,
    F: FnMut(&T) -> Result<bool, BoxError> + Send,
{
    fn process(
        &mut self,
        _input: usize,
        chunk: Box<dyn Chunk>,
        out: &mut dyn Output,
    ) -> Result<(), OperatorError> {
        let (rows, timestamps) = retain(Batch::from_chunk(chunk), |row| {
            check(&self.cancel)?;
            (self.predicate)(row).map_err(OperatorError::Function)
        })?;
        emit_rows(rows, timestamps, out)
    }

    stateless!();
}

/// Drops the rows for which `keep` does not hold, in place, and stops calling it after a failure.
fn retain<T: Data>(
    batch: Batch<T>,
    mut keep: impl FnMut(&T) -> Result<bool, OperatorError>,
) -> Result<(Vec<T>, Vec<EventTime>), OperatorError> {
    let (mut rows, mut timestamps) = batch.into_parts();
    let mut failure = None;
    let (mut row, mut kept) = (0, 0);
    rows.retain(|record| {
        let keep = failure.is_none()
            && keep(record).unwrap_or_else(|error| {
                failure = Some(error);
                false
            });
        if keep && !timestamps.is_empty() {
            timestamps[kept] = timestamps[row];
        }
        row += 1;
        kept += usize::from(keep);
        keep
    });
    if !timestamps.is_empty() {
        timestamps.truncate(kept);
    }
    failure.map_or(Ok((rows, timestamps)), Err)
}
