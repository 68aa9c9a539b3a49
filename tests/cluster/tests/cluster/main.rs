//! A cluster of real processes and what can happen to it. Each test is one kind of fault, injected
//! again and again at times that follow from a printed seed, while a job runs whose output must be
//! exact at the end and go on after each fault.

mod jobmanagers;
mod machine;
mod network;
mod store;
mod taskmanagers;

use weir_testkit::{Job, Random};
use weir_tests_cluster::{Party, Store};

/// A word count of about so many seconds.
fn word_count(random: &mut Random, seconds: usize) -> Job {
    Job::wordcount(random, 500 * seconds, 500)
}

/// A party with its state in a folder.
#[track_caller]
fn in_a_folder(job: Job) -> Party {
    let folder = job.path("state");
    Party::start(job, Store::Folder(folder))
}

/// A party with its state on an S3 server; none where there is no server to be had.
#[track_caller]
fn on_s3(random: &Random, job: Job) -> Option<Party> {
    Some(Party::start(job, Store::s3(random)?))
}
