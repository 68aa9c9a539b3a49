//! A leader: the driver of the real coordinator, with a model of scheduling and failover.

mod acting;
mod deploying;
mod regions;
mod splits;
mod storing;
mod telling;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use weir_checkpoint::claim::LeaderTask;
use weir_checkpoint::coordinator::{Coordinator, CoordinatorConfig, Event, OperatorInfo};
use weir_checkpoint::handle::SnapshotMetrics;
use weir_checkpoint::metadata::CheckpointMetadata;
use weir_checkpoint::pointer::{Nonces, Pointer, PointerWriter, RunState};
use weir_types::{Epoch, ExecutionAttemptId, OperatorId};

use crate::graph::{COUNT, KEY_GROUPS, SINK, SOURCE, node_of, region_of, vertex_at};
use crate::message::{FromTask, ToJm, ToTm};
use crate::plan::{Ms, Plan, Point};
use crate::taskmanager::HEARTBEAT_TIMEOUT;
use crate::world::{Collector, World};
use regions::Region;

const CHECKPOINT_TIMEOUT: Ms = 80;
const SAVEPOINT_TIMEOUT: Ms = 120;

/// Why it leads no more.
#[derive(Clone, Debug)]
pub(super) enum Ended {
    Killed,
    Fenced,
    Over(RunState),
}

struct Registered {
    reg: u64,
    last_heard: Ms,
}

pub(super) struct Leader {
    epoch: Epoch,
    coordinator: Coordinator,
    writer: PointerWriter,
    /// What it was to write last.
    wanted: Box<Pointer>,
    operators: Vec<OperatorInfo>,
    parallelism: [u32; 3],
    only_commits: bool,
    regions: Vec<Region>,
    /// All of them run, and the coordinator knows.
    started: bool,
    attempt: u32,
    tms: BTreeMap<usize, Registered>,
    assigned: BTreeMap<ExecutionAttemptId, usize>,
    /// Those that have processed all their input.
    done: BTreeSet<ExecutionAttemptId>,
    /// Those that have come to their end, after the last checkpoint.
    finished: BTreeSet<ExecutionAttemptId>,
    draining: bool,
    /// Tasks were told that the last checkpoint is complete: they come to their end, whether they
    /// have said so or not.
    ending: bool,
    wake: Option<Ms>,
    ended: Option<Ended>,
    collects_at: Ms,
}

fn operators(regions: usize, parallelism: [u32; 3]) -> Vec<OperatorInfo> {
    let of_region = |region| {
        let places = [SOURCE, COUNT, SINK].into_iter().zip(parallelism);
        places.map(move |(place, parallelism)| OperatorInfo {
            operator: OperatorId(vertex_at(region, place).0),
            vertex: vertex_at(region, place),
            name: String::new(),
            uid: None,
            parallelism,
            max_parallelism: KEY_GROUPS,
            source: (place == SOURCE).then_some(node_of(region)),
        })
    };
    (0..regions).flat_map(of_region).collect()
}

fn config(plan: &Plan, operators: Vec<OperatorInfo>) -> CoordinatorConfig {
    CoordinatorConfig {
        interval: Duration::from_millis(plan.interval),
        timeout: Duration::from_millis(CHECKPOINT_TIMEOUT),
        savepoint_timeout: Duration::from_millis(SAVEPOINT_TIMEOUT),
        min_pause: Duration::ZERO,
        max_concurrent: plan.max_concurrent,
        tolerable_failures: 3,
        retained: plan.retained,
        operators,
    }
}

impl Leader {
    pub(super) fn new(
        world: &mut World,
        deployment: u64,
        (pointer, version, task): (Pointer, String, LeaderTask),
        metadata: Option<Box<CheckpointMetadata>>,
    ) -> Self {
        let parallelism = world.plan.parallelism_of(deployment);
        let operators = operators(world.plan.regions, parallelism);
        let config = config(&world.plan, operators.clone());
        let seed = world.rng.draw();
        let writer = PointerWriter::new(pointer.clone(), version, Nonces::new(!seed));
        let epoch = pointer.epoch;
        let wanted = Box::new(pointer.clone());
        let mut coordinator = Coordinator::new(config, pointer, seed);
        if let Some(metadata) = metadata {
            coordinator = coordinator.with_latest(*metadata);
        }
        Self {
            epoch,
            coordinator,
            writer,
            wanted,
            operators,
            parallelism,
            only_commits: matches!(task, LeaderTask::FinishCommits(_)),
            regions: (0..world.plan.regions)
                .map(|_| Region::new(world.now))
                .collect(),
            started: false,
            attempt: 0,
            tms: BTreeMap::new(),
            assigned: BTreeMap::new(),
            done: BTreeSet::new(),
            finished: BTreeSet::new(),
            draining: false,
            ending: false,
            wake: None,
            ended: None,
            collects_at: world.now + 50,
        }
    }

    pub(super) fn ended(&self) -> Option<Ended> {
        self.ended.clone()
    }

    pub(super) fn runs(&self, attempt: ExecutionAttemptId) -> bool {
        self.assigned.contains_key(&attempt)
    }

    pub(super) fn is_restarting(&self) -> bool {
        self.regions.iter().any(|region| region.waits().is_some())
    }

    pub(super) fn describe(&self) -> String {
        let phases = self.regions.iter().map(|region| &region.phase);
        format!(
            "leads epoch {} {:?}, attempt {}, in doubt {}, pending {}, tms {:?}, done {}",
            self.epoch,
            phases.collect::<Vec<_>>(),
            self.attempt,
            self.coordinator.in_doubt(),
            self.coordinator.history().pending_count(),
            self.tms.keys(),
            self.done.len()
        )
    }

    pub(super) fn tick(&mut self, world: &mut World, me: (usize, u32)) {
        let now = world.now;
        let silent = |tm: &Registered| now.saturating_sub(tm.last_heard) > HEARTBEAT_TIMEOUT;
        let lost: Vec<usize> = self
            .tms
            .iter()
            .filter(|(_, t)| silent(t))
            .map(|(i, _)| *i)
            .collect();
        for tm in lost {
            self.lose(world, me, tm);
        }
        for (tm, registered) in &self.tms {
            let to = (*tm, registered.reg);
            world.send_down((me.0, me.1, self.epoch), to, ToTm::Ping);
        }
        self.deploy(world, me);
        if world.plan.collects && now >= self.collects_at && !self.coordinator.in_doubt() {
            self.collects_at = now + 40;
            world.collect(Collector::Leader(me.0, me.1));
            if world.at_point(me.0, Point::Marked) {
                self.ended = Some(Ended::Killed);
            }
        }
    }

    pub(super) fn on_message(&mut self, world: &mut World, me: (usize, u32), message: ToJm) {
        match message {
            ToJm::Tick | ToJm::Loaded(_) => {}
            ToJm::Wake => {
                self.wake = None;
                self.feed(world, me, Event::Tick);
            }
            ToJm::Swapped(result) => {
                let action = self.writer.on_swap(result);
                self.write(world, me, action);
            }
            ToJm::Read(result, _) => self.read_back(world, me, result),
            ToJm::MetadataWritten(id, result) => {
                let result = result.map(|()| ("00".repeat(32), 1));
                self.feed(world, me, Event::MetadataWritten { id, result });
            }
            ToJm::Enumerator(id, region) => self.enumerate(world, me, (id, region)),
            ToJm::Enumerated(id, region, state) => {
                self.enumerated(world, me, (id, region), state);
            }
            ToJm::Request(request) => self.feed(world, me, Event::Request(request)),
            ToJm::Cancel => self.cancel(world, me),
            ToJm::Register { tm, reg } => self.register(world, me, (tm, reg)),
            ToJm::Heartbeat { tm, reg } => {
                if let Some(registered) = self.tms.get_mut(&tm)
                    && registered.reg == reg
                {
                    registered.last_heard = world.now;
                }
            }
            ToJm::CallLost { tm, reg } => {
                if self
                    .tms
                    .get(&tm)
                    .is_some_and(|registered| registered.reg == reg)
                {
                    self.lose(world, me, tm);
                }
            }
            ToJm::Task {
                reg,
                tm,
                attempt,
                told,
            } => {
                if self
                    .tms
                    .get(&tm)
                    .is_some_and(|registered| registered.reg == reg)
                {
                    self.told(world, me, attempt, told);
                }
            }
            ToJm::Collect(step) => {
                world.go_on_collecting(Collector::Leader(me.0, me.1), step);
            }
        }
    }

    fn register(&mut self, world: &mut World, me: (usize, u32), (tm, reg): (usize, u64)) {
        if self.tms.get(&tm).is_some_and(|known| known.reg != reg) {
            self.lose(world, me, tm);
        }
        let last_heard = world.now;
        self.tms.insert(tm, Registered { reg, last_heard });
        world.send_down((me.0, me.1, self.epoch), (tm, reg), ToTm::Registered);
    }

    fn lose(&mut self, world: &mut World, me: (usize, u32), tm: usize) {
        world.note(|| format!("jm {} has lost tm {tm}", me.0));
        self.tms.remove(&tm);
        let there = self.live().filter(|(_, home)| *home == tm);
        let failed: BTreeSet<usize> = there
            .map(|(attempt, _)| region_of(attempt.vertex))
            .collect();
        if !failed.is_empty() {
            self.fail(world, me, failed, "a TaskManager is lost");
        }
    }

    fn told(
        &mut self,
        world: &mut World,
        me: (usize, u32),
        attempt: ExecutionAttemptId,
        told: FromTask,
    ) {
        let current = self.assigned.keys().copied();
        let attempt = world.taken_for(attempt, current).next().unwrap_or(attempt);
        if !self.assigned.contains_key(&attempt) {
            return;
        }
        match told {
            FromTask::Deployed => self.deployed(world, me, attempt),
            FromTask::Failed => {
                let region = BTreeSet::from([region_of(attempt.vertex)]);
                self.fail(world, me, region, "a task has failed");
            }
            FromTask::Acknowledged(id, state) => {
                let event = Event::Acknowledged {
                    id,
                    attempt,
                    state: *state,
                    metrics: SnapshotMetrics::default(),
                };
                self.feed(world, me, event);
            }
            FromTask::Declined(id) => {
                let reason = "it could not be stored".to_owned();
                self.feed(
                    world,
                    me,
                    Event::Declined {
                        id,
                        attempt,
                        reason,
                    },
                );
            }
            FromTask::NeedsSplit => {
                let region = region_of(attempt.vertex);
                self.regions[region].readers.push_back(attempt);
                self.hand_out(world, me);
            }
            FromTask::InputDone => {
                self.done.insert(attempt);
                self.end_if_all_is_done(world, me);
            }
            FromTask::Committed(id) => self.feed(world, me, Event::Committed { id, attempt }),
            FromTask::Finished => {
                self.finished.insert(attempt);
            }
        }
    }
}
