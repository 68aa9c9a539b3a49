//! Channels: what comes in through them, what is done with it, and what goes out.

use weir_checkpoint::align::AlignAction;
use weir_types::{ExecutionAttemptId, SubtaskIndex, Timestamp};

use super::{Element, Kind, Task};
use crate::bug::Bug;
use crate::graph::{Place, region_of, vertex_at};
use crate::message::Event;
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
                self.align(world, actions)?;
            }
            Element::End => {
                let actions = self.aligner.on_end(now, channel);
                self.align(world, actions)?;
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
                let to = usize::from(key) % self.outputs.len();
                self.send(world, to, Element::Row(row))
            }
            Kind::Sink(sink) => {
                sink.open.push((key, seen));
                Ok(())
            }
        }
    }

    pub(super) fn align(
        &mut self,
        world: &mut World,
        actions: Vec<AlignAction>,
    ) -> Result<(), String> {
        for action in actions {
            match action {
                AlignAction::Block(channel) => self.blocked[channel] = true,
                AlignAction::UnblockAll => self.blocked.fill(false),
                AlignAction::Snapshot { barrier, .. } => self.snapshot(world, barrier)?,
                AlignAction::GiveUp(id) => self.decline(world, id),
            }
        }
        Ok(())
    }

    pub(super) fn send_all(&mut self, world: &mut World, element: Element) {
        for to in 0..self.outputs.len() {
            // A connection that is gone is noticed by whoever sends rows; this one goes with it.
            let _gone = self.send(world, to, element).is_err();
        }
    }

    /// The next place's subtask, of the attempt that mine should be.
    fn consumer(&self, to: usize) -> Option<ExecutionAttemptId> {
        let place = match &self.kind {
            Kind::Source(_) => Place::Count,
            Kind::Count(_) => Place::Sink,
            Kind::Sink(_) => return None,
        };
        let region = region_of(self.attempt.vertex);
        Some(ExecutionAttemptId {
            vertex: vertex_at(region, place),
            subtask: SubtaskIndex(u32::try_from(to).unwrap_or(u32::MAX)),
            ..self.attempt
        })
    }

    fn own_channel(&self) -> usize {
        self.attempt.subtask.0 as usize
    }

    /// Into a channel to the consumer that has connected to it, or will.
    pub(super) fn send(
        &mut self,
        world: &mut World,
        to: usize,
        element: Element,
    ) -> Result<(), String> {
        let channel = self.own_channel();
        let output = &mut self.outputs[to];
        let mut target = output.consumer;
        if world.has(Bug::AnyChannel)
            && let Some(meant) = self.consumer(to)
        {
            let same = |other: &&ExecutionAttemptId| {
                (other.vertex, other.subtask) == (meant.vertex, meant.subtask)
            };
            target = world.tasks.keys().rfind(same).copied().or(target);
        }
        let Some(target) = target else {
            self.outputs[to].waiting.push(element);
            return Ok(());
        };
        let Some(mut task) = world.tasks.remove(&target) else {
            return Err(format!("the channel to {target} is broken"));
        };
        if let Some(input) = task.inputs.get_mut(channel) {
            input.push_back(element);
        }
        world.schedule_step(&mut task);
        world.tasks.insert(target, task);
        Ok(())
    }

    /// Takes part in the exchange: connects to those that it reads from, and is found by those that
    /// read from it, as far as they are there.
    pub(crate) fn connect(&mut self, world: &mut World) {
        for channel in 0..self.producers.len() {
            let own = self.own_channel();
            if let Some(producer) = world.tasks.get_mut(&self.producers[channel])
                && let Some(output) = producer.outputs.get_mut(own)
            {
                output.consumer = Some(self.attempt);
                self.inputs[channel].extend(output.waiting.drain(..));
            }
        }
        for to in 0..self.outputs.len() {
            let consumer = self.consumer(to);
            let found = consumer.filter(|consumer| {
                let task = world.tasks.get(consumer);
                let writer = task.and_then(|task| task.producers.get(self.own_channel()));
                writer == Some(&self.attempt)
            });
            self.outputs[to].consumer = found;
        }
    }

    /// Those that read from it notice that it is gone.
    pub(super) fn break_channels(&self, world: &mut World) {
        for consumer in self.outputs.iter().filter_map(|output| output.consumer) {
            if world.tasks.contains_key(&consumer) {
                let delay = world.rng.between(0, 10);
                world.push(delay, Event::Broken(consumer));
            }
        }
    }

    /// Another attempt takes its place although it lives on: a planted bug.
    pub(crate) fn renamed(&mut self, attempt: ExecutionAttemptId, tm: usize) {
        (self.attempt, self.tm) = (attempt, tm);
        self.producers.iter_mut().for_each(|producer| {
            producer.attempt = attempt.attempt;
        });
        let consumers = self.outputs.iter_mut().map(|output| &mut output.consumer);
        consumers.flatten().for_each(|consumer| {
            consumer.attempt = attempt.attempt;
        });
        self.stepping = false;
    }

    pub(crate) fn has_read_all(&self) -> bool {
        self.input_done
    }
}
