//! The rules of the repository as a test suite.
//!
//! What a reviewer would otherwise have to see by eye is checked here: which crate may know which,
//! how long a file may grow, that no file is dead, that every link leads somewhere, that nothing
//! refers to what a reader of the repository does not have.
//!
//! Each rule is a plain function from a [`Tree`] (the tracked files, in memory) and, where it asks
//! about crates, a [`Workspace`] (what `cargo metadata` says) to a list of [`Violation`]s. A rule
//! reads no file and starts no process; only [`Tree::of_repository`] and [`Workspace::load`] do. So
//! every rule has tests with a planted violation, next to it. `tests/repository.rs` applies all of
//! them to this repository. The lists that change as the project grows (rows of crates, long files
//! with their reasons, entries of the top level) are constants at the head of their rule.

mod text;
mod tree;
mod violation;
mod workspace;

pub mod rules;

pub use tree::{Tree, TreeError};
pub use violation::Violation;
pub use workspace::{Dependency, Kind, Package, Workspace, WorkspaceError};
