//! `fraud-detection`: Flink's walkthrough. An account whose small transaction is directly followed
//! by a large one within a minute gives an alert.
//!
//! Arguments: `input` (file, folder or glob with CSV rows `account,time,amount`, the time in
//! milliseconds since 1970, in order of time), `output` (folder; gets one JSON object per alert),
//! `small` (1.00), `large` (500.00), `overwrite`, `bad-records`, `rate` (rows per second in total).

use std::time::Duration;

use serde::{Deserialize, Serialize};
use weir_api::{Args, BoxError, StreamEnv};
use weir_connectors::{BadRecords, FileSink, FileSource};
use weir_state::{StateDescriptor, ValueState};
use weir_stream::ops::{Context, KeyedProcessFunction, OpenContext, WatermarkStrategy};
use weir_stream::{Collector, TimeDomain};
use weir_types::EventTime;

/// How long after the small transaction the large one is suspicious.
const WITHIN: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Transaction {
    account: u64,
    time: i64,
    amount: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Alert {
    account: u64,
    small_at: i64,
    large_at: i64,
    amount: f64,
}

pub(crate) fn build(env: &mut StreamEnv, args: &Args) -> Result<(), BoxError> {
    let detector = FraudDetector {
        small: amount(args, "small", 1.0)?,
        large: amount(args, "large", 500.0)?,
        small_at: None,
    };
    let mut source = FileSource::csv(args.required("input")?)
        .bad_records(args.parsed_or("bad-records", BadRecords::Fail)?);
    if let Some(rate) = args.parsed("rate")? {
        source = source.rate(rate);
    }
    let sink = FileSink::json_lines(args.required("output")?)
        .overwrite(args.parsed_or("overwrite", false)?);

    env.from_source(source)
        .uid("transactions")
        .name("transactions")
        .assign_timestamps_and_watermarks(
            WatermarkStrategy::monotonous_timestamps()
                .with_timestamp_assigner(|row: &Transaction, _| EventTime(row.time)),
        )
        .uid("times")
        .key_by(|row| row.account)
        .process(detector)
        .uid("fraud-detector")
        .name("fraud-detector")
        .sink_to(sink)
        .uid("alerts")
        .name("alerts");
    Ok(())
}

/// An amount, which `NaN` is none: every comparison with it is false.
fn amount(args: &Args, name: &str, default: f64) -> Result<f64, BoxError> {
    let amount: f64 = args.parsed_or(name, default)?;
    if amount.is_nan() {
        Err(format!("argument `{name}`: NaN is no amount").into())
    } else {
        Ok(amount)
    }
}

/// Remembers, per account, when its last transaction was a small one.
#[derive(Clone)]
struct FraudDetector {
    small: f64,
    large: f64,
    small_at: Option<ValueState<i64>>,
}

impl FraudDetector {
    fn small_at(&self) -> ValueState<i64> {
        self.small_at.expect("records come after open")
    }
}

impl KeyedProcessFunction<u64, Transaction, Alert> for FraudDetector {
    fn open(&mut self, context: &mut OpenContext<'_, u64>) -> Result<(), BoxError> {
        self.small_at = Some(context.value_state(StateDescriptor::new("small-at"))?);
        Ok(())
    }

    fn process(
        &mut self,
        row: Transaction,
        context: &mut Context<'_, u64>,
        out: &mut Collector<'_, Alert>,
    ) -> Result<(), BoxError> {
        let state = self.small_at();
        let within = i64::try_from(WITHIN.as_millis())?;
        if let Some(small_at) = state.get(context)?.copied() {
            // The timer says the same, but only once the watermark has come by.
            if row.amount > self.large && row.time.saturating_sub(small_at) <= within {
                let (account, large_at, amount) = (row.account, row.time, row.amount);
                out.collect(Alert {
                    account,
                    small_at,
                    large_at,
                    amount,
                });
            }
            context.delete_event_time_timer(EventTime(small_at.saturating_add(within)))?;
            state.clear(context)?;
        }
        if row.amount < self.small {
            state.set(context, row.time)?;
            context.register_event_time_timer(EventTime(row.time.saturating_add(within)))?;
        }
        Ok(())
    }

    /// The minute is over: the account needs no memory.
    fn on_timer(
        &mut self,
        _timestamp: i64,
        _domain: TimeDomain,
        context: &mut Context<'_, u64>,
        _out: &mut Collector<'_, Alert>,
    ) -> Result<(), BoxError> {
        Ok(self.small_at().clear(context)?)
    }
}
