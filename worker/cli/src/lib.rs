//! The command line: sub-commands, what they print, and how they exit.
//!
//! ```text
//!   argv ─▶ args ─▶ manifest ─▶ Engine (injected)
//!                ├▶ query, snapshot, checkpoints ─▶ REST of a JobManager
//!                ├▶ store    ─▶ Engine (checkpoints in a store, without a JobManager)
//!                └▶ kubectl  ─▶ a cluster; a program called `kubectl-weir` has only these
//!   a Failure ─▶ `error: …` on stderr, once, and the exit code
//! ```
//!
//! How a job runs and what a store looks like is not known here: the binary passes in an
//! [`Engine`]. What goes to stdout is the answer to what was asked; everything else (progress,
//! logs, errors) goes to stderr, so that a job that prints its results can be piped.

#![warn(missing_docs)]

mod args;
mod checkpoints;
mod engine;
mod failure;
#[cfg(test)]
mod golden;
mod human;
mod kubectl;
mod logging;
mod manifest;
mod query;
mod snapshot;
mod store;
mod table;

pub mod progress;
pub mod suggest;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use weir_crd::LocalJob;

pub use engine::{
    CheckpointArgs, ClearRequest, Engine, FsckReport, FsckRequest, GarbageObject, GcReport,
    GcRequest, InspectRequest, JobCheck, JobGarbage, JobManagerRequest, OperatorReport,
    ProgramSummary, RestoreChoice, Rewind, RunRequest, SnapshotCheck, SnapshotChoice,
    SnapshotReport, StateReport, StoreListing, StoreRequest, StoredJob, StoredSnapshot,
    SubtaskReport, TaskManagerRequest,
};
pub use failure::{Exit, Failure};

use crate::args::{CheckpointsCommand, Cli, Command, ExplainArgs, Format};
use crate::kubectl::Plugin;

/// Does what the command line of this process asks for.
pub fn main(engine: &dyn Engine) -> ExitCode {
    run(engine, std::env::args_os()).into()
}

/// Does what a command line asks for. Its first word is the name of the program.
pub fn run(engine: &dyn Engine, argv: impl IntoIterator<Item = OsString>) -> Exit {
    let argv: Vec<OsString> = argv.into_iter().collect();
    let command = match argv.first() {
        Some(program) if kubectl::is_plugin(program) => {
            Plugin::try_parse_from(&argv).map(|plugin| Command::Kubectl(Box::new(plugin.args)))
        }
        _ => Cli::try_parse_from(&argv).map(|cli| cli.command),
    };
    let command = match command {
        Ok(command) => command,
        Err(error) => {
            // Help and the version are such "errors", too. A closed terminal is no reason to fail.
            drop(error.print());
            return if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Finished
            };
        }
    };
    match dispatch(engine, command) {
        Ok(exit) => exit,
        Err(failure) => failure.report(),
    }
}

fn dispatch(engine: &dyn Engine, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Run(args) => {
            let terminal = logging::start("warn")?;
            let job = manifest::load(&args.job)?;
            let output = progress::Output {
                terminal,
                quiet: args.quiet,
            };
            engine.run(RunRequest {
                job,
                rest: args.rest,
                checkpoints: args.checkpoints.request(),
                local_dir: args.local.local_dir,
                output,
            })
        }
        Command::Jobmanager(args) => {
            let terminal = logging::start("warn")?;
            let job = manifest::load(&args.job)?;
            let output = progress::Output {
                terminal,
                quiet: args.quiet,
            };
            engine.jobmanager(JobManagerRequest {
                job,
                rpc: args.rpc,
                rest: args.rest,
                checkpoints: args.checkpoints.request(),
                deployment: args.deployment,
                election_dir: args.election_dir,
                output,
            })
        }
        Command::Taskmanager(args) => {
            logging::start("warn,weir::taskmanager=info,weir_taskmanager=info,weir_task=info")?;
            engine.taskmanager(TaskManagerRequest {
                jobmanagers: args.jobmanagers,
                slots: args.slots,
                reconnect_timeout: args.reconnect_timeout.get(),
                data: args.data,
                local_dir: args.local.local_dir,
                data_advertised: args.data_advertised,
                id: args.id,
                deployment: args.deployment,
            })
        }
        Command::Explain(args) => {
            logging::start("warn")?;
            let job = manifest::load(&args.job)?;
            explain(engine, job, &args)
        }
        Command::Programs => print(&programs(engine)),
        Command::List(args) => print(&query::list(&args)?),
        Command::Info(args) => print(&query::info(&args)?),
        Command::Savepoint(args) => print(&snapshot::savepoint(&args)?),
        Command::Stop(args) => print(&snapshot::stop(&args)?),
        Command::Cancel(args) => print(&snapshot::cancel(&args)?),
        Command::Checkpoints(CheckpointsCommand::Ls(args)) => {
            print(&checkpoints::ls(engine, &args)?)
        }
        Command::Checkpoints(CheckpointsCommand::Inspect(args)) => {
            print(&checkpoints::inspect(engine, &args)?)
        }
        Command::Checkpoints(CheckpointsCommand::Clear(args)) => store::clear(engine, &args),
        Command::Kubectl(args) => kubectl::run(&args),
        Command::Fsck(args) => store::fsck(engine, &args),
        Command::Gc(args) => store::gc(engine, &args),
    }
}

fn explain(engine: &dyn Engine, job: LocalJob, args: &ExplainArgs) -> Result<Exit, Failure> {
    let explanation = engine.explain(job)?;
    match args.format {
        Format::Text => print(&explanation.to_string()),
        Format::Json => print(&explanation.to_json()),
    }
}

fn programs(engine: &dyn Engine) -> String {
    let mut table = table::Table::new(&["PROGRAM", "SUMMARY"]);
    for program in engine.programs() {
        table.row([program.name.to_owned(), program.summary.to_owned()]);
    }
    table.to_string()
}

/// Writes an answer to stdout, ending with a line break.
fn print(text: &str) -> Result<Exit, Failure> {
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush());
    match written {
        // Whoever reads has had enough, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Finished),
        written => {
            written
                .context("write to standard output")
                .map_err(Failure::failed)?;
            Ok(Exit::Finished)
        }
    }
}

#[cfg(test)]
mod tests;
