//! `weir-operator`: watches StreamJobs and does what `weir_controller` decides.
//!
//! Nothing is decided here. [`mod@observe`] fetches what there is, [`apply`] does what is said, and
//! [`mod@reconcile`] is the loop between the two; [`quiet`] keeps the loop from asking the API
//! server about jobs that just run, by what [`watch`] has put into the [`cache`]. [`lease`] keeps
//! two operators from acting at once.
//!
//! It is a library so that tests can drive [`reconcile()`] without a process.

mod apply;
mod args;
mod cache;
mod foreign;
mod health;
mod http;
mod lease;
mod manager;
mod metrics;
mod mounts;
mod observe;
mod operator;
mod quiet;
mod reconcile;
mod rest;
mod status;
mod wait;
mod watch;

pub use apply::ApplyError;
pub use args::{Cli, Command, LogFormat, RunArgs, WaitArgs};
pub use cache::Cache;
pub use manager::ManagerError;
pub use metrics::Metrics;
pub use operator::run;
pub use reconcile::{Context, MayAct, ReconcileError, reconcile, stream_jobs};
pub use rest::RestError;
pub use wait::wait;
