//! The binary that these tests start, and a small job for it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use weir_testkit::{Ended, JobManager, Process, command};

/// `weir` with these arguments, not started yet.
pub(crate) fn weir<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    command(Path::new(env!("CARGO_BIN_EXE_weir")), args)
}

/// Runs `weir` to its end.
#[track_caller]
pub(crate) fn done<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Ended {
    Process::start(weir(args)).wait()
}

/// Starts `weir jobmanager`, whose name is the first argument.
#[track_caller]
pub(crate) fn jobmanager(args: &[String]) -> JobManager {
    JobManager::of_command(weir(args))
}

/// A folder with a text to count and a place for the counts.
pub(crate) struct Words {
    folder: TempDir,
}

impl Words {
    /// A text of this many lines, in which each word's count is another one.
    pub(crate) fn new(lines: usize) -> Self {
        let mut text = String::new();
        for line in 0..lines {
            // "b,c" needs quotes in CSV; the last word is another one in each line.
            writeln!(text, "a \"b,c\"  word{} über\tl{line}", line % 7).expect("a text");
        }
        Self::of_bytes(text.as_bytes())
    }

    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("input.txt"), bytes).expect("the input is written");
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The arguments of a word count of it.
    pub(crate) fn args(&self, command: &str) -> Vec<String> {
        let arg = |name: &str, file: &str| format!("{name}={}", self.path(file).display());
        let words = [command, "examples/wordcount.yaml", "--arg"].map(str::to_owned);
        let mut args = words.to_vec();
        args.extend([
            arg("input", "input.txt"),
            "--arg".to_owned(),
            arg("output", "out"),
        ]);
        args
    }

    /// The counts as counted here.
    pub(crate) fn expected(&self) -> BTreeMap<String, u64> {
        let text = fs::read_to_string(self.path("input.txt")).expect("a text");
        let mut counts = BTreeMap::new();
        for word in text.split_whitespace() {
            *counts.entry(word.to_owned()).or_insert(0) += 1;
        }
        counts
    }

    /// The names of the finished files.
    pub(crate) fn finished(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("out"))
            .into_iter()
            .flatten()
            .flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| !name.starts_with(['.', '_'])).collect()
    }

    /// The counts as counted by the job: a running count only grows, so its last is its largest.
    /// Each update must be there exactly once.
    pub(crate) fn counted(&self) -> BTreeMap<String, u64> {
        let mut updates: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for name in self.finished() {
            let text = fs::read_to_string(self.path("out").join(name)).expect("a part file");
            for row in text.lines() {
                let (word, count) = row.rsplit_once(',').expect("a row is word,count");
                let quoted = word
                    .strip_prefix('"')
                    .and_then(|word| word.strip_suffix('"'));
                let word =
                    quoted.map_or_else(|| word.to_owned(), |word| word.replace("\"\"", "\""));
                updates
                    .entry(word)
                    .or_default()
                    .push(count.parse().expect("a count"));
            }
        }
        let mut counts = BTreeMap::new();
        for (word, mut seen) in updates {
            seen.sort_unstable();
            let all: Vec<u64> = (1..=seen.len() as u64).collect();
            assert_eq!(seen, all, "each count of `{word}` comes once");
            counts.insert(word, seen.len() as u64);
        }
        counts
    }
}
