//! From the schema that schemars derives to a structural schema, as the API server wants it.

use serde_json::{Map, Value, json};

/// A text that a rule looks at must have a bound, or the rule counts as too expensive.
const DURATION_CHARS_MAX: u64 = 32;

/// Durations are at most this; the types refuse longer ones.
const DURATION_MAX_RULE: &str = "self <= duration('87600h')";

/// Makes a schema structural, in place.
pub(super) fn make(schema: &mut Value) {
    flatten(schema);
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    object.remove("nullable");
    tidy_default(object);
    tidy_format(object);
    if let Some(Value::Object(properties)) = object.get_mut("properties") {
        properties.values_mut().for_each(make);
        if properties.is_empty() {
            object.remove("properties");
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = object.get_mut(key).filter(|inner| inner.is_object()) {
            make(inner);
        }
    }
}

/// Puts an enumeration, or an optional type, in one schema: a structural one says its type once.
fn flatten(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    if let Some(Value::Array(variants)) = object.remove("oneOf") {
        // Each word of a documented enumeration has a schema of its own.
        let words: Vec<Value> = variants.iter().flat_map(words_of).collect();
        let mut description = text(object, "description");
        for variant in variants.iter().filter_map(Value::as_object) {
            for word in words_of(&Value::Object(variant.clone())) {
                let word = word.as_str().unwrap_or_default().to_owned();
                let meaning = text(variant, "description");
                if !meaning.is_empty() {
                    description.push_str(&format!(" `{word}`: {}", first_lower(&meaning)));
                }
            }
        }
        object.insert("type".to_owned(), json!("string"));
        object.insert("enum".to_owned(), Value::Array(words));
        object.insert("description".to_owned(), json!(description));
    }
    if let Some(Value::Array(choices)) = object.remove("anyOf") {
        // An optional type is the type or null, and null is "not given".
        let only = choices.into_iter().find(|choice| {
            choice.get("type").is_some_and(|kind| kind != "null") || choice.get("oneOf").is_some()
        });
        if let Some(Value::Object(only)) = only {
            for (key, value) in only {
                object.entry(key).or_insert(value);
            }
        }
        flatten(schema);
        return;
    }
    if let Some(Value::Array(words)) = object.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
}

fn words_of(variant: &Value) -> Vec<Value> {
    match (variant.get("const"), variant.get("enum")) {
        (Some(word), _) => vec![word.clone()],
        (None, Some(Value::Array(words))) => words.clone(),
        _ => Vec::new(),
    }
}

fn text(object: &Map<String, Value>, key: &str) -> String {
    let text = object.get(key).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

fn first_lower(text: &str) -> String {
    // "S3 …" and the like stay as they are.
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(first), Some(second)) if second.is_lowercase() || second == ' ' => {
            format!("{}{}", first.to_lowercase(), &text[first.len_utf8()..])
        }
        _ => text.to_owned(),
    }
}

/// "Not given" is no default. (An object's own default has all its fields, although they have
/// defaults themselves: the API server checks it against the rules as it stands.)
fn tidy_default(object: &mut Map<String, Value>) {
    if object.get("default").is_some_and(Value::is_null) {
        object.remove("default");
    }
}

/// The API server warns of formats that it does not know.
fn tidy_format(object: &mut Map<String, Value>) {
    let format = text(object, "format");
    match format.as_str() {
        "uint16" | "uint32" | "uint64" => {
            object.entry("minimum").or_insert_with(|| json!(0));
            if format == "uint32" {
                object.entry("maximum").or_insert_with(|| json!(u32::MAX));
            }
            object.insert("format".to_owned(), json!("int64"));
        }
        "duration" => {
            object.insert("maxLength".to_owned(), json!(DURATION_CHARS_MAX));
            object.insert(
                "x-kubernetes-validations".to_owned(),
                json!([{ "rule": DURATION_MAX_RULE, "message": "at most 87600h (10 years)" }]),
            );
        }
        _ => {}
    }
    // Kubernetes reads numbers with a fraction only as such; an integral bound is the same number.
}

/// Lists whose entries are told apart by a name, so that two managers can each own theirs.
const LIST_MAPS: [(&str, &str); 3] = [
    ("/properties/job/properties/env", "name"),
    ("/properties/imagePullSecrets", "name"),
    ("/properties/conditions", "type"),
];

/// Marks those lists in a schema.
pub(super) fn make_list_maps(schema: &mut Value) {
    for (pointer, key) in LIST_MAPS {
        if let Some(Value::Object(list)) = schema.pointer_mut(pointer) {
            list.insert("x-kubernetes-list-type".to_owned(), json!("map"));
            list.insert("x-kubernetes-list-map-keys".to_owned(), json!([key]));
            list.insert("maxItems".to_owned(), json!(256));
        }
    }
}
