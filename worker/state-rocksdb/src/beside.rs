//! Few changes need not be put into the database for a snapshot of its files: they are files of
//! their own beside those, and whoever restores takes them in.
//!
//! To put a file into a database and to link what it has then costs some ten milliseconds, most of
//! which is making durable what nobody needs so, and the more the more files there are. A file
//! beside takes a fraction of one. It never changes and stays in later snapshots, until all that
//! lies beside is no longer little, or until one file takes the place of it and later ones.

use std::path::PathBuf;

use weir_state::{FileSnapshot, SnapshotFile};
use weir_types::{ExecutionAttemptId, hash_bytes};

use crate::changes::Changes;

/// So many bytes are few: to write them again holds nobody up.
const FEW: usize = 2 << 20;

/// How many bytes may lie beside a database's files. They stay in memory, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// If nothing is written ahead: at most half of what the files have, or next to nothing.
    pub(crate) few: usize,
    /// If there is time to put them into the database before a barrier.
    pub(crate) many: usize,
}

impl Room {
    /// Beside files of so many bytes, in so much memory.
    pub(crate) fn new(files: u64, memory: usize) -> Self {
        const NOTHING: usize = 8 << 10;
        let files = usize::try_from(files).unwrap_or(usize::MAX);
        let few = (files / 2).clamp(NOTHING, FEW);
        let many = few.max(memory.min(files / 16));
        Self { few, many }
    }
}

/// So many files lie beside a database's; one more takes the place of the latest of them.
const TIMES_MAX: usize = 12;

/// So many if a checkpoint has none of them yet: its first snapshot is written ahead, if any is,
/// and has the time that those behind it have not.
const TIMES_FIRST: usize = 6;

/// What lies beside the files that are linked.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    /// Later ones last.
    laid: Vec<Laid>,
}

/// Changes that were laid beside at one time, and the names of their files, one for each state.
#[derive(Debug)]
pub(crate) struct Laid {
    pub(crate) changes: Changes,
    pub(crate) files: Vec<String>,
}

impl Beside {
    pub(crate) fn bytes(&self) -> usize {
        self.laid.iter().map(|laid| laid.changes.bytes()).sum()
    }

    pub(crate) fn push(&mut self, laid: Laid) {
        self.laid.push(laid);
    }

    /// All, and nothing lies beside any more.
    pub(crate) fn take(&mut self) -> Changes {
        self.take_last(self.laid.len()).changes
    }

    /// The latest, which are to be in one file with so many bytes that come behind them.
    /// `is_first`: none of the same checkpoint are among them.
    pub(crate) fn take_small(&mut self, behind: usize, is_first: bool) -> Laid {
        let (mut bytes, mut taken) = (behind, 0);
        let most = if is_first { TIMES_FIRST } else { TIMES_MAX };
        let are_many = self.laid.len() >= most;
        for laid in self.laid.iter().rev() {
            let own = laid.changes.bytes();
            // Each change is written again a few times at most, as what it is written with has
            // twice the bytes at least.
            let is_small = is_first && own.saturating_mul(2) <= bytes;
            let is_quick = are_many && bytes + own <= FEW;
            if !is_small && !is_quick {
                break;
            }
            (bytes, taken) = (bytes + own, taken + 1);
        }
        self.take_last(taken)
    }

    fn take_last(&mut self, count: usize) -> Laid {
        let mut all = Laid {
            changes: Changes::default(),
            files: Vec::new(),
        };
        for laid in self.laid.drain(self.laid.len() - count..) {
            all.changes.append(laid.changes);
            all.files.extend(laid.files);
        }
        all
    }
}

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

#[cfg(test)]
mod tests {
    use weir_state::{ColdBatch, ColdStateId, GroupBlock};
    use weir_types::KeyGroup;

    use super::*;

    const KB: usize = 1 << 10;
    const MB: usize = 1 << 20;

    fn changes(bytes: usize) -> Changes {
        let block = GroupBlock {
            group: KeyGroup(1),
            bytes: vec![0; bytes],
        };
        let mut changes = Changes::default();
        changes.add(ColdBatch {
            state: ColdStateId(0),
            blocks: vec![block],
        });
        changes
    }

    fn beside(sizes: &[usize]) -> Beside {
        let mut beside = Beside::default();
        for (nth, bytes) in sizes.iter().enumerate() {
            beside.push(Laid {
                changes: changes(*bytes),
                files: vec![nth.to_string()],
            });
        }
        beside
    }

    #[test]
    fn much_lies_beside_where_files_and_memory_are_large_and_little_elsewhere() {
        let room = |files: usize, memory| {
            let Room { few, many } = Room::new(files as u64, memory);
            (few, many)
        };
        assert_eq!(room(0, 100 * MB), (8 * KB, 8 * KB));
        assert_eq!(room(MB, 100 * MB), (MB / 2, MB / 2));
        assert_eq!(room(32 * MB, 100 * MB), (2 * MB, 2 * MB));
        assert_eq!(room(320 * MB, 100 * MB), (2 * MB, 20 * MB));
        assert_eq!(room(32_000 * MB, 100 * MB), (2 * MB, 100 * MB));
        assert_eq!(room(32_000 * MB, MB), (2 * MB, 2 * MB));
    }

    #[test]
    fn a_first_file_takes_the_place_of_the_small_ones_and_not_of_one_like_itself() {
        let mut beside = beside(&[20 * MB, 4 * MB, MB, 200 * KB, 60 * KB]);
        let small = beside.take_small(16 * MB, true);
        assert_eq!(small.files, ["1", "2", "3", "4"]);
        assert_eq!(small.changes.bytes(), 5 * MB + 260 * KB);
        assert_eq!(beside.bytes(), 20 * MB);
        assert_eq!(beside.take_small(16 * MB, true).files, [""; 0]);
    }

    #[test]
    fn a_later_file_takes_no_place_until_there_are_many_and_then_of_what_is_quickly_written() {
        let mut sizes = vec![20 * MB, 3 * MB];
        sizes.extend([100 * KB; 9]);
        assert_eq!(beside(&sizes).take_small(MB, false).files, [""; 0]);
        sizes.push(100 * KB);
        let mut many = beside(&sizes);
        assert_eq!(many.take_small(MB, false).files.len(), 10);
        assert_eq!(many.bytes(), 23 * MB);
        assert_eq!(beside(&[9 * MB; 40]).take_small(MB, false).files, [""; 0]);
    }

    #[test]
    fn the_first_files_of_checkpoints_that_change_little_are_six_at_most() {
        let mut beside = Beside::default();
        for nth in 0..100_usize {
            let mut laid = beside.take_small(10 * KB, true);
            laid.changes.append(changes(10 * KB));
            laid.files = vec![nth.to_string()];
            beside.push(laid);
            assert!(beside.laid.len() <= 6);
        }
        assert_eq!(beside.bytes(), 1000 * KB);
        assert_eq!(beside.take().bytes(), 1000 * KB);
        assert_eq!(beside.bytes(), 0);
    }
}
