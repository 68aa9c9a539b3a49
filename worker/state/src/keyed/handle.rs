//! What the state handles have in common.
//!
//! A handle is a number with types: plain data that functions keep in their fields. The state
//! itself belongs to the backend, which the operator's context lends for each call. So there is
//! nothing shared, nothing locked, and everything may move to another thread.

use std::fmt;
use std::marker::PhantomData;

use crate::codec::StateValue;
use crate::key::StateKey;
use crate::keyed::backend::KeyedBackend;
use crate::ttl::TtlConfig;

/// What lends keyed state: the backend itself, or the context of a function.
pub trait KeyedContext {
    /// The type of the stream's key.
    type Key: StateKey;

    /// The backend, with the current key set.
    fn keyed(&mut self) -> &mut KeyedBackend<Self::Key>;
}

impl<K: StateKey> KeyedContext for KeyedBackend<K> {
    type Key = K;

    #[inline]
    fn keyed(&mut self) -> &mut Self {
        self
    }
}

impl<C: KeyedContext> KeyedContext for &mut C {
    type Key = C::Key;

    #[inline]
    fn keyed(&mut self) -> &mut KeyedBackend<C::Key> {
        (**self).keyed()
    }
}

/// What a program says about a state when it asks for it. Made from a name, in the simplest case.
#[derive(Clone, Debug)]
pub struct StateDescriptor {
    pub(crate) name: String,
    pub(crate) ttl: Option<TtlConfig>,
}

impl StateDescriptor {
    /// A state with this name, which must be unique in the operator.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ttl: None,
        }
    }

    /// Lets its values expire.
    #[must_use]
    pub fn with_ttl(self, ttl: TtlConfig) -> Self {
        Self {
            ttl: Some(ttl),
            ..self
        }
    }
}

impl From<&str> for StateDescriptor {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<String> for StateDescriptor {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}

/// Number of a state in its backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StateId(pub(crate) u32);

/// A handle of one kind of state, bound to a namespace.
pub trait StateHandle {
    /// What state is kept per, beside the key: `()` or a window.
    type Namespace: StateKey;

    #[doc(hidden)]
    fn bind(id: HandleId, namespace: Self::Namespace) -> Self;
}

/// A handle of state that is one value per key and namespace in a [`crate::Table`].
pub trait TableHandle: StateHandle {
    /// What the table holds.
    type Value: StateValue;

    #[doc(hidden)]
    fn handle_id(&self) -> HandleId;
}

/// Makes handles; only backends do.
#[derive(Clone, Copy, Debug)]
pub struct HandleId(pub(crate) StateId);

/// State that is kept per key and namespace: [`Namespaced::at`] gives the handle of one namespace.
pub struct Namespaced<S> {
    id: StateId,
    handle: PhantomData<fn() -> S>,
}

impl<S: StateHandle> Namespaced<S> {
    pub(crate) fn new(id: StateId) -> Self {
        Self {
            id,
            handle: PhantomData,
        }
    }

    pub(crate) fn id(self) -> StateId {
        self.id
    }

    /// The state in this namespace.
    #[inline]
    pub fn at(self, namespace: S::Namespace) -> S {
        S::bind(HandleId(self.id), namespace)
    }
}

impl<S> Clone for Namespaced<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Namespaced<S> {}

impl<S> fmt::Debug for Namespaced<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Namespaced({})", self.id.0)
    }
}

/// Declares a handle type: plain data, `Copy` whatever the types of its values are.
macro_rules! state_handle {
    ($(#[$doc:meta])* $name:ident<$($value:ident: $bound:path),+> in Table of $cell:ty) => {
        $crate::keyed::handle::state_handle!($(#[$doc])* $name<$($value: $bound),+>);

        impl<$($value: $bound,)+ N: $crate::key::StateKey> $crate::keyed::handle::TableHandle
            for $name<$($value,)+ N>
        {
            type Value = $cell;

            fn handle_id(&self) -> $crate::keyed::handle::HandleId {
                $crate::keyed::handle::HandleId(self.id)
            }
        }
    };
    ($(#[$doc:meta])* $name:ident<$($value:ident: $bound:path),+>) => {
        $(#[$doc])*
        pub struct $name<$($value,)+ N = ()> {
            pub(crate) id: $crate::keyed::handle::StateId,
            pub(crate) namespace: N,
            types: std::marker::PhantomData<fn() -> ($($value,)+)>,
        }

        impl<$($value: $bound,)+ N: $crate::key::StateKey> $crate::keyed::handle::StateHandle
            for $name<$($value,)+ N>
        {
            type Namespace = N;

            #[inline]
            fn bind(id: $crate::keyed::handle::HandleId, namespace: N) -> Self {
                Self { id: id.0, namespace, types: std::marker::PhantomData }
            }
        }

        impl<$($value,)+ N: Clone> Clone for $name<$($value,)+ N> {
            fn clone(&self) -> Self {
                let namespace = self.namespace.clone();
                Self { id: self.id, namespace, types: std::marker::PhantomData }
            }
        }

        impl<$($value,)+ N: Copy> Copy for $name<$($value,)+ N> {}

        impl<$($value,)+ N: std::fmt::Debug> std::fmt::Debug for $name<$($value,)+ N> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({}, {:?})", stringify!($name), self.id.0, self.namespace)
            }
        }
    };
}

pub(crate) use state_handle;
