//! The page about one job.

use weir_crd::{Operation, Phase, Savepoint, SnapshotState};

use super::{PodReport, Report, age, age_ms, ready, unexpected};
use crate::human;
use crate::kubectl::names;
use crate::kubectl::objects::Job;
use crate::table::Table;

/// So many pods with trouble are shown.
const PODS: usize = 12;
/// So many savepoints are shown; `snapshots` shows all.
const SAVEPOINTS: usize = 3;

/// The page.
pub(in crate::kubectl) fn text(report: &Report, now_ms: i64) -> String {
    let mut lines = head(report, now_ms);
    attention(&mut lines, report, now_ms);
    if let Some(operation) = &report.job.status.operation {
        doing(&mut lines, operation, now_ms);
    }
    pods(&mut lines, report);
    events(&mut lines, report, now_ms);
    lines.join("\n")
}

fn head(report: &Report, now_ms: i64) -> Vec<String> {
    let (job, status) = (&report.job, &report.job.status);
    let mut lines = vec![format!(
        "job {} in namespace {}",
        job.name(),
        job.metadata.namespace
    )];
    let mut fact = |name: &str, text: String| lines.push(format!("  {name:<11} {text}"));
    fact("phase", phase(job, now_ms));
    if let Some(image) = &job.spec.image {
        fact("image", image.clone());
    }
    fact("processes", processes(report));
    let numbers = [("deployment", status.deployment), ("epoch", status.epoch)];
    let numbers = numbers
        .iter()
        .filter_map(|(what, number)| Some(format!("{what} {}", (*number)?)));
    let numbers: Vec<_> = numbers.collect();
    if !numbers.is_empty() {
        fact(
            "started",
            format!("{}{}", numbers.join(", "), started(job, now_ms)),
        );
    }
    for (place, text) in revisions(report, now_ms).into_iter().enumerate() {
        fact(if place == 0 { "revision" } else { "" }, text);
    }
    if let Some(text) = checkpoint(report, now_ms) {
        fact("checkpoint", text);
    }
    let history = status
        .savepoint
        .as_ref()
        .map(|all| all.history.as_slice())
        .unwrap_or_default();
    for (place, savepoint) in history.iter().take(SAVEPOINTS).enumerate() {
        let name = if place == 0 { "savepoint" } else { "" };
        fact(name, self::savepoint(savepoint, now_ms));
    }
    lines
}

/// The newest checkpoint: as the JobManager says, else as the status had it.
fn checkpoint(report: &Report, now_ms: i64) -> Option<String> {
    if let Some(all) = &report.checkpoints {
        let newest = all.retained.iter().max_by_key(|kept| kept.id)?;
        let ago = age_ms(newest.completed_timestamp, now_ms);
        let failed = match all.counts.failed {
            0 => String::new(),
            failed => format!(", {failed} failed since this JobManager took over"),
        };
        return Some(format!(
            "{}, {ago} ago{failed}  {}",
            newest.id, newest.location
        ));
    }
    let known = report.job.status.checkpoint.as_ref()?;
    let (id, at) = (
        known.last_completed_id?,
        known.last_completed_time.as_ref()?,
    );
    let path = known.path.as_deref().unwrap_or_default();
    Some(format!(
        "{id} or newer, {} ago or less  {path}",
        age(at, now_ms)
    ))
}

fn phase(job: &Job, now_ms: i64) -> String {
    let status = &job.status;
    let Some(phase) = status.phase else {
        return "not seen by an operator yet".to_owned();
    };
    let since = match phase {
        Phase::Running | Phase::Stable => status.running_since.as_ref(),
        phase if phase.is_terminal() => status.ended_at.as_ref(),
        _ => ready(job).map(|ready| &ready.last_transition_time),
    };
    match since {
        Some(since) => format!("{phase:?} for {}", age(since, now_ms)),
        None => format!("{phase:?}"),
    }
}

fn processes(report: &Report) -> String {
    let deployment = report.job.status.deployment;
    let runs = |pod: &&PodReport| deployment.is_none() || pod.deployment == deployment;
    let count = |component: &str| {
        let own = || {
            report
                .pods
                .iter()
                .filter(runs)
                .filter(|pod| pod.component == component)
        };
        (own().filter(|pod| pod.ready).count(), own().count())
    };
    let ((managers, all_managers), (workers, all_workers)) =
        (count("jobmanager"), count("taskmanager"));
    if all_managers + all_workers == 0 {
        return "none".to_owned();
    }
    let leader = report.pods.iter().find(|pod| pod.leads);
    let leader = leader.map_or_else(
        || ", none leads".to_owned(),
        |pod| format!(", {} leads", pod.name),
    );
    let parallelism = report.job.status.parallelism;
    let parallelism = parallelism.map_or_else(String::new, |n| format!(", parallelism {n}"));
    let others = report.pods.iter().filter(|pod| !runs(pod));
    let others = match others.count() {
        0 => String::new(),
        count => {
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            format!("; {} of other deployments", human::counted(count, "pod"))
        }
    };
    format!(
        "{managers} of {all_managers} JobManagers ready{leader}; {workers} of {all_workers} \
         TaskManagers ready{parallelism}{others}"
    )
}

fn started(job: &Job, now_ms: i64) -> String {
    let Some(restore) = &job.status.restore else {
        return String::new();
    };
    let from = match restore.checkpoint_id {
        Some(id) => format!("from snapshot {id}"),
        None => "with no state before".to_owned(),
    };
    format!(", {from}, {} ago", age(&restore.at, now_ms))
}

/// The revision that runs and what became of others, then those that a rollback can return to.
fn revisions(report: &Report, now_ms: i64) -> Vec<String> {
    let status = &report.job.status;
    let Some(current) = &status.current_revision else {
        return Vec::new();
    };
    let stable = status.stable_revision.as_ref();
    let mut text = current.clone();
    match stable {
        Some(stable) if stable == current => text.push_str(", stable"),
        Some(stable) => text.push_str(&format!(
            ", not stable yet; {stable} was the last stable one"
        )),
        None => text.push_str(", not stable yet"),
    }
    if let Some(update) = status
        .update_revision
        .as_ref()
        .filter(|update| *update != current)
    {
        text.push_str(&format!("; {update} takes its place"));
    }
    if let Some(failed) = &status.failed_revision {
        text.push_str(&format!("; {failed} failed and is not tried again"));
    }
    let others = report
        .revisions
        .iter()
        .filter(|(revision, _)| revision != current);
    let others: Vec<_> = others
        .map(|(revision, made)| match made {
            Some(made) => format!("{revision} ({} old)", age(made, now_ms)),
            None => revision.clone(),
        })
        .collect();
    let mut lines = vec![text];
    if !others.is_empty() {
        lines.push(format!("kept: {}", others.join(", ")));
    }
    lines
}

fn savepoint(savepoint: &Savepoint, now_ms: i64) -> String {
    let ago = age(&savepoint.at, now_ms);
    let by = match &savepoint.nonce {
        Some(nonce) => format!("nonce {nonce}"),
        None => savepoint.operation.clone(),
    };
    match (savepoint.state, savepoint.id) {
        (SnapshotState::Completed, Some(id)) => {
            let path = savepoint.path.as_deref().unwrap_or_default();
            format!("{id}, {ago} ago  {path}  ({by})")
        }
        _ => {
            let error = savepoint.error.as_deref().unwrap_or("no cause was given");
            format!("failed {ago} ago: {error}  ({by})")
        }
    }
}

fn attention(lines: &mut Vec<String>, report: &Report, now_ms: i64) {
    let job = &report.job;
    let mut found: Vec<String> = Vec::new();
    if !job.is_seen() {
        found.push(format!(
            "the operator has not seen the newest spec (generation {}, it has seen {}). Does it \
             run? kubectl get pods -A -l app.kubernetes.io/component=operator",
            job.metadata.generation,
            job.status.observed_generation.unwrap_or(0)
        ));
    }
    let runs = matches!(job.status.phase, Some(Phase::Running | Phase::Stable));
    if runs && !report.pods.iter().any(|pod| pod.leads && pod.ready) {
        found.push(format!(
            "no JobManager leads, though the status says {:?}: it may be old. Does an operator \
             run? kubectl get pods -A -l app.kubernetes.io/component=operator",
            job.status.phase.unwrap_or(Phase::Running)
        ));
    }
    if let Some(since) = &job.metadata.deletion_timestamp {
        let waits = match job
            .metadata
            .finalizers
            .iter()
            .any(|name| name == names::FINALIZER)
        {
            true => ", which the operator holds up until spec.onDelete is done",
            false => "",
        };
        found.push(format!(
            "it is being deleted for {}{waits}",
            age(since, now_ms)
        ));
    }
    found.extend(unexpected(job).into_iter().map(|condition| {
        let since = age(&condition.last_transition_time, now_ms);
        let (kind, reason, message) = (&condition.kind, &condition.reason, &condition.message);
        format!(
            "{kind}={:?} for {since}, {reason}: {message}",
            condition.status
        )
    }));
    lines.push(String::new());
    if found.is_empty() {
        lines.push("attention: nothing, all conditions are as expected".to_owned());
        return;
    }
    lines.push("attention:".to_owned());
    lines.extend(found.into_iter().map(|text| format!("  {text}")));
}

fn doing(lines: &mut Vec<String>, operation: &Operation, now_ms: i64) {
    lines.push(String::new());
    lines.push(format!(
        "operation: {:?}, because {}",
        operation.kind, operation.reason
    ));
    lines.push(format!("  id          {}", operation.id));
    lines.push(format!(
        "  step        {:?} for {}; begun {} ago",
        operation.step,
        age(&operation.step_started_at, now_ms),
        age(&operation.started_at, now_ms)
    ));
    if let (Some(wanted), Some(is)) = (operation.requested_mode, operation.effective_mode) {
        let instead = if wanted == is {
            String::new()
        } else {
            format!(" instead of {wanted:?}")
        };
        let strategy = operation.effective_strategy;
        let strategy = strategy.map_or_else(String::new, |strategy| format!(", {strategy:?}"));
        lines.push(format!("  mode        {is:?}{instead}{strategy}"));
    }
    if let Some(path) = &operation.snapshot_path {
        lines.push(format!("  snapshot    {path}"));
    }
    if !operation.message.is_empty() {
        lines.push(format!("  waits       {}", operation.message));
    }
}

fn pods(lines: &mut Vec<String>, report: &Report) {
    let mut troubled: Vec<_> = report
        .pods
        .iter()
        .filter(|pod| pod.trouble.is_some())
        .collect();
    let restarted = report
        .pods
        .iter()
        .filter(|pod| pod.trouble.is_none() && pod.restarts > 0);
    troubled.extend(restarted);
    if troubled.is_empty() {
        return;
    }
    lines.push(String::new());
    lines.push("pods that are not as they should be:".to_owned());
    let mut table = Table::new(&["POD", "PHASE", ">RESTARTS", "NODE", "WHY"]);
    for pod in troubled.iter().take(PODS) {
        table.row([
            pod.name.clone(),
            pod.phase.clone(),
            pod.restarts.to_string(),
            pod.node.clone().unwrap_or_else(|| "-".to_owned()),
            pod.trouble
                .clone()
                .unwrap_or_else(|| "was started again".to_owned()),
        ]);
    }
    lines.extend(table.lines().into_iter().map(|line| format!("  {line}")));
    if troubled.len() > PODS {
        lines.push(format!("  and {} more", troubled.len() - PODS));
    }
}

fn events(lines: &mut Vec<String>, report: &Report, now_ms: i64) {
    if report.events.is_empty() {
        return;
    }
    lines.push(String::new());
    lines.push("last events:".to_owned());
    let mut table = Table::new(&[">AGE", "TYPE", "REASON", "MESSAGE"]);
    for event in &report.events {
        let times = match event.times() {
            1 => String::new(),
            times => format!(" ({times} times)"),
        };
        table.row([
            event
                .at_ms()
                .map_or_else(|| "-".to_owned(), |at| age_ms(at, now_ms)),
            event.kind.clone(),
            event.reason.clone(),
            format!("{}{times}", event.message),
        ]);
    }
    lines.extend(table.lines().into_iter().map(|line| format!("  {line}")));
}
