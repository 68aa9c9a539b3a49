//! Value state (Flink's `ValueState`).

use crate::codec::StateValue;
use crate::error::StateError;
use crate::key::StateKey;
use crate::keyed::cell;
use crate::keyed::handle::{KeyedContext, state_handle};

state_handle! {
    /// One value per key.
    ValueState<V: StateValue> in Table of V
}

impl<V: StateValue, N: StateKey> ValueState<V, N> {
    /// The value of the current key.
    #[inline]
    pub fn get<'a, C: KeyedContext>(&self, ctx: &'a mut C) -> Result<Option<&'a V>, StateError> {
        cell::get(ctx.keyed().access(self.id)?, &self.namespace)
    }

    /// Sets the value of the current key.
    #[inline]
    pub fn set<C: KeyedContext>(&self, ctx: &mut C, value: V) -> Result<(), StateError> {
        let access = ctx.keyed().access(self.id)?;
        cell::upsert(
            access,
            &self.namespace,
            value,
            |new| new,
            |old, new| *old = new,
        )
    }

    /// Changes the value of the current key in place; `default` makes it if there is none.
    #[inline]
    pub fn modify<C: KeyedContext>(
        &self,
        ctx: &mut C,
        default: impl Fn() -> V,
        change: impl Fn(&mut V),
    ) -> Result<(), StateError> {
        let insert = |()| {
            let mut value = default();
            change(&mut value);
            value
        };
        let access = ctx.keyed().access(self.id)?;
        cell::upsert(access, &self.namespace, (), insert, |value, ()| {
            change(value)
        })
    }

    /// Replaces the value of the current key by what the function makes of it; None removes it.
    pub fn update<C: KeyedContext>(
        &self,
        ctx: &mut C,
        change: impl FnOnce(Option<&V>) -> Option<V>,
    ) -> Result<(), StateError> {
        match change(self.get(ctx)?) {
            Some(value) => self.set(ctx, value),
            None => self.clear(ctx),
        }
    }

    /// Takes the value of the current key out.
    pub fn take<C: KeyedContext>(&self, ctx: &mut C) -> Result<Option<V>, StateError> {
        cell::take(ctx.keyed().access(self.id)?, &self.namespace)
    }

    /// Removes the value of the current key.
    pub fn clear<C: KeyedContext>(&self, ctx: &mut C) -> Result<(), StateError> {
        self.take(ctx).map(drop)
    }
}
