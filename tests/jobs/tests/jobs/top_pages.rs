//! `top-pages` on an access log that nginx wrote (`tests/tools/access-log` says how), compared with
//! an independent computation.

use std::collections::BTreeMap;
use std::fs;

use weir_testkit::{Ended, root};

use crate::harness::{Folder, Random, done_in_one, done_on_two};

/// Window end, rank, page, count.
type Row = (i64, usize, String, u64);

struct Line {
    /// In seconds since 1970.
    second: i64,
    page: String,
    text: String,
}

/// The log's lines, read in another way than the program does.
fn log() -> Vec<Line> {
    let text = fs::read_to_string(root().join("examples/data/access.log")).expect("the log");
    let lines: Vec<Line> = text.lines().map(line).collect();
    assert!(lines.len() > 3_000, "only {} lines", lines.len());
    lines
}

fn line(text: &str) -> Line {
    let quoted: Vec<&str> = text.split('"').collect();
    let page = quoted[1].split(' ').nth(1).expect("a page").to_owned();
    let (_, time) = quoted[0].split_once('[').expect("a time");
    // 21/Nov/2026:02:12:14 +0000]
    let number = |at: usize| time[at..at + 2].parse::<i64>().expect("a number");
    assert_eq!(
        (&time[3..11], &time[21..26]),
        ("Nov/2026", "+0000"),
        "the log of this test"
    );
    // The first of November 2026 is the 20,758th day after 1970-01-01.
    let days = 20_758 + number(0) - 1;
    let second = days * 86_400 + number(12) * 3_600 + number(15) * 60 + number(18);
    Line {
        second,
        page,
        text: text.to_owned(),
    }
}

/// The pages of each window with their ranks. All times in seconds, but the ends of windows.
fn ranked(lines: &[&Line], window: i64, slide: i64, top: usize) -> Vec<Row> {
    let mut counts: BTreeMap<i64, BTreeMap<&str, u64>> = BTreeMap::new();
    for line in lines {
        let last = line.second.div_euclid(slide) * slide;
        let starts = (0..window / slide).map(|back| last - back * slide);
        for start in starts.filter(|start| start + window > line.second) {
            let count = counts.entry((start + window) * 1_000).or_default();
            *count.entry(&line.page).or_insert(0) += 1;
        }
    }
    let rank = |(end, pages): (i64, BTreeMap<&str, u64>)| {
        let mut pages: Vec<(&str, u64)> = pages.into_iter().collect();
        // Pages with one count come by name, as the sort is stable.
        pages.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let top = pages.into_iter().take(top).enumerate();
        top.map(move |(at, (page, count))| (end, at + 1, page.to_owned(), count))
            .collect()
    };
    counts
        .into_iter()
        .flat_map(|counts| -> Vec<Row> { rank(counts) })
        .collect()
}

/// What the job wrote.
struct Output {
    rows: Vec<Row>,
    /// Time in milliseconds, and page.
    late: Vec<(i64, String)>,
}

/// Where a job runs.
type Run = fn(&[String]) -> Ended;

/// Runs the job on the logs in `in`, with these arguments.
#[track_caller]
fn top_pages(run: Run, folder: &Folder, parallelism: &str, args: &[&str]) -> Output {
    let mut command = folder.job("top-pages", "in");
    let late = format!("late-output={}", folder.path("late").display());
    for arg in args.iter().copied().chain([late.as_str()]) {
        command.extend(["--arg", arg].map(str::to_owned));
    }
    command.extend(["--parallelism", parallelism].map(str::to_owned));
    run(&command).expect(0, &["job top-pages finished"]);
    let fields = |row: &String| -> Vec<String> { row.split(',').map(str::to_owned).collect() };
    let rows = folder.rows("out").concat();
    let mut rows: Vec<Row> = rows.iter().map(fields).map(|row| row_of(&row)).collect();
    let before = rows.len();
    rows.sort_unstable();
    rows.dedup_by_key(|row| (row.0, row.1));
    assert_eq!(rows.len(), before, "a rank of a window comes once");
    let late = folder.rows("late").concat();
    let late = late
        .iter()
        .map(fields)
        .map(|row| (row[0].parse().expect("a time"), row[1].clone()));
    let mut late: Vec<(i64, String)> = late.collect();
    late.sort_unstable();
    Output { rows, late }
}

fn row_of(fields: &[String]) -> Row {
    let [end, rank, page, count] = fields else {
        unreachable!("window_end,rank,page,count: {fields:?}");
    };
    let number = |text: &String| text.parse::<u64>().expect("a number");
    let rank = usize::try_from(number(rank)).expect("a rank");
    (
        end.parse().expect("a time"),
        rank,
        page.clone(),
        number(count),
    )
}

fn text<'a>(lines: impl IntoIterator<Item = &'a Line>) -> String {
    lines
        .into_iter()
        .map(|line| format!("{}\n", line.text))
        .collect()
}

#[test]
fn the_top_pages_are_those_of_an_independent_count() {
    let (folder, lines) = (Folder::new(), log());
    folder.write("in/access.log", text(&lines));
    // The server kept lines for up to ten seconds before it wrote them.
    let output = top_pages(done_in_one, &folder, "1", &["out-of-order=10"]);
    let all: Vec<&Line> = lines.iter().collect();
    assert_eq!(output.rows, ranked(&all, 300, 60, 3));
    assert_eq!(output.late, []);
}

#[test]
fn readers_of_several_files_wait_for_each_others_watermarks() {
    let (folder, lines) = (Folder::new(), log());
    for (part, chunk) in lines.chunks(450).enumerate() {
        folder.write(&format!("in/access-{part}.log"), text(chunk));
    }
    let args = ["window=90", "slide=30", "top=5", "out-of-order=10"];
    let output = top_pages(done_in_one, &folder, "3", &args);
    let all: Vec<&Line> = lines.iter().collect();
    assert_eq!(output.rows, ranked(&all, 90, 30, 5));
    assert_eq!(output.late, []);
}

#[test]
fn lines_that_come_after_all_their_windows_go_to_the_late_output() {
    let (folder, lines) = (Folder::new(), log());
    let first = lines.iter().map(|line| line.second).min().expect("lines");
    // Of the first minute every third line comes at the end of the log, nine minutes later.
    let mut place = 0;
    let (late, timely): (Vec<&Line>, Vec<&Line>) = lines.iter().partition(|line| {
        place += 1;
        line.second < first + 60 && place % 3 == 0
    });
    assert!(late.len() > 50, "only {} late lines", late.len());
    folder.write("in/access.log", text(timely.iter().chain(&late).copied()));
    let output = top_pages(done_in_one, &folder, "1", &["out-of-order=10"]);
    assert_eq!(output.rows, ranked(&timely, 300, 60, 3));
    let mut expected: Vec<(i64, String)> = late
        .iter()
        .map(|line| (line.second * 1_000, line.page.clone()))
        .collect();
    expected.sort_unstable();
    assert_eq!(output.late, expected);
}

/// The log's lines in no order, in several files.
fn shuffled(folder: &Folder) -> Vec<Line> {
    let (mut lines, mut random) = (log(), Random(5));
    for at in (1..lines.len()).rev() {
        lines.swap(at, random.below(at + 1));
    }
    for (part, chunk) in lines.chunks(700).enumerate() {
        folder.write(&format!("in/access-{part}.log"), text(chunk));
    }
    lines
}

/// A line belongs to exactly one of these windows, and all pages are in the output.
const ONE_WINDOW_EACH: [&str; 3] = ["window=60", "slide=60", "top=1000"];

#[track_caller]
fn each_line_is_counted_or_late(lines: &[Line], output: &Output) {
    let mut found: BTreeMap<(i64, String), u64> = BTreeMap::new();
    for (end, _, page, count) in &output.rows {
        *found.entry((*end, page.clone())).or_insert(0) += count;
    }
    for (time, page) in &output.late {
        let end = (time.div_euclid(60_000) + 1) * 60_000;
        *found.entry((end, page.clone())).or_insert(0) += 1;
    }
    let all: Vec<&Line> = lines.iter().collect();
    let mut expected: BTreeMap<(i64, String), u64> = BTreeMap::new();
    for (end, _, page, count) in ranked(&all, 60, 60, 1_000) {
        expected.insert((end, page), count);
    }
    assert_eq!(found, expected);
}

#[test]
fn of_a_shuffled_log_every_line_is_counted_or_late() {
    let folder = Folder::new();
    let lines = shuffled(&folder);
    let output = top_pages(done_in_one, &folder, "1", &ONE_WINDOW_EACH);
    let late = output.late.len();
    assert!(late > 100, "only {late} late lines");
    assert!(output.rows.len() > 10, "only {} rows", output.rows.len());
    each_line_is_counted_or_late(&lines, &output);
}

/// How many are late depends on which reader is ahead.
#[test]
fn on_two_taskmanagers_no_line_is_lost_either() {
    let folder = Folder::new();
    let lines = shuffled(&folder);
    let output = top_pages(done_on_two, &folder, "2", &ONE_WINDOW_EACH);
    each_line_is_counted_or_late(&lines, &output);
}
