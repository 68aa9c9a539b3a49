//! What is to be done next with a job. Pure.
//!
//! [`decide`] looks at a snapshot and gives the next status, the actions of the step that the
//! snapshot's status says is being done, and events. It never acts on a step that is not written
//! yet: where it goes on to another step, the driver writes that first and asks again.
//!
//! The operations and their steps:
//!
//! ```text
//! Deploy                              Accepted ─▶ Removing ─▶ Starting ─▶ AwaitRunning
//! Upgrade, Restart (LastState)        Accepted ─▶ Warming ─▶ Removing ─▶ Starting ─▶ AwaitRunning
//! Rollback                            the same
//! Upgrade, Restart (other), Restore   Accepted ─▶ Warming ─▶ Stopping ─▶ Removing ─▶ …
//! Rescale                             Accepted ─▶ Warming ─▶ Snapshot ─▶ Removing ─▶ …
//! Suspend                             Accepted ─▶ Stopping ─▶ Removing
//! Savepoint, Checkpoint               Accepted ─▶ Snapshot
//! Delete                              Accepted ─▶ Stopping ─▶ Removing ─▶ CleanUp ─▶ Release
//! ```
//!
//! The order follows `AbstractJobReconciler` of Flink's operator; that each step is written first,
//! that the next deployment's number is part of it, and that a start always goes on from what the
//! job's storage names as the newest, does not.

mod awaiting;
mod begin;
mod deletion;
pub(crate) mod draft;
mod missing;
mod outcome;
mod owner;
mod pods;
mod rederive;
mod requests;
mod retention;
mod schedule;
mod settings;
mod snapshots;
mod steps;
mod warming;

use weir_crd::{StreamJobSpec, StreamJobStatus};

use crate::Observed;
use draft::Draft;
pub use outcome::{EndedOperation, Outcome};

/// The finalizer that holds a deletion up until its savepoint is complete.
pub const FINALIZER: &str = "weir.dev/savepoint-on-delete";

/// What is to be done with a job.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The status to write, if it differs from the one that was observed, before anything else.
    pub status: StreamJobStatus,
    /// What the step that was observed asks for. All of it can be repeated.
    pub actions: Vec<Action>,
    /// What to tell people, once the status is written.
    pub events: Vec<Event>,
    /// When to look again at the latest, in milliseconds.
    pub look_again_ms: u64,
}

/// Something to do. Doing it twice is the same as doing it once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Keep the job's present spec under this revision.
    KeepRevision {
        /// The revision.
        revision: String,
    },
    /// Forget specs that nobody needs any more.
    DropRevisions {
        /// Those that are needed.
        keep: Vec<String>,
    },
    /// Make the objects and pods of a deployment that are missing, and put right those that differ.
    Ensure {
        /// The deployment.
        deployment: i64,
        /// The revision whose spec they are made from.
        revision: String,
        /// Which of its pods.
        pods: Pods,
    },
    /// Make the objects of a deployment that is to follow, and its pods, but not its Lease: without
    /// one its JobManagers stand by, and check the job's state.
    Warm {
        /// The deployment.
        deployment: i64,
        /// The revision whose spec they are made from.
        revision: String,
        /// Which of its pods.
        pods: Pods,
    },
    /// Make the Lease of a deployment, if it is missing: from then on one of its JobManagers leads.
    OpenGate {
        /// The deployment.
        deployment: i64,
    },
    /// Remove all objects of deployments other than these, but not their pods.
    RemoveOthers {
        /// The deployments to keep.
        keep: Vec<i64>,
    },
    /// Delete a pod.
    DeletePod {
        /// Its name.
        name: String,
        /// At once, without waiting for its node: it is fenced off by its deployment's number.
        at_once: bool,
    },
    /// Have the job take its last savepoint and stop.
    Stop {
        /// The name of the savepoint.
        operation: String,
        /// Whether the input ends first.
        drain: bool,
    },
    /// Have the job take a savepoint.
    Savepoint {
        /// Its name.
        operation: String,
    },
    /// Have the job take a checkpoint.
    Checkpoint {
        /// Its name.
        operation: String,
    },
    /// Have the job let go of a savepoint, and delete it.
    Forget {
        /// The operation that took it.
        operation: String,
    },
    /// Have a pod of its own delete the job's checkpoints.
    CleanUp {
        /// The deployment that it claims the job for, so that nobody else writes meanwhile.
        deployment: i64,
        /// The revision whose spec says where they are.
        revision: String,
    },
    /// Put the finalizer on the StreamJob, or take it off.
    Finalizer(bool),
    /// Delete the StreamJob.
    DeleteJob,
}

/// Which pods of a deployment are to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pods {
    /// The first JobManager only.
    First,
    /// All JobManagers, and no TaskManager yet.
    JobManagers,
    /// All of them.
    All,
}

/// Something to tell people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whether somebody should look.
    pub kind: EventKind,
    /// In one word.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// Whether somebody should look at an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It is how things go.
    Normal,
    /// Somebody should look.
    Warning,
}

/// What is to be done next.
pub fn decide(observed: &Observed) -> Decision {
    let mut draft = Draft::new(observed);
    let deleting = observed.job.deleting_since_ms.is_some();
    if let Some(unread) = &observed.job.unread {
        if deleting && draft.requests.force_delete {
            draft.act(Action::Finalizer(false));
        }
        return draft.finish_unread(unread);
    }
    if let Some(other) = owner::other(&mut draft) {
        return draft.finish_foreign(&other);
    }
    if deleting {
        deletion::run(&mut draft);
        return draft.finish();
    }
    draft.keep_finalizer();
    if !draft.requests.paused && !rederive::run(&mut draft) {
        match draft.status.operation.clone() {
            Some(operation) => steps::run(&mut draft, &operation),
            None => begin::run(&mut draft),
        }
    }
    draft.finish()
}

/// The newest spec; none while it is refused.
pub(crate) fn accepted(observed: &Observed) -> Option<&StreamJobSpec> {
    draft::wanted_spec(observed, &observed.job.status).ok()
}

#[cfg(test)]
mod tests;
