//! Few changes need not be put into the database for a snapshot of its files: they are files of
//! their own beside those, and whoever restores takes them in.
//!
//! To put a file into a database and to link what it has then costs some ten milliseconds, most of
//! which is making durable what nobody needs so, and the more the more files there are. A file
//! beside takes a fraction of one. It never changes and stays in later snapshots, until all that
//! lies beside is no longer little.

use std::path::PathBuf;

use weir_state::{FileSnapshot, SnapshotFile};
use weir_types::{ExecutionAttemptId, hash_bytes};

/// So many bytes of changes are few beside files of so many bytes, and stay in memory: at most half
/// of what the files have, or next to nothing.
pub(crate) fn few(files: u64) -> u64 {
    const FEW: u64 = 2 << 20;
    const NOTHING: u64 = 8 << 10;
    (files / 2).clamp(NOTHING, FEW)
}

/// So many times changes are laid beside those that lie there. Then one file takes the place of
/// all.
pub(crate) const TIMES_MAX: u32 = 12;

/// So many times if a checkpoint has none of them yet: its first snapshot is written ahead, if any
/// is, and has the time to make one file of all, which those behind it have not.
pub(crate) const TIMES_FIRST: u32 = 6;

/// How their names begin. A Weir that knows no such files refuses the checkpoint because of the
/// equals sign, and does not restore it without them.
const PREFIX: &str = "beside=";

/// How the names of a state's files begin: its own may have characters that those have not.
fn prefix(state: &str) -> String {
    format!("{PREFIX}{:016x}-", hash_bytes(state.as_bytes()))
}

/// The name of a state's next file, which no other file of the job has.
pub(crate) fn file_name(state: &str, attempt: ExecutionAttemptId, number: u64) -> String {
    let (prefix, epoch, attempt) = (prefix(state), attempt.epoch.0, attempt.attempt.0);
    format!("{prefix}{epoch}-{attempt}-{number}")
}

/// Whether it is one of these files, and none of the database's.
pub(crate) fn is_beside(file: &SnapshotFile) -> bool {
    file.name.starts_with(PREFIX)
}

/// The files with a state's changes in a snapshot: of two with the same key the later one counts.
pub(crate) fn find(snapshot: &FileSnapshot, state: &str) -> Vec<PathBuf> {
    let prefix = prefix(state);
    let files = snapshot.files.iter();
    let files = files.filter(|file| file.name.starts_with(&prefix));
    files.map(|file| snapshot.folder.join(&file.name)).collect()
}
