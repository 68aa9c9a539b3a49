//! Entries of snapshots that may be more than memory holds, on their way below an operator's
//! tables: a few key groups at a time, into the files of a database, which the operator opens like
//! those of a checkpoint.
//!
//! Nothing of it is used before all of it is there: an error on the way fails the subtask, and what
//! was made goes with its folder.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use weir_checkpoint::handle::KeyedHandle;
use weir_state::{
    ColdError, ColdImporter, FileSnapshot, KeyedSnapshot, StateError, StateMeta, StateSnapshot,
    merge_snapshots,
};
use weir_stream::OperatorError;
use weir_types::KeyGroupRange;

use super::keyed::KeyedFile;
use super::{LocalFiles, Reading, RestoreError};

/// So much is read at a time, unless a key group has more. What is not more than that as a whole is
/// read at once, and written by the operator's own tier.
const SLICE_BYTES: u64 = 16 << 20;

/// The files of one former subtask, each continuing the one before it.
type Chain<'f, 'h> = &'f [KeyedFile<'h>];

impl Reading<'_> {
    /// Makes databases of files of keyed state and adds them to those that are there. What comes
    /// back is for memory: it is little, or no database can hold it.
    pub(super) fn import(
        &self,
        importer: &dyn ColdImporter,
        handles: &[&KeyedHandle],
        databases: &mut Vec<FileSnapshot>,
        local: &mut Vec<LocalFiles>,
    ) -> Result<Vec<KeyedSnapshot>, RestoreError> {
        let mut files = Vec::with_capacity(handles.len());
        for handle in handles {
            files.push(self.open(handle)?);
        }
        let bytes = files.iter().map(KeyedFile::bytes);
        let bytes = bytes.fold(0, u64::saturating_add);
        let metas = files.iter().flat_map(|file| file.contents.states());
        let metas = metas.chain(databases.iter().flat_map(|database| &database.states));
        let states = match in_one_encoding(metas) {
            Some(states) if bytes > SLICE_BYTES => states,
            states => {
                if states.is_none() && bytes > SLICE_BYTES {
                    // The backend knows what to do.
                    tracing::warn!(
                        "operator {}: a state was written in two encodings, so {bytes} bytes of \
                         state are restored by way of memory",
                        self.context.name
                    );
                }
                return self.entries(handles);
            }
        };
        let mut chains: Vec<Chain<'_, '_>> = files.chunk_by(continues).collect();
        chains.sort_by_key(|chain| range_of(chain).start);
        for run in chains.chunk_by(|before, next| adjoin(range_of(before), range_of(next))) {
            databases.push(self.import_run(importer, run, &states, local)?);
        }
        Ok(Vec::new())
    }

    /// Makes one database of the files of former subtasks whose key groups lie side by side.
    fn import_run(
        &self,
        importer: &dyn ColdImporter,
        run: &[Chain<'_, '_>],
        states: &[StateMeta],
        local: &mut Vec<LocalFiles>,
    ) -> Result<FileSnapshot, RestoreError> {
        let folder = self.folder(local)?;
        let mut slices = run.iter().flat_map(|chain| {
            let slices = slices(chain).into_iter();
            slices.map(move |range| (*chain, range))
        });
        let mut failure = None;
        let imported = importer.import(&folder, states, &mut || {
            let Some((chain, range)) = slices.next() else {
                return Ok(None);
            };
            self.slice(chain, range).map(Some).map_err(|error| {
                failure = Some(error);
                ColdError::Failed {
                    action: "take in state",
                    folder: folder.clone(),
                    cause: "it cannot be read".to_owned(),
                }
            })
        });
        if let Some(error) = failure {
            return Err(error);
        }
        let (place, files) = imported.map_err(|error| self.import_error(folder, error))?;
        let (first, last) = (range_of(run[0]), range_of(run[run.len() - 1]));
        let newest = run[run.len() - 1].last();
        Ok(FileSnapshot {
            checkpoint: newest.map_or(self.checkpoint, |file| file.handle.checkpoint),
            max_parallelism: self.context.max_parallelism,
            range: KeyGroupRange {
                start: first.start,
                end: last.end,
            },
            states: states.to_vec(),
            folder: place,
            files,
            spilled: None,
        })
    }

    /// What the files of one former subtask say of some key groups.
    fn slice(
        &self,
        chain: Chain<'_, '_>,
        range: KeyGroupRange,
    ) -> Result<Vec<StateSnapshot>, RestoreError> {
        let mut parts = Vec::with_capacity(chain.len());
        for file in chain {
            parts.push(self.groups(file, range)?);
        }
        let merged = merge_snapshots(self.context.max_parallelism, range, parts);
        merged.map_err(|source| self.state_error(source))
    }

    fn import_error(&self, folder: PathBuf, error: ColdError) -> RestoreError {
        match error {
            // The bytes are those that were written, and mean nothing.
            ColdError::Codec(source) => self.state_error(StateError::Decode {
                state: "*".to_owned(),
                source,
            }),
            error => self.local_error(folder, io::Error::other(error)),
        }
    }

    fn state_error(&self, source: StateError) -> RestoreError {
        RestoreError::Operator {
            operator: Arc::clone(&self.context.name),
            checkpoint: self.checkpoint,
            source: Box::new(OperatorError::State(source)),
        }
    }
}

/// The states by their names; none if one of them was written in two encodings.
fn in_one_encoding<'m>(metas: impl Iterator<Item = &'m StateMeta>) -> Option<Vec<StateMeta>> {
    let mut states = BTreeMap::<&str, &StateMeta>::new();
    for meta in metas {
        if *states.entry(&meta.name).or_insert(meta) != meta {
            return None;
        }
    }
    Some(states.into_values().cloned().collect())
}

/// Whether a file continues the one before it.
fn continues(before: &KeyedFile<'_>, next: &KeyedFile<'_>) -> bool {
    next.contents.base().is_some() && next.wanted == before.wanted
}

/// The key groups of a chain: those of each of its files. There is one at least.
fn range_of(chain: Chain<'_, '_>) -> KeyGroupRange {
    chain[0].wanted
}

fn adjoin(before: KeyGroupRange, next: KeyGroupRange) -> bool {
    u32::from(before.end) + 1 == u32::from(next.start)
}

/// Cuts the key groups of a chain into parts that are read at a time.
fn slices(chain: Chain<'_, '_>) -> Vec<KeyGroupRange> {
    let mut slices: Vec<KeyGroupRange> = Vec::new();
    let mut bytes: u64 = 0;
    for group in range_of(chain).iter() {
        let own = chain.iter().map(|file| file.contents.bytes_of(group));
        let own = own.fold(0, u64::saturating_add);
        bytes = bytes.saturating_add(own);
        match slices.last_mut() {
            Some(last) if bytes <= SLICE_BYTES => last.end = group.0,
            _ => {
                bytes = own;
                slices.push(KeyGroupRange {
                    start: group.0,
                    end: group.0,
                });
            }
        }
    }
    slices
}

#[cfg(test)]
mod tests;
