use weir_rest::dto;

use super::*;
use crate::golden::assert_golden;
use crate::{
    OperatorReport, SnapshotReport, StateReport, StoreListing, StoredJob, StoredSnapshot,
    SubtaskReport,
};

#[test]
fn the_checkpoints_of_a_running_job_are_a_table() {
    let text = view::checkpoints(&examples::checkpoints());
    assert_golden("checkpoints-ls", &text);
}

#[test]
fn one_checkpoint_is_shown_by_subtask() {
    let details = dto::CheckpointDetails {
        checkpoint: examples::checkpoints().history.remove(1),
        subtasks: vec![dto::SubtaskCheckpoint {
            vertex_id: "0123".to_owned(),
            vertex_name: Some("count -> output".to_owned()),
            subtask: 1,
            end_to_end_duration: 519.25,
            start_delay: 6.0,
            alignment_duration: 12.5,
            sync_duration: 0.75,
            async_duration: 500.0,
            alignment_buffered: 4096,
            state_size: 1 << 20,
            checkpointed_size: 1536,
        }],
    };
    assert_golden("checkpoints-inspect-number", &view::details(&details));
}

#[test]
fn a_store_is_listed_by_job() {
    let snapshot = StoredSnapshot {
        id: 12,
        epoch: 3,
        kind: "savepoint".to_owned(),
        location: "/state/wordcount/savepoint-3-12".to_owned(),
        completed: 10_520,
        operation: Some("before-upgrade".to_owned()),
        latest: true,
        state_size: Some(3 << 20),
    };
    let job = StoredJob {
        name: "wordcount".to_owned(),
        state: "stopped".to_owned(),
        epoch: 3,
        deployment: 1,
        holder: "host-17".to_owned(),
        snapshots: vec![snapshot],
        problem: None,
    };
    let empty = StoredJob {
        name: "top-pages".to_owned(),
        snapshots: Vec::new(),
        ..job.clone()
    };
    let lost = StoredJob {
        name: "lost".to_owned(),
        problem: Some("its pointer is missing, but not its objects".to_owned()),
        ..StoredJob::default()
    };
    let mut listing = StoreListing {
        location: "/state".to_owned(),
        jobs: vec![job, empty, lost],
    };
    assert_golden("checkpoints-ls-dir", &view::listing(&listing));
    listing.jobs.clear();
    assert_eq!(view::listing(&listing), "/state holds no job");
}

#[test]
fn what_is_in_a_savepoint_is_shown_by_operator() {
    let report = SnapshotReport {
        location: "/state/wordcount/savepoint-3-12".to_owned(),
        id: 12,
        epoch: 3,
        kind: "savepoint".to_owned(),
        state_id: "0123456789abcdef0123456789abcdef".to_owned(),
        operation: Some("before-upgrade".to_owned()),
        triggered: 10_000,
        completed: 10_520,
        weir_version: "0.1.0".to_owned(),
        objects: 2,
        state_size: 3 << 20,
        compression: Some("lz4".to_owned()),
        operators: vec![OperatorReport {
            id: "abc".to_owned(),
            name: "count".to_owned(),
            uid: Some("counts".to_owned()),
            parallelism: 2,
            max_parallelism: 128,
            ended: 1,
            enumerator_size: 0,
            states: vec![StateReport {
                name: "sum".to_owned(),
                kind: "value".to_owned(),
                value_type: "u64".to_owned(),
            }],
            subtasks: vec![SubtaskReport {
                subtask: 0,
                keyed_size: 3 << 20,
                keyed_files: 2,
                operator_size: 0,
                raw_size: 100,
                uncommitted: true,
            }],
        }],
    };
    assert_golden("checkpoints-inspect-path", &view::report(&report));
}

#[test]
fn a_snapshot_is_a_number_or_a_folder() {
    assert_eq!(number("12").ok(), Some(Some(12)));
    assert_eq!(number("./12").ok(), Some(None));
    assert_eq!(number("state/chk-1-2").ok(), Some(None));
    let error = number("99999999999999999999").expect_err("too large");
    assert!(
        error.text().contains("a folder of this name is `./9999"),
        "{}",
        error.text()
    );
}
