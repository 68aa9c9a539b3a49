//! Stores what an uploader was given: encodes it, writes objects, and gives the handles. Blocks.

use std::collections::BTreeMap;

use weir_checkpoint::blob;
use weir_checkpoint::handle::{KeyedHandle, ObjectRef, OperatorSubtaskState, Stored, SubtaskState};
use weir_checkpoint::keyed_file::{self, Compression};
use weir_state::KeyedSnapshot;
use weir_storage::{ObjectPath, ObjectStore, PathError, StoreError};
use weir_stream::OperatorSnapshot;
use weir_types::{BarrierKind, CheckpointBarrier, ExecutionAttemptId, hash128};

use super::Part;
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
            self.save_part(part)?;
        }
        self.saved.state.ended = ended;
        Ok(Some(self.saved))
    }

    fn save_part(&mut self, part: Part) -> Result<(), SaveError> {
        let Part {
            place,
            operator,
            snapshot,
            base,
        } = part;
        let OperatorSnapshot {
            keyed,
            operator: operator_state,
            raw,
            uncommitted,
        } = snapshot;
        let keyed = match keyed {
            Some(keyed) => self.save_keyed(place, &keyed, base)?,
            None => Chain::new(),
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

    fn save_keyed(
        &mut self,
        place: usize,
        keyed: &KeyedSnapshot,
        mut chain: Chain,
    ) -> Result<Chain, SaveError> {
        let compression = if self.config.compress {
            Compression::Lz4
        } else {
            Compression::None
        };
        let states = keyed.states.iter().map(|state| state.meta.clone());
        let states: Vec<_> = states.collect();
        let stored = self.put(place, "keyed", keyed_file::encode(keyed, compression))?;
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
        self.saved.written_bytes += bytes.len() as u64;
        if bytes.len() <= self.config.inline_max {
            return Ok(Stored::Inline(bytes));
        }
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
        write(&*self.config.store, &path, &bytes).map_err(SaveError::Store)?;
        Ok(Stored::Object(ObjectRef {
            // A savepoint can be moved: its names are relative to its own folder.
            path: match self.barrier.kind {
                BarrierKind::Checkpoint => path.as_str().to_owned(),
                BarrierKind::Savepoint => name,
            },
            size: bytes.len() as u64,
            checksum: hash128(&bytes),
        }))
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
