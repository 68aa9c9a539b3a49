//! Whole jobs, as a user runs them: processes of the `weir` binary on real input, compared with an
//! independent computation, and with everything that can go wrong around them.
//!
//! Everything listens on 127.0.0.1 and on ports that the system chooses, lives in temporary
//! folders, and is over within a time limit. The sub-commands' own words, options and messages are
//! tested with the binary itself.

mod arguments;
mod back_pressure;
mod cluster;
mod damaged_state;
mod docs;
mod fraud_detection;
mod going_back;
mod harness;
mod hostile;
mod input_faults;
mod local_recovery;
mod output_faults;
mod panics;
mod rocksdb;
mod store_outage;
mod three_ways;
mod top_pages;
mod wordcount;
mod written_ahead;
