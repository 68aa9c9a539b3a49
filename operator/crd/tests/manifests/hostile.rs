//! Typing errors anywhere, and input that is no manifest at all: there is always an error with a
//! place, and never a panic.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::full::{FULL, Field, fields_of_full};
use proptest::prelude::*;
use weir_crd::{MANIFEST_BYTES_MAX, ManifestErrorKind, StreamJob};

/// One letter of a name wrong.
#[derive(Clone, Debug)]
enum Slip {
    Drop,
    Double,
    Swap,
    Replace(char),
    Insert(char),
}

impl Slip {
    /// The name with the slip at a place in it.
    fn in_name(&self, name: &str, place: usize) -> String {
        let mut letters: Vec<char> = name.chars().collect();
        let at = place % letters.len();
        match self {
            Self::Drop => drop(letters.remove(at)),
            Self::Double => letters.insert(at, letters[at]),
            Self::Swap => letters.swap(at.max(1) - 1, at.max(1)),
            Self::Replace(letter) => letters[at] = *letter,
            Self::Insert(letter) => letters.insert(at, *letter),
        }
        letters.into_iter().collect()
    }
}

fn slip() -> impl Strategy<Value = Slip> {
    prop_oneof![
        Just(Slip::Drop),
        Just(Slip::Double),
        Just(Slip::Swap),
        proptest::char::ranges(vec!['a'..='z', 'A'..='Z'].into()).prop_map(Slip::Replace),
        proptest::char::ranges(vec!['a'..='z', 'A'..='Z'].into()).prop_map(Slip::Insert),
    ]
}

/// [`FULL`] with one field's name replaced.
fn full_with(field: &Field, name: &str) -> String {
    let rename = |(index, line): (usize, &str)| {
        if index + 1 != field.line {
            return line.to_owned();
        }
        let (before, after) = line.split_at(field.column - 1);
        format!("{before}{name}{}", &after[field.name.len()..])
    };
    FULL.lines()
        .enumerate()
        .map(rename)
        .collect::<Vec<_>>()
        .join("\n")
}

/// The names of the fields beside each field, by the path of what is around them.
fn siblings() -> BTreeMap<String, BTreeSet<String>> {
    let mut siblings = BTreeMap::<String, BTreeSet<String>>::new();
    for field in fields_of_full() {
        siblings.entry(field.around).or_default().insert(field.name);
    }
    siblings
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn one_wrong_letter_in_any_field_is_found_where_it_is(
        field in proptest::sample::select(fields_of_full()),
        slip in slip(),
        place in 0_usize..64,
    ) {
        let name = slip.in_name(&field.name, place);
        prop_assume!(name != field.name && !siblings()[&field.around].contains(&name));
        let error = StreamJob::from_yaml("full.yaml", &full_with(&field, &name))
            .expect_err("a field that nobody knows");
        let around = match field.around.as_str() {
            "" => "at the top level".to_owned(),
            around => format!("in `{around}`"),
        };
        let message = |meant: &str| {
            let Field { line, column, .. } = field;
            format!(
                "full.yaml:{line}:{column}: unknown field `{name}` {around}; \
                 did you mean `{meant}`?"
            )
        };
        // A name of two or three letters with one of them wrong may be as near to another such
        // name.
        let meant = siblings()[&field.around]
            .iter()
            .filter(|sibling| **sibling == field.name || field.name.len() <= 3)
            .map(|sibling| message(sibling))
            .collect::<Vec<_>>();
        prop_assert!(meant.contains(&error.to_string()), "{}", error);
        prop_assert_eq!(error.line() as usize, field.line);
        prop_assert_eq!(error.column() as usize, field.column);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        drop(StreamJob::from_yaml_bytes("job.yaml", &bytes));
    }

    #[test]
    fn any_text_of_yaml_signs_is_read_or_refused(text in "[-:?,{}\\[\\]&*!|>%@` \n\t#'\"a0~<.]{0,80}") {
        if let Err(error) = StreamJob::from_yaml("job.yaml", &text) {
            prop_assert!(error.line() as usize <= text.lines().count() + 1, "{}", error);
            prop_assert!(error.to_string().lines().count() == 1, "{}", error);
        }
    }

    #[test]
    fn a_mangled_manifest_is_read_or_refused(
        cuts in proptest::collection::vec(
            (0_usize..FULL.len(), 0_usize..40, "[-:?,{}\\[\\]&*!|> \n\"'a1~]{0,6}"),
            1..4,
        ),
    ) {
        let mut text = FULL.as_bytes().to_vec();
        for (start, length, instead) in cuts {
            let start = start.min(text.len());
            let end = (start + length).min(text.len());
            text.splice(start..end, instead.into_bytes());
        }
        if let Err(error) = StreamJob::from_yaml_bytes("job.yaml", &text) {
            let lines = text.split(|byte| *byte == b'\n').count();
            prop_assert!(error.line() as usize <= lines + 1, "{}", error);
            prop_assert!(error.to_string().lines().count() == 1, "{}", error);
        }
    }
}

#[test]
fn aliases_that_stand_for_ever_more_are_refused_at_once() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let below = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb += &format!("a{level}: &a{level} [{below}]\n");
    }
    let long_text = format!(
        "a: &a {}\nb: [{}]\n",
        "x".repeat(300_000),
        ["*a"; 1000].join(", ")
    );
    let deep =
        |open: &str, close: &str| format!("{}x{}", open.repeat(100_000), close.repeat(100_000));
    for (text, start) in [
        (bomb, "job.yaml:5:"),
        (long_text, "job.yaml:2:"),
        (
            deep("[", "]"),
            "job.yaml:1:65: nested more than 64 levels deep",
        ),
        (deep("{a: ", "}"), "job.yaml:1:"),
        ("- ".repeat(100_000), "job.yaml:1:"),
        ("? ".repeat(100_000), "job.yaml:1:"),
        (
            "&a [*a]".to_owned(),
            "job.yaml:1:5: an alias stands inside of its own anchor",
        ),
        (
            "a: &a {b: *a}".to_owned(),
            "job.yaml:1:11: an alias stands inside of its own anchor",
        ),
    ] {
        #[expect(
            clippy::disallowed_methods,
            reason = "the time that a refusal takes is the point"
        )]
        let started = Instant::now();
        let error = StreamJob::from_yaml("job.yaml", &text)
            .expect_err("no manifest")
            .to_string();
        assert!(error.starts_with(start), "{error}");
        assert!(started.elapsed().as_secs() < 5, "{error}");
    }
}

#[test]
fn a_file_beyond_the_limit_is_refused_unread() {
    let text = "#".repeat(MANIFEST_BYTES_MAX + 1);
    for error in [
        StreamJob::from_yaml("job.yaml", &text).expect_err("too long"),
        StreamJob::from_yaml_bytes("job.yaml", text.as_bytes()).expect_err("too long"),
    ] {
        assert_eq!(
            error.to_string(),
            "job.yaml:1:1: the manifest has 1048577 bytes; at most 1048576 are read"
        );
    }
    let longest = "#".repeat(MANIFEST_BYTES_MAX);
    let error = StreamJob::from_yaml("job.yaml", &longest).expect_err("only a comment");
    assert_eq!(error.kind(), &ManifestErrorKind::Empty);
}

#[test]
fn the_widest_file_is_refused_quickly() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the time that a refusal takes is the point"
    )]
    let started = Instant::now();
    for text in [
        "- a\n".repeat(250_000),
        "a: b\n".repeat(200_000),
        "{a, ".repeat(250_000),
    ] {
        StreamJob::from_yaml("job.yaml", &text).expect_err("no manifest");
    }
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}
