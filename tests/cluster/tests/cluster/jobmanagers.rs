//! JobManagers that end, stand still or come back.

use std::thread;
use std::time::Duration;

use weir_testkit::{Job, Random, until_within};
use weir_tests_cluster::{Party, Storm};

use crate::{in_a_folder, on_s3, word_count};

#[track_caller]
fn kill_the_leader(random: &mut Random, mut party: Party, times: usize) {
    party.until_output();
    for _ in 0..times {
        thread::sleep(random.millis(300, 1_500));
        let leader = party.leader();
        party.kill_jobmanager(leader);
        party.until_progress("the leader's death");
        party.start_jobmanager(leader);
    }
    party.finish();
}

#[test]
fn the_standby_takes_over_from_a_killed_leader() {
    let mut random = Random::printed();
    let party = in_a_folder(word_count(&mut random, 10));
    kill_the_leader(&mut random, party, 3);
}

#[test]
fn the_standby_takes_over_from_a_killed_leader_where_state_is_on_s3() {
    let mut random = Random::printed();
    let job = word_count(&mut random, 8);
    let Some(party) = on_s3(&random, job) else {
        return;
    };
    kill_the_leader(&mut random, party, 2);
}

/// The takeover comes while it stands; when it wakes up it still believes that it leads.
#[track_caller]
fn stop_the_leader(mut party: Party) {
    party.until_output();
    let old = party.leader();
    party.jobmanager(old).stop();
    party.until_progress("a leader that stands still");
    party.jobmanager(old).cont();
    until_within(Duration::from_secs(10), "the old leader's end", || {
        party.jobmanager(old).has_ended()
    });
    assert_eq!(party.jobmanager(old).code(), Some(1));
    let said = party.jobmanager(old).stderr();
    assert!(
        said.contains("has been elected") || said.contains("epoch"),
        "{said}"
    );
    party.kill_jobmanager(old);
    party.until_progress("the old leader's return");
    party.finish();
}

#[test]
fn a_leader_that_stood_still_is_refused_and_exits() {
    let mut random = Random::printed();
    stop_the_leader(in_a_folder(word_count(&mut random, 10)));
}

#[test]
fn a_leader_that_stood_still_is_refused_and_exits_where_state_is_on_s3() {
    let mut random = Random::printed();
    let job = word_count(&mut random, 10);
    if let Some(party) = on_s3(&random, job) {
        stop_the_leader(party);
    }
}

#[test]
fn all_processes_killed_at_once_go_on_where_they_were() {
    let mut random = Random::printed();
    let mut party = in_a_folder(Job::top_pages(&mut random, 2_400, 300));
    for _ in 0..3 {
        party.until_progress("a start");
        thread::sleep(random.millis(0, 700));
        party.kill_all();
        assert_eq!(party.job.wrong_so_far(), None);
        party.start_all();
    }
    party.finish();
}

#[test]
fn whatever_happens_in_whatever_order_the_output_is_exact() {
    let mut random = Random::printed();
    let mut party = in_a_folder(word_count(&mut random, 15));
    let mut storm = Storm::new(random.clone());
    party.until_output();
    for _ in 0..4 {
        if party.is_complete() {
            break;
        }
        let fault = storm.choose(&party);
        eprintln!("{fault:?}");
        storm.inflict(fault, &mut party).wait(&party, fault);
    }
    party.finish();
}
