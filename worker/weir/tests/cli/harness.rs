//! Starts `weir` processes, waits for them with a time limit, and kills them when a test ends.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

/// Far more than anything here takes.
const TIME_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);

/// The repository's root, where all processes run.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// `weir` with these arguments, not started yet.
pub(crate) fn weir<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    of_binary(Path::new(env!("CARGO_BIN_EXE_weir")), args)
}

pub(crate) fn of_binary<A: AsRef<OsStr>>(
    binary: &Path,
    args: impl IntoIterator<Item = A>,
) -> Command {
    let mut command = Command::new(binary);
    command
        .args(args)
        .current_dir(root())
        .env_remove("WEIR_LOG")
        .stdin(Stdio::null());
    command
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Checks the exit code and that stderr holds these parts.
    #[track_caller]
    pub(crate) fn expect(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for part in parts {
            assert!(
                self.stderr.contains(part),
                "`{part}` is missing in:\n{}",
                self.stderr
            );
        }
        for noise in ["RUST_BACKTRACE", "panicked at", "Os {", "Error("] {
            assert!(
                !self.stderr.contains(noise),
                "`{noise}` is in:\n{}",
                self.stderr
            );
        }
    }
}

/// Runs `weir` to its end.
pub(crate) fn done<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Ended {
    Process::start(weir(args)).wait()
}

/// A running process. It is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// What has been read of stdout.
    lines: String,
    /// A file: a pipe that nobody reads would stop the process.
    stderr: PathBuf,
    _folder: TempDir,
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let stderr = folder.path().join("stderr");
        let file = File::create(&stderr).expect("a file for stderr");
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .expect("the process starts");
        let stdout = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        Self {
            child,
            stdout,
            lines: String::new(),
            stderr,
            _folder: folder,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line of stdout, without its end. Waits for it.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("stdout is text");
        assert!(
            line.ends_with('\n'),
            "stdout ended; stderr: {}",
            self.stderr()
        );
        self.lines.push_str(&line);
        line.trim_end_matches('\n').to_owned()
    }

    /// What the process has written to stderr so far.
    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).expect("stderr is text")
    }

    /// Waits until stderr holds a text.
    #[track_caller]
    pub(crate) fn until_stderr(&mut self, part: &str) {
        until(&format!("`{part}` on stderr"), || {
            let ended = self.child.try_wait().expect("a child").is_some();
            let said = self.stderr().contains(part);
            assert!(said || !ended, "ended without `{part}`: {}", self.stderr());
            said
        });
    }

    /// Sends a signal, by its name.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.id().to_string()])
            .status();
        assert!(sent.expect("kill runs").success(), "signal {name}");
    }

    /// Waits for the end.
    pub(crate) fn wait(mut self) -> Ended {
        let mut status: Option<ExitStatus> = None;
        until(&format!("the end of process {}", self.id()), || {
            status = self.child.try_wait().expect("a child");
            status.is_some()
        });
        let mut stdout = std::mem::take(&mut self.lines);
        self.stdout
            .read_to_string(&mut stdout)
            .expect("stdout is text");
        Ended {
            code: status.and_then(|status| status.code()),
            stdout,
            stderr: self.stderr(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    for _ in 0..TIME_LIMIT.as_millis() / POLL.as_millis() {
        if so() {
            return;
        }
        thread::sleep(POLL);
    }
    panic!("{what} did not come within {TIME_LIMIT:?}");
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

/// A JobManager that was started with these arguments, and its two addresses.
pub(crate) struct JobManager {
    pub(crate) process: Process,
    pub(crate) rpc: String,
    pub(crate) rest: String,
}

impl JobManager {
    pub(crate) fn start(args: &[String]) -> Self {
        Self::of_command(weir(args))
    }

    /// On any free ports.
    pub(crate) fn of_command(mut command: Command) -> Self {
        command.args(["--rpc", "127.0.0.1:0", "--rest", "127.0.0.1:0"]);
        let mut process = Process::start(command);
        let (first, second) = (process.line(), process.line());
        let rpc = first
            .strip_prefix("jobmanager rpc ")
            .expect("the first line is told")
            .to_owned();
        let rest = second
            .strip_prefix("rest ")
            .expect("the second line is told")
            .to_owned();
        Self { process, rpc, rest }
    }

    /// The command of a TaskManager for it.
    pub(crate) fn taskmanager(&self, more: &[&str]) -> Command {
        let mut command = weir(["taskmanager", "--jobmanager", &self.rpc]);
        command.args(more);
        command
    }
}
