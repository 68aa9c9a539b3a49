//! Whether a program can go on from a job's state, found out without claiming anything: what a
//! JobManager does before the job that runs is stopped for it.
//!
//! What is read is what a start would read, by the same rules; nothing is written but the probe of
//! the store, which keeps to a folder of its own. Entries of state are not decoded, but their types
//! are compared with those that the program's functions ask for as they open.

mod types;

use weir_checkpoint::collector::METADATA;
use weir_checkpoint::metadata::CheckpointMetadata;
use weir_checkpoint::pointer::{Pointer, RunState};
use weir_cli::{CheckpointArgs, Failure, RestoreChoice};
use weir_crd::LocalJob;
use weir_jobmanager::{ClaimError, Look, RestoreFrom};
use weir_rpc::{StateCheck, StateVerdict};
use weir_storage::{ObjectPath, ObjectStore, StoreError, StoreErrorKind};
use weir_types::causes;

pub(super) use self::types::Types;
use super::named::{read_named, snapshot_folder};
use super::options::absolute;
use super::refusals::Words;
use super::wish::has_begun;
use super::{Folder, state_name};
use crate::program;
use crate::registry::Registry;

/// A check that can be repeated.
pub(crate) struct Check {
    registry: Registry,
    job: LocalJob,
    args: CheckpointArgs,
    deployment: Option<u64>,
    types: Types,
}

/// Why the program cannot go on, or why that could not be found out.
enum Trouble {
    Unreachable(String),
    Refused(&'static str, String),
}

/// What was found on the way.
#[derive(Default)]
struct Found {
    snapshot: Option<weir_types::CheckpointId>,
    deployment: Option<u64>,
}

impl Check {
    pub(crate) fn new(
        registry: &Registry,
        job: &LocalJob,
        args: &CheckpointArgs,
        deployment: Option<u64>,
    ) -> Self {
        Self {
            registry: registry.clone(),
            job: job.clone(),
            args: args.clone(),
            deployment,
            types: Types::default(),
        }
    }

    pub(crate) fn run(&mut self) -> StateCheck {
        let mut found = Found::default();
        let (verdict, reason, message) = match self.look(&mut found) {
            Ok(message) => (StateVerdict::Passed, "", message),
            Err(Trouble::Unreachable(message)) => {
                (StateVerdict::Unreachable, "StorageUnreachable", message)
            }
            Err(Trouble::Refused(reason, message)) => (StateVerdict::Failed, reason, message),
        };
        StateCheck {
            verdict,
            reason: reason.to_owned(),
            message,
            snapshot: found.snapshot,
            deployment: found.deployment,
        }
    }

    fn look(&mut self, found: &mut Found) -> Result<String, Trouble> {
        let Some(dir) = &self.args.dir else {
            return Ok("the job keeps no state".to_owned());
        };
        let folder = Folder::at(dir, state_name(&self.job), &self.args);
        let folder = folder.map_err(|failure| refused("StorageAddress", &failure))?;
        weir_storage::probe(folder.store.as_ref()).map_err(|error| store(&error))?;
        let pointer = weir_jobmanager::read_pointer(folder.store.as_ref())
            .map_err(|error| self.claim(&folder, error))?;
        found.deployment = pointer.as_ref().map(|pointer| pointer.deployment);
        if pointer.is_none() {
            self.never_had_state(&folder)?;
        }
        match &self.args.restore.clone() {
            None | Some(RestoreChoice::None) => {
                self.leaves(&folder, pointer.as_ref())?;
                Ok("the job starts with no state".to_owned())
            }
            Some(RestoreChoice::Path(path)) if !self.has_begun(path, pointer.as_ref())? => {
                self.leaves(&folder, pointer.as_ref())?;
                self.named(&folder, path, found)
            }
            Some(RestoreChoice::Latest | RestoreChoice::Path(_)) => match pointer {
                None if self.args.require_state => {
                    let message = format!("{} holds no state of the job any more", folder.address);
                    Err(Trouble::Refused("StateMissing", message))
                }
                None => Ok("the job starts with no state: it never had any".to_owned()),
                Some(pointer) => self.latest(&folder, &pointer, found),
            },
        }
    }

    /// Whether the job has begun from this snapshot already: a repeated start goes on.
    fn has_begun(&self, path: &str, pointer: Option<&Pointer>) -> Result<bool, Trouble> {
        let path = absolute(path).map_err(|failure| refused("SnapshotUnreadable", &failure))?;
        Ok(pointer.is_some_and(|pointer| has_begun(pointer, self.deployment, &path)))
    }

    /// Whether the newest state may be left behind. The job that runs will stop with a savepoint,
    /// and publish its results with it, if it can; so only one that does not run is asked.
    fn leaves(&self, folder: &Folder, pointer: Option<&Pointer>) -> Result<(), Trouble> {
        let over = pointer.filter(|pointer| pointer.run_state.is_over());
        let Some(pointer) = over else {
            return Ok(());
        };
        let left = folder.can_be_left(pointer, self.words());
        left.map(drop)
            .map_err(|failure| refused("ResultsUnpublished", &failure))
    }

    fn claim(&self, folder: &Folder, error: ClaimError) -> Trouble {
        let reason = match error {
            ClaimError::Store(error) => return store(&error),
            ClaimError::LatestUnreadable { .. } => "LatestUnreadable",
            _ => "PointerDamaged",
        };
        refused(reason, &folder.refused(error, self.words()))
    }

    fn words(&self) -> Words {
        Words::of_issued(self.deployment.is_some())
    }

    /// Without a pointer no start is possible where there is state, whatever it is to begin with.
    fn never_had_state(&self, folder: &Folder) -> Result<(), Trouble> {
        let objects = weir_jobmanager::has_snapshots(folder.store.as_ref());
        if !objects.map_err(|error| self.claim(folder, error))? {
            return Ok(());
        }
        let message = format!(
            "{} holds snapshots, but the pointer that says which is the newest is missing: put it \
             back, or give the job another `spec.stateId` and name a snapshot in `spec.restore`",
            folder.address
        );
        Err(Trouble::Refused("StateMissing", message))
    }

    fn named(&mut self, folder: &Folder, path: &str, found: &mut Found) -> Result<String, Trouble> {
        let place = snapshot_folder(path);
        let place = place.map_err(|failure| refused("SnapshotUnreadable", &failure))?;
        if let Ok(there) = weir_storage::open(&place, &folder.store_options) {
            can_be_had(there.as_ref(), METADATA)?;
        }
        let named = read_named(path, &folder.store_options);
        let named = named.map_err(|failure| refused("SnapshotUnreadable", &failure))?;
        found.snapshot = Some(named.from.metadata.id);
        self.fits(folder, &named.from)
    }

    fn latest(
        &mut self,
        folder: &Folder,
        pointer: &Pointer,
        found: &mut Found,
    ) -> Result<String, Trouble> {
        if pointer.run_state == RunState::Deleted {
            let failure = Failure::usage(folder.was_deleted(pointer, self.words()));
            return Err(refused("StateDeleted", &failure));
        }
        if let Some(root) = pointer.begins_with(self.deployment.is_some()) {
            return self.named(folder, &root.path, found);
        }
        let Some(latest) = &pointer.latest else {
            return Ok("the job starts with no state: no checkpoint has completed yet".to_owned());
        };
        found.snapshot = Some(latest.id);
        can_be_had(
            folder.store.as_ref(),
            &format!("{}/{METADATA}", latest.path),
        )?;
        let plan = program::plan(&self.registry, &self.job);
        let plan = plan.map_err(|failure| refused("ProgramRefused", &failure))?;
        let mut vertices = plan.program.job_graph.vertices.iter();
        let transactional = vertices.any(|vertex| vertex.commits);
        // The job may let go of its checkpoints while they are looked at.
        let (store, look) = (folder.store.as_ref(), Look::Metadata);
        let point = weir_jobmanager::restore_point(store, pointer, transactional, look);
        let Some((metadata, _)) = point.map_err(|error| self.claim(folder, error))? else {
            return Ok("the job starts with no state".to_owned());
        };
        found.snapshot = Some(metadata.id);
        self.fits(folder, &RestoreFrom::latest(&folder.address, metadata))
    }

    /// Whether the program has a place for all of a snapshot's state.
    fn fits(&mut self, folder: &Folder, from: &RestoreFrom) -> Result<String, Trouble> {
        let metadata: &CheckpointMetadata = &from.metadata;
        let plan = program::plan(&self.registry, &self.job)
            .and_then(|plan| program::adopt(&self.registry, &self.job, plan, metadata, &|_| {}));
        let plan = plan.map_err(|failure| refused("ProgramRefused", &failure))?;
        let allowed = self.args.allow_non_restored_state || self.job.allow_non_restored_state;
        let job_graph = &plan.program.job_graph;
        weir_jobmanager::check_restore(job_graph, &folder.address, from, allowed)
            .map_err(|error| Trouble::Refused("StateIncompatible", causes(&error)))?;
        let base = weir_storage::open(&from.base, &folder.store_options).ok();
        let types = self.types.check(&plan.program, metadata, base.as_deref());
        types.map_err(|cause| Trouble::Refused("StateIncompatible", cause))?;
        let what = metadata.kind.noun();
        Ok(format!("the job goes on from {what} {}", metadata.id))
    }
}

/// Whether an object can be read, or is surely not there: what comes after cannot tell that from a
/// storage that does not answer.
fn can_be_had(from: &dyn ObjectStore, path: &str) -> Result<(), Trouble> {
    let Ok(path) = ObjectPath::new(path) else {
        return Ok(());
    };
    match from.get(&path) {
        Err(error) if error.kind != StoreErrorKind::NotFound => Err(store(&error)),
        _ => Ok(()),
    }
}

fn refused(reason: &'static str, failure: &Failure) -> Trouble {
    let text = failure.text().replace("\n  caused by: ", ": ");
    Trouble::Refused(reason, text.trim_start_matches("error: ").to_owned())
}

fn store(error: &StoreError) -> Trouble {
    match error.kind {
        StoreErrorKind::Unsuitable => Trouble::Refused("StorageUnsuitable", causes(error)),
        _ => Trouble::Unreachable(causes(error)),
    }
}

#[cfg(test)]
pub(super) mod tests;
