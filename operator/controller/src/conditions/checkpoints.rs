//! Whether a job's checkpoints complete in time, as far as its JobManager tells.

use std::time::Duration;

use weir_crd::{ConditionStatus, ManifestDuration, Phase, StreamJobSpec};
use weir_lease::parse_rfc3339;

use super::Verdict;
use crate::observe::ManagerView;
use crate::plan::draft::Draft;

/// For how long a JobManager's last word holds that does not answer any more: its job is asked
/// after every ten seconds or so.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(15);

/// None: the job takes none, or is not to run.
pub(super) fn verdict(draft: &Draft<'_>) -> Option<Verdict> {
    let spec = draft
        .current_spec()
        .filter(|spec| super::takes_checkpoints(spec))?;
    let rests = |phase: Phase| phase.is_terminal() || phase == Phase::Suspended;
    if draft.status.phase.is_some_and(rests) {
        return None;
    }
    let restore = draft.status.restore.as_ref()?;
    let deployment = draft.status.deployment?;
    let window = window(draft, spec);
    let healthy = match draft.manager(deployment) {
        Some(manager) => {
            let started = parse_rfc3339(&restore.at).unwrap_or(0);
            let taken = newest(manager);
            let age = draft.observed.now_ms - taken.max(started);
            Some(u128::try_from(age).unwrap_or(0) <= window.get().as_millis())
        }
        None => known_health(draft),
    };
    let Some(healthy) = healthy else {
        return Some(Verdict::unknown("NoJobManager", "no JobManager answers"));
    };
    Some(match healthy {
        true => Verdict::new(true, "Progress", "checkpoints complete in time"),
        false => Verdict::new(
            false,
            "NoProgress",
            format!(
                "no checkpoint has completed for more than {window}: look at the JobManager's log \
                 and at the storage"
            ),
        ),
    })
}

/// What was known of a running job's checkpoints a moment ago, when its JobManager still answered.
/// One answer that is late is no news, and would cost two writes: one of it, and one of the next.
fn known_health(draft: &Draft<'_>) -> Option<bool> {
    let runs = draft.status.running_since.is_some();
    if !runs || draft.observed.silent_for >= SILENCE_MAX {
        return None;
    }
    let mut conditions = draft.status.conditions.iter();
    let known = conditions.find(|condition| condition.kind == "CheckpointsHealthy")?;
    match known.status {
        ConditionStatus::True => Some(true),
        ConditionStatus::False => Some(false),
        ConditionStatus::Unknown => None,
    }
}

fn newest(manager: &ManagerView) -> i64 {
    manager.latest.as_ref().map_or(0, |latest| latest.at_ms)
}

/// How long a job may go without a completed checkpoint: as the newest spec says, else by how the
/// one that runs takes them.
fn window(draft: &Draft<'_>, runs: &StreamJobSpec) -> ManifestDuration {
    let checkpoint = &runs.checkpoint;
    let policy = draft.policy();
    let wanted = policy.and_then(|spec| spec.health.checkpoint_progress_window);
    wanted.unwrap_or_else(|| {
        let derived = checkpoint.interval.get() * 3 + checkpoint.timeout.get();
        ManifestDuration::from_millis(u64::try_from(derived.as_millis()).unwrap_or(u64::MAX))
    })
}

/// What can be said of the newest checkpoint's age without saying it anew all the time.
pub(super) fn tell_age(draft: &mut Draft<'_>, verdict: Option<&Verdict>) {
    let manager = draft
        .status
        .deployment
        .and_then(|deployment| draft.manager(deployment));
    let (Some(verdict), Some(manager), Some(spec)) = (verdict, manager, draft.current_spec())
    else {
        return;
    };
    let bound = match verdict.status {
        ConditionStatus::True if newest(manager) == 0 => return,
        ConditionStatus::True => '<',
        ConditionStatus::False => '>',
        ConditionStatus::Unknown => return,
    };
    let age = format!("{bound}{}", window(draft, spec));
    draft.status.checkpoint.get_or_insert_default().age = Some(age);
}
