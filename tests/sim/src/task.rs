//! The tasks: a source that reads splits, a count by key, and a sink that commits in two phases.
//! The aligner is the real one; all else is the shortest thing that has the same duties.

mod snapshot;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use weir_checkpoint::align::{AlignAction, AlignMode, Aligner};
use weir_checkpoint::coordinator::Then;
use weir_checkpoint::handle::{KeyedHandle, Stored, SubtaskState};
use weir_types::{
    CheckpointBarrier, CheckpointId, ExecutionAttemptId, KeyGroup, KeyGroupRange, SubtaskIndex,
    Timestamp, VertexId, subtask_of_key_group,
};

use crate::bug::Bug;
use crate::message::{Deployment, FromTask};
use crate::store::{Content, Row, Txn};
use crate::world::World;

pub(crate) const SOURCE: u128 = 1;
pub(crate) const COUNT: u128 = 2;
pub(crate) const SINK: u128 = 3;
pub(crate) const KEY_GROUPS: u32 = 8;

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
    uploads: BTreeMap<CheckpointId, Upload>,
    /// What it has uploaded and not seen completed.
    uploaded: BTreeMap<CheckpointId, Vec<String>>,
}

fn encode<T: serde::Serialize>(value: &T) -> Stored {
    Stored::Inline(postcard::to_allocvec(value).expect("plain data has an encoding"))
}

fn decode<T: serde::de::DeserializeOwned>(stored: &Stored) -> Result<T, String> {
    match stored {
        Stored::Inline(bytes) => postcard::from_bytes(bytes).map_err(|e| e.to_string()),
        Stored::Object(_) | Stored::Files(_) => Err("an object where bytes were".to_owned()),
    }
}

/// The positions that a source put into a snapshot.
pub(crate) fn positions(stored: &Stored) -> Result<Vec<Position>, String> {
    decode(stored)
}

impl Task {
    /// Restores a task. An error fails it.
    pub(crate) fn new(
        tm: usize,
        deployment: &Deployment,
        world: &mut World,
    ) -> Result<Self, String> {
        let (attempt, parallelism) = (deployment.attempt, deployment.parallelism);
        let (kind, channels) = match attempt.vertex.0 {
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
            uploads: BTreeMap::new(),
            uploaded: BTreeMap::new(),
        };
        task.restore(deployment, world)?;
        Ok(task)
    }

    fn restore(&mut self, deployment: &Deployment, world: &mut World) -> Result<(), String> {
        let Some(restore) = &deployment.restore else {
            return self.abort_others(world);
        };
        let ended = restore.ended;
        let operator = restore
            .operators
            .iter()
            .map(|(_, operator)| operator)
            .next();
        let Some(operator) = operator else {
            return Err("its operator is not in the snapshot".to_owned());
        };
        match &mut self.kind {
            Kind::Source(source) => {
                for (_, raw) in &operator.raw {
                    let mut own = positions(raw)?;
                    source.splits.append(&mut own);
                }
                source.ended = ended;
            }
            Kind::Count(count) => {
                for handle in &operator.keyed {
                    let rows = read_counts(world, &restore.base, handle, self.attempt)?;
                    let inside = |key: &u8| handle.range.contains(key_group(*key));
                    count
                        .counts
                        .extend(rows.into_iter().filter(|(key, _)| inside(key)));
                }
                if restore.own && !operator.keyed.is_empty() {
                    let handles = operator.keyed.clone();
                    // A file that was clipped is another subtask's: a base must be whole.
                    let own = own_range(self.parallelism[1], self.attempt.subtask);
                    if handles.iter().all(|handle| handle.range == own) {
                        count.base = (count.counts.clone(), handles);
                    }
                }
            }
            Kind::Sink(sink) => {
                for (_, raw) in &operator.raw {
                    let txns: Vec<Txn> = decode(raw)?;
                    let checkpoint = restore.checkpoint;
                    sink.prepared
                        .extend(txns.into_iter().map(|txn| (checkpoint, txn)));
                }
                self.commit(world, restore.checkpoint)?;
            }
        }
        self.abort_others(world)
    }

    /// Of older attempts of this sink, whatever the restored snapshot does not hold.
    fn abort_others(&self, world: &mut World) -> Result<(), String> {
        if self.attempt.vertex.0 != SINK {
            return Ok(());
        }
        if world.is_current(self.attempt) {
            world
                .store
                .cleaned
                .insert(self.attempt.subtask.0, world.now);
        }
        if !world.has(Bug::Lingering) {
            let own = (self.attempt.epoch.0, self.attempt.attempt.0);
            let sinks = self.parallelism[2];
            let subtask = self.attempt.subtask.0;
            let older =
                |txn: &Txn| (txn.epoch, txn.attempt) < own && txn.subtask % sinks == subtask;
            world.store.pending.retain(|txn, _| !older(txn));
        }
        Ok(())
    }

    /// Commits what belongs to checkpoints up to this one, which is decided.
    fn commit(&mut self, world: &mut World, id: CheckpointId) -> Result<(), String> {
        let Kind::Sink(sink) = &mut self.kind else {
            return Ok(());
        };
        let epoch = self.attempt.epoch;
        let due: Vec<Txn> = sink
            .prepared
            .iter()
            .filter(|(n, _)| *n <= id)
            .map(|(_, t)| *t)
            .collect();
        for txn in due {
            let error = world.fails(world.plan.commit_errors_per_mille);
            if error && world.has(Bug::CommitErrorSwallowed) {
                world.store.pending.remove(&txn);
            } else if error {
                return Err(format!("commit {txn:?}: the store does not answer"));
            } else {
                world.commit(txn, id, epoch)?;
            }
            sink.prepared.retain(|(_, prepared)| *prepared != txn);
        }
        Ok(())
    }

    pub(crate) fn go(&mut self, world: &mut World) {
        self.runs = true;
        world.schedule_step(self);
    }

    pub(crate) fn assign(&mut self, world: &mut World, split: Option<u8>) {
        if let Kind::Source(source) = &mut self.kind {
            source.asked = false;
            match split {
                Some(split) => source.splits.push((split, 0)),
                None => source.no_more = true,
            }
            world.schedule_step(self);
        }
    }

    /// The JobManager begins a checkpoint at a source.
    pub(crate) fn trigger(&mut self, world: &mut World, barrier: CheckpointBarrier, then: Then) {
        let Kind::Source(source) = &mut self.kind else {
            return;
        };
        if source.newest_trigger >= Some(barrier.id) {
            return;
        }
        source.newest_trigger = Some(barrier.id);
        match then {
            Then::Drain => {
                source.no_more = true;
                source.asked = false;
                source.ended = true;
                self.finish(world);
                return;
            }
            Then::Stop => source.held = Some(barrier.id),
            Then::Continue => {}
        }
        self.snapshot(world, barrier);
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

    /// A checkpoint is complete. An error fails the task.
    pub(crate) fn completed(&mut self, world: &mut World, id: CheckpointId) -> Result<(), String> {
        self.uploaded.retain(|older, _| *older > id);
        match &mut self.kind {
            Kind::Source(_) => Ok(()),
            Kind::Count(count) => {
                if let Some(base) = count.pending.remove(&id) {
                    count.base = base;
                }
                count.pending.retain(|pending, _| *pending > id);
                Ok(())
            }
            Kind::Sink(_) => {
                self.commit(world, id)?;
                world.tell(self, FromTask::Committed(id));
                Ok(())
            }
        }
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

    fn ready(&self) -> impl Iterator<Item = usize> {
        let inputs = self.inputs.iter().zip(&self.blocked).enumerate();
        inputs
            .filter(|(_, (queue, blocked))| !queue.is_empty() && !**blocked)
            .map(|(i, _)| i)
    }

    fn read(&mut self, world: &mut World) -> Result<(), String> {
        let Kind::Source(source) = &mut self.kind else {
            return Ok(());
        };
        if source.held.is_some() {
            return Ok(());
        }
        if source.ended {
            self.finish(world);
            return Ok(());
        }
        source.splits.sort_unstable();
        let lengths = &world.plan.splits;
        let open = source
            .splits
            .iter_mut()
            .find(|(split, next)| *next < lengths[usize::from(*split)]);
        if let Some((split, next)) = open {
            let key = key_of(*split, *next);
            *next += 1;
            let to = subtask_of_key_group(key_group(key), KEY_GROUPS, self.parallelism[1]);
            return self.send(world, to, Element::Row((key, 0)));
        }
        if source.no_more {
            source.ended = true;
            self.finish(world);
        } else if !source.asked {
            source.asked = true;
            world.tell(self, FromTask::NeedsSplit);
        }
        Ok(())
    }

    /// Nothing comes any more: says so, once.
    fn finish(&mut self, world: &mut World) {
        if !self.input_done {
            self.input_done = true;
            self.send_all(world, Element::End);
            world.tell(self, FromTask::InputDone);
        }
    }

    fn take(&mut self, world: &mut World) -> Result<(), String> {
        let ready: Vec<usize> = self.ready().collect();
        if ready.is_empty() {
            return Ok(());
        }
        let channel = ready[world.rng.index(ready.len())];
        let Some(element) = self.inputs[channel].pop_front() else {
            return Ok(());
        };
        let now = Timestamp(world.now * 1_000_000);
        match element {
            Element::Row(row) => self.process(world, row)?,
            Element::Barrier(barrier) => {
                let actions = self.aligner.on_barrier(now, channel, barrier);
                self.align(world, actions);
            }
            Element::End => {
                let actions = self.aligner.on_end(now, channel);
                self.align(world, actions);
                self.inputs_open = self.inputs_open.saturating_sub(1);
                if self.inputs_open == 0 {
                    self.finish(world);
                }
            }
        }
        Ok(())
    }

    fn process(&mut self, world: &mut World, (key, seen): Row) -> Result<(), String> {
        match &mut self.kind {
            Kind::Source(_) => Ok(()),
            Kind::Count(count) => {
                let seen = count.counts.entry(key).or_default();
                *seen += 1;
                let row = (key, *seen);
                self.send(
                    world,
                    u32::from(key) % self.parallelism[2],
                    Element::Row(row),
                )
            }
            Kind::Sink(sink) => {
                sink.open.push((key, seen));
                Ok(())
            }
        }
    }

    fn align(&mut self, world: &mut World, actions: Vec<AlignAction>) {
        for action in actions {
            match action {
                AlignAction::Block(channel) => self.blocked[channel] = true,
                AlignAction::UnblockAll => self.blocked.fill(false),
                AlignAction::Snapshot { barrier, .. } => self.snapshot(world, barrier),
                AlignAction::GiveUp(id) => world.tell(self, FromTask::Declined(id)),
            }
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

    fn targets(&self) -> (u128, u32) {
        match &self.kind {
            Kind::Source(_) => (COUNT, self.parallelism[1]),
            Kind::Count(_) => (SINK, self.parallelism[2]),
            Kind::Sink(_) => (0, 0),
        }
    }

    fn send_all(&mut self, world: &mut World, element: Element) {
        for to in 0..self.targets().1 {
            // A connection that is gone is noticed by whoever sends rows; this one goes with it.
            let _gone = self.send(world, to, element).is_err();
        }
    }

    /// Into a channel to the same attempt of a consumer: its name has the attempt in it.
    fn send(&mut self, world: &mut World, to: u32, element: Element) -> Result<(), String> {
        let target = ExecutionAttemptId {
            vertex: VertexId(self.targets().0),
            subtask: SubtaskIndex(to),
            ..self.attempt
        };
        let target = match world.has(Bug::AnyChannel) {
            false => target,
            true => {
                let same = |other: &&ExecutionAttemptId| {
                    (other.vertex, other.subtask) == (target.vertex, target.subtask)
                };
                world.tasks.keys().rfind(same).copied().unwrap_or(target)
            }
        };
        let Some(mut task) = world.tasks.remove(&target) else {
            return Err(format!("the channel to {target} is broken"));
        };
        if let Some(input) = task.inputs.get_mut(self.attempt.subtask.0 as usize) {
            input.push_back(element);
        }
        world.schedule_step(&mut task);
        world.tasks.insert(target, task);
        Ok(())
    }
}

fn own_range(parallelism: u32, subtask: SubtaskIndex) -> KeyGroupRange {
    KeyGroupRange::of_subtask(KEY_GROUPS, parallelism, subtask.0)
}

pub(crate) fn key_group(key: u8) -> KeyGroup {
    KeyGroup(u16::from(key) % 8)
}

/// The key of a record.
pub(crate) fn key_of(split: u8, index: u8) -> u8 {
    (split.wrapping_mul(3).wrapping_add(index.wrapping_mul(5))) % 11
}

fn read_counts(
    world: &mut World,
    base: &str,
    handle: &KeyedHandle,
    attempt: ExecutionAttemptId,
) -> Result<Vec<Row>, String> {
    let object = match &handle.stored {
        Stored::Inline(_) => return Ok(Vec::new()),
        Stored::Object(object) => object,
        Stored::Files(_) => return Err("files where counts were".to_owned()),
    };
    if world.fails(world.plan.errors_per_mille) {
        return Err("the store does not answer".to_owned());
    }
    let path = match base {
        "" => object.path.clone(),
        base => format!("{base}/{}", object.path),
    };
    match world.store.objects.get(&path).map(|object| &object.content) {
        Some(Content::Counts(rows)) => Ok(rows.clone()),
        _ if world.is_current(attempt) => {
            Err(world.violate(format!("object {path} of the restored snapshot is gone")))
        }
        _ => Err("a successor has let go of the snapshot".to_owned()),
    }
}

/// Everything that the sources had read, as a reader of the output would see it.
pub(crate) fn expected(positions: &[Position]) -> Vec<Row> {
    let mut counts: BTreeMap<u8, u32> = BTreeMap::new();
    let mut rows = Vec::new();
    let unique: BTreeSet<&Position> = positions.iter().collect();
    for (split, end) in unique {
        for index in 0..*end {
            let seen = counts.entry(key_of(*split, index)).or_default();
            *seen += 1;
            rows.push((key_of(*split, index), *seen));
        }
    }
    rows.sort_unstable();
    rows
}
