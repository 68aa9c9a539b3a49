//! The DataStream API, end to end in one process: what each operation promises about the records
//! that come out.

use std::collections::BTreeMap;
use std::time::Duration;

use weir::api::{BoxError, DataStream, EnvSettings, StreamEnv};
use weir::connectors::{CollectSink, CollectionSource, DatagenSource};
use weir::local::{JobResult, LocalOptions, run};
use weir::state::{BroadcastState, StateDescriptor, ValueState};
use weir::stream::ops::{
    BroadcastProcessFunction, Context, KeyedCoProcessFunction, OpenContext, ProcessContext,
    ProcessFunction, ProcessOpenContext, ReadOnlyContext, WatermarkStrategy,
};
use weir::stream::window::{
    ProcessWindowFunction, TimeWindow, TumblingWindows, Window, WindowContext,
};
use weir::stream::{Collector, Data, OperatorContext, OutputTag};
use weir::types::EventTime;

const RECORDS: u64 = 20_000;

/// Runs a program to its end and gives what its sink collected, sorted.
fn collect<T: Data + Ord + Sync>(
    parallelism: u32,
    program: impl FnOnce(&mut StreamEnv) -> DataStream<T>,
) -> Vec<T> {
    let sink = CollectSink::new();
    let mut env = StreamEnv::new(&EnvSettings {
        parallelism,
        ..EnvSettings::default()
    });
    program(&mut env).sink_to(sink.clone());
    let built = env.build().expect("a graph");
    let result = run(built, LocalOptions::default()).expect("it runs");
    assert_eq!(result, JobResult::Finished);
    let mut rows = sink.rows();
    rows.sort_unstable();
    rows
}

fn numbers(env: &mut StreamEnv) -> DataStream<u64> {
    env.from_source(DatagenSource::new(|n| n).count(RECORDS))
}

/// Tags each record with the subtask that sees it.
#[derive(Clone)]
struct WhoAmI(u32);

impl ProcessFunction<u64, (u64, u32)> for WhoAmI {
    fn open(&mut self, context: &mut ProcessOpenContext<'_>) -> Result<(), BoxError> {
        let operator: &OperatorContext = context.operator();
        self.0 = operator.attempt.subtask.0;
        Ok(())
    }

    fn process(
        &mut self,
        record: u64,
        _context: &mut ProcessContext<'_>,
        out: &mut Collector<'_, (u64, u32)>,
    ) -> Result<(), BoxError> {
        out.collect((record, self.0));
        Ok(())
    }
}

/// How many records each of the subtasks behind a partitioner got.
fn spread(partition: impl FnOnce(DataStream<u64>) -> DataStream<u64>) -> BTreeMap<u32, usize> {
    let rows = collect(3, |env| {
        partition(numbers(env).set_parallelism(2))
            .process(WhoAmI(0))
            .set_parallelism(3)
    });
    let mut counts = BTreeMap::new();
    for (_, subtask) in rows {
        *counts.entry(subtask).or_default() += 1;
    }
    counts
}

#[test]
fn partitioners_give_every_record_to_as_many_subtasks_as_they_promise() {
    let all = usize::try_from(RECORDS).expect("fits");
    assert_eq!(spread(DataStream::global), BTreeMap::from([(0, all)]));
    assert_eq!(
        spread(DataStream::broadcast),
        BTreeMap::from([(0, all), (1, all), (2, all)]),
        "broadcast"
    );
    for (name, counts) in [
        ("rebalance", spread(DataStream::rebalance)),
        ("shuffle", spread(DataStream::shuffle)),
        ("rescale", spread(DataStream::rescale)),
    ] {
        assert_eq!(counts.values().sum::<usize>(), all, "{name}: {counts:?}");
        assert_eq!(counts.len(), 3, "{name}: {counts:?}");
    }
    let custom = spread(|stream| stream.partition_custom(|n, _| if *n < 5 { 2 } else { 1 }));
    assert_eq!(custom, BTreeMap::from([(1, all - 5), (2, 5)]));
}

#[test]
fn forward_between_unequal_parallelisms_is_refused_by_name() {
    let mut env = StreamEnv::new(&EnvSettings {
        parallelism: 2,
        ..EnvSettings::default()
    });
    numbers(&mut env)
        .name("numbers")
        .forward()
        .map(|n| n)
        .name("same")
        .set_parallelism(3)
        .sink_to(CollectSink::new());
    let error = env.build().err().expect("2 is not 3").to_string();
    assert!(
        error.contains("numbers") && error.contains("same"),
        "{error}"
    );
}

#[test]
fn a_chain_that_is_cut_anywhere_gives_the_same_records() {
    let want: Vec<u64> = (0..RECORDS).filter(|n| n % 3 == 0).map(|n| n + 1).collect();
    for cut in 0..4 {
        let rows = collect(2, |env| {
            let stream = numbers(env);
            let stream = if cut == 1 {
                stream.disable_chaining()
            } else {
                stream
            };
            let stream = stream.filter(|n| n % 3 == 0);
            let stream = if cut == 2 {
                stream.start_new_chain()
            } else {
                stream
            };
            let stream = stream.map(|n| n + 1);
            if cut == 3 {
                stream.slot_sharing_group("other")
            } else {
                stream
            }
        });
        assert_eq!(rows, want, "cut {cut}");
    }
}

#[test]
fn a_union_has_the_records_of_all_its_streams() {
    let rows = collect(2, |env| {
        let even = numbers(env).filter(|n| n % 2 == 0);
        let odd = numbers(env).filter(|n| n % 2 == 1).rebalance();
        even.union([odd])
    });
    assert_eq!(rows, (0..RECORDS).collect::<Vec<_>>());
}

#[derive(Clone)]
struct Split(OutputTag<String>);

impl ProcessFunction<u64, u64> for Split {
    fn process(
        &mut self,
        record: u64,
        context: &mut ProcessContext<'_>,
        out: &mut Collector<'_, u64>,
    ) -> Result<(), BoxError> {
        if record.is_multiple_of(10) {
            context.side_output(&self.0, record.to_string());
        } else {
            out.collect(record);
        }
        Ok(())
    }
}

#[test]
fn a_side_output_has_other_records_of_another_type() {
    let tag = OutputTag::<String>::new("tens");
    let side = CollectSink::new();
    let (tens, sink) = (tag.clone(), side.clone());
    let main = collect(2, |env| {
        let split = numbers(env).process(Split(tag));
        split.side_output(&tens).sink_to(sink);
        split
    });
    assert_eq!(main.len() as u64, RECORDS / 10 * 9);
    assert_eq!(side.rows().len() as u64, RECORDS / 10);
    assert!(side.rows().iter().all(|text| text.ends_with('0')));
}

#[test]
fn connected_streams_meet_in_one_operator() {
    let rows = collect(2, |env| {
        let texts = env.from_source(CollectionSource::new(vec!["a".to_owned(), "b".to_owned()]));
        let few = env.from_source(DatagenSource::new(|n| n).count(3));
        few.connect(texts)
            .map(|n| format!("n{n}"), |text| format!("t{text}"))
    });
    assert_eq!(rows, ["n0", "n1", "n2", "ta", "tb"]);
}

/// Joins a number with the text of the same key, whichever comes first.
#[derive(Clone, Default)]
struct Join {
    left: Option<ValueState<u64>>,
    right: Option<ValueState<String>>,
}

impl KeyedCoProcessFunction<u64, u64, (u64, String), String> for Join {
    fn open(&mut self, context: &mut OpenContext<'_, u64>) -> Result<(), BoxError> {
        self.left = Some(context.value_state(StateDescriptor::new("left"))?);
        self.right = Some(context.value_state(StateDescriptor::new("right"))?);
        Ok(())
    }

    fn process_first(
        &mut self,
        record: u64,
        context: &mut Context<'_, u64>,
        out: &mut Collector<'_, String>,
    ) -> Result<(), BoxError> {
        let (left, right) = (self.left.expect("open"), self.right.expect("open"));
        match right.get(context)? {
            Some(text) => out.collect(format!("{record}={text}")),
            None => left.set(context, record)?,
        }
        Ok(())
    }

    fn process_second(
        &mut self,
        record: (u64, String),
        context: &mut Context<'_, u64>,
        out: &mut Collector<'_, String>,
    ) -> Result<(), BoxError> {
        let (left, right) = (self.left.expect("open"), self.right.expect("open"));
        if let Some(number) = left.get(context)? {
            out.collect(format!("{number}={}", record.1));
        }
        Ok(right.set(context, record.1)?)
    }
}

#[test]
fn two_keyed_streams_share_the_state_of_a_key() {
    let rows = collect(3, |env| {
        let left = env.from_source(DatagenSource::new(|n| n).count(500));
        let right = env.from_source(DatagenSource::new(|n| (n, format!("v{n}"))).count(500));
        left.key_by(|n| *n)
            .connect(right.key_by(|(n, _)| *n))
            .process(Join::default())
    });
    let mut want: Vec<String> = (0..500).map(|n| format!("{n}=v{n}")).collect();
    want.sort_unstable();
    assert_eq!(rows, want);
}

/// Remembers the rules it is told, in every subtask.
#[derive(Clone, Default)]
struct Rules {
    rules: Option<BroadcastState<u64, String>>,
}

impl BroadcastProcessFunction<u64, (u64, String), (u32, usize)> for Rules {
    fn open(&mut self, context: &mut ProcessOpenContext<'_>) -> Result<(), BoxError> {
        self.rules = Some(context.broadcast_state("rules")?);
        Ok(())
    }

    fn process(
        &mut self,
        _record: u64,
        _context: &mut ReadOnlyContext<'_>,
        _out: &mut Collector<'_, (u32, usize)>,
    ) -> Result<(), BoxError> {
        Ok(())
    }

    fn process_broadcast(
        &mut self,
        record: (u64, String),
        context: &mut ProcessContext<'_>,
        out: &mut Collector<'_, (u32, usize)>,
    ) -> Result<(), BoxError> {
        let rules = self.rules.expect("open");
        rules.put(context, record.0, record.1)?;
        let known = rules.iter(context)?.count();
        if known == 3 {
            out.collect((0, known));
        }
        Ok(())
    }
}

#[test]
fn every_subtask_sees_the_whole_broadcast_stream() {
    let rows = collect(4, |env| {
        let rules = env.from_source(DatagenSource::new(|n| (n, n.to_string())).count(3));
        numbers(env)
            .connect_broadcast(rules.broadcast_state())
            .process(Rules::default())
    });
    assert_eq!(
        rows,
        [(0, 3); 4],
        "each of the 4 subtasks came to know 3 rules"
    );
}

#[derive(Clone)]
struct WithEnd;

impl ProcessWindowFunction<u64, TimeWindow, u64, (i64, u64, u64)> for WithEnd {
    fn process(
        &mut self,
        key: &u64,
        sum: u64,
        context: &mut WindowContext<'_, TimeWindow>,
        out: &mut Collector<'_, (i64, u64, u64)>,
    ) -> Result<(), BoxError> {
        out.collect((context.window().max_timestamp() + 1, *key, sum));
        Ok(())
    }
}

#[test]
fn event_time_windows_count_every_record_once_at_any_parallelism() {
    const KEYS: u64 = 7;
    // Ten records a millisecond, windows of 100 ms.
    let mut want: BTreeMap<(i64, u64), u64> = BTreeMap::new();
    for n in 0..RECORDS {
        let end = i64::try_from(n / 10 / 100 * 100 + 100).expect("fits");
        *want.entry((end, n % KEYS)).or_default() += 1;
    }
    let want: Vec<(i64, u64, u64)> = want.into_iter().map(|((e, k), n)| (e, k, n)).collect();
    for parallelism in [1, 3] {
        let rows = collect(parallelism, |env| {
            let source = DatagenSource::with_timestamps(|n| {
                (n, EventTime(i64::try_from(n / 10).unwrap_or(i64::MAX)))
            });
            env.from_source(source.count(RECORDS))
                .assign_timestamps_and_watermarks(WatermarkStrategy::monotonous_timestamps())
                .map(|n| (n % KEYS, 1u64))
                .key_by(|(key, _)| *key)
                .window(TumblingWindows::event_time(Duration::from_millis(100)))
                .aggregate_and_process(CountRows, WithEnd)
        });
        assert_eq!(rows, want, "parallelism {parallelism}");
    }
}

#[derive(Clone)]
struct CountRows;

impl weir::state::AggregateFunction for CountRows {
    type In = (u64, u64);
    type Acc = u64;
    type Out = u64;

    fn create_accumulator(&self) -> u64 {
        0
    }

    fn add(&self, count: &mut u64, row: (u64, u64)) {
        *count += row.1;
    }

    fn result(&self, count: &u64) -> u64 {
        *count
    }

    fn merge(&self, into: &mut u64, other: u64) {
        *into += other;
    }
}
