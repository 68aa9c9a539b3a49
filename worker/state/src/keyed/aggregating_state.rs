//! Aggregating state (Flink's `AggregatingState`) and the function it works with.

use crate::codec::StateValue;
use crate::error::StateError;
use crate::key::StateKey;
use crate::keyed::cell;
use crate::keyed::handle::{KeyedContext, state_handle};

/// Folds inputs into an accumulator and makes a result of it (Flink's `AggregateFunction`).
pub trait AggregateFunction: Send + 'static {
    /// What is added.
    type In;
    /// What is kept.
    type Acc: StateValue;
    /// What comes out.
    type Out;

    /// An accumulator that nothing was added to.
    fn create_accumulator(&self) -> Self::Acc;

    /// Adds an input.
    fn add(&self, accumulator: &mut Self::Acc, input: Self::In);

    /// The result of what was added so far.
    fn result(&self, accumulator: &Self::Acc) -> Self::Out;

    /// Adds all that was added to `other`. Only windows that merge, such as sessions, need it.
    fn merge(&self, accumulator: &mut Self::Acc, other: Self::Acc);
}

state_handle! {
    /// One accumulator per key, by the function the state was made with.
    AggregatingState<A: AggregateFunction> in Table of A::Acc
}

impl<A: AggregateFunction, N: StateKey> AggregatingState<A, N> {
    /// Adds an input to the accumulator of the current key.
    #[inline]
    pub fn add<C: KeyedContext>(&self, ctx: &mut C, input: A::In) -> Result<(), StateError> {
        let access = ctx.keyed().access(self.id)?;
        let function = access.function::<A>()?;
        let insert = |input| {
            let mut accumulator = function.create_accumulator();
            function.add(&mut accumulator, input);
            accumulator
        };
        let update = |accumulator: &mut A::Acc, input| function.add(accumulator, input);
        cell::upsert(access, &self.namespace, input, insert, update)
    }

    /// The result for the current key; None if nothing was added.
    #[inline]
    pub fn get<C: KeyedContext>(&self, ctx: &mut C) -> Result<Option<A::Out>, StateError> {
        let access = ctx.keyed().access(self.id)?;
        let function = access.function::<A>()?;
        let accumulator = cell::get::<_, N, A::Acc>(access, &self.namespace)?;
        Ok(accumulator.map(|accumulator| function.result(accumulator)))
    }

    /// Removes the accumulator of the current key.
    pub fn clear<C: KeyedContext>(&self, ctx: &mut C) -> Result<(), StateError> {
        cell::take::<_, N, A::Acc>(ctx.keyed().access(self.id)?, &self.namespace).map(drop)
    }
}
