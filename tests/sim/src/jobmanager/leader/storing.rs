//! A leader and the store: it obeys the pointer's writer, and stores metadata.

use std::sync::Arc;

use weir_checkpoint::coordinator::{PointerOutcome, SnapshotFailure};
use weir_checkpoint::metadata::CheckpointMetadata;
use weir_checkpoint::pointer::{Nonces, PointerWriter, ReadResult, WriterAction};
use weir_jobmanager::job_master::Event;
use weir_types::CheckpointId;

use super::super::read;
use super::{Leader, Me};
use crate::bug::Bug;
use crate::message::ToJm;
use crate::store::{Content, Object};
use crate::world::{World, to_jm};

impl Leader {
    /// The pointer was read because a write of it is in doubt.
    pub(super) fn read_back(&mut self, world: &mut World, me: Me, result: ReadResult) {
        let unchanged = matches!(&result, ReadResult::Found { pointer, .. }
            if pointer.nonce == self.writer.current().nonce);
        let action = if unchanged && world.has(Bug::InDoubtIsFailed) {
            // What a client does that takes a read for a proof.
            let (pointer, version) = (self.writer.current().clone(), world.store.version());
            let nonces = Nonces::new(world.rng.draw());
            self.writer = PointerWriter::new(pointer, version, nonces);
            Some(WriterAction::Done {
                nonce: self.wanted.nonce,
                outcome: PointerOutcome::Failed("it is not there".to_owned()),
            })
        } else {
            self.writer.on_read(result)
        };
        self.write(world, me, action);
    }

    pub(super) fn write(&mut self, world: &mut World, me: Me, action: Option<WriterAction>) {
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
                        self.write(world, me, Some(action));
                        return;
                    }
                }
                self.fenced |= matches!(outcome, PointerOutcome::Fenced(_));
                let moved = matches!(outcome, PointerOutcome::Written);
                self.tell_collector(world, me, moved);
                self.feed(world, me, Event::PointerWritten { nonce, outcome });
            }
        }
    }

    pub(super) fn metadata_written(
        &mut self,
        world: &mut World,
        me: Me,
        (id, result): (CheckpointId, Result<(), String>),
    ) {
        if result.is_ok() {
            self.collector.metadata_written(id);
        }
        let result = result.map(|()| ("00".repeat(32), 1));
        let result = result.map_err(SnapshotFailure::storage);
        self.feed(world, me, Event::MetadataWritten { id, result });
    }
}

/// Stores a checkpoint's metadata.
pub(super) fn write_metadata(
    world: &mut World,
    me: Me,
    path: &str,
    metadata: Arc<CheckpointMetadata>,
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
