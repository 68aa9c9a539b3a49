//! Functions of users that panic, fail or hang: the job ends with the reason and the place, and the
//! processes that run it live on to say so.

use std::time::Duration;

use weir_testkit::{Ended, JobManager, Process, command};
use weir_types::{Clock, SystemClock};

use crate::harness::{Folder, test_programs};

#[track_caller]
fn run(folder: &Folder, program: &str, args: &[&str], job: &[&str]) -> Ended {
    let manifest = folder.manifest(program, args, job);
    let args = ["run".to_owned()].into_iter().chain(manifest);
    Process::start(command(test_programs(), args)).wait()
}

#[test]
fn a_panic_fails_the_job_with_its_message_and_place_once() {
    let text = "number 5000 is too large";
    for (place, subtask) in [
        ("map", "explode"),
        ("source", "numbers"),
        ("key", "numbers"),
    ] {
        let folder = Folder::new();
        let place = format!("where: {place}");
        let ended = run(
            &folder,
            "panics",
            &["at: \"5000\"", &place],
            &["parallelism: 2"],
        );
        let parts = [
            "error: job panics failed: ",
            subtask,
            "panicked at tests/jobs/src/main.rs:",
            text,
        ];
        ended.expect(1, &parts);
        assert_eq!(
            ended.stderr.matches(text).count(),
            1,
            "told once: {}",
            ended.stderr
        );
        folder.expect_no_output();
    }
}

#[test]
fn a_panic_before_the_first_record_is_told_in_the_same_way() {
    let folder = Folder::new();
    let ended = run(&folder, "panics-in-open", &[], &["parallelism: 2"]);
    ended.expect(
        1,
        &[
            "job panics-in-open failed: explode",
            "panicked at",
            "number 7 is too large",
        ],
    );
    folder.expect_no_output();
    let folder = Folder::new();
    let ended = run(&folder, "panics-in-build", &[], &[]);
    ended.expect(
        2,
        &[
            "panicked at",
            "number 7 is too large",
            "error: build program `panics-in-build`",
        ],
    );
    assert!(!folder.path("out").exists(), "nothing was started");
}

#[test]
fn an_error_of_a_function_fails_the_job_with_its_text_once() {
    let folder = Folder::new();
    let ended = run(&folder, "fails", &["at: \"77\""], &["parallelism: 2"]);
    ended.expect(
        1,
        &["error: job fails failed: refuse", "number 77 is not wanted"],
    );
    assert_eq!(
        ended.stderr.matches("is not wanted").count(),
        1,
        "told once: {}",
        ended.stderr
    );
    folder.expect_no_output();
}

#[test]
fn a_taskmanager_outlives_the_panic_of_its_subtask() {
    let folder = Folder::new();
    let manifest = folder.manifest("panics", &["at: \"9999\""], &["parallelism: 2"]);
    let manager = JobManager::start(test_programs(), &manifest);
    let workers = [manager.taskmanager(1), manager.taskmanager(1)];
    let ended = manager.process.wait();
    let parts = [
        "panicked at tests/jobs/src/main.rs:",
        "number 9999 is too large",
        "explode -> output (",
    ];
    ended.expect(1, &[&["error: job panics failed: "], &parts[..]].concat());
    assert_eq!(
        ended.stderr.matches("9999").count(),
        1,
        "the root cause only: {}",
        ended.stderr
    );
    for worker in workers {
        worker
            .wait()
            .expect(0, &["the job has ended: failed", "panicked at"]);
    }
    folder.expect_no_output();
}

#[test]
fn a_function_that_never_returns_does_not_hold_up_the_end() {
    let folder = Folder::new();
    let config = ["parallelism: 1", "config: {task.cancellation.timeout: 1s}"];
    let manifest = folder.manifest("stuck", &[], &config);
    let args = ["run".to_owned()].into_iter().chain(manifest);
    let mut process = Process::start(command(test_programs(), args));
    process.until_stderr("state=RUNNING");
    process.signal("INT");
    process.wait().expect(130, &["job stuck cancelled: "]);
    assert_eq!(folder.finished("out"), Vec::<String>::new());
}

#[test]
fn a_second_ctrl_c_ends_at_once() {
    let folder = Folder::new();
    let manifest = folder.manifest("stuck", &[], &["parallelism: 1"]);
    let args = ["run".to_owned()].into_iter().chain(manifest);
    let mut process = Process::start(command(test_programs(), args));
    process.until_stderr("state=RUNNING");
    process.signal("INT");
    process.until_stderr("once more (Ctrl-C) to end at once");
    process.signal("INT");
    process.wait().expect(130, &[]);
    assert_eq!(folder.finished("out"), Vec::<String>::new());
}

/// Fails if a subtask looked at whether it is cancelled between two chunks only, or after all of
/// ten thousand timers: a chunk takes a minute here, the timers ten.
#[test]
fn a_function_that_has_become_slow_does_not_hold_up_the_end() {
    for place in ["source", "map", "timer"] {
        let folder = Folder::new();
        let place = format!("where: {place}");
        let manifest = folder.manifest("dawdles", &[&place], &["parallelism: 1"]);
        let args = ["run".to_owned()].into_iter().chain(manifest);
        let mut process = Process::start(command(test_programs(), args));
        process.until_stderr("it dawdles now");
        let began = SystemClock.now();
        process.signal("INT");
        process.wait().expect(130, &["job dawdles cancelled: "]);
        let took = SystemClock.now().since(began);
        assert!(took < Duration::from_secs(5), "{place}: {took:?}");
        assert_eq!(folder.finished("out"), Vec::<String>::new());
    }
}
