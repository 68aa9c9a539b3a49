//! Small habits in Rust code that no lint of ours covers: an exception carries its reason, a test
//! is a sentence, a comment fits the page, and nothing is left for later in a comment.

use crate::text::{numbered, split_comment, words};
use crate::{Tree, Violation};

const COLUMNS: usize = 100;

/// Words that mark unfinished work.
const UNFINISHED: &[&str] = &["TODO", "FIXME", "XXX", "HACK"];

/// Checks every Rust file.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, text) in tree.rust().filter(|(path, _)| !path.ends_with(file!())) {
        for (number, line) in numbered(text) {
            let (code, comment) = split_comment(line);
            let rest = || text.lines().skip(number - 1);
            let complaint = exception(code.trim(), rest())
                .or_else(|| test_name(code.trim()))
                .or_else(|| unfinished(comment))
                .or_else(|| too_wide(line, comment));
            found.extend(complaint.map(|message| Violation::new(path, number, message)));
        }
    }
    found
}

/// An attribute that switches a check off says why.
fn exception<'a>(code: &str, lines: impl Iterator<Item = &'a str>) -> Option<String> {
    let inner = code
        .strip_prefix("#[")
        .or_else(|| code.strip_prefix("#!["))?;
    if inner == "ignore]" {
        return Some("say why: `#[ignore = \"…\"]`".to_owned());
    }
    let switch = ["allow(", "expect("]
        .iter()
        .find(|switch| inner.starts_with(**switch))?;
    let mut attribute = String::new();
    for line in lines {
        attribute.push_str(line.trim());
        if attribute.ends_with(")]") {
            break;
        }
    }
    (!attribute.contains("reason = "))
        .then(|| format!("say why: `#[{switch}…, reason = \"…\")]`, or do without the exception"))
}

fn test_name(code: &str) -> Option<String> {
    let name = code
        .strip_prefix("async ")
        .unwrap_or(code)
        .strip_prefix("fn test_")?;
    let name = name.split('(').next().unwrap_or_default();
    Some(format!(
        "a test is a sentence about behaviour: rename `test_{name}` without `test_`"
    ))
}

fn unfinished(comment: &str) -> Option<String> {
    let word = words(comment).find(|word| UNFINISHED.contains(word))?;
    Some(format!(
        "`{word}`: do it now, or say in the docs of the item what is missing"
    ))
}

/// rustfmt leaves comments alone. A line with an address cannot be broken.
fn too_wide(line: &str, comment: &str) -> Option<String> {
    let columns = line.chars().count();
    let is_comment = !comment.is_empty() && line.trim_start().starts_with("//");
    (is_comment && columns > COLUMNS && !comment.contains("://"))
        .then(|| format!("a comment of {columns} columns: break it at {COLUMNS}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let tree = Tree::of_files([("worker/a/src/lib.rs", text)]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_exception_without_a_reason_is_found_on_its_line() {
        let one = found("fn a() {}\n#[allow(unsafe_code)]\nfn b() {}\n");
        assert!(
            one[0].starts_with("worker/a/src/lib.rs:2: say why"),
            "{one:?}"
        );
        assert_eq!(found("#![expect(\n    clippy::panic,\n)]\n").len(), 1);
        assert_eq!(found("#[ignore]\n").len(), 1);
    }

    #[test]
    fn an_exception_with_a_reason_is_fine() {
        assert_eq!(
            found("#[allow(unsafe_code, reason = \"getrusage\")]\n").len(),
            0
        );
        assert_eq!(
            found("#[expect(\n    clippy::panic,\n    reason = \"x\"\n)]\n").len(),
            0
        );
        assert_eq!(found("#[ignore = \"takes an hour\"]\n").len(), 0);
    }

    #[test]
    fn a_test_with_the_prefix_is_found() {
        assert_eq!(found("    fn test_late_ack() {\n").len(), 1);
        assert_eq!(found("    async fn test_late_ack() {\n").len(), 1);
        assert_eq!(found("    fn late_ack_is_discarded() {\n").len(), 0);
    }

    #[test]
    fn unfinished_work_is_found_in_comments_only() {
        assert_eq!(found("let x = 1; // TODO: more\n").len(), 1);
        assert_eq!(found("const TODO: u8 = 1;\n").len(), 0);
    }

    #[test]
    fn a_comment_past_the_margin_is_found_unless_it_holds_an_address() {
        assert_eq!(found(&format!("// {}\n", "a ".repeat(60))).len(), 1);
        assert_eq!(
            found(&format!("// https://docs.rs/{}\n", "a".repeat(120))).len(),
            0
        );
        assert_eq!(
            found(&format!("let a = \"{}\";\n", "a".repeat(120))).len(),
            0
        );
    }
}
