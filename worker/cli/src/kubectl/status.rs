//! `status`: a page that whoever is on call reads from the top, and a line for each of many jobs.

mod page;
mod pods;

use std::time::Duration;

use serde::Serialize;
use weir_crd::{Condition, ConditionStatus, Phase, StreamJobStatus};
use weir_lease::parse_rfc3339;
use weir_rest::dto;
use weir_types::{Clock, SystemClock};

use super::args::StatusArgs;
use super::client::Kubectl;
use super::objects::{Event, Job, List, Pod};
use super::wait::condition;
use super::{names, orders, snapshots};
use crate::query::json as json_text;
use crate::table::Table;
use crate::{Failure, human};

pub(super) use page::text;
pub(super) use pods::PodReport;

/// So many events are shown.
const EVENTS: usize = 8;

pub(super) fn status(kubectl: &Kubectl, args: &StatusArgs) -> Result<String, Failure> {
    let Some(name) = &args.name else {
        return many(kubectl, args);
    };
    let report = Report::fetch(kubectl, name)?;
    match args.output.is_json() {
        true => json_text(&report.for_programs()),
        false => Ok(text(&report, SystemClock.unix_ms())),
    }
}

/// All that the page is made from.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) job: Job,
    pub(super) pods: Vec<PodReport>,
    /// Kept specs, newest first; none if they may not be read.
    pub(super) revisions: Vec<(String, Option<String>)>,
    /// Newest first.
    pub(super) events: Vec<Event>,
    /// What the JobManager says of checkpoints: the status is not written for each of them.
    pub(super) checkpoints: Option<dto::Checkpoints>,
}

impl Report {
    pub(super) fn fetch(kubectl: &Kubectl, name: &str) -> Result<Self, Failure> {
        let job = kubectl.job(name)?;
        let selector = format!("--selector={}={name}", names::JOB_LABEL);
        let found: List<Pod> = kubectl.json(&["get", "pods", &selector])?;
        let about =
            format!("--field-selector=involvedObject.kind=StreamJob,involvedObject.name={name}");
        // Whoever may see jobs need not be allowed to see these.
        let told: List<Event> = kubectl.json(&["get", "events", &about]).unwrap_or_default();
        let mut events = told.items;
        // Those of an earlier job of this name are not meant.
        events.retain(|event| event.involved_object.uid == job.metadata.uid);
        events.sort_by_key(|event| std::cmp::Reverse(event.at_ms()));
        events.truncate(EVENTS);
        Ok(Self {
            pods: found.items.iter().map(PodReport::of).collect(),
            revisions: orders::revisions(kubectl, &job).unwrap_or_default(),
            events,
            checkpoints: match snapshots::has_leader(&job) {
                true => snapshots::ask(kubectl, &job).ok(),
                false => None,
            },
            job,
        })
    }

    fn for_programs(&self) -> impl Serialize {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Told {
            namespace: String,
            name: String,
            generation: i64,
            unexpected: Vec<Condition>,
            pods: Vec<PodReport>,
            revisions: Vec<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            checkpoints: Option<dto::Checkpoints>,
            status: StreamJobStatus,
        }
        let revisions = self.revisions.iter();
        Told {
            namespace: self.job.metadata.namespace.clone(),
            name: self.job.metadata.name.clone(),
            generation: self.job.metadata.generation,
            unexpected: unexpected(&self.job).into_iter().cloned().collect(),
            pods: self.pods.clone(),
            revisions: revisions.map(|(revision, _)| revision.clone()).collect(),
            checkpoints: self.checkpoints.clone(),
            status: self.job.status.clone(),
        }
    }
}

/// The conditions that ask for somebody's attention. Those that only tell what is going on are
/// shown in other words.
pub(super) fn unexpected(job: &Job) -> Vec<&Condition> {
    let phase = job.status.phase;
    let rests = phase.is_some_and(|phase| phase.is_terminal() || phase == Phase::Suspended);
    let expected = |kind: &str| match kind {
        "Ready" => (!rests).then_some(ConditionStatus::True),
        "Accepted" | "CheckpointsHealthy" | "StorageReachable" | "StateCompatible" => {
            Some(ConditionStatus::True)
        }
        "Degraded" | "Stalled" | "RolledBack" | "ReconciliationPaused" => {
            Some(ConditionStatus::False)
        }
        _ => None,
    };
    let conditions = job.status.conditions.iter();
    let mut found: Vec<_> = conditions
        .filter(|condition| expected(&condition.kind).is_some_and(|is| is != condition.status))
        .collect();
    // Often it only repeats what another one says.
    let others: Vec<_> = found.iter().filter(|one| one.kind != "Ready").collect();
    let told: Vec<String> = others.iter().map(|one| one.message.clone()).collect();
    found.retain(|one| one.kind != "Ready" || !told.contains(&one.message));
    // What waits for a person comes first.
    found.sort_by_key(|condition| condition.kind != "Stalled");
    found
}

/// How long ago a time of the cluster was.
pub(super) fn age(time: &str, now_ms: i64) -> String {
    match parse_rfc3339(time) {
        Some(at_ms) => age_ms(at_ms, now_ms),
        None => time.to_owned(),
    }
}

/// Clocks of two machines differ, so nothing is in the future, and there are no fractions.
pub(super) fn age_ms(at_ms: i64, now_ms: i64) -> String {
    let seconds = u64::try_from((now_ms - at_ms) / 1000).unwrap_or(0);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..172_800 => human::duration(Duration::from_secs(seconds)),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn many(kubectl: &Kubectl, args: &StatusArgs) -> Result<String, Failure> {
    let mut question = vec!["get", names::RESOURCE];
    if args.all_namespaces {
        question.push("--all-namespaces");
    }
    let jobs: List<Job> = kubectl.json(&question)?;
    if args.output.is_json() {
        #[derive(Serialize)]
        struct Line<'a> {
            namespace: &'a str,
            name: &'a str,
            status: &'a StreamJobStatus,
        }
        let lines = jobs.items.iter().map(|job| Line {
            namespace: &job.metadata.namespace,
            name: job.name(),
            status: &job.status,
        });
        return json_text(&lines.collect::<Vec<_>>());
    }
    if jobs.items.is_empty() {
        let place = match args.all_namespaces {
            true => "this cluster",
            false => "this namespace (`-A` shows all)",
        };
        return Ok(format!("there are no StreamJobs in {place}"));
    }
    Ok(lines(&jobs.items, args.all_namespaces))
}

fn lines(jobs: &[Job], with_namespace: bool) -> String {
    let columns = [
        "NAMESPACE",
        "NAME",
        "PHASE",
        ">EPOCH",
        "OPERATION",
        ">CHECKPOINT",
        "ATTENTION",
    ];
    let skipped = usize::from(!with_namespace);
    let mut table = Table::new(&columns[skipped..]);
    for job in jobs {
        let status = &job.status;
        let none = || "-".to_owned();
        let operation = status.operation.as_ref();
        let checkpoint = status.checkpoint.as_ref();
        let cells = [
            job.metadata.namespace.clone(),
            job.name().to_owned(),
            status
                .phase
                .map_or_else(|| "-".to_owned(), |phase| format!("{phase:?}")),
            status.epoch.map_or_else(none, |epoch| epoch.to_string()),
            operation.map_or_else(none, |open| format!("{:?}: {:?}", open.kind, open.step)),
            checkpoint
                .and_then(|known| known.age.clone())
                .unwrap_or_else(none),
            attention(job),
        ];
        table.row(cells.into_iter().skip(skipped));
    }
    table.to_string()
}

/// The one thing to know of a job among many.
fn attention(job: &Job) -> String {
    const CHARS_MAX: usize = 90;
    if !job.is_seen() {
        return "the operator has not seen the newest spec".to_owned();
    }
    let found = unexpected(job);
    // While something is being done, not to be ready is how it goes.
    let busy = job.status.operation.is_some();
    let first = found
        .iter()
        .find(|condition| !busy || condition.kind != "Ready");
    let Some(first) = first else {
        return String::new();
    };
    let text = format!("{}: {}", first.reason, first.message);
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Whether, and since when, the job is ready.
pub(super) fn ready(job: &Job) -> Option<&Condition> {
    condition(&job.status, "Ready")
}

#[cfg(test)]
mod tests;
