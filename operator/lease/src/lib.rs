//! Leader election on a Kubernetes Lease: what to read, when to write, and who may act.
//!
//! Pure: [`Election`] is told the time and what came back from the API server, and says what to do
//! next. Two drivers use it, the operator's (which acts only while it surely leads) and the
//! JobManager's (which goes on until it sees another leader, because the pointer in the job's
//! storage keeps it from doing harm). Neither wall clocks nor the times in the Lease are compared
//! between machines: a Lease counts as expired when it has not changed for its duration, measured
//! by whoever looks.
//!
//! Why nobody else leads while a leader acts: every write replaces the Lease on condition that it
//! has not changed (`resourceVersion`). A leader acts until `renew_deadline` after it *sent* its
//! last successful write; others wait for the longer `duration` after they *saw* it, which is
//! later. A write whose answer was lost does not count until a read has found it.

#![warn(missing_docs)]

mod election;
mod record;
mod time;

pub use election::{Action, Election, Event, OnMissing, OnSilence, Settings, WriteError};
pub use record::{LeaseRecord, Observed};
pub use time::{micro_time, parse_rfc3339, rfc3339};
