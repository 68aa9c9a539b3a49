use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use weir_stream::sink::SinkWriter;
use weir_stream::{Batch, Commit, OperatorContext, SuppressRestarts};

mod folders;
mod places;
mod two_phases;

use super::*;
use crate::FileSource;
use crate::testing::{context, read_all};

type Pair = (String, u64);

fn folder() -> TempDir {
    tempfile::tempdir().expect("makes a folder")
}

/// The names in a folder and what the files hold.
fn contents(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).expect("lists");
    let read = |entry: fs::DirEntry| {
        let text = fs::read_to_string(entry.path()).expect("reads");
        (entry.file_name().into_string().expect("is text"), text)
    };
    entries.map(|entry| read(entry.expect("lists"))).collect()
}

fn names(folder: &Path) -> Vec<String> {
    contents(folder).into_keys().collect()
}

fn open<T: Data>(sink: &FileSink<T>, context: &OperatorContext) -> FileWriter<T> {
    let mut writer = sink.make_writer();
    writer.open(context).expect("opens");
    writer
}

/// What a job without checkpoints does at its end.
fn publish<T: Data>(writer: &mut FileWriter<T>) -> Result<(), BoxError> {
    let handles = writer.prepare_commit(Commit::Final)?;
    writer.commit(&handles)
}

/// One run of one subtask.
fn run<T: Data>(sink: &FileSink<T>, rows: Vec<T>) {
    sink.check(false).expect("may start");
    let mut writer = open(sink, &context(0, 1));
    writer.write(Batch::new(rows)).expect("writes");
    writer.end_input().expect("ends");
    publish(&mut writer).expect("publishes");
    writer.close().expect("closes");
}

fn pair(word: &str, count: u64) -> Pair {
    (word.to_owned(), count)
}

#[test]
fn results_are_published_on_commit_and_hidden_before() {
    let folder = folder();
    let sink = FileSink::csv(folder.path().join("new/out"));
    let out = folder.path().join("new/out");
    sink.check(false).expect("creates the folder");
    let mut writers = [open(&sink, &context(0, 2)), open(&sink, &context(1, 2))];
    for writer in &mut writers {
        writer
            .write(Batch::new(vec![pair("a", 1), pair("b,\"", 2)]))
            .expect("writes");
        writer.end_input().expect("ends");
    }
    assert!(
        names(&out).iter().all(|name| name.starts_with('.')),
        "{:?}",
        names(&out)
    );
    for writer in &mut writers {
        let handles = writer.prepare_commit(Commit::Final).expect("prepares");
        assert!(names(&out).iter().any(|name| name.starts_with('.')));
        writer.commit(&handles).expect("publishes");
        writer.commit(&handles).expect("has published");
        writer.close().expect("closes");
    }
    let text = "a,1\n\"b,\"\"\",2\n".to_owned();
    let want = ["part-1-0-0-000000.csv", "part-1-1-0-000000.csv"];
    assert_eq!(
        contents(&out),
        want.map(|name| (name.to_owned(), text.clone())).into()
    );
}

#[test]
fn a_commit_that_was_cut_off_is_completed_by_the_next() {
    let folder = folder();
    let sink = FileSink::csv(folder.path());
    let mut writer = open(&sink, &context(0, 1));
    writer
        .write(Batch::new(vec![pair("a", 1)]))
        .expect("writes");
    writer.end_input().expect("ends");
    // The first attempt renamed the file and then did not come back.
    let part = folder.path().join("part-1-0-0-000000.csv");
    fs::rename(
        folder.path().join(".part-1-0-0-000000.csv.inprogress"),
        &part,
    )
    .expect("renames");
    publish(&mut writer).expect("finds it published");
    assert_eq!(names(folder.path()), ["part-1-0-0-000000.csv"]);
}

#[test]
fn results_that_are_gone_before_the_commit_are_missed() {
    let folder = folder();
    let sink = FileSink::csv(folder.path());
    let mut writer = open(&sink, &context(0, 1));
    writer
        .write(Batch::new(vec![pair("a", 1)]))
        .expect("writes");
    writer.end_input().expect("ends");
    fs::remove_file(folder.path().join(".part-1-0-0-000000.csv.inprogress")).expect("removes");
    let error = publish(&mut writer)
        .expect_err("has nothing to publish")
        .to_string();
    assert!(
        error.contains("part-1-0-0-000000.csv") && error.contains("gone"),
        "{error}"
    );
}

#[test]
fn a_run_that_fails_leaves_nothing_behind() {
    let folder = folder();
    let sink = FileSink::json_lines(folder.path()).roll_bytes(0);
    let mut writer = open(&sink, &context(0, 1));
    writer
        .write(Batch::new(vec![pair("a", 1)]))
        .expect("writes");
    writer
        .write(Batch::new(vec![pair("b", 1)]))
        .expect("writes");
    assert_eq!(names(folder.path()).len(), 2);
    writer.close().expect("closes");
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn finished_results_of_another_run_are_refused_and_left_alone() {
    let folder = folder();
    let sink = FileSink::csv(folder.path());
    run(&sink, vec![pair("old", 1)]);
    let before = contents(folder.path());
    let error = sink.check(false).expect_err("holds results").to_string();
    assert!(error.contains("overwrite=true"), "{error}");
    assert!(error.contains("part-1-0-0-000000.csv"), "{error}");
    assert!(
        error.contains(&folder.path().display().to_string()),
        "{error}"
    );
    assert_eq!(contents(folder.path()), before);
}

#[test]
fn overwriting_removes_old_parts_and_nothing_else() {
    let folder = folder();
    fs::write(folder.path().join("part-1-0-0-000001.jsonl"), "old\n").expect("writes");
    fs::write(folder.path().join("part-1-9-0-000000.csv"), "old\n").expect("writes");
    fs::write(folder.path().join("part-list.csv"), "mine\n").expect("writes");
    fs::write(folder.path().join("_SUCCESS"), "").expect("writes");
    run(
        &FileSink::csv(folder.path()).overwrite(true),
        vec![pair("new", 1)],
    );
    let want = [
        ("_SUCCESS", ""),
        ("part-1-0-0-000000.csv", "new,1\n"),
        ("part-list.csv", "mine\n"),
    ];
    assert_eq!(
        contents(folder.path()),
        want.map(|(k, v)| (k.to_owned(), v.to_owned())).into()
    );
}

#[test]
fn leftovers_of_a_killed_run_neither_stop_the_next_nor_survive_it() {
    let folder = folder();
    fs::write(
        folder.path().join(".part-1-0-0-000000.csv.inprogress"),
        "torn",
    )
    .expect("writes");
    fs::write(folder.path().join(".mine"), "").expect("writes");
    run(&FileSink::csv(folder.path()), vec![pair("new", 1)]);
    assert_eq!(names(folder.path()), [".mine", "part-1-0-0-000000.csv"]);
}

#[test]
fn leftovers_stay_when_the_run_is_refused() {
    let folder = folder();
    fs::write(
        folder.path().join(".part-1-0-0-000001.csv.inprogress"),
        "torn",
    )
    .expect("writes");
    fs::write(folder.path().join("part-1-0-0-000000.csv"), "old\n").expect("writes");
    FileSink::<Pair>::csv(folder.path())
        .check(false)
        .expect_err("holds results");
    assert_eq!(names(folder.path()).len(), 2);
}

#[test]
fn a_run_cannot_take_the_files_of_a_running_one_for_leftovers() {
    let folder = folder();
    let sink = FileSink::csv(folder.path());
    let mut writer = open(&sink, &context(0, 1));
    writer
        .write(Batch::new(vec![pair("a", 1)]))
        .expect("writes");
    let error = sink.check(false).expect_err("is in use").to_string();
    assert!(error.starts_with("another job writes to"), "{error}");
    assert_eq!(names(folder.path()).len(), 1);
    writer.close().expect("closes");
    sink.check(false).expect("is free again");
}

#[test]
fn two_sinks_in_one_folder_do_not_write_the_same_file() {
    let folder = folder();
    let sink = FileSink::csv(folder.path());
    let mut first = open(&sink, &context(0, 1));
    let mut second = open(&sink, &context(0, 1));
    first.write(Batch::new(vec![pair("a", 1)])).expect("writes");
    let error = second
        .write(Batch::new(vec![pair("b", 1)]))
        .expect_err("exists");
    assert!(
        error.is::<SuppressRestarts>(),
        "a restart meets the same file: {error}"
    );
    assert!(error.to_string().contains("another sink"), "{error}");
}

#[test]
fn parts_are_rolled_by_size_and_numbered() {
    let folder = folder();
    let sink = FileSink::csv(folder.path()).roll_bytes(1024 * 1024);
    sink.check(false).expect("may start");
    let mut writer = open(&sink, &context(0, 1));
    let mut written = Vec::new();
    for batch in 0..200u64 {
        let rows: Vec<Pair> = (0..1000)
            .map(|row| pair("some-word", batch * 1000 + row))
            .collect();
        writer.write(Batch::new(rows.clone())).expect("writes");
        written.extend(rows);
    }
    writer.end_input().expect("ends");
    publish(&mut writer).expect("publishes");
    let names = names(folder.path());
    assert!(names.len() >= 3, "{names:?}");
    assert_eq!(
        names.first().map(String::as_str),
        Some("part-1-0-0-000000.csv")
    );
    // Sorted by name the parts hold the records in the order in which they came.
    assert_eq!(
        read_all(&FileSource::<Pair>::csv(folder.path())).expect("reads"),
        written
    );
}

#[test]
fn a_subtask_without_records_writes_no_file() {
    let folder = folder();
    let mut writer = open(&FileSink::<Pair>::csv(folder.path()), &context(0, 1));
    writer.end_input().expect("ends");
    publish(&mut writer).expect("has nothing to publish");
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn what_cannot_be_written_is_named() {
    let folder = folder();
    let file = folder.path().join("file");
    fs::write(&file, "").expect("writes");
    let error = |path: &Path| {
        FileSink::<Pair>::csv(path)
            .check(false)
            .expect_err("fails")
            .to_string()
    };
    assert_eq!(error(&file), format!("{} is not a folder", file.display()));
    let below = file.join("below");
    assert_eq!(
        error(&below),
        format!("create the folder {}", below.display())
    );
    assert_eq!(
        error(Path::new("hdfs://x/y")),
        "only folders and `s3://bucket/prefix` can be written, not hdfs://x/y"
    );

    // The folder goes away while the job runs.
    let gone = folder.path().join("gone");
    let mut writer = open(&FileSink::<Pair>::csv(&gone), &context(0, 1));
    fs::remove_dir(&gone).expect("removes");
    let error = writer
        .write(Batch::new(vec![pair("a", 1)]))
        .expect_err("is gone")
        .to_string();
    assert!(
        error.starts_with(&format!("create {}", gone.display())),
        "{error}"
    );
}

#[test]
fn a_full_disk_names_the_file() {
    // Every write to this device fails for want of space.
    let full = Path::new("/dev/full");
    let link = folder();
    let in_progress = link.path().join(".part-1-0-0-000000.csv.inprogress");
    let name = "part-1-0-0-000000.csv";
    let mut part = file_part::FilePart::create(link.path(), name).expect("creates");
    part.replace_file(
        fs::OpenOptions::new()
            .write(true)
            .open(full)
            .expect("opens"),
    );
    let mut part = part_file::PartFile::new(Box::new(part), Format::JsonLines);
    let rows = vec![pair(&"x".repeat(1000), 1); 1000];
    let error = part.write(&rows).expect_err("is full");
    assert_eq!(
        error.to_string(),
        format!("write to {}", in_progress.display())
    );
    let cause = std::error::Error::source(&error)
        .expect("has a cause")
        .to_string();
    assert!(cause.contains("No space left"), "{cause}");
}

#[test]
fn a_record_that_has_no_form_in_the_format_is_an_error() {
    let folder = folder();
    let mut writer = open(&FileSink::csv(folder.path()), &context(0, 1));
    let error = writer
        .write(Batch::new(vec![BTreeMap::from([("key".to_owned(), 1u8)])]))
        .expect_err("a map is no row");
    assert!(
        error.to_string().starts_with("write a record as CSV to"),
        "{error}"
    );
    let mut writer = open(&FileSink::csv(folder.path()), &context(1, 2));
    let error = writer
        .write(Batch::new(vec![vec![1u8], vec![1, 2]]))
        .expect_err("differ in width");
    assert!(error.to_string().contains("it has 2 fields"), "{error}");
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    text: String,
    number: i64,
    ratio: Option<f64>,
    flag: bool,
    letter: char,
}

fn row() -> impl Strategy<Value = Row> {
    let ratio = prop::option::of(prop::num::f64::NORMAL);
    (
        any::<String>(),
        any::<i64>(),
        ratio,
        any::<bool>(),
        any::<char>(),
    )
        .prop_map(|(text, number, ratio, flag, letter)| Row {
            text,
            number,
            ratio,
            flag,
            letter,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn csv_rows_read_back_as_they_were_written(rows in prop::collection::vec(row(), 0..20)) {
        let folder = folder();
        run(&FileSink::csv(folder.path()), rows.clone());
        prop_assert_eq!(read_all(&FileSource::<Row>::csv(folder.path())).expect("reads"), rows);
    }

    #[test]
    fn a_single_column_of_any_text_reads_back(rows in prop::collection::vec("[a,\"\r\n ]{0,3}", 0..9)) {
        let folder = folder();
        let rows: Vec<(String,)> = rows.into_iter().map(|text| (text,)).collect();
        run(&FileSink::csv(folder.path()), rows.clone());
        prop_assert_eq!(read_all(&FileSource::<(String,)>::csv(folder.path())).expect("reads"), rows);
    }

    #[test]
    fn json_lines_read_back_as_they_were_written(
        rows in prop::collection::vec((any::<String>(), any::<Option<Vec<i8>>>()), 0..20),
    ) {
        let folder = folder();
        run(&FileSink::json_lines(folder.path()), rows.clone());
        prop_assert_eq!(read_all(&FileSource::<(String, Option<Vec<i8>>)>::json_lines(folder.path())).expect("reads"), rows);
    }
}
