//! `savepoint delete`: has the JobManager let go of one savepoint, and delete it.
//!
//! The JobManager knows a savepoint by the operation that took it; a person has its number or its
//! folder. So the list is read first, which also tells what there is when nothing fits.

use std::thread;
use std::time::Duration;

use anyhow::anyhow;
use weir_rest::{RestClient, dto};
use weir_types::JobId;

use crate::Failure;
use crate::args::{DeleteArgs, Format};
use crate::query::{chosen_of, failed, json};

/// How often, and how many times, it is looked whether the savepoint is gone from the list.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
const LOOKS_MAX: u32 = 300;

/// Deletes a savepoint.
pub(super) fn delete(args: &DeleteArgs) -> Result<String, Failure> {
    let client = RestClient::new(&args.answer.rest);
    let job = chosen_of(&client, args.job, &args.answer.rest)?;
    let kept = client.checkpoints(job).map_err(failed)?.retained;
    let found = find(&kept, &args.savepoint);
    let (savepoint, operation) = found.map_err(|cause| {
        Failure::failed(cause).context(format!(
            "there is no savepoint `{}` of job {job} to delete",
            args.savepoint
        ))
    })?;
    let (id, location) = (savepoint.id, &savepoint.location);
    let asked = client.forget_savepoint(job, operation);
    asked.map_err(|error| {
        failed(error).context(format!("savepoint {id} ({location}) was not deleted"))
    })?;
    until_gone(&client, job, savepoint)?;
    match args.answer.format {
        Format::Json => json(&serde_json::json!({
            "id": id, "operation": operation, "location": location, "deleted": true,
        })),
        Format::Text => Ok(format!("savepoint {id} is deleted: {location}")),
    }
}

/// The savepoint that is meant, and the operation that took it.
fn find<'a>(
    kept: &'a [dto::RetainedCheckpoint],
    which: &str,
) -> anyhow::Result<(&'a dto::RetainedCheckpoint, &'a str)> {
    let path = which.trim_end_matches('/');
    let number: Option<u64> = which.parse().ok();
    let is_meant = |kept: &&dto::RetainedCheckpoint| {
        let folder = kept.location.rsplit('/').next();
        number == Some(kept.id)
            || kept.location == path
            || folder == Some(path)
            || kept.operation.as_deref() == Some(which)
    };
    let is_savepoint = |kept: &&dto::RetainedCheckpoint| kept.kind == dto::SnapshotKind::Savepoint;
    let meant = kept.iter().find(is_meant);
    match (meant, meant.and_then(|kept| kept.operation.as_deref())) {
        (Some(found), _) if !is_savepoint(&found) => Err(anyhow!(
            "{} is a checkpoint: the job itself lets go of those",
            found.location
        )),
        (Some(found), Some(operation)) => Ok((found, operation)),
        (Some(found), None) => Err(anyhow!(
            "{} was taken by no operation that could be named",
            found.location
        )),
        (None, _) => Err(anyhow!(there_are(kept.iter().filter(is_savepoint)))),
    }
}

fn there_are<'a>(savepoints: impl Iterator<Item = &'a dto::RetainedCheckpoint>) -> String {
    let lines = savepoints.map(|kept| {
        let operation = kept.operation.as_deref().unwrap_or("-");
        format!("\n    {}  {operation}  {}", kept.id, kept.location)
    });
    let lines: String = lines.collect();
    match lines.is_empty() {
        true => "the job keeps none".to_owned(),
        false => format!("name one by its number, its operation or its folder:{lines}"),
    }
}

/// The answer meant that the request was taken: it is done when the list is without it.
fn until_gone(
    client: &RestClient,
    job: JobId,
    savepoint: &dto::RetainedCheckpoint,
) -> Result<(), Failure> {
    let location = &savepoint.location;
    for _ in 0..LOOKS_MAX {
        let kept = client.checkpoints(job).map_err(|error| {
            failed(error).context(format!(
                "whether {location} is deleted is not known: see `weir checkpoints ls`"
            ))
        })?;
        if kept.retained.iter().all(|kept| kept.id != savepoint.id) {
            return Ok(());
        }
        thread::sleep(LOOK_INTERVAL);
    }
    Err(Failure::failed(anyhow!(
        "the JobManager has taken the request and still lists {location}: its log says what keeps \
         it from writing to the store"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(id: u64, kind: dto::SnapshotKind, operation: Option<&str>) -> dto::RetainedCheckpoint {
        let word = match kind {
            dto::SnapshotKind::Savepoint => "savepoint",
            dto::SnapshotKind::Checkpoint => "chk",
        };
        dto::RetainedCheckpoint {
            id,
            epoch: 3,
            kind,
            location: format!("s3://b/words/{word}-3-{id}"),
            completed_timestamp: 0,
            operation: operation.map(str::to_owned),
        }
    }

    #[test]
    fn a_savepoint_is_meant_by_its_number_its_folder_or_its_operation() {
        use dto::SnapshotKind::{Checkpoint, Savepoint};
        let all = [
            kept(4, Savepoint, Some("before-7")),
            kept(5, Checkpoint, None),
            kept(7, Savepoint, Some("8")),
        ];
        for (which, id) in [
            ("4", 4),
            ("before-7", 4),
            ("s3://b/words/savepoint-3-4", 4),
            ("s3://b/words/savepoint-3-4/", 4),
            ("savepoint-3-7", 7),
            ("8", 7),
        ] {
            let found = find(&all, which).map(|(found, _)| found.id);
            assert_eq!(found.ok(), Some(id), "{which}");
        }
        let error = |which| find(&all, which).expect_err(which).to_string();
        assert!(
            error("5").contains("chk-3-5 is a checkpoint"),
            "{}",
            error("5")
        );
        let other = error("6");
        assert!(
            other.contains("\n    4  before-7  s3://b/words/savepoint-3-4\n    7  8  "),
            "{other}"
        );
        assert!(!other.contains("chk"), "{other}");
        let none = find(&[], "4").expect_err("none").to_string();
        assert_eq!(none, "the job keeps none");
    }
}
