//! How often the job was started again after a failure. A JobManager counts from when it took over,
//! the status over the StreamJob's life.

use weir_crd::{ManifestDuration, RestartStatus};

use crate::observe::ManagerView;
use crate::plan::EventKind;
use crate::plan::draft::Draft;

/// Takes in what the JobManager has counted.
pub(super) fn count(draft: &mut Draft<'_>) {
    let manager = draft
        .status
        .deployment
        .and_then(|deployment| draft.manager(deployment));
    let Some(manager) = manager else {
        return;
    };
    let known = draft.status.restarts.clone().unwrap_or_default();
    let new = new_restarts(draft, &known, manager);
    let same = known.epoch == Some(manager.epoch) && new == 0;
    if same && draft.status.restarts.is_some() {
        return;
    }
    let cause = manager.last_failure.clone();
    let (epoch, of_epoch) = (manager.epoch, manager.restarts);
    let mut counted = RestartStatus {
        total: known.total.saturating_add(new),
        epoch: Some(epoch),
        of_epoch,
        ..known
    };
    if new > 0 {
        let now = draft.now();
        counted.last_time = Some(now.clone());
        counted.last_reason = cause.map(|cause| cause.chars().take(1024).collect());
        let threshold = threshold(draft);
        let more = usize::try_from(new).unwrap_or(usize::MAX).min(threshold);
        counted.recent.splice(0..0, std::iter::repeat_n(now, more));
        counted.recent.truncate(threshold);
        let text = match &counted.last_reason {
            Some(cause) => format!("the job was started again: {cause}"),
            None => "the job was started again".to_owned(),
        };
        draft.tell(EventKind::Warning, "JobRestarted", text);
    }
    draft.status.restarts = Some(counted);
}

fn new_restarts(draft: &Draft<'_>, known: &RestartStatus, manager: &ManagerView) -> u64 {
    if known.epoch == Some(manager.epoch) {
        return manager.restarts.saturating_sub(known.of_epoch);
    }
    // Within a deployment, another epoch is another JobManager, with which all began again.
    let began = draft
        .status
        .restore
        .as_ref()
        .and_then(|restore| restore.epoch);
    let took_over = match (began, known.epoch) {
        (Some(began), Some(known)) => known >= began && manager.epoch > known,
        _ => false,
    };
    manager.restarts + u64::from(took_over)
}

fn threshold(draft: &Draft<'_>) -> usize {
    let threshold = draft
        .policy()
        .map_or(10, |spec| spec.health.restart_threshold);
    usize::try_from(threshold)
        .unwrap_or(usize::MAX)
        .clamp(1, 100)
}

/// Whether the job is started again too often: how often, and within which time.
pub(super) fn too_often(draft: &Draft<'_>) -> Option<(usize, ManifestDuration)> {
    let restarts = draft.status.restarts.as_ref()?;
    let window = draft.policy()?.health.restart_window;
    let window_ms = i64::try_from(window.get().as_millis()).unwrap_or(i64::MAX);
    let recent = restarts.recent.iter();
    let recent = recent.filter(|at| draft.since(at) <= window_ms).count();
    (recent >= threshold(draft)).then_some((recent, window))
}
