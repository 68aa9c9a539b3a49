//! Pages that come in sets: decision records and error codes.

use std::collections::{BTreeMap, BTreeSet};

use super::links::{links, resolve};
use crate::text::numbered;
use crate::{Tree, Violation};

const INDEX: &str = "docs/adr/README.md";

/// Every decision record is numbered once, in a row, and linked from the index.
pub fn decisions(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    let index = tree.text(INDEX).unwrap_or_default();
    let linked: BTreeSet<String> = links(index)
        .into_iter()
        .filter_map(|(_, link)| resolve(INDEX, link))
        .collect();
    let mut next = 1;
    for path in tree.below("docs/adr").filter(|path| *path != INDEX) {
        let name = path.trim_start_matches("docs/adr/");
        let number = name.split('-').next().filter(|digits| digits.len() == 4);
        match number.and_then(|digits| digits.parse::<usize>().ok()) {
            Some(number) if number == next => next += 1,
            Some(number) => found.push(Violation::new(
                path,
                0,
                format!("record {number:04} where {next:04} comes next: number them in a row"),
            )),
            None => found.push(Violation::new(path, 0, "name it `NNNN-noun.md`")),
        }
        if !linked.contains(path) {
            found.push(Violation::new(path, 0, format!("link it from {INDEX}")));
        }
    }
    found
}

/// Every error code in the source has a page, and every page has a code.
pub fn error_codes(tree: &Tree) -> Vec<Violation> {
    let mut used = BTreeMap::new();
    for (path, text) in tree
        .rust()
        .filter(|(path, _)| !path.starts_with("tests/tidy/"))
    {
        for (number, line) in numbered(text) {
            for code in codes(line) {
                used.entry(code).or_insert((path, number));
            }
        }
    }
    let mut found = Vec::new();
    for (code, (path, number)) in &used {
        let page = format!("docs/errors/{code}.md");
        if tree.text(&page).is_none() {
            found.push(Violation::new(
                path,
                *number,
                format!("write `{page}`: cause and remedy"),
            ));
        }
    }
    for path in tree.below("docs/errors") {
        let name = path
            .trim_start_matches("docs/errors/")
            .trim_end_matches(".md");
        if name.starts_with("WEIR-") && !used.contains_key(name) {
            found.push(Violation::new(
                path,
                0,
                "no source uses this code: remove the page",
            ));
        }
    }
    found
}

/// Codes as `WEIR-C012` in a line.
fn codes(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("WEIR-").filter_map(|(at, _)| {
        let code = line.get(at..at + "WEIR-C012".len())?;
        let mut tail = code["WEIR-".len()..].bytes();
        let has_class = tail.next().is_some_and(|byte| byte.is_ascii_uppercase());
        (has_class && tail.all(|byte| byte.is_ascii_digit())).then_some(code)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Tree {
        Tree::of_files(files.iter().copied())
    }

    #[test]
    fn records_in_a_row_that_the_index_links_are_fine() {
        let files = [
            (INDEX, "- [1](0001-threads.md)\n- [2](./0002-chunks.md)\n"),
            ("docs/adr/0001-threads.md", ""),
            ("docs/adr/0002-chunks.md", ""),
        ];
        assert_eq!(decisions(&tree(&files)), []);
    }

    #[test]
    fn a_record_that_is_not_linked_or_not_in_a_row_is_found() {
        let unlinked = decisions(&tree(&[(INDEX, ""), ("docs/adr/0001-threads.md", "")]));
        assert!(unlinked[0].message.contains("link it"), "{unlinked:?}");
        let gap = decisions(&tree(&[
            (INDEX, "[a](0003-a.md)"),
            ("docs/adr/0003-a.md", ""),
        ]));
        assert!(gap[0].message.contains("0001 comes next"), "{gap:?}");
        let name = decisions(&tree(&[
            (INDEX, "[a](threads.md)"),
            ("docs/adr/threads.md", ""),
        ]));
        assert!(name[0].message.contains("NNNN"), "{name:?}");
    }

    #[test]
    fn codes_and_their_pages_belong_together() {
        let source = (
            "worker/a/src/lib.rs",
            "x\n#[error(\"WEIR-C012 no slots\")]\n",
        );
        let missing = error_codes(&tree(&[source]));
        assert_eq!(
            (missing[0].path.as_str(), missing[0].line),
            ("worker/a/src/lib.rs", 2)
        );
        assert_eq!(
            error_codes(&tree(&[source, ("docs/errors/WEIR-C012.md", "")])),
            []
        );
        let orphan = error_codes(&tree(&[("docs/errors/WEIR-C012.md", "")]));
        assert!(orphan[0].message.contains("remove the page"), "{orphan:?}");
    }
}
