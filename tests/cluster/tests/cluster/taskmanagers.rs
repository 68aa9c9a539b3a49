//! TaskManagers that end or stand still.

use std::thread;
use std::time::Duration;

use weir_testkit::{Job, Random, until_within};
use weir_tests_cluster::{Party, StateBackend, TASKMANAGERS};
use weir_types::{Clock, SystemClock};

use crate::{busy_one, in_a_folder, on_s3, word_count};

/// A connection that breaks is noticed at once, by the JobManager's own clock. It passes through a
/// proxy of this process, and all processes may have to wait for the processor: now and then that
/// takes longer, but not most times.
const DETECTION_MS: i64 = 1_000;

/// Within this it is noticed however busy the machine is.
const DETECTION_MAX: Duration = Duration::from_secs(5);

/// Kills one at random every one or two seconds, until the job has written everything.
#[track_caller]
fn kill_them_one_after_the_other(random: &mut Random, mut party: Party, times: usize) {
    party.until_output();
    for _ in 0..times {
        thread::sleep(random.millis(500, 1_500));
        let at = random.below(TASKMANAGERS);
        party.kill_taskmanager(at);
        thread::sleep(random.millis(0, 500));
        party.start_taskmanager(at);
        party.until_progress("a TaskManager's death");
    }
    party.finish();
}

/// In each backend, as what is restored is its own.
#[track_caller]
fn killed_ones_cost_nothing(backend: StateBackend, make: impl FnOnce(&mut Random) -> Job) {
    let mut random = Random::printed();
    let party = in_a_folder(backend.of(make(&mut random)));
    kill_them_one_after_the_other(&mut random, party, 4);
}

fn words(random: &mut Random) -> Job {
    Job::wordcount(random, 4_000, 500)
}

fn windows(random: &mut Random) -> Job {
    Job::top_pages(random, 2_400, 300)
}

fn timers(random: &mut Random) -> Job {
    Job::fraud_detection(random, 2_400, 300)
}

#[test]
fn killed_ones_cost_no_word_on_the_heap() {
    killed_ones_cost_nothing(StateBackend::Heap, words);
}

#[test]
fn killed_ones_cost_no_word_in_rocksdb() {
    killed_ones_cost_nothing(StateBackend::RocksDb, words);
}

#[test]
fn killed_ones_cost_no_window_on_the_heap() {
    killed_ones_cost_nothing(StateBackend::Heap, windows);
}

#[test]
fn killed_ones_cost_no_window_in_rocksdb() {
    killed_ones_cost_nothing(StateBackend::RocksDb, windows);
}

#[test]
fn killed_ones_cost_no_timer_on_the_heap() {
    killed_ones_cost_nothing(StateBackend::Heap, timers);
}

#[test]
fn killed_ones_cost_no_timer_in_rocksdb() {
    killed_ones_cost_nothing(StateBackend::RocksDb, timers);
}

#[test]
fn killed_ones_cost_nothing_where_state_is_on_s3() {
    let mut random = Random::printed();
    let job = word_count(&mut random, 8);
    let Some(party) = on_s3(&random, job) else {
        return;
    };
    kill_them_one_after_the_other(&mut random, party, 3);
}

#[test]
fn a_death_is_noticed_when_connections_break_and_rest_names_it() {
    let mut random = Random::printed();
    let mut party = in_a_folder(word_count(&mut random, 16));
    party.until_output();
    let mut took_ms = Vec::new();
    for _ in 0..3 {
        let busy = busy_one(&party);
        let killed_ms = SystemClock.unix_ms();
        party.kill_taskmanager(busy);
        let noticed_ms = party.noticed_ms(DETECTION_MAX, "TaskManager", killed_ms);
        took_ms.push(noticed_ms - killed_ms);
        // The third has a slot for what the killed one did.
        party.until_progress("a TaskManager's death");
        party.start_taskmanager(busy);
    }
    took_ms.sort_unstable();
    assert!(took_ms[1] <= DETECTION_MS, "noticed after {took_ms:?} ms");
    party.finish();
}

#[test]
fn with_too_few_left_the_job_waits_and_says_for_what() {
    let mut random = Random::printed();
    let mut party = in_a_folder(word_count(&mut random, 6));
    party.until_output();
    for at in 0..2 {
        party.kill_taskmanager(at);
    }
    until_within(Duration::from_secs(15), "what it waits for", || {
        let job = party.ask_job("").unwrap_or_default();
        job["waiting-for"]
            .as_str()
            .is_some_and(|text| text.contains("slot"))
    });
    party.start_taskmanager(0);
    party.until_progress("a TaskManager that came");
    party.finish();
}

#[test]
fn one_that_stood_still_longer_than_its_heartbeat_may_miss_wakes_up_to_no_harm() {
    let mut random = Random::printed();
    let party = in_a_folder(word_count(&mut random, 12));
    party.until_output();
    for _ in 0..2 {
        let busy = busy_one(&party);
        party.taskmanager(busy).stop();
        party.until_exception(Duration::from_secs(8), &["heartbeat"]);
        party.until_progress("a TaskManager that stands still");
        party.taskmanager(busy).cont();
        thread::sleep(random.millis(200, 1_000));
        party.until_progress("a TaskManager that woke up");
    }
    party.finish();
}
