//! What runs: jobs and the processes of a job.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use weir_crd::{ManifestDuration, StateBackendType};
use weir_types::TaskManagerId;

use super::parse::{address, assignment, host_and_port, location, restore, rewind};
use super::{Format, REST, StoreArgs};
use crate::{CheckpointArgs, RestoreChoice, Rewind};

/// The job, as all sub-commands take it.
#[derive(Args, Debug)]
pub(crate) struct JobArgs {
    /// The StreamJob manifest
    #[arg(value_name = "JOB.yaml")]
    pub(crate) manifest: PathBuf,

    /// How many subtasks each operator has, unless the program says otherwise (overrides
    /// spec.job.parallelism)
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=32_768))]
    pub(crate) parallelism: Option<u32>,

    /// Where keyed state lives: in memory, or in memory and, beyond it, in RocksDB on the local
    /// disk (overrides spec.stateBackend.type) [default: heap]
    #[arg(
        long,
        value_name = "heap|rocksdb",
        value_enum,
        hide_possible_values = true
    )]
    pub(crate) state_backend: Option<StateBackend>,

    /// An argument of the program (overrides the one in spec.job.args); may be given several times
    #[arg(long = "arg", short, value_name = "NAME=VALUE", value_parser = assignment)]
    pub(crate) args: Vec<(String, String)>,
}

/// A state backend, as a person names it.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum StateBackend {
    /// All in memory
    Heap,
    /// Beyond memory on the local disk
    Rocksdb,
}

impl From<StateBackend> for StateBackendType {
    fn from(backend: StateBackend) -> Self {
        match backend {
            StateBackend::Heap => Self::Heap,
            StateBackend::Rocksdb => Self::Rocksdb,
        }
    }
}

/// Where a process keeps state that memory has no room for.
#[derive(Args, Debug)]
pub(crate) struct LocalDirArgs {
    /// The local folder of the rocksdb backend: what it holds goes with this process, and is of no
    /// use to another (overrides state.backend.rocksdb.localdir) [default: the folder for
    /// temporary files]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) local_dir: Option<PathBuf>,
}

/// Where a job keeps its checkpoints, and which state it starts with.
#[derive(Args, Debug)]
#[command(next_help_heading = "Checkpoints")]
pub(crate) struct CheckpointOptions {
    /// Where checkpoints are kept: a folder or s3://BUCKET/PREFIX [default: there are none]
    #[arg(long, value_name = "DIR|URI", value_parser = location)]
    pub(crate) checkpoint_dir: Option<String>,

    /// From one checkpoint's start to the next, for example 100ms; 0s: only on request and at the
    /// end (overrides spec.checkpoint.interval)
    #[arg(long, value_name = "TIME", requires = "checkpoint_dir")]
    pub(crate) checkpoint_interval: Option<ManifestDuration>,

    /// Which state to start with: `latest` is the newest of this job's own checkpoints and
    /// savepoints, PATH the folder of any, `none` no state
    #[arg(long, value_name = "PATH|latest|none", value_parser = restore)]
    #[arg(requires = "checkpoint_dir")]
    pub(crate) restore: Option<RestoreChoice>,

    /// Go back to what --restore names, PATH or `none`, though the job has newer state: what it
    /// published since then comes again. The same words again go on from there; another ID goes
    /// back once more
    #[arg(long, value_name = "ID", value_parser = rewind, requires = "restore")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) rewind: Option<Rewind>,

    /// Leave state behind that belongs to no operator of the program
    #[arg(long, requires = "checkpoint_dir")]
    pub(crate) allow_non_restored_state: bool,

    /// Fail rather than start with no state
    #[arg(long, requires = "restore")]
    pub(crate) require_state: bool,

    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

impl CheckpointOptions {
    pub(crate) fn request(self) -> CheckpointArgs {
        CheckpointArgs {
            store: self.store.options(),
            dir: self.checkpoint_dir,
            interval: self.checkpoint_interval.map(ManifestDuration::get),
            restore: self.restore,
            rewind: self.rewind,
            allow_non_restored_state: self.allow_non_restored_state,
            require_state: self.require_state,
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) job: JobArgs,

    /// Where REST listens; port 0 is any free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0", value_parser = address)]
    pub(crate) rest: SocketAddr,

    #[command(flatten)]
    pub(crate) checkpoints: CheckpointOptions,

    #[command(flatten)]
    pub(crate) local: LocalDirArgs,

    /// Show nothing but errors
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Args, Debug)]
pub(crate) struct JobManagerArgs {
    #[command(flatten)]
    pub(crate) job: JobArgs,

    /// Where to wait for TaskManagers; port 0 is any free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:6123", value_parser = address)]
    pub(crate) rpc: SocketAddr,

    /// Where REST listens; port 0 is any free one
    #[arg(long, value_name = "HOST:PORT", default_value = REST, value_parser = address)]
    pub(crate) rest: SocketAddr,

    #[command(flatten)]
    pub(crate) checkpoints: CheckpointOptions,

    /// The number of the operation that starts these processes: a JobManager of an older one gives
    /// way and never comes back [default: 1]
    #[arg(long, value_name = "N")]
    pub(crate) deployment: Option<u64>,

    /// Where several JobManagers of one job find out which of them leads [default: the checkpoint
    /// folder, if it is one of this machine; else this is the only one]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) election_dir: Option<PathBuf>,

    /// Show no progress
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Args, Debug)]
pub(crate) struct TaskManagerArgs {
    /// The JobManager: the `HOST:PORT` of its first line; of several, the leader and those that
    /// stand by, separated by commas
    #[arg(long = "jobmanager", value_name = "HOST:PORT", required = true)]
    #[arg(value_delimiter = ',', value_parser = host_and_port)]
    pub(crate) jobmanagers: Vec<String>,

    /// How many slots to offer: parallel copies of the job's operators
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=1_024)
    )]
    pub(crate) slots: u32,

    /// How long the JobManager may be out of reach before this process gives up
    #[arg(long, value_name = "TIME", default_value = "60s")]
    pub(crate) reconnect_timeout: ManifestDuration,

    /// Where to take data connections of other TaskManagers [default: any free port, on the
    /// loopback interface if the JobManager is there, else on all interfaces]
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    pub(crate) data: Option<SocketAddr>,

    #[command(flatten)]
    pub(crate) local: LocalDirArgs,
    /// Where other TaskManagers reach that, if it is not the same, for example behind a port
    /// mapping
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    pub(crate) data_advertised: Option<SocketAddr>,

    /// The id to register with: 32 hexadecimal digits [default: a new one]
    #[arg(long, value_name = "HEX")]
    pub(crate) id: Option<TaskManagerId>,

    /// The number of the operation that starts these processes, as its JobManager has it
    /// [default: 1]
    #[arg(long, value_name = "N")]
    pub(crate) deployment: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    pub(crate) job: JobArgs,

    /// How to write it
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}
