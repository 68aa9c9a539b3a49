//! What a JobManager tells as it ends, as its pod's termination message: where the job stands.
//!
//! It is read from the pointer in the job's storage, so it holds for the job, whichever JobManager
//! led it, and is the same again if the container is started once more. The operator learns from it
//! how a job ended without having access to the storage.

use std::path::Path;

use serde_json::{Value, json};
use weir_checkpoint::pointer::{Pointer, RunState};
use weir_cli::{CheckpointArgs, Exit, Failure};

use crate::state_folder;

/// A termination message has at most 4,096 bytes.
const ERROR_CHARS_MAX: usize = 1_500;

/// Writes how it ended. What can't be written is only logged: the process ends anyway.
pub(crate) fn tell(
    log: &Path,
    job: &str,
    checkpoints: &CheckpointArgs,
    deployment: Option<u64>,
    ended: &Result<Exit, Failure>,
) {
    let error = ended.as_ref().err().map(Failure::text);
    let pointer = state_folder::read(job, checkpoints);
    let found = pointer.as_ref().ok().and_then(Option::as_ref);
    let mut report = report(found, deployment, ended.as_ref().ok(), error);
    if pointer.is_err() {
        report["storageUnreachable"] = Value::Bool(true);
    } else if ended.is_err() && checkpoints.require_state {
        let has_state = found.is_some_and(|(_, pointer)| pointer.latest.is_some());
        report["stateMissing"] = Value::Bool(!has_state);
    }
    if let Err(error) = std::fs::write(log, report.to_string()) {
        tracing::warn!(%error, log = %log.display(), "the termination message was not written");
    }
}

fn report(
    pointer: Option<&(String, Pointer)>,
    deployment: Option<u64>,
    exit: Option<&Exit>,
    error: Option<String>,
) -> Value {
    let mut report = match pointer {
        Some((address, pointer)) => json!({
            "runState": run_state(&pointer.run_state),
            "deployment": pointer.deployment,
            "epoch": pointer.epoch.0,
            "latest": pointer.latest.as_ref().map(|latest| json!({
                "id": latest.id.0,
                "path": format!("{address}/{}", latest.path),
                "atMs": latest.completed_ms,
                "operation": latest.operation.as_ref().map(|operation| &operation.0),
            })),
        }),
        // A job without a storage ends as its process does.
        None => match exit {
            Some(Exit::Finished) => {
                json!({ "runState": { "state": "Finished" }, "deployment": deployment })
            }
            Some(Exit::Canceled) => {
                json!({ "runState": { "state": "Cancelled" }, "deployment": deployment })
            }
            _ => json!({}),
        },
    };
    if let Some(error) = error {
        let short: String = error.chars().take(ERROR_CHARS_MAX).collect();
        report["error"] = Value::from(short);
    }
    report
}

fn run_state(run_state: &RunState) -> Value {
    let (state, operation) = match run_state {
        RunState::Running => ("Running", None),
        RunState::Stopping(operation) => ("Stopping", Some(operation)),
        RunState::Stopped(operation) => ("Stopped", Some(operation)),
        RunState::Finished => ("Finished", None),
        RunState::Failed => ("Failed", None),
        RunState::Cancelled => ("Cancelled", None),
        RunState::Deleted => ("Deleted", None),
    };
    match operation {
        Some(operation) => json!({ "state": state, "operation": operation.0 }),
        None => json!({ "state": state }),
    }
}

#[cfg(test)]
mod tests {
    use weir_checkpoint::pointer::{OperationId, SnapshotKind, SnapshotRef};
    use weir_types::{CheckpointId, Epoch, JobId};

    use super::*;

    fn pointer(run_state: RunState) -> Pointer {
        Pointer {
            state_id: JobId(1),
            deployment: 4,
            epoch: Epoch(7),
            holder: "x".to_owned(),
            nonce: 1,
            run_state,
            last_id: CheckpointId(9),
            latest: Some(SnapshotRef {
                id: CheckpointId(9),
                epoch: Epoch(7),
                kind: SnapshotKind::Savepoint,
                path: "savepoint-7-9".to_owned(),
                sha256: String::new(),
                size: 1,
                completed_ms: 5,
                operation: Some(OperationId("upgrade-4".to_owned())),
            }),
            retained: Vec::new(),
            roots: Vec::new(),
            forgotten: Vec::new(),
        }
    }

    #[test]
    fn a_stopped_job_names_its_operation_and_savepoint() {
        let stopped = RunState::Stopped(OperationId("upgrade-4".to_owned()));
        let found = ("s3://b/j".to_owned(), pointer(stopped));
        let told = report(Some(&found), Some(4), Some(&Exit::Finished), None);
        let expected = json!({
            "runState": { "state": "Stopped", "operation": "upgrade-4" },
            "deployment": 4,
            "epoch": 7,
            "latest": {
                "id": 9,
                "path": "s3://b/j/savepoint-7-9",
                "atMs": 5,
                "operation": "upgrade-4",
            },
        });
        assert_eq!(told, expected);
    }

    #[test]
    fn without_a_storage_the_process_tells_how_the_job_ended() {
        let told = report(None, Some(2), Some(&Exit::Finished), None);
        let expected = json!({ "runState": { "state": "Finished" }, "deployment": 2 });
        assert_eq!(told, expected);
        let long = "x".repeat(10_000);
        let told = report(None, Some(2), None, Some(long));
        assert!(told.to_string().len() < 4_096);
        assert_eq!(told.get("runState"), None);
    }
}
