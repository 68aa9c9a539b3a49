//! `docs/kubernetes/streamjob.md` is made from the schema, so that it has every field as it is.
//! `UPDATE_GENERATED=1 cargo test -p weir-crd --test reference` writes it anew.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Map, Value};
use weir_crd::custom_resource_definition;

const HEAD: &str = "\
# Every field of a StreamJob

Made from the types of `operator/crd`; do not edit by hand. `kubectl explain streamjob.spec` tells the same in a terminal. Durations
are written `30s`, `10m`, `1h30m`, `500ms`; sizes as Kubernetes does, `512Mi`. What a change of a field does to a running job is in
[upgrade.md](upgrade.md); conditions, with their causes and remedies, are in [conditions.md](conditions.md).

A small whole one is [`examples/kubernetes/quickstart.yaml`](../../examples/kubernetes/quickstart.yaml).
";

#[test]
fn the_page_of_fields_is_that_of_the_schema() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/kubernetes/streamjob.md");
    let page = page();
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(&path, &page).expect("written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == page,
        "docs/kubernetes/streamjob.md is old: run this test with UPDATE_GENERATED=1"
    );
}

#[test]
fn every_field_stands_on_the_page_once() {
    let page = page();
    for field in [
        "podTemplate",
        "imagePullSecrets[].name",
        "job.program",
        "upgrade.confirmStateLoss",
        "storage.s3.credentials.secretRef.accessKeyIdKey",
        "operation.stepStartedAt",
    ] {
        let row = format!("| `{field}` |");
        assert_eq!(page.matches(&row).count(), 1, "{field}");
    }
}

fn page() -> String {
    let definition = custom_resource_definition();
    let schema = definition
        .pointer("/spec/versions/0/schema/openAPIV3Schema/properties")
        .expect("a schema");
    let mut page = HEAD.to_owned();
    page.push_str("\n## spec\n");
    let spec = &schema["spec"];
    let mut rows = Vec::new();
    for (name, field) in properties(spec) {
        if !is_group(name, field) {
            row(&mut rows, name, field, is_required(spec, name));
            below(&mut rows, name, field);
        }
    }
    table(&mut page, &rows);
    rules(&mut page, spec);
    for (name, group) in properties(spec) {
        if !is_group(name, group) {
            continue;
        }
        let about = described(group);
        write!(
            page,
            "\n## spec.{name}\n\n{}.\n",
            about.trim_end_matches('.')
        )
        .expect("a text");
        let mut rows = Vec::new();
        below(&mut rows, name, group);
        table(&mut page, &rows);
        rules(&mut page, group);
    }
    page.push_str("\n## status\n\nWritten by the operator only. A field that has nothing to say is left out.\n");
    let mut rows = Vec::new();
    for (name, field) in properties(&schema["status"]) {
        row(&mut rows, name, field, false);
        below(&mut rows, name, field);
    }
    table(&mut page, &rows);
    page
}

fn properties(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties
        .into_iter()
        .flatten()
        .map(|(name, field)| (name.as_str(), field))
}

/// Whether a field of the spec has a table of its own. What Kubernetes defines is described there.
fn is_group(name: &str, field: &Value) -> bool {
    name != "podTemplate" && properties(field).next().is_some()
}

fn is_required(schema: &Value, name: &str) -> bool {
    let required = schema.get("required").and_then(Value::as_array);
    required.is_some_and(|all| all.iter().any(|one| one == name))
}

/// A row for each field below `path`. What Kubernetes defines is described there.
fn below(rows: &mut Vec<String>, path: &str, schema: &Value) {
    if schema.get("x-kubernetes-preserve-unknown-fields").is_some() {
        return;
    }
    for (name, field) in properties(schema) {
        let path = format!("{path}.{name}");
        row(rows, &path, field, is_required(schema, name));
        below(rows, &path, field);
    }
    if let Some(items) = schema.get("items") {
        below(rows, &format!("{path}[]"), items);
    }
}

fn row(rows: &mut Vec<String>, path: &str, field: &Value, required: bool) {
    let default = match field.get("default") {
        // Those of its fields say the same.
        Some(Value::Object(_)) | None if !required => String::new(),
        None | Some(Value::Object(_)) => "required".to_owned(),
        Some(Value::String(text)) => format!("`{text}`"),
        Some(value) => format!("`{value}`"),
    };
    let about = escaped(&described(field));
    rows.push(format!(
        "| `{path}` | {} | {default} | {about} |",
        kind(field)
    ));
}

fn kind(field: &Value) -> String {
    let map = field
        .get("additionalProperties")
        .is_some_and(Value::is_object);
    let kind = field
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let format = field.get("format").and_then(Value::as_str);
    match (kind, format) {
        ("string", Some("duration")) => "duration".to_owned(),
        ("string", _) if field.get("enum").is_some() => "one of".to_owned(),
        ("integer", _) => range(field),
        ("array", _) => "list".to_owned(),
        ("object", _) if map => "map".to_owned(),
        ("", _) => "size".to_owned(),
        (kind, _) => kind.to_owned(),
    }
}

/// The least and the greatest value, where they say more than the type.
fn range(field: &Value) -> String {
    let bound = |name: &str| field.get(name).and_then(Value::as_f64);
    let small = |value: f64| value.abs() < 1_000_000.0;
    match (bound("minimum"), bound("maximum").filter(|max| small(*max))) {
        (Some(min), Some(max)) => format!("{min} to {max}"),
        (Some(min), None) => format!("{min} or more"),
        _ => "integer".to_owned(),
    }
}

/// The text of a field, in one line.
fn described(field: &Value) -> String {
    let text = field.get("description").and_then(Value::as_str);
    text.unwrap_or_default()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}

fn table(page: &mut String, rows: &[String]) {
    page.push_str("\n| field | type | default | meaning |\n|---|---|---|---|\n");
    for row in rows {
        writeln!(page, "{row}").expect("a text");
    }
}

/// What the API server checks between fields, in the words of its answer.
fn rules(page: &mut String, schema: &Value) {
    let mut messages = Vec::new();
    collect(schema, &mut messages, true);
    if messages.is_empty() {
        return;
    }
    page.push_str("\nRefused by the API server:\n\n");
    for message in messages {
        writeln!(page, "- {message}").expect("a text");
    }
}

fn collect(schema: &Value, messages: &mut Vec<String>, whole: bool) {
    let rules = schema
        .get("x-kubernetes-validations")
        .and_then(Value::as_array);
    for rule in rules.into_iter().flatten() {
        let message = rule
            .get("message")
            .and_then(Value::as_str)
            .unwrap_or_default();
        // The bounds of single values stand in their rows, or are far off.
        let of_a_value = schema.get("type").and_then(Value::as_str) != Some("object");
        if !of_a_value && !messages.iter().any(|known| known == message) {
            messages.push(message.to_owned());
        }
    }
    let is_spec = whole
        && schema
            .get("properties")
            .is_some_and(|all| all.get("job").is_some());
    if is_spec {
        // The groups tell their own.
        return;
    }
    let empty = Map::new();
    let fields = schema
        .get("properties")
        .and_then(Value::as_object)
        .unwrap_or(&empty);
    for field in fields.values() {
        collect(field, messages, false);
    }
}
