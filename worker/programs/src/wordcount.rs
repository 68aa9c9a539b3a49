//! `wordcount`: the running count of each word of a text.
//!
//! Arguments: `input` (file, folder or glob), `output` (folder; gets CSV rows `word,count`, one
//! for every occurrence), `overwrite` (`true` removes an earlier run's part files),
//! `bad-records` (`fail` or `skip`), `rate` (lines per second in total).

use compact_str::CompactString;
use weir_api::{Args, BoxError, StreamEnv};
use weir_connectors::{BadRecords, FileSink, FileSource};
use weir_state::AggregateFunction;

/// Words are short: they lie in the record itself, without an allocation.
type Word = CompactString;

pub(crate) fn build(env: &mut StreamEnv, args: &Args) -> Result<(), BoxError> {
    let input = args.required("input")?;
    let output = args.required("output")?;
    let mut lines =
        FileSource::lines(input).bad_records(args.parsed_or("bad-records", BadRecords::Fail)?);
    if let Some(rate) = args.parsed("rate")? {
        lines = lines.rate(rate);
    }
    let sink = FileSink::csv(output).overwrite(args.parsed_or("overwrite", false)?);

    env.from_source(lines)
        .uid("lines")
        .name("lines")
        .flat_map(|line: String, out| {
            for word in line.split_whitespace() {
                out.collect(Word::new(word));
            }
        })
        .uid("split")
        .name("split")
        .key_by(Word::clone)
        .aggregate(Count)
        .uid("count")
        .name("count")
        .sink_to(sink)
        .uid("output")
        .name("output");
    Ok(())
}

/// How often the word came so far.
#[derive(Clone)]
struct Count;

impl AggregateFunction for Count {
    type In = Word;
    type Acc = u64;
    type Out = u64;

    fn create_accumulator(&self) -> u64 {
        0
    }

    fn add(&self, count: &mut u64, _word: Word) {
        *count += 1;
    }

    fn result(&self, count: &u64) -> u64 {
        *count
    }

    fn merge(&self, into: &mut u64, other: u64) {
        *into += other;
    }
}
