//! A leader: the driver of the real coordinator, with a model of scheduling and failover. The whole
//! job is one region, as every task exchanges records with every other.

mod acting;
mod deploying;
mod splits;
mod storing;
mod telling;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use weir_checkpoint::claim::LeaderTask;
use weir_checkpoint::coordinator::{
    Coordinator, CoordinatorConfig, Event, OperatorInfo, Participant,
};
use weir_checkpoint::handle::SnapshotMetrics;
use weir_checkpoint::metadata::CheckpointMetadata;
use weir_checkpoint::pointer::{Nonces, Pointer, PointerWriter, RunState};
use weir_graph::NodeId;
use weir_types::{CheckpointId, Epoch, ExecutionAttemptId, OperatorId, VertexId};

use crate::message::{FromTask, ToJm, ToTm};
use crate::plan::{Ms, Plan, Point};
use crate::task::{COUNT, KEY_GROUPS, SINK, SOURCE};
use crate::taskmanager::HEARTBEAT_TIMEOUT;
use crate::world::{Collector, World};

const NODE: NodeId = NodeId(0);
const CHECKPOINT_TIMEOUT: Ms = 80;
const SAVEPOINT_TIMEOUT: Ms = 120;

/// Why it leads no more.
#[derive(Clone, Debug)]
pub(super) enum Ended {
    Killed,
    Fenced,
    Over(RunState),
}

#[derive(Clone, Debug)]
enum Phase {
    /// To be deployed from then on.
    Waiting(Ms),
    Deploying(BTreeSet<ExecutionAttemptId>),
    Running,
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
    phase: Phase,
    attempt: u32,
    tms: BTreeMap<usize, Registered>,
    assigned: BTreeMap<ExecutionAttemptId, usize>,
    done: BTreeSet<ExecutionAttemptId>,
    /// Splits that no reader has.
    splits: VecDeque<u8>,
    /// Readers that wait for one.
    readers: VecDeque<ExecutionAttemptId>,
    /// Checkpoints whose enumerator is to say what it keeps.
    asked: BTreeSet<CheckpointId>,
    /// Checkpoints whose enumerator's snapshot is taken, and whose sources are not told.
    holding: BTreeSet<CheckpointId>,
    draining: bool,
    wake: Option<Ms>,
    ended: Option<Ended>,
    collects_at: Ms,
}

fn operators(parallelism: [u32; 3]) -> Vec<OperatorInfo> {
    let ids = [SOURCE, COUNT, SINK].into_iter().zip(parallelism);
    let info = |(id, parallelism)| OperatorInfo {
        operator: OperatorId(id),
        vertex: VertexId(id),
        name: String::new(),
        uid: None,
        parallelism,
        max_parallelism: KEY_GROUPS,
        source: (id == SOURCE).then_some(NODE),
    };
    ids.map(info).collect()
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
        let operators = operators(parallelism);
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
            phase: Phase::Waiting(world.now),
            attempt: 0,
            tms: BTreeMap::new(),
            assigned: BTreeMap::new(),
            done: BTreeSet::new(),
            splits: VecDeque::new(),
            readers: VecDeque::new(),
            asked: BTreeSet::new(),
            holding: BTreeSet::new(),
            draining: false,
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
        matches!(self.phase, Phase::Waiting(_))
    }

    pub(super) fn describe(&self) -> String {
        format!(
            "leads epoch {} {:?}, attempt {}, in doubt {}, pending {}, tms {:?}, done {}",
            self.epoch,
            self.phase,
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
            ToJm::Enumerator(id) => self.enumerate(world, me, id),
            ToJm::Enumerated(id, state) => {
                let result = Ok(state);
                self.feed(
                    world,
                    me,
                    Event::EnumeratorState {
                        id,
                        node: NODE,
                        result,
                    },
                );
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
        if self.assigned.values().any(|assigned| *assigned == tm) {
            self.fail(world, me, "a TaskManager is lost");
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
            FromTask::Deployed => {
                if let Phase::Deploying(waiting) = &mut self.phase
                    && waiting.remove(&attempt)
                    && waiting.is_empty()
                {
                    self.started(world, me);
                }
            }
            FromTask::Failed => self.fail(world, me, "a task has failed"),
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
                self.readers.push_back(attempt);
                self.hand_out(world, me);
            }
            FromTask::InputDone => {
                self.done.insert(attempt);
                let running = matches!(self.phase, Phase::Running);
                if running && self.done.len() == self.assigned.len() {
                    self.feed(world, me, Event::EndOfInput);
                }
            }
            FromTask::Committed(id) => self.feed(world, me, Event::Committed { id, attempt }),
        }
    }

    fn started(&mut self, world: &mut World, me: (usize, u32)) {
        self.phase = Phase::Running;
        for (attempt, tm) in self.assigned.clone() {
            self.send(world, me, tm, ToTm::Go(attempt));
        }
        let participants = self.assigned.keys().map(|attempt| Participant {
            attempt: *attempt,
            source: attempt.vertex.0 == SOURCE,
            commits: attempt.vertex.0 == SINK,
        });
        let participants = participants.collect();
        self.feed(world, me, Event::Started { participants });
    }
}
