//! The decision under construction.

use std::collections::BTreeMap;

use weir_crd::{
    LastError, OnDeleteState, Operation, OperationType, Phase, Retry, SavepointOnDelete, Step,
    StreamJob, StreamJobSpec, StreamJobStatus, UpgradeMode,
};

use super::{Action, Decision, Event, EventKind};
use crate::conditions::{self, Found, Problem, Verdict};
use crate::observe::{
    Component, JobReport, ManagerView, Observed, OperationView, RunState, SnapshotView,
};
use crate::revision::{Revision, revision};
use crate::{Requests, names};
use weir_lease::{parse_rfc3339, rfc3339};

/// How often a job is looked at while something is under way, and while it just runs.
const BUSY_MS: u64 = 500;
const QUIET_MS: u64 = 10_000;

/// The delays between attempts of an operation that fails.
const RETRY_MS: i64 = 10_000;
const RETRY_MS_MAX: i64 = 300_000;

/// The spec that a person wants, if it can be acted on.
pub(crate) struct Wanted<'a> {
    pub(crate) spec: &'a StreamJobSpec,
    pub(crate) revision: Revision,
}

pub(crate) struct Draft<'a> {
    pub(crate) observed: &'a Observed,
    pub(crate) requests: Requests,
    /// What is wanted, or why that is refused.
    pub(crate) wanted: Result<Wanted<'a>, String>,
    pub(crate) status: StreamJobStatus,
    pub(crate) problem: Option<Problem>,
    /// What was found out of conditions that are not looked at in each turn.
    pub(crate) found: BTreeMap<Found, Verdict>,
    actions: Vec<Action>,
    events: Vec<Event>,
    busy: bool,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(observed: &'a Observed) -> Self {
        let status = observed.job.status.clone();
        Self {
            observed,
            requests: Requests::read(&observed.job.annotations),
            wanted: wanted(observed, &status),
            busy: status.operation.is_some(),
            status,
            problem: None,
            found: BTreeMap::new(),
            actions: Vec::new(),
            events: Vec::new(),
        }
    }

    pub(crate) fn now(&self) -> String {
        rfc3339(self.observed.now_ms)
    }

    /// Milliseconds since a time of the status; a long time if that can't be read.
    pub(crate) fn since(&self, time: &str) -> i64 {
        parse_rfc3339(time).map_or(i64::MAX, |time| self.observed.now_ms - time)
    }

    pub(crate) fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    pub(crate) fn tell(
        &mut self,
        kind: EventKind,
        reason: &'static str,
        message: impl Into<String>,
    ) {
        let message = message.into();
        self.events.push(Event {
            kind,
            reason,
            message,
        });
    }

    /// Something is waited for that only time tells.
    pub(crate) fn look_again_soon(&mut self) {
        self.busy = true;
    }

    /// Whether nothing has been told yet.
    pub(crate) fn is_silent(&self) -> bool {
        self.events.is_empty()
    }

    /// Records what was found out about the storage or the state, for its condition.
    pub(crate) fn find(&mut self, what: Found, holds: bool, reason: &'static str, message: &str) {
        self.found
            .insert(what, Verdict::new(holds, reason, message));
    }

    /// The spec that says how the operator treats the job: the one that is wanted, else the one
    /// that runs.
    pub(crate) fn policy(&self) -> Option<StreamJobSpec> {
        if let Ok(wanted) = &self.wanted {
            return Some(wanted.spec.clone());
        }
        self.current_spec().cloned()
    }

    /// The spec of the revision that runs, or ran last.
    pub(crate) fn current_spec(&self) -> Option<&'a StreamJobSpec> {
        let revision = self.status.current_revision.as_ref()?;
        self.observed.revisions.get(revision)
    }

    /// The JobManager that leads the deployment.
    pub(crate) fn manager(&self, deployment: i64) -> Option<&'a ManagerView> {
        let manager = self.observed.manager.as_ref();
        manager.filter(|manager| manager.deployment == deployment)
    }

    /// What the deployment's JobManager says of the operation, or has said of it.
    pub(crate) fn answer(
        &self,
        deployment: i64,
        operation: &Operation,
    ) -> Option<&'a OperationView> {
        let now = self.manager(deployment);
        let now = now.and_then(|manager| manager.operation.as_ref());
        let own = |view: &&OperationView| view.name == operation.id;
        let ended = |view: &&OperationView| view.completed.is_some() || view.failed.is_some();
        let before = self.observed.answered.as_ref().filter(own);
        let now = now.filter(own);
        now.filter(ended).or(before).or(now)
    }

    /// Why the JobManager refused what the operation asked of it, if it did.
    pub(crate) fn denied(&self, operation: &Operation) -> Option<String> {
        let denied = self.observed.denied.as_ref();
        let denied = denied.filter(|denied| denied.operation == operation.id)?;
        Some(denied.why.clone())
    }

    /// What JobManagers of the deployment reported as they ended, the most telling one.
    pub(crate) fn report(&self, deployment: i64) -> Option<&'a JobReport> {
        let reports = self.observed.pods.iter().filter_map(|pod| {
            let own = pod.deployment == deployment && pod.component == Component::JobManager;
            pod.ended.as_ref().filter(|_| own)?.report.as_ref()
        });
        reports.max_by_key(|report| match report.run_state {
            _ if report.deployment.is_some_and(|found| found > deployment) => 3,
            None | Some(RunState::Running) => 0,
            Some(RunState::Stopping(_)) => 1,
            Some(_) => 2,
        })
    }

    /// The deployment of another operator, or of another StreamJob, that has the job.
    pub(crate) fn superseded(&self, deployment: i64) -> Option<i64> {
        let found = self.report(deployment)?.deployment?;
        (found > deployment).then_some(found)
    }

    /// How the deployment's job ended by itself.
    pub(crate) fn terminal(&self, deployment: i64) -> Option<Phase> {
        let report = self.report(deployment)?;
        if report.deployment != Some(deployment) {
            return None;
        }
        match report.run_state {
            Some(RunState::Finished) => Some(Phase::Finished),
            Some(RunState::Failed) => Some(Phase::Failed),
            Some(RunState::Cancelled) => Some(Phase::Cancelled),
            _ => None,
        }
    }

    /// Begins an operation. It is acted on once it is written.
    pub(crate) fn begin(&mut self, kind: OperationType, reason: &str) -> &mut Operation {
        let from = self.status.deployment;
        let next = self.next_deployment();
        let starts = !matches!(
            kind,
            OperationType::Suspend
                | OperationType::Savepoint
                | OperationType::Checkpoint
                | OperationType::Delete
        );
        let name = format!("{kind:?}").to_lowercase();
        let seconds = self.observed.now_ms / 1000;
        let target = match (&self.wanted, starts) {
            (Ok(wanted), true) => Some(wanted.revision.whole.clone()),
            _ => None,
        };
        self.tell(
            EventKind::Normal,
            "OperationStarted",
            format!("{name}: {reason}"),
        );
        self.busy = true;
        let now = self.now();
        if starts {
            self.status.issued_deployment = Some(next);
        }
        self.status.update_revision.clone_from(&target);
        self.status.operation.insert(Operation {
            id: format!(
                "{name}-{}-{}-{seconds}",
                from.unwrap_or(0),
                self.observed.job.generation
            ),
            kind,
            step: Step::Accepted,
            reason: reason.to_owned(),
            target_generation: self.observed.job.generation,
            target_revision: target,
            from_deployment: from,
            to_deployment: starts.then_some(next),
            started_at: now.clone(),
            step_started_at: now,
            requested_mode: None,
            effective_mode: None,
            effective_strategy: None,
            start_from: None,
            nonce: None,
            snapshot_id: None,
            snapshot_path: None,
            message: String::new(),
        })
    }

    /// A deployment number that nobody ever had: pods are known by it.
    pub(crate) fn issue(&mut self) -> i64 {
        self.issue_above(0)
    }

    /// The same, above one that the job's storage knows.
    pub(crate) fn issue_above(&mut self, known: i64) -> i64 {
        let next = self.next_deployment().max(known + 1);
        self.status.issued_deployment = Some(next);
        next
    }

    fn next_deployment(&self) -> i64 {
        let status = &self.status;
        let operation = status.operation.as_ref();
        let known = [
            status.deployment,
            status.issued_deployment,
            operation.and_then(|operation| operation.to_deployment),
            operation.and_then(|operation| operation.from_deployment),
        ];
        let pods = self.observed.pods.iter().map(|pod| pod.deployment);
        let highest = known.into_iter().flatten().chain(pods).max();
        highest.unwrap_or(0) + 1
    }

    /// Goes on to a step. It is acted on once it is written.
    pub(crate) fn go_on(&mut self, step: Step) {
        let now = self.now();
        if let Some(operation) = &mut self.status.operation {
            operation.step = step;
            operation.step_started_at = now;
            operation.message.clear();
        }
        self.busy = true;
    }

    /// Changes the open operation.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Operation)) {
        if let Some(operation) = &mut self.status.operation {
            change(operation);
        }
    }

    /// Closes the operation.
    pub(crate) fn close(&mut self) {
        self.status.operation = None;
        self.status.update_revision = None;
    }

    /// Closes the operation as failed; it is begun again after a while.
    pub(crate) fn give_up(&mut self, reason: &'static str, message: String) {
        self.close();
        let generation = self.observed.job.generation;
        let before = self.status.retry.take();
        let failures = before.map_or(1, |retry| retry.failures.saturating_add(1));
        let delay = RETRY_MS.saturating_mul(1_i64 << failures.min(10).saturating_sub(1));
        self.status.retry = Some(Retry {
            failures,
            not_before: rfc3339(self.observed.now_ms + delay.min(RETRY_MS_MAX)),
            generation,
        });
        self.fail(reason, message);
    }

    /// Records what went wrong.
    pub(crate) fn fail(&mut self, reason: &'static str, message: String) {
        self.tell(EventKind::Warning, reason, message.clone());
        self.status.last_error = Some(LastError {
            reason: reason.to_owned(),
            message: message.chars().take(1024).collect(),
            at: self.now(),
        });
    }

    /// Whether an operation that failed must not be begun again yet.
    pub(crate) fn waits_for_retry(&self) -> bool {
        self.status.retry.as_ref().is_some_and(|retry| {
            retry.generation == self.observed.job.generation && self.since(&retry.not_before) < 0
        })
    }

    /// The job ended by itself.
    pub(crate) fn end(&mut self, phase: Phase) {
        self.end_with(phase, "");
    }

    /// The same, with what else is to be said of it.
    pub(crate) fn end_with(&mut self, phase: Phase, more: &str) {
        self.close();
        self.status.phase = Some(phase);
        self.status.running_since = None;
        self.status.ended_at = Some(self.now());
        let deployment = self.status.deployment;
        let report = deployment.and_then(|deployment| self.report(deployment));
        // It may have ended before anybody saw it run: what it has stored is there all the same.
        if let Some(latest) = report.and_then(|report| report.latest.clone()) {
            self.know(latest);
        }
        let error = report.and_then(|report| report.error.clone());
        let error = error.unwrap_or_default();
        let mut message = format!("the job is {phase:?}. {error}");
        message.truncate(message.trim_end().len());
        if !more.is_empty() {
            let end = if error.is_empty() { "" } else { "." };
            message.push_str(&format!("{end} {more}"));
        }
        match phase {
            Phase::Failed => self.fail("JobEnded", message),
            _ => self.tell(EventKind::Normal, "JobEnded", message),
        }
    }

    /// Takes in which snapshot is the newest.
    pub(crate) fn know(&mut self, latest: SnapshotView) {
        let checkpoint = self.status.checkpoint.get_or_insert_default();
        checkpoint.last_completed_id = Some(latest.id);
        checkpoint.last_completed_time = Some(rfc3339(latest.at_ms));
        checkpoint.path = Some(latest.path);
        checkpoint.size_bytes = latest.size_bytes;
        checkpoint.duration_ms = latest.duration_ms;
    }

    pub(crate) fn keep_finalizer(&mut self) {
        let Ok(wanted) = &self.wanted else {
            return;
        };
        let on_delete = &wanted.spec.on_delete;
        let needed = on_delete.savepoint != SavepointOnDelete::None
            || on_delete.state == OnDeleteState::Delete;
        if needed != self.observed.job.has_finalizer {
            self.act(Action::Finalizer(needed));
        }
    }

    /// What state an upgrade of the running job starts from.
    pub(crate) fn mode(&self, spec: &StreamJobSpec) -> (UpgradeMode, UpgradeMode) {
        let current = self.current_spec();
        let requested = match spec.upgrade.mode {
            UpgradeMode::LastState if self.is_new_format(spec) => UpgradeMode::Savepoint,
            mode => mode,
        };
        if !keeps_state(current.unwrap_or(spec)) {
            // There is nothing that could be kept.
            return (requested, UpgradeMode::Stateless);
        }
        // Of a deployment that has never run, the newest snapshot is what it was to start from.
        let never_ran = self.status.restore.is_none();
        let effective = match requested {
            UpgradeMode::Savepoint if never_ran => UpgradeMode::LastState,
            UpgradeMode::LastState if self.checkpoint_is_too_old(spec) => UpgradeMode::Savepoint,
            mode => mode,
        };
        (requested, effective)
    }

    /// Whether the spec's state has another format than what runs: only a savepoint leads there.
    pub(crate) fn is_new_format(&self, spec: &StreamJobSpec) -> bool {
        let current = self.current_spec();
        current.is_some_and(|now| now.state_version != spec.state_version)
    }

    fn checkpoint_is_too_old(&self, spec: &StreamJobSpec) -> bool {
        let Some(age) = spec.upgrade.max_checkpoint_age else {
            return false;
        };
        let manager = self.status.deployment.and_then(|d| self.manager(d));
        let Some(manager) = manager.filter(|manager| manager.is_running()) else {
            return false;
        };
        let taken = manager.latest.as_ref().map_or(0, |latest| latest.at_ms);
        i64::try_from(age.get().as_millis()).is_ok_and(|age| self.observed.now_ms - taken > age)
    }

    /// A status that can't be read is acted on by nobody. Only that is told.
    pub(crate) fn finish_unread(mut self, unread: &str) -> Decision {
        self.problem = Some(Problem::stalled(
            "StatusUnreadable",
            format!(
                "{unread}. A newer operator wrote it, or somebody by hand: install that operator \
                 again, or put the field right with `kubectl edit --subresource=status`. Until then \
                 the job is left alone"
            ),
        ));
        conditions::report_unread(&mut self);
        self.leave()
    }

    /// A job that another operator looks after is left to that one.
    pub(crate) fn finish_foreign(mut self, other: &str) -> Decision {
        let own = self.observed.operators.own.clone();
        if self.status.refused_operator.as_ref() != Some(&own) {
            let text = format!("operator {other} looks after the job: {own} leaves it alone");
            self.tell(EventKind::Warning, "ForeignOperator", text);
            self.status.refused_operator = Some(own);
            conditions::report_foreign(&mut self);
        }
        self.leave()
    }

    fn leave(self) -> Decision {
        Decision {
            status: self.status,
            actions: self.actions,
            events: self.events,
            look_again_ms: QUIET_MS,
        }
    }

    pub(crate) fn finish(mut self) -> Decision {
        conditions::report(&mut self);
        let unchanged = self.status == self.observed.job.status;
        let busy = self.busy || !unchanged || self.status.operation.is_some();
        Decision {
            status: self.status,
            actions: self.actions,
            events: self.events,
            look_again_ms: if busy { BUSY_MS } else { QUIET_MS },
        }
    }

    pub(crate) fn lease_name(&self) -> Option<String> {
        let deployment = self.status.deployment?;
        Some(names::deployment(&self.observed.job.name, deployment))
    }
}

/// Whether a job's state is kept anywhere.
pub(crate) fn keeps_state(spec: &StreamJobSpec) -> bool {
    spec.storage.is_some()
}

fn wanted<'a>(observed: &'a Observed, status: &StreamJobStatus) -> Result<Wanted<'a>, String> {
    wanted_spec(observed, status).map(|spec| Wanted {
        spec,
        revision: revision(spec),
    })
}

/// The newest spec, or why it is refused.
pub(super) fn wanted_spec<'a>(
    observed: &'a Observed,
    status: &StreamJobStatus,
) -> Result<&'a StreamJobSpec, String> {
    let job = &observed.job;
    let spec = job.spec.as_ref().map_err(Clone::clone)?;
    let before = status
        .current_revision
        .as_ref()
        .and_then(|revision| observed.revisions.get(revision));
    let broken = StreamJob::new(&job.name, spec.clone()).validate_on_kubernetes(before);
    if broken.is_empty() {
        return Ok(spec);
    }
    let texts: Vec<_> = broken.iter().map(ToString::to_string).collect();
    Err(texts.join("; "))
}
