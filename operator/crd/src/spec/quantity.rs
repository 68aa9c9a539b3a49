//! Kubernetes' quantities: `500m`, `2`, `512Mi`, `1e3`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An amount of CPU, memory or disk, written as Kubernetes does: a number with an optional unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantity(String);

/// A text is no quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a number with an optional unit, as in `2`, `500m` or `512Mi`")]
pub struct QuantityError;

impl Quantity {
    pub(crate) fn gibibytes(count: u32) -> Self {
        Self(format!("{count}Gi"))
    }

    /// The text as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The amount in units (cores, bytes), rounded to a floating point number.
    pub fn value(&self) -> f64 {
        read(&self.0).unwrap_or(0.0)
    }
}

/// What [`read`] reads, for the API server: a text that it admits has a field's name in its answer.
const PATTERN: &str =
    r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,2})?$";

/// The value of a quantity, if the text is one. The grammar is that of Kubernetes'
/// `resource.Quantity`.
fn read(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let number_len = unsigned
        .bytes()
        .take_while(|b| b.is_ascii_digit() || *b == b'.')
        .count();
    let (number, unit) = text.split_at(text.len() - unsigned.len() + number_len);
    if !number.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let factor = match unit {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024_f64,
        "Mi" => 1024_f64.powi(2),
        "Gi" => 1024_f64.powi(3),
        "Ti" => 1024_f64.powi(4),
        "Pi" => 1024_f64.powi(5),
        "Ei" => 1024_f64.powi(6),
        _ => 10_f64.powi(unit.strip_prefix(['e', 'E'])?.parse::<i8>().ok()?.into()),
    };
    Some(number.parse::<f64>().ok()? * factor)
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        read(text)
            .map(|_| Self(text.to_owned()))
            .ok_or(QuantityError)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor)
    }
}

struct Visitor;

impl de::Visitor<'_> for Visitor {
    type Value = Quantity;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a quantity such as `512Mi`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
        text.parse()
            .map_err(|error| E::custom(format_args!("quantity `{text}`: {error}")))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Quantity, E> {
        Ok(Quantity(number.to_string()))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Quantity, E> {
        Ok(Quantity(number.to_string()))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Quantity, E> {
        self.visit_str(&number.to_string())
    }
}

impl JsonSchema for Quantity {
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-kubernetes-int-or-string": true, "pattern": PATTERN })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_kubernetes_values() {
        for (text, value) in [
            ("2", 2.0),
            ("500m", 0.5),
            ("0.5", 0.5),
            (".5", 0.5),
            ("512Mi", 536_870_912.0),
            ("1G", 1e9),
            ("1e3", 1e3),
            ("1E3", 1e3),
            ("1E", 1e18),
            ("-1k", -1e3),
        ] {
            assert_eq!(
                text.parse::<Quantity>().map(|q| q.value()),
                Ok(value),
                "{text}"
            );
        }
    }

    #[test]
    fn other_texts_are_no_quantities() {
        for text in [
            "", "Mi", "1 Gi", "1gb", "1.2.3", "1MiB", "one", "+", ".", "1e", "1e999",
        ] {
            assert_eq!(text.parse::<Quantity>(), Err(QuantityError), "{text}");
        }
    }

    #[test]
    fn a_number_from_the_api_server_is_a_quantity() {
        let read: Quantity = serde_json::from_str("2").expect("a number");
        assert_eq!(read.as_str(), "2");
    }
}
