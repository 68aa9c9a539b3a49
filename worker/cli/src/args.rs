//! The words of the command line.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use weir_crd::ManifestDuration;
use weir_types::{JobId, TaskManagerId};

const ABOUT: &str = "\
Runs stream jobs: dataflow programs with state, on one machine or on many.

A job is a StreamJob manifest, the file that `kubectl apply` takes. It names a registered program \
and its arguments.";

const EXAMPLES: &str = "\
Examples:
  weir programs                                         what can be run
  weir explain examples/wordcount.yaml                  what it consists of
  weir run examples/wordcount.yaml --arg input=book.txt --arg output=counts

  The same on two worker processes:
  weir jobmanager examples/wordcount.yaml --parallelism 2 &
  weir taskmanager --jobmanager 127.0.0.1:6123 &
  weir taskmanager --jobmanager 127.0.0.1:6123 &
  weir info                                             how it is doing

Exit codes:
  0    done
  1    the job failed, or something on the machine did
  2    the command line, the manifest, the program or its arguments are wrong; nothing was started
  130  cancelled, by a signal (Ctrl-C, SIGTERM) or with `weir cancel`

Environment:
  WEIR_LOG  which log lines go to stderr: `error`, `warn`, `info`, `debug`, or per part, such as
            `weir_jobmanager=debug` (default: `warn`)";

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
    /// Ask a job to stop
    #[command(after_help = "Example:\n  weir cancel               the one job there is")]
    Cancel(JobQueryArgs),
    /// List the programs that a manifest can name
    Programs,
}

const RUN_EXAMPLES: &str = "\
Examples:
  weir run examples/wordcount.yaml --arg input=book.txt --arg output=counts
  weir run job.yaml --parallelism 4 --rest 127.0.0.1:8081

While it runs, progress goes to stderr: in place on a terminal, else a line per operator every few
seconds. Ctrl-C cancels the job and waits until everything is released; a second one ends at once.";

const JOBMANAGER_EXAMPLES: &str = "\
Examples:
  weir jobmanager examples/wordcount.yaml --parallelism 4
  weir jobmanager job.yaml --rpc 0.0.0.0:6123 --rest 0.0.0.0:8081

The first line on stdout is `jobmanager rpc HOST:PORT`, the second `rest HOST:PORT`. The job starts
when the TaskManagers that have come offer enough slots. The exit code is the job's result.";

const EXPLAIN_EXAMPLE: &str = "\
Example:
  weir explain examples/wordcount.yaml --parallelism 4 --format json";

const TASKMANAGER_EXAMPLES: &str = "\
Examples:
  weir taskmanager --jobmanager 127.0.0.1:6123 --slots 2
  weir taskmanager --jobmanager jm.example.com:6123 --data 10.0.0.7:6121

It must be the same program as the JobManager's. It exits with 0 when the JobManager says that the
job has ended, however it ended, and with 1 when the JobManager was out of reach for too long or
does not want it.";

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

    /// An argument of the program (overrides the one in spec.job.args); may be given several times
    #[arg(long = "arg", short, value_name = "NAME=VALUE", value_parser = assignment)]
    pub(crate) args: Vec<(String, String)>,
}

#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) job: JobArgs,

    /// Where REST listens; port 0 is any free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0", value_parser = address)]
    pub(crate) rest: SocketAddr,

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

    /// Show no progress
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Args, Debug)]
pub(crate) struct TaskManagerArgs {
    /// The JobManager: the `HOST:PORT` of its first line
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port)]
    pub(crate) jobmanager: String,

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

    /// The id to register with: 32 hexadecimal digits [default: a new one]
    #[arg(long, value_name = "HEX")]
    pub(crate) id: Option<TaskManagerId>,
}

#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    pub(crate) job: JobArgs,

    /// How to write it
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

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

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

const REST: &str = "127.0.0.1:8081";

const NO_ADDRESS: &str = "want HOST:PORT, for example 127.0.0.1:6123";

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("want NAME=VALUE, for example input=book.txt".to_owned()),
    }
}

/// An address to listen on.
fn address(text: &str) -> Result<SocketAddr, String> {
    host_and_port(text)?;
    let found = text
        .to_socket_addrs()
        .map_err(|error| format!("look up the host: {error}"))?;
    // `localhost` is often both ::1 and 127.0.0.1; the latter is what the defaults mean.
    let all: Vec<SocketAddr> = found.collect();
    let first = all
        .iter()
        .find(|address| address.is_ipv4())
        .or_else(|| all.first());
    first
        .copied()
        .ok_or_else(|| "the host has no address".to_owned())
}

/// An address to dial; it is looked up each time, as it may move.
fn host_and_port(text: &str) -> Result<String, String> {
    let (host, port) = text.rsplit_once(':').ok_or(NO_ADDRESS)?;
    let fine = !host.is_empty() && port.parse::<u16>().is_ok() && !text.contains('/');
    if fine {
        Ok(text.to_owned())
    } else {
        Err(NO_ADDRESS.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_argument_is_split_at_its_first_equals_sign() {
        let parsed = |text| assignment(text).ok();
        assert_eq!(parsed("a=b=c"), Some(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(parsed("a="), Some(("a".to_owned(), String::new())));
        assert_eq!((parsed("a"), parsed("=b")), (None, None));
    }

    #[test]
    fn an_address_needs_host_and_port() {
        for text in ["6123", ":6123", "host:", "host:70000", "http://host:80"] {
            assert!(
                host_and_port(text).is_err() && address(text).is_err(),
                "{text}"
            );
        }
        assert_eq!(address("localhost:0"), Ok(([127, 0, 0, 1], 0).into()));
        assert_eq!(host_and_port("[::1]:80").as_deref(), Ok("[::1]:80"));
    }
}
