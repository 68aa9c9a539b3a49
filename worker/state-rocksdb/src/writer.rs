//! The thread that writes: it takes changes and questions for snapshots in order, and so keeps
//! them in order.
//!
//! Changes are gathered until there are enough for a file, or until somebody needs them to be
//! written. The first failure stays: everything after it fails alike, because a later change must
//! not be written when an earlier one is missing.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;

use weir_state::{
    ChangeSorter, ColdBatch, ColdError, ColdSnapshot, ColdSnapshotKind, ColdStateId, GiveWay,
    IdleTime, REST_MAX, SnapshotFile,
};
use weir_types::CheckpointId;

use crate::beside::{self, Beside, Laid, Room};
use crate::changes::{Changes, Groups};
use crate::shared::{Asked, Shared};
use crate::snapshot;
use crate::sst::{SortedFile, SortedFiles};

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

/// Links to the files of the database, and the files beside those.
struct Linked {
    files: Vec<SnapshotFile>,
    /// Whose folder they are in.
    by: CheckpointId,
    /// The newest snapshot that has them in its own.
    newest: CheckpointId,
}

impl Linked {
    fn room(&self, limits: Limits) -> Room {
        let files = self.files.iter().filter(|file| file.shared);
        Room::new(files.map(|file| file.bytes).sum(), limits.beside)
    }
}

/// Changes that wait to be written, and what has been.
struct Writer {
    shared: Arc<Shared>,
    gathered: Changes,
    /// Changes before those, which lie beside the files that are linked.
    beside: Beside,
    limits: Limits,
    /// What the first snapshot for the newest checkpoint found gathered.
    first_bytes: usize,
    next_file: u64,
    /// Links to the files that the database has, if nothing was put into it since.
    linked: Option<Linked>,
    sorter: ChangeSorter,
    give_way: GiveWay,
}

/// How many bytes the writer may keep.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// That are gathered: they are a file.
    pub(crate) file: usize,
    /// That lie beside the database.
    pub(crate) beside: usize,
}

/// Even a panic must not leave anybody waiting.
impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.end();
    }
}

/// Runs until nobody can ask for anything any more.
pub(crate) fn run(shared: Arc<Shared>, commands: &Receiver<Command>, limits: Limits) {
    let mut writer = Writer {
        shared,
        gathered: Changes::default(),
        beside: Beside::default(),
        limits,
        first_bytes: 0,
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
        self.gathered.add(batch);
        let Limits { file, beside } = self.limits;
        if self.gathered.bytes() >= file || self.waiting_bytes() >= file.max(beside) {
            // Whoever asks next is told.
            drop(self.write_all());
        }
    }

    /// Of what is not in the database.
    fn waiting_bytes(&self) -> usize {
        self.beside.bytes() + self.gathered.bytes()
    }

    /// All that is not in the database.
    fn take_waiting(&mut self) -> Changes {
        let mut changes = self.beside.take();
        changes.append(std::mem::take(&mut self.gathered));
        changes
    }

    /// Puts what is not in the database into it.
    fn write_all(&mut self) -> Result<(), ColdError> {
        self.shared.failure()?;
        let changes = self.take_waiting();
        if changes.is_empty() {
            return Ok(());
        }
        if self.linked.take().is_some() {
            // What is merged away from now on is not to take place on the disk.
            self.shared.folder.keep(None);
        }
        let nanos = changes.bytes() as u64 * NANOS_PER_BYTE;
        self.give_way.begin(Duration::from_nanos(nanos));
        let written = changes
            .states()
            .try_for_each(|(state, groups)| self.write_state(state, groups));
        let shared = &self.shared;
        shared
            .pending_bytes
            .fetch_sub(changes.bytes(), Ordering::Relaxed);
        shared.extra_bytes.store(0, Ordering::Relaxed);
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
        groups.in_order(&mut self.sorter, |key, value| {
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
            ColdSnapshotKind::Files { ahead } => self.snapshot_files(asked.checkpoint, ahead),
            ColdSnapshotKind::Blocks => match self.write_all() {
                Ok(()) => return snapshot::copy_elsewhere(&self.shared, asked),
                Err(error) => Err(error),
            },
        };
        self.shared.say_ready(asked, snapshot);
    }

    fn snapshot_files(
        &mut self,
        checkpoint: CheckpointId,
        ahead: bool,
    ) -> Result<ColdSnapshot, ColdError> {
        self.shared.failure()?;
        let newest = self.linked.as_ref().map(|linked| linked.newest);
        let is_first = newest != Some(checkpoint);
        if is_first {
            self.first_bytes = self.gathered.bytes();
        }
        let has_room = |linked: &Linked| self.has_room(linked.room(self.limits), is_first, ahead);
        if !self.linked.as_ref().is_some_and(has_room) {
            self.write_all()?;
        }
        // It comes back once all is done: otherwise the next one is made of the database's own.
        let mut linked = match self.linked.take() {
            Some(linked) => linked,
            None => Linked {
                files: self.shared.link_files(checkpoint)?,
                by: checkpoint,
                newest: checkpoint,
            },
        };
        let shared = &self.shared;
        let folder = shared.folder.checkpoint(checkpoint);
        if checkpoint == linked.by {
            shared.folder.want_kept();
        } else if is_first || !folder.exists() {
            shared.link_again((linked.by, &linked.files), checkpoint)?;
        }
        linked.newest = checkpoint;
        self.lay_beside(&mut linked, checkpoint, is_first)?;
        let files = linked.files.clone();
        self.note_extra(linked.room(self.limits));
        self.linked = Some(linked);
        Ok(ColdSnapshot::Files {
            folder,
            files,
            readable: self.beside.bytes() == 0,
        })
    }

    /// Tells what the first snapshot for the next checkpoint is going to put into the database, if
    /// as much changes as before.
    fn note_extra(&self, room: Room) {
        let beside = self.beside.bytes();
        // A quarter is for more than before: what was not announced has no time.
        let is_due = beside + 2 * self.first_bytes > room.many / 4 * 3;
        let extra = if is_due { beside } else { 0 };
        self.shared.extra_bytes.store(extra, Ordering::Relaxed);
    }

    /// Whether what is not in the database may lie beside the files that are linked. `is_first`:
    /// the checkpoint has no snapshot yet.
    fn has_room(&self, Room { few, many }: Room, is_first: bool, ahead: bool) -> bool {
        let gathered = self.gathered.bytes();
        if ahead {
            if is_first && self.shared.extra_bytes.load(Ordering::Relaxed) > 0 {
                // It was announced, and has the time.
                return false;
            }
            // What is put into the database ahead need not be at the barrier, until which no more
            // comes than has come since the snapshot before.
            return self.waiting_bytes() + gathered <= many;
        }
        // Nothing was written ahead of this checkpoint: what would have to be put into the database
        // later is to be little, unless much lies there already.
        let are_few = self.beside.bytes() <= few;
        let most = if is_first && are_few { few } else { many };
        self.waiting_bytes() <= most && (!is_first || gathered <= few)
    }

    /// Lays what was gathered beside the files that are linked, and links it for this checkpoint.
    fn lay_beside(
        &mut self,
        linked: &mut Linked,
        checkpoint: CheckpointId,
        is_first: bool,
    ) -> Result<(), ColdError> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let mut small = self.beside.take_small(self.gathered.bytes(), is_first);
        linked
            .files
            .retain(|file| !small.files.contains(&file.name));
        small.changes.append(std::mem::take(&mut self.gathered));
        self.gathered = small.changes;
        let mut names = Vec::new();
        let shared = &self.shared;
        let (from, own) = (
            shared.folder.checkpoint(linked.by),
            shared.folder.checkpoint(checkpoint),
        );
        for (state, groups) in self.gathered.states() {
            let attempt = shared.folder.attempt();
            let name = beside::file_name(&shared.family(state)?, attempt, self.next_file);
            self.next_file += 1;
            let compress = shared.setup.compress;
            let mut file = SortedFile::create(&from.join(&name), &shared.place, compress)?;
            groups.in_order(&mut self.sorter, |key, value| file.add(key, value))?;
            let bytes = file.finish()?;
            if from != own {
                let made = fs::hard_link(from.join(&name), own.join(&name));
                made.map_err(shared.place.io("link the changes of a snapshot"))?;
            }
            names.push(name.clone());
            linked.files.push(SnapshotFile {
                name,
                bytes,
                shared: false,
                grows: true,
            });
        }
        self.beside.push(Laid {
            changes: std::mem::take(&mut self.gathered),
            files: names,
        });
        Ok(())
    }
}
