//! Ctrl-C and SIGTERM.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use weir_cli::{Exit, Failure};

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A person at the terminal pressed Ctrl-C.
    Interrupt,
    /// Whoever runs the process wants it to end.
    Terminate,
}

/// Asks for the end, from outside. While one exists, these signals no longer end the process by
/// themselves.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(crate) fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind)
                .context("listen for signals")
                .map_err(Failure::failed)
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Waits for one. Nothing is lost if the future is dropped.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Interrupt,
            _ = self.terminate.recv() => Asked::Terminate,
        }
    }
}

/// Ends the process without releasing anything, because somebody asked a second time.
pub(crate) fn end_at_once() -> ! {
    std::process::exit(i32::from(Exit::Canceled as u8))
}
