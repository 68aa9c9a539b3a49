//! What becomes of one line of text.

use std::marker::PhantomData;

use weir_stream::source::SourceOutput;
use weir_stream::{BoxError, Data};

/// Turns a line, without its end, into any number of records. Shared by all readers of a process.
pub(crate) trait LineDecoder<T>: Send + Sync + 'static {
    /// Emits the line's records; an error makes it a bad record.
    fn decode(&self, line: &str, out: &mut SourceOutput<'_, T>) -> Result<(), BoxError>;
}

/// Each line is a record.
pub(crate) struct WholeLine;

impl LineDecoder<String> for WholeLine {
    #[inline]
    fn decode(&self, line: &str, out: &mut SourceOutput<'_, String>) -> Result<(), BoxError> {
        out.collect(line.to_owned());
        Ok(())
    }
}

/// The user's function decodes.
pub(crate) struct DecodeFn<F>(pub(crate) F);

impl<T, F> LineDecoder<T> for DecodeFn<F>
where
    F: Fn(&str, &mut SourceOutput<'_, T>) -> Result<(), BoxError> + Send + Sync + 'static,
{
    #[inline]
    fn decode(&self, line: &str, out: &mut SourceOutput<'_, T>) -> Result<(), BoxError> {
        (self.0)(line, out)
    }
}

/// Each line is a JSON value; blank lines are left out.
pub(crate) struct JsonLine<T>(PhantomData<fn() -> T>);

impl<T> Default for JsonLine<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

/// A line that is no JSON value of the wanted type.
#[derive(Debug, thiserror::Error)]
#[error("malformed JSON: {0}")]
struct MalformedJson(String);

impl<T: Data> LineDecoder<T> for JsonLine<T> {
    fn decode(&self, line: &str, out: &mut SourceOutput<'_, T>) -> Result<(), BoxError> {
        // Some editors begin a file with a byte order mark.
        let line = line.strip_prefix('\u{feff}').unwrap_or(line);
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        match serde_json::from_str(line) {
            Ok(record) => {
                out.collect(record);
                Ok(())
            }
            // To the parser each line is line 1 of its own text.
            Err(error) => Err(MalformedJson(
                error.to_string().replace("at line 1 column", "at column"),
            )
            .into()),
        }
    }
}
