//! A book to count, and an independent count of it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use weir_testkit::root;

/// What Unicode calls white space (the property `White_Space` of PropList.txt).
pub(crate) const WHITE_SPACE: [char; 25] = [
    '\u{9}', '\u{a}', '\u{b}', '\u{c}', '\u{d}', '\u{20}', '\u{85}', '\u{a0}', '\u{1680}',
    '\u{2000}', '\u{2001}', '\u{2002}', '\u{2003}', '\u{2004}', '\u{2005}', '\u{2006}', '\u{2007}',
    '\u{2008}', '\u{2009}', '\u{200a}', '\u{2028}', '\u{2029}', '\u{202f}', '\u{205f}', '\u{3000}',
];

/// How often each word occurs.
pub(crate) type Counts = HashMap<String, u64>;

/// A text, and what is in it.
pub(crate) struct Book {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    pub(crate) counts: Counts,
}

/// The King James Bible, one verse a line, from Debian's package `bible-kjv`. Where that is missing
/// a text of the same size is made up instead, but not in continuous integration.
pub(crate) fn book() -> &'static Book {
    static BOOK: OnceLock<Book> = OnceLock::new();
    BOOK.get_or_init(|| {
        let path = real_book().unwrap_or_else(|missing| {
            let in_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
            assert!(!in_ci, "{missing}");
            eprintln!("{missing}; counting the words of a text that was made up");
            made_up_book()
        });
        let text = fs::read_to_string(&path).expect("a text");
        assert!(
            text.len() > 3_000_000,
            "{} is too short for a book",
            path.display()
        );
        let counts = expected_counts(&text);
        Book { path, text, counts }
    })
}

fn real_book() -> Result<PathBuf, String> {
    let script = root().join("tests/tools/book");
    let printed = Command::new(script).output().expect("the script runs");
    let stdout = String::from_utf8(printed.stdout).expect("a path in UTF-8");
    if printed.status.success() {
        Ok(PathBuf::from(stdout.trim_end()))
    } else {
        Err(String::from_utf8_lossy(&printed.stderr).into_owned())
    }
}

/// 31,000 lines of 25 words, short ones more often. The file is replaced in one step, as another
/// test may be reading it.
fn made_up_book() -> PathBuf {
    let mut random = Random(7);
    let mut text = String::new();
    for _ in 0..31_000 {
        for _ in 0..25 {
            let rank = random.below(12_000).min(random.below(12_000));
            write!(text, "w{rank:x}{} ", "a".repeat(rank % 5)).expect("a text");
        }
        text.push('\n');
    }
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("book.txt");
    let new = path.with_extension(std::process::id().to_string());
    fs::write(&new, text).expect("written");
    fs::rename(&new, &path).expect("renamed");
    path
}

/// Counts words in another way than the program does.
pub(crate) fn expected_counts(text: &str) -> Counts {
    let mut counts = Counts::new();
    for word in text.split(WHITE_SPACE).filter(|word| !word.is_empty()) {
        *counts.entry(word.to_owned()).or_insert(0) += 1;
    }
    counts
}

/// Numbers that look random and are the same in each run (Knuth's linear congruences).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % limit
    }
}
