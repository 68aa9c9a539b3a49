//! The rules, applied to this repository.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use weir_tests_tidy::rules::{
    attributes, budgets, charts, citations, crates, documents, layout, links, manifests, programs,
    reachability,
};
use weir_tests_tidy::{Tree, Violation, Workspace};

/// Cargo says at run time where the manifest lies. The compiled-in path would be that of another
/// checkout when two of them share a build folder.
fn root() -> PathBuf {
    let dir = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo runs these tests");
    Path::new(&dir)
        .ancestors()
        .nth(2)
        .expect("the crate lies in tests/tidy")
        .to_owned()
}

static TREE: LazyLock<Tree> =
    LazyLock::new(|| Tree::of_repository(&root()).expect("the repository can be read"));
static WORKSPACE: LazyLock<Workspace> =
    LazyLock::new(|| Workspace::load(&root()).expect("the workspace can be read"));

#[track_caller]
fn none(violations: &[Violation]) {
    let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert!(
        lines.is_empty(),
        "{} violation(s)\n{}\n",
        lines.len(),
        lines.join("\n")
    );
}

#[test]
fn the_tree_and_the_workspace_are_those_of_this_repository() {
    assert!(TREE.exists("tests/tidy/tests/repository.rs"));
    assert!(
        WORKSPACE
            .package("weir-types")
            .is_some_and(|types| types.dir == "worker/types")
    );
    assert!(WORKSPACE.package("serde").is_none());
}

#[test]
fn crates_know_only_what_they_may() {
    none(&crates::check(&WORKSPACE, &TREE));
}

#[test]
fn manifests_inherit_from_the_workspace_and_ask_for_nothing_in_vain() {
    none(&manifests::check(&WORKSPACE, &TREE));
}

#[test]
fn files_stay_within_their_budget() {
    none(&budgets::check(&TREE));
}

#[test]
fn every_rust_file_is_reached() {
    none(&reachability::check(&WORKSPACE, &TREE));
}

#[test]
fn exceptions_have_reasons_and_tests_are_sentences() {
    none(&attributes::check(&TREE));
}

#[test]
fn nothing_refers_to_what_a_reader_does_not_have() {
    none(&citations::check(&TREE));
}

#[test]
fn links_lead_somewhere() {
    none(&links::check(&TREE));
}

#[test]
fn decision_records_are_numbered_and_linked() {
    none(&documents::decisions(&TREE));
}

#[test]
fn error_codes_have_pages() {
    none(&documents::error_codes(&TREE));
}

#[test]
fn files_lie_where_they_belong() {
    none(&layout::check(&TREE));
}

#[test]
fn programs_have_a_manifest_and_a_page() {
    none(&programs::check(&TREE));
}

#[test]
fn the_chart_repeats_the_repository_faithfully() {
    none(&charts::check(&TREE));
}

#[test]
fn the_charts_page_describes_its_values() {
    let table = Command::new(root().join("tests/tools/chart-table"))
        .arg("--check")
        .output()
        .expect("the script starts");
    assert!(
        table.status.success(),
        "{}{}",
        String::from_utf8_lossy(&table.stdout),
        String::from_utf8_lossy(&table.stderr)
    );
}
