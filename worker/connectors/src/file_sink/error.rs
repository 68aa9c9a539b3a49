//! What can go wrong while part files are written and published.

use std::io;
use std::path::PathBuf;

use weir_storage::{OptionError, StoreError};
use weir_stream::{BoxError, SuppressRestarts};

use crate::EncodingError;

/// A file sink could not go on.
#[derive(Debug, thiserror::Error)]
pub enum FileSinkError {
    /// The path exists, but is no folder.
    #[error("{} is not a folder", path.display())]
    NotAFolder {
        /// Which path.
        path: PathBuf,
    },
    /// A URI of a scheme other than `file` and `s3`.
    #[error("only folders and `s3://bucket/prefix` can be written, not {}", path.display())]
    NoPlace {
        /// Which path.
        path: PathBuf,
    },
    /// The folder holds the results of another run.
    #[error(
        "{} holds finished part files of another run, for example {example}: give \
         `overwrite=true` to replace them, or another folder",
        folder.display()
    )]
    HoldsResults {
        /// Which folder.
        folder: PathBuf,
        /// One of them.
        example: String,
    },
    /// Another run writes there at this moment.
    #[error("another job writes to {} now: wait for it, or give another folder", folder.display())]
    InUse {
        /// Which folder.
        folder: PathBuf,
    },
    /// The folder cannot be created.
    #[error("create the folder {}", path.display())]
    CreateFolder {
        /// Which folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder cannot be read.
    #[error("list the folder {}", path.display())]
    ListFolder {
        /// Which folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder's entries cannot be brought to the disk.
    #[error("sync the folder {}", path.display())]
    SyncFolder {
        /// Which folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An old file cannot be removed.
    #[error("remove {}", path.display())]
    Remove {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A part file cannot be created.
    #[error("create {}", path.display())]
    Create {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something else writes a file of that name.
    #[error(
        "{} exists already: does another sink of this job write to the same folder? Give each one \
         a folder of its own",
        path.display()
    )]
    Taken {
        /// Which file.
        path: PathBuf,
    },
    /// Something else has published a file of that name.
    #[error(
        "publish {}: another file has that name, which this job has not written; move it away, \
         see that nothing else writes there, and start the job again from its newest checkpoint",
        path.display()
    )]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// A part file cannot be written: the disk is full, for example.
    #[error("write to {}", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A record has no form in the format.
    #[error("write a record as {format} to {}: {reason}", path.display())]
    Encode {
        /// `CSV` or `JSON`.
        format: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A part file cannot get its final name.
    #[error("publish {}", path.display())]
    Publish {
        /// The final name.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A prepared file, or the one it became, has another content than the checkpoint says.
    #[error(
        "publish {}: it has {size} bytes with checksum {checksum:016x}, but {want_size} bytes with \
         checksum {want_checksum:016x} were prepared: did something else change it? Put the \
         original back, or start the job again from an older checkpoint with another output",
        path.display()
    )]
    Changed {
        /// Which file.
        path: PathBuf,
        /// What it has.
        size: u64,
        /// What it has.
        checksum: u64,
        /// What was prepared.
        want_size: u64,
        /// What was prepared.
        want_checksum: u64,
    },
    /// A checkpoint names a file that this sink cannot have written.
    #[error("publish a part file to {}: `{name}` is no name of a part file", folder.display())]
    ForeignName {
        /// The sink's folder.
        folder: PathBuf,
        /// The name.
        name: String,
    },
    /// Someone removed a file before it was published.
    #[error(
        "publish {}: its contents in {} are gone: put one of the two back, or start the job again \
         from an older checkpoint with another output",
        path.display(), in_progress.display()
    )]
    Vanished {
        /// The final name.
        path: PathBuf,
        /// Where the contents were.
        in_progress: PathBuf,
    },
    /// Neither an object nor the upload that it was to be made of is there.
    #[error(
        "publish {}: neither it nor its upload is there: put the object back if something moved it, \
         and see that no lifecycle rule of the bucket aborts uploads before the job commits them; \
         or start the job again from an older checkpoint with another output",
        path.display()
    )]
    UploadGone {
        /// The object.
        path: PathBuf,
    },
    /// The job was restored with another kind of output.
    #[error(
        "publish to {}: the checkpoint holds results that lie in {was}: start the job with the \
         output that the checkpoint was taken with",
        folder.display()
    )]
    OtherPlace {
        /// The output now.
        folder: PathBuf,
        /// What the output was.
        was: &'static str,
    },
    /// A bucket cannot be reached, written or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The options of a bucket make no sense.
    #[error(transparent)]
    Options(#[from] OptionError),
    /// What a checkpoint holds cannot be read.
    #[error(transparent)]
    Encoding(#[from] EncodingError),
}

impl FileSinkError {
    /// As the runtime is told: where only a person can help, trying again is of no use.
    pub(super) fn tell(self) -> BoxError {
        match self {
            Self::NoPlace { .. }
            | Self::HoldsResults { .. }
            | Self::Taken { .. }
            | Self::Exists { .. }
            | Self::Changed { .. }
            | Self::ForeignName { .. }
            | Self::Vanished { .. }
            | Self::UploadGone { .. }
            | Self::OtherPlace { .. }
            | Self::Options(_)
            | Self::Encoding(_) => SuppressRestarts::new(self).into(),
            passing => passing.into(),
        }
    }
}
