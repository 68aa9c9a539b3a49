//! Operator state: state of a subtask that belongs to no key.

pub(crate) mod backend;
pub(crate) mod broadcast_state;
pub(crate) mod list_state;
pub(crate) mod repartition;
pub(crate) mod snapshot;
