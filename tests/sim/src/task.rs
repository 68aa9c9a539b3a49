//! The tasks: a source that reads splits, a count by key, and a sink that commits in two phases.
//! The aligner is the real one; all else is the shortest thing that has the same duties.

mod channels;
mod committing;
mod records;
mod restoring;
mod snapshot;
mod source;

use std::collections::{BTreeMap, VecDeque};

use weir_checkpoint::align::{AlignMode, Aligner};
use weir_checkpoint::handle::{KeyedHandle, SubtaskState};
use weir_types::{CheckpointBarrier, CheckpointId, ExecutionAttemptId};

use crate::bug::Bug;
use crate::graph::{COUNT, SOURCE, place_of};
use crate::message::{Deployment, FromTask};
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

pub(crate) struct Task {
    pub(crate) attempt: ExecutionAttemptId,
    pub(crate) tm: usize,
    parallelism: [u32; 3],
    pub(crate) kind: Kind,
    inputs: Vec<VecDeque<Element>>,
    blocked: Vec<bool>,
    inputs_open: usize,
    aligner: Aligner,
    runs: bool,
    only_commits: bool,
    pub(crate) stepping: bool,
    input_done: bool,
    /// The last checkpoint is complete, and it has done what that asks of it.
    pub(crate) finished: bool,
    uploads: BTreeMap<CheckpointId, Upload>,
    /// What it has uploaded and not seen completed.
    uploaded: BTreeMap<CheckpointId, Vec<String>>,
}

impl Task {
    /// Restores a task. An error fails it.
    pub(crate) fn new(
        tm: usize,
        deployment: &Deployment,
        world: &mut World,
    ) -> Result<Self, String> {
        let (attempt, parallelism) = (deployment.attempt, deployment.parallelism);
        let (kind, channels) = match place_of(attempt.vertex) {
            SOURCE => (Kind::Source(Source::default()), 0),
            COUNT => (Kind::Count(Count::default()), parallelism[0]),
            _ => (Kind::Sink(Sink::default()), parallelism[1]),
        };
        let channels = channels as usize;
        let mut task = Self {
            attempt,
            tm,
            parallelism,
            kind,
            inputs: vec![VecDeque::new(); channels],
            blocked: vec![false; channels],
            inputs_open: channels,
            aligner: Aligner::new(channels, AlignMode::ExactlyOnce),
            runs: false,
            only_commits: deployment.only_commits,
            stepping: false,
            input_done: false,
            finished: false,
            uploads: BTreeMap::new(),
            uploaded: BTreeMap::new(),
        };
        task.restore(deployment, world)?;
        Ok(task)
    }

    pub(crate) fn go(&mut self, world: &mut World) {
        self.runs = true;
        world.schedule_step(self);
    }

    pub(crate) fn aborted(&mut self, world: &mut World, id: CheckpointId) {
        self.uploads.remove(&id);
        let actions = self.aligner.on_abort(id);
        self.align(world, actions);
        if let Kind::Source(source) = &mut self.kind
            && source.held == Some(id)
        {
            source.held = None;
        }
        if let Kind::Count(count) = &mut self.kind
            && let Some((counts, _)) = count.pending.remove(&id)
            && world.has(Bug::AbortedDirtyLost)
        {
            count.base.0 = counts;
        }
        self.discard(world, id);
        world.schedule_step(self);
    }

    /// What a task that cleans up after itself would do.
    fn discard(&mut self, world: &mut World, id: CheckpointId) {
        for path in self.uploaded.remove(&id).unwrap_or_default() {
            if world.has(Bug::TaskDiscards) {
                world.store.objects.remove(&path);
            }
        }
    }

    /// It is cancelled, or its process is.
    pub(crate) fn cancelled(mut self, world: &mut World) {
        for id in self.uploaded.keys().copied().collect::<Vec<_>>() {
            self.discard(world, id);
        }
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
                world.tell(self, FromTask::Committed(id));
            }
        }
        if last {
            self.finished = true;
            world.tell(self, FromTask::Finished);
        }
        Ok(())
    }

    /// One turn. An error fails the task.
    pub(crate) fn step(&mut self, world: &mut World) -> Result<(), String> {
        self.stepping = false;
        if !self.runs || self.only_commits {
            return Ok(());
        }
        if matches!(self.kind, Kind::Source(_)) {
            self.read(world)
        } else {
            let turns = world.rng.between(1, 3);
            for _ in 0..turns {
                self.take(world)?;
            }
            Ok(())
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
        }
        if ok {
            world.tell(self, FromTask::Acknowledged(id, Box::new(upload.state)));
            if world.has(Bug::CommitTooEarly) {
                self.commit(world, id)?;
            }
        } else {
            world.tell(self, FromTask::Declined(id));
        }
        Ok(())
    }
}
