//! No dead files: every Rust file is the root of a target, or a `mod` or an `include!` leads to it.
//!
//! A file that nothing names compiles nowhere, so nothing else would tell.

use std::collections::BTreeSet;

use crate::text::{numbered, split_comment};
use crate::{Tree, Violation, Workspace};

/// Checks every Rust file of the workspace.
pub fn check(workspace: &Workspace, tree: &Tree) -> Vec<Violation> {
    let roots = workspace
        .packages
        .iter()
        .flat_map(|package| &package.targets);
    let mut reached = BTreeSet::new();
    for root in roots {
        follow(tree, root, true, &mut reached);
    }
    let named = folders_of_cases(tree, &reached);
    tree.rust()
        .filter(|(path, _)| !reached.contains(*path))
        .filter(|(path, _)| !named.iter().any(|folder| path.starts_with(folder.as_str())))
        .map(|(path, _)| {
            Violation::new(
                path,
                0,
                "no `mod` and no target leads here: name it or remove it",
            )
        })
        .collect()
}

fn follow(tree: &Tree, path: &str, is_root: bool, reached: &mut BTreeSet<String>) {
    let Some(text) = tree.text(path) else { return };
    if !reached.insert(path.to_owned()) {
        return;
    }
    let folder = folder(path);
    let own = if is_root {
        folder.to_owned()
    } else {
        path.trim_end_matches(".rs").to_owned()
    };
    let mut given = None;
    for (_, line) in numbered(text) {
        let code = split_comment(line).0.trim();
        if let Some(file) = quoted_after(code, "#[path = ") {
            given = Some(join(folder, file));
        } else if let Some(file) = quoted_after(code, "include!(") {
            follow(tree, &join(folder, file), true, reached);
        } else if let Some(name) = module(code) {
            let file = given
                .take()
                .unwrap_or_else(|| join(&own, &format!("{name}.rs")));
            follow(tree, &file, false, reached);
        }
    }
}

/// The name in `mod name;`, whatever its visibility.
fn module(code: &str) -> Option<&str> {
    let rest = code.strip_suffix(';')?;
    let at = rest.find("mod ")?;
    let before = rest[..at].trim();
    let is_module = before.is_empty() || before.starts_with("pub") || before.starts_with("#[");
    is_module.then(|| rest[at + 4..].trim())
}

/// Folders of small programs which a test compiles by itself, as `tests/ui/*.rs`: those that a file
/// which is reached names in a literal.
fn folders_of_cases(tree: &Tree, reached: &BTreeSet<String>) -> BTreeSet<String> {
    let mut folders = BTreeSet::new();
    for (path, _) in tree.rust().filter(|(path, _)| !reached.contains(*path)) {
        let folder = folder(path);
        let Some((dir, name)) = folder.rsplit_once("/tests/") else {
            continue;
        };
        let literal = format!("\"tests/{name}/");
        let below = format!("{dir}/");
        let mut files = reached.iter().filter(|file| file.starts_with(&below));
        if files.any(|file| tree.text(file).is_some_and(|text| text.contains(&literal))) {
            folders.insert(format!("{folder}/"));
        }
    }
    folders
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn quoted_after<'a>(code: &'a str, before: &str) -> Option<&'a str> {
    code.split_once(before)?
        .1
        .strip_prefix('"')?
        .split('"')
        .next()
}

fn join(folder: &str, relative: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in relative.split('/') {
        match part {
            ".." => {
                parts.pop();
            }
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::fixture::workspace;

    fn dead(files: &[(&str, &str)]) -> Vec<String> {
        let tree = Tree::of_files(files.iter().copied());
        let found = check(&workspace(&[("weir-graph", &[])]), &tree);
        found.into_iter().map(|violation| violation.path).collect()
    }

    #[test]
    fn modules_are_followed_through_folders_paths_and_includes() {
        let files = [
            (
                "worker/graph/src/lib.rs",
                "mod a;\npub(crate) mod c;\n#[cfg(test)] mod d;\n",
            ),
            (
                "worker/graph/src/a.rs",
                "pub mod b; // why\ninclude!(\"../table.rs\");\n",
            ),
            ("worker/graph/src/a/b.rs", ""),
            ("worker/graph/src/c.rs", "#[path = \"other.rs\"]\nmod e;\n"),
            ("worker/graph/src/d.rs", ""),
            ("worker/graph/src/other.rs", ""),
            ("worker/graph/table.rs", ""),
        ];
        assert_eq!(dead(&files), Vec::<String>::new());
    }

    #[test]
    fn a_file_that_nothing_names_is_found_also_where_its_name_is_in_a_comment() {
        let files = [
            ("worker/graph/src/lib.rs", "// mod old;\n"),
            ("worker/graph/src/old.rs", ""),
        ];
        assert_eq!(dead(&files), ["worker/graph/src/old.rs"]);
    }

    #[test]
    fn a_child_of_a_dead_file_is_dead() {
        let files = [
            ("worker/graph/src/lib.rs", ""),
            ("worker/graph/src/a.rs", "mod b;"),
            ("worker/graph/src/a/b.rs", ""),
        ];
        assert_eq!(dead(&files).len(), 2);
    }

    #[test]
    fn programs_that_a_test_compiles_by_its_folder_are_alive() {
        let files = [
            (
                "worker/graph/src/lib.rs",
                "fn ui() { compile(\"tests/ui/*.rs\") }",
            ),
            ("worker/graph/tests/ui/missing_key.rs", ""),
            ("worker/graph/tests/other/x.rs", ""),
        ];
        assert_eq!(dead(&files), ["worker/graph/tests/other/x.rs"]);
    }
}
