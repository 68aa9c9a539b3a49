//! JobManager: Dispatcher, JobMaster, scheduler, slot pool.
//!
//! ```text
//!   REST, CLI ──▶ Dispatcher ─┐
//!   TaskManagers ──▶ rpc ─────┼──▶ driver ──events──▶ JobMaster (pure) ──actions──▶ driver
//!   enumerator threads ───────┘                                                      │
//!        ▲                           TaskManagers, enumerators, whoever waits ◀──────┘
//! ```
//!
//! The [`JobMaster`](job_master) decides and never acts: it has no clock, no thread and no I/O. The
//! driver is one task that feeds it events one at a time and carries out what it says. Source
//! enumerators are ordinary blocking code and run on a thread each. Whoever has another network,
//! store and clock, as the simulator in `tests/sim`, drives the same [`job_master`].

#![warn(missing_docs)]

mod options;

mod job_manager;

mod alarm;
mod checkpoint_store;
mod claiming;
mod collection;
mod dispatcher;
mod driver;
mod election;
mod failover;
#[cfg(test)]
mod fixtures;
mod history;
pub mod job_master;
mod pointer_register;
mod random;
mod restart_strategy;
mod restore_point;
mod restoring;
mod slot_pool;
mod source_coordinator;
mod taskmanagers;

pub use claiming::{Claim, ClaimError, Claimed, claim, has_snapshots, let_go, read_pointer};
pub use election::{ElectionError, FileElection, LeaderElection, Leadership, Term};
pub use failover::{FailoverStrategy, check_failover};
pub use job_manager::{JobManager, RpcPort, StartError};
pub use options::{CheckpointOptions, JobManagerOptions, JobSpec};
pub use restart_strategy::RestartStrategy;
pub use restore_point::{Found, Look, find_snapshot, missing_objects, older_points, restore_point};
pub use restoring::{RestoreFrom, check_restore};
pub use weir_rpc::JobResult;
