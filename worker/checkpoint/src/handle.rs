//! What a subtask reports of its snapshot, and what a subtask is restored from: pure data that
//! names objects.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use weir_state::StateMeta;
use weir_types::{CheckpointId, KeyGroupRange, OperatorId, SubtaskIndex};

/// A stored object: its name relative to the folder that the metadata's kind says (a checkpoint's
/// is relative to the job's state folder, as it shares objects with other checkpoints; a
/// savepoint's to the savepoint's own folder, so that it can be copied elsewhere).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectRef {
    /// The name.
    pub path: String,
    /// How many bytes it has.
    pub size: u64,
    /// [`weir_types::hash128`] of all of them.
    pub checksum: u128,
}

/// Bytes of a snapshot: in an object, or, if they are few, right here (Flink's
/// `ByteStreamStateHandle`), which spares an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stored {
    /// The bytes themselves.
    Inline(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Where they are.
    Object(ObjectRef),
    /// The files of a database, of keyed state alone (Flink's
    /// `IncrementalRemoteKeyedStateHandle`).
    Files(Vec<StoredFile>),
}

/// A file of a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    /// Its name in the database's folder.
    pub name: String,
    /// The checkpoint that it was first stored for.
    pub checkpoint: CheckpointId,
    /// Whether it never changes: later checkpoints refer to it again.
    pub shared: bool,
    /// Its bytes.
    pub content: FileContent,
}

/// The bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileContent {
    /// The bytes themselves.
    Inline(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Where they are.
    Object(ObjectRef),
}

impl FileContent {
    /// How many bytes there are.
    pub fn size(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Object(object) => object.size,
        }
    }

    /// The object, if it is one.
    pub fn object(&self) -> Option<&ObjectRef> {
        match self {
            Self::Inline(_) => None,
            Self::Object(object) => Some(object),
        }
    }
}

impl StoredFile {
    /// Whether a database can have a file of this name: it names a place in the database's folder,
    /// and nowhere else.
    pub fn has_good_name(&self) -> bool {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-=".contains(&byte);
        !self.name.is_empty() && !self.name.starts_with('.') && self.name.bytes().all(plain)
    }
}

impl Stored {
    /// How many bytes there are.
    pub fn size(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Object(object) => object.size,
            Self::Files(files) => files.iter().map(|file| file.content.size()).sum(),
        }
    }

    /// All objects that hold the bytes.
    pub fn objects(&self) -> impl Iterator<Item = &ObjectRef> {
        let (one, files) = match self {
            Self::Inline(_) => (None, &[][..]),
            Self::Object(object) => (Some(object), &[][..]),
            Self::Files(files) => (None, &files[..]),
        };
        let files = files.iter().filter_map(|file| file.content.object());
        one.into_iter().chain(files)
    }
}

/// One file of keyed state: a full snapshot, or what changed since another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyedHandle {
    /// The file, in the format of [`crate::keyed_file`], or those of a database.
    pub stored: Stored,
    /// The checkpoint that it was first written for.
    pub checkpoint: CheckpointId,
    /// The file that it continues; none: it is a full one.
    pub base: Option<CheckpointId>,
    /// The key groups that count; what the file says of others is to be passed over.
    pub range: KeyGroupRange,
    /// The job's number of key groups.
    pub max_parallelism: u32,
    /// The states in it, for checks before anything runs.
    pub states: Vec<StateMeta>,
}

impl KeyedHandle {
    /// Its objects that were stored for another checkpoint than this one.
    pub fn reused(&self, checkpoint: CheckpointId) -> impl Iterator<Item = &ObjectRef> {
        let whole = match &self.stored {
            Stored::Object(object) if self.checkpoint != checkpoint => Some(object),
            _ => None,
        };
        let files = match &self.stored {
            Stored::Files(files) => &files[..],
            Stored::Inline(_) | Stored::Object(_) => &[],
        };
        let older = files
            .iter()
            .filter(move |file| file.checkpoint != checkpoint);
        whole
            .into_iter()
            .chain(older.filter_map(|file| file.content.object()))
    }
}

/// What one operator of one subtask has put into a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorSubtaskState {
    /// The operator.
    pub operator: OperatorId,
    /// Files of keyed state, in the order in which they are to be read: a full one first.
    pub keyed: Vec<KeyedHandle>,
    /// A `weir_state::OperatorSnapshot`, encoded.
    pub operator_state: Option<Stored>,
    /// What the operator itself keeps (split states, prepared transactions): a map from names to
    /// bytes, encoded.
    pub raw: Option<Stored>,
    /// Whether the sink in it still has prepared results that it must commit. Leaving out such an
    /// operator on restore would lose them.
    pub uncommitted: bool,
}

/// What one subtask has put into a checkpoint: the content of its acknowledgement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubtaskState {
    /// By operator of its chain.
    pub operators: Vec<OperatorSubtaskState>,
    /// It had processed all its input: restored, it has nothing to read and nothing to say.
    pub ended: bool,
}

impl SubtaskState {
    /// All objects that it names.
    pub fn objects(&self) -> impl Iterator<Item = &ObjectRef> {
        self.operators.iter().flat_map(|operator| {
            let keyed = operator.keyed.iter().map(|keyed| &keyed.stored);
            let others = operator.operator_state.iter().chain(&operator.raw);
            keyed.chain(others).flat_map(Stored::objects)
        })
    }
}

/// How a subtask's part of a checkpoint went (Flink's `CheckpointMetrics`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotMetrics {
    /// From the trigger on the JobManager's clock to the first barrier, in microseconds.
    pub start_delay_us: u64,
    /// From the first barrier to the last.
    pub alignment_us: u64,
    /// Bytes that waited in blocked channels when the last barrier came.
    pub alignment_bytes: u64,
    /// How long the task stood still for the snapshot.
    pub sync_us: u64,
    /// From then until all was stored.
    pub async_us: u64,
    /// Bytes that this checkpoint stored anew.
    pub written_bytes: u64,
    /// Bytes of all that it refers to.
    pub full_bytes: u64,
}

/// What one operator of one subtask is restored from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorRestore {
    /// Files of keyed state that hold key groups of this subtask, each former subtask's in the
    /// order in which they are to be read.
    pub keyed: Vec<KeyedHandle>,
    /// The operator state of *all* former subtasks, by their indices: to take a part of it needs
    /// all of it. All subtasks of the operator have the same, and share it within a process.
    pub operator_state: Arc<[(SubtaskIndex, Stored)]>,
    /// How many former subtasks there were.
    pub former_parallelism: u32,
    /// What the former subtasks that this one continues kept for themselves.
    pub raw: Vec<(SubtaskIndex, Stored)>,
}

/// What one subtask is restored from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubtaskRestore {
    /// The checkpoint or savepoint.
    pub checkpoint: CheckpointId,
    /// The folder that objects' names are relative to: a store's address and a folder in it.
    pub base: String,
    /// Whether the objects there belong to this job's own checkpoints, so that later ones may
    /// refer to them again.
    pub own: bool,
    /// By operator.
    pub operators: Vec<(OperatorId, OperatorRestore)>,
    /// It had processed all its input.
    pub ended: bool,
}
