//! Reads a subtask's part of a checkpoint and gives it to its operators, before they are opened.
//!
//! It runs on the subtask's own thread, which has nothing else to do yet. Whatever cannot be read
//! or does not have the right size and checksum fails the subtask: it never starts with less than
//! the checkpoint holds.

mod files;
mod import;
mod keyed;
mod objects;
mod transfers;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use weir_checkpoint::EnvelopeError;
use weir_checkpoint::blob::{self, BlobError};
use weir_checkpoint::handle::{ObjectRef, OperatorRestore, Stored, SubtaskRestore};
use weir_checkpoint::keyed_file::KeyedFileError;
use weir_state::{StateError, own_part};
use weir_storage::{PathError, StoreError, StoreErrorKind};
use weir_stream::source::AnySource;
use weir_stream::{OperatorContext, OperatorError, OperatorSnapshot};
use weir_types::{CheckpointId, FaultClass, KeyGroupRange, OperatorId, SubtaskIndex};

use crate::chain::OperatorChain;
use crate::deployment::TaskCheckpoints;
use crate::fault::operator_class;

pub(crate) use self::files::LocalFiles;
use self::objects::Objects;
pub(crate) use self::objects::Sources;

/// A subtask cannot be restored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreError {
    #[error("restore checkpoint {checkpoint}: the job runs without checkpoints")]
    Off { checkpoint: CheckpointId },
    #[error("restore checkpoint {checkpoint}: open `{base}`")]
    Open {
        checkpoint: CheckpointId,
        base: String,
        source: Box<StoreError>,
    },
    #[error("restore operator `{operator}` from checkpoint {checkpoint}: {what}")]
    Read {
        operator: Arc<str>,
        checkpoint: CheckpointId,
        /// The object, or that it is part of the metadata.
        what: String,
        source: Box<ReadError>,
    },
    #[error("restore operator `{operator}` from checkpoint {checkpoint}: deal out its lists")]
    Deal {
        operator: Arc<str>,
        checkpoint: CheckpointId,
        source: Box<StateError>,
    },
    #[error("restore operator `{operator}` from checkpoint {checkpoint}")]
    Operator {
        operator: Arc<str>,
        checkpoint: CheckpointId,
        source: Box<OperatorError>,
    },
}

/// An object cannot be read, or is not what was written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Path(PathError),
    #[error(transparent)]
    Store(StoreError),
    #[error("it has {found} bytes, the checkpoint says {want}")]
    Size { found: u64, want: u64 },
    #[error("its checksum is {found:032x}, the checkpoint says {want:032x}")]
    Checksum { found: u128, want: u128 },
    #[error(transparent)]
    Keyed(KeyedFileError<FetchError>),
    #[error("its key groups {found} of {max_parallelism} are not those of the checkpoint")]
    KeyGroups {
        found: KeyGroupRange,
        max_parallelism: u32,
    },
    #[error(transparent)]
    Blob(BlobError),
    #[error("a database has no file of this name")]
    Name,
    #[error("it is the files of a database, where one object should be")]
    Files,
    #[error("use the local file {}", path.display())]
    Local { path: PathBuf, source: io::Error },
}

impl ReadError {
    /// Whether the object is gone, or its bytes are not those that were written. One that another
    /// version wrote is neither.
    fn is_damage(&self) -> bool {
        let is_gone = |error: &StoreError| {
            matches!(
                error.kind,
                StoreErrorKind::NotFound | StoreErrorKind::Truncated
            )
        };
        match self {
            Self::Size { .. } | Self::Checksum { .. } => true,
            Self::Store(error) => is_gone(error),
            Self::Keyed(error) => match error {
                KeyedFileError::Read { source, .. } => match source {
                    FetchError::Store(error) => is_gone(error),
                    FetchError::Range(_) => true,
                    FetchError::Local(_) => false,
                },
                KeyedFileError::ShortRead { .. }
                | KeyedFileError::Size { .. }
                | KeyedFileError::Block { .. } => true,
                KeyedFileError::Envelope(error) => is_other(error),
                KeyedFileError::Index(_) | KeyedFileError::Range { .. } => false,
            },
            Self::Blob(BlobError::Envelope(error)) => is_other(error),
            Self::Blob(BlobError::Body { .. })
            | Self::Path(_)
            | Self::KeyGroups { .. }
            | Self::Name
            | Self::Files
            | Self::Local { .. } => false,
        }
    }
}

/// Whether bytes are other ones than were written.
fn is_other(error: &EnvelopeError) -> bool {
    !matches!(error, EnvelopeError::Version { .. })
}

/// Reading a range of an object.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("read the local copy")]
    Local(#[source] io::Error),
    #[error("it has {0} bytes")]
    Range(usize),
}

impl RestoreError {
    /// What a person can do if the snapshot will stay as it is: some of it is damaged or gone.
    pub(crate) fn next_step(&self) -> Option<&'static str> {
        let lasts = [FaultClass::NonRecoverable, FaultClass::StateDamaged];
        let stays = matches!(self, Self::Read { .. }) && lasts.contains(&self.class());
        stays.then_some(
            "repair it, or restore an older snapshot by name: `weir checkpoints ls` shows which \
             there are, `--restore PATH --rewind` restores one, and so does `spec.restore` with `from: \
             Path` and a new `nonce` on Kubernetes; results since then are written once more",
        )
    }

    /// Trying again helps against an outage, not against an object that is gone or damaged.
    pub(crate) fn class(&self) -> FaultClass {
        if let Self::Read { source, .. } = self {
            match &**source {
                ReadError::Local { .. } => return FaultClass::Environment,
                error if error.is_damage() => return FaultClass::StateDamaged,
                _ => {}
            }
        }
        let store = match self {
            Self::Open { source, .. } => Some(&**source),
            Self::Read { source, .. } => match &**source {
                ReadError::Store(error)
                | ReadError::Keyed(KeyedFileError::Read {
                    source: FetchError::Store(error),
                    ..
                }) => Some(error),
                _ => None,
            },
            Self::Operator { source, .. } => {
                return match (operator_class(source), &**source) {
                    (FaultClass::Recoverable, OperatorError::State(_)) => {
                        FaultClass::NonRecoverable
                    }
                    (class, _) => class,
                };
            }
            Self::Off { .. } | Self::Deal { .. } => None,
        };
        match store.map(|error| error.kind) {
            Some(StoreErrorKind::Unavailable | StoreErrorKind::Other | StoreErrorKind::Denied) => {
                FaultClass::Recoverable
            }
            _ => FaultClass::NonRecoverable,
        }
    }
}

/// What a subtask was given to go on from.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    /// Must be there until the operators are open.
    pub(crate) files: Vec<LocalFiles>,
    /// How much came from where.
    pub(crate) sources: Sources,
    /// Objects whose local copies were taken as they are.
    pub(crate) unproven: Vec<ObjectRef>,
}

/// Gives the operators of a chain, and its source, what the checkpoint has of them.
pub(crate) fn restore(
    restore: &SubtaskRestore,
    config: Option<&TaskCheckpoints>,
    chain: &mut OperatorChain,
    mut source: Option<&mut dyn AnySource>,
) -> Result<Restored, RestoreError> {
    let checkpoint = restore.checkpoint;
    let config = config.ok_or(RestoreError::Off { checkpoint })?;
    let store = (config.open_base)(&restore.base).map_err(|source| RestoreError::Open {
        checkpoint,
        base: restore.base.clone(),
        source: Box::new(source),
    })?;
    let by_operator: BTreeMap<OperatorId, &OperatorRestore> = restore
        .operators
        .iter()
        .map(|(operator, restore)| (*operator, restore))
        .collect();
    // Names are those of this job's own state folder, or mean something else.
    let copies = config.copies.as_deref().filter(|_| restore.own);
    let objects = Objects::new(&*store, checkpoint, copies);
    let mut files = Vec::new();
    for node in &mut chain.nodes {
        let Some(restore) = by_operator.get(&node.context.operator) else {
            continue;
        };
        let reading = Reading {
            objects: &objects,
            checkpoint,
            context: &node.context,
        };
        let snapshots = reading.snapshots(restore, &mut files)?;
        if snapshots.is_empty() {
            continue;
        }
        let taken = match (&mut node.operator, &mut source) {
            (Some(operator), _) => operator.restore(snapshots),
            (None, Some(source)) => source.restore(snapshots),
            (None, None) => Ok(()),
        };
        taken.map_err(|error| RestoreError::Operator {
            operator: Arc::clone(&node.context.name),
            checkpoint,
            source: Box::new(error),
        })?;
    }
    let (sources, unproven) = objects.end();
    Ok(Restored {
        files,
        sources,
        unproven,
    })
}

/// Reads the state of one operator.
struct Reading<'a> {
    objects: &'a Objects<'a>,
    checkpoint: CheckpointId,
    context: &'a OperatorContext,
}

impl Reading<'_> {
    /// One snapshot for each file of keyed state, in order, or for the files of a database that
    /// were made of them, and for each former subtask that kept something for itself; the first one
    /// has this subtask's part of the operator state.
    fn snapshots(
        &self,
        restore: &OperatorRestore,
        local: &mut Vec<LocalFiles>,
    ) -> Result<Vec<OperatorSnapshot>, RestoreError> {
        let mut snapshots = Vec::new();
        if let Some(state) = self.operator_state(restore)? {
            snapshots.push(OperatorSnapshot {
                operator: Some(state),
                ..OperatorSnapshot::default()
            });
        }
        let (mut keyed, mut databases) = (Vec::new(), Vec::new());
        for handle in &restore.keyed {
            match &handle.stored {
                Stored::Files(files) => databases.push(self.database(handle, files, local)?),
                Stored::Inline(_) | Stored::Object(_) => keyed.push(handle),
            }
        }
        let entries = match self.context.state_backend.importer() {
            Some(importer) => self.import(importer, &keyed, &mut databases, local)?,
            None => self.entries(&keyed)?,
        };
        for files in databases {
            snapshots.push(OperatorSnapshot {
                files: Some(files),
                ..OperatorSnapshot::default()
            });
        }
        for keyed in entries {
            snapshots.push(OperatorSnapshot {
                keyed: Some(keyed),
                ..OperatorSnapshot::default()
            });
        }
        for (_, stored) in &restore.raw {
            snapshots.push(OperatorSnapshot {
                raw: self.blob(stored)?,
                ..OperatorSnapshot::default()
            });
        }
        Ok(snapshots)
    }

    /// This subtask's part of the lists and maps of all former subtasks.
    fn operator_state(
        &self,
        restore: &OperatorRestore,
    ) -> Result<Option<weir_state::OperatorSnapshot>, RestoreError> {
        if restore.operator_state.is_empty() {
            return Ok(None);
        }
        let mut former =
            vec![weir_state::OperatorSnapshot::default(); restore.former_parallelism as usize];
        for (SubtaskIndex(subtask), stored) in restore.operator_state.iter() {
            let state = self.blob(stored)?;
            if let Some(place) = former.get_mut(*subtask as usize) {
                *place = state;
            }
        }
        let (parallelism, subtask) = (self.context.parallelism, self.context.attempt.subtask);
        let own = own_part(&former, parallelism as usize, subtask.0 as usize);
        let own = own.map_err(|source| RestoreError::Deal {
            source: Box::new(source),
            operator: Arc::clone(&self.context.name),
            checkpoint: self.checkpoint,
        })?;
        Ok(Some(own).filter(|state| !state.states.is_empty()))
    }

    fn error(&self, stored: &Stored, source: ReadError) -> RestoreError {
        let what = match stored {
            Stored::Inline(_) => "a part that its metadata holds".to_owned(),
            Stored::Object(object) => self.name_of(object),
            Stored::Files(_) => "files of a database".to_owned(),
        };
        self.read_error(what, source)
    }

    fn name_of(&self, object: &ObjectRef) -> String {
        format!("object `{}` in {}", object.path, self.objects.location())
    }

    fn read_error(&self, what: String, source: ReadError) -> RestoreError {
        RestoreError::Read {
            operator: Arc::clone(&self.context.name),
            checkpoint: self.checkpoint,
            what,
            source: Box::new(source),
        }
    }

    fn blob<B: blob::Blob>(&self, stored: &Stored) -> Result<B, RestoreError> {
        let read = || match stored {
            Stored::Inline(bytes) => blob::decode(bytes).map_err(ReadError::Blob),
            Stored::Object(object) => {
                let bytes = self.objects.whole(object)?;
                blob::decode(&bytes).map_err(ReadError::Blob)
            }
            Stored::Files(_) => Err(ReadError::Files),
        };
        read().map_err(|source| self.error(stored, source))
    }
}
