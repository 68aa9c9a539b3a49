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
//! enumerators are ordinary blocking code and run on a thread each.

#![warn(missing_docs)]

mod options;

mod job_manager;

mod dispatcher;
mod driver;
mod job_master;
mod slot_pool;
mod source_coordinator;
mod taskmanagers;

pub use job_manager::{JobManager, StartError};
pub use options::{JobManagerOptions, JobSpec};
pub use weir_rpc::JobResult;
