//! What a job starts from: what the pointer and the person who starts it say of it.

use std::cmp::Ordering;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use weir_checkpoint::claim::Claimant;
use weir_checkpoint::collector::METADATA;
use weir_checkpoint::metadata::{self, CheckpointMetadata, OperatorMetadata};
use weir_checkpoint::pointer::{OperationId, Pointer, Root, RunState, SnapshotKind};
use weir_cli::{CheckpointArgs, Failure, RestoreChoice};
use weir_jobmanager::{Claimed, Look, RestoreFrom};
use weir_storage::{ObjectPath, StoreErrorKind, StoreOptions};
use weir_types::JobId;

use super::options::absolute;
use super::{Candidate, Folder, holder, noun};
use crate::program::Plan;
use crate::random;

/// What a process wants of a job.
pub(super) struct Wish {
    pub(super) claimant: Claimant,
    /// It begins anew: its checkpoints were deleted, or a person wants it to start from something
    /// else than them.
    pub(super) anew: bool,
    /// A snapshot that a person named, if the job has not gone on from it yet.
    pub(super) named: Option<Named>,
}

/// A snapshot that a person named.
pub(super) struct Named {
    /// As the person did.
    pub(super) path: String,
    /// What its objects' names are relative to.
    pub(super) base: String,
    pub(super) metadata: CheckpointMetadata,
}

impl Folder {
    /// What to ask of the job, by what the pointer says now. None: it has finished, and nobody asks
    /// for it again.
    pub(super) fn wish(
        &self,
        args: &CheckpointArgs,
        candidate: &Candidate,
        say: &dyn Fn(&str),
    ) -> Result<Option<Wish>, Failure> {
        let pointer =
            weir_jobmanager::read_pointer(self.store.as_ref()).map_err(Failure::failed)?;
        let choice = args.restore.as_ref();
        let Some(pointer) = pointer else {
            let named = self.named(choice)?;
            self.has_what_is_required(args, named.is_some())?;
            if choice == Some(&RestoreChoice::Latest) {
                say("the store has never held a checkpoint of this job: it starts with no state");
            }
            return Ok(Some(Wish {
                claimant: claimant(
                    JobId(random::bits()),
                    candidate.deployment.unwrap_or(1),
                    None,
                ),
                anew: false,
                named,
            }));
        };
        let goes_on = goes_on(&pointer, candidate.deployment, choice)?;
        // A newer deployment of a person's that names its start leaves the newest state behind.
        let newer = candidate
            .deployment
            .is_some_and(|own| own > pointer.deployment);
        let leaves = newer && choice.is_some() && !goes_on;
        if pointer.latest.is_some() && !goes_on {
            if !leaves {
                return Err(Failure::usage(self.has_state(choice)));
            }
            self.can_be_left(&pointer)?;
        }
        // A newer deployment is how a person asks for it again.
        if pointer.run_state == RunState::Finished && goes_on && !newer {
            say("the job has finished before: there is nothing left to do");
            return Ok(None);
        }
        let deleted = pointer.run_state == RunState::Deleted;
        // Whoever issues deployments has been told to start the job, and knows what became of it.
        let issued = candidate.deployment.is_some();
        if deleted && choice == Some(&RestoreChoice::Latest) && !issued {
            return Err(Failure::usage(self.was_deleted(&pointer)));
        }
        if deleted && (choice.is_none() || issued) {
            say("the job has ended, and its checkpoints were deleted: it starts with no state");
        }
        let begins_with = match choice {
            Some(RestoreChoice::Latest) => pointer.begins_with(issued),
            _ => None,
        };
        if let Some(root) = begins_with {
            let path = &root.path;
            say(&format!(
                "no checkpoint of this job has completed since it was told to begin with {path}"
            ));
        } else if pointer.latest.is_none() && choice == Some(&RestoreChoice::Latest) {
            say("no checkpoint of this job has completed yet: it starts with no state");
        }
        let runs = matches!(pointer.run_state, RunState::Running | RunState::Stopping(_));
        let same = if runs {
            pointer.deployment
        } else {
            pointer.deployment + 1
        };
        let deployment = candidate.deployment.unwrap_or(same);
        let from = (deployment > pointer.deployment).then_some(pointer.deployment);
        let named = match pointer.latest {
            Some(_) if !leaves => None,
            _ => match begins_with {
                Some(root) => Some(read_named(&root.path, &self.store_options)?),
                None => self.named(choice)?,
            },
        };
        let has_state = named.is_some() || (pointer.latest.is_some() && !leaves);
        self.has_what_is_required(args, has_state)?;
        Ok(Some(Wish {
            claimant: claimant(pointer.state_id, deployment, from),
            anew: deleted || leaves,
            named,
        }))
    }

    /// Whether all results that the newest state promises are published. Those that are not would
    /// be lost if the job began with something else. State that is gone promises nothing any more,
    /// and a person who names something else has been told so.
    pub(super) fn can_be_left(&self, pointer: &Pointer) -> Result<(), Failure> {
        let Some(latest) = &pointer.latest else {
            return Ok(());
        };
        if matches!(pointer.run_state, RunState::Stopped(_) | RunState::Finished) {
            return Ok(());
        }
        let place = ObjectPath::new(format!("{}/{METADATA}", latest.path));
        if let Ok(place) = place
            && let Err(error) = self.store.get(&place)
            && error.kind == StoreErrorKind::NotFound
        {
            return Ok(());
        }
        let metadata = weir_jobmanager::read_snapshot(self.store.as_ref(), latest);
        let metadata = metadata.map_err(|cause| Failure::failed(anyhow!(cause)));
        let metadata = metadata.map_err(|error| {
            let (address, path) = (&self.address, &latest.path);
            error.context(format!(
                "find out whether {address}/{path} holds results that are still to be published"
            ))
        })?;
        let promised = |operator: &&OperatorMetadata| {
            let mut states = operator.subtasks.iter();
            states.any(|(_, state)| state.uncommitted)
        };
        match metadata.operators.iter().find(promised) {
            None => Ok(()),
            Some(sink) => Err(Failure::usage(anyhow!(
                "{} {} holds results of the sink `{}` that are still to be published; they would \
                 be lost if the job began with something else: stop it with a savepoint first, \
                 or give it another state id",
                noun(metadata.kind),
                metadata.id,
                sink.name
            ))),
        }
    }

    fn named(&self, choice: Option<&RestoreChoice>) -> Result<Option<Named>, Failure> {
        match choice {
            Some(RestoreChoice::Path(path)) => read_named(path, &self.store_options).map(Some),
            _ => Ok(None),
        }
    }

    /// What the job goes on from.
    pub(super) fn restore(
        &self,
        claimed: Claimed,
        named: Option<Named>,
        candidate: &Candidate,
        plan: &Plan,
        say: &dyn Fn(&str),
    ) -> Result<(Claimed, Option<RestoreFrom>), Failure> {
        if let Some(named) = named {
            return self.restore_named(claimed, named, candidate, say);
        }
        let mut vertices = plan.program.job_graph.vertices.iter();
        let transactional = vertices.any(|vertex| vertex.commits);
        let (store, pointer) = (self.store.as_ref(), &claimed.pointer);
        let found = weir_jobmanager::restore_point(store, pointer, transactional, Look::Objects);
        let Some((metadata, warning)) = found.map_err(Failure::failed)? else {
            return Ok((claimed, None));
        };
        if let Some(warning) = warning {
            say(&warning);
        }
        say(&format!(
            "restoring {} {}",
            noun(metadata.kind),
            metadata.id
        ));
        let from = RestoreFrom::latest(&self.address, metadata);
        Ok((claimed, Some(from)))
    }

    /// A snapshot that a person named, by its folder or its `_metadata`.
    fn restore_named(
        &self,
        claimed: Claimed,
        named: Named,
        candidate: &Candidate,
        say: &dyn Fn(&str),
    ) -> Result<(Claimed, Option<RestoreFrom>), Failure> {
        let Named {
            path,
            base,
            metadata,
        } = named;
        let root = Root {
            operation: OperationId::of_restore(candidate.deployment),
            path: absolute(&path)?,
        };
        let seed = random::word();
        let claimed = weir_jobmanager::record_root(self.store.as_ref(), claimed, root, seed);
        let claimed: Claimed = claimed.map_err(Failure::failed)?;
        say(&format!(
            "restoring {} {} of {path}",
            noun(metadata.kind),
            metadata.id
        ));
        let from = RestoreFrom {
            metadata: Arc::new(metadata),
            base,
            own: false,
            lineage: false,
        };
        Ok((claimed, Some(from)))
    }
}

/// Whether a process goes on from the newest state.
fn goes_on(
    pointer: &Pointer,
    deployment: Option<u64>,
    choice: Option<&RestoreChoice>,
) -> Result<bool, Failure> {
    let goes_on = match choice {
        Some(RestoreChoice::Latest) => true,
        Some(RestoreChoice::Path(path)) => has_begun(pointer, deployment, &absolute(path)?),
        Some(RestoreChoice::None) | None => false,
    };
    // What a person says of a deployment's start is for its first process only: those after it go
    // on from what that one has stored.
    Ok(goes_on || deployment == Some(pointer.deployment))
}

/// Whether the job has begun from the snapshot that a person named: started again with the same
/// words, it goes on from what it has stored since. A newer deployment is a wish of its own: it
/// begins from that snapshot once more.
pub(super) fn has_begun(pointer: &Pointer, deployment: Option<u64>, path: &str) -> bool {
    match deployment.map(|own| own.cmp(&pointer.deployment)) {
        Some(Ordering::Greater) => false,
        Some(Ordering::Equal) => true,
        Some(Ordering::Less) | None => pointer.roots.iter().any(|root| root.path == path),
    }
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
    Ok(Named {
        path: path.to_owned(),
        base,
        metadata,
    })
}

fn claimant(state_id: JobId, deployment: u64, from_deployment: Option<u64>) -> Claimant {
    Claimant {
        state_id,
        deployment,
        from_deployment,
        holder: holder(),
    }
}
