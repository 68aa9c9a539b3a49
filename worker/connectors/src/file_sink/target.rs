//! Where part files go, as the writer sees it: a folder, or a place in a bucket.

use std::io::{self, Write};
use std::path::PathBuf;

use weir_types::ExecutionAttemptId;

use super::Options;
use super::bucket::Bucket;
use super::error::FileSinkError;
use super::folder::{self, Folder};
use super::handle::Handle;

/// A place for part files.
pub(super) trait Target: Send {
    /// Makes it ready for a fresh run: refuses it, or empties it of old part files. Nothing is
    /// removed if the run is refused. A restored job finds its own files there: they stay.
    fn check(&self, restored: bool, overwrite: bool) -> Result<(), FileSinkError>;

    /// Called once before parts are written.
    fn open(&mut self) -> Result<(), FileSinkError>;

    /// Removes what older attempts of the former subtasks that this one continues have left
    /// unfinished. Nothing that a checkpoint holds is among it: that has been published before.
    fn remove_leftovers(
        &self,
        attempt: &ExecutionAttemptId,
        parallelism: u32,
    ) -> Result<(), FileSinkError>;

    /// Begins a part that nobody takes for a result yet.
    fn begin(&self, name: &str) -> Result<Box<dyn Part>, FileSinkError>;

    /// Brings the names of parts that were finished to where they last.
    fn sync(&self) -> Result<(), FileSinkError> {
        Ok(())
    }

    /// Gives a finished part its final name. Doing it again is harmless.
    fn publish(&self, handle: &Handle) -> Result<(), FileSinkError>;

    /// Removes the published parts of these attempts.
    fn withdraw(&self, attempts: &[ExecutionAttemptId]) -> Result<(), FileSinkError>;

    /// Removes a part that was prepared, published or not.
    fn unpublish(&self, handle: &Handle) -> Result<(), FileSinkError>;

    /// Removes a finished part that was not published.
    fn discard(&self, handle: &Handle) -> Result<(), FileSinkError>;
}

/// A part while it is written. Dropped before it is finished, it is removed.
pub(super) trait Part: Write + Send {
    /// Where it lies, for people.
    fn path(&self) -> PathBuf;

    /// How many bytes it has.
    fn bytes(&self) -> u64;

    /// Brings all to where it lasts.
    fn finish(self: Box<Self>) -> io::Result<Handle>;
}

/// The place that the user named. No I/O yet.
pub(super) fn of(options: &Options) -> Result<Box<dyn Target>, FileSinkError> {
    #[cfg(test)]
    if let Some(store) = &options.store {
        return Ok(Box::new(Bucket::new(std::sync::Arc::clone(store))));
    }
    match options.place.to_str() {
        Some(address) if address.starts_with("s3://") => {
            Ok(Box::new(Bucket::open(address, &options.configuration)?))
        }
        _ => Ok(Box::new(Folder::new(folder::local(&options.place)?))),
    }
}
