//! What Prometheus is told.

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use weir_controller::{EndedOperation, ManagerView, Outcome};

use crate::health::Health;

/// The upper bounds of a turn's time, in seconds.
const BUCKETS: [f64; 9] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// The upper bounds of an operation's time, in seconds.
const OPERATION_BUCKETS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabels {
    phase: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    r#type: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JobLabels {
    namespace: String,
    job: String,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// The operator's metrics.
pub struct Metrics {
    registry: Registry,
    reconcile_seconds: Histogram,
    reconcile_errors: Counter,
    acting: Gauge<i64, AtomicI64>,
    jobs: Family<PhaseLabels, Gauge<i64, AtomicI64>>,
    operations: Family<OperationLabels, Histogram>,
    checkpoints: Family<JobLabels, Gauge<f64, AtomicU64>>,
    jobmanager_errors: Counter,
    /// Whether this process is well.
    pub(crate) health: Health,
}

impl Metrics {
    /// None of them has a value yet.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("weir_operator");
        let reconcile_seconds = Histogram::new(BUCKETS);
        let reconcile_errors = Counter::default();
        let acting = Gauge::default();
        let jobs = Family::default();
        registry.register(
            "reconcile_duration_seconds",
            "How long one turn of looking after a job takes",
            reconcile_seconds.clone(),
        );
        registry.register(
            "reconcile_errors",
            "Turns that failed",
            reconcile_errors.clone(),
        );
        registry.register("acting", "Whether this operator acts", acting.clone());
        registry.register("jobs", "StreamJobs by phase", jobs.clone());
        let operations = Family::new_with_constructor(histogram as fn() -> Histogram);
        let checkpoints = Family::default();
        let jobmanager_errors = Counter::default();
        registry.register(
            "operation_duration_seconds",
            "How long operations took, by what they did and how they ended",
            operations.clone(),
        );
        registry.register(
            "job_last_checkpoint_timestamp_seconds",
            "When a job's newest checkpoint or savepoint was complete, in seconds since 1970",
            checkpoints.clone(),
        );
        registry.register(
            "jobmanager_errors",
            "Questions to JobManagers that were not answered, or refused",
            jobmanager_errors.clone(),
        );
        Self {
            registry,
            reconcile_seconds,
            reconcile_errors,
            acting,
            jobs,
            operations,
            checkpoints,
            jobmanager_errors,
            health: Health::default(),
        }
    }

    /// An operation has ended.
    pub(crate) fn ended(&self, operation: EndedOperation) {
        let labels = OperationLabels {
            r#type: format!("{:?}", operation.kind),
            outcome: match operation.outcome {
                Outcome::Completed => "completed",
                Outcome::Failed => "failed",
                Outcome::Aborted => "aborted",
            },
        };
        let histogram = self.operations.get_or_create(&labels);
        histogram.observe(operation.seconds);
    }

    /// What a job's JobManager said.
    pub(crate) fn asked(&self, namespace: &str, job: &str, manager: &ManagerView) {
        let Some(latest) = &manager.latest else {
            return;
        };
        // A time in seconds has no more digits than this type.
        #[expect(clippy::cast_precision_loss, reason = "2^53 milliseconds are an age")]
        let seconds = latest.at_ms as f64 / 1000.0;
        let labels = job_labels(namespace, job);
        self.checkpoints.get_or_create(&labels).set(seconds);
    }

    /// A JobManager did not answer, or refused.
    pub(crate) fn jobmanager_failed(&self) {
        self.jobmanager_errors.inc();
    }

    /// A job is gone.
    pub(crate) fn forget(&self, namespace: &str, job: &str) {
        self.checkpoints.remove(&job_labels(namespace, job));
    }

    pub(crate) fn reconciled(&self, took: Duration, well: bool) {
        self.reconcile_seconds.observe(took.as_secs_f64());
        if !well {
            self.reconcile_errors.inc();
        }
    }

    pub(crate) fn acts(&self, acts: bool) {
        self.health.acts(acts);
        self.acting.set(i64::from(acts));
    }

    pub(crate) fn count(&self, jobs: impl IntoIterator<Item = (String, i64)>) {
        self.jobs.clear();
        for (phase, count) in jobs {
            self.jobs.get_or_create(&PhaseLabels { phase }).set(count);
        }
    }

    /// All of them, as Prometheus reads them.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        if let Err(error) = encode(&mut text, &self.registry) {
            tracing::error!(%error, "write the metrics");
        }
        text
    }
}

fn histogram() -> Histogram {
    Histogram::new(OPERATION_BUCKETS)
}

fn job_labels(namespace: &str, job: &str) -> JobLabels {
    JobLabels {
        namespace: namespace.to_owned(),
        job: job.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_written_as_prometheus_reads_them() {
        let metrics = Metrics::new();
        metrics.acts(true);
        metrics.reconciled(Duration::from_millis(20), false);
        metrics.count([("Running".to_owned(), 2)]);
        metrics.ended(EndedOperation {
            kind: weir_crd::OperationType::Upgrade,
            outcome: Outcome::Failed,
            seconds: 3.0,
        });
        metrics.jobmanager_failed();
        let manager = ManagerView {
            pod: String::new(),
            deployment: 1,
            job_id: String::new(),
            epoch: 1,
            state: "RUNNING".to_owned(),
            waiting_for: None,
            tasks: (1, 1),
            restored: None,
            latest: Some(weir_controller::SnapshotView {
                id: 1,
                path: String::new(),
                at_ms: 1_500,
                operation: None,
                size_bytes: None,
                duration_ms: None,
            }),
            not_stored: None,
            savepoints: Vec::new(),
            completed: 1,
            restarts: 0,
            operation: None,
            last_failure: None,
        };
        metrics.asked("default", "words", &manager);
        metrics.asked("default", "gone", &manager);
        metrics.forget("default", "gone");
        let text = metrics.text();
        assert!(!text.contains("gone"), "{text}");
        for line in [
            "weir_operator_acting 1",
            "weir_operator_reconcile_errors_total 1",
            "weir_operator_jobs{phase=\"Running\"} 2",
            "weir_operator_operation_duration_seconds_sum{type=\"Upgrade\",outcome=\"failed\"} 3.0",
            "weir_operator_jobmanager_errors_total 1",
            "weir_operator_job_last_checkpoint_timestamp_seconds{namespace=\"default\",job=\"words\"} 1.5",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
