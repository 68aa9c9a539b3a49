//! The DataStream API: a typed program becomes a `StreamGraph` and, beside it, the factories of
//! its operators.
//!
//! ```
//! use weir_api::{Args, StreamEnv};
//!
//! fn word_lengths(env: &mut StreamEnv, _args: &Args) -> Result<(), weir_api::BoxError> {
//!     env.from_collection(vec!["to".to_owned(), "be".to_owned()])
//!         .map(|word| word.len())
//!         .key_by(|length| *length)
//!         .reduce(|sum, length| sum + length)
//!         .print();
//!     Ok(())
//! }
//! ```
//!
//! Nothing runs while a program is being built, and building must not read clocks, random numbers
//! or files: every process of a job builds the same graph from the same program and arguments, and
//! a deployment is refused where they differ.

mod args;
mod connected_streams;
mod data_stream;
mod env;
mod keyed_stream;
mod node;
mod sinks;
mod windowed_stream;

pub use args::{Args, ArgsError};
pub use connected_streams::{BroadcastStream, ConnectedStreams, KeyedConnectedStreams};
pub use data_stream::DataStream;
pub use env::{BuiltProgram, EnvSettings, StreamEnv};
pub use keyed_stream::KeyedStream;
pub use sinks::DataStreamSink;
pub use weir_stream::{BoxError, Data};
pub use windowed_stream::WindowedStream;

/// A registered program: builds its graph in the environment.
pub type ProgramFn = fn(&mut StreamEnv, &Args) -> Result<(), BoxError>;
