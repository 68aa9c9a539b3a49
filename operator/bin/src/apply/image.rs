//! The image of jobs that name none.
//!
//! It is the operator's default as it was when the deployment was begun. A pod that has to be made
//! again later, by an operator that was upgraded meanwhile, needs the same one: processes of one
//! deployment are of one program, and a JobManager refuses all others. So the deployment's
//! ConfigMap says which it is: it is there as long as the deployment, whatever becomes of the pods.

use kube::ResourceExt;
use kube::core::DynamicObject;
use weir_controller::names;

use super::{Applier, ApplyError, failed};

impl Applier<'_> {
    /// The image of a deployment's pods, if their spec names none.
    pub(super) async fn image(&self, number: i64, revision: &str) -> Result<String, ApplyError> {
        let observed = self.observed();
        let spec = observed.revisions.get(revision);
        if spec.is_none_or(|spec| spec.image.is_some()) {
            return Ok(self.default_image.to_owned());
        }
        let name = names::deployment(&observed.job.name, number);
        let found = self.api("v1", "ConfigMap").get_opt(&name).await;
        let found = found.map_err(failed(format!("read ConfigMap {name}")))?;
        let owner = &observed.job.uid;
        // Not that of an earlier StreamJob of the same name.
        let is_own = |found: &DynamicObject| {
            let mut owners = found.owner_references().iter();
            owners.any(|reference| &reference.uid == owner)
        };
        let own = found.filter(is_own);
        let known = own.and_then(|own| own.annotations().get(names::IMAGE_ANNOTATION).cloned());
        // What an operator made that did not write it down yet shows in its pods.
        let known = known.or_else(|| self.fetched.images.get(&number).cloned());
        Ok(known.unwrap_or_else(|| self.default_image.to_owned()))
    }
}
