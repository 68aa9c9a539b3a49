//! From two looks at a job to what is shown: counters, and rates between the looks.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use weir_rpc::{JobDetails, VertexDetails};
use weir_types::{EventTime, Timestamp, VertexId};

use crate::human;

/// One vertex, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) state: String,
    pub(super) records_in: u64,
    pub(super) records_out: u64,
    pub(super) rate: String,
    pub(super) watermark: String,
    pub(super) busy: String,
    pub(super) backpressured: String,
}

/// A rate is that of so long a time, at least: counters come with heartbeats, in steps.
const RATE_TIME: Duration = Duration::from_secs(3);

/// Remembers the looks before.
#[derive(Debug)]
pub(super) struct Model {
    started: Timestamp,
    before: BTreeMap<VertexId, VecDeque<(Timestamp, u64)>>,
}

impl Model {
    /// A model of a job that had counted nothing when it `started`.
    pub(super) fn new(started: Timestamp) -> Self {
        Self {
            started,
            before: BTreeMap::new(),
        }
    }

    /// What to show of each vertex.
    pub(super) fn rows(&mut self, job: &JobDetails, now: Timestamp) -> Vec<Row> {
        job.vertices
            .iter()
            .map(|vertex| self.row(vertex, now))
            .collect()
    }

    fn row(&mut self, vertex: &VertexDetails, now: Timestamp) -> Row {
        let records_in = records_in(vertex);
        let metrics = &vertex.metrics;
        Row {
            name: vertex.name.clone(),
            state: vertex.state.to_string(),
            records_in,
            records_out: metrics.records_out,
            rate: human::rate(self.rate(vertex.id, now, records_in)),
            watermark: watermark(metrics.watermark),
            busy: human::percent(metrics.shares.busy),
            backpressured: human::percent(metrics.shares.backpressured),
        }
    }

    fn rate(&mut self, vertex: VertexId, now: Timestamp, records: u64) -> f64 {
        let started = self.started;
        let looks = self
            .before
            .entry(vertex)
            .or_insert_with(|| VecDeque::from([(started, 0)]));
        // The oldest look that is kept lies just before the time of interest.
        while looks
            .get(1)
            .is_some_and(|(at, _)| now.since(*at) >= RATE_TIME)
        {
            looks.pop_front();
        }
        let (at, before) = looks.front().copied().unwrap_or((started, 0));
        looks.push_back((now, records));
        let seconds = now.since(at).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
        let more = records.saturating_sub(before) as f64;
        if seconds > 0.0 { more / seconds } else { 0.0 }
    }
}

/// What came in through the exchange; of a source, what it has read.
fn records_in(vertex: &VertexDetails) -> u64 {
    match vertex.operators.first() {
        Some(source) if vertex.inputs.is_empty() => source.records_in,
        _ => vertex.metrics.records_in,
    }
}

fn watermark(time: Option<EventTime>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| human::instant(time.0))
}
