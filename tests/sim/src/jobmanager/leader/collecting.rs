//! The leader's collector: a thread beside all else that deletes what no checkpoint needs any more,
//! as the product's [`Upkeep`] decides. It is carried out as the product's thread does: slowly,
//! with a look at the pointer before each batch, and not while a write of the pointer is under way.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use weir_checkpoint::collector::upkeep::{Step, Upkeep, UpkeepOptions};
use weir_checkpoint::collector::{Batch, Listed};
use weir_checkpoint::metadata::CheckpointMetadata;
use weir_checkpoint::pointer::{Pointer, SnapshotRef};
use weir_jobmanager::job_master::Event;
use weir_types::{CheckpointId, Epoch, Timestamp};

use super::{Ended, Leader, Me};
use crate::bug::Bug;
use crate::message::ToJm;
use crate::plan::{CALM, Ms, Point};
use crate::world::{AtPoint, GRACE, World, to_jm};

/// What the thread does next.
#[derive(Debug)]
pub(crate) enum Collecting {
    /// It looks what there is to do, if nothing else has come since.
    Next(u64),
    ReadKept(Box<SnapshotRef>),
    ReadRoot(String),
    List,
    /// What it has listed gets to it.
    Listed(Vec<Listed>),
    /// It reads the pointer again, and deletes if that still fits.
    Check(Batch),
    /// It deletes one of these, then the next.
    Delete(VecDeque<Listed>),
}

/// What it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    /// For what it has begun, or the end of a pause.
    No,
    /// For news.
    ForNews,
    /// For the end of a write of the pointer.
    ForQuiet,
}

/// A move of the pointer, with the metadata of what it has completed.
type Move = (Pointer, Vec<(String, CheckpointMetadata)>);

pub(super) struct CollectorThread {
    upkeep: Upkeep,
    epoch: Epoch,
    moves: VecDeque<Move>,
    /// Metadata that is being written, or was, and that no pointer names.
    written: BTreeMap<CheckpointId, (String, CheckpointMetadata, bool)>,
    /// A write of the pointer is under way.
    writing: bool,
    /// The job was cancelled, and its checkpoints are to go.
    clears: bool,
    waits: Waits,
    /// How often it was said what comes next.
    turn: u64,
    closed: bool,
}

fn options() -> UpkeepOptions {
    UpkeepOptions {
        grace: Duration::from_millis(GRACE),
        sweep_interval: Duration::from_millis(60),
        release_interval: Duration::from_millis(10),
        batch: 3,
    }
}

impl CollectorThread {
    pub(super) fn new(pointer: Pointer, now: Ms) -> Self {
        Self {
            epoch: pointer.epoch,
            upkeep: Upkeep::new(pointer, options(), Timestamp(now * 1_000_000)),
            moves: VecDeque::new(),
            written: BTreeMap::new(),
            writing: false,
            clears: false,
            waits: Waits::No,
            turn: 0,
            closed: false,
        }
    }

    /// Metadata is about to be written.
    pub(super) fn writes(&mut self, path: String, metadata: &CheckpointMetadata) {
        let written = (path, metadata.clone(), false);
        self.written.insert(metadata.id, written);
    }

    pub(super) fn metadata_written(&mut self, id: CheckpointId) {
        if let Some((_, _, done)) = self.written.get_mut(&id) {
            *done = true;
        }
    }

    pub(super) fn pointer_writing(&mut self) {
        self.writing = true;
    }

    fn take_moves(&mut self) {
        for (pointer, written) in std::mem::take(&mut self.moves) {
            self.upkeep.on_pointer(pointer, written);
        }
    }

    fn take_news(&mut self, now: Timestamp) {
        self.take_moves();
        if std::mem::take(&mut self.clears) {
            self.upkeep.clear(now);
        }
    }

    /// A write of the pointer has ended. `moved`: what the pointer is since.
    fn pointer_written(&mut self, moved: Option<&Pointer>) {
        self.writing = false;
        let Some(pointer) = moved else {
            return;
        };
        let kept = |path: &str| pointer.retained.iter().any(|one| one.path == path);
        let latest = pointer.latest.as_ref().map_or(0, |latest| latest.id.0);
        let later = self.written.split_off(&CheckpointId(latest + 1));
        let written = std::mem::replace(&mut self.written, later).into_values();
        let written = written.filter(|(path, _, done)| *done && kept(path));
        let written = written.map(|(path, metadata, _)| (path, metadata));
        self.moves.push_back((pointer.clone(), written.collect()));
    }
}

impl Leader {
    /// A write of the pointer has ended; what that means for the collector. `moved`: it is another.
    pub(super) fn tell_collector(&mut self, world: &mut World, me: Me, moved: bool) {
        let pointer = moved.then(|| self.writer.current());
        self.collector.pointer_written(pointer);
        self.collector.closed |= self.fenced;
        let wakes = match self.collector.waits {
            Waits::No => false,
            Waits::ForNews => moved,
            Waits::ForQuiet => true,
        };
        if wakes {
            self.look(world, me, 1);
        }
    }

    /// The pointer keeps no checkpoints any more: the collector is to delete them.
    pub(super) fn clear(&mut self, world: &mut World, me: Me) {
        self.collector.clears = true;
        if world.has(Bug::SavepointsCleared) {
            let all: Vec<String> = world.store.objects.keys().cloned().collect();
            all.iter().for_each(|path| world.delete(path));
        }
        if self.collector.waits == Waits::ForNews {
            self.look(world, me, 1);
        }
    }

    /// Nothing is left of the checkpoints that tasks had stored when the job ended.
    fn check_cleared(&self, world: &mut World) {
        let Ok(needed) = world.store.needed() else {
            return;
        };
        let deleted = world.store.deleted_at;
        let left = world.store.objects.iter().find(|(path, object)| {
            let old = deleted.is_some_and(|at| object.modified < at);
            old && !needed.contains(*path)
        });
        if let Some(path) = left.map(|(path, _)| path.clone()) {
            world.violate(format!("{path} is left of a job that was cleared away"));
        }
    }

    fn soon(&mut self, world: &mut World, me: Me, step: Collecting, most: Ms) {
        self.collector.waits = Waits::No;
        let delay = world.rng.between(0, most);
        world.push(delay, to_jm(me.0, me.1, ToJm::Collect(step)));
    }

    /// Looks what there is to do, after so long.
    fn look(&mut self, world: &mut World, me: Me, delay: Ms) {
        self.collector.waits = Waits::No;
        self.collector.turn += 1;
        let next = Collecting::Next(self.collector.turn);
        world.push(delay, to_jm(me.0, me.1, ToJm::Collect(next)));
    }

    /// The store has failed: again, later.
    fn rest(&mut self, world: &mut World, me: Me) {
        let delay = world.rng.between(10, 60);
        self.look(world, me, delay);
    }

    /// It looks what there is to do.
    pub(super) fn collect_on(&mut self, world: &mut World, me: Me) {
        if self.collector.closed || !world.plan.collects {
            return;
        }
        let now = Timestamp(world.now * 1_000_000);
        self.collector.take_news(now);
        let step = match self.collector.upkeep.next(now) {
            Step::Idle(_) if self.collector.upkeep.is_clear(now) => {
                self.collector.closed = true;
                self.check_cleared(world);
                self.report(world, me, Event::Cleared);
                return;
            }
            Step::Idle(until) => {
                if let Some(until) = until {
                    let until = until.0.div_ceil(1_000_000);
                    self.look(world, me, until.saturating_sub(world.now).max(1));
                }
                self.collector.waits = Waits::ForNews;
                return;
            }
            Step::ReadKept(snapshot) => Collecting::ReadKept(Box::new(snapshot)),
            Step::ReadRoot(path) => Collecting::ReadRoot(path),
            Step::List => Collecting::List,
            Step::Delete(batch) => {
                if world.at_point(me.0, Point::Marked) == AtPoint::Killed {
                    self.ended = Some(Ended::Killed);
                    return;
                }
                Collecting::Check(batch)
            }
        };
        self.soon(world, me, step, 4);
    }

    pub(super) fn collect(&mut self, world: &mut World, me: Me, step: Collecting) {
        if self.collector.closed {
            return;
        }
        let errors = world.plan.errors_per_mille;
        match step {
            Collecting::Next(turn) if turn == self.collector.turn => self.collect_on(world, me),
            // Something else has come since.
            Collecting::Next(_) => {}
            _ if world.fails_for(me.0, errors) => {
                self.put_back(step);
                self.rest(world, me);
            }
            Collecting::ReadKept(snapshot) => {
                let Some(metadata) = world.store.metadata(&snapshot.path).cloned() else {
                    return self.rest(world, me);
                };
                self.collector.upkeep.on_metadata(snapshot.path, metadata);
                self.look(world, me, 0);
            }
            Collecting::ReadRoot(path) => {
                self.collector.upkeep.on_root(path, None);
                self.look(world, me, 0);
            }
            Collecting::List => {
                let listing = world.listing();
                self.soon(world, me, Collecting::Listed(listing), 10);
            }
            Collecting::Listed(listing) => self.listed(world, me, &listing),
            Collecting::Check(batch) => self.check(world, me, batch),
            Collecting::Delete(objects) => self.delete(world, me, objects),
        }
    }

    fn put_back(&mut self, step: Collecting) {
        let objects = match step {
            Collecting::Check(batch) => batch.objects,
            Collecting::Delete(objects) => objects.into(),
            _ => return,
        };
        self.collector.upkeep.put_back(objects);
    }

    fn listed(&mut self, world: &mut World, me: Me, listing: &[Listed]) {
        let (now, unix_ms) = (Timestamp(world.now * 1_000_000), world.unix_ms());
        self.collector.take_moves();
        self.collector.upkeep.on_listing(now, unix_ms, listing);
        let by_age_alone = |listed: &&Listed| {
            let grace = i64::try_from(GRACE).unwrap_or(i64::MAX);
            let old = unix_ms - listed.modified_ms > grace;
            world.has(Bug::NoGrace) || (old && world.has(Bug::AgeAlone))
        };
        let more: Vec<Listed> = listing.iter().filter(by_age_alone).cloned().collect();
        self.collector.upkeep.put_back(more);
        self.look(world, me, 0);
    }

    fn check(&mut self, world: &mut World, me: Me, batch: Batch) {
        if self.collector.writing {
            self.collector.upkeep.put_back(batch.objects);
            self.collector.waits = Waits::ForQuiet;
            return;
        }
        let Some(found) = &world.store.register else {
            self.collector.upkeep.put_back(batch.objects);
            return self.rest(world, me);
        };
        if found.epoch != self.collector.epoch {
            self.collector.closed = true;
        } else if batch.still_holds(found) {
            self.delete_soon(world, me, batch.objects.into());
        } else {
            self.collector.upkeep.put_back(batch.objects);
            self.rest(world, me);
        }
    }

    fn delete_soon(&mut self, world: &mut World, me: Me, objects: VecDeque<Listed>) {
        let slow = world.now < CALM && world.rng.chance(50);
        let delay = match slow {
            true => world.rng.between(20, 200),
            false => world.rng.between(0, 2),
        };
        let step = Collecting::Delete(objects);
        world.push(delay, to_jm(me.0, me.1, ToJm::Collect(step)));
    }

    fn delete(&mut self, world: &mut World, me: Me, mut objects: VecDeque<Listed>) {
        if self.collector.writing {
            self.collector.upkeep.put_back(objects);
            self.collector.waits = Waits::ForQuiet;
            return;
        }
        if let Some(object) = objects.pop_front() {
            world.delete(&object.path);
        }
        match objects.is_empty() {
            true => self.look(world, me, 0),
            false => self.delete_soon(world, me, objects),
        }
    }
}
