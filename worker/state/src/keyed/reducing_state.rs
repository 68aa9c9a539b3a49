//! Reducing state (Flink's `ReducingState`).

use crate::codec::StateValue;
use crate::error::StateError;
use crate::key::StateKey;
use crate::keyed::cell;
use crate::keyed::handle::{KeyedContext, state_handle};

/// Merges the second value into the first.
pub(crate) type ReduceFunction<V> = Box<dyn Fn(&mut V, V) + Send>;

state_handle! {
    /// One value per key that others are reduced into, by the function the state was made with.
    ReducingState<V: StateValue> in Table of V
}

impl<V: StateValue, N: StateKey> ReducingState<V, N> {
    /// Reduces a value into that of the current key.
    #[inline]
    pub fn add<C: KeyedContext>(&self, ctx: &mut C, value: V) -> Result<(), StateError> {
        let access = ctx.keyed().access(self.id)?;
        let reduce = access.function::<ReduceFunction<V>>()?;
        cell::upsert(
            access,
            &self.namespace,
            value,
            |new| new,
            |old, new| reduce(old, new),
        )
    }

    /// What the values of the current key were reduced to.
    #[inline]
    pub fn get<'a, C: KeyedContext>(&self, ctx: &'a mut C) -> Result<Option<&'a V>, StateError> {
        cell::get(ctx.keyed().access(self.id)?, &self.namespace)
    }

    /// Removes the value of the current key.
    pub fn clear<C: KeyedContext>(&self, ctx: &mut C) -> Result<(), StateError> {
        cell::take::<_, N, V>(ctx.keyed().access(self.id)?, &self.namespace).map(drop)
    }
}
