//! What a job starts from: what the pointer and the person who starts it say of it.

use std::cmp::Ordering;
use std::sync::Arc;

use anyhow::Context;
use weir_checkpoint::claim::Claimant;
use weir_checkpoint::collector::METADATA;
use weir_checkpoint::metadata::{self, CheckpointMetadata, OperatorMetadata};
use weir_checkpoint::pointer::{OperationId, Pointer, Root, RunState, SnapshotKind};
use weir_checkpoint::restore::WhichOperator;
use weir_cli::{CheckpointArgs, Failure, RestoreChoice};
use weir_graph::JobGraph;
use weir_jobmanager::{Claimed, Found, Look, RestoreFrom};
use weir_storage::{ObjectPath, StoreOptions};
use weir_types::JobId;

use super::options::absolute;
use super::refusals::Words;
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
    /// The same, if it is the job's newest: as the person named it.
    pub(super) newest: Option<String>,
}

/// A snapshot that a person named.
pub(super) struct Named {
    /// As the person did.
    pub(super) path: String,
    /// What its objects' names are relative to.
    pub(super) base: String,
    pub(super) metadata: CheckpointMetadata,
}

/// What a person says, beside what the pointer says.
struct Said<'a> {
    choice: Option<&'a RestoreChoice>,
    /// Somebody issues deployments: has been told to start the job, and knows what became of it.
    issued: bool,
    /// A newer deployment is how a person asks for the job again.
    newer: bool,
    /// The job goes on from its newest state.
    goes_on: bool,
    /// A person has the job begin with something else, and leave its newest state behind.
    leaves: bool,
}

impl<'a> Said<'a> {
    /// `newest` says whether a person named the newest snapshot.
    fn new(
        args: &'a CheckpointArgs,
        candidate: &Candidate,
        pointer: &Pointer,
        newest: bool,
    ) -> Result<Self, Failure> {
        let choice = match newest {
            true => Some(&RestoreChoice::Latest),
            false => args.restore.as_ref(),
        };
        let deployment = candidate.deployment;
        let issued = deployment.is_some();
        let newer = deployment.is_some_and(|own| own > pointer.deployment);
        // Where deployments are issued, a newer one is the way to go back.
        let rewinds = args.rewind && !issued && choice != Some(&RestoreChoice::Latest);
        let goes_on = !rewinds && goes_on(pointer, deployment, choice)?;
        Ok(Self {
            choice,
            issued,
            newer,
            goes_on,
            leaves: (newer || rewinds) && choice.is_some() && !goes_on,
        })
    }

    /// Tells what a person may not expect of the start.
    fn tell(&self, pointer: &Pointer, begins_with: Option<&Root>, say: &dyn Fn(&str)) {
        let deleted = pointer.run_state == RunState::Deleted;
        if deleted && (self.choice.is_none() || self.issued) {
            say("the job has ended, and its checkpoints were deleted: it starts with no state");
        }
        let wants_latest = self.choice == Some(&RestoreChoice::Latest);
        if let Some(Root { path, .. }) = begins_with {
            say(&format!(
                "no checkpoint of this job has completed since it was told to begin with {path}"
            ));
        } else if pointer.latest.is_none() && wants_latest {
            say("no checkpoint of this job has completed yet: it starts with no state");
        }
        if let Some(RestoreChoice::Path(path)) = self.choice
            && self.goes_on
            && !self.issued
            && pointer.latest.is_some()
        {
            say(&format!(
                "the job has begun from {path} before: it goes on from its newest state"
            ));
        }
    }

    /// The deployment of a process for which none was issued.
    fn deployment(&self, pointer: &Pointer) -> u64 {
        let runs = matches!(pointer.run_state, RunState::Running | RunState::Stopping(_));
        match runs && !self.leaves {
            true => pointer.deployment,
            false => pointer.deployment + 1,
        }
    }
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
        let words = Words::of(candidate);
        let pointer = weir_jobmanager::read_pointer(self.store.as_ref())
            .map_err(|error| self.refused(error, words))?;
        let Some(pointer) = pointer else {
            return self.first_wish(args, candidate, say).map(Some);
        };
        let newest = self.named_newest(args, candidate, &pointer)?;
        let said = Said::new(args, candidate, &pointer, newest.is_some())?;
        if pointer.latest.is_some() && !said.goes_on {
            if !said.leaves {
                return Err(Failure::usage(self.has_state(said.choice, words)));
            }
            if let Some(warning) = self.can_be_left(&pointer, words)? {
                say(&warning);
            }
        }
        if pointer.run_state == RunState::Finished && said.goes_on && !said.newer {
            say("the job has finished before: there is nothing left to do");
            return Ok(None);
        }
        let deleted = pointer.run_state == RunState::Deleted;
        let wants_latest = said.choice == Some(&RestoreChoice::Latest);
        if deleted && wants_latest && !said.issued {
            return Err(Failure::usage(self.was_deleted(&pointer, words)));
        }
        let begins_with = match wants_latest {
            true => pointer.begins_with(said.issued),
            false => None,
        };
        said.tell(&pointer, begins_with, say);
        let own = candidate.deployment;
        let deployment = own.unwrap_or_else(|| said.deployment(&pointer));
        let from = (deployment > pointer.deployment).then_some(pointer.deployment);
        let named = match pointer.latest {
            Some(_) if !said.leaves => None,
            _ => match begins_with {
                Some(root) => Some(read_named(&root.path, &self.store_options)?),
                None => self.named(said.choice)?,
            },
        };
        let has_state = named.is_some() || (pointer.latest.is_some() && !said.leaves);
        self.has_what_is_required(args, has_state, words)?;
        Ok(Some(Wish {
            claimant: claimant(pointer.state_id, deployment, from),
            anew: deleted || said.leaves,
            named,
            newest,
        }))
    }

    /// The same where there is no pointer.
    fn first_wish(
        &self,
        args: &CheckpointArgs,
        candidate: &Candidate,
        say: &dyn Fn(&str),
    ) -> Result<Wish, Failure> {
        let choice = args.restore.as_ref();
        let named = self.named(choice)?;
        self.has_what_is_required(args, named.is_some(), Words::of(candidate))?;
        if choice == Some(&RestoreChoice::Latest) {
            say("the store has never held a checkpoint of this job: it starts with no state");
        }
        let deployment = candidate.deployment.unwrap_or(1);
        Ok(Wish {
            claimant: claimant(JobId(random::bits()), deployment, None),
            anew: false,
            named,
            newest: None,
        })
    }

    /// How a person named the job's newest snapshot, if that is what was named. (Where deployments
    /// are issued, a newer one begins from it as from any other.)
    fn named_newest(
        &self,
        args: &CheckpointArgs,
        candidate: &Candidate,
        pointer: &Pointer,
    ) -> Result<Option<String>, Failure> {
        let (Some(RestoreChoice::Path(path)), Some(latest), None) =
            (&args.restore, &pointer.latest, candidate.deployment)
        else {
            return Ok(None);
        };
        let own = format!("{}/{}", self.address, latest.path);
        Ok((snapshot_folder(path)? == own).then(|| path.clone()))
    }

    /// Whether all results that the newest state promises are published. Those that are not would
    /// be lost if the job began with something else. State that is gone or damaged can keep no
    /// promise any more, and a person who names something else has been told so; the warning says
    /// once more what that means.
    pub(super) fn can_be_left(
        &self,
        pointer: &Pointer,
        words: Words,
    ) -> Result<Option<String>, Failure> {
        let Some(latest) = &pointer.latest else {
            return Ok(None);
        };
        if matches!(pointer.run_state, RunState::Stopped(_) | RunState::Finished) {
            return Ok(None);
        }
        let (address, path) = (&self.address, &latest.path);
        let metadata = match weir_jobmanager::find_snapshot(self.store.as_ref(), latest) {
            Ok(Found::Whole(metadata)) => metadata,
            Ok(Found::Unreadable(cause)) => {
                return Ok(Some(format!(
                    "{address}/{path}, the newest snapshot, can't be read ({cause}), and is left \
                     behind: results that its sinks had not published by then may be missing, or \
                     come again"
                )));
            }
            Err(error) => {
                return Err(Failure::failed(error).context(format!(
                    "find out whether {address}/{path} holds results that are still to be published"
                )));
            }
        };
        let promised = |operator: &&OperatorMetadata| {
            let mut states = operator.subtasks.iter();
            states.any(|(_, state)| state.uncommitted)
        };
        match metadata.operators.iter().find(promised) {
            None => Ok(None),
            Some(sink) => {
                let snapshot = format!("{} {}", noun(metadata.kind), metadata.id);
                Err(Failure::usage(self.promises(&snapshot, &sink.name, words)))
            }
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
        wish: Wish,
        candidate: &Candidate,
        plan: &Plan,
        say: &dyn Fn(&str),
    ) -> Result<(Claimed, Option<RestoreFrom>), Failure> {
        let words = Words::of(candidate);
        if let Some(named) = wish.named {
            return self.restore_named(claimed, named, candidate, say);
        }
        // Started again with the same words, it is to go on from what it has stored since.
        let claimed = match wish.newest {
            Some(path) => self.noted(claimed, &path, candidate)?,
            None => claimed,
        };
        let mut vertices = plan.program.job_graph.vertices.iter();
        let transactional = vertices.any(|vertex| vertex.commits);
        let (store, pointer) = (self.store.as_ref(), &claimed.pointer);
        let found = weir_jobmanager::restore_point(store, pointer, transactional, Look::Objects);
        let found = found.map_err(|error| self.refused(error, words))?;
        let Some((metadata, warning)) = found else {
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
        let claimed = self.noted(claimed, &path, candidate)?;
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

    /// Notes in the pointer what the job begins with.
    fn noted(
        &self,
        claimed: Claimed,
        path: &str,
        candidate: &Candidate,
    ) -> Result<Claimed, Failure> {
        let root = root_of(path, candidate)?;
        let mut newest_first = claimed.pointer.roots.iter().rev();
        let before = newest_first.find(|other| other.operation == root.operation);
        if before == Some(&root) {
            return Ok(claimed);
        }
        let seed = random::word();
        let noted = weir_jobmanager::record_root(self.store.as_ref(), claimed, root, seed);
        noted.map_err(Failure::failed)
    }
}

/// The note in the pointer that a job begins with a snapshot.
pub(super) fn root_of(path: &str, candidate: &Candidate) -> Result<Root, Failure> {
    Ok(Root {
        operation: OperationId::of_restore(candidate.deployment),
        path: absolute(path)?,
    })
}

/// Tells which operators a snapshot and a program that goes on from it do not have in common.
/// `allowed` says whether state may be left behind: else the start is refused.
pub(super) fn tell_differences(
    metadata: &CheckpointMetadata,
    job_graph: &JobGraph,
    allowed: bool,
    say: &dyn Fn(&str),
) {
    let snapshot = format!("{} {}", noun(metadata.kind), metadata.id);
    let vertices = job_graph.vertices.iter();
    let program: Vec<_> = vertices.flat_map(|vertex| &vertex.operators).collect();
    for former in &metadata.operators {
        let has_state = former.enumerator.is_some() || !former.subtasks.is_empty();
        let known = program
            .iter()
            .any(|operator| operator.operator_id == former.operator);
        if allowed && has_state && !known {
            let which = WhichOperator {
                name: former.name.clone(),
                uid: former.uid.clone(),
                id: former.operator,
            };
            say(&format!(
                "state of operator {which} in {snapshot} is left behind: the program has no \
                 operator with that id (`allowNonRestoredState`)"
            ));
        }
    }
    for operator in program {
        let mut formers = metadata.operators.iter();
        if !formers.any(|former| former.operator == operator.operator_id) {
            let which = WhichOperator {
                name: operator.name.clone(),
                uid: operator.uid.clone(),
                id: operator.operator_id,
            };
            say(&format!(
                "operator {which} starts with no state: {snapshot} has none of an operator with \
                 that id"
            ));
        }
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
