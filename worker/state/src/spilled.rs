//! Snapshots of entries that lie on the local disk, because there may be more than memory holds.
//!
//! A tier writes the records of its states, key group by key group, into a file of its own and
//! notes where each block lies. Whoever stores the snapshot reads them back one after the other.
//! What was written has checksums: a disk that gives other bytes is an error, and never another
//! snapshot.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use weir_types::{Hash128, KeyGroup};

use crate::codec::CodecError;
use crate::cold::{ColdError, FileSnapshot};
use crate::snapshot::{GroupBlock, KeyedSnapshot, StateMeta, StateSnapshot};

/// A file with blocks, which goes when this is dropped.
pub trait SpillFile: Send + Sync + fmt::Debug {
    /// Fills `into` with the bytes from `offset` on.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), ColdError>;
}

/// The entries of a snapshot.
#[derive(Clone, Debug)]
pub struct Spilled {
    /// Where blocks are that are not in memory.
    pub file: Arc<dyn SpillFile>,
    /// The states, by name.
    pub states: Vec<SpilledState>,
}

impl PartialEq for Spilled {
    fn eq(&self, other: &Self) -> bool {
        let Self { file, states } = self;
        Arc::ptr_eq(file, &other.file) && *states == other.states
    }
}

impl Eq for Spilled {}

/// One state of them; see [`StateSnapshot`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpilledState {
    /// What it is.
    pub meta: StateMeta,
    /// Whether it replaces what earlier snapshots say.
    pub complete: bool,
    /// The key groups that have something to say, in order.
    pub blocks: Vec<SpilledBlock>,
}

/// One key group's part of a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpilledBlock {
    /// The key group.
    pub group: KeyGroup,
    /// Its records.
    pub records: Records,
}

/// The records of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Records {
    /// They were in no tier.
    InMemory(Vec<u8>),
    /// They are in the file.
    OnDisk(Span),
}

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Where it begins.
    pub offset: u64,
    /// How many bytes it has.
    pub len: u64,
    /// [`weir_types::hash_bytes`] of them.
    pub checksum: u64,
}

/// [`weir_types::hash_bytes`] of what was written piece by piece: one of the two hashes.
pub fn checksum_of(pieces: Hash128) -> u64 {
    u64::try_from(pieces.finish() >> 64).unwrap_or(u64::MAX)
}

/// The most bytes of a block that are given at a time.
const PIECE_BYTES: usize = 1 << 20;

impl Spilled {
    /// Gives the records of a block piece by piece. If they are not what was written, the error
    /// comes behind the last piece: what was given until then is good for nothing.
    pub fn pieces<E: From<ColdError>>(
        &self,
        records: &Records,
        give: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let span = match records {
            Records::InMemory(bytes) => return give(bytes.as_slice()),
            Records::OnDisk(span) => span,
        };
        let (mut at, mut rest) = (span.offset, span.len);
        let mut hash = Hash128::new();
        let mut piece: Vec<u8> = Vec::new();
        while rest > 0 {
            let len = usize::try_from(rest).map_or(PIECE_BYTES, |rest| rest.min(PIECE_BYTES));
            piece.resize(len, 0);
            self.file.read_at(at, &mut piece)?;
            hash.write(&piece);
            give(&piece)?;
            at += len as u64;
            rest -= len as u64;
        }
        if checksum_of(hash) == span.checksum {
            Ok(())
        } else {
            Err(E::from(damaged()))
        }
    }

    /// The records of a block.
    pub fn read<'a>(&self, records: &'a Records) -> Result<Cow<'a, [u8]>, ColdError> {
        let span = match records {
            Records::InMemory(bytes) => return Ok(Cow::Borrowed(bytes.as_slice())),
            Records::OnDisk(span) => span,
        };
        let mut bytes = Vec::with_capacity(usize::try_from(span.len).unwrap_or(0));
        self.pieces::<ColdError>(records, &mut |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(Cow::Owned(bytes))
    }
}

fn damaged() -> ColdError {
    ColdError::Codec(CodecError {
        action: "read",
        type_name: "a copy of state on the local disk",
        cause: "its checksum does not match: it was damaged after it was written".to_owned(),
    })
}

impl FileSnapshot {
    /// The entries of a snapshot that was spilled, in memory; none if it is one of a database's
    /// files.
    pub fn read_spilled(&self) -> Result<Option<KeyedSnapshot>, ColdError> {
        let Some(spilled) = &self.spilled else {
            return Ok(None);
        };
        let mut states = Vec::with_capacity(spilled.states.len());
        for state in &spilled.states {
            let mut blocks = Vec::with_capacity(state.blocks.len());
            for SpilledBlock { group, records } in &state.blocks {
                blocks.push(GroupBlock {
                    group: *group,
                    bytes: spilled.read(records)?.into_owned(),
                });
            }
            states.push(StateSnapshot {
                meta: state.meta.clone(),
                complete: state.complete,
                blocks,
            });
        }
        Ok(Some(KeyedSnapshot {
            checkpoint: self.checkpoint,
            base: None,
            max_parallelism: self.max_parallelism,
            range: self.range,
            states,
        }))
    }
}

impl From<StateSnapshot> for SpilledState {
    fn from(state: StateSnapshot) -> Self {
        let blocks = state.blocks.into_iter();
        Self {
            meta: state.meta,
            complete: state.complete,
            blocks: blocks
                .map(|GroupBlock { group, bytes }| SpilledBlock {
                    group,
                    records: Records::InMemory(bytes),
                })
                .collect(),
        }
    }
}
