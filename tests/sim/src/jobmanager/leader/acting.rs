//! What the coordinator says is done, in order; the leader may be killed at each step.

use std::collections::VecDeque;

use weir_checkpoint::coordinator::{Action, Event, FinalOutcome, Then};
use weir_checkpoint::pointer::RunState;
use weir_types::Timestamp;

use super::{Ended, Leader, storing};
use crate::graph::region_of_node;
use crate::message::{ToJm, ToTm};
use crate::plan::Point;
use crate::world::{World, to_jm};

impl Leader {
    /// Tells the coordinator, and does what it says.
    pub(super) fn feed(&mut self, world: &mut World, me: (usize, u32), event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let now = Timestamp(world.now * 1_000_000);
            let unix_ms = world.wall_offset + i64::try_from(world.now).unwrap_or(0);
            for action in self.coordinator.on_event(now, unix_ms, event) {
                if self.ended.is_some() {
                    return;
                }
                self.act(world, me, action, &mut events);
            }
        }
        let due = self
            .coordinator
            .next_wakeup()
            .map(|at| at.0.div_ceil(1_000_000));
        if let Some(due) = due
            && self.wake.is_none_or(|wake| wake > due || wake < world.now)
        {
            self.wake = Some(due);
            let delay = due.saturating_sub(world.now);
            world.push(delay, to_jm(me.0, me.1, ToJm::Wake));
        }
    }

    pub(super) fn killed_at(&mut self, world: &mut World, me: (usize, u32), point: Point) -> bool {
        let killed = world.at_point(me.0, point);
        if killed {
            self.ended = Some(Ended::Killed);
        }
        killed
    }

    fn act(
        &mut self,
        world: &mut World,
        me: (usize, u32),
        action: Action,
        events: &mut VecDeque<Event>,
    ) {
        match action {
            Action::SnapshotEnumerator { id, node } => {
                self.ask(world, me, (id, region_of_node(node)));
            }
            Action::Trigger {
                barrier,
                then,
                attempts,
            } => {
                if self.killed_at(world, me, Point::Trigger) {
                    return;
                }
                world.note(|| format!("jm {} triggers {} {then:?}", me.0, barrier.id));
                self.draining |= then == Then::Drain;
                for attempt in attempts {
                    let trigger = ToTm::Trigger {
                        attempt,
                        barrier,
                        then,
                    };
                    self.send_to(world, me, trigger, attempt);
                }
                self.release(world, me, barrier.id);
            }
            Action::Abort { id, reason } => {
                world.note(|| format!("jm {} gives up {id}: {reason}", me.0));
                self.send_each(world, me, |attempt| ToTm::Abort { attempt, id });
                self.release(world, me, id);
            }
            Action::WriteMetadata { path, metadata } => {
                if !self.killed_at(world, me, Point::WriteMetadata) {
                    storing::write_metadata(world, me, &path, metadata);
                }
            }
            Action::WritePointer(content) => {
                if !self.killed_at(world, me, Point::WritePointer) {
                    self.wanted.clone_from(&content);
                    let action = self.writer.write(*content);
                    self.write_action(world, me, Some(action), events);
                }
            }
            Action::Complete { id, last, .. } => {
                if !self.killed_at(world, me, Point::Complete) {
                    world.completed += 1;
                    self.ending |= last;
                    world.note(|| format!("jm {} completes {id}", me.0));
                    self.send_each(world, me, |attempt| ToTm::Complete { attempt, id, last });
                }
            }
            Action::Answer { operation, result } => world.answer(&operation, &result),
            Action::End(outcome) => {
                let state = match outcome {
                    FinalOutcome::Finished => RunState::Finished,
                    FinalOutcome::Stopped(_) => self.coordinator.pointer().run_state.clone(),
                };
                self.ended = Some(Ended::Over(state));
            }
            Action::EndRecorded => {
                let state = self.coordinator.pointer().run_state.clone();
                self.ended = Some(Ended::Over(state));
            }
            Action::Fail { reason } => {
                world.note(|| format!("jm {}: {reason}", me.0));
                let all = (0..self.regions.len()).collect();
                self.fail(world, me, all, "too many checkpoints failed");
            }
            Action::Fenced { reason } => {
                world.note(|| format!("jm {} is fenced: {reason}", me.0));
                self.ended = Some(Ended::Fenced);
            }
            Action::Say(_) => {}
        }
    }
}
