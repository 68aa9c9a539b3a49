//! The thread that writes: it takes changes and questions for snapshots in order, and so keeps
//! them in order.
//!
//! Changes are gathered until there are enough for a file, or until somebody needs them to be
//! written. The first failure stays: everything after it fails alike, because a later change must
//! not be written when an earlier one is missing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use rocksdb::{Options, ReadOptions};
use weir_state::{
    ColdBatch, ColdError, ColdSnapshot, ColdSnapshotKind, ColdStateId, GroupBlock, SnapshotFile,
    append_entry, group_prefix, sorted_changes,
};
use weir_types::{CheckpointId, KeyGroup};

use crate::error::Place;
use crate::expiry::Expiry;
use crate::folder::Folder;
use crate::sst::{Db, SortedFiles};

/// What the writer is asked for.
pub(crate) enum Command {
    Write(ColdBatch),
    /// Write everything, then say so.
    Flush(SyncSender<Result<(), ColdError>>),
    Snapshot(CheckpointId, ColdSnapshotKind),
}

/// What the writer and the tier share.
pub(crate) struct Shared {
    pub(crate) db: Db,
    pub(crate) options: Options,
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
    /// Last, so that the database is closed before it is removed.
    pub(crate) folder: Folder,
}

/// Nothing panics while a lock is held that would leave its content half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(db: Db, options: Options, expiry: Expiry, folder: Folder) -> Self {
        Self {
            db,
            options,
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

    fn say_ready(&self, checkpoint: CheckpointId, snapshot: Result<ColdSnapshot, ColdError>) {
        lock(&self.ready).push((checkpoint, snapshot));
        self.is_ready.notify_all();
    }

    /// The result of a snapshot; none if it is not ready. Waits for it, or a moment, so that
    /// whoever asks again and again does not keep the processor busy.
    pub(crate) fn take_ready(
        &self,
        checkpoint: CheckpointId,
        wait: bool,
    ) -> Result<Option<ColdSnapshot>, ColdError> {
        const MOMENT: std::time::Duration = std::time::Duration::from_micros(200);
        let mut ready = lock(&self.ready);
        let mut waited = false;
        loop {
            // Whatever else is there was aborted.
            let found = ready.drain(..).find(|(number, _)| *number == checkpoint);
            if let Some((_, snapshot)) = found {
                return snapshot.map(Some);
            }
            if wait {
                let woken = self.is_ready.wait(ready);
                ready = woken.unwrap_or_else(PoisonError::into_inner);
            } else if waited {
                return Ok(None);
            } else {
                let woken = self.is_ready.wait_timeout(ready, MOMENT);
                ready = woken.unwrap_or_else(PoisonError::into_inner).0;
                waited = true;
            }
        }
    }
}

/// Changes that wait to be written, and what has been.
struct Writer {
    shared: Arc<Shared>,
    gathered: BTreeMap<ColdStateId, BTreeMap<KeyGroup, Vec<u8>>>,
    gathered_bytes: usize,
    /// Gather at most so much.
    file_bytes: usize,
    next_file: u64,
}

/// Runs until nobody can ask for anything any more.
pub(crate) fn run(shared: Arc<Shared>, commands: &Receiver<Command>, file_bytes: usize) {
    let mut writer = Writer {
        shared,
        gathered: BTreeMap::new(),
        gathered_bytes: 0,
        file_bytes,
        next_file: 0,
    };
    while let Ok(command) = commands.recv() {
        match command {
            Command::Write(batch) => writer.gather(batch),
            Command::Flush(reply) => {
                // Nobody may be waiting any more: the subtask was cancelled.
                drop(reply.send(writer.write_all()));
            }
            Command::Snapshot(checkpoint, kind) => writer.snapshot(checkpoint, kind),
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
        let gathered = std::mem::take(&mut self.gathered);
        let written = gathered
            .into_iter()
            .try_for_each(|(state, groups)| self.write_state(state, &groups));
        let shared = &self.shared;
        shared
            .pending_bytes
            .fetch_sub(self.gathered_bytes, Ordering::Relaxed);
        self.gathered_bytes = 0;
        shared.note_readers();
        written.inspect_err(|error| *lock(&shared.failure) = Some(error.clone()))
    }

    fn write_state(
        &mut self,
        state: ColdStateId,
        groups: &BTreeMap<KeyGroup, Vec<u8>>,
    ) -> Result<(), ColdError> {
        let shared = &*self.shared;
        let name = shared.family(state)?;
        let Some(family) = shared.db.cf_handle(&name) else {
            return Err(shared
                .place
                .failed("write a state", format!("`{name}` is gone")));
        };
        let spill = shared.folder.spill();
        let mut files =
            SortedFiles::new(&spill, &shared.place, &shared.options, &mut self.next_file);
        let (mut key, mut entries) = (Vec::new(), 0);
        for (group, block) in groups {
            key.clear();
            key.extend_from_slice(&group_prefix(*group));
            for (text, value) in sorted_changes(block)? {
                key.truncate(2);
                key.extend_from_slice(text);
                files.add(&key, value)?;
                entries += 1;
            }
        }
        shared.written_entries.fetch_add(entries, Ordering::Relaxed);
        files.ingest(&shared.db, &family)
    }

    fn snapshot(&mut self, checkpoint: CheckpointId, kind: ColdSnapshotKind) {
        let written = self.write_all();
        let shared = Arc::clone(&self.shared);
        let snapshot = match (written, kind) {
            (Err(error), _) => Err(error),
            (Ok(()), ColdSnapshotKind::Files) => shared.link_files(checkpoint),
            (Ok(()), ColdSnapshotKind::Blocks) => {
                return copy_elsewhere(&shared, checkpoint);
            }
        };
        shared.say_ready(checkpoint, snapshot);
    }
}

/// Copies all entries on another thread, so that writing goes on meanwhile.
fn copy_elsewhere(shared: &Arc<Shared>, checkpoint: CheckpointId) {
    let (frozen, is_frozen) = std::sync::mpsc::sync_channel(1);
    let copier = Arc::clone(shared);
    let copy = move || {
        let blocks = copier.copy_blocks(|| {
            // The writer waits for it.
            frozen.send(()).unwrap_or_default();
        });
        copier.say_ready(checkpoint, blocks.map(ColdSnapshot::Blocks));
    };
    let started = thread::Builder::new().name("state-copier".to_owned());
    match started.spawn(copy) {
        // What is written from here on must not be in it. No answer: it is over already.
        Ok(_) => drop(is_frozen.recv()),
        Err(error) => {
            let error = shared.place.io("start a thread that copies state")(error);
            shared.say_ready(checkpoint, Err(error));
        }
    }
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

    fn link_files(&self, checkpoint: CheckpointId) -> Result<ColdSnapshot, ColdError> {
        let folder = self.folder.checkpoint(checkpoint);
        if folder.exists() {
            let removed = fs::remove_dir_all(&folder);
            removed.map_err(self.place.io("remove the files of a snapshot before"))?;
        }
        rocksdb::checkpoint::Checkpoint::new(&self.db)
            .and_then(|links| links.create_checkpoint(&folder))
            .map_err(self.place.rocksdb("link the files of a snapshot"))?;
        let files = list_files(&folder).map_err(self.place.io("list the files of a snapshot"))?;
        Ok(ColdSnapshot::Files { folder, files })
    }

    fn copy_blocks(
        &self,
        frozen: impl FnOnce(),
    ) -> Result<Vec<(ColdStateId, Vec<GroupBlock>)>, ColdError> {
        let snapshot = self.db.snapshot();
        let names = lock(&self.families).clone();
        frozen();
        let mut states = Vec::new();
        for (state, name) in (0..).map(ColdStateId).zip(names) {
            let Some(family) = self.db.cf_handle(&name) else {
                continue;
            };
            let mut options = ReadOptions::default();
            options.fill_cache(false);
            let mut blocks = Vec::<GroupBlock>::new();
            let mut entries = snapshot.raw_iterator_cf_opt(&family, options);
            entries.seek_to_first();
            while let Some((key, value)) = entries.item() {
                let (group, text) = split_key(key)
                    .ok_or_else(|| self.place.failed("copy state", "a key has no key group"))?;
                if blocks.last().is_none_or(|last| last.group != group) {
                    if self.closing.load(Ordering::Relaxed) {
                        return Err(self.place.failed("copy state", "the subtask ended"));
                    }
                    let bytes = Vec::new();
                    blocks.push(GroupBlock { group, bytes });
                }
                if let Some(last) = blocks.last_mut() {
                    append_entry(text, value, &mut last.bytes);
                }
                entries.next();
            }
            entries.status().map_err(self.place.rocksdb("copy state"))?;
            states.push((state, blocks));
        }
        Ok(states)
    }
}

pub(crate) fn split_key(key: &[u8]) -> Option<(KeyGroup, &[u8])> {
    let (group, text) = key.split_first_chunk::<2>()?;
    Some((KeyGroup(u16::from_be_bytes(*group)), text))
}

fn list_files(folder: &Path) -> std::io::Result<Vec<SnapshotFile>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        files.push(SnapshotFile {
            bytes: entry.metadata()?.len(),
            shared: name.ends_with(".sst"),
            name,
        });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}
