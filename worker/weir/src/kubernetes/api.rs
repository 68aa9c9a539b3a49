//! The requests to the API server.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use serde_json::{Value, json};
use ureq::http::Response;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};
use weir_lease::{LeaseRecord, Observed, WriteError};

use super::Ended;
use crate::termination::ERROR_CHARS_MAX;

/// Where a pod finds the token of its service account, and the API server's certificate authority.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// A request that takes longer has failed.
const TIMEOUT: Duration = Duration::from_secs(3);

/// No object that is asked for is longer.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// The label that a leader puts on its pod.
const LEADER_LABEL: &str = "weir.dev/leader";

/// The annotation that a leader puts on its pod while there is no Lease.
const LEASE_MISSING_ANNOTATION: &str = "weir.dev/lease-missing";

/// The annotations of the Lease of a job that keeps no state outside: how it ended, and why.
const RUN_STATE_ANNOTATION: &str = "weir.dev/run-state";
const ERROR_ANNOTATION: &str = "weir.dev/error";

/// A Lease as it was read.
pub(super) struct Lease {
    pub(super) observed: Observed,
    /// The job has ended.
    pub(super) ended: Option<Ended>,
}

/// The API server, as the pod's service account sees it.
pub(super) struct Api {
    agent: ureq::Agent,
    address: String,
    token: String,
}

impl Api {
    pub(super) fn in_cluster(host: &str, port: &str) -> anyhow::Result<Self> {
        let file = format!("{ACCOUNT}/ca.crt");
        let authority = fs::read(&file)
            .with_context(|| format!("read {file}: does the pod mount its service account?"))?;
        let host = match host.contains(':') {
            true => format!("[{host}]"),
            false => host.to_owned(),
        };
        Self::new(
            format!("https://{host}:{port}"),
            &authority,
            format!("{ACCOUNT}/token"),
        )
    }

    pub(super) fn new(address: String, authority: &[u8], token: String) -> anyhow::Result<Self> {
        let mut roots: Vec<Certificate<'static>> = Vec::new();
        for item in parse_pem(authority) {
            if let PemItem::Certificate(certificate) = item.context("read ca.crt")? {
                roots.push(certificate);
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .unversioned_rustls_crypto_provider(provider)
            .build();
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .proxy(None)
            .tls_config(tls)
            .build();
        Ok(Self {
            agent: config.into(),
            address,
            token,
        })
    }

    /// The Lease; none: there is none.
    pub(super) fn lease(
        &self,
        namespace: &str,
        name: &str,
        owner: &str,
    ) -> anyhow::Result<Option<Lease>> {
        let request = self.agent.get(self.lease_url(namespace, name));
        let answer = request
            .header("Authorization", self.authorization()?)
            .call()?;
        if answer.status().as_u16() == 404 {
            return Ok(None);
        }
        let object = body(answer)?;
        if !is_owned_by(&object, owner) {
            return Ok(None);
        }
        let observed = Observed::from_object(&object);
        let observed = observed.ok_or_else(|| anyhow!("the answer is no Lease"))?;
        let ended = ended(&object);
        Ok(Some(Lease { observed, ended }))
    }

    /// Says on the Lease, on condition that it is what it was, how the job ended.
    pub(super) fn mark_ended(
        &self,
        namespace: &str,
        name: &str,
        ended: &Ended,
        replaces: &str,
    ) -> anyhow::Result<()> {
        let (state, error) = match ended {
            Ended::Finished => ("Finished", None),
            Ended::Cancelled => ("Cancelled", None),
            Ended::Failed(error) => ("Failed", Some(error)),
        };
        // It goes on into a termination message.
        let error: Option<String> =
            error.map(|error| error.chars().take(ERROR_CHARS_MAX).collect());
        let annotations = json!({ RUN_STATE_ANNOTATION: state, ERROR_ANNOTATION: error });
        let metadata = json!({ "annotations": annotations, "resourceVersion": replaces });
        self.patch(self.lease_url(namespace, name), &metadata)
    }

    /// Writes the Lease on condition that it is what it was. What the operator has written on it
    /// (whose it is, its labels) stays.
    pub(super) fn write_lease(
        &self,
        namespace: &str,
        name: &str,
        record: &LeaseRecord,
        replaces: &str,
    ) -> Result<Observed, WriteError> {
        let in_doubt = |error: &anyhow::Error| {
            tracing::debug!("write the Lease: {error:#}");
            WriteError::InDoubt
        };
        let authorization = self.authorization().map_err(|error| in_doubt(&error))?;
        let sent = self
            .agent
            .patch(self.lease_url(namespace, name))
            .header("Authorization", authorization)
            .header("Content-Type", "application/merge-patch+json")
            .send(record.to_patch(replaces).to_string());
        let answer = sent.map_err(|error| in_doubt(&error.into()))?;
        // 404: it was deleted; 409: it has changed.
        if matches!(answer.status().as_u16(), 404 | 409) {
            return Err(WriteError::Conflict);
        }
        let object = body(answer).map_err(|error| in_doubt(&error))?;
        Observed::from_object(&object).ok_or(WriteError::InDoubt)
    }

    /// Says on the pod whether it leads.
    pub(super) fn mark_leader(
        &self,
        namespace: &str,
        pod: &str,
        leads: bool,
    ) -> anyhow::Result<()> {
        let labels = json!({ LEADER_LABEL: leads.then_some("true") });
        let annotations = json!({ LEASE_MISSING_ANNOTATION: null });
        let metadata = json!({ "labels": labels, "annotations": annotations });
        self.patch_pod(namespace, pod, &metadata)
    }

    /// Says on the pod, which leads, whether its Lease is missing. The operator, which does not
    /// watch Leases, as they change all the time, makes it anew.
    pub(super) fn mark_lease(
        &self,
        namespace: &str,
        pod: &str,
        missing: bool,
    ) -> anyhow::Result<()> {
        let annotations = json!({ LEASE_MISSING_ANNOTATION: missing.then_some("true") });
        self.patch_pod(namespace, pod, &json!({ "annotations": annotations }))
    }

    fn patch_pod(&self, namespace: &str, pod: &str, metadata: &Value) -> anyhow::Result<()> {
        let url = format!("{}/api/v1/namespaces/{namespace}/pods/{pod}", self.address);
        self.patch(url, metadata)
    }

    fn patch(&self, url: String, metadata: &Value) -> anyhow::Result<()> {
        let answer = self
            .agent
            .patch(url)
            .header("Authorization", self.authorization()?)
            .header("Content-Type", "application/merge-patch+json")
            .send(json!({ "metadata": metadata }).to_string())?;
        body(answer).map(drop)
    }

    fn lease_url(&self, namespace: &str, name: &str) -> String {
        let address = &self.address;
        format!("{address}/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}")
    }

    /// The token is read each time: the kubelet replaces it.
    fn authorization(&self) -> anyhow::Result<String> {
        let token = fs::read_to_string(&self.token);
        let token = token.with_context(|| format!("read {}", self.token))?;
        Ok(format!("Bearer {}", token.trim()))
    }
}

/// Whether an object belongs to the one with this uid.
fn is_owned_by(object: &Value, uid: &str) -> bool {
    let owners = object.pointer("/metadata/ownerReferences");
    let owners = owners.and_then(Value::as_array);
    owners.is_some_and(|owners| owners.iter().any(|owner| owner["uid"] == uid))
}

/// What a Lease says of the job's end.
fn ended(object: &Value) -> Option<Ended> {
    let annotations = object.pointer("/metadata/annotations")?;
    let text = |name: &str| annotations.get(name).and_then(Value::as_str);
    match text(RUN_STATE_ANNOTATION)? {
        "Finished" => Some(Ended::Finished),
        "Cancelled" => Some(Ended::Cancelled),
        "Failed" => {
            let error = text(ERROR_ANNOTATION).unwrap_or("the job has failed");
            Some(Ended::Failed(error.to_owned()))
        }
        _ => None,
    }
}

fn body(mut answer: Response<ureq::Body>) -> anyhow::Result<Value> {
    let status = answer.status();
    let text = answer
        .body_mut()
        .with_config()
        .limit(ANSWER_BYTES_MAX)
        .read_to_string()?;
    if !status.is_success() {
        let short: String = text.chars().take(300).collect();
        return Err(anyhow!("the API server answered {status}: {short}"));
    }
    Ok(serde_json::from_str(&text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_of_an_earlier_streamjob_of_the_same_name_is_none() {
        let owned = |uid: &str| json!({ "metadata": { "ownerReferences": [{ "uid": uid }] } });
        assert!(is_owned_by(&owned("u-2"), "u-2"));
        assert!(!is_owned_by(&owned("u-1"), "u-2"));
        assert!(!is_owned_by(&json!({ "metadata": {} }), "u-2"));
    }
}
