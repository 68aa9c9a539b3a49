//! List state of an operator, such as the offsets of a source.

use crate::codec::{CodecError, StateValue, decode, encode};
use crate::error::StateError;
use crate::operator::backend::{
    OperatorState, OperatorStateBackend, OperatorStateContext, OperatorStateId,
};
use crate::operator::snapshot::OperatorStateMode;
use crate::schema::ValueType;

/// Handle of a list that each subtask has its own part of.
#[derive(Debug)]
pub struct OperatorListState<V>(OperatorStateId<List<V>>);

impl<V> Clone for OperatorListState<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for OperatorListState<V> {}

#[derive(Debug)]
struct List<V>(Vec<V>);

impl<V> Default for List<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V: StateValue> OperatorState for List<V> {
    fn snapshot(&self) -> Result<Vec<Vec<u8>>, CodecError> {
        let one = |element: &V| {
            let mut bytes = Vec::new();
            encode(element, &mut bytes).map(|()| bytes)
        };
        self.0.iter().map(one).collect()
    }

    fn restore(&mut self, element: &[u8]) -> Result<(), CodecError> {
        self.0.push(decode(element)?);
        Ok(())
    }
}

impl OperatorStateBackend {
    /// The list with this name, whose elements are spread over the subtasks when the parallelism
    /// changes.
    pub fn list_state<V: StateValue>(
        &mut self,
        name: &str,
    ) -> Result<OperatorListState<V>, StateError> {
        self.register(name, OperatorStateMode::Split, ValueType::element::<V>())
            .map(OperatorListState)
    }

    /// The list with this name, which each subtask gets as a whole when the job is restored.
    pub fn union_list_state<V: StateValue>(
        &mut self,
        name: &str,
    ) -> Result<OperatorListState<V>, StateError> {
        self.register(name, OperatorStateMode::Union, ValueType::element::<V>())
            .map(OperatorListState)
    }
}

impl<V: StateValue> OperatorListState<V> {
    /// The elements.
    pub fn get<'a>(&self, ctx: &'a mut impl OperatorStateContext) -> Result<&'a [V], StateError> {
        Ok(&ctx.operator_state().get(self.0)?.0)
    }

    /// Adds an element.
    pub fn add(&self, ctx: &mut impl OperatorStateContext, element: V) -> Result<(), StateError> {
        ctx.operator_state().get(self.0)?.0.push(element);
        Ok(())
    }

    /// Replaces the elements.
    pub fn set(
        &self,
        ctx: &mut impl OperatorStateContext,
        elements: impl IntoIterator<Item = V>,
    ) -> Result<(), StateError> {
        ctx.operator_state().get(self.0)?.0 = elements.into_iter().collect();
        Ok(())
    }

    /// Removes all elements.
    pub fn clear(&self, ctx: &mut impl OperatorStateContext) -> Result<(), StateError> {
        self.set(ctx, [])
    }
}
