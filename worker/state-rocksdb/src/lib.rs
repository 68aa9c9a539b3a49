//! RocksDB under the tables in memory (Flink's `RocksDBKeyedStateBackend`, but below a table
//! instead of in its place).
//!
//! Operators work with the tables of `weir-state`. This crate gives them a
//! [`ColdTier`](weir_state::ColdTier) of one RocksDB database per operator of a subtask: a column
//! family per state, written by a thread of its own and only through sorted files that RocksDB
//! takes in as they are, so that there is no write-ahead log and nothing to flush. A checkpoint is
//! a folder of hard links to the database's files, made in the order of the writes. Of a savepoint
//! the entries are copied into a file on the same disk, and come back as the files of another
//! database (`import`): neither way are they all in memory.
//!
//! The database is scratch: it lives in a local folder of one attempt, goes with it, and what a
//! killed process left is removed by the next attempt, or by the next process ([`ScratchFolder`]).
//! What must last is uploaded by somebody else.
//!
//! From the factory down: [`RocksDbFactory`] (memory of a slot, folders) → `restore` (a database
//! from the files of checkpoints) → `tier` (reads, and the way to the writer) → `writer` → `sst`
//! (the sorted files, in RocksDB's format). Few changes lie beside a snapshot's files (`beside`).

#![warn(missing_docs)]

mod beside;
mod changes;
mod error;
mod expiry;
mod factory;
mod folder;
mod import;
mod options;
mod removal;
mod rest;
mod restore;
mod scratch;
mod shared;
mod snapshot;
mod spill;
mod sst;
mod tier;
mod writer;

pub use factory::{ReadingHeapFactory, RocksDbFactory};
pub use options::{Profile, RocksDbOptions};
pub use scratch::ScratchFolder;
pub use tier::RocksDbTier;
