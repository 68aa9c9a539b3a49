//! What happens to a record that cannot be read.

use std::fmt;
use std::str::FromStr;

// A bad record's reason is printed inside a message, on one line.
pub(crate) use weir_types::causes as chain;

/// What a source does with a record that it cannot read: text that is not UTF-8, malformed CSV or
/// JSON, a line beyond the longest allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BadRecords {
    /// The job fails and names the place.
    #[default]
    Fail,
    /// The record is left out and counted; the first one that a reader skips is logged.
    Skip,
}

/// A text that is no choice of [`BadRecords`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no way to treat bad records: want `fail` or `skip`")]
pub struct ParseBadRecordsError(pub String);

impl FromStr for BadRecords {
    type Err = ParseBadRecordsError;

    fn from_str(text: &str) -> Result<Self, ParseBadRecordsError> {
        match text {
            "fail" => Ok(Self::Fail),
            "skip" => Ok(Self::Skip),
            _ => Err(ParseBadRecordsError(text.to_owned())),
        }
    }
}

/// Why a record cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadRecordReason {
    /// The bytes are no UTF-8.
    InvalidUtf8,
    /// The line or row has more bytes than allowed.
    TooLong {
        /// How many are allowed.
        max: usize,
    },
    /// The decoder says so.
    Malformed(String),
}

impl fmt::Display for BadRecordReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidUtf8 => f.write_str("invalid UTF-8"),
            Self::TooLong { max } => write!(
                f,
                "the line is longer than {max} bytes (raise `max_line_bytes` if it is meant to be)"
            ),
            Self::Malformed(reason) => f.write_str(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_choice_names_the_right_ones() {
        assert_eq!("skip".parse(), Ok(BadRecords::Skip));
        let error = "ignore".parse::<BadRecords>().expect_err("is no choice");
        assert_eq!(
            error.to_string(),
            "`ignore` is no way to treat bad records: want `fail` or `skip`"
        );
    }
}
