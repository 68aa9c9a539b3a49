//! Whether a store keeps the promises that everything else is built on.
//!
//! A store that takes conditional writes but ignores the conditions looks right until two
//! JobManagers write at once; then it loses a job's state. So it is asked before it is used:
//! writers race, and exactly one may win. The ways in which stores have been found to fail are
//! those that this looks for; it is a test, not a proof.

use std::hash::{BuildHasher, RandomState};
use std::sync::Barrier;
use std::thread;

use crate::object_store::{ObjectStore, Version};
use crate::{ObjectPath, StoreError, StoreErrorKind};

/// Where probes lie while they run.
const FOLDER: &str = "_probe";
/// How many writers race.
const WRITERS: usize = 8;
/// How often a register is moved.
const SWAPS: usize = 3;
/// Probes that are this much older than a new one were left by a process that died.
const LEFTOVER_AGE_MS: i64 = 3_600_000;

const NOT_LISTED: &str =
    "it does not list what was just written: it must be consistent right after a write";

/// Tries a store out, in a folder of its own that it removes afterwards. `Unsuitable`: the store
/// must not be used. Any other error says why that could not be found out.
pub fn probe(store: &dyn ObjectStore) -> Result<(), StoreError> {
    let probe = Probe::new(store, nonce())?;
    let found = probe.run();
    let cleaned = probe.clean();
    found.and(cleaned)
}

/// What time it is on the store's clock, by which it tells how old its objects are, in milliseconds
/// since 1970: that of an object which is written for this, and removed.
pub fn store_time(store: &dyn ObjectStore) -> Result<i64, StoreError> {
    let probe = Probe::new(store, nonce())?;
    let found = probe.time();
    let cleaned = probe.clean();
    found.and_then(|time| cleaned.map(|()| time))
}

fn nonce() -> String {
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))
}

struct Probe<'a> {
    store: &'a dyn ObjectStore,
    nonce: String,
    folder: ObjectPath,
    object: ObjectPath,
    register: ObjectPath,
}

/// What became of the writers of one race.
struct Race<T> {
    won: Vec<(Vec<u8>, T)>,
    failed: Vec<StoreError>,
}

impl<'a> Probe<'a> {
    fn new(store: &'a dyn ObjectStore, nonce: String) -> Result<Self, StoreError> {
        let name = |path: String| {
            let refuse = |error| {
                let location = store.location();
                StoreError::new(StoreErrorKind::Other, "probe", &path, location, error)
            };
            ObjectPath::new(&path).map_err(refuse)
        };
        Ok(Self {
            folder: name(FOLDER.into())?,
            object: name(format!("{FOLDER}/{nonce}-object"))?,
            register: name(format!("{FOLDER}/{nonce}-register"))?,
            store,
            nonce,
        })
    }

    fn run(&self) -> Result<(), StoreError> {
        self.objects()?;
        self.registers()
    }

    fn time(&self) -> Result<i64, StoreError> {
        self.store.create(&self.object, self.nonce.as_bytes())?;
        let listed = self.store.list(&self.folder)?;
        let own = listed.iter().find(|info| info.path == self.object);
        own.map(|own| own.modified_ms)
            .ok_or_else(|| self.unsuitable(&self.object, NOT_LISTED))
    }

    /// Writers race to create one object.
    fn objects(&self) -> Result<(), StoreError> {
        let race = self.race("object", |body| self.store.create(&self.object, body));
        let (body, ()) = self.one_winner(&self.object, race, StoreErrorKind::AlreadyExists)?;
        if self.store.get(&self.object)? != body {
            return Err(self.unsuitable(
                &self.object,
                "it does not give back what was just written: it must be consistent right after \
                 a write",
            ));
        }
        let listed = self.store.list(&self.folder)?;
        if !listed
            .iter()
            .any(|info| info.path == self.object && info.size == body.len() as u64)
        {
            return Err(self.unsuitable(&self.object, NOT_LISTED));
        }
        Ok(())
    }

    /// Writers race to move one register, from nothing and then on.
    fn registers(&self) -> Result<(), StoreError> {
        let mut current: Option<Version> = None;
        for round in 0..SWAPS {
            let expected = current.as_ref();
            let race = self.race(&format!("register {round}"), |body| {
                self.store.swap_register(&self.register, expected, body)
            });
            let (body, version) =
                self.one_winner(&self.register, race, StoreErrorKind::Conflict)?;
            if self.store.read_register(&self.register)? != Some((body, version.clone())) {
                return Err(self.unsuitable(
                    &self.register,
                    "after a compare-and-swap it does not give back the winner's content: it must \
                     be consistent right after a write",
                ));
            }
            current = Some(version);
        }
        Ok(())
    }

    /// Runs one write per thread, all at once, each with a content of its own.
    fn race<T: Send>(
        &self,
        what: &str,
        write: impl Fn(&[u8]) -> Result<T, StoreError> + Sync,
    ) -> Race<T> {
        let start = Barrier::new(WRITERS);
        let mut race = Race {
            won: Vec::new(),
            failed: Vec::new(),
        };
        thread::scope(|scope| {
            let (start, write) = (&start, &write);
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let body = format!("probe {}: {what}, writer {writer}\n", self.nonce);
                    scope.spawn(move || {
                        start.wait();
                        let written = write(body.as_bytes());
                        (body.into_bytes(), written)
                    })
                })
                .collect();
            for writer in writers {
                match writer.join().expect("a writer does not panic") {
                    (body, Ok(version)) => race.won.push((body, version)),
                    (_, Err(error)) => race.failed.push(error),
                }
            }
        });
        race
    }

    /// The writer that won, if all others were told that they lost.
    fn one_winner<T>(
        &self,
        path: &ObjectPath,
        mut race: Race<T>,
        lost: StoreErrorKind,
    ) -> Result<(Vec<u8>, T), StoreError> {
        if let Some(other) = race.failed.into_iter().find(|error| error.kind != lost) {
            return Err(other);
        }
        let winners = race.won.len();
        match race.won.pop() {
            Some(winner) if winners == 1 => Ok(winner),
            _ => Err(self.unsuitable(
                path,
                &format!(
                    "{WRITERS} writers raced with conditional writes and {winners} of them won \
                     instead of one: two processes could overwrite each other's state; use a \
                     store with atomic conditional writes (`If-None-Match`, `If-Match`)"
                ),
            )),
        }
    }

    fn unsuitable(&self, path: &ObjectPath, cause: &str) -> StoreError {
        let kind = StoreErrorKind::Unsuitable;
        StoreError::new(kind, "probe", path, self.store.location(), cause)
    }

    /// Removes this probe and those that were left.
    fn clean(&self) -> Result<(), StoreError> {
        let listed = self.store.list(&self.folder)?;
        let now = listed
            .iter()
            .map(|info| info.modified_ms)
            .max()
            .unwrap_or(0);
        for info in listed {
            if info.modified_ms < now - LEFTOVER_AGE_MS {
                self.store.delete(&info.path)?;
            }
        }
        self.store.delete(&self.object)?;
        self.store.delete(&self.register)
    }
}
