//! Machines that fail a process: full disks, clocks that jump.

use std::path::Path;
use std::thread;
use std::time::Duration;

use weir_testkit::{MemoryCgroup, Process, Random, SmallDisk, until_within};
use weir_tests_cluster::{Party, Store, TASKMANAGERS};
use weir_types::{Clock, SystemClock};

use crate::{busy_one, word_count};

#[test]
fn a_full_disk_under_the_checkpoints_is_named_and_costs_nothing_once_there_is_room() {
    let mut random = Random::printed();
    let job = word_count(&mut random, 8);
    let folder = job.path("state");
    let Some(disk) = SmallDisk::mount(&folder, 16 << 20) else {
        eprintln!("SKIPPED: nothing can be mounted here (needs root)");
        return;
    };
    let mut party = Party::start(job, Store::Folder(folder.clone()));
    party.until_output();
    let filler = folder.join("filler");
    // The disk is full when this ends; that it fails is the point.
    drop(std::fs::write(&filler, vec![0; 32 << 20]));
    until_within(
        Duration::from_secs(20),
        "a checkpoint that failed for want of room",
        || {
            let said = format!("{:?}{}", party.ask_job("/checkpoints"), party.exceptions());
            said.contains("No space left") || said.contains("os error 28")
        },
    );
    assert_eq!(party.job.wrong_so_far(), None);
    std::fs::remove_file(filler).expect("removed");
    party.restart_the_ended();
    party.until_progress("a full disk");
    party.finish();
    drop(disk);
}

/// Far more than a TaskManager needs here.
const GROUP_BYTES: u64 = 256 << 20;

#[test]
fn taskmanagers_that_the_kernel_ends_for_want_of_memory_cost_nothing() {
    let groups: Result<Vec<_>, _> = (0..TASKMANAGERS)
        .map(|_| MemoryCgroup::create(GROUP_BYTES))
        .collect();
    let groups = match groups {
        Ok(groups) => groups,
        Err(why) => {
            eprintln!("SKIPPED: no memory control group can be made here (needs root): {why}");
            return;
        }
    };
    let mut random = Random::printed();
    let job = word_count(&mut random, 10);
    let folder = job.path("state");
    let mut party = Party::new(job, Store::Folder(folder));
    for (at, group) in groups.iter().enumerate() {
        party.start_taskmanager_in(group, at);
    }
    party.start_all();
    party.until_output();
    // The first time another takes over; the second time, with one gone for good, it has to return.
    for returns in [false, true] {
        let at = busy_one(&party);
        groups[at].exhaust(party.taskmanager_mut(at));
        if returns {
            party.kill_taskmanager(at);
            party.start_taskmanager_in(&groups[at], at);
        }
        party.until_exception(Duration::from_secs(5), &["TaskManager"]);
        party.until_progress("a TaskManager that the kernel ended");
        assert_eq!(party.job.wrong_so_far(), None);
    }
    party.restart_the_ended();
    party.finish();
}

#[test]
fn a_clock_that_goes_back_an_hour_costs_nothing() {
    let library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
    assert!(
        Path::new(library).exists(),
        "there is no {library}: `make setup` installs Debian's package faketime"
    );
    let mut random = Random::printed();
    let job = word_count(&mut random, 8);
    let time = job.path("time");
    std::fs::write(&time, "+0").expect("written");
    let folder = job.path("state");
    let mut party = Party::new(job, Store::Folder(folder));
    let path = time.display().to_string();
    party.set_environment(&[
        ("LD_PRELOAD", library),
        ("FAKETIME_TIMESTAMP_FILE", &path),
        ("FAKETIME_NO_CACHE", "1"),
        // The clock that never goes back does not: that is its promise.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
    ]);
    party.start_all();
    party.until_output();
    std::fs::write(&time, "-1h").expect("written");
    party.until_progress("a clock that went back");
    // Whoever starts now finds files of the future.
    let leader = party.leader();
    party.kill_jobmanager(leader);
    party.start_jobmanager(leader);
    party.until_progress("a takeover an hour ago");
    let started = party.ask_job("").and_then(|job| job["start-time"].as_i64());
    let half_an_hour_ago = SystemClock.unix_ms() - 30 * 60 * 1_000;
    assert!(
        started.is_some_and(|time| time < half_an_hour_ago),
        "the clock is real"
    );
    std::fs::write(&time, "+3h").expect("written");
    thread::sleep(random.millis(500, 1_000));
    party.until_progress("a clock that went ahead");
    party.finish();
}

#[test]
fn a_job_in_one_process_goes_on_after_each_kill_with_checkpoints_on_s3() {
    let mut random = Random::printed();
    let job = word_count(&mut random, 5);
    let Some(store) = Store::s3(&random) else {
        return;
    };
    let party = Party::new(job, store);
    for _ in 0..5 {
        let mut process = Process::start(party.command("run"));
        thread::sleep(random.millis(300, 2_000));
        process.kill_nine();
        assert_eq!(party.job.wrong_so_far(), None);
    }
    Process::start(party.command("run"))
        .wait()
        .expect(0, &["finished"]);
    assert_eq!(party.job.wrong(), None);
}
