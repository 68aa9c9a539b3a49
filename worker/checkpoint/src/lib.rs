//! Checkpoints as pure data and pure state machines. Nothing here has a clock, a thread, a socket
//! or a file: events and the time go in, actions come out, and somebody else carries them out.
//!
//! - [`pointer`]: the one object that says which state of a job is its newest, and who may move it.
//! - [`claim`]: how a process becomes the one that may move the pointer.
//! - [`align`]: when a subtask has seen a barrier on all its channels.
//! - [`coordinator`]: when a checkpoint begins, what belongs to it, when it is complete.
//! - [`metadata`]: what a completed checkpoint says of itself.
//! - [`handle`]: what a subtask reports of its snapshot, and what a subtask is restored from.
//! - [`keyed_file`], [`blob`]: the bytes of keyed state, of operator state and of raw state.
//! - [`restore`]: who gets what of a checkpoint when a job starts from it.
//! - [`collector`]: which objects nothing needs any more.
//! - [`fsck`]: what a complete snapshot consists of.

#![warn(missing_docs)]

pub mod align;
pub mod blob;
pub mod claim;
pub mod collector;
pub mod coordinator;
mod envelope;
#[cfg(test)]
mod fixtures;
pub mod fsck;
pub mod handle;
pub mod keyed_file;
pub mod metadata;
pub mod pointer;
pub mod restore;

pub use envelope::EnvelopeError;

#[cfg(test)]
mod golden;
