//! Claims a job: obeys the pure claim of `weir_checkpoint` until it is certain who leads. Blocks.

use std::sync::Arc;

use weir_checkpoint::claim::{self, ClaimAction, ClaimOutcome, ClaimRefused, Claimant, LeaderTask};
use weir_checkpoint::coordinator::PointerOutcome;
use weir_checkpoint::pointer::{
    Nonces, Pointer, PointerWriter, ReadResult, Rewind, Root, RunState,
};
use weir_storage::{ObjectPath, ObjectStore, StoreError, Version};
use weir_types::{Epoch, causes};

use crate::pointer_register::{outcome_of_write, pause, pointer_path, read, swap};

/// How often a claim asks a store that does not answer.
const CLAIM_TRIES_MAX: u32 = 8;

/// Who wants to lead a job.
pub struct Claim {
    /// The job's state folder.
    pub store: Arc<dyn ObjectStore>,
    /// Who it is.
    pub claimant: Claimant,
    /// Randomness for telling writes apart.
    pub seed: u64,
    /// The epoch of another job's snapshot that it goes on from; 0 if there is none.
    pub above: Epoch,
    /// The job begins anew; see [`claim::Claim::anew`].
    pub anew: bool,
    /// The snapshot that a person has it begin with; see [`claim::Claim::begins_with`].
    pub begins_with: Option<Root>,
    /// What a person has it go back to by this claim.
    pub rewind: Option<Rewind>,
    /// The nonce of the pointer that all this was decided by, if it matters that it is the newest;
    /// see [`claim::Claim::looked_at`].
    pub looked_at: Option<u128>,
}

/// A job that is led by this process.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The pointer as the claim has written it.
    pub pointer: Pointer,
    /// Its version.
    pub version: String,
    /// What there is to do.
    pub task: LeaderTask,
}

/// This process does not lead the job.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The job is over.
    #[error("the job is over: {}", show(.0))]
    Over(RunState),
    /// It must not.
    #[error(transparent)]
    Refused(#[from] ClaimRefused),
    /// Another process was quicker.
    #[error("`{holder}` has claimed the job for epoch {epoch}")]
    Lost {
        /// Its epoch.
        epoch: Epoch,
        /// Its name.
        holder: String,
    },
    /// The folder could not be looked at.
    #[error("look into the job's state folder")]
    Store(#[source] StoreError),
    /// The pointer is damaged.
    #[error(
        "read the pointer in {folder}: {cause}; nothing is started, as it might begin with old \
         state: repair it"
    )]
    Damaged {
        /// Where.
        folder: String,
        /// What is wrong.
        cause: String,
    },
    /// The newest snapshot cannot be read.
    #[error(
        "restore {path}: {cause}; results after an older snapshot may be committed already, so the \
         job does not go back by itself: repair the snapshot"
    )]
    LatestUnreadable {
        /// Which one.
        path: String,
        /// Why.
        cause: String,
    },
}

fn show(state: &RunState) -> String {
    match state {
        RunState::Running => "it runs".to_owned(),
        RunState::Stopping(operation) => format!("it is being stopped by `{}`", operation.0),
        RunState::Stopped(operation) => format!("it was stopped by `{}`", operation.0),
        RunState::Finished => "it has finished".to_owned(),
        RunState::Failed => "it has failed".to_owned(),
        RunState::Cancelled => "it was cancelled".to_owned(),
        RunState::Deleted => "it was cancelled, and its checkpoints were deleted".to_owned(),
    }
}

/// Reads the pointer without claiming anything.
pub fn read_pointer(store: &dyn ObjectStore) -> Result<Option<Pointer>, ClaimError> {
    let found = store
        .read_register(&pointer_path())
        .map_err(ClaimError::Store)?;
    let Some((bytes, _)) = found else {
        return Ok(None);
    };
    let pointer = Pointer::decode(&bytes).map_err(|error| damaged(store, &error))?;
    Ok(Some(pointer))
}

fn damaged(store: &dyn ObjectStore, error: &dyn std::error::Error) -> ClaimError {
    ClaimError::Damaged {
        folder: store.location(),
        cause: causes(error),
    }
}

/// Claims a job. Blocks until that has ended one way or the other.
pub fn claim(claim: Claim) -> Result<Claimed, ClaimError> {
    let Claim {
        store,
        claimant,
        seed,
        above,
        anew,
        begins_with,
        rewind,
        looked_at,
    } = claim;
    let (claiming, mut next) = claim::Claim::new(claimant, Nonces::new(seed));
    let claiming = claiming.above(above).anew(anew).begins_with(begins_with);
    let mut claiming = claiming.rewind(rewind).looked_at(looked_at);
    loop {
        next = match next {
            ClaimAction::Read { tries } => {
                pause(tries);
                let read = read(store.as_ref());
                if matches!(read, ReadResult::Failed(_)) {
                    // A damaged pointer stays damaged; a store that answers nothing for so long
                    // is for a person to look at.
                    match read_pointer(store.as_ref()) {
                        Err(error @ ClaimError::Damaged { .. }) => return Err(error),
                        Err(error) if tries >= CLAIM_TRIES_MAX => return Err(error),
                        _ => {}
                    }
                }
                let objects = match &read {
                    ReadResult::Missing => has_snapshots(store.as_ref())?,
                    _ => false,
                };
                claiming.on_read(read, objects)
            }
            ClaimAction::Swap { expected, content } => {
                claiming.on_swap(swap(store.as_ref(), expected, &content))
            }
            ClaimAction::Done(outcome) => {
                return match *outcome {
                    ClaimOutcome::Leads {
                        pointer,
                        version,
                        task,
                    } => Ok(Claimed {
                        pointer: *pointer,
                        version,
                        task,
                    }),
                    ClaimOutcome::Over { run_state, .. } => Err(ClaimError::Over(run_state)),
                    ClaimOutcome::Lost { epoch, holder } => Err(ClaimError::Lost { epoch, holder }),
                    ClaimOutcome::Refused(why) => Err(why.into()),
                };
            }
        };
    }
}

/// Whether there is anything of snapshots in a job's state folder.
pub fn has_snapshots(store: &dyn ObjectStore) -> Result<bool, ClaimError> {
    let listed = store
        .list(&ObjectPath::default())
        .map_err(ClaimError::Store)?;
    let of_snapshots = |path: &str| {
        ["chk-", "savepoint-", "shared/", "taskowned/"]
            .iter()
            .any(|prefix| path.starts_with(prefix))
    };
    Ok(listed
        .iter()
        .any(|object| of_snapshots(object.path.as_str())))
}

/// Lets go of all checkpoints of a claimed job, for good.
pub fn let_go(store: &dyn ObjectStore, claimed: Claimed, seed: u64) -> Result<Claimed, ClaimError> {
    let Claimed {
        pointer,
        version,
        task,
    } = claimed;
    let mut nonces = Nonces::new(seed);
    let mut wanted = pointer.clone();
    wanted.let_go();
    wanted.nonce = nonces.draw();
    let mut writer = PointerWriter::new(pointer, version, nonces);
    match outcome_of_write(store, &mut writer, wanted.clone()).1 {
        PointerOutcome::Written => {
            let found = store
                .read_register(&pointer_path())
                .map_err(ClaimError::Store)?;
            let (bytes, Version(version)) = found.ok_or(ClaimRefused::StateMissing)?;
            let now = Pointer::decode(&bytes).map_err(|error| damaged(store, &error))?;
            // The version is only good with the content that was written.
            if now.nonce != wanted.nonce {
                return Err(ClaimError::Lost {
                    epoch: now.epoch,
                    holder: now.holder,
                });
            }
            Ok(Claimed {
                pointer: wanted,
                version,
                task,
            })
        }
        PointerOutcome::Failed(reason) => Err(ClaimRefused::Write { reason }.into()),
        PointerOutcome::Fenced(other) => Err(ClaimError::Lost {
            epoch: other.epoch,
            holder: other.holder.clone(),
        }),
    }
}
