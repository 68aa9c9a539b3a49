//! A folder of one test: input, output, and what a job left in them.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::book::Counts;

/// A temporary folder.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    /// A file or folder in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file, and the folders above it.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder above")).expect("folders");
        fs::write(&path, bytes).expect("written");
        path
    }

    /// A manifest in `examples/`, and `input` and `output` (`out`) as arguments.
    pub(crate) fn job(&self, program: &str, input: &str) -> Vec<String> {
        let input = format!("input={}", self.path(input).display());
        let output = format!("output={}", self.path("out").display());
        let manifest = format!("examples/{program}.yaml");
        [manifest.as_str(), "--arg", &input, "--arg", &output]
            .map(str::to_owned)
            .into()
    }

    /// A manifest of a program of this crate that writes to `out`, with these `key: value` lines.
    pub(crate) fn manifest(&self, program: &str, args: &[&str], job: &[&str]) -> Vec<String> {
        let mut text = format!(
            "apiVersion: weir.dev/v1alpha1\nkind: StreamJob\nmetadata:\n  name: {program}\nspec:\n  \
             job:\n    program: {program}\n"
        );
        for line in job {
            text.push_str(&format!("    {line}\n"));
        }
        text.push_str("    args:\n");
        for line in args {
            text.push_str(&format!("      {line}\n"));
        }
        if !["slow", "sums"].contains(&program) {
            text.push_str(&format!("      output: {}\n", self.path("out").display()));
        }
        vec![
            self.write(&format!("{program}.yaml"), text)
                .display()
                .to_string(),
        ]
    }

    /// The names of everything in a folder, in order; none if it is not there.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder))
            .into_iter()
            .flatten()
            .flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort_unstable();
        names
    }

    /// The names of the finished files.
    pub(crate) fn finished(&self, folder: &str) -> Vec<String> {
        let names = self.names(folder).into_iter();
        names.filter(|name| !name.starts_with(['.', '_'])).collect()
    }

    /// A job that came to nothing left no file, finished or not.
    #[track_caller]
    pub(crate) fn expect_no_output(&self) {
        assert_eq!(
            self.names("out"),
            Vec::<String>::new(),
            "a failed job leaves no file"
        );
    }

    /// The rows of all finished files of a folder, file by file.
    pub(crate) fn rows(&self, folder: &str) -> Vec<Vec<String>> {
        let files = self.finished(folder).into_iter().map(|name| {
            let text = fs::read_to_string(self.path(folder).join(name)).expect("a part file");
            assert!(
                text.is_empty() || text.ends_with('\n'),
                "the last row is whole"
            );
            text.lines().map(str::to_owned).collect()
        });
        files.collect()
    }

    /// The result of a word count: each count of a word from 1 on must be there exactly once, in
    /// order, and in one file, as one subtask counts it.
    #[track_caller]
    pub(crate) fn counted(&self) -> Counts {
        let mut all = Counts::new();
        for rows in self.rows("out") {
            let mut counts: HashMap<&str, u64> = HashMap::new();
            for row in &rows {
                let (word, count) = row.rsplit_once(',').expect("a row is word,count");
                let last = counts.entry(word).or_insert(0);
                *last += 1;
                assert_eq!(
                    *last,
                    count.parse::<u64>().expect("a count"),
                    "each count of `{word}` once"
                );
            }
            for (word, count) in counts {
                let again = all.insert(unquoted(word), count);
                assert_eq!(again, None, "`{word}` is counted in two files");
            }
        }
        all
    }
}

/// The text of a CSV field (RFC 4180).
fn unquoted(field: &str) -> String {
    let inner = field
        .strip_prefix('"')
        .and_then(|field| field.strip_suffix('"'));
    match inner {
        Some(inner) => inner.replace("\"\"", "\""),
        None => {
            assert!(!field.contains(['"', ',']), "`{field}` needs quotes");
            field.to_owned()
        }
    }
}
