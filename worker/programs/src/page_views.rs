//! `page-views`: how often each page was viewed, per window of event time, over views that it makes
//! itself: a job without end that needs no input, to try a cluster with.
//!
//! Arguments: `output` (folder, or an address in an object store; gets CSV rows
//! `window_end,page,views`, the window's end in milliseconds since 1970), `rate` (views per second
//! in total; 1000), `window` (seconds; 10), `pages` (20), `count` (ends after so many views),
//! `overwrite`.
//!
//! View `n` happens `n` milliseconds after the start of 2026, whatever the rate: each window holds
//! the same number of views, so that anyone can check the output by adding up.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use weir_api::{Args, BoxError, StreamEnv};
use weir_connectors::{DatagenSource, FileSink};
use weir_state::AggregateFunction;
use weir_stream::Collector;
use weir_stream::ops::WatermarkStrategy;
use weir_stream::window::{
    ProcessWindowFunction, TimeWindow, TumblingWindows, Window, WindowContext,
};
use weir_types::EventTime;

/// The time of view 0: the start of 2026, in milliseconds since 1970.
const FIRST_VIEW: u64 = 1_767_225_600_000;

/// One view.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct View {
    page: u64,
}

/// A row of the output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct PageViews {
    window_end: i64,
    page: u64,
    views: u64,
}

pub(crate) fn build(env: &mut StreamEnv, args: &Args) -> Result<(), BoxError> {
    let pages = args.parsed_or("pages", 20)?;
    if pages == 0 {
        return Err("argument `pages` must be at least 1".into());
    }
    let window = Duration::from_secs(args.parsed_or("window", 10)?);
    let mut views = DatagenSource::with_timestamps(move |n| view(n, pages))
        .rate(args.parsed_or("rate", 1_000.0)?);
    if let Some(count) = args.parsed("count")? {
        views = views.count(count);
    }
    let sink =
        FileSink::csv(args.required("output")?).overwrite(args.parsed_or("overwrite", false)?);

    env.from_source(views)
        .uid("views")
        .name("views")
        .assign_timestamps_and_watermarks(WatermarkStrategy::monotonous_timestamps())
        .uid("times")
        .key_by(|view| view.page)
        .window(TumblingWindows::event_time(window))
        .aggregate_and_process(Count, WithWindow)
        .uid("views-per-window")
        .name("views-per-window")
        .sink_to(sink)
        .uid("output")
        .name("output");
    Ok(())
}

/// View `n` and when it happens. Pages differ in how popular they are, as the smaller of two throws
/// is more often small.
fn view(n: u64, pages: u64) -> (View, EventTime) {
    let throw = mixed(n);
    let page = (throw % pages).min((throw >> 32) % pages);
    let time = i64::try_from(FIRST_VIEW.saturating_add(n)).unwrap_or(i64::MAX);
    (View { page }, EventTime(time))
}

/// SplitMix64's output function: a number that looks random, the same for the same `n`.
fn mixed(n: u64) -> u64 {
    let n = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

#[derive(Clone)]
struct Count;

impl AggregateFunction for Count {
    type In = View;
    type Acc = u64;
    type Out = u64;

    fn create_accumulator(&self) -> u64 {
        0
    }

    fn add(&self, count: &mut u64, _view: View) {
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

impl ProcessWindowFunction<u64, TimeWindow, u64, PageViews> for WithWindow {
    fn process(
        &mut self,
        page: &u64,
        views: u64,
        context: &mut WindowContext<'_, TimeWindow>,
        out: &mut Collector<'_, PageViews>,
    ) -> Result<(), BoxError> {
        out.collect(PageViews {
            window_end: context.window().max_timestamp() + 1,
            page: *page,
            views,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_the_same_whenever_they_are_made_and_a_millisecond_apart() {
        let at = |n: u64| view(n, 20);
        assert_eq!(at(12_345), at(12_345));
        assert_eq!(at(7).1.0 - at(0).1.0, 7);
        assert_eq!(at(0).1.0, 1_767_225_600_000);
    }

    #[test]
    fn every_page_is_viewed_and_the_first_ones_most() {
        let mut views = [0_u32; 5];
        for n in 0..10_000 {
            let (View { page }, _) = view(n, 5);
            views[usize::try_from(page).expect("below 5")] += 1;
        }
        assert!(views.is_sorted_by(|more, less| more > less), "{views:?}");
        assert!(views[4] > 0, "{views:?}");
    }
}
