//! File, socket, datagen, collection, print and blackhole sources and sinks.
//!
//! Each connector is a plain builder that implements [`weir_stream::source::Source`] or
//! [`weir_stream::sink::Sink`]. The builders do no I/O: enumerators look at the outside on the
//! JobManager, readers and writers in their subtask. Nothing here knows how jobs are scheduled, nor
//! any other connector.
//!
//! Sources: [`FileSource`], [`SocketSource`], [`DatagenSource`], [`CollectionSource`].
//! Sinks: [`FileSink`], [`PrintSink`], [`BlackholeSink`], [`CollectSink`].

#![warn(missing_docs)]

mod bad_records;
mod blackhole;
mod collect;
mod collection;
mod datagen;
mod encoding;
mod file_sink;
mod file_source;
mod line_decoder;
mod print;
mod schedule;
mod socket;
mod split_queue;
#[cfg(test)]
mod testing;

pub use bad_records::{BadRecordReason, BadRecords, ParseBadRecordsError};
pub use blackhole::{BlackholeSink, BlackholeWriter};
pub use collect::{CollectSink, CollectWriter};
pub use collection::{CollectionReader, CollectionSource};
pub use datagen::{DatagenError, DatagenReader, DatagenSource};
pub use encoding::EncodingError;
pub use file_sink::{FileSink, FileSinkError, FileWriter};
pub use file_source::{FileReader, FileSource, FileSourceError};
pub use print::{PrintError, PrintSink, PrintWriter};
pub use socket::{SocketError, SocketReader, SocketSource};
