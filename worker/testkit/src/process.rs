//! One process of a test.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::{Rest, until};

/// The repository's root, where all processes run.
pub fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().expect("the repository is there")
}

/// A binary with these arguments, not started yet. It runs in the repository's root, and this
/// process's log level is not its own.
pub fn command<A: AsRef<OsStr>>(binary: &Path, args: impl IntoIterator<Item = A>) -> Command {
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
pub struct Ended {
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

/// What no person should have to read, unless the test is about it.
const NOISE: [&str; 4] = ["RUST_BACKTRACE", "panicked at", "Os {", "Error("];

impl Ended {
    /// Checks the exit code, that stderr holds these parts, and that it holds no noise.
    #[track_caller]
    pub fn expect(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        for part in parts {
            assert!(
                self.stderr.contains(part),
                "`{part}` is missing in:\n{}",
                self.stderr
            );
        }
        for noise in NOISE {
            let wanted = parts.iter().any(|part| part.contains(noise));
            assert!(
                wanted || !self.stderr.contains(noise),
                "`{noise}` is in:\n{}",
                self.stderr
            );
        }
    }
}

/// A running process. It is killed when this is dropped.
pub struct Process {
    child: Child,
    /// A folder with a file for each of its outputs: a pipe that nobody reads would stop the
    /// process, and reading one cannot be given up when a time limit has passed.
    outputs: TempDir,
    /// How much of its standard output [`Self::line`] has given.
    stdout_read: usize,
}

impl Process {
    /// Starts it.
    #[track_caller]
    pub fn start(mut command: Command) -> Self {
        let outputs = tempfile::tempdir().expect("a folder");
        let file = |name| File::create(outputs.path().join(name)).expect("a file for an output");
        let spawned = command
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn();
        Self {
            child: spawned.expect("the process starts"),
            outputs,
            stdout_read: 0,
        }
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to stdout so far.
    pub fn stdout(&self) -> String {
        self.output("stdout")
    }

    /// What it has written to stderr so far.
    pub fn stderr(&self) -> String {
        self.output("stderr")
    }

    fn output(&self, name: &str) -> String {
        let bytes = fs::read(self.outputs.path().join(name)).expect("the file of an output");
        // The last character may be half there.
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Whether it has ended, of itself or by a signal.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    /// Its exit code; none while it runs, or if a signal ended it.
    pub fn code(&mut self) -> Option<i32> {
        self.child.try_wait().expect("a child")?.code()
    }

    /// The next line of stdout, without its end. Waits for it.
    #[track_caller]
    pub fn line(&mut self) -> String {
        let mut line = None;
        until("a line on stdout", || {
            // Looked at first: what it says last is there when it has ended.
            let ended = self.has_ended();
            let stdout = self.stdout();
            let rest = &stdout[self.stdout_read..];
            line = rest.split_once('\n').map(|(line, _)| line.to_owned());
            let came = line.is_some();
            assert!(came || !ended, "stdout ended; stderr: {}", self.stderr());
            came
        });
        let line = line.expect("it came");
        self.stdout_read += line.len() + 1;
        line
    }

    /// The next line of stdout that holds a text; those before it are passed over. Waits for it.
    #[track_caller]
    pub fn line_until(&mut self, part: &str) -> String {
        loop {
            let line = self.line();
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Waits until a line of stderr holds a text, and gives the first such line.
    #[track_caller]
    pub fn until_stderr(&mut self, part: &str) -> String {
        let mut found = None;
        until(&format!("`{part}` on stderr"), || {
            let ended = self.has_ended();
            let stderr = self.stderr();
            // The last line may be half there.
            let mut lines = stderr.split_inclusive('\n');
            let line = lines.find(|line| line.ends_with('\n') && line.contains(part));
            found = line.map(|line| line.trim_end().to_owned());
            let came = found.is_some();
            assert!(came || !ended, "ended without `{part}`: {stderr}");
            came
        });
        found.expect("it came")
    }

    /// The REST of a `weir run` that is not quiet.
    #[track_caller]
    pub fn rest(&mut self) -> Rest {
        const BEFORE: &str = "REST at http://";
        let line = self.until_stderr(BEFORE);
        let told = line.split(BEFORE).nth(1).unwrap_or_default();
        let address = told.split_whitespace().next().unwrap_or_default();
        Rest {
            address: address.parse().expect("an address"),
        }
    }

    /// Sends a signal, by its name (`INT`, `TERM`).
    #[track_caller]
    pub fn signal(&self, name: &str) {
        let id = self.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.expect("kill runs").success(), "signal {name}");
    }

    /// Ends it at once: it does nothing more, not even say goodbye (`kill -9`). Returns when it is
    /// gone.
    pub fn kill_nine(&mut self) {
        self.child.kill().expect("a child");
        self.child.wait().expect("a child");
    }

    /// Makes it stand still, as a process does whose machine hangs: its connections stay open, and
    /// nobody answers on them (`kill -STOP`). Returns when it stands.
    #[track_caller]
    pub fn stop(&self) {
        self.signal("STOP");
        until("a process that stands still", || {
            self.status("State:").is_some_and(|state| state == "T")
        });
    }

    /// Lets it go on (`kill -CONT`).
    #[track_caller]
    pub fn cont(&self) {
        self.signal("CONT");
    }

    /// A line of `/proc/ID/status` in MiB, for example `VmRSS` (now) or `VmHWM` (at most so far);
    /// none if the process has ended.
    pub fn memory_mb(&self, line: &str) -> Option<u64> {
        let kb: u64 = self.status(line)?.parse().ok()?;
        Some(kb / 1024)
    }

    /// The first word of a line of `/proc/ID/status`.
    fn status(&self, line: &str) -> Option<String> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        let found = status.lines().find(|text| text.starts_with(line))?;
        found.split_whitespace().nth(1).map(str::to_owned)
    }

    /// Waits for the end.
    #[track_caller]
    pub fn wait(self) -> Ended {
        self.wait_and_measure().0
    }

    /// Waits for the end; with it comes the most memory that the process was seen to use, in MiB.
    #[track_caller]
    pub fn wait_and_measure(mut self) -> (Ended, u64) {
        let mut most = 0;
        until(&format!("the end of process {}", self.id()), || {
            most = most.max(self.memory_mb("VmHWM").unwrap_or(0));
            self.has_ended()
        });
        let status = self.child.wait().expect("it has ended");
        let ended = Ended {
            code: status.code(),
            stdout: self.stdout(),
            stderr: self.stderr(),
        };
        (ended, most)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
