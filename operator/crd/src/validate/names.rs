//! Rules for names: of jobs, namespaces, environment variables and states.

use crate::manifest::quoted;

/// Names of pods are made of the job's name and a suffix of up to 18 characters, and a label's
/// value has at most 63.
const JOB_NAME_CHARS_MAX: usize = 45;

/// A job's name: a DNS label that begins with a letter, because Services bear it.
pub(super) fn job_name(name: &str) -> Result<(), String> {
    dns_label(name, JOB_NAME_CHARS_MAX)?;
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("is {}; it must begin with a letter", quoted(name)));
    }
    Ok(())
}

/// A DNS label of at most `chars_max` characters.
pub(super) fn dns_label(name: &str, chars_max: usize) -> Result<(), String> {
    if name.is_empty() {
        return Err("must not be empty".to_owned());
    }
    let chars = name.chars().count();
    if chars > chars_max {
        return Err(format!(
            "has {chars} characters; at most {chars_max} are possible"
        ));
    }
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if let Some(c) = name.chars().find(|c| !legal(*c)) {
        let (name, c) = (quoted(name), quoted(&c.to_string()));
        return Err(format!(
            "is {name}; {c} is not possible there: use lower-case letters, digits and `-`"
        ));
    }
    if name.starts_with('-') || name.ends_with('-') {
        return Err(format!(
            "is {}; it must begin and end with a letter or digit",
            quoted(name)
        ));
    }
    Ok(())
}

/// The name of an environment variable.
pub(super) fn env_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if name.contains(['=', '\0']) {
        return Err(format!(
            "is {}; `=` and NUL are not possible there",
            quoted(name)
        ));
    }
    Ok(())
}

/// A state's id: a relative path in the storage.
pub(super) fn state_id(id: &str) -> Result<(), String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    let steps_are_names = id.split('/').all(|step| !matches!(step, "" | "." | ".."));
    if id.len() <= 253 && id.chars().all(legal) && steps_are_names {
        return Ok(());
    }
    Err(format!(
        "is {}; it must be names of letters, digits, `-`, `_` and `.` with `/` between them, at \
         most 253 characters in all",
        quoted(id)
    ))
}

/// The longest value of a label, and the longest name in its key.
const LABEL_CHARS_MAX: usize = 63;

/// A label's value.
pub(super) fn label_value(value: &str) -> Result<(), String> {
    match value.is_empty() || is_label(value) {
        true => Ok(()),
        false => Err(no_label(value)),
    }
}

/// A label's key: a name, with a DNS name and `/` before it, or without.
pub(super) fn label_key(key: &str) -> Result<(), String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let is_prefix =
        |prefix: &str| prefix.len() <= 253 && prefix.split('.').all(|it| dns_label(it, 63).is_ok());
    match is_label(name) && prefix.is_none_or(is_prefix) {
        true => Ok(()),
        false => Err(no_label(key)),
    }
}

fn is_label(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let mut chars = text.chars();
    let whole = text.len() <= LABEL_CHARS_MAX && text.chars().all(legal);
    whole && ends(chars.next()) && ends(text.chars().next_back())
}

fn no_label(text: &str) -> String {
    format!(
        "is {}; labels are letters, digits, `-`, `_` and `.`, at most {LABEL_CHARS_MAX}, and begin \
         and end with a letter or digit",
        quoted(text)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_names_are_dns_labels_that_begin_with_a_letter() {
        for name in ["a", "word-count-2", &"x".repeat(45)] {
            assert_eq!(job_name(name), Ok(()), "{name}");
        }
        for name in [
            "",
            "A",
            "a_b",
            "-a",
            "a-",
            "2a",
            "a.b",
            "wört",
            &"x".repeat(46),
        ] {
            assert!(job_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn state_ids_never_lead_out_of_the_storage() {
        for id in ["default/wordcount", "a", "a.b/c_d-1"] {
            assert_eq!(state_id(id), Ok(()), "{id}");
        }
        for id in [
            "",
            "/a",
            "a/",
            "a//b",
            "../a",
            "a/..",
            "a/./b",
            "a b",
            "ä",
            &"x".repeat(254),
        ] {
            assert!(state_id(id).is_err(), "{id}");
        }
    }
}
