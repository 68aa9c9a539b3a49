//! TaskManager: offers slots, runs the subtasks that the JobMaster deploys, reports on them.
//!
//! ```text
//!   Service::run ── register, again and again until the reconnect time-out
//!        │  taken in: builds the program, opens the exchange, says Ready
//!        ▼
//!   Session ── one loop over: commands of the JobMaster, events of subtasks, the heartbeat's tick
//!        │
//!        ▼  weir_task::launch: a thread for each subtask
//! ```
//!
//! A session that is lost cancels all its subtasks and waits until they have ended before the
//! TaskManager registers again, under a new id. Who needs which subtask where is not known here.

#![warn(missing_docs)]

mod convert;
mod events;
mod memory;
mod service;
mod session;

pub use memory::{MemoryError, MemoryModel};
pub use service::{
    DataPort, Outcome, ProgramProvider, RunError, TaskManager, TaskManagerOptions,
};
