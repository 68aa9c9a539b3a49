//! The command line: sub-commands, what they print, and how they exit.
//!
//! ```text
//!   argv ─▶ args ─▶ manifest ─▶ Engine (injected)
//!                └▶ query    ─▶ REST of a JobManager (list, info, cancel)
//!   a Failure ─▶ `error: …` on stderr, once, and the exit code
//! ```
//!
//! How a job runs is not known here: the binary passes in an [`Engine`]. What goes to stdout is the
//! answer to what was asked; everything else (progress, logs, errors) goes to stderr, so that a job
//! that prints its results can be piped.

#![warn(missing_docs)]

mod args;
mod engine;
mod failure;
mod human;
mod logging;
mod manifest;
mod query;
mod table;

pub mod progress;
pub mod suggest;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use weir_crd::LocalJob;

pub use engine::{Engine, JobManagerRequest, ProgramSummary, RunRequest, TaskManagerRequest};
pub use failure::{Exit, Failure};

use crate::args::{Cli, Command, ExplainArgs, Format};

/// Does what the command line of this process asks for.
pub fn main(engine: &dyn Engine) -> ExitCode {
    run(engine, std::env::args_os()).into()
}

/// Does what a command line asks for. Its first word is the name of the program.
pub fn run(engine: &dyn Engine, argv: impl IntoIterator<Item = OsString>) -> Exit {
    let cli = match Cli::try_parse_from(argv) {
        Ok(cli) => cli,
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
    match dispatch(engine, cli.command) {
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
                output,
            })
        }
        Command::Taskmanager(args) => {
            logging::start("warn,weir::taskmanager=info,weir_taskmanager=info")?;
            engine.taskmanager(TaskManagerRequest {
                jobmanager: args.jobmanager,
                slots: args.slots,
                reconnect_timeout: args.reconnect_timeout.get(),
                data: args.data,
                id: args.id,
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
        Command::Cancel(args) => print(&query::cancel(&args)?),
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
