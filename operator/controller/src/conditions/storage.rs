//! Whether the job's storage can be used, as far as the job that runs tells: operations that look
//! at it by themselves have found out for certain, and come first.

use weir_crd::{Condition, ConditionStatus, Phase};

use super::Verdict;
use super::verdicts::is_bad;
use crate::plan::draft::Draft;

/// The reason while the checkpoints of a running job can't be stored.
const NOT_STORED: &str = "CheckpointsNotStored";

/// None: it is as it was, or nobody can say.
pub(super) fn verdict(draft: &Draft<'_>) -> Option<Verdict> {
    if !is_idle(draft) || !is_used(draft) {
        return None;
    }
    let manager = draft.manager(draft.status.deployment?)?;
    if let Some(failed) = &manager.not_stored {
        // Each further one would tell of other objects, and cost a write.
        let known = known(draft).filter(|known| known.reason == NOT_STORED);
        let message = format!(
            "checkpoint {} could not be stored, and none has been since: {}",
            failed.id, failed.cause
        );
        return match known {
            Some(_) => None,
            None => Some(Verdict::new(false, NOT_STORED, message)),
        };
    }
    let status = &draft.observed.job.status;
    if !is_bad(status, "StorageReachable") {
        return None;
    }
    // What is known was written with the condition, or later.
    let known = status.checkpoint.as_ref();
    let known = known.and_then(|known| known.last_completed_id);
    let newest = manager.latest.as_ref().map(|latest| latest.id);
    let text = "the job has stored a checkpoint since it could not be reached";
    (newest > known).then(|| Verdict::new(true, "Reached", text))
}

/// Whether nobody will find out any more if the storage that could not be reached is back.
pub(super) fn forgets(draft: &Draft<'_>, before: Option<&Condition>) -> bool {
    let bad = before.is_some_and(|before| before.status == ConditionStatus::False);
    bad && is_idle(draft) && !is_used(draft)
}

fn known<'a>(draft: &'a Draft<'_>) -> Option<&'a Condition> {
    let mut known = draft.observed.job.status.conditions.iter();
    known.find(|known| known.kind == "StorageReachable")
}

/// Whether no operation looks at the storage, or is about to.
fn is_idle(draft: &Draft<'_>) -> bool {
    draft.status.operation.is_none() && draft.status.retry.is_none()
}

/// Whether the job is to store something.
fn is_used(draft: &Draft<'_>) -> bool {
    let phase = draft.status.phase;
    let rests = phase.is_some_and(|phase| phase.is_terminal() || phase == Phase::Suspended);
    !rests && draft.current_spec().is_some_and(super::takes_checkpoints)
}
