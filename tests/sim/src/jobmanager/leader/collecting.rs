//! A leader collects what nothing needs.

use weir_checkpoint::collector::{self, Batch, Contents, Listed, SweepOptions};

use super::{Ended, GRACE, Leader};
use crate::bug::Bug;
use crate::message::ToJm;
use crate::plan::{CALM, Ms, Point};
use crate::world::{World, to_jm};

impl Leader {
    /// Marks what is needed; the sweep follows later, batch by batch.
    pub(super) fn collect(&mut self, world: &mut World, me: (usize, u32)) {
        let Some(pointer) = world.store.register.clone() else {
            return;
        };
        let mut contents = Contents::default();
        for snapshot in &pointer.retained {
            if let Some(metadata) = world.store.metadata(&snapshot.path) {
                contents
                    .metadata
                    .insert(snapshot.path.clone(), metadata.clone());
            }
        }
        let Ok(marked) = collector::mark(&pointer, &contents) else {
            return;
        };
        let listing = world.store.objects.iter().map(|(path, object)| Listed {
            path: path.clone(),
            size: 1,
            modified_ms: ms(object.modified),
        });
        let listing: Vec<Listed> = listing.collect();
        let grace = if world.has(Bug::NoGrace) { 0 } else { GRACE };
        let options = SweepOptions {
            now_ms: ms(world.now),
            grace_ms: ms(grace),
            batch: 3,
        };
        let mut after = 0;
        for batch in collector::sweep(&marked, &listing, options) {
            after += world.rng.between(1, 15);
            world.push(after, to_jm(me.0, me.1, ToJm::Collect(batch)));
        }
        if world.at_point(me.0, Point::Marked) {
            self.ended = Some(Ended::Killed);
        }
    }

    pub(super) fn collect_batch(world: &mut World, me: (usize, u32), batch: Batch) {
        if world
            .store
            .register
            .as_ref()
            .is_some_and(|pointer| batch.still_holds(pointer))
        {
            let paths = batch.objects.into_iter().map(|listed| listed.path);
            let slow = world.now < CALM && world.rng.chance(100);
            let delay = if slow { world.rng.between(20, 200) } else { 1 };
            world.push(delay, to_jm(me.0, me.1, ToJm::Delete(paths.collect())));
        }
    }
}

fn ms(ms: Ms) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

pub(super) fn delete(world: &mut World, paths: &[String]) {
    let needed = match world.store.needed() {
        Ok(needed) => needed,
        Err(text) => {
            world.violate(text);
            return;
        }
    };
    for path in paths {
        if needed.contains(path) {
            world.violate(format!("{path} is deleted, and the pointer needs it"));
        }
        world.store.objects.remove(path);
    }
}
