//! What a chart repeats of the rest of the repository: a chart is installed from its own folder, so
//! it cannot refer to files and versions outside of it.

use std::collections::BTreeSet;

use crate::text::numbered;
use crate::{Tree, Violation};

const CHART: &str = "charts/weir-operator";
const DEFINITIONS: &str = "crds";
/// Where a person finds the names of the images, besides the chart.
const QUICKSTART: &str = "examples/kubernetes/quickstart.yaml";

/// Checks the chart and the quickstart.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = definitions(tree);
    found.extend(versions(tree));
    found
}

/// The chart's definitions are those of `crds/`.
fn definitions(tree: &Tree) -> Vec<Violation> {
    let copies = format!("{CHART}/files/{DEFINITIONS}");
    let names = |folder: &str| -> BTreeSet<String> {
        let prefix = format!("{folder}/");
        tree.below(folder)
            .map(|path| path.replacen(&prefix, "", 1))
            .collect()
    };
    let mut all = names(DEFINITIONS);
    all.extend(names(&copies));
    all.into_iter()
        .filter_map(|name| {
            let (original, copy) = (format!("{DEFINITIONS}/{name}"), format!("{copies}/{name}"));
            (tree.text(&original) != tree.text(&copy)).then(|| {
                let message = format!("not what `{original}` is: copy that, or remove this");
                Violation::new(&copy, 0, message)
            })
        })
        .collect()
}

/// The images have the version of the workspace.
fn versions(tree: &Tree) -> Vec<Violation> {
    let cargo = tree.text("Cargo.toml").unwrap_or_default();
    let version = cargo
        .split_once("[workspace.package]")
        .and_then(|(_, section)| section.split_once("version = \""))
        .and_then(|(_, rest)| rest.split('"').next())
        .unwrap_or_default();
    let places = [
        (format!("{CHART}/Chart.yaml"), "version: "),
        (format!("{CHART}/Chart.yaml"), "appVersion: "),
        (QUICKSTART.to_owned(), "  image: localhost/weir:"),
    ];
    let mut found = Vec::new();
    for (path, before) in places {
        let Some(text) = tree.text(&path) else {
            continue;
        };
        let mut lines = numbered(text).filter_map(|(number, line)| {
            let said = line.strip_prefix(before)?;
            Some((number, said.trim_matches('"')))
        });
        let message = format!("`{}` must say the workspace's {version}", before.trim());
        match lines.next() {
            Some((_, said)) if said == version => {}
            Some((number, _)) => found.push(Violation::new(&path, number, message)),
            None => found.push(Violation::new(&path, 0, message)),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARGO: (&str, &str) = ("Cargo.toml", "[workspace.package]\nversion = \"1.2.3\"\n");

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let tree = Tree::of_files([CARGO].into_iter().chain(files.iter().copied()));
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_definition_is_copied_whole() {
        let copy = "charts/weir-operator/files/crds/a.yaml";
        assert!(found(&[("crds/a.yaml", "a"), (copy, "a")]).is_empty());
        let old = found(&[("crds/a.yaml", "a"), (copy, "b")]);
        assert!(old[0].starts_with(copy), "{old:?}");
        assert_eq!(found(&[("crds/a.yaml", "a")]).len(), 1);
        assert_eq!(found(&[(copy, "a")]).len(), 1);
    }

    #[test]
    fn chart_and_quickstart_have_the_workspaces_version() {
        let chart = |text| ("charts/weir-operator/Chart.yaml", text);
        let right = chart("version: 1.2.3\nappVersion: \"1.2.3\"\n");
        let job = "spec:\n  image: localhost/weir:1.2.3\n";
        assert!(found(&[right, (QUICKSTART, job)]).is_empty());
        let old = found(&[chart("version: 1.2.2\n")]);
        assert_eq!(old.len(), 2, "{old:?}");
        assert!(old[0].contains("Chart.yaml:1: "), "{old:?}");
        let other = "spec:\n  image: localhost/weir:1.2.30\n";
        assert_eq!(found(&[right, (QUICKSTART, other)]).len(), 1);
    }
}
