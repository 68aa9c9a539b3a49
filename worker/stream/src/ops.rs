//! The operators that a program is made of, one file each.
//!
//! Each is a plain synchronous value. It gets its rows back from the erased chunk once, and loops
//! over them with the user's function inlined. A record keeps its event time on its way through.
//! A panic in a user's function unwinds through the operator, which is not used again after it.

pub mod aggregate;
pub mod broadcast;
pub mod co_map;
pub mod co_process;
pub mod filter;
pub mod flat_map;
pub mod keyed_broadcast;
pub mod keyed_co_process;
mod keyed_context;
pub mod keyed_process;
pub mod map;
pub mod process;
pub mod reduce;
pub mod watermarks;

pub use aggregate::AggregateOperator;
pub use broadcast::{
    BroadcastProcessFunction, BroadcastProcessOperator, ReadOnlyBroadcastState, ReadOnlyContext,
};
pub use co_map::{CoFlatMapOperator, CoMapOperator};
pub use co_process::{CoProcessFunction, CoProcessOperator};
pub use filter::{FilterOperator, TryFilterOperator};
pub use flat_map::{FlatMapOperator, TryFlatMapOperator};
pub use keyed_broadcast::{
    KeyedBroadcastOpenContext, KeyedBroadcastProcessFunction, KeyedBroadcastProcessOperator,
    KeyedReadOnlyContext,
};
pub use keyed_co_process::{KeyedCoProcessFunction, KeyedCoProcessOperator};
pub use keyed_context::{Context, OpenContext};
pub use keyed_process::{KeyedProcessFunction, KeyedProcessOperator};
pub use map::{MapOperator, TryMapOperator};
pub use process::{ProcessContext, ProcessFunction, ProcessOpenContext, ProcessOperator};
pub use reduce::ReduceOperator;
pub use watermarks::{WatermarkGenerator, WatermarkOutput, WatermarkStrategy, WatermarksOperator};

use weir_network::CancelToken;
use weir_types::EventTime;

use crate::keyed_runtime::check;
use crate::{Batch, Data, OperatorError, Output};

/// The number of the second of two inputs.
pub(crate) const SECOND: usize = 1;

/// The rows of a batch, each with its event time if it has one.
pub(crate) fn records<T: Data>(batch: Batch<T>) -> impl Iterator<Item = (T, Option<EventTime>)> {
    let (rows, timestamps) = batch.into_parts();
    rows.into_iter()
        .enumerate()
        .map(move |(row, record)| (record, timestamps.get(row).copied()))
}

/// What a function makes of each row, unless the subtask is cancelled meanwhile.
pub(crate) fn map_rows<I, O>(
    rows: Vec<I>,
    cancel: &CancelToken,
    mut function: impl FnMut(I) -> Result<O, OperatorError>,
) -> Result<Vec<O>, OperatorError> {
    let mut mapped = Vec::with_capacity(rows.len());
    for row in rows {
        check(cancel)?;
        mapped.push(function(row)?);
    }
    Ok(mapped)
}

/// Passes rows on, if there are any.
pub(crate) fn emit_rows<T: Data>(
    rows: Vec<T>,
    timestamps: Vec<EventTime>,
    out: &mut dyn Output,
) -> Result<(), OperatorError> {
    if rows.is_empty() {
        return Ok(());
    }
    out.emit(Box::new(Batch::with_timestamps(rows, timestamps)))
}

/// The methods of an operator that keeps nothing, and of where it runs needs to know only whether
/// it is cancelled: its field `cancel`.
macro_rules! stateless {
    () => {
        fn open(&mut self, context: &$crate::OperatorContext) -> Result<(), $crate::OperatorError> {
            self.cancel = context.cancel.clone();
            Ok(())
        }

        $crate::ops::no_state!();
    };
}
pub(crate) use stateless;

/// The two methods of an operator that keeps nothing.
macro_rules! no_state {
    () => {
        fn snapshot_begin(
            &mut self,
            _request: $crate::SnapshotRequest,
        ) -> Result<$crate::OperatorSnapshot, $crate::OperatorError> {
            Ok($crate::OperatorSnapshot::default())
        }

        fn restore(
            &mut self,
            _snapshots: Vec<$crate::OperatorSnapshot>,
        ) -> Result<(), $crate::OperatorError> {
            Ok(())
        }
    };
}
pub(crate) use no_state;

#[cfg(test)]
mod tests;
