//! A newest checkpoint that turns out to be damaged as it is restored. What is missing, or has
//! another size, is found before a job starts; that bytes have changed is found by who reads them.
//!
//! The one before becomes the newest by a write of the pointer, as any change of what is restored
//! does, so that it stays so whoever leads. The damaged one is let go: kept, it would take the
//! place of one that can be restored. A savepoint stays, as it is a person's.

use std::sync::Arc;

use weir_types::CheckpointId;

use super::{Action, Coordinator, Turn};
use crate::metadata::CheckpointMetadata;
use crate::pointer::{Pointer, SnapshotKind, SnapshotRef};

impl Coordinator {
    /// The same, with the content of older checkpoints that the pointer keeps, oldest first: what
    /// the job may go back to.
    #[must_use]
    pub fn with_older(mut self, older: impl IntoIterator<Item = CheckpointMetadata>) -> Self {
        self.kept.splice(0..0, older.into_iter().map(Arc::new));
        self
    }

    /// Whether there is another checkpoint to restore if this one is damaged: a newer one, or one
    /// before it on the branch that the job is on.
    pub fn can_leave(&self, damaged: CheckpointId) -> bool {
        let newest = self.kept.last();
        newest.is_some_and(|newest| newest.id != damaged || self.one_before().is_some())
    }

    /// Whether the newest checkpoint is damaged and still the newest: no restore may begin.
    pub fn is_leaving(&self) -> bool {
        self.leaves.is_some()
    }

    fn one_before(&self) -> Option<&SnapshotRef> {
        let [.., before, _] = self.kept.as_slice() else {
            return None;
        };
        let mut retained = self.pointer.retained.iter();
        retained.find(|kept| kept.id == before.id && self.pointer.is_own_branch(kept))
    }

    /// Makes the one before the newest in the pointer that is to be written. False: there is
    /// nothing to leave, or not any more.
    pub(super) fn leave_into(&mut self, content: &mut Pointer) -> bool {
        let damaged = self.leaves;
        let is_newest = |newest: &Arc<CheckpointMetadata>| Some(newest.id) == damaged;
        let newest = self.kept.last().filter(|newest| is_newest(newest));
        let before = newest.and_then(|_| self.one_before().cloned());
        let leaves = before.is_some();
        match before {
            Some(before) => {
                let stays = |kept: &SnapshotRef| {
                    kept.kind == SnapshotKind::Savepoint || Some(kept.id) != damaged
                };
                content.retained.retain(stays);
                content.latest = Some(before);
            }
            None => self.leaves = None,
        }
        leaves
    }

    /// The pointer says so.
    pub(super) fn left(&mut self, turn: &mut Turn<'_>) {
        self.leaves = None;
        let (damaged, newest) = (self.kept.pop(), self.kept.last());
        if let (Some(damaged), Some(newest)) = (damaged, newest) {
            turn.act(Action::Say(format!(
                "{} {} is damaged: the job goes back to {} {}",
                damaged.kind.noun(),
                damaged.id,
                newest.kind.noun(),
                newest.id
            )));
        }
    }
}
