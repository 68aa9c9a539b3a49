//! Each shipped program three ways, with the same output each time: straight; killed at random
//! moments and begun again with the same command; killed and begun again at another parallelism.
//! One of them also with its output and its state in a bucket.

use std::process::Command;
use std::thread;

use weir_testkit::{Ended, Job, Process, Random, S3Server, until};

use crate::harness::{kill, weir};

/// How often a job is killed before it may end: each time costs a start.
const KILLS: usize = 6;

/// How a program's job is made; its input has so many lines, read at this rate.
type Make = fn(&mut Random, usize, usize) -> Job;

/// What differs between the processes that a job goes through: more of the command line.
pub(crate) type Life<'a> = &'a [&'a str];

/// Starts the job with its checkpoints in `state`, or on the server.
#[track_caller]
fn start(job: &Job, server: Option<&S3Server>, life: Life<'_>, restore: &[&str]) -> Process {
    let mut command = weir(["run".to_owned()].iter().chain(job.args()));
    command
        .args(life)
        .args(["--quiet", "--checkpoint-interval", "100ms"])
        .arg("--checkpoint-dir");
    match server {
        None => drop(command.arg(job.path("state"))),
        Some(server) => {
            command.arg(format!("s3://{}/state", S3Server::BUCKET));
            server.reach(&mut command);
        }
    }
    command.args(restore);
    Process::start(command)
}

#[track_caller]
fn go_on(job: &Job, server: Option<&S3Server>, life: Life<'_>) -> Process {
    start(job, server, life, &["--restore", "latest"])
}

#[track_caller]
fn straight(make: Make) {
    runs_straight(&make(&mut Random::new(1), 4_000, 1_000).at_full_speed());
}

#[track_caller]
pub(crate) fn runs_straight(job: &Job) {
    ends_well(job, weir(["run".to_owned()].iter().chain(job.args())));
}

#[track_caller]
fn ends_well(job: &Job, command: Command) {
    Process::start(command).wait().expect(0, &["finished"]);
    assert_eq!(job.wrong(), None);
}

#[track_caller]
fn killed(make: Make, parallelisms: &[&str]) {
    let mut random = Random::printed();
    let job = make(&mut random, 2_000, 500);
    killed_at(&job, None, &mut random, parallelisms);
}

#[track_caller]
fn killed_in_a_bucket(make: Make, parallelisms: &[&str]) {
    let Some(server) = S3Server::start() else {
        return;
    };
    let mut random = Random::printed();
    let job = make(&mut random, 2_000, 500).with_output_on(&server);
    killed_at(&job, Some(&server), &mut random, parallelisms);
    assert_eq!(server.uploads(), 0, "uploads are left over");
}

#[track_caller]
fn killed_at(job: &Job, server: Option<&S3Server>, random: &mut Random, parallelisms: &[&str]) {
    let lives = parallelisms.iter().map(|number| ["--parallelism", number]);
    let lives: Vec<[&str; 2]> = lives.collect();
    let lives: Vec<Life<'_>> = lives.iter().map(|life| &life[..]).collect();
    killed_so_often(job, server, random, &lives);
}

/// Kills it so often, then lets it end; then asks for it twice more.
#[track_caller]
pub(crate) fn killed_so_often(
    job: &Job,
    server: Option<&S3Server>,
    random: &mut Random,
    lives: &[Life<'_>],
) {
    for nth in 0..KILLS {
        let process = go_on(job, server, lives[nth % lives.len()]);
        if nth == 0 {
            // The input is cut as the first one to complete a checkpoint wants it.
            until("output", || job.published() > 0);
        }
        thread::sleep(random.millis(20, 1_400));
        kill(process, job, nth);
    }
    let last = lives[KILLS % lives.len()];
    go_on(job, server, last).wait().expect(0, &[]);
    assert_eq!(job.wrong(), None);
    for _ in 0..2 {
        go_on(job, server, last).wait().expect(0, &[]);
        assert_eq!(
            job.wrong(),
            None,
            "a job that has finished does nothing more"
        );
    }
}

#[test]
fn word_counts_come_out_straight() {
    straight(Job::wordcount);
}

#[test]
fn word_counts_come_out_the_same_through_kills() {
    killed(Job::wordcount, &["2"]);
}

#[test]
fn word_counts_come_out_the_same_at_changing_parallelism() {
    killed(Job::wordcount, &["1", "3", "2"]);
}

#[test]
fn word_counts_come_out_straight_in_a_bucket() {
    if let Some(server) = S3Server::start() {
        let job = Job::wordcount(&mut Random::new(1), 4_000, 1_000);
        let job = job.at_full_speed().with_output_on(&server);
        let mut command = weir(["run".to_owned()].iter().chain(job.args()));
        server.reach(&mut command);
        ends_well(&job, command);
        assert_eq!(server.uploads(), 0, "uploads are left over");
    }
}

#[test]
fn word_counts_come_out_the_same_through_kills_in_a_bucket() {
    killed_in_a_bucket(Job::wordcount, &["2"]);
}

#[test]
fn word_counts_come_out_the_same_at_changing_parallelism_in_a_bucket() {
    killed_in_a_bucket(Job::wordcount, &["1", "3", "2"]);
}

#[test]
fn top_pages_come_out_straight() {
    straight(Job::top_pages);
}

#[test]
fn top_pages_come_out_the_same_through_kills() {
    killed(Job::top_pages, &["2"]);
}

/// The one split of a job that began with one subtask: of a log that several read, some lines are
/// late to whoever reads the rest alone.
#[test]
fn top_pages_come_out_the_same_at_changing_parallelism() {
    killed(Job::top_pages, &["1", "3", "2"]);
}

#[test]
fn alerts_come_out_straight() {
    straight(Job::fraud_detection);
}

#[test]
fn alerts_come_out_the_same_through_kills() {
    killed(Job::fraud_detection, &["2"]);
}

#[test]
fn alerts_come_out_the_same_at_changing_parallelism() {
    killed(Job::fraud_detection, &["1", "3", "2"]);
}

const TWO: [&str; 2] = ["--parallelism", "2"];

/// A word count that was killed in the middle, with output published and state kept: fast enough
/// that a checkpoint has objects beside its metadata.
#[track_caller]
pub(crate) fn killed_in_the_middle() -> Job {
    let job = Job::wordcount(&mut Random::new(7), 16_000, 4_000);
    let mut process = go_on(&job, None, &TWO);
    until("output", || job.published() > 10_000);
    process.kill_nine();
    job
}

/// The same command again.
#[track_caller]
pub(crate) fn ended_again(job: &Job, restore: &[&str]) -> Ended {
    start(job, None, &TWO, restore).wait()
}
