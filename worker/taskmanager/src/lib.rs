//! TaskManager: registers with a JobManager, builds the job's program, runs subtasks in its slots.
//!
//! ```text
//!   run: register ──▶ build the program ──▶ serve ──▶ the job has ended: Ok
//!          ▲  │ refused: Err                  │
//!          │  └ out of reach for too long: Err│ connection lost
//!          └──────── cancel all tasks ◀───────┘
//! ```
//!
//! One task of the control plane's runtime owns everything; subtasks run on threads of their own
//! and talk to it through one bounded queue. Sockets for records have a runtime of their own, so
//! that heartbeats never wait for records. A TaskManager that has lost its JobManager cancels its
//! tasks before it registers again, under a new id: what it was told before is no longer true.

#![warn(missing_docs)]

mod options;
mod program;

mod task_manager;

mod data_plane;
mod memory;
mod registration;
mod serve;
mod state;
mod state_backend;
mod task_table;

pub use memory::{MemoryError, MemoryModel, MemoryOptions};
pub use options::TaskManagerOptions;
pub use program::{ProgramError, ProgramProvider};
pub use state_backend::{HeapOnly, SlotResources, StateBackendProvider};
pub use task_manager::{TaskManager, TaskManagerError};
