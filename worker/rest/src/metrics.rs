//! `/metrics`: the counters of all jobs in OpenMetrics form. Names and labels are listed in
//! `docs/operations/metrics.md`.

mod checkpoints;
mod histogram;

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use weir_graph::JobStatus;
use weir_rpc::{DispatcherError, DispatcherGateway, JobDetails, OperatorDetails, VertexDetails};

use checkpoints::CheckpointFamilies;
use histogram::DurationHistogram;

type Labels = Vec<(&'static str, String)>;
type Counters = Family<Labels, Counter>;
type SecondsCounters = Family<Labels, Counter<f64, AtomicU64>>;
type Gauges = Family<Labels, Gauge<f64, AtomicU64>>;

/// The figure of a tier on disk that says how large its files are.
const SST_BYTES: &str = "sst_bytes";

/// All families, filled anew for each scrape: the Dispatcher's view is the only truth.
struct Families {
    records_in: Counters,
    records_out: Counters,
    late_records: Counters,
    skipped_records: Counters,
    bytes_in: Counters,
    bytes_out: Counters,
    task_time: SecondsCounters,
    restored: Gauges,
    state_on_disk: Gauges,
    state_size: Gauges,
    queue_bytes: Gauges,
    source_lag: Gauges,
    sink_commits: DurationHistogram,
    watermark_lag: Gauges,
    job_state: Gauges,
    taskmanagers: Gauges,
    slots: Gauges,
    checkpoints: CheckpointFamilies,
}

impl Families {
    fn new() -> Self {
        Self {
            records_in: Counters::default(),
            records_out: Counters::default(),
            late_records: Counters::default(),
            skipped_records: Counters::default(),
            bytes_in: Counters::default(),
            bytes_out: Counters::default(),
            task_time: SecondsCounters::default(),
            restored: Gauges::default(),
            state_on_disk: Gauges::default(),
            state_size: Gauges::default(),
            queue_bytes: Gauges::default(),
            source_lag: Gauges::default(),
            sink_commits: DurationHistogram::new(
                "sink_commit_seconds",
                "How long it took a sink's subtask to make results visible",
            ),
            watermark_lag: Gauges::default(),
            job_state: Gauges::default(),
            taskmanagers: Gauges::default(),
            slots: Gauges::default(),
            checkpoints: CheckpointFamilies::default(),
        }
    }

    /// Within Kubernetes every sample carries the namespace that the job runs in.
    fn registry(&self, namespace: Option<&str>) -> Registry {
        let labels = namespace.map(|name| ("namespace".into(), name.to_owned().into()));
        let mut all = Registry::with_prefix_and_labels("weir", labels.into_iter());
        let counters = [
            (
                "operator_records_in",
                "Records given to an operator",
                &self.records_in,
            ),
            (
                "operator_records_out",
                "Records passed on",
                &self.records_out,
            ),
            (
                "late_records",
                "Records dropped as too late",
                &self.late_records,
            ),
            (
                "skipped_records",
                "Bad records skipped",
                &self.skipped_records,
            ),
            (
                "task_bytes_in",
                "Bytes taken from the exchange",
                &self.bytes_in,
            ),
            (
                "task_bytes_out",
                "Bytes given to the exchange",
                &self.bytes_out,
            ),
        ];
        for (name, help, family) in counters {
            all.register(name, help, family.clone());
        }
        all.register(
            "task_time_seconds",
            "Where a subtask's time went",
            self.task_time.clone(),
        );
        for (name, help, family) in self.gauges() {
            all.register(name, help, family.clone());
        }
        self.sink_commits.register(&mut all);
        self.checkpoints.register(&mut all);
        all
    }

    fn gauges(&self) -> [(&'static str, &'static str, &Gauges); 9] {
        [
            (
                "task_restored_bytes",
                "Where the state that a subtask began with came from",
                &self.restored,
            ),
            (
                "state_on_disk",
                "Figures of RocksDB below an operator's keyed state",
                &self.state_on_disk,
            ),
            (
                "state_size_bytes",
                "About how large an operator's keyed state is",
                &self.state_size,
            ),
            (
                "channel_queue_bytes",
                "Bytes that wait in a subtask's input queues",
                &self.queue_bytes,
            ),
            (
                "source_event_time_lag_seconds",
                "How old a source's newest record was when it went out",
                &self.source_lag,
            ),
            (
                "operator_watermark_lag_seconds",
                "How far the watermark is behind the clock",
                &self.watermark_lag,
            ),
            (
                "job_state",
                "1 for the state the job is in",
                &self.job_state,
            ),
            (
                "taskmanagers",
                "Registered TaskManagers",
                &self.taskmanagers,
            ),
            ("slots", "Slots by kind", &self.slots),
        ]
    }

    fn add_job(&self, job: &JobDetails, now_ms: i64) {
        let name = &job.overview.name;
        self.checkpoints.add_job(job);
        for each in JobStatus::ALL {
            let labels = vec![("job", name.clone()), ("state", each.to_string())];
            self.job_state
                .get_or_create(&labels)
                .set(if each == job.overview.status {
                    1.0
                } else {
                    0.0
                });
        }
        for vertex in &job.vertices {
            self.add_operators(name, vertex);
            self.add_subtasks(name, vertex, now_ms);
        }
    }

    fn add_operators(&self, job: &str, vertex: &VertexDetails) {
        for operator in &vertex.operators {
            let labels = vec![
                ("job", job.to_owned()),
                ("operator", operator.name.clone()),
                ("operator_uid", operator.id.to_string()),
            ];
            self.records_in
                .get_or_create(&labels)
                .inc_by(operator.records_in);
            self.records_out
                .get_or_create(&labels)
                .inc_by(operator.records_out);
            self.late_records
                .get_or_create(&labels)
                .inc_by(operator.late_records);
            self.skipped_records
                .get_or_create(&labels)
                .inc_by(operator.skipped_records);
            if operator.commits.count() > 0 {
                self.sink_commits.add(labels.clone(), operator.commits);
            }
            self.add_state_size(&labels, operator, vertex);
        }
    }

    /// The sum over the operator's subtasks. What has room in memory may be on disk as well.
    fn add_state_size(&self, labels: &Labels, operator: &OperatorDetails, vertex: &VertexDetails) {
        let figures = vertex.subtasks.iter().flat_map(|task| &task.state_figures);
        let mut on_disk = figures
            .filter(|figure| figure.node == operator.node && figure.name == SST_BYTES)
            .map(|figure| figure.value)
            .peekable();
        let is_on_disk = on_disk.peek().is_some();
        let places = [
            ("memory", operator.state_bytes, operator.state_bytes > 0),
            ("disk", on_disk.sum(), is_on_disk),
        ];
        for (place, bytes, has_state) in places {
            if has_state {
                let mut labels = labels.clone();
                labels.push(("place", place.to_owned()));
                self.state_size.get_or_create(&labels).set(number(bytes));
            }
        }
    }

    fn add_subtasks(&self, job: &str, vertex: &VertexDetails, now_ms: i64) {
        for subtask in &vertex.subtasks {
            let labels = vec![
                ("job", job.to_owned()),
                ("vertex", vertex.name.clone()),
                ("subtask", subtask.index.to_string()),
            ];
            let io = &subtask.metrics;
            self.bytes_in.get_or_create(&labels).inc_by(io.bytes_in);
            self.bytes_out.get_or_create(&labels).inc_by(io.bytes_out);
            let queue_bytes = number(io.queue_bytes);
            self.queue_bytes.get_or_create(&labels).set(queue_bytes);
            if let (Some(lag), Some(source)) = (io.event_time_lag_ms, vertex.operators.first()) {
                let labels = vec![
                    ("job", job.to_owned()),
                    ("operator", source.name.clone()),
                    ("operator_uid", source.id.to_string()),
                    ("subtask", subtask.index.to_string()),
                ];
                let lag = seconds(lag.unsigned_abs()).copysign(signum(lag));
                self.source_lag.get_or_create(&labels).set(lag);
            }
            let times = [
                ("busy", io.busy_ms),
                ("idle", io.idle_ms),
                ("backpressured", io.backpressured_ms),
            ];
            for (state, ms) in times {
                let mut labels = labels.clone();
                labels.push(("state", state.to_owned()));
                self.task_time.get_or_create(&labels).inc_by(seconds(ms));
            }
            let restored = [
                ("local", io.restored_local_bytes),
                ("store", io.restored_store_bytes),
            ];
            for (source, bytes) in restored {
                let mut labels = labels.clone();
                labels.push(("source", source.to_owned()));
                self.restored.get_or_create(&labels).set(number(bytes));
            }
            for figure in &subtask.state_figures {
                let operators = vertex.operators.iter();
                let Some(of) = operators.clone().find(|of| of.node == figure.node) else {
                    continue;
                };
                let labels = vec![
                    ("job", job.to_owned()),
                    ("operator", of.name.clone()),
                    ("operator_uid", of.id.to_string()),
                    ("subtask", subtask.index.to_string()),
                    ("figure", figure.name.clone()),
                ];
                let gauge = self.state_on_disk.get_or_create(&labels);
                gauge.set(number(figure.value));
            }
            // At the end of its input the watermark stands beyond all times.
            if let Some(watermark) = io.watermark.filter(|time| time.0 < i64::MAX) {
                let lag = now_ms.saturating_sub(watermark.0).max(0);
                let lag = seconds(u64::try_from(lag).unwrap_or(0));
                self.watermark_lag.get_or_create(&labels).set(lag);
            }
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "2^53 bytes of one subtask's state are 8 million gigabytes"
)]
fn number(bytes: u64) -> f64 {
    bytes as f64
}

#[expect(
    clippy::cast_precision_loss,
    reason = "2^53 milliseconds are 285,000 years"
)]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

fn signum(number: i64) -> f64 {
    if number < 0 { -1.0 } else { 1.0 }
}

/// The text of one scrape.
pub(crate) async fn scrape(
    dispatcher: &dyn DispatcherGateway,
    namespace: Option<&str>,
    now_ms: i64,
) -> Result<String, DispatcherError> {
    let families = Families::new();
    let overview = dispatcher.overview().await?;
    families
        .taskmanagers
        .get_or_create(&Vec::new())
        .set(f64::from(overview.taskmanagers));
    for (kind, slots) in [
        ("total", overview.slots_total),
        ("free", overview.slots_free),
    ] {
        families
            .slots
            .get_or_create(&vec![("kind", kind.to_owned())])
            .set(f64::from(slots));
    }
    for job in dispatcher.jobs().await? {
        match dispatcher.job(job.id).await {
            Ok(job) => families.add_job(&job, now_ms),
            // It ended between the two questions.
            Err(DispatcherError::UnknownJob(_)) => continue,
            Err(error) => return Err(error),
        }
        match dispatcher.checkpoints(job.id).await {
            Ok(view) => families.checkpoints.add_checkpoints(&job.name, &view),
            Err(DispatcherError::UnknownJob(_) | DispatcherError::CheckpointsOff(_)) => {}
            Err(error) => return Err(error),
        }
    }
    let mut text = String::new();
    encode(&mut text, &families.registry(namespace)).expect("writing to a text cannot fail");
    Ok(text)
}
