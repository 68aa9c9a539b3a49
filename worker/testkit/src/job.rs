//! Jobs with inputs made up from a seed, and outputs counted in another way than the programs do.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{Multiset, Random, S3Server};
use tempfile::TempDir;

/// Heartbeats that are missed soon, and restarts that do not wait long: tests have little time.
const MANIFEST: &str = "\
apiVersion: weir.dev/v1alpha1
kind: StreamJob
metadata:
  name: NAME
spec:
  job:
    program: NAME
    parallelism: 2
    config:
      heartbeat.interval: 300ms
      heartbeat.timeout: 2s
  restartStrategy:
    type: ExponentialDelay
    initialDelay: 100ms
    maxDelay: 1s
";

/// A job, and what it is to write.
pub struct Job {
    folder: TempDir,
    output: PathBuf,
    args: Vec<String>,
    expected: Multiset,
}

impl Job {
    /// Counts the words of so many lines, read at this rate.
    pub fn wordcount(random: &mut Random, lines: usize, rate: usize) -> Self {
        let (mut text, mut expected) = (String::new(), Multiset::default());
        let mut counts: HashMap<String, u64> = HashMap::new();
        for _ in 0..lines {
            for _ in 0..8 {
                // Low numbers come more often. Long enough, and enough of them, that state is kept
                // in objects of its own.
                let number = random.below(6_000).min(random.below(6_000));
                let word = format!("word-number-{number}");
                write!(text, "{word} ").expect("a text");
                let count = counts.entry(word.clone()).or_insert(0);
                *count += 1;
                expected.extend([format!("{word},{count}")]);
            }
            text.push('\n');
        }
        Self::new("wordcount", &text, expected, &[("rate", &rate.to_string())])
    }

    /// Ranks the pages of a log with so many lines, a second apart, in windows of 20 seconds that
    /// begin every 5.
    pub fn top_pages(random: &mut Random, lines: usize, rate: usize) -> Self {
        let mut text = String::new();
        let mut windows: BTreeMap<i64, BTreeMap<String, u64>> = BTreeMap::new();
        // 2026-11-21T00:00:00Z.
        let midnight = 1_795_219_200;
        for second in 0..i64::try_from(lines).expect("not so many") {
            let page = format!("/p{}", random.below(12).min(random.below(12)));
            let (hour, minute) = (second / 3_600, second / 60 % 60);
            let time = format!("21/Nov/2026:{hour:02}:{minute:02}:{:02} +0000", second % 60);
            writeln!(
                text,
                r#"127.0.0.1 - - [{time}] "GET {page} HTTP/1.1" 200 1 "-" "x""#
            )
            .expect("a text");
            let last = (midnight + second) / 5 * 5;
            for start in [last, last - 5, last - 10, last - 15] {
                let window = windows.entry((start + 20) * 1_000).or_default();
                *window.entry(page.clone()).or_insert(0) += 1;
            }
        }
        let rows = windows.into_iter().flat_map(|(end, pages)| {
            let mut pages: Vec<(String, u64)> = pages.into_iter().collect();
            pages.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            let top = pages.into_iter().take(3).enumerate();
            let row = move |(at, (page, count))| format!("{end},{},{page},{count}", at + 1);
            top.map(row).collect::<Vec<_>>()
        });
        let rate = rate.to_string();
        let args = [
            ("rate", &*rate),
            ("window", "20"),
            ("slide", "5"),
            ("out-of-order", "1"),
        ];
        Self::new("top-pages", &text, rows.collect(), &args)
    }

    /// Finds small transactions that large ones follow, among so many of 50 accounts.
    pub fn fraud_detection(random: &mut Random, rows: usize, rate: usize) -> Self {
        let (mut text, mut expected) = (String::new(), Multiset::default());
        let mut last: HashMap<usize, (i64, bool)> = HashMap::new();
        let mut time = 1_700_000_000_000_i64;
        for _ in 0..rows {
            time += i64::try_from(random.below(2_500)).expect("small");
            let account = random.below(50);
            let amount = [0.5, 20.0, 900.25][random.below(3)];
            writeln!(text, "{account},{time},{amount}").expect("a text");
            let before = last.insert(account, (time, amount < 1.0));
            if let Some((small_at, true)) = before
                && amount > 500.0
                && time - small_at <= 60_000
            {
                expected.extend([format!(
                    r#"{{"account":{account},"small_at":{small_at},"large_at":{time},"amount":{amount}}}"#
                )]);
            }
        }
        let rate = rate.to_string();
        Self::new("fraud-detection", &text, expected, &[("rate", &rate)])
    }

    fn new(program: &str, input: &str, expected: Multiset, args: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("job.yaml"), MANIFEST.replace("NAME", program)).expect("written");
        fs::write(path("input"), input).expect("written");
        let input = format!("input={}", path("input").display());
        let output = format!("output={}", path("out").display());
        let mut all = vec![path("job.yaml").display().to_string()];
        let others = args.iter().map(|(name, value)| format!("{name}={value}"));
        for arg in [input, output].into_iter().chain(others) {
            all.extend(["--arg".to_owned(), arg]);
        }
        Self {
            output: path("out"),
            folder,
            args: all,
            expected,
        }
    }

    /// The first failure ends the job, instead of a restart.
    pub fn without_restarts(self) -> Self {
        let path = self.path("job.yaml");
        let text = fs::read_to_string(&path).expect("it was written");
        let (head, _) = text.split_once("  restartStrategy").expect("it is there");
        fs::write(&path, format!("{head}  restartStrategy:\n    type: None\n")).expect("written");
        self
    }

    /// Its keyed state lies in RocksDB, in [`Self::local`], beyond so much memory for each slot.
    pub fn on_rocksdb(self, memory: &str) -> Self {
        let path = self.path("job.yaml");
        let text = fs::read_to_string(&path).expect("it was written");
        let config = format!(
            "    config:\n      state.backend.rocksdb.localdir: {}\n      \
             state.backend.rocksdb.memory.fixed-per-slot: {memory}\n",
            self.local().display()
        );
        let text = text.replace("    config:\n", &config);
        fs::write(&path, text + "  stateBackend:\n    type: rocksdb\n").expect("written");
        self
    }

    /// Of a job in RocksDB: no TaskManager keeps copies of its checkpoints.
    pub fn without_local_recovery(self) -> Self {
        let path = self.path("job.yaml");
        let text = fs::read_to_string(&path).expect("it was written");
        let own = "  stateBackend:\n    localRecovery: false\n";
        fs::write(&path, text.replace("  stateBackend:\n", own)).expect("written");
        self
    }

    /// Where processes keep state on disk while they run.
    pub fn local(&self) -> PathBuf {
        self.path("local")
    }

    /// It keeps its state in this backend.
    pub fn with_state_backend(self, backend: &str) -> Self {
        let path = self.path("job.yaml");
        let text = fs::read_to_string(&path).expect("it was written");
        let own = format!("  stateBackend:\n    type: {backend}\n  restartStrategy");
        fs::write(&path, text.replacen("  restartStrategy", &own, 1)).expect("written");
        self
    }

    /// A place in the job's own folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// It writes to a bucket of this server instead of a folder.
    pub fn with_output_on(mut self, server: &S3Server) -> Self {
        let prefix = "results/of/it";
        let address = format!("output=s3://{}/{prefix}", S3Server::BUCKET);
        let output = self.args.iter_mut().find(|arg| arg.starts_with("output="));
        *output.expect("it has one") = address;
        self.output = server.bucket().join(prefix);
        self
    }

    /// The folder that gets the output, or in which the server keeps it.
    pub fn output(&self) -> PathBuf {
        self.output.clone()
    }

    /// The manifest and the program's arguments.
    pub fn args(&self) -> &[String] {
        &self.args
    }

    /// As fast as the machine can, instead of at a rate.
    pub fn at_full_speed(mut self) -> Self {
        let rate = self.args.iter().position(|arg| arg.starts_with("rate="));
        if let Some(at) = rate {
            self.args.drain(at - 1..=at);
        }
        self
    }

    /// How many rows it is to write.
    pub fn rows(&self) -> u64 {
        self.expected.len()
    }

    /// How many rows are published so far.
    pub fn published(&self) -> u64 {
        Multiset::of_folder(&self.output()).len()
    }

    /// What is wrong with the output of the job that has ended.
    pub fn wrong(&self) -> Option<String> {
        let unfinished: Vec<_> = hidden(&self.output());
        let found = Multiset::of_folder(&self.output());
        let difference = self.expected.difference(&found);
        let left = || format!("files are left over: {unfinished:?}");
        difference.or_else(|| (!unfinished.is_empty()).then(left))
    }

    /// How many rows are lost, and how many came too often or are wrong, once the job has ended.
    pub fn lost_and_surplus(&self) -> (u64, u64) {
        let found = Multiset::of_folder(&self.output());
        self.expected.lost_and_surplus(&found)
    }

    /// What is wrong with the output of a job that is under way: rows may be missing, but none may
    /// be there too often.
    pub fn wrong_so_far(&self) -> Option<String> {
        Multiset::of_folder(&self.output()).surplus_over(&self.expected)
    }
}

fn hidden(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with('.')).collect()
}
