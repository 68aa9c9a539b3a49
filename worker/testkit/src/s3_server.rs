//! A real S3 server (versitygw) over a folder, which `tests/tools/versitygw` builds once.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::{Process, root, until};

/// A server with one bucket. It is killed when this is dropped.
pub struct S3Server {
    process: Process,
    address: SocketAddr,
    folder: TempDir,
}

impl S3Server {
    /// Its bucket.
    pub const BUCKET: &str = "weir";
    /// The account that it knows.
    pub const ACCESS_KEY: &str = "tester";
    /// The account's secret.
    pub const SECRET_KEY: &str = "correct-horse-battery-staple";

    /// Starts one. None, with a line that says why, where there is no server to be had; in
    /// continuous integration that fails the test instead.
    #[track_caller]
    pub fn start() -> Option<Self> {
        program()?;
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join(Self::BUCKET)).expect("a bucket");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let process = run(address, folder.path(), Self::SECRET_KEY);
        Some(Self {
            process,
            address,
            folder,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The bucket's folder.
    pub fn bucket(&self) -> PathBuf {
        self.folder.path().join(Self::BUCKET)
    }

    /// Tells a process of `weir` how to reach it, and as whom.
    pub fn reach(&self, command: &mut Command) {
        let endpoint = format!("http://{}", self.address);
        command
            .args(["--s3-endpoint", &endpoint, "--s3-path-style"])
            .env("AWS_ACCESS_KEY_ID", Self::ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", Self::SECRET_KEY);
    }

    /// How many multipart uploads are neither completed nor aborted.
    pub fn uploads(&self) -> usize {
        // A folder for each object, in it one for each upload.
        let entries = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
        let objects = entries(self.bucket().join(".sgwtmp/multipart"));
        objects.map(|object| entries(object.path()).count()).sum()
    }

    /// The account has another secret from now on: to who knows only the old one it is revoked.
    #[track_caller]
    pub fn set_secret(&mut self, secret: &str) {
        self.process.kill_nine();
        self.process = run(self.address, self.folder.path(), secret);
    }
}

#[track_caller]
fn run(address: SocketAddr, folder: &Path, secret: &str) -> Process {
    let mut command = Command::new(program().expect("it was there"));
    command
        .args(["--port", &address.to_string(), "--quiet", "posix"])
        .arg(folder)
        .env("ROOT_ACCESS_KEY", S3Server::ACCESS_KEY)
        .env("ROOT_SECRET_KEY", secret)
        .stdin(Stdio::null());
    let mut process = Process::start(command);
    until("the S3 server", || {
        assert!(!process.has_ended(), "{}", process.stderr());
        TcpStream::connect(address).is_ok()
    });
    process
}

fn program() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = PROGRAM.get_or_init(|| {
        let tool = root().join("tests/tools/versitygw");
        let run = Command::new(tool).output().expect("the script runs");
        if run.status.success() {
            return Some(PathBuf::from(String::from_utf8_lossy(&run.stdout).trim()));
        }
        let why = String::from_utf8_lossy(&run.stderr);
        let in_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
        assert!(!in_ci, "no versitygw: {why}");
        eprintln!("SKIPPED: there is no versitygw: {why}");
        None
    });
    found.as_deref()
}
