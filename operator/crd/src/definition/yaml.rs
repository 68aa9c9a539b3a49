//! Writes a JSON value as block-style YAML, the fields in the order of their names.

use serde_json::Value;

/// Appends a mapping or list at the left margin.
pub(super) fn write(text: &mut String, value: &Value) {
    block(text, value, 0, false);
}

/// `inline` says that the line has been begun, by the dash of a list.
fn block(text: &mut String, value: &Value, indent: usize, mut inline: bool) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                margin(text, indent, &mut inline);
                text.push_str(&scalar(name));
                text.push(':');
                entry(text, value, indent);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                margin(text, indent, &mut inline);
                match is_block(item) {
                    true => {
                        text.push_str("- ");
                        block(text, item, indent + 2, true);
                    }
                    false => {
                        text.push_str("- ");
                        text.push_str(&leaf(item));
                        text.push('\n');
                    }
                }
            }
        }
        other => {
            margin(text, indent, &mut inline);
            text.push_str(&leaf(other));
            text.push('\n');
        }
    }
}

fn entry(text: &mut String, value: &Value, indent: usize) {
    match value {
        value if !is_block(value) => {
            text.push(' ');
            text.push_str(&leaf(value));
            text.push('\n');
        }
        Value::Array(_) => {
            text.push('\n');
            block(text, value, indent, false);
        }
        _ => {
            text.push('\n');
            block(text, value, indent + 2, false);
        }
    }
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    }
}

fn margin(text: &mut String, indent: usize, inline: &mut bool) {
    if !std::mem::take(inline) {
        text.extend(std::iter::repeat_n(' ', indent));
    }
}

fn leaf(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        other => other.to_string(),
    }
}

/// A text without quotes where nobody could take it for anything else.
fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'));
    let word = matches!(
        text.to_ascii_lowercase().as_str(),
        "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "y" | "n"
    );
    match plain && !word {
        true => text.to_owned(),
        // JSON's quoted texts are YAML's.
        false => Value::from(text).to_string(),
    }
}
