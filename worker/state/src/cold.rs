//! The tier below the tables: what holds the entries that memory has no room for.
//!
//! A table stays what operators work with. Under it may lie a [`ColdTier`], which knows bytes only:
//! entries by state and key. The table writes to it what has changed, in the order in which it was
//! frozen, drops whole key groups from memory once they are written, and reads single entries back
//! when a record asks for them. With memory for all state the tier is written for checkpoints and
//! never read.
//!
//! Keys are `key group (2 bytes, big-endian) ‖ key ‖ namespace [‖ user key]`, the latter in the
//! encoding that the state's format version names. Each of these encodings says where it ends, so
//! that the entries of one map lie side by side and no key is the beginning of another. Of timers,
//! key and namespace stand behind the time, so that they lie in the order in which they are due.

mod sorted;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use weir_types::{CheckpointId, ExecutionAttemptId, KeyGroup, KeyGroupRange, OperatorId};

use crate::codec::CodecError;
use crate::give_way::IdleTime;
use crate::snapshot::{GroupBlock, StateMeta, StateSnapshot};
use crate::spilled::{SpillFile, Spilled, SpilledBlock};

pub use self::sorted::ChangeSorter;

/// Number of a state in a tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ColdStateId(pub u32);

/// What went wrong below the tables.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ColdError {
    /// The machine's fault: the same work may succeed on another one.
    #[error(
        "{action} in the local state folder {}: the disk is full ({cause}); free space there, or \
         give the worker another folder",
        folder.display()
    )]
    DiskFull {
        /// What was tried.
        action: &'static str,
        /// Where.
        folder: PathBuf,
        /// In the store's words.
        cause: String,
    },
    /// Anything else.
    #[error("{action} in the local state folder {}: {cause}", folder.display())]
    Failed {
        /// What was tried.
        action: &'static str,
        /// Where.
        folder: PathBuf,
        /// In the store's words.
        cause: String,
    },
    /// Files were given to a backend that has nothing to read them with.
    #[error(
        "restore keyed state from the files of a database: the backend that keeps all state in \
         memory cannot read them; run the job with the backend that wrote them and take a \
         savepoint, which any backend reads"
    )]
    NoTier,
    /// Bytes that are not what was written.
    #[error("{0}")]
    Codec(#[from] CodecError),
}

/// Changes of one state, to be written behind everything that was written before.
#[derive(Debug)]
pub struct ColdBatch {
    /// The state.
    pub state: ColdStateId,
    /// Blocks as in a snapshot. A key may occur several times, a key group too: what comes later
    /// is newer.
    pub blocks: Vec<GroupBlock>,
}

/// What a snapshot of a tier is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColdSnapshotKind {
    /// All entries.
    Blocks,
    /// The files they lie in.
    Files {
        /// It comes ahead of another one: that one, and not this, is to be quick.
        ahead: bool,
    },
}

/// A snapshot of a tier.
#[derive(Clone, Debug)]
pub enum ColdSnapshot {
    /// All entries, by state, key groups in order.
    Blocks(Vec<(ColdStateId, Vec<GroupBlock>)>),
    /// The same on the local disk.
    Spilled {
        /// The file they lie in.
        file: Arc<dyn SpillFile>,
        /// By state, key groups in order.
        states: Vec<(ColdStateId, Vec<SpilledBlock>)>,
    },
    /// The files they lie in.
    Files {
        /// The folder, which is nobody else's until the checkpoint is confirmed or aborted.
        folder: PathBuf,
        /// Its files.
        files: Vec<SnapshotFile>,
        /// Whether all of it can be read from the tier, too. If not, then once [`ColdTier::flush`]
        /// has returned.
        readable: bool,
    },
}

impl ColdSnapshot {
    /// Whether what is in it can be read from the tier, too.
    pub(crate) fn is_readable(&self) -> bool {
        match self {
            Self::Files { readable, .. } => *readable,
            Self::Blocks(_) | Self::Spilled { .. } => true,
        }
    }
}

/// A file of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotFile {
    /// Its name in the snapshot's folder.
    pub name: String,
    /// How many bytes it has.
    pub bytes: u64,
    /// It never changes: a file with the same name in another snapshot of the same attempt is this
    /// one, so that it is uploaded once.
    pub shared: bool,
    /// It only grows: one that has as many bytes, too, is this one.
    pub grows: bool,
}

/// The keyed state of one subtask at a barrier, on the local disk: the files of its tier, or its
/// entries in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSnapshot {
    /// The checkpoint it belongs to.
    pub checkpoint: CheckpointId,
    /// The job's number of key groups.
    pub max_parallelism: u32,
    /// The subtask's key groups. Whoever reads the files passes over all others.
    pub range: KeyGroupRange,
    /// The states in the files.
    pub states: Vec<StateMeta>,
    /// Where the tier's files are.
    pub folder: PathBuf,
    /// The tier's files.
    pub files: Vec<SnapshotFile>,
    /// All entries, instead of files. Then it is to be stored, and opened by nobody.
    pub spilled: Option<Arc<Spilled>>,
}

/// Figures of a tier, for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColdStats {
    /// Bytes given to it that are not written yet.
    pub pending_bytes: u64,
    /// Entries and removals written.
    pub written_entries: u64,
    /// Keys that were looked up.
    pub read_keys: u64,
    /// What the store itself reports, by name.
    pub figures: Vec<(&'static str, u64)>,
}

/// Takes what a read finds: the place of the key among those asked for, and its value.
pub type Found<'a> = &'a mut dyn FnMut(usize, &[u8]) -> Result<(), CodecError>;

/// Takes key and value of each entry of a scan; false ends it.
pub type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<bool, CodecError>;

/// Holds entries on disk for one operator of one subtask. Methods are called by the subtask's
/// thread alone; the tier has threads of its own for what takes long.
pub trait ColdTier: Send + Sync + fmt::Debug {
    /// The states that the tier was restored with.
    fn restored(&self) -> Vec<(StateMeta, ColdStateId)>;

    /// Makes room for a state. One that is there already with this name is to be read as `meta`
    /// from now on.
    fn open_state(&self, meta: &StateMeta) -> Result<ColdStateId, ColdError>;

    /// Values of this state that were last used at this time (in milliseconds since 1970) or before
    /// may vanish, whenever it suits: [`crate::TimedValues`] tells which. Nobody will miss them.
    fn expire(&self, state: ColdStateId, meta: &StateMeta, until_ms: i64);

    /// Takes changes and writes them on another thread, in the order of these calls. An error may
    /// be that of an earlier batch.
    fn write(&self, batch: ColdBatch) -> Result<(), ColdError>;

    /// What was given so far is to be written without waiting for more to come.
    fn write_soon(&self) -> Result<(), ColdError> {
        Ok(())
    }

    /// Waits until everything given so far can be read.
    fn flush(&self) -> Result<(), ColdError>;

    /// Threads of its own are to give way to the records of this subtask.
    fn give_way_to(&self, subtask: Arc<dyn IdleTime>) {
        let _ = subtask;
    }

    /// Bytes given and not written yet.
    fn pending_bytes(&self) -> usize;

    /// Memory that it takes, with what is pending: it counts in the limit of the tables.
    fn memory_bytes(&self) -> usize {
        self.pending_bytes()
    }

    /// Reads entries. The keys are sorted and differ.
    fn get(&self, state: ColdStateId, keys: &[&[u8]], found: Found) -> Result<(), ColdError>;

    /// Reads the entries whose keys begin with `prefix`, in order and from `from` on, which begins
    /// so itself. They are those that were written when [`Self::flush`] last returned, at least.
    fn scan(
        &self,
        state: ColdStateId,
        prefix: &[u8],
        from: &[u8],
        visit: Visit,
    ) -> Result<(), ColdError>;

    /// Begins a snapshot of what was given so far, and of nothing newer.
    fn snapshot_begin(
        &self,
        checkpoint: CheckpointId,
        kind: ColdSnapshotKind,
    ) -> Result<(), ColdError>;

    /// So many bytes the next snapshot that comes ahead of another one will store anew, beside what
    /// changes until then.
    fn ahead_extra_bytes(&self) -> usize {
        0
    }

    /// The snapshot that was begun, if it is ready; `wait`: once it is, and soon.
    fn snapshot_take(&self, wait: bool) -> Result<Option<ColdSnapshot>, ColdError>;

    /// The checkpoint is stored elsewhere: its files, and those of earlier ones, may go.
    fn confirm(&self, checkpoint: CheckpointId);

    /// The checkpoint will never be complete: its files may go.
    fn abort(&self, checkpoint: CheckpointId);

    /// Figures for metrics.
    fn stats(&self) -> ColdStats;
}

/// Appends an entry to a block, for tiers that make one of their content.
pub fn append_entry(key: &[u8], value: &[u8], block: &mut Vec<u8>) {
    crate::table::record::append_put(block, key, value);
}

/// The bytes that the keys of a key group begin with.
pub fn group_prefix(group: KeyGroup) -> [u8; 2] {
    group.0.to_be_bytes()
}

/// How much memory the tables of a slot may take together. Each backend in the slot gets the same
/// share.
#[derive(Debug)]
pub struct MemoryBudget {
    limit: usize,
    users: AtomicUsize,
}

impl MemoryBudget {
    /// A budget of so many bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            users: AtomicUsize::new(0),
        })
    }

    /// The share of one more user, for as long as that is kept.
    pub fn share(self: &Arc<Self>) -> MemoryShare {
        self.users.fetch_add(1, Ordering::Relaxed);
        MemoryShare {
            budget: Arc::clone(self),
        }
    }
}

/// A part of a [`MemoryBudget`].
#[derive(Debug)]
pub struct MemoryShare {
    budget: Arc<MemoryBudget>,
}

impl MemoryShare {
    /// How many bytes that is now.
    pub fn bytes(&self) -> usize {
        self.budget.limit / self.budget.users.load(Ordering::Relaxed).max(1)
    }
}

impl Drop for MemoryShare {
    fn drop(&mut self) {
        self.budget.users.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a keyed backend is to be opened for.
#[derive(Clone, Debug)]
pub struct BackendRequest {
    /// The operator.
    pub operator: OperatorId,
    /// The attempt: local folders carry it.
    pub attempt: ExecutionAttemptId,
    /// The job's number of key groups.
    pub max_parallelism: u32,
    /// The key groups of this subtask.
    pub key_groups: KeyGroupRange,
    /// Files to begin with, on the local disk; they may be those of any number of subtasks. They
    /// are linked or copied, never changed.
    pub files: Vec<FileSnapshot>,
}

/// A tier and the memory that the tables over it may take.
#[derive(Debug)]
pub struct ColdSetup {
    /// The tier.
    pub tier: Arc<dyn ColdTier>,
    /// The memory.
    pub memory: MemoryShare,
}

/// Makes what keyed state lies on. Lent to operators by whoever deploys them.
pub trait StateBackendFactory: Send + Sync + fmt::Debug {
    /// The tier for one operator of one subtask; none: memory is all there is.
    fn open(&self, request: &BackendRequest) -> Result<Option<ColdSetup>, ColdError>;

    /// A local folder for the files that a request brings: where they can be linked from. None: it
    /// takes no files.
    fn scratch(&self) -> Result<Option<PathBuf>, ColdError> {
        Ok(None)
    }

    /// Whoever makes files for requests out of entries that may be more than memory holds. None:
    /// entries are to be given to the backend as they are.
    fn importer(&self) -> Option<&dyn ColdImporter> {
        None
    }

    /// What is in the request's files, if there is no tier to open them. None: it takes no files.
    fn read_files(
        &self,
        request: &BackendRequest,
    ) -> Result<Option<Vec<StateSnapshot>>, ColdError> {
        let _ = request;
        Ok(None)
    }
}

/// Gives the next key groups of all states; None behind the last ones.
pub type NextGroups<'a> = &'a mut dyn FnMut() -> Result<Option<Vec<StateSnapshot>>, ColdError>;

/// Makes the files of a tier out of entries, of which only a few key groups are in memory.
pub trait ColdImporter {
    /// Makes files in an empty folder of the caller's, which must be there until somebody has
    /// opened them. The states are all that come; key groups come in order, each once. Gives the
    /// folder that the files lie in, and the files. After an error nothing there is of any use.
    fn import(
        &self,
        folder: &Path,
        states: &[StateMeta],
        next: NextGroups<'_>,
    ) -> Result<(PathBuf, Vec<SnapshotFile>), ColdError>;
}

/// All keyed state in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeapFactory;

impl StateBackendFactory for HeapFactory {
    fn open(&self, _request: &BackendRequest) -> Result<Option<ColdSetup>, ColdError> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What makes a map's entries adjacent, and a scan of one map end with it.
        #[test]
        fn no_encoded_key_begins_with_another(
            a in any::<(u64, String, i64)>(), b in any::<(u64, String, i64)>(),
        ) {
            let bytes = |key: &(u64, String, i64)| {
                let mut out = Vec::new();
                crate::codec::encode(key, &mut out).unwrap();
                out
            };
            prop_assert_eq!(bytes(&b).starts_with(&bytes(&a)), a == b);
        }
    }

    #[test]
    fn a_budget_is_shared_by_those_who_are_there() {
        let budget = MemoryBudget::new(100);
        let first = budget.share();
        assert_eq!(first.bytes(), 100);
        let second = budget.share();
        assert_eq!((first.bytes(), second.bytes()), (50, 50));
        drop(second);
        assert_eq!(first.bytes(), 100);
    }
}
