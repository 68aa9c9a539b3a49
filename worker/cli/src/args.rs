//! The words of the command line.

mod examples;
mod parse;
mod query;
mod run;
mod store;

use clap::{Parser, Subcommand, ValueEnum};

pub(crate) use query::{
    CancelArgs, CheckpointsCommand, ClearArgs, DeleteArgs, InspectArgs, JobQueryArgs, ListArgs,
    LsArgs, SavepointArgs, SavepointCommand, StopArgs,
};
pub(crate) use run::{ExplainArgs, JobArgs, JobManagerArgs, RunArgs, TaskManagerArgs};
pub(crate) use store::{FsckArgs, GcArgs, StoreArgs};

use crate::kubectl::KubectlArgs;
use examples::*;

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "weir", version, about = "Runs stream jobs", long_about = ABOUT)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a job in this process
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArgs),
    /// Run a job on TaskManagers of other processes
    #[command(after_help = JOBMANAGER_EXAMPLES)]
    Jobmanager(JobManagerArgs),
    /// Offer slots to a JobManager until its job has ended
    #[command(after_help = TASKMANAGER_EXAMPLES)]
    Taskmanager(TaskManagerArgs),
    /// Show what a job consists of, without running it
    #[command(after_help = EXPLAIN_EXAMPLE)]
    Explain(ExplainArgs),
    /// List the jobs of a JobManager
    #[command(after_help = "Example:\n  weir list --rest 127.0.0.1:8081 --format json")]
    List(ListArgs),
    /// Show one job: its operators, their states and counters, and why it failed
    #[command(after_help = "Example:\n  weir info                 the one job there is")]
    Info(JobQueryArgs),
    /// Take a savepoint of a job, which goes on; or delete one
    #[command(after_help = SAVEPOINT_EXAMPLES)]
    Savepoint(SavepointArgs),
    /// End a job with a savepoint
    #[command(after_help = STOP_EXAMPLES)]
    Stop(StopArgs),
    /// End a job at once
    #[command(after_help = CANCEL_EXAMPLES)]
    Cancel(CancelArgs),
    /// Show checkpoints and savepoints, of a running job or in a store
    #[command(subcommand)]
    Checkpoints(CheckpointsCommand),
    /// Check that checkpoints and savepoints are complete and undamaged
    #[command(after_help = FSCK_EXAMPLES)]
    Fsck(FsckArgs),
    /// Find, and delete, what no checkpoint or savepoint needs any more
    #[command(after_help = GC_EXAMPLES)]
    Gc(GcArgs),
    /// Look after StreamJobs in a Kubernetes cluster; the same as `kubectl weir`
    #[command(after_help = KUBECTL_EXAMPLES, arg_required_else_help = true)]
    Kubectl(Box<KubectlArgs>),
    /// List the programs that a manifest can name
    Programs,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// Where a JobManager answers, unless something else is said.
const REST: &str = "127.0.0.1:8081";

#[cfg(test)]
mod tests;
