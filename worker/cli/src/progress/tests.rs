use weir_checkpoint::coordinator::SnapshotFailure;
use weir_checkpoint::pointer::{SnapshotKind, SnapshotRef};
use weir_graph::{ExecutionState, JobStatus, NodeId};
use weir_rpc::{
    CheckpointDetails, CheckpointState, Durations, IoMetrics, JobCheckpoints, JobOverview,
    OperatorDetails, SubtaskDetails, TimeShares, VertexDetails, VertexInput,
};
use weir_types::{
    AttemptNumber, CheckpointId, Epoch, EventTime, OperatorId, SubtaskIndex, VertexId,
};

use super::*;

fn vertex(id: u128, name: &str, input: Option<u128>, records: u64) -> VertexDetails {
    let partitioner = "hash".to_owned();
    VertexDetails {
        id: VertexId(id),
        name: name.to_owned(),
        parallelism: 2,
        max_parallelism: 128,
        state: ExecutionState::Running,
        started_at_ms: Some(500),
        ended_at_ms: None,
        inputs: input
            .map(|id| VertexInput {
                vertex: VertexId(id),
                partitioner,
            })
            .into_iter()
            .collect(),
        operators: vec![OperatorDetails {
            node: NodeId(0),
            id: OperatorId(id),
            name: name.to_owned(),
            records_in: records,
            records_out: records,
            late_records: 0,
            skipped_records: if input.is_none() { 3 } else { 0 },
            state_bytes: 0,
            commits: Durations::default(),
        }],
        metrics: IoMetrics {
            // A source takes nothing from the exchange.
            records_in: if input.is_none() { 0 } else { records },
            records_out: records / 2,
            watermark: Some(EventTime(0)),
            shares: TimeShares {
                busy: 0.75,
                idle: 0.15,
                backpressured: 0.1,
            },
            ..IoMetrics::default()
        },
        subtasks: Vec::new(),
    }
}

fn job(records: u64) -> JobDetails {
    JobDetails {
        overview: JobOverview {
            id: JobId(1),
            name: "wordcount".to_owned(),
            status: JobStatus::Running,
            waiting_for: None,
            started_at_ms: 0,
            ended_at_ms: None,
            duration_ms: 2500,
            tasks_total: 2,
            tasks_running: 2,
            tasks_finished: 0,
        },
        epoch: Epoch(1),
        vertices: vec![
            vertex(1, "source: file -> words", None, records),
            vertex(2, "count", Some(1), records),
        ],
        root_cause: None,
        restarts: Vec::new(),
    }
}

#[test]
fn a_line_tells_counters_and_the_rate_since_the_look_before() {
    let mut model = Model::new(Timestamp(0));
    let first = model.rows(&job(1_000), Timestamp(1_000_000_000));
    assert_eq!(first[0].rate, "1.00 k/s");
    let rows = model.rows(&job(5_000), Timestamp(2_000_000_000));
    let text = lines::of(
        &job(5_000),
        &rows,
        &Recovery::default(),
        Duration::from_millis(2_040),
    );
    assert_eq!(
        text,
        "progress t=2.0s operators=\"source: file -> words\" state=RUNNING in=5000 out=2500 \
         rate=2.50k/s watermark=1970-01-01T00:00:00Z busy=75% backpressured=10%\n\
         progress t=2.0s operators=\"count\" state=RUNNING in=5000 out=2500 \
         rate=2.50k/s watermark=1970-01-01T00:00:00Z busy=75% backpressured=10%"
    );
}

#[test]
fn a_rate_is_that_of_the_last_seconds() {
    let mut model = Model::new(Timestamp(0));
    let rates: Vec<String> = (1..=8)
        .map(|second: u64| {
            // A thousand a second, then nothing.
            let job = job(second.min(4) * 1_000);
            model.rows(&job, Timestamp(second * 1_000_000_000))[1]
                .rate
                .clone()
        })
        .collect();
    assert_eq!(
        rates,
        [
            "1.00 k/s", "1.00 k/s", "1.00 k/s", "1.00 k/s", "667/s", "333/s", "0/s", "0/s"
        ]
    );
}

#[test]
fn the_table_has_a_line_for_each_vertex_below_that_of_the_job() {
    let mut job = job(5_000);
    job.overview.waiting_for = Some("waiting for 2 slots".to_owned());
    let rows = Model::new(Timestamp(0)).rows(&job, Timestamp(2_000_000_000));
    let texts = view::texts(&job, &rows, &Recovery::default(), Duration::from_secs(2));
    assert_eq!(
        texts,
        [
            "job wordcount  RUNNING  2.00 s",
            "waiting for 2 slots",
            "STATE        IN     OUT      RATE  WATERMARK             BUSY  B-PRES  OPERATORS",
            "RUNNING  5.00 k  2.50 k  2.50 k/s  1970-01-01T00:00:00Z   75%     10%  source: file -> words",
            "RUNNING  5.00 k  2.50 k  2.50 k/s  1970-01-01T00:00:00Z   75%     10%  count",
        ]
    );
}

#[test]
fn a_job_that_waits_says_so_instead() {
    let mut job = job(0);
    job.overview.waiting_for = Some("waiting for 2 slots".to_owned());
    let rows = Model::new(Timestamp(0)).rows(&job, Timestamp(0));
    let text = lines::of(&job, &rows, &Recovery::default(), Duration::from_secs(5));
    assert_eq!(text, "progress t=5.0s waiting for 2 slots");
}

#[test]
fn the_last_line_counts_what_the_sources_read_and_what_was_left_out() {
    assert_eq!(
        summary(&job(1_000_000), &JobResult::Finished),
        "job wordcount finished: 1,000,000 records read in 2.00 s (500 k/s), 3 bad records skipped"
    );
    let mut job = job(1);
    job.vertices[0].operators[0].skipped_records = 1;
    job.vertices[0].operators[0].late_records = 2;
    assert_eq!(
        summary(&job, &JobResult::Finished),
        "job wordcount finished: 1 record read in 2.00 s (0/s), 1 bad record skipped, \
         2 late records left out"
    );
}

fn restarted_twice() -> JobDetails {
    let mut job = job(5_000);
    job.vertices[0].subtasks.push(SubtaskDetails {
        index: SubtaskIndex(0),
        attempt: AttemptNumber(2),
        state: ExecutionState::Running,
        taskmanager: None,
        slot: None,
        started_at_ms: None,
        ended_at_ms: None,
        metrics: IoMetrics::default(),
        state_figures: Vec::new(),
    });
    job
}

fn taken(id: u64, state: CheckpointState) -> CheckpointDetails {
    CheckpointDetails {
        id: CheckpointId(id),
        kind: SnapshotKind::Checkpoint,
        state,
        operation: None,
        triggered_ms: 1_000,
        duration: Duration::from_millis(520),
        acknowledged: 0,
        participants: 4,
        subtasks: Vec::new(),
    }
}

fn checkpoints(history: Vec<CheckpointDetails>) -> JobCheckpoints {
    JobCheckpoints {
        history,
        retained: vec![SnapshotRef {
            id: CheckpointId(12),
            epoch: Epoch(1),
            kind: SnapshotKind::Checkpoint,
            path: "chk-1-12".to_owned(),
            sha256: String::new(),
            size: 1,
            completed_ms: 1_520,
            operation: None,
        }],
        ..JobCheckpoints::default()
    }
}

#[test]
fn the_last_checkpoint_and_restarts_are_told() {
    let running = taken(13, CheckpointState::InProgress);
    let view = checkpoints(vec![running, taken(12, CheckpointState::Completed)]);
    let recovery = Recovery::of(&restarted_twice(), Some(&view), 4_720);
    assert_eq!(
        recovery.texts(),
        ["checkpoint 12, 3.20 s ago, took 0.52 s; 2 restarts"]
    );
    let text = lines::of(&job(0), &[], &recovery, Duration::from_secs(5));
    assert_eq!(
        text,
        "progress t=5.0s checkpoint=12 age=3.2s duration=520ms restarts=2"
    );
}

#[test]
fn a_checkpoint_that_failed_is_told_until_the_next_one_succeeds() {
    let failed = taken(
        13,
        CheckpointState::Failed(SnapshotFailure::storage("the store is full")),
    );
    let view = checkpoints(vec![failed.clone(), taken(12, CheckpointState::Completed)]);
    let texts = Recovery::of(&job(0), Some(&view), 1_520).texts();
    assert_eq!(
        texts,
        [
            "checkpoint 12, 0.00 s ago, took 0.52 s",
            "checkpoint 13 failed: the store is full"
        ]
    );
    let view = checkpoints(vec![taken(14, CheckpointState::Completed), failed]);
    let texts = Recovery::of(&job(0), Some(&view), 1_520).texts();
    assert_eq!(texts, ["checkpoint 12, 0.00 s ago"]);
}

#[test]
fn a_job_without_checkpoints_says_nothing_of_them() {
    let recovery = Recovery::of(&job(0), None, 0);
    assert_eq!((recovery.texts(), recovery.fields()), (Vec::new(), None));
}
