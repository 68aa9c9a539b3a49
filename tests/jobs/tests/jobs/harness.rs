//! The binaries that these tests start, their inputs, and what a job left behind.

mod book;
mod folder;

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

pub(crate) use weir_testkit::weir_binary;
use weir_testkit::{Cluster, Ended, Job, Process, command};

pub(crate) use book::{Random, WHITE_SPACE, book, expected_counts};
pub(crate) use folder::Folder;

/// The program of this crate, which knows the programs that misbehave.
pub(crate) fn test_programs() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_weir-test-programs"))
}

/// `weir` with these arguments, not started yet.
pub(crate) fn weir<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    command(weir_binary(), args)
}

/// Runs a job of `weir` in one process, to its end.
#[track_caller]
pub(crate) fn done_in_one(args: &[String]) -> Ended {
    Process::start(weir(["run".to_owned()].iter().chain(args))).wait()
}

/// Kills a run of a job for the `nth` time: nothing is wrong by then. It may have finished before,
/// but not failed.
#[track_caller]
pub(crate) fn kill(mut process: Process, job: &Job, nth: usize) {
    let code = process.code();
    assert!(matches!(code, None | Some(0)), "{}", process.stderr());
    process.kill_nine();
    assert_eq!(job.wrong_so_far(), None, "after kill {nth}");
}

/// Runs a job of `weir` on two TaskManagers of one slot each, to its end.
#[track_caller]
pub(crate) fn done_on_two(args: &[String]) -> Ended {
    Cluster::start(weir_binary(), args, 2, 1).wait()
}
