//! Few changes need not be put into the database for a snapshot of its files: they are files of
//! their own beside those, and whoever restores takes them in.
//!
//! To put a file into a database and to link what it has then costs some ten milliseconds, most of
//! which is making durable what nobody needs so, and the more the more files there are. A file
//! beside takes a fraction of one.

use std::path::PathBuf;

use weir_state::FileSnapshot;
use weir_types::hash_bytes;

/// So many bytes of changes are few beside files of so many bytes. They stay in memory, and are in
/// each snapshot until there are more: at most half of what the files have, or next to nothing.
pub(crate) fn few(files: u64) -> u64 {
    const FEW: u64 = 1 << 20;
    const NOTHING: u64 = 8 << 10;
    (files / 2).clamp(NOTHING, FEW)
}

/// When so many bytes have been written beside the same files, again and again, the changes go into
/// the database although they are few.
pub(crate) const OFTEN_BYTES: u64 = 4 << 20;

/// How their names begin. A Weir that knows no such files refuses the checkpoint because of the
/// equals sign, and does not restore it without them.
const PREFIX: &str = "beside=";

/// How the names of a state's files begin: its own may have characters that those have not.
fn prefix(state: &str) -> String {
    format!("{PREFIX}{:016x}-", hash_bytes(state.as_bytes()))
}

/// The file of a state. Its number is another one for each snapshot: of several in a row with the
/// same number of a checkpoint somebody may still read the one before.
pub(crate) fn file_name(state: &str, number: u64) -> String {
    format!("{}{number}", prefix(state))
}

/// Whether it is one of these files, and none of the database's.
pub(crate) fn is_beside(file: &str) -> bool {
    file.starts_with(PREFIX)
}

/// The file with a state's changes in a snapshot, if there are any.
pub(crate) fn find(snapshot: &FileSnapshot, state: &str) -> Option<PathBuf> {
    let prefix = prefix(state);
    let mut files = snapshot.files.iter();
    let file = files.find(|file| file.name.starts_with(&prefix))?;
    Some(snapshot.folder.join(&file.name))
}
