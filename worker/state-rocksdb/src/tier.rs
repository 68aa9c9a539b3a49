//! A [`ColdTier`] of one RocksDB database: reads happen on the subtask's thread, writes are passed
//! on.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use rocksdb::{Cache, ReadOptions};
use weir_state::{
    BackendRequest, ColdBatch, ColdError, ColdSnapshot, ColdSnapshotKind, ColdStateId, ColdStats,
    ColdTier, Found, IdleTime, StateMeta, Visit,
};
use weir_types::CheckpointId;

use crate::expiry::Expiry;
use crate::folder::Folder;
use crate::options::{self, RocksDbOptions, SlotMemory};
use crate::removal::Removals;
use crate::restore;
use crate::shared::{Asked, Shared, lock};
use crate::writer::{self, Command, Limits};

/// How many commands may wait. What they hold is limited by whoever gives them.
const COMMANDS: usize = 64;

/// RocksDB's own figures: our names and its.
const FIGURES: &[(&str, &str)] = &[
    ("sst_bytes", "rocksdb.total-sst-files-size"),
    ("estimated_keys", "rocksdb.estimate-num-keys"),
    ("level0_files", "rocksdb.num-files-at-level0"),
    ("running_compactions", "rocksdb.num-running-compactions"),
    (
        "pending_compaction_bytes",
        "rocksdb.estimate-pending-compaction-bytes",
    ),
    ("table_reader_bytes", "rocksdb.estimate-table-readers-mem"),
    ("memtable_bytes", "rocksdb.cur-size-all-mem-tables"),
];

/// One database, for one operator of one subtask.
pub struct RocksDbTier {
    shared: Arc<Shared>,
    restored: Vec<StateMeta>,
    commands: Option<SyncSender<Command>>,
    writer: Option<JoinHandle<()>>,
    /// The snapshot that was asked for last.
    asked: Mutex<Option<Asked>>,
    read_keys: AtomicU64,
    cache: Cache,
}

impl RocksDbTier {
    /// Opens a database in the folder of the request's attempt, with the files it names. `tables`
    /// is what the tables over it may take.
    pub(crate) fn open(
        options: &RocksDbOptions,
        (memory, removals): (&SlotMemory, &Arc<Removals>),
        request: &BackendRequest,
        tables: usize,
    ) -> Result<Self, ColdError> {
        let folder = Folder::create(&options.folder, request, removals)?;
        let mut setup = options::database(options, memory);
        // Not into the folders that are only read.
        setup.options.set_db_log_dir(folder.path());
        let expiry = Expiry::default();
        let (db, restored) = restore::open(&folder, &setup, &expiry, request)?;
        let shared = Arc::new(Shared::new(db, setup, expiry, folder));
        *lock(&shared.families) = restored.iter().map(|meta| meta.name.clone()).collect();
        let (commands, received) = sync_channel(COMMANDS);
        let limits = Limits {
            file: (tables / 16).clamp(1, 32 << 20),
            beside: tables / 32,
        };
        let writer = thread::Builder::new().name("state-writer".to_owned());
        let writer = writer.spawn({
            let shared = Arc::clone(&shared);
            move || writer::run(shared, &received, limits)
        });
        let writer = writer.map_err(shared.place.io("start a thread that writes state"))?;
        Ok(Self {
            shared,
            restored,
            commands: Some(commands),
            writer: Some(writer),
            asked: Mutex::default(),
            read_keys: AtomicU64::new(0),
            cache: memory.cache.clone(),
        })
    }

    fn send(&self, command: Command) -> Result<(), ColdError> {
        let send = |commands: &SyncSender<Command>| match commands.try_send(command) {
            Err(TrySendError::Full(command)) => self
                .shared
                .rest
                .end_while(|| commands.send(command).is_ok()),
            sent => sent.is_ok(),
        };
        if self.commands.as_ref().is_some_and(send) {
            Ok(())
        } else {
            self.shared.failure()?;
            Err(self
                .shared
                .place
                .failed("write state", "the writing thread ended"))
        }
    }
}

impl Drop for RocksDbTier {
    fn drop(&mut self) {
        self.shared.close();
        self.commands = None;
        if let Some(writer) = self.writer.take() {
            // A panic there was reported when somebody waited for it.
            drop(writer.join());
        }
        self.shared.db.cancel_all_background_work(false);
    }
}

impl fmt::Debug for RocksDbTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RocksDbTier({})", self.shared.place.0.display())
    }
}

impl ColdTier for RocksDbTier {
    fn restored(&self) -> Vec<(StateMeta, ColdStateId)> {
        let metas = self.restored.iter().cloned();
        metas.zip((0..).map(ColdStateId)).collect()
    }

    fn open_state(&self, meta: &StateMeta) -> Result<ColdStateId, ColdError> {
        let mut families = lock(&self.shared.families);
        let known = families.iter().position(|name| *name == meta.name);
        let nth = match known {
            Some(known) => known,
            None => {
                if self.shared.db.cf_handle(&meta.name).is_none() {
                    let shared = &self.shared;
                    let options = shared.expiry.options(&meta.name, &shared.setup.options);
                    let made = shared.db.create_cf(&meta.name, &options);
                    made.map_err(self.shared.place.rocksdb("make room for a state"))?;
                }
                families.push(meta.name.clone());
                families.len() - 1
            }
        };
        Ok(ColdStateId(u32::try_from(nth).unwrap_or(u32::MAX)))
    }

    fn expire(&self, state: ColdStateId, meta: &StateMeta, until_ms: i64) {
        if let Ok(family) = self.shared.family(state) {
            self.shared.expiry.set(&family, meta, until_ms);
        }
    }

    fn write(&self, batch: ColdBatch) -> Result<(), ColdError> {
        self.shared.failure()?;
        let bytes: usize = batch.blocks.iter().map(|block| block.bytes.len()).sum();
        self.shared
            .pending_bytes
            .fetch_add(bytes, Ordering::Relaxed);
        self.send(Command::Write(batch))
    }

    fn write_soon(&self) -> Result<(), ColdError> {
        // Once is enough, however often somebody looks.
        if self.shared.write_soon.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        self.send(Command::WriteSoon)
    }

    fn flush(&self) -> Result<(), ColdError> {
        let (reply, answer) = sync_channel(1);
        self.send(Command::Flush(reply))?;
        let ended = || {
            self.shared
                .place
                .failed("write state", "the writing thread ended")
        };
        let answer = self.shared.rest.end_while(|| answer.recv());
        answer.unwrap_or_else(|_| Err(ended()))
    }

    fn give_way_to(&self, subtask: Arc<dyn IdleTime>) {
        // If the writer has ended, whoever gives it something to do is told.
        drop(self.send(Command::GiveWayTo(subtask)));
    }

    fn pending_bytes(&self) -> usize {
        self.shared.pending_bytes.load(Ordering::Relaxed)
    }

    fn memory_bytes(&self) -> usize {
        self.pending_bytes() + self.shared.reader_bytes.load(Ordering::Relaxed)
    }

    fn get(&self, state: ColdStateId, keys: &[&[u8]], found: Found) -> Result<(), ColdError> {
        let shared = &*self.shared;
        self.read_keys
            .fetch_add(keys.len() as u64, Ordering::Relaxed);
        let failed = shared.place.rocksdb("read state");
        let name = shared.family(state)?;
        let Some(family) = shared.db.cf_handle(&name) else {
            return Err(shared
                .place
                .failed("read state", format!("`{name}` is gone")));
        };
        if let [key] = keys {
            if let Some(value) = shared.db.get_pinned_cf(&family, key).map_err(failed)? {
                found(0, &value)?;
            }
            return Ok(());
        }
        let values = shared
            .db
            .batched_multi_get_cf(&family, keys.iter().copied(), true);
        for (nth, value) in values.into_iter().enumerate() {
            if let Some(value) = value.map_err(&failed)? {
                found(nth, &value)?;
            }
        }
        Ok(())
    }

    fn scan(
        &self,
        state: ColdStateId,
        prefix: &[u8],
        from: &[u8],
        visit: Visit,
    ) -> Result<(), ColdError> {
        let shared = &*self.shared;
        self.read_keys.fetch_add(1, Ordering::Relaxed);
        let name = shared.family(state)?;
        let Some(family) = shared.db.cf_handle(&name) else {
            return Err(shared
                .place
                .failed("read state", format!("`{name}` is gone")));
        };
        let mut options = ReadOptions::default();
        if let Some(end) = behind(prefix) {
            options.set_iterate_upper_bound(end);
        }
        let mut entries = shared.db.raw_iterator_cf_opt(&family, options);
        entries.seek(from);
        while let Some((key, value)) = entries.item() {
            if !visit(key, value)? {
                return Ok(());
            }
            entries.next();
        }
        entries.status().map_err(shared.place.rocksdb("read state"))
    }

    fn snapshot_begin(
        &self,
        checkpoint: CheckpointId,
        kind: ColdSnapshotKind,
    ) -> Result<(), ColdError> {
        let asked = Asked::new(checkpoint);
        *lock(&self.asked) = Some(asked.clone());
        self.send(Command::Snapshot(asked, kind))
    }

    fn ahead_extra_bytes(&self) -> usize {
        self.shared.extra_bytes.load(Ordering::Relaxed)
    }

    fn snapshot_take(&self, wait: bool) -> Result<Option<ColdSnapshot>, ColdError> {
        let asked = lock(&self.asked).as_ref().map(|asked| asked.checkpoint);
        match asked {
            Some(checkpoint) => self.shared.take_ready(checkpoint, wait),
            None => Ok(None),
        }
    }

    fn confirm(&self, checkpoint: CheckpointId) {
        self.shared
            .folder
            .remove_checkpoints(|other| other <= checkpoint);
    }

    fn abort(&self, checkpoint: CheckpointId) {
        let asked = lock(&self.asked).take_if(|asked| asked.checkpoint == checkpoint);
        if let Some(asked) = asked {
            self.shared.give_up(&asked);
        }
        self.shared
            .folder
            .remove_checkpoints(|other| other == checkpoint);
    }

    fn stats(&self) -> ColdStats {
        let shared = &*self.shared;
        let names = lock(&shared.families).clone();
        let figure = |property: &str| -> u64 {
            let of = |name: &String| {
                let family = shared.db.cf_handle(name)?;
                let value = shared.db.property_int_value_cf(&family, property);
                value.ok().flatten()
            };
            names.iter().filter_map(of).sum()
        };
        let figures = FIGURES
            .iter()
            .map(|(name, property)| (*name, figure(property)));
        let cache = ("block_cache_bytes", self.cache.get_usage() as u64);
        ColdStats {
            pending_bytes: self.pending_bytes() as u64,
            written_entries: shared.written_entries.load(Ordering::Relaxed),
            read_keys: self.read_keys.load(Ordering::Relaxed),
            figures: figures.chain([cache]).collect(),
        }
    }
}

/// The smallest key behind all that begin so; none if there is none.
fn behind(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut end = prefix.get(..=last)?.to_vec();
    if let Some(byte) = end.last_mut() {
        *byte += 1;
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_ends_behind_the_last_key_that_begins_so() {
        assert_eq!(behind(&[0, 7]), Some(vec![0, 8]));
        assert_eq!(behind(&[0, 255]), Some(vec![1]));
        assert_eq!(behind(&[255, 255]), None);
    }
}
