//! A world for the plan to act in: an API server, pods, JobManagers and the job's storage, each as
//! simple as can be while their timing is anybody's guess. The storage has the one rule that the
//! real one has: only the newest deployment may claim, and each claim is the next epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use weir_crd::{OperationType, Phase, RestoreFrom, StartFrom, StreamJobSpec, StreamJobStatus};

use super::super::{Action, Outcome, Pods, decide};
pub(super) use super::random::Random;
use crate::names;
use crate::observe::{
    Component, Denied, Ended, JobReport, JobView, ManagerView, NotStored, Observed, OperationView,
    Operators, PodView, RunState, SnapshotView, StandbyView, StateCheck, StateVerdict, Trouble,
};

#[derive(Clone, Debug)]
pub(super) struct Pointer {
    pub(super) deployment: i64,
    pub(super) epoch: i64,
    pub(super) run_state: RunState,
    pub(super) latest: Option<SnapshotView>,
    pub(super) savepoints: BTreeMap<String, SnapshotView>,
}

impl Pointer {
    /// The savepoints, oldest first.
    fn kept(&self) -> Vec<SnapshotView> {
        let kept = self.savepoints.iter();
        let kept = kept.filter(|(name, _)| !name.starts_with("checkpoint-"));
        let mut kept: Vec<_> = kept.map(|(_, snapshot)| snapshot.clone()).collect();
        kept.sort_by_key(|snapshot| snapshot.id);
        kept
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Process {
    Starts,
    /// It deletes the job's checkpoints.
    Cleans,
    Leads {
        epoch: i64,
        restored: Option<i64>,
    },
    Ended(i32),
}

#[derive(Clone, Debug)]
struct Pod {
    view: PodView,
    process: Process,
    /// What was asked of it: the name, whether it stops afterwards.
    asked: Option<(String, bool)>,
    failed: Option<String>,
    completed: u64,
    not_stored: Option<NotStored>,
    scheduled: bool,
}

/// What a claim found, for the invariants.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) deployment: i64,
    pub(super) restored: Option<SnapshotView>,
    pub(super) others: Vec<i64>,
    pub(super) status: StreamJobStatus,
}

pub(super) struct World {
    pub(super) random: Random,
    pub(super) now_ms: i64,
    pub(super) spec: Value,
    pub(super) generation: i64,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) status: StreamJobStatus,
    pub(super) deleting: bool,
    pub(super) finalizer: bool,
    revisions: BTreeMap<String, StreamJobSpec>,
    numbers: BTreeMap<String, i64>,
    pods: BTreeMap<String, Pod>,
    pub(super) pointer: Option<Pointer>,
    pub(super) claims: Vec<Claim>,
    /// How often a savepoint of a name completed.
    pub(super) taken: BTreeMap<String, u32>,
    last_id: i64,
    /// The program argument of whoever has taken the newest snapshot.
    writer: Option<String>,
    /// Savepoints fail one time in so many; none: never.
    pub(super) savepoints_fail: Option<u64>,
    /// JobManagers of this program argument never come to run.
    pub(super) broken: Option<String>,
    /// What each deployment's pods were made from, for ever: a number is given out once.
    made_from: BTreeMap<i64, (StreamJobSpec, StartFrom)>,
    /// Deployments whose Lease is there.
    leases: BTreeSet<i64>,
    /// JobManagers of this program argument can't go on from any state but their own.
    pub(super) incompatible: Option<String>,
    /// The image of this program argument can't be had.
    pub(super) no_image: Option<String>,
    /// The API server refuses pods of this program argument.
    pub(super) no_pods: Option<String>,
    /// It refuses TaskManagers of this program argument alone, or would.
    pub(super) no_workers: Option<String>,
    /// What it said when it did, the last time that pods were to be made.
    refusal: Option<Trouble>,
    /// What the node says of pods of this program argument, which wait for a volume.
    pub(super) no_mount: Option<(String, String)>,
    /// So many pods find room.
    pub(super) room: usize,
    /// The job's storage can't be reached.
    pub(super) storage_is_down: bool,
    /// The job takes no snapshots but those that it is asked for.
    pub(super) no_checkpoints: bool,
    /// Operations for which a JobManager was seen to have passed its check.
    passed: BTreeSet<String>,
    pub(super) deleted: bool,
    /// Savepoints that were let go of, by name.
    pub(super) forgotten: Vec<String>,
    /// The job's spec breaks a rule that the API server would have seen.
    pub(super) refused: Option<String>,
    /// What was told, in order.
    pub(super) told: Vec<&'static str>,
    /// How operations ended.
    pub(super) ended: Vec<(OperationType, Outcome)>,
    /// What the JobManager refused to do.
    denied: Option<Denied>,
    /// What it was asked for and has told the end of at once.
    answered: Option<OperationView>,
    /// JobManagers refuse what they are asked to do, with these words.
    pub(super) denies: Option<String>,
    /// The newest snapshot of the storage can't be read.
    pub(super) unreadable: bool,
    /// JobManagers do nothing that they are asked to do.
    pub(super) mute: bool,
    /// How often the JobManager has started the job again.
    pub(super) restarts: u64,
    /// Nodes take their time to give pods an address.
    pub(super) no_addresses: bool,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: Random(seed),
            now_ms: 1_800_000_000_000,
            spec: json!({
                "job": {"program": "p", "args": {"v": "0"}},
                "storage": {"local": {"path": "/s"}},
                "rollback": {"minStable": "20s", "readinessTimeout": "40s"},
                "checkpoint": {"interval": "5s"},
                "jobManager": {"replicas": 1},
            }),
            generation: 1,
            annotations: BTreeMap::new(),
            status: StreamJobStatus::default(),
            deleting: false,
            finalizer: false,
            revisions: BTreeMap::new(),
            numbers: BTreeMap::new(),
            pods: BTreeMap::new(),
            pointer: None,
            claims: Vec::new(),
            taken: BTreeMap::new(),
            last_id: 0,
            writer: None,
            savepoints_fail: None,
            broken: None,
            made_from: BTreeMap::new(),
            leases: BTreeSet::new(),
            incompatible: None,
            no_image: None,
            no_pods: None,
            no_workers: None,
            refusal: None,
            no_mount: None,
            room: usize::MAX,
            storage_is_down: false,
            no_checkpoints: false,
            passed: BTreeSet::new(),
            deleted: false,
            forgotten: Vec::new(),
            refused: None,
            told: Vec::new(),
            ended: Vec::new(),
            denied: None,
            answered: None,
            denies: None,
            unreadable: false,
            mute: false,
            restarts: 0,
            no_addresses: false,
        }
    }

    /// Changes a field of the spec, by its pointer.
    pub(super) fn edit(&mut self, pointer: &str, value: Value) {
        let mut at = &mut self.spec;
        for step in pointer.split('/') {
            at = at
                .as_object_mut()
                .expect("an object")
                .entry(step)
                .or_insert_with(|| json!({}));
        }
        *at = value;
        self.generation += 1;
    }

    pub(super) fn spec(&self) -> StreamJobSpec {
        serde_json::from_value(self.spec.clone()).expect("a spec")
    }

    pub(super) fn observed(&self) -> Observed {
        Observed {
            now_ms: self.now_ms,
            job: JobView {
                name: "x".to_owned(),
                namespace: "default".to_owned(),
                uid: "u".to_owned(),
                generation: self.generation,
                deleting_since_ms: self.deleting.then_some(self.now_ms),
                annotations: self.annotations.clone(),
                has_finalizer: self.finalizer,
                spec: match &self.refused {
                    Some(cause) => Err(cause.clone()),
                    None => Ok(self.spec()),
                },
                status: self.status.clone(),
                unread: None,
            },
            silent_for: Duration::ZERO,
            refused: self.refusal.clone(),
            denied: self.denied.clone(),
            answered: self.answered.clone(),
            operators: Operators::default(),
            revisions: self.revisions.clone(),
            numbers: self.numbers.clone(),
            pods: self.pods.values().map(|pod| pod.view.clone()).collect(),
            manager: self.manager(),
        }
    }

    fn manager(&self) -> Option<ManagerView> {
        let wanted = self
            .status
            .operation
            .as_ref()
            .map(|operation| &operation.id);
        self.pods.values().rev().find_map(|pod| {
            let Process::Leads { epoch, restored } = pod.process else {
                return None;
            };
            let pointer = self.pointer.as_ref()?;
            let operation = wanted.and_then(|name| {
                let asked = pod.asked.as_ref().is_some_and(|(asked, _)| asked == name);
                let completed = pointer.savepoints.get(name).cloned();
                let known = asked || completed.is_some() || pod.failed.as_ref() == Some(name);
                known.then(|| OperationView {
                    name: name.clone(),
                    completed,
                    failed: (pod.failed.as_ref() == Some(name)).then(|| "no room".to_owned()),
                })
            });
            let broken = self.is_broken(pod.view.deployment);
            Some(ManagerView {
                pod: pod.view.name.clone(),
                deployment: pod.view.deployment,
                job_id: "j".to_owned(),
                epoch,
                state: if broken { "RESTARTING" } else { "RUNNING" }.to_owned(),
                waiting_for: None,
                tasks: (1, u32::from(!broken)),
                restored,
                latest: pointer.latest.clone(),
                not_stored: pod.not_stored.clone(),
                savepoints: pointer.kept(),
                completed: pod.completed,
                restarts: self.restarts,
                operation,
                last_failure: None,
            })
        })
    }

    fn is_broken(&self, deployment: i64) -> bool {
        let Some(broken) = &self.broken else {
            return false;
        };
        self.version(deployment) == Some(broken)
    }

    fn version(&self, deployment: i64) -> Option<&String> {
        let (spec, _) = self.made_from.get(&deployment)?;
        spec.job.args.get("v")
    }

    fn is_incompatible(&self, deployment: i64) -> bool {
        let version = self.version(deployment);
        let own = version == self.writer.as_ref();
        self.incompatible.is_some() && version == self.incompatible.as_ref() && !own
    }

    fn mount(&self, deployment: i64) -> Option<Trouble> {
        let (version, message) = self.no_mount.as_ref()?;
        let trouble = Trouble {
            reason: "FailedMount".to_owned(),
            message: message.clone(),
        };
        (self.version(deployment) == Some(version)).then_some(trouble)
    }

    fn has_image(&self, deployment: i64) -> bool {
        self.no_image.is_none() || self.version(deployment) != self.no_image.as_ref()
    }

    /// One turn of the controller. It is killed after so many effects, if that is said.
    pub(super) fn control(&mut self, killed_after: Option<usize>) {
        let observed = self.observed();
        self.note_checks(&observed);
        let decision = decide(&observed);
        all_reasons_are_known(&decision);
        let mut effects = 0;
        let mut survives = || {
            effects += 1;
            killed_after.is_none_or(|limit| effects <= limit)
        };
        if decision.status != self.status {
            if !survives() {
                self.answered = None;
                return;
            }
            let ended = decision.ended(&self.status, self.now_ms);
            self.ended
                .extend(ended.map(|ended| (ended.kind, ended.outcome)));
            self.status = decision.status;
            self.told
                .extend(decision.events.iter().map(|event| event.reason));
        }
        self.deleted |= self.deleting && !self.finalizer;
        for action in decision.actions {
            if !survives() {
                // The next process remembers nothing.
                self.answered = None;
                return;
            }
            self.act(action, &observed.job.status);
        }
    }

    /// Does what the status that was observed asked for.
    fn act(&mut self, action: Action, observed: &StreamJobStatus) {
        match action {
            Action::KeepRevision { revision } => {
                let spec = self.spec();
                if crate::revision(&spec).whole == revision {
                    let generation = self.generation;
                    self.numbers.entry(revision.clone()).or_insert(generation);
                    self.revisions.insert(revision, spec);
                }
            }
            Action::DropRevisions { keep } => {
                self.revisions.retain(|name, _| keep.contains(name));
                self.numbers.retain(|name, _| keep.contains(name));
            }
            Action::Ensure {
                deployment,
                revision,
                pods,
            } => {
                self.make(deployment, &revision, observed.start_from.as_ref(), pods);
            }
            Action::Warm {
                deployment,
                revision,
                pods,
            } => {
                let operation = observed.operation.as_ref().expect("an operation");
                self.make(deployment, &revision, operation.start_from.as_ref(), pods);
            }
            Action::OpenGate { deployment } => {
                let mut pods = self.pods.values();
                let leads = pods.find(|pod| {
                    pod.view.deployment != deployment
                        && matches!(pod.process, Process::Leads { .. })
                });
                assert!(
                    leads.is_none(),
                    "the gate of {deployment} opens while {leads:?} leads"
                );
                self.leases.insert(deployment);
            }
            Action::RemoveOthers { keep } => self.leases.retain(|lease| keep.contains(lease)),
            Action::DeletePod { name, at_once } => {
                if at_once {
                    self.pods.remove(&name);
                } else if let Some(pod) = self.pods.get_mut(&name) {
                    pod.view.deleting_since_ms.get_or_insert(self.now_ms);
                }
            }
            Action::Stop { operation, .. } => {
                self.nothing_stops_for_what_was_not_checked(observed);
                self.ask(&operation, true);
            }
            Action::Savepoint { operation } | Action::Checkpoint { operation } => {
                self.ask(&operation, false);
            }
            Action::Forget { operation } => {
                let pointer = self.pointer.as_mut().expect("a pointer");
                let latest = pointer
                    .latest
                    .as_ref()
                    .and_then(|latest| latest.operation.as_ref());
                assert_ne!(latest, Some(&operation), "the newest snapshot is needed");
                if pointer.savepoints.remove(&operation).is_some() {
                    self.forgotten.push(operation);
                }
            }
            Action::CleanUp { deployment, .. } => {
                let name = names::cleaner("x", deployment);
                let mut pod = new_pod(&name, Component::Cleaner, deployment);
                pod.process = Process::Cleans;
                self.pods.entry(name).or_insert(pod);
            }
            Action::Finalizer(on) => self.finalizer = on,
            Action::DeleteJob => self.deleted = true,
        }
        if self.deleting && !self.finalizer {
            self.deleted = true;
        }
    }

    /// The StreamJob is deleted and made again: only the storage remembers.
    pub(super) fn forget_status(&mut self) {
        self.status = StreamJobStatus::default();
        self.revisions.clear();
        self.pods.clear();
        self.made_from.clear();
        self.generation = 1;
    }

    /// Makes a deployment's pods that are missing.
    fn make(&mut self, deployment: i64, revision: &str, from: Option<&StartFrom>, pods: Pods) {
        let spec = self.revisions.get(revision).expect("a kept revision");
        let spec = spec.clone();
        let refused = self.no_pods.is_some() && spec.job.args.get("v") == self.no_pods.as_ref();
        self.refusal = refused.then(|| Trouble {
            reason: "Invalid".to_owned(),
            message: "in the model".to_owned(),
        });
        if refused {
            return;
        }
        let no_workers =
            self.no_workers.is_some() && spec.job.args.get("v") == self.no_workers.as_ref();
        if no_workers && pods != Pods::JobManagers {
            self.refusal = Some(Trouble {
                reason: "Forbidden".to_owned(),
                message: "no such TaskManagers".to_owned(),
            });
        }
        let latest = StartFrom {
            from: RestoreFrom::Latest,
            path: None,
            require_state: false,
        };
        let made_from = (spec.clone(), from.cloned().unwrap_or(latest));
        let known = self
            .made_from
            .entry(deployment)
            .or_insert_with(|| made_from.clone());
        assert_eq!(
            (crate::revision(&known.0).whole, known.1.from),
            (crate::revision(&made_from.0).whole, made_from.1.from),
            "deployment {deployment} is made from two revisions"
        );
        let managers = [(Component::JobManager, names::jobmanager("x", deployment, 0))];
        let workers = (0..crate::build::task_managers(&spec)).map(|index| {
            let name = names::taskmanager("x", deployment, index);
            (Component::TaskManager, name)
        });
        for (component, name) in managers
            .into_iter()
            .chain(workers.filter(|_| pods == Pods::All && !no_workers))
        {
            let mut pod = new_pod(&name, component, deployment);
            pod.view.made_ms = self.now_ms;
            pod.view.revision = Some(revision.to_owned());
            self.pods.entry(name).or_insert(pod);
        }
    }

    /// Remembers which operations may stop what runs.
    fn note_checks(&mut self, observed: &Observed) {
        let Some(operation) = &self.status.operation else {
            return;
        };
        let mut pods = observed.pods.iter();
        let passed = pods.any(|pod| {
            let check = pod.standby.as_ref().and_then(|view| view.check.as_ref());
            operation.to_deployment == Some(pod.deployment)
                && check.is_some_and(|check| check.verdict == StateVerdict::Passed)
        });
        if passed {
            self.passed.insert(operation.id.clone());
        }
    }

    fn nothing_stops_for_what_was_not_checked(&self, observed: &StreamJobStatus) {
        use weir_crd::OperationType::{Restart, Restore, Upgrade};
        let operation = observed.operation.as_ref().expect("an operation");
        if matches!(operation.kind, Upgrade | Restart | Restore) {
            assert!(
                self.passed.contains(&operation.id),
                "{} stops the job, and nobody has checked its state",
                operation.id
            );
        }
    }

    pub(super) fn has_lease(&self, deployment: i64) -> bool {
        self.leases.contains(&deployment)
    }

    /// All kept specs are gone.
    pub(super) fn forget_revisions(&mut self) {
        self.revisions.clear();
    }

    /// Whether a job runs, whatever it was made from.
    pub(super) fn runs_any(&self) -> bool {
        self.manager().is_some_and(|manager| manager.is_running())
    }

    /// Deletes the Lease of whatever runs, as a person would.
    pub(super) fn delete_leases(&mut self) {
        self.leases.clear();
    }

    fn ask(&mut self, operation: &str, stop: bool) {
        if self.mute {
            return;
        }
        if let Some(why) = &self.denies {
            let (operation, why) = (operation.to_owned(), why.clone());
            self.denied = Some(Denied { operation, why });
            return;
        }
        (self.denied, self.answered) = (None, None);
        let leads = |pod: &&mut Pod| matches!(pod.process, Process::Leads { .. });
        if let Some(pod) = self.pods.values_mut().rev().find(leads) {
            let failed = pod.failed.as_deref() == Some(operation);
            if !failed {
                pod.asked = Some((operation.to_owned(), stop));
            }
        }
        if self.random.one_in(2) {
            self.answer_at_once(operation);
        }
    }

    /// The JobManager comes to the end of what it is asked for while whoever asks waits.
    fn answer_at_once(&mut self, operation: &str) {
        let mut names = self.pods.iter().rev().filter_map(|(name, pod)| {
            let Process::Leads { epoch, .. } = pod.process else {
                return None;
            };
            Some((name.clone(), epoch))
        });
        let Some((name, epoch)) = names.next() else {
            return;
        };
        drop(names);
        let mut pod = self.pods.remove(&name).expect("it is there");
        let stops = matches!(&pod.asked, Some((_, true)));
        self.serve(&mut pod, epoch, true);
        self.pods.insert(name, pod);
        let pointer = self
            .pointer
            .as_ref()
            .filter(|pointer| pointer.epoch == epoch);
        let stopped = RunState::Stopped(operation.to_owned());
        let pointer = pointer.filter(|pointer| !stops || pointer.run_state == stopped);
        let completed = pointer.and_then(|pointer| pointer.savepoints.get(operation));
        self.answered = completed.map(|snapshot| OperationView {
            name: operation.to_owned(),
            completed: Some(snapshot.clone()),
            failed: None,
        });
    }

    /// All pods are lost at once.
    pub(super) fn kill_all(&mut self) {
        self.pods.clear();
    }

    /// The versions whose specs are kept.
    pub(super) fn kept_versions(&self) -> BTreeSet<String> {
        let kept = self.revisions.values();
        let versions = kept.filter_map(|spec| spec.job.args.get("v").cloned());
        versions.collect()
    }

    /// Kills a pod, as a node or a person would.
    pub(super) fn kill_a_pod(&mut self) {
        let names: Vec<_> = self.pods.keys().cloned().collect();
        if names.is_empty() {
            return;
        }
        let at = self.random.below(names.len() as u64);
        self.pods
            .remove(&names[usize::try_from(at).expect("small")]);
    }

    /// The job ends by itself, for good.
    pub(super) fn end_job(&mut self, run_state: RunState) {
        let Some(pointer) = &mut self.pointer else {
            return;
        };
        for pod in self.pods.values_mut() {
            let current =
                matches!(pod.process, Process::Leads { epoch, .. } if epoch == pointer.epoch);
            if current && pointer.run_state == RunState::Running {
                pointer.run_state = run_state;
                return exit(pod, pointer, 0);
            }
        }
    }

    /// A second passes for pods and processes.
    pub(super) fn pass(&mut self) {
        self.now_ms += 1000;
        let gone: Vec<_> = self
            .pods
            .iter()
            .filter(|(_, pod)| pod.view.deleting_since_ms.is_some())
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            if self.random.one_in(3) {
                self.pods.remove(&name);
            }
        }
        self.schedule();
        let names: Vec<_> = self.pods.keys().cloned().collect();
        for name in names {
            let mut pod = self.pods.remove(&name).expect("it is there");
            if pod.view.trouble.is_some() {
                self.pods.insert(name, pod);
                continue;
            }
            if pod.view.component != Component::TaskManager {
                self.run(&mut pod);
            }
            self.pods.insert(name, pod);
        }
    }

    /// Pods that find room and have their image start; others say why they don't.
    fn schedule(&mut self) {
        let names: Vec<_> = self.pods.keys().cloned().collect();
        let started = |pod: &&Pod| pod.view.trouble.is_none() && pod.scheduled;
        for name in names {
            let taken = self.pods.values().filter(started).count();
            let Some(pod) = self.pods.get(&name) else {
                continue;
            };
            let trouble = |reason: &str| {
                Some(Trouble {
                    reason: reason.to_owned(),
                    message: "in the model".to_owned(),
                })
            };
            let room = pod.scheduled || taken < self.room;
            let trouble = match (room, self.has_image(pod.view.deployment)) {
                (false, _) => trouble("Unschedulable"),
                (true, false) => trouble("ImagePullBackOff"),
                (true, true) => self.mount(pod.view.deployment),
            };
            let is_worker = pod.view.component == Component::TaskManager;
            let starts = self.random.one_in(2);
            if let Some(pod) = self.pods.get_mut(&name) {
                pod.scheduled = room;
                pod.view.has_address |= room && !self.no_addresses;
                pod.view.ready |= is_worker && starts && trouble.is_none();
                pod.view.trouble = trouble;
            }
        }
    }

    /// A JobManager without a Lease finds out whether it can go on from the job's state.
    fn stand_by(&mut self, pod: &mut Pod) {
        pod.view.ready = true;
        let own = pod.view.deployment;
        let pointer = self.pointer.as_ref();
        let snapshot = pointer.and_then(|pointer| pointer.latest.as_ref());
        let made_from = self.made_from.get(&own);
        let ignores = made_from.is_some_and(|(_, start)| start.from == RestoreFrom::None);
        let fits = !self.is_incompatible(own) || snapshot.is_none() || ignores;
        let latest = made_from.is_some_and(|(_, start)| start.from == RestoreFrom::Latest);
        let unreadable = self.unreadable && latest && snapshot.is_some();
        let verdict = match (self.storage_is_down, fits && !unreadable) {
            (true, _) => StateVerdict::Unreachable,
            (false, true) => StateVerdict::Passed,
            (false, false) => StateVerdict::Failed,
        };
        let reason = match unreadable {
            true => "LatestUnreadable",
            false => "StateIncompatible",
        };
        pod.view.standby = Some(StandbyView {
            check: Some(StateCheck {
                verdict,
                reason: reason.to_owned(),
                message: "in the model".to_owned(),
                snapshot: snapshot.map(|snapshot| snapshot.id),
                deployment: pointer.map(|pointer| pointer.deployment),
            }),
        });
    }

    fn run(&mut self, pod: &mut Pod) {
        let gated = !self.leases.contains(&pod.view.deployment);
        match pod.process.clone() {
            Process::Starts if gated && self.random.one_in(2) => self.stand_by(pod),
            Process::Starts if gated => {}
            Process::Starts if self.storage_is_down => {
                pod.process = Process::Ended(1);
                pod.view.ended = Some(Ended {
                    exit_code: 1,
                    report: Some(JobReport {
                        error: Some("the storage is down".to_owned()),
                        storage_unreachable: true,
                        ..JobReport::default()
                    }),
                });
            }
            Process::Starts if self.random.one_in(2) => self.claim(pod),
            Process::Starts => {}
            Process::Cleans if self.random.one_in(3) => self.clean(pod),
            Process::Cleans => {}
            // The kubelet restarts what failed.
            Process::Ended(code) if code != 0 && self.random.one_in(3) => {
                pod.process = Process::Starts;
            }
            Process::Ended(code) => pod.view.over = code == 0,
            Process::Leads { epoch, .. } => self.lead(pod, epoch),
        }
    }

    fn claim(&mut self, pod: &mut Pod) {
        let own = pod.view.deployment;
        let before = self.pointer.clone();
        if let Some(pointer) = &before {
            let over = !matches!(pointer.run_state, RunState::Running);
            if pointer.deployment > own || (pointer.deployment == own && over) {
                let finished =
                    pointer.deployment == own && matches!(pointer.run_state, RunState::Finished);
                return exit(pod, pointer, i32::from(!finished));
            }
        }
        let first = before
            .as_ref()
            .is_none_or(|pointer| pointer.deployment != own);
        let made_from = self.made_from.get(&own);
        let (_, start) = made_from.expect("made by the controller");
        let from = start.from;
        let latest = before.as_ref().and_then(|pointer| pointer.latest.clone());
        if latest.is_none() && start.require_state {
            let report = JobReport {
                error: Some("there is no state".to_owned()),
                state_missing: true,
                ..JobReport::default()
            };
            return fail(pod, before.as_ref(), report);
        }
        let is_read = latest.is_some() && !(first && from != RestoreFrom::Latest);
        if is_read && self.unreadable {
            let report = JobReport {
                error: Some("chk-1/_metadata is damaged".to_owned()),
                state_unreadable: true,
                ..JobReport::default()
            };
            return fail(pod, before.as_ref(), report);
        }
        let restored = latest
            .clone()
            .filter(|_| !(first && from == RestoreFrom::None));
        // What a start leaves behind is not gone on from later either.
        let latest = latest.filter(|_| !(first && from == RestoreFrom::None));
        let epoch = before.as_ref().map_or(0, |pointer| pointer.epoch) + 1;
        // Those that lead, or could.
        let able = |pod: &&Pod| {
            let open = self.leases.contains(&pod.view.deployment);
            open || matches!(pod.process, Process::Leads { .. })
        };
        let others = self.pods.values().filter(able);
        let mut others: Vec<_> = others.map(|pod| pod.view.deployment).collect();
        others.retain(|deployment| *deployment != own);
        self.claims.push(Claim {
            deployment: own,
            restored: restored.clone(),
            others,
            status: self.status.clone(),
        });
        self.pointer = Some(Pointer {
            deployment: own,
            epoch,
            run_state: RunState::Running,
            latest,
            savepoints: before.map_or_else(BTreeMap::new, |pointer| pointer.savepoints),
        });
        pod.view.standby = None;
        if restored.is_some() && self.is_incompatible(own) {
            let pointer = self.pointer.clone().expect("it was just written");
            exit(pod, &pointer, 1);
            return;
        }
        let restored = restored.map(|snapshot| snapshot.id);
        pod.process = Process::Leads { epoch, restored };
        pod.view.ready = true;
    }

    /// Claims the job and lets go of its checkpoints.
    fn clean(&mut self, pod: &mut Pod) {
        let Some(pointer) = &mut self.pointer else {
            pod.process = Process::Ended(0);
            return;
        };
        let others = self
            .pods
            .values()
            .filter(|pod| pod.view.component != Component::Cleaner);
        assert_eq!(
            others.count(),
            0,
            "pods of the job are there while its state is deleted"
        );
        pointer.deployment = pod.view.deployment;
        pointer.epoch += 1;
        pointer.run_state = RunState::Deleted;
        pointer.latest = None;
        exit(pod, pointer, 0);
    }

    fn lead(&mut self, pod: &mut Pod, epoch: i64) {
        let takes = self.random.one_in(3);
        self.serve(pod, epoch, takes);
    }

    /// `takes`: a snapshot, if there is nothing in the way.
    fn serve(&mut self, pod: &mut Pod, epoch: i64, takes: bool) {
        let broken = self.is_broken(pod.view.deployment);
        let version = self.version(pod.view.deployment).cloned();
        let fails = self.savepoints_fail.is_some_and(|n| self.random.one_in(n));
        let Some(pointer) = &mut self.pointer else {
            return;
        };
        if pointer.epoch != epoch {
            return exit(pod, pointer, 1);
        }
        pod.view.lease_missing = !self.leases.contains(&pod.view.deployment);
        if broken || !takes {
            return;
        }
        if self.storage_is_down {
            self.last_id += 1;
            let id = self.last_id;
            let cause = format!("write chk-{id}: no answer");
            pod.not_stored = Some(NotStored { id, cause });
            return;
        }
        let asked = pod.asked.take();
        if let (Some((name, _)), true) = (&asked, fails) {
            pod.failed = Some(name.clone());
            return;
        }
        let known = asked
            .as_ref()
            .is_some_and(|(name, _)| pointer.savepoints.contains_key(name));
        if !known && (asked.is_some() || !self.no_checkpoints) {
            self.last_id += 1;
            let snapshot = SnapshotView {
                id: self.last_id,
                path: format!("/s/{}", self.last_id),
                at_ms: self.now_ms,
                operation: asked.as_ref().map(|(name, _)| name.clone()),
                size_bytes: Some(1_000 + self.last_id),
                duration_ms: Some(20),
            };
            pod.completed += 1;
            pod.not_stored = None;
            self.unreadable = false;
            self.writer = version;
            pointer.latest = Some(snapshot.clone());
            if let Some((name, _)) = &asked {
                *self.taken.entry(name.clone()).or_default() += 1;
                pointer.savepoints.insert(name.clone(), snapshot);
            }
        }
        if let Some((name, true)) = asked {
            pointer.run_state = RunState::Stopped(name);
            exit(pod, pointer, 1);
        }
    }

    /// Whether the job runs, and from which revision.
    pub(super) fn runs(&self) -> Option<String> {
        let manager = self.manager().filter(ManagerView::is_running)?;
        let (spec, _) = self.made_from.get(&manager.deployment)?;
        Some(crate::revision(spec).whole)
    }

    /// The program argument of a revision that is kept.
    pub(super) fn version_of(&self, revision: Option<&String>) -> Option<String> {
        let spec = self.revisions.get(revision?)?;
        spec.job.args.get("v").cloned()
    }

    /// The revision that is kept of a program argument.
    pub(super) fn revision_of(&self, version: &str) -> Option<String> {
        let mut kept = self.revisions.iter();
        let found = kept.find(|(_, spec)| spec.job.args.get("v").is_some_and(|v| v == version));
        found.map(|(revision, _)| revision.clone())
    }

    /// The names of the pods that are for something.
    pub(super) fn pods_of(&self, kind: Component) -> Vec<String> {
        let pods = self.pods.values();
        let own = pods.filter(|pod| pod.view.component == kind);
        own.map(|pod| pod.view.name.clone()).collect()
    }

    pub(super) fn pod_count(&self) -> usize {
        self.pods.len()
    }
}

/// So many seconds, with two turns of the controller in each.
pub(super) fn turns(world: &mut World, seconds: u32) {
    for _ in 0..seconds {
        world.control(None);
        world.control(None);
        world.pass();
    }
}

/// A process that can't start the job ends, and says why.
fn fail(pod: &mut Pod, pointer: Option<&Pointer>, report: JobReport) {
    pod.process = Process::Ended(1);
    pod.view.ready = false;
    pod.view.ended = Some(Ended {
        exit_code: 1,
        report: Some(JobReport {
            run_state: pointer.map(|pointer| pointer.run_state.clone()),
            deployment: pointer.map(|pointer| pointer.deployment),
            ..report
        }),
    });
}

fn exit(pod: &mut Pod, pointer: &Pointer, code: i32) {
    pod.process = Process::Ended(code);
    pod.view.ready = false;
    pod.view.ended = Some(Ended {
        exit_code: code,
        report: Some(JobReport {
            run_state: Some(pointer.run_state.clone()),
            deployment: Some(pointer.deployment),
            epoch: Some(pointer.epoch),
            latest: pointer.latest.clone(),
            ..JobReport::default()
        }),
    });
}

fn new_pod(name: &str, component: Component, deployment: i64) -> Pod {
    Pod {
        view: PodView {
            name: name.to_owned(),
            component,
            deployment,
            revision: None,
            ready: false,
            over: false,
            deleting_since_ms: None,
            ended: None,
            trouble: None,
            creating_since_ms: None,
            made_ms: 0,
            has_address: false,
            lease_missing: false,
            standby: None,
        },
        scheduled: false,
        process: Process::Starts,
        asked: None,
        failed: None,
        not_stored: None,
        completed: 0,
    }
}

/// Whatever is told has its row in the tables.
fn all_reasons_are_known(decision: &super::super::Decision) {
    use crate::reasons::{CONDITIONS, EVENTS};
    for event in &decision.events {
        let known = EVENTS.iter().any(|row| row.reason == event.reason);
        assert!(
            known,
            "event reason {} has no row in reasons/events.rs",
            event.reason
        );
    }
    for condition in &decision.status.conditions {
        let row = CONDITIONS.iter().find(|row| row.kind == condition.kind);
        let row = row.unwrap_or_else(|| panic!("condition {} has no table", condition.kind));
        let status = format!("{:?}", condition.status);
        let known = |row: &crate::reasons::ReasonRow| {
            row.reason == condition.reason && row.status == status
        };
        assert!(
            row.reasons.iter().any(known),
            "{}: {status} {} has no row in reasons/table.rs",
            condition.kind,
            condition.reason
        );
        assert!(
            condition.observed_generation.is_some(),
            "{}",
            condition.kind
        );
    }
}

/// Turns until it has come.
pub(super) fn until(world: &mut World, done: impl Fn(&World) -> bool) {
    for _ in 0..900 {
        if done(world) {
            return;
        }
        turns(world, 1);
    }
    panic!("it never comes: {:#?}", world.status);
}

/// A job that is stable.
pub(super) fn stable(seed: u64) -> World {
    let mut world = World::new(seed);
    until(&mut world, |world| {
        world.status.phase == Some(Phase::Stable)
    });
    world
}

/// Whether nothing is under way and the newest spec runs.
pub(super) fn runs_newest(world: &World) -> bool {
    let newest = crate::revision(&world.spec()).whole;
    world.status.operation.is_none() && world.runs() == Some(newest)
}
