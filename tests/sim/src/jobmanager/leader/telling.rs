//! What a leader says to its TaskManagers.

use weir_types::ExecutionAttemptId;

use super::Leader;
use crate::message::ToTm;
use crate::world::World;

impl Leader {
    pub(super) fn send(&self, world: &mut World, me: (usize, u32), tm: usize, message: ToTm) {
        if let Some(registered) = self.tms.get(&tm) {
            world.send_down((me.0, me.1, self.epoch), (tm, registered.reg), message);
        }
    }

    /// To a task, where it runs.
    pub(super) fn send_to(
        &self,
        world: &mut World,
        me: (usize, u32),
        message: ToTm,
        attempt: ExecutionAttemptId,
    ) {
        if let Some(tm) = self.assigned.get(&attempt).copied() {
            self.send(world, me, tm, message);
        }
    }

    /// The tasks that have not come to their end, and where they are.
    pub(super) fn live(&self) -> impl Iterator<Item = (ExecutionAttemptId, usize)> {
        let all = self.assigned.iter().map(|(attempt, tm)| (*attempt, *tm));
        all.filter(|(attempt, _)| !self.finished.contains(attempt))
    }

    /// To every task.
    pub(super) fn send_each(
        &self,
        world: &mut World,
        me: (usize, u32),
        message: impl Fn(ExecutionAttemptId) -> ToTm,
    ) {
        for (attempt, tm) in self.live() {
            self.send(world, me, tm, message(attempt));
        }
    }

    pub(super) fn send_all(&self, world: &mut World, me: (usize, u32), message: &ToTm) {
        for tm in self.tms.keys() {
            self.send(world, me, *tm, message.clone());
        }
    }
}
