//! Clusters of real processes, what happens to them, and whether their output is exact all the
//! same: two JobManagers, of which one leads, three TaskManagers, of which two are needed, and a
//! job whose output an independent count knows.
//!
//! ```text
//!   TaskManager 0..3 ──proxy each──▶ JobManager 0, 1 ──▶ checkpoint folder, or
//!        ▲    │                                          proxy ──▶ S3 server
//!        └────┘ data, each on a loopback address of its own
//! ```
//!
//! The oracle is the multiset of rows that were published: it knows nothing of how the runtime
//! works, so it cannot be wrong in the same way.

mod party;
mod state_backend;
mod storm;

pub use party::{JOBMANAGERS, Party, Store, TASKMANAGERS};
pub use state_backend::StateBackend;
pub use storm::{Fault, Recovery, Storm};
