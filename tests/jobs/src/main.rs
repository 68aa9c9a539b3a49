//! A job binary as users build them, with the programs that the tests of faults run: they panic,
//! fail, dawdle, or never give up a record.
//!
//! All take `count` (how many numbers the source makes, from 0 on) and `output` (a folder), unless
//! their own text says otherwise.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use weir::ProgramEntry;
use weir::api::{Args, BoxError, DataStream, StreamEnv};
use weir::connectors::{BadRecords, BlackholeSink, DatagenSource, FileSink, FileSource};
use weir::stream::Collector;
use weir::stream::TimeDomain;
use weir::stream::ops::{Context, KeyedProcessFunction, OpenContext};
use weir::types::EventTime;

fn main() -> ExitCode {
    let entry = |name, summary, build| ProgramEntry {
        name,
        summary,
        build,
    };
    weir::main(&[
        entry(
            "panics",
            "panics at the number `at`, in the function `where`",
            panics,
        ),
        entry(
            "panics-in-open",
            "panics before the first number",
            panics_in_open,
        ),
        entry(
            "panics-in-build",
            "panics while its graph is built",
            panics_in_build,
        ),
        entry("fails", "a function fails at the number `at`", fails),
        entry(
            "slow",
            "makes texts of `bytes` without end; each takes `pause-us`",
            slow,
        ),
        entry(
            "sums",
            "sums by key of numbers that come at a `rate`, which nobody commits",
            sums,
        ),
        entry(
            "dawdles",
            "from the number 3000 on, each call of the function `where` takes 60 ms",
            dawdles,
        ),
        entry("stuck", "holds on to the first number for `seconds`", stuck),
        entry(
            "points",
            "points `{x, y}` from JSON lines in `input` to CSV",
            points,
        ),
    ])
}

fn numbers(env: &mut StreamEnv, args: &Args) -> Result<DataStream<u64>, BoxError> {
    let source = DatagenSource::new(|number| number).count(args.parsed_or("count", 10_000)?);
    Ok(env.from_source(source).name("numbers"))
}

fn write(numbers: DataStream<u64>, args: &Args) -> Result<(), BoxError> {
    numbers
        .sink_to(FileSink::csv(args.required("output")?))
        .name("output");
    Ok(())
}

/// What a careless user function does.
#[expect(clippy::panic, reason = "this is what the tests are about")]
fn check(number: u64, limit: u64) -> u64 {
    if number == limit {
        panic!("number {number} is too large");
    }
    number
}

fn panics(env: &mut StreamEnv, args: &Args) -> Result<(), BoxError> {
    let at: u64 = args.parsed_or("at", 5_000)?;
    let place: String = args.parsed_or("where", "map".to_owned())?;
    let in_place = move |name: &str| if place == name { at } else { u64::MAX };
    let count = args.parsed_or("count", 10_000)?;
    let limit = in_place("source");
    let source = DatagenSource::new(move |number| check(number, limit)).count(count);
    let limit = in_place("key");
    let keyed = env
        .from_source(source)
        .name("numbers")
        .key_by(move |n| check(*n, limit) % 100);
    let limit = in_place("map");
    write(
        keyed
            .into_stream()
            .map(move |number| check(number, limit))
            .name("explode"),
        args,
    )
}

#[derive(Clone)]
struct PanicsInOpen;

impl KeyedProcessFunction<u64, u64, u64> for PanicsInOpen {
    fn open(&mut self, _context: &mut OpenContext<'_, u64>) -> Result<(), BoxError> {
        check(7, 7);
        Ok(())
    }

    fn process(
        &mut self,
        number: u64,
        _context: &mut Context<'_, u64>,
        out: &mut Collector<'_, u64>,
    ) -> Result<(), BoxError> {
        out.collect(number);
        Ok(())
    }
}

fn panics_in_open(env: &mut StreamEnv, args: &Args) -> Result<(), BoxError> {
    write(
        numbers(env, args)?
            .key_by(|number| *number)
            .process(PanicsInOpen)
            .name("explode"),
        args,
    )
}

fn panics_in_build(env: &mut StreamEnv, args: &Args) -> Result<(), BoxError> {
    let stream = numbers(env, args)?;
    check(7, 7);
    write(stream, args)
}

fn fails(env: &mut StreamEnv, args: &Args) -> Result<(), BoxError> {
    let at: u64 = args.parsed_or("at", 5_000)?;
    let checked = numbers(env, args)?.rebalance().try_map(move |number| {
        if number == at {
            Err(format!("number {number} is not wanted").into())
        } else {
            Ok(number)
        }
    });
    write(checked.name("refuse"), args)
}

fn slow(env: &mut StreamEnv, args: &Args) -> Result<(), BoxError> {
    let bytes: usize = args.parsed_or("bytes", 1_000)?;
    let pause = Duration::from_micros(args.parsed_or("pause-us", 1_000)?);
    let source = DatagenSource::new(move |number| format!("{number:0bytes$}"));
    env.from_source(source)
        .name("texts")
        .rebalance()
        .map(move |text: String| {
            sleep(pause);
            text
        })
        .name("dawdle")
        .sink_to(BlackholeSink::new())
        .name("nowhere");
    Ok(())
}

fn sums(env: &mut StreamEnv, args: &Args) -> Result<(), BoxError> {
    const KEYS: u64 = 10_000;
    let source = DatagenSource::new(|number| number)
        .count(args.parsed_or("count", 10_000)?)
        .rate(args.parsed_or("rate", 10_000.0)?);
    env.from_source(source)
        .name("numbers")
        .key_by(|number| number % KEYS)
        .reduce(|sum, number| *sum += number)
        .name("sum")
        .sink_to(BlackholeSink::new())
        .name("nowhere");
    Ok(())
}

/// Takes its time, and tells of the first time that it does.
fn dawdle(has_begun: &AtomicBool) {
    if !has_begun.swap(true, Ordering::SeqCst) {
        // With a closed stderr there is nobody to tell.
        drop(writeln!(std::io::stderr(), "it dawdles now"));
    }
    sleep(Duration::from_millis(60));
}

/// Wakes each number once time is over, which takes long.
#[derive(Clone)]
struct WakesUp(Arc<AtomicBool>);

impl KeyedProcessFunction<u64, u64, u64> for WakesUp {
    fn process(
        &mut self,
        _number: u64,
        context: &mut Context<'_, u64>,
        _out: &mut Collector<'_, u64>,
    ) -> Result<(), BoxError> {
        Ok(context.register_event_time_timer(EventTime(1))?)
    }

    fn on_timer(
        &mut self,
        _time: i64,
        _domain: TimeDomain,
        context: &mut Context<'_, u64>,
        out: &mut Collector<'_, u64>,
    ) -> Result<(), BoxError> {
        dawdle(&self.0);
        out.collect(*context.current_key());
        Ok(())
    }
}

fn dawdles(env: &mut StreamEnv, args: &Args) -> Result<(), BoxError> {
    const FAST: u64 = 3_000;
    let place = args.required("where")?.to_owned();
    let (in_source, in_map) = (place == "source", place == "map");
    let has_begun = Arc::new(AtomicBool::new(false));
    let (first, second) = (Arc::clone(&has_begun), Arc::clone(&has_begun));
    let source = DatagenSource::with_timestamps(move |number| {
        if in_source && number >= FAST {
            dawdle(&first);
        }
        (number, EventTime(0))
    });
    let numbers = env
        .from_source(source.count(args.parsed_or("count", 10_000)?))
        .name("numbers")
        .map(move |number| {
            if in_map && number >= FAST {
                dawdle(&second);
            }
            number
        });
    if place == "timer" {
        let woken = numbers.key_by(|number| *number).process(WakesUp(has_begun));
        return write(woken, args);
    }
    write(numbers, args)
}

fn stuck(env: &mut StreamEnv, args: &Args) -> Result<(), BoxError> {
    let pause = Duration::from_secs(args.parsed_or("seconds", 3_600)?);
    let stream = numbers(env, args)?.rebalance().map(move |number| {
        sleep(pause);
        number
    });
    write(stream.name("hold"), args)
}

fn points(env: &mut StreamEnv, args: &Args) -> Result<(), BoxError> {
    let source = FileSource::<Point>::json_lines(args.required("input")?)
        .bad_records(args.parsed_or("bad-records", BadRecords::Fail)?);
    let sink = FileSink::csv(args.required("output")?);
    env.from_source(source)
        .name("points")
        .sink_to(sink)
        .name("output");
    Ok(())
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Point {
    x: i64,
    y: String,
}
