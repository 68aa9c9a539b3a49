//! The custom resource definition of StreamJob: what the API server checks before anybody else
//! sees a manifest.
//!
//! It is made from the same types that read manifests: schemars gives the fields, their
//! descriptions, ranges and defaults; [`structural`] brings that into the form that Kubernetes
//! takes; [`rules`] adds what holds between fields. It is checked in as
//! `crds/streamjobs.weir.dev.yaml`, and a test compares the two.

mod rules;
mod structural;
mod yaml;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::spec::StreamJobSpec;
use crate::status::StreamJobStatus;

pub use rules::{Rule, rules};

/// The name of the custom resource definition.
pub const CRD_NAME: &str = "streamjobs.weir.dev";

/// The group of Weir's resources.
pub const GROUP: &str = "weir.dev";

/// The version of the resource.
pub const VERSION: &str = "v1alpha1";

/// The custom resource definition, as an object of the Kubernetes API.
pub fn custom_resource_definition() -> Value {
    let mut spec = schema_of::<StreamJobSpec>();
    let mut status = schema_of::<StreamJobStatus>();
    for schema in [&mut spec, &mut status] {
        structural::make(schema);
        structural::make_list_maps(schema);
    }
    let mut schema = json!({
        "type": "object",
        "description": "A stream job: a registered program with its arguments, and how to run it.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {
                "type": "string",
                "description": "The version of the manifest's format: `weir.dev/v1alpha1`."
            },
            "kind": {
                "type": "string",
                "description": "The kind of the object: `StreamJob`."
            },
            "metadata": { "type": "object" },
            "spec": spec,
            "status": status,
        },
    });
    rules::add(&mut schema);
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": CRD_NAME },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": "StreamJob",
                "listKind": "StreamJobList",
                "plural": "streamjobs",
                "singular": "streamjob",
                "shortNames": ["sj"],
                "categories": ["weir"],
            },
            "versions": [{
                "name": VERSION,
                "served": true,
                "storage": true,
                "schema": { "openAPIV3Schema": schema },
                "subresources": {
                    "status": {},
                    "scale": {
                        "specReplicasPath": ".spec.taskManager.replicas",
                        "statusReplicasPath": ".status.taskManager.replicas",
                        "labelSelectorPath": ".status.taskManager.selector",
                    },
                },
                "additionalPrinterColumns": columns(),
            }],
        },
    })
}

/// The same, as YAML.
pub fn custom_resource_definition_yaml() -> String {
    let mut text = String::from(
        "# Made from the types of operator/crd by `weir-operator crd`; do not edit by hand.\n",
    );
    yaml::write(&mut text, &custom_resource_definition());
    text
}

fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::openapi3().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value();
    if let Some(schema) = schema.as_object_mut() {
        schema.remove("title");
        schema.remove("$schema");
    }
    schema
}

fn columns() -> Value {
    let column = |name: &str, kind: &str, path: &str, wide: bool, description: &str| {
        json!({
            "name": name,
            "type": kind,
            "jsonPath": path,
            "priority": i32::from(wide),
            "description": description,
        })
    };
    let ready = ".status.conditions[?(@.type=='Ready')].status";
    let message = ".status.conditions[?(@.type=='Ready')].message";
    let last = ".status.checkpoint.age";
    let created = ".metadata.creationTimestamp";
    json!([
        column(
            "Phase",
            "string",
            ".status.phase",
            false,
            "Where the job stands in its life."
        ),
        column(
            "Ready",
            "string",
            ready,
            false,
            "Whether the newest spec runs."
        ),
        column(
            "Par",
            "integer",
            ".status.parallelism",
            false,
            "The parallelism that runs."
        ),
        column(
            "Last-Ckpt",
            "string",
            last,
            false,
            "How old the newest checkpoint is at most, or at least."
        ),
        column(
            "Restarts",
            "integer",
            ".status.restarts.total",
            false,
            "How often the job was started again after a failure."
        ),
        column("Age", "date", created, false, "The age of the StreamJob."),
        column(
            "JobId",
            "string",
            ".status.jobId",
            true,
            "The id of the job's lineage."
        ),
        column(
            "Epoch",
            "integer",
            ".status.epoch",
            true,
            "The epoch of the leader."
        ),
        column(
            "Mode",
            "string",
            ".spec.upgrade.mode",
            true,
            "How a new spec takes over state."
        ),
        column(
            "Message",
            "string",
            message,
            true,
            "What the job is waiting for."
        ),
    ])
}

#[cfg(test)]
mod tests;
