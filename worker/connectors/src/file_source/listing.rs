//! Finds the files that a path names: itself, everything in the folder and the folders below it,
//! or whatever a pattern matches (Flink's `NonSplittingRecursiveEnumerator`, plus patterns).

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use glob::MatchOptions;

use super::FileSourceError;

/// The files by name, with their sizes. Empty only for a folder without files.
pub(super) fn list_files(path: &Path) -> Result<Vec<(PathBuf, u64)>, FileSourceError> {
    let path = local(path)?;
    let mut files = Files::default();
    match fs::metadata(path) {
        Ok(metadata) => files.add(path.to_owned(), &metadata)?,
        Err(error) if is_missing(error.kind()) => match path.to_str().filter(|p| is_pattern(p)) {
            Some(pattern) => files.add_matches(pattern)?,
            None => {
                return Err(FileSourceError::NoSuchFile {
                    path: path.to_owned(),
                });
            }
        },
        Err(source) => {
            return Err(FileSourceError::LookUp {
                path: path.to_owned(),
                source,
            });
        }
    }
    Ok(files.found.into_iter().collect())
}

/// Strips `file://`; other schemes are refused, or they would be looked for as folders.
fn local(path: &Path) -> Result<&Path, FileSourceError> {
    let Some((scheme, rest)) = path.to_str().and_then(|text| text.split_once("://")) else {
        return Ok(path);
    };
    if scheme == "file" && rest.starts_with('/') {
        return Ok(Path::new(rest));
    }
    if scheme.chars().all(|c| c.is_ascii_alphanumeric()) {
        return Err(FileSourceError::NotLocal {
            path: path.to_owned(),
        });
    }
    Ok(path)
}

fn is_missing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

/// Names of files that are hidden or not finished.
fn is_hidden(name: &str) -> bool {
    name.starts_with(['.', '_'])
}

#[derive(Default)]
struct Files {
    found: BTreeMap<PathBuf, u64>,
    /// The folders above the one being listed: a link back to one of them is not followed again.
    above: Vec<(u64, u64)>,
}

impl Files {
    fn add(&mut self, path: PathBuf, metadata: &Metadata) -> Result<(), FileSourceError> {
        if metadata.is_dir() {
            self.add_folder(&path, metadata)
        } else if metadata.is_file() {
            self.found.insert(path, metadata.len());
            Ok(())
        } else {
            Err(FileSourceError::NotAFile { path })
        }
    }

    fn add_folder(&mut self, folder: &Path, metadata: &Metadata) -> Result<(), FileSourceError> {
        let identity = (metadata.dev(), metadata.ino());
        if self.above.contains(&identity) {
            return Ok(());
        }
        self.above.push(identity);
        let error = |source| FileSourceError::ListFolder {
            path: folder.to_owned(),
            source,
        };
        for entry in fs::read_dir(folder).map_err(error)? {
            let entry = entry.map_err(error)?;
            if !is_hidden(&entry.file_name().to_string_lossy()) {
                self.add_found(entry.path())?;
            }
        }
        self.above.pop();
        Ok(())
    }

    fn add_found(&mut self, path: PathBuf) -> Result<(), FileSourceError> {
        match fs::metadata(&path) {
            Ok(metadata) => self.add(path, &metadata),
            Err(source) => Err(FileSourceError::LookUp { path, source }),
        }
    }

    fn add_matches(&mut self, pattern: &str) -> Result<(), FileSourceError> {
        let options = MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: true,
        };
        let matches =
            glob::glob_with(pattern, options).map_err(|error| FileSourceError::Pattern {
                pattern: pattern.to_owned(),
                reason: error.msg,
                position: error.pos,
            })?;
        let mut matched = false;
        for path in matches {
            let path = path.map_err(|error| {
                let path = error.path().to_owned();
                FileSourceError::ListFolder {
                    path,
                    source: error.into(),
                }
            })?;
            if !is_hidden_match(pattern, &path) {
                matched = true;
                self.add_found(path)?;
            }
        }
        if !matched {
            return Err(FileSourceError::NoMatch {
                pattern: pattern.to_owned(),
            });
        }
        Ok(())
    }
}

/// Whether a wild card, and not the user's own text, matched a hidden name.
fn is_hidden_match(pattern: &str, path: &Path) -> bool {
    let names = |path| Path::components(path).filter(|part| matches!(part, Component::Normal(_)));
    let is_text = |part: &Component<'_>| !is_pattern(&part.as_os_str().to_string_lossy());
    let fixed = names(Path::new(pattern)).take_while(is_text).count();
    let meant = |start: char| {
        names(Path::new(pattern))
            .skip(fixed)
            .any(|part| part.as_os_str().to_string_lossy().starts_with(start))
    };
    let (dots, underscores) = (meant('.'), meant('_'));
    names(path).skip(fixed).any(|part| {
        let name = part.as_os_str().to_string_lossy();
        name.starts_with('.') && !dots || name.starts_with('_') && !underscores
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    fn folder(files: &[&str]) -> TempDir {
        let folder = tempfile::tempdir().expect("makes a folder");
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().expect("has a parent")).expect("makes a folder");
            fs::write(path, file.as_bytes()).expect("writes");
        }
        folder
    }

    fn names(folder: &TempDir, path: &str) -> Vec<String> {
        let files = list_files(&folder.path().join(path)).expect("lists");
        let relative = |(path, size): (PathBuf, u64)| {
            let name = path
                .strip_prefix(folder.path())
                .expect("is inside")
                .display()
                .to_string();
            assert_eq!(size, name.len() as u64, "each file holds its name");
            name
        };
        files.into_iter().map(relative).collect()
    }

    #[test]
    fn a_folder_lists_nested_files_by_name_without_hidden_ones() {
        let folder = folder(&["b", "a/2", "a/1", ".part", "_success", "_tmp/x", "c.d/.e/x"]);
        assert_eq!(names(&folder, ""), ["a/1", "a/2", "b"]);
    }

    #[test]
    fn a_file_that_is_named_outright_is_read_even_if_hidden() {
        assert_eq!(names(&folder(&["_x"]), "_x"), ["_x"]);
    }

    #[test]
    fn patterns_match_within_and_across_folders() {
        let folder = folder(&[
            "log-1.txt",
            "log-2.txt",
            "log-10.txt",
            "x/log-3.txt",
            "x/y/z.txt",
        ]);
        assert_eq!(names(&folder, "log-?.txt"), ["log-1.txt", "log-2.txt"]);
        assert_eq!(names(&folder, "log-[!2].txt"), ["log-1.txt"]);
        assert_eq!(names(&folder, "*/*.txt"), ["x/log-3.txt"]);
        assert_eq!(names(&folder, "**/log-3.txt"), ["x/log-3.txt"]);
        assert_eq!(
            names(&folder, "x*"),
            ["x/log-3.txt", "x/y/z.txt"],
            "a matched folder is listed"
        );
        assert_eq!(
            names(&folder, "**").len(),
            2,
            "`**` is every folder below, and each file once"
        );
    }

    #[test]
    fn a_wild_card_matches_no_hidden_name_unless_it_is_written_out() {
        let folder = folder(&["_a/x", "b/_x", "b/x", "b/.x"]);
        assert_eq!(names(&folder, "*/*"), ["b/x"]);
        assert_eq!(names(&folder, "*/_*"), ["b/_x"]);
        assert_eq!(names(&folder, "_a/*"), ["_a/x"]);
    }

    #[test]
    fn a_name_with_the_letters_of_a_pattern_is_a_name_first() {
        assert_eq!(names(&folder(&["a[1]", "a1"]), "a[1]"), ["a[1]"]);
    }

    #[test]
    fn a_link_back_to_its_own_folder_ends() {
        let folder = folder(&["a/1"]);
        symlink(folder.path(), folder.path().join("a/up")).expect("links");
        assert_eq!(names(&folder, ""), ["a/1"]);
    }

    #[test]
    fn what_cannot_be_listed_is_named() {
        let folder = folder(&["file"]);
        let at = |name: &str| folder.path().join(name);
        let error = |path: PathBuf| list_files(&path).expect_err("cannot be listed").to_string();
        let path = at("nothing");
        assert_eq!(
            error(path.clone()),
            format!("no such file: {}", path.display())
        );
        let path = at("file/below");
        assert_eq!(
            error(path.clone()),
            format!("no such file: {}", path.display())
        );
        let pattern = at("*.csv");
        assert_eq!(
            error(pattern.clone()),
            format!("no file matches `{}`", pattern.display())
        );
        assert!(error(at("a**")).contains("pattern"), "{}", error(at("a**")));
        symlink(at("turn"), at("turn")).expect("links");
        assert_eq!(
            error(at("turn")),
            format!("look up {}", at("turn").display())
        );
        assert_eq!(
            error("/dev/null".into()),
            "/dev/null is neither a file nor a folder"
        );
        assert_eq!(
            error("s3://bucket/x".into()),
            "only local files can be read, not s3://bucket/x"
        );
        let metadata = fs::metadata(at("")).expect("is there");
        let error = Files::default()
            .add_folder(&at("file"), &metadata)
            .expect_err("is no folder");
        assert_eq!(
            error.to_string(),
            format!("list the folder {}", at("file").display())
        );
    }

    #[test]
    fn an_empty_folder_is_an_empty_input() {
        assert_eq!(list_files(folder(&[]).path()).expect("lists"), []);
    }
}
