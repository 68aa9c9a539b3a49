//! Every link of a Markdown page leads to a file, and its anchor to a heading, of the repository.

use std::collections::BTreeSet;

use crate::text::numbered;
use crate::{Tree, Violation};

/// Checks every Markdown page.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, text) in tree.texts_ending(&[".md"]) {
        for (number, link) in links(text) {
            if let Some(message) = follow(tree, path, link) {
                found.push(Violation::new(path, number, message));
            }
        }
    }
    found
}

/// The targets of the page's links, with their lines. Blocks of code have none.
pub(super) fn links(text: &str) -> Vec<(usize, &str)> {
    let mut links = Vec::new();
    for (number, line) in lines_of_text(text) {
        // Every second part is code. A link whose text is code has its target in the part after it.
        for part in line.split('`').step_by(2) {
            links.extend(targets(part).map(|target| (number, target)));
        }
    }
    links
}

/// The lines outside of fenced blocks.
fn lines_of_text(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    numbered(text).filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        fenced ^= is_fence;
        !fenced && !is_fence
    })
}

fn targets(part: &str) -> impl Iterator<Item = &str> {
    part.split("](").skip(1).filter_map(|rest| {
        let target = rest.split(')').next()?;
        target.split_whitespace().next()
    })
}

fn follow(tree: &Tree, path: &str, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if file.is_empty() {
        path.to_owned()
    } else {
        resolve(path, file)?
    };
    if !tree.exists(&target) {
        return Some(format!("the link leads to `{target}`, which is not there"));
    }
    let page = tree.text(&target)?;
    let is_missing =
        !anchor.is_empty() && target.ends_with(".md") && !anchors(page).contains(anchor);
    is_missing.then(|| format!("`{target}` has no heading for `#{anchor}`"))
}

/// The path that a relative link of the page at `path` means.
pub(super) fn resolve(path: &str, link: &str) -> Option<String> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in link.split('/') {
        match part {
            "." | "" => {}
            ".." => parts.pop().map(drop)?,
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Anchors as GitHub makes them of headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for (_, line) in lines_of_text(text).filter(|(_, line)| line.starts_with('#')) {
        let heading = line.trim_start_matches('#').trim();
        let slug: String = heading
            .to_lowercase()
            .chars()
            .filter(|char| char.is_alphanumeric() || " -_".contains(*char))
            .map(|char| if char == ' ' { '-' } else { char })
            .collect();
        let repeats = (1..).map(|nth| format!("{slug}-{nth}"));
        let fresh = std::iter::once(slug.clone())
            .chain(repeats)
            .find(|a| !anchors.contains(a));
        anchors.extend(fresh);
    }
    anchors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let tree = Tree::of_files(files.iter().copied());
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn links_to_files_folders_and_headings_are_followed() {
        let files = [
            (
                "README.md",
                "[a](docs/a.md#what-it-is) [`b`](docs) [c](#start)\n\n## Start\n",
            ),
            ("docs/a.md", "# A\n## What it is?\n[up](../README.md)\n"),
        ];
        assert_eq!(found(&files), Vec::<String>::new());
    }

    #[test]
    fn a_link_to_nothing_is_found_with_its_line() {
        let one = found(&[("docs/a.md", "a\n[b](../b.md)\n")]);
        assert_eq!(
            one,
            ["docs/a.md:2: the link leads to `b.md`, which is not there"]
        );
        assert_eq!(found(&[("README.md", "[`code`](gone.rs)\n")]).len(), 1);
    }

    #[test]
    fn an_anchor_without_a_heading_is_found() {
        let one = found(&[("README.md", "# Weir\n[a](#usage)\n")]);
        assert!(one[0].contains("no heading for `#usage`"), "{one:?}");
    }

    #[test]
    fn addresses_and_code_are_left_alone() {
        let text = "[a](https://docs.rs/x)\n```\n[b](gone.md)\n```\n`[c](gone.md)`\n";
        assert_eq!(found(&[("README.md", text)]), Vec::<String>::new());
    }
}
