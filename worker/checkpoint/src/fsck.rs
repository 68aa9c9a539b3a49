//! Whether a kept snapshot is complete: each object that its metadata names is there, with its size
//! and checksum, and is what it should be. What to read and what to think of it; somebody else
//! reads.

use weir_state::OperatorSnapshot;
use weir_types::{CheckpointId, SubtaskIndex, hash128};

use crate::blob::{self, RawState};
use crate::collector::place;
use crate::handle::{KeyedHandle, ObjectRef, OperatorSubtaskState, Stored};
use crate::keyed_file;
use crate::metadata::{CheckpointMetadata, sha256_hex};
use crate::pointer::SnapshotRef;

/// What an object holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Keyed {
        checkpoint: CheckpointId,
        base: Option<CheckpointId>,
    },
    Operator,
    Raw,
    /// A file of a database, whose own checksums its reader checks.
    File,
}

/// Where bytes are.
enum Piece<'a> {
    Inline(&'a [u8]),
    Object(&'a ObjectRef),
}

/// An object to verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name, relative to the job's state folder.
    pub path: String,
    /// The size that the metadata says.
    pub size: u64,
    /// The checksum that the metadata says.
    pub checksum: u128,
    /// The operator whose state it is, for people.
    pub operator: String,
    /// The subtask whose state it is.
    pub subtask: SubtaskIndex,
    content: Content,
}

/// What came of one object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// It is not there.
    #[error("`{path}` is missing")]
    Missing {
        /// The object.
        path: String,
    },
    /// It has another size.
    #[error("`{path}` has {found} bytes and should have {expected}")]
    Size {
        /// The object.
        path: String,
        /// What the metadata says.
        expected: u64,
        /// What it has.
        found: u64,
    },
    /// Its bytes are others than were written.
    #[error("`{path}` was damaged: its checksum does not match")]
    Checksum {
        /// The object.
        path: String,
    },
    /// Its bytes are those that were written, and make no sense.
    #[error("`{path}` is not what it should be: {cause}")]
    Content {
        /// The object.
        path: String,
        /// What is wrong.
        cause: String,
    },
}

/// What came of a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many objects were verified.
    pub objects: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// What is wrong. Empty: the snapshot can be restored.
    pub defects: Vec<Defect>,
}

/// Whether the bytes of `_metadata` are those that the pointer names.
pub fn verify_metadata(snapshot: &SnapshotRef, bytes: &[u8]) -> Result<(), Defect> {
    let path = format!("{}/{}", snapshot.path, crate::collector::METADATA);
    if bytes.len() as u64 != snapshot.size {
        return Err(Defect::Size {
            path,
            expected: snapshot.size,
            found: bytes.len() as u64,
        });
    }
    if sha256_hex(bytes) != snapshot.sha256 {
        return Err(Defect::Checksum { path });
    }
    Ok(())
}

/// The objects of a snapshot in the folder `path`, each once. What is wrong with bytes that lie
/// in the metadata itself comes at once.
pub fn checks(path: &str, metadata: &CheckpointMetadata) -> (Vec<Check>, Vec<Defect>) {
    let mut checks: Vec<Check> = Vec::new();
    let mut defects = Vec::new();
    for operator in &metadata.operators {
        for (subtask, state) in &operator.subtasks {
            for (piece, content) in parts(state) {
                match piece {
                    Piece::Inline(bytes) => {
                        let name = format!("{} of `{}`", content.name(), operator.name);
                        if let Err(cause) = content.verify(bytes) {
                            defects.push(Defect::Content { path: name, cause });
                        }
                    }
                    Piece::Object(object) => {
                        let ObjectRef { size, checksum, .. } = *object;
                        checks.push(Check {
                            path: place(path, metadata.kind, object),
                            size,
                            checksum,
                            operator: operator.name.clone(),
                            subtask: *subtask,
                            content,
                        });
                    }
                }
            }
        }
    }
    checks.sort_by(|a, b| a.path.cmp(&b.path));
    checks.dedup_by(|a, b| (&a.path, a.size, a.checksum) == (&b.path, b.size, b.checksum));
    (checks, defects)
}

fn parts(state: &OperatorSubtaskState) -> Vec<(Piece<'_>, Content)> {
    let mut parts = Vec::new();
    for handle in &state.keyed {
        let KeyedHandle {
            stored,
            checkpoint,
            base,
            ..
        } = handle;
        let content = Content::Keyed {
            checkpoint: *checkpoint,
            base: *base,
        };
        add(stored, content, &mut parts);
    }
    if let Some(stored) = &state.operator_state {
        add(stored, Content::Operator, &mut parts);
    }
    if let Some(stored) = &state.raw {
        add(stored, Content::Raw, &mut parts);
    }
    parts
}

fn add<'a>(stored: &'a Stored, content: Content, parts: &mut Vec<(Piece<'a>, Content)>) {
    match stored {
        Stored::Inline(bytes) => parts.push((Piece::Inline(bytes), content)),
        Stored::Object(object) => parts.push((Piece::Object(object), content)),
        // The few bytes that lie in the metadata are covered by its checksum.
        Stored::Files(files) => {
            let objects = files.iter().filter_map(|file| file.content.object());
            parts.extend(objects.map(|object| (Piece::Object(object), Content::File)));
        }
    }
}

impl Content {
    fn name(self) -> &'static str {
        match self {
            Self::Keyed { .. } => "the keyed state",
            Self::Operator => "the operator state",
            Self::Raw => "the raw state",
            Self::File => "a file of the keyed state",
        }
    }

    fn verify(self, bytes: &[u8]) -> Result<(), String> {
        match self {
            Self::Keyed { checkpoint, base } => {
                let file = keyed_file::decode(bytes).map_err(|e| weir_types::causes(&e))?;
                if (file.checkpoint, file.base) == (checkpoint, base) {
                    Ok(())
                } else {
                    Err(format!(
                        "it is keyed state of checkpoint {}, should be of {checkpoint}",
                        file.checkpoint
                    ))
                }
            }
            Self::Operator => blob::decode::<OperatorSnapshot>(bytes)
                .map(drop)
                .map_err(|e| weir_types::causes(&e)),
            Self::Raw => blob::decode::<RawState>(bytes)
                .map(drop)
                .map_err(|e| weir_types::causes(&e)),
            Self::File => Ok(()),
        }
    }
}

impl Check {
    /// What a look at the object's size tells: enough to find what is missing or cut off without
    /// reading it. `None`: there is no such object.
    pub fn verify_size(&self, found: Option<u64>) -> Result<(), Defect> {
        let path = || self.path.clone();
        match found {
            None => Err(Defect::Missing { path: path() }),
            Some(found) if found != self.size => Err(Defect::Size {
                path: path(),
                expected: self.size,
                found,
            }),
            Some(_) => Ok(()),
        }
    }

    /// What the object's bytes tell.
    pub fn verify(&self, bytes: &[u8]) -> Result<(), Defect> {
        self.verify_size(Some(bytes.len() as u64))?;
        let path = || self.path.clone();
        if hash128(bytes) != self.checksum {
            return Err(Defect::Checksum { path: path() });
        }
        let content = self.content.verify(bytes);
        content.map_err(|cause| Defect::Content {
            path: path(),
            cause,
        })
    }
}

impl Report {
    /// Counts one object with its verdict in.
    pub fn add(&mut self, check: &Check, verdict: Result<(), Defect>) {
        self.objects += 1;
        self.bytes += check.size;
        self.defects.extend(verdict.err());
    }
}

#[cfg(test)]
mod tests;
