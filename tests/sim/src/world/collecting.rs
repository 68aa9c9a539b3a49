//! Collects what nothing needs: a leader beside its work, or a person's process that knows nothing
//! of what the leader is doing.

use weir_checkpoint::collector::{self, Batch, Contents, Listed, SweepOptions};

use super::{Event, World, to_jm};
use crate::bug::Bug;
use crate::message::ToJm;
use crate::plan::{CALM, Ms};

/// How old an object must be: more than twice the longest time-out of a snapshot.
const GRACE: Ms = 300;

/// Who collects.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Collector {
    Leader(usize, u32),
    Person,
}

/// What a collector does next.
#[derive(Clone, Debug)]
pub(crate) enum Collecting {
    Begin,
    /// It reads the pointer again, and goes on if it still fits.
    Check(Batch),
    /// It deletes at last.
    Delete(Vec<String>),
}

impl World {
    /// Marks what is needed; the sweep follows later, batch by batch.
    pub(crate) fn collect(&mut self, who: Collector) {
        let Some(pointer) = self.store.register.clone() else {
            return;
        };
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
        let listing = self.store.objects.iter().map(|(path, object)| Listed {
            path: path.clone(),
            size: 1,
            modified_ms: ms(object.modified),
        });
        let listing: Vec<Listed> = listing.collect();
        let grace = if self.has(Bug::NoGrace) { 0 } else { GRACE };
        let options = SweepOptions {
            now_ms: ms(self.now),
            grace_ms: ms(grace),
            batch: 3,
        };
        let mut after = 0;
        for batch in collector::sweep(&marked, &listing, options) {
            after += self.rng.between(1, 15);
            self.push(after, next(who, Collecting::Check(batch)));
        }
    }

    pub(crate) fn go_on_collecting(&mut self, who: Collector, step: Collecting) {
        match step {
            Collecting::Begin => self.collect(who),
            Collecting::Check(batch) => {
                let pointer = self.store.register.as_ref();
                if pointer.is_some_and(|pointer| batch.still_holds(pointer)) {
                    let paths = batch.objects.into_iter().map(|listed| listed.path);
                    let paths = paths.collect();
                    let slow = self.now < CALM && self.rng.chance(100);
                    let delay = if slow { self.rng.between(20, 200) } else { 1 };
                    self.push(delay, next(who, Collecting::Delete(paths)));
                }
            }
            Collecting::Delete(paths) => self.delete(&paths),
        }
    }

    fn delete(&mut self, paths: &[String]) {
        let needed = match self.store.needed() {
            Ok(needed) => needed,
            Err(text) => {
                self.violate(text);
                return;
            }
        };
        for path in paths {
            if needed.contains(path) {
                self.violate(format!("{path} is deleted, and the pointer needs it"));
            }
            self.store.objects.remove(path);
        }
    }
}

fn next(who: Collector, step: Collecting) -> Event {
    match who {
        Collector::Leader(jm, life) => to_jm(jm, life, ToJm::Collect(step)),
        Collector::Person => Event::Collect(step),
    }
}

fn ms(ms: Ms) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}
