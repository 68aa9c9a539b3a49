//! What Prometheus is told.

use std::sync::atomic::AtomicI64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// The upper bounds of a turn's time, in seconds.
const BUCKETS: [f64; 9] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabels {
    phase: String,
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
        Self {
            registry,
            reconcile_seconds,
            reconcile_errors,
            acting,
            jobs,
        }
    }

    pub(crate) fn reconciled(&self, took: Duration, well: bool) {
        self.reconcile_seconds.observe(took.as_secs_f64());
        if !well {
            self.reconcile_errors.inc();
        }
    }

    pub(crate) fn acts(&self, acts: bool) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_written_as_prometheus_reads_them() {
        let metrics = Metrics::new();
        metrics.acts(true);
        metrics.reconciled(Duration::from_millis(20), false);
        metrics.count([("Running".to_owned(), 2)]);
        let text = metrics.text();
        for line in [
            "weir_operator_acting 1",
            "weir_operator_reconcile_errors_total 1",
            "weir_operator_jobs{phase=\"Running\"} 2",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
