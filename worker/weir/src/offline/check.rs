//! Whether what is kept is whole: reads every object that it refers to.

use std::collections::BTreeMap;

use weir_checkpoint::fsck::{Check, Defect};
use weir_checkpoint::pointer::{Pointer, SnapshotRef};
use weir_cli::{JobCheck, SnapshotCheck};
use weir_storage::{ObjectPath, ObjectStore, StoreErrorKind, StoreOptions};
use weir_types::causes;

use super::place::{Contents, Folder};
use super::snapshot::{self, ReadSnapshotError, Snapshot};

/// What came of an object.
#[derive(Clone)]
struct Verdict {
    /// How many bytes were read.
    read: Option<u64>,
    problem: Option<String>,
}

/// What came of the objects of one folder: checkpoints share them, and each is read once.
#[derive(Default)]
struct Verdicts(BTreeMap<(String, u64, u128), Verdict>);

pub(super) fn folder(folder: &Folder, options: &StoreOptions) -> JobCheck {
    let name = folder.name.clone();
    if folder.contents == Contents::Snapshot {
        let read = Snapshot::alone(&folder.store, options);
        return of_savepoint(name, &folder.store.location(), &read);
    }
    match folder.pointer() {
        Ok(pointer) => of_job(folder, &pointer, options),
        Err(error) => JobCheck {
            name,
            problems: vec![causes(&error)],
            snapshots: Vec::new(),
        },
    }
}

fn of_savepoint(
    name: String,
    location: &str,
    read: &Result<Snapshot, ReadSnapshotError>,
) -> JobCheck {
    let (problems, snapshots) = match read {
        Ok(snapshot) => (
            Vec::new(),
            vec![of_snapshot(snapshot, &mut Verdicts::default())],
        ),
        Err(error) => (vec![format!("{location}: {}", causes(error))], Vec::new()),
    };
    JobCheck {
        name,
        problems,
        snapshots,
    }
}

fn of_job(folder: &Folder, pointer: &Pointer, options: &StoreOptions) -> JobCheck {
    let mut verdicts = Verdicts::default();
    let mut job = JobCheck {
        name: folder.name.clone(),
        ..JobCheck::default()
    };
    for root in snapshot::roots(folder, pointer, options) {
        match root {
            // It may lie in another store, where the same name is another object.
            Ok(snapshot) => {
                let check = of_snapshot(&snapshot, &mut Verdicts::default());
                job.snapshots.push(check);
            }
            Err(error) => job.problems.push(causes(&error)),
        }
    }
    for kept in &pointer.retained {
        let check = match Snapshot::kept(&folder.store, kept) {
            Ok(snapshot) => of_snapshot(&snapshot, &mut verdicts),
            Err(error) => unread(folder, kept, causes(&error)),
        };
        if check.problems.is_empty() || still_keeps(folder, kept) {
            job.snapshots.push(check);
        }
    }
    job
}

/// A job that runs may have let go of a snapshot meanwhile, and what is missing since then is
/// missing rightly.
fn still_keeps(folder: &Folder, kept: &SnapshotRef) -> bool {
    folder
        .pointer()
        .map_or(true, |pointer| pointer.retained.contains(kept))
}

fn unread(folder: &Folder, kept: &SnapshotRef, problem: String) -> SnapshotCheck {
    SnapshotCheck {
        id: kept.id.0,
        kind: kept.kind.noun().to_owned(),
        location: format!("{}/{}", folder.store.location(), kept.path),
        problems: vec![problem],
        ..SnapshotCheck::default()
    }
}

fn of_snapshot(snapshot: &Snapshot, verdicts: &mut Verdicts) -> SnapshotCheck {
    let (checks, defects) = snapshot.checks();
    let mut report = SnapshotCheck {
        id: snapshot.metadata.id.0,
        kind: snapshot.metadata.kind.noun().to_owned(),
        location: snapshot.location.clone(),
        // The metadata was read and compared, too.
        objects: 1,
        size: snapshot.metadata_size,
        problems: defects.iter().map(ToString::to_string).collect(),
    };
    for check in &checks {
        let verdict = verdicts.of(snapshot.store.as_ref(), check);
        report.objects += u64::from(verdict.read.is_some());
        report.size += verdict.read.unwrap_or(0);
        report.problems.extend(verdict.problem.map(|problem| {
            let Check {
                operator, subtask, ..
            } = check;
            format!("{problem} (state of `{operator}`, subtask {subtask})")
        }));
    }
    report
}

impl Verdicts {
    fn of(&mut self, store: &dyn ObjectStore, check: &Check) -> Verdict {
        let key = (check.path.clone(), check.size, check.checksum);
        let verdict = self.0.entry(key).or_insert_with(|| verdict(store, check));
        verdict.clone()
    }
}

fn verdict(store: &dyn ObjectStore, check: &Check) -> Verdict {
    let unread = |problem: String| Verdict {
        read: None,
        problem: Some(problem),
    };
    let path = match ObjectPath::new(check.path.as_str()) {
        Ok(path) => path,
        Err(error) => return unread(causes(&error)),
    };
    match store.get(&path) {
        Ok(bytes) => Verdict {
            read: Some(bytes.len() as u64),
            problem: check.verify(&bytes).err().map(|defect| defect.to_string()),
        },
        Err(error) if error.kind == StoreErrorKind::NotFound => {
            let path = check.path.clone();
            unread(Defect::Missing { path }.to_string())
        }
        Err(error) => unread(causes(&error)),
    }
}
