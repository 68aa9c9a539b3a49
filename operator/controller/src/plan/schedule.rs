//! Periodic savepoints.
//!
//! When the next one is due stands in the status, so that a controller that was away finds what it
//! has missed, and makes up for it once. A job's savepoints come a little after the times of its
//! schedule, always by the same part of `jitter`, so that many jobs do not take theirs together.

use sha2::{Digest, Sha256};
use weir_crd::{OperationType, Schedule};
use weir_lease::{parse_rfc3339, rfc3339};

use super::draft::Draft;

/// Takes a savepoint if one is due, and sees to it that the status says when the next one is. No
/// operation is open, and the job is to run.
pub(super) fn run(draft: &mut Draft<'_>) {
    let Some((schedule, put_off)) = schedule(draft) else {
        forget(draft);
        return;
    };
    let now = draft.observed.now_ms;
    let after = |at: i64| Some(schedule.next_after(at - put_off)? + put_off);
    let known = draft.status.savepoint.as_ref();
    let known = known.and_then(|savepoint| parse_rfc3339(savepoint.next_scheduled.as_deref()?));
    let Some(next) = after(now) else {
        forget(draft);
        return;
    };
    let due = known.filter(|known| *known <= now);
    // A job that does not run can't take one: it is due until it runs.
    if let (Some(due), Some(_)) = (due, &draft.status.running_since) {
        let slot = rfc3339(due);
        let reason = format!("spec.savepoint.schedule names {slot}");
        draft.begin(OperationType::Savepoint, &reason);
        // The same slot gives the same savepoint, whoever asks and whenever.
        let name: String = slot.chars().filter(char::is_ascii_alphanumeric).collect();
        draft.change(|operation| operation.id = format!("scheduled-{name}"));
    } else if due.is_some() || known == Some(next) {
        return;
    }
    let savepoint = draft.status.savepoint.get_or_insert_default();
    savepoint.next_scheduled = Some(rfc3339(next));
}

/// The job is not to run: what would have been due meanwhile is not made up for.
pub(super) fn forget(draft: &mut Draft<'_>) {
    if let Some(savepoint) = &mut draft.status.savepoint {
        savepoint.next_scheduled = None;
    }
}

/// The schedule, and by how much this job's savepoints are put off, in milliseconds.
fn schedule(draft: &Draft<'_>) -> Option<(Schedule, i64)> {
    let wanted = draft.wanted.as_ref().ok()?;
    let savepoint = &wanted.spec.savepoint;
    let schedule = Schedule::parse(savepoint.schedule.as_ref()?).ok()?;
    wanted.spec.storage.as_ref()?;
    let jitter = savepoint.jitter.get().as_secs();
    let digest = Sha256::digest(draft.observed.job.uid.as_bytes());
    let word = digest
        .iter()
        .take(7)
        .fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
    // Whole seconds, as the status has no finer times.
    let put_off = word % (jitter + 1);
    Some((schedule, i64::try_from(put_off).ok()?.checked_mul(1000)?))
}
