//! The pod that deletes a job's checkpoints after its end. It has the job's identity in the
//! storage, which the operator has not.

use serde_json::{Value, json};

use super::{Deployment, pod};
use crate::names;

impl Deployment<'_> {
    /// The pod; none: the job has no storage. It claims the job for this deployment, so that no
    /// process of an older one writes any more.
    pub fn cleaner(&self) -> Option<Value> {
        let storage = self.spec.storage.as_ref()?;
        let (place, flags) = pod::storage_place(storage);
        let mut args = vec![
            "checkpoints".to_owned(),
            "clear".to_owned(),
            format!("{}/{}", place.trim_end_matches('/'), self.state_id()),
            format!("--deployment={}", self.number),
        ];
        args.extend(flags);
        let container = json!({ "name": pod::MAIN, "args": args });
        let name = names::cleaner(&self.owner.name, self.number);
        let spec = (container, json!({}));
        let mut made = pod::pod(self, "cleaner", &name, spec, None);
        // It needs no manifest, and whoever made one is gone.
        for list in ["/spec/volumes", "/spec/containers/0/volumeMounts"] {
            if let Some(Value::Array(items)) = made.pointer_mut(list) {
                items.retain(|item| item["name"] != "job");
            }
        }
        Some(made)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use weir_crd::StreamJobSpec;

    use super::super::{Deployment, Owner, Surroundings};

    fn cleaner(storage: Value) -> Option<Value> {
        let spec = json!({"job": {"program": "p"}, "storage": storage});
        let spec: StreamJobSpec = serde_json::from_value(spec).expect("a spec");
        let owner = Owner {
            name: "words".to_owned(),
            namespace: "default".to_owned(),
            uid: "u".to_owned(),
        };
        let deployment = Deployment {
            owner: &owner,
            number: 3,
            revision: "r",
            spec: &spec,
            surroundings: &Surroundings::from(&spec),
            start_from: None,
            default_image: "weir",
        };
        deployment.cleaner()
    }

    #[test]
    fn the_cleaner_is_told_where_the_state_is_and_needs_nothing_of_the_deployment() {
        let secret = json!({"bucket": "b", "prefix": "jobs/", "endpoint": "http://s3:7070",
            "pathStyle": true, "credentials": {"secretRef": {"name": "s3"}},
            "sse": {"type": "KMS", "keyId": "k"}});
        let pod = cleaner(json!({"s3": secret})).expect("a pod");
        assert_eq!(pod["metadata"]["name"], "words-c3");
        assert_eq!(pod["metadata"]["labels"]["weir.dev/component"], "cleaner");
        assert_eq!(pod["metadata"]["labels"]["weir.dev/deployment"], "3");
        assert_eq!(
            pod["spec"]["containers"][0]["args"],
            json!([
                "checkpoints",
                "clear",
                "s3://b/jobs/default/words",
                "--deployment=3",
                "--s3-endpoint=http://s3:7070",
                "--s3-path-style",
                "--s3-credentials-dir=/etc/weir/s3",
                "--s3-sse=aws:kms",
                "--s3-sse-key-id=k",
            ])
        );
        let text = pod.to_string();
        assert!(
            !text.contains("configMap"),
            "its ConfigMap may be gone: {text}"
        );
        assert!(text.contains("\"secretName\":\"s3\""));
        assert_eq!(cleaner(Value::Null), None);
        let local = cleaner(json!({"local": {"path": "/state"}})).expect("a pod");
        let args = &local["spec"]["containers"][0]["args"];
        assert_eq!(args[2], "/state/default/words");
    }
}
