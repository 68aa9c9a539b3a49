//! How many rows an operator is given in one call, so that a slow one does not keep the subtask
//! from hearing that it is cancelled.
//!
//! Whether a subtask is cancelled is asked before each call of an operator. Where a function of a
//! user takes long for a record, a whole chunk of a thousand may take minutes; so each operator's
//! chunks are cut to what it lately did in [`CALL_MAX`]. Time that it waited for room downstream
//! does not count: that wait ends by itself when the subtask is cancelled. An operator that does a
//! whole chunk in time gets whole chunks, after a few smaller ones when it starts; all that it then
//! pays is two looks at the clock per chunk.
//!
//! A source's turns are kept as short in the same way: see [`Pace::turn`]. A function that slows
//! down within a call is noticed after that call; so the operators themselves ask between two
//! records, and between two timers of a long row, whether they are cancelled, and a source's reader
//! asks between two records whether it is called. Only functions that change a large table's values
//! in their places, many keys at once, have to come to the end of the call.

use std::time::Duration;

use weir_network::{CancelToken, Chunk};
use weir_stream::OperatorError;
use weir_types::{Clock, Timestamp};

use crate::metrics::TaskTimes;

/// How long one call of an operator is meant to take at most.
const CALL_MAX: Duration = Duration::from_millis(50);

/// From one call to the next the rows grow by this factor at most.
const GROWTH: u32 = 4;

/// No chunk has more rows than this.
const ROWS_MAX: usize = 1 << 24;

/// The pace of one operator.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Rows for the next call. The first call has one: nothing is known of the function yet.
    rows: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { rows: 1 }
    }
}

/// What tells how long a call took, and whether there is to be another.
#[derive(Clone, Copy)]
pub(crate) struct Watch<'a> {
    pub(crate) cancel: &'a CancelToken,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) times: &'a TaskTimes,
}

/// A moment, and how long the subtask had waited for room until then.
#[derive(Clone, Copy)]
struct Began {
    at: Timestamp,
    blocked: Duration,
}

impl Watch<'_> {
    fn began(self) -> Began {
        Began {
            at: self.clock.now(),
            blocked: self.times.blocked(),
        }
    }

    fn took(self, began: Began) -> Duration {
        let waited = self.times.blocked().saturating_sub(began.blocked);
        self.clock.now().since(began.at).saturating_sub(waited)
    }
}

impl Pace {
    /// Gives the chunk to `call`, in parts if need be.
    #[inline]
    pub(crate) fn feed(
        &mut self,
        mut chunk: Box<dyn Chunk>,
        watch: Watch<'_>,
        mut call: impl FnMut(Box<dyn Chunk>) -> Result<(), OperatorError>,
    ) -> Result<(), OperatorError> {
        loop {
            if watch.cancel.is_cancelled() {
                return Err(OperatorError::Cancelled);
            }
            let rest = if chunk.rows() > self.rows {
                chunk.split_off(self.rows)
            } else {
                None
            };
            let rows = chunk.rows();
            let began = watch.began();
            call(chunk)?;
            self.observe(rows, watch.took(began));
            match rest {
                Some(rest) => chunk = rest,
                None => return Ok(()),
            }
        }
    }

    /// Lets a source take a turn, which is given how many rows it may emit and tells how many it
    /// has emitted.
    pub(crate) fn turn<R, E>(
        &mut self,
        watch: Watch<'_>,
        turn: impl FnOnce(usize) -> Result<(R, u64), E>,
    ) -> Result<(R, u64), E> {
        let began = watch.began();
        let (result, rows) = turn(self.rows)?;
        let emitted = usize::try_from(rows).unwrap_or(usize::MAX);
        self.observe(emitted, watch.took(began));
        Ok((result, rows))
    }

    fn observe(&mut self, rows: usize, took: Duration) {
        if took > CALL_MAX {
            let in_time = rows as u128 * CALL_MAX.as_nanos() / took.as_nanos();
            self.rows = usize::try_from(in_time).unwrap_or(ROWS_MAX).max(1);
        } else if rows >= self.rows && took * GROWTH <= CALL_MAX {
            self.rows = (self.rows * GROWTH as usize).min(ROWS_MAX);
        }
    }
}

#[cfg(test)]
mod tests;
