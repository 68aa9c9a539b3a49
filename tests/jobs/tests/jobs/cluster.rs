//! `wordcount` on a JobManager and two TaskManagers, watched through REST meanwhile.

use std::collections::BTreeSet;

use serde_json::Value;
use weir_testkit::{JobManager, Rest, command, request, until};

use crate::harness::{Folder, book, test_programs, weir_binary};

/// A word count of the book that takes some seconds, as it is read at a rate.
fn count_of_the_book(folder: &Folder, lines_per_second: u32) -> Vec<String> {
    let mut args = folder.job("wordcount", "");
    args.extend([
        "--arg".to_owned(),
        format!("input={}", book().path.display()),
    ]);
    args.extend(["--arg".to_owned(), format!("rate={lines_per_second}")]);
    args
}

#[test]
fn two_taskmanagers_count_the_book_while_rest_tells_how_far_they_are() {
    let folder = Folder::new();
    let manager = JobManager::start(weir_binary(), &count_of_the_book(&folder, 10_000));
    let workers = [manager.taskmanager(1), manager.taskmanager(1)];
    let rest = manager.rest;
    until("records at all subtasks", || {
        let job = rest.job();
        let vertices = job["vertices"].as_array().cloned().unwrap_or_default();
        let subtasks = vertices
            .iter()
            .filter_map(|vertex| vertex["subtasks"].as_array())
            .flatten();
        let mut written_or_read = subtasks.map(|subtask| {
            let number = |key: &str| subtask["metrics"][key].as_u64().unwrap_or(0);
            number("write-records") + number("read-records")
        });
        written_or_read.all(|records| records > 0)
    });
    check_overview(rest);
    let id = check_jobs(rest);
    check_job(&rest.json(&format!("/jobs/{id}")));
    check_metrics(rest);
    check_refusals(rest, &id);

    let ended = manager.process.wait();
    ended.expect(0, &["job wordcount finished: "]);
    for worker in workers {
        worker.wait().expect(0, &["the job has ended: finished"]);
    }
    assert!(
        folder.counted() == book().counts,
        "the counts differ from an independent count"
    );
    assert_eq!(
        folder.names("out").len(),
        2,
        "a file for each subtask, and nothing left over"
    );
}

fn check_overview(rest: Rest) {
    assert_eq!(rest.text("/healthz"), "ok\n");
    let overview = rest.json("/overview");
    for (key, value) in [
        ("taskmanagers", 2),
        ("slots-total", 2),
        ("slots-available", 0),
        ("jobs-running", 1),
        ("jobs-finished", 0),
        ("jobs-failed", 0),
    ] {
        assert_eq!(overview[key], value, "{key} of {overview}");
    }
    let answer = rest.json("/taskmanagers");
    let all = answer["taskmanagers"].as_array().expect("a list");
    assert_eq!(all.len(), 2);
    for one in all {
        assert_eq!(
            (&one["slots-number"], &one["free-slots"]),
            (&1.into(), &0.into()),
            "{one}"
        );
    }
    let data = rest.data_addresses();
    assert!(
        data.len() == 2 && data.iter().all(|address| address.ip().is_loopback()),
        "{data:?}"
    );
    assert_eq!(rest.json("/config")["config"]["parallelism.default"], "2");
    assert!(rest.json("/openapi.json")["paths"]["/jobs/{id}"].is_object());
}

fn check_jobs(rest: Rest) -> String {
    let jobs = rest.json("/jobs");
    assert_eq!(jobs["jobs"].as_array().map(Vec::len), Some(1));
    let job = &jobs["jobs"][0];
    assert_eq!(
        (&job["name"], &job["state"]),
        (&"wordcount".into(), &"RUNNING".into())
    );
    assert_eq!(
        (&job["tasks"]["total"], &job["end-time"]),
        (&4.into(), &(-1).into())
    );
    let id = job["id"].as_str().expect("an id").to_owned();
    assert!(
        id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{id}"
    );
    let exceptions = rest.json(&format!("/jobs/{id}/exceptions"));
    assert_eq!(exceptions["entries"], Value::Array(Vec::new()));
    id
}

fn check_job(job: &Value) {
    let vertices = job["vertices"].as_array().expect("a list");
    let names: Vec<&str> = vertices
        .iter()
        .filter_map(|vertex| vertex["name"].as_str())
        .collect();
    assert_eq!(names, ["lines -> split", "count -> output"]);
    for vertex in vertices {
        assert_eq!(
            (&vertex["status"], &vertex["parallelism"]),
            (&"RUNNING".into(), &2.into())
        );
        let subtasks = vertex["subtasks"].as_array().expect("a list");
        let places: BTreeSet<&str> = subtasks
            .iter()
            .filter_map(|subtask| subtask["taskmanager-id"].as_str())
            .collect();
        assert_eq!(
            (subtasks.len(), places.len()),
            (2, 2),
            "one on each TaskManager: {vertex}"
        );
        let shares = ["busy-ratio", "idle-ratio", "backpressured-ratio"];
        let sum: f64 = shares
            .iter()
            .filter_map(|key| subtasks[0]["metrics"][key].as_f64())
            .sum();
        assert!(
            (0.9..=1.1).contains(&sum),
            "shares of the time sum up to {sum}: {vertex}"
        );
    }
    assert_eq!(vertices[1]["inputs"][0]["partitioner"], "hash");
    let read = &vertices[0]["operators"][0];
    let number = |value: &Value, key: &str| value[key].as_u64().unwrap_or_default();
    assert!(number(read, "read-records") > 0, "lines: {read}");
    let (from, to) = (&vertices[0]["metrics"], &vertices[1]["metrics"]);
    assert!(
        number(from, "write-records") > number(read, "read-records"),
        "words: {from}"
    );
    assert!(
        number(from, "write-bytes") > 0 && number(to, "read-bytes") > 0,
        "{from} {to}"
    );
}

fn check_metrics(rest: Rest) {
    let (status, head, body) = request(rest.address, "GET", "/metrics");
    assert_eq!(status, 200);
    assert!(
        head.contains("content-type: application/openmetrics-text"),
        "{head}"
    );
    assert!(body.ends_with("# EOF\n"), "a whole scrape");
    for part in [
        "weir_operator_records_in_total{job=\"wordcount\",operator=\"count\",",
        "weir_task_bytes_out_total{",
        "weir_task_time_seconds_total{",
        "weir_channel_queue_bytes{job=\"wordcount\",vertex=\"count -> output\",subtask=\"1\"}",
        "weir_job_state{job=\"wordcount\",state=\"RUNNING\"} 1",
        "weir_taskmanagers{} 2",
    ] {
        assert!(body.contains(part), "`{part}` is missing in {body}");
    }
    for line in body.lines().filter(|line| !line.starts_with('#')) {
        let value = line.rsplit_once(' ').map(|(_, value)| value.parse::<f64>());
        assert!(
            matches!(value, Some(Ok(_))),
            "a sample ends with a number: {line}"
        );
    }
}

/// What makes no sense is told in JSON, and harms nobody.
fn check_refusals(rest: Rest, id: &str) {
    let unknown = "0".repeat(32);
    for (method, path, status, part) in [
        ("GET", "/nothing", 404, "GET / lists what there is"),
        ("GET", "/jobs/wordcount", 400, "job id"),
        ("GET", &format!("/jobs/{unknown}"), 404, "no job with id"),
        (
            "DELETE",
            &format!("/jobs/{id}"),
            405,
            "does not take this method",
        ),
        ("PATCH", &format!("/jobs/{id}?mode=stop"), 400, "`stop`"),
    ] {
        let (found, _, body) = request(rest.address, method, path);
        assert_eq!(found, status, "{method} {path}: {body}");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        let text = body["errors"][0].as_str().expect("an error");
        assert!(text.contains(part), "{method} {path}: {text}");
    }
}

#[test]
fn four_slots_of_unequal_taskmanagers_count_the_book() {
    let folder = Folder::new();
    let mut args = count_of_the_book(&folder, 1_000_000);
    args.extend(["--parallelism", "4"].map(str::to_owned));
    let manager = JobManager::start(weir_binary(), &args);
    let workers = [manager.taskmanager(3), manager.taskmanager(1)];
    manager
        .process
        .wait()
        .expect(0, &["job wordcount finished: 31,"]);
    for worker in workers {
        worker.wait().expect(0, &["the job has ended: finished"]);
    }
    assert!(
        folder.counted() == book().counts,
        "the counts differ from an independent count"
    );
}

#[test]
fn the_age_of_what_a_source_reads_and_the_namespace_are_told() {
    let folder = Folder::new();
    let manifest = folder.manifest("dawdles", &["where: map"], &["parallelism: 1"]);
    let mut jobmanager = command(test_programs(), ["jobmanager"]);
    jobmanager.args(manifest).env("POD_NAMESPACE", "shop");
    let manager = JobManager::of_command(jobmanager);
    let worker = manager.taskmanager(1);
    let rest = manager.rest;
    let lag = || {
        let job = rest.job();
        job["vertices"][0]["subtasks"][0]["metrics"]["event-time-lag"].as_i64()
    };
    until("the first records", || lag().is_some());
    assert!(lag() > Some(1_600_000_000_000), "its records are of 1970");
    let metrics = rest.text("/metrics");
    let of = "weir_source_event_time_lag_seconds{namespace=\"shop\",job=\"dawdles\",\
              operator=\"numbers\",operator_uid=\"";
    assert!(metrics.contains(of), "no {of} in {metrics}");
    manager.process.signal("INT");
    manager.process.wait().expect(130, &["cancelled"]);
    worker.wait().expect(0, &["cancelled"]);
}
