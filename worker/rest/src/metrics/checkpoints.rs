//! The metrics of checkpoints and restarts.

use prometheus_client::registry::Registry;
use weir_rpc::{CheckpointState, JobCheckpoints, JobDetails};
use weir_types::FaultClass;

use super::histogram::DurationHistogram;
use super::{Counters, Gauges, number, seconds};
use crate::convert;

/// The families of one scrape.
pub(super) struct CheckpointFamilies {
    checkpoints: Counters,
    in_progress: Gauges,
    durations: DurationHistogram,
    last_size: Gauges,
    last_success: Gauges,
    restarts: Counters,
    collected_objects: Counters,
    collected_bytes: Counters,
    collect_failures: Counters,
}

impl Default for CheckpointFamilies {
    fn default() -> Self {
        Self {
            checkpoints: Counters::default(),
            in_progress: Gauges::default(),
            durations: DurationHistogram::new(
                "checkpoint_duration_seconds",
                "From the trigger of a checkpoint or savepoint until it was complete",
            ),
            last_size: Gauges::default(),
            last_success: Gauges::default(),
            restarts: Counters::default(),
            collected_objects: Counters::default(),
            collected_bytes: Counters::default(),
            collect_failures: Counters::default(),
        }
    }
}

impl CheckpointFamilies {
    pub(super) fn register(&self, all: &mut Registry) {
        let counters = [
            (
                "checkpoint",
                "Checkpoints and savepoints that have ended since this JobManager took over",
                &self.checkpoints,
            ),
            (
                "job_restarts",
                "How often the job or a part of it was restarted",
                &self.restarts,
            ),
            (
                "checkpoint_collected_objects",
                "Objects deleted because no checkpoint needs them",
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
                &self.collect_failures,
            ),
        ];
        for (name, help, family) in counters {
            all.register(name, help, family.clone());
        }
        let gauges = [
            (
                "checkpoint_in_progress",
                "Checkpoints and savepoints under way",
                &self.in_progress,
            ),
            (
                "checkpoint_size_bytes",
                "Bytes of the last completed one: stored anew, or referred to in all",
                &self.last_size,
            ),
            (
                "checkpoint_last_success_timestamp_seconds",
                "When the last one was complete, in seconds since 1970",
                &self.last_success,
            ),
        ];
        for (name, help, family) in gauges {
            all.register(name, help, family.clone());
        }
        self.durations.register(all);
    }

    pub(super) fn add_job(&self, job: &JobDetails) {
        for (class, count) in &job.restarts {
            let labels = vec![
                ("job", job.overview.name.clone()),
                ("reason", reason(*class).to_owned()),
            ];
            self.restarts.get_or_create(&labels).inc_by(*count);
        }
    }

    pub(super) fn add_checkpoints(&self, job: &str, view: &JobCheckpoints) {
        let of_job = || vec![("job", job.to_owned())];
        let with = |name, value: &str| {
            let mut labels = of_job();
            labels.push((name, value.to_owned()));
            labels
        };
        let ended = [("completed", view.completed), ("failed", view.failed)];
        for (result, count) in ended {
            let labels = with("result", result);
            self.checkpoints.get_or_create(&labels).inc_by(count);
        }
        let collected = &view.collected;
        for (family, count) in [
            (&self.collected_objects, collected.objects),
            (&self.collected_bytes, collected.bytes),
            (&self.collect_failures, collected.failures),
        ] {
            family.get_or_create(&of_job()).inc_by(count);
        }
        let of_state = |state| view.history.iter().filter(move |each| each.state == state);
        let running = of_state(CheckpointState::InProgress).count() as u64;
        self.in_progress
            .get_or_create(&of_job())
            .set(number(running));
        if let Some(last) = of_state(CheckpointState::Completed).next() {
            let last = convert::checkpoint(last);
            let sizes = [
                ("written", last.checkpointed_size),
                ("full", last.state_size),
            ];
            for (kind, bytes) in sizes {
                let labels = with("kind", kind);
                self.last_size.get_or_create(&labels).set(number(bytes));
            }
        }
        // What an earlier JobManager completed counts here: it is what a restore begins with.
        if let Some(newest) = view.retained.last() {
            let completed_ms = u64::try_from(newest.completed_ms).unwrap_or(0);
            self.last_success
                .get_or_create(&of_job())
                .set(seconds(completed_ms));
        }
        self.durations.add(of_job(), view.durations);
    }
}

/// Flink's classes of faults, as the value of a label.
fn reason(class: FaultClass) -> &'static str {
    match class {
        FaultClass::NonRecoverable => "non_recoverable",
        FaultClass::PartitionDataMissing => "partition_data_missing",
        FaultClass::StateDamaged => "state_damaged",
        FaultClass::Environment => "environment",
        FaultClass::Recoverable => "recoverable",
    }
}
