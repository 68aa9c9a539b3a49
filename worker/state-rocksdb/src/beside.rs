//! Few changes need not be put into the database for a snapshot of its files: they are files of
//! their own beside those, and whoever restores takes them in.
//!
//! To put a file into a database and to link what it has then costs some ten milliseconds, most of
//! which is making durable what nobody needs so, and the more the more files there are. A file
//! beside takes a fraction of one.

use std::path::{Path, PathBuf};

use weir_state::FileSnapshot;
use weir_types::hash_bytes;

/// So many bytes of changes are few. They stay in memory, and are in each snapshot until there are
/// more.
pub(crate) const FEW_BYTES: usize = 256 << 10;

/// How their names begin.
const PREFIX: &str = "beside-";

/// The file of a state, by its name, which may have characters that names of files have not.
pub(crate) fn file_name(state: &str) -> String {
    format!("{PREFIX}{:016x}", hash_bytes(state.as_bytes()))
}

/// Whether it is one of these files, and none of the database's.
pub(crate) fn is_beside(file: &str) -> bool {
    file.starts_with(PREFIX)
}

/// The file with a state's changes in a snapshot, if there are any.
pub(crate) fn find(snapshot: &FileSnapshot, state: &str) -> Option<PathBuf> {
    let name = file_name(state);
    let mut files = snapshot.files.iter();
    let there = files.any(|file| file.name == name);
    there.then(|| Path::new(&snapshot.folder).join(name))
}
