//! Nothing tracked refers to what a reader of the repository does not have.
//!
//! A path on somebody's machine, a page that lives elsewhere, a number in a tracker: for the reader
//! of a clone these lead nowhere. What matters about them is said in the repository's own words.

use std::collections::BTreeSet;

use crate::text::{numbered, prose, words};
use crate::{Tree, Violation};

/// Texts that never belong into the repository: paths of one machine, and other people's trackers.
const FOREIGN: &[&str] = &[
    "../shared",
    "/work/",
    "shared/design",
    "shared/bench",
    "issues show",
];

/// Where an address may lead. A host is added when the readers of the repository need it.
const HOSTS: &[&str] = &[
    "apache.org",
    "debian.org",
    "docs.rs",
    "editorconfig.org",
    "example.com",
    "github.com",
    "googleapis.com",
    "httpwg.org",
    "ietf.org",
    "json-schema.org",
    "keepachangelog.com",
    "kubernetes.io",
    "nexmark.com",
    "openapis.org",
    "opensource.org",
    "prometheus.io",
    "rfc-editor.org",
    "rust-lang.org",
    "rustup.rs",
    "semver.org",
    "unicode.org",
    "w3.org",
    "weir.dev",
    "wikipedia.org",
    "yaml.org",
];

/// This file and its planted violations.
const OWN: &str = "src/rules/citations.rs";
/// Taken over unchanged from elsewhere.
const VERBATIM: &[&str] = &["LICENSE", "Cargo.lock", "benches/limit/Cargo.lock"];

/// Checks every text file.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let names: BTreeSet<&str> = tree
        .paths()
        .map(|path| path.rsplit('/').next().unwrap_or(path))
        .collect();
    let invariants: BTreeSet<&str> = tree
        .text("ARCHITECTURE.md")
        .map(|text| words(text).collect())
        .unwrap_or_default();
    let mut found = Vec::new();
    for (path, text) in tree.texts() {
        if path.ends_with(OWN) || VERBATIM.contains(&path) {
            continue;
        }
        for (number, line) in numbered(text) {
            let mut complain = |message: String| found.push(Violation::new(path, number, message));
            foreign(line).map(&mut complain);
            host(line).map(&mut complain);
            let prose = prose(path, line);
            tracker(prose).map(&mut complain);
            page(prose, &names).map(&mut complain);
            if !path.ends_with("ARCHITECTURE.md") {
                code(prose, &invariants).map(&mut complain);
            }
        }
    }
    found
}

fn foreign(line: &str) -> Option<String> {
    let text = FOREIGN.iter().find(|text| line.contains(**text))?;
    Some(format!(
        "`{text}` is not in the repository: say what it says, in own words"
    ))
}

fn host(line: &str) -> Option<String> {
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let scheme_is_web = rest[..at].ends_with("http") || rest[..at].ends_with("https");
        rest = &rest[at + 3..];
        let end = rest.find(|char: char| !char.is_ascii_alphanumeric() && !"-.".contains(char));
        let (host, after) = rest.split_at(end.unwrap_or(rest.len()));
        let host = host.trim_end_matches('.');
        // An address made up at run time, one of this machine, or a Service of a cluster.
        let is_local = !host.contains('.')
            || host.chars().all(|c| c.is_ascii_digit() || c == '.')
            || host.ends_with(".svc");
        let is_template = after.starts_with(['{', '$', '<', '%']);
        let is_known = HOSTS
            .iter()
            .any(|known| host == *known || host.ends_with(&format!(".{known}")));
        if scheme_is_web && !is_local && !is_template && !is_known {
            return Some(format!(
                "an address of `{host}`: leave it out, or add the host to HOSTS in {}",
                file!()
            ));
        }
    }
    None
}

/// `issue 12`, `issue #12`, `the next issue`.
fn tracker(prose: &str) -> Option<String> {
    let lower = prose.to_lowercase();
    let all: Vec<&str> = words(&lower).collect();
    all.windows(2)
        .find(|pair| {
            let numbered = pair[0] == "issue" && pair[1].bytes().all(|byte| byte.is_ascii_digit());
            let ordered = pair[1] == "issue"
                && [
                    "first", "second", "third", "fourth", "next", "later", "previous",
                ]
                .contains(&pair[0]);
            numbered || ordered
        })
        .map(|pair| {
            format!(
                "`{} {}`: name the behaviour, not the ticket it came from",
                pair[0], pair[1]
            )
        })
}

/// A page by name, `something.md`, that no file of the repository has.
fn page(prose: &str, names: &BTreeSet<&str>) -> Option<String> {
    let separators = |char: char| char.is_whitespace() || "()[]<>`'\"#,;:*|".contains(char);
    let page = prose.split(separators).find(|word| {
        let word = word.trim_end_matches(['.', '!', '?']);
        let name = word.rsplit('/').next().unwrap_or(word);
        name.strip_suffix(".md").is_some_and(|stem| {
            stem.bytes().any(|byte| byte.is_ascii_alphabetic())
                && stem
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
                && !stem.contains("NNNN")
        }) && !word.contains("://")
            && !names.contains(name)
    })?;
    Some(format!(
        "the repository has no page `{page}`: name one it has, or say what it says"
    ))
}

/// A short code, as `I8`, that stands for a decision or an invariant: only `ARCHITECTURE.md` gives
/// such names.
fn code(prose: &str, invariants: &BTreeSet<&str>) -> Option<String> {
    let code = words(prose).find(|word| {
        let mut bytes = word.bytes();
        matches!(bytes.next(), Some(b'D' | b'I'))
            && matches!(bytes.len(), 1 | 2)
            && bytes.all(|byte| byte.is_ascii_digit())
            && !invariants.contains(word)
    })?;
    Some(format!(
        "`{code}` has no entry in ARCHITECTURE.md: say the reason in words"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let tree = Tree::of_files([
            (path, text),
            ("ARCHITECTURE.md", "- **I3** Queues are bounded.\n"),
            ("docs/benchmarks.md", ""),
        ]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_path_of_somebodys_machine_is_found_with_its_line() {
        let one = found("Makefile", "all:\n\tcat /work/main/x\n");
        assert!(one[0].starts_with("Makefile:2: `/work/`"), "{one:?}");
        assert_eq!(found("README.md", "see ../shared/notes").len(), 1);
    }

    #[test]
    fn a_ticket_is_found_in_comments_and_documents_but_not_in_code() {
        assert_eq!(
            found(
                "worker/a/src/lib.rs",
                "let a = 1; // issue #12 asks for it\n"
            )
            .len(),
            1
        );
        assert_eq!(
            found("README.md", "Recovery comes with the next issue.\n").len(),
            1
        );
        assert_eq!(
            found("worker/a/src/lib.rs", "let a = \"issue 12\";\n").len(),
            0
        );
        assert_eq!(
            found("README.md", "To issue a barrier is cheap.\n").len(),
            0
        );
    }

    #[test]
    fn a_page_that_is_not_there_is_found() {
        let one = found(
            "worker/a/src/lib.rs",
            "//! The rules of protocol.md hold.\n",
        );
        assert!(one[0].contains("no page `protocol.md`"), "{one:?}");
        assert_eq!(found("README.md", "See `docs/benchmarks.md`.").len(), 0);
        assert_eq!(found("README.md", "As docs/adr/NNNN-noun.md.").len(), 0);
    }

    #[test]
    fn a_code_needs_an_entry_in_the_architecture() {
        assert_eq!(found("worker/a/src/lib.rs", "// bounded (D5)\n").len(), 1);
        assert_eq!(found("clippy.toml", "reason = \"bounded (I8)\"\n").len(), 1);
        assert_eq!(found("worker/a/src/lib.rs", "// bounded (I3)\n").len(), 0);
        assert_eq!(found("worker/a/src/lib.rs", "let x = D5;\n").len(), 0);
    }

    #[test]
    fn an_address_leads_to_a_host_of_the_list() {
        assert_eq!(
            found("README.md", "https://registry.internal.io/x").len(),
            1
        );
        assert_eq!(
            found("README.md", "https://nightlies.apache.org/flink").len(),
            0
        );
        assert_eq!(
            found(
                "README.md",
                "http://127.0.0.1:8081/jobs http://localhost/ http://s3.default.svc:7070"
            )
            .len(),
            0
        );
        assert_eq!(
            found("worker/a/src/lib.rs", "format!(\"http://{addr}/jobs\")").len(),
            0
        );
    }
}
