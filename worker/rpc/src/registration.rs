//! How a TaskManager is taken in.
//!
//! ```text
//!   TaskManager                                   JobMaster
//!     Registration {versions, id, slots, ...} ───▶  checks versions, deployment, id
//!     ◀── Registered {job, session} | Refused | JobEnded
//!     builds the program from the job's ProgramSpec
//!     Ready {fingerprint} ─────────────────────────▶  compares; the slots are in use from now on
//!     ◀── Dismissed {what differs}, if it is not the same
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use weir_graph::Fingerprint;
use weir_types::{Epoch, Fault, JobId, TaskManagerId};

use crate::JobMasterSession;

/// The version of the messages between JobManager and TaskManager. Two processes work together only
/// if theirs are equal.
pub const PROTOCOL_VERSION: u32 = 1;

/// The version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The deployment of a TaskManager that no operation has started in particular.
pub const ANY_DEPLOYMENT: u64 = 0;

/// A TaskManager presents itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The version of its messages.
    pub protocol: u32,
    /// The version of its program.
    pub version: String,
    /// Its id: one life of the process.
    pub id: TaskManagerId,
    /// What a person calls it, for example its host name.
    pub name: String,
    /// The operation that started it; a JobMaster takes in only those of its own, and those that
    /// say [`ANY_DEPLOYMENT`].
    pub deployment: u64,
    /// How many slots it offers.
    pub slots: u32,
    /// Where its exchange listens; none if it has no exchange with other processes. An unspecified
    /// address (`0.0.0.0`) stands for the one that its registration comes from.
    pub data_address: Option<SocketAddr>,
}

/// Why a TaskManager with these versions cannot work with this JobManager, if it cannot.
pub fn version_mismatch(registration: &Registration) -> Option<String> {
    let (protocol, version) = (registration.protocol, registration.version.as_str());
    (protocol != PROTOCOL_VERSION || version != VERSION).then(|| {
        format!(
            "version mismatch: JobManager {VERSION} protocol {PROTOCOL_VERSION}, TaskManager \
             {version} protocol {protocol}; run the same version of weir on both"
        )
    })
}

/// What a process builds its copy of the program from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgramSpec {
    /// The program's name.
    pub program: String,
    /// The program's arguments.
    pub args: BTreeMap<String, String>,
    /// The job's configuration, for example its parallelism.
    pub config: BTreeMap<String, String>,
    /// The environment variables that the job lists.
    pub environment: BTreeMap<String, String>,
}

/// The job that a TaskManager is taken in for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobInfo {
    /// The JobMaster's epoch: every message from now on carries it.
    pub epoch: Epoch,
    /// The job.
    pub id: JobId,
    /// What a person calls it.
    pub name: String,
    /// What to build.
    pub program: ProgramSpec,
    /// What must come out.
    pub fingerprint: Fingerprint,
    /// How often each side says that it lives.
    pub heartbeat_interval: Duration,
    /// After how long a silence each side takes the other for lost.
    pub heartbeat_timeout: Duration,
    /// How snapshots are taken; none: there are none.
    pub checkpoints: Option<CheckpointSettings>,
}

/// What TaskManagers need to know for taking snapshots and for restoring them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointSettings {
    /// The job's state folder: a store's address with the folder in it.
    pub folder: String,
    /// How stores are reached. No secrets: each process finds its own.
    pub store: BTreeMap<String, String>,
    /// Whether inputs wait for each other's barriers.
    pub exactly_once: bool,
    /// Whether a checkpoint holds only what changed since the one before.
    pub incremental: bool,
    /// Whether keyed state is compressed.
    pub compress: bool,
    /// Whether TaskManagers keep copies of the newest checkpoint on their local disks.
    pub local_recovery: bool,
}

/// A TaskManager that was taken in.
pub struct Registered {
    /// The job to work for.
    pub job: JobInfo,
    /// The connection.
    pub session: Arc<dyn JobMasterSession>,
}

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registered")
            .field("job", &self.job)
            .finish_non_exhaustive()
    }
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobResult {
    /// All input is processed and all results are published.
    Finished,
    /// Somebody asked for it.
    Canceled,
    /// Something went wrong: the root cause.
    Failed(Fault),
}

impl fmt::Display for JobResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("finished"),
            Self::Canceled => f.write_str("cancelled"),
            Self::Failed(fault) => write!(f, "failed: {fault}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registration(protocol: u32, version: &str) -> Registration {
        Registration {
            protocol,
            version: version.to_owned(),
            id: TaskManagerId(1),
            name: "a".to_owned(),
            deployment: 1,
            slots: 1,
            data_address: None,
        }
    }

    #[test]
    fn equal_versions_work_together_and_others_are_named_on_both_sides() {
        assert_eq!(
            version_mismatch(&registration(PROTOCOL_VERSION, VERSION)),
            None
        );
        let text = version_mismatch(&registration(7, "9.9.9")).expect("versions differ");
        for part in [
            "version mismatch",
            VERSION,
            "protocol 1",
            "9.9.9",
            "protocol 7",
        ] {
            assert!(text.contains(part), "`{part}` is missing in `{text}`");
        }
        assert!(version_mismatch(&registration(PROTOCOL_VERSION, "9.9.9")).is_some());
    }
}
