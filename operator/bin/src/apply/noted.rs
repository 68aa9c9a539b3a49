//! What a deployment's ConfigMap has written down of it beside the manifest.
//!
//! The image of jobs that name none is the operator's default as it was when the deployment was
//! begun. A pod that has to be made again later, by an operator that was upgraded meanwhile, needs
//! the same one: processes of one deployment are of one program, and a JobManager refuses all
//! others. What surrounds the pods is as the newest spec says that was accepted, which need not be
//! the newest one. The ConfigMap is there as long as the deployment, whatever becomes of the pods.

use std::collections::BTreeMap;

use kube::ResourceExt;
use kube::core::DynamicObject;
use weir_controller::build::Surroundings;
use weir_controller::names;
use weir_crd::StreamJobSpec;

use super::{Applier, ApplyError, failed};

impl Applier<'_> {
    /// The image of a deployment's pods, if their spec names none.
    pub(super) async fn image(
        &self,
        number: i64,
        spec: &StreamJobSpec,
    ) -> Result<String, ApplyError> {
        if spec.image.is_some() {
            return Ok(self.default_image.to_owned());
        }
        let noted = self.noted(number).await?;
        let known = noted.get(names::IMAGE_ANNOTATION).cloned();
        // What an operator made that did not write it down yet shows in its pods.
        let known = known.or_else(|| self.fetched.images.get(&number).cloned());
        Ok(known.unwrap_or_else(|| self.default_image.to_owned()))
    }

    /// What surrounds a deployment. A spec that is refused changes nothing of it: it stays as it
    /// was written down, of this deployment or of the one that runs.
    pub(super) async fn surroundings(
        &self,
        number: i64,
        spec: &StreamJobSpec,
    ) -> Result<Surroundings, ApplyError> {
        if let Some(accepted) = Surroundings::accepted(self.observed()) {
            return Ok(accepted);
        }
        let runs = self.observed().job.status.deployment;
        let runs = runs.filter(|runs| *runs != number);
        for number in [Some(number), runs].into_iter().flatten() {
            let noted = self.noted(number).await?;
            let noted = noted.get(names::SURROUNDINGS_ANNOTATION);
            if let Some(known) = noted.and_then(|noted| Surroundings::read(noted)) {
                return Ok(known);
            }
        }
        Ok(Surroundings::from(spec))
    }

    async fn noted(&self, number: i64) -> Result<BTreeMap<String, String>, ApplyError> {
        let job = &self.observed().job;
        let name = names::deployment(&job.name, number);
        let found = self.api("v1", "ConfigMap").get_opt(&name).await;
        let found = found.map_err(failed(format!("read ConfigMap {name}")))?;
        // Not that of an earlier StreamJob of the same name.
        let is_own = |found: &DynamicObject| {
            let mut owners = found.owner_references().iter();
            owners.any(|reference| reference.uid == job.uid)
        };
        let own = found.filter(is_own);
        Ok(own.map_or_else(BTreeMap::new, |own| own.annotations().clone()))
    }
}
