//! The processes of one job: who they are, how they reach each other, and how they come back.

mod logs;
mod watching;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use weir_testkit::{
    HttpProxy, Job, JobManager, MemoryCgroup, Process, Proxy, Random, S3Server, command,
    until_within, weir_binary,
};

/// How many JobManagers there are: one leads, one stands by.
pub const JOBMANAGERS: usize = 2;

/// How many TaskManagers there are, of one slot each: one more than the job needs.
pub const TASKMANAGERS: usize = 3;

/// How long a TaskManager that is not told otherwise looks for a JobManager.
const RECONNECT_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the job may take to go on after a fault, on a machine that is busy.
pub(crate) const RECOVERY_MAX: Duration = Duration::from_secs(30);

/// Where a job keeps its state.
pub enum Store {
    /// In this folder.
    Folder(PathBuf),
    /// On a server, reached through a proxy.
    S3 {
        /// The server.
        server: S3Server,
        /// What is between.
        proxy: HttpProxy,
    },
}

impl Store {
    /// On a server of its own; none where there is no server to be had.
    pub fn s3(random: &Random) -> Option<Self> {
        let server = S3Server::start()?;
        let proxy = HttpProxy::start(server.address(), random.clone());
        Some(Self::S3 { server, proxy })
    }

    /// The job with its output there too, if it is a server: what goes wrong with the store then
    /// hits results as well.
    pub fn with_output_of(&self, job: Job) -> Job {
        match self {
            Self::Folder(_) => job,
            Self::S3 { server, .. } => job.with_output_on(server),
        }
    }
}

/// A JobManager's place: its addresses stay when the process is another.
struct Seat {
    manager: Option<JobManager>,
    /// One for each TaskManager.
    links: Vec<Proxy>,
}

/// The way to a TaskManager's data port: all connections of the others go through the proxy, and so
/// does what it says to them on those.
struct DataLink {
    /// Where it listens.
    address: SocketAddr,
    /// What the others are told instead.
    proxy: Proxy,
}

impl DataLink {
    /// An address of this party's own, so that it stays free while the TaskManager is gone.
    fn new() -> Self {
        static LINKS: AtomicU32 = AtomicU32::new(0);
        let number = LINKS.fetch_add(1, Ordering::Relaxed);
        let byte = |number: u32| u8::try_from(number % 200 + 20).expect("it is small");
        let host = [
            127,
            byte(std::process::id()),
            byte(number / 200),
            byte(number),
        ];
        let address = SocketAddr::from((host, 6_122));
        let proxy = Proxy::start(Some(address));
        Self { address, proxy }
    }
}

/// The processes, the job and its store. All are killed when this is dropped.
pub struct Party {
    /// The job.
    pub job: Job,
    /// Where it keeps its state.
    pub store: Store,
    seats: Vec<Seat>,
    taskmanagers: Vec<Option<Process>>,
    /// How the others reach each TaskManager's data port.
    data: Vec<DataLink>,
    /// Processes that were killed, for what they said.
    gone: Vec<(String, Process)>,
    binary: PathBuf,
    environment: Vec<(String, String)>,
    interval: &'static str,
    _folder: TempDir,
}

impl Party {
    /// Starts all of them.
    #[track_caller]
    pub fn start(job: Job, store: Store) -> Self {
        let mut party = Self::new(job, store);
        party.start_all();
        party
    }

    /// The party without processes.
    #[track_caller]
    pub fn new(job: Job, store: Store) -> Self {
        let (folder, binary) = own_binary();
        let link = |_| Proxy::start(None);
        let seat = |_| Seat {
            manager: None,
            links: (0..TASKMANAGERS).map(link).collect(),
        };
        Self {
            job,
            store,
            seats: (0..JOBMANAGERS).map(seat).collect(),
            taskmanagers: (0..TASKMANAGERS).map(|_| None).collect(),
            data: (0..TASKMANAGERS).map(|_| DataLink::new()).collect(),
            gone: Vec::new(),
            binary,
            environment: Vec::new(),
            interval: "200ms",
            _folder: folder,
        }
    }

    /// Sets a variable for processes that are started from now on.
    pub fn set_environment(&mut self, variables: &[(&str, &str)]) {
        let owned = variables
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        self.environment = owned.collect();
    }

    /// Starts what does not run.
    #[track_caller]
    pub fn start_all(&mut self) {
        for at in 0..JOBMANAGERS {
            if self.seats[at].manager.is_none() {
                self.start_jobmanager(at);
            }
        }
        for at in 0..TASKMANAGERS {
            if self.taskmanagers[at].is_none() {
                self.start_taskmanager(at);
            }
        }
    }

    /// The sub-command with the job, where its state is, and that it is to go on from there.
    pub fn command(&self, sub_command: &str) -> Command {
        let mut command = command(&self.binary, [sub_command]);
        command.args(self.job.args());
        command.args([
            "--checkpoint-interval",
            self.interval,
            "--restore",
            "latest",
        ]);
        match &self.store {
            Store::Folder(folder) => command.arg("--checkpoint-dir").arg(folder),
            Store::S3 { proxy, .. } => command
                .args([
                    "--checkpoint-dir",
                    &format!("s3://{}/some/prefix", S3Server::BUCKET),
                ])
                .args([
                    "--s3-endpoint",
                    &format!("http://{}", proxy.address()),
                    "--s3-path-style",
                ]),
        };
        self.with_environment(command)
    }

    fn with_environment(&self, mut command: Command) -> Command {
        command.env("WEIR_LOG", "info");
        command.env("AWS_ACCESS_KEY_ID", S3Server::ACCESS_KEY);
        command.env("AWS_SECRET_ACCESS_KEY", S3Server::SECRET_KEY);
        command.envs(self.environment.iter().cloned());
        command
    }

    /// Starts a JobManager in a seat that is free.
    #[track_caller]
    pub fn start_jobmanager(&mut self, at: usize) {
        let mut command = self.command("jobmanager");
        if let Store::S3 { .. } = self.store {
            command.arg("--election-dir").arg(self.job.path("election"));
        }
        let manager = JobManager::of_command(command);
        for link in &self.seats[at].links {
            link.set_target(Some(manager.rpc));
        }
        self.seats[at].manager = Some(manager);
    }

    /// Starts a TaskManager in a place that is free.
    #[track_caller]
    pub fn start_taskmanager(&mut self, at: usize) {
        let command = self.taskmanager_command(at);
        self.taskmanagers[at] = Some(Process::start(command));
    }

    /// Starts a TaskManager in a control group.
    #[track_caller]
    pub fn start_taskmanager_in(&mut self, group: &MemoryCgroup, at: usize) {
        let command = group.of(&self.taskmanager_command(at));
        self.taskmanagers[at] = Some(Process::start(command));
    }

    fn taskmanager_command(&self, at: usize) -> Command {
        let links = self
            .seats
            .iter()
            .map(|seat| seat.links[at].address().to_string());
        let addresses = links.collect::<Vec<_>>().join(",");
        let command = command(&self.binary, ["taskmanager", "--jobmanager", &addresses]);
        let mut command = self.with_environment(command);
        let DataLink { address, proxy } = &self.data[at];
        command.args(["--data", &address.to_string()]);
        command.args(["--data-advertised", &proxy.address().to_string()]);
        command
    }

    /// `kill -9` of a TaskManager.
    pub fn kill_taskmanager(&mut self, at: usize) {
        if let Some(mut process) = self.taskmanagers[at].take() {
            process.kill_nine();
            self.gone.push((format!("taskmanager {at}"), process));
        }
    }

    /// `kill -9` of a JobManager.
    pub fn kill_jobmanager(&mut self, at: usize) {
        if let Some(mut manager) = self.seats[at].manager.take() {
            manager.process.kill_nine();
            for link in &self.seats[at].links {
                link.set_target(None);
            }
            self.gone
                .push((format!("jobmanager {at}"), manager.process));
        }
    }

    /// `kill -9` of every process there is.
    pub fn kill_all(&mut self) {
        (0..JOBMANAGERS).for_each(|at| self.kill_jobmanager(at));
        (0..TASKMANAGERS).for_each(|at| self.kill_taskmanager(at));
    }

    /// A TaskManager that runs.
    #[track_caller]
    pub fn taskmanager(&self, at: usize) -> &Process {
        self.taskmanagers[at].as_ref().expect("it runs")
    }

    /// Whether a TaskManager runs a part of the job.
    pub fn is_busy(&self, at: usize) -> bool {
        let rest = self.find_leader().and_then(|leader| self.rest(leader));
        let Some(answer) = rest.and_then(|rest| rest.ask("/taskmanagers")) else {
            return false;
        };
        let mut all = answer["taskmanagers"].as_array().into_iter().flatten();
        let address = self.data_link(at).address().to_string();
        all.any(|one| one["data-address"] == *address && one["free-slots"] == 0)
    }

    /// What a cluster manager does: a process that has ended by itself is started again. One that
    /// was deposed, or whose store was out of reach for too long, is to end.
    #[track_caller]
    pub fn restart_the_ended(&mut self) {
        if self.is_complete() {
            return;
        }
        for at in 0..JOBMANAGERS {
            if self.seats[at]
                .manager
                .as_mut()
                .is_none_or(|it| it.process.has_ended())
            {
                self.kill_jobmanager(at);
                self.start_jobmanager(at);
            }
        }
        for at in 0..TASKMANAGERS {
            if self.taskmanagers[at]
                .as_mut()
                .is_none_or(Process::has_ended)
            {
                self.kill_taskmanager(at);
                self.start_taskmanager(at);
            }
        }
    }

    /// The same, to be waited for.
    #[track_caller]
    pub fn taskmanager_mut(&mut self, at: usize) -> &mut Process {
        self.taskmanagers[at].as_mut().expect("it runs")
    }

    /// A JobManager that runs.
    #[track_caller]
    pub fn jobmanager(&mut self, at: usize) -> &mut Process {
        &mut self.seats[at].manager.as_mut().expect("it runs").process
    }

    /// The network between a TaskManager and all JobManagers.
    pub fn links_of(&self, taskmanager: usize) -> impl Iterator<Item = &Proxy> {
        self.seats.iter().map(move |seat| &seat.links[taskmanager])
    }

    /// The network between a TaskManager's data port and those that connect to it.
    pub fn data_link(&self, at: usize) -> &Proxy {
        &self.data[at].proxy
    }

    /// The network between all TaskManagers: no record passes by it.
    pub fn data_links(&self) -> impl Iterator<Item = &Proxy> {
        self.data.iter().map(|link| &link.proxy)
    }

    /// Starts again what was killed, waits for the end of the job, and checks its output.
    #[track_caller]
    pub fn finish(mut self) {
        self.wait_for_end();
        self.expect_exact();
    }

    /// Checks the output of a job that has ended, and that its TaskManagers end, too.
    #[track_caller]
    pub fn expect_exact(mut self) {
        assert_eq!(self.job.wrong(), None, "the output");
        for process in self.taskmanagers.iter_mut().flatten() {
            // One that was cut off as the job ended looks for a leader for as long as it may.
            until_within(RECONNECT_TIMEOUT * 4 / 3, "the TaskManagers' end", || {
                process.has_ended()
            });
        }
    }

    /// Starts again what was killed, and waits for the end of the job.
    #[track_caller]
    pub fn wait_for_end(&mut self) {
        self.start_all();
        let mut codes = Vec::new();
        for at in 0..JOBMANAGERS {
            let manager = &mut self.seats[at].manager;
            let process = &mut manager.as_mut().expect("it runs").process;
            until_within(2 * weir_testkit::TIME_LIMIT, "the end of the job", || {
                process.has_ended()
            });
            codes.push(process.code());
        }
        assert!(
            codes.contains(&Some(0)),
            "the job is to finish, JobManagers ended with {codes:?}"
        );
    }
}

/// A second name of the binary: whoever builds meanwhile does not exchange it under this party,
/// whose processes must all be the same.
fn own_binary() -> (TempDir, PathBuf) {
    let binary = weir_binary();
    let folder = TempDir::new_in(binary.parent().expect("a folder")).expect("a folder");
    let own = folder.path().join("weir");
    fs::hard_link(binary, &own).expect("a second name");
    (folder, own)
}
