//! A job's storage, and the JobManagers that share it, as simple as can be. The storage has the one
//! rule that the real one has: only the newest deployment may claim, and each claim is the next
//! epoch.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use weir_controller::{JobReport, RunState, SnapshotView};

/// What a job's storage remembers.
#[derive(Clone, Debug)]
pub(crate) struct Pointer {
    pub(crate) deployment: i64,
    pub(crate) epoch: i64,
    pub(crate) run_state: RunState,
    pub(crate) latest: Option<SnapshotView>,
    pub(crate) savepoints: BTreeMap<String, SnapshotView>,
    /// The names of savepoints that were let go of.
    pub(crate) forgotten: BTreeSet<String>,
}

/// A JobManager has claimed the job.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) deployment: i64,
    pub(crate) first: bool,
    pub(crate) restored: Option<SnapshotView>,
    pub(crate) newest: Option<SnapshotView>,
    /// Whether the job had stopped, with all its results published.
    pub(crate) stopped: bool,
    /// `latest`, `none` or a path.
    pub(crate) told: String,
}

/// What a JobManager does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Process {
    /// It waits, and claims when it may.
    Starts,
    /// It leads.
    Leads { epoch: i64, restored: Option<i64> },
    /// It has ended, with this code and these last words.
    Ended(i32, String),
}

/// The process in a JobManager's pod.
#[derive(Clone, Debug)]
pub(crate) struct Manager {
    pub(crate) pod: String,
    pub(crate) deployment: i64,
    /// What it was told to start from.
    pub(crate) restore: String,
    /// The program's argument `v`: which version it is.
    pub(crate) version: String,
    pub(crate) process: Process,
    /// Whether its Lease is there: without it, it does not stand for election.
    pub(crate) gate_is_open: bool,
    asked: Option<(String, bool)>,
    failed: Option<String>,
    completed: u64,
    ticks: u64,
}

impl Manager {
    pub(crate) fn new(pod: &str, deployment: i64, restore: &str, version: &str) -> Self {
        Self {
            pod: pod.to_owned(),
            deployment,
            restore: restore.to_owned(),
            version: version.to_owned(),
            process: Process::Starts,
            gate_is_open: false,
            asked: None,
            failed: None,
            completed: 0,
            ticks: 0,
        }
    }

    pub(crate) fn leads(&self) -> bool {
        matches!(self.process, Process::Leads { .. })
    }
}

/// What may go wrong in a job.
#[derive(Clone, Debug, Default)]
pub(crate) struct Troubles {
    /// Savepoints fail.
    pub(crate) savepoints_fail: bool,
    /// Requests are refused, as a job without checkpoints does.
    pub(crate) refuses: bool,
    /// This version never comes to run.
    pub(crate) broken: Option<String>,
    /// A JobManager that has been told to stop does not do so in this many ticks.
    pub(crate) slow_stop: u64,
    /// This version can't go on from the job's state.
    pub(crate) incompatible: Option<String>,
    /// A job that is to stop takes its savepoint, and then fails.
    pub(crate) fail_after_savepoint: bool,
    /// No JobManager can claim: the storage cannot be reached.
    pub(crate) unreachable: bool,
    /// No JobManager answers, though its connection stands.
    pub(crate) hangs: bool,
}

/// A job's storage, and what has happened to it.
#[derive(Debug, Default)]
pub(crate) struct Storage {
    pub(crate) pointer: Option<Pointer>,
    pub(crate) claims: Vec<Claim>,
    /// How often a snapshot of a name was completed.
    pub(crate) taken: BTreeMap<String, u32>,
    pub(crate) troubles: Troubles,
    pub(crate) now_ms: i64,
    last_id: i64,
}

impl Storage {
    /// A moment passes for a JobManager.
    pub(crate) fn tick(&mut self, manager: &mut Manager) {
        match manager.process {
            Process::Starts if manager.gate_is_open && !self.troubles.unreachable => {
                self.claim(manager);
            }
            Process::Leads { epoch, .. } => self.lead(manager, epoch),
            Process::Starts | Process::Ended(..) => {}
        }
    }

    fn claim(&mut self, manager: &mut Manager) {
        let own = manager.deployment;
        let before = self.pointer.clone();
        if let Some(pointer) = &before {
            let over = pointer.run_state != RunState::Running;
            if pointer.deployment > own || (pointer.deployment == own && over) {
                let well = pointer.deployment == own && pointer.run_state == RunState::Finished;
                return end(manager, pointer, i32::from(!well));
            }
        }
        let first = before.as_ref().is_none_or(|p| p.deployment != own);
        let newest = before.as_ref().and_then(|pointer| pointer.latest.clone());
        let restored = match (first, manager.restore.as_str()) {
            (true, "none") => None,
            (false, _) | (true, "latest") => newest.clone(),
            (true, path) => {
                let known = before
                    .iter()
                    .flat_map(|pointer| pointer.savepoints.values());
                known
                    .chain(&newest)
                    .find(|known| known.path == path)
                    .cloned()
            }
        };
        let epoch = before.as_ref().map_or(0, |pointer| pointer.epoch) + 1;
        let forgotten = before.as_ref().map(|pointer| pointer.forgotten.clone());
        self.claims.push(Claim {
            deployment: own,
            first,
            restored: restored.clone(),
            newest: newest.clone(),
            stopped: before
                .as_ref()
                .is_some_and(|pointer| matches!(pointer.run_state, RunState::Stopped(_))),
            told: manager.restore.clone(),
        });
        self.pointer = Some(Pointer {
            deployment: own,
            epoch,
            run_state: RunState::Running,
            latest: newest,
            savepoints: before.map_or_else(BTreeMap::new, |pointer| pointer.savepoints),
            forgotten: forgotten.unwrap_or_default(),
        });
        let restored = restored.map(|snapshot| snapshot.id);
        manager.process = Process::Leads { epoch, restored };
    }

    fn lead(&mut self, manager: &mut Manager, epoch: i64) {
        let Some(pointer) = &mut self.pointer else {
            return;
        };
        if pointer.epoch != epoch {
            return end(manager, pointer, 1);
        }
        manager.ticks += 1;
        if self.troubles.broken.as_ref() == Some(&manager.version) {
            return;
        }
        let Some((name, stop)) = manager.asked.clone() else {
            if manager.ticks.is_multiple_of(3) {
                self.last_id += 1;
                manager.completed += 1;
                pointer.latest = Some(snapshot(self.last_id, self.now_ms, None));
            }
            return;
        };
        if stop && self.troubles.slow_stop > 0 {
            self.troubles.slow_stop -= 1;
            return;
        }
        manager.asked = None;
        if self.troubles.savepoints_fail || pointer.forgotten.contains(&name) {
            manager.failed = Some(name);
            return;
        }
        if !pointer.savepoints.contains_key(&name) {
            self.last_id += 1;
            let taken = snapshot(self.last_id, self.now_ms, Some(&name));
            manager.completed += 1;
            pointer.latest = Some(taken.clone());
            pointer.savepoints.insert(name.clone(), taken);
            *self.taken.entry(name.clone()).or_default() += 1;
        }
        if stop {
            pointer.run_state = match std::mem::take(&mut self.troubles.fail_after_savepoint) {
                true => RunState::Failed,
                false => RunState::Stopped(name),
            };
            end(manager, pointer, 1);
        }
    }

    /// The job ends by itself.
    pub(crate) fn finish(&mut self, manager: &mut Manager, run_state: RunState) {
        if let Some(pointer) = &mut self.pointer {
            pointer.run_state = run_state;
            end(manager, pointer, 0);
        }
    }

    /// A request to change something.
    pub(crate) fn ask(&self, manager: &mut Manager, operation: &str, stop: bool) {
        if manager.failed.as_deref() != Some(operation) {
            manager.asked = Some((operation.to_owned(), stop));
        }
    }

    /// A savepoint is let go of.
    pub(crate) fn forget(&mut self, operation: &str) {
        if let Some(pointer) = &mut self.pointer
            && pointer.savepoints.remove(operation).is_some()
        {
            pointer.forgotten.insert(operation.to_owned());
        }
    }

    fn is_running(&self, manager: &Manager) -> bool {
        manager.leads() && self.troubles.broken.as_ref() != Some(&manager.version)
    }

    /// `GET /standby`.
    pub(crate) fn standby(&self, manager: &Manager) -> Value {
        let state = match manager.process {
            Process::Leads { .. } => "leads",
            _ if !manager.gate_is_open => "gated",
            _ => "candidate",
        };
        let latest = self
            .pointer
            .as_ref()
            .and_then(|pointer| pointer.latest.as_ref());
        let check = match &self.troubles {
            troubles if troubles.unreachable => json!({
                "state": "unreachable", "reason": "Unreachable", "message": "no answer",
            }),
            troubles if troubles.incompatible.as_ref() == Some(&manager.version) => json!({
                "state": "failed", "reason": "Incompatible", "message": "another kind of state",
            }),
            _ => json!({
                "state": "passed",
                "snapshot": latest.filter(|_| manager.restore != "none").map(|latest| latest.id),
                "deployment": self.pointer.as_ref().map(|pointer| pointer.deployment),
            }),
        };
        json!({ "state": state, "check": check })
    }

    /// `GET /jobs/{id}`.
    pub(crate) fn job(&self, manager: &Manager) -> Value {
        let Process::Leads { epoch, .. } = manager.process else {
            return Value::Null;
        };
        let runs = self.is_running(manager);
        json!({
            "id": JOB_ID,
            "name": "x",
            "state": if runs { "RUNNING" } else { "RESTARTING" },
            "start-time": 1, "end-time": -1, "duration": 1,
            "tasks": { "total": 2, "running": if runs { 2 } else { 0 }, "finished": 0 },
            "epoch": epoch,
            "vertices": [],
        })
    }

    /// `GET /jobs/{id}/checkpoints`.
    pub(crate) fn checkpoints(&self, manager: &Manager) -> Value {
        let Process::Leads { restored, .. } = manager.process else {
            return Value::Null;
        };
        let pointer = self.pointer.as_ref();
        let latest = pointer.and_then(|pointer| pointer.latest.clone());
        let savepoints = pointer
            .iter()
            .flat_map(|pointer| pointer.savepoints.values());
        let mut kept: BTreeMap<i64, Value> = BTreeMap::new();
        for known in savepoints.chain(&latest) {
            let kind = if known.operation.is_some() {
                "savepoint"
            } else {
                "checkpoint"
            };
            kept.insert(
                known.id,
                json!({
                    "id": known.id, "epoch": 1, "kind": kind, "location": known.path,
                    "completed-timestamp": known.at_ms, "operation": known.operation,
                }),
            );
        }
        let none = json!({ "min": 0, "max": 0, "avg": 0 });
        json!({
            "folder": "/s",
            "counts": { "in-progress": 0, "completed": manager.completed, "failed": 0 },
            "restored": restored,
            "summary": {
                "end-to-end-duration": none, "state-size": none, "checkpointed-size": none,
                "alignment-buffered": none,
            },
            "retained": kept.into_values().collect::<Vec<_>>(),
            "history": [],
        })
    }

    /// Somebody waits for the end of what was asked for: what takes its time takes longer.
    pub(crate) fn wait(&mut self, manager: &mut Manager, name: &str) {
        let Process::Leads { epoch, .. } = manager.process else {
            return;
        };
        let is_slow = self.troubles.slow_stop > 0 || self.troubles.fail_after_savepoint;
        let own = |(asked, _): &(String, bool)| asked == name;
        if !is_slow && manager.asked.as_ref().is_some_and(own) {
            self.lead(manager, epoch);
        }
    }

    /// `GET /jobs/{id}/savepoints/{name}`; none: it was never asked for.
    pub(crate) fn operation(&self, manager: &Manager, name: &str) -> Option<Value> {
        let pointer = self.pointer.as_ref()?;
        let asked = manager
            .asked
            .as_ref()
            .is_some_and(|(asked, _)| asked == name);
        let failed = manager.failed.as_deref() == Some(name);
        match pointer.savepoints.get(name) {
            Some(known) => Some(json!({
                "operation": name, "status": "COMPLETED", "id": known.id, "location": known.path,
            })),
            None if failed => Some(json!({
                "operation": name, "status": "FAILED", "cause": "no room",
            })),
            None => asked.then(|| json!({ "operation": name, "status": "IN_PROGRESS" })),
        }
    }
}

/// The id of every job.
pub(crate) const JOB_ID: &str = "0123456789abcdef0123456789abcdef";

fn snapshot(id: i64, at_ms: i64, operation: Option<&str>) -> SnapshotView {
    SnapshotView {
        id,
        path: format!("/s/{id}"),
        at_ms,
        operation: operation.map(str::to_owned),
        size_bytes: None,
        duration_ms: None,
    }
}

fn end(manager: &mut Manager, pointer: &Pointer, code: i32) {
    let report = JobReport {
        run_state: Some(pointer.run_state.clone()),
        deployment: Some(pointer.deployment),
        epoch: Some(pointer.epoch),
        latest: pointer.latest.clone(),
        ..JobReport::default()
    };
    let words = serde_json::to_string(&report).expect("JSON");
    manager.process = Process::Ended(code, words);
}
