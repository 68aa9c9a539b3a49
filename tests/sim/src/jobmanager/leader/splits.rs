//! A leader's splits: those that no reader has, and who gets them when.

use weir_checkpoint::coordinator::Event;
use weir_types::CheckpointId;

use super::Leader;
use crate::bug::Bug;
use crate::graph::node_of;
use crate::message::{ToJm, ToTm};
use crate::world::{World, to_jm};

impl Leader {
    /// A region's enumerator is to say what it keeps.
    pub(super) fn ask(
        &mut self,
        world: &mut World,
        me: (usize, u32),
        (id, region): (CheckpointId, usize),
    ) {
        self.regions[region].asked = Some((id, false));
        let delay = world.rng.between(0, 6);
        world.push(delay, to_jm(me.0, me.1, ToJm::Enumerator(id, region)));
    }

    /// It says what it keeps, which gets to the coordinator a little later. What it hands out
    /// meanwhile is in that, and must not be with a reader that is not told to trigger.
    pub(super) fn enumerate(
        &mut self,
        world: &mut World,
        me: (usize, u32),
        (id, region): (CheckpointId, usize),
    ) {
        let enumerator = &mut self.regions[region];
        if let Some((asked, told)) = &mut enumerator.asked
            && *asked == id
        {
            *told = true;
        }
        let state = enumerator.splits.iter().copied().collect();
        let delay = world.rng.between(0, 8);
        let told = ToJm::Enumerated(id, region, state);
        world.push(delay, to_jm(me.0, me.1, told));
    }

    pub(super) fn enumerated(
        &mut self,
        world: &mut World,
        me: (usize, u32),
        (id, region): (CheckpointId, usize),
        state: Vec<u8>,
    ) {
        let (node, result) = (node_of(region), Ok(state));
        self.feed(world, me, Event::EnumeratorState { id, node, result });
    }

    /// The sources are told of this checkpoint, or it is given up: splits may go out.
    pub(super) fn release(&mut self, world: &mut World, me: (usize, u32), id: CheckpointId) {
        for region in &mut self.regions {
            region.asked.take_if(|(asked, _)| *asked == id);
        }
        self.hand_out(world, me);
    }

    pub(super) fn hand_out(&mut self, world: &mut World, me: (usize, u32)) {
        for region in 0..self.regions.len() {
            let held = matches!(self.regions[region].asked, Some((_, true)));
            if held && !world.has(Bug::SplitsNotHeld) {
                continue;
            }
            while let Some(attempt) = self.regions[region].readers.pop_front() {
                let split = if self.draining {
                    None
                } else {
                    self.regions[region].splits.pop_front()
                };
                self.send_to(world, me, ToTm::Assign { attempt, split }, attempt);
            }
        }
    }
}
