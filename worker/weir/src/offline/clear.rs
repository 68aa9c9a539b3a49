//! Deletes the checkpoints of a job that is over, for good. Its pointer stays, and says so: epochs
//! and numbers go on from there if the job ever comes back, and no process of it that may still be
//! somewhere writes any more. Savepoints stay, as they are a person's.
//!
//! The pointer moves first, then the objects go. What is interrupted is taken up by the same
//! command again.

use std::sync::Arc;

use anyhow::anyhow;
use weir_checkpoint::claim::Claimant;
use weir_checkpoint::pointer::{Pointer, RunState};
use weir_cli::{ClearRequest, Failure, GcReport};
use weir_jobmanager::{Claim, ClaimError};
use weir_types::{Clock, Epoch};

use super::place::{Folder, Place};
use super::sweep;
use crate::random;

const HOLDER: &str = "weir checkpoints clear";

pub(super) fn clear(
    place: &Place,
    request: &ClearRequest,
    clock: &dyn Clock,
) -> Result<GcReport, Failure> {
    let folders = place.folders()?;
    let deleted = true;
    let folder = match folders.as_slice() {
        // Nothing was ever stored.
        [] => {
            let jobs = Vec::new();
            return Ok(GcReport { deleted, jobs });
        }
        [folder] => folder,
        _ => {
            let text = "there are several jobs: name the folder of the one whose checkpoints are \
                        to go";
            return Err(Failure::usage(anyhow!(text)));
        }
    };
    let pointer = folder.pointer().map_err(Failure::failed)?;
    let deployment = deployment(&pointer, request.deployment)?;
    if pointer.run_state != RunState::Deleted {
        let_go(folder, &pointer, deployment)?;
    }
    let jobs = vec![sweep::everything(place, folder, clock)];
    Ok(GcReport { deleted, jobs })
}

/// The deployment that the job is claimed for.
fn deployment(pointer: &Pointer, named: Option<u64>) -> Result<u64, Failure> {
    match named {
        Some(deployment) => Ok(deployment),
        None if pointer.run_state.is_over() => Ok(pointer.deployment + 1),
        None => Err(Failure::usage(anyhow!(
            "the job is not over, as far as its pointer says: end it with `weir stop` or `weir \
             cancel`, or name with --deployment a number above {} to take it away from whoever has \
             it",
            pointer.deployment
        ))),
    }
}

fn let_go(folder: &Folder, pointer: &Pointer, deployment: u64) -> Result<(), Failure> {
    let claim = Claim {
        store: Arc::clone(&folder.store),
        claimant: Claimant {
            state_id: pointer.state_id,
            deployment,
            from_deployment: Some(pointer.deployment),
            holder: HOLDER.to_owned(),
        },
        seed: random::word(),
        above: Epoch(0),
        anew: true,
        begins_with: None,
        rewind: None,
        looked_at: None,
    };
    let claimed = match weir_jobmanager::claim(claim) {
        // By this command, before it was interrupted.
        Err(ClaimError::Over(RunState::Deleted)) => return Ok(()),
        claimed => claimed.map_err(Failure::failed)?,
    };
    let let_go = weir_jobmanager::let_go(folder.store.as_ref(), claimed, random::word());
    let_go.map(drop).map_err(Failure::failed)
}
