//! Words for what is wrong with a value, and for what to write instead.

use super::error::{Advice, ManifestErrorKind as Kind};
use super::path::Path;
use super::scalar::{self, Meaning, meaning};
use super::shape::{Field, Fields, MANIFEST, Shape};
use super::show::quoted;
use super::suggest::{nearest, same_name};
use super::tree::{Key, Located, Mark, Node, Value};

/// So many places at most are named for a field that belongs elsewhere; a name that is found in
/// more of them says nothing.
const PLACES_SHOWN_MAX: usize = 3;

/// The word that was probably meant, where there is a choice.
pub(super) fn nearest_word(text: &str, words: &[String]) -> Option<String> {
    let choices = words.iter().map(String::as_str).filter(|_| words.len() > 1);
    nearest(text, choices).map(|(word, _)| word.to_owned())
}

/// What to change about a scalar of the wrong type, if that is clear.
pub(super) fn hint(text: &str, shape: &Shape, meaning: Meaning) -> Option<String> {
    match (shape, meaning) {
        (Shape::Text { .. }, _) => Some(format!(
            "put it in quotes, \"{}\"",
            quoted(text).trim_matches('`')
        )),
        (Shape::Integer { .. } | Shape::Number { .. }, Meaning::Integer)
        | (Shape::Number { .. }, Meaning::Float)
        | (Shape::Bool, Meaning::Bool(_)) => Some("remove the quotes".to_owned()),
        (Shape::Bool, _) => scalar::old_bool(text).map(|value| format!("write `{value}`")),
        _ => None,
    }
}

pub(super) fn expected(shape: &Shape) -> &'static str {
    match shape {
        Shape::Object(_) | Shape::Map(_) | Shape::Preserved => "a mapping",
        Shape::List(_) => "a list",
        Shape::Text { .. } => "text",
        Shape::Word(_) => "one word",
        Shape::Duration => "a duration",
        Shape::Quantity => "a quantity",
        Shape::Integer { .. } => "a whole number",
        Shape::Number { .. } => "a number",
        Shape::Bool => "`true` or `false`",
    }
}

fn found(node: &Node) -> String {
    match &*node.value {
        Value::List(_) => "a list".to_owned(),
        Value::Mapping(_) => "a mapping".to_owned(),
        Value::Scalar(scalar) => {
            let shown = quoted(&scalar.text);
            match meaning(&scalar.text) {
                _ if !scalar.plain => format!("the text {shown}"),
                Meaning::Null => "nothing".to_owned(),
                Meaning::Bool(_) => shown,
                Meaning::Integer | Meaning::Float => format!("the number {shown}"),
                Meaning::Text => format!("the text {shown}"),
            }
        }
    }
}

pub(super) fn unknown_field(key: &Key, fields: &Fields, path: &Path<'_>) -> Located {
    let near = nearest(&key.text, fields.known.keys().map(String::as_str));
    let mut elsewhere = Vec::new();
    places_of(&key.text, &MANIFEST, "", &mut elsewhere);
    let advice = match near {
        Some((field, 0 | 1)) => Advice::DidYouMean(field.to_owned()),
        _ if (1..=PLACES_SHOWN_MAX).contains(&elsewhere.len()) => Advice::BelongsIn(elsewhere),
        Some((field, _)) => Advice::DidYouMean(field.to_owned()),
        None => Advice::FieldsAre(fields.known.keys().cloned().collect()),
    };
    let (field, path) = (key.text.clone(), path.render());
    Located::new(
        key.mark,
        Kind::UnknownField {
            field,
            path,
            advice,
        },
    )
}

/// The paths of the mappings that have a field of this name.
fn places_of(name: &str, fields: &Fields, path: &str, found: &mut Vec<String>) {
    if fields.known.keys().any(|known| same_name(known, name)) {
        found.push(path.to_owned());
    }
    for (field, Field { shape, .. }) in &fields.known {
        if let Shape::Object(fields) = shape {
            let dot = if path.is_empty() { "" } else { "." };
            places_of(name, fields, &format!("{path}{dot}{field}"), found);
        }
    }
}

pub(super) fn missing(field: &str, path: &Path<'_>, mark: Mark) -> Located {
    Located::new(
        mark,
        Kind::MissingField {
            field: field.to_owned(),
            path: path.render(),
        },
    )
}

pub(super) fn wrong_type(
    node: &Node,
    path: &Path<'_>,
    expected: &'static str,
    hint: Option<String>,
) -> Located {
    let kind = Kind::WrongType {
        path: path.render(),
        expected,
        found: found(node),
        hint,
    };
    Located::new(node.mark, kind)
}

pub(super) fn out_of_range(
    path: &Path<'_>,
    value: &str,
    min: impl ToString,
    max: impl ToString,
) -> Kind {
    let value = quoted(value).trim_matches('`').to_owned();
    Kind::OutOfRange {
        path: path.render(),
        value,
        min: min.to_string(),
        max: max.to_string(),
    }
}

pub(super) fn malformed(
    path: &Path<'_>,
    value: &str,
    expected: &'static str,
    reason: &impl ToString,
) -> Kind {
    let (path, value, reason) = (path.render(), value.to_owned(), reason.to_string());
    Kind::Malformed {
        path,
        value,
        expected,
        reason,
    }
}
