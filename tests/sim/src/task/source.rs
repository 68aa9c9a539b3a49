//! The source: splits that it asks for, one record of them at a time, and barriers when it is told.

use weir_checkpoint::coordinator::Then;
use weir_rpc::TaskManagerMessage;
use weir_types::{CheckpointBarrier, subtask_of_key_group};

use super::records::key_group;
use super::{Element, Kind, Task};
use crate::graph::{KEY_GROUPS, key_of, region_of, source_node};
use crate::world::World;

impl Task {
    pub(crate) fn assign(&mut self, world: &mut World, split: Option<u8>) {
        if let Kind::Source(source) = &mut self.kind {
            let attempt = self.attempt;
            world.note(|| format!("{attempt} gets split {split:?}"));
            source.asked = false;
            match split {
                Some(split) => source.splits.push((split, 0)),
                None => source.no_more = true,
            }
            world.schedule_step(self);
        }
    }

    /// The JobManager begins a checkpoint at a source.
    pub(crate) fn trigger(
        &mut self,
        world: &mut World,
        barrier: CheckpointBarrier,
        then: Then,
    ) -> Result<(), String> {
        let Kind::Source(source) = &mut self.kind else {
            return Ok(());
        };
        if source.newest_trigger >= Some(barrier.id) {
            return Ok(());
        }
        source.newest_trigger = Some(barrier.id);
        match then {
            Then::Drain => {
                source.no_more = true;
                source.asked = false;
                source.ended = true;
                self.finish(world);
                return Ok(());
            }
            Then::Stop => source.held = Some(barrier.id),
            Then::Continue => {}
        }
        self.snapshot(world, barrier)
    }

    pub(super) fn read(&mut self, world: &mut World) -> Result<(), String> {
        let Kind::Source(source) = &mut self.kind else {
            return Ok(());
        };
        if source.held.is_some() {
            return Ok(());
        }
        if source.ended {
            self.finish(world);
            return Ok(());
        }
        source.splits.sort_unstable();
        let lengths = &world.plan.splits;
        let open = source
            .splits
            .iter_mut()
            .find(|(split, next)| *next < lengths[usize::from(*split)]);
        if let Some((split, next)) = open {
            let key = key_of(region_of(self.attempt.vertex), *split, *next);
            *next += 1;
            let to = subtask_of_key_group(key_group(key), KEY_GROUPS, self.parallelism[1]);
            return self.send(world, to as usize, Element::Row((key, 0)));
        }
        if source.no_more {
            source.ended = true;
            self.finish(world);
        } else if !source.asked {
            source.asked = true;
            let (attempt, node) = (self.attempt, source_node(region_of(self.attempt.vertex)));
            world.tell(self.tm, TaskManagerMessage::RequestSplit { attempt, node });
        }
        Ok(())
    }

    /// Nothing comes any more: says so, once.
    pub(super) fn finish(&mut self, world: &mut World) {
        if !self.input_done {
            self.input_done = true;
            self.send_all(world, Element::End);
            let attempt = self.attempt;
            world.tell(self.tm, TaskManagerMessage::EndOfInput { attempt });
        }
    }
}
