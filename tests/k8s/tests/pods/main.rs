//! Jobs in pods, one test for each operation and each thing that can happen to their pods and
//! objects within a minute. `make test` runs this on the stand; what takes longer is in `faults`.
//!
//! By hand: `tests/k8s/with-stand tests/k8s/with-operator cargo test -p weir-tests-k8s --test
//! pods NAME`.

mod life;
mod objects;
mod operators;
mod processes;
mod rollbacks;
mod snapshots;
mod upgrades;
