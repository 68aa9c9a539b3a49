//! A leader starts the job, and starts it again.

use weir_checkpoint::coordinator::Event;
use weir_checkpoint::pointer::{RunState, SnapshotKind};
use weir_checkpoint::restore::{self, RestoreOptions, RestorePlan};
use weir_types::{AttemptNumber, ExecutionAttemptId, OperatorId, SubtaskIndex};

use super::{Ended, Leader, Phase};
use crate::bug::Bug;
use crate::message::{Deployment, ToTm};
use crate::plan::{Ms, Point};
use crate::task::SOURCE;
use crate::world::World;

impl Leader {
    /// Something of the job has failed: all of it starts again.
    pub(super) fn fail(&mut self, world: &mut World, me: (usize, u32), reason: &str) {
        if matches!(self.phase, Phase::Waiting(_)) || self.ended.is_some() {
            return;
        }
        world.restarts += 1;
        world.note(|| format!("jm {} restarts the job: {reason}", me.0));
        self.phase = Phase::Waiting(world.now + world.rng.between(2, 10));
        self.cancel_tasks(world, me);
        let reason = reason.to_owned();
        self.feed(world, me, Event::Interrupted { reason });
    }

    fn cancel_tasks(&mut self, world: &mut World, me: (usize, u32)) {
        let attempt = self.attempt;
        self.send_all(world, me, &ToTm::Cancel { attempt });
        self.assigned.clear();
        self.readers.clear();
        self.asked.clear();
        self.holding.clear();
        self.done.clear();
        self.draining = false;
    }

    /// A person has cancelled the job: its tasks end, and the pointer is to say so.
    pub(super) fn cancel(&mut self, world: &mut World, me: (usize, u32)) {
        if self.ended.is_none() {
            world.note(|| format!("jm {} cancels the job", me.0));
            self.phase = Phase::Waiting(Ms::MAX);
            self.cancel_tasks(world, me);
            self.feed(world, me, Event::Ended(RunState::Cancelled));
        }
    }

    /// Starts the job from the newest snapshot, if nothing is in the way.
    pub(super) fn deploy(&mut self, world: &mut World, me: (usize, u32)) {
        let Phase::Waiting(since) = self.phase else {
            return;
        };
        // What was in doubt may have ended with the news that somebody else leads.
        if self.ended.is_some() {
            return;
        }
        if since > world.now || self.tms.is_empty() || self.coordinator.in_doubt() {
            return;
        }
        if world.at_point(me.0, Point::Deploy) {
            self.ended = Some(Ended::Killed);
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
        let splits = match &plan {
            None => (0..world.plan.splits.len())
                .map(|split| u8::try_from(split).unwrap_or(0))
                .collect(),
            Some(plan) => plan
                .enumerators
                .get(&OperatorId(SOURCE))
                .cloned()
                .unwrap_or_default()
                .into(),
        };
        if self.attempt == 1 || !world.has(Bug::SplitsNotGivenBack) {
            self.splits = splits;
        }
        let mut deployments = Vec::new();
        for info in &self.operators {
            for subtask in 0..info.parallelism {
                let attempt = ExecutionAttemptId {
                    epoch: self.epoch,
                    vertex: info.vertex,
                    subtask: SubtaskIndex(subtask),
                    attempt: AttemptNumber(self.attempt),
                };
                let subtask = |plan: &RestorePlan| plan.subtask(info.vertex, SubtaskIndex(subtask));
                deployments.push(Deployment {
                    attempt,
                    parallelism: self.parallelism,
                    restore: plan.as_ref().map(subtask),
                    only_commits: self.only_commits,
                });
            }
        }
        let tms: Vec<usize> = self.tms.keys().copied().collect();
        for deployment in deployments {
            let tm = tms[world.rng.index(tms.len())];
            self.assigned.insert(deployment.attempt, tm);
            self.send(world, me, tm, ToTm::Deploy(Box::new(deployment)));
        }
        self.phase = Phase::Deploying(self.assigned.keys().copied().collect());
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
