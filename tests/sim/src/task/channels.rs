//! Channels: what comes in through them, what is done with it, and what goes out.

use weir_checkpoint::align::AlignAction;
use weir_types::{ExecutionAttemptId, SubtaskIndex, Timestamp};

use super::{Element, Kind, Task};
use crate::bug::Bug;
use crate::graph::{COUNT, SINK, region_of, vertex_at};
use crate::message::FromTask;
use crate::store::Row;
use crate::world::World;

impl Task {
    pub(super) fn ready(&self) -> impl Iterator<Item = usize> {
        let inputs = self.inputs.iter().zip(&self.blocked).enumerate();
        inputs
            .filter(|(_, (queue, blocked))| !queue.is_empty() && !**blocked)
            .map(|(i, _)| i)
    }

    pub(super) fn take(&mut self, world: &mut World) -> Result<(), String> {
        let ready: Vec<usize> = self.ready().collect();
        if ready.is_empty() {
            return Ok(());
        }
        let channel = ready[world.rng.index(ready.len())];
        let Some(element) = self.inputs[channel].pop_front() else {
            return Ok(());
        };
        let now = Timestamp(world.now * 1_000_000);
        match element {
            Element::Row(row) => self.process(world, row)?,
            Element::Barrier(barrier) => {
                let actions = self.aligner.on_barrier(now, channel, barrier);
                self.align(world, actions);
            }
            Element::End => {
                let actions = self.aligner.on_end(now, channel);
                self.align(world, actions);
                self.inputs_open = self.inputs_open.saturating_sub(1);
                if self.inputs_open == 0 {
                    self.finish(world);
                }
            }
        }
        Ok(())
    }

    fn process(&mut self, world: &mut World, (key, seen): Row) -> Result<(), String> {
        match &mut self.kind {
            Kind::Source(_) => Ok(()),
            Kind::Count(count) => {
                let seen = count.counts.entry(key).or_default();
                *seen += 1;
                let row = (key, *seen);
                self.send(
                    world,
                    u32::from(key) % self.parallelism[2],
                    Element::Row(row),
                )
            }
            Kind::Sink(sink) => {
                sink.open.push((key, seen));
                Ok(())
            }
        }
    }

    pub(super) fn align(&mut self, world: &mut World, actions: Vec<AlignAction>) {
        for action in actions {
            match action {
                AlignAction::Block(channel) => self.blocked[channel] = true,
                AlignAction::UnblockAll => self.blocked.fill(false),
                AlignAction::Snapshot { barrier, .. } => self.snapshot(world, barrier),
                AlignAction::GiveUp(id) => world.tell(self, FromTask::Declined(id)),
            }
        }
    }

    fn targets(&self) -> (u128, u32) {
        match &self.kind {
            Kind::Source(_) => (COUNT, self.parallelism[1]),
            Kind::Count(_) => (SINK, self.parallelism[2]),
            Kind::Sink(_) => (0, 0),
        }
    }

    pub(super) fn send_all(&mut self, world: &mut World, element: Element) {
        for to in 0..self.targets().1 {
            // A connection that is gone is noticed by whoever sends rows; this one goes with it.
            let _gone = self.send(world, to, element).is_err();
        }
    }

    /// Into a channel to the same attempt of a consumer: its name has the attempt in it.
    pub(super) fn send(
        &mut self,
        world: &mut World,
        to: u32,
        element: Element,
    ) -> Result<(), String> {
        let region = region_of(self.attempt.vertex);
        let target = ExecutionAttemptId {
            vertex: vertex_at(region, self.targets().0),
            subtask: SubtaskIndex(to),
            ..self.attempt
        };
        let target = match world.has(Bug::AnyChannel) {
            false => target,
            true => {
                let same = |other: &&ExecutionAttemptId| {
                    (other.vertex, other.subtask) == (target.vertex, target.subtask)
                };
                world.tasks.keys().rfind(same).copied().unwrap_or(target)
            }
        };
        let Some(mut task) = world.tasks.remove(&target) else {
            return Err(format!("the channel to {target} is broken"));
        };
        if let Some(input) = task.inputs.get_mut(self.attempt.subtask.0 as usize) {
            input.push_back(element);
        }
        world.schedule_step(&mut task);
        world.tasks.insert(target, task);
        Ok(())
    }
}
