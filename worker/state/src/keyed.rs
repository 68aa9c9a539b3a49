//! Keyed state as operators see it: descriptors, handles and the backend that holds the tables.

pub(crate) mod handle;

pub(crate) mod backend;
pub(crate) mod register;
pub(crate) mod restore;

pub(crate) mod aggregating_state;
pub(crate) mod cell;
pub(crate) mod list_state;
pub(crate) mod map_state;
pub(crate) mod reducing_state;
pub(crate) mod timer_service;
pub(crate) mod value_state;
