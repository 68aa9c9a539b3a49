//! What the writer's thread and the tier share: the database, what is on its way into it, and the
//! snapshots that are ready.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use weir_state::{ColdError, ColdSnapshot, ColdStateId};
use weir_types::CheckpointId;

use crate::error::Place;
use crate::expiry::Expiry;
use crate::folder::Folder;
use crate::options::Setup;
use crate::rest::Rest;
use crate::sst::Db;

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

    pub(crate) fn is_given_up(&self) -> bool {
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
    /// What the next snapshot that comes ahead of another one puts into the database, beside what
    /// changes until then.
    pub(crate) extra_bytes: AtomicUsize,
    /// Somebody has asked the writer not to wait for more.
    pub(crate) write_soon: AtomicBool,
    /// What each column family forgets when its files are merged. Behind the database, so that it
    /// is dropped after it.
    pub(crate) expiry: Expiry,
    /// Nobody wants the result of anything any more.
    closing: AtomicBool,
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
            extra_bytes: AtomicUsize::new(0),
            write_soon: AtomicBool::new(false),
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

    /// A change could not be written: nothing later may be.
    pub(crate) fn fail(&self, error: &ColdError) {
        *lock(&self.failure) = Some(error.clone());
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

    /// An error if nobody needs anything of what was to be done any more.
    pub(crate) fn check_open(&self, action: &'static str) -> Result<(), ColdError> {
        match self.closing.load(Ordering::Relaxed) {
            true => Err(self.place.failed(action, "the subtask ended")),
            false => Ok(()),
        }
    }

    /// An error if a snapshot is not wanted any more.
    pub(crate) fn check_wanted(&self, asked: &Asked) -> Result<(), ColdError> {
        self.check_open("copy state")?;
        match asked.is_given_up() {
            true => Err(self.place.failed("copy state", "the snapshot was given up")),
            false => Ok(()),
        }
    }

    /// Nobody needs the writer any more.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        self.rest.close();
    }

    /// Nothing will be written any more.
    pub(crate) fn end(&self) {
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

impl Shared {
    pub(crate) fn note_readers(&self) {
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
