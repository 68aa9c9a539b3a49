//! Broadcast state (Flink's `BroadcastState`): a map that is the same in every subtask, because
//! every subtask sees all of the input that it is made from.

use std::fmt;

use crate::codec::{CodecError, StateValue, decode, encode};
use crate::error::StateError;
use crate::key::{StateKey, key_hash};
use crate::operator::backend::{
    OperatorState, OperatorStateBackend, OperatorStateContext, OperatorStateId,
};
use crate::operator::snapshot::OperatorStateMode;
use crate::schema::ValueType;
use crate::table::shard::{PlainCodec, Shard};

/// Handle of a map that each subtask has the same of.
pub struct BroadcastState<U, V>(OperatorStateId<Map<U, V>>);

impl<U, V> Clone for BroadcastState<U, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<U, V> Copy for BroadcastState<U, V> {}

impl<U, V> fmt::Debug for BroadcastState<U, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BroadcastState({:?})", self.0)
    }
}

struct Map<U, V>(Shard<U, (), V>);

impl<U, V> Default for Map<U, V> {
    fn default() -> Self {
        Self(Shard::default())
    }
}

fn hash<U: StateKey>(user_key: &U) -> Result<u64, StateError> {
    key_hash(user_key).map_err(StateError::hash::<U>)
}

impl<U: StateKey, V: StateValue> Map<U, V> {
    fn put(&mut self, user_key: U, value: V) -> Result<(), StateError> {
        let hash = hash(&user_key)?;
        if let Some(slot) = self.0.find(hash, &user_key, &()) {
            *self.0.untracked_mut(slot).expect("the slot was just found") = value;
        } else {
            let rehash = |user_key: &U, (): &()| {
                key_hash(user_key).expect("a key in the map was hashed before")
            };
            self.0.insert(hash, user_key, (), value, rehash);
        }
        Ok(())
    }
}

impl<U: StateKey, V: StateValue> OperatorState for Map<U, V> {
    fn snapshot(&self) -> Result<Vec<Vec<u8>>, CodecError> {
        let one = |(_, user_key, (), value): (u32, &U, &(), &V)| {
            let mut bytes = Vec::new();
            encode(&(user_key, value), &mut bytes).map(|()| bytes)
        };
        self.0.iter().map(one).collect()
    }

    fn restore(&mut self, element: &[u8]) -> Result<(), CodecError> {
        let (user_key, value) = decode(element)?;
        self.put(user_key, value)
            .map_err(|e| CodecError::decode::<U>(e.to_string()))
    }
}

impl OperatorStateBackend {
    /// The broadcast state with this name.
    pub fn broadcast_state<U: StateKey, V: StateValue>(
        &mut self,
        name: &str,
    ) -> Result<BroadcastState<U, V>, StateError> {
        let elements = ValueType::element::<(U, V)>();
        self.register(name, OperatorStateMode::Broadcast, elements)
            .map(BroadcastState)
    }
}

impl<U: StateKey, V: StateValue> BroadcastState<U, V> {
    /// The value of a key.
    pub fn get<'a>(
        &self,
        ctx: &'a mut impl OperatorStateContext,
        user_key: &U,
    ) -> Result<Option<&'a V>, StateError> {
        let map = &ctx.operator_state().get(self.0)?.0;
        let slot = map.find(hash(user_key)?, user_key, &());
        Ok(slot
            .and_then(|slot| map.entry(slot))
            .map(|(_, (), value)| value))
    }

    /// Whether there is a value for a key.
    pub fn contains(
        &self,
        ctx: &mut impl OperatorStateContext,
        user_key: &U,
    ) -> Result<bool, StateError> {
        self.get(ctx, user_key).map(|value| value.is_some())
    }

    /// Sets the value of a key.
    pub fn put(
        &self,
        ctx: &mut impl OperatorStateContext,
        user_key: U,
        value: V,
    ) -> Result<(), StateError> {
        ctx.operator_state().get(self.0)?.put(user_key, value)
    }

    /// Takes the value of a key out.
    pub fn remove(
        &self,
        ctx: &mut impl OperatorStateContext,
        user_key: &U,
    ) -> Result<Option<V>, StateError> {
        let map = &mut ctx.operator_state().get(self.0)?.0;
        let hash = hash(user_key)?;
        let Some(slot) = map.find(hash, user_key, &()) else {
            return Ok(None);
        };
        Ok(map
            .remove(hash, slot, &PlainCodec)
            .map(|(_, (), value)| value))
    }

    /// All keys and values, in no particular order.
    pub fn iter<'a>(
        &self,
        ctx: &'a mut impl OperatorStateContext,
    ) -> Result<impl Iterator<Item = (&'a U, &'a V)>, StateError> {
        let map = &ctx.operator_state().get(self.0)?.0;
        Ok(map.iter().map(|(_, user_key, (), value)| (user_key, value)))
    }

    /// Removes all keys and values.
    pub fn clear(&self, ctx: &mut impl OperatorStateContext) -> Result<(), StateError> {
        *ctx.operator_state().get(self.0)? = Map::default();
        Ok(())
    }
}
