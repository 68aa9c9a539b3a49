//! What an unquoted scalar means: YAML 1.2's core schema.

/// The meaning of an unquoted scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Null,
    Bool(bool),
    Integer,
    Float,
    Text,
}

pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

pub(super) fn meaning(text: &str) -> Meaning {
    match text {
        _ if is_null(text) => Meaning::Null,
        "true" | "True" | "TRUE" => Meaning::Bool(true),
        "false" | "False" | "FALSE" => Meaning::Bool(false),
        _ if is_integer(text) => Meaning::Integer,
        _ if is_float(text) => Meaning::Float,
        _ => Meaning::Text,
    }
}

fn is_integer(text: &str) -> bool {
    let digits = |text: &str, radix| !text.is_empty() && text.chars().all(|c| c.is_digit(radix));
    digits(text.strip_prefix(['+', '-']).unwrap_or(text), 10)
        || text.strip_prefix("0x").is_some_and(|text| digits(text, 16))
        || text.strip_prefix("0o").is_some_and(|text| digits(text, 8))
}

fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && !unsigned.contains(|c: char| c.is_ascii_alphabetic() && !matches!(c, 'e' | 'E'))
        && unsigned.parse::<f64>().is_ok()
}

/// The value of a text that means an integer, if it fits.
pub(super) fn integer(text: &str) -> Option<i64> {
    if let Some(hex) = text.strip_prefix("0x") {
        i64::from_str_radix(hex, 16).ok()
    } else if let Some(octal) = text.strip_prefix("0o") {
        i64::from_str_radix(octal, 8).ok()
    } else {
        text.parse().ok()
    }
}

/// The word for `true` or `false` that older YAML knows and this one doesn't.
pub(super) fn old_bool(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "on" | "y" => Some(true),
        "no" | "off" | "n" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unquoted_scalars_mean_what_the_core_schema_says() {
        for (expected, texts) in [
            (Meaning::Null, &["", "~", "null", "NULL"][..]),
            (Meaning::Bool(true), &["true", "True"]),
            (Meaning::Bool(false), &["false", "FALSE"]),
            (Meaning::Integer, &["0", "-12", "+7", "007", "0x1F", "0o17"]),
            (
                Meaning::Float,
                &["1.5", "1.", ".5", "1e3", "-2.5E-3", ".inf", "-.Inf", ".nan"],
            ),
            (
                Meaning::Text,
                &[
                    "yes", "nUll", "1_000", "0x", "1.2.3", ".", "e3", "inf", "nan", "-",
                ],
            ),
        ] {
            for text in texts {
                assert_eq!(meaning(text), expected, "{text}");
            }
        }
    }
}
