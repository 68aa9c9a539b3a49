//! `top-pages`: the pages most often asked for, per sliding window over a web server's access log
//! (Apache's combined format, which nginx writes too).
//!
//! Arguments: `input` (file, folder or glob), `output` (folder; gets CSV rows
//! `window_end,rank,page,count`, the window's end in milliseconds since 1970), `late-output`
//! (folder; gets the lines that came too late for all their windows, as CSV `time,page`; without
//! it they are counted only), `window` and `slide` (seconds; 300 and 60), `top` (3),
//! `out-of-order` (seconds; 5), `overwrite`, `bad-records`, `rate` (lines per second in total).

mod log_line;

use std::path::Path;
use std::time::Duration;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use weir_api::{Args, BoxError, StreamEnv};
use weir_connectors::{BadRecords, FileSink, FileSource};
use weir_state::{AggregateFunction, ListState, StateDescriptor};
use weir_stream::ops::{Context, KeyedProcessFunction, OpenContext, WatermarkStrategy};
use weir_stream::window::{
    ProcessWindowFunction, SlidingWindows, TimeWindow, Window, WindowContext,
};
use weir_stream::{Collector, OutputTag, TimeDomain};
use weir_types::EventTime;

use log_line::parse;

type Page = CompactString;

/// One request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Request {
    time: i64,
    page: Page,
}

/// How often a page was asked for in one window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct PageCount {
    window_end: i64,
    page: Page,
    count: u64,
}

/// A row of the output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct TopPage {
    window_end: i64,
    rank: usize,
    page: Page,
    count: u64,
}

pub(crate) fn build(env: &mut StreamEnv, args: &Args) -> Result<(), BoxError> {
    let seconds = |name, default| args.parsed_or(name, default).map(Duration::from_secs);
    let (size, slide) = (seconds("window", 300)?, seconds("slide", 60)?);
    check_windows(size, slide)?;
    let out_of_order = seconds("out-of-order", 5)?;
    let top = args.parsed_or("top", 3)?;
    let overwrite = args.parsed_or("overwrite", false)?;
    let mut source = FileSource::decode(args.required("input")?, |line: &str, out| {
        let Request { time, page } = parse(line)?;
        out.collect_at(Request { time, page }, EventTime(time));
        Ok(())
    })
    .bad_records(args.parsed_or("bad-records", BadRecords::Fail)?);
    if let Some(rate) = args.parsed("rate")? {
        source = source.rate(rate);
    }
    let output = args.required("output")?;
    let sink = FileSink::csv(output).overwrite(overwrite);
    let late = OutputTag::<Request>::new("late");

    let counts = env
        .from_source(source)
        .uid("log")
        .name("log")
        .assign_timestamps_and_watermarks(WatermarkStrategy::bounded_out_of_orderness(out_of_order))
        .uid("times")
        .key_by(|request| request.page.clone())
        .window(SlidingWindows::event_time(size, slide))
        .side_output_late_data(&late)
        .aggregate_and_process(Count, WithWindow)
        .uid("count-per-window")
        .name("count-per-window");
    if let Some(folder) = args.get("late-output") {
        if folder.is_empty() {
            let text = "argument `late-output`: the folder's name is empty: name one, or leave the \
                        argument out to only count late lines";
            return Err(text.into());
        }
        if Path::new(folder) == Path::new(output) {
            let text = "argument `late-output`: it is the folder of the results, `output`: late \
                        lines need one of their own";
            return Err(text.into());
        }
        counts
            .side_output(&late)
            .sink_to(FileSink::csv(folder).overwrite(overwrite))
            .uid("late")
            .name("late");
    }
    counts
        .key_by(|count| count.window_end)
        .process(TopN {
            n: top,
            counts: None,
        })
        .uid("top")
        .name("top")
        .sink_to(sink)
        .uid("output")
        .name("output");
    Ok(())
}

/// In how many windows a request may be: it is counted once in each.
const WINDOWS_PER_REQUEST_MAX: u64 = 10_000;

/// The arguments make no windows.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum WindowsError {
    #[error("argument `{0}` must be at least 1 second")]
    Zero(&'static str),
    #[error(
        "a request would be counted in {0} windows, more than {WINDOWS_PER_REQUEST_MAX}: raise \
         argument `slide` or lower `window`"
    )]
    TooMany(u64),
}

fn check_windows(size: Duration, slide: Duration) -> Result<(), WindowsError> {
    let zero = [("window", size), ("slide", slide)]
        .into_iter()
        .find(|(_, time)| time.is_zero());
    if let Some((name, _)) = zero {
        return Err(WindowsError::Zero(name));
    }
    let windows = size.as_secs().div_ceil(slide.as_secs());
    if windows > WINDOWS_PER_REQUEST_MAX {
        return Err(WindowsError::TooMany(windows));
    }
    Ok(())
}

#[derive(Clone)]
struct Count;

impl AggregateFunction for Count {
    type In = Request;
    type Acc = u64;
    type Out = u64;

    fn create_accumulator(&self) -> u64 {
        0
    }

    fn add(&self, count: &mut u64, _request: Request) {
        *count += 1;
    }

    fn result(&self, count: &u64) -> u64 {
        *count
    }

    fn merge(&self, into: &mut u64, other: u64) {
        *into += other;
    }
}

#[derive(Clone)]
struct WithWindow;

impl ProcessWindowFunction<Page, TimeWindow, u64, PageCount> for WithWindow {
    fn process(
        &mut self,
        page: &Page,
        count: u64,
        context: &mut WindowContext<'_, TimeWindow>,
        out: &mut Collector<'_, PageCount>,
    ) -> Result<(), BoxError> {
        let window_end = context.window().max_timestamp() + 1;
        out.collect(PageCount {
            window_end,
            page: page.clone(),
            count,
        });
        Ok(())
    }
}

/// Gathers the counts of one window; once the watermark has passed its end they are all there.
#[derive(Clone)]
struct TopN {
    n: usize,
    counts: Option<ListState<(Page, u64)>>,
}

impl TopN {
    fn counts(&self) -> ListState<(Page, u64)> {
        self.counts.expect("records come after open")
    }
}

impl KeyedProcessFunction<i64, PageCount, TopPage> for TopN {
    fn open(&mut self, context: &mut OpenContext<'_, i64>) -> Result<(), BoxError> {
        self.counts = Some(context.list_state(StateDescriptor::new("counts"))?);
        Ok(())
    }

    fn process(
        &mut self,
        row: PageCount,
        context: &mut Context<'_, i64>,
        _out: &mut Collector<'_, TopPage>,
    ) -> Result<(), BoxError> {
        context.register_event_time_timer(EventTime(row.window_end))?;
        Ok(self.counts().add(context, (row.page, row.count))?)
    }

    fn on_timer(
        &mut self,
        window_end: i64,
        _domain: TimeDomain,
        context: &mut Context<'_, i64>,
        out: &mut Collector<'_, TopPage>,
    ) -> Result<(), BoxError> {
        let mut counts: Vec<(Page, u64)> = self.counts().get(context)?.cloned().collect();
        self.counts().clear(context)?;
        counts.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        for (rank, (page, count)) in (1..).zip(counts.into_iter().take(self.n)) {
            out.collect(TopPage {
                window_end,
                rank,
                page,
                count,
            });
        }
        Ok(())
    }
}
