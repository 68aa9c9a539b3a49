//! Objects of a job: makes those that are missing, and puts right those that others have changed.

use kube::Api;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use serde_json::Value;

use super::{Applier, ApplyError, MANAGER, failed, refused};
use crate::cache::{ObjectKey, hash};

impl Applier<'_> {
    /// Makes an object. One that is there already is the one: names are deterministic.
    pub(super) async fn create(&self, object: &Value) -> Result<(), ApplyError> {
        self.still_acts()?;
        self.make(object, false).await
    }

    /// Whether the API server would make an object, and nothing else.
    pub(super) async fn try_out(&self, object: &Value) -> Result<(), ApplyError> {
        self.make(object, true).await
    }

    async fn make(&self, object: &Value, dry_run: bool) -> Result<(), ApplyError> {
        let (api, action, value) = self.prepared("make", object)?;
        let params = PostParams {
            field_manager: Some(MANAGER.to_owned()),
            dry_run,
        };
        match api.create(&params, &value).await {
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            made => made.map_err(failed(action)).map(drop),
        }
    }

    /// Applies an object unless it is there and holds all that it should.
    pub(super) async fn put_right(&self, object: &Value) -> Result<(), ApplyError> {
        let (key, wanted) = (key_of(object), hash(object));
        if self.cache.holds(&key, Some(wanted)) {
            return Ok(());
        }
        let (api, action, mut value) = self.prepared("apply", object)?;
        let name = name_of(object);
        let found = match self.cache.may_be_there(&key) {
            true => api.get_opt(name).await,
            false => Ok(None),
        };
        let found = found.map_err(failed(format!("read {name}")))?;
        if let Some(found) = found {
            let version = found.resource_version().unwrap_or_default();
            let found = serde_json::to_value(found).unwrap_or_default();
            let kept = keeps_content(&found, object);
            if holds(&found, kept.as_ref().unwrap_or(object)) {
                self.cache.settle(key, wanted, version);
                return Ok(());
            }
            if let Some(kept) = kept {
                (_, _, value) = self.prepared("apply", &kept)?;
            }
        }
        self.still_acts()?;
        let params = PatchParams::apply(MANAGER).force();
        let applied = api.patch(name, &params, &Patch::Apply(&value)).await;
        let applied = applied.map_err(failed(action))?;
        let version = applied.resource_version().unwrap_or_default();
        self.cache.settle(key, wanted, version);
        Ok(())
    }

    /// Puts objects right, up to one that the API server refuses (for want of quota, or because a
    /// policy of the cluster forbids it): what it said is remembered, as of a pod, and without that
    /// object no pods are to be made. Says whether all are right.
    pub(super) async fn put_all_right(&self, objects: &[&Value]) -> Result<bool, ApplyError> {
        for object in objects {
            if let Some(trouble) = refused(self.put_right(object).await)? {
                self.cache.refuse(self.key(), Some(trouble));
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn prepared(
        &self,
        verb: &str,
        object: &Value,
    ) -> Result<(Api<DynamicObject>, String, DynamicObject), ApplyError> {
        let text = |key: &str| object[key].as_str().unwrap_or_default();
        let action = format!("{verb} {} {}", text("kind"), name_of(object));
        let value = serde_json::from_value(object.clone());
        let value = value.map_err(|source| ApplyError::Object {
            action: action.clone(),
            source,
        })?;
        Ok((self.api(text("apiVersion"), text("kind")), action, value))
    }
}

pub(super) fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

pub(super) fn key_of(object: &Value) -> ObjectKey {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &object["metadata"];
    (
        text(&object["kind"]),
        text(&metadata["namespace"]),
        text(&metadata["name"]),
    )
}

/// What is wanted of an object whose content cannot be changed, and that this job has: that stays
/// as the deployment began with it. An operator that was upgraded since may write the same in
/// another way, and would be refused for ever.
fn keeps_content(found: &Value, wanted: &Value) -> Option<Value> {
    let owner = |object: &Value| object["metadata"]["ownerReferences"][0]["uid"].clone();
    let immutable = found["immutable"] == true && wanted["immutable"] == true;
    if !immutable || owner(found) != owner(wanted) || owner(wanted).is_null() {
        return None;
    }
    let mut wanted = wanted.clone();
    wanted["data"] = found["data"].clone();
    Some(wanted)
}

/// Whether an object holds all that is wanted of it. What it has beyond that is somebody else's.
fn holds(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => wanted.iter().all(|(key, wanted)| {
            let nothing = wanted.is_null()
                || wanted.as_object().is_some_and(serde_json::Map::is_empty)
                || wanted.as_array().is_some_and(Vec::is_empty);
            match found.get(key) {
                Some(found) => holds(found, wanted),
                None => nothing,
            }
        }),
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len() && found.iter().zip(wanted).all(|(f, w)| holds(f, w))
        }
        (found, wanted) => found == wanted,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Otherwise each upgrade of the operator that writes manifests otherwise would keep lost pods
    /// from being made again.
    #[test]
    fn what_an_immutable_object_of_the_job_holds_stays_and_the_rest_is_put_right() {
        let object = |owner: &str, data: &str, label: &str| {
            json!({
                "metadata": { "labels": { "l": label }, "ownerReferences": [{ "uid": owner }] },
                "immutable": true,
                "data": { "job.yaml": data },
            })
        };
        let found = object("job", "older", "edited");
        let wanted = object("job", "newer", "right");
        assert_eq!(
            keeps_content(&found, &wanted),
            Some(object("job", "older", "right"))
        );
        assert_eq!(
            keeps_content(&object("another", "older", "x"), &wanted),
            None
        );
        let mut may_change = found;
        may_change["immutable"] = json!(false);
        assert_eq!(keeps_content(&may_change, &wanted), None);
    }

    #[test]
    fn an_object_that_others_have_added_to_holds_what_is_wanted() {
        let wanted = json!({ "spec": { "ports": [{ "port": 1 }], "selector": { "a": "b" } } });
        let found = json!({ "spec": {
            "ports": [{ "port": 1, "nodePort": 30000 }],
            "selector": { "a": "b", "c": "d" },
            "clusterIP": "10.0.0.1",
        } });
        assert!(holds(&found, &wanted));
        for changed in [
            json!({ "spec": { "ports": [{ "port": 2 }], "selector": { "a": "b" } } }),
            json!({ "spec": { "ports": [], "selector": { "a": "b" } } }),
            json!({ "spec": { "ports": [{ "port": 1 }] } }),
        ] {
            assert!(!holds(&changed, &wanted), "{changed}");
        }
    }
}
