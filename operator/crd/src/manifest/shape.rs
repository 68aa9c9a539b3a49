//! What a manifest may look like: the types' own schema, in a form that is easy to walk.
//!
//! The schema that schemars derives is the single source: a field that is added to a type is known
//! here, with its range and its words, without a line of code.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::Value as Json;

use crate::StreamJob;

/// Standard metadata of Kubernetes objects that a file may hold (`kubectl get -o yaml` writes it)
/// and that means nothing here.
const IGNORED_METADATA: &[&str] = &[
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// What a value may look like.
#[derive(Debug)]
pub(super) enum Shape {
    /// A mapping with these fields and no others.
    Object(Fields),
    /// A mapping with any fields.
    Map(Box<Shape>),
    /// A list.
    List(Box<Shape>),
    /// A text.
    Text { min_chars: u64 },
    /// One of these words.
    Word(Vec<String>),
    /// A duration.
    Duration,
    /// A Kubernetes quantity.
    Quantity,
    /// A whole number.
    Integer { min: i64, max: i64 },
    /// A number.
    Number { min: f64, max: f64 },
    /// `true` or `false`.
    Bool,
    /// A mapping that is kept as it is.
    Preserved,
}

#[derive(Debug)]
pub(super) struct Fields {
    pub(super) known: BTreeMap<String, Field>,
    /// Fields that a file may hold and that are dropped.
    pub(super) ignored: &'static [&'static str],
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) shape: Shape,
    pub(super) required: bool,
}

/// What a whole manifest may look like.
pub(super) static MANIFEST: LazyLock<Fields> = LazyLock::new(|| {
    manifest().expect("the types' schema has only constructs that are read here; a test reads it")
});

fn manifest() -> Option<Fields> {
    let settings = SchemaSettings::openapi3().with(|settings| settings.inline_subschemas = true);
    let schema = settings
        .into_generator()
        .into_root_schema_for::<StreamJob>();
    let Shape::Object(mut fields) = shape_of(schema.as_value())? else {
        return None;
    };
    fields.ignored = &["status"];
    let metadata = fields.known.get_mut("metadata")?;
    let Shape::Object(metadata) = &mut metadata.shape else {
        return None;
    };
    metadata.ignored = IGNORED_METADATA;
    Some(fields)
}

fn shape_of(schema: &Json) -> Option<Shape> {
    let is_set = |key: &str| schema.get(key).and_then(Json::as_bool) == Some(true);
    if is_set("x-kubernetes-preserve-unknown-fields") {
        return Some(Shape::Preserved);
    }
    if is_set("x-kubernetes-int-or-string") {
        return Some(Shape::Quantity);
    }
    if let Some(words) = words_of(schema) {
        return Some(Shape::Word(words));
    }
    if let Some(choices) = schema.get("anyOf").and_then(Json::as_array) {
        // `Option` of a type: the type or null, and null is "not given" everywhere.
        let mut others = choices.iter().filter(|choice| !is_null_schema(choice));
        let only = others.next()?;
        return if others.next().is_none() {
            shape_of(only)
        } else {
            None
        };
    }
    match schema.get("type")?.as_str()? {
        "object" => object_of(schema),
        "array" => Some(Shape::List(Box::new(shape_of(schema.get("items")?)?))),
        "string" if schema.get("format").and_then(Json::as_str) == Some("duration") => {
            Some(Shape::Duration)
        }
        "string" => {
            let min_chars = schema.get("minLength").and_then(Json::as_u64).unwrap_or(0);
            Some(Shape::Text { min_chars })
        }
        "integer" => {
            let bound = |key: &str| schema.get(key).and_then(Json::as_i64);
            let format_max = match schema.get("format").and_then(Json::as_str) {
                Some("uint16") => i64::from(u16::MAX),
                Some("uint32") => i64::from(u32::MAX),
                _ => i64::MAX,
            };
            Some(Shape::Integer {
                min: bound("minimum").unwrap_or(i64::MIN),
                max: bound("maximum").unwrap_or(format_max),
            })
        }
        "number" => {
            let bound = |key: &str| schema.get(key).and_then(Json::as_f64);
            Some(Shape::Number {
                min: bound("minimum").unwrap_or(f64::MIN),
                max: bound("maximum").unwrap_or(f64::MAX),
            })
        }
        "boolean" => Some(Shape::Bool),
        _ => None,
    }
}

fn object_of(schema: &Json) -> Option<Shape> {
    if let Some(values) = schema
        .get("additionalProperties")
        .filter(|values| values.is_object())
    {
        return Some(Shape::Map(Box::new(shape_of(values)?)));
    }
    let required = schema.get("required").and_then(Json::as_array);
    let is_required =
        |name: &str| required.is_some_and(|names| names.iter().any(|required| required == name));
    let mut known = BTreeMap::new();
    for (name, property) in schema
        .get("properties")
        .and_then(Json::as_object)
        .into_iter()
        .flatten()
    {
        let field = Field {
            shape: shape_of(property)?,
            required: is_required(name),
        };
        known.insert(name.clone(), field);
    }
    Some(Shape::Object(Fields {
        known,
        ignored: &[],
    }))
}

/// The words of an enumeration. One whose variants are documented has a schema for each of them.
fn words_of(schema: &Json) -> Option<Vec<String>> {
    if let Some(word) = schema.get("const").and_then(Json::as_str) {
        return Some(vec![word.to_owned()]);
    }
    if let Some(words) = schema.get("enum").and_then(Json::as_array) {
        let texts = words.iter().filter(|word| !word.is_null());
        return texts.map(|word| word.as_str().map(str::to_owned)).collect();
    }
    let variants = schema.get("oneOf").and_then(Json::as_array)?;
    let words: Option<Vec<_>> = variants.iter().map(words_of).collect();
    Some(words?.concat())
}

fn is_null_schema(schema: &Json) -> bool {
    let only_null = |values: &Json| {
        values
            .as_array()
            .is_some_and(|v| v.iter().all(Json::is_null))
    };
    schema.get("type").and_then(Json::as_str) == Some("null")
        || schema.get("const").is_some_and(Json::is_null)
        || schema.get("enum").is_some_and(only_null)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paths of all fields under `fields`, with their shapes.
    fn fields_under<'a>(fields: &'a Fields, prefix: &str, found: &mut Vec<(String, &'a Shape)>) {
        for (name, field) in &fields.known {
            let path = format!("{prefix}{name}");
            let inner = match &field.shape {
                Shape::List(item) => item,
                shape => shape,
            };
            if let Shape::Object(fields) = inner {
                fields_under(fields, &format!("{path}."), found);
            }
            found.push((path, &field.shape));
        }
    }

    #[test]
    fn the_whole_schema_is_understood() {
        let fields = manifest().expect("a construct that is not read");
        let mut found = Vec::new();
        fields_under(&fields, "", &mut found);
        let shape = |path: &str| {
            let (_, shape) = found.iter().find(|(found, _)| found == path).expect(path);
            format!("{shape:?}")
        };
        assert!(found.len() > 120, "{}", found.len());
        for (path, expected) in [
            ("spec.job.parallelism", "Integer { min: 1, max: 32768 }"),
            (
                "spec.restartNonce",
                "Integer { min: -9223372036854775808, max: 9223372036854775807 }",
            ),
            ("spec.job.program", "Text { min_chars: 1 }"),
            ("spec.job.args", "Map(Text { min_chars: 0 })"),
            ("spec.checkpoint.interval", "Duration"),
            ("spec.upgrade.maxCheckpointAge", "Duration"),
            ("spec.stateBackend.type", r#"Word(["heap", "rocksdb"])"#),
            ("spec.stateBackend.localSize", "Quantity"),
            ("spec.podTemplate", "Preserved"),
            (
                "spec.restartStrategy.jitter",
                "Number { min: 0.0, max: 1.0 }",
            ),
            (
                "spec.storage.s3.credentials.workloadIdentity",
                "Object(Fields { known: {}, ignored: [] })",
            ),
            ("kind", r#"Word(["StreamJob"])"#),
        ] {
            assert_eq!(shape(path), expected, "{path}");
        }
    }

    #[test]
    fn every_field_is_described() {
        fn undescribed(schema: &Json, path: &str, found: &mut Vec<String>) {
            for (name, property) in schema
                .get("properties")
                .and_then(Json::as_object)
                .into_iter()
                .flatten()
            {
                let path = format!("{path}.{name}");
                if property.get("description").is_none() {
                    found.push(path.clone());
                }
                undescribed(property, &path, found);
                undescribed(property.get("items").unwrap_or(&Json::Null), &path, found);
            }
        }
        let settings = SchemaSettings::openapi3().with(|s| s.inline_subschemas = true);
        let schema = settings
            .into_generator()
            .into_root_schema_for::<StreamJob>();
        let mut found = Vec::new();
        undescribed(schema.as_value(), "", &mut found);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn optional_fields_of_plain_types_have_their_default_in_the_schema() {
        let settings = SchemaSettings::openapi3().with(|s| s.inline_subschemas = true);
        let schema = settings
            .into_generator()
            .into_root_schema_for::<StreamJob>();
        let default = |pointer: &str| {
            let pointer = format!("/properties/spec/properties/{pointer}/default");
            schema.as_value().pointer(&pointer).cloned()
        };
        for (pointer, expected) in [
            ("upgrade/properties/mode", Some(Json::from("Savepoint"))),
            (
                "upgrade/properties/savepointTimeout",
                Some(Json::from("10m")),
            ),
            ("checkpoint/properties/interval", Some(Json::from("30s"))),
            ("checkpoint/properties/incremental", Some(Json::from(true))),
            ("stateBackend/properties/type", Some(Json::from("rocksdb"))),
            ("ha/properties/retryPeriod", Some(Json::from("500ms"))),
            ("job/properties/maxParallelism", None),
            ("job/properties/parallelism", None),
            ("image", None),
        ] {
            assert_eq!(default(pointer), expected, "{pointer}");
        }
    }
}
