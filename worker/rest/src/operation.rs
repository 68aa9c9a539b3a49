//! Names of operations: chosen by whoever asks, so that asking again finds what was asked for.

use std::hash::{BuildHasher, Hasher, RandomState};

/// The longest name.
const CHARS_MAX: usize = 128;

/// Whether a text may name an operation. The error says what may.
pub fn check_operation(text: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let fine = (1..=CHARS_MAX).contains(&text.len())
        && text.chars().all(fits)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if fine {
        return Ok(());
    }
    Err(format!(
        "an operation's name consists of letters, digits, `-`, `_` and `.`, begins with a letter or \
         a digit and has at most {CHARS_MAX} of them, for example `before-upgrade`"
    ))
}

/// A name that nobody else has. The standard library's hash maps get their keys from the operating
/// system.
pub fn new_operation() -> String {
    let half = || {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u32(std::process::id());
        hasher.finish()
    };
    format!("op-{:016x}{:016x}", half(), half())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_into_a_path_and_into_an_option() {
        for good in ["a", "before-upgrade", "7", "op.1_x", &"x".repeat(128)] {
            assert_eq!(check_operation(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "-a",
            "a/b",
            "a b",
            "ä",
            "a%2e",
            &"x".repeat(129),
        ] {
            assert!(check_operation(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_that_are_made_up_may_be_used_and_differ() {
        let (one, other) = (new_operation(), new_operation());
        assert_eq!(check_operation(&one), Ok(()));
        assert_ne!(one, other);
    }
}
