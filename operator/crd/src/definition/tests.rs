use serde_json::Value;

use super::*;

fn schema() -> Value {
    let definition = custom_resource_definition();
    let schema = definition.pointer("/spec/versions/0/schema/openAPIV3Schema");
    schema.expect("a schema").clone()
}

/// Calls `visit` with every schema in `schema` and its path.
fn each(schema: &Value, path: &str, visit: &mut dyn FnMut(&Value, &str)) {
    visit(schema, path);
    for (name, property) in schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        each(property, &format!("{path}.{name}"), visit);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get(key).filter(|inner| inner.is_object()) {
            each(inner, &format!("{path}[]"), visit);
        }
    }
}

#[test]
fn the_checked_in_definition_is_that_of_the_types() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../crds/streamjobs.weir.dev.yaml"
    );
    let made = custom_resource_definition_yaml();
    if std::env::var_os("WEIR_UPDATE_CRD").is_some() {
        std::fs::write(path, &made).expect("written");
    }
    let found = std::fs::read_to_string(path).expect("crds/ has the definition");
    assert!(
        found == made,
        "crds/ is stale: run `weir-operator crd > crds/streamjobs.weir.dev.yaml`"
    );
}

/// `kubectl apply` keeps what it applied in an annotation, which has no room for 262,144 bytes.
#[test]
fn the_definition_stays_so_small_that_it_can_be_applied_and_grow() {
    let size = custom_resource_definition_yaml().len();
    assert!(size < 120_000, "{size} bytes");
}

#[test]
fn every_quantity_has_a_pattern() {
    let mut quantities = 0;
    each(&schema(), "", &mut |schema, path| {
        if schema.get("x-kubernetes-int-or-string").is_some() {
            assert!(schema.get("pattern").is_some(), "{path}");
            quantities += 1;
        }
    });
    assert_eq!(quantities, 5);
}

#[test]
fn the_schema_is_structural() {
    let mut found = Vec::new();
    each(&schema(), "", &mut |schema, path| {
        let object = schema.as_object().expect(path);
        let kind = object.get("type").and_then(Value::as_str);
        if kind.is_none() && object.get("x-kubernetes-int-or-string") != Some(&Value::Bool(true)) {
            found.push(format!("{path} has no type"));
        }
        for key in [
            "oneOf", "anyOf", "allOf", "not", "$ref", "nullable", "const",
        ] {
            if object.contains_key(key) {
                found.push(format!("{path} has {key}"));
            }
        }
        if object.contains_key("properties") && object.contains_key("additionalProperties") {
            found.push(format!("{path} has properties and additionalProperties"));
        }
        if object.get("default").is_some_and(Value::is_null) {
            found.push(format!("{path} is null by default"));
        }
        if kind == Some("array") && !object.contains_key("items") {
            found.push(format!("{path} has no items"));
        }
        let format = object.get("format").and_then(Value::as_str);
        if format.is_some_and(|f| !["int32", "int64", "double", "duration", "cidr"].contains(&f)) {
            found.push(format!("{path} has format {format:?}"));
        }
    });
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn every_field_is_described() {
    let mut found = Vec::new();
    each(&schema(), "", &mut |schema, path| {
        let described = schema.get("description").is_some();
        if !described && !path.ends_with("[]") && path != ".metadata" {
            found.push(path.to_owned());
        }
    });
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn every_rule_finds_its_place_and_has_a_name_of_its_own() {
    let mut schema = schema();
    let mut names = std::collections::BTreeSet::new();
    for rule in rules::rules() {
        let object = rules::at(&mut schema, rule.at).expect(rule.at);
        let rules = object["x-kubernetes-validations"]
            .as_array()
            .expect("rules");
        assert!(rules.iter().any(|found| found["rule"] == rule.rule));
        assert!(names.insert(rule.name), "{} twice", rule.name);
    }
    assert!(rules::rules().count() >= 20);
}

#[test]
fn defaults_stand_with_the_fields() {
    let schema = schema();
    for (path, expected) in [
        ("upgrade/properties/mode", Value::from("Savepoint")),
        ("stateBackend/properties/type", Value::from("rocksdb")),
        ("checkpoint/properties/interval", Value::from("30s")),
        ("jobManager/properties/replicas", Value::from(2)),
        ("suspend", Value::from(false)),
    ] {
        let pointer = format!("/properties/spec/properties/{path}/default");
        assert_eq!(schema.pointer(&pointer), Some(&expected), "{path}");
    }
    let parallelism = "/properties/spec/properties/job/properties/parallelism/default";
    assert_eq!(
        schema.pointer(parallelism),
        None,
        "unset means by the slots"
    );
}

#[test]
fn what_the_definition_fills_in_is_what_the_types_fill_in() {
    fn fill(value: &mut Value, schema: &Value) {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            return;
        };
        let Some(object) = value.as_object_mut() else {
            return;
        };
        for (name, property) in properties {
            if let Some(default) = property.get("default") {
                object.entry(name).or_insert_with(|| default.clone());
            }
            if let Some(value) = object.get_mut(name) {
                fill(value, property);
            }
        }
    }
    let mut filled = json!({"job": {"program": "p"}});
    fill(&mut filled, &schema()["properties"]["spec"]);
    let read: StreamJobSpec = serde_json::from_value(filled).expect("a spec");
    let mut own: StreamJobSpec =
        serde_json::from_value(json!({"job": {"program": "p"}})).expect("a spec");
    // On Kubernetes the backend has a default, on a local run another one.
    own.state_backend.kind = Some(crate::StateBackendType::Rocksdb);
    assert_eq!(read, own);
}
