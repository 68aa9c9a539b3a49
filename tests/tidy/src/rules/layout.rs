//! Where things lie: a closed top level, `foo.rs` beside `foo/`, scripts that stop at the first
//! failure, texts without stray white space.

use std::collections::BTreeSet;

use crate::text::numbered;
use crate::{Tree, Violation};

/// The entries of the top level. A new one is a decision: it needs a record in `docs/adr`.
const TOP_LEVEL: &[&str] = &[
    ".cargo",
    ".ci",
    ".config",
    ".dockerignore",
    ".editorconfig",
    ".gitattributes",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "Dockerfile",
    "LICENSE",
    "Makefile",
    "README.md",
    "benches",
    "charts",
    "clippy.toml",
    "crds",
    "deny.toml",
    "docs",
    "examples",
    "operator",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "tests",
    "worker",
];

/// Files whose white space is nobody's to choose: goldens and recorded data.
const AS_RECORDED: &[&str] = &[".snap", ".csv", ".log", ".txt", ".stderr", ".bin"];

/// Checks every path and every text.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = top_level(tree);
    for path in tree.paths().filter(|path| path.ends_with("/mod.rs")) {
        let folder = path.trim_end_matches("/mod.rs");
        found.push(Violation::new(path, 0, format!("name it `{folder}.rs`")));
    }
    for (path, text) in tree.texts() {
        found.extend(script(path, text));
        if path != "LICENSE" && !AS_RECORDED.iter().any(|suffix| path.ends_with(suffix)) {
            found.extend(white_space(path, text));
        }
    }
    found
}

fn top_level(tree: &Tree) -> Vec<Violation> {
    let entries: BTreeSet<&str> = tree
        .paths()
        .map(|path| path.split('/').next().unwrap_or(path))
        .collect();
    entries
        .into_iter()
        .filter(|entry| !TOP_LEVEL.contains(entry))
        .map(|entry| {
            let message = format!(
                "a new entry of the top level: put it below an existing one, or decide it in \
                 docs/adr and add it to TOP_LEVEL in {}",
                file!()
            );
            Violation::new(entry, 0, message)
        })
        .collect()
}

fn script(path: &str, text: &str) -> Option<Violation> {
    let first = text.lines().next().unwrap_or_default();
    let is_shell = first.starts_with("#!") && (first.ends_with("bash") || first.ends_with("/sh"));
    let careful = text
        .lines()
        .any(|line| line.starts_with("set -") && line.contains('u'));
    (is_shell && !careful).then(|| {
        Violation::new(
            path,
            1,
            "begin with `set -euo pipefail`: a failure must not pass unseen",
        )
    })
}

fn white_space(path: &str, text: &str) -> Vec<Violation> {
    let mut found: Vec<Violation> = numbered(text)
        .filter(|(_, line)| line.ends_with([' ', '\t', '\r']))
        .map(|(number, _)| Violation::new(path, number, "white space at the end of the line"))
        .collect();
    if !text.is_empty() && !text.ends_with('\n') {
        found.push(Violation::new(
            path,
            text.lines().count(),
            "no newline at the end of the file",
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let tree = Tree::of_files([(path, text)]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_unknown_entry_of_the_top_level_is_found_once() {
        let tree = Tree::of_files([("scripts/a", ""), ("scripts/b", ""), ("docs/a.md", "")]);
        let found = check(&tree);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].path, "scripts");
    }

    #[test]
    fn a_mod_file_is_found_with_the_name_it_should_have() {
        let one = found("worker/graph/src/chaining/mod.rs", "");
        assert!(one[0].contains("`worker/graph/src/chaining.rs`"), "{one:?}");
    }

    #[test]
    fn a_script_that_goes_on_after_a_failure_is_found() {
        assert_eq!(
            found("tests/tools/a", "#!/usr/bin/env bash\nfalse\n").len(),
            1
        );
        assert_eq!(
            found("tests/tools/a", "#!/usr/bin/env bash\nset -euo pipefail\n").len(),
            0
        );
    }

    #[test]
    fn stray_white_space_is_found_but_not_in_recorded_data() {
        assert_eq!(
            found("README.md", "a \nb\n"),
            ["README.md:1: white space at the end of the line"]
        );
        assert_eq!(
            found("README.md", "a\nb"),
            ["README.md:2: no newline at the end of the file"]
        );
        assert_eq!(found("worker/graph/src/a.snap", "a \nb").len(), 0);
    }
}
