//! A JobManager and its TaskManagers, each a process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Ended, Process, Rest, command};

/// A JobManager process, and where it listens.
pub struct JobManager {
    /// The process.
    pub process: Process,
    /// Where TaskManagers register.
    pub rpc: SocketAddr,
    /// Where questions are answered.
    pub rest: Rest,
    binary: PathBuf,
}

impl JobManager {
    /// Starts one on any free ports. `args` follow the sub-command.
    #[track_caller]
    pub fn start(binary: &Path, args: &[String]) -> Self {
        let mut command = command(binary, ["jobmanager"]);
        command.args(args);
        Self::of_command(command)
    }

    /// Starts one on any free ports, from a command that is whole but for them.
    #[track_caller]
    pub fn of_command(mut command: Command) -> Self {
        let binary = PathBuf::from(command.get_program());
        command.args(["--rpc", "127.0.0.1:0", "--rest", "127.0.0.1:0"]);
        let mut process = Process::start(command);
        let mut told = |what: &str| -> SocketAddr {
            let line = process.line();
            let address = line.strip_prefix(what).expect("the lines tell the ports");
            address.parse().expect("an address")
        };
        let (rpc, rest) = (told("jobmanager rpc "), told("rest "));
        Self {
            process,
            rpc,
            rest: Rest { address: rest },
            binary,
        }
    }

    /// The command of a TaskManager for it, of the same binary. `args` follow the JobManager's
    /// address.
    pub fn taskmanager_command(&self, args: &[&str]) -> Command {
        let rpc = self.rpc.to_string();
        let mut command = command(&self.binary, ["taskmanager", "--jobmanager", &rpc]);
        command.args(args);
        command
    }

    /// Starts a TaskManager for it, of the same binary.
    #[track_caller]
    pub fn taskmanager(&self, slots: u32) -> Process {
        let slots = slots.to_string();
        Process::start(self.taskmanager_command(&["--slots", &slots]))
    }
}

/// A JobManager with its TaskManagers.
pub struct Cluster {
    /// The JobManager.
    pub manager: JobManager,
    /// The TaskManagers; a test may kill some and add others.
    pub taskmanagers: Vec<Process>,
}

impl Cluster {
    /// Starts a JobManager with these arguments and TaskManagers of so many slots each.
    #[track_caller]
    pub fn start(binary: &Path, args: &[String], taskmanagers: usize, slots: u32) -> Self {
        let manager = JobManager::start(binary, args);
        let taskmanagers = (0..taskmanagers)
            .map(|_| manager.taskmanager(slots))
            .collect();
        Self {
            manager,
            taskmanagers,
        }
    }

    /// Waits for the JobManager's end, and for the TaskManagers, which are to hear of it.
    #[track_caller]
    pub fn wait(self) -> Ended {
        let ended = self.manager.process.wait();
        for taskmanager in self.taskmanagers {
            taskmanager.wait().expect(0, &["the job has ended: "]);
        }
        ended
    }
}
