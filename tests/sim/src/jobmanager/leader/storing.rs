//! A leader and the store: it obeys the pointer's writer, and stores metadata.

use std::collections::VecDeque;

use weir_checkpoint::coordinator::{Event, PointerOutcome};
use weir_checkpoint::metadata::CheckpointMetadata;
use weir_checkpoint::pointer::{Nonces, PointerWriter, ReadResult, WriterAction};

use super::super::read;
use super::Leader;
use crate::bug::Bug;
use crate::message::ToJm;
use crate::store::{Content, Object};
use crate::world::{World, to_jm};

impl Leader {
    /// The pointer was read because a write of it is in doubt.
    pub(super) fn read_back(&mut self, world: &mut World, me: (usize, u32), result: ReadResult) {
        let unchanged = matches!(&result, ReadResult::Found { pointer, .. }
            if pointer.nonce == self.coordinator.pointer().nonce);
        let action = if unchanged && world.has(Bug::InDoubtIsFailed) {
            // What a client does that takes a read for a proof.
            let (pointer, version) = (self.coordinator.pointer(), world.store.version());
            let nonces = Nonces::new(world.rng.draw());
            self.writer = PointerWriter::new(pointer.clone(), version, nonces);
            Some(WriterAction::Done {
                nonce: self.wanted.nonce,
                outcome: PointerOutcome::Failed("it is not there".to_owned()),
            })
        } else {
            self.writer.on_read(result)
        };
        self.write(world, me, action);
    }

    pub(super) fn write(
        &mut self,
        world: &mut World,
        me: (usize, u32),
        action: Option<WriterAction>,
    ) {
        let mut events = VecDeque::new();
        self.write_action(world, me, action, &mut events);
        for event in events {
            self.feed(world, me, event);
        }
        self.deploy(world, me);
    }

    pub(super) fn write_action(
        &mut self,
        world: &mut World,
        me: (usize, u32),
        action: Option<WriterAction>,
        events: &mut VecDeque<Event>,
    ) {
        match action {
            None => {}
            Some(WriterAction::Swap { expected, content }) => {
                world.swap(me, Some(expected), *content);
            }
            Some(WriterAction::Read { tries }) => read(world, me, tries),
            Some(WriterAction::Done { nonce, outcome }) => {
                if let PointerOutcome::Failed(reason) = &outcome {
                    world.note(|| format!("jm {}: the pointer is not written: {reason}", me.0));
                    if world.has(Bug::RewrittenLate) {
                        let action = self.writer.write((*self.wanted).clone());
                        self.write_action(world, me, Some(action), events);
                        return;
                    }
                }
                events.push_back(Event::PointerWritten { nonce, outcome });
            }
        }
    }
}

/// Stores a checkpoint's metadata.
pub(super) fn write_metadata(
    world: &mut World,
    me: (usize, u32),
    path: &str,
    metadata: Box<CheckpointMetadata>,
) {
    let id = metadata.id;
    let fails = world.fails_for(me.0, world.plan.errors_per_mille);
    let delay = match world.rng.chance(40) {
        true => world.rng.between(10, 60),
        false => world.rng.between(1, 4),
    };
    let now = world.now;
    let object = Object {
        content: Content::Metadata(metadata),
        modified: now,
    };
    let name = format!("{path}/_metadata");
    if world.store.objects.insert(name.clone(), object).is_some() {
        world.violate(format!("{name} is written a second time"));
    }
    let result = if fails {
        Err("no answer".to_owned())
    } else {
        Ok(())
    };
    world.push(delay, to_jm(me.0, me.1, ToJm::MetadataWritten(id, result)));
}
