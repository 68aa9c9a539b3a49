//! `list`, `info` and `cancel`, by a process that knows nothing but the REST address.

use serde_json::Value;
use weir_testkit::{Process, until};

use crate::harness::{Words, done, jobmanager, weir};

fn json(args: &[&str]) -> Value {
    let ended = done(args);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    serde_json::from_str(&ended.stdout).expect("JSON")
}

#[test]
fn a_job_is_listed_shown_and_cancelled() {
    let words = Words::new(10);
    let manager = jobmanager(&words.args("jobmanager"));
    let rest = &manager.rest.address.to_string();

    let jobs = json(&["list", "--rest", rest, "--format", "json"]);
    let id = jobs["jobs"][0]["id"].as_str().expect("an id").to_owned();
    let listed = done(["list", "--rest", rest]);
    for part in [
        "wordcount",
        "RUNNING",
        "0/4",
        "waiting for 2 slots",
        id.as_str(),
    ] {
        assert!(
            listed.stdout.contains(part),
            "`{part}` is missing in {}",
            listed.stdout
        );
    }

    let shown = done(["info", "--rest", rest]);
    for part in ["job wordcount\n", "lines -> split", "SCHEDULED", &id] {
        assert!(
            shown.stdout.contains(part),
            "`{part}` is missing in {}",
            shown.stdout
        );
    }
    let job = json(&["info", &id, "--rest", rest, "--format", "json"]);
    assert_eq!(job["vertices"].as_array().map(Vec::len), Some(2), "{job}");

    let other = "0".repeat(32);
    done(["info", &other, "--rest", rest]).expect(1, &["no job with id 000", "weir list"]);

    let cancelled = done(["cancel", "--rest", rest]);
    assert_eq!(cancelled.stdout, format!("job {id} was asked to stop\n"));
    manager
        .process
        .wait()
        .expect(130, &["job wordcount cancelled: 0 records read"]);
    assert_eq!(words.finished(), Vec::<String>::new());
}

#[test]
fn nobody_there_is_told_with_the_option_that_looks_elsewhere() {
    done(["list", "--rest", "127.0.0.1:9"]).expect(
        1,
        &["ask the JobManager at 127.0.0.1:9", "--rest HOST:PORT"],
    );
}

#[test]
fn a_running_job_counts_its_records() {
    let words = Words::new(100_000);
    let mut args = words.args("run");
    args.extend(["--arg", "rate=500"].map(str::to_owned));
    let mut process = Process::start(weir(args));
    let rest = process.rest().address.to_string();
    until("records", || {
        let job = json(&["info", "--rest", &rest, "--format", "json"]);
        job["vertices"][1]["metrics"]["read-records"].as_u64() > Some(100)
    });
    let shown = done(["info", "--rest", &rest]);
    assert!(
        shown.stdout.contains("4 running, 0 finished"),
        "{}",
        shown.stdout
    );
}
