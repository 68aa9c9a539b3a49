//! The thread that writes: it takes changes and questions for snapshots in order, and so keeps
//! them in order.
//!
//! Changes are gathered until there are enough for a file, or until somebody needs them to be
//! written. The first failure stays: everything after it fails alike, because a later change must
//! not be written when an earlier one is missing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use weir_state::{
    ChangeSorter, ColdBatch, ColdError, ColdSnapshot, ColdSnapshotKind, ColdStateId, GiveWay,
    GroupBlock, IdleTime, REST_MAX, SnapshotFile, group_prefix,
};
use weir_types::{CheckpointId, KeyGroup};

use crate::beside::{self, FEW_BYTES, OFTEN_BYTES};
use crate::error::Place;
use crate::expiry::Expiry;
use crate::folder::Folder;
use crate::options::Setup;
use crate::rest::Rest;
use crate::snapshot;
use crate::sst::{Db, SortedFile, SortedFiles};

/// About how long it works on a byte.
const NANOS_PER_BYTE: u64 = 9;

/// It rests no longer than this for one snapshot: the rest is the uploader's.
const REST: Duration = Duration::from_millis(2300);
const _: () = assert!(REST.as_millis() < REST_MAX.as_millis());

/// It may give way when it has written so many entries.
const PIECE_ENTRIES: u64 = 256;

/// What the writer is asked for.
pub(crate) enum Command {
    /// Give way to this subtask from now on.
    GiveWayTo(Arc<dyn IdleTime>),
    Write(ColdBatch),
    /// Write everything, then say so.
    Flush(SyncSender<Result<(), ColdError>>),
    Snapshot(Asked, ColdSnapshotKind),
}

/// A snapshot that somebody asked for, and whether he still wants it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) checkpoint: CheckpointId,
    given_up: Arc<AtomicBool>,
}

impl Asked {
    pub(crate) fn new(checkpoint: CheckpointId) -> Self {
        Self {
            checkpoint,
            given_up: Arc::default(),
        }
    }

    fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }
}

/// What the writer and the tier share.
pub(crate) struct Shared {
    pub(crate) db: Db,
    pub(crate) setup: Setup,
    pub(crate) place: Place,
    /// Names of the column families, by state.
    pub(crate) families: Mutex<Vec<String>>,
    pub(crate) pending_bytes: AtomicUsize,
    /// What each column family forgets when its files are merged. Behind the database, so that it
    /// is dropped after it.
    pub(crate) expiry: Expiry,
    /// Nobody wants the result of a copy any more.
    pub(crate) closing: AtomicBool,
    pub(crate) written_entries: AtomicU64,
    /// What the tables' indices and filters take in memory.
    pub(crate) reader_bytes: AtomicUsize,
    failure: Mutex<Option<ColdError>>,
    ready: Mutex<Vec<(CheckpointId, Result<ColdSnapshot, ColdError>)>>,
    is_ready: Condvar,
    /// The writer's thread is gone.
    ended: AtomicBool,
    pub(crate) rest: Rest,
    /// Last, so that the database is closed before it is removed.
    pub(crate) folder: Folder,
}

/// Nothing panics while a lock is held that would leave its content half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(db: Db, setup: Setup, expiry: Expiry, folder: Folder) -> Self {
        Self {
            db,
            setup,
            place: Place::new(folder.path()),
            families: Mutex::default(),
            pending_bytes: AtomicUsize::new(0),
            expiry,
            closing: AtomicBool::new(false),
            written_entries: AtomicU64::new(0),
            reader_bytes: AtomicUsize::new(0),
            failure: Mutex::default(),
            ready: Mutex::default(),
            is_ready: Condvar::new(),
            ended: AtomicBool::new(false),
            rest: Rest::default(),
            folder,
        }
    }

    pub(crate) fn failure(&self) -> Result<(), ColdError> {
        lock(&self.failure).clone().map_or(Ok(()), Err)
    }

    pub(crate) fn family(&self, state: ColdStateId) -> Result<String, ColdError> {
        let families = lock(&self.families);
        let name = families.get(state.0 as usize).cloned();
        name.ok_or_else(|| self.place.failed("find a state", "it was never opened"))
    }

    pub(crate) fn say_ready(&self, asked: &Asked, snapshot: Result<ColdSnapshot, ColdError>) {
        let mut ready = lock(&self.ready);
        // Looked at under the lock, so that nothing stays on the disk that nobody will take.
        if !asked.is_given_up() {
            ready.push((asked.checkpoint, snapshot));
            self.is_ready.notify_all();
        }
    }

    /// Nobody will take the snapshot: what makes it stops soon, and what was made of it goes.
    pub(crate) fn give_up(&self, asked: &Asked) {
        let mut ready = lock(&self.ready);
        asked.given_up.store(true, Ordering::Relaxed);
        ready.retain(|(checkpoint, _)| *checkpoint != asked.checkpoint);
    }

    /// An error if a snapshot is not wanted any more.
    pub(crate) fn check_wanted(&self, asked: &Asked) -> Result<(), ColdError> {
        let why = if self.closing.load(Ordering::Relaxed) {
            "the subtask ended"
        } else if asked.is_given_up() {
            "the snapshot was given up"
        } else {
            return Ok(());
        };
        Err(self.place.failed("copy state", why))
    }

    /// Nobody needs the writer any more.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        self.rest.close();
    }

    /// Nothing will be written any more.
    fn end(&self) {
        let _ready = lock(&self.ready);
        self.ended.store(true, Ordering::Relaxed);
        self.is_ready.notify_all();
    }

    /// The result of a snapshot; none if it is not ready, or once it is.
    pub(crate) fn take_ready(
        &self,
        checkpoint: CheckpointId,
        wait: bool,
    ) -> Result<Option<ColdSnapshot>, ColdError> {
        let mut ready = lock(&self.ready);
        loop {
            // Whatever else is there was aborted.
            let found = ready.drain(..).find(|(number, _)| *number == checkpoint);
            if let Some((_, snapshot)) = found {
                return snapshot.map(Some);
            }
            if !wait {
                return Ok(None);
            }
            if self.ended.load(Ordering::Relaxed) {
                return Err(self
                    .place
                    .failed("take a snapshot", "the writing thread ended"));
            }
            let woken = self.rest.end_while(|| self.is_ready.wait(ready));
            ready = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Changes of a state, as they came.
type Groups = BTreeMap<KeyGroup, Vec<u8>>;

/// Links to the files of the database.
struct Linked {
    files: Vec<SnapshotFile>,
    /// Whose folder they are in.
    by: CheckpointId,
    /// The newest snapshot that has them in its own.
    newest: CheckpointId,
    /// Of all files that snapshots have had beside them.
    beside_bytes: u64,
}

/// Changes that wait to be written, and what has been.
struct Writer {
    shared: Arc<Shared>,
    gathered: BTreeMap<ColdStateId, Groups>,
    gathered_bytes: usize,
    /// Gather at most so much.
    file_bytes: usize,
    next_file: u64,
    /// Links to the files that the database has, if nothing was put into it since.
    linked: Option<Linked>,
    sorter: ChangeSorter,
    give_way: GiveWay,
}

/// Even a panic must not leave anybody waiting.
impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.end();
    }
}

/// Runs until nobody can ask for anything any more.
pub(crate) fn run(shared: Arc<Shared>, commands: &Receiver<Command>, file_bytes: usize) {
    let mut writer = Writer {
        shared,
        gathered: BTreeMap::new(),
        gathered_bytes: 0,
        file_bytes,
        next_file: 0,
        linked: None,
        sorter: ChangeSorter::default(),
        give_way: GiveWay::new(None),
    };
    while let Ok(command) = commands.recv() {
        // Whoever restarts the subtask waits for its end, and nobody will read this database.
        if writer.shared.closing.load(Ordering::Relaxed) {
            return;
        }
        match command {
            Command::GiveWayTo(subtask) => {
                writer.give_way = GiveWay::new(Some(subtask));
                writer.give_way.allow(REST);
            }
            Command::Write(batch) => writer.gather(batch),
            Command::Flush(reply) => {
                // Nobody may be waiting any more: the subtask was cancelled.
                drop(reply.send(writer.write_all()));
            }
            Command::Snapshot(asked, kind) => {
                writer.snapshot(&asked, kind);
                writer.give_way.allow(REST);
            }
        }
    }
}

impl Writer {
    fn gather(&mut self, batch: ColdBatch) {
        let groups = self.gathered.entry(batch.state).or_default();
        for GroupBlock { group, bytes } in batch.blocks {
            self.gathered_bytes += bytes.len();
            let block = groups.entry(group).or_default();
            if block.is_empty() {
                *block = bytes;
            } else {
                block.extend_from_slice(&bytes);
            }
        }
        if self.gathered_bytes >= self.file_bytes {
            // Whoever asks next is told.
            drop(self.write_all());
        }
    }

    /// Writes what was gathered.
    fn write_all(&mut self) -> Result<(), ColdError> {
        self.shared.failure()?;
        if self.gathered.is_empty() {
            return Ok(());
        }
        if self.linked.take().is_some() {
            // What is merged away from now on is not to take place on the disk.
            self.shared.folder.keep(None);
        }
        let gathered = std::mem::take(&mut self.gathered);
        let nanos = self.gathered_bytes as u64 * NANOS_PER_BYTE;
        self.give_way.begin(Duration::from_nanos(nanos));
        let written = gathered
            .iter()
            .try_for_each(|(state, groups)| self.write_state(*state, groups));
        let shared = &self.shared;
        shared
            .pending_bytes
            .fetch_sub(self.gathered_bytes, Ordering::Relaxed);
        self.gathered_bytes = 0;
        shared.note_readers();
        written.inspect_err(|error| *lock(&shared.failure) = Some(error.clone()))
    }

    fn write_state(&mut self, state: ColdStateId, groups: &Groups) -> Result<(), ColdError> {
        let shared = &*self.shared;
        let name = shared.family(state)?;
        let Some(family) = shared.db.cf_handle(&name) else {
            return Err(shared
                .place
                .failed("write a state", format!("`{name}` is gone")));
        };
        let spill = shared.folder.spill();
        let compress = shared.setup.compress;
        let mut files = SortedFiles::new(&spill, &shared.place, compress, &mut self.next_file);
        let mut entries = 0;
        in_order(&mut self.sorter, groups, |key, value| {
            files.add(key, value)?;
            entries += 1;
            if entries % PIECE_ENTRIES == 0 {
                self.give_way.between_with(|time| shared.rest.take(time));
            }
            Ok(())
        })?;
        shared.written_entries.fetch_add(entries, Ordering::Relaxed);
        files.ingest(&shared.db, &family)
    }

    fn snapshot(&mut self, asked: &Asked, kind: ColdSnapshotKind) {
        if asked.is_given_up() {
            return;
        }
        let snapshot = match kind {
            ColdSnapshotKind::Files => self.snapshot_files(asked.checkpoint),
            ColdSnapshotKind::Blocks => match self.write_all() {
                Ok(()) => return snapshot::copy_elsewhere(&self.shared, asked),
                Err(error) => Err(error),
            },
        };
        self.shared.say_ready(asked, snapshot);
    }

    fn snapshot_files(&mut self, checkpoint: CheckpointId) -> Result<ColdSnapshot, ColdError> {
        self.shared.failure()?;
        let often = |linked: &Linked| linked.beside_bytes > OFTEN_BYTES;
        if self.linked.as_ref().is_none_or(often) || self.gathered_bytes > FEW_BYTES {
            self.write_all()?;
        }
        let shared = &self.shared;
        let linked = match &mut self.linked {
            Some(linked) => linked,
            none => none.insert(Linked {
                files: shared.link_files(checkpoint)?,
                by: checkpoint,
                newest: checkpoint,
                beside_bytes: 0,
            }),
        };
        let folder = shared.folder.checkpoint(checkpoint);
        if checkpoint == linked.by {
            shared.folder.want_kept();
        } else if checkpoint != linked.newest || !folder.exists() {
            shared.link_again((linked.by, &linked.files), checkpoint)?;
        }
        // Otherwise the one before was written ahead of this one.
        linked.newest = checkpoint;
        let mut files = linked.files.clone();
        for (state, groups) in &self.gathered {
            let name = beside::file_name(&shared.family(*state)?, self.next_file);
            self.next_file += 1;
            let compress = shared.setup.compress;
            let mut file = SortedFile::create(&folder.join(&name), &shared.place, compress)?;
            in_order(&mut self.sorter, groups, |key, value| file.add(key, value))?;
            let bytes = file.finish()?;
            linked.beside_bytes += bytes;
            files.push(SnapshotFile {
                name,
                bytes,
                shared: false,
                grows: false,
            });
        }
        Ok(ColdSnapshot::Files {
            folder,
            files,
            readable: self.gathered.is_empty(),
        })
    }
}

/// Gives the last change of each key, in the order of the tier's keys.
fn in_order(
    sorter: &mut ChangeSorter,
    groups: &Groups,
    mut give: impl FnMut(&[u8], Option<&[u8]>) -> Result<(), ColdError>,
) -> Result<(), ColdError> {
    let mut key = Vec::new();
    for (group, block) in groups {
        key.clear();
        key.extend_from_slice(&group_prefix(*group));
        sorter.each(block, |text, value| {
            key.truncate(2);
            key.extend_from_slice(text);
            give(&key, value)
        })?;
    }
    Ok(())
}

impl Shared {
    fn note_readers(&self) {
        let names = lock(&self.families).clone();
        let figure = |name: &String| {
            let family = self.db.cf_handle(name)?;
            let bytes = self
                .db
                .property_int_value_cf(&family, "rocksdb.estimate-table-readers-mem");
            bytes.ok().flatten()
        };
        let bytes: u64 = names.iter().filter_map(figure).sum();
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.reader_bytes.store(bytes, Ordering::Relaxed);
    }
}
