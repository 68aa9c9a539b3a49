//! What a sink owes the outside: each decided transaction once, and none that nobody decides.

use weir_types::CheckpointId;

use super::{Kind, Task};
use crate::bug::Bug;
use crate::plan::Point;
use crate::store::Txn;
use crate::world::World;

impl Task {
    /// Of older attempts of this sink, whatever the restored snapshot does not hold.
    pub(super) fn abort_others(&self, world: &mut World) -> Result<(), String> {
        if !matches!(self.kind, Kind::Sink(_)) {
            return Ok(());
        }
        let (sink, subtask) = (self.attempt.vertex.0, self.attempt.subtask.0);
        if world.is_current(self.attempt) {
            world.store.cleaned.insert((sink, subtask), world.now);
        }
        if !world.has(Bug::Lingering) {
            let own = (self.attempt.epoch.0, self.attempt.attempt.0);
            let sinks = self.parallelism[2];
            let of_this = |txn: &Txn| txn.sink == sink && txn.subtask % sinks == subtask;
            let older = |txn: &Txn| (txn.epoch, txn.attempt) < own && of_this(txn);
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
            world.at_task_point(self.tm, Point::Commit)?;
            let error = world.fails(world.plan.commit_errors_per_mille);
            if error && world.has(Bug::CommitErrorSwallowed) {
                world.store.pending.remove(&txn);
            } else if error {
                // It may have taken place.
                if world.rng.chance(500) {
                    world.commit(txn, id, epoch)?;
                }
                return Err(format!("commit {txn:?}: the store does not answer"));
            } else {
                world.commit(txn, id, epoch)?;
            }
            sink.prepared.retain(|(_, prepared)| *prepared != txn);
        }
        Ok(())
    }
}
