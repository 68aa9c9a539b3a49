//! What holds between fields, in the language of the API server (CEL).
//!
//! A manifest that breaks one is refused at `kubectl apply`, with the message. The same rules hold
//! for whoever reads a manifest without an API server (`validate`); `tests/rules` holds an example
//! that is accepted and one that is refused for each, and compares the two sides.
//!
//! The API server estimates what a rule may cost from the bounds of the texts and lists that it
//! looks at, so these have bounds in the schema.

mod bounds;
mod job;
mod lifecycle;
mod network;
mod pods;
mod restart;
mod state;
mod whole;

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

/// All rules, by the part of the manifest that they are about.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    let parts = [
        whole::RULES,
        job::RULES,
        state::RULES,
        lifecycle::RULES,
        restart::RULES,
        network::RULES,
        pods::RULES,
    ];
    parts.into_iter().flatten()
}

/// Adds the rules, and the bounds that they need, to the schema of the whole object.
pub(super) fn add(schema: &mut Value) {
    bounds::add(schema);
    for rule in rules() {
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
