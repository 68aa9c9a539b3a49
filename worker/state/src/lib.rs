//! Keyed and operator state, serializers, the heap backend and timers.

#![warn(missing_docs)]

mod codec;
mod error;
mod key;
mod keyed;
mod operator;
mod snapshot;
mod table;
mod ttl;

pub use codec::{CodecError, FORMAT_VERSION, StateValue, decode, decode_front, encode};
pub use error::StateError;
pub use key::{KeyError, StateKey, key_hash};
pub use keyed::aggregating_state::{AggregateFunction, AggregatingState};
pub use keyed::backend::KeyedBackend;
pub use keyed::handle::{KeyedContext, Namespaced, StateDescriptor, StateHandle, TableHandle};
pub use keyed::list_state::{ListIter, ListState};
pub use keyed::map_state::{MapIter, MapState};
pub use keyed::reducing_state::ReducingState;
pub use keyed::timer_service::{Timer, TimerService};
pub use keyed::value_state::ValueState;
pub use operator::backend::{OperatorStateBackend, OperatorStateContext};
pub use operator::broadcast_state::BroadcastState;
pub use operator::list_state::OperatorListState;
pub use operator::repartition::repartition;
pub use operator::snapshot::{
    OperatorSnapshot, OperatorStateMeta, OperatorStateMode, OperatorStateSnapshot,
};
pub use snapshot::{GroupBlock, KeyedSnapshot, SnapshotKind, StateKind, StateMeta, StateSnapshot};
pub use table::Table;
pub use ttl::{TtlConfig, TtlUpdate, TtlVisibility};
