//! The running aggregation of a keyed stream: for every record, the result over the key's records
//! so far. Flink has it on windows only; as a reduction it would have to keep whole records.

use weir_network::Chunk;
use weir_state::{AggregateFunction, Namespaced, StateKey, ValueState};

use crate::keyed_runtime::{KeyedRows, KeyedRuntime, keyed_state};
use crate::ops::emit_rows;
use crate::{Batch, Data, Operator, OperatorContext, OperatorError, Output};

const STATE: &str = "aggregated";

/// Aggregates records per key, and emits a record made of key and running result for each.
pub struct AggregateOperator<K, A: AggregateFunction, S, E> {
    function: A,
    emit: E,
    keyed: KeyedRows<K, A::In, S>,
    runtime: KeyedRuntime<K>,
    state: Option<Namespaced<ValueState<A::Acc, ()>>>,
}

impl<K, A, S, E, O> AggregateOperator<K, A, S, E>
where
    K: StateKey,
    A: AggregateFunction,
    A::In: Data,
    S: FnMut(&A::In) -> K,
    E: FnMut(&K, A::Out) -> O,
{
    /// Aggregates records under the key that `selector` gives them; `emit` makes the record that
    /// goes out.
    pub fn new(selector: S, function: A, emit: E) -> Self {
        Self {
            function,
            emit,
            keyed: KeyedRows::new(selector),
            runtime: KeyedRuntime::default(),
            state: None,
        }
    }
}

impl<K, A, S, E, O> Operator for AggregateOperator<K, A, S, E>
where
    K: StateKey,
    A: AggregateFunction,
    A::In: Data,
    S: FnMut(&A::In) -> K + Send,
    E: FnMut(&K, A::Out) -> O + Send,
    O: Data,
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
        let (rows, timestamps) = Batch::<A::In>::from_chunk(chunk).into_parts();
        let state = self.state.expect("records come after open");
        let table = self.runtime.backend.namespaced_table_mut(state)?;
        let (function, emit) = (&self.function, &mut self.emit);
        let first = |row| {
            let mut accumulator = function.create_accumulator();
            function.add(&mut accumulator, row);
            accumulator
        };
        let more = |accumulator: &mut A::Acc, row| function.add(accumulator, row);
        let result = |key: &K, accumulator: &A::Acc| emit(key, function.result(accumulator));
        let cancel = &self.runtime.cancel;
        let rows = self
            .keyed
            .upsert(rows, cancel, table, (first, more), result)?;
        emit_rows(rows, timestamps, out)
    }

    keyed_state!();
}
