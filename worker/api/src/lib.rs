//! The DataStream API: a typed program becomes a `StreamGraph` and, beside it, the factories of
//! its operators.
//!
//! ```
//! use weir_api::{BoxError, DataStream};
//!
//! /// How many characters came in words of each length so far.
//! fn characters(words: DataStream<String>) -> DataStream<(usize, usize)> {
//!     words
//!         .map(|word| (word.len(), word.len()))
//!         .key_by(|(length, _)| *length)
//!         .reduce(|sum, next| sum.1 += next.1)
//! }
//! ```
//!
//! What cannot be a record or a key is refused by the compiler, with what to do instead:
//!
//! ```compile_fail,E0277
//! # use weir_api::DataStream;
//! struct Plain(u64);
//!
//! fn records(numbers: DataStream<u64>) -> DataStream<Plain> {
//!     numbers.map(Plain) // error: `Plain` cannot be a record
//! }
//! ```
//!
//! ```compile_fail,E0277
//! # use weir_api::DataStream;
//! fn by_price(prices: DataStream<f64>) -> DataStream<f64> {
//!     prices.key_by(|price| *price).reduce(|_, _| ()) // error: `f64` cannot be a key
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
pub use connected_streams::{
    BroadcastConnectedStreams, BroadcastStream, ConnectedStreams, KeyedBroadcastStreams,
    KeyedConnectedStreams,
};
pub use data_stream::DataStream;
pub use env::{BuiltProgram, EnvSettings, StreamEnv};
pub use keyed_stream::KeyedStream;
pub use sinks::DataStreamSink;
pub use weir_stream::{BoxError, Data};
pub use windowed_stream::WindowedStream;

/// A registered program: builds its graph in the environment.
pub type ProgramFn = fn(&mut StreamEnv, &Args) -> Result<(), BoxError>;
