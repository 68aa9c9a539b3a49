//! A JobManager's process: it stands for election, claims the job, and leads it. All decisions are
//! those of the product: its claim, JobMaster, pointer writer and collector.

mod leader;

use weir_checkpoint::claim::{
    Claim, ClaimAction, ClaimOutcome, ClaimRefused, Claimant, LeaderTask,
};
use weir_checkpoint::metadata::CheckpointMetadata;
use weir_checkpoint::pointer::{Nonces, Pointer, ReadResult, RunState};
use weir_types::{ExecutionAttemptId, JobId};

use crate::bug::Bug;
use crate::message::ToJm;
use crate::plan::{Ms, Point};
use crate::world::{AtPoint, World, to_jm};
use leader::Leader;

pub(crate) use leader::Collecting;

pub(crate) const TICK: Ms = 15;
const LEASE: Ms = 50;

/// A job that is claimed, and what is still to be read before it is led.
struct Claimed {
    pointer: Pointer,
    version: String,
    task: LeaderTask,
}

enum State {
    /// It waits to be elected.
    Candidate,
    Claiming(Box<Claim>),
    Loading(Box<Claimed>),
    Leading(Box<Leader>),
    /// It has ended for good.
    Gone,
}

pub(crate) struct JobManager {
    pub(crate) index: usize,
    pub(crate) life: u32,
    deployment: u64,
    from: Option<u64>,
    state: State,
}

impl JobManager {
    pub(crate) fn new(index: usize, deployment: u64, from: Option<u64>) -> Self {
        Self {
            index,
            life: 0,
            deployment,
            from,
            state: State::Candidate,
        }
    }

    pub(crate) fn describe(&self, now: Ms) -> String {
        let state = match &self.state {
            State::Candidate => "candidate".to_owned(),
            State::Claiming(_) => "claiming".to_owned(),
            State::Loading(_) => "loading".to_owned(),
            State::Leading(leader) => leader.describe(now),
            State::Gone => "gone".to_owned(),
        };
        format!(
            "jm {} of deployment {}: {state}",
            self.index, self.deployment
        )
    }

    /// `false`: it has ended before.
    pub(crate) fn kill(&mut self) -> bool {
        let lives = !matches!(self.state, State::Gone);
        if lives {
            self.life += 1;
            self.state = State::Candidate;
        }
        lives
    }

    /// Whether it leads the job, and this attempt is one of those that it has deployed last.
    pub(crate) fn runs(&self, attempt: ExecutionAttemptId) -> bool {
        matches!(&self.state, State::Leading(leader) if leader.runs(attempt))
    }

    pub(crate) fn restart_as_candidate(&mut self) {
        self.state = State::Candidate;
    }

    /// The process ends and is started again, as it leads no more.
    fn restart(&mut self, world: &mut World) {
        world.jm_is_gone((self.index, self.life));
        self.life += 1;
        self.state = State::Candidate;
        let delay = world.rng.between(3, 20);
        world.push(delay, to_jm(self.index, self.life, ToJm::Tick));
    }

    pub(crate) fn on_message(&mut self, world: &mut World, message: ToJm) {
        if matches!(self.state, State::Gone) {
            return;
        }
        if matches!(message, ToJm::Tick) {
            self.tick(world);
            return;
        }
        let me = (self.index, self.life);
        // Whoever does not lead has no port for TaskManagers.
        if let ToJm::Register(connection, _) = message
            && !matches!(self.state, State::Leading(_))
        {
            world.close_from_jm(connection);
            return;
        }
        match &mut self.state {
            State::Candidate | State::Gone => {}
            State::Claiming(claim) => {
                let action = match message {
                    ToJm::Swapped(result) => claim.on_swap(result),
                    ToJm::Read(result, objects_exist) => claim.on_read(result, objects_exist),
                    _ => return,
                };
                self.claim(world, action);
            }
            State::Loading(_) => {
                if let ToJm::Loaded(loaded) = message {
                    self.loaded(world, loaded);
                }
            }
            State::Leading(leader) => {
                leader.on_message(world, me, message);
                self.if_ended(world);
            }
        }
    }

    fn if_ended(&mut self, world: &mut World) {
        let State::Leading(leader) = &self.state else {
            return;
        };
        match leader.ended() {
            None => {}
            Some(leader::Ended::Killed) => world_kill(self, world),
            Some(leader::Ended::Fenced | leader::Ended::Unrecorded) => self.restart(world),
            Some(leader::Ended::Over(state)) => {
                self.state = State::Gone;
                world.jm_is_gone((self.index, self.life));
                world.job_over(self.deployment, &state);
            }
        }
    }

    fn tick(&mut self, world: &mut World) {
        let me = (self.index, self.life);
        world.push(TICK, to_jm(self.index, self.life, ToJm::Tick));
        let now = world.now;
        let lease = &mut world.lease;
        if now < lease.down_until {
            // Nobody can lead in its place; that it still does, the pointer says.
        } else if lease.holder == Some(me) {
            lease.expires = now + LEASE;
        } else if now > lease.expires && !matches!(self.state, State::Candidate) {
            // Another one was elected since, and may have led.
            self.restart(world);
            return;
        } else if now > lease.expires {
            lease.holder = Some(me);
            lease.expires = now + LEASE;
            self.stand(world);
        } else if !matches!(self.state, State::Candidate) && world.rng.chance(600) {
            // It has seen that another one was elected.
            if let State::Leading(leader) = &self.state
                && leader.is_restarting()
                && world.has(Bug::PointerCleaned)
            {
                world.store.register = None;
            }
            self.restart(world);
            return;
        }
        if let State::Leading(leader) = &mut self.state {
            leader.tick(world, me);
            self.if_ended(world);
        } else if matches!(self.state, State::Candidate)
            && world.lease.holder == Some(me)
            && now >= world.lease.down_until
        {
            self.stand(world);
        }
    }

    fn stand(&mut self, world: &mut World) {
        let claimant = Claimant {
            state_id: JobId(7),
            deployment: self.deployment,
            from_deployment: self.from,
            holder: format!("jm-{}-{}", self.index, self.life),
        };
        let (claim, first) = Claim::new(claimant, Nonces::new(world.rng.draw()));
        // A look comes first, as the product's: whoever starts the job after its checkpoints were
        // deleted starts it with no state.
        let looked_at = world.store.register.as_ref();
        let deleted = looked_at.filter(|pointer| pointer.run_state == RunState::Deleted);
        let claim = claim.anew(deleted.is_some());
        let claim = claim.looked_at(deleted.map(|pointer| pointer.nonce));
        self.state = State::Claiming(Box::new(claim));
        self.claim(world, first);
    }

    fn claim(&mut self, world: &mut World, action: ClaimAction) {
        let me = (self.index, self.life);
        match action {
            ClaimAction::Read { tries } => read(world, me, tries),
            ClaimAction::Swap { expected, content } => world.swap(me, expected, *content),
            ClaimAction::Done(outcome) => self.claimed(world, *outcome),
        }
    }

    fn claimed(&mut self, world: &mut World, outcome: ClaimOutcome) {
        let me = (self.index, self.life);
        world.note(|| format!("jm {}: {}", me.0, brief(&outcome)));
        match outcome {
            ClaimOutcome::Leads {
                pointer,
                version,
                task,
            } => {
                if world.at_point(self.index, Point::Claimed) == AtPoint::Killed {
                    world_kill(self, world);
                    return;
                }
                let claimed = Box::new(Claimed {
                    pointer: *pointer,
                    version,
                    task,
                });
                load(world, me, &claimed.pointer, 0);
                self.state = State::Loading(claimed);
            }
            ClaimOutcome::Over {
                run_state,
                mut pointer,
            } => {
                if world.has(Bug::Reanimated) {
                    pointer.epoch.0 += 1;
                    pointer.nonce = u128::from(world.rng.draw());
                    pointer.run_state = RunState::Running;
                    let version = world.store.version();
                    world.swap(me, Some(version), *pointer);
                    return;
                }
                self.state = State::Gone;
                world.job_over(self.deployment, &run_state);
            }
            ClaimOutcome::Lost { .. } => {
                self.state = State::Candidate;
                if world.lease.holder == Some(me) {
                    world.lease.holder = None;
                }
            }
            ClaimOutcome::Refused(ClaimRefused::Write { .. }) => self.restart(world),
            // The checkpoints are being deleted, or another process was quicker: it looks again.
            ClaimOutcome::Refused(ClaimRefused::Deleted { .. } | ClaimRefused::Moved)
                if world.plan.deletes =>
            {
                self.restart(world);
            }
            ClaimOutcome::Refused(ClaimRefused::Superseded { .. }) => {
                self.state = State::Gone;
                if world.lease.holder == Some(me) {
                    world.lease.expires = world.now;
                }
            }
            // A new deployment's process that comes after the one after it.
            ClaimOutcome::Refused(why) => {
                world.violate(why.to_string());
            }
        }
    }

    fn loaded(&mut self, world: &mut World, loaded: Option<Box<CheckpointMetadata>>) {
        let State::Loading(claimed) = &self.state else {
            return;
        };
        let me = (self.index, self.life);
        let mut pointer = claimed.pointer.clone();
        if loaded.is_none() && pointer.latest.is_some() {
            if !world.has(Bug::UnreadableIgnored) {
                load(world, me, &pointer, 10);
                return;
            }
            pointer.latest = None;
        }
        let State::Loading(claimed) = std::mem::replace(&mut self.state, State::Candidate) else {
            return;
        };
        let Claimed { version, task, .. } = *claimed;
        let claim = (pointer, version, task);
        match Leader::new(world, (self.deployment, me), claim, loaded) {
            Ok(leader) => {
                self.state = State::Leading(Box::new(leader));
                self.if_ended(world);
            }
            Err(text) => {
                world.violate(text);
            }
        }
    }
}

fn world_kill(process: &mut JobManager, world: &mut World) {
    world.jm_is_gone((process.index, process.life));
    process.kill();
    let delay = world.rng.between(3, 30);
    world.push(delay, to_jm(process.index, process.life, ToJm::Tick));
}

/// Reads the pointer.
fn read(world: &mut World, (jm, life): (usize, u32), tries: u32) {
    let per_mille = world.plan.errors_per_mille.max(100);
    let result = if world.fails_for(jm, per_mille) {
        ReadResult::Failed("no answer".to_owned())
    } else {
        match &world.store.register {
            None => ReadResult::Missing,
            Some(pointer) => ReadResult::Found {
                pointer: Box::new(pointer.clone()),
                version: world.store.version(),
            },
        }
    };
    let exist = !world.store.objects.is_empty();
    let delay = world.rng.between(1, 4) + u64::from(tries.min(3)) * 5;
    world.push(delay, to_jm(jm, life, ToJm::Read(result, exist)));
}

/// Reads what the job is restored from.
fn load(world: &mut World, (jm, life): (usize, u32), pointer: &Pointer, wait: Ms) {
    let loaded = match &pointer.latest {
        None => None,
        Some(_) if world.fails_for(jm, world.plan.errors_per_mille) => None,
        Some(latest) => {
            let metadata = world.store.metadata(&latest.path).cloned();
            if metadata.is_none() && world.store.epoch() == pointer.epoch {
                world.violate(format!("the metadata of {} is gone", latest.path));
            }
            metadata.map(Box::new)
        }
    };
    let delay = wait + world.rng.between(1, 4);
    world.push(delay, to_jm(jm, life, ToJm::Loaded(loaded)));
}

fn brief(outcome: &ClaimOutcome) -> String {
    match outcome {
        ClaimOutcome::Leads { pointer, task, .. } => {
            format!(
                "leads epoch {} of deployment {}: {task:?}",
                pointer.epoch, pointer.deployment
            )
        }
        other => format!("{other:?}"),
    }
}
