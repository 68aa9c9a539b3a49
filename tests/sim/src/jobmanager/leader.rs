//! A leader: the driver of the real coordinator, with a model of scheduling and failover. The whole
//! job is one region, as every task exchanges records with every other.

mod deploying;
mod splits;
mod storing;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use weir_checkpoint::claim::LeaderTask;
use weir_checkpoint::coordinator::{
    Action, Coordinator, CoordinatorConfig, Event, FinalOutcome, OperatorInfo, Participant, Then,
};
use weir_checkpoint::handle::SnapshotMetrics;
use weir_checkpoint::metadata::CheckpointMetadata;
use weir_checkpoint::pointer::{Nonces, Pointer, PointerWriter, RunState};
use weir_graph::NodeId;
use weir_types::{CheckpointId, Epoch, ExecutionAttemptId, OperatorId, Timestamp, VertexId};

use crate::message::{FromTask, ToJm, ToTm};
use crate::plan::{Ms, Plan, Point};
use crate::task::{COUNT, KEY_GROUPS, SINK, SOURCE};
use crate::taskmanager::HEARTBEAT_TIMEOUT;
use crate::world::{Collector, World, to_jm};

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

    fn send(&self, world: &mut World, me: (usize, u32), tm: usize, message: ToTm) {
        if let Some(registered) = self.tms.get(&tm) {
            world.send_down((me.0, me.1, self.epoch), (tm, registered.reg), message);
        }
    }

    /// To a task, where it runs.
    fn send_to(
        &self,
        world: &mut World,
        me: (usize, u32),
        message: ToTm,
        attempt: ExecutionAttemptId,
    ) {
        if let Some(tm) = self.assigned.get(&attempt).copied() {
            self.send(world, me, tm, message);
        }
    }

    /// To every task.
    fn send_each(
        &self,
        world: &mut World,
        me: (usize, u32),
        message: impl Fn(ExecutionAttemptId) -> ToTm,
    ) {
        for (attempt, tm) in &self.assigned {
            self.send(world, me, *tm, message(*attempt));
        }
    }

    fn send_all(&self, world: &mut World, me: (usize, u32), message: &ToTm) {
        for tm in self.tms.keys() {
            self.send(world, me, *tm, message.clone());
        }
    }

    /// Tells the coordinator, and does what it says.
    fn feed(&mut self, world: &mut World, me: (usize, u32), event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let now = Timestamp(world.now * 1_000_000);
            let unix_ms = world.wall_offset + i64::try_from(world.now).unwrap_or(0);
            for action in self.coordinator.on_event(now, unix_ms, event) {
                if self.ended.is_some() {
                    return;
                }
                self.act(world, me, action, &mut events);
            }
        }
        let due = self
            .coordinator
            .next_wakeup()
            .map(|at| at.0.div_ceil(1_000_000));
        if let Some(due) = due
            && self.wake.is_none_or(|wake| wake > due || wake < world.now)
        {
            self.wake = Some(due);
            let delay = due.saturating_sub(world.now);
            world.push(delay, to_jm(me.0, me.1, ToJm::Wake));
        }
    }

    fn killed_at(&mut self, world: &mut World, me: (usize, u32), point: Point) -> bool {
        let killed = world.at_point(me.0, point);
        if killed {
            self.ended = Some(Ended::Killed);
        }
        killed
    }

    fn act(
        &mut self,
        world: &mut World,
        me: (usize, u32),
        action: Action,
        events: &mut VecDeque<Event>,
    ) {
        match action {
            Action::SnapshotEnumerator { id, .. } => {
                self.asked.insert(id);
                let delay = world.rng.between(0, 6);
                world.push(delay, to_jm(me.0, me.1, ToJm::Enumerator(id)));
            }
            Action::Trigger {
                barrier,
                then,
                attempts,
            } => {
                if self.killed_at(world, me, Point::Trigger) {
                    return;
                }
                world.note(|| format!("jm {} triggers {} {then:?}", me.0, barrier.id));
                self.draining |= then == Then::Drain;
                for attempt in attempts {
                    let trigger = ToTm::Trigger {
                        attempt,
                        barrier,
                        then,
                    };
                    self.send_to(world, me, trigger, attempt);
                }
                self.holding.remove(&barrier.id);
                self.hand_out(world, me);
            }
            Action::Abort { id, reason } => {
                world.note(|| format!("jm {} gives up {id}: {reason}", me.0));
                self.send_each(world, me, |attempt| ToTm::Abort { attempt, id });
                self.asked.remove(&id);
                self.holding.remove(&id);
                self.hand_out(world, me);
            }
            Action::WriteMetadata { path, metadata } => {
                if !self.killed_at(world, me, Point::WriteMetadata) {
                    storing::write_metadata(world, me, &path, metadata);
                }
            }
            Action::WritePointer(content) => {
                if !self.killed_at(world, me, Point::WritePointer) {
                    self.wanted.clone_from(&content);
                    let action = self.writer.write(*content);
                    self.write_action(world, me, Some(action), events);
                }
            }
            Action::Complete { id, .. } => {
                if !self.killed_at(world, me, Point::Complete) {
                    world.completed += 1;
                    world.note(|| format!("jm {} completes {id}", me.0));
                    self.send_each(world, me, |attempt| ToTm::Complete { attempt, id });
                }
            }
            Action::Answer { operation, result } => world.answer(&operation, &result),
            Action::End(outcome) => {
                let state = match outcome {
                    FinalOutcome::Finished => RunState::Finished,
                    FinalOutcome::Stopped(_) => self.coordinator.pointer().run_state.clone(),
                };
                self.ended = Some(Ended::Over(state));
            }
            Action::EndRecorded => {
                let state = self.coordinator.pointer().run_state.clone();
                self.ended = Some(Ended::Over(state));
            }
            Action::Fail { reason } => {
                world.note(|| format!("jm {}: {reason}", me.0));
                self.fail(world, me, "too many checkpoints failed");
            }
            Action::Fenced { reason } => {
                world.note(|| format!("jm {} is fenced: {reason}", me.0));
                self.ended = Some(Ended::Fenced);
            }
            Action::Say(_) => {}
        }
    }
}
