//! What people do: they deploy, ask for savepoints, and judge what they get.

use std::collections::BTreeSet;

use weir_checkpoint::coordinator::Then;
use weir_checkpoint::pointer::{OperationId, RunState, SnapshotRef};
use weir_types::VertexId;

use super::{Event, Process, World, to_jm};
use crate::bug::Bug;
use crate::graph::{Place, place_of};
use crate::jobmanager::JobManager;
use crate::message::ToJm;
use crate::store::Txn;
use crate::task::{self, Position};

impl World {
    /// New processes of the next deployment replace the old ones, of which one may stay behind.
    pub(crate) fn upgrade(&mut self, leaves_one: bool) {
        let from = self.deployment;
        // One operation after the other.
        if self
            .store
            .register
            .as_ref()
            .map(|pointer| pointer.deployment)
            != Some(from)
        {
            return;
        }
        self.deployment += 1;
        let stays = if leaves_one { 1 } else { 0 };
        for jm in 0..self.plan.job_managers {
            let old = self.jms[jm].take();
            if let Some(old) = &old {
                let gone = (jm, old.life);
                self.jm_is_gone(gone);
            }
            self.paused.remove(&Process::Jm(jm));
            let life = 1_000 * u32::try_from(self.deployment).unwrap_or(0);
            let mut new = JobManager::new(jm, self.deployment, Some(from));
            new.life = life;
            self.jms[jm] = Some(Box::new(new));
            self.push(2, to_jm(jm, life, ToJm::Tick));
            if jm < stays
                && let Some(mut old) = old
            {
                let index = self.jms.len();
                old.index = index;
                old.life += 1;
                old.restart_as_candidate();
                let life = old.life;
                self.jms.push(Some(old));
                self.push(1, to_jm(index, life, ToJm::Tick));
            }
        }
    }

    /// The job has ended, as one of its leaders or a process that came later says.
    pub(crate) fn job_over(&mut self, deployment: u64, state: &RunState) {
        let newest = self
            .store
            .register
            .as_ref()
            .map(|pointer| pointer.deployment);
        if newest != Some(deployment) || !self.over.insert(deployment) {
            return;
        }
        self.note(|| format!("deployment {deployment} is over: {state:?}"));
        match state {
            RunState::Finished => {
                self.judge(state);
                self.finished = true;
            }
            RunState::Stopped(operation) => {
                self.judge(state);
                let operation = operation.clone();
                self.answer(&operation, &Ok(()));
                let leaves_one = self.rng.chance(300);
                self.upgrade(leaves_one);
            }
            // Results of the newest snapshot may wait to be committed until the job goes on.
            RunState::Cancelled => {
                let leaves_one = self.rng.chance(300);
                self.upgrade(leaves_one);
            }
            // It is started again with no state, and its results are taken away.
            RunState::Deleted if self.plan.deletes => {
                let leaves_one = self.rng.chance(300);
                self.upgrade(leaves_one);
            }
            RunState::Failed if self.plan.gives_up => {
                let leaves_one = self.rng.chance(300);
                self.upgrade(leaves_one);
            }
            other => {
                self.violate(format!("the job ended as {other:?}"));
            }
        }
    }

    /// What is visible must be what the sources had read by the newest snapshot, each record once.
    pub(super) fn judge(&mut self, state: &RunState) {
        let latest = self
            .store
            .register
            .as_ref()
            .and_then(|pointer| pointer.latest.clone());
        let Some(latest) = latest else {
            self.violate("the job has ended without a snapshot".to_owned());
            return;
        };
        let positions = match self.positions(&latest) {
            Ok(positions) => positions,
            Err(text) => {
                self.violate(text);
                return;
            }
        };
        if *state == RunState::Finished && !self.is_drained() {
            let lengths = self.plan.splits.iter().enumerate();
            let all = lengths.map(|(split, length)| (u8::try_from(split).unwrap_or(0), *length));
            let all: BTreeSet<Position> = all.filter(|(_, length)| *length > 0).collect();
            let read: BTreeSet<Position> = positions
                .iter()
                .copied()
                .filter(|(_, next)| *next > 0)
                .collect();
            if read != all {
                self.violate(format!("finished at {read:?}, the input is {all:?}"));
            }
        }
        let want = task::expected(self.plan.regions, &positions);
        let have = self.store.output();
        if want != have {
            let lost: Vec<_> = want.iter().filter(|row| !have.contains(row)).collect();
            let text = format!(
                "{state:?}: {} rows are visible, {} should be; lost {lost:?}; visible {have:?}",
                have.len(),
                want.len()
            );
            self.violate(text);
        }
        // A task that does not know yet that it is cancelled may still leave something; the next
        // restore would clean that up.
        let sinks = self.plan.parallelism_of(self.deployment)[2];
        let cleaned = |txn: &Txn| {
            let at = self.store.cleaned.get(&(txn.sink, txn.subtask % sinks));
            at.copied()
        };
        let left = self.store.pending.iter();
        let left = left.filter(|(txn, (since, _))| cleaned(txn).is_none_or(|at| *since < at));
        let left: Vec<_> = left.map(|(txn, _)| *txn).collect();
        if !left.is_empty() {
            self.violate(format!("prepared results are left behind: {left:?}"));
        }
        if let Err(text) = self.store.is_whole() {
            self.violate(text);
        }
    }

    /// Whether sources were ended by a person, and a savepoint says so: what they had not read by
    /// then nobody will.
    fn is_drained(&self) -> bool {
        let drains = self.asked.iter().map(|asked| &asked.request);
        let mut drains = drains.filter(|request| request.then == Then::Drain);
        drains.any(|request| self.store.of_operation.contains_key(&request.operation.0))
    }

    pub(super) fn positions(&self, latest: &SnapshotRef) -> Result<Vec<Position>, String> {
        let metadata = self
            .store
            .metadata(&latest.path)
            .ok_or("the newest snapshot is gone")?;
        let mut all = Vec::new();
        let sources = metadata
            .operators
            .iter()
            .filter(|o| place_of(VertexId(o.operator.0)) == Place::Source);
        for (_, state) in sources.flat_map(|operator| &operator.subtasks) {
            if let Some(raw) = &state.raw {
                all.extend(task::positions(raw)?);
            }
        }
        Ok(all)
    }

    /// People ask again until they are answered.
    pub(super) fn client(&mut self) {
        let holder = self.lease.holder;
        for index in 0..self.asked.len() {
            let asked = &mut self.asked[index];
            if asked.answered && asked.forgets > 0 {
                asked.forgets -= 1;
                let operation = asked.request.operation.clone();
                if let Some((jm, life)) = holder {
                    let delay = self.rng.between(0, 5);
                    self.push(delay, to_jm(jm, life, ToJm::Forget(operation)));
                }
                continue;
            }
            if asked.answered || asked.at > self.now {
                continue;
            }
            let mut request = asked.request.clone();
            if self.has(Bug::RequestRepeated) && request.then == Then::Continue {
                let again = self.rng.below(1 << 30);
                request.operation = OperationId(format!("{}~{again}", request.operation.0));
            }
            if let Some((jm, life)) = holder {
                let delay = self.rng.between(0, 5);
                self.push(delay, to_jm(jm, life, ToJm::Request(request)));
            }
        }
        self.push(25, Event::Client);
    }

    pub(crate) fn answer<T>(&mut self, operation: &OperationId, result: &Result<T, String>) {
        let name = operation.0.split('~').next().unwrap_or_default();
        for asked in &mut self.asked {
            if asked.request.operation.0 == name {
                if result.is_ok() && !asked.answered && self.rng.chance(300) {
                    asked.forgets = 3;
                }
                asked.refusals += u32::from(result.is_err());
                // A person gives up some time.
                asked.answered |= result.is_ok() || asked.refusals > self.plan.patience;
            }
        }
    }
}
