//! `snapshots`: the savepoints that the status remembers, and what the JobManager keeps.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use weir_crd::{Savepoint, SnapshotState};
use weir_lease::{parse_rfc3339, rfc3339};
use weir_rest::dto;
use weir_types::{Clock, SystemClock};

use super::args::SnapshotsArgs;
use super::client::{Kubectl, Refusal};
use super::names;
use super::objects::Job;
use super::status::age;
use crate::query::json as json_text;
use crate::table::Table;
use crate::{Failure, human};

pub(super) fn snapshots(kubectl: &Kubectl, args: &SnapshotsArgs) -> Result<String, Failure> {
    let job = kubectl.job(&args.name)?;
    let kept = match has_leader(&job) {
        true => ask(kubectl, &job).map_err(|refusal| {
            format!("the checkpoints are not listed, the JobManager was not reached: {refusal}")
        }),
        false => Err(
            "the checkpoints are not listed: no JobManager runs. `weir checkpoints ls \
                      --dir s3://BUCKET/PREFIX` reads the bucket"
                .to_owned(),
        ),
    };
    let all = listed(&job, kept.as_ref().ok());
    if args.output.is_json() {
        return json_text(&all);
    }
    let mut text = text(&job, &all, SystemClock.unix_ms());
    if let Err(why) = kept {
        text.push_str(&format!("\n{why}\n"));
    }
    Ok(text)
}

/// Whether there is a JobManager to ask.
pub(super) fn has_leader(job: &Job) -> bool {
    let managers = job.status.job_manager.as_ref();
    managers.is_some_and(|managers| managers.leader.is_some() && managers.ready_replicas > 0)
}

/// Through the API server, which passes it on to the Service: no port is opened for it.
pub(super) fn ask(kubectl: &Kubectl, job: &Job) -> Result<dto::Checkpoints, Refusal> {
    let (namespace, service) = (&job.metadata.namespace, names::rest(job.name()));
    let base = format!("/api/v1/namespaces/{namespace}/services/{service}:rest/proxy/jobs");
    let jobs: dto::Jobs = kubectl.raw(&base)?;
    let newest = jobs.jobs.last();
    let newest = newest.ok_or_else(|| Refusal::Other("it has no job".to_owned()))?;
    kubectl.raw(&format!("{base}/{}/checkpoints", newest.id))
}

/// One snapshot, wherever it is known from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<i64>,
    kind: &'static str,
    state: &'static str,
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_bytes: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// All of them, each once, the newest first.
fn listed(job: &Job, told: Option<&dto::Checkpoints>) -> Vec<Listed> {
    let mut complete: BTreeMap<i64, Listed> = BTreeMap::new();
    let mut failed = Vec::new();
    if let Some(newest) = &job.status.checkpoint
        && let (Some(id), Some(at)) = (newest.last_completed_id, &newest.last_completed_time)
    {
        let path = newest.path.clone();
        // The newest snapshot may be a savepoint, too; then it is found below.
        let mut listed = of_status("checkpoint", id, at, path);
        listed.size_bytes = newest.size_bytes;
        listed.duration_ms = newest.duration_ms;
        complete.insert(id, listed);
    }
    for each in told.map_or(&[][..], |told| &told.retained) {
        let kind = match each.kind {
            dto::SnapshotKind::Checkpoint => "checkpoint",
            dto::SnapshotKind::Savepoint => "savepoint",
        };
        let id = i64::try_from(each.id).unwrap_or(i64::MAX);
        let at = rfc3339(each.completed_timestamp);
        let mut listed = of_status(kind, id, &at, Some(each.location.clone()));
        listed.operation.clone_from(&each.operation);
        if let Some(taken) = told.and_then(|told| told.taken(each.id)) {
            listed.size_bytes = i64::try_from(taken.state_size).ok();
            listed.duration_ms = i64::try_from(taken.end_to_end_duration).ok();
        }
        complete.insert(id, listed);
    }
    let history = job
        .status
        .savepoint
        .as_ref()
        .map(|all| all.history.as_slice());
    for savepoint in history.unwrap_or_default() {
        let mut listed = of_savepoint(savepoint);
        match listed.id {
            Some(id) => {
                if let Some(known) = complete.get(&id) {
                    listed.size_bytes = listed.size_bytes.or(known.size_bytes);
                    listed.duration_ms = listed.duration_ms.or(known.duration_ms);
                }
                complete.insert(id, listed);
            }
            None => failed.push(listed),
        }
    }
    let mut all: Vec<_> = complete.into_values().rev().chain(failed).collect();
    all.sort_by_key(|each| std::cmp::Reverse(parse_rfc3339(&each.at)));
    all
}

fn of_status(kind: &'static str, id: i64, at: &str, path: Option<String>) -> Listed {
    Listed {
        id: Some(id),
        kind,
        state: "complete",
        at: at.to_owned(),
        size_bytes: None,
        duration_ms: None,
        path,
        operation: None,
        nonce: None,
        error: None,
    }
}

fn of_savepoint(savepoint: &Savepoint) -> Listed {
    Listed {
        id: savepoint.id,
        kind: "savepoint",
        state: match savepoint.state {
            SnapshotState::Completed => "complete",
            SnapshotState::Failed => "failed",
        },
        at: savepoint.at.clone(),
        size_bytes: savepoint.size_bytes,
        duration_ms: savepoint.duration_ms,
        path: savepoint.path.clone(),
        operation: Some(savepoint.operation.clone()),
        nonce: savepoint.nonce.clone(),
        error: savepoint.error.clone(),
    }
}

fn text(job: &Job, all: &[Listed], now_ms: i64) -> String {
    if all.is_empty() {
        return format!(
            "`{}` has no savepoints and no checkpoints yet\n",
            job.name()
        );
    }
    let mut table = Table::new(&[
        ">ID", "KIND", "STATE", ">AGE", ">SIZE", ">TOOK", "BY", "FOLDER",
    ]);
    for each in all {
        let by = match (&each.nonce, &each.operation) {
            (Some(nonce), _) => format!("nonce {nonce}"),
            (None, Some(operation)) => operation.clone(),
            (None, None) => "the job".to_owned(),
        };
        let place = each.path.clone().or_else(|| each.error.clone());
        table.row([
            each.id.map_or_else(|| "-".to_owned(), |id| id.to_string()),
            each.kind.to_owned(),
            each.state.to_owned(),
            age(&each.at, now_ms),
            figure(each.size_bytes, human::bytes),
            figure(each.duration_ms, |ms| {
                human::duration(Duration::from_millis(ms))
            }),
            by,
            place.unwrap_or_default(),
        ]);
    }
    table.to_string()
}

/// A number that may not be known.
fn figure(number: Option<i64>, show: impl Fn(u64) -> String) -> String {
    let number = number.and_then(|number| u64::try_from(number).ok());
    number.map_or_else(|| "-".to_owned(), show)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::assert_golden;
    use crate::kubectl::tests::{NOW_MS, job};

    #[test]
    fn each_snapshot_is_listed_once_however_many_know_of_it() {
        let kept = |id, kind, at| dto::RetainedCheckpoint {
            id,
            epoch: 2,
            kind,
            location: format!("s3://weir/jobs/default/quickstart/{id}"),
            completed_timestamp: NOW_MS - at,
            operation: None,
        };
        let kept = [
            kept(40, dto::SnapshotKind::Savepoint, 90_000),
            kept(41, dto::SnapshotKind::Checkpoint, 9_000),
            kept(42, dto::SnapshotKind::Checkpoint, 4_000),
        ];
        let taken = |id, bytes, ms| dto::Checkpoint {
            id,
            kind: dto::SnapshotKind::Checkpoint,
            status: dto::SnapshotStatus::Completed,
            failure_message: None,
            failure_kind: None,
            operation: None,
            trigger_timestamp: NOW_MS,
            end_to_end_duration: ms,
            state_size: bytes,
            checkpointed_size: bytes,
            alignment_duration: 0.0,
            alignment_buffered: 0,
            sync_duration: 0.0,
            num_subtasks: 1,
            num_acknowledged_subtasks: 1,
        };
        let told = dto::Checkpoints {
            folder: "s3://weir/jobs/default/quickstart".to_owned(),
            counts: dto::CheckpointCounts::default(),
            restored: None,
            summary: dto::CheckpointSummaries::default(),
            retained: kept.to_vec(),
            history: vec![taken(42, 2_000_000, 1_250), taken(41, 1_900_000, 90)],
        };
        let job = job("running");
        let all = listed(&job, Some(&told));
        let ids: Vec<_> = all.iter().filter_map(|each| each.id).collect();
        let mut once = ids.clone();
        once.dedup();
        assert_eq!(ids, once);
        assert_golden("kubectl-snapshots", &text(&job, &all, NOW_MS));
    }
}
