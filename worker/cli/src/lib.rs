//! The command line: sub-commands, output, progress.
