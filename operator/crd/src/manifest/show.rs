//! How parts of messages are shown.
//!
//! Texts from the file are shortened and escaped, so that a message is one line of bounded length
//! whatever the file holds.

use std::fmt;

/// How much of a text from the file a message shows.
const SHOWN_CHARS_MAX: usize = 60;

/// A text from the file between backticks, on one line and not too long.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(SHOWN_CHARS_MAX)
        .flat_map(escape)
        .collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// Control characters escaped, quotes and letters of any script as they are.
fn escape(c: char) -> impl Iterator<Item = char> {
    let (plain, escaped) = match c {
        '"' | '\'' => (Some(c), None),
        _ => (None, Some(c.escape_debug())),
    };
    plain.into_iter().chain(escaped.into_iter().flatten())
}

/// "`a`, `b` or `c`".
pub(super) fn listed(words: &[String], conjunction: &str) -> String {
    let shown: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    joined(&shown, conjunction)
}

/// "a, b or c".
pub(super) fn joined(words: &[String], conjunction: &str) -> String {
    match words {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} {conjunction} {last}", first.join(", ")),
    }
}

pub(super) struct In<'a>(pub(super) &'a str);

impl fmt::Display for In<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            Ok(())
        } else {
            write!(f, " in `{}`", self.0)
        }
    }
}

pub(super) struct InOrTop<'a>(pub(super) &'a str);

impl fmt::Display for InOrTop<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            f.write_str(" at the top level")
        } else {
            In(self.0).fmt(f)
        }
    }
}

pub(super) struct Subject<'a>(pub(super) &'a str);

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            f.write_str("the manifest")
        } else {
            write!(f, "`{}`", self.0)
        }
    }
}

pub(super) struct After<'a>(pub(super) &'a Option<String>);

impl fmt::Display for After<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |hint| write!(f, ": {hint}"))
    }
}

pub(super) struct DidYouMean<'a>(pub(super) &'a Option<String>);

impl fmt::Display for DidYouMean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .as_ref()
            .map_or(Ok(()), |word| write!(f, "; did you mean `{word}`?"))
    }
}
