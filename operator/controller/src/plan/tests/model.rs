//! A world for the plan to act in: an API server, pods, JobManagers and the job's storage, each as
//! simple as can be while their timing is anybody's guess. The storage has the one rule that the
//! real one has: only the newest deployment may claim, and each claim is the next epoch.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use weir_crd::{RestoreFrom, StreamJobSpec, StreamJobStatus};

use super::super::{Action, decide};
use crate::names;
use crate::observe::{
    Component, Ended, JobReport, JobView, ManagerView, Observed, OperationView, PodView, RunState,
    SnapshotView,
};

pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

#[derive(Clone, Debug)]
pub(super) struct Pointer {
    pub(super) deployment: i64,
    pub(super) epoch: i64,
    pub(super) run_state: RunState,
    pub(super) latest: Option<SnapshotView>,
    pub(super) savepoints: BTreeMap<String, SnapshotView>,
}

#[derive(Clone, Debug, PartialEq)]
enum Process {
    Starts,
    Leads { epoch: i64, restored: Option<i64> },
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
    pods: BTreeMap<String, Pod>,
    pub(super) pointer: Option<Pointer>,
    pub(super) claims: Vec<Claim>,
    /// How often a savepoint of a name completed.
    pub(super) taken: BTreeMap<String, u32>,
    last_id: i64,
    /// Savepoints fail one time in so many; none: never.
    pub(super) savepoints_fail: Option<u64>,
    /// JobManagers of this program argument never come to run.
    pub(super) broken: Option<String>,
    /// What the deployment's pods were made from.
    made_from: BTreeMap<i64, (StreamJobSpec, RestoreFrom)>,
    pub(super) deleted: bool,
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
            pods: BTreeMap::new(),
            pointer: None,
            claims: Vec::new(),
            taken: BTreeMap::new(),
            last_id: 0,
            savepoints_fail: None,
            broken: None,
            made_from: BTreeMap::new(),
            deleted: false,
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
                spec: Ok(self.spec()),
                status: self.status.clone(),
            },
            revisions: self.revisions.clone(),
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
                completed: pod.completed,
                operation,
                last_failure: None,
            })
        })
    }

    fn is_broken(&self, deployment: i64) -> bool {
        let Some(broken) = &self.broken else {
            return false;
        };
        let made_from = self.made_from.get(&deployment);
        made_from.is_some_and(|(spec, _)| spec.job.args.get("v") == Some(broken))
    }

    /// One turn of the controller. It is killed after so many effects, if that is said.
    pub(super) fn control(&mut self, killed_after: Option<usize>) {
        let decision = decide(&self.observed());
        let mut effects = 0;
        let mut survives = || {
            effects += 1;
            killed_after.is_none_or(|limit| effects <= limit)
        };
        if decision.status != self.status {
            if !survives() {
                return;
            }
            self.status = decision.status;
        }
        for action in decision.actions {
            if !survives() {
                return;
            }
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::KeepRevision { revision } => {
                let spec = self.spec();
                if crate::revision(&spec).whole == revision {
                    self.revisions.insert(revision, spec);
                }
            }
            Action::DropRevisions { keep } => self.revisions.retain(|name, _| keep.contains(name)),
            Action::Ensure {
                deployment,
                revision,
            } => {
                let spec = self
                    .revisions
                    .get(&revision)
                    .expect("a kept revision")
                    .clone();
                let from = self.status.start_from.as_ref().map(|start| start.from);
                let from = from.unwrap_or_default();
                self.made_from.entry(deployment).or_insert((spec, from));
                for (component, name) in [
                    (Component::JobManager, names::jobmanager("x", deployment, 0)),
                    (
                        Component::TaskManager,
                        names::taskmanager("x", deployment, 0),
                    ),
                ] {
                    let pod = new_pod(&name, component, deployment);
                    self.pods.entry(name).or_insert(pod);
                }
            }
            Action::RemoveOthers { .. } => {}
            Action::DeletePod { name, at_once } => {
                if at_once {
                    self.pods.remove(&name);
                } else if let Some(pod) = self.pods.get_mut(&name) {
                    pod.view.deleting_since_ms.get_or_insert(self.now_ms);
                }
            }
            Action::Stop { operation, .. } => self.ask(&operation, true),
            Action::Savepoint { operation } | Action::Checkpoint { operation } => {
                self.ask(&operation, false);
            }
            Action::Finalizer(on) => self.finalizer = on,
            Action::DeleteJob => self.deleted = true,
        }
        if self.deleting && !self.finalizer {
            self.deleted = true;
        }
    }

    fn ask(&mut self, operation: &str, stop: bool) {
        let leads = |pod: &&mut Pod| matches!(pod.process, Process::Leads { .. });
        if let Some(pod) = self.pods.values_mut().rev().find(leads) {
            let failed = pod.failed.as_deref() == Some(operation);
            if !failed {
                pod.asked = Some((operation.to_owned(), stop));
            }
        }
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
        let names: Vec<_> = self.pods.keys().cloned().collect();
        for name in names {
            let mut pod = self.pods.remove(&name).expect("it is there");
            if pod.view.component == Component::JobManager {
                self.run(&mut pod);
            }
            self.pods.insert(name, pod);
        }
    }

    fn run(&mut self, pod: &mut Pod) {
        match pod.process.clone() {
            Process::Starts if self.random.one_in(2) => self.claim(pod),
            Process::Starts => {}
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
        let (_, from) = self
            .made_from
            .get(&own)
            .expect("made by the controller")
            .clone();
        let latest = before.as_ref().and_then(|pointer| pointer.latest.clone());
        let restored = latest
            .clone()
            .filter(|_| !(first && from == RestoreFrom::None));
        let epoch = before.as_ref().map_or(0, |pointer| pointer.epoch) + 1;
        let mut others: Vec<_> = self.pods.values().map(|pod| pod.view.deployment).collect();
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
        let restored = restored.map(|snapshot| snapshot.id);
        pod.process = Process::Leads { epoch, restored };
        pod.view.ready = true;
    }

    fn lead(&mut self, pod: &mut Pod, epoch: i64) {
        let broken = self.is_broken(pod.view.deployment);
        let fails = self.savepoints_fail.is_some_and(|n| self.random.one_in(n));
        let takes = self.random.one_in(3);
        let Some(pointer) = &mut self.pointer else {
            return;
        };
        if pointer.epoch != epoch {
            return exit(pod, pointer, 1);
        }
        if broken || !takes {
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
        if !known {
            self.last_id += 1;
            let snapshot = SnapshotView {
                id: self.last_id,
                path: format!("/s/{}", self.last_id),
                at_ms: self.now_ms,
                operation: asked.as_ref().map(|(name, _)| name.clone()),
            };
            pod.completed += 1;
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

    pub(super) fn pod_count(&self) -> usize {
        self.pods.len()
    }
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
            error: None,
        }),
    });
}

fn new_pod(name: &str, component: Component, deployment: i64) -> Pod {
    Pod {
        view: PodView {
            name: name.to_owned(),
            component,
            deployment,
            ready: false,
            over: false,
            deleting_since_ms: None,
            ended: None,
            trouble: None,
        },
        process: Process::Starts,
        asked: None,
        failed: None,
        completed: 0,
    }
}
