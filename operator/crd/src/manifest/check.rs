//! Compares a tree with the shape of a manifest, and leaves the JSON that serde builds the types
//! from: known fields only, each of the right type.
//!
//! Values are visited in the order of the file, so that the first mistake is the one reported.
//! `field:` without a value means "not given", as the API server takes it.

use std::collections::HashMap;

use serde_json::{Map, Number, Value as Json};

use super::describe::{
    expected, hint, malformed, missing, nearest_word, out_of_range, unknown_field, wrong_type,
};
use super::error::ManifestErrorKind as Kind;
use super::path::Path;
use super::scalar::{self, Meaning, meaning};
use super::shape::{Field, Fields, MANIFEST, Shape};
use super::tree::{Key, Located, Mark, Node, Scalar, Value};
use crate::spec::{ManifestDuration, Quantity};

type Checked<T = Json> = Result<T, Located>;

/// Checks a whole manifest.
pub(super) fn check_manifest(root: &Node) -> Checked {
    let Value::Mapping(entries) = &*root.value else {
        return Err(wrong_type(root, &Path::Root, "a mapping of fields", None));
    };
    // A file of another kind would else be blamed for its fields.
    for name in ["apiVersion", "kind"] {
        let given = entries.iter().find(|(key, _)| key.text == name);
        if let (Some((_, node)), Some(field)) = (given, MANIFEST.known.get(name))
            && !node.is_null()
        {
            check(
                node,
                &field.shape,
                &Path::Field(&Path::Root, name),
                node.mark,
            )?;
        }
    }
    let mark = entries.first().map_or(root.mark, |(key, _)| key.mark);
    object(entries, &MANIFEST, &Path::Root, mark)
}

/// Checks one value. `owner` is where the value is introduced: its key's place.
fn check(node: &Node, shape: &Shape, path: &Path<'_>, owner: Mark) -> Checked {
    match (shape, &*node.value) {
        (Shape::Object(fields), Value::Mapping(entries)) => object(entries, fields, path, owner),
        (Shape::Map(values), Value::Mapping(entries)) => map(entries, values, path),
        (Shape::Preserved, Value::Mapping(_)) => preserved(node, path),
        (Shape::Object(_) | Shape::Map(_) | Shape::Preserved, _) => {
            Err(wrong_type(node, path, "a mapping", None))
        }
        (Shape::List(items), Value::List(nodes)) => list(nodes, items, path),
        (Shape::List(_), _) => Err(wrong_type(node, path, "a list", None)),
        (shape, Value::Scalar(scalar)) if !node.is_null() => leaf(node, scalar, shape, path),
        (shape, _) => Err(wrong_type(node, path, expected(shape), None)),
    }
}

fn object(entries: &[(Key, Node)], fields: &Fields, path: &Path<'_>, owner: Mark) -> Checked {
    let mut seen = Seen::default();
    let mut json = Map::new();
    for (key, node) in entries {
        seen.refuse_again(key, path)?;
        let path_here = Path::Field(path, &key.text);
        if fields.ignored.contains(&key.text.as_str()) {
            preserved(node, &path_here)?;
            continue;
        }
        let Some(Field { shape, required }) = fields.known.get(&key.text) else {
            return Err(unknown_field(key, fields, path));
        };
        if !node.is_null() {
            json.insert(key.text.clone(), check(node, shape, &path_here, key.mark)?);
        } else if *required {
            return Err(missing(&key.text, path, key.mark));
        }
    }
    let absent = |(name, field): &(&String, &Field)| field.required && !json.contains_key(*name);
    match fields.known.iter().find(absent) {
        Some((name, _)) => Err(missing(name, path, owner)),
        None => Ok(Json::Object(json)),
    }
}

/// A mapping with free keys. Where its values are texts, numbers and the like are taken as they
/// are written: whoever writes `limit: 100` under `args` means a text, and there is no other type
/// that it could mean.
fn map(entries: &[(Key, Node)], values: &Shape, path: &Path<'_>) -> Checked {
    let mut seen = Seen::default();
    let mut json = Map::new();
    for (key, node) in entries {
        seen.refuse_again(key, path)?;
        let path_here = Path::Field(path, &key.text);
        let value = match (values, &*node.value) {
            (Shape::Text { .. }, Value::Scalar(scalar)) if !node.is_null() => {
                Json::String(scalar.text.clone())
            }
            (Shape::Text { .. }, Value::Scalar(_)) => {
                let hint = "write `\"\"` for an empty text".to_owned();
                return Err(wrong_type(node, &path_here, "text", Some(hint)));
            }
            _ => check(node, values, &path_here, key.mark)?,
        };
        json.insert(key.text.clone(), value);
    }
    Ok(Json::Object(json))
}

fn list(nodes: &[Node], items: &Shape, path: &Path<'_>) -> Checked {
    let checked = nodes
        .iter()
        .enumerate()
        .map(|(index, node)| check(node, items, &Path::Item(path, index), node.mark));
    Ok(Json::Array(checked.collect::<Checked<_>>()?))
}

/// A value that is kept as it is; only fields given twice are refused.
fn preserved(node: &Node, path: &Path<'_>) -> Checked {
    match &*node.value {
        Value::Scalar(scalar) => Ok(untyped(scalar)),
        Value::List(nodes) => {
            let kept = nodes
                .iter()
                .enumerate()
                .map(|(index, node)| preserved(node, &Path::Item(path, index)));
            Ok(Json::Array(kept.collect::<Checked<_>>()?))
        }
        Value::Mapping(entries) => {
            let mut seen = Seen::default();
            let mut json = Map::new();
            for (key, node) in entries {
                seen.refuse_again(key, path)?;
                json.insert(
                    key.text.clone(),
                    preserved(node, &Path::Field(path, &key.text))?,
                );
            }
            Ok(Json::Object(json))
        }
    }
}

/// What a scalar means where no type is known. A number that JSON can't hold stays a text.
fn untyped(scalar: &Scalar) -> Json {
    let text = || Json::String(scalar.text.clone());
    if !scalar.plain {
        return text();
    }
    match meaning(&scalar.text) {
        Meaning::Null => Json::Null,
        Meaning::Bool(value) => Json::Bool(value),
        Meaning::Integer => scalar::integer(&scalar.text).map_or_else(text, Json::from),
        Meaning::Float => float(&scalar.text).map_or_else(text, Json::Number),
        Meaning::Text => text(),
    }
}

fn float(text: &str) -> Option<Number> {
    Number::from_f64(text.parse().ok()?)
}

/// A scalar that is not null.
fn leaf(node: &Node, scalar: &Scalar, shape: &Shape, path: &Path<'_>) -> Checked {
    let text = scalar.text.as_str();
    let refused = |kind| Err(Located::new(node.mark, kind));
    // What the text would mean without quotes; `typed` is whether it has none.
    let (meaning, typed) = (meaning(text), scalar.plain);
    match (shape, meaning) {
        (Shape::Text { min_chars }, _) if !typed || meaning == Meaning::Text => {
            if u64::try_from(text.chars().count()).is_ok_and(|chars| chars < *min_chars) {
                return refused(Kind::EmptyText {
                    path: path.render(),
                });
            }
            Ok(Json::from(text))
        }
        (Shape::Word(words), _) if words.iter().any(|word| word == text) => Ok(Json::from(text)),
        (Shape::Word(words), _) => refused(Kind::WrongWord {
            path: path.render(),
            value: text.to_owned(),
            allowed: words.clone(),
            nearest: nearest_word(text, words),
        }),
        (Shape::Duration, _) => match text.parse::<ManifestDuration>() {
            Ok(_) => Ok(Json::from(text)),
            Err(error) => refused(malformed(path, text, "a duration", &error)),
        },
        (Shape::Quantity, _) => match text.parse::<Quantity>() {
            Ok(_) => Ok(Json::from(text)),
            Err(error) => refused(malformed(path, text, "a quantity", &error)),
        },
        (Shape::Integer { min, max }, Meaning::Integer) if typed => {
            match scalar::integer(text).filter(|value| (min..=max).contains(&value)) {
                Some(value) => Ok(Json::from(value)),
                None => refused(out_of_range(path, text, min, max)),
            }
        }
        (Shape::Number { min, max }, Meaning::Integer | Meaning::Float) if typed => {
            let in_range = |value: &f64| (*min..=*max).contains(value);
            match text
                .parse()
                .ok()
                .filter(in_range)
                .and_then(Number::from_f64)
            {
                Some(value) => Ok(Json::Number(value)),
                None => refused(out_of_range(path, text, min, max)),
            }
        }
        (Shape::Bool, Meaning::Bool(value)) if typed => Ok(Json::Bool(value)),
        _ => Err(wrong_type(
            node,
            path,
            expected(shape),
            hint(text, shape, meaning),
        )),
    }
}

/// The keys of one mapping so far, with their lines.
#[derive(Default)]
struct Seen<'a>(HashMap<&'a str, u32>);

impl<'a> Seen<'a> {
    fn refuse_again(&mut self, key: &'a Key, path: &Path<'_>) -> Checked<()> {
        match self.0.insert(&key.text, key.mark.line) {
            None => Ok(()),
            Some(first_line) => {
                let (field, path) = (key.text.clone(), path.render());
                Err(Located::new(
                    key.mark,
                    Kind::DuplicateField {
                        field,
                        path,
                        first_line,
                    },
                ))
            }
        }
    }
}
