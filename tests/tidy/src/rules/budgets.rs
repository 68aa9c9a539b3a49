//! How long a file may grow.
//!
//! Files that become the place where everything happens grow without anyone deciding it. The budget
//! makes it a decision. Lines of an inline test module do not count, nor do files of tests alone.
//! (The length of functions is clippy's: `too_many_lines`.)

use crate::text::{is_test_file, lines_without_tests};
use crate::{Tree, Violation};

/// Above this, a file needs an entry in [`LONG_FILES`].
const LINES_WITHOUT_REASON: usize = 600;
/// Above this, there is no excuse.
const LINES_MAX: usize = 1_000;

/// Files that are longer, and why they are still one thing. The list is meant to shrink: an entry
/// whose file has become short, or is gone, is a violation too.
const LONG_FILES: &[(&str, &str)] = &[];

/// Checks every Rust file.
pub fn check(tree: &Tree) -> Vec<Violation> {
    check_with(tree, LONG_FILES)
}

fn check_with(tree: &Tree, long_files: &[(&str, &str)]) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, text) in tree.rust().filter(|(path, _)| !is_test_file(path)) {
        let lines = lines_without_tests(text);
        let has_reason = long_files.iter().any(|(long, _)| *long == path);
        if lines > LINES_MAX {
            found.push(Violation::new(
                path,
                0,
                format!("{lines} lines: split it, {LINES_MAX} is the most a file may have"),
            ));
        } else if lines > LINES_WITHOUT_REASON && !has_reason {
            found.push(Violation::new(
                path,
                0,
                format!(
                    "{lines} lines: split it below {LINES_WITHOUT_REASON} (`foo.rs` and `foo/`), \
                     or add it with its reason to LONG_FILES in {}",
                    file!()
                ),
            ));
        }
    }
    for (path, _) in long_files {
        let lines = tree.text(path).map_or(0, lines_without_tests);
        if lines <= LINES_WITHOUT_REASON {
            let message = "not long any more: remove its entry from LONG_FILES";
            found.push(Violation::new(path, 0, message));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(path: &str, lines: usize) -> Tree {
        Tree::of_files([(path, "x\n".repeat(lines).as_str())])
    }

    #[test]
    fn up_to_six_hundred_lines_need_no_reason() {
        assert_eq!(check_with(&tree("worker/a/src/lib.rs", 600), &[]), []);
        assert_eq!(check_with(&tree("worker/a/src/lib.rs", 601), &[]).len(), 1);
    }

    #[test]
    fn a_reason_helps_up_to_a_thousand_lines() {
        let reasons = [("worker/a/src/lib.rs", "one table")];
        assert_eq!(
            check_with(&tree("worker/a/src/lib.rs", 1_000), &reasons),
            []
        );
        assert_eq!(
            check_with(&tree("worker/a/src/lib.rs", 1_001), &reasons).len(),
            1
        );
    }

    #[test]
    fn a_reason_that_is_not_needed_any_more_is_found() {
        let reasons = [("worker/a/src/lib.rs", "one table")];
        assert_eq!(
            check_with(&tree("worker/a/src/lib.rs", 600), &reasons).len(),
            1
        );
        assert_eq!(check_with(&Tree::default(), &reasons).len(), 1);
    }

    #[test]
    fn tests_do_not_count() {
        let inline = format!("x\n#[cfg(test)]\nmod tests {{\n{}}}\n", "x\n".repeat(2_000));
        assert_eq!(
            check_with(&Tree::of_files([("worker/a/src/lib.rs", &*inline)]), &[]),
            []
        );
        assert_eq!(check_with(&tree("worker/a/src/b/tests.rs", 2_000), &[]), []);
    }
}
