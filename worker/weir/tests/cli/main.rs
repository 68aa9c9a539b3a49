//! The `weir` binary as a person or a script meets it: words, texts, exit codes, processes.

mod cluster;
mod explain;
mod faults;
mod harness;
mod kubectl;
mod query;
mod run;
mod state;
mod usage;
