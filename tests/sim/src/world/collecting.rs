//! A person collects what nothing needs, by a process of its own that knows nothing of what the
//! leader is doing: `weir gc`. Its machine's clock is right.

use weir_checkpoint::collector::{self, Batch, Contents, Listed, SweepOptions};

use super::{Event, World};
use crate::bug::Bug;
use crate::plan::{CALM, Ms};

/// How old an object must be: more than twice the longest time-out of a snapshot.
pub(crate) const GRACE: Ms = 300;

/// What all clocks show at the start of a run.
pub(super) const START_MS: i64 = 1_000_000_000;

/// What a person's collector does next.
#[derive(Clone, Debug)]
pub(crate) enum Collecting {
    Begin,
    /// It reads the pointer again, and goes on if it still fits.
    Check(Batch),
    /// It deletes at last.
    Delete(Vec<String>),
}

impl World {
    /// All objects, with their ages by the store's clock, which is right.
    pub(crate) fn listing(&self) -> Vec<Listed> {
        let objects = self.store.objects.iter().map(|(path, object)| Listed {
            path: path.clone(),
            size: 1,
            modified_ms: START_MS + ms(object.modified),
        });
        objects.collect()
    }

    /// Marks what is needed; the sweep follows later, batch by batch.
    pub(super) fn collect(&mut self) {
        let Some(pointer) = self.store.register.clone() else {
            return;
        };
        let listing = self.listing();
        let mut contents = Contents::default();
        for snapshot in &pointer.retained {
            if let Some(metadata) = self.store.metadata(&snapshot.path) {
                contents
                    .metadata
                    .insert(snapshot.path.clone(), metadata.clone());
            }
        }
        let Ok(marked) = collector::mark(&pointer, &contents) else {
            return;
        };
        let grace = if self.has(Bug::NoGrace) { 0 } else { GRACE };
        let options = SweepOptions {
            now_ms: START_MS + ms(self.now),
            grace_ms: ms(grace),
            batch: 3,
        };
        let mut after = 0;
        for batch in collector::sweep(&marked, &listing, options) {
            after += self.rng.between(1, 15);
            self.push(after, Event::Collect(Collecting::Check(batch)));
        }
    }

    pub(super) fn go_on_collecting(&mut self, step: Collecting) {
        match step {
            Collecting::Begin => self.collect(),
            Collecting::Check(batch) => {
                let pointer = self.store.register.as_ref();
                if pointer.is_some_and(|pointer| batch.still_holds(pointer)) {
                    let paths = batch.objects.into_iter().map(|listed| listed.path);
                    let paths = paths.collect();
                    let slow = self.now < CALM && self.rng.chance(100);
                    let delay = if slow { self.rng.between(20, 200) } else { 1 };
                    self.push(delay, Event::Collect(Collecting::Delete(paths)));
                }
            }
            Collecting::Delete(paths) => paths.iter().for_each(|path| self.delete(path)),
        }
    }

    /// An object is deleted, which must not be needed.
    pub(crate) fn delete(&mut self, path: &str) {
        match self.store.needed() {
            Ok(needed) if needed.contains(path) => {
                self.violate(format!("{path} is deleted, and the pointer needs it"));
            }
            Ok(_) => {}
            Err(text) => {
                self.violate(text);
                return;
            }
        }
        self.store.objects.remove(path);
    }
}

fn ms(ms: Ms) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}
