//! How a command ends: the exit code and, if it went wrong, the one text that says why.

use std::io::Write;
use std::process::ExitCode;

use crate::logging;

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done: 0.
    Finished = 0,
    /// The job, or something on the machine, failed: 1.
    Failed = 1,
    /// What was asked for makes no sense: arguments, manifest, program. Nothing was started: 2.
    Usage = 2,
    /// Somebody asked for the end, by a signal or with `weir cancel`: 130, as a shell says for
    /// Ctrl-C.
    Canceled = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command that went wrong: the cause for people, and the exit code.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    error: anyhow::Error,
}

impl Failure {
    /// What was asked for makes no sense.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit: Exit::Usage,
            error: error.into(),
        }
    }

    /// It was tried and failed.
    pub fn failed(error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit: Exit::Failed,
            error: error.into(),
        }
    }

    /// The same with a text before the cause, which says what could not be done.
    #[must_use]
    pub fn context(self, text: impl std::fmt::Display + Send + Sync + 'static) -> Self {
        Self {
            exit: self.exit,
            error: self.error.context(text),
        }
    }

    /// How the process is to end.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The cause, with each of its own causes in a line of its own. One that the line before says
    /// already is left out: a person needs to read it once.
    pub fn text(&self) -> String {
        let mut text = String::from("error: ");
        let mut before = String::new();
        for cause in self.error.chain().map(ToString::to_string) {
            if before.is_empty() {
                text.push_str(&cause);
            } else if !before.contains(&cause) {
                text.push_str("\n  caused by: ");
                text.push_str(&cause);
            }
            before = cause;
        }
        text
    }

    /// Whether this is the cause, or one that something was said to.
    pub fn is<E: std::error::Error + Send + Sync + 'static>(&self) -> bool {
        self.error.is::<E>()
    }

    /// The first of this type among its causes.
    pub fn find<E: std::error::Error + 'static>(&self) -> Option<&E> {
        self.error.chain().find_map(|cause| cause.downcast_ref())
    }

    /// Tells it to the person at the terminal, or to the program that reads the log.
    pub(crate) fn report(&self) -> Exit {
        let text = self.text();
        if !logging::took(text.trim_start_matches("error: ")) {
            // With a closed stderr there is nobody to tell.
            drop(writeln!(std::io::stderr().lock(), "{text}"));
        }
        self.exit
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn each_cause_is_told_once() {
        let error = anyhow!("permission denied").context("open `a`: permission denied");
        assert_eq!(
            Failure::failed(error).text(),
            "error: open `a`: permission denied"
        );
        let error = Err::<(), _>(anyhow!("no such file"))
            .context("read `a`")
            .expect_err("error");
        assert_eq!(
            Failure::usage(error).text(),
            "error: read `a`\n  caused by: no such file"
        );
    }
}
