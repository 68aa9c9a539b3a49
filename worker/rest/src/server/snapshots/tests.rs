//! The API as a client sees it: a real server and a real client, with a Dispatcher that answers
//! from a script.

mod scripted;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use weir_checkpoint::coordinator::Then;
use weir_checkpoint::pointer::SnapshotKind;
use weir_rpc::DispatcherError;
use weir_types::{ManualClock, SystemClock};

use scripted::{JOB, Scripted};

use crate::server::{RestListener, RestServer};
use crate::{ClientError, RestClient, dto, metrics};

/// Runs a test against a server that asks `dispatcher`.
fn with_server(dispatcher: &Arc<Scripted>, test: impl FnOnce(RestClient, String) + Send + 'static) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let any = "127.0.0.1:0".parse().expect("an address");
        let listener = RestListener::bind(any).await.expect("a port");
        let gateway = Arc::clone(dispatcher);
        let server = RestServer::start(listener, gateway, Arc::new(SystemClock));
        let address = server.address().to_string();
        let done = spawn_blocking(move || test(RestClient::new(address.clone()), address));
        done.await.expect("the test");
    });
}

/// The status and body of a POST.
fn post(address: &str, path: &str, body: &str) -> (u16, String) {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build();
    let agent = ureq::Agent::from(config);
    let mut answer = agent
        .post(format!("http://{address}{path}"))
        .send(body)
        .expect("an answer");
    let text = answer.body_mut().read_to_string().expect("a text");
    (answer.status().as_u16(), text)
}

fn refusal<T: std::fmt::Debug>(result: Result<T, ClientError>) -> String {
    match result {
        Err(ClientError::Refused(text)) => text,
        other => panic!("refused: {other:?}"),
    }
}

#[test]
fn what_is_asked_for_reaches_the_dispatcher() {
    let dispatcher = Arc::new(Scripted::default());
    with_server(&dispatcher, |client, address| {
        let named = |name: &str| Some(name.to_owned());
        let request = dto::SavepointRequest {
            operation: named("one"),
            then: dto::AfterSavepoint::Continue,
        };
        assert_eq!(
            client.savepoint(JOB, &request).expect("taken").operation,
            "one"
        );
        for (drain, name) in [(false, "two"), (true, "three")] {
            let operation = named(name);
            client
                .stop(JOB, &dto::StopRequest { drain, operation })
                .expect("taken");
        }
        let request = dto::CheckpointRequest {
            operation: named("four"),
        };
        client.checkpoint(JOB, &request).expect("taken");
        // As a person writes it with curl.
        let (status, body) = post(&address, &format!("/jobs/{JOB}/savepoints"), "");
        assert_eq!(status, 202, "{body}");
        assert!(body.contains(r#"{"operation":"op-"#), "{body}");
        let path = format!("/jobs/{JOB}/savepoints");
        assert_eq!(post(&address, &path, r#"{"then": "drain"}"#).0, 202);
    });
    let asked = dispatcher.asked.lock().expect("whole");
    let seen: Vec<_> = asked.iter().map(|ask| (ask.kind, ask.then)).collect();
    use SnapshotKind::{Checkpoint, Savepoint};
    let expected = [
        (Savepoint, Then::Continue),
        (Savepoint, Then::Stop),
        (Savepoint, Then::Drain),
        (Checkpoint, Then::Continue),
        (Savepoint, Then::Continue),
        (Savepoint, Then::Drain),
    ];
    assert_eq!(seen, expected);
    let names: Vec<&str> = asked.iter().map(|ask| ask.operation.0.as_str()).collect();
    assert_eq!(names[..4], ["one", "two", "three", "four"]);
    assert_ne!(names[4], names[5], "names that are made up differ");
}

#[test]
fn a_savepoint_that_is_not_needed_is_let_go_of() {
    let dispatcher = Arc::new(Scripted::default());
    with_server(&dispatcher, |client, _| {
        client.forget_savepoint(JOB, "one").expect("taken");
        // Asking again is harmless.
        client.forget_savepoint(JOB, "one").expect("taken");
        let said = refusal(client.forget_savepoint(JOB, "newest"));
        assert_eq!(
            said,
            "the savepoint of operation `newest` stays: it is the newest"
        );
        assert!(refusal(client.forget_savepoint(JOB, "a%20b")).contains("operation"));
    });
    let forgotten = dispatcher.forgotten.lock().expect("whole");
    assert_eq!(*forgotten, ["one", "one"]);
}

#[test]
fn bodies_that_say_something_else_are_refused() {
    let dispatcher = Arc::new(Scripted::default());
    with_server(&dispatcher, |_, address| {
        for (path, body, part) in [
            ("stop", r#"{"drian": true}"#, "unknown field `drian`"),
            ("stop", "drain", "read the body"),
            (
                "savepoints",
                r#"{"then": "explode"}"#,
                "expected one of `continue`",
            ),
            ("savepoints", r#"{"operation": "a/b"}"#, "letters, digits"),
            ("checkpoints", r#"{"operation": ""}"#, "letters, digits"),
        ] {
            let (status, text) = post(&address, &format!("/jobs/{JOB}/{path}"), body);
            assert!(
                status == 400 && text.contains(part),
                "{path} {body}: {status} {text}"
            );
        }
    });
    assert!(dispatcher.asked.lock().expect("whole").is_empty());
}

#[test]
fn a_job_without_checkpoints_and_one_that_has_ended_are_conflicts() {
    let off = Arc::new(Scripted::refusing(DispatcherError::CheckpointsOff(JOB)));
    let result = weir_rpc::JobResult::Finished;
    let ended = Arc::new(Scripted::refusing(DispatcherError::Ended {
        id: JOB,
        result,
    }));
    let unknown = Arc::new(Scripted::refusing(DispatcherError::UnknownJob(JOB)));
    for (dispatcher, status, part) in [
        (off, 409, "--checkpoint-dir"),
        (ended, 409, "has already ended"),
        (unknown, 404, "weir list"),
    ] {
        with_server(&dispatcher, move |_, address| {
            for path in ["stop", "savepoints", "checkpoints"] {
                let (seen, text) = post(&address, &format!("/jobs/{JOB}/{path}"), "");
                assert!(
                    seen == status && text.contains(part),
                    "{path}: {seen} {text}"
                );
            }
        });
    }
}

/// The job ends with its savepoint, between two questions of whoever waits for it.
#[test]
fn the_server_stays_until_whoever_waits_has_heard_the_end() {
    let dispatcher = Arc::new(Scripted::default());
    let looks = |times| {
        let mut looks = dispatcher.looks.lock().expect("whole");
        looks.insert("slow".to_owned(), times);
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let any = "127.0.0.1:0".parse().expect("an address");
        let listener = RestListener::bind(any).await.expect("a port");
        let gateway = Arc::clone(&dispatcher);
        let server = RestServer::start(listener, gateway, Arc::new(SystemClock));
        let address = server.address().to_string();
        let ask = move || {
            let (client, wait) = (RestClient::new(address.clone()), Duration::from_millis(1));
            let asked = spawn_blocking(move || client.operation(JOB, "slow", wait));
            async { asked.await.expect("a client").expect("an answer").status }
        };
        looks(u32::MAX);
        assert_eq!(ask().await, dto::SnapshotStatus::InProgress);
        looks(0);
        let closing = tokio::spawn(server.shutdown(Duration::from_secs(60)));
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!closing.is_finished(), "somebody waits for the savepoint");
        assert_eq!(ask().await, dto::SnapshotStatus::Completed);
        closing.await.expect("it closes");
    });
}

#[test]
fn a_wait_ends_with_the_operation_or_with_its_time() {
    let dispatcher = Arc::new(Scripted::default());
    // In progress three times, then complete.
    dispatcher
        .looks
        .lock()
        .expect("whole")
        .insert("slow".to_owned(), 3);
    dispatcher
        .looks
        .lock()
        .expect("whole")
        .insert("never".to_owned(), u32::MAX);
    with_server(&dispatcher, |client, _| {
        let answer = client
            .operation(JOB, "slow", Duration::ZERO)
            .expect("an answer");
        assert_eq!(answer.status, dto::SnapshotStatus::InProgress);
        let answer = client
            .operation(JOB, "slow", Duration::from_secs(8))
            .expect("an answer");
        assert_eq!(answer.status, dto::SnapshotStatus::Completed);
        assert_eq!(
            answer.location.as_deref(),
            Some("/state/words/savepoint-3-12")
        );
        assert_eq!(answer.id, Some(12));
        let wait = Duration::from_millis(50);
        let answer = client.operation(JOB, "never", wait).expect("an answer");
        assert_eq!(answer.status, dto::SnapshotStatus::InProgress);
        let answer = client.operation(JOB, "failed", wait).expect("an answer");
        assert_eq!(answer.status, dto::SnapshotStatus::Failed);
        assert_eq!(answer.cause.as_deref(), Some("the store is full"));
        assert!(refusal(client.operation(JOB, "other", wait)).contains("no operation `other`"));
    });
}

#[test]
fn checkpoints_are_counted_summed_up_and_listed() {
    let dispatcher = Arc::new(Scripted::default());
    with_server(&dispatcher, |client, _| {
        let all = client.checkpoints(JOB).expect("an answer");
        let counts = dto::CheckpointCounts {
            in_progress: 1,
            completed: 2,
            failed: 1,
        };
        assert_eq!((all.counts, all.restored), (counts, Some(7)));
        let duration = dto::MinMaxAverage {
            min: 100,
            max: 301,
            avg: 200,
        };
        assert_eq!(all.summary.end_to_end_duration, duration);
        assert_eq!(all.retained[1].location, "/state/words/savepoint-3-12");
        let ids: Vec<u64> = all.history.iter().map(|each| each.id).collect();
        assert_eq!(ids, [14, 13, 12, 11]);
        assert_eq!(
            all.history[1].failure_message.as_deref(),
            Some("the store is full")
        );
        let kinds = all.history.iter().map(|each| each.failure_kind);
        let storage = Some(dto::FailureKind::Storage);
        assert_eq!(kinds.collect::<Vec<_>>(), [None, storage, None, None]);
        let savepoint = &all.history[2];
        assert_eq!(savepoint.kind, dto::SnapshotKind::Savepoint);
        // The sum of two subtasks' bytes, the longest of their times.
        assert_eq!(
            (savepoint.state_size, savepoint.checkpointed_size),
            (3000, 30)
        );
        assert_eq!(
            (savepoint.alignment_duration, savepoint.sync_duration),
            (4.0, 0.5)
        );
    });
}

#[test]
fn a_checkpoint_is_shown_by_subtask() {
    let dispatcher = Arc::new(Scripted::default());
    with_server(&dispatcher, |client, _| {
        let savepoint = client.checkpoint_details(JOB, 12).expect("an answer");
        assert_eq!(savepoint.checkpoint.operation.as_deref(), Some("slow"));
        let part = &savepoint.subtasks[1];
        assert_eq!(
            (part.subtask, part.end_to_end_duration),
            (1, 1.0 + 4.0 + 0.5 + 90.0)
        );
        assert_eq!((part.vertex_name.as_deref(), part.start_delay), (None, 1.0));
        let missing = refusal(client.checkpoint_details(JOB, 99));
        assert!(missing.contains("no checkpoint 99"), "{missing}");
        let earlier = refusal(client.checkpoint_details(JOB, 10));
        assert!(
            earlier.contains("checkpoints inspect 10 --dir /state/words"),
            "{earlier}"
        );
    });
}

/// The status of an answer, whatever the method.
fn status(address: &str, method: &str, path: &str) -> u16 {
    let mut stream = TcpStream::connect(address).expect("REST is open");
    let question = format!("{method} {path} HTTP/1.1\r\nhost: weir\r\nconnection: close\r\n\r\n");
    stream.write_all(question.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    code.expect("a status")
}

/// Fails if a path or method is answered that the description leaves out, or the other way round.
#[test]
fn the_description_has_exactly_what_is_answered() {
    let document = crate::openapi::document();
    let described = document["paths"].as_object().expect("paths").clone();
    let named: BTreeSet<&str> = described.keys().map(String::as_str).collect();
    let routes = crate::server::endpoints().into_iter();
    assert_eq!(named, routes.map(|(path, _)| path).collect());
    with_server(&Arc::new(Scripted::default()), move |_, address| {
        for (path, methods) in &described {
            let asked = path
                .replace("{id}", &JOB.to_string())
                .replace("{operation}", "failed")
                .replace("{number}", "12");
            for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
                let answered = status(&address, method, &asked);
                match methods.get(method.to_lowercase()) {
                    None => assert_eq!(answered, 405, "{method} {path}"),
                    Some(operation) => {
                        let told = &operation["responses"][answered.to_string()];
                        assert!(told.is_object(), "{method} {path}: {answered}");
                    }
                }
            }
        }
    });
}

#[test]
fn metrics_tell_of_checkpoints_and_restarts() {
    let dispatcher = Scripted::default();
    let now = weir_types::Clock::unix_ms(&ManualClock::at(60_000));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let scraped = runtime
        .block_on(metrics::scrape(&dispatcher, None, now))
        .expect("an answer");
    for line in [
        r#"weir_checkpoint_total{job="words",result="completed"} 2"#,
        r#"weir_checkpoint_total{job="words",result="failed"} 1"#,
        r#"weir_checkpoint_in_progress{job="words"} 1.0"#,
        "# TYPE weir_checkpoint_duration_seconds histogram",
        r#"weir_checkpoint_duration_seconds_sum{job="words"} 0.401"#,
        r#"weir_checkpoint_duration_seconds_count{job="words"} 2"#,
        r#"weir_checkpoint_duration_seconds_bucket{le="0.1",job="words"} 1"#,
        r#"weir_checkpoint_duration_seconds_bucket{le="0.5",job="words"} 2"#,
        r#"weir_checkpoint_duration_seconds_bucket{le="+Inf",job="words"} 2"#,
        r#"weir_checkpoint_size_bytes{job="words",kind="written"} 30.0"#,
        r#"weir_checkpoint_size_bytes{job="words",kind="full"} 3000.0"#,
        r#"weir_checkpoint_collected_objects_total{job="words"} 5"#,
        r#"weir_checkpoint_last_success_timestamp_seconds{job="words"} 10.5"#,
        r#"weir_job_restarts_total{job="words",reason="recoverable"} 3"#,
        r#"weir_job_restarts_total{job="words",reason="environment"} 1"#,
        r#"weir_job_state{job="words",state="RUNNING"} 1.0"#,
        r#"weir_job_state{job="words",state="CANCELLED"} 0.0"#,
    ] {
        assert!(scraped.contains(line), "`{line}` is missing in\n{scraped}");
    }
    let off = Scripted::refusing(DispatcherError::CheckpointsOff(JOB));
    let scraped = runtime
        .block_on(metrics::scrape(&off, None, now))
        .expect("an answer");
    assert!(!scraped.contains("weir_checkpoint_total{"), "{scraped}");
    assert!(!scraped.contains("weir_checkpoint_duration"), "{scraped}");
}

#[test]
fn metrics_tell_of_lag_queues_state_and_commits_with_the_namespace() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let scraped = runtime
        .block_on(metrics::scrape(&Scripted::default(), Some("shop"), 60_000))
        .expect("an answer");
    let operator = format!(r#"operator="write",operator_uid="{:032x}""#, 9);
    for line in [
        format!(r#"weir_source_event_time_lag_seconds{{namespace="shop",job="words",{operator},subtask="1"}} -2.5"#),
        r#"weir_channel_queue_bytes{namespace="shop",job="words",vertex="write",subtask="0"} 512.0"#.to_owned(),
        format!(r#"weir_state_size_bytes{{namespace="shop",job="words",{operator},place="memory"}} 4096.0"#),
        format!(r#"weir_state_size_bytes{{namespace="shop",job="words",{operator},place="disk"}} 7000.0"#),
        format!(r#"weir_sink_commit_seconds_sum{{namespace="shop",job="words",{operator}}} 0.041"#),
        format!(r#"weir_sink_commit_seconds_bucket{{namespace="shop",le="0.025",job="words",{operator}}} 2"#),
        r#"weir_taskmanagers{namespace="shop"} "#.to_owned(),
    ] {
        assert!(scraped.contains(&line), "`{line}` is missing in\n{scraped}");
    }
    let lags = scraped
        .matches("weir_source_event_time_lag_seconds{")
        .count();
    assert_eq!(
        lags, 1,
        "the other subtask has read nothing with an event time"
    );
}
