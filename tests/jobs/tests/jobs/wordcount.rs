//! `wordcount` in one process: every update of a book's counts, and nothing else.

use std::fmt::Write as _;
use std::fs;

use crate::harness::{Folder, WHITE_SPACE, book, done_in_one, expected_counts};

/// Counts what `input` names, and compares with what is to be in it.
#[track_caller]
fn count(folder: &Folder, input: &str, parallelism: &str, text: &str) {
    let mut args = folder.job("wordcount", input);
    args.extend(["--parallelism", parallelism].map(str::to_owned));
    done_in_one(&args).expect(0, &["job wordcount finished: "]);
    assert_eq!(folder.counted(), expected_counts(text));
}

#[track_caller]
fn count_the_book(parallelism: &str) {
    let (folder, book) = (Folder::new(), book());
    let path = book.path.display().to_string();
    let mut args = folder.job("wordcount", "");
    args.extend(["--arg".to_owned(), format!("input={path}")]);
    args.extend(["--parallelism", parallelism].map(str::to_owned));
    let ended = done_in_one(&args);
    ended.expect(0, &["job wordcount finished: "]);
    assert_eq!(ended.stdout, "", "stdout is for results");
    assert!(
        folder.counted() == book.counts,
        "the counts differ from an independent count"
    );
    assert_eq!(
        folder.finished("out").len().to_string(),
        parallelism,
        "a file for each subtask"
    );
    assert_eq!(
        folder.names("out"),
        folder.finished("out"),
        "nothing is left over"
    );
}

#[test]
fn one_subtask_counts_the_book_as_an_independent_count_does() {
    count_the_book("1");
}

#[test]
fn two_subtasks_count_the_book_as_an_independent_count_does() {
    count_the_book("2");
}

#[test]
fn four_subtasks_count_the_book_as_an_independent_count_does() {
    count_the_book("4");
}

/// The book cut into five files, not at the ends of lines: a file's last word ends with the file.
fn pieces(folder: &Folder) -> Vec<String> {
    let text = &book().text[..600_000];
    let mut pieces = Vec::new();
    let mut rest = text;
    for part in 0..5 {
        let at = (part < 4).then(|| rest.find(' ').map(|_| rest.len() / (5 - part)));
        let at = at.flatten().unwrap_or(rest.len());
        let (piece, after) = rest.split_at(at);
        folder.write(
            &format!("in/{}part-{part}.txt", ["", "deep/er/"][part % 2]),
            piece,
        );
        pieces.push(piece.to_owned());
        rest = after;
    }
    pieces
}

#[test]
fn a_folder_is_read_with_the_folders_below_but_without_hidden_and_unfinished_files() {
    let folder = Folder::new();
    let mut pieces = pieces(&folder);
    folder.write("in/.hidden.txt", "hidden");
    folder.write("in/_temporary/file.txt", "unfinished");
    folder.write("in/empty.txt", "");
    folder.write("in/no line end.csv", "last words");
    pieces.push("last words".to_owned());
    count(&folder, "in", "2", &pieces.join("\n"));
}

#[test]
fn a_pattern_names_the_files_that_match() {
    let folder = Folder::new();
    let pieces = pieces(&folder);
    folder.write("in/part-9.csv", "other");
    count(
        &folder,
        "in/part-[02].txt",
        "2",
        &[&*pieces[0], &*pieces[2]].join("\n"),
    );
    fs::remove_dir_all(folder.path("out")).expect("removed");
    count(&folder, "in/**/*.txt", "3", &pieces.join("\n"));
}

#[test]
fn words_end_at_every_white_space_of_unicode_and_nowhere_else() {
    let folder = Folder::new();
    // Not white space, whatever it looks like: zero-width space, joiner, byte order mark, Mongolian
    // vowel separator; and what CSV has to quote.
    let words = [
        "a\u{200b}b",
        "a\u{2060}b",
        "a\u{feff}b",
        "a\u{180e}b",
        "über",
        "語",
        "🜁",
        "e\u{301}",
        "a,b",
        "\"",
        "\"quoted\"",
        "'",
        "a\"b,\"c",
        ",",
        "-",
        "NULL",
        "\\n",
    ];
    let mut text = String::new();
    for (at, space) in WHITE_SPACE.iter().enumerate() {
        for word in words {
            write!(text, "{word}{space}").expect("a text");
        }
        // More than one in a row, and lines that begin and end with one.
        write!(text, "{space}{space}\r\n{space}{at}\n").expect("a text");
    }
    folder.write("in.txt", &text);
    let expected = expected_counts(&text);
    assert!(
        words.iter().all(|word| expected[*word] == 25),
        "the test's own count"
    );
    count(&folder, "in.txt", "2", &text);
}

#[test]
fn no_words_give_no_rows() {
    let folder = Folder::new();
    folder.write("in/empty.txt", "");
    folder.write("in/blank.txt", "\n \t\n\u{2028}\n");
    count(&folder, "in", "2", "");
}
