//! Stores what an uploader was given: encodes it, writes objects, and gives the handles. Blocks.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use weir_checkpoint::blob;
use weir_checkpoint::handle::{
    FileContent, KeyedHandle, ObjectRef, OperatorSubtaskState, Stored, StoredFile, SubtaskState,
};
use weir_checkpoint::keyed_file::{Compression, MemoryFile, SpilledFile};
use weir_state::{ColdError, FileSnapshot, GiveWay, KeyedSnapshot, SnapshotFile, Spilled};
use weir_storage::{ObjectPath, ObjectStore, PathError, StoreError};
use weir_stream::OperatorSnapshot;
use weir_types::{BarrierKind, CheckpointBarrier, ExecutionAttemptId, hash128};

mod pieces;

use self::pieces::Pieces;
use super::Part;
use crate::copies::LocalCopies;
use crate::deployment::TaskCheckpoints;

/// Files of keyed state in the order in which they are to be read: a full one, then deltas.
pub(super) type Chain = Vec<KeyedHandle>;

/// The chains of a checkpoint, with the places of their operators.
pub(super) type StoredChains = Vec<(usize, Chain)>;

/// From this size on an object is written piece by piece.
const LARGE_BYTES: usize = 16 << 20;

/// No more is written at once, so that the uploader can give way, or give up.
const DIRECT_BYTES: usize = 128 << 10;

/// The pieces.
const PIECE_BYTES: usize = 8 << 20;

/// A part of a snapshot cannot be stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum SaveError {
    #[error("name an object")]
    Name(#[source] PathError),
    #[error("store a part of the snapshot")]
    Store(#[source] StoreError),
    #[error("read the copy of the state on the local disk")]
    Spilled(#[from] ColdError),
    #[error("the snapshot was given up")]
    GivenUp,
    #[error("read `{}`, a file of the snapshot", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("`{}`, a file of the snapshot, has {found} bytes instead of {want}", path.display())]
    Size {
        path: PathBuf,
        found: u64,
        want: u64,
    },
}

/// What was stored.
#[derive(Debug, Default)]
pub(super) struct Saved {
    pub(super) state: SubtaskState,
    pub(super) chains: StoredChains,
    /// Bytes of what this checkpoint stored anew.
    pub(super) written_bytes: u64,
    /// Bytes of all that it refers to.
    pub(super) full_bytes: u64,
}

/// Takes the next bytes of an object.
type Give<'g> = dyn FnMut(&[u8]) -> Result<(), SaveError> + 'g;

/// Stores one subtask's part of one checkpoint.
pub(super) struct Saver<'a> {
    config: &'a TaskCheckpoints,
    attempt: ExecutionAttemptId,
    barrier: CheckpointBarrier,
    /// The round that is written ahead; none: it is the checkpoint's own part.
    round: Option<u64>,
    give_way: &'a mut GiveWay,
    saved: Saved,
}

impl<'a> Saver<'a> {
    pub(super) fn new(
        config: &'a TaskCheckpoints,
        attempt: ExecutionAttemptId,
        barrier: CheckpointBarrier,
        give_way: &'a mut GiveWay,
    ) -> Self {
        Self {
            config,
            attempt,
            barrier,
            round: None,
            give_way,
            saved: Saved::default(),
        }
    }

    /// For what is written ahead of the checkpoint.
    pub(super) fn ahead(self, round: u64) -> Self {
        Self {
            round: Some(round),
            ..self
        }
    }

    /// Stores all parts. `go_on` is asked in between whether there is still a reason to.
    pub(super) fn save(
        mut self,
        parts: Vec<Part>,
        ended: bool,
        go_on: impl Fn() -> bool,
    ) -> Result<Option<Saved>, SaveError> {
        for part in parts {
            match self.save_part(part, &go_on) {
                Err(SaveError::GivenUp) => return Ok(None),
                saved => saved?,
            }
        }
        self.saved.state.ended = ended;
        Ok(Some(self.saved))
    }

    fn save_part(&mut self, part: Part, go_on: &impl Fn() -> bool) -> Result<(), SaveError> {
        check(go_on)?;
        let Part {
            place,
            operator,
            snapshot,
            base,
            known,
            ahead: _,
        } = part;
        let OperatorSnapshot {
            keyed,
            files,
            operator: operator_state,
            raw,
            uncommitted,
        } = snapshot;
        let keyed = match (keyed, files) {
            (Some(keyed), _) => self.save_keyed(place, &keyed, base, go_on)?,
            (None, Some(files)) => vec![match files.spilled.clone() {
                Some(spilled) => self.save_spilled(place, files, &spilled, go_on)?,
                None => self.save_files(place, files, &known, go_on)?,
            }],
            (None, None) => Chain::new(),
        };
        let operator_state = match operator_state {
            Some(state) => Some(self.put(place, "operator", blob::encode(&state))?),
            None => None,
        };
        let raw = if raw.is_empty() {
            None
        } else {
            let raw: BTreeMap<_, _> = raw;
            Some(self.put(place, "raw", blob::encode(&raw))?)
        };
        if keyed.is_empty() && operator_state.is_none() && raw.is_none() {
            return Ok(());
        }
        let small = operator_state.iter().chain(&raw).map(Stored::size);
        let files = keyed.iter().map(|file| file.stored.size());
        self.saved.full_bytes += small.chain(files).sum::<u64>();
        if !keyed.is_empty() {
            self.saved.chains.push((place, keyed.clone()));
        }
        self.saved.state.operators.push(OperatorSubtaskState {
            operator,
            keyed,
            operator_state,
            raw,
            uncommitted,
        });
        Ok(())
    }

    /// Stores the files of a database, but for those that a checkpoint holds already.
    fn save_files(
        &mut self,
        place: usize,
        snapshot: FileSnapshot,
        known: &[StoredFile],
        go_on: &impl Fn() -> bool,
    ) -> Result<KeyedHandle, SaveError> {
        let known: BTreeMap<&str, &StoredFile> = known
            .iter()
            .map(|file| (file.name.as_str(), file))
            .collect();
        let mut stored = Vec::with_capacity(snapshot.files.len());
        // What is written ahead has the time.
        let mut inline_left = match self.round {
            None => self.config.inline_files_max as u64,
            Some(_) => 0,
        };
        let small = self.config.inline_max as u64;
        for file in snapshot.files {
            check(go_on)?;
            let same = known.get(file.name.as_str());
            let same = same.filter(|known| known.content.size() == file.bytes);
            let same = same.filter(|_| file.shared || file.grows);
            // What later checkpoints refer to again is worth an object.
            let inline_max = match same {
                Some(_) => small,
                None => small.max(inline_left),
            };
            let same = same.filter(|known| known.content.object().is_some() || file.bytes <= small);
            let local = snapshot.folder.join(&file.name);
            let file = match same {
                Some(same) => StoredFile::clone(same),
                None => {
                    let inline = !file.shared && file.bytes <= inline_max;
                    if inline && file.bytes > small {
                        inline_left -= file.bytes;
                    }
                    StoredFile {
                        content: self.save_file(place, (&local, &file), inline, go_on)?,
                        name: file.name,
                        checkpoint: snapshot.checkpoint,
                        shared: file.shared,
                    }
                }
            };
            if let (Some(copies), Some(object)) = (self.copies(), file.content.object()) {
                copies.keep_link(self.barrier.id, object, &local);
            }
            stored.push(file);
        }
        Ok(KeyedHandle {
            stored: Stored::Files(stored),
            checkpoint: snapshot.checkpoint,
            base: None,
            range: snapshot.range,
            max_parallelism: snapshot.max_parallelism,
            states: snapshot.states,
        })
    }

    fn save_file(
        &mut self,
        place: usize,
        (path, file): (&Path, &SnapshotFile),
        inline: bool,
        go_on: &impl Fn() -> bool,
    ) -> Result<FileContent, SaveError> {
        let want = file.bytes;
        let check_size = |found: u64| match found == want {
            true => Ok(()),
            false => Err(SaveError::Size {
                path: path.to_owned(),
                found,
                want,
            }),
        };
        let unreadable = |source| SaveError::Read {
            path: path.to_owned(),
            source,
        };
        if inline || (want < LARGE_BYTES as u64 && !self.is_here(place, &file.name)?) {
            let bytes = fs::read(path).map_err(unreadable)?;
            check_size(bytes.len() as u64)?;
            if inline {
                self.saved.written_bytes += want;
                return Ok(FileContent::Inline(bytes));
            }
            let object = self.put_object(place, &file.name, &bytes)?;
            return Ok(FileContent::Object(object));
        }
        let object = self.put_pieces(place, &file.name, go_on, |give| {
            let mut from = fs::File::open(path).map_err(unreadable)?;
            let mut piece = vec![0; DIRECT_BYTES];
            let mut found = 0;
            loop {
                match from.read(&mut piece) {
                    Ok(0) => return check_size(found),
                    Ok(read) => {
                        found += read as u64;
                        give(&piece[..read])?;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(unreadable(error)),
                }
            }
        })?;
        Ok(FileContent::Object(object))
    }

    fn compression(&self) -> Compression {
        if self.config.compress {
            Compression::Lz4
        } else {
            Compression::None
        }
    }

    /// Stores entries that lie on the local disk. However many they are, a few megabytes of them
    /// are in memory, or a block, if it is to be compressed.
    fn save_spilled(
        &mut self,
        place: usize,
        snapshot: FileSnapshot,
        spilled: &Spilled,
        go_on: &impl Fn() -> bool,
    ) -> Result<KeyedHandle, SaveError> {
        let file = SpilledFile::new(&snapshot, spilled, self.compression())?;
        let stored = if file.size() < LARGE_BYTES as u64 {
            let mut bytes = Vec::new();
            file.write::<SaveError>(&mut |piece| {
                bytes.extend_from_slice(piece);
                Ok(())
            })?;
            self.put(place, "keyed", bytes)?
        } else {
            let object = self.put_pieces(place, "keyed", go_on, |give| file.write(give))?;
            Stored::Object(object)
        };
        Ok(KeyedHandle {
            stored,
            checkpoint: snapshot.checkpoint,
            base: None,
            range: snapshot.range,
            max_parallelism: snapshot.max_parallelism,
            states: snapshot.states,
        })
    }

    fn save_keyed(
        &mut self,
        place: usize,
        keyed: &KeyedSnapshot,
        mut chain: Chain,
        go_on: &impl Fn() -> bool,
    ) -> Result<Chain, SaveError> {
        let compression = self.compression();
        let states = keyed.states.iter().map(|state| state.meta.clone());
        let states: Vec<_> = states.collect();
        let give_way = &mut self.give_way;
        let file = MemoryFile::new(keyed, compression, &mut || give_way.between());
        // Where the store is on this machine, nobody else wants the bytes: they need not be copied.
        let stored =
            if file.size() <= self.config.inline_max as u64 || !self.is_here(place, "keyed")? {
                self.put(place, "keyed", file.to_vec())?
            } else {
                let object = self.put_pieces(place, "keyed", go_on, |give| {
                    file.pieces().try_for_each(give)
                })?;
                Stored::Object(object)
            };
        if let Some(copies) = self.copies() {
            let bases = chain.iter().flat_map(|base| base.stored.objects());
            bases.for_each(|base| copies.keep_known(self.barrier.id, base));
        }
        chain.push(KeyedHandle {
            stored,
            checkpoint: keyed.checkpoint,
            base: keyed.base,
            range: keyed.range,
            max_parallelism: keyed.max_parallelism,
            states,
        });
        Ok(chain)
    }

    /// Puts bytes into an object of their own, or, if they are few, into the handle.
    fn put(&mut self, place: usize, kind: &str, bytes: Vec<u8>) -> Result<Stored, SaveError> {
        if bytes.len() <= self.config.inline_max {
            self.saved.written_bytes += bytes.len() as u64;
            return Ok(Stored::Inline(bytes));
        }
        let object = self.put_object(place, kind, &bytes)?;
        if let Some(copies) = self.copies()
            && !self.is_here(place, kind)?
        {
            copies.keep_bytes(self.barrier.id, &object, &bytes);
        }
        Ok(Stored::Object(object))
    }

    /// Nobody goes back to a savepoint because of a failure, but for the first checkpoints after
    /// it.
    fn copies(&self) -> Option<&'a LocalCopies> {
        let copies = self.config.copies.as_deref();
        copies.filter(|_| self.barrier.kind == BarrierKind::Checkpoint)
    }

    /// Whether the store has an object that is named so on this machine: a copy of it would save
    /// nothing.
    fn is_here(&self, place: usize, kind: &str) -> Result<bool, SaveError> {
        let (path, _) = self.name(place, kind)?;
        Ok(self.config.store.local_file(&path).is_some())
    }

    /// Puts bytes into an object of their own.
    fn put_object(
        &mut self,
        place: usize,
        kind: &str,
        bytes: &[u8],
    ) -> Result<ObjectRef, SaveError> {
        let (path, name) = self.name(place, kind)?;
        write(&*self.config.store, &path, bytes).map_err(SaveError::Store)?;
        self.saved.written_bytes += bytes.len() as u64;
        Ok(ObjectRef {
            path: name,
            size: bytes.len() as u64,
            checksum: hash128(bytes),
        })
    }

    /// Puts what `fill` gives into an object of its own, without ever having all of it. No local
    /// copy is kept: those are made of bytes that are in memory, or of files.
    fn put_pieces(
        &mut self,
        place: usize,
        kind: &str,
        go_on: &impl Fn() -> bool,
        fill: impl FnOnce(&mut Give<'_>) -> Result<(), SaveError>,
    ) -> Result<ObjectRef, SaveError> {
        let (path, name) = self.name(place, kind)?;
        let store = &self.config.store;
        // A file takes pieces of any size; an upload costs a request for each.
        let gathered = match store.local_file(&path) {
            Some(_) => 0,
            None => PIECE_BYTES,
        };
        let object = store.create_large(&path).map_err(SaveError::Store)?;
        let mut pieces = Pieces::new(object, gathered);
        let give_way = &mut self.give_way;
        fill(&mut |bytes| {
            for piece in bytes.chunks(DIRECT_BYTES) {
                check(go_on)?;
                pieces.write(piece).map_err(SaveError::Store)?;
                give_way.between();
            }
            Ok(())
        })?;
        let (size, checksum) = pieces.finish().map_err(SaveError::Store)?;
        self.saved.written_bytes += size;
        Ok(ObjectRef {
            path: name,
            size,
            checksum,
        })
    }

    /// The name of an object in the store, and the one that the snapshot says. No two that are
    /// named alike by `place` and `kind` are of one checkpoint and attempt.
    fn name(&self, place: usize, kind: &str) -> Result<(ObjectPath, String), SaveError> {
        let ExecutionAttemptId {
            epoch,
            vertex,
            subtask,
            attempt,
        } = self.attempt;
        let vertex = &vertex.to_string()[..8];
        let ahead = self
            .round
            .map_or_else(String::new, |n| format!("ahead{n}-"));
        let name = format!("{vertex}-{subtask}-{attempt}-{place}-{ahead}{kind}");
        let folder = match self.barrier.kind {
            BarrierKind::Checkpoint => "chk",
            BarrierKind::Savepoint => "savepoint",
        };
        let whole = format!("{folder}-{epoch}-{}/{name}", self.barrier.id);
        let path = ObjectPath::new(whole).map_err(SaveError::Name)?;
        // A savepoint can be moved: its names are relative to its own folder.
        let said = match self.barrier.kind {
            BarrierKind::Checkpoint => path.as_str().to_owned(),
            BarrierKind::Savepoint => name,
        };
        Ok((path, said))
    }
}

fn write(store: &dyn ObjectStore, path: &ObjectPath, bytes: &[u8]) -> Result<(), StoreError> {
    if bytes.len() < LARGE_BYTES {
        return store.create(path, bytes);
    }
    let mut object = store.create_large(path)?;
    for piece in bytes.chunks(PIECE_BYTES) {
        object.write(piece)?;
    }
    object.finish().map(drop)
}

fn check(go_on: &impl Fn() -> bool) -> Result<(), SaveError> {
    match go_on() {
        true => Ok(()),
        false => Err(SaveError::GivenUp),
    }
}

#[cfg(test)]
mod tests;
