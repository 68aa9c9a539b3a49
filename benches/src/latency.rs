//! Latency under an open-loop load: each event is due at a fixed time, however late the source is.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use weir::state::AggregateFunction;
use weir::stream::ops::WatermarkStrategy;
use weir::stream::sink::{Sink, SinkWriter};
use weir::stream::window::{
    ProcessWindowFunction, TimeWindow, TumblingWindows, Window, WindowContext,
};
use weir::stream::{Batch, BoxError, Collector, OperatorContext};
use weir::types::{Clock, Timestamp};

use crate::report::{Flags, Report, peak_rss_mb};
use crate::rng::{at, below};
use crate::run::{backend, measure_with, state};
use crate::seq::{SeqSource, due, start};

/// Microseconds; one list per process.
static SAMPLES: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// Key, count, and an instant: of `window` the window's end in milliseconds of event time, of
/// `record` the event's index.
type Row = (u64, u64, u64);

#[derive(Clone, Copy)]
struct Plan {
    window: bool,
    rate: u64,
    skip: Duration,
    end: Duration,
}

pub(crate) fn run(flags: &Flags) -> Result<Report> {
    let rate = flags.number("rate", 100_000)?;
    let secs = flags.number("secs", 30)?;
    let keys = flags.number("keys", 10_000)?;
    let mode = flags.text("mode", "window");
    let window = Duration::from_millis(flags.number("window-ms", 1000)?);
    let plan = Plan {
        window: mode != "record",
        rate,
        skip: Duration::from_secs(flags.number("warmup-s", 10)?),
        end: Duration::from_secs(secs),
    };
    let events = rate * secs;
    let state = state(flags, 0)?;
    let config = backend(flags)?;
    let measured = measure_with(flags.number("parallelism", 2)?, state, config, |env| {
        let make = move |index| (below(at(17, index), keys), index);
        let source = SeqSource::new(make, events, 1, rate)
            .with_event_time(|index, rate| i64::try_from(index * 1000 / rate).unwrap_or(i64::MAX));
        let events = env.from_source(source);
        let events = if plan.window {
            events.assign_timestamps_and_watermarks(WatermarkStrategy::monotonous_timestamps())
        } else {
            events
        };
        let keyed = events.key_by(|(key, _)| *key);
        let rows = if plan.window {
            keyed
                .window(TumblingWindows::event_time(window))
                .aggregate_and_process(Count, End)
        } else {
            keyed
                .aggregate(Latest)
                .map(|(key, (count, index))| (key, count, index))
        };
        rows.sink_to(LatencySink { plan });
    })?;
    let mut samples = std::mem::take(&mut *SAMPLES.lock().unwrap_or_else(PoisonError::into_inner));
    samples.sort_unstable();
    let mut report = Report::new("latency");
    report.put_throughput(events, measured.seconds, measured.cpu_seconds);
    report.put("mode", json!(mode));
    report.put("samples", json!(samples.len()));
    for (name, per_mille) in [("p50_ms", 500), ("p99_ms", 990), ("p999_ms", 999)] {
        let index = (samples.len() * per_mille).div_ceil(1000).saturating_sub(1);
        report.put_rounded(
            name,
            samples.get(index).map_or(0.0, |us| f64::from(*us) / 1000.0),
        );
    }
    report.put_rounded(
        "max_ms",
        samples.last().map_or(0.0, |us| f64::from(*us) / 1000.0),
    );
    report.put_rounded("peak_rss_mb", peak_rss_mb()?);
    report.put_checkpoints(measured.checkpoints.as_ref());
    report.put("checksum", json!("0"));
    Ok(report)
}

#[derive(Clone)]
struct Count;

impl AggregateFunction for Count {
    type In = (u64, u64);
    type Acc = u64;
    type Out = u64;

    fn create_accumulator(&self) -> u64 {
        0
    }

    fn add(&self, count: &mut u64, _row: (u64, u64)) {
        *count += 1;
    }

    fn result(&self, count: &u64) -> u64 {
        *count
    }

    fn merge(&self, into: &mut u64, other: u64) {
        *into += other;
    }
}

/// The count, and the index of the record that made it.
#[derive(Clone)]
struct Latest;

impl AggregateFunction for Latest {
    type In = (u64, u64);
    type Acc = (u64, u64);
    type Out = (u64, u64);

    fn create_accumulator(&self) -> (u64, u64) {
        (0, 0)
    }

    fn add(&self, latest: &mut (u64, u64), row: (u64, u64)) {
        *latest = (latest.0 + 1, row.1);
    }

    fn result(&self, latest: &(u64, u64)) -> (u64, u64) {
        *latest
    }

    fn merge(&self, into: &mut (u64, u64), other: (u64, u64)) {
        *into = (into.0 + other.0, into.1.max(other.1));
    }
}

#[derive(Clone)]
struct End;

impl ProcessWindowFunction<u64, TimeWindow, u64, Row> for End {
    fn process(
        &mut self,
        key: &u64,
        count: u64,
        context: &mut WindowContext<'_, TimeWindow>,
        out: &mut Collector<'_, Row>,
    ) -> Result<(), BoxError> {
        let end = u64::try_from(context.window().max_timestamp() + 1)?;
        out.collect((*key, count, end));
        Ok(())
    }
}

#[derive(Clone)]
struct LatencySink {
    plan: Plan,
}

impl Sink for LatencySink {
    type In = Row;
    type Writer = LatencyWriter;

    fn kind(&self) -> &'static str {
        "latency"
    }

    fn make_writer(&self) -> LatencyWriter {
        LatencyWriter {
            plan: self.plan,
            samples: Vec::new(),
            clock: None,
        }
    }
}

struct LatencyWriter {
    plan: Plan,
    samples: Vec<u32>,
    clock: Option<std::sync::Arc<dyn Clock>>,
}

impl SinkWriter<Row> for LatencyWriter {
    fn open(&mut self, context: &OperatorContext) -> Result<(), BoxError> {
        self.clock = Some(std::sync::Arc::clone(&context.clock));
        Ok(())
    }

    fn write(&mut self, batch: Batch<Row>) -> Result<(), BoxError> {
        let Some(clock) = &self.clock else {
            return Ok(());
        };
        let plan = self.plan;
        // The rows of a batch come together: to read the clock for each would be a tenth of all
        // that a window does for a key when it ends.
        let arrived = clock.now();
        for (_, _, instant) in batch.rows() {
            let due: Timestamp = if plan.window {
                start() + Duration::from_millis(*instant)
            } else {
                due(*instant, plan.rate)
            };
            let place = due.since(start());
            if place >= plan.skip && place < plan.end {
                let late = arrived.since(due).as_micros();
                self.samples.push(u32::try_from(late).unwrap_or(u32::MAX));
            }
        }
        Ok(())
    }

    fn end_input(&mut self) -> Result<(), BoxError> {
        SAMPLES
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .append(&mut self.samples);
        Ok(())
    }
}
