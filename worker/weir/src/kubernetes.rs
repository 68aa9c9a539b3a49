//! What a JobManager needs of Kubernetes when it runs in a pod: the Lease by which the job's
//! JobManagers elect their leader, and the label that leads clients to that leader's REST.
//!
//! No JobManager makes the Lease: the operator does, once the job is to start ([`gate`]). The end
//! of a job that keeps no state outside is told by its Lease ([`Ended`]), as nothing else lasts.
//!
//! A few requests to the API server, with the token of the pod's service account, are no reason to
//! build a Kubernetes client into every job: a blocking HTTP client of a few hundred lines is. Who
//! leads is decided by `weir_lease`; that two leaders do no harm, by the pointer in the job's
//! storage. So a JobManager that cannot reach the API server goes on.
//!
//! The operator describes the pod in its environment (`WEIR_LEASE` and so on).

mod api;
pub(crate) mod gate;
mod lease_election;
#[cfg(test)]
pub(crate) mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow};
use weir_cli::Failure;
use weir_crd::ManifestDuration;

use api::{Api, Lease};
pub(crate) use lease_election::LeaseElection;

/// How often it is tried to say on the Lease how the job ended, and how long is waited in between:
/// together for about as long as the Lease lasts, which is not renewed meanwhile.
const CONCLUDE_TRIES: u32 = 8;
const CONCLUDE_PAUSE: Duration = Duration::from_millis(400);

/// How a job has ended that keeps no state outside: whoever finds it on the Lease, be it a
/// JobManager that stood by or a container that was started once more, does not run the job again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Finished,
    Cancelled,
    /// Why.
    Failed(String),
}

/// The pod that this process runs in.
#[derive(Clone)]
pub(crate) struct Pod {
    name: String,
    uid: String,
    namespace: String,
    lease: String,
    /// The uid of the StreamJob that the Lease belongs to. One of an earlier StreamJob of the same
    /// name, which is still being removed, is none.
    lease_owner: String,
    duration: Duration,
    renew_deadline: Duration,
    retry_period: Duration,
    api: Arc<Api>,
    leaving: Arc<AtomicBool>,
    left: Arc<AtomicBool>,
    concluded: Arc<AtomicBool>,
}

impl Pod {
    /// What the environment says. None: this process does not run in a pod of the operator.
    pub(crate) fn from_environment() -> Result<Option<Self>, Failure> {
        let Some(lease) = variable("WEIR_LEASE") else {
            return Ok(None);
        };
        let needed = |name: &str| {
            let missing = || Failure::usage(anyhow!("WEIR_LEASE is set, and {name} is not"));
            variable(name).ok_or_else(missing)
        };
        let time = |name: &str| -> Result<Duration, Failure> {
            let text = needed(name)?;
            let time: Result<ManifestDuration, _> = text.parse();
            let time = time.with_context(|| format!("read {name}: `{text}` is no duration"));
            Ok(time.map_err(Failure::usage)?.get())
        };
        let host = needed("KUBERNETES_SERVICE_HOST")?;
        let port = needed("KUBERNETES_SERVICE_PORT")?;
        let pod = Self {
            name: needed("POD_NAME")?,
            uid: needed("POD_UID")?,
            namespace: needed("POD_NAMESPACE")?,
            lease,
            lease_owner: needed("WEIR_LEASE_OWNER")?,
            duration: time("WEIR_LEASE_DURATION")?,
            renew_deadline: time("WEIR_LEASE_RENEW_DEADLINE")?,
            retry_period: time("WEIR_LEASE_RETRY_PERIOD")?,
            api: Arc::new(Api::in_cluster(&host, &port).map_err(Failure::failed)?),
            leaving: Arc::new(AtomicBool::new(false)),
            left: Arc::new(AtomicBool::new(false)),
            concluded: Arc::new(AtomicBool::new(false)),
        };
        Ok(Some(pod))
    }

    /// Who this process is, for people.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Gives the Lease up, if this process has it, so that another one need not wait.
    pub(crate) fn leave(&self) {
        self.leaving.store(true, Ordering::Release);
    }

    /// Whether the Lease has been given up.
    pub(crate) fn has_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }

    /// Says on the Lease how the job ended, and keeps it, so that nobody who stands by runs the job
    /// again. Only the one who has the Lease may say so.
    pub(crate) fn conclude(&self, ended: &Ended) {
        self.concluded.store(true, Ordering::Release);
        for number in 0..CONCLUDE_TRIES {
            if number > 0 {
                thread::sleep(CONCLUDE_PAUSE);
            }
            let concluded = self.read_lease().and_then(|found| {
                let own =
                    |lease: &Lease| lease.observed.record.holder.starts_with(&self.identity());
                match found.filter(own) {
                    Some(Lease { observed, .. }) => {
                        let version = &observed.resource_version;
                        self.api
                            .mark_ended(&self.namespace, &self.lease, ended, version)
                    }
                    None => Ok(()),
                }
            });
            match concluded {
                Ok(()) => return,
                Err(error) => tracing::warn!("say on the Lease how the job ended: {error:#}"),
            }
        }
    }

    /// The Lease, if it has been made for this job.
    fn read_lease(&self) -> anyhow::Result<Option<Lease>> {
        self.api
            .lease(&self.namespace, &self.lease, &self.lease_owner)
    }

    /// The beginning of the names of all processes of this pod: that of a pod may come again while
    /// the one before it still runs on a node that is silent, its uid never does.
    fn identity(&self) -> String {
        format!("{}_{}_", self.name, self.uid)
    }

    fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    fn has_concluded(&self) -> bool {
        self.concluded.load(Ordering::Acquire)
    }
}

/// Where a JobManager tells how the job ended, if anybody wants to know.
pub(crate) fn termination_log() -> Option<PathBuf> {
    variable("WEIR_TERMINATION_LOG").map(PathBuf::from)
}

/// The namespace that this process runs in, if it runs in a pod that knows it.
pub(crate) fn namespace() -> Option<String> {
    variable("POD_NAMESPACE")
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
