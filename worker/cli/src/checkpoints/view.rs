//! Checkpoints as text.

use std::time::Duration;

use weir_rest::dto;

use crate::table::Table;
use crate::{OperatorReport, SnapshotReport, StoreListing, StoredJob, human};

/// A running job's checkpoints.
pub(super) fn checkpoints(all: &dto::Checkpoints) -> String {
    let counts = all.counts;
    let mut lines = vec![
        format!("checkpoints in {}", all.folder),
        format!(
            "  {} completed, {} failed, {} in progress since this JobManager took over",
            human::count(counts.completed),
            human::count(counts.failed),
            human::count(counts.in_progress)
        ),
    ];
    lines.extend(
        all.restored
            .map(|id| format!("  the job was restored from {id}")),
    );
    lines.push(String::new());
    lines.extend(history(&all.history).lines());
    let failures = all.history.iter().filter_map(|each| {
        let why = each.failure_message.as_ref()?;
        Some(format!("{} {} failed: {why}", kind(each.kind), each.id))
    });
    lines.extend(failures);
    if !all.retained.is_empty() {
        lines.push(String::new());
        lines.push("kept, the newest last:".to_owned());
        lines.extend(retained(&all.retained).lines());
    }
    lines.join("\n")
}

fn history(history: &[dto::Checkpoint]) -> Table {
    let mut table = Table::new(&[
        ">ID",
        "KIND",
        "STATE",
        "TRIGGERED",
        ">DURATION",
        ">SUBTASKS",
        ">WRITTEN",
        ">FULL",
        ">ALIGNED",
        ">STOOD STILL",
    ]);
    for each in history {
        table.row([
            each.id.to_string(),
            kind(each.kind).to_owned(),
            status(each.status).to_owned(),
            human::instant(each.trigger_timestamp),
            human::duration(Duration::from_millis(each.end_to_end_duration)),
            format!("{}/{}", each.num_acknowledged_subtasks, each.num_subtasks),
            human::bytes(each.checkpointed_size),
            human::bytes(each.state_size),
            human::millis(each.alignment_duration),
            human::millis(each.sync_duration),
        ]);
    }
    table
}

fn retained(all: &[dto::RetainedCheckpoint]) -> Table {
    let mut table = Table::new(&[">ID", "KIND", ">EPOCH", "COMPLETED", "FOLDER", "OPERATION"]);
    for each in all {
        table.row([
            each.id.to_string(),
            kind(each.kind).to_owned(),
            each.epoch.to_string(),
            human::instant(each.completed_timestamp),
            each.location.clone(),
            each.operation.clone().unwrap_or_default(),
        ]);
    }
    table
}

/// How one checkpoint went.
pub(super) fn details(details: &dto::CheckpointDetails) -> String {
    let of = &details.checkpoint;
    let mut lines = vec![
        format!("{} {}", kind(of.kind), of.id),
        format!("  state      {}", status(of.status)),
        format!("  triggered  {}", human::instant(of.trigger_timestamp)),
        format!(
            "  duration   {}",
            human::duration(Duration::from_millis(of.end_to_end_duration))
        ),
        format!(
            "  size       {}, of which {} written anew",
            human::bytes(of.state_size),
            human::bytes(of.checkpointed_size)
        ),
        format!(
            "  subtasks   {} of {} have stored their part",
            of.num_acknowledged_subtasks, of.num_subtasks
        ),
    ];
    lines.extend(
        of.operation
            .iter()
            .map(|name| format!("  operation  {name}")),
    );
    lines.extend(
        of.failure_message
            .iter()
            .map(|why| format!("  failed     {why}")),
    );
    lines.push(String::new());
    let mut table = Table::new(&[
        "OPERATORS",
        ">SUBTASK",
        ">END TO END",
        ">START DELAY",
        ">ALIGNED",
        ">STOOD STILL",
        ">STORING",
        ">BUFFERED",
        ">WRITTEN",
        ">FULL",
    ]);
    for part in &details.subtasks {
        table.row([
            part.vertex_name
                .clone()
                .unwrap_or_else(|| part.vertex_id.clone()),
            part.subtask.to_string(),
            human::millis(part.end_to_end_duration),
            human::millis(part.start_delay),
            human::millis(part.alignment_duration),
            human::millis(part.sync_duration),
            human::millis(part.async_duration),
            human::bytes(part.alignment_buffered),
            human::bytes(part.checkpointed_size),
            human::bytes(part.state_size),
        ]);
    }
    lines.extend(table.lines());
    lines.join("\n")
}

/// What a store holds.
pub(super) fn listing(listing: &StoreListing) -> String {
    if listing.jobs.is_empty() {
        return format!("{} holds no job", listing.location);
    }
    let jobs = listing.jobs.iter().map(stored_job);
    jobs.collect::<Vec<_>>().join("\n\n")
}

fn stored_job(job: &StoredJob) -> String {
    if let Some(problem) = &job.problem {
        return format!("job {}: cannot be read: {problem}", job.name);
    }
    let head = format!(
        "job {}: {}, epoch {} by {}, deployment {}",
        job.name, job.state, job.epoch, job.holder, job.deployment
    );
    if job.snapshots.is_empty() {
        return format!("{head}\nit holds no checkpoint");
    }
    let mut table = Table::new(&[
        ">ID",
        "KIND",
        ">EPOCH",
        "COMPLETED",
        ">SIZE",
        "",
        "FOLDER",
        "OPERATION",
    ]);
    for each in &job.snapshots {
        table.row([
            each.id.to_string(),
            each.kind.clone(),
            each.epoch.to_string(),
            human::instant(each.completed),
            each.state_size.map_or_else(|| "?".to_owned(), human::bytes),
            if each.latest { "latest" } else { "" }.to_owned(),
            each.location.clone(),
            each.operation.clone().unwrap_or_default(),
        ]);
    }
    format!("{head}\n{}", table.lines().join("\n"))
}

/// What a checkpoint consists of.
pub(super) fn report(report: &SnapshotReport) -> String {
    let took = u64::try_from(report.completed.saturating_sub(report.triggered)).unwrap_or(0);
    let mut lines = vec![
        format!("{} {}", report.kind, report.id),
        format!("  folder     {}", report.location),
        format!("  state of   {}", report.state_id),
        format!("  epoch      {}", report.epoch),
        format!(
            "  completed  {}, {} after its trigger",
            human::instant(report.completed),
            human::duration(Duration::from_millis(took))
        ),
        format!("  by         weir {}", report.weir_version),
        format!(
            "  size       {} with {}",
            human::bytes(report.state_size),
            human::counted(report.objects, "object")
        ),
    ];
    let compression = report.compression.iter();
    lines.extend(compression.map(|word| format!("  keyed      compression {word}")));
    lines.extend(
        report
            .operation
            .iter()
            .map(|name| format!("  operation  {name}")),
    );
    lines.push(String::new());
    lines.extend(operators(&report.operators).lines());
    lines.push(String::new());
    lines.extend(states(&report.operators).lines());
    lines.join("\n").trim_end().to_owned()
}

fn operators(operators: &[OperatorReport]) -> Table {
    let mut table = Table::new(&[
        "OPERATOR",
        "UID",
        ">SUBTASKS",
        ">MAX",
        ">KEYED",
        ">FILES",
        ">OPERATOR STATE",
        ">OWN",
        "",
    ]);
    for each in operators {
        let parts = || each.subtasks.iter();
        let files: u64 = parts().map(|part| u64::from(part.keyed_files)).sum();
        let mut remarks = Vec::new();
        if each.ended > 0 {
            remarks.push(format!("{} ended", each.ended));
        }
        let uncommitted = parts().filter(|part| part.uncommitted).count();
        if uncommitted > 0 {
            remarks.push(format!("{uncommitted} with results to commit"));
        }
        table.row([
            each.name.clone(),
            each.uid.clone().unwrap_or_else(|| each.id.clone()),
            each.parallelism.to_string(),
            each.max_parallelism.to_string(),
            human::bytes(parts().map(|part| part.keyed_size).sum()),
            files.to_string(),
            human::bytes(parts().map(|part| part.operator_size).sum()),
            human::bytes(parts().map(|part| part.raw_size).sum::<u64>() + each.enumerator_size),
            remarks.join(", "),
        ]);
    }
    table
}

fn states(operators: &[OperatorReport]) -> Table {
    let mut table = Table::new(&["STATE", "OF", "KIND", "TYPE"]);
    for each in operators {
        for state in &each.states {
            table.row([
                state.name.clone(),
                each.name.clone(),
                state.kind.clone(),
                state.value_type.clone(),
            ]);
        }
    }
    table
}

fn kind(kind: dto::SnapshotKind) -> &'static str {
    match kind {
        dto::SnapshotKind::Checkpoint => "checkpoint",
        dto::SnapshotKind::Savepoint => "savepoint",
    }
}

fn status(status: dto::SnapshotStatus) -> &'static str {
    match status {
        dto::SnapshotStatus::InProgress => "IN_PROGRESS",
        dto::SnapshotStatus::Completed => "COMPLETED",
        dto::SnapshotStatus::Failed => "FAILED",
    }
}
