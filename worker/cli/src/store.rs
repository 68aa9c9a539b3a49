//! `weir fsck` and `weir gc`: care for stores, without a JobManager.

use anyhow::anyhow;

use crate::args::{ClearArgs, Format, FsckArgs, GcArgs};
use crate::query::json;
use crate::table::Table;
use crate::{
    ClearRequest, Engine, Exit, Failure, FsckReport, FsckRequest, GcReport, GcRequest, JobGarbage,
    human, print,
};

/// The paths that are told by name; there may be very many.
const PATHS_MAX: usize = 20;

/// Checks that all is there. What is damaged makes the command fail.
pub(crate) fn fsck(engine: &dyn Engine, args: &FsckArgs) -> Result<Exit, Failure> {
    let store = args.place.request();
    let location = store.location.clone();
    let report = engine.fsck(FsckRequest { store })?;
    print(&match args.place.format {
        Format::Json => json(&report)?,
        Format::Text => fsck_text(&location, &report),
    })?;
    match report.problems() {
        0 => Ok(Exit::Finished),
        problems => Err(Failure::failed(anyhow!(
            "{location}: {}; restore from a snapshot that is `ok`",
            human::counted(problems as u64, "problem")
        ))),
    }
}

/// Finds what nothing needs, and deletes it if that is wanted.
pub(crate) fn gc(engine: &dyn Engine, args: &GcArgs) -> Result<Exit, Failure> {
    let store = args.place.request();
    let location = store.location.clone();
    let report = engine.gc(GcRequest {
        store,
        delete: args.delete,
        grace: args.grace.get(),
    })?;
    tell(&location, args.place.format, &report)
}

/// Deletes the checkpoints of a job that is over.
pub(crate) fn clear(engine: &dyn Engine, args: &ClearArgs) -> Result<Exit, Failure> {
    let store = args.place.request();
    let location = store.location.clone();
    let deployment = args.deployment;
    let report = engine.checkpoints_clear(ClearRequest { store, deployment })?;
    tell(&location, args.place.format, &report)
}

fn tell(location: &str, format: Format, report: &GcReport) -> Result<Exit, Failure> {
    print(&match format {
        Format::Json => json(report)?,
        Format::Text => gc_text(location, report),
    })?;
    match report
        .jobs
        .iter()
        .map(|job| job.problems.len())
        .sum::<usize>()
    {
        0 => Ok(Exit::Finished),
        problems => Err(Failure::failed(anyhow!(
            "{location}: {}; what is named there was left alone",
            human::counted(problems as u64, "problem")
        ))),
    }
}

fn fsck_text(location: &str, report: &FsckReport) -> String {
    if report.jobs.is_empty() {
        return format!("{location} holds no job");
    }
    let mut table = Table::new(&["JOB", ">ID", "KIND", ">OBJECTS", ">SIZE", "STATE", "FOLDER"]);
    let mut problems = Vec::new();
    for job in &report.jobs {
        problems.extend(
            job.problems
                .iter()
                .map(|text| format!("job {}: {text}", job.name)),
        );
        for each in &job.snapshots {
            let fine = each.problems.is_empty();
            table.row([
                job.name.clone(),
                each.id.to_string(),
                each.kind.clone(),
                human::count(each.objects),
                human::bytes(each.size),
                if fine { "ok" } else { "DAMAGED" }.to_owned(),
                each.location.clone(),
            ]);
            let of = format!("job {}, {} {}", job.name, each.kind, each.id);
            problems.extend(each.problems.iter().map(|text| format!("{of}: {text}")));
        }
    }
    let mut lines = table.lines();
    if !problems.is_empty() {
        lines.push(String::new());
        lines.extend(problems);
    }
    lines.join("\n")
}

fn gc_text(location: &str, report: &GcReport) -> String {
    if report.jobs.is_empty() {
        return format!("{location} holds no job");
    }
    let mut table = Table::new(&[
        "JOB",
        ">NEEDED",
        ">SIZE",
        ">TOO YOUNG",
        ">SIZE",
        if report.deleted {
            ">DELETED"
        } else {
            ">NOT NEEDED"
        },
        ">SIZE",
    ]);
    let mut remarks = Vec::new();
    for job in &report.jobs {
        let size: u64 = job.garbage.iter().map(|object| object.size).sum();
        table.row([
            job.name.clone(),
            human::count(job.needed_objects),
            human::bytes(job.needed_size),
            human::count(job.young_objects),
            human::bytes(job.young_size),
            human::count(job.garbage.len() as u64),
            human::bytes(size),
        ]);
        remarks.extend(garbage(job, report.deleted));
        remarks.extend(
            job.problems
                .iter()
                .map(|text| format!("job {}: {text}", job.name)),
        );
    }
    let mut lines = table.lines();
    lines.extend(remarks);
    if !report.deleted && report.jobs.iter().any(|job| !job.garbage.is_empty()) {
        lines.push("nothing was deleted: --delete does it".to_owned());
    }
    lines.join("\n")
}

fn garbage(job: &JobGarbage, deleted: bool) -> Vec<String> {
    let verb = if deleted { "deleted" } else { "not needed" };
    let named = job.garbage.iter().take(PATHS_MAX);
    let mut lines: Vec<String> = named
        .map(|object| {
            let (size, written) = (human::bytes(object.size), human::instant(object.modified));
            format!(
                "{verb}: {}/{} ({size}, written {written})",
                job.name, object.path
            )
        })
        .collect();
    let more = job.garbage.len().saturating_sub(PATHS_MAX);
    if more > 0 {
        lines.push(format!(
            "{verb}: {} more in {}",
            human::count(more as u64),
            job.name
        ));
    }
    lines
}

#[cfg(test)]
mod tests;
