//! The words of the plugin.

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use weir_crd::ManifestDuration;

use super::examples::*;

/// The command line of `kubectl-weir`, which kubectl runs for `kubectl weir`.
#[derive(Debug, Parser)]
#[command(name = "kubectl-weir", bin_name = "kubectl weir", version)]
#[command(about = "Looks after StreamJobs in a Kubernetes cluster", long_about = ABOUT)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct Plugin {
    #[command(flatten)]
    pub(crate) args: KubectlArgs,
}

#[derive(Args, Debug)]
pub(crate) struct KubectlArgs {
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,

    #[command(subcommand)]
    pub(crate) command: KubectlCommand,
}

/// Which cluster, as kubectl is told.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ClusterArgs {
    /// The job's namespace [default: that of kubectl's context]
    #[arg(
        long,
        short,
        global = true,
        value_name = "NAME",
        help_heading = "Cluster"
    )]
    pub(crate) namespace: Option<String>,

    /// The context in kubectl's configuration
    #[arg(long, global = true, value_name = "NAME", help_heading = "Cluster")]
    pub(crate) context: Option<String>,

    /// kubectl's configuration
    #[arg(long, global = true, value_name = "FILE", help_heading = "Cluster")]
    pub(crate) kubeconfig: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KubectlCommand {
    /// Show how a job is doing and what needs attention; without a name, all jobs
    #[command(after_help = STATUS_EXAMPLES)]
    Status(StatusArgs),
    /// Take a savepoint of a job, which goes on
    #[command(after_help = SAVEPOINT_EXAMPLES)]
    Savepoint(SavepointArgs),
    /// Stop a job with a savepoint and remove its pods
    #[command(after_help = SUSPEND_EXAMPLES)]
    Suspend(OrderArgs),
    /// Start a suspended job where it stopped
    #[command(after_help = RESUME_EXAMPLES)]
    Resume(OrderArgs),
    /// Start a job anew, in the way that spec.upgrade says
    #[command(after_help = RESTART_EXAMPLES)]
    Restart(OrderArgs),
    /// Return to the last stable revision, or to an earlier one
    #[command(after_help = ROLLBACK_EXAMPLES)]
    Rollback(RollbackArgs),
    /// List a job's savepoints and checkpoints
    #[command(after_help = SNAPSHOTS_EXAMPLES)]
    Snapshots(SnapshotsArgs),
    /// Show the logs of a job's processes
    #[command(after_help = LOGS_EXAMPLES)]
    Logs(LogsArgs),
    /// Make a job's REST interface reachable on this machine
    #[command(after_help = UI_EXAMPLES)]
    Ui(UiArgs),
    /// Delete a job without waiting for its savepoint; its checkpoints stay
    #[command(after_help = FORCE_DELETE_EXAMPLES)]
    ForceDelete(ForceDeleteArgs),
}

/// How an answer is written for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Json,
}

#[derive(Args, Debug)]
pub(crate) struct OutputArgs {
    /// Write it for programs
    #[arg(
        long,
        short,
        value_enum,
        value_name = "json",
        hide_possible_values = true
    )]
    output: Option<Output>,
}

impl OutputArgs {
    pub(crate) fn is_json(&self) -> bool {
        self.output == Some(Output::Json)
    }
}

/// Whether, and how long, to wait for what was asked for.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct WaitArgs {
    /// Wait until it is done. Ctrl-C ends the waiting, not what was asked for
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    #[arg(num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    #[arg(hide_possible_values = true)]
    pub(crate) wait: bool,

    /// How long to wait
    #[arg(long, value_name = "TIME", default_value = "10m")]
    pub(crate) timeout: ManifestDuration,
}

#[derive(Args, Debug)]
pub(crate) struct StatusArgs {
    /// The job
    #[arg(value_name = "NAME", value_parser = job_name)]
    pub(crate) name: Option<String>,

    /// The jobs of all namespaces
    #[arg(long, short = 'A', conflicts_with = "name")]
    pub(crate) all_namespaces: bool,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Args, Debug)]
pub(crate) struct SavepointArgs {
    /// The job
    #[arg(value_name = "NAME", value_parser = job_name)]
    pub(crate) name: String,

    /// A name for the request: the same one never takes a second savepoint [default: a new one]
    #[arg(long, value_name = "TEXT", value_parser = nonce)]
    pub(crate) nonce: Option<String>,

    #[command(flatten)]
    pub(crate) wait: WaitArgs,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Args, Debug)]
pub(crate) struct OrderArgs {
    /// The job
    #[arg(value_name = "NAME", value_parser = job_name)]
    pub(crate) name: String,

    #[command(flatten)]
    pub(crate) wait: WaitArgs,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Args, Debug)]
pub(crate) struct RollbackArgs {
    #[command(flatten)]
    pub(crate) order: OrderArgs,

    /// The revision to return to; `kubectl weir status` lists them [default: the last stable one]
    #[arg(long, value_name = "REVISION")]
    pub(crate) to: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct SnapshotsArgs {
    /// The job
    #[arg(value_name = "NAME", value_parser = job_name)]
    pub(crate) name: String,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Args, Debug)]
pub(crate) struct LogsArgs {
    /// The job
    #[arg(value_name = "NAME", value_parser = job_name)]
    pub(crate) name: String,

    /// All JobManagers, not only the one that leads
    #[arg(long, conflicts_with_all = ["taskmanagers", "all"])]
    pub(crate) jobmanagers: bool,

    /// The TaskManagers instead of the JobManager
    #[arg(long, short = 't', conflicts_with = "all")]
    pub(crate) taskmanagers: bool,

    /// All of the job's processes
    #[arg(long)]
    pub(crate) all: bool,

    /// Go on with what they write from now on
    #[arg(long, short)]
    pub(crate) follow: bool,

    /// What the process before this one wrote, if a container was started again
    #[arg(long, short, conflicts_with = "follow")]
    pub(crate) previous: bool,

    /// Only the last lines of each
    #[arg(long, value_name = "N", default_value_t = -1, hide_default_value = true)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) tail: i64,

    /// Only what is younger than this, such as `10m`
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<ManifestDuration>,
}

#[derive(Args, Debug)]
pub(crate) struct UiArgs {
    /// The job
    #[arg(value_name = "NAME", value_parser = job_name)]
    pub(crate) name: String,

    /// The port on this machine; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8081)]
    pub(crate) port: u16,
}

#[derive(Args, Debug)]
pub(crate) struct ForceDeleteArgs {
    /// The job
    #[arg(value_name = "NAME", value_parser = job_name)]
    pub(crate) name: String,

    /// How long the operator has to let it go. After that the finalizer is taken off here, as it
    /// must be where no operator runs any more
    #[arg(long, value_name = "TIME", default_value = "20s")]
    pub(crate) grace: ManifestDuration,
}

/// `quickstart`, or as kubectl writes it: `sj/quickstart`, `streamjob.weir.dev/quickstart`.
fn job_name(text: &str) -> Result<String, String> {
    let name = match text.split_once('/') {
        None => text,
        Some(("sj" | "streamjob" | "streamjobs", name)) => name,
        Some((kind, name)) if kind.ends_with(".weir.dev") => name,
        Some((kind, _)) => return Err(format!("`{kind}` is no kind of job: want NAME or sj/NAME")),
    };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    match !name.is_empty() && !name.starts_with('-') && name.chars().all(plain) {
        true => Ok(name.to_owned()),
        false => Err("want a job's name: lower-case letters, digits and `-`".to_owned()),
    }
}

fn nonce(text: &str) -> Result<String, String> {
    match text.chars().count() {
        1..=63 => Ok(text.to_owned()),
        _ => Err("want 1 to 63 characters".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_named_as_kubectl_names_it() {
        for text in ["a-1", "sj/a-1", "streamjob/a-1", "streamjobs.weir.dev/a-1"] {
            assert_eq!(job_name(text).as_deref(), Ok("a-1"), "{text}");
        }
        for text in ["", "sj/", "pod/a", "--all", "A", "a/b/c", "a b"] {
            assert!(job_name(text).is_err(), "{text}");
        }
    }

    #[test]
    fn orders_are_waited_for_unless_said_otherwise() {
        let wait = |line: &str| {
            let words = std::iter::once("kubectl-weir").chain(line.split_whitespace());
            let plugin = Plugin::try_parse_from(words).expect("a command line");
            match plugin.args.command {
                KubectlCommand::Suspend(args) => args.wait.wait,
                other => panic!("{other:?}"),
            }
        };
        assert!(wait("suspend a") && wait("suspend a --wait") && wait("-n b suspend a"));
        assert!(!wait("suspend a --wait=false"));
    }
}
