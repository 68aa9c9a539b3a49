//! Which pods are to be there, and why one does not run.

use weir_crd::Step;

use super::draft::Draft;
use super::{Action, Pods};
use crate::observe::{Component, ManagerView, PodView, Trouble};

/// A pod that is being deleted for this much longer than it was given is on a node that does not
/// answer. Its deployment's number keeps it from doing harm, so nobody waits for it.
const LOST_NODE_MS: i64 = 30_000;

/// A JobManager that has no address this long after it was made is not waited for.
const ADDRESS_MS: i64 = 5_000;

/// A container is made within this time, unless its image is large or something is missing.
const CREATING_SECS: i64 = 15;

/// What is left of other deployments.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Left {
    /// Pods, of which a node may have ended all that ran in them.
    pub(crate) pods: bool,
    /// Pods in which something may run.
    pub(crate) processes: bool,
}

impl<'a> Draft<'a> {
    /// The deployment's objects and pods are to be there, and no others but those that are warm.
    pub(crate) fn ensure(&mut self, deployment: i64) {
        let Some(revision) = self.status.current_revision.clone() else {
            return;
        };
        let keep = self.kept(deployment);
        self.remove_pods(&keep);
        self.act(Action::RemoveOthers { keep });
        let over: Vec<_> = self
            .observed
            .pods
            .iter()
            .filter(|pod| pod.deployment == deployment && pod.over)
            .map(|pod| pod.name.clone())
            .collect();
        for name in over {
            self.act(Action::DeletePod {
                name,
                at_once: false,
            });
        }
        if self.needs_gate(deployment) {
            self.act(Action::OpenGate { deployment });
        }
        let pods = self.pods_to_make(deployment);
        self.act(Action::Ensure {
            deployment,
            revision,
            pods,
        });
    }

    /// Which of a deployment's pods can be made now. A TaskManager asks for the JobManagers' names
    /// as soon as it runs; one that nobody knows yet is remembered as such, by resolvers on the
    /// way, for longer than all else of a start takes. So all JobManagers, of which any may lead,
    /// have addresses first, unless that takes its time: images are to be fetched meanwhile.
    pub(crate) fn pods_to_make(&mut self, deployment: i64) -> Pods {
        let now = self.observed.now_ms;
        let managers = self.pods(deployment, Component::JobManager);
        let known = !managers.is_empty() && managers.iter().all(|pod| pod.has_address);
        let mut managers = managers.iter();
        if known || managers.any(|pod| now - pod.made_ms >= ADDRESS_MS) {
            return Pods::All;
        }
        self.look_again_soon();
        Pods::JobManagers
    }

    /// The deployments whose pods stay: this one, and the one that an operation warms up.
    fn kept(&self, deployment: i64) -> Vec<i64> {
        let operation = self.observed.job.status.operation.as_ref();
        let warm = operation
            .filter(|operation| operation.step != Step::Accepted)
            .filter(|operation| {
                let now = self.status.operation.as_ref();
                now.is_some_and(|now| now.to_deployment == operation.to_deployment)
            })
            .and_then(|operation| operation.to_deployment);
        let mut keep = vec![deployment];
        keep.extend(warm.filter(|warm| *warm != deployment));
        keep
    }

    /// Whether the deployment's Lease may be missing. While its job runs, its leader tells.
    fn needs_gate(&self, deployment: i64) -> bool {
        let runs = self
            .manager(deployment)
            .is_some_and(ManagerView::is_running);
        let mut pods = self.observed.pods.iter();
        !runs || pods.any(|pod| pod.deployment == deployment && pod.lease_missing)
    }

    /// Deletes the pods of other deployments, and those that a silent node holds on to. Says what
    /// of them is left.
    pub(crate) fn remove_pods(&mut self, keep: &[i64]) -> Left {
        let grace = self.policy().map_or(60, |spec| {
            i64::from(spec.task_manager.termination_grace_period_seconds)
        });
        let lost_after = grace * 1000 + LOST_NODE_MS;
        let mut left = Left::default();
        let observed = self.observed;
        for pod in &observed.pods {
            let kept = keep.contains(&pod.deployment);
            left.pods |= !kept;
            left.processes |= !kept && !pod.over;
            let lost = pod
                .deleting_since_ms
                .is_some_and(|since| observed.now_ms - since > lost_after);
            if lost || (!kept && pod.deleting_since_ms.is_none()) {
                self.act(Action::DeletePod {
                    name: pod.name.clone(),
                    at_once: lost,
                });
            }
        }
        left
    }

    /// Why a pod does not run, for people: what Kubernetes says of it, with what its process said.
    pub(crate) fn trouble(&self, pod: &PodView) -> Option<String> {
        if let Some(text) = self.told_trouble(pod) {
            return Some(text);
        }
        let name = &pod.name;
        let since = pod.creating_since_ms?;
        let seconds = (self.observed.now_ms - since) / 1000;
        let secrets = self.s3_of(pod).map_or_else(Vec::new, |s3| {
            let key = s3.credentials.secret_ref.as_ref();
            let ca = s3.ca_secret_ref.as_ref();
            let names = [key.map(|key| &key.name), ca.map(|ca| &ca.name)];
            names.into_iter().flatten().cloned().collect()
        });
        let needs = match secrets.is_empty() {
            true => String::new(),
            false => format!("; it needs the Secrets {}", secrets.join(", ")),
        };
        // It says no time that changes: each change is written.
        (seconds >= CREATING_SECS).then(|| {
            format!(
                "pod {name}: ContainerCreating for more than {CREATING_SECS}s: its image is being \
                 fetched, or a volume can't be mounted{needs}: see `kubectl describe pod {name}`"
            )
        })
    }

    /// The same, of what Kubernetes itself finds to be wrong.
    pub(crate) fn told_trouble(&self, pod: &PodView) -> Option<String> {
        let name = &pod.name;
        let Trouble { reason, message } = pod.trouble.as_ref()?;
        let report = pod.ended.as_ref().and_then(|ended| ended.report.as_ref());
        let error = report.and_then(|report| report.error.as_ref());
        Some(format!(
            "pod {name}: {reason}: {}",
            error.unwrap_or(message)
        ))
    }

    pub(crate) fn pods(&self, deployment: i64, component: Component) -> Vec<&'a PodView> {
        let pods = self.observed.pods.iter();
        let own = |pod: &&PodView| pod.deployment == deployment && pod.component == component;
        pods.filter(own).collect()
    }
}
