//! The files of the repository, in memory.
//!
//! Tracked files and those not yet tracked but not ignored either, so that a new file is held to
//! the rules before it is committed. Git decides; the rules never look at the disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file's text, or nothing where it is not text.
#[derive(Clone, Debug)]
struct File {
    text: Option<String>,
}

/// Every file by its path relative to the root, with `/` between the parts.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    files: BTreeMap<String, File>,
}

/// Why the repository could not be read.
#[derive(Debug)]
pub enum TreeError {
    /// Git could not be started.
    StartGit(std::io::Error),
    /// Git refused; its message.
    ListFiles(String),
    /// A file that git lists could not be read.
    ReadFile(PathBuf, std::io::Error),
}

impl Tree {
    /// The files below `root` that git tracks, or would if they were added.
    pub fn of_repository(root: &Path) -> Result<Tree, TreeError> {
        let listing = Command::new("git")
            .args([
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ])
            .current_dir(root)
            .output()
            .map_err(TreeError::StartGit)?;
        if !listing.status.success() {
            let message = String::from_utf8_lossy(&listing.stderr).trim().to_owned();
            return Err(TreeError::ListFiles(message));
        }
        let mut tree = Tree::default();
        for path in String::from_utf8_lossy(&listing.stdout).split_terminator('\0') {
            let absolute = root.join(path);
            // A deletion that is not committed yet: git still lists the file.
            if !absolute.is_file() {
                continue;
            }
            let bytes =
                std::fs::read(&absolute).map_err(|error| TreeError::ReadFile(absolute, error))?;
            tree.files.insert(
                path.to_owned(),
                File {
                    text: String::from_utf8(bytes).ok(),
                },
            );
        }
        Ok(tree)
    }

    /// A tree of these files, for the tests of the rules.
    pub fn of_files<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Tree {
        let files = files
            .into_iter()
            .map(|(path, text)| {
                (
                    path.to_owned(),
                    File {
                        text: Some(text.to_owned()),
                    },
                )
            })
            .collect();
        Tree { files }
    }

    /// All paths, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Path and text of every text file, sorted by path.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .filter_map(|(path, file)| Some((path.as_str(), file.text.as_deref()?)))
    }

    /// Path and text of the files whose name ends with one of `suffixes`.
    pub fn texts_ending<'a>(
        &'a self,
        suffixes: &'a [&str],
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.texts()
            .filter(|(path, _)| suffixes.iter().any(|suffix| path.ends_with(suffix)))
    }

    /// The Rust files of the workspace.
    pub fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts_ending(&[".rs"])
            .filter(|(path, _)| !path.starts_with("benches/limit/"))
    }

    /// The text of one file.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.text.as_deref()
    }

    /// Whether there is a file or a folder at `path`; the root is the empty path.
    pub fn exists(&self, path: &str) -> bool {
        path.is_empty() || self.files.contains_key(path) || self.below(path).next().is_some()
    }

    /// The paths of the files below a folder.
    pub fn below<'a>(&'a self, folder: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let prefix = format!("{folder}/");
        self.files
            .range(prefix.clone()..)
            .map(|(path, _)| path.as_str())
            .take_while(move |path| path.starts_with(&prefix))
    }
}

impl std::fmt::Display for TreeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TreeError::StartGit(_) => write!(f, "start git to list the files of the repository"),
            TreeError::ListFiles(message) => {
                write!(f, "list the files of the repository: {message}")
            }
            TreeError::ReadFile(path, _) => write!(f, "read `{}`", path.display()),
        }
    }
}

impl std::error::Error for TreeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TreeError::StartGit(error) | TreeError::ReadFile(_, error) => Some(error),
            TreeError::ListFiles(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_exists_when_a_file_is_below_it_and_not_when_a_name_merely_begins_alike() {
        let tree = Tree::of_files([("docs/adr/0001-a.md", ""), ("docs-old", "")]);
        assert!(tree.exists("docs/adr"));
        assert!(tree.exists("docs/adr/0001-a.md"));
        assert!(tree.exists(""));
        assert!(!tree.exists("docs/ad"));
        assert!(!tree.exists("docs/adr/0001-a.md/x"));
    }
}
