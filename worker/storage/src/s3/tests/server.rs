//! versitygw on a folder of its own, stopped with the test.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

pub(crate) const BUCKET: &str = "bucket";
pub(crate) const ACCESS_KEY: &str = "tester";
pub(crate) const SECRET_KEY: &str = "correct-horse-battery-staple";
/// How often a server that should come up, or something that should happen, is looked at.
const LOOKS_MAX: usize = 500;
const PAUSE: Duration = Duration::from_millis(20);

pub(crate) struct Server {
    process: Child,
    url: String,
    folder: tempfile::TempDir,
    credentials: tempfile::TempDir,
}

impl Server {
    /// Starts a server with one bucket. None, with a line that says why, where there is no server
    /// to be had, unless this is continuous integration.
    pub(crate) fn start() -> Option<Self> {
        let program = program()?;
        // The port is free when it is asked for; somebody may take it before the server does.
        (0..5).find_map(|_| Self::start_program(&program))
    }

    fn start_program(program: &Path) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let credentials = tempfile::tempdir().unwrap();
        fs::write(credentials.path().join("accessKeyId"), ACCESS_KEY).unwrap();
        fs::write(credentials.path().join("secretAccessKey"), SECRET_KEY).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let mut process = Command::new(program)
            .args(["--port", &address, "--quiet", "posix"])
            .arg(folder.path())
            .env("ROOT_ACCESS_KEY", ACCESS_KEY)
            .env("ROOT_SECRET_KEY", SECRET_KEY)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        for _ in 0..LOOKS_MAX {
            if process.try_wait().unwrap().is_some() {
                return None;
            }
            if TcpStream::connect(&address).is_ok() {
                return Some(Self {
                    process,
                    url: format!("http://{address}"),
                    folder,
                    credentials,
                });
            }
            std::thread::sleep(PAUSE);
        }
        panic!("versitygw does not answer");
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn credentials(&self) -> PathBuf {
        self.credentials.path().into()
    }

    pub(crate) fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Whether there are parts of uploads that are neither completed nor aborted.
    pub(crate) fn has_uploads(&self) -> bool {
        !self.uploads().is_empty()
    }

    /// How many parts of them are stored.
    pub(crate) fn parts(&self) -> usize {
        self.uploads()
            .iter()
            .map(|upload| entries(upload).len())
            .sum()
    }

    fn uploads(&self) -> Vec<PathBuf> {
        // A folder for each object, in it one for each upload, in it the parts.
        let objects = entries(&self.folder().join(BUCKET).join(".sgwtmp/multipart"));
        objects.iter().flat_map(|object| entries(object)).collect()
    }

    pub(crate) fn wait_for(&self, happened: impl Fn(&Self) -> bool) -> bool {
        (0..LOOKS_MAX).any(|_| {
            std::thread::sleep(PAUSE);
            happened(self)
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// What is in a folder; nothing if it does not exist.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn program() -> Option<PathBuf> {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/tools/versitygw");
        let run = Command::new(&tool)
            .output()
            .map_err(|error| error.to_string())?;
        if !run.status.success() {
            return Err(String::from_utf8_lossy(&run.stderr).into_owned());
        }
        Ok(PathBuf::from(String::from_utf8_lossy(&run.stdout).trim()))
    });
    match program {
        Ok(program) => Some(program.clone()),
        Err(error) if std::env::var_os("CI").is_some() => panic!("no versitygw: {error}"),
        Err(error) => {
            eprintln!("skipped, there is no versitygw: {error}");
            None
        }
    }
}
