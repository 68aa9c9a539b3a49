//! Where events of the runtime go: to stderr, filtered by the environment variable `WEIR_LOG`, as
//! `WEIR_LOG_FORMAT` says.

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::anyhow;
use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::Failure;

/// The variable that says which events are shown, for example `info` or `weir_jobmanager=debug`.
const VARIABLE: &str = "WEIR_LOG";

/// The variable that says how a line looks: `text` (the default), or `json` for programs.
const FORMAT: &str = "WEIR_LOG_FORMAT";

/// Whether lines are for programs. A process has one log.
static FOR_PROGRAMS: AtomicBool = AtomicBool::new(false);

/// Sends events to stderr. What is returned is the terminal that they share with the progress.
pub(crate) fn start(default: &str) -> Result<MultiProgress, Failure> {
    let terminal = MultiProgress::new();
    let filter = match std::env::var(VARIABLE) {
        Ok(text) if !text.is_empty() => EnvFilter::try_new(&text).map_err(|error| {
            Failure::usage(anyhow!(
                "environment variable {VARIABLE}: `{text}` is no filter: {error}; try `info` or \
                 `weir_jobmanager=debug`"
            ))
        })?,
        _ => EnvFilter::new(default),
    };
    let json = is_json(&std::env::var(FORMAT).unwrap_or_default())?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Stderr(terminal.clone()))
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    let started = match json {
        true => builder.json().flatten_event(true).try_init(),
        false => builder.try_init(),
    };
    // Another subscriber, for example a test's, may be there first.
    FOR_PROGRAMS.store(json && started.is_ok(), Ordering::Relaxed);
    Ok(terminal)
}

/// Logs a text if the log is for programs, which can make nothing of other lines. False: it is for
/// the caller to tell.
pub(crate) fn took(error: &str) -> bool {
    let takes = FOR_PROGRAMS.load(Ordering::Relaxed) && tracing::enabled!(tracing::Level::ERROR);
    if takes {
        tracing::error!("{error}");
    }
    takes
}

fn is_json(format: &str) -> Result<bool, Failure> {
    match format {
        "" | "text" => Ok(false),
        "json" => Ok(true),
        other => Err(Failure::usage(anyhow!(
            "environment variable {FORMAT}: `{other}` is no format of log lines: want `text` or \
             `json`"
        ))),
    }
}

/// Writes above the progress, where there is one.
#[derive(Clone)]
struct Stderr(MultiProgress);

impl io::Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_that_does_not_exist_is_refused() {
        let is = |format| is_json(format).map_err(|failure| failure.text());
        assert_eq!(
            (is(""), is("text"), is("json")),
            (Ok(false), Ok(false), Ok(true))
        );
        let text = is("JSON").expect_err("no format");
        assert!(text.contains("WEIR_LOG_FORMAT: `JSON`"), "{text}");
    }
}
