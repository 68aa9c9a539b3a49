//! Pods. They pass the Pod Security Standard `restricted`.

use serde_json::{Map, Value, json};
use weir_crd::{
    EnvVar, ImagePullPolicy, KeyRef, LogFormat, LogLevel, Object, ResourcesSpec, RestoreFrom,
    S3SecretRef, SseType, StorageSpec,
};

use super::{Deployment, MANIFEST, MANIFEST_DIR, port, rbac};
use crate::names;

/// The operator's own container. Templates may add to it, but not change what it runs.
pub(super) const MAIN: &str = "main";
/// Where the files of the storage's Secret are.
const CREDENTIALS_DIR: &str = "/etc/weir/s3";
const CA_DIR: &str = "/etc/weir/ca";
/// Where the volume for state on the local disk is, whose size the spec limits.
const STATE_DIR: &str = "/var/lib/weir";
/// The key of `spec.job.config` that names another folder for it.
const STATE_DIR_KEY: &str = "state.backend.rocksdb.localdir";
/// Where a JobManager tells how the job ended.
const TERMINATION_LOG: &str = "/dev/termination-log";
/// How long a JobManager has to answer those who ask, after it was told to end.
const JOBMANAGER_GRACE_SECS: u32 = 10;
/// How soon pods leave a node that is silent; Kubernetes' own default is five minutes.
const SILENT_NODE_SECS: u32 = 10;

pub(super) fn jobmanager(deployment: &Deployment<'_>, index: u32) -> Value {
    let (job, number) = (&deployment.owner.name, deployment.number);
    let name = names::jobmanager(job, number, index);
    let mut args = vec![
        "jobmanager".to_owned(),
        format!("{MANIFEST_DIR}/{MANIFEST}"),
        format!("--rpc=0.0.0.0:{}", port::RPC),
        format!("--rest=0.0.0.0:{}", port::REST),
        format!("--deployment={number}"),
        "--quiet".to_owned(),
    ];
    args.extend(storage_args(deployment));
    let ha = &deployment.spec.ha;
    let variable = |name: &str, value: String| json!({ "name": name, "value": value });
    let environment = json!([
        variable("WEIR_LEASE", names::deployment(job, number)),
        variable("WEIR_LEASE_OWNER", deployment.owner.uid.clone()),
        variable("WEIR_LEASE_DURATION", ha.lease_duration.to_string()),
        variable("WEIR_LEASE_RENEW_DEADLINE", ha.renew_deadline.to_string()),
        variable("WEIR_LEASE_RETRY_PERIOD", ha.retry_period.to_string()),
        variable("WEIR_TERMINATION_LOG", TERMINATION_LOG.to_owned()),
    ]);
    let probe = json!({ "httpGet": { "path": "/healthz", "port": "rest" }, "periodSeconds": 5 });
    let container = json!({
        "name": MAIN,
        "args": args,
        "env": environment,
        "ports": [
            { "name": "rpc", "containerPort": port::RPC, "protocol": "TCP" },
            { "name": "rest", "containerPort": port::REST, "protocol": "TCP" },
        ],
        "readinessProbe": { "httpGet": { "path": "/healthz", "port": "rest" }, "periodSeconds": 1 },
        "livenessProbe": merged(&probe, &json!({ "failureThreshold": 12 })),
        "resources": resources(&deployment.spec.job_manager.resources),
    });
    let spec = json!({
        "hostname": name,
        "subdomain": names::jobmanagers(job, number),
        "terminationGracePeriodSeconds": JOBMANAGER_GRACE_SECS,
        "topologySpreadConstraints": [spread(deployment, "jobmanager")],
        "volumes": [token_volume()],
    });
    let own = &deployment.spec.job_manager.pod_template;
    let mut pod = pod(
        deployment,
        "jobmanager",
        &name,
        (container, spec),
        own.as_ref(),
    );
    mount(
        &mut pod,
        "weir-token",
        "/var/run/secrets/kubernetes.io/serviceaccount",
    );
    pod
}

pub(super) fn taskmanager(deployment: &Deployment<'_>, index: u32) -> Value {
    let (job, number) = (&deployment.owner.name, deployment.number);
    let name = names::taskmanager(job, number, index);
    let service = names::jobmanagers(job, number);
    let managers: Vec<_> = (0..deployment.spec.job_manager.replicas)
        .map(|index| {
            let pod = names::jobmanager(job, number, index);
            format!(
                "{pod}.{service}.{}.svc:{}",
                deployment.owner.namespace,
                port::RPC
            )
        })
        .collect();
    let task_manager = &deployment.spec.task_manager;
    let mut args = vec![
        "taskmanager".to_owned(),
        format!("--jobmanager={}", managers.join(",")),
        format!("--slots={}", task_manager.slots),
        format!("--data=0.0.0.0:{}", port::DATA),
        format!("--deployment={number}"),
        "--reconnect-timeout=24h".to_owned(),
    ];
    // Whoever names a folder has a disk of their own mounted there; the option would win over it.
    if !deployment.spec.job.config.contains_key(STATE_DIR_KEY) {
        args.push(format!("--local-dir={STATE_DIR}"));
    }
    let container = json!({
        "name": MAIN,
        "args": args,
        "ports": [{ "name": "data", "containerPort": port::DATA, "protocol": "TCP" }],
        "resources": resources(&task_manager.resources),
    });
    let spec = json!({
        "terminationGracePeriodSeconds": task_manager.termination_grace_period_seconds,
        "topologySpreadConstraints": [spread(deployment, "taskmanager")],
    });
    let own = task_manager.pod_template.as_ref();
    pod(deployment, "taskmanager", &name, (container, spec), own)
}

/// A pod: the user's templates, the job's over the general one, and over both what the operator
/// must have.
pub(super) fn pod(
    deployment: &Deployment<'_>,
    component: &str,
    name: &str,
    (container, spec): (Value, Value),
    own: Option<&Object>,
) -> Value {
    let mut template = json!({ "spec": base_spec(deployment) });
    merge_template(&mut template, &json!({ "spec": spec }));
    merge_template(
        &mut template,
        &json!({ "spec": { "containers": [base_container(deployment)] } }),
    );
    merge_template(
        &mut template,
        &json!({ "spec": { "containers": [container] } }),
    );
    for user in [deployment.spec.pod_template.as_ref(), own]
        .into_iter()
        .flatten()
    {
        merge_template(&mut template, &Value::Object(user.0.clone()));
    }
    leave_silent_nodes(&mut template["spec"]);
    let mut pod = deployment.object("v1", "Pod", name);
    let labels =
        json!({ names::COMPONENT_LABEL: component, "app.kubernetes.io/component": component });
    let annotations = json!({ names::REVISION_ANNOTATION: deployment.revision });
    let theirs = template.get("metadata").cloned().unwrap_or(Value::Null);
    for (key, ours) in [("labels", labels), ("annotations", annotations)] {
        let own = pod["metadata"]
            .get(key)
            .cloned()
            .unwrap_or_else(|| json!({}));
        let user = theirs.get(key).cloned().unwrap_or_else(|| json!({}));
        // The operator's labels select the pods: they win.
        pod["metadata"][key] = merged(&merged(&user, &own), &ours);
    }
    pod["spec"] = template.get("spec").cloned().unwrap_or_else(|| json!({}));
    pod
}

fn base_spec(deployment: &Deployment<'_>) -> Value {
    let spec = deployment.spec;
    let mut volumes = vec![
        json!({ "name": "tmp", "emptyDir": {} }),
        json!({
            "name": "state",
            "emptyDir": { "sizeLimit": spec.state_backend.local_size.as_str() },
        }),
        json!({
            "name": "job",
            "configMap": { "name": names::deployment(&deployment.owner.name, deployment.number) },
        }),
    ];
    if let Some(secret) = secret(deployment) {
        volumes.push(json!({ "name": "s3", "secret": {
            "secretName": secret.name,
            "items": secret_items(secret),
        } }));
    }
    if let Some(ca) = certificate(deployment) {
        volumes.push(json!({ "name": "ca", "secret": {
            "secretName": ca.name,
            "items": [{ "key": ca.key, "path": "ca.crt" }],
        } }));
    }
    let pull: Vec<_> = spec
        .image_pull_secrets
        .iter()
        .map(|secret| json!({ "name": secret.name }))
        .collect();
    json!({
        "serviceAccountName": rbac::account(deployment),
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "restartPolicy": "OnFailure",
        "imagePullSecrets": pull,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "fsGroup": 65532,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        // By itself, a resolver waits for 5 s for an answer that was lost.
        "dnsConfig": { "options": [
            { "name": "timeout", "value": "1" },
            { "name": "attempts", "value": "3" },
        ] },
        "volumes": volumes,
    })
}

/// Adds how soon a pod leaves a node that is silent, unless the user's templates say it.
/// Tolerations have no names to merge them by: a template's list would take the place of these.
fn leave_silent_nodes(spec: &mut Value) {
    let mut tolerations = match spec["tolerations"].take() {
        Value::Array(theirs) => theirs,
        _ => Vec::new(),
    };
    for key in [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ] {
        let evicts = |theirs: &Value| matches!(theirs.as_str(), None | Some("" | "NoExecute"));
        // Without a key it is of all of them.
        let is_of = |theirs: &Value| match theirs.as_str() {
            None | Some("") => true,
            Some(theirs) => theirs == key,
        };
        let is_said = tolerations
            .iter()
            .any(|theirs| is_of(&theirs["key"]) && evicts(&theirs["effect"]));
        if !is_said {
            tolerations.push(json!({
                "key": key,
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": SILENT_NODE_SECS,
            }));
        }
    }
    spec["tolerations"] = Value::Array(tolerations);
}

fn base_container(deployment: &Deployment<'_>) -> Value {
    let spec = deployment.spec;
    let mut mounts = vec![
        json!({ "name": "tmp", "mountPath": "/tmp" }),
        json!({ "name": "state", "mountPath": STATE_DIR }),
        json!({ "name": "job", "mountPath": MANIFEST_DIR, "readOnly": true }),
    ];
    if secret(deployment).is_some() {
        mounts.push(json!({ "name": "s3", "mountPath": CREDENTIALS_DIR, "readOnly": true }));
    }
    if certificate(deployment).is_some() {
        mounts.push(json!({ "name": "ca", "mountPath": CA_DIR, "readOnly": true }));
    }
    json!({
        "name": MAIN,
        "image": spec.image.as_deref().unwrap_or(deployment.default_image),
        "imagePullPolicy": match spec.image_pull_policy {
            ImagePullPolicy::Always => "Always",
            ImagePullPolicy::IfNotPresent => "IfNotPresent",
            ImagePullPolicy::Never => "Never",
        },
        "command": ["/usr/local/bin/weir"],
        "env": environment(deployment),
        "terminationMessagePath": TERMINATION_LOG,
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        },
        "volumeMounts": mounts,
    })
}

fn environment(deployment: &Deployment<'_>) -> Vec<Value> {
    // It is in no revision: the kept spec may have an older one.
    let logging = &deployment.surroundings.logging;
    let level = match logging.level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    };
    let format = match logging.format {
        LogFormat::Json => "json",
        LogFormat::Text => "text",
    };
    let from = |name: &str, path: &str| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
    let mut variables = vec![
        from("POD_NAME", "metadata.name"),
        from("POD_NAMESPACE", "metadata.namespace"),
        from("POD_UID", "metadata.uid"),
        json!({ "name": "WEIR_LOG", "value": level }),
        json!({ "name": "WEIR_LOG_FORMAT", "value": format }),
    ];
    if certificate(deployment).is_some() {
        variables.push(json!({ "name": "SSL_CERT_FILE", "value": format!("{CA_DIR}/ca.crt") }));
    }
    variables.extend(deployment.spec.job.env.iter().map(|variable| {
        let EnvVar {
            name,
            value,
            value_from,
        } = variable;
        match value_from {
            Some(source) => json!({ "name": name, "valueFrom": source }),
            None => json!({ "name": name, "value": value.as_deref().unwrap_or_default() }),
        }
    }));
    variables
}

/// What tells a JobManager where the job's state is, and what to start from.
fn storage_args(deployment: &Deployment<'_>) -> Vec<String> {
    let Some(storage) = &deployment.spec.storage else {
        return Vec::new();
    };
    let (place, flags) = storage_place(storage);
    let mut args = vec![format!("--checkpoint-dir={place}")];
    args.extend(flags);
    let restore = match deployment.start_from {
        Some(start) => match (start.from, &start.path) {
            (RestoreFrom::None, _) => "none".to_owned(),
            (RestoreFrom::Path, Some(path)) => path.clone(),
            _ => "latest".to_owned(),
        },
        None => "latest".to_owned(),
    };
    let with_state = restore != "none";
    args.push(format!("--restore={restore}"));
    let had_state = deployment
        .start_from
        .is_some_and(|start| start.require_state);
    if with_state && (deployment.surroundings.require_state || had_state) {
        args.push("--require-state".to_owned());
    }
    args
}

/// Where the storage is, and how it is reached.
pub(super) fn storage_place(storage: &StorageSpec) -> (String, Vec<String>) {
    let Some(s3) = &storage.s3 else {
        let local = storage.local.as_ref().map(|local| local.path.clone());
        return (local.unwrap_or_default(), Vec::new());
    };
    let prefix = s3.prefix.as_deref().unwrap_or_default().trim_matches('/');
    let address = format!("s3://{}/{prefix}", s3.bucket);
    let mut flags = Vec::new();
    flags.extend(
        s3.endpoint
            .as_ref()
            .map(|endpoint| format!("--s3-endpoint={endpoint}")),
    );
    flags.extend(
        s3.region
            .as_ref()
            .map(|region| format!("--s3-region={region}")),
    );
    if s3.path_style {
        flags.push("--s3-path-style".to_owned());
    }
    if s3.credentials.secret_ref.is_some() {
        flags.push(format!("--s3-credentials-dir={CREDENTIALS_DIR}"));
    }
    match s3.sse.kind {
        SseType::None => {}
        SseType::Aes256 => flags.push("--s3-sse=AES256".to_owned()),
        SseType::Kms => flags.push("--s3-sse=aws:kms".to_owned()),
    }
    flags.extend(
        s3.sse
            .key_id
            .as_ref()
            .map(|key| format!("--s3-sse-key-id={key}")),
    );
    (address.trim_end_matches('/').to_owned(), flags)
}

fn secret<'a>(deployment: &Deployment<'a>) -> Option<&'a S3SecretRef> {
    let s3 = deployment.spec.storage.as_ref()?.s3.as_ref()?;
    s3.credentials.secret_ref.as_ref()
}

fn certificate<'a>(deployment: &Deployment<'a>) -> Option<&'a KeyRef> {
    let s3 = deployment.spec.storage.as_ref()?.s3.as_ref()?;
    s3.ca_secret_ref.as_ref()
}

/// The keys of the user's Secret under the names that the worker reads.
fn secret_items(secret: &S3SecretRef) -> Vec<Value> {
    let mut items = vec![
        json!({ "key": secret.access_key_id_key, "path": "accessKeyId" }),
        json!({ "key": secret.secret_access_key_key, "path": "secretAccessKey" }),
    ];
    if let Some(key) = &secret.session_token_key {
        items.push(json!({ "key": key, "path": "sessionToken" }));
    }
    items
}

/// The token of the service account, for JobManagers only.
fn token_volume() -> Value {
    json!({ "name": "weir-token", "projected": { "sources": [
        { "serviceAccountToken": { "path": "token", "expirationSeconds": 3607 } },
        { "configMap": {
            "name": "kube-root-ca.crt",
            "items": [{ "key": "ca.crt", "path": "ca.crt" }],
        } },
        { "downwardAPI": { "items": [
            { "path": "namespace", "fieldRef": { "fieldPath": "metadata.namespace" } },
        ] } },
    ] } })
}

fn mount(pod: &mut Value, volume: &str, path: &str) {
    let more = json!({ "spec": { "containers": [{
        "name": MAIN,
        "volumeMounts": [{ "name": volume, "mountPath": path, "readOnly": true }],
    }] } });
    merge_template(pod, &more);
}

fn spread(deployment: &Deployment<'_>, component: &str) -> Value {
    json!({
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": { "matchLabels": {
            names::JOB_LABEL: deployment.owner.name,
            names::COMPONENT_LABEL: component,
            names::DEPLOYMENT_LABEL: deployment.number.to_string(),
        } },
    })
}

fn resources(resources: &ResourcesSpec) -> Value {
    serde_json::to_value(resources).unwrap_or_default()
}

fn merged(base: &Value, over: &Value) -> Value {
    let mut merged = base.clone();
    merge_template(&mut merged, over);
    merged
}

/// Merges a pod template over another: mappings by key, lists of named things by name (volume
/// mounts by path, as one volume may be mounted twice), other lists and values as a whole.
pub fn merge_template(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, over) in over {
                match base.get_mut(key) {
                    Some(base) => merge_template(base, over),
                    None => {
                        base.insert(key.clone(), over.clone());
                    }
                }
            }
        }
        (Value::Array(base), Value::Array(over)) if names_of(over).is_some() => {
            let key = names_of(over).unwrap_or("name");
            for over in over {
                let same = |item: &&mut Value| item.get(key) == over.get(key);
                match base.iter_mut().find(same) {
                    Some(base) => merge_template(base, over),
                    None => base.push(over.clone()),
                }
            }
        }
        (base, over) => *base = over.clone(),
    }
}

/// What the items of a list are told apart by.
fn names_of(items: &[Value]) -> Option<&'static str> {
    let all = |key: &str| {
        let has = |item: &Value| {
            item.as_object()
                .is_some_and(|item: &Map<_, _>| item.contains_key(key))
        };
        !items.is_empty() && items.iter().all(has)
    };
    ["mountPath", "containerPort", "name"]
        .into_iter()
        .find(|key| all(key))
}
