//! The operator state of one subtask (Flink's `DefaultOperatorStateBackend`). It is small and
//! copied as a whole when a barrier comes.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use crate::codec::{CodecError, FORMAT_VERSION};
use crate::error::StateError;
use crate::operator::snapshot::{
    OperatorSnapshot, OperatorStateMeta, OperatorStateMode, OperatorStateSnapshot,
};
use crate::schema::{Change, ValueType, Written};

/// What lends operator state: the backend itself, or the context of a function.
pub trait OperatorStateContext {
    /// The backend.
    fn operator_state(&mut self) -> &mut OperatorStateBackend;
}

impl OperatorStateContext for OperatorStateBackend {
    fn operator_state(&mut self) -> &mut Self {
        self
    }
}

impl<C: OperatorStateContext> OperatorStateContext for &mut C {
    fn operator_state(&mut self) -> &mut OperatorStateBackend {
        (**self).operator_state()
    }
}

/// Holds a subtask's operator state.
#[derive(Default)]
pub struct OperatorStateBackend {
    states: Vec<(OperatorStateMeta, Box<dyn OperatorState>)>,
    /// Restored states that the program has not asked for yet. They stay in snapshots.
    unclaimed: BTreeMap<String, OperatorStateSnapshot>,
}

impl fmt::Debug for OperatorStateBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let states = self.states.iter().map(|(meta, _)| meta);
        f.debug_struct("OperatorStateBackend")
            .field("states", &states.collect::<Vec<_>>())
            .field("unclaimed", &self.unclaimed.keys())
            .finish()
    }
}

/// What the backend does with a state whose types it does not know.
pub(crate) trait OperatorState: Any + Send {
    fn snapshot(&self) -> Result<Vec<Vec<u8>>, CodecError>;
    fn restore(&mut self, element: &[u8]) -> Result<(), CodecError>;
}

impl OperatorStateBackend {
    /// A backend without state.
    pub fn new() -> Self {
        Self::default()
    }

    /// A backend with what [`crate::repartition`] gave to this subtask.
    pub fn restored(snapshot: OperatorSnapshot) -> Self {
        let states = snapshot.states.into_iter();
        let unclaimed = states
            .map(|state| (state.meta.name.clone(), state))
            .collect();
        Self {
            states: Vec::new(),
            unclaimed,
        }
    }

    /// All states as they are now.
    pub fn snapshot(&self) -> Result<OperatorSnapshot, StateError> {
        let mut states = self.unclaimed.values().cloned().collect::<Vec<_>>();
        for (meta, state) in &self.states {
            let elements = state.snapshot();
            let elements = elements.map_err(|source| StateError::encode(&meta.name, source))?;
            states.push(OperatorStateSnapshot {
                meta: meta.clone(),
                elements,
            });
        }
        states.sort_by(|a, b| a.meta.name.cmp(&b.meta.name));
        Ok(OperatorSnapshot { states })
    }

    /// Finds the state with this name or makes it, with what was restored for it.
    pub(crate) fn register<S: OperatorState + Default>(
        &mut self,
        name: &str,
        mode: OperatorStateMode,
        elements: ValueType,
    ) -> Result<OperatorStateId<S>, StateError> {
        let meta = || OperatorStateMeta {
            name: name.to_owned(),
            mode,
            format_version: FORMAT_VERSION,
            element_type: elements.name(),
            element_schema: elements.schema(),
        };
        if let Some(known) = self.states.iter().position(|(known, _)| known.name == name) {
            let (registered, state) = &self.states[known];
            let state: &dyn Any = &**state;
            if registered.mode != mode || !state.is::<S>() {
                return Err(StateError::Register {
                    name: name.to_owned(),
                    registered: registered.to_string(),
                    requested: meta().to_string(),
                });
            }
            return Ok(OperatorStateId(known, PhantomData));
        }
        let meta = meta();
        let mut state = S::default();
        if let Some(restored) = self.unclaimed.get(name) {
            load(restored, &meta, elements, &mut state)?;
            self.unclaimed.remove(name);
        }
        self.states.push((meta, Box::new(state)));
        Ok(OperatorStateId(self.states.len() - 1, PhantomData))
    }

    pub(crate) fn get<S: OperatorState>(
        &mut self,
        id: OperatorStateId<S>,
    ) -> Result<&mut S, StateError> {
        let wanted = std::any::type_name::<S>();
        let state = self.states.get_mut(id.0).and_then(|(_, state)| {
            let state: &mut dyn Any = &mut **state;
            state.downcast_mut()
        });
        state.ok_or(StateError::ForeignHandle { wanted })
    }
}

/// Puts restored elements into the state that the program asked for.
fn load(
    restored: &OperatorStateSnapshot,
    declared: &OperatorStateMeta,
    elements: ValueType,
    state: &mut impl OperatorState,
) -> Result<(), StateError> {
    let OperatorStateSnapshot { meta, elements: of } = restored;
    let change = if meta.mode != declared.mode {
        Err("it is redistributed in another way".to_owned())
    } else if meta.format_version != declared.format_version {
        Err("it was written in another format".to_owned())
    } else {
        elements.change_from(&meta.element_schema, &declared.element_schema)
    };
    let change = change.map_err(|cause| StateError::Incompatible {
        state: declared.name.clone(),
        snapshot: meta.to_string(),
        program: declared.to_string(),
        cause,
    })?;
    let written = Written {
        schema: &meta.element_schema,
        timed: false,
    };
    let mut restore = |element: &Vec<u8>| match change {
        Change::None => state.restore(element),
        Change::Rewrite => {
            let mut rewritten = Vec::new();
            elements.rewrite(element, written, &mut rewritten)?;
            state.restore(&rewritten)
        }
    };
    of.iter()
        .try_for_each(&mut restore)
        .map_err(|source| StateError::decode(&declared.name, source))
}

/// Number of a state in its backend.
pub(crate) struct OperatorStateId<S>(usize, PhantomData<fn() -> S>);

impl<S> Clone for OperatorStateId<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for OperatorStateId<S> {}

impl<S> fmt::Debug for OperatorStateId<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
