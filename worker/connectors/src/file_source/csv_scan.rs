//! Finds the end and the fields of one CSV row (RFC 4180, with `\n` or `\r\n` as line end). Pure.
//!
//! Strict where leniency would hide damage: a quote inside an unquoted field, text after a closing
//! quote and a quoted field that is never closed are errors. The `csv` crate reads all three.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter, memchr3};

/// One field of a row, as a range of the row's bytes without the enclosing quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    start: usize,
    end: usize,
    /// Whether it holds doubled quotes.
    has_quotes: bool,
}

impl Field {
    /// The field's text; `row` must be the text that was scanned.
    pub(super) fn text(self, row: &str) -> Cow<'_, str> {
        let raw = &row[self.start..self.end];
        if self.has_quotes {
            Cow::Owned(raw.replace("\"\"", "\""))
        } else {
            Cow::Borrowed(raw)
        }
    }
}

/// What stands at the beginning of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// A row of so many bytes, its end included.
    Whole(usize),
    /// The row goes on after these bytes.
    Open,
    /// No CSV.
    Malformed(Malformed),
}

/// Why bytes are no CSV row. Fields count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("malformed CSV: a quote inside the unquoted field {0}")]
    QuoteInside(usize),
    #[error("malformed CSV: text after the closing quote of field {0}")]
    AfterQuote(usize),
    #[error("malformed CSV: the quoted field {0} is never closed")]
    NeverClosed(usize),
}

/// Finds the row at the beginning of `bytes` and its fields. `at_end` tells whether nothing
/// follows the bytes.
pub(super) fn scan(bytes: &[u8], at_end: bool, fields: &mut Vec<Field>) -> Row {
    fields.clear();
    let line_end = memchr(b'\n', bytes);
    let line = &bytes[..line_end.unwrap_or(bytes.len())];
    if memchr(b'"', line).is_some() {
        return scan_quoted(bytes, at_end, fields);
    }
    let (text_end, length) = match line_end {
        Some(end) => (end - usize::from(line.ends_with(b"\r")), end + 1),
        None if at_end => (bytes.len(), bytes.len()),
        None => return Row::Open,
    };
    let mut start = 0;
    for end in memchr_iter(b',', &bytes[..text_end]).chain([text_end]) {
        fields.push(Field {
            start,
            end,
            has_quotes: false,
        });
        start = end + 1;
    }
    Row::Whole(length)
}

/// What follows a field.
enum After {
    Field(usize),
    RowEnd(usize),
}

/// As [`scan`], for a row that holds a quote.
fn scan_quoted(bytes: &[u8], at_end: bool, fields: &mut Vec<Field>) -> Row {
    let mut position = 0;
    loop {
        let field = if bytes.get(position) == Some(&b'"') {
            quoted_field(bytes, position + 1, at_end, fields)
        } else {
            plain_field(bytes, position, at_end, fields)
        };
        match field {
            Ok(After::Field(next)) => position = next,
            Ok(After::RowEnd(end)) => return Row::Whole(end),
            Err(row) => return row,
        }
    }
}

fn plain_field(
    bytes: &[u8],
    start: usize,
    at_end: bool,
    fields: &mut Vec<Field>,
) -> Result<After, Row> {
    let (end, after) = match memchr3(b',', b'\n', b'"', &bytes[start..]) {
        None if at_end => (bytes.len(), After::RowEnd(bytes.len())),
        None => return Err(Row::Open),
        Some(length) => {
            let end = start + length;
            match bytes[end] {
                b',' => (end, After::Field(end + 1)),
                b'\n' => {
                    let has_return = bytes[start..end].ends_with(b"\r");
                    (end - usize::from(has_return), After::RowEnd(end + 1))
                }
                _ => return Err(Row::Malformed(Malformed::QuoteInside(fields.len() + 1))),
            }
        }
    };
    fields.push(Field {
        start,
        end,
        has_quotes: false,
    });
    Ok(after)
}

fn quoted_field(
    bytes: &[u8],
    start: usize,
    at_end: bool,
    fields: &mut Vec<Field>,
) -> Result<After, Row> {
    let number = fields.len() + 1;
    let mut has_quotes = false;
    let mut from = start;
    let end = loop {
        let Some(length) = memchr(b'"', &bytes[from..]) else {
            let never = Row::Malformed(Malformed::NeverClosed(number));
            return Err(if at_end { never } else { Row::Open });
        };
        let quote = from + length;
        if bytes.get(quote + 1) != Some(&b'"') {
            break quote;
        }
        has_quotes = true;
        from = quote + 2;
    };
    fields.push(Field {
        start,
        end,
        has_quotes,
    });
    match &bytes[end + 1..] {
        [b',', ..] => Ok(After::Field(end + 2)),
        [b'\n', ..] => Ok(After::RowEnd(end + 2)),
        [b'\r', b'\n', ..] => Ok(After::RowEnd(end + 3)),
        [] | [b'\r'] if !at_end => Err(Row::Open),
        [] => Ok(After::RowEnd(end + 1)),
        _ => Err(Row::Malformed(Malformed::AfterQuote(number))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(text: &str) -> Result<Vec<Vec<String>>, Malformed> {
        let (mut rest, mut rows, mut fields) = (text, Vec::new(), Vec::new());
        while !rest.is_empty() {
            match scan(rest.as_bytes(), true, &mut fields) {
                Row::Whole(length) => {
                    rows.push(
                        fields
                            .iter()
                            .map(|field| field.text(rest).into_owned())
                            .collect(),
                    );
                    rest = &rest[length..];
                }
                Row::Open => unreachable!("nothing follows"),
                Row::Malformed(malformed) => return Err(malformed),
            }
        }
        Ok(rows)
    }

    proptest! {
        #[test]
        fn rows_read_back_as_the_csv_crate_wrote_them(
            written in prop::collection::vec(prop::collection::vec("[a,\"\n\r é]{0,4}", 2..4), 0..6),
        ) {
            let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
            for row in &written {
                writer.write_record(row).expect("writes");
            }
            let text = String::from_utf8(writer.into_inner().expect("flushes")).expect("is text");
            prop_assert_eq!(rows(&text), Ok(written.clone()));
            prop_assert_eq!(rows(text.trim_end_matches('\n')).map(|rows| rows.len()), Ok(written.len()));
        }

        #[test]
        fn a_row_that_is_cut_off_is_open_and_never_another_row(
            text in "[a,\"\n\r]{1,12}", cut in 0usize..12,
        ) {
            let mut fields = Vec::new();
            let whole = scan(text.as_bytes(), false, &mut fields);
            let cut = cut.min(text.len());
            match scan(&text.as_bytes()[..cut], false, &mut fields) {
                Row::Open => {}
                known => prop_assert_eq!(known, whole),
            }
        }
    }

    #[test]
    fn what_is_no_csv_is_said() {
        assert_eq!(rows("a,5\" pipe\n"), Err(Malformed::QuoteInside(2)));
        assert_eq!(rows("\"a\"b,1\n"), Err(Malformed::AfterQuote(1)));
        assert_eq!(rows("x,\"a\n1,2\n"), Err(Malformed::NeverClosed(2)));
    }

    #[test]
    fn a_quoted_field_may_hold_line_ends_commas_and_quotes() {
        let text = "\"a\r\nb\",\"x,\"\"y\"\"\"\r\n\"\",z";
        let want = vec![
            vec!["a\r\nb".to_owned(), "x,\"y\"".to_owned()],
            vec![String::new(), "z".into()],
        ];
        assert_eq!(rows(text), Ok(want));
    }
}
