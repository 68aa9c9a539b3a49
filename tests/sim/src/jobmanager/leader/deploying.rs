//! A leader starts the job's regions, and starts them again.

use std::collections::BTreeSet;

use weir_checkpoint::coordinator::Event;
use weir_checkpoint::pointer::{RunState, SnapshotKind};
use weir_checkpoint::restore::{self, RestoreOptions, RestorePlan};
use weir_types::{AttemptNumber, ExecutionAttemptId, OperatorId, SubtaskIndex};

use super::regions::Phase;
use super::{Ended, Leader};
use crate::bug::Bug;
use crate::graph::{SOURCE, region_of, vertex_at};
use crate::message::{Deployment, ToTm};
use crate::plan::{Ms, Point};
use crate::world::World;

impl Leader {
    /// A person has cancelled the job: its tasks end, and the pointer is to say so.
    pub(super) fn cancel(&mut self, world: &mut World, me: (usize, u32)) {
        if self.ended.is_none() {
            world.note(|| format!("jm {} cancels the job", me.0));
            for region in 0..self.regions.len() {
                self.regions[region].phase = Phase::Waiting(Ms::MAX);
                self.cancel_tasks(world, me, region);
            }
            self.stand_still();
            self.feed(world, me, Event::Ended(RunState::Cancelled));
        }
    }

    /// Starts what waits from the newest snapshot, if nothing is in the way.
    pub(super) fn deploy(&mut self, world: &mut World, me: (usize, u32)) {
        let due = |region: &usize| {
            let since = self.regions[*region].waits();
            since.is_some_and(|since| since <= world.now)
        };
        let due: BTreeSet<usize> = (0..self.regions.len()).filter(due).collect();
        // What was in doubt may have ended with the news that somebody else leads.
        if due.is_empty() || self.ended.is_some() {
            return;
        }
        if self.tms.is_empty() || self.coordinator.in_doubt() || self.coordinator.is_decided() {
            return;
        }
        if world.at_point(me.0, Point::Deploy) {
            self.ended = Some(Ended::Killed);
            return;
        }
        if world.decided.contains(&self.epoch) {
            world.violate("a job of which all is committed is started again".to_owned());
            return;
        }
        let plan = match self.plan(world) {
            Ok(plan) => plan,
            Err(text) => {
                world.violate(text);
                return;
            }
        };
        let state = &self.coordinator.pointer().run_state;
        self.only_commits = matches!(state, RunState::Stopping(_));
        self.attempt += 1;
        for region in &due {
            self.rewind(world, *region, plan.as_ref());
        }
        let tms: Vec<usize> = self.tms.keys().copied().collect();
        for deployment in self.deployments(&due, plan.as_ref()) {
            let tm = tms[world.rng.index(tms.len())];
            self.assigned.insert(deployment.attempt, tm);
            self.send(world, me, tm, ToTm::Deploy(Box::new(deployment)));
        }
        for region in due {
            let all = self.assigned.keys().copied();
            let own = all.filter(|attempt| region_of(attempt.vertex) == region);
            self.regions[region].phase = Phase::Deploying(own.collect());
        }
    }

    /// A region's enumerator goes back to where the snapshot has it.
    fn rewind(&mut self, world: &World, region: usize, plan: Option<&RestorePlan>) {
        let source = OperatorId(vertex_at(region, SOURCE).0);
        let splits = match plan {
            None => world.plan.splits_of(region).collect(),
            Some(plan) => {
                let kept = plan.enumerators.get(&source);
                kept.cloned().unwrap_or_default().into()
            }
        };
        let region = &mut self.regions[region];
        if region.attempt == 0 || !world.has(Bug::SplitsNotGivenBack) {
            region.splits = splits;
        }
        region.attempt = self.attempt;
    }

    /// What the tasks of these regions need.
    fn deployments(
        &self,
        regions: &BTreeSet<usize>,
        plan: Option<&RestorePlan>,
    ) -> Vec<Deployment> {
        let operators = self.operators.iter();
        let due = operators.filter(|info| regions.contains(&region_of(info.vertex)));
        let mut deployments = Vec::new();
        for info in due {
            for subtask in (0..info.parallelism).map(SubtaskIndex) {
                let attempt = ExecutionAttemptId {
                    epoch: self.epoch,
                    vertex: info.vertex,
                    subtask,
                    attempt: AttemptNumber(self.attempt),
                };
                deployments.push(Deployment {
                    attempt,
                    parallelism: self.parallelism,
                    restore: plan.map(|plan| plan.subtask(info.vertex, subtask)),
                    only_commits: self.only_commits,
                });
            }
        }
        deployments
    }

    pub(super) fn plan(&self, world: &mut World) -> Result<Option<RestorePlan>, String> {
        let pointer = self.coordinator.pointer();
        let (latest, metadata) = (&pointer.latest, self.coordinator.latest_metadata());
        if world.store.epoch() == self.epoch {
            let newest = world
                .store
                .register
                .as_ref()
                .and_then(|pointer| pointer.latest.clone());
            let newest = newest.map(|latest| latest.id);
            let restored = metadata.map(|metadata| metadata.id);
            if newest != restored {
                return Err(format!(
                    "{restored:?} is restored, the newest is {newest:?}"
                ));
            }
        }
        let (Some(latest), Some(metadata)) = (latest, metadata) else {
            return Ok(None);
        };
        world.note(|| format!("restore {} in epoch {}", latest.path, self.epoch));
        let own = latest.kind == SnapshotKind::Checkpoint;
        let base = if own {
            String::new()
        } else {
            latest.path.clone()
        };
        let plan = restore::plan(
            metadata,
            base,
            own,
            &self.operators,
            RestoreOptions::default(),
        );
        plan.map(Some).map_err(|error| error.to_string())
    }
}
