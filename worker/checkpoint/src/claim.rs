//! Claims a job's next epoch: what a process does before anything else when it is to lead a job.
//!
//! It reads the pointer, decides whether it may lead, and writes the next epoch into it, on the
//! condition that nothing has changed since. That one write fences its predecessor off, and what it
//! says of the newest snapshot is what the job is restored from: nothing that was read before it
//! counts, and nothing that a listing shows.
//!
//! Who may claim is decided by the deployment, a number that is issued for each operation that
//! starts processes. A process of an older one never claims again, so that a container that is
//! restarted with an old image cannot take the job back. A newer one claims once from the very
//! deployment that it was told to follow.
//!
//! Pure, as the pointer's writer is: it asks for reads and swaps, one at a time, and is told how
//! they went. A claim whose answer is lost is found again by its nonce.

use weir_types::{CheckpointId, Epoch, JobId};

use crate::pointer::{
    Nonces, OperationId, Pointer, ReadResult, Rewind, Root, RunState, SwapResult,
};

/// Who wants to lead.
#[derive(Clone, Debug)]
pub struct Claimant {
    /// The job.
    pub state_id: JobId,
    /// The operation that started this process.
    pub deployment: u64,
    /// The deployment that it follows, from which it may claim, once.
    pub from_deployment: Option<u64>,
    /// Its name, for people.
    pub holder: String,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimAction {
    /// Read the register and, if there is none, look whether there are objects in the job's state
    /// folder. Answer with [`Claim::on_read`].
    Read {
        /// How many reads came before: wait the longer, the more.
        tries: u32,
    },
    /// Move the register; answer with [`Claim::on_swap`].
    Swap {
        /// The version that it must have; none: it must not exist.
        expected: Option<String>,
        /// The new content.
        content: Box<Pointer>,
    },
    /// The claim has ended.
    Done(Box<ClaimOutcome>),
}

/// How a claim ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// This process leads the job.
    Leads {
        /// The pointer as the claim has written it: its `latest` is what the job is restored from.
        pointer: Box<Pointer>,
        /// The pointer's version.
        version: String,
        /// What there is to do.
        task: LeaderTask,
    },
    /// The job's run in this deployment has ended: exit with this result.
    Over {
        /// How it ended.
        run_state: RunState,
        /// The pointer.
        pointer: Box<Pointer>,
    },
    /// Another process has claimed meanwhile: stand for election again before the next try.
    Lost {
        /// Its epoch.
        epoch: Epoch,
        /// Its name.
        holder: String,
    },
    /// This process must never lead this job: exit.
    Refused(ClaimRefused),
}

/// What a leader has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaderTask {
    /// Run the job, from `latest`.
    Run,
    /// Run the job; there never was a checkpoint of it, so it begins with no state. Say so.
    RunFromNothing,
    /// Only see to it that the sinks commit what `latest` holds, then record that the job is
    /// stopped. It must not run.
    FinishCommits(OperationId),
}

/// Why a process must not lead a job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimRefused {
    /// The pointer is gone although the job has state.
    #[error(
        "claim the job: its state folder holds objects, but the pointer that says which are its \
         newest is missing. Nothing is started, as it would begin with no state: put the pointer \
         back, give the job another folder and name a snapshot to begin with, or empty this one"
    )]
    StateMissing,
    /// The pointer is of another job.
    #[error(
        "claim the job: the state folder belongs to job {found}, not to job {wanted}: give each \
         job a folder of its own"
    )]
    WrongJob {
        /// Whose it is.
        found: JobId,
        /// Whose it should be.
        wanted: JobId,
    },
    /// The job's state was deleted.
    #[error(
        "claim the job: it was cancelled in epoch {epoch}, and its checkpoints were deleted with it \
         (`spec.checkpoint.externalized: DeleteOnCancel`), so there is no latest one: start it \
         with no state by `--restore none`, or from a savepoint by `--restore` and its folder"
    )]
    Deleted {
        /// When.
        epoch: Epoch,
    },
    /// A newer deployment has the job.
    #[error(
        "claim the job: deployment {found} has it, this process belongs to the older deployment \
         {own} and never leads it again"
    )]
    Superseded {
        /// Which one.
        found: u64,
        /// This process's.
        own: u64,
    },
    /// The deployment that has the job is not the one that this process follows.
    #[error(
        "claim the job: deployment {found} has it, and this process of deployment {own} may only \
         follow {}: let the operation that started it be repeated",
        show_from(*from)
    )]
    NotMyPredecessor {
        /// Which one has it.
        found: u64,
        /// This process's.
        own: u64,
        /// Which one it may follow.
        from: Option<u64>,
    },
    /// What the claimant wants was decided by a pointer that is not the newest any more.
    #[error(
        "claim the job: its pointer moves, so another process leads the job and completes \
         checkpoints: stop that one first"
    )]
    Moved,
    /// The store refused the write.
    #[error("claim the job: write the pointer: {reason}")]
    Write {
        /// Why.
        reason: String,
    },
}

fn show_from(from: Option<u64>) -> String {
    from.map_or_else(
        || "no other".to_owned(),
        |from| format!("deployment {from}"),
    )
}

/// A claim under way.
#[derive(Debug)]
pub struct Claim {
    claimant: Claimant,
    nonces: Nonces,
    /// The epoch that the pointer had when it was first read; another means that the claim is lost.
    base: Option<Epoch>,
    first_read: bool,
    /// What was tried so far and may be in.
    tried: Vec<Pointer>,
    reads: u32,
    /// The epoch is to be higher than this.
    above: Epoch,
    anew: bool,
    begins_with: Option<Root>,
    rewind: Option<Rewind>,
    looked_at: Option<u128>,
}

impl Claim {
    /// Begins a claim. Whoever begins it has been newly elected.
    pub fn new(claimant: Claimant, nonces: Nonces) -> (Self, ClaimAction) {
        let claim = Self {
            claimant,
            nonces,
            base: None,
            first_read: true,
            tried: Vec::new(),
            reads: 1,
            above: Epoch(0),
            anew: false,
            begins_with: None,
            rewind: None,
            looked_at: None,
        };
        (claim, ClaimAction::Read { tries: 0 })
    }

    /// Claims an epoch above this one: that of a snapshot of another job, which this one goes on
    /// from. Names of results hold the epoch, and must not come twice in one place.
    #[must_use]
    pub fn above(mut self, epoch: Epoch) -> Self {
        self.above = epoch;
        self
    }

    /// Whether a newer deployment begins anew, with no state or with that of a snapshot that a
    /// person named: its checkpoints were deleted, or are left behind. Those that are kept stay
    /// kept until newer ones take their place. Epochs and numbers go on from where they were.
    #[must_use]
    pub fn anew(mut self, anew: bool) -> Self {
        self.anew = anew;
        self
    }

    /// The snapshot that a person has the job begin with, if there is one. Noted by the claim's
    /// own write, so that a job which is killed behind it knows what it was to begin with.
    #[must_use]
    pub fn begins_with(mut self, root: Option<Root>) -> Self {
        self.begins_with = root;
        self
    }

    /// What a person has the job go back to with this claim, so that the same wish is told apart
    /// from a new one.
    #[must_use]
    pub fn rewind(mut self, rewind: Option<Rewind>) -> Self {
        self.rewind = rewind;
        self
    }

    /// Claims only from the pointer with this nonce: what the job begins with was decided by it.
    /// Without that, what another leader has completed since, and promised, would be lost.
    #[must_use]
    pub fn looked_at(mut self, nonce: Option<u128>) -> Self {
        self.looked_at = nonce;
        self
    }

    /// The read has ended. `objects_exist` says whether there is anything in the job's state
    /// folder, and counts only where the register is missing.
    pub fn on_read(&mut self, result: ReadResult, objects_exist: bool) -> ClaimAction {
        match result {
            ReadResult::Failed(_) => self.read(),
            ReadResult::Missing => {
                if objects_exist || self.base.is_some() {
                    return refused(ClaimRefused::StateMissing);
                }
                self.first_read = false;
                let first = self.first_pointer();
                self.swap(None, first)
            }
            ReadResult::Found { pointer, version } => self.found(*pointer, version),
        }
    }

    /// The swap has ended.
    pub fn on_swap(&mut self, result: SwapResult) -> ClaimAction {
        match result {
            SwapResult::Written { version } => match self.tried.pop() {
                Some(pointer) => leads(pointer, version),
                None => self.read(),
            },
            SwapResult::Failed(reason) => {
                self.tried.pop();
                // An earlier try may be in all the same.
                match self.tried.is_empty() {
                    true => refused(ClaimRefused::Write { reason }),
                    false => self.read(),
                }
            }
            SwapResult::Conflict | SwapResult::InDoubt(_) => self.read(),
        }
    }

    fn read(&mut self) -> ClaimAction {
        self.reads += 1;
        ClaimAction::Read {
            tries: self.reads - 1,
        }
    }

    fn found(&mut self, found: Pointer, version: String) -> ClaimAction {
        if self.tried.iter().any(|tried| tried.nonce == found.nonce) {
            return leads(found, version);
        }
        if !self.first_read && self.base != Some(found.epoch) {
            return done(ClaimOutcome::Lost {
                epoch: found.epoch,
                holder: found.holder,
            });
        }
        if self.looked_at.is_some_and(|nonce| nonce != found.nonce) {
            return refused(ClaimRefused::Moved);
        }
        self.first_read = false;
        self.base = Some(found.epoch);
        if let Err(why) = self.may_claim(&found) {
            return refused(why);
        }
        let own = found.deployment == self.claimant.deployment;
        if own && found.run_state.is_over() {
            return done(ClaimOutcome::Over {
                run_state: found.run_state.clone(),
                pointer: Box::new(found),
            });
        }
        let mut content = found;
        content.epoch = Epoch(content.epoch.max(self.above).0 + 1);
        if !own {
            content.run_state = RunState::Running;
            if self.anew {
                begin_anew(&mut content);
            }
        }
        self.note_begins_with(&mut content);
        if self.rewind.is_some() {
            content.rewind.clone_from(&self.rewind);
        }
        self.swap(Some(version), content)
    }

    /// Unless the newest note of the same operation says so already.
    fn note_begins_with(&self, content: &mut Pointer) {
        let Some(root) = &self.begins_with else {
            return;
        };
        let mut newest_first = content.roots.iter().rev();
        let noted = newest_first.find(|other| other.operation == root.operation);
        if noted != Some(root) {
            content.roots.push(root.clone());
        }
    }

    fn may_claim(&self, found: &Pointer) -> Result<(), ClaimRefused> {
        let from = self.claimant.from_deployment;
        if found.state_id != self.claimant.state_id {
            return Err(ClaimRefused::WrongJob {
                found: found.state_id,
                wanted: self.claimant.state_id,
            });
        }
        let own = self.claimant.deployment;
        if found.run_state == RunState::Deleted && !self.anew && found.deployment != own {
            return Err(ClaimRefused::Deleted { epoch: found.epoch });
        }
        let found = found.deployment;
        if found > own {
            return Err(ClaimRefused::Superseded { found, own });
        }
        if found != own && from != Some(found) {
            return Err(ClaimRefused::NotMyPredecessor { found, own, from });
        }
        Ok(())
    }

    fn swap(&mut self, expected: Option<String>, mut content: Pointer) -> ClaimAction {
        content.nonce = self.nonces.draw();
        content.deployment = self.claimant.deployment;
        content.holder.clone_from(&self.claimant.holder);
        self.tried.push(content.clone());
        ClaimAction::Swap {
            expected,
            content: Box::new(content),
        }
    }

    fn first_pointer(&self) -> Pointer {
        Pointer {
            state_id: self.claimant.state_id,
            deployment: self.claimant.deployment,
            epoch: Epoch(self.above.0 + 1),
            holder: String::new(),
            nonce: 0,
            run_state: RunState::Running,
            last_id: CheckpointId(0),
            latest: None,
            retained: Vec::new(),
            roots: self.begins_with.iter().cloned().collect(),
            forgotten: Vec::new(),
            branch: None,
            rewind: self.rewind.clone(),
        }
    }
}

/// In the claim's one write: in between, the job would have no state at all, or that of an older
/// wish.
fn begin_anew(content: &mut Pointer) {
    let former = OperationId::of_restore(None);
    content.latest = None;
    content.branch = Some(content.epoch);
    content.roots.retain(|root| root.operation != former);
}

fn leads(pointer: Pointer, version: String) -> ClaimAction {
    let task = match (&pointer.run_state, &pointer.latest) {
        (RunState::Stopping(operation), _) => LeaderTask::FinishCommits(operation.clone()),
        (_, None) => LeaderTask::RunFromNothing,
        (_, Some(_)) => LeaderTask::Run,
    };
    done(ClaimOutcome::Leads {
        pointer: Box::new(pointer),
        version,
        task,
    })
}

fn refused(why: ClaimRefused) -> ClaimAction {
    done(ClaimOutcome::Refused(why))
}

fn done(outcome: ClaimOutcome) -> ClaimAction {
    ClaimAction::Done(Box::new(outcome))
}

#[cfg(test)]
mod tests;
