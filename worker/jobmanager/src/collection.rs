//! The thread that deletes what no checkpoint needs any more (Flink's `CheckpointsCleaner`).
//!
//! What goes is decided by [`Upkeep`]; here is who reads, lists and deletes. It is a thread of its
//! own beside the one that completes checkpoints, as a listing of a large folder takes longer than
//! the pause between two checkpoints: what it does holds up nobody. The other thread tells it of
//! each move of the pointer through a mailbox, and when a move is under way.
//!
//! A large object whose writer was killed is not shown by a listing of objects, and takes its room
//! all the same. So what was begun is listed beside the objects and goes by the same rules: to
//! [`Upkeep`] it is an object without bytes. A store that fails at this is counted and logged; the
//! objects go all the same, and the next listing shows what has stayed.
//!
//! It deletes only while it is certain that this process leads: right before each batch it reads
//! the pointer, and between two objects it looks whether a write of the pointer has begun. Once the
//! pointer shows another epoch it never touches the store again.
//!
//! Failure story: a store that fails makes it wait, longer each time, and the job goes on; all that
//! it has not deleted is found again by a later listing, or by `weir gc`.

mod mailbox;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;
use weir_checkpoint::collector::upkeep::{Step, Upkeep, UpkeepOptions};
use weir_checkpoint::collector::{Batch, Listed, METADATA, root_name};
use weir_checkpoint::metadata;
use weir_checkpoint::pointer::{Pointer, SnapshotRef};
use weir_rpc::Collected;
use weir_storage::{ObjectPath, ObjectStore, StoreErrorKind, Unfinished};
use weir_types::{Clock, Epoch, Timestamp, causes};

pub(crate) use self::mailbox::Collector;
use self::mailbox::Mailbox;
use crate::claiming::read_pointer;
use crate::job_master::Event;
use crate::restore_point::read_snapshot;

/// The first and the longest pause after the store has failed.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// How many objects are deleted at once: a store far away takes its time for each.
const DELETES_AT_ONCE: usize = 4;

/// How many objects make another thread worth its while.
const OBJECTS_PER_THREAD: usize = 16;

/// What the collector works with.
pub(crate) struct CollectorWork {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// As the claim has written it.
    pub(crate) pointer: Pointer,
    pub(crate) options: UpkeepOptions,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) events: mpsc::Sender<Event>,
}

impl Collector {
    pub(crate) fn start(work: CollectorWork) -> std::io::Result<Self> {
        let (collector, mailbox) = Self::new();
        thread::Builder::new()
            .name("checkpoint-collector".to_owned())
            .spawn(move || Worker::new(work, mailbox).run())?;
        Ok(collector)
    }
}

/// Why a step did not succeed.
enum Trouble {
    /// The store failed: again, later.
    Store(String),
    /// Another process leads the job.
    Fenced(Epoch),
    /// The pointer has moved, or is about to: decide anew.
    Moved,
}

/// Large objects that were begun and are not finished, by their names.
type Begun = BTreeMap<String, Vec<Unfinished>>;

struct Worker {
    store: Arc<dyn ObjectStore>,
    epoch: Epoch,
    upkeep: Upkeep,
    /// As the last listing shows it.
    begun: Begun,
    clock: Arc<dyn Clock>,
    events: mpsc::Sender<Event>,
    mailbox: Arc<Mailbox>,
    pause: Duration,
    /// Since the last line in the log.
    deleted: (u64, u64),
    told: Timestamp,
}

/// How often people hear what was deleted.
const MESSAGE_INTERVAL: Duration = Duration::from_secs(60);

impl Worker {
    fn new(work: CollectorWork, mailbox: Arc<Mailbox>) -> Self {
        let CollectorWork {
            store,
            pointer,
            options,
            clock,
            events,
        } = work;
        let now = clock.now();
        Self {
            store,
            epoch: pointer.epoch,
            upkeep: Upkeep::new(pointer, options, now),
            begun: Begun::new(),
            clock,
            events,
            mailbox,
            pause: PAUSE_MIN,
            deleted: (0, 0),
            told: now,
        }
    }

    fn run(mut self) {
        loop {
            self.take_news();
            let now = self.clock.now();
            let outcome = match self.upkeep.next(now) {
                Step::Idle(_) if self.upkeep.is_clear(now) => {
                    // Whoever waits for it may have given up.
                    drop(self.events.blocking_send(Event::Cleared));
                    return;
                }
                Step::Idle(until) => {
                    let limit = until.map(|until| until.since(now));
                    if !self.mailbox.wait(limit) {
                        return;
                    }
                    continue;
                }
                step => self.carry_out(step),
            };
            match outcome {
                Ok(()) => self.pause = PAUSE_MIN,
                Err(Trouble::Moved) => {
                    if !self.mailbox.wait_until_quiet() || !self.mailbox.wait(Some(PAUSE_MIN)) {
                        return;
                    }
                }
                Err(Trouble::Store(cause)) => {
                    let seconds = self.pause.as_secs_f64();
                    tracing::warn!(
                        "old checkpoints are not deleted, again in {seconds} s: {cause}"
                    );
                    self.tell(0, 0, 1);
                    if !self.rest() {
                        return;
                    }
                }
                Err(Trouble::Fenced(epoch)) => {
                    tracing::info!("nothing is deleted any more: epoch {epoch} leads the job");
                    return;
                }
            }
        }
    }

    fn take_news(&mut self) {
        self.take_moves();
        if std::mem::take(&mut self.mailbox.lock().clear) {
            // Those that came before it are looked at before it.
            self.take_moves();
            self.upkeep.clear(self.clock.now());
        }
    }

    fn take_moves(&mut self) {
        let moves = std::mem::take(&mut self.mailbox.lock().moves);
        for (pointer, written) in moves {
            let own = |(path, metadata)| (path, Arc::unwrap_or_clone(metadata));
            let written = written.into_iter().map(own);
            self.upkeep.on_pointer(pointer, written);
        }
    }

    /// After a failure. False: there is nobody left to work for.
    fn rest(&mut self) -> bool {
        let until = self.clock.now() + self.pause;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        self.mailbox.rest(until, self.clock.as_ref())
    }

    fn carry_out(&mut self, step: Step) -> Result<(), Trouble> {
        match step {
            Step::Idle(_) => Ok(()),
            Step::ReadKept(snapshot) => self.read_kept(&snapshot),
            Step::ReadRoot(path) => self.read_root(path),
            Step::List => self.list(),
            Step::Delete(batch) => self.delete(batch),
        }
    }

    fn read_kept(&mut self, snapshot: &SnapshotRef) -> Result<(), Trouble> {
        let read = read_snapshot(self.store.as_ref(), snapshot);
        let metadata =
            read.map_err(|cause| Trouble::Store(format!("{}: {cause}", snapshot.path)))?;
        self.upkeep.on_metadata(snapshot.path.clone(), metadata);
        Ok(())
    }

    fn read_root(&mut self, path: String) -> Result<(), Trouble> {
        let name = ObjectPath::new(format!("{}/{METADATA}", root_name(&path)));
        let read = match name.map(|name| self.store.get(&name)) {
            // What is no path here lies elsewhere.
            Err(_) => None,
            Ok(Ok(bytes)) => {
                let metadata = metadata::decode(&bytes);
                Some(metadata.map_err(|error| Trouble::Store(causes(&error)))?)
            }
            Ok(Err(error)) if error.kind == StoreErrorKind::NotFound => None,
            Ok(Err(error)) => return Err(Trouble::Store(causes(&error))),
        };
        self.upkeep.on_root(path, read);
        Ok(())
    }

    fn list(&mut self) -> Result<(), Trouble> {
        let listed = self.store.list(&ObjectPath::default());
        let listed = listed.map_err(|error| Trouble::Store(causes(&error)))?;
        let mut listing: Vec<Listed> = listed
            .into_iter()
            .map(|info| Listed {
                path: info.path.as_str().to_owned(),
                size: info.size,
                modified_ms: info.modified_ms,
            })
            .collect();
        listing.extend(self.list_begun());
        // What has moved during the listing counts as before it. That the job has ended does not:
        // something may have been stored behind the listing's back, and is for the next one.
        self.take_moves();
        let (now, unix_ms) = (self.clock.now(), self.clock.unix_ms());
        self.upkeep.on_listing(now, unix_ms, &listing);
        Ok(())
    }

    fn list_begun(&mut self) -> Vec<Listed> {
        let found = self.store.list_unfinished(&ObjectPath::default());
        let found = found.unwrap_or_else(|error| {
            let cause = causes(&error);
            tracing::warn!("what killed writers have left behind is not known: {cause}");
            self.tell(0, 0, 1);
            Vec::new()
        });
        let mut listed = Vec::with_capacity(found.len());
        self.begun.clear();
        for one in found {
            let path = one.path.as_str().to_owned();
            listed.push(Listed {
                path: path.clone(),
                size: 0,
                modified_ms: one.begun_ms,
            });
            self.begun.entry(path).or_default().push(one);
        }
        listed
    }

    fn delete(&mut self, batch: Batch) -> Result<(), Trouble> {
        if let Err(trouble) = self.may_delete(&batch) {
            self.upkeep.put_back(batch.objects);
            return Err(trouble);
        }
        let outcome = self.delete_objects(batch.objects);
        let bytes = outcome.deleted.iter().map(|one| one.size).sum();
        if let Some(cause) = outcome.stays.first() {
            let uploads = outcome.stays.len();
            tracing::warn!(
                uploads,
                "what killed writers have left behind stays: {cause}"
            );
        }
        let failures = outcome.stays.len() as u64;
        self.tell(outcome.deleted.len() as u64, bytes, failures);
        let (moved, failed) = (!outcome.left.is_empty(), outcome.failed);
        self.upkeep.put_back(outcome.left);
        match failed {
            None if moved => Err(Trouble::Moved),
            None => Ok(()),
            Some((objects, cause)) => {
                self.upkeep.put_back(objects);
                Err(Trouble::Store(cause))
            }
        }
    }

    /// Whether this process leads the job, and the batch is right by the pointer as it is.
    fn may_delete(&self, batch: &Batch) -> Result<(), Trouble> {
        if !self.mailbox.is_quiet() {
            return Err(Trouble::Moved);
        }
        let read = read_pointer(self.store.as_ref());
        let pointer = read.map_err(|error| Trouble::Store(causes(&error)))?;
        match pointer {
            None => Err(Trouble::Store("the pointer is gone".to_owned())),
            Some(found) if found.epoch != self.epoch => Err(Trouble::Fenced(found.epoch)),
            Some(found) if batch.still_holds(&found) => Ok(()),
            Some(_) => Err(Trouble::Moved),
        }
    }

    fn delete_objects(&self, objects: Vec<Listed>) -> Deleted {
        let helpers = objects
            .len()
            .div_ceil(OBJECTS_PER_THREAD)
            .min(DELETES_AT_ONCE)
            - 1;
        let queue = Mutex::new(VecDeque::from(objects));
        let done = Mutex::new(Deleted::default());
        let work = || {
            while self.mailbox.is_quiet()
                && let Some(listed) = lock(&queue).pop_front()
            {
                let stays = abandon(self.store.as_ref(), &self.begun, &listed);
                let outcome = delete_one(self.store.as_ref(), &listed.path);
                let mut done = lock(&done);
                done.stays.extend(stays);
                match outcome {
                    Ok(()) => done.deleted.push(listed),
                    Err(cause) => {
                        let (failed, _) = done.failed.get_or_insert((Vec::new(), cause));
                        failed.push(listed);
                        return;
                    }
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..helpers {
                // Without help it only takes longer.
                drop(thread::Builder::new().spawn_scoped(scope, work));
            }
            work();
        });
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        let left = queue.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.left = left.into();
        done
    }

    fn tell(&mut self, objects: u64, bytes: u64, failures: u64) {
        let new = Collected {
            objects,
            bytes,
            failures,
        };
        // A driver that is gone wants no figures.
        drop(self.events.blocking_send(Event::Collected(new)));
        self.deleted = (self.deleted.0 + objects, self.deleted.1 + bytes);
        let now = self.clock.now();
        if self.deleted.0 > 0 && now.since(self.told) >= MESSAGE_INTERVAL {
            let (objects, bytes) = std::mem::take(&mut self.deleted);
            self.told = now;
            tracing::info!(
                objects,
                bytes,
                "deleted what no kept checkpoint or savepoint needs"
            );
        }
    }
}

/// What came of a batch.
#[derive(Default)]
struct Deleted {
    deleted: Vec<Listed>,
    /// Not tried, as the pointer is about to move.
    left: Vec<Listed>,
    failed: Option<(Vec<Listed>, String)>,
    /// Why something that was begun could not be abandoned.
    stays: Vec<String>,
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each is changed by one call at a time: a panic leaves nothing half-changed.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn delete_one(store: &dyn ObjectStore, path: &str) -> Result<(), String> {
    let path = ObjectPath::new(path).map_err(|error| causes(&error))?;
    store.delete(&path).map_err(|error| causes(&error))
}

/// Abandons what was begun under a name. Gives what went wrong.
fn abandon(store: &dyn ObjectStore, begun: &Begun, listed: &Listed) -> Vec<String> {
    let begun = begun.get(&listed.path).into_iter().flatten();
    // Something younger is not what was decided on.
    let begun = begun.filter(|one| one.begun_ms <= listed.modified_ms);
    let failed = begun.filter_map(|one| store.abandon(one).err());
    failed.map(|error| causes(&error)).collect()
}

#[cfg(test)]
mod tests;
