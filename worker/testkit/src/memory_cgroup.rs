//! Too little memory: a control group whose processes may use so much together, and no more.
//!
//! When they want more, the kernel ends one of them as `kill -9` does. Which one is for the kernel
//! to choose; here it is told.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::{Process, command};

/// Where control groups of the first and of the second version are mounted.
const FIRST: &str = "/sys/fs/cgroup/memory";
const SECOND: &str = "/sys/fs/cgroup";

/// How often it is tried to remove a group whose last process is just ending.
const REMOVALS: usize = 100;

/// A memory control group. Removed when it is dropped; end its processes before.
pub struct MemoryCgroup {
    folder: PathBuf,
    /// The file with the number of processes that were ended for want of memory.
    events: &'static str,
}

impl MemoryCgroup {
    /// Makes a group with so much memory. Why not, if that cannot be done here: it needs root, and
    /// the memory controller.
    pub fn create(bytes: u64) -> Result<Self, String> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let (parent, limit, events) = if Path::new(FIRST).is_dir() {
            (FIRST, "memory.limit_in_bytes", "memory.oom_control")
        } else {
            (SECOND, "memory.max", "memory.events")
        };
        if parent == SECOND {
            // It is on already, or this fails and so does what follows.
            drop(fs::write(
                Path::new(SECOND).join("cgroup.subtree_control"),
                "+memory",
            ));
        }
        let folder = Path::new(parent).join(format!("weir-test-{}-{number}", std::process::id()));
        let failed = |what: &Path, error: std::io::Error| format!("{}: {error}", what.display());
        fs::create_dir(&folder).map_err(|error| failed(&folder, error))?;
        let group = Self { folder, events };
        let limit = group.folder.join(limit);
        fs::write(&limit, bytes.to_string()).map_err(|error| failed(&limit, error))?;
        Ok(group)
    }

    /// The same command, in the group from its first moment on.
    pub fn of(&self, inner: &Command) -> Command {
        let procs = self.folder.join("cgroup.procs");
        let script = r#"echo $$ >"$0" && exec "$@""#;
        let mut outer = command(Path::new("sh"), ["-c", script]);
        outer
            .arg(procs)
            .arg(inner.get_program())
            .args(inner.get_args());
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => outer.env(name, value),
                None => outer.env_remove(name),
            };
        }
        outer
    }

    /// Something else in the group eats all memory, until the kernel has ended `victim`, which it
    /// is told to prefer.
    #[track_caller]
    pub fn exhaust(&self, victim: &mut Process) {
        let score = format!("/proc/{}/oom_score_adj", victim.id());
        fs::write(score, "1000").expect("the victim runs");
        // It reads a line that never ends.
        let glutton = command(Path::new("tail"), ["/dev/zero"]);
        let mut glutton = Process::start(self.of(&glutton));
        crate::until("the kernel's choice", || victim.has_ended());
        glutton.kill_nine();
        assert!(self.ended() > 0, "the kernel had nothing to do with it");
    }

    /// How many of its processes were ended for want of memory.
    pub fn ended(&self) -> u64 {
        let text = fs::read_to_string(self.folder.join(self.events)).unwrap_or_default();
        let mut lines = text.lines().filter_map(|line| line.split_once(' '));
        let line = lines.find(|(name, _)| *name == "oom_kill");
        line.and_then(|(_, number)| number.parse().ok())
            .unwrap_or(0)
    }
}

impl Drop for MemoryCgroup {
    fn drop(&mut self) {
        for _ in 0..REMOVALS {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        eprintln!("{} cannot be removed", self.folder.display());
    }
}
