//! State: what operators remember between records, and how it gets into snapshots and back.
//!
//! - **Keyed state** belongs to the current record's key. A [`KeyedBackend`] holds it for one
//!   operator of one subtask; operators ask it for states by name and keep the handles
//!   ([`ValueState`], [`ListState`], [`MapState`], [`ReducingState`], [`AggregatingState`],
//!   [`TimerService`]), which are plain data: the backend is lent for each call, by itself or by a
//!   context ([`KeyedContext`]). Built-in operators work on whole chunks with the [`Table`] behind
//!   a handle.
//! - **Operator state** belongs to the subtask: an [`OperatorStateBackend`] with lists and
//!   broadcast state, redistributed by [`repartition`].
//! - **Snapshots** ([`KeyedSnapshot`], [`OperatorSnapshot`]) are pure data. Where they are stored,
//!   and when one is taken, confirmed or aborted, is somebody else's business.
//!
//! A backend belongs to its subtask's thread: no locks, no I/O, no clock (the caller tells the
//! time). Keyed state is in memory, over a tier on disk if a [`StateBackendFactory`] gives one:
//! then it may be larger than memory, and each use may read a disk and fail.
//!
//! From a handle down: `keyed` (handles, backend, restore) → `table` (a state's entries by key
//! group: shard = slots + hash index; what changed since which snapshot) → `codec` (bytes).
//!
//! ```
//! use weir_state::{KeyedBackend, SnapshotKind};
//! use weir_types::{CheckpointId, KeyGroupRange};
//!
//! # fn main() -> Result<(), weir_state::StateError> {
//! let mut keyed = KeyedBackend::<String>::new(128, KeyGroupRange::of_subtask(128, 1, 0));
//! let count = keyed.value_state::<u64>("count")?;
//! for word in ["to", "be", "or", "not", "to", "be"] {
//!     keyed.set_key(word.to_owned())?;
//!     count.modify(&mut keyed, || 0, |count| *count += 1)?;
//! }
//! keyed.snapshot_begin(CheckpointId(1), SnapshotKind::Full)?;
//! keyed.set_key("to".to_owned())?;
//! count.clear(&mut keyed)?; // The snapshot does not see it.
//! let snapshot = keyed.snapshot_finish()?;
//!
//! let range = KeyGroupRange::of_subtask(128, 1, 0);
//! let mut restored = KeyedBackend::<String>::restored(128, range, [snapshot])?;
//! let count = restored.value_state::<u64>("count")?;
//! restored.set_key("to".to_owned())?;
//! assert_eq!(count.get(&mut restored)?, Some(&2));
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs)]

mod codec;
mod cold;
mod error;
mod give_way;
mod key;
mod keyed;
mod operator;
mod schema;
mod snapshot;
mod spilled;
mod table;
mod ttl;

pub use codec::{CodecError, FORMAT_VERSION, StateValue, decode, decode_front, encode};
pub use cold::{
    BackendRequest, ChangeSorter, ColdBatch, ColdError, ColdImporter, ColdSetup, ColdSnapshot,
    ColdSnapshotKind, ColdStateId, ColdStats, ColdTier, FileSnapshot, Found, HeapFactory,
    MemoryBudget, MemoryShare, NextGroups, SnapshotFile, StateBackendFactory, Visit, append_entry,
    group_prefix,
};
pub use error::StateError;
pub use give_way::{GiveWay, IdleTime, REST_MAX, Spent};
pub use key::{KeyError, StateKey, key_hash};
pub use keyed::aggregating_state::{AggregateFunction, AggregatingState};
pub use keyed::backend::KeyedBackend;
pub use keyed::handle::{KeyedContext, Namespaced, StateDescriptor, StateHandle, TableHandle};
pub use keyed::list_state::{ListIter, ListState};
pub use keyed::map_state::{MapIter, MapState};
pub use keyed::reducing_state::ReducingState;
pub use keyed::restore::merge_snapshots;
pub use keyed::timer_service::{Timer, TimerService};
pub use keyed::value_state::ValueState;
pub use operator::backend::{OperatorStateBackend, OperatorStateContext};
pub use operator::broadcast_state::BroadcastState;
pub use operator::list_state::OperatorListState;
pub use operator::repartition::{own_part, repartition};
pub use operator::snapshot::{
    OperatorSnapshot, OperatorStateMeta, OperatorStateMode, OperatorStateSnapshot,
};
pub use schema::Schema;
pub use snapshot::{
    GroupBlock, KeyedSnapshot, SnapshotKind, StateKind, StateMeta, StateSchemas, StateSnapshot,
    TakenSnapshot,
};
pub use spilled::{Records, Span, SpillFile, Spilled, SpilledBlock, SpilledState, checksum_of};
pub use table::Table;
pub use ttl::{TimedValues, TtlConfig, TtlUpdate, TtlVisibility};
