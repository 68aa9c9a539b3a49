//! A sink that writes each record as a line to the standard output (Flink's `PrintSink`).

use std::fmt::{Debug, Display, Write as _};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use weir_stream::sink::{Sink, SinkWriter};
use weir_stream::{Batch, BoxError, Data, OperatorContext};

type Format<T> = Arc<dyn Fn(&T, &mut String) -> std::fmt::Result + Send + Sync>;
type Target = Arc<Mutex<dyn Write + Send>>;

/// A record could not be printed.
#[derive(Debug, thiserror::Error)]
pub enum PrintError {
    /// The record's own formatting failed.
    #[error("format a record")]
    Format(#[source] std::fmt::Error),
    /// The output is closed or full.
    #[error("write to the standard output")]
    Write(#[source] io::Error),
}

/// Writes each record as a line. With more than one subtask the number of the subtask, from 1,
/// comes first: `2> text`. Lines are never torn, and those of one subtask stay in order.
pub struct PrintSink<T> {
    format: Format<T>,
    label: Option<Arc<str>>,
    target: Target,
}

impl<T> Clone for PrintSink<T> {
    fn clone(&self) -> Self {
        Self {
            format: Arc::clone(&self.format),
            label: self.label.clone(),
            target: Arc::clone(&self.target),
        }
    }
}

impl<T: Display> PrintSink<T> {
    /// Prints records as `{}` does.
    pub fn display() -> Self {
        Self::with_format(|record, line| write!(line, "{record}"))
    }
}

impl<T: Debug> PrintSink<T> {
    /// Prints records as `{:?}` does.
    pub fn debug() -> Self {
        Self::with_format(|record, line| write!(line, "{record:?}"))
    }
}

impl<T> PrintSink<T> {
    /// Prints records as the function appends them to a line.
    pub fn with_format(
        format: impl Fn(&T, &mut String) -> std::fmt::Result + Send + Sync + 'static,
    ) -> Self {
        Self {
            format: Arc::new(format),
            label: None,
            target: Arc::new(Mutex::new(io::stdout())),
        }
    }

    /// Puts a word before each line, for a job that has several print sinks: `label:2> text`.
    pub fn label(mut self, label: &str) -> Self {
        self.label = Some(label.into());
        self
    }
}

impl<T: Data> Sink for PrintSink<T> {
    type In = T;
    type Writer = PrintWriter<T>;

    fn kind(&self) -> &'static str {
        "print"
    }

    fn make_writer(&self) -> PrintWriter<T> {
        PrintWriter {
            sink: self.clone(),
            prefix: String::new(),
            text: String::new(),
        }
    }
}

/// The writer of a [`PrintSink`].
pub struct PrintWriter<T> {
    sink: PrintSink<T>,
    prefix: String,
    /// The lines of one batch; kept, so that its memory is.
    text: String,
}

impl<T: Data> SinkWriter<T> for PrintWriter<T> {
    fn open(&mut self, context: &OperatorContext) -> Result<(), BoxError> {
        let subtask = u64::from(context.attempt.subtask.0) + 1;
        self.prefix = match (&self.sink.label, context.parallelism > 1) {
            (Some(label), true) => format!("{label}:{subtask}> "),
            (Some(label), false) => format!("{label}> "),
            (None, true) => format!("{subtask}> "),
            (None, false) => String::new(),
        };
        Ok(())
    }

    fn write(&mut self, batch: Batch<T>) -> Result<(), BoxError> {
        self.text.clear();
        for record in batch.rows() {
            self.text.push_str(&self.prefix);
            (self.sink.format)(record, &mut self.text).map_err(PrintError::Format)?;
            self.text.push('\n');
        }
        // One write for the whole batch under the lock, so that lines are not torn.
        let mut target = self
            .sink
            .target
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        target
            .write_all(self.text.as_bytes())
            .map_err(PrintError::Write)?;
        target.flush().map_err(PrintError::Write)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::context;

    fn printed(sink: PrintSink<String>, subtask: u32, parallelism: u32) -> String {
        let target = Arc::new(Mutex::new(Vec::<u8>::new()));
        let sink = PrintSink {
            target: Arc::clone(&target) as Target,
            ..sink
        };
        let mut writer = sink.make_writer();
        writer.open(&context(subtask, parallelism)).expect("opens");
        writer
            .write(Batch::new(vec!["a".into(), "b".into()]))
            .expect("writes");
        String::from_utf8(target.lock().expect("is free").clone()).expect("is text")
    }

    #[test]
    fn lines_carry_the_subtask_from_1_only_if_there_are_several() {
        assert_eq!(printed(PrintSink::display(), 0, 1), "a\nb\n");
        assert_eq!(printed(PrintSink::display(), 2, 3), "3> a\n3> b\n");
        assert_eq!(
            printed(PrintSink::debug().label("x"), 2, 3),
            "x:3> \"a\"\nx:3> \"b\"\n"
        );
        assert_eq!(
            printed(PrintSink::display().label("x"), 0, 1),
            "x> a\nx> b\n"
        );
    }

    #[test]
    fn a_closed_output_is_an_error() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let sink = PrintSink::<String>::display();
        let sink = PrintSink {
            target: Arc::new(Mutex::new(Closed)),
            ..sink
        };
        let error = sink
            .make_writer()
            .write(Batch::new(vec!["a".into()]))
            .expect_err("is closed");
        assert_eq!(error.to_string(), "write to the standard output");
    }
}
