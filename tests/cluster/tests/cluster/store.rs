//! Object stores that misbehave: errors, slow and lost answers, outages, revoked credentials, a
//! bucket that is gone.

use std::thread;
use std::time::Duration;

use weir_testkit::{HttpFaults, HttpProxy, Process, Random, S3Server, until_within};
use weir_tests_cluster::{Party, Store};

use crate::{on_s3, word_count};

#[track_caller]
fn proxy(party: &Party) -> &HttpProxy {
    match &party.store {
        Store::S3 { proxy, .. } => proxy,
        Store::Folder(_) => unreachable!("the party has its state on S3"),
    }
}

#[track_caller]
fn server(party: &mut Party) -> &mut S3Server {
    match &mut party.store {
        Store::S3 { server, .. } => server,
        Store::Folder(_) => unreachable!("the party has its state on S3"),
    }
}

/// Every tenth answer is 500 or 503, half of them to requests that were carried out; one in fifty
/// never comes; one in twenty is late.
const BAD_DAY: HttpFaults = HttpFaults {
    errors: 100,
    slow: 50,
    lost: 20,
    outage: false,
};

#[test]
fn errors_late_answers_and_lost_ones_cost_nothing() {
    let mut random = Random::printed();
    let job = word_count(&mut random, 10);
    let Some(mut party) = on_s3(&random, job) else {
        return;
    };
    party.until_output();
    proxy(&party).set(BAD_DAY);
    for at in 0..2 {
        thread::sleep(random.millis(1_000, 2_000));
        party.until_progress("errors of the store");
        party.kill_taskmanager(at);
        party.start_taskmanager(at);
        party.until_progress("a death amid errors of the store");
    }
    let leader = party.leader();
    party.kill_jobmanager(leader);
    party.start_jobmanager(leader);
    party.until_progress("a takeover amid errors of the store");
    assert!(
        proxy(&party).injected() > 10,
        "only {} faults",
        proxy(&party).injected()
    );
    party.finish();
}

/// Longer than anybody is patient.
#[test]
fn an_outage_of_half_a_minute_costs_nothing() {
    let mut random = Random::printed();
    let job = word_count(&mut random, 18);
    let Some(mut party) = on_s3(&random, job) else {
        return;
    };
    party.until_output();
    let outage = HttpFaults {
        outage: true,
        ..HttpFaults::default()
    };
    proxy(&party).set(outage);
    thread::sleep(random.millis(500, 1_000));
    let published = party.job.published();
    thread::sleep(random.millis(30_000, 32_000));
    assert_eq!(party.job.published(), published, "the outage is real");
    assert_eq!(party.job.wrong_so_far(), None);
    proxy(&party).set(HttpFaults::default());
    party.restart_the_ended();
    party.until_progress("an outage of the store");
    party.finish();
}

/// One process, whose exit code and words are what a person sees.
#[track_caller]
fn one_process_that_fails(hurt: impl FnOnce(&mut Party), parts: &[&str]) -> Option<Party> {
    let mut random = Random::printed();
    let job = word_count(&mut random, 12).without_restarts();
    let mut party = Party::new(job, Store::s3(&random)?);
    let mut process = Process::start(party.command("run"));
    party.until_output();
    hurt(&mut party);
    let limit = Duration::from_secs(60);
    until_within(limit, "the job's end", || process.has_ended());
    let ended = process.wait();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let named = parts.iter().any(|part| ended.stderr.contains(part));
    assert!(named, "none of {parts:?} in:\n{}", ended.stderr);
    assert_eq!(party.job.wrong_so_far(), None);
    Some(party)
}

#[test]
fn credentials_that_are_revoked_end_the_job_with_the_reason_and_lose_nothing() {
    let revoke = |party: &mut Party| server(party).set_secret("something else");
    let Some(mut party) =
        one_process_that_fails(revoke, &["SignatureDoesNotMatch", "403", "denied"])
    else {
        return;
    };
    // Nor does a new process get in.
    let refused = Process::start(party.command("run")).wait();
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    server(&mut party).set_secret(S3Server::SECRET_KEY);
    Process::start(party.command("run"))
        .wait()
        .expect(0, &["finished"]);
    assert_eq!(party.job.wrong(), None);
}

#[test]
fn a_bucket_that_is_gone_ends_the_job_with_the_reason_and_publishes_nothing_twice() {
    let delete = |party: &mut Party| {
        let bucket = server(party).bucket();
        std::fs::rename(&bucket, bucket.with_extension("gone")).expect("renamed");
    };
    let Some(mut party) = one_process_that_fails(delete, &["NoSuchBucket", "bucket"]) else {
        return;
    };
    let refused = Process::start(party.command("run")).wait();
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert_eq!(party.job.wrong_so_far(), None);
    // It was not gone for good.
    let bucket = server(&mut party).bucket();
    std::fs::rename(bucket.with_extension("gone"), bucket).expect("renamed");
    Process::start(party.command("run"))
        .wait()
        .expect(0, &["finished"]);
    assert_eq!(party.job.wrong(), None);
}
