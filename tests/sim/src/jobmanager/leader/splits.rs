//! A leader's splits: those that no reader has, and who gets them when.

use weir_types::CheckpointId;

use super::Leader;
use crate::bug::Bug;
use crate::message::{ToJm, ToTm};
use crate::world::{World, to_jm};

impl Leader {
    /// The enumerator says what it keeps, which gets to the coordinator a little later. What it
    /// hands out meanwhile is in that, and must not be with a reader that is not told to trigger.
    pub(super) fn enumerate(&mut self, world: &mut World, me: (usize, u32), id: CheckpointId) {
        if self.asked.remove(&id) {
            self.holding.insert(id);
            let state = self.splits.iter().copied().collect();
            let delay = world.rng.between(0, 8);
            world.push(delay, to_jm(me.0, me.1, ToJm::Enumerated(id, state)));
        }
    }

    pub(super) fn hand_out(&mut self, world: &mut World, me: (usize, u32)) {
        if !self.holding.is_empty() && !world.has(Bug::SplitsNotHeld) {
            return;
        }
        while let Some(attempt) = self.readers.pop_front() {
            let split = if self.draining {
                None
            } else {
                self.splits.pop_front()
            };
            self.send_to(world, me, ToTm::Assign { attempt, split }, attempt);
        }
    }
}
