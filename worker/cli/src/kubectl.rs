//! `kubectl weir`: looks after StreamJobs in a cluster.
//!
//! The binary is this plugin when it is called `kubectl-weir`; `weir kubectl` is the same. It asks
//! the cluster through `kubectl`, which is there whenever the plugin is: contexts, ways to log in,
//! port-forward and logs are its, and a job's binary holds no Kubernetes client. Requests are
//! written to the StreamJob, as a person would; what the operator does with them is read from its
//! status, with the types that the operator writes it with.

mod args;
mod client;
mod delete;
mod examples;
mod names;
mod objects;
mod orders;
mod snapshots;
mod status;
mod through;
mod wait;

use std::ffi::OsStr;
use std::path::Path;

pub(crate) use args::{KubectlArgs, Plugin};

use self::args::KubectlCommand;
use self::client::Kubectl;
use crate::{Exit, Failure};

/// The name under which kubectl finds a plugin called `weir`.
const NAME: &str = "kubectl-weir";

/// Whether a program of this name is the plugin.
pub(crate) fn is_plugin(program: &OsStr) -> bool {
    Path::new(program)
        .file_stem()
        .is_some_and(|name| name == NAME)
}

/// Does what the plugin's command line asks for.
pub(crate) fn run(args: &KubectlArgs) -> Result<Exit, Failure> {
    match answer(&Kubectl::new(&args.cluster), &args.command)? {
        Answer::Text(text) => crate::print(&text),
        Answer::Ended(exit) => Ok(exit),
    }
}

/// What a command has come to.
enum Answer {
    /// This goes to stdout.
    Text(String),
    /// kubectl had the terminal, and has ended.
    Ended(Exit),
}

fn answer(kubectl: &Kubectl, command: &KubectlCommand) -> Result<Answer, Failure> {
    let text = match command {
        KubectlCommand::Status(args) => status::status(kubectl, args),
        KubectlCommand::Savepoint(args) => orders::savepoint(kubectl, args),
        KubectlCommand::Suspend(args) => orders::suspend(kubectl, args),
        KubectlCommand::Resume(args) => orders::resume(kubectl, args),
        KubectlCommand::Restart(args) => orders::restart(kubectl, args),
        KubectlCommand::Rollback(args) => orders::rollback(kubectl, args),
        KubectlCommand::Snapshots(args) => snapshots::snapshots(kubectl, args),
        KubectlCommand::ForceDelete(args) => delete::force(kubectl, args),
        KubectlCommand::Logs(args) => return through::logs(kubectl, args).map(Answer::Ended),
        KubectlCommand::Ui(args) => return through::ui(kubectl, args).map(Answer::Ended),
    };
    text.map(Answer::Text)
}

#[cfg(test)]
mod tests;
