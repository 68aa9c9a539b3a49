//! What nothing needs any more: lists, marks what the pointer's snapshots refer to, and sweeps the
//! rest, if it is old enough.
//!
//! What lives is decided by `weir_checkpoint::collector`. Here, too, everything errs on the side of
//! what stays: whatever cannot be read ends the sweep of its job; a folder that an open operation
//! or a job beside this one may mean stays, however its path is written.
//!
//! Large objects that a killed writer has begun are in no listing of objects. They are listed
//! beside the objects and go by the same rules, as objects without bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_checkpoint::collector::{
    self, Batch, Contents as Needed, Listed, MarkError, Marked, SweepOptions,
};
use weir_checkpoint::pointer::{OperationId, Pointer, Root};
use weir_cli::{Failure, GarbageObject, GcReport, GcRequest, JobGarbage};
use weir_storage::{ObjectPath, StoreError, Unfinished};
use weir_types::{Clock, causes};

use super::place::{Contents, Folder, Place, ReadPointerError, folder_of, last_part};
use super::snapshot::{ReadSnapshotError, Snapshot};

/// How many objects are deleted before the pointer is read again.
const BATCH: usize = 100;
/// How many failures are told one by one.
const FAILURES_TOLD_MAX: usize = 20;
/// How often marking begins anew because a running job let go of a snapshot meanwhile.
const MARKS_MAX: usize = 3;

/// The sweep of a job cannot go on.
#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error(transparent)]
    Pointer(ReadPointerError),
    #[error("list the job's objects")]
    List(#[source] StoreError),
    #[error("find out what time it is where the objects are; nothing is deleted")]
    Time(#[source] StoreError),
    #[error("what snapshot `{path}` needs is not known; nothing is deleted")]
    Unread {
        path: String,
        #[source]
        source: ReadSnapshotError,
    },
    #[error(transparent)]
    Mark(MarkError),
    #[error(
        "job `{name}` beside it may need something here, and cannot be asked ({cause}): name this \
         job's own folder to leave that one out"
    )]
    Beside { name: String, cause: String },
    #[error("deleting has stopped with {left} objects left, as the pointer was not read again")]
    NotReadAgain {
        left: usize,
        #[source]
        source: ReadPointerError,
    },
    #[error(
        "deleting has stopped with {left} objects left, as the job has moved its pointer \
         meanwhile: do it again"
    )]
    Moved { left: usize },
}

/// A job beside the one that is swept: the snapshots that it needs beside its own.
struct Beside {
    name: String,
    roots: Vec<String>,
    /// Why they are not known.
    problem: Option<String>,
}

pub(super) fn sweep(
    place: &Place,
    request: &GcRequest,
    clock: &dyn Clock,
) -> Result<GcReport, Failure> {
    let folders = place.folders()?;
    let beside = beside(place, &folders)?;
    let jobs = folders.iter().map(|folder| {
        let mut garbage = JobGarbage {
            name: folder.name.clone(),
            ..JobGarbage::default()
        };
        let sweep = Sweep {
            folder,
            beside: &beside,
            delete: request.delete,
            grace_ms: i64::try_from(request.grace.as_millis()).unwrap_or(i64::MAX),
            begun_matters: true,
            clock,
        };
        if let Err(error) = sweep.run(&mut garbage) {
            garbage.problems.push(causes(&error));
        }
        garbage
    });
    Ok(GcReport {
        deleted: request.delete,
        jobs: jobs.collect(),
    })
}

/// Deletes all that a job does not need, however young it is: nothing of it runs any more.
pub(super) fn everything(place: &Place, folder: &Folder, clock: &dyn Clock) -> JobGarbage {
    let mut garbage = JobGarbage {
        name: folder.name.clone(),
        ..JobGarbage::default()
    };
    let swept = beside(place, std::slice::from_ref(folder)).map(|beside| {
        let sweep = Sweep {
            folder,
            beside: &beside,
            delete: true,
            grace_ms: i64::MIN,
            // The end of a job must not wait for an account that may not list uploads.
            begun_matters: false,
            clock,
        };
        sweep.run(&mut garbage).map_err(|error| causes(&error))
    });
    match swept {
        Ok(Ok(())) => {}
        Ok(Err(problem)) => garbage.problems.push(problem),
        Err(failure) => garbage.problems.push(failure.text()),
    }
    garbage
}

/// What the jobs of the place need of each other, those included that are not swept.
fn beside(place: &Place, folders: &[Folder]) -> Result<Vec<Beside>, Failure> {
    let all;
    let folders = if place.jobs.is_empty() {
        folders
    } else {
        let whole = Place {
            store: Arc::clone(&place.store),
            options: place.options.clone(),
            jobs: Vec::new(),
        };
        all = whole.folders()?;
        &all
    };
    let jobs = folders.iter().filter(|each| each.contents == Contents::Job);
    let read = jobs.map(|folder| {
        let name = folder.name.clone();
        let (roots, problem) = match folder.pointer() {
            Ok(pointer) => (pointer.roots, None),
            Err(error) => (Vec::new(), Some(causes(&error))),
        };
        Beside {
            name,
            roots: roots.into_iter().map(|root| root.path).collect(),
            problem,
        }
    });
    Ok(read.collect())
}

/// Large objects that were begun and are not finished, by their names.
type Begun = BTreeMap<String, Vec<Unfinished>>;

/// The sweep of one job.
struct Sweep<'a> {
    folder: &'a Folder,
    beside: &'a [Beside],
    delete: bool,
    grace_ms: i64,
    /// It is a problem if what was begun cannot be listed.
    begun_matters: bool,
    clock: &'a dyn Clock,
}

impl Sweep<'_> {
    fn run(&self, garbage: &mut JobGarbage) -> Result<(), SweepError> {
        let now_ms = self.now_ms()?;
        let listing = self.listing()?;
        if self.folder.contents == Contents::Snapshot {
            // It is no job's, and whoever put it here needs all of it.
            garbage.needed_objects = listing.len() as u64;
            garbage.needed_size = size(&listing);
            return Ok(());
        }
        let begun = self.begun(garbage);
        let marked = self.mark()?;
        let options = SweepOptions {
            now_ms,
            grace_ms: self.grace_ms,
            batch: BATCH,
        };
        let needed = listing.iter().filter(|listed| marked.needs(&listed.path));
        let needed: Vec<_> = needed.cloned().collect();
        garbage.needed_objects = needed.len() as u64;
        garbage.needed_size = size(&needed);
        let listing: Vec<_> = listing.into_iter().chain(objects_of(&begun)).collect();
        let batches = collector::sweep(&marked, &listing, options);
        let old: BTreeSet<_> = objects(&batches).map(|listed| &listed.path).collect();
        let ages = SweepOptions {
            grace_ms: i64::MIN,
            ..options
        };
        let unneeded = collector::sweep(&marked, &listing, ages);
        let young = objects(&unneeded).filter(|listed| !old.contains(&listed.path));
        let young: Vec<_> = young.cloned().collect();
        garbage.young_objects = young.len() as u64;
        garbage.young_size = size(&young);
        if !self.delete {
            garbage.garbage = objects(&batches).map(told).collect();
            return Ok(());
        }
        self.delete(&batches, &begun, garbage)
    }

    /// By which ages are told. Where something is to go for its age, it is the store's clock that
    /// counts, which has told when the objects were written: this machine's may be ahead.
    fn now_ms(&self) -> Result<i64, SweepError> {
        let own = self.clock.unix_ms();
        if !self.delete || self.grace_ms == i64::MIN || self.folder.contents == Contents::Snapshot {
            return Ok(own);
        }
        let stores = weir_storage::store_time(self.folder.store.as_ref());
        Ok(own.min(stores.map_err(SweepError::Time)?))
    }

    fn begun(&self, garbage: &mut JobGarbage) -> Begun {
        let found = self.folder.store.list_unfinished(&ObjectPath::default());
        let found = found.unwrap_or_else(|error| {
            let problem = format!(
                "what killed writers have left behind is not known: {}",
                causes(&error)
            );
            if self.begun_matters {
                garbage.problems.push(problem);
            } else {
                tracing::warn!("{problem}");
            }
            Vec::new()
        });
        let mut begun = Begun::new();
        for one in found {
            let path = one.path.as_str().to_owned();
            begun.entry(path).or_default().push(one);
        }
        begun
    }

    fn listing(&self) -> Result<Vec<Listed>, SweepError> {
        let listing = self.folder.store.list(&ObjectPath::default());
        let listing = listing.map_err(SweepError::List)?.into_iter();
        let listed = listing.map(|info| Listed {
            path: info.path.as_str().to_owned(),
            size: info.size,
            modified_ms: info.modified_ms,
        });
        Ok(listed.collect())
    }

    fn mark(&self) -> Result<Marked, SweepError> {
        let mut tries = 1;
        loop {
            let pointer = self.pointer().map_err(SweepError::Pointer)?;
            self.check_beside()?;
            let needed = match self.needed(&pointer) {
                Ok(needed) => needed,
                Err(error) => {
                    let again = self.pointer().map_err(SweepError::Pointer)?;
                    if again == pointer || tries == MARKS_MAX {
                        return Err(error);
                    }
                    tries += 1;
                    continue;
                }
            };
            return collector::mark(&pointer, &needed).map_err(SweepError::Mark);
        }
    }

    /// The pointer, in which the roots are such as this folder knows them. A person may have named
    /// a snapshot of this job by an address or by a path from anywhere, for this job or for
    /// another: so whatever a root's last part names here is a root, too.
    fn pointer(&self) -> Result<Pointer, ReadPointerError> {
        let mut pointer = self.folder.pointer()?;
        let mut named: BTreeSet<String> = BTreeSet::new();
        for root in &pointer.roots {
            named.insert(last_part(folder_of(&root.path)).to_owned());
        }
        for other in self.others() {
            for path in &other.roots {
                if let Some((parent, name)) = folder_of(path).rsplit_once('/')
                    && last_part(parent) == self.folder.name
                {
                    named.insert(name.to_owned());
                }
            }
        }
        pointer.roots.extend(named.into_iter().map(|path| Root {
            operation: OperationId("named".to_owned()),
            path,
        }));
        Ok(pointer)
    }

    fn check_beside(&self) -> Result<(), SweepError> {
        for other in self.others() {
            if let Some(cause) = &other.problem {
                return Err(SweepError::Beside {
                    name: other.name.clone(),
                    cause: cause.clone(),
                });
            }
        }
        Ok(())
    }

    fn others(&self) -> impl Iterator<Item = &Beside> {
        let own = &self.folder.name;
        self.beside.iter().filter(move |other| other.name != *own)
    }

    /// Reads what the pointer lists.
    fn needed(&self, pointer: &Pointer) -> Result<Needed, SweepError> {
        let store = &self.folder.store;
        let unread = |path: &str, source| SweepError::Unread {
            path: path.to_owned(),
            source,
        };
        let mut needed = Needed::default();
        let (kept, open) = collector::roots(pointer);
        for snapshot in kept {
            let path = &snapshot.path;
            let read = Snapshot::kept(store, snapshot).map_err(|error| unread(path, error))?;
            needed.metadata.insert(path.clone(), read.metadata);
        }
        for root in open {
            let path = &root.path;
            // What is no path here lies elsewhere, and what is not there is not written yet.
            match Snapshot::in_job(store, path) {
                Ok(read) => drop(needed.metadata.insert(path.clone(), read.metadata)),
                Err(ReadSnapshotError::Path(_)) => {}
                Err(error) if error.is_absent() => {}
                Err(error) => return Err(unread(path, error)),
            }
        }
        Ok(needed)
    }

    /// Deletes, for as long as the pointer stays what it was. What fails is left out and told.
    fn delete(
        &self,
        batches: &[Batch],
        begun: &Begun,
        garbage: &mut JobGarbage,
    ) -> Result<(), SweepError> {
        let mut left = objects(batches).count();
        let mut failures = 0_usize;
        let mut ended = Ok(());
        for batch in batches {
            match self.pointer() {
                Ok(pointer) if batch.still_holds(&pointer) => {}
                Ok(_) => {
                    ended = Err(SweepError::Moved { left });
                    break;
                }
                Err(source) => {
                    ended = Err(SweepError::NotReadAgain { left, source });
                    break;
                }
            }
            for listed in &batch.objects {
                match self.delete_one(listed, begun) {
                    Ok(()) => garbage.garbage.push(told(listed)),
                    Err(problem) => {
                        failures += 1;
                        if failures <= FAILURES_TOLD_MAX {
                            garbage.problems.push(problem);
                        }
                    }
                }
            }
            left -= batch.objects.len();
        }
        if failures > FAILURES_TOLD_MAX {
            let more = failures - FAILURES_TOLD_MAX;
            let problem = format!("{more} more objects could not be deleted");
            garbage.problems.push(problem);
        }
        ended
    }

    /// Deletes an object, and abandons what was begun under its name.
    fn delete_one(&self, listed: &Listed, begun: &Begun) -> Result<(), String> {
        let begun = begun.get(&listed.path).into_iter().flatten();
        // Something younger is not what was decided on.
        for one in begun.filter(|one| one.begun_ms <= listed.modified_ms) {
            let abandoned = self.folder.store.abandon(one);
            abandoned.map_err(|error| causes(&error))?;
        }
        let path = ObjectPath::new(listed.path.as_str()).map_err(|error| causes(&error))?;
        let deleted = self.folder.store.delete(&path);
        deleted.map_err(|error| causes(&error))
    }
}

fn objects(batches: &[Batch]) -> impl Iterator<Item = &Listed> {
    batches.iter().flat_map(|batch| &batch.objects)
}

/// What was begun, as a listing of objects would show it.
fn objects_of(begun: &Begun) -> impl Iterator<Item = Listed> {
    begun.values().flatten().map(|one| Listed {
        path: one.path.as_str().to_owned(),
        size: 0,
        modified_ms: one.begun_ms,
    })
}

fn size(listed: &[Listed]) -> u64 {
    listed.iter().map(|object| object.size).sum()
}

fn told(listed: &Listed) -> GarbageObject {
    GarbageObject {
        path: listed.path.clone(),
        size: listed.size,
        modified: listed.modified_ms,
    }
}
