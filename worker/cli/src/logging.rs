//! Where events of the runtime go: to stderr, filtered by the environment variable `WEIR_LOG`.

use std::io::{self, IsTerminal};

use anyhow::anyhow;
use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::Failure;

/// The variable that says which events are shown, for example `info` or `weir_jobmanager=debug`.
const VARIABLE: &str = "WEIR_LOG";

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
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Stderr(terminal.clone()))
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .try_init();
    // Another subscriber, for example a test's, may be there first.
    drop(started);
    Ok(terminal)
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
