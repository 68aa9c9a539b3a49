//! What a JobManager tells as it ends, as its pod's termination message: where the job stands.
//!
//! It is read from the pointer in the job's storage, so it holds for the job, whichever JobManager
//! led it, and is the same again if the container is started once more. The operator learns from it
//! how a job ended without having access to the storage.

use std::path::Path;

use serde_json::{Value, json};
use weir_checkpoint::pointer::{Pointer, RunState};
use weir_cli::{CheckpointArgs, Exit, Failure};

use crate::job::JobFailed;
use crate::state_folder::{self, Trouble};

/// A termination message has at most 4,096 bytes.
pub(crate) const ERROR_CHARS_MAX: usize = 1_500;

/// Writes how it ended. What can't be written is only logged: the process ends anyway.
pub(crate) fn tell(
    log: &Path,
    job: &str,
    checkpoints: &CheckpointArgs,
    deployment: Option<u64>,
    ended: &Result<Exit, Failure>,
) {
    let failed = |failure: &Failure| failure.is::<JobFailed>();
    let job_failed = ended.as_ref().is_err_and(failed);
    let standing = state_folder::read(job, checkpoints);
    let found = standing.found.as_ref();
    let by_itself = match ended {
        Ok(Exit::Finished) => Some(RunState::Finished),
        Ok(Exit::Canceled) => Some(RunState::Cancelled),
        // A pointer that can't be read may say that it goes on.
        Err(_) if job_failed && checkpoints.dir.is_none() => Some(RunState::Failed),
        _ => None,
    };
    let error = ended.as_ref().err().map(Failure::text);
    let mut report = report(found, deployment, by_itself, error);
    // Where the job did not begin, its newest snapshot may be why: whoever was to go on from it has
    // looked.
    let failure = ended.as_ref().err().filter(|_| !job_failed);
    let trouble = failure.and_then(state_folder::trouble_of);
    match standing.trouble.or(trouble) {
        Some(Trouble::Unreachable) => report["storageUnreachable"] = Value::Bool(true),
        Some(Trouble::Unreadable) => report["stateUnreadable"] = Value::Bool(true),
        None if ended.is_err() && checkpoints.require_state => {
            let has_state = found.is_some_and(|(_, pointer)| pointer.latest.is_some());
            report["stateMissing"] = Value::Bool(!has_state);
        }
        None => {}
    }
    if let Err(error) = std::fs::write(log, report.to_string()) {
        tracing::warn!(%error, log = %log.display(), "the termination message was not written");
    }
}

/// `by_itself` is how the job ended as far as this process alone can tell.
fn report(
    pointer: Option<&(String, Pointer)>,
    deployment: Option<u64>,
    by_itself: Option<RunState>,
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
        None => match by_itself {
            Some(ended) => json!({ "runState": run_state(&ended), "deployment": deployment }),
            None => json!({}),
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
    use weir_checkpoint::pointer::{OperationId, POINTER, SnapshotKind, SnapshotRef};
    use weir_storage::{LocalStore, ObjectPath, ObjectStore, StoreError, StoreErrorKind};
    use weir_types::{CheckpointId, Epoch, JobId};

    use super::*;
    use crate::state_folder::LatestUnreadable;

    fn pointer(run_state: RunState) -> Pointer {
        let latest = SnapshotRef {
            id: CheckpointId(9),
            epoch: Epoch(7),
            kind: SnapshotKind::Savepoint,
            path: "savepoint-7-9".to_owned(),
            sha256: String::new(),
            size: 1,
            completed_ms: 5,
            operation: Some(OperationId("upgrade-4".to_owned())),
        };
        Pointer {
            state_id: JobId(1),
            deployment: 4,
            epoch: Epoch(7),
            holder: "x".to_owned(),
            nonce: 1,
            run_state,
            last_id: CheckpointId(9),
            latest: Some(latest.clone()),
            retained: vec![latest],
            roots: Vec::new(),
            forgotten: Vec::new(),
            branch: None,
            rewind: None,
        }
    }

    #[test]
    fn a_stopped_job_names_its_operation_and_savepoint() {
        let stopped = RunState::Stopped(OperationId("upgrade-4".to_owned()));
        let found = ("s3://b/j".to_owned(), pointer(stopped));
        let told = report(Some(&found), Some(4), Some(RunState::Finished), None);
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

    /// What is told of a job that ended so, whose storage is this folder.
    fn told(dir: Option<&Path>, require_state: bool, ended: &Result<Exit, Failure>) -> Value {
        let logs = tempfile::tempdir().unwrap();
        let log = logs.path().join("log");
        let args = CheckpointArgs {
            dir: dir.map(|dir| dir.to_str().unwrap().to_owned()),
            require_state,
            ..CheckpointArgs::default()
        };
        tell(&log, "x", &args, Some(2), ended);
        serde_json::from_slice(&std::fs::read(&log).unwrap()).unwrap()
    }

    fn failed() -> Result<Exit, Failure> {
        Err(Failure::failed(anyhow::anyhow!("no")))
    }

    #[test]
    fn without_a_storage_the_process_tells_how_the_job_ended() {
        for (ended, state) in [
            (Ok(Exit::Finished), "Finished"),
            (Ok(Exit::Canceled), "Cancelled"),
            (Err(Failure::failed(JobFailed("no".to_owned()))), "Failed"),
        ] {
            let told = told(None, false, &ended);
            assert_eq!(told["runState"], json!({ "state": state }));
            assert_eq!(told["deployment"], 2);
        }
        // Another process may lead the job.
        let open = told(None, false, &failed());
        assert_eq!(open, json!({ "error": "error: no" }));
        let long = Err(Failure::failed(anyhow::anyhow!("x".repeat(10_000))));
        assert!(told(None, false, &long).to_string().len() < 4_096);
    }

    /// A pointer in a local folder, without what it names.
    fn folder_with(pointer: &[u8]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalStore::open(dir.path().join("x")).unwrap();
        let register = ObjectPath::new(POINTER).unwrap();
        store.swap_register(&register, None, pointer).unwrap();
        dir
    }

    /// Each asks for another next step.
    #[test]
    fn state_that_cant_be_read_is_told_apart_from_a_storage_that_cant_be_asked() {
        let whole = pointer(RunState::Running).encode();
        let unreadable = || Err(Failure::failed(LatestUnreadable("gone".to_owned())));
        for (pointer, ended) in [(&b"damaged"[..], failed()), (&whole[..], unreadable())] {
            let dir = folder_with(pointer);
            let is_read = Pointer::decode(pointer).is_ok();
            let told = told(Some(dir.path()), true, &ended);
            assert_eq!(told["stateUnreadable"], true, "{told}");
            let runs = told["runState"]["state"] == "Running";
            assert_eq!(runs, is_read, "{told}");
            for other in ["storageUnreachable", "stateMissing"] {
                assert_eq!(told.get(other), None, "{told}");
            }
        }
        // A folder where the file should be: nobody can read that.
        let dir = folder_with(&whole);
        std::fs::create_dir_all(dir.path().join("x/pointer.2")).unwrap();
        let unreachable = [told(Some(dir.path()), true, &failed())];
        // The start has lost the storage that can be asked again by now.
        let dir = folder_with(&whole);
        let lost = |kind| {
            let error = StoreError {
                kind,
                operation: "read",
                path: String::new(),
                store: "s3://b/j".to_owned(),
                source: "it is".into(),
            };
            let error = anyhow::Error::new(error).context("look into the job's state folder");
            told(Some(dir.path()), true, &Err(Failure::failed(error)))
        };
        let lost_now = lost(StoreErrorKind::Unavailable);
        for told in unreachable.into_iter().chain([lost_now]) {
            assert_eq!(told["storageUnreachable"], true, "{told}");
            assert_eq!(told.get("stateUnreadable"), None, "{told}");
        }
        let not_there = lost(StoreErrorKind::NotFound);
        assert_eq!(not_there.get("storageUnreachable"), None, "{not_there}");
    }

    /// Why a job's start failed is told by its error: the storage is not asked again what its
    /// newest snapshot holds, which may be another one by now.
    #[test]
    fn the_newest_snapshot_is_not_why_a_job_has_failed_that_ran() {
        let dir = folder_with(&pointer(RunState::Failed).encode());
        let ended = Err(Failure::failed(JobFailed("no".to_owned())));
        let told = told(Some(dir.path()), false, &ended);
        assert_eq!(told["runState"]["state"], "Failed");
        assert_eq!(told.get("stateUnreadable"), None, "{told}");
    }
}
