//! The pointer: the one object that says which state of a job is its newest, and who may move it.
//!
//! It is a register of the job's state folder, moved only by compare-and-swap. Whoever leads the
//! job claims the next epoch in it before doing anything else; a checkpoint is complete once the
//! pointer names it; sinks commit after that. Only what it lists is ever restored from, and what it
//! lists is never deleted. A folder's listing decides nothing.

mod encoding;
mod writer;

use serde::{Deserialize, Serialize};
use weir_types::{CheckpointId, Epoch, JobId};

use crate::collector::root_name;

pub use encoding::DecodePointerError;
pub use writer::{Nonces, PointerWriter, ReadResult, SwapResult, WriterAction};

/// The name of the register.
pub const POINTER: &str = "pointer";

/// What begins the names of starts from a snapshot that deployments were issued for.
const ISSUED_RESTORE: &str = "restore-";

/// How many savepoints that were let go of are remembered.
const FORGOTTEN_MAX: usize = 256;

/// Names an operation that a person or the controller asked for, so that asking again finds it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OperationId(pub String);

/// Where a job stands in its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RunState {
    /// It runs, or whoever leads it may run it.
    Running,
    /// The savepoint to stop with is complete; its results are being committed. It never runs again
    /// in this deployment.
    Stopping(OperationId),
    /// It is stopped, all is committed.
    Stopped(OperationId),
    /// It came to the end of its input, all is committed.
    Finished,
    /// It failed for good.
    Failed,
    /// A person cancelled it.
    Cancelled,
    /// A person cancelled it, and its checkpoints were deleted with it. The pointer stays, for its
    /// epoch and its savepoints.
    Deleted,
}

/// Checkpoint or savepoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SnapshotKind {
    /// Taken for the job's own recovery; shares objects with others.
    Checkpoint,
    /// Taken on request; complete in itself, and kept until a person deletes it.
    Savepoint,
}

/// A completed checkpoint or savepoint, as the pointer names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SnapshotRef {
    /// Its number.
    pub id: CheckpointId,
    /// The epoch that took it.
    pub epoch: Epoch,
    /// Which of the two.
    pub kind: SnapshotKind,
    /// Its folder, relative to the job's state folder, which holds `_metadata`.
    pub path: String,
    /// The SHA-256 of its metadata, in hexadecimal digits.
    pub sha256: String,
    /// The size of its metadata, in bytes.
    pub size: u64,
    /// When it completed, in milliseconds since 1970.
    pub completed_ms: i64,
    /// The operation that asked for it.
    pub operation: Option<OperationId>,
}

/// Something else that must not be deleted while an operation is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Root {
    /// The operation.
    pub operation: OperationId,
    /// The folder, relative to the job's state folder.
    pub path: String,
}

/// What a person had a job go back to, though it had newer state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rewind {
    /// Tells it from another one to the same place.
    pub operation: OperationId,
    /// The snapshot's folder. None: no state.
    pub path: Option<String>,
}

/// The pointer's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pointer {
    /// The job: one lineage of state.
    #[serde(with = "encoding::hex_job")]
    pub state_id: JobId,
    /// The operation that started those who may move it.
    pub deployment: u64,
    /// The leader's epoch.
    pub epoch: Epoch,
    /// The leader, for people.
    pub holder: String,
    /// Differs in every write, so that a writer recognizes its own.
    #[serde(with = "encoding::hex")]
    pub nonce: u128,
    /// Where the job stands.
    pub run_state: RunState,
    /// The highest number that was ever given to a checkpoint or savepoint, as far as a write has
    /// told.
    pub last_id: CheckpointId,
    /// The newest completed checkpoint or savepoint: what a restore begins with. None: there never
    /// was one, or none since the job began anew.
    pub latest: Option<SnapshotRef>,
    /// All that are kept, the latest included, oldest first.
    pub retained: Vec<SnapshotRef>,
    /// What open operations need.
    pub roots: Vec<Root>,
    /// The operations whose savepoints were let go of, the newest last: whoever asks for one of
    /// them again, say a manifest that still names it, is told so, and none is taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forgotten: Vec<OperationId>,
    /// The epoch in which the job last began anew. What is kept of earlier epochs is of a branch
    /// that was left behind: nothing goes back to it by itself. None: it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<Epoch>,
    /// What a person last had the job go back to. Started again with the same words, it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewind: Option<Rewind>,
}

impl OperationId {
    /// The start of a job from a snapshot that a person named. `issued`: the deployment that was
    /// issued for it. None: nobody issues any, so that its root is what tells a repeated start from
    /// the first one.
    pub fn of_restore(issued: Option<u64>) -> Self {
        match issued {
            Some(deployment) => Self(format!("{ISSUED_RESTORE}{deployment}")),
            None => Self("restore".to_owned()),
        }
    }

    /// A person's wish to go back, by the name that the person gave it, if any.
    pub fn of_rewind(name: Option<&str>) -> Self {
        match name {
            Some(name) => Self(format!("rewind-{name}")),
            None => Self("rewind".to_owned()),
        }
    }
}

impl RunState {
    /// Whether the job's run in this deployment is over. (`Stopping` is not: it has results to
    /// commit.)
    pub fn is_over(&self) -> bool {
        match self {
            Self::Running | Self::Stopping(_) => false,
            Self::Stopped(_) | Self::Finished | Self::Failed | Self::Cancelled | Self::Deleted => {
                true
            }
        }
    }
}

impl SnapshotKind {
    /// What a person calls it.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoint",
            Self::Savepoint => "savepoint",
        }
    }

    /// The folder of such a snapshot, relative to the job's state folder. It holds the epoch, so
    /// that a leader that has lost the job never writes where its successor does.
    pub fn folder(self, epoch: Epoch, id: CheckpointId) -> String {
        match self {
            Self::Checkpoint => format!("chk-{epoch}-{id}"),
            Self::Savepoint => format!("savepoint-{epoch}-{id}"),
        }
    }
}

impl Pointer {
    /// The number after all that were given.
    pub fn next_id(&self) -> CheckpointId {
        CheckpointId(self.last_id.0 + 1)
    }

    /// The snapshot that an operation asked for, if it is complete and kept.
    pub fn of_operation(&self, operation: &OperationId) -> Option<&SnapshotRef> {
        let mut retained = self.retained.iter();
        retained.find(|snapshot| snapshot.operation.as_ref() == Some(operation))
    }

    /// Why the savepoint of an operation must stay; none: it may go, or is gone.
    pub fn needs(&self, operation: &OperationId) -> Option<&'static str> {
        let snapshot = self.of_operation(operation)?;
        let is_root = |root: &Root| root_name(&root.path) == snapshot.path;
        if snapshot.kind == SnapshotKind::Checkpoint {
            Some("it is a checkpoint: the job itself lets go of those")
        } else if self.latest.as_ref().map(|latest| latest.id) == Some(snapshot.id) {
            Some("it is the newest: the job goes on from it after a failure")
        } else if self.roots.iter().any(is_root) {
            Some("an operation that is open needs it")
        } else {
            None
        }
    }

    /// Lets go of the savepoint of an operation, unless it is needed. False: nothing has changed.
    pub fn forget(&mut self, operation: &OperationId) -> bool {
        if self.needs(operation).is_some() || self.of_operation(operation).is_none() {
            return false;
        }
        self.retained
            .retain(|kept| kept.operation.as_ref() != Some(operation));
        self.forgotten.push(operation.clone());
        let surplus = self.forgotten.len().saturating_sub(FORGOTTEN_MAX);
        self.forgotten.drain(..surplus);
        true
    }

    /// Lets go of all checkpoints for good. Savepoints are a person's: they stay, but none of them
    /// is what a restore begins with by itself, as results after it are published.
    pub fn let_go(&mut self) {
        self.run_state = RunState::Deleted;
        self.latest = None;
        self.retained
            .retain(|kept| kept.kind == SnapshotKind::Savepoint);
        self.roots.clear();
    }

    /// Adds a completed snapshot, which is the newest, and lets go of the oldest checkpoints:
    /// `retained` of them stay, and all savepoints, and what an open operation needs.
    pub fn complete(&mut self, snapshot: SnapshotRef, retained: u32) {
        self.last_id = self.last_id.max(snapshot.id);
        self.retained.push(snapshot.clone());
        self.latest = Some(snapshot);
        self.close_restores();
        let is_checkpoint = |kept: &SnapshotRef| kept.kind == SnapshotKind::Checkpoint;
        let checkpoints = self.retained.iter().filter(|kept| is_checkpoint(kept));
        let mut surplus = checkpoints.count().saturating_sub(retained.max(1) as usize);
        let (latest, roots) = (&self.latest, &self.roots);
        self.retained.retain(|kept| {
            let stays = surplus == 0 || !is_checkpoint(kept);
            surplus -= usize::from(!stays);
            stays
                || latest.as_ref().is_some_and(|latest| latest.id == kept.id)
                || roots.iter().any(|root| root.path == kept.path)
        });
    }

    /// The snapshot that the job was told to begin with, as long as it has none of its own: whoever
    /// goes on from the newest state goes on from it.
    pub fn begins_with(&self, issued: bool) -> Option<&Root> {
        if self.latest.is_some() {
            return None;
        }
        let operation = OperationId::of_restore(issued.then_some(self.deployment));
        let mut roots = self.roots.iter().rev();
        roots.find(|root| root.operation == operation)
    }

    /// Whether a kept snapshot is of the branch that the job is on: not of one that it left behind
    /// as it began anew.
    pub fn is_own_branch(&self, snapshot: &SnapshotRef) -> bool {
        self.branch.is_none_or(|since| snapshot.epoch >= since)
    }

    /// The savepoints that older deployments were started from are no roots any more, as this one
    /// has completed a snapshot of its own: they stay because they are kept, and may be let go of.
    /// Whatever else a person had the job begin with stays a root: nothing else keeps it.
    fn close_restores(&mut self) {
        let own = OperationId::of_restore(Some(self.deployment));
        let retained = &self.retained;
        let is_kept = |root: &Root| {
            let mut kept = retained.iter();
            kept.any(|kept| {
                kept.kind == SnapshotKind::Savepoint && kept.path == root_name(&root.path)
            })
        };
        self.roots.retain(|root| {
            let issued = root.operation.0.starts_with(ISSUED_RESTORE);
            !issued || root.operation == own || !is_kept(root)
        });
    }
}

#[cfg(test)]
mod tests;
