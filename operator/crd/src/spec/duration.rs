//! Durations as people write them: `30s`, `10m`, `500ms`, `1h30m`.
//!
//! The grammar is the part of Go's that needs no fractions, because the API server checks
//! durations with Go's parser: what is accepted here must be accepted there.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The longest duration a manifest can hold: ten years, far from any overflow in arithmetic on
/// clocks.
const LONGEST: Duration = Duration::from_hours(87_600);

/// A duration, as text in a manifest: whole numbers with the units `h`, `m`, `s` and `ms`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ManifestDuration(Duration);

impl ManifestDuration {
    /// So many milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// So many seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// So many minutes.
    pub const fn from_mins(mins: u64) -> Self {
        Self(Duration::from_mins(mins))
    }

    /// The duration.
    pub const fn get(self) -> Duration {
        self.0
    }

    /// Whether it is `0s`.
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl From<ManifestDuration> for Duration {
    fn from(duration: ManifestDuration) -> Self {
        duration.0
    }
}

impl fmt::Display for ManifestDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (secs, millis) = (self.0.as_secs(), self.0.subsec_millis());
        if secs == 0 && millis == 0 {
            return f.write_str("0s");
        }
        for (count, unit) in [
            (secs / 3600, "h"),
            (secs / 60 % 60, "m"),
            (secs % 60, "s"),
            (u64::from(millis), "ms"),
        ] {
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Nothing that looks like a duration.
    #[error("write it as in `30s`, `10m` or `500ms`")]
    NotADuration,
    /// A number without a unit.
    #[error("add a unit: `{0}s`, `{0}m` or `{0}ms`")]
    NoUnit(u64),
    /// A fraction.
    #[error("use whole numbers, as in `1h30m`")]
    Fraction,
    /// Days or weeks, which Go doesn't know.
    #[error("`{unit}` is not a unit: write `{hours}h`")]
    LongUnit {
        /// The unit.
        unit: char,
        /// The same in hours.
        hours: u64,
    },
    /// A unit that nobody knows.
    #[error("`{0}` is not a unit: use `h`, `m`, `s` or `ms`")]
    UnknownUnit(String),
    /// Longer than ten years.
    #[error("at most 87600h (10 years)")]
    TooLong,
}

impl FromStr for ManifestDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let mut rest = text;
        let mut total = Duration::ZERO;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, after) = rest.split_at(digits);
            if digits == 0 {
                return Err(DurationError::NotADuration);
            }
            let number: u64 = number.parse().map_err(|_| DurationError::TooLong)?;
            if after.starts_with('.') {
                return Err(DurationError::Fraction);
            }
            let unit_end = after
                .find(|c: char| c.is_ascii_digit())
                .unwrap_or(after.len());
            let (unit, after) = after.split_at(unit_end);
            let millis = number.checked_mul(unit_millis(unit, number)?);
            total = millis
                .and_then(|millis| total.checked_add(Duration::from_millis(millis)))
                .filter(|total| *total <= LONGEST)
                .ok_or(DurationError::TooLong)?;
            rest = after;
        }
        if text.is_empty() {
            Err(DurationError::NotADuration)
        } else {
            Ok(Self(total))
        }
    }
}

fn unit_millis(unit: &str, number: u64) -> Result<u64, DurationError> {
    match unit {
        "ms" => Ok(1),
        "s" => Ok(1_000),
        "m" => Ok(60_000),
        "h" => Ok(3_600_000),
        "" => Err(DurationError::NoUnit(number)),
        "d" => Err(DurationError::LongUnit {
            unit: 'd',
            hours: number.saturating_mul(24),
        }),
        "w" => Err(DurationError::LongUnit {
            unit: 'w',
            hours: number.saturating_mul(168),
        }),
        _ if unit.chars().count() <= 16 && unit.chars().all(char::is_alphabetic) => {
            Err(DurationError::UnknownUnit(unit.to_owned()))
        }
        _ => Err(DurationError::NotADuration),
    }
}

impl Serialize for ManifestDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ManifestDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse()
            .map_err(|error| de::Error::custom(format_args!("duration `{text}`: {error}")))
    }
}

impl JsonSchema for ManifestDuration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "duration",
            "pattern": "^([0-9]+(h|m|s|ms))+$",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, millis) in [
            ("0s", 0),
            ("500ms", 500),
            ("30s", 30_000),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("1m1h", 3_660_000),
            ("1s1ms", 1_001),
            ("87600h", 315_360_000_000),
        ] {
            assert_eq!(
                text.parse(),
                Ok(ManifestDuration::from_millis(millis)),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_duration_says_how_to_write_it() {
        for (text, message) in [
            ("", "write it as in `30s`, `10m` or `500ms`"),
            ("soon", "write it as in `30s`, `10m` or `500ms`"),
            ("-5s", "write it as in `30s`, `10m` or `500ms`"),
            ("5 s", "write it as in `30s`, `10m` or `500ms`"),
            ("30", "add a unit: `30s`, `30m` or `30ms`"),
            ("1m30", "add a unit: `30s`, `30m` or `30ms`"),
            ("1.5h", "use whole numbers, as in `1h30m`"),
            ("7d", "`d` is not a unit: write `168h`"),
            ("2w", "`w` is not a unit: write `336h`"),
            ("5min", "`min` is not a unit: use `h`, `m`, `s` or `ms`"),
            ("5µs", "`µs` is not a unit: use `h`, `m`, `s` or `ms`"),
            ("87601h", "at most 87600h (10 years)"),
            ("99999999999999999999s", "at most 87600h (10 years)"),
            ("9999999999999999999h", "at most 87600h (10 years)"),
        ] {
            let error = text.parse::<ManifestDuration>().unwrap_err();
            assert_eq!(error.to_string(), message, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_printed_duration_reads_back(millis in 0_u64..315_360_000_000) {
            let duration = ManifestDuration::from_millis(millis);
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9a-zµ. -]{0,24}") {
            drop(text.parse::<ManifestDuration>());
        }
    }
}
