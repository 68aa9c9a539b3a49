//! A deployment's objects and pods: makes them, and puts them right.

use kube::ResourceExt;
use serde_json::Value;
use weir_controller::build::{Deployment, Objects, Surroundings};
use weir_controller::names::{self, COMPONENT_LABEL, DEPLOYMENT_LABEL};
use weir_controller::{Action, PodView, Pods, Trouble};
use weir_crd::StartFrom;

use super::objects::{key_of, name_of};
use super::{Applier, ApplyError, failed, refused};
use crate::cache::{Ensured, Key, hash_of};

/// What the API server says, as text alone, of a pod for which a ResourceQuota has no room.
const EXCEEDED_QUOTA: &str = "exceeded quota";

impl Applier<'_> {
    /// Whether an action would change nothing, as far as is known without asking anybody.
    pub(crate) fn is_done(&self, action: &Action) -> bool {
        let observed = self.observed();
        match action {
            Action::RemoveOthers { keep } => self.deployments(keep).is_empty(),
            Action::Ensure {
                deployment,
                revision,
                pods: Pods::All,
            } => {
                let job = (observed.job.namespace.clone(), observed.job.name.clone());
                let pods: Vec<_> = observed.pods.iter().map(|pod| pod.name.as_str()).collect();
                let made_from = self.made_from(*deployment, revision);
                self.cache.is_ensured(&job, made_from, &pods)
            }
            Action::OpenGate { deployment } => {
                let missed = |pod: &PodView| pod.deployment == *deployment && pod.lease_missing;
                let lease = self.lease(*deployment);
                !observed.pods.iter().any(missed)
                    && self.cache.was_gate_open(&lease, observed.now_ms)
            }
            _ => false,
        }
    }

    /// A number for all that a deployment's objects are made from.
    fn made_from(&self, deployment: i64, revision: &str) -> u64 {
        let job = &self.observed().job;
        let start_from = format!("{:?}", job.status.start_from);
        let accepted = Surroundings::accepted(self.observed()).is_some();
        let newest = (job.generation, accepted);
        hash_of(&(&job.uid, newest, deployment, revision, start_from))
    }

    /// What the pods need comes first. What stands around them comes before them as long as the job
    /// has not run: nobody is to reach them who should not. Then they come first, and nothing that
    /// the API server refuses of the rest keeps a lost one from being made again.
    pub(super) async fn ensure(
        &self,
        number: i64,
        revision: &str,
        which: Pods,
    ) -> Result<(), ApplyError> {
        let status = &self.observed().job.status;
        let start_from = status.start_from.as_ref();
        let Some(objects) = self.objects(number, revision, start_from).await? else {
            return Ok(());
        };
        let needed: Vec<_> = objects.applied.iter().collect();
        if !self.put_all_right(&needed).await? {
            return Ok(());
        }
        let (around, pods): (Vec<_>, _) =
            (objects.around.iter().collect(), chosen(&objects, which));
        let refused = if status.restore.is_some() {
            let pods = self.make_pods(&pods).await?;
            let around = self.put_around(&around, &objects.unwanted).await?;
            pods.or(around)
        } else {
            match self.put_around(&around, &objects.unwanted).await? {
                None => self.make_pods(&pods).await?,
                refused => refused,
            }
        };
        let complete = refused.is_none() && which == Pods::All;
        self.cache.refuse(self.key(), refused);
        if complete {
            let all = objects.applied.iter().chain(&objects.around);
            let pods = objects.pods.iter().map(|pod| name_of(pod).to_owned());
            let ensured = Ensured {
                made_from: self.made_from(number, revision),
                objects: all.map(key_of).collect(),
                pods: pods.collect(),
            };
            self.cache.ensure(self.key(), ensured);
        }
        Ok(())
    }

    /// Puts right what stands around the pods, and removes what the spec has switched off. One that
    /// the API server does not take keeps the others from nothing. Says why the first one was not.
    async fn put_around(
        &self,
        around: &[&Value],
        unwanted: &[(&str, &str, String)],
    ) -> Result<Option<Trouble>, ApplyError> {
        let mut refused = None;
        for object in around {
            let Err(error) = self.put_right(object).await else {
                continue;
            };
            let Some(trouble) = error.answer() else {
                return Err(error);
            };
            refused.get_or_insert(trouble);
        }
        for (version, kind, name) in unwanted {
            self.delete(version, kind, name).await?;
        }
        Ok(refused)
    }

    /// What lasts beyond a deployment (the Service of REST, the NetworkPolicy) is left to the one
    /// that runs.
    pub(super) async fn warm(
        &self,
        number: i64,
        revision: &str,
        which: Pods,
    ) -> Result<(), ApplyError> {
        let operation = self.observed().job.status.operation.as_ref();
        let start_from = operation.and_then(|operation| operation.start_from.as_ref());
        let Some(objects) = self.objects(number, revision, start_from).await? else {
            return Ok(());
        };
        let own = |object: &&Value| !object["metadata"]["labels"][DEPLOYMENT_LABEL].is_null();
        let needed: Vec<_> = objects.applied.iter().filter(own).collect();
        if !self.put_all_right(&needed).await? {
            return Ok(());
        }
        let around: Vec<_> = objects.around.iter().filter(own).collect();
        let around = self.put_around(&around, &[]).await?;
        let mut refused = self.make_pods(&chosen(&objects, which)).await?;
        if which == Pods::First && refused.is_none() {
            refused = self.refuses_later(&objects).await?;
        }
        self.cache.refuse(self.key(), refused.or(around));
        Ok(())
    }

    /// Whether TaskManagers, which are made once the old job has stopped, would be refused then.
    /// Room is another matter: the old ones have it still.
    async fn refuses_later(&self, objects: &Objects) -> Result<Option<Trouble>, ApplyError> {
        let mut pods = objects.pods.iter();
        let Some(worker) = pods.find(|pod| !is_manager(pod)) else {
            return Ok(None);
        };
        let refused = refused(self.try_out(worker).await)?;
        Ok(refused.filter(|trouble| !trouble.message.contains(EXCEEDED_QUOTA)))
    }

    /// A job without a storage has nothing to be cleaned up.
    pub(super) async fn clean_up(&self, number: i64, revision: &str) -> Result<(), ApplyError> {
        let owner = self.owner();
        let Some(spec) = self.observed().revisions.get(revision) else {
            return Ok(());
        };
        let cleaner = Deployment {
            owner: &owner,
            number,
            revision,
            spec,
            surroundings: &Surroundings::from(spec),
            start_from: None,
            default_image: self.default_image,
        };
        match cleaner.cleaner() {
            Some(pod) => {
                let refused = self.make_pods(&[&pod]).await?;
                self.cache.refuse(self.key(), refused);
                Ok(())
            }
            None => Ok(()),
        }
    }

    pub(super) fn lease(&self, deployment: i64) -> Key {
        let job = &self.observed().job;
        let name = names::deployment(&job.name, deployment);
        (job.namespace.clone(), name)
    }

    /// A Lease that is there is left alone, whoever holds it.
    pub(super) async fn open_gate(&self, number: i64) -> Result<(), ApplyError> {
        let lease = self.lease(number);
        let name = &lease.1;
        let api = self.api("coordination.k8s.io/v1", "Lease");
        let found = api.get_opt(name).await;
        let found = found.map_err(failed(format!("read Lease {name}")))?;
        let owner = &self.observed().job.uid;
        let foreign = found.as_ref().is_some_and(|found| {
            let mut owners = found.owner_references().iter();
            !owners.any(|reference| &reference.uid == owner)
        });
        if foreign {
            // Of an earlier StreamJob of the same name: no process of this one takes it for open.
            self.delete("coordination.k8s.io/v1", "Lease", name).await?;
        }
        if found.is_none() || foreign {
            let made = weir_controller::build::lease(&self.owner(), number);
            self.create(&made).await?;
        }
        self.cache.gate_is_open(lease, self.observed().now_ms);
        Ok(())
    }

    async fn objects(
        &self,
        number: i64,
        revision: &str,
        start_from: Option<&StartFrom>,
    ) -> Result<Option<Objects>, ApplyError> {
        let Some(spec) = self.observed().revisions.get(revision) else {
            return Ok(None);
        };
        let deployment = Deployment {
            owner: &self.owner(),
            number,
            revision,
            spec,
            surroundings: &self.surroundings(number, spec).await?,
            start_from,
            default_image: &self.image(number, spec).await?,
        };
        Ok(Some(deployment.objects()))
    }

    /// Makes the pods that are missing. One that is refused (for want of quota, or of a service
    /// account) is no reason to stop here: what was said is for people.
    async fn make_pods(&self, pods: &[&Value]) -> Result<Option<Trouble>, ApplyError> {
        let there = &self.observed().pods;
        let mut first = None;
        for pod in pods {
            if there.iter().any(|known| known.name == name_of(pod)) {
                continue;
            }
            let trouble = refused(self.create(pod).await)?;
            first = first.or(trouble);
        }
        Ok(first)
    }
}

fn is_manager(pod: &Value) -> bool {
    pod["metadata"]["labels"][COMPONENT_LABEL] == "jobmanager"
}

/// Those of the pods that are to be made.
fn chosen(objects: &Objects, which: Pods) -> Vec<&Value> {
    let pods = objects.pods.iter();
    match which {
        Pods::First => pods.take(1).collect(),
        Pods::JobManagers => pods.filter(|pod| is_manager(pod)).collect(),
        Pods::All => pods.collect(),
    }
}
