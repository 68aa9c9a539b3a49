use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const ID: &str = "00000000000000000000000000000001";

/// A JobManager whose job runs, and that answers with this when asked about checkpoints.
async fn manager(checkpoints: (u16, &'static str)) -> (String, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = vec![0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            let request = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default();
            let tasks = r#""tasks": { "total": 2, "running": 2, "finished": 0 }"#;
            let summary = format!(
                r#""id": "{ID}", "name": "j", "state": "RUNNING", "start-time": 1,
                "end-time": -1, "duration": 1, {tasks}"#
            );
            let (status, body) = match path {
                "/jobs" => (200, format!(r#"{{ "jobs": [{{ {summary} }}] }}"#)),
                path if path.ends_with("/checkpoints") => (checkpoints.0, checkpoints.1.to_owned()),
                path if path.contains("/savepoints/") => {
                    (404, r#"{ "errors": ["unknown"] }"#.to_owned())
                }
                _ => (
                    200,
                    format!(r#"{{ {summary}, "epoch": 1, "vertices": [] }}"#),
                ),
            };
            let length = body.len();
            let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (address.ip().to_string(), address.port())
}

async fn asked(checkpoints: (u16, &'static str)) -> Option<ManagerView> {
    let (address, port) = manager(checkpoints).await;
    let candidate = Candidate {
        pod: "j".to_owned(),
        deployment: 1,
        address,
    };
    ask(&[candidate], port, Some("upgrade-1")).await
}

/// Fails if an answer about checkpoints that does not come is taken for "there are none": the
/// status would say that a job which was restored started with no state.
#[tokio::test]
async fn a_jobmanager_that_does_not_say_what_it_restored_has_not_answered() {
    assert!(asked((500, "{}")).await.is_none());
    assert!(asked((503, r#"{ "errors": ["later"] }"#)).await.is_none());
    assert!(asked((200, "{}")).await.is_none());
}

#[tokio::test]
async fn a_job_without_checkpoints_is_seen_without_them() {
    let off = asked((409, r#"{ "errors": ["takes no snapshots"] }"#)).await;
    let view = off.expect("it leads");
    assert_eq!((view.restored, view.completed), (None, 0));
    assert!(view.is_running());
}

/// Fails, after some hundred questions, if one is asked while the connection is still busy with the
/// end of the answer before: of a thousand jobs at a time, fifty were taken for silent.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_of_many_questions_over_one_connection_is_answered() {
    let (address, port) = manager((200, "{}")).await;
    let mut connection = connect(&address, port).await.unwrap();
    for number in 0..5_000 {
        let answer: Result<Jobs, _> = connection.get("/jobs").await;
        assert!(answer.is_ok(), "question {number}: {answer:?}");
    }
}

/// What keeps a checkpoint from being stored may be gone since: the next one says.
#[tokio::test]
async fn a_checkpoint_that_was_not_stored_is_seen_until_one_completes() {
    let kind = |kind: &str| format!(r#", "failure-message": "why", "failure-kind": "{kind}""#);
    let storage = kind("storage");
    for (case, history, kept, seen) in [
        ("the newest", vec![(2, &storage)], 1, Some(2)),
        ("several", vec![(3, &storage), (2, &storage)], 1, Some(3)),
        (
            "one of another kind since",
            vec![(3, &kind("other")), (2, &storage)],
            1,
            Some(2),
        ),
        (
            "of a kind that is new to the operator",
            vec![(2, &kind("new"))],
            1,
            None,
        ),
        (
            "of no kind: an older JobManager",
            vec![(2, &String::new())],
            1,
            None,
        ),
        ("before one that completed", vec![(2, &storage)], 3, None),
        ("none", vec![], 1, None),
    ] {
        let history: Vec<_> = history
            .iter()
            .map(|(id, more)| taken(*id, "checkpoint", "FAILED", more))
            .collect();
        let view = asked((200, checkpoints(&[kept], &history))).await;
        let not_stored = view.expect("it leads").not_stored;
        let id = not_stored.as_ref().map(|failed| failed.id);
        assert_eq!(id, seen, "{case}");
        assert!(
            not_stored.is_none_or(|failed| failed.cause == "why"),
            "{case}"
        );
    }
}

fn taken(id: u64, kind: &str, status: &str, more: &str) -> String {
    format!(
        r#"{{ "id": {id}, "kind": "{kind}", "status": "{status}", "trigger-timestamp": 1,
        "end-to-end-duration": 250, "state-size": 4096, "checkpointed-size": 1,
        "alignment-duration": 0.0, "alignment-buffered": 0, "sync-duration": 0.0,
        "num-subtasks": 1, "num-acknowledged-subtasks": 1{more} }}"#
    )
}

/// An answer of a JobManager that keeps these savepoints.
fn checkpoints(kept: &[u64], history: &[String]) -> &'static str {
    let none = r#"{ "min": 0, "max": 0, "avg": 0 }"#;
    let kept = kept.iter().map(|id| {
        format!(
            r#"{{ "id": {id}, "epoch": 1, "kind": "savepoint", "location": "/s/{id}",
            "completed-timestamp": 5 }}"#
        )
    });
    let body = format!(
        r#"{{ "folder": "/s", "counts": {{ "in-progress": 0, "completed": 1, "failed": 0 }},
        "summary": {{ "end-to-end-duration": {none}, "state-size": {none},
        "checkpointed-size": {none}, "alignment-buffered": {none} }},
        "retained": [{}], "history": [{}] }}"#,
        kept.collect::<Vec<_>>().join(","),
        history.join(","),
    );
    body.leak()
}

/// The JobManager lists what is kept in one place, and what it was like in another.
#[tokio::test]
async fn the_size_of_a_snapshot_and_how_long_it_took_come_from_the_history() {
    let history = [
        taken(2, "savepoint", "FAILED", ""),
        taken(1, "savepoint", "COMPLETED", ""),
    ];
    let view = asked((200, checkpoints(&[1, 2], &history)))
        .await
        .expect("it leads");
    let figures: Vec<_> = view
        .savepoints
        .iter()
        .map(|kept| (kept.size_bytes, kept.duration_ms))
        .collect();
    assert_eq!(figures, [(Some(4096), Some(250)), (None, None)]);
}
