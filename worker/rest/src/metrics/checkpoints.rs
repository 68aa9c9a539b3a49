//! The metrics of checkpoints and restarts. Their names are Flink's, for its dashboards' sake.

use prometheus_client::registry::Registry;
use weir_rpc::{CheckpointState, JobCheckpoints, JobDetails};

use super::{Gauges, seconds};
use crate::convert;

/// The families of one scrape.
#[derive(Default)]
pub(super) struct CheckpointFamilies {
    completed: Gauges,
    failed: Gauges,
    in_progress: Gauges,
    total: Gauges,
    last_duration: Gauges,
    last_size: Gauges,
    last_full_size: Gauges,
    last_success: Gauges,
    restarts: Gauges,
    collected_objects: Gauges,
    collected_bytes: Gauges,
    collected_failures: Gauges,
}

impl CheckpointFamilies {
    pub(super) fn register(&self, all: &mut Registry) {
        let families = [
            (
                "job_numberOfCompletedCheckpoints",
                "Checkpoints and savepoints completed since this JobManager took over",
                &self.completed,
            ),
            (
                "job_numberOfFailedCheckpoints",
                "Checkpoints and savepoints given up since this JobManager took over",
                &self.failed,
            ),
            (
                "job_numberOfInProgressCheckpoints",
                "Checkpoints and savepoints under way",
                &self.in_progress,
            ),
            (
                "job_totalNumberOfCheckpoints",
                "All of them since this JobManager took over",
                &self.total,
            ),
            (
                "job_lastCheckpointDuration",
                "How long the last completed one took, in milliseconds",
                &self.last_duration,
            ),
            (
                "job_lastCheckpointSize",
                "Bytes that the last completed one stored anew",
                &self.last_size,
            ),
            (
                "job_lastCheckpointFullSize",
                "Bytes of all that the last completed one refers to",
                &self.last_full_size,
            ),
            (
                "checkpoint_last_success_timestamp_seconds",
                "When the last one was complete, in seconds since 1970",
                &self.last_success,
            ),
            (
                "job_numRestarts",
                "How often the subtask that was started most often was started again",
                &self.restarts,
            ),
            (
                "checkpoint_collected_objects",
                "Objects deleted since this JobManager took over because no checkpoint needs them",
                &self.collected_objects,
            ),
            (
                "checkpoint_collected_bytes",
                "Their bytes",
                &self.collected_bytes,
            ),
            (
                "checkpoint_collect_failures",
                "How often the store failed while old checkpoints were deleted",
                &self.collected_failures,
            ),
        ];
        for (name, help, family) in families {
            all.register(name, help, family.clone());
        }
    }

    pub(super) fn add_job(&self, job: &JobDetails) {
        let subtasks = job.vertices.iter().flat_map(|vertex| &vertex.subtasks);
        let restarts = subtasks.map(|subtask| subtask.attempt.0).max().unwrap_or(0);
        let labels = vec![("job", job.overview.name.clone())];
        self.restarts
            .get_or_create(&labels)
            .set(f64::from(restarts));
    }

    pub(super) fn add_checkpoints(&self, job: &str, view: &JobCheckpoints) {
        let labels = vec![("job", job.to_owned())];
        let set = |family: &Gauges, value| {
            family.get_or_create(&labels).set(value);
        };
        let running = view
            .history
            .iter()
            .filter(|each| each.state == CheckpointState::InProgress);
        let running = running.count() as u64;
        set(&self.completed, number(view.completed));
        set(&self.failed, number(view.failed));
        set(&self.in_progress, number(running));
        let total = view
            .completed
            .saturating_add(view.failed)
            .saturating_add(running);
        set(&self.total, number(total));
        set(&self.collected_objects, number(view.collected.objects));
        set(&self.collected_bytes, number(view.collected.bytes));
        set(&self.collected_failures, number(view.collected.failures));
        let last = view
            .history
            .iter()
            .find(|each| each.state == CheckpointState::Completed);
        if let Some(last) = last.map(convert::checkpoint) {
            set(&self.last_duration, number(last.end_to_end_duration));
            set(&self.last_size, number(last.checkpointed_size));
            set(&self.last_full_size, number(last.state_size));
        }
        // What an earlier JobManager completed counts here: it is what a restore begins with.
        if let Some(newest) = view.retained.last() {
            let completed_ms = u64::try_from(newest.completed_ms).unwrap_or(0);
            set(&self.last_success, seconds(completed_ms));
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus knows no other numbers"
)]
fn number(value: u64) -> f64 {
    value as f64
}
