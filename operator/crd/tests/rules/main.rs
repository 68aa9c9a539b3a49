//! Each rule of the custom resource definition has an example that is accepted and one that is
//! refused, in `testdata/examples.json`. Here, the readers of manifests must judge them in the same
//! way as the rules say; the operator's tests apply them to a real API server.

mod wrong;

use serde_json::{Map, Value, json};
use weir_crd::{RULES, StreamJob, StreamJobSpec};

const EXAMPLES: &str = include_str!("testdata/examples.json");

/// A manifest with the fields of `patch` in place of, or beside, those of the base.
fn manifest(base: &Value, patch: &Value) -> Value {
    let mut whole = base.clone();
    merge(&mut whole, patch);
    whole
}

/// JSON merge patch (RFC 7396).
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let target = target.as_object_mut().expect("it is an object now");
    for (name, value) in fields {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name).or_insert(Value::Null), value);
        }
    }
}

fn read(manifest: Value) -> StreamJob {
    serde_json::from_value(manifest).expect("types that fit the schema")
}

#[test]
fn every_rule_has_examples_and_readers_judge_them_in_the_same_way() {
    let examples: Value = serde_json::from_str(EXAMPLES).expect("JSON");
    let base = &examples["base"];
    assert_eq!(read(base.clone()).validate_on_kubernetes(None), []);
    let rules = examples["rules"].as_object().expect("a mapping");
    let mut named: Vec<_> = RULES.iter().map(|rule| rule.name).collect();
    named.sort_unstable();
    let mut found: Vec<_> = rules.keys().map(String::as_str).collect();
    found.sort_unstable();
    assert_eq!(named, found, "rules and examples");
    for rule in RULES {
        let example = &rules[rule.name];
        let before: Option<StreamJobSpec> = example
            .get("before")
            .map(|patch| read(manifest(base, patch)).spec);
        assert_eq!(rule.is_transition(), before.is_some(), "{}", rule.name);
        let judged = |which: &str| {
            read(manifest(base, &example[which])).validate_on_kubernetes(before.as_ref())
        };
        let accepted = judged("accepted");
        assert_eq!(accepted, [], "{} accepted", rule.name);
        let rejected = judged("rejected");
        assert_eq!(rejected.len(), 1, "{} rejected: {rejected:?}", rule.name);
    }
}

#[test]
fn examples_are_merged_over_the_base() {
    let merged = manifest(
        &json!({"a": {"b": 1, "c": 2}}),
        &json!({"a": {"b": null, "d": [1]}}),
    );
    assert_eq!(merged, json!({"a": {"c": 2, "d": [1]}}));
}
