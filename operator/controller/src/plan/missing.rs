//! What a pod waits for that only a person can make: a Secret, or a key in it.
//!
//! The operator may not read Secrets, and has no need to: a node that misses one says so.

use weir_crd::{S3Storage, Step};

use super::draft::Draft;
use crate::observe::{PodView, Trouble};

/// What is missing, as a node says it.
#[derive(Debug, PartialEq, Eq)]
enum Missing<'a> {
    /// The Secret of this name.
    Secret(&'a str),
    /// A key in a Secret, which not every message names.
    Key {
        key: &'a str,
        secret: Option<&'a str>,
    },
}

impl Draft<'_> {
    /// The deployments whose pods are to come up: the one that has the job, and the one that is to
    /// follow it.
    pub(crate) fn coming_up(&self) -> Vec<i64> {
        let operation = self.status.operation.as_ref();
        let next = operation.filter(|operation| operation.step != Step::Accepted);
        let next = next.and_then(|operation| operation.to_deployment);
        self.status.deployment.into_iter().chain(next).collect()
    }

    /// The Secret that one of the job's pods waits for, with what a person can do about it.
    pub(crate) fn missing_secret(&self) -> Option<String> {
        let coming_up = self.coming_up();
        let mut pods = self.observed.pods.iter();
        pods.find_map(|pod| {
            let trouble = pod.trouble.as_ref()?;
            let found = missing(trouble).filter(|_| coming_up.contains(&pod.deployment))?;
            Some(self.remedy(pod, &found))
        })
    }

    fn remedy(&self, pod: &PodView, missing: &Missing<'_>) -> String {
        let s3 = self.s3_of(pod);
        let secret = match missing {
            Missing::Secret(name) => Some(*name),
            Missing::Key { key, secret } => secret.or_else(|| secret_with(s3?, key)),
        };
        let field = secret.and_then(|secret| field_of(s3?, secret));
        let field = field.map_or_else(String::new, |field| format!(" ({field})"));
        let (pod_name, namespace) = (&pod.name, &self.observed.job.namespace);
        let secret = secret.unwrap_or("…");
        let text = match missing {
            Missing::Secret(_) => format!(
                "pod {pod_name} waits for Secret {secret}{field}, which is not there: make it with \
                 `kubectl create secret generic {secret} -n {namespace}`, or name another one"
            ),
            Missing::Key { key, .. } => format!(
                "pod {pod_name} waits for the key {key} of Secret {secret}{field}, which has none of \
                 that name: add it with `kubectl edit secret {secret} -n {namespace}`, or name \
                 another one"
            ),
        };
        let runs = self.status.running_since.is_some();
        match runs && self.status.deployment != Some(pod.deployment) {
            true => format!("{text}. What runs goes on unchanged"),
            false => text,
        }
    }

    pub(super) fn s3_of(&self, pod: &PodView) -> Option<&S3Storage> {
        let revision = pod.revision.as_ref()?;
        let spec = self.observed.revisions.get(revision)?;
        spec.storage.as_ref()?.s3.as_ref()
    }
}

/// Where the spec names a Secret.
fn field_of(s3: &S3Storage, name: &str) -> Option<&'static str> {
    let credentials = s3.credentials.secret_ref.as_ref();
    let ca = s3.ca_secret_ref.as_ref();
    if credentials.is_some_and(|secret| secret.name == name) {
        return Some("spec.storage.s3.credentials.secretRef");
    }
    ca.is_some_and(|secret| secret.name == name)
        .then_some("spec.storage.s3.caSecretRef")
}

/// The Secret in which the spec asks for a key.
fn secret_with<'a>(s3: &'a S3Storage, key: &str) -> Option<&'a str> {
    let credentials = s3.credentials.secret_ref.as_ref().filter(|secret| {
        let keys = [&secret.access_key_id_key, &secret.secret_access_key_key];
        let token = secret.session_token_key.as_ref();
        keys.into_iter().chain(token).any(|known| known == key)
    });
    let ca = s3.ca_secret_ref.as_ref().filter(|ca| ca.key == key);
    let credentials = credentials.map(|secret| secret.name.as_str());
    credentials.or_else(|| ca.map(|ca| ca.name.as_str()))
}

/// Reads the kubelet's messages (`pkg/volume/secret`, `pkg/kubelet/kubelet_pods.go`).
fn missing(trouble: &Trouble) -> Option<Missing<'_>> {
    let text = &trouble.message;
    if let Some((_, rest)) = text.split_once("secret \"")
        && let Some((name, rest)) = rest.split_once('"')
        && rest.starts_with(" not found")
    {
        return Some(Missing::Secret(name));
    }
    if let Some((_, rest)) = text.split_once("references non-existent secret key: ") {
        let key = word(rest);
        return Some(Missing::Key { key, secret: None });
    }
    let (_, rest) = text.split_once("couldn't find key ")?;
    let (key, rest) = rest.split_once(" in Secret ")?;
    // With its namespace.
    let secret = rest.split_once('/').map(|(_, name)| word(name));
    Some(Missing::Key { key, secret })
}

/// The name of an object, or of a key, that a text begins with.
fn word(text: &str) -> &str {
    let rest = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    text.split(rest).next().unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_misses_is_read_from_what_it_says() {
        for (text, found) in [
            (
                "MountVolume.SetUp failed for volume \"s3\" : secret \"weir-s3\" not found",
                Some(Missing::Secret("weir-s3")),
            ),
            (
                "secret \"own.keys\" not found",
                Some(Missing::Secret("own.keys")),
            ),
            (
                "MountVolume.SetUp failed for volume \"s3\" : references non-existent secret key: access-key",
                Some(Missing::Key {
                    key: "access-key",
                    secret: None,
                }),
            ),
            (
                "couldn't find key tls.crt in Secret default/own",
                Some(Missing::Key {
                    key: "tls.crt",
                    secret: Some("own"),
                }),
            ),
            (
                "MountVolume.SetUp failed for volume \"x\" : configmap \"c\" not found",
                None,
            ),
            ("secret \"s\" is not yours", None),
            ("Back-off pulling image \"secret\"", None),
        ] {
            let trouble = Trouble {
                reason: "FailedMount".to_owned(),
                message: text.to_owned(),
            };
            assert_eq!(missing(&trouble), found, "{text}");
        }
    }
}
