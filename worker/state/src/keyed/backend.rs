//! The keyed state of one operator of one subtask: its states by name, the current key, and the
//! snapshot that is being copied (Flink's `HeapKeyedStateBackend`).
//!
//! Everything happens on the subtask's thread. A snapshot begins with
//! [`KeyedBackend::snapshot_begin`], which takes microseconds whatever the state's size, and is
//! then copied in steps between records; the copy shows the state as it was at the beginning.
//! A snapshot that fails is aborted and costs nothing but its work.

mod checkpoints;
mod cold;
mod reading;

use std::any::Any;
use std::collections::BTreeMap;

use weir_types::{CheckpointId, KeyGroup, KeyGroupRange};

use self::checkpoints::Copying;
use self::cold::{CHUNK_USES, Cold};
use self::reading::read_on;
use crate::codec::{FORMAT_VERSION, describe_type};
use crate::cold::ColdStateId;
use crate::error::StateError;
use crate::key::{StateKey, key_hash};
use crate::keyed::handle::{StateDescriptor, StateId};
use crate::keyed::restore::{Elsewhere, Restored};
use crate::schema::{Schema, ValueType};
use crate::snapshot::{KeyedSnapshot, SnapshotKind, StateKind, StateMeta, StateSchemas};
use crate::table::shards::KeyGroups;
use crate::table::state_table::{StateTable, Upcoming};
use crate::table::timer_queue::TimerQueue;
use crate::table::timer_queue::text::TIMERS_VERSION;
use crate::ttl::TtlConfig;

/// Holds an operator's keyed state.
pub struct KeyedBackend<K> {
    groups: KeyGroups,
    current: Option<CurrentKey<K>>,
    now_ms: i64,
    states: Vec<State>,
    /// Restored states that the program has not asked for yet. They stay in snapshots.
    unclaimed: BTreeMap<String, Restored>,
    /// The newest snapshot that is known to be safe.
    confirmed: Option<CheckpointId>,
    /// What was restored is one snapshot: what the program asks for lies in the confirmed one.
    continues: bool,
    copying: Option<Copying>,
    /// What the next snapshot of this checkpoint continues: see [`Self::snapshot_ahead`].
    ahead: Option<CheckpointId>,
    /// There is restored state that was not read yet.
    unread: bool,
    /// The tier below the tables, if there is one.
    cold: Option<Box<Cold>>,
    /// Room for [`Self::look_ahead`].
    upcoming: Vec<Upcoming>,
}

struct CurrentKey<K> {
    key: K,
    hash: u64,
    group: KeyGroup,
}

struct State {
    meta: StateMeta,
    ttl: Option<TtlConfig>,
    table: Box<dyn StateTable>,
    /// What reducing and aggregating state work with.
    function: Option<Box<dyn Any + Send>>,
    /// Its place in the tier below.
    below: Option<ColdStateId>,
}

/// What a handle works with: a state's table and the current key.
pub(crate) struct Access<'a, K> {
    pub(crate) key: &'a K,
    pub(crate) hash: u64,
    pub(crate) now_ms: i64,
    pub(crate) ttl: Option<TtlConfig>,
    table: &'a mut dyn StateTable,
    function: Option<&'a (dyn Any + Send)>,
}

impl<K: StateKey> KeyedBackend<K> {
    /// A backend without state.
    pub fn new(max_parallelism: u32, range: KeyGroupRange) -> Self {
        Self {
            groups: KeyGroups {
                max_parallelism,
                range,
            },
            current: None,
            now_ms: 0,
            states: Vec::new(),
            unclaimed: BTreeMap::new(),
            confirmed: None,
            continues: false,
            copying: None,
            ahead: None,
            unread: false,
            cold: None,
            upcoming: Vec::new(),
        }
    }

    /// A backend with the state that snapshots hold. They may come from any number of subtasks, so
    /// that the parallelism may differ; each subtask's are to be in the order in which they were
    /// taken, the first one a full one. Key groups outside the range are left out.
    pub fn restored(
        max_parallelism: u32,
        range: KeyGroupRange,
        snapshots: impl IntoIterator<Item = KeyedSnapshot>,
    ) -> Result<Self, StateError> {
        let mut backend = Self::new(max_parallelism, range);
        backend.take_over(snapshots, Elsewhere::default())?;
        Ok(backend)
    }

    fn take_over(
        &mut self,
        snapshots: impl IntoIterator<Item = KeyedSnapshot>,
        elsewhere: Elsewhere,
    ) -> Result<(), StateError> {
        let collected = crate::keyed::restore::collect(self.groups, snapshots, elsewhere)?;
        self.unclaimed = collected.states;
        self.confirmed = collected.base;
        self.continues = collected.base.is_some();
        Ok(())
    }

    /// The job's number of key groups.
    pub fn max_parallelism(&self) -> u32 {
        self.groups.max_parallelism
    }

    /// The key groups of this subtask.
    pub fn key_group_range(&self) -> KeyGroupRange {
        self.groups.range
    }

    /// Makes a key the current one.
    #[inline]
    pub fn set_key(&mut self, key: K) -> Result<(), StateError> {
        let hash = key_hash(&key).map_err(StateError::hash::<K>)?;
        let group = KeyGroup::of_hash(hash, self.groups.max_parallelism);
        self.current = Some(CurrentKey { key, hash, group });
        Ok(())
    }

    /// Makes a key the current one, reusing the memory of the one before.
    #[inline]
    pub fn set_key_ref(&mut self, key: &K) -> Result<(), StateError> {
        let hash = key_hash(key).map_err(StateError::hash::<K>)?;
        self.set_hashed_key_ref(hash, key);
        Ok(())
    }

    /// The same for a key whose hash ([`key_hash`]) is known.
    #[inline]
    pub fn set_hashed_key_ref(&mut self, hash: u64, key: &K) {
        debug_assert_eq!(key_hash(key), Ok(hash));
        let group = KeyGroup::of_hash(hash, self.groups.max_parallelism);
        match &mut self.current {
            Some(current) => {
                current.key.clone_from(key);
                current.hash = hash;
                current.group = group;
            }
            None => {
                self.current = Some(CurrentKey {
                    key: key.clone(),
                    hash,
                    group,
                })
            }
        }
    }

    /// No key is current any more: using keyed state is an error until one is set.
    pub fn clear_key(&mut self) {
        self.current = None;
    }

    /// The current key.
    #[inline]
    pub fn current_key(&self) -> Result<&K, StateError> {
        self.current
            .as_ref()
            .map(|current| &current.key)
            .ok_or(StateError::NoCurrentKey)
    }

    /// The current key's group.
    pub fn key_group(&self) -> Result<KeyGroup, StateError> {
        self.current
            .as_ref()
            .map(|current| current.group)
            .ok_or(StateError::NoCurrentKey)
    }

    /// Tells the processing time, in milliseconds since 1970, which times to live are measured by.
    pub fn set_now_ms(&mut self, now_ms: i64) {
        self.now_ms = now_ms;
    }

    /// About how much memory the tables take, without what keys and values own elsewhere.
    pub fn bytes(&self) -> usize {
        self.states.iter().map(|state| state.table.bytes()).sum()
    }

    #[inline]
    pub(crate) fn access(&mut self, id: StateId) -> Result<Access<'_, K>, StateError> {
        self.make_room(1)?;
        // Errors are made where they are needed only: they have to be dropped again.
        let Some(current) = &self.current else {
            return Err(StateError::NoCurrentKey);
        };
        let Some(state) = self.states.get_mut(id.0 as usize) else {
            return Err(StateError::ForeignHandle { wanted: "state" });
        };
        Ok(Access {
            key: &current.key,
            hash: current.hash,
            now_ms: self.now_ms,
            ttl: state.ttl,
            table: &mut *state.table,
            function: state.function.as_deref(),
        })
    }

    /// A state's table, for working on a chunk of records.
    #[inline]
    pub(crate) fn chunk_table<T: StateTable>(&mut self, id: StateId) -> Result<&mut T, StateError> {
        self.make_room(CHUNK_USES)?;
        self.table(id)
    }

    /// A state's table, when no key matters.
    pub(crate) fn table<T: StateTable>(&mut self, id: StateId) -> Result<&mut T, StateError> {
        let state = self.states.get_mut(id.0 as usize);
        let table = state.and_then(|state| downcast(&mut *state.table));
        table.ok_or_else(|| StateError::ForeignHandle {
            wanted: std::any::type_name::<T>(),
        })
    }

    /// Brings the timer that is due first into memory and, now and then, the next ones and the
    /// state of their keys into the cache.
    #[inline]
    pub(crate) fn look_ahead<N: StateKey>(
        &mut self,
        timers: StateId,
        until: i64,
    ) -> Result<(), StateError> {
        if self.cold.is_some() {
            self.make_room(1)?;
        }
        let mut upcoming = std::mem::take(&mut self.upcoming);
        self.table::<TimerQueue<K, N>>(timers)?
            .look_ahead(until, &mut upcoming)?;
        if !upcoming.is_empty() {
            let states = self.states.iter();
            states.for_each(|state| state.table.bring_in(&upcoming));
        }
        self.upcoming = upcoming;
        Ok(())
    }

    /// Finds the state with this name or makes it, with what was restored for it.
    pub(crate) fn register<N: StateKey, T: StateTable>(
        &mut self,
        declared: Declared,
        make: impl FnOnce(KeyGroups) -> T,
        function: Option<Box<dyn Any + Send>>,
    ) -> Result<StateId, StateError> {
        let known = declared.descriptor.name.as_str();
        let known = self
            .states
            .iter()
            .position(|state| state.meta.name == known);
        if let Some(known) = known {
            return self.check_same::<N, T>(known, &declared);
        }
        let values = declared.values;
        let meta = declared.meta::<K, N>();
        let ttl = declared.descriptor.ttl;
        let nth = self.states.len();
        let id = StateId(u32::try_from(nth).expect("states are few"));
        self.states.push(State {
            meta: meta.clone(),
            ttl,
            table: Box::new(make(self.groups)),
            function,
            below: None,
        });
        // A state that could not be restored must not be there, should somebody ask again.
        let read = self.fill(nth, &meta, values);
        if read.is_err() {
            self.states.truncate(nth);
        }
        read.map(|()| id)
    }

    /// Gives a state that was just registered what was restored for it.
    fn fill(&mut self, nth: usize, meta: &StateMeta, values: ValueType) -> Result<(), StateError> {
        self.lay_over_tier(nth, values)?;
        let table = &mut *self.states[nth].table;
        if let Some(restored) = self.unclaimed.get(&meta.name) {
            // Over a tier what is in memory must be known.
            let later = self.cold.is_none();
            restored.load(meta, values, (table, later), self.now_ms)?;
            let table = &mut *self.states[nth].table;
            self.unread |= !read_on(&meta.name, table, &mut 0)?;
            if self.continues && restored.is_all(Some(meta)) {
                table.shards().go_on();
            }
            if let Some(Copying {
                kind: SnapshotKind::Full,
                claimed,
                ..
            }) = &mut self.copying
            {
                claimed.extend(restored.to_snapshot());
            }
            self.unclaimed.remove(&meta.name);
        }
        Ok(())
    }

    /// Asking again is cheap: operators may do it for each record.
    fn check_same<N: StateKey, T: StateTable>(
        &self,
        known: usize,
        declared: &Declared,
    ) -> Result<StateId, StateError> {
        let state = &self.states[known];
        let table: &dyn Any = &*state.table;
        let same_kind = state.meta.kind == declared.kind;
        // Timed tables have types of their own.
        if same_kind && table.is::<T>() {
            return Ok(StateId(u32::try_from(known).expect("states are few")));
        }
        Err(StateError::Register {
            name: state.meta.name.clone(),
            registered: state.meta.to_string(),
            requested: declared.meta::<K, N>().to_string(),
        })
    }
}

/// What a program declares a state to be.
pub(crate) struct Declared {
    pub(crate) descriptor: StateDescriptor,
    pub(crate) kind: StateKind,
    pub(crate) values: ValueType,
    /// Of map state, the schema of its user keys.
    pub(crate) user_key: Option<fn() -> Schema>,
}

impl Declared {
    fn meta<K: StateKey, N: StateKey>(&self) -> StateMeta {
        StateMeta {
            name: self.descriptor.name.clone(),
            kind: self.kind,
            format_version: match self.kind {
                StateKind::Timers => TIMERS_VERSION,
                _ => FORMAT_VERSION,
            },
            key_type: describe_type::<K>(),
            namespace_type: describe_type::<N>(),
            value_type: self.values.name(),
            timed: self.descriptor.ttl.is_some(),
            schemas: StateSchemas {
                key: Schema::of::<K>(),
                namespace: Schema::of::<N>(),
                user_key: self.user_key.map(|schema| schema()),
                value: self.values.schema(),
            },
        }
    }
}

impl<'a, K> Access<'a, K> {
    /// The table, of the type that the handle knows.
    #[inline]
    pub(crate) fn table<T: StateTable>(self) -> Result<&'a mut T, StateError> {
        let wanted = std::any::type_name::<T>();
        downcast(self.table).ok_or(StateError::ForeignHandle { wanted })
    }

    /// The function that the state was made with.
    #[inline]
    pub(crate) fn function<F: 'static>(&self) -> Result<&'a F, StateError> {
        let wanted = std::any::type_name::<F>();
        let function = self.function.and_then(|function| function.downcast_ref());
        function.ok_or(StateError::ForeignHandle { wanted })
    }
}

#[inline]
fn downcast<T: StateTable>(table: &mut dyn StateTable) -> Option<&mut T> {
    let table: &mut dyn Any = table;
    table.downcast_mut()
}
