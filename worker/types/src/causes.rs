//! The text of an error with its causes.
//!
//! An error's own text leaves its cause out, so that each cause is told once by whoever tells the
//! whole. This is that telling, for places that hold a text and not an error: a fault that crosses
//! a process, a bad record's reason, the last line before the exit.

use std::error::Error;

/// The error and all its causes in one line, the outermost first.
///
/// A cause that repeats what the text ends with is left out: a transparent error says the same as
/// its cause, and some libraries print their cause with themselves.
pub fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("write part file `{path}`")]
    struct Write {
        path: &'static str,
        source: std::io::Error,
    }

    #[derive(Debug, thiserror::Error)]
    #[error(transparent)]
    struct Transparent(#[from] Write);

    #[derive(Debug, thiserror::Error)]
    #[error("close the sink")]
    struct Outer(#[source] Transparent);

    fn write() -> Write {
        Write {
            path: "a.csv",
            source: std::io::Error::other("disk full"),
        }
    }

    #[test]
    fn all_causes_are_told_the_outermost_first() {
        assert_eq!(causes(&write()), "write part file `a.csv`: disk full");
        assert_eq!(causes(&std::io::Error::other("disk full")), "disk full");
    }

    #[test]
    fn a_transparent_error_is_told_once() {
        let error = Outer(Transparent(write()));
        assert_eq!(
            causes(&error),
            "close the sink: write part file `a.csv`: disk full"
        );
    }
}
