//! The thread that writes: it takes changes and questions for snapshots in order, and so keeps
//! them in order.
//!
//! Changes are gathered until there are enough for a file, or until somebody needs them to be
//! written. The first failure stays: everything after it fails alike, because a later change must
//! not be written when an earlier one is missing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;

use weir_state::{
    ChangeSorter, ColdBatch, ColdError, ColdSnapshot, ColdSnapshotKind, ColdStateId, GiveWay,
    GroupBlock, IdleTime, REST_MAX, SnapshotFile,
};
use weir_types::{CheckpointId, KeyGroup};

use crate::beside::{self, OFTEN_BYTES};
use crate::shared::{Asked, Shared};
use crate::snapshot;
use crate::sst::{SortedFile, SortedFiles, each_change};

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
    /// Do not wait for more.
    WriteSoon,
    /// Write everything, then say so.
    Flush(SyncSender<Result<(), ColdError>>),
    Snapshot(Asked, ColdSnapshotKind),
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

impl Linked {
    fn few_bytes(&self) -> u64 {
        let files = self.files.iter().filter(|file| file.shared);
        beside::few(files.map(|file| file.bytes).sum())
    }
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
        // Nobody will read this database.
        if writer.shared.check_open("go on").is_err() {
            return;
        }
        match command {
            Command::GiveWayTo(subtask) => {
                writer.give_way = GiveWay::new(Some(subtask));
                writer.give_way.allow(REST);
            }
            Command::Write(batch) => writer.gather(batch),
            Command::WriteSoon => {
                writer.shared.write_soon.store(false, Ordering::Relaxed);
                // Whoever asks next is told.
                drop(writer.write_all());
            }
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
        written.inspect_err(|error| shared.fail(error))
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
                // Whoever restarts the subtask waits for the end.
                shared.check_open("write state")?;
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
        let gathered_bytes = self.gathered_bytes as u64;
        let no_longer = |linked: &Linked| {
            linked.beside_bytes > OFTEN_BYTES || gathered_bytes > linked.few_bytes()
        };
        if self.linked.as_ref().is_none_or(no_longer) {
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
            let again = shared.link_again((linked.by, &linked.files), checkpoint);
            if let Err(error) = again {
                // The next one is made of the database's own.
                self.linked = None;
                return Err(error);
            }
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
    let mut groups = groups.iter();
    groups.try_for_each(|(group, block)| each_change(sorter, *group, block, &mut give))
}
