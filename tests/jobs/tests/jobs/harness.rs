//! Starts processes, waits for them with a time limit, looks into them, and kills them when a test
//! ends.

mod book;
mod build;
mod folder;
mod rest;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

pub(crate) use book::{Random, WHITE_SPACE, book, expected_counts};
pub(crate) use build::{root, weir_binary};
pub(crate) use folder::Folder;
pub(crate) use rest::{Rest, request};

/// Far more than anything here takes on a quiet machine.
const TIME_LIMIT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(10);

/// The program of this crate, which knows the programs that misbehave.
pub(crate) fn test_programs() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_weir-test-programs"))
}

/// `weir` with these arguments, not started yet.
pub(crate) fn weir<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    of_binary(weir_binary(), args)
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
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        for part in parts {
            assert!(
                self.stderr.contains(part),
                "`{part}` is missing in:\n{}",
                self.stderr
            );
        }
        for noise in ["RUST_BACKTRACE", "Os {", "Error("] {
            assert!(
                !self.stderr.contains(noise),
                "`{noise}` is in:\n{}",
                self.stderr
            );
        }
    }
}

/// A running process. It is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// A file: a pipe that nobody reads would stop the process.
    stderr: PathBuf,
    _folder: TempDir,
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let stderr = folder.path().join("stderr");
        let file = File::create(&stderr).expect("a file for stderr");
        let spawned = command.stdout(Stdio::piped()).stderr(file).spawn();
        let mut child = spawned.expect("the process starts");
        let stdout = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        Self {
            child,
            stdout,
            stderr,
            _folder: folder,
        }
    }

    /// The next line of stdout, without its end. Waits for it.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("stdout is text");
        assert!(
            line.ends_with('\n'),
            "stdout ended; stderr: {}",
            self.stderr()
        );
        line.trim_end().to_owned()
    }

    /// What the process has written to stderr so far.
    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).expect("stderr is text")
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    /// Waits until stderr holds a text.
    #[track_caller]
    pub(crate) fn until_stderr(&mut self, part: &str) {
        until(&format!("`{part}` on stderr"), || {
            let ended = self.has_ended();
            let said = self.stderr().contains(part);
            assert!(said || !ended, "ended without `{part}`: {}", self.stderr());
            said
        });
    }

    /// The REST of a `weir run` that is not quiet.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Rest {
        self.until_stderr("REST at http://");
        let stderr = self.stderr();
        let address = stderr.split("REST at http://").nth(1).unwrap_or_default();
        let address = address.split_whitespace().next().unwrap_or_default();
        Rest::at(address)
    }

    /// Sends a signal, by its name.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.expect("kill runs").success(), "signal {name}");
    }

    /// A line of `/proc/ID/status` in MiB, for example `VmRSS` (now) or `VmHWM` (at most so far);
    /// none if the process has ended.
    pub(crate) fn memory_mb(&self, line: &str) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let found = status.lines().find_map(|text| text.strip_prefix(line))?;
        let kb: u64 = found.split_whitespace().nth(1)?.parse().ok()?;
        Some(kb / 1024)
    }

    /// Waits for the end.
    #[track_caller]
    pub(crate) fn wait(self) -> Ended {
        self.wait_and_measure().0
    }

    /// Waits for the end; with it comes the most memory that the process was seen to use, in MiB.
    #[track_caller]
    pub(crate) fn wait_and_measure(mut self) -> (Ended, u64) {
        let mut most = 0;
        until(&format!("the end of process {}", self.child.id()), || {
            most = most.max(self.memory_mb("VmHWM").unwrap_or(0));
            self.has_ended()
        });
        let status = self.child.wait().expect("it has ended");
        let mut stdout = String::new();
        self.stdout
            .read_to_string(&mut stdout)
            .expect("stdout is text");
        (
            Ended {
                code: status.code(),
                stdout,
                stderr: self.stderr(),
            },
            most,
        )
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
    let looks = TIME_LIMIT.as_millis() / POLL.as_millis();
    let came = (0..looks).any(|_| {
        let came = so();
        if !came {
            thread::sleep(POLL);
        }
        came
    });
    assert!(came, "{what} did not come within {TIME_LIMIT:?}");
}

/// A JobManager process.
pub(crate) struct JobManager {
    pub(crate) process: Process,
    pub(crate) rpc: SocketAddr,
    pub(crate) rest: Rest,
    binary: PathBuf,
}

impl JobManager {
    /// Starts one on any free ports. `args` follow the sub-command.
    pub(crate) fn start(binary: &Path, args: &[String]) -> Self {
        let mut command = of_binary(binary, ["jobmanager"]);
        command
            .args(args)
            .args(["--rpc", "127.0.0.1:0", "--rest", "127.0.0.1:0"]);
        let mut process = Process::start(command);
        let (first, second) = (process.line(), process.line());
        let rpc = first
            .strip_prefix("jobmanager rpc ")
            .expect("the first line tells the rpc port");
        let rest = second
            .strip_prefix("rest ")
            .expect("the second line tells the REST port");
        let rpc = rpc.parse().expect("an address");
        Self {
            process,
            rpc,
            rest: Rest::at(rest),
            binary: binary.to_owned(),
        }
    }

    /// Starts a TaskManager for it.
    pub(crate) fn taskmanager(&self, slots: u32) -> Process {
        let (rpc, slots) = (self.rpc.to_string(), slots.to_string());
        let args = ["taskmanager", "--jobmanager", &rpc, "--slots", &slots];
        Process::start(of_binary(&self.binary, args))
    }
}

/// Runs a job of `weir` in one process, to its end.
pub(crate) fn done_in_one(args: &[String]) -> Ended {
    Process::start(weir(["run".to_owned()].iter().chain(args))).wait()
}

/// Runs a job of `weir` on two TaskManagers of one slot each, to its end.
#[track_caller]
pub(crate) fn done_on_two(args: &[String]) -> Ended {
    let manager = JobManager::start(weir_binary(), args);
    let workers = [manager.taskmanager(1), manager.taskmanager(1)];
    let ended = manager.process.wait();
    for worker in workers {
        worker.wait().expect(0, &["the job has ended: "]);
    }
    ended
}
