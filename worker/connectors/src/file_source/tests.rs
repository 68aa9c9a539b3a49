use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use weir_stream::source::{AnySource, Poll, Turn};
use weir_stream::{Data, OperatorError};
use weir_types::{Clock, ManualClock};

use super::*;
use crate::testing::{
    TestReader, context, enumerator, read_all, root_cause, splits, turns_of_a_called_reader,
    with_clock,
};

struct Input {
    _folder: TempDir,
    path: PathBuf,
}

fn input(bytes: impl AsRef<[u8]>) -> Input {
    let folder = tempfile::tempdir().expect("makes a folder");
    let path = folder.path().join("input");
    fs::write(&path, bytes).expect("writes");
    Input {
        _folder: folder,
        path,
    }
}

fn lines(path: &Path) -> FileSource<String> {
    FileSource::lines(path)
}

fn failure<T: Data + std::fmt::Debug>(source: &FileSource<T>) -> String {
    root_cause(&read_all(source).expect_err("is bad"))
}

/// Reads with one reader, telling also how many records were skipped.
fn read_and_skip<T: Data>(source: FileSource<T>) -> (Vec<T>, u64) {
    let source = source.bad_records(BadRecords::Skip);
    let mut reader = TestReader::open(&source, context(0, 1));
    reader
        .run(&mut *enumerator(&source, 1))
        .expect("skips what is bad");
    let skipped = reader.context.metrics.skipped_records();
    (reader.rows(), skipped)
}

fn text() -> impl Strategy<Value = String> {
    "([a-cé€😀 ]{0,6}(\n|\r\n|\r|)){0,40}"
}

/// `str::lines` is the model: `\n` or `\r\n` ends a line, the last line needs no end.
fn model(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

proptest! {
    #[test]
    fn any_text_cut_into_any_splits_yields_each_line_once(text in text(), bytes in 1u64..80) {
        let input = input(&text);
        let source = lines(&input.path).split_bytes(bytes);
        let mut all = Vec::new();
        // Each split on a reader of its own, as if all ran at once.
        for split in splits(&mut *enumerator(&source, 1)) {
            let mut reader = TestReader::open(&source, context(0, 1));
            reader.reader.add_split(split).expect("is a split");
            reader.reader.no_more_splits();
            while reader.reader.poll(Turn::whole(), &mut reader.out).expect("reads").0 != Poll::End {}
            all.extend(reader.rows());
        }
        prop_assert_eq!(all, model(&text));
    }

    #[test]
    fn a_reader_restored_anywhere_reads_exactly_the_rest(
        text in text(), bytes in 1u64..200, turns in 0usize..60,
    ) {
        let input = input(&text);
        let source = lines(&input.path).split_bytes(bytes);
        prop_assert_eq!(read_in_two(&source, turns), model(&text));
    }

    #[test]
    fn bytes_that_are_no_utf8_spoil_their_own_line_only(
        lines in prop::collection::vec(prop::collection::vec(0x70u8..0xff, 0..6), 1..30),
        bytes in 1u64..50,
    ) {
        let input = input(lines.join(&b'\n'));
        let mut want = lines;
        // An empty last line is not there without an end.
        if want.last().is_some_and(Vec::is_empty) {
            want.pop();
        }
        let good: Vec<_> = want.iter().filter_map(|l| String::from_utf8(l.clone()).ok()).collect();
        let bad = (want.len() - good.len()) as u64;
        let source = FileSource::lines(&input.path).split_bytes(bytes);
        prop_assert_eq!(read_and_skip(source), (good, bad));
    }

    #[test]
    fn csv_restored_anywhere_reads_exactly_the_rest(
        rows in prop::collection::vec(("[a,\"\n\r]{0,3}", any::<u8>()), 0..40), header: bool, turns in 0usize..30,
    ) {
        let mut writer = ::csv::WriterBuilder::new().has_headers(header).from_writer(Vec::new());
        if header {
            let records = rows.iter().map(|(word, count)| Count { count: *count, word: word.clone() });
            records.for_each(|record| writer.serialize(record).expect("writes"));
        } else {
            rows.iter().for_each(|row| writer.serialize(row).expect("writes"));
        }
        let input = input(writer.into_inner().expect("flushes"));
        if header {
            let want: Vec<_> = rows.into_iter().map(|(word, count)| Named { word, count }).collect();
            prop_assert_eq!(read_in_two(&FileSource::<Named>::csv_with_header(&input.path), turns), want);
        } else {
            prop_assert_eq!(read_in_two(&FileSource::<(String, u8)>::csv(&input.path), turns), rows);
        }
    }
}

/// As the file has it: the names are in another order than the reader's.
#[derive(Serialize)]
struct Count {
    count: u8,
    word: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Named {
    word: String,
    count: u8,
}

/// Takes some turns of at most one row each, snapshots, and reads the rest with another reader.
fn read_in_two<T: Data>(source: &FileSource<T>, turns: usize) -> Vec<T> {
    let clock = Arc::new(ManualClock::at(0));
    let paced = source.clone().rate(1.0);
    let mut pending = enumerator(source, 1);
    let context_of_first = with_clock(context(0, 1), Arc::clone(&clock) as Arc<dyn Clock>);
    let mut first = TestReader::open(&paced, context_of_first);
    for _ in 0..turns {
        first.turn(&mut *pending).expect("reads");
        clock.advance(Duration::from_secs(1));
    }
    let snapshot = first.snapshot();
    let left = pending.snapshot().expect("writes");
    let mut pending = enumerator(source, 1);
    pending.restore(&left).expect("reads");
    let mut second = TestReader::restored(source, context(0, 1), &[snapshot]);
    second.run(&mut *pending).expect("reads");
    let mut rows = first.rows();
    rows.extend(second.rows());
    rows
}

#[test]
fn several_readers_share_one_large_file() {
    let text: String = (0..100_000)
        .map(|number| format!("line {number}\n"))
        .collect();
    let input = input(&text);
    let source = lines(&input.path);
    assert_eq!(
        splits(&mut *enumerator(&source, 2)).len(),
        2,
        "a megabyte is a split"
    );
    let mut pending = enumerator(&source.clone().split_bytes(100_000), 2);
    let mut readers = [
        TestReader::open(&source, context(0, 2)),
        TestReader::open(&source, context(1, 2)),
    ];
    let mut running = true;
    while running {
        running = false;
        for reader in &mut readers {
            running |= reader.turn(&mut *pending).expect("reads") != Poll::End;
        }
    }
    let [first, second] = readers.map(TestReader::rows);
    assert!(
        first.len() > 20_000 && second.len() > 20_000,
        "{} {}",
        first.len(),
        second.len()
    );
    let mut all = [first, second].concat();
    let mut want = model(&text);
    all.sort_unstable();
    want.sort_unstable();
    assert!(all == want);
}

#[test]
fn a_turn_stays_about_as_small_as_a_chunk() {
    let input = input("x\n".repeat(100_000));
    let source = lines(&input.path);
    let mut reader = TestReader::open(&source, context(0, 1));
    let mut pending = enumerator(&source, 1);
    let mut before = 0;
    while reader.turn(&mut *pending).expect("reads") != Poll::End {
        assert!(reader.out.0.len() - before <= weir_stream::CHUNK_ROWS);
        before = reader.out.0.len();
    }
    assert_eq!(before, 100_000);
}

#[test]
fn a_decoder_makes_any_number_of_records_of_a_line() {
    let input = input("to be or\n\nnot to be");
    let source = FileSource::decode(&input.path, |line, out| {
        for word in line.split_whitespace() {
            out.collect((word.to_owned(), 1u32));
        }
        Ok(())
    });
    let words: Vec<_> = read_all(&source)
        .expect("reads")
        .into_iter()
        .map(|(word, _)| word)
        .collect();
    assert_eq!(words, ["to", "be", "or", "not", "to", "be"]);
}

#[test]
fn a_line_that_is_no_utf8_fails_with_its_place() {
    let input = input(b"one\ntwo\nthr\xffee\nfour\n");
    let want = format!(
        "{}, line 3, byte offset 11: invalid UTF-8",
        input.path.display()
    );
    assert_eq!(failure(&lines(&input.path)), want);
    // The line's number is right also where a reader began in the middle.
    assert_eq!(failure(&lines(&input.path).split_bytes(5)), want);
    assert_eq!(read_and_skip(lines(&input.path)).0, ["one", "two", "four"]);
}

#[test]
fn a_line_that_the_decoder_refuses_fails_with_its_reason() {
    let input = input("1\ntwo\n3\n");
    let source = FileSource::decode(&input.path, |line, out| {
        out.collect(line.parse::<u64>()?);
        Ok(())
    });
    let want = ", line 2, byte offset 2: invalid digit found in string";
    assert_eq!(failure(&source), format!("{}{want}", input.path.display()));
    assert_eq!(read_and_skip(source), (vec![1, 3], 1));
}

#[test]
fn a_line_beyond_the_cap_is_bad_and_one_below_it_is_not() {
    let just = "x".repeat(300_000);
    let over = "y".repeat(300_001);
    let input = input(format!("a\n{just}\n{over}\nb\n{over}"));
    let source = lines(&input.path).max_line_bytes(300_000);
    let error = failure(&source);
    assert!(
        error.contains("line 3, byte offset 300003: the line is longer than 300000"),
        "{error}"
    );
    let want = (vec!["a".to_owned(), just, "b".to_owned()], 2);
    assert_eq!(read_and_skip(source.clone()), want);
    let cut = source.split_bytes(70_000);
    assert_eq!(read_and_skip(cut), want, "whatever the splits are");
    let short = lines(&input.path).max_line_bytes(1);
    assert_eq!(
        read_and_skip(short).1,
        3,
        "a cap below the size of a block holds too"
    );
}

#[test]
fn a_last_line_without_an_end_may_be_as_long_as_the_cap() {
    let input = input("x".repeat(300_000));
    let rows = read_all(&lines(&input.path).max_line_bytes(300_000)).expect("reads");
    assert_eq!(rows.iter().map(String::len).collect::<Vec<_>>(), [300_000]);
}

#[test]
fn a_line_of_100_mb_is_refused_early_or_read_whole_if_the_cap_allows() {
    let mut bytes = vec![b'x'; 100_000_000];
    bytes.extend_from_slice(b"\nend\n");
    let input = input(&bytes);
    let error = failure(&lines(&input.path));
    assert!(
        error.contains("line 1, byte offset 0: the line is longer than 16777216"),
        "{error}"
    );
    assert_eq!(
        read_and_skip(lines(&input.path)),
        (vec!["end".to_owned()], 1)
    );
    let rows = read_all(&lines(&input.path).max_line_bytes(100_000_000)).expect("reads");
    assert_eq!(
        rows.iter().map(String::len).collect::<Vec<_>>(),
        [100_000_000, 3]
    );
}

#[test]
fn json_lines_become_records_and_blank_lines_nothing() {
    let input = input("\u{feff}{\"word\":\"a\",\"count\":1}\r\n\n{\"word\":\"b\",\"count\":2}");
    let want = [("a", 1), ("b", 2)].map(|(word, count)| Named {
        word: word.into(),
        count,
    });
    assert_eq!(
        read_all(&FileSource::<Named>::json_lines(&input.path)).expect("reads"),
        want
    );
}

#[test]
fn malformed_json_fails_with_its_place_or_is_counted() {
    let input = input("{\"word\":\"a\",\"count\":1}\n{\"word\":\"b\",\n{\"word\":7,\"count\":1}\n");
    let source = FileSource::<Named>::json_lines(&input.path);
    let error = failure(&source);
    let want = ", line 2, byte offset 23: malformed JSON: EOF while parsing a value at column 12";
    assert_eq!(error, format!("{}{want}", input.path.display()));
    assert_eq!(read_and_skip(source).1, 2);
}

#[test]
fn malformed_csv_fails_with_its_place_or_is_counted() {
    let csv = |path: &Path| FileSource::<(String, u64)>::csv(path);
    for (text, place, left) in [
        (
            "a,1\nb,x\nc,3\n",
            "line 2, byte offset 4: malformed CSV: field 2: invalid digit",
            2,
        ),
        (
            "a,1\nb\nc,3\n",
            "line 2, byte offset 4: malformed CSV: 1 fields, but the first row has 2",
            2,
        ),
        (
            "a,1\nb,2,2\nc,3\n",
            "line 2, byte offset 4: malformed CSV: 3 fields",
            2,
        ),
        (
            "a,1\n\"b\nb\",2\n5\" x,3\nd,4\n",
            "line 4, byte offset 12: malformed CSV: a quote inside",
            3,
        ),
        (
            "a,1\n\"b\"x,2\nc,3\n",
            "line 2, byte offset 4: malformed CSV: text after the closing",
            2,
        ),
        (
            "a,1\n\"b,2\nc,3\n",
            "line 2, byte offset 4: malformed CSV: the quoted field 1 is never",
            2,
        ),
    ] {
        let input = input(text);
        let error = failure(&csv(&input.path));
        assert!(error.contains(place), "{error}");
        let (rows, skipped) = read_and_skip(csv(&input.path));
        assert_eq!((rows.len(), skipped), (left, 1), "{text}");
    }
    let input = input(b"a,1\nb\xff,2\n");
    assert!(failure(&csv(&input.path)).contains("line 2, byte offset 5: invalid UTF-8"));
}

#[test]
fn a_csv_row_beyond_the_cap_is_bad() {
    let input = input(format!("a,1\n\"{}\nb,2\n", "x\n".repeat(400_000)));
    let source = FileSource::<(String, u64)>::csv(&input.path).max_line_bytes(100_000);
    let error = failure(&source);
    assert!(
        error.contains("line 2, byte offset 4: the line is longer than 100000"),
        "{error}"
    );
}

#[test]
fn csv_takes_fields_by_name_if_the_file_names_them() {
    let input = input("\u{feff}count,word\r\n1,a\r\n\r\n\n2,\"b\r\n\"\r\n");
    let want = [("a", 1), ("b\r\n", 2)].map(|(word, count)| Named {
        word: word.into(),
        count,
    });
    assert_eq!(
        read_all(&FileSource::<Named>::csv_with_header(&input.path)).expect("reads"),
        want
    );
}

#[test]
fn a_file_that_is_cut_short_while_it_is_read_is_an_error() {
    let input = input("one\ntwo\n");
    for source in [lines(&input.path), FileSource::csv(&input.path)] {
        fs::write(&input.path, "one\ntwo\n").expect("writes");
        let mut pending = enumerator(&source, 1);
        let mut reader = TestReader::open(&source, context(0, 1));
        reader.turn(&mut *pending).expect("takes the split");
        fs::write(&input.path, "one\n").expect("writes");
        let error = reader.run(&mut *pending).expect_err("lacks a line");
        assert!(root_cause(&error).contains("was cut short"), "{error:?}");
    }
}

#[test]
fn a_file_that_is_gone_when_it_is_read_is_named() {
    let input = input("one\n");
    let source = lines(&input.path);
    let mut pending = enumerator(&source, 1);
    fs::remove_file(&input.path).expect("removes");
    let error: OperatorError = TestReader::open(&source, context(0, 1))
        .run(&mut *pending)
        .expect_err("is gone");
    assert_eq!(
        root_cause(&error),
        format!("no such file: {}", input.path.display())
    );
}

#[test]
fn a_paced_source_keeps_the_pace_of_all_readers_together() {
    let input = input("x\n".repeat(1000));
    let source = lines(&input.path).rate(100.0);
    let mut pending = enumerator(&source, 2);
    assert_eq!(
        splits(&mut *enumerator(&source, 2)).len(),
        2,
        "each reader has a share to read"
    );
    let clock = Arc::new(ManualClock::at(0));
    let mut readers = [0, 1].map(|subtask| {
        let context = with_clock(context(subtask, 2), Arc::clone(&clock) as Arc<dyn Clock>);
        TestReader::open(&source, context)
    });
    clock.advance(Duration::from_secs(3));
    for reader in &mut readers {
        for _ in 0..9 {
            reader.turn(&mut *pending).expect("reads");
        }
        assert_eq!(reader.out.0.len(), 151);
        assert_eq!(
            reader.turn(&mut *pending).expect("waits"),
            Poll::Wait(Duration::from_millis(20))
        );
    }
}

#[test]
fn a_rate_that_cannot_be_kept_is_refused() {
    let input = input("x\n");
    let made = lines(&input.path)
        .rate(0.0)
        .make_enumerator(&EnumeratorContext {
            parallelism: 1,
            restored: false,
        });
    assert!(made.is_err());
}

#[test]
fn an_empty_file_and_an_empty_folder_are_an_empty_input() {
    let input = input("");
    assert_eq!(read_all(&lines(&input.path)).expect("reads"), [""; 0]);
    let folder = tempfile::tempdir().expect("makes a folder");
    assert_eq!(read_all(&lines(folder.path())).expect("reads"), [""; 0]);
}

#[test]
fn a_reader_that_is_called_ends_its_turn_after_a_line_or_row() {
    let input = input("a\nbb\n\nccc\n");
    let (turns, rows) = turns_of_a_called_reader(&lines(&input.path));
    assert_eq!((turns, rows), (vec![1; 4], model("a\nbb\n\nccc\n")));
    let (turns, rows) = turns_of_a_called_reader(&FileSource::<(String,)>::csv(&input.path));
    assert_eq!(turns, [1; 3]);
    assert_eq!(rows, ["a", "bb", "ccc"].map(|word| (word.to_owned(),)));
}

#[test]
fn an_enumerator_that_is_restored_does_not_look_for_files_that_were_read_and_are_gone() {
    let input = input("a\n");
    let source = lines(&input.path);
    let mut first = enumerator(&source, 1);
    assert_eq!(splits(&mut *first).len(), 1);
    let left = first.snapshot().expect("writes");
    std::fs::remove_file(&input.path).expect("it is there");
    let context = EnumeratorContext {
        parallelism: 1,
        restored: true,
    };
    let mut again = source.make_enumerator(&context).expect("needs no file");
    again.restore(&left).expect("reads");
    assert!(splits(&mut *again).is_empty());
}
