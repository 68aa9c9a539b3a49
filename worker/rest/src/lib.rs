//! REST: what people, the command line and dashboards ask the JobManager.
//!
//! Handlers ask the `DispatcherGateway` and convert its views to the [`dto`]s, whose field names
//! follow Flink's REST API where the thing is the same. No endpoint takes code or a file path, and
//! the only ones that change anything take a checkpoint or savepoint, stop a job or cancel it.
//!
//! The API is described by [`openapi::document`], checked in as `docs/openapi.json`.

#![warn(missing_docs)]

mod client;
mod convert;
pub mod dto;
mod metrics;
pub mod openapi;
mod operation;
mod server;

pub use client::{ClientError, RestClient};
pub use operation::{check_operation, new_operation};
pub use server::{RestListener, RestServer, ServeError};
