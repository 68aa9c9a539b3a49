//! What a sink owes the outside: each decided transaction once, and none that nobody decides.

use weir_types::CheckpointId;

use super::{Kind, SINK, Task};
use crate::bug::Bug;
use crate::store::Txn;
use crate::world::World;

impl Task {
    /// Of older attempts of this sink, whatever the restored snapshot does not hold.
    pub(super) fn abort_others(&self, world: &mut World) -> Result<(), String> {
        if self.attempt.vertex.0 != SINK {
            return Ok(());
        }
        if world.is_current(self.attempt) {
            world
                .store
                .cleaned
                .insert(self.attempt.subtask.0, world.now);
        }
        if !world.has(Bug::Lingering) {
            let own = (self.attempt.epoch.0, self.attempt.attempt.0);
            let sinks = self.parallelism[2];
            let subtask = self.attempt.subtask.0;
            let older =
                |txn: &Txn| (txn.epoch, txn.attempt) < own && txn.subtask % sinks == subtask;
            world.store.pending.retain(|txn, _| !older(txn));
        }
        Ok(())
    }

    /// Commits what belongs to checkpoints up to this one, which is decided.
    pub(super) fn commit(&mut self, world: &mut World, id: CheckpointId) -> Result<(), String> {
        let Kind::Sink(sink) = &mut self.kind else {
            return Ok(());
        };
        let epoch = self.attempt.epoch;
        let due: Vec<Txn> = sink
            .prepared
            .iter()
            .filter(|(n, _)| *n <= id)
            .map(|(_, t)| *t)
            .collect();
        for txn in due {
            let error = world.fails(world.plan.commit_errors_per_mille);
            if error && world.has(Bug::CommitErrorSwallowed) {
                world.store.pending.remove(&txn);
            } else if error {
                return Err(format!("commit {txn:?}: the store does not answer"));
            } else {
                world.commit(txn, id, epoch)?;
            }
            sink.prepared.retain(|(_, prepared)| *prepared != txn);
        }
        Ok(())
    }
}
