//! What the operator does with a StreamJob: observe → validate → plan → build → apply → report.
//!
//! Everything here is pure. [`Observed`] is a snapshot of one StreamJob, its pods and what its
//! JobManager said; [`decide`] makes of it the next status, what is to be done, and what is to be
//! told; [`build`] makes the Kubernetes objects of a deployment. The driver (`weir-operator`)
//! fetches the one and runs the other, and decides nothing.
//!
//! The order is what keeps state safe. A step of an operation is written to the status, on
//! condition that nobody else has written meanwhile, *before* it is acted on; [`decide`] acts only
//! on the step that it finds written. All actions can be repeated: names are deterministic, and the
//! JobManager knows a savepoint by its operation. So a controller that is killed anywhere, or two
//! that overlap, do the same as one that is not. What keeps two JobManagers apart is not in here at
//! all but in the job's storage: each deployment has a number, and only the newest may claim the
//! job (Flink's operator decides by what it observes in three places, and has lost state that way).

#![warn(missing_docs)]

mod annotations;
pub mod build;
mod conditions;
pub mod names;
mod observe;
mod plan;
pub mod reasons;
mod revision;

pub use annotations::{Requests, annotation};
pub use observe::{
    Component, Denied, Ended, JobReport, JobView, ManagerView, NotStored, Observed, OperationView,
    Operators, PodView, RunState, SnapshotView, StandbyView, StateCheck, StateVerdict, Trouble,
};
pub use plan::{
    Action, Decision, EndedOperation, Event, EventKind, FINALIZER, Outcome, Pods, decide,
};
pub use revision::{Revision, revision};
pub use weir_lease::{parse_rfc3339, rfc3339};
