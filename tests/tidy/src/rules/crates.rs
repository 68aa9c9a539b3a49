//! Which crate may know which, inside the workspace and outside of it.
//!
//! The rows keep the arrows pointing one way, so that a crate can be read, tested and changed with
//! only the rows above it in mind. A heavy dependency lives in the few crates that are about it:
//! nobody waits for a web server to compile in order to test the graph.

use crate::{Kind, Tree, Violation, Workspace};

/// A crate may depend on crates of rows above its own, never on siblings. A new crate is added
/// here.
const ROWS: &[&[&str]] = &[
    &["weir-types"],
    &[
        "weir-graph",
        "weir-state",
        "weir-network",
        "weir-storage",
        "weir-crd",
        "weir-lease",
    ],
    &["weir-checkpoint", "weir-state-rocksdb", "weir-controller"],
    &["weir-rpc", "weir-stream"],
    &["weir-rest", "weir-connectors", "weir-api", "weir-task"],
    &["weir-taskmanager", "weir-jobmanager"],
    &["weir-cli", "weir-programs"],
    &["weir", "weir-operator"],
    &["weir-testkit"],
    &[
        "weir-tests-tidy",
        "weir-tests-jobs",
        "weir-tests-sim",
        "weir-tests-cluster",
        "weir-tests-k8s",
        "weir-benches",
    ],
];

/// A crate that only tests may use.
const TEST_ONLY: &str = "weir-testkit";

/// A crate, those that it must not know although the rows would allow it, and why.
const MUST_NOT_KNOW: &[(&str, &[&str], &str)] = &[
    (
        "weir-jobmanager",
        &[
            "weir-taskmanager",
            "weir-task",
            "weir-api",
            "weir-connectors",
            "weir-rest",
        ],
        "it schedules graphs and speaks to tasks through the gateways of weir-rpc",
    ),
    (
        "weir-taskmanager",
        &[
            "weir-jobmanager",
            "weir-api",
            "weir-connectors",
            "weir-rest",
        ],
        "it runs what it is told through the gateways of weir-rpc; the registry is injected",
    ),
    (
        "weir-task",
        &["weir-rpc"],
        "a task does not know who scheduled it",
    ),
    (
        "weir-stream",
        &["weir-rpc"],
        "operators do not know the control plane",
    ),
    (
        "weir-connectors",
        &["weir-rpc"],
        "connectors do not know the control plane",
    ),
    (
        "weir-api",
        &["weir-rpc"],
        "a program yields a graph and never runs it",
    ),
    (
        "weir-programs",
        &[
            "weir-rpc",
            "weir-task",
            "weir-taskmanager",
            "weir-jobmanager",
            "weir-rest",
        ],
        "a program is written against the API alone",
    ),
    (
        "weir-cli",
        &[
            "weir-task",
            "weir-taskmanager",
            "weir-jobmanager",
            "weir-network",
        ],
        "the command line does not know how jobs run; the binary injects that",
    ),
    (
        "weir-crd",
        &["weir-graph", "weir-state", "weir-network"],
        "the manifest knows no runtime",
    ),
];

/// Dependencies from outside that only some crates may have: a name (with `*` at the end for a
/// family), the crates, and why.
const ONLY_IN: &[(&str, &[&str], &str)] = &[
    (
        "kube*",
        &["weir-operator"],
        "the Kubernetes client belongs to the operator's binary: whatever decides is pure",
    ),
    (
        "k8s-openapi",
        &["weir-operator"],
        "the Kubernetes client belongs to the operator's binary: whatever decides is pure",
    ),
    (
        "aws-*",
        &["weir-storage"],
        "object storage has a crate of its own",
    ),
    (
        "rocksdb",
        &["weir-state-rocksdb", "weir-controller"],
        "the RocksDB tier has a crate of its own",
    ),
    (
        "librocksdb*",
        &[],
        "the RocksDB tier has a crate of its own",
    ),
    (
        "tonic*",
        &["weir-rpc"],
        "wire types stay behind the gateways of weir-rpc",
    ),
    (
        "prost*",
        &["weir-rpc"],
        "wire types stay behind the gateways of weir-rpc",
    ),
    (
        "protox*",
        &["weir-rpc"],
        "wire types stay behind the gateways of weir-rpc",
    ),
    ("axum*", &["weir-rest"], "HTTP is served by weir-rest alone"),
    (
        "tokio*",
        &[
            "weir-network",
            "weir-storage",
            "weir-rpc",
            "weir-rest",
            "weir-taskmanager",
            "weir-jobmanager",
            "weir-cli",
            "weir",
            "weir-operator",
            "weir-testkit",
            "weir-tests-jobs",
            "weir-benches",
        ],
        "tokio drives sockets; graphs, state, operators and tasks are synchronous code",
    ),
    (
        "clap*",
        &["weir-cli", "weir", "weir-operator", "weir-benches"],
        "arguments are parsed at the edge",
    ),
    (
        "anyhow",
        &[
            "weir-cli",
            "weir",
            "weir-operator",
            "weir-benches",
            "weir-testkit",
            "weir-tests-jobs",
        ],
        "a library names the operation that failed in an error type of its own",
    ),
    (
        "tracing-subscriber",
        &[
            "weir-cli",
            "weir",
            "weir-operator",
            "weir-benches",
            "weir-testkit",
            "weir-tests-jobs",
        ],
        "where events go is decided once, in the binary",
    ),
    (
        "mimalloc",
        &["weir", "weir-benches"],
        "only a program chooses the allocator",
    ),
];

/// Of those, what the tests and examples of any crate may use. The rest costs build time there too.
const FREE_IN_TESTS: &[&str] = &["anyhow", "mimalloc", "tracing-subscriber"];

/// Checks every dependency of every crate.
pub fn check(workspace: &Workspace, tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for package in &workspace.packages {
        if row(&package.name).is_none() {
            found.push(Violation::new(
                &package.manifest(),
                0,
                format!(
                    "`{}` stands in no row: add it to ROWS in {}",
                    package.name,
                    file!()
                ),
            ));
        }
        for dependency in &package.dependencies {
            let complaint = if workspace.package(&dependency.name).is_some() {
                inside(&package.name, &dependency.name, dependency.kind)
            } else {
                outside(&package.name, &dependency.name, dependency.kind)
            };
            if let Some(message) = complaint {
                let line = package.line_of(tree, &dependency.name);
                found.push(Violation::new(&package.manifest(), line, message));
            }
        }
    }
    found
}

fn inside(from: &str, to: &str, kind: Kind) -> Option<String> {
    if to == TEST_ONLY {
        let fine = kind == Kind::Dev || row(from) > row(TEST_ONLY);
        return (!fine).then(|| format!("`{to}` is for tests: move it to [dev-dependencies]"));
    }
    let forbidden = MUST_NOT_KNOW
        .iter()
        .find(|(name, others, _)| *name == from && others.contains(&to));
    if let Some((_, _, reason)) = forbidden {
        return Some(format!("`{from}` must not depend on `{to}`: {reason}"));
    }
    let (Some(own), Some(other)) = (row(from), row(to)) else {
        return None;
    };
    (other >= own).then(|| {
        format!(
            "`{from}` must not depend on `{to}`, which is not in a row above it ({}): \
             move what both need upwards, or turn the dependency into a trait",
            file!()
        )
    })
}

fn outside(from: &str, to: &str, kind: Kind) -> Option<String> {
    if kind == Kind::Dev && FREE_IN_TESTS.contains(&to) {
        return None;
    }
    let (_, crates, reason) = ONLY_IN
        .iter()
        .find(|(pattern, _, _)| matches(pattern, to))?;
    (!crates.contains(&from)).then(|| format!("`{from}` must not depend on `{to}`: {reason}"))
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == pattern,
    }
}

fn row(name: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::fixture::{dependency, workspace};

    fn messages(crates: &[(&str, &[&str])]) -> Vec<String> {
        let found = check(&workspace(crates), &Tree::default());
        found
            .into_iter()
            .map(|violation| violation.message)
            .collect()
    }

    #[test]
    fn arrows_that_point_upwards_are_fine() {
        let crates: &[(&str, &[&str])] = &[
            ("weir-types", &["serde"]),
            ("weir-network", &["weir-types", "tokio"]),
            ("weir-stream", &["weir-types", "weir-network"]),
        ];
        assert_eq!(messages(crates), Vec::<String>::new());
    }

    #[test]
    fn a_sibling_and_a_lower_row_are_refused() {
        let sibling = messages(&[("weir-graph", &[]), ("weir-state", &["weir-graph"])]);
        assert!(sibling[0].contains("not in a row above"), "{sibling:?}");
        let lower = messages(&[("weir-graph", &["weir-task"]), ("weir-task", &[])]);
        assert!(lower[0].contains("not in a row above"), "{lower:?}");
    }

    #[test]
    fn the_two_managers_never_know_each_other() {
        for (from, to) in [
            ("weir-jobmanager", "weir-taskmanager"),
            ("weir-taskmanager", "weir-jobmanager"),
        ] {
            let found = messages(&[(from, &[to]), (to, &[])]);
            assert!(found[0].contains("gateways"), "{found:?}");
        }
    }

    #[test]
    fn heavy_dependencies_stay_in_their_crates() {
        for (from, to) in [
            ("weir-types", "tokio"),
            ("weir-stream", "tokio-stream"),
            ("weir-jobmanager", "tonic"),
            ("weir-crd", "kube-core"),
            ("weir-state", "rocksdb"),
            ("weir-connectors", "aws-sdk-s3"),
        ] {
            let found = messages(&[(from, &[to])]);
            assert!(
                found[0].contains("must not depend on"),
                "{from} -> {to}: {found:?}"
            );
        }
    }

    #[test]
    fn tests_may_choose_their_allocator_but_not_bring_a_runtime() {
        let mut graph = workspace(&[("weir-graph", &[])]);
        graph.packages[0]
            .dependencies
            .push(dependency("mimalloc", Kind::Dev));
        assert_eq!(check(&graph, &Tree::default()), []);
        graph.packages[0]
            .dependencies
            .push(dependency("tokio", Kind::Dev));
        assert_eq!(check(&graph, &Tree::default()).len(), 1);
    }

    #[test]
    fn the_test_kit_is_for_tests_only() {
        let found = messages(&[("weir-graph", &["weir-testkit"]), ("weir-testkit", &[])]);
        assert!(found[0].contains("[dev-dependencies]"), "{found:?}");

        let mut fine = workspace(&[("weir-graph", &[]), ("weir-testkit", &[])]);
        fine.packages[0]
            .dependencies
            .push(dependency("weir-testkit", Kind::Dev));
        assert_eq!(check(&fine, &Tree::default()), []);
    }

    #[test]
    fn a_crate_without_a_row_is_found() {
        let found = messages(&[("weir-new", &[])]);
        assert!(found[0].contains("stands in no row"), "{found:?}");
    }

    #[test]
    fn the_line_of_the_dependency_is_told() {
        let tree = Tree::of_files([(
            "worker/graph/Cargo.toml",
            "[dependencies]\ntokio-stream.workspace = true\ntokio.workspace = true\n",
        )]);
        let found = check(&workspace(&[("weir-graph", &["tokio"])]), &tree);
        assert_eq!(
            (found[0].path.as_str(), found[0].line),
            ("worker/graph/Cargo.toml", 3)
        );
    }
}
