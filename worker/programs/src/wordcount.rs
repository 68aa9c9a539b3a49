//! `wordcount`: the running count of each word of a text.
//!
//! Arguments: `input` (file, folder or glob), `output` (folder; gets CSV rows `word,count`, one
//! for every occurrence), `overwrite` (`true` removes an earlier run's part files),
//! `bad-records` (`fail` or `skip`), `rate` (lines per second in total).

use compact_str::CompactString;
use weir_api::{Args, BoxError, StreamEnv};
use weir_connectors::{BadRecords, FileSink, FileSource};

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
                out.collect((Word::new(word), 1u64));
            }
        })
        .uid("split")
        .name("split")
        .key_by(|(word, _)| word.clone())
        .reduce(|sum, (_, count)| sum.1 += count)
        .uid("count")
        .name("count")
        .sink_to(sink)
        .uid("output")
        .name("output");
    Ok(())
}
