//! Questions and orders to a JobManager.

use clap::{Args, Subcommand};
use weir_types::JobId;

use super::examples::{CLEAR_EXAMPLES, DELETE_EXAMPLES, INSPECT_EXAMPLES, LS_EXAMPLES};
use super::parse::{host_and_port, location, operation};
use super::store::PlaceArgs;
use super::{Format, REST, StoreArgs};

#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) answer: AnswerArgs,
}

#[derive(Args, Debug)]
pub(crate) struct JobQueryArgs {
    /// The job's id: 32 hexadecimal digits [default: the one job there is]
    #[arg(value_name = "JOB-ID")]
    pub(crate) job: Option<JobId>,

    #[command(flatten)]
    pub(crate) answer: AnswerArgs,
}

#[derive(Args, Debug)]
pub(crate) struct AnswerArgs {
    /// The JobManager's REST
    #[arg(long, value_name = "HOST:PORT", default_value = REST, value_parser = host_and_port)]
    pub(crate) rest: String,

    /// How to write it
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct SavepointArgs {
    #[command(subcommand)]
    pub(crate) command: Option<SavepointCommand>,

    #[command(flatten)]
    pub(crate) query: JobQueryArgs,

    #[command(flatten)]
    pub(crate) operation: OperationArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SavepointCommand {
    /// Delete a savepoint, for good. The newest one stays: the job goes on from it after a failure
    #[command(visible_alias = "dispose", after_help = DELETE_EXAMPLES)]
    Delete(DeleteArgs),
}

#[derive(Args, Debug)]
pub(crate) struct DeleteArgs {
    /// The savepoint: its number, its folder or its operation, as `weir checkpoints ls` shows them
    #[arg(value_name = "N|PATH|OPERATION")]
    pub(crate) savepoint: String,

    /// The job's id: 32 hexadecimal digits [default: the one job there is]
    #[arg(long, value_name = "JOB-ID")]
    pub(crate) job: Option<JobId>,

    #[command(flatten)]
    pub(crate) answer: AnswerArgs,
}

/// What to call an operation, so that it can be asked for again.
#[derive(Args, Debug)]
pub(crate) struct OperationArgs {
    /// A name for this savepoint: asking again under it gives the same one, not another
    /// [default: a new name]
    #[arg(long = "operation", value_name = "ID", value_parser = operation)]
    pub(crate) id: Option<String>,

    /// Show no progress
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Args, Debug)]
pub(crate) struct StopArgs {
    #[command(flatten)]
    pub(crate) query: JobQueryArgs,

    /// End the input first: all that is on its way is processed and all windows fire
    #[arg(long)]
    pub(crate) drain: bool,

    #[command(flatten)]
    pub(crate) operation: OperationArgs,
}

#[derive(Args, Debug)]
pub(crate) struct CancelArgs {
    #[command(flatten)]
    pub(crate) query: JobQueryArgs,

    /// Take a savepoint first; if that fails, the job is not cancelled
    #[arg(long)]
    pub(crate) savepoint: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CheckpointsCommand {
    /// List them
    #[command(after_help = LS_EXAMPLES)]
    Ls(LsArgs),
    /// Show one
    #[command(after_help = INSPECT_EXAMPLES)]
    Inspect(InspectArgs),
    /// Delete those of a job that is over, for good; its savepoints stay
    #[command(after_help = CLEAR_EXAMPLES)]
    Clear(ClearArgs),
}

#[derive(Args, Debug)]
pub(crate) struct ClearArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,

    /// Take the job away from whoever has it, for the operation of this number; it must be higher
    /// than that of the last one [default: the job must be over]
    #[arg(long, value_name = "N")]
    pub(crate) deployment: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct LsArgs {
    #[command(flatten)]
    pub(crate) query: JobQueryArgs,

    /// Read this store instead of asking a JobManager
    #[arg(long, value_name = "FOLDER|URI", value_parser = location)]
    #[arg(conflicts_with_all = ["job", "rest"])]
    pub(crate) dir: Option<String>,

    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Args, Debug)]
pub(crate) struct InspectArgs {
    /// A number, or the folder of a checkpoint or savepoint: a path or a URI
    #[arg(value_name = "N|PATH", value_parser = location)]
    pub(crate) snapshot: String,

    /// The job: its id, or with --dir its name [default: the one job there is]
    #[arg(long, value_name = "JOB")]
    pub(crate) job: Option<String>,

    /// Read this store instead of asking a JobManager
    #[arg(long, value_name = "FOLDER|URI", value_parser = location, conflicts_with = "rest")]
    pub(crate) dir: Option<String>,

    #[command(flatten)]
    pub(crate) answer: AnswerArgs,

    #[command(flatten)]
    pub(crate) store: StoreArgs,
}
