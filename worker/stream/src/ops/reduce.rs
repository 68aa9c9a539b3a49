//! The running reduction of a keyed stream: for every record, what the key's records so far were
//! reduced to (Flink's `StreamGroupedReduceOperator`).

use std::marker::PhantomData;

use weir_network::Chunk;
use weir_state::{Namespaced, StateKey, ValueState};

use crate::keyed_runtime::{KeyedRows, KeyedRuntime, keyed_state};
use crate::ops::emit_rows;
use crate::{Batch, Data, Operator, OperatorContext, OperatorError, Output};

const STATE: &str = "reduced";

/// Reduces records per key, and emits the running value for each.
pub struct ReduceOperator<K, T, S, F> {
    reduce: F,
    keyed: KeyedRows<K, T, S>,
    runtime: KeyedRuntime<K>,
    state: Option<Namespaced<ValueState<T, ()>>>,
    record: PhantomData<fn(T)>,
}

/// A function of two values, as Flink's `ReduceFunction`, for [`ReduceOperator`], which reduces in
/// place. It costs a clone for each record.
pub fn by_value<T: Clone>(reduce: impl Fn(T, T) -> T) -> impl Fn(&mut T, T) {
    move |into, record| *into = reduce(into.clone(), record)
}

impl<K, T, S, F> ReduceOperator<K, T, S, F>
where
    K: StateKey,
    T: Data,
    S: FnMut(&T) -> K,
    F: Fn(&mut T, T),
{
    /// Reduces each record into what came before it for the key that `selector` gives it. The
    /// first record of a key is its first value.
    pub fn new(selector: S, reduce: F) -> Self {
        Self {
            reduce,
            keyed: KeyedRows::new(selector),
            runtime: KeyedRuntime::default(),
            state: None,
            record: PhantomData,
        }
    }
}

impl<K, T, S, F> Operator for ReduceOperator<K, T, S, F>
where
    K: StateKey,
    T: Data,
    S: FnMut(&T) -> K + Send,
    F: Fn(&mut T, T) + Send,
{
    fn open(&mut self, context: &OperatorContext) -> Result<(), OperatorError> {
        self.runtime.open(context)?;
        self.state = Some(self.runtime.backend.namespaced_value_state(STATE)?);
        Ok(())
    }

    fn process(
        &mut self,
        _input: usize,
        chunk: Box<dyn Chunk>,
        out: &mut dyn Output,
    ) -> Result<(), OperatorError> {
        let (rows, timestamps) = Batch::<T>::from_chunk(chunk).into_parts();
        let state = self.state.expect("records come after open");
        let table = self.runtime.backend.namespaced_table_mut(state)?;
        let rows = self.keyed.upsert(
            rows,
            &self.runtime.cancel,
            table,
            (|row| row, &self.reduce),
            |_, value| value.clone(),
        )?;
        emit_rows(rows, timestamps, out)
    }

    keyed_state!();
}

#[cfg(test)]
mod tests;
