//! The composition root: puts programs, JobManager, TaskManager, REST and command line together.
//!
//! A job binary registers its programs and is then everything at once, by sub-command: JobManager,
//! TaskManager, both in one process (`run`), and the client. So code never travels: each process of
//! a job is the same binary and builds the same graph.
//!
//! ```no_run
//! use std::process::ExitCode;
//! use weir::api::{Args, BoxError, StreamEnv};
//! use weir::connectors::{CollectionSource, PrintSink};
//!
//! fn lengths(env: &mut StreamEnv, _args: &Args) -> Result<(), BoxError> {
//!     env.from_source(CollectionSource::new(["to", "be"].map(str::to_owned)))
//!         .map(|word| word.len())
//!         .sink_to(PrintSink::display());
//!     Ok(())
//! }
//!
//! fn main() -> ExitCode {
//!     let summary = "the length of each word";
//!     weir::main(&[weir::ProgramEntry { name: "lengths", summary, build: lengths }])
//! }
//! ```
//!
//! Nothing is decided here: each file wires one sub-command.

#![warn(missing_docs)]

mod any_job_master;
mod config;
mod environment;
mod executable;
mod job;
mod jobmanager;
mod kubernetes;
mod offline;
mod program;
mod random;
mod registry;
mod run;
mod signals;
mod standby;
mod state_backend;
mod state_folder;
mod taskmanager;
mod termination;

pub mod local;

use std::io::Write;
use std::panic::PanicHookInfo;
use std::process::ExitCode;

use weir_cli::{
    ClearRequest, Engine, Exit, Failure, FsckReport, FsckRequest, GcReport, GcRequest,
    InspectRequest, JobManagerRequest, ProgramSummary, RunRequest, SnapshotReport, StoreListing,
    StoreRequest, TaskManagerRequest,
};
use weir_crd::LocalJob;
use weir_graph::Explanation;

pub use registry::ProgramEntry;
pub use {
    weir_api as api, weir_connectors as connectors, weir_state as state, weir_stream as stream,
    weir_types as types,
};

use crate::registry::Registry;

/// Does what the command line asks for, with these programs.
pub fn main(programs: &[ProgramEntry]) -> ExitCode {
    std::panic::set_hook(Box::new(say_panic));
    weir_cli::main(&Weir {
        registry: Registry::new(programs),
    })
}

/// One line: a backtrace would bury the error that follows from it.
fn say_panic(info: &PanicHookInfo<'_>) {
    let text = info.payload_as_str().unwrap_or("a value that is no text");
    let place = info
        .location()
        .map(|place| format!(" at {place}"))
        .unwrap_or_default();
    // With a closed stderr there is nobody to tell.
    drop(writeln!(
        std::io::stderr().lock(),
        "panicked{place}: {text}"
    ));
}

/// What the command line is given.
struct Weir {
    registry: Registry,
}

impl Engine for Weir {
    fn programs(&self) -> Vec<ProgramSummary> {
        self.registry.summaries()
    }

    fn run(&self, request: RunRequest) -> Result<Exit, Failure> {
        run::run(&self.registry, request)
    }

    fn jobmanager(&self, request: JobManagerRequest) -> Result<Exit, Failure> {
        jobmanager::run(&self.registry, request)
    }

    fn taskmanager(&self, request: TaskManagerRequest) -> Result<Exit, Failure> {
        taskmanager::run(&self.registry, request)
    }

    fn explain(&self, job: LocalJob) -> Result<Explanation, Failure> {
        let plan = program::plan(&self.registry, &job)?;
        Ok(weir_graph::explain(&plan.program.job_graph))
    }

    fn checkpoints_ls(&self, request: StoreRequest) -> Result<StoreListing, Failure> {
        offline::ls(request)
    }

    fn checkpoints_inspect(&self, request: InspectRequest) -> Result<SnapshotReport, Failure> {
        offline::inspect(request)
    }

    fn fsck(&self, request: FsckRequest) -> Result<FsckReport, Failure> {
        offline::fsck(request)
    }

    fn gc(&self, request: GcRequest) -> Result<GcReport, Failure> {
        offline::gc(request)
    }

    fn checkpoints_clear(&self, request: ClearRequest) -> Result<GcReport, Failure> {
        offline::clear(request)
    }
}
