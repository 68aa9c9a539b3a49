//! A job that goes on from a savepoint that is named, in the folder that holds it, and one that
//! goes back to it although it has newer state.

use weir_testkit::{Job, Process, Random, until};

use crate::harness::weir;

fn begin(job: &Job, restore: &[&str]) -> Process {
    let mut command = weir(["run".to_owned()].iter().chain(job.args()));
    command
        .args(["--checkpoint-interval", "100ms", "--checkpoint-dir"])
        .arg(job.path("state"))
        .args(restore);
    Process::start(command)
}

/// Stops it with a savepoint once it has published so much more.
fn stopped(job: &Job, mut process: Process, rows: u64) -> String {
    let rest = process.rest().address.to_string();
    let wanted = job.published() + rows;
    until("output", || job.published() >= wanted);
    let stop = Process::start(weir(["stop", "--rest", &rest])).wait();
    stop.expect(0, &[]);
    process.wait().expect(0, &[]);
    stop.stdout.trim().to_owned()
}

#[test]
fn a_job_that_is_stopped_goes_on_from_its_savepoint_in_the_same_folder() {
    let job = Job::wordcount(&mut Random::new(7), 32_000, 4_000);
    let first = stopped(&job, begin(&job, &["--restore", "latest"]), 1_000);
    // Killed and started with the same words, as by whoever looks after it.
    let mut process = begin(&job, &["--restore", &first]);
    let published = job.published();
    until("output", || job.published() > published);
    process.kill_nine();
    let second = stopped(&job, begin(&job, &["--restore", &first]), 1_000);
    assert_ne!(first, second);
    assert_eq!(job.wrong_so_far(), None);
    let ended = begin(&job, &["--restore", &second]).wait();
    ended.expect(0, &["restoring savepoint"]);
    assert_eq!(job.wrong(), None);
}

#[test]
fn a_job_goes_back_to_an_older_savepoint_only_with_rewind_and_repeats_output() {
    let job = Job::wordcount(&mut Random::new(8), 24_000, 4_000);
    let first = stopped(&job, begin(&job, &["--restore", "latest"]), 1_000);
    let second = stopped(&job, begin(&job, &["--restore", "latest"]), 1_000);
    assert_ne!(first, second);
    let published = job.published();
    let refused = begin(&job, &["--restore", &first]).wait();
    refused.expect(2, &["is not the newest", "--restore latest", "--rewind"]);
    assert_eq!(job.published(), published);
    let back = begin(&job, &["--restore", &first, "--rewind"]).wait();
    back.expect(0, &["restoring savepoint"]);
    let (lost, surplus) = job.lost_and_surplus();
    assert_eq!(lost, 0);
    assert!(surplus >= 1_000, "{surplus} rows came again");
}
