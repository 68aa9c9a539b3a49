//! Removes what deployments leave behind.

use weir_controller::names;

use super::{Applier, ApplyError};

impl Applier<'_> {
    /// Deletes the objects of other deployments. Pods are deleted one by one, by name.
    pub(super) async fn remove_others(&self, keep: &[i64]) -> Result<(), ApplyError> {
        let known = self.deployments(keep);
        if known.is_empty() {
            return Ok(());
        }
        let job = &self.observed().job.name;
        for deployment in known {
            let common = names::deployment(job, deployment);
            let mut objects = vec![
                ("v1", "ConfigMap", common.clone()),
                ("v1", "Service", names::jobmanagers(job, deployment)),
                (
                    "rbac.authorization.k8s.io/v1",
                    "RoleBinding",
                    common.clone(),
                ),
                ("rbac.authorization.k8s.io/v1", "Role", common.clone()),
                ("coordination.k8s.io/v1", "Lease", common.clone()),
            ];
            for component in ["jobmanager", "taskmanager"] {
                let name = format!("{common}-{component}");
                objects.push(("policy/v1", "PodDisruptionBudget", name));
            }
            self.remove(deployment, objects).await?;
        }
        Ok(())
    }

    /// Deletes those objects of a deployment that may be there. Its Lease is not watched: it may be
    /// there as long as anything else is.
    async fn remove(
        &self,
        deployment: i64,
        objects: Vec<(&str, &str, String)>,
    ) -> Result<(), ApplyError> {
        let lease = self.lease(deployment);
        let key = |kind: &str, name: &str| (kind.to_owned(), lease.0.clone(), name.to_owned());
        let may_be_there =
            |kind: &str, name: &str| kind != "Lease" && self.cache.may_be_there(&key(kind, name));
        let any = objects
            .iter()
            .any(|(_, kind, name)| may_be_there(kind, name));
        let gate = any || self.cache.knows_gate(&lease);
        for (version, kind, name) in objects {
            let is_gate = kind == "Lease";
            let wanted = may_be_there(kind, &name) || (is_gate && gate);
            if !wanted {
                continue;
            }
            self.delete(version, kind, &name).await?;
            self.cache.unsettle(&key(kind, &name));
            if is_gate {
                self.cache.gate_is_gone(&lease);
            }
        }
        Ok(())
    }

    /// The deployments whose objects may still be there: those of pods that are going, the last one
    /// while another takes its place, one that did not come to run, and any whose ConfigMap has
    /// been seen.
    pub(super) fn deployments(&self, keep: &[i64]) -> Vec<i64> {
        let observed = self.observed();
        let job = &observed.job;
        let pods = observed.pods.iter().map(|pod| pod.deployment);
        let operation = job.status.operation.as_ref();
        let from = operation.and_then(|operation| operation.from_deployment);
        let to = operation.and_then(|operation| operation.to_deployment);
        let seen = self.cache.versions("ConfigMap");
        let seen = seen.of_job(&job.namespace, &job.name).into_iter();
        let prefix = format!("{}-d", job.name);
        let seen = seen.filter_map(|(name, _)| name.strip_prefix(&prefix)?.parse().ok());
        let known = pods.chain(from).chain(to).chain(seen);
        let mut known: Vec<i64> = known.collect();
        known.retain(|deployment| !keep.contains(deployment));
        known.sort_unstable();
        known.dedup();
        known
    }
}
