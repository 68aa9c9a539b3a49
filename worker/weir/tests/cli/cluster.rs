//! A JobManager and TaskManagers as processes of their own.

use weir_testkit::{Ended, JobManager, Process, until};

use crate::harness::{Words, done, jobmanager, weir};

#[test]
fn two_taskmanagers_count_as_an_independent_count_does() {
    let words = Words::new(20_000);
    let manager = jobmanager(&words.args("jobmanager"));
    let workers = [(); 2].map(|()| Process::start(manager.taskmanager_command(&[])));
    let ended = manager.process.wait();
    ended.expect(0, &["job wordcount finished: 20,000 records read in "]);
    assert_eq!(
        ended.stdout.lines().count(),
        2,
        "only the addresses: {}",
        ended.stdout
    );
    for worker in workers {
        worker.wait().expect(0, &["the job has ended: finished"]);
    }
    assert_eq!(words.counted(), words.expected());
}

#[test]
fn one_taskmanager_with_enough_slots_will_do() {
    let words = Words::new(100);
    let mut args = words.args("jobmanager");
    args.extend(["--parallelism".to_owned(), "4".to_owned()]);
    let manager = jobmanager(&args);
    let worker = Process::start(manager.taskmanager_command(&["--slots", "4"]));
    manager.process.wait().expect(0, &[]);
    worker.wait().expect(0, &[]);
    assert_eq!(words.counted(), words.expected());
}

#[test]
fn taskmanagers_may_come_before_their_jobmanager() {
    let words = Words::new(100);
    // The port is free again at once: nobody has connected to it.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let rpc = free.local_addr().expect("an address").to_string();
    drop(free);
    let early = ["taskmanager", "--jobmanager", &rpc, "--slots", "2"];
    let mut worker = Process::start(weir(early));
    worker.until_stderr("reach the JobManager");
    let mut args = words.args("jobmanager");
    args.extend(["--rpc", &rpc, "--rest", "127.0.0.1:0"].map(str::to_owned));
    Process::start(weir(args)).wait().expect(0, &[]);
    worker.wait().expect(0, &[]);
    assert_eq!(words.counted(), words.expected());
}

#[test]
fn a_failed_job_is_the_jobmanagers_failure_and_not_its_taskmanagers() {
    let words = Words::of_bytes(b"good\nnot \xff good\n");
    let manager = jobmanager(&words.args("jobmanager"));
    let worker = Process::start(manager.taskmanager_command(&["--slots", "2"]));
    let cause = "input.txt, line 2, byte offset 9: invalid UTF-8";
    let ended = manager.process.wait();
    ended.expect(1, &["error: job wordcount failed: ", cause]);
    assert_eq!(
        ended.stderr.matches(cause).count(),
        1,
        "told once:\n{}",
        ended.stderr
    );
    worker.wait().expect(0, &["the job has ended: failed"]);
    assert_eq!(words.finished(), Vec::<String>::new());
}

fn slow(words: &Words) -> JobManager {
    let mut args = words.args("jobmanager");
    args.extend(["--arg", "rate=50"].map(str::to_owned));
    jobmanager(&args)
}

fn running(manager: &JobManager) {
    until("a running job", || {
        let shown = done(["info", "--rest", &manager.rest.address.to_string()]);
        shown.stdout.contains("4 running")
    });
}

#[test]
fn cancelling_by_signal_ends_all_processes() {
    let words = Words::new(100_000);
    let manager = slow(&words);
    let workers = [(); 2].map(|()| Process::start(manager.taskmanager_command(&[])));
    running(&manager);
    manager.process.signal("INT");
    manager
        .process
        .wait()
        .expect(130, &["job wordcount cancelled"]);
    for worker in workers {
        worker.wait().expect(0, &["the job has ended: cancelled"]);
    }
    assert_eq!(words.finished(), Vec::<String>::new());
}

#[test]
fn a_killed_taskmanager_fails_the_job_with_its_name() {
    let words = Words::new(100_000);
    let manager = slow(&words);
    let [first, second] = [(); 2].map(|()| Process::start(manager.taskmanager_command(&[])));
    running(&manager);
    first.signal("KILL");
    let ended: Ended = manager.process.wait();
    ended.expect(1, &["error: job wordcount failed: ", "TaskManager"]);
    second.wait().expect(0, &["the job has ended: failed"]);
    assert_eq!(words.finished(), Vec::<String>::new());
}

#[test]
fn a_killed_jobmanager_is_looked_for_until_the_time_out() {
    let words = Words::new(100_000);
    let manager = slow(&words);
    let worker =
        Process::start(manager.taskmanager_command(&["--slots", "2", "--reconnect-timeout", "1s"]));
    running(&manager);
    manager.process.signal("KILL");
    worker
        .wait()
        .expect(1, &["error: the JobManager was out of reach for 1 s"]);
    assert_eq!(words.finished(), Vec::<String>::new());
}
