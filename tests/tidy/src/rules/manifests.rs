//! Manifests: versions and lints are written once, in the workspace, and nothing is asked for in
//! vain.

use crate::text::{numbered, words};
use crate::{Package, Tree, Violation, Workspace};

/// Dependencies that a crate needs although its own source never names them: crate, dependency,
/// why.
const UNNAMED: &[(&str, &str, &str)] = &[
    (
        "weir-rpc",
        "prost",
        "named by the code that the build script generates",
    ),
    (
        "weir-rpc",
        "tonic-prost",
        "named by the code that the build script generates",
    ),
];

/// Checks the manifest of every crate and the dependency table of the workspace.
pub fn check(workspace: &Workspace, tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for package in &workspace.packages {
        let manifest = package.manifest();
        let text = tree.text(&manifest).unwrap_or_default();
        inherits(&manifest, text, &mut found);
        named(package, tree, &mut found);
    }
    unused(workspace, tree, &mut found);
    found
}

/// Lints and dependencies come from the workspace.
fn inherits(manifest: &str, text: &str, found: &mut Vec<Violation>) {
    let mut section = "";
    let mut lints = false;
    for (number, line) in numbered(text) {
        let line = line.trim();
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
        } else if section == "lints" && line == "workspace = true" {
            lints = true;
        } else if section.ends_with("dependencies")
            && !line.is_empty()
            && !line.starts_with('#')
            && !line.contains("workspace = true")
        {
            found.push(Violation::new(
                manifest,
                number,
                "put the version into [workspace.dependencies] and write `workspace = true` here",
            ));
        }
        let table_of_one = section.contains("dependencies.");
        if table_of_one && line.starts_with('[') {
            let message = "write the dependency on one line: `name = { workspace = true, … }`";
            found.push(Violation::new(manifest, number, message));
        }
    }
    if !lints {
        let message = "inherit the lints: add `[lints]` with `workspace = true`";
        found.push(Violation::new(manifest, 0, message));
    }
}

/// The crate's source names each of its dependencies.
fn named(package: &Package, tree: &Tree, found: &mut Vec<Violation>) {
    let folder = format!("{}/", package.dir);
    let sources: Vec<&str> = tree
        .rust()
        .filter(|(path, _)| path.starts_with(&folder))
        .map(|(_, text)| text)
        .collect();
    for dependency in &package.dependencies {
        let unnamed = UNNAMED
            .iter()
            .any(|(krate, name, _)| *krate == package.name && *name == dependency.name);
        let seen = sources.iter().any(|text| {
            text.contains(&dependency.ident) && words(text).any(|word| word == dependency.ident)
        });
        if !seen && !unnamed {
            found.push(Violation::new(
                &package.manifest(),
                package.line_of(tree, &dependency.name),
                format!(
                    "`{}` is asked for and never used: remove it",
                    dependency.name
                ),
            ));
        }
    }
}

/// A crate uses each entry of the workspace's table. Our own crates are there for whoever needs
/// them.
fn unused(workspace: &Workspace, tree: &Tree, found: &mut Vec<Violation>) {
    let mut section = "";
    for (number, line) in numbered(tree.text("Cargo.toml").unwrap_or_default()) {
        if line.starts_with('[') {
            section = line;
        } else if section == "[workspace.dependencies]"
            && let Some((name, source)) = line.split_once(" = ")
            && !source.contains("path = ")
        {
            let mut all = workspace
                .packages
                .iter()
                .flat_map(|package| &package.dependencies);
            if !all.any(|dependency| dependency.name == name) {
                let message = format!("no crate uses `{name}`: remove it");
                found.push(Violation::new("Cargo.toml", number, message));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::fixture::workspace;

    const TIDY: &str = "[lints]\nworkspace = true\n\n[dependencies]\nserde.workspace = true\n";

    fn check_one(manifest: &str, root: &str, source: &str) -> Vec<String> {
        let tree = Tree::of_files([
            ("Cargo.toml", root),
            ("worker/graph/Cargo.toml", manifest),
            ("worker/graph/src/lib.rs", source),
        ]);
        let found = check(&workspace(&[("weir-graph", &["serde"])]), &tree);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_manifest_that_inherits_everything_is_fine() {
        let root = "[workspace.dependencies]\nserde = \"1\"\n";
        assert_eq!(
            check_one(TIDY, root, "use serde::Serialize;"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn lints_that_are_not_inherited_are_found() {
        let found = check_one("[dependencies]\n", "", "use serde::Serialize;");
        assert!(found[0].contains("inherit the lints"), "{found:?}");
    }

    #[test]
    fn a_version_outside_the_workspace_is_found_with_its_line() {
        let manifest = TIDY.replace("serde.workspace = true", "serde = \"1\"");
        let found = check_one(&manifest, "", "use serde::Serialize;");
        assert!(
            found[0].starts_with("worker/graph/Cargo.toml:5:"),
            "{found:?}"
        );
    }

    #[test]
    fn a_dependency_table_of_its_own_is_found() {
        let manifest = format!("{TIDY}\n[dependencies.tokio]\nworkspace = true\n");
        let found = check_one(&manifest, "", "use serde::Serialize;");
        assert!(found[0].contains("on one line"), "{found:?}");
    }

    #[test]
    fn a_dependency_that_no_source_names_is_found() {
        let found = check_one(TIDY, "", "use serde_json::Value;");
        assert!(
            found[0].starts_with("worker/graph/Cargo.toml:5: `serde`"),
            "{found:?}"
        );
    }

    #[test]
    fn an_entry_of_the_workspace_that_no_crate_uses_is_found() {
        let root = "[workspace.dependencies]\nserde = \"1\"\nuuid = \"1\"\n";
        let found = check_one(TIDY, root, "use serde::Serialize;");
        assert!(
            found[0].starts_with("Cargo.toml:3: no crate uses `uuid`"),
            "{found:?}"
        );
    }
}
