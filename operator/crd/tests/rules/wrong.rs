//! Each field wrong in turn: the definition refuses a value of another kind, and so do the readers
//! of manifests, with a message that names the field.

use serde_json::{Map, Value, json};
use weir_crd::{StreamJob, custom_resource_definition};

/// A field, and a value that it can't have.
#[derive(Debug)]
struct Wrong {
    /// As in `/spec/job/env/0/name`.
    pointer: String,
    value: Value,
}

/// The entry of a mapping that is made wrong: in mappings of quantities it is one.
const ENTRY: &str = "memory";

/// A manifest that holds every field, so that each can be changed alone.
fn full() -> Value {
    let text = include_str!("../manifests/testdata/full.yaml");
    let job = StreamJob::from_yaml("full.yaml", text).expect("a manifest");
    serde_json::to_value(job).expect("JSON")
}

/// A value that does not fit a schema.
fn misfit(schema: &Map<String, Value>) -> Value {
    let kind = schema.get("type").and_then(Value::as_str);
    let maximum = schema.get("maximum").and_then(Value::as_u64);
    if schema.contains_key("enum") {
        return json!("Nonsense");
    }
    if schema.contains_key("x-kubernetes-int-or-string") {
        return json!("1GB");
    }
    match (kind, maximum) {
        (Some("integer"), Some(maximum)) => json!(maximum + 1),
        (Some("integer" | "number"), _) => json!("many"),
        (Some("boolean"), _) => json!("yes"),
        (Some("string"), _) if schema.contains_key("pattern") => json!("\u{0}"),
        (Some("string"), _) => json!({"an": "object"}),
        _ => json!(true),
    }
}

fn collect(schema: &Value, pointer: &str, all: &mut Vec<Wrong>) {
    let Some(object) = schema.as_object() else {
        return;
    };
    if !pointer.is_empty() && pointer != "/spec" {
        let value = misfit(object);
        let pointer = pointer.to_owned();
        all.push(Wrong { pointer, value });
    }
    // What Kubernetes itself describes is its own business.
    if object.contains_key("x-kubernetes-preserve-unknown-fields")
        || pointer.ends_with("odTemplate")
    {
        return;
    }
    for (name, property) in object
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        collect(property, &format!("{pointer}/{name}"), all);
    }
    if let Some(items) = object.get("items") {
        collect(items, &format!("{pointer}/0"), all);
    }
    if let Some(values) = object.get("additionalProperties") {
        collect(values, &format!("{pointer}/{ENTRY}"), all);
    }
}

fn all_wrong() -> Vec<Wrong> {
    let definition = custom_resource_definition();
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
    let mut all = Vec::new();
    collect(
        definition.pointer(spec).expect("a schema"),
        "/spec",
        &mut all,
    );
    all
}

/// Sets what a pointer names, where the full manifest holds it.
fn set(manifest: &mut Value, wrong: &Wrong) -> bool {
    match manifest.pointer_mut(&wrong.pointer) {
        Some(place) => {
            *place = wrong.value.clone();
            true
        }
        // One of two that exclude each other.
        None => {
            let (parent, name) = wrong.pointer.rsplit_once('/').expect("a path");
            let Some(Value::Object(parent)) = manifest.pointer_mut(parent) else {
                return false;
            };
            parent.insert(name.to_owned(), wrong.value.clone());
            true
        }
    }
}

#[test]
fn each_field_wrong_in_turn_is_refused_by_its_name() {
    let all = all_wrong();
    assert!(all.len() > 100, "{}", all.len());
    let mut missed = Vec::new();
    for wrong in &all {
        let mut manifest = full();
        if !set(&mut manifest, wrong) {
            // Its surroundings are left out of the full manifest, as they exclude others.
            continue;
        }
        let names: Vec<_> = wrong.pointer.split('/').collect();
        let name = names
            .iter()
            .rev()
            .find(|name| name.parse::<usize>().is_err());
        let name = name.expect("a name");
        match StreamJob::from_yaml("job.yaml", &manifest.to_string()) {
            Ok(_) => missed.push(format!("{} may be {}", wrong.pointer, wrong.value)),
            Err(error) if !error.to_string().contains(*name) => {
                missed.push(format!("{}: {error}", wrong.pointer));
            }
            Err(_) => {}
        }
    }
    assert_eq!(missed, Vec::<String>::new());
}

/// The operator's tests give these to a real API server.
///
/// `UPDATE_GENERATED=1 cargo test -p weir-crd --test rules` writes them anew.
#[test]
fn the_wrong_fields_for_the_api_server_are_those_of_the_definition() {
    let all: Vec<_> = all_wrong()
        .iter()
        .map(|wrong| json!({"pointer": wrong.pointer, "value": wrong.value}))
        .collect();
    let text = json!({"full": full(), "wrong": all});
    let text = format!("{}\n", serde_json::to_string_pretty(&text).expect("JSON"));
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/rules/testdata/wrong.json"
    );
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(path, &text).expect("written");
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == text,
        "tests/rules/testdata/wrong.json is stale: UPDATE_GENERATED=1"
    );
}
