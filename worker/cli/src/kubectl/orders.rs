//! `savepoint`, `suspend`, `resume`, `restart`, `rollback`: what a person asks of the operator, and
//! what became of it.

use anyhow::anyhow;
use serde::Serialize;
use serde_json::{Value, json};
use weir_crd::{LastError, Phase, Restored, RolledBack, Savepoint, SnapshotState, StreamJobStatus};
use weir_lease::rfc3339;
use weir_rest::new_operation;
use weir_types::{Clock, SystemClock};

use super::args::{OrderArgs, RollbackArgs, SavepointArgs};
use super::client::{Kubectl, Refusal};
use super::names;
use super::objects::{Job, List, Revision};
use super::wait::{Look, until};
use crate::Failure;
use crate::query::json as json_text;

/// A write that somebody else's came before is tried again so often.
const ATTEMPTS: u32 = 5;

/// Takes a savepoint; the answer is its folder.
pub(super) fn savepoint(kubectl: &Kubectl, args: &SavepointArgs) -> Result<String, Failure> {
    let name = args.name.as_str();
    let job = kubectl.job(name)?;
    runs(&job)?;
    let nonce = args.nonce.clone().unwrap_or_else(fresh_nonce);
    annotate(
        kubectl,
        name,
        &[&format!("{}={nonce}", names::SAVEPOINT_NONCE)],
    )?;
    if !args.wait.wait {
        return asked(args.output.is_json(), name, "savepoint", Some(&nonce));
    }
    let done = until(kubectl, name, args.wait, "savepoint", |job| {
        if let Some(mine) = taken(&job.status, &nonce) {
            return match mine.state {
                SnapshotState::Completed => Ok(Look::Done(mine.clone())),
                SnapshotState::Failed => Err(not_taken(name, mine)),
            };
        }
        let operation = job.status.operation.as_ref();
        match operation.and_then(|operation| operation.nonce.as_ref()) {
            Some(begun) if *begun == nonce => Ok(Look::Goes),
            // It would be taken only once the job runs again.
            _ if operation.is_none() => runs(job).map(|()| Look::Unseen),
            _ => Ok(Look::Unseen),
        }
    })?;
    match args.output.is_json() {
        true => json_text(&done),
        false => Ok(done.path.unwrap_or_default()),
    }
}

/// The savepoint of this nonce, if the operator has recorded it.
fn taken<'a>(status: &'a StreamJobStatus, nonce: &str) -> Option<&'a Savepoint> {
    let savepoint = status.savepoint.as_ref()?;
    let mut known = savepoint.last.iter().chain(&savepoint.history);
    known.find(|savepoint| savepoint.nonce.as_deref() == Some(nonce))
}

fn not_taken(name: &str, savepoint: &Savepoint) -> Failure {
    let cause = savepoint.error.clone().unwrap_or_default();
    Failure::failed(anyhow!(cause)).context(format!(
        "there is no savepoint of `{name}`; the job goes on as before. Look with `kubectl weir \
         status {name}`, then ask again"
    ))
}

/// Stops the job with a savepoint.
pub(super) fn suspend(kubectl: &Kubectl, args: &OrderArgs) -> Result<String, Failure> {
    let name = args.name.as_str();
    let job = kubectl.job(name)?;
    not_ended(&job)?;
    let generation = set(kubectl, name, |_| json!({ "suspend": true }))?;
    if !args.wait.wait {
        return asked(args.output.is_json(), name, "suspend", None);
    }
    let status = until(kubectl, name, args.wait, "suspend", |job| {
        superseded(job, job.spec.suspend, "spec.suspend is false again")?;
        if !saw(job, generation) {
            return Ok(Look::Unseen);
        }
        match job.status.phase {
            Some(Phase::Suspended) => Ok(Look::Done(job.status.clone())),
            _ => not_ended(job).map(|()| Look::Goes),
        }
    })?;
    let last = status.savepoint.as_ref().and_then(|all| all.last.as_ref());
    let path = last.and_then(|last| last.path.as_deref());
    answer(
        args,
        &status,
        &match path {
            Some(path) => format!("`{name}` is suspended; its newest savepoint is {path}"),
            None => format!("`{name}` is suspended, without a savepoint"),
        },
    )
}

/// Starts a suspended job.
pub(super) fn resume(kubectl: &Kubectl, args: &OrderArgs) -> Result<String, Failure> {
    let name = args.name.as_str();
    let job = kubectl.job(name)?;
    not_ended(&job)?;
    let generation = set(kubectl, name, |_| json!({ "suspend": false }))?;
    if !args.wait.wait {
        return asked(args.output.is_json(), name, "resume", None);
    }
    let status = until(kubectl, name, args.wait, "resume", |job| {
        superseded(job, !job.spec.suspend, "spec.suspend is true again")?;
        if !saw(job, generation) {
            return Ok(Look::Unseen);
        }
        if is_up(&job.status) {
            return Ok(Look::Done(job.status.clone()));
        }
        not_ended(job).map(|()| Look::Goes)
    })?;
    let from = from(&status);
    answer(args, &status, &format!("`{name}` runs again{from}"))
}

/// Starts the job anew.
pub(super) fn restart(kubectl: &Kubectl, args: &OrderArgs) -> Result<String, Failure> {
    let name = args.name.as_str();
    let job = kubectl.job(name)?;
    if job.spec.suspend {
        return Err(Failure::failed(anyhow!(
            "`{name}` is suspended: start it with `kubectl weir resume {name}`"
        )));
    }
    let next = |job: &Job| {
        let known = [job.spec.restart_nonce, job.status.handled.restart];
        known
            .into_iter()
            .flatten()
            .max()
            .unwrap_or(0)
            .saturating_add(1)
    };
    let nonce = std::cell::Cell::new(0);
    let generation = set(kubectl, name, |job| {
        nonce.set(next(job));
        json!({ "restartNonce": nonce.get() })
    })?;
    if !args.wait.wait {
        return asked(args.output.is_json(), name, "restart", None);
    }
    let before = job.status.restore;
    let status = until(kubectl, name, args.wait, "restart", |job| {
        let begun = job.status.handled.restart >= Some(nonce.get());
        if !begun {
            return Ok(
                match saw(job, generation) && job.status.operation.is_some() {
                    true => Look::Goes,
                    false => Look::Unseen,
                },
            );
        }
        restarted(job, before.as_ref())
    })?;
    let from = from(&status);
    answer(args, &status, &format!("`{name}` runs anew{from}"))
}

/// Whether a restart that the operator has begun has led to a job that runs.
pub(super) fn restarted(
    job: &Job,
    before: Option<&Restored>,
) -> Result<Look<StreamJobStatus>, Failure> {
    let status = &job.status;
    let is_another = status.restore.as_ref() != before;
    if is_up(status) && is_another {
        return Ok(Look::Done(status.clone()));
    }
    if is_up(status) && status.retry.is_none() {
        let text = format!(
            "the restart of `{}` was given up; it runs as before",
            job.name()
        );
        return Err(match &status.last_error {
            Some(error) => Failure::failed(anyhow!(error.message.clone())).context(text),
            None => Failure::failed(anyhow!(text)),
        });
    }
    again(job).map(|()| Look::Goes)
}

/// Returns to an earlier revision.
pub(super) fn rollback(kubectl: &Kubectl, args: &RollbackArgs) -> Result<String, Failure> {
    let (order, name) = (&args.order, args.order.name.as_str());
    let job = kubectl.job(name)?;
    if job.status.phase != Some(Phase::Failed) {
        // What failed may be replaced by what ran before.
        runs(&job)?;
    }
    let to = match &args.to {
        Some(to) => {
            known_revision(kubectl, &job, to)?;
            format!("{}={to}", names::ROLLBACK_TO)
        }
        // One of an earlier rollback must not stay.
        None => format!("{}-", names::ROLLBACK_TO),
    };
    let nonce = fresh_nonce();
    annotate(
        kubectl,
        name,
        &[&format!("{}={nonce}", names::ROLLBACK_NONCE), &to],
    )?;
    if !order.wait.wait {
        return asked(order.output.is_json(), name, "rollback", Some(&nonce));
    }
    let before = (job.status.rollback, job.status.last_error);
    let status = until(kubectl, name, order.wait, "rollback", |job| {
        if job.status.handled.rollback.as_ref() != Some(&nonce) {
            return Ok(Look::Unseen);
        }
        rolled_back(job, &before)
    })?;
    let revision = status.current_revision.clone().unwrap_or_default();
    let from = from(&status);
    answer(
        order,
        &status,
        &format!("`{name}` runs revision {revision}{from}"),
    )
}

pub(super) fn rolled_back(
    job: &Job,
    (rollback, error): &(Option<RolledBack>, Option<LastError>),
) -> Result<Look<StreamJobStatus>, Failure> {
    let status = &job.status;
    if is_up(status) && status.rollback != *rollback {
        return Ok(Look::Done(status.clone()));
    }
    match &status.last_error {
        Some(now) if status.operation.is_none() && Some(now) != error.as_ref() => {
            let text = format!("`{}` was not rolled back", job.name());
            Err(Failure::failed(anyhow!(now.message.clone())).context(text))
        }
        // What runs was meant: only what was to take its place has been given up.
        _ if is_up(status) => Ok(Look::Done(status.clone())),
        _ => again(job).map(|()| Look::Goes),
    }
}

/// A revision that is not kept is refused before anything is asked for.
fn known_revision(kubectl: &Kubectl, job: &Job, to: &str) -> Result<(), Failure> {
    let kept = revisions(kubectl, job)?;
    if kept.iter().any(|(revision, _)| revision == to) {
        return Ok(());
    }
    let kept: Vec<&str> = kept.iter().map(|(revision, _)| revision.as_str()).collect();
    Err(Failure::failed(anyhow!(
        "revision `{to}` of `{}` is not kept. Kept are: {}",
        job.name(),
        kept.join(", ")
    )))
}

/// The specs that are kept, newest first, each with when it was kept.
pub(super) fn revisions(
    kubectl: &Kubectl,
    job: &Job,
) -> Result<Vec<(String, Option<String>)>, Refusal> {
    let selector = format!("--selector={}={}", names::JOB_LABEL, job.name());
    let list: List<Revision> = kubectl.json(&["get", "controllerrevisions.apps", &selector])?;
    let mut kept = list.items;
    kept.sort_by_key(|revision| std::cmp::Reverse(revision.revision));
    let named = kept.into_iter().filter_map(|kept| {
        let revision = kept.metadata.annotations.get(names::REVISION_ANNOTATION)?;
        Some((revision.clone(), kept.metadata.creation_timestamp))
    });
    Ok(named.collect())
}

fn annotate(kubectl: &Kubectl, name: &str, what: &[&str]) -> Result<(), Failure> {
    let args = [&["annotate", "--overwrite", names::RESOURCE, name], what].concat();
    kubectl.text(&args)?;
    Ok(())
}

/// Changes the spec, as long as nobody else does so meanwhile; says its generation.
fn set(kubectl: &Kubectl, name: &str, spec: impl Fn(&Job) -> Value) -> Result<i64, Failure> {
    let mut attempt = 1;
    loop {
        let job = kubectl.job(name)?;
        let patch = json!({
            "metadata": { "resourceVersion": job.metadata.resource_version },
            "spec": spec(&job),
        });
        let patch = format!("--patch={patch}");
        let args = ["patch", names::RESOURCE, name, "--type=merge", &patch];
        match kubectl.json::<Job>(&args) {
            Ok(job) => return Ok(job.metadata.generation),
            Err(Refusal::Conflict(_)) if attempt < ATTEMPTS => attempt += 1,
            Err(refusal) => return Err(Failure::from(refusal)),
        }
    }
}

/// `20260131-235959-4f2a`: sorts by time, and no two are equal.
fn fresh_nonce() -> String {
    let now = rfc3339(SystemClock.unix_ms());
    let digits: String = now.chars().filter(char::is_ascii_digit).collect();
    let (date, time) = digits.split_at(digits.len().min(8));
    let random = new_operation();
    let random = &random[random.len().saturating_sub(4)..];
    format!("{date}-{time}-{random}")
}

/// Refuses a job that has no pods which could do anything.
fn runs(job: &Job) -> Result<(), Failure> {
    let name = job.name();
    if job.status.phase == Some(Phase::Suspended) {
        let last = job
            .status
            .savepoint
            .as_ref()
            .and_then(|all| all.last.as_ref());
        let path = last.and_then(|last| last.path.as_deref());
        let path = path.map_or_else(String::new, |path| format!(" (its savepoint is {path})"));
        return Err(Failure::failed(anyhow!(
            "`{name}` is suspended{path}: start it with `kubectl weir resume {name}`"
        )));
    }
    not_ended(job)
}

/// Refuses a job that has ended by itself.
fn not_ended(job: &Job) -> Result<(), Failure> {
    let phase = job.status.phase.filter(|phase| phase.is_terminal());
    match phase {
        None => Ok(()),
        Some(phase) => Err(ended(job, phase)),
    }
}

/// The same of a job that was started again: while that is being done, it may still say how it
/// ended.
fn again(job: &Job) -> Result<(), Failure> {
    match job.status.operation {
        Some(_) => Ok(()),
        None => not_ended(job),
    }
}

fn ended(job: &Job, phase: Phase) -> Failure {
    let name = job.name();
    let text = format!(
        "`{name}` is {phase:?}: start it again with `kubectl weir restart {name}`, or with another \
         spec"
    );
    match &job.status.last_error {
        Some(error) if phase == Phase::Failed => {
            Failure::failed(anyhow!(error.message.clone())).context(text)
        }
        _ => Failure::failed(anyhow!(text)),
    }
}

/// Somebody else has changed the mind of this command.
fn superseded(job: &Job, holds: bool, text: &str) -> Result<(), Failure> {
    match holds {
        true => Ok(()),
        false => Err(Failure::failed(anyhow!(
            "somebody else has changed `{}` meanwhile: {text}",
            job.name()
        ))),
    }
}

fn saw(job: &Job, generation: i64) -> bool {
    job.status.observed_generation.unwrap_or(0) >= generation
}

/// Whether all of it runs, and nothing is being done with it.
fn is_up(status: &StreamJobStatus) -> bool {
    let runs = matches!(status.phase, Some(Phase::Running | Phase::Stable));
    runs && status.operation.is_none()
}

/// What it was started from.
fn from(status: &StreamJobStatus) -> String {
    let restored = status.restore.as_ref();
    match restored.and_then(|restored| restored.checkpoint_id) {
        Some(id) => format!(", from snapshot {id}"),
        None => ", with no state before".to_owned(),
    }
}

/// What is told when nobody waits.
fn asked(json: bool, name: &str, what: &str, nonce: Option<&str>) -> Result<String, Failure> {
    #[derive(Serialize)]
    struct Asked<'a> {
        job: &'a str,
        requested: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        nonce: Option<&'a str>,
    }
    if json {
        let requested = what;
        return json_text(&Asked {
            job: name,
            requested,
            nonce,
        });
    }
    let nonce = nonce.map_or_else(String::new, |nonce| format!(" (nonce {nonce})"));
    Ok(format!(
        "`{name}`: {what} is asked for{nonce}. Look with `kubectl weir status {name}`"
    ))
}

fn answer(args: &OrderArgs, status: &StreamJobStatus, text: &str) -> Result<String, Failure> {
    match args.output.is_json() {
        true => json_text(status),
        false => Ok(text.to_owned()),
    }
}
