//! The tasks: a source that reads splits, a count by key, and a sink that commits in two phases.
//! The aligner is the real one; all else is the shortest thing that has the same duties.
//!
//! Its process may be killed in the middle of what a task does: at each [`Point`] of a task.

mod channels;
mod committing;
mod records;
mod restoring;
mod snapshot;
mod source;

use std::collections::{BTreeMap, VecDeque};

use weir_checkpoint::align::{AlignMode, Aligner};
use weir_checkpoint::coordinator::SnapshotFailure;
use weir_checkpoint::handle::{KeyedHandle, SnapshotMetrics, SubtaskRestore, SubtaskState};
use weir_graph::ExecutionState;
use weir_rpc::{TaskDeploymentDescriptor, TaskManagerMessage};
use weir_types::{CheckpointBarrier, CheckpointId, ExecutionAttemptId};

use crate::bug::Bug;
use crate::graph::{Parallelism, Place, place_of};
use crate::message::Event;
use crate::plan::Point;
use crate::store::{Content, Row, Txn};
use crate::world::World;

pub(crate) use records::{expected, positions};

/// After so many deltas the state is written as a whole again.
const DELTAS_MAX: usize = 3;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Element {
    Row(Row),
    Barrier(CheckpointBarrier),
    End,
}

/// A split that a source has, and the next record in it.
pub(crate) type Position = (u8, u8);

#[derive(Default)]
pub(crate) struct Source {
    pub(crate) splits: Vec<Position>,
    asked: bool,
    ended: bool,
    no_more: bool,
    /// It stands still after this savepoint's barrier.
    held: Option<CheckpointId>,
    newest_trigger: Option<CheckpointId>,
}

#[derive(Default)]
pub(crate) struct Count {
    counts: BTreeMap<u8, u32>,
    /// As in the newest checkpoint that is known to be complete, with its files.
    base: (BTreeMap<u8, u32>, Vec<KeyedHandle>),
    pending: BTreeMap<CheckpointId, (BTreeMap<u8, u32>, Vec<KeyedHandle>)>,
    /// The newest barrier that has come.
    newest: Option<CheckpointId>,
    /// How often something was written ahead.
    rounds: u32,
    ahead: Option<Box<Ahead>>,
}

/// What was written ahead of a checkpoint.
struct Ahead {
    of: CheckpointId,
    /// As they were then.
    counts: BTreeMap<u8, u32>,
    handle: KeyedHandle,
}

#[derive(Default)]
pub(crate) struct Sink {
    open: Vec<Row>,
    prepared: Vec<(CheckpointId, Txn)>,
}

pub(crate) enum Kind {
    Source(Source),
    Count(Count),
    Sink(Sink),
}

/// A snapshot on its way to the store.
struct Upload {
    state: SubtaskState,
    objects: Vec<(String, Vec<Row>)>,
}

/// A channel to a consumer. What is sent before that has connected waits.
#[derive(Default)]
struct Output {
    consumer: Option<ExecutionAttemptId>,
    waiting: Vec<Element>,
}

pub(crate) struct Task {
    pub(crate) attempt: ExecutionAttemptId,
    pub(crate) tm: usize,
    parallelism: Parallelism,
    pub(crate) kind: Kind,
    /// By channel, who writes it.
    producers: Vec<ExecutionAttemptId>,
    inputs: Vec<VecDeque<Element>>,
    blocked: Vec<bool>,
    inputs_open: usize,
    outputs: Vec<Output>,
    aligner: Aligner,
    /// What it goes on from.
    restore: Option<SubtaskRestore>,
    /// It is restored.
    runs: bool,
    pub(crate) stepping: bool,
    input_done: bool,
    /// The last checkpoint is complete, and it has done what that asks of it.
    pub(crate) finished: bool,
    uploads: BTreeMap<CheckpointId, Upload>,
    /// What it has uploaded and not seen completed.
    uploaded: BTreeMap<CheckpointId, Vec<String>>,
}

impl Task {
    /// A task that is to be restored, in its first step.
    pub(crate) fn new(
        tm: usize,
        descriptor: TaskDeploymentDescriptor,
        parallelism: Parallelism,
    ) -> Self {
        let attempt = descriptor.attempt;
        let (kind, outputs) = match place_of(attempt.vertex) {
            Place::Source => (Kind::Source(Source::default()), parallelism[1]),
            Place::Count => (Kind::Count(Count::default()), parallelism[2]),
            Place::Sink => (Kind::Sink(Sink::default()), 0),
        };
        let gates = descriptor.inputs.into_iter();
        let producers = gates.flat_map(|gate| gate.producers);
        let producers: Vec<_> = producers.map(|producer| producer.attempt).collect();
        let channels = producers.len();
        Self {
            attempt,
            tm,
            parallelism,
            kind,
            producers,
            inputs: vec![VecDeque::new(); channels],
            blocked: vec![false; channels],
            inputs_open: channels,
            outputs: (0..outputs).map(|_| Output::default()).collect(),
            aligner: Aligner::new(channels, AlignMode::ExactlyOnce),
            restore: descriptor.restore,
            runs: false,
            stepping: false,
            input_done: false,
            finished: false,
            uploads: BTreeMap::new(),
            uploaded: BTreeMap::new(),
        }
    }

    /// Tells the JobManager which state it is in.
    pub(crate) fn tell_state(&self, world: &mut World, state: ExecutionState) {
        world.tell(
            self.tm,
            TaskManagerMessage::TaskState {
                attempt: self.attempt,
                state,
                fault: None,
                metrics: None,
            },
        );
    }

    pub(crate) fn aborted(&mut self, world: &mut World, id: CheckpointId) -> Result<(), String> {
        self.uploads.remove(&id);
        let actions = self.aligner.on_abort(id);
        self.align(world, actions)?;
        if let Kind::Source(source) = &mut self.kind
            && source.held == Some(id)
        {
            source.held = None;
        }
        if let Kind::Count(count) = &mut self.kind {
            count.ahead.take_if(|ahead| ahead.of == id);
            if let Some((counts, _)) = count.pending.remove(&id)
                && world.has(Bug::AbortedDirtyLost)
            {
                count.base.0 = counts;
            }
        }
        self.discard(world, id);
        world.schedule_step(self);
        Ok(())
    }

    /// What a task that cleans up after itself would do.
    fn discard(&mut self, world: &mut World, id: CheckpointId) {
        for path in self.uploaded.remove(&id).unwrap_or_default() {
            if world.has(Bug::TaskDiscards) {
                world.store.objects.remove(&path);
            }
        }
    }

    /// It has come to another end than its last checkpoint: its consumers notice.
    pub(crate) fn gone(mut self, world: &mut World) {
        for id in self.uploaded.keys().copied().collect::<Vec<_>>() {
            self.discard(world, id);
        }
        self.break_channels(world);
    }

    /// Its process is killed. What it was storing may yet arrive.
    pub(crate) fn killed(mut self, world: &mut World) {
        for (_, upload) in std::mem::take(&mut self.uploads) {
            for (path, rows) in upload.objects {
                if world.rng.chance(300) {
                    let delay = world.rng.between(1, 100);
                    world.push(delay, Event::Put { path, rows });
                }
            }
        }
        self.break_channels(world);
    }

    /// A checkpoint is complete. An error fails the task; after the last one it has finished.
    pub(crate) fn completed(
        &mut self,
        world: &mut World,
        id: CheckpointId,
        last: bool,
    ) -> Result<(), String> {
        self.uploaded.retain(|older, _| *older > id);
        match &mut self.kind {
            Kind::Source(_) => {}
            Kind::Count(count) => {
                if let Some(base) = count.pending.remove(&id) {
                    count.base = base;
                }
                count.pending.retain(|pending, _| *pending > id);
            }
            Kind::Sink(_) => {
                self.commit(world, id)?;
                world.at_task_point(self.tm, Point::Committed)?;
                let attempt = self.attempt;
                let message = TaskManagerMessage::Committed {
                    attempt,
                    checkpoint: id,
                };
                world.tell(self.tm, message);
            }
        }
        if last {
            self.finished = true;
            self.tell_state(world, ExecutionState::Finished);
        }
        Ok(())
    }

    /// It goes on from what it is restored from.
    fn begin(&mut self, world: &mut World) -> Result<(), String> {
        let restore = self.restore.take();
        self.restored(restore.as_ref(), world)?;
        world.at_task_point(self.tm, Point::Restored)?;
        self.runs = true;
        self.tell_state(world, ExecutionState::Running);
        // What its consumers have heard before, they do not remember.
        if restore.is_some_and(|restore| restore.ended) {
            self.finish(world);
        }
        world.schedule_step(self);
        Ok(())
    }

    /// One turn. An error fails the task.
    pub(crate) fn step(&mut self, world: &mut World) -> Result<(), String> {
        self.stepping = false;
        if !self.runs {
            return self.begin(world);
        }
        if matches!(self.kind, Kind::Source(_)) {
            self.read(world)
        } else {
            let turns = world.rng.between(1, 3);
            for _ in 0..turns {
                self.take(world)?;
            }
            self.write_ahead(world)
        }?;
        if self.has_work() {
            world.schedule_step(self);
        }
        Ok(())
    }

    fn has_work(&self) -> bool {
        match &self.kind {
            Kind::Source(source) => source.held.is_none() && !source.ended && !source.asked,
            _ => self.ready().next().is_some(),
        }
    }

    /// The snapshot is stored, or could not be.
    pub(crate) fn stored(
        &mut self,
        world: &mut World,
        id: CheckpointId,
        ok: bool,
    ) -> Result<(), String> {
        let Some(upload) = self.uploads.remove(&id) else {
            return Ok(());
        };
        for (path, rows) in upload.objects {
            let now = world.now;
            self.uploaded.entry(id).or_default().push(path.clone());
            let created = world.store.create(&path, Content::Counts(rows), now);
            created.map_err(|text| world.violate(text))?;
            world.at_task_point(self.tm, Point::ObjectStored)?;
        }
        if !ok {
            self.decline(world, id);
            return Ok(());
        }
        world.at_task_point(self.tm, Point::Acknowledge)?;
        let message = TaskManagerMessage::CheckpointAcknowledged {
            attempt: self.attempt,
            checkpoint: id,
            state: upload.state,
            metrics: SnapshotMetrics::default(),
        };
        world.tell(self.tm, message);
        if world.has(Bug::CommitTooEarly) {
            self.commit(world, id)?;
        }
        Ok(())
    }

    fn decline(&self, world: &mut World, checkpoint: CheckpointId) {
        let message = TaskManagerMessage::CheckpointDeclined {
            attempt: self.attempt,
            checkpoint,
            why: SnapshotFailure::storage("it could not be stored"),
        };
        world.tell(self.tm, message);
    }
}
