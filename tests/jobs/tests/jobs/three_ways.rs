//! Each shipped program three ways, with the same output each time: straight; killed at random
//! moments and begun again with the same command; killed and begun again at another parallelism.

use std::thread;

use weir_testkit::{Ended, Job, Process, Random, until};

use crate::harness::weir;

/// How often a job is killed before it may end: each time costs a start.
const KILLS: usize = 6;

/// How a program's job is made; its input has so many lines, read at this rate.
type Make = fn(&mut Random, usize, usize) -> Job;

/// What differs between the processes that a job goes through: more of the command line.
pub(crate) type Life<'a> = &'a [&'a str];

/// Starts the job with its checkpoints in `state`.
#[track_caller]
fn start(job: &Job, life: Life<'_>, restore: &[&str]) -> Process {
    let mut command = weir(["run".to_owned()].iter().chain(job.args()));
    command
        .args(life)
        .args(["--quiet", "--checkpoint-interval", "100ms"])
        .arg("--checkpoint-dir")
        .arg(job.path("state"))
        .args(restore);
    Process::start(command)
}

#[track_caller]
fn go_on(job: &Job, life: Life<'_>) -> Process {
    start(job, life, &["--restore", "latest"])
}

#[track_caller]
fn straight(make: Make) {
    runs_straight(&make(&mut Random::new(1), 4_000, 1_000).at_full_speed());
}

#[track_caller]
pub(crate) fn runs_straight(job: &Job) {
    let command = weir(["run".to_owned()].iter().chain(job.args()));
    Process::start(command).wait().expect(0, &["finished"]);
    assert_eq!(job.wrong(), None);
}

#[track_caller]
fn killed(make: Make, parallelisms: &[&str]) {
    let mut random = Random::printed();
    let job = make(&mut random, 2_000, 500);
    let lives = parallelisms.iter().map(|number| ["--parallelism", number]);
    let lives: Vec<[&str; 2]> = lives.collect();
    let lives: Vec<Life<'_>> = lives.iter().map(|life| &life[..]).collect();
    killed_so_often(&job, &mut random, &lives);
}

/// Kills it so often, then lets it end; then asks for it twice more.
#[track_caller]
pub(crate) fn killed_so_often(job: &Job, random: &mut Random, lives: &[Life<'_>]) {
    for at in 0..KILLS {
        let mut process = go_on(job, lives[at % lives.len()]);
        if at == 0 {
            // The input is cut as the first one to complete a checkpoint wants it.
            until("output", || job.published() > 0);
        }
        thread::sleep(random.millis(20, 1_400));
        // It may have finished before its last kill, but not failed.
        let code = process.code();
        assert!(matches!(code, None | Some(0)), "{}", process.stderr());
        process.kill_nine();
        assert_eq!(job.wrong_so_far(), None, "after kill {at}");
    }
    let last = lives[KILLS % lives.len()];
    go_on(job, last).wait().expect(0, &[]);
    assert_eq!(job.wrong(), None);
    for _ in 0..2 {
        go_on(job, last).wait().expect(0, &[]);
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
    let mut process = go_on(&job, &TWO);
    until("output", || job.published() > 10_000);
    process.kill_nine();
    job
}

/// The same command again.
#[track_caller]
pub(crate) fn ended_again(job: &Job, restore: &[&str]) -> Ended {
    start(job, &TWO, restore).wait()
}
