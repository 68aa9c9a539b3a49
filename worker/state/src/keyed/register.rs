//! How operators ask their backend for states. Asking again gives the same state.

use std::any::Any;

use crate::codec::StateValue;
use crate::error::StateError;
use crate::key::StateKey;
use crate::keyed::aggregating_state::{AggregateFunction, AggregatingState};
use crate::keyed::backend::{Declared, KeyedBackend};
use crate::keyed::handle::{Namespaced, StateDescriptor, StateId, TableHandle};
use crate::keyed::list_state::ListState;
use crate::keyed::map_state::MapState;
use crate::keyed::reducing_state::{ReduceFunction, ReducingState};
use crate::keyed::value_state::ValueState;
use crate::schema::{Schema, ValueType};
use crate::snapshot::StateKind;
use crate::table::Table;
use crate::table::map_table::MapTable;
use crate::ttl::{Timed, read_plain, read_plain_list, read_timed, read_timed_list};

impl<K: StateKey> KeyedBackend<K> {
    /// The value state with this name.
    pub fn value_state<V: StateValue>(
        &mut self,
        descriptor: impl Into<StateDescriptor>,
    ) -> Result<ValueState<V>, StateError> {
        Ok(self.namespaced_value_state::<V, ()>(descriptor)?.at(()))
    }

    /// The value state with this name, kept per namespace too.
    pub fn namespaced_value_state<V: StateValue, N: StateKey>(
        &mut self,
        descriptor: impl Into<StateDescriptor>,
    ) -> Result<Namespaced<ValueState<V, N>>, StateError> {
        self.cell::<V, N>(descriptor.into(), StateKind::Value, None)
            .map(Namespaced::new)
    }

    /// The list state with this name.
    pub fn list_state<V: StateValue>(
        &mut self,
        descriptor: impl Into<StateDescriptor>,
    ) -> Result<ListState<V>, StateError> {
        Ok(self.namespaced_list_state::<V, ()>(descriptor)?.at(()))
    }

    /// The list state with this name, kept per namespace too.
    pub fn namespaced_list_state<V: StateValue, N: StateKey>(
        &mut self,
        descriptor: impl Into<StateDescriptor>,
    ) -> Result<Namespaced<ListState<V, N>>, StateError> {
        let descriptor = descriptor.into();
        let timed = descriptor.ttl.is_some();
        let declared = Declared {
            descriptor,
            kind: StateKind::List,
            values: ValueType::list::<V>(),
            user_key: None,
        };
        let id = if timed {
            let make = |groups| Table::<K, N, Vec<Timed<V>>>::new(groups, read_timed_list);
            self.register::<N, _>(declared, make, None)
        } else {
            let make = |groups| Table::<K, N, Vec<V>>::new(groups, read_plain_list);
            self.register::<N, _>(declared, make, None)
        };
        id.map(Namespaced::new)
    }

    /// The map state with this name.
    pub fn map_state<U: StateKey, V: StateValue>(
        &mut self,
        descriptor: impl Into<StateDescriptor>,
    ) -> Result<MapState<U, V>, StateError> {
        Ok(self.namespaced_map_state::<U, V, ()>(descriptor)?.at(()))
    }

    /// The map state with this name, kept per namespace too.
    pub fn namespaced_map_state<U: StateKey, V: StateValue, N: StateKey>(
        &mut self,
        descriptor: impl Into<StateDescriptor>,
    ) -> Result<Namespaced<MapState<U, V, N>>, StateError> {
        let descriptor = descriptor.into();
        let timed = descriptor.ttl.is_some();
        let declared = Declared {
            descriptor,
            kind: StateKind::Map,
            values: ValueType::map_value::<U, V>(),
            user_key: Some(Schema::of::<U>),
        };
        let id = if timed {
            let make = |groups| MapTable::<K, N, U, Timed<V>>::new(groups, read_timed);
            self.register::<N, _>(declared, make, None)
        } else {
            let make = |groups| MapTable::<K, N, U, V>::new(groups, read_plain);
            self.register::<N, _>(declared, make, None)
        };
        id.map(Namespaced::new)
    }

    /// The reducing state with this name. `reduce` merges its second argument into the first.
    pub fn reducing_state<V: StateValue>(
        &mut self,
        descriptor: impl Into<StateDescriptor>,
        reduce: impl Fn(&mut V, V) + Send + 'static,
    ) -> Result<ReducingState<V>, StateError> {
        Ok(self
            .namespaced_reducing_state::<V, ()>(descriptor, reduce)?
            .at(()))
    }

    /// The reducing state with this name, kept per namespace too.
    pub fn namespaced_reducing_state<V: StateValue, N: StateKey>(
        &mut self,
        descriptor: impl Into<StateDescriptor>,
        reduce: impl Fn(&mut V, V) + Send + 'static,
    ) -> Result<Namespaced<ReducingState<V, N>>, StateError> {
        let reduce: ReduceFunction<V> = Box::new(reduce);
        let function: Box<dyn Any + Send> = Box::new(reduce);
        self.cell::<V, N>(descriptor.into(), StateKind::Reducing, Some(function))
            .map(Namespaced::new)
    }

    /// The aggregating state with this name.
    pub fn aggregating_state<A: AggregateFunction>(
        &mut self,
        descriptor: impl Into<StateDescriptor>,
        function: A,
    ) -> Result<AggregatingState<A>, StateError> {
        Ok(self
            .namespaced_aggregating_state::<A, ()>(descriptor, function)?
            .at(()))
    }

    /// The aggregating state with this name, kept per namespace too.
    pub fn namespaced_aggregating_state<A: AggregateFunction, N: StateKey>(
        &mut self,
        descriptor: impl Into<StateDescriptor>,
        function: A,
    ) -> Result<Namespaced<AggregatingState<A, N>>, StateError> {
        let function: Box<dyn Any + Send> = Box::new(function);
        self.cell::<A::Acc, N>(descriptor.into(), StateKind::Aggregating, Some(function))
            .map(Namespaced::new)
    }

    /// The table behind a state without a time to live, for operators that work on chunks.
    #[inline]
    pub fn table_mut<S: TableHandle>(
        &mut self,
        state: &S,
    ) -> Result<&mut Table<K, S::Namespace, S::Value>, StateError> {
        self.chunk_table(state.handle_id().0)
    }

    /// The same for state that is kept per namespace.
    #[inline]
    pub fn namespaced_table_mut<S: TableHandle>(
        &mut self,
        state: Namespaced<S>,
    ) -> Result<&mut Table<K, S::Namespace, S::Value>, StateError> {
        self.chunk_table(state.id())
    }

    fn cell<V: StateValue, N: StateKey>(
        &mut self,
        descriptor: StateDescriptor,
        kind: StateKind,
        function: Option<Box<dyn Any + Send>>,
    ) -> Result<StateId, StateError> {
        let timed = descriptor.ttl.is_some();
        let declared = Declared {
            descriptor,
            kind,
            values: ValueType::one::<V>(),
            user_key: None,
        };
        if timed {
            let make = |groups| Table::<K, N, Timed<V>>::new(groups, read_timed);
            self.register::<N, _>(declared, make, function)
        } else {
            let make = |groups| Table::<K, N, V>::new(groups, read_plain);
            self.register::<N, _>(declared, make, function)
        }
    }
}
