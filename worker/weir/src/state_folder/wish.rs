//! What a process wants of a job: what the pointer and the person who starts it say.

use std::cmp::Ordering;

use weir_checkpoint::claim::Claimant;
use weir_checkpoint::metadata::OperatorMetadata;
use weir_checkpoint::pointer::{OperationId, Pointer, Rewind, Root, RunState};
use weir_cli::{CheckpointArgs, Failure, RestoreChoice};
use weir_jobmanager::Found;
use weir_types::JobId;

use super::named::{Named, read_named, snapshot_folder};
use super::options::absolute;
use super::refusals::Words;
use super::{Candidate, Folder, holder};
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
    /// What a person has it go back to, if that was not done before.
    pub(super) rewind: Option<Rewind>,
    /// The nonce of the pointer that decided what the job begins with; none: whatever is the newest
    /// state when it is claimed.
    pub(super) looked_at: Option<u128>,
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
    /// That was done before, when the same was said.
    repeats: bool,
    /// What it is to go back to, if it was not.
    rewind: Option<Rewind>,
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
        let rewind = rewind(args, candidate)?;
        let repeats = rewind.is_some() && rewind == pointer.rewind;
        let rewinds = rewind.is_some() && !repeats && choice != Some(&RestoreChoice::Latest);
        let goes_on = !rewinds && (repeats || goes_on(pointer, deployment, choice)?);
        Ok(Self {
            choice,
            issued,
            newer,
            goes_on,
            leaves: (newer || rewinds) && choice.is_some() && !goes_on,
            repeats,
            rewind: rewind.filter(|_| !repeats),
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
            && !self.repeats
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
        if said.repeats {
            say(
                "the job was taken back by the same words before: it goes on from what it has \
                 stored since; `--rewind=ID` with a name that is new takes it back once more",
            );
        }
        if pointer.run_state == RunState::Finished && said.goes_on && !said.newer {
            say("the job has finished before: there is nothing left to do");
            return Ok(None);
        }
        let wants_latest = said.choice == Some(&RestoreChoice::Latest);
        let deleted = pointer.run_state == RunState::Deleted;
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
        let anew = deleted || said.leaves;
        let decided = anew || named.is_some() || newest.is_some();
        Ok(Some(Wish {
            claimant: claimant(pointer.state_id, deployment, from),
            anew,
            named,
            newest,
            rewind: said.rewind,
            looked_at: decided.then_some(pointer.nonce),
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
            rewind: rewind(args, candidate)?,
            looked_at: None,
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
                let snapshot = format!("{} {}", metadata.kind.noun(), metadata.id);
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
}

/// What a person has the job go back to, whether that was done before or not. Where deployments are
/// issued, a newer one is the way to go back.
fn rewind(args: &CheckpointArgs, candidate: &Candidate) -> Result<Option<Rewind>, Failure> {
    let (Some(rewind), None) = (&args.rewind, candidate.deployment) else {
        return Ok(None);
    };
    let path = match &args.restore {
        Some(RestoreChoice::Path(path)) => Some(absolute(path)?),
        _ => None,
    };
    Ok(Some(Rewind {
        operation: OperationId::of_rewind(rewind.name.as_deref()),
        path,
    }))
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

fn claimant(state_id: JobId, deployment: u64, from_deployment: Option<u64>) -> Claimant {
    Claimant {
        state_id,
        deployment,
        from_deployment,
        holder: holder(),
    }
}
