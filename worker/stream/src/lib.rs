//! Dataflow operators, sources and sinks: what happens to records, and nothing about where they
//! come from or who schedules the work.
//!
//! Reading order: [`Batch`] is what flows; [`Operator`] is what it flows through; [`Output`] is
//! where an operator puts its results; [`source`] is where records begin and [`sink`] where they
//! end; [`factory`] is how a process makes its own copy of each of them. [`harness`] drives an
//! operator in a test.

mod batch;
mod collector;
mod data;
mod error;
pub mod factory;
pub mod metrics;
mod operator;
pub mod partition;
pub mod sink;
pub mod source;

pub use batch::{Batch, BatchCodec, CHUNK_BYTES, CHUNK_ROWS};
pub use collector::{Collector, Emitter};
pub use data::Data;
pub use error::{BoxError, OperatorError, SuppressRestarts};
pub use operator::{
    Commit, Control, Operator, OperatorContext, OperatorSnapshot, Output, SideOutputId,
    SnapshotRequest,
};

pub mod harness;
mod keyed_runtime;
pub mod operator_state;
pub mod ops;
mod side_output;
pub mod watermark_valve;
pub mod window;

pub use keyed_runtime::TimeDomain;
pub use side_output::OutputTag;
