//! Each rule of the custom resource definition has an example that is accepted and one that is
//! refused, in `testdata/examples.json`. Here, the readers of manifests must judge them in the same
//! way as the rules say; the operator's tests apply them to a real API server.

mod wrong;

use serde_json::{Map, Value, json};
use weir_crd::{StreamJob, StreamJobSpec};

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
    let mut named: Vec<_> = weir_crd::rules().map(|rule| rule.name).collect();
    named.sort_unstable();
    let mut found: Vec<_> = rules.keys().map(String::as_str).collect();
    found.sort_unstable();
    assert_eq!(named, found, "rules and examples");
    for rule in weir_crd::rules() {
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
fn storage_that_goes_or_moves_takes_a_word_of_what_becomes_of_the_state() {
    let examples: Value = serde_json::from_str(EXAMPLES).expect("JSON");
    let base = &examples["base"];
    let spec = |storage: &Value, more: &Value| {
        let patch = json!({"spec": {"storage": storage, "checkpoint": {"interval": "0s"}}});
        let patch = manifest(&patch, &json!({ "spec": more }));
        read(manifest(base, &patch))
    };
    let s3 = |prefix: Value| json!({"s3": {"prefix": prefix}});
    let local = |path: &str| json!({"s3": null, "local": {"path": path}});
    let (none, bucket) = (Value::Null, s3(Value::Null));
    let (a, b) = (local("/a"), local("/b"));
    // Whether it needs a word, and whether that may be `confirmStateLoss`.
    for (before, now, needs, may_confirm) in [
        (&bucket, &bucket, false, true),
        (&bucket, &s3(json!("")), false, true),
        (&none, &none, false, true),
        (&none, &bucket, false, true),
        (&none, &a, false, true),
        (&a, &a, false, true),
        (&bucket, &none, true, true),
        (&a, &none, true, true),
        (&bucket, &s3(json!("b")), true, false),
        (&bucket, &a, true, false),
        (&a, &bucket, true, false),
        (&a, &b, true, false),
    ] {
        let before = spec(before, &json!({})).spec;
        let broken = |more: &Value| -> Vec<String> {
            let judged = spec(now, more).validate_on_kubernetes(Some(&before));
            judged.into_iter().map(|found| found.path).collect()
        };
        let from = &before.storage;
        let paths = |broken: bool| {
            if broken {
                vec!["spec.storage"]
            } else {
                Vec::new()
            }
        };
        assert_eq!(broken(&json!({})), paths(needs), "{from:?} to {now}");
        let confirmed = json!({"upgrade": {"confirmStateLoss": true}});
        assert_eq!(broken(&confirmed), paths(!may_confirm), "{from:?} to {now}");
        let restored = json!({"restore": {"from": "None", "nonce": 1}});
        assert_eq!(broken(&restored), paths(false), "{from:?} to {now}");
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
