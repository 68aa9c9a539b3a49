//! The crates of the workspace, as `cargo metadata` describes them.
//!
//! Only what the manifests say is asked for (`--no-deps`), so nothing is resolved or downloaded.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::Tree;

/// All crates of the workspace.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    /// In the order of `cargo metadata`.
    pub packages: Vec<Package>,
}

/// One crate.
#[derive(Clone, Debug)]
pub struct Package {
    /// The package's name, as `weir-graph`.
    pub name: String,
    /// Its folder relative to the root, as `worker/graph`.
    pub dir: String,
    /// The root file of each target (library, binary, test, bench, example, build script).
    pub targets: Vec<String>,
    /// What its manifest asks for.
    pub dependencies: Vec<Dependency>,
}

/// An entry of a manifest's dependency tables.
#[derive(Clone, Debug)]
pub struct Dependency {
    /// The name of the package, also where it was renamed.
    pub name: String,
    /// The name the code uses.
    pub ident: String,
    /// Which table it stands in.
    pub kind: Kind,
}

/// The table that a dependency stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `[dependencies]`
    Normal,
    /// `[dev-dependencies]`
    Dev,
    /// `[build-dependencies]`
    Build,
}

/// Why the workspace could not be read.
#[derive(Debug)]
pub enum WorkspaceError {
    /// Cargo could not be started.
    StartCargo(std::io::Error),
    /// Cargo refused; its message.
    ReadMetadata(String),
    /// Cargo answered something else than metadata.
    ParseMetadata(String),
}

impl Workspace {
    /// Asks cargo about the workspace at `root`.
    pub fn load(root: &Path) -> Result<Workspace, WorkspaceError> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let answer = Command::new(cargo)
            .args([
                "metadata",
                "--no-deps",
                "--offline",
                "--format-version",
                "1",
            ])
            .current_dir(root)
            .output()
            .map_err(WorkspaceError::StartCargo)?;
        if !answer.status.success() {
            let message = String::from_utf8_lossy(&answer.stderr).trim().to_owned();
            return Err(WorkspaceError::ReadMetadata(message));
        }
        let metadata: Value = serde_json::from_slice(&answer.stdout)
            .map_err(|error| WorkspaceError::ParseMetadata(error.to_string()))?;
        Workspace::from_metadata(&metadata)
            .ok_or_else(|| WorkspaceError::ParseMetadata("a field is missing".to_owned()))
    }

    fn from_metadata(metadata: &Value) -> Option<Workspace> {
        let root = metadata["workspace_root"].as_str()?;
        let packages = metadata["packages"]
            .as_array()?
            .iter()
            .map(|package| Package::from_metadata(package, root))
            .collect::<Option<Vec<_>>>()?;
        Some(Workspace { packages })
    }

    /// The crate with this name.
    pub fn package(&self, name: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.name == name)
    }
}

impl Package {
    fn from_metadata(package: &Value, root: &str) -> Option<Package> {
        let relative =
            |path: &str| Some(path.strip_prefix(root)?.trim_start_matches('/').to_owned());
        let targets = package["targets"].as_array()?.iter();
        let dependencies = package["dependencies"].as_array()?.iter();
        Some(Package {
            name: package["name"].as_str()?.to_owned(),
            dir: relative(
                package["manifest_path"]
                    .as_str()?
                    .strip_suffix("/Cargo.toml")?,
            )?,
            targets: targets
                .map(|target| relative(target["src_path"].as_str()?))
                .collect::<Option<Vec<_>>>()?,
            dependencies: dependencies
                .map(Dependency::from_metadata)
                .collect::<Option<Vec<_>>>()?,
        })
    }

    /// The path of its manifest.
    pub fn manifest(&self) -> String {
        format!("{}/Cargo.toml", self.dir)
    }

    /// The line of its manifest that asks for a dependency; 0 when there is none.
    pub(crate) fn line_of(&self, tree: &Tree, dependency: &str) -> usize {
        let text = tree.text(&self.manifest()).unwrap_or_default();
        let asks = |line: &str| {
            line.strip_prefix(dependency)
                .is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
        };
        text.lines().position(asks).map_or(0, |index| index + 1)
    }
}

impl Dependency {
    fn from_metadata(dependency: &Value) -> Option<Dependency> {
        let name = dependency["name"].as_str()?;
        let kind = match dependency["kind"].as_str() {
            Some("dev") => Kind::Dev,
            Some("build") => Kind::Build,
            _ => Kind::Normal,
        };
        let ident = dependency["rename"]
            .as_str()
            .unwrap_or(name)
            .replace('-', "_");
        Some(Dependency {
            name: name.to_owned(),
            ident,
            kind,
        })
    }
}

impl std::fmt::Display for WorkspaceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            WorkspaceError::StartCargo(_) => write!(f, "start cargo to read the workspace"),
            WorkspaceError::ReadMetadata(message) => write!(f, "read the workspace: {message}"),
            WorkspaceError::ParseMetadata(message) => {
                write!(f, "parse cargo's metadata: {message}")
            }
        }
    }
}

impl std::error::Error for WorkspaceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            WorkspaceError::StartCargo(error) => Some(error),
            WorkspaceError::ReadMetadata(_) | WorkspaceError::ParseMetadata(_) => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod fixture {
    use super::{Dependency, Kind, Package, Workspace};

    /// A workspace of crates with these normal dependencies, each in the folder `worker/<name>`.
    pub(crate) fn workspace(crates: &[(&str, &[&str])]) -> Workspace {
        let packages = crates
            .iter()
            .map(|(name, needs)| package(name, needs))
            .collect();
        Workspace { packages }
    }

    fn package(name: &str, needs: &[&str]) -> Package {
        let dir = format!("worker/{}", name.strip_prefix("weir-").unwrap_or(name));
        Package {
            name: name.to_owned(),
            targets: vec![format!("{dir}/src/lib.rs")],
            dir,
            dependencies: needs
                .iter()
                .map(|need| dependency(need, Kind::Normal))
                .collect(),
        }
    }

    pub(crate) fn dependency(name: &str, kind: Kind) -> Dependency {
        Dependency {
            name: name.to_owned(),
            ident: name.replace('-', "_"),
            kind,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_gives_folders_targets_and_the_kind_of_each_dependency() {
        let metadata = serde_json::json!({
            "workspace_root": "/w",
            "packages": [{
                "name": "weir-rpc",
                "manifest_path": "/w/worker/rpc/Cargo.toml",
                "targets": [{ "src_path": "/w/worker/rpc/src/lib.rs" }, { "src_path": "/w/worker/rpc/build.rs" }],
                "dependencies": [
                    { "name": "tokio-stream", "kind": null, "rename": null },
                    { "name": "protox", "kind": "build", "rename": "px" },
                ],
            }],
        });
        let workspace = Workspace::from_metadata(&metadata).expect("the metadata is complete");
        let rpc = workspace.package("weir-rpc").expect("the crate is there");
        assert_eq!(rpc.manifest(), "worker/rpc/Cargo.toml");
        assert_eq!(
            rpc.targets,
            ["worker/rpc/src/lib.rs", "worker/rpc/build.rs"]
        );
        assert_eq!(rpc.dependencies[0].ident, "tokio_stream");
        assert_eq!(
            (rpc.dependencies[1].ident.as_str(), rpc.dependencies[1].kind),
            ("px", Kind::Build)
        );
    }
}
