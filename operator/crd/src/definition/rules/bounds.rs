//! Bounds and forms of texts and lists, from which the API server estimates what a rule may cost,
//! and the part of a pod template that rules look at.

use serde_json::{Value, json};

use super::at;

/// Adds them to the schema of the whole object.
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
