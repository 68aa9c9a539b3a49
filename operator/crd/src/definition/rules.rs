//! What holds between fields, in the language of the API server (CEL).
//!
//! A manifest that breaks one is refused at `kubectl apply`, with the message. The same rules hold
//! for whoever reads a manifest without an API server (`validate`); `tests/rules` holds an example
//! that is accepted and one that is refused for each, and compares the two sides.
//!
//! The API server estimates what a rule may cost from the bounds of the texts and lists that it
//! looks at, so these have bounds in the schema.

use serde_json::{Map, Value, json};

/// A rule of the custom resource definition.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// What its examples are found by.
    pub name: &'static str,
    /// The object that it is about, as in `spec.job`; `[]` are the entries of a list.
    pub at: &'static str,
    /// The rule.
    pub rule: &'static str,
    /// What is wrong, and the fix.
    pub message: &'static str,
}

impl Rule {
    /// Whether it compares with the object as it was before.
    pub fn is_transition(&self) -> bool {
        self.rule.contains("oldSelf")
    }
}

const fn rule(
    name: &'static str,
    at: &'static str,
    rule: &'static str,
    message: &'static str,
) -> Rule {
    Rule {
        name,
        at,
        rule,
        message,
    }
}

/// All rules, in the order of the fields.
pub const RULES: &[Rule] = &[
    rule(
        "job-name",
        "",
        "self.metadata.name.size() <= 45 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "metadata.name: use at most 45 lower-case letters, digits and `-`, beginning with a letter",
    ),
    rule(
        "parallelism-within-key-groups",
        "spec.job",
        "!has(self.parallelism) || self.parallelism <= (has(self.maxParallelism) ? self.maxParallelism : 128)",
        "job.parallelism is more than job.maxParallelism: lower it",
    ),
    rule(
        "max-parallelism-stays",
        "spec.job.maxParallelism",
        "self == oldSelf",
        "job.maxParallelism can't be changed: state is dealt out by it. Make a new StreamJob",
    ),
    rule(
        "environment-value-or-source",
        "spec.job.env[]",
        "!(has(self.value) && has(self.valueFrom))",
        "has both `value` and `valueFrom`: remove one",
    ),
    rule(
        "argument-has-a-name",
        "spec.job.args",
        "!('' in self)",
        "has an entry without a name",
    ),
    rule(
        "configuration-has-a-name",
        "spec.job.config",
        "!('' in self)",
        "has an entry without a name",
    ),
    rule(
        "state-id-stays",
        "spec",
        "has(self.stateId) == has(oldSelf.stateId) && (!has(self.stateId) || self.stateId == oldSelf.stateId)",
        "stateId can't be changed: the job's state is found by it. Make a new StreamJob",
    ),
    rule(
        "storage-where-checkpoints-are-on",
        "spec",
        "has(self.storage) || self.checkpoint.interval == duration('0s')",
        "storage is needed where checkpoints are on: set it, or set checkpoint.interval to 0s",
    ),
    rule(
        "slots-for-the-parallelism",
        "spec",
        "!has(self.taskManager.replicas) || !has(self.job.parallelism) || self.taskManager.replicas * self.taskManager.slots >= self.job.parallelism",
        "taskManager.replicas × taskManager.slots is less than job.parallelism: raise one of them, or leave replicas out",
    ),
    rule(
        "restart-nonce-grows",
        "spec",
        "!has(oldSelf.restartNonce) || (has(self.restartNonce) && self.restartNonce >= oldSelf.restartNonce)",
        "restartNonce can't become less: raise it to restart the job",
    ),
    rule(
        "storage-moves-with-restore",
        "spec",
        "!has(self.storage) || !has(oldSelf.storage) || (has(self.storage.s3) && has(oldSelf.storage.s3) ? (self.storage.s3.bucket == oldSelf.storage.s3.bucket && (has(self.storage.s3.prefix) ? self.storage.s3.prefix : '') == (has(oldSelf.storage.s3.prefix) ? oldSelf.storage.s3.prefix : '')) : (has(self.storage.local) && has(oldSelf.storage.local) && self.storage.local.path == oldSelf.storage.local.path)) || (has(self.restore.nonce) && (!has(oldSelf.restore.nonce) || self.restore.nonce != oldSelf.restore.nonce))",
        "storage can only become another bucket, prefix, folder or kind together with a new restore.nonce, and restore.from and path for what the job is to start from: its state is found there",
    ),
    rule(
        "storage-goes-when-loss-is-confirmed",
        "spec",
        "has(self.storage) || !has(oldSelf.storage) || self.upgrade.confirmStateLoss || (has(self.restore.nonce) && (!has(oldSelf.restore.nonce) || self.restore.nonce != oldSelf.restore.nonce))",
        "without storage the job's state is thrown away: set upgrade.confirmStateLoss to true if that is meant",
    ),
    rule(
        "ports-differ",
        "spec",
        "!(self.ui.enabled && self.metrics.enabled && self.ui.port == self.metrics.port)",
        "metrics.port is ui.port too: choose another",
    ),
    rule(
        "state-loss-is-confirmed",
        "spec.upgrade",
        "self.mode != 'Stateless' || oldSelf.mode == 'Stateless' || self.confirmStateLoss",
        "upgrade.mode Stateless throws the job's state away: set upgrade.confirmStateLoss to true if that is meant",
    ),
    rule(
        "drain-takes-a-savepoint",
        "spec.upgrade",
        "!self.drain || self.mode == 'Savepoint'",
        "upgrade.drain needs upgrade.mode Savepoint",
    ),
    rule(
        "checkpoint-age-is-for-last-state",
        "spec.upgrade",
        "!has(self.maxCheckpointAge) || self.mode == 'LastState'",
        "upgrade.maxCheckpointAge has an effect only with mode LastState",
    ),
    rule(
        "savepoint-of-an-upgrade-has-time",
        "spec.upgrade.savepointTimeout",
        "self > duration('0s')",
        "must be more than 0s",
    ),
    rule(
        "new-pods-have-time",
        "spec.upgrade.preWarmTimeout",
        "self > duration('0s')",
        "must be more than 0s",
    ),
    rule(
        "path-with-from-path",
        "spec.restore",
        "(self.from == 'Path') == has(self.path)",
        "restore.path goes with restore.from Path, and only with it",
    ),
    rule(
        "restore-nonce-names-a-start",
        "spec.restore",
        "!has(self.nonce) || self.from != 'Latest'",
        "restore.nonce needs restore.from Path, with a path, or None",
    ),
    rule(
        "restore-nonce-grows",
        "spec.restore",
        "!has(oldSelf.nonce) || !has(self.nonce) || self.nonce >= oldSelf.nonce",
        "restore.nonce can't become less: raise it to restore again",
    ),
    rule(
        "checkpoint-interval-is-long-enough",
        "spec.checkpoint",
        "self.interval == duration('0s') || self.interval >= duration('100ms')",
        "checkpoint.interval must be at least 100ms, or 0s for no checkpoints",
    ),
    rule(
        "checkpoint-has-time",
        "spec.checkpoint",
        "self.timeout > duration('0s')",
        "checkpoint.timeout must be more than 0s",
    ),
    rule(
        "pause-between-checkpoints-is-short-enough",
        "spec.checkpoint",
        "self.minPause < duration('24h')",
        "checkpoint.minPause must be less than 24h",
    ),
    rule(
        "savepoint-has-time",
        "spec.savepoint",
        "self.timeout > duration('0s')",
        "savepoint.timeout must be more than 0s",
    ),
    rule(
        "one-storage",
        "spec.storage",
        "has(self.s3) != has(self.local)",
        "storage needs one of `s3` and `local`, and not both",
    ),
    rule(
        "one-kind-of-credentials",
        "spec.storage.s3.credentials",
        "has(self.workloadIdentity) != has(self.secretRef)",
        "needs one of `workloadIdentity: {}` and `secretRef`, and not both",
    ),
    rule(
        "key-id-is-for-kms",
        "spec.storage.s3.sse",
        "!has(self.keyId) || self.type == 'KMS'",
        "sse.keyId needs type KMS",
    ),
    rule(
        "local-disk-has-room",
        "spec.stateBackend",
        "quantity(string(self.localSize)).isGreaterThan(quantity('0'))",
        "stateBackend.localSize must be more than 0",
    ),
    rule(
        "lease-outlives-its-renewal",
        "spec.ha",
        "self.renewDeadline < self.leaseDuration",
        "ha.renewDeadline must be less than ha.leaseDuration",
    ),
    rule(
        "renewal-is-tried-again",
        "spec.ha",
        "self.retryPeriod > duration('0s') && self.retryPeriod < self.renewDeadline",
        "ha.retryPeriod must be more than 0s and less than ha.renewDeadline",
    ),
    rule(
        "attempts-field",
        "spec.restartStrategy",
        "!has(self.attempts) || (has(self.type) && self.type in ['FixedDelay', 'ExponentialDelay'])",
        "restartStrategy.attempts needs type FixedDelay or ExponentialDelay",
    ),
    rule(
        "failure-rate-fields",
        "spec.restartStrategy",
        "!(has(self.maxFailures) || has(self.interval)) || (has(self.type) && self.type == 'FailureRate')",
        "restartStrategy.maxFailures and interval need type FailureRate",
    ),
    rule(
        "delay-fields",
        "spec.restartStrategy",
        "!has(self.delay) || (has(self.type) && self.type in ['FixedDelay', 'FailureRate'])",
        "restartStrategy.delay needs type FixedDelay or FailureRate",
    ),
    rule(
        "exponential-delay-fields",
        "spec.restartStrategy",
        "!(has(self.initialDelay) || has(self.maxDelay) || has(self.multiplier) || has(self.jitter) || has(self.resetAfter)) || (has(self.type) && self.type == 'ExponentialDelay')",
        "restartStrategy.initialDelay, maxDelay, multiplier, jitter and resetAfter need type ExponentialDelay",
    ),
    rule(
        "first-delay-within-the-longest",
        "spec.restartStrategy",
        "!has(self.initialDelay) || !has(self.maxDelay) || self.initialDelay <= self.maxDelay",
        "restartStrategy.initialDelay is more than maxDelay",
    ),
    rule(
        "new-revision-has-time",
        "spec.rollback",
        "self.readinessTimeout > duration('0s')",
        "rollback.readinessTimeout must be more than 0s",
    ),
    rule(
        "restarts-are-counted-over-a-time",
        "spec.health",
        "self.restartWindow > duration('0s')",
        "health.restartWindow must be more than 0s",
    ),
    rule(
        "required-savepoint-keeps-state",
        "spec.onDelete",
        "self.state != 'Delete' || self.savepoint != 'Required'",
        "onDelete.state must be Retain where onDelete.savepoint is Required",
    ),
    rule(
        "savepoint-at-deletion-has-time",
        "spec.onDelete",
        "self.timeout > duration('0s')",
        "onDelete.timeout must be more than 0s",
    ),
    rule(
        "jobmanager-memory-within-limit",
        "spec.jobManager.resources",
        RESOURCES,
        RESOURCES_MESSAGE,
    ),
    rule(
        "taskmanager-memory-within-limit",
        "spec.taskManager.resources",
        RESOURCES,
        RESOURCES_MESSAGE,
    ),
    rule(
        "peer-is-of-one-kind",
        "spec.networkPolicy.restFrom[]",
        "has(self.ipBlock) != (has(self.podSelector) || has(self.namespaceSelector))",
        "needs either an `ipBlock`, or one or both of `podSelector` and `namespaceSelector`",
    ),
    rule(
        "pod-label-has-values",
        "spec.networkPolicy.restFrom[].podSelector.matchExpressions[]",
        LABEL_VALUES,
        LABEL_VALUES_MESSAGE,
    ),
    rule(
        "namespace-label-has-values",
        "spec.networkPolicy.restFrom[].namespaceSelector.matchExpressions[]",
        LABEL_VALUES,
        LABEL_VALUES_MESSAGE,
    ),
    rule(
        "no-host-network",
        "spec.podTemplate",
        HOST_NETWORK,
        HOST_NETWORK_MESSAGE,
    ),
    rule(
        "jobmanager-no-host-network",
        "spec.jobManager.podTemplate",
        HOST_NETWORK,
        HOST_NETWORK_MESSAGE,
    ),
    rule(
        "taskmanager-no-host-network",
        "spec.taskManager.podTemplate",
        HOST_NETWORK,
        HOST_NETWORK_MESSAGE,
    ),
    rule(
        "main-container-is-the-operators",
        "spec.podTemplate",
        MAIN_CONTAINER,
        MAIN_CONTAINER_MESSAGE,
    ),
    rule(
        "jobmanager-main-container-is-the-operators",
        "spec.jobManager.podTemplate",
        MAIN_CONTAINER,
        MAIN_CONTAINER_MESSAGE,
    ),
    rule(
        "taskmanager-main-container-is-the-operators",
        "spec.taskManager.podTemplate",
        MAIN_CONTAINER,
        MAIN_CONTAINER_MESSAGE,
    ),
];

const LABEL_VALUES: &str =
    "(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)";
const LABEL_VALUES_MESSAGE: &str =
    "`In` and `NotIn` need values, `Exists` and `DoesNotExist` have none";
const RESOURCES: &str = "['cpu', 'memory'].all(r, !has(self.requests) || !has(self.limits) || !(r in self.requests) || !(r in self.limits) || quantity(string(self.requests[r])).compareTo(quantity(string(self.limits[r]))) <= 0)";
const RESOURCES_MESSAGE: &str = "a request for cpu or memory is more than the limit: lower it";
const HOST_NETWORK: &str =
    "!has(self.spec) || !has(self.spec.hostNetwork) || !self.spec.hostNetwork";
const HOST_NETWORK_MESSAGE: &str =
    "spec.hostNetwork must not be true: the operator gives each pod ports of its own";
const MAIN_CONTAINER: &str = "!has(self.spec) || !has(self.spec.containers) || self.spec.containers.all(c, c.name != 'main' || (!has(c.image) && !has(c.command) && !has(c.args)))";
const MAIN_CONTAINER_MESSAGE: &str = "the container `main` must have neither image, command nor args: set spec.image and spec.job.args; the operator sets the rest";

/// Adds the rules, and the bounds that they need, to the schema of the whole object.
pub(super) fn add(schema: &mut Value) {
    for place in [
        "spec.podTemplate",
        "spec.jobManager.podTemplate",
        "spec.taskManager.podTemplate",
    ] {
        if let Some(template) = at(schema, place) {
            template.insert("properties".to_owned(), pod_template());
        }
    }
    for (place, key, bound) in BOUNDS {
        if let Some(object) = at(schema, place) {
            object.insert((*key).to_owned(), json!(bound));
        }
    }
    for (place, pattern) in PATTERNS {
        if let Some(object) = at(schema, place) {
            object.insert("pattern".to_owned(), json!(pattern));
        }
    }
    for place in [
        "spec.networkPolicy.restFrom[].ipBlock.cidr",
        "spec.networkPolicy.restFrom[].ipBlock.except[]",
    ] {
        if let Some(text) = at(schema, place) {
            text.insert("format".to_owned(), json!("cidr"));
        }
    }
    for rule in RULES {
        let Some(object) = at(schema, rule.at) else {
            continue;
        };
        let rules = object
            .entry("x-kubernetes-validations")
            .or_insert_with(|| json!([]));
        if let Value::Array(rules) = rules {
            rules.push(json!({ "rule": rule.rule, "message": rule.message }));
        }
    }
}

/// The most characters of a text, and the most entries of a list or mapping.
const BOUNDS: &[(&str, &str, u32)] = &[
    ("spec.stateId", "maxLength", 253),
    ("spec.stateVersion", "maxLength", 63),
    ("spec.image", "maxLength", 1024),
    ("spec.serviceAccountName", "maxLength", 253),
    ("spec.savepoint.schedule", "maxLength", 256),
    ("spec.restore.path", "maxLength", 2048),
    ("spec.storage.s3.bucket", "maxLength", 253),
    ("spec.storage.s3.prefix", "maxLength", 1024),
    ("spec.storage.s3.endpoint", "maxLength", 1024),
    ("spec.storage.s3.region", "maxLength", 63),
    ("spec.storage.local.path", "maxLength", 1024),
    ("spec.job.program", "maxLength", 253),
    ("spec.job.args", "maxProperties", 1024),
    ("spec.job.config", "maxProperties", 1024),
    ("spec.jobManager.resources.requests", "maxProperties", 16),
    ("spec.jobManager.resources.limits", "maxProperties", 16),
    ("spec.taskManager.resources.requests", "maxProperties", 16),
    ("spec.taskManager.resources.limits", "maxProperties", 16),
    ("spec.networkPolicy.restFrom", "maxItems", 64),
    (
        "spec.networkPolicy.restFrom[].ipBlock.except",
        "maxItems",
        64,
    ),
    (
        "spec.networkPolicy.restFrom[].podSelector.matchExpressions",
        "maxItems",
        64,
    ),
    (
        "spec.networkPolicy.restFrom[].namespaceSelector.matchExpressions",
        "maxItems",
        64,
    ),
];

/// What a text must look like.
const PATTERNS: &[(&str, &str)] = &[
    (
        "spec.stateId",
        r"^(\.?[A-Za-z0-9_-][A-Za-z0-9_.-]*)(/\.?[A-Za-z0-9_-][A-Za-z0-9_.-]*)*$",
    ),
    (
        "spec.savepoint.schedule",
        r"^[0-9A-Za-z*,/-]+( +[0-9A-Za-z*,/-]+){4}$",
    ),
    ("spec.storage.s3.endpoint", "^https?://.+$"),
];

/// What of a pod template the rules look at; the rest is Kubernetes' business.
fn pod_template() -> Value {
    json!({
        "spec": {
            "type": "object",
            "description": "The pod's spec; fields that are not described here are kept as they are.",
            "x-kubernetes-preserve-unknown-fields": true,
            "properties": {
                "hostNetwork": {
                    "type": "boolean",
                    "description": "Must not be `true`: the operator gives each pod ports of its own."
                },
                "containers": {
                    "type": "array",
                    "description": "The containers, merged by name; `main` is the operator's own.",
                    "maxItems": 64,
                    "items": {
                        "type": "object",
                        "description": "A container.",
                        "required": ["name"],
                        "x-kubernetes-preserve-unknown-fields": true,
                        "properties": {
                            "name": {
                                "type": "string",
                                "maxLength": 63,
                                "description": "The container's name."
                            },
                            "image": {
                                "type": "string",
                                "description": "The image; not for `main`: set `spec.image`."
                            },
                            "command": {
                                "type": "array",
                                "maxItems": 256,
                                "items": { "type": "string" },
                                "description": "The command; not for `main`."
                            },
                            "args": {
                                "type": "array",
                                "maxItems": 1024,
                                "items": { "type": "string" },
                                "description": "Its arguments; not for `main`: set `spec.job.args`."
                            },
                        },
                    },
                },
            },
        },
    })
}

/// The schema at a path such as `spec.job.env[]`.
pub(super) fn at<'a>(schema: &'a mut Value, path: &str) -> Option<&'a mut Map<String, Value>> {
    let mut found = schema;
    for step in path.split('.').filter(|step| !step.is_empty()) {
        let name = step.trim_end_matches("[]");
        found = found.get_mut("properties")?.get_mut(name)?;
        if step.ends_with("[]") {
            found = found.get_mut("items")?;
        }
    }
    found.as_object_mut()
}
