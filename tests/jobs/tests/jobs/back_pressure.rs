//! A sink that is slower than its source: the source waits, and memory stays flat.

use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;
use weir_testkit::{JobManager, Process, Rest, command, until, until_within};

use crate::harness::{Folder, test_programs};

/// What queues, threads and code may take. The source makes 1 GB/s and more if nobody stops it.
const MEMORY_MB_MAX: u64 = 150;

/// Texts of 2 kB, of which each subtask takes a thousand a second.
const ARGS: [&str; 2] = ["bytes: \"2000\"", "pause-us: \"1000\""];
/// More than all queues on the way can hold.
const TEXTS_AHEAD_MAX: u64 = 20_000;

#[track_caller]
fn check(rest: Rest, processes: &[&Process]) {
    let source = |job: &Value| job["vertices"][0].clone();
    until("back-pressure at the source", || {
        source(&rest.job())["backpressure-level"] == "high"
    });
    let job = rest.job();
    let ratio = source(&job)["metrics"]["backpressured-ratio"]
        .as_f64()
        .expect("a ratio");
    assert!(ratio > 0.5, "{ratio}");
    let number = |value: &Value| value.as_u64().expect("a number");
    let made = number(&source(&job)["metrics"]["write-records"]);
    let taken = number(&job["vertices"][1]["metrics"]["read-records"]);
    assert!(
        made.saturating_sub(taken) < TEXTS_AHEAD_MAX,
        "{made} texts were made, {taken} were taken"
    );
    assert!(number(&job["vertices"][1]["metrics"]["accumulated-busy-time"]) > 0);

    sleep(Duration::from_secs(2));
    for process in processes {
        let most = process.memory_mb("VmHWM").expect("it runs");
        assert!(most < MEMORY_MB_MAX, "{most} MiB");
    }
    until("more texts at the slow function", || {
        number(&rest.job()["vertices"][1]["metrics"]["read-records"]) > taken
    });
}

#[test]
fn a_slow_function_holds_up_its_source_in_one_process() {
    let folder = Folder::new();
    let manifest = folder.manifest("slow", &ARGS, &["parallelism: 2"]);
    let args = ["run".to_owned()].into_iter().chain(manifest);
    let mut process = Process::start(command(test_programs(), args));
    let rest = process.rest();
    check(rest, &[&process]);
    process.signal("INT");
    process.wait().expect(130, &["job slow cancelled"]);
}

#[test]
fn a_slow_function_holds_up_its_source_across_processes() {
    let folder = Folder::new();
    let manager = JobManager::start(
        test_programs(),
        &folder.manifest("slow", &ARGS, &["parallelism: 2"]),
    );
    let workers = [manager.taskmanager(1), manager.taskmanager(1)];
    check(manager.rest, &[&manager.process, &workers[0], &workers[1]]);
    manager.process.signal("INT");
    manager.process.wait().expect(130, &["job slow cancelled"]);
    for worker in workers {
        worker.wait().expect(0, &["the job has ended: cancelled"]);
    }
}

#[test]
fn a_function_that_takes_long_for_a_record_holds_up_cancelling_by_about_a_record() {
    let folder = Folder::new();
    // A chunk of a thousand such records would take minutes.
    let args = ["bytes: \"20\"", "pause-us: \"400000\""];
    let manifest = folder.manifest("slow", &args, &["parallelism: 1"]);
    let args = ["run".to_owned()].into_iter().chain(manifest);
    let mut process = Process::start(command(test_programs(), args));
    let rest = process.rest();
    until("a record at the slow function", || {
        rest.job()["vertices"][1]["operators"][0]["read-records"].as_u64() > Some(0)
    });
    process.signal("INT");
    until_within(Duration::from_secs(20), "the end", || process.has_ended());
    process.wait().expect(130, &["job slow cancelled"]);
}
