//! Stores what an uploader was given: encodes it, writes objects, and gives the handles. Blocks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use weir_checkpoint::blob;
use weir_checkpoint::handle::{
    FileContent, KeyedHandle, ObjectRef, OperatorSubtaskState, Stored, StoredFile, SubtaskState,
};
use weir_checkpoint::keyed_file::{self, Compression, SpilledFile};
use weir_state::{ColdError, FileSnapshot, KeyedSnapshot, SnapshotFile, Spilled};
use weir_storage::{ObjectPath, ObjectStore, ObjectWriter, PathError, StoreError};
use weir_stream::OperatorSnapshot;
use weir_types::{BarrierKind, CheckpointBarrier, ExecutionAttemptId, Hash128, hash128};

use super::Part;
use crate::copies::LocalCopies;
use crate::deployment::TaskCheckpoints;

/// Files of keyed state in the order in which they are to be read: a full one, then deltas.
pub(super) type Chain = Vec<KeyedHandle>;

/// The chains of a checkpoint, with the places of their operators.
pub(super) type StoredChains = Vec<(usize, Chain)>;

/// From this size on an object is written piece by piece.
const LARGE_BYTES: usize = 16 << 20;

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
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
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

/// Stores one subtask's part of one checkpoint.
pub(super) struct Saver<'a> {
    config: &'a TaskCheckpoints,
    attempt: ExecutionAttemptId,
    barrier: CheckpointBarrier,
    saved: Saved,
}

impl<'a> Saver<'a> {
    pub(super) fn new(
        config: &'a TaskCheckpoints,
        attempt: ExecutionAttemptId,
        barrier: CheckpointBarrier,
    ) -> Self {
        Self {
            config,
            attempt,
            barrier,
            saved: Saved::default(),
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
            if !go_on() {
                return Ok(None);
            }
            if !self.save_part(part, &go_on)? {
                return Ok(None);
            }
        }
        self.saved.state.ended = ended;
        Ok(Some(self.saved))
    }

    /// False if there was no reason to go on.
    fn save_part(&mut self, part: Part, go_on: &impl Fn() -> bool) -> Result<bool, SaveError> {
        let Part {
            place,
            operator,
            snapshot,
            base,
            known,
        } = part;
        let OperatorSnapshot {
            keyed,
            files,
            operator: operator_state,
            raw,
            uncommitted,
        } = snapshot;
        let keyed = match (keyed, files) {
            (Some(keyed), _) => self.save_keyed(place, &keyed, base)?,
            (None, Some(files)) => {
                let saved = match files.spilled.clone() {
                    Some(spilled) => self.save_spilled(place, files, &spilled, go_on)?,
                    None => self.save_files(place, files, &known, go_on)?,
                };
                match saved {
                    Some(handle) => vec![handle],
                    None => return Ok(false),
                }
            }
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
            return Ok(true);
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
        Ok(true)
    }

    /// Stores the files of a database, but for those that a checkpoint holds already.
    fn save_files(
        &mut self,
        place: usize,
        snapshot: FileSnapshot,
        known: &[StoredFile],
        go_on: &impl Fn() -> bool,
    ) -> Result<Option<KeyedHandle>, SaveError> {
        let known: BTreeMap<&str, &StoredFile> = known
            .iter()
            .map(|file| (file.name.as_str(), file))
            .collect();
        let mut stored = Vec::with_capacity(snapshot.files.len());
        for file in snapshot.files {
            if !go_on() {
                return Ok(None);
            }
            let same = known.get(file.name.as_str());
            let same = same.filter(|known| file.shared && known.content.size() == file.bytes);
            let local = snapshot.folder.join(&file.name);
            let file = match same {
                Some(same) => StoredFile::clone(same),
                None => StoredFile {
                    content: self.save_file(place, &local, &file)?,
                    name: file.name,
                    checkpoint: snapshot.checkpoint,
                    shared: file.shared,
                },
            };
            if let (Some(copies), Some(object)) = (self.copies(), file.content.object()) {
                copies.keep_link(self.barrier.id, object, &local);
            }
            stored.push(file);
        }
        Ok(Some(KeyedHandle {
            stored: Stored::Files(stored),
            checkpoint: snapshot.checkpoint,
            base: None,
            range: snapshot.range,
            max_parallelism: snapshot.max_parallelism,
            states: snapshot.states,
        }))
    }

    fn save_file(
        &mut self,
        place: usize,
        path: &Path,
        file: &SnapshotFile,
    ) -> Result<FileContent, SaveError> {
        let path = path.to_owned();
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(source) => return Err(SaveError::Read { path, source }),
        };
        let (found, want) = (bytes.len() as u64, file.bytes);
        if found != want {
            return Err(SaveError::Size { path, found, want });
        }
        // What later checkpoints refer to again is worth an object.
        if !file.shared && bytes.len() <= self.config.inline_max {
            self.saved.written_bytes += found;
            return Ok(FileContent::Inline(bytes));
        }
        let object = self.put_object(place, &file.name, &bytes)?;
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
    /// are in memory, or a block, if it is to be compressed. None: there was no reason to go on.
    fn save_spilled(
        &mut self,
        place: usize,
        snapshot: FileSnapshot,
        spilled: &Spilled,
        go_on: &impl Fn() -> bool,
    ) -> Result<Option<KeyedHandle>, SaveError> {
        let file = SpilledFile::new(&snapshot, spilled, self.compression())?;
        let stored = if file.size() < LARGE_BYTES as u64 {
            let mut bytes = Vec::new();
            file.write::<SaveError>(&mut |piece| {
                bytes.extend_from_slice(piece);
                Ok(())
            })?;
            self.put(place, "keyed", bytes)?
        } else {
            match self.put_pieces(place, "keyed", &file, go_on) {
                Err(SaveError::GivenUp) => return Ok(None),
                stored => Stored::Object(stored?),
            }
        };
        Ok(Some(KeyedHandle {
            stored,
            checkpoint: snapshot.checkpoint,
            base: None,
            range: snapshot.range,
            max_parallelism: snapshot.max_parallelism,
            states: snapshot.states,
        }))
    }

    fn save_keyed(
        &mut self,
        place: usize,
        keyed: &KeyedSnapshot,
        mut chain: Chain,
    ) -> Result<Chain, SaveError> {
        let compression = self.compression();
        let states = keyed.states.iter().map(|state| state.meta.clone());
        let states: Vec<_> = states.collect();
        let stored = self.put(place, "keyed", keyed_file::encode(keyed, compression))?;
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
            && !self.is_local(&object)
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

    /// Whether the store is on this machine, so that a copy of it would save nothing.
    fn is_local(&self, object: &ObjectRef) -> bool {
        let path = ObjectPath::new(object.path.as_str());
        path.is_ok_and(|path| self.config.store.local_file(&path).is_some())
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

    /// Puts a file into an object of its own without ever having all of it. No local copy is kept:
    /// those are made of bytes that are in memory, or of files.
    fn put_pieces(
        &mut self,
        place: usize,
        kind: &str,
        file: &SpilledFile<'_>,
        go_on: &impl Fn() -> bool,
    ) -> Result<ObjectRef, SaveError> {
        let (path, name) = self.name(place, kind)?;
        let object = self.config.store.create_large(&path);
        let mut pieces = Pieces::new(object.map_err(SaveError::Store)?);
        file.write::<SaveError>(&mut |piece| {
            if !go_on() {
                return Err(SaveError::GivenUp);
            }
            pieces.write(piece).map_err(SaveError::Store)
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
        let name = format!("{vertex}-{subtask}-{attempt}-{place}-{kind}");
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

/// An object that is written in pieces of one size, and what is known of it at its end.
struct Pieces {
    object: Box<dyn ObjectWriter>,
    piece: Vec<u8>,
    hash: Hash128,
    size: u64,
}

impl Pieces {
    fn new(object: Box<dyn ObjectWriter>) -> Self {
        Self {
            object,
            piece: Vec::with_capacity(PIECE_BYTES),
            hash: Hash128::new(),
            size: 0,
        }
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<(), StoreError> {
        self.hash.write(bytes);
        self.size += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = PIECE_BYTES - self.piece.len();
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.piece.extend_from_slice(now);
            if self.piece.len() == PIECE_BYTES {
                self.object.write(&self.piece)?;
                self.piece.clear();
            }
            bytes = later;
        }
        Ok(())
    }

    /// Size and checksum of the object, which exists now.
    fn finish(mut self) -> Result<(u64, u128), StoreError> {
        if !self.piece.is_empty() {
            self.object.write(&self.piece)?;
        }
        self.object.finish()?;
        Ok((self.size, self.hash.finish()))
    }
}

#[cfg(test)]
mod tests;
