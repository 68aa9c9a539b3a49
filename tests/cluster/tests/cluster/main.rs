//! A cluster of real processes and what can happen to it. Each test is one kind of fault, injected
//! again and again at times that follow from a printed seed, while a job runs whose output must be
//! exact at the end and go on after each fault.

mod jobmanagers;
mod machine;
mod network;
mod store;
mod taskmanagers;

use std::time::Duration;

use weir_testkit::{Job, Random, until_within};
use weir_tests_cluster::{Party, StateBackend, Store, TASKMANAGERS};

/// A word count of about so many seconds, with its state in either backend.
fn word_count(random: &mut Random, seconds: usize) -> Job {
    let backend = StateBackend::drawn(random);
    backend.of(Job::wordcount(random, 500 * seconds, 500))
}

/// A party with its state in a folder.
#[track_caller]
fn in_a_folder(job: Job) -> Party {
    let folder = job.path("state");
    Party::start(job, Store::Folder(folder))
}

/// A party with its state and its output on an S3 server; none where there is no server to be had.
#[track_caller]
fn on_s3(random: &Random, job: Job) -> Option<Party> {
    let store = Store::s3(random)?;
    let job = store.with_output_of(job);
    Some(Party::start(job, store))
}

/// A TaskManager that runs a part of the job.
#[track_caller]
fn busy_one(party: &Party) -> usize {
    let mut found = None;
    until_within(
        Duration::from_secs(10),
        "a TaskManager without free slots",
        || {
            found = (0..TASKMANAGERS).find(|at| party.is_busy(*at));
            found.is_some()
        },
    );
    found.expect("it was found")
}
