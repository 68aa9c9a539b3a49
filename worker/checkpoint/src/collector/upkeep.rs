//! The collector of a leading JobManager: what it reads, lists and deletes next.
//!
//! A leader hears of every move of the pointer, so it need not guess by age what a checkpoint under
//! way may still refer to. It deletes in two ways.
//!
//! **Released.** A checkpoint or savepoint that the pointer lets go of leaves behind what no kept
//! snapshot names. No later checkpoint may refer to that ([`super::reused_outside`]), so it goes at
//! once.
//!
//! **Swept.** What checkpoints that were given up, and earlier leaders, have left behind is found
//! in listings. An object goes when it is older than the grace period *and* was seen without need
//! before, so long ago that the fate of every checkpoint that can have written it is decided: a
//! number that was given before the first sighting is not above the newest completed one by now.
//! So neither a clock that jumps nor a checkpoint that takes long makes it delete too early.
//!
//! ```text
//!  pointer moved ─► read metadata of what is kept ─► delete what was released ─► list at times
//!        ▲                                                                            │
//!        └────────────────────── idle until the next listing ◄── delete what is ripe ◄┘
//! ```
//!
//! Whoever carries out a [`Step::Delete`] reads the pointer again right before, deletes only if
//! [`Batch::still_holds`], and not while a write of the pointer is under way.
//!
//! Pure: time comes in, and nothing is read or deleted here. All that is lost with the process is
//! found again by the next leader's sweeps.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use weir_types::{CheckpointId, Timestamp};

use super::{Batch, Contents, Listed, Marked, SweepOptions, mark, released, roots, sweep};
use crate::metadata::CheckpointMetadata;
use crate::pointer::{Pointer, SnapshotRef};

/// The objects that wait to be deleted; what is more is left to the next sweep.
const QUEUE_MAX: usize = 100_000;

/// How the collector works.
#[derive(Clone, Copy, Debug)]
pub struct UpkeepOptions {
    /// What is younger is never swept.
    pub grace: Duration,
    /// From one listing to the next.
    pub sweep_interval: Duration,
    /// From one look at what was released to the next: with many checkpoints a second, several are
    /// dealt with at once.
    pub release_interval: Duration,
    /// How many objects are deleted before the pointer is read again.
    pub batch: usize,
}

impl Default for UpkeepOptions {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(3_600),
            sweep_interval: Duration::from_secs(600),
            release_interval: Duration::from_secs(1),
            batch: 100,
        }
    }
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing until the pointer moves or this time has come; none: until the pointer moves.
    Idle(Option<Timestamp>),
    /// Read the metadata of a kept snapshot; answer with [`Upkeep::on_metadata`].
    ReadKept(SnapshotRef),
    /// Read the metadata in this folder of an open operation, if there is any; answer with
    /// [`Upkeep::on_root`].
    ReadRoot(String),
    /// List the job's state folder; answer with [`Upkeep::on_listing`].
    List,
    /// Delete these; what could not be is given back to [`Upkeep::put_back`].
    Delete(Batch),
}

/// The collector of one leader.
#[derive(Debug)]
pub struct Upkeep {
    options: UpkeepOptions,
    pointer: Pointer,
    /// How often the pointer has moved.
    moves: u64,
    contents: Contents,
    /// Folders of open operations that were looked at.
    roots_read: BTreeSet<String>,
    /// By the pointer as it is; none: something is unread.
    marked: Option<Arc<Marked>>,
    /// What snapshots that are no longer kept referred to.
    released: Vec<Listed>,
    queue: VecDeque<Listed>,
    next_sweep: Timestamp,
    next_release: Timestamp,
    sightings: Sightings,
    /// The job has ended and its checkpoints are to go: nothing writes any more.
    clearing: bool,
}

/// What was seen without need.
#[derive(Debug, Default)]
struct Sightings {
    /// It may yet be needed by what was under way.
    seen: BTreeSet<String>,
    /// How often the pointer had moved when that was seen.
    moves: u64,
    /// Not below any number that was given before; none: not known yet.
    horizon: Option<CheckpointId>,
    /// It is never needed again.
    dead: BTreeSet<String>,
}

impl Upkeep {
    /// The collector of the leader whose claim wrote this pointer.
    pub fn new(pointer: Pointer, options: UpkeepOptions, now: Timestamp) -> Self {
        Self {
            options,
            pointer,
            moves: 0,
            contents: Contents::default(),
            roots_read: BTreeSet::new(),
            marked: None,
            released: Vec::new(),
            queue: VecDeque::new(),
            // A job that comes back has more urgent things to read.
            next_sweep: now + options.sweep_interval / 10,
            next_release: now + options.release_interval,
            sightings: Sightings::default(),
            clearing: false,
        }
    }

    /// The pointer has moved, for certain. `written`: the metadata that this leader has written of
    /// what it keeps now. Every move is to be told, in order.
    pub fn on_pointer(
        &mut self,
        pointer: Pointer,
        written: impl IntoIterator<Item = (String, CheckpointMetadata)>,
    ) {
        self.contents.metadata.extend(written);
        let kept = |path: &str| pointer.retained.iter().any(|kept| kept.path == path);
        for snapshot in std::mem::take(&mut self.pointer.retained) {
            if !kept(&snapshot.path)
                && let Some(metadata) = self.contents.metadata.remove(&snapshot.path)
                && self.released.len() < QUEUE_MAX
            {
                self.released.extend(released(&snapshot, &metadata));
            }
        }
        let open = &pointer.roots;
        self.contents
            .metadata
            .retain(|path, _| kept(path) || open.iter().any(|root| root.path == *path));
        self.moves += 1;
        if self.moves >= self.sightings.moves + 2 {
            // The first move that is heard of after a listing may have been asked for before it.
            self.sightings.horizon.get_or_insert(pointer.last_id);
        }
        self.pointer = pointer;
        self.marked = None;
    }

    /// What a kept snapshot says of itself.
    pub fn on_metadata(&mut self, path: String, metadata: CheckpointMetadata) {
        self.contents.metadata.insert(path, metadata);
    }

    /// What a snapshot that an operation needs says of itself; none: it is not in the job's folder.
    pub fn on_root(&mut self, path: String, metadata: Option<CheckpointMetadata>) {
        if let Some(metadata) = metadata {
            self.contents.metadata.insert(path.clone(), metadata);
        }
        self.roots_read.insert(path);
    }

    /// The job's state folder, listed since the last step. `unix_ms` is the wall clock.
    pub fn on_listing(&mut self, now: Timestamp, unix_ms: i64, listing: &[Listed]) {
        self.next_sweep = now + self.options.sweep_interval;
        let Some(marked) = self.marks() else {
            return;
        };
        let grace_ms = i64::try_from(self.options.grace.as_millis()).unwrap_or(i64::MAX);
        let options = SweepOptions {
            now_ms: unix_ms,
            grace_ms,
            batch: usize::MAX,
        };
        let ages = SweepOptions {
            grace_ms: i64::MIN,
            ..options
        };
        let flat = |options| {
            let batches = sweep(&marked, listing, options).into_iter();
            batches.flat_map(|batch| batch.objects).collect::<Vec<_>>()
        };
        let unneeded = flat(ages);
        if self.clearing {
            return self.put_back(unneeded);
        }
        let unneeded = unneeded.into_iter().map(|listed| listed.path).collect();
        self.sightings.see(unneeded, self.moves, &self.pointer);
        let mut ripe = flat(options);
        ripe.retain(|listed| self.sightings.dead.contains(&listed.path));
        self.put_back(ripe);
    }

    /// Objects that are to go and could not be deleted: later.
    pub fn put_back(&mut self, objects: impl IntoIterator<Item = Listed>) {
        let room = QUEUE_MAX.saturating_sub(self.queue.len());
        self.queue.extend(objects.into_iter().take(room));
    }

    /// The job has ended and its pointer keeps no checkpoints: all that is not needed goes, however
    /// young it is.
    pub fn clear(&mut self, now: Timestamp) {
        self.clearing = true;
        self.next_sweep = now;
    }

    /// Whether all that is to go at the end of the job has gone. To be asked when there is nothing
    /// else to do.
    pub fn is_clear(&self, now: Timestamp) -> bool {
        self.clearing && self.queue.is_empty() && self.released.is_empty() && now < self.next_sweep
    }

    /// What to do.
    pub fn next(&mut self, now: Timestamp) -> Step {
        let deletes = self.clearing || self.pointer.latest.is_some();
        let release = !self.released.is_empty();
        let may_release = self.clearing || self.next_release <= now;
        let due = deletes
            && (!self.queue.is_empty() || self.next_sweep <= now || (release && may_release));
        if !due {
            let sweep = (deletes && !self.clearing).then_some(self.next_sweep);
            let release = release.then_some(self.next_release);
            return Step::Idle(sweep.into_iter().chain(release).min());
        }
        if let Some(step) = self.unread() {
            return step;
        }
        let Some(marked) = self.marks() else {
            return Step::Idle(None);
        };
        if may_release {
            self.next_release = now + self.options.release_interval;
            let released = std::mem::take(&mut self.released);
            self.put_back(released);
        }
        let mut objects = Vec::new();
        while objects.len() < self.options.batch.max(1)
            && let Some(listed) = self.queue.pop_front()
        {
            // Another kept checkpoint may name it, which releases it in its turn.
            if !marked.needs(&listed.path) {
                objects.push(listed);
            }
        }
        if !objects.is_empty() {
            return Step::Delete(Batch::new(&marked, objects));
        }
        if self.next_sweep <= now {
            return Step::List;
        }
        self.next(now)
    }

    fn unread(&self) -> Option<Step> {
        let (kept, open) = roots(&self.pointer);
        let known = &self.contents.metadata;
        let unread = kept.into_iter().find(|one| !known.contains_key(&one.path));
        if let Some(snapshot) = unread {
            return Some(Step::ReadKept(snapshot.clone()));
        }
        let unread = open
            .iter()
            .find(|root| !self.roots_read.contains(&root.path));
        unread.map(|root| Step::ReadRoot(root.path.clone()))
    }

    fn marks(&mut self) -> Option<Arc<Marked>> {
        if self.marked.is_none() && self.unread().is_none() {
            // Metadata of another number than the pointer says: nothing is known, nothing goes.
            self.marked = mark(&self.pointer, &self.contents).ok().map(Arc::new);
        }
        self.marked.clone()
    }
}

impl Sightings {
    /// What a listing shows that is not needed.
    fn see(&mut self, unneeded: BTreeSet<String>, moves: u64, pointer: &Pointer) {
        if self.are_decided(pointer) {
            self.dead.append(&mut self.seen);
        }
        self.dead.retain(|path| unneeded.contains(path));
        if self.seen.is_empty() {
            let fresh = unneeded.into_iter();
            let fresh = fresh.filter(|path| !self.dead.contains(path));
            self.seen = fresh.take(QUEUE_MAX).collect();
            self.moves = moves;
            self.horizon = None;
        }
    }

    /// Whether the fate of all that was under way at the sighting is known.
    fn are_decided(&self, pointer: &Pointer) -> bool {
        match (self.horizon, &pointer.latest) {
            (Some(horizon), Some(latest)) => latest.id >= horizon,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
