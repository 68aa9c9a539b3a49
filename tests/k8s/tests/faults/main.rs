//! All that can happen to jobs on Kubernetes and takes longer, or hurts what all jobs use: nodes,
//! the API server, the storage, operators. `make k8s-faults` runs this, one test after the other;
//! the table in docs/reliability.md names what each failure is shown by.
//!
//! By hand: `tests/k8s/with-stand tests/k8s/with-operator cargo test -p weir-tests-k8s --test
//! faults -- --include-ignored --test-threads=1 NAME`.

mod control_plane;
mod deletion;
mod endings;
mod nodes;
mod requests;
mod storage;
mod versions;

use serde_json::{Value, json};

/// What makes another revision and changes nothing of the output.
fn revision(name: &str) -> Value {
    json!({ "job": { "env": [{ "name": "REVISION", "value": name }] } })
}
