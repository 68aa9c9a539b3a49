//! Applies the user's choice to a record that cannot be read.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use weir_stream::metrics::OperatorMetrics;

use super::FileSourceError;
use crate::bad_records::{BadRecordReason, BadRecords};

/// One per reader: what it was told to do, and where it counts.
pub(super) struct BadRecordHandler {
    choice: BadRecords,
    metrics: Arc<OperatorMetrics>,
    has_warned: bool,
}

impl BadRecordHandler {
    pub(super) fn new(choice: BadRecords, metrics: Arc<OperatorMetrics>) -> Self {
        Self {
            choice,
            metrics,
            has_warned: false,
        }
    }

    /// An error if the job is to fail; otherwise the caller leaves the record out.
    #[cold]
    pub(super) fn handle(
        &mut self,
        path: &Path,
        offset: u64,
        reason: BadRecordReason,
    ) -> Result<(), FileSourceError> {
        if self.choice == BadRecords::Skip {
            self.metrics.add_skipped_records(1);
            if self.has_warned {
                return Ok(());
            }
        }
        let line = line_at(path, offset).map_err(|source| FileSourceError::Read {
            path: path.to_owned(),
            offset,
            source,
        })?;
        let error = FileSourceError::BadRecord {
            path: path.to_owned(),
            line,
            offset,
            reason,
        };
        match self.choice {
            BadRecords::Fail => Err(error),
            BadRecords::Skip => {
                self.has_warned = true;
                tracing::warn!(%error, "skipped a bad record; further ones are only counted");
                Ok(())
            }
        }
    }
}

/// The number, from 1, of the line that holds the byte at `offset`.
fn line_at(path: &Path, offset: u64) -> io::Result<u64> {
    let mut before = File::open(path)?.take(offset);
    let mut block = vec![0; 256 * 1024];
    let mut line = 1;
    loop {
        match before.read(&mut block) {
            Ok(0) => return Ok(line),
            Ok(count) => line += memchr::memchr_iter(b'\n', &block[..count]).count() as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
