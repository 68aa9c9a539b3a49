//! Snapshots that a person named: reading them, and finding out before anything changes whether the
//! job can begin with them.

use std::sync::Arc;

use anyhow::{Context, anyhow};
use weir_checkpoint::collector::METADATA;
use weir_checkpoint::metadata::{self, CheckpointMetadata};
use weir_checkpoint::pointer::{OperationId, Root, SnapshotKind};
use weir_cli::Failure;
use weir_jobmanager::{RestoreFrom, StartError};
use weir_storage::{ObjectPath, StoreOptions};

use super::check::Types;
use super::options::absolute;
use super::{Candidate, Folder};
use crate::program::{Adopt, Plan};

/// A snapshot that a person named.
pub(super) struct Named {
    /// As the person did.
    pub(super) path: String,
    pub(super) from: RestoreFrom,
}

/// A program that is to go on from a snapshot.
pub(super) struct Successor<'a> {
    pub(super) plan: &'a Plan,
    pub(super) adopt: &'a Adopt<'a>,
    /// State may be left behind that belongs to no operator of the program.
    pub(super) allowed: bool,
}

impl Successor<'_> {
    /// Whether the program has a place for all of a snapshot's state; what of it people should
    /// know. `folder`: the job's state folder.
    pub(super) fn fits(
        &self,
        folder: &Folder,
        from: &RestoreFrom,
        say: &dyn Fn(&str),
    ) -> Result<(Plan, Vec<String>), Failure> {
        let plan = (self.adopt)(self.plan.clone(), &from.metadata, say)?;
        let job_graph = &plan.program.job_graph;
        let differences =
            weir_jobmanager::check_restore(job_graph, &folder.address, from, self.allowed);
        let differences = differences.map_err(|source| {
            let id = from.metadata.id;
            Failure::failed(StartError::Restore { id, source })
        })?;
        Ok((plan, differences))
    }
}

impl Folder {
    /// Whether the job can begin with a snapshot, as far as that can be found out without reading
    /// all of its state. Asked before the claim, which lets go of what the job has.
    pub(super) fn can_begin_with(
        &self,
        named: &Named,
        successor: &Successor<'_>,
        types: Option<&mut Types>,
    ) -> Result<(), Failure> {
        let Named { path, from } = named;
        let (plan, _) = successor.fits(self, from, &|_| {})?;
        let store = weir_storage::open(&from.base, &self.store_options).map_err(Failure::failed)?;
        let missing = weir_jobmanager::missing_objects(store.as_ref(), &from.metadata)
            .with_context(|| format!("look whether all of `{path}` is there"))
            .map_err(Failure::failed)?;
        if let Some(cause) = missing {
            return Err(Failure::failed(anyhow!(
                "restore {path}: {cause}; nothing has changed: name another snapshot, which `weir \
                 checkpoints ls --dir {}` shows",
                self.address
            )));
        }
        let types = types.map_or(Ok(()), |types| {
            types.check(&plan.program, &from.metadata, Some(store.as_ref()))
        });
        types.map_err(|cause| Failure::failed(anyhow!("restore {path}: {cause}")))
    }
}

/// The note in the pointer that a job begins with a snapshot.
pub(super) fn root_of(path: &str, candidate: &Candidate) -> Result<Root, Failure> {
    Ok(Root {
        operation: OperationId::of_restore(candidate.deployment),
        path: absolute(path)?,
    })
}

/// The folder of a snapshot that a person named, by it or by its `_metadata`.
pub(super) fn snapshot_folder(path: &str) -> Result<String, Failure> {
    absolute(path.trim_end_matches("/_metadata").trim_end_matches('/'))
}

/// Reads what a snapshot that a person named says of itself.
pub(super) fn read_named(path: &str, options: &StoreOptions) -> Result<Named, Failure> {
    let folder = snapshot_folder(path)?;
    let read = || -> anyhow::Result<CheckpointMetadata> {
        let store = weir_storage::open(&folder, options)?;
        let bytes = store.get(&ObjectPath::new(METADATA)?)?;
        Ok(metadata::decode(&bytes)?)
    };
    let metadata = read()
        .with_context(|| format!("restore `{path}`: name the folder of a checkpoint or savepoint"))
        .map_err(Failure::failed)?;
    let base = match metadata.kind {
        SnapshotKind::Savepoint => folder,
        // A checkpoint shares objects with others of its job.
        SnapshotKind::Checkpoint => match folder.rsplit_once('/') {
            Some((parent, _)) => parent.to_owned(),
            None => folder,
        },
    };
    let from = RestoreFrom {
        metadata: Arc::new(metadata),
        base,
        own: false,
        lineage: false,
        older: Vec::new(),
    };
    Ok(Named {
        path: path.to_owned(),
        from,
    })
}
