//! A range of a file, and how files are cut into ranges. Pure.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The least that a default split has: below that, handing it out costs more than it saves.
const SPLIT_BYTES_MIN: u64 = 1024 * 1024;

/// The most that a default split has.
const SPLIT_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// How many default splits a reader gets, so that all readers end at about the same time.
const SPLITS_PER_READER: u64 = 4;

/// The lines of a file that begin at `start` or after it, and before `end`. What is left of a
/// split after some lines is a split again: that is what a checkpoint keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileSplit {
    /// A path need not be UTF-8, so its bytes are kept.
    path: Vec<u8>,
    pub(super) start: u64,
    pub(super) end: u64,
}

impl FileSplit {
    pub(super) fn new(path: &Path, start: u64, end: u64) -> Self {
        let path = path.as_os_str().as_bytes().to_vec();
        Self { path, start, end }
    }

    pub(super) fn path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.path))
    }

    /// What is left after everything before `position` is read.
    pub(super) fn rest(&self, position: u64) -> Self {
        Self {
            start: position,
            ..self.clone()
        }
    }
}

/// How large splits are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CutRule {
    /// A file cannot be cut.
    WholeFiles,
    /// The user's own size.
    AtMost(u64),
    /// One reader's share of the input: for readers that keep a common pace.
    EqualShares,
    /// So that readers of unequal speed end together.
    BySize,
}

/// Cuts files into splits. Empty files have none.
pub(super) fn cut(files: &[(PathBuf, u64)], rule: CutRule, parallelism: u32) -> Vec<FileSplit> {
    let total: u64 = files.iter().map(|(_, size)| size).sum();
    let readers = u64::from(parallelism.max(1));
    let target = match rule {
        CutRule::WholeFiles => u64::MAX,
        CutRule::AtMost(bytes) => bytes.max(1),
        CutRule::EqualShares => total.div_ceil(readers).max(1),
        CutRule::BySize => {
            (total / (readers * SPLITS_PER_READER)).clamp(SPLIT_BYTES_MIN, SPLIT_BYTES_MAX)
        }
    };
    let mut splits = Vec::new();
    for (path, size) in files {
        // Pieces of equal size: no small rest at the end.
        let pieces = size.div_ceil(target);
        let bound = |piece: u64| {
            let bound = u128::from(*size) * u128::from(piece) / u128::from(pieces);
            u64::try_from(bound).expect("a part is no larger than the whole")
        };
        splits.extend((0..pieces).map(|i| FileSplit::new(path, bound(i), bound(i + 1))));
    }
    splits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rules() -> impl Strategy<Value = CutRule> {
        prop_oneof![
            Just(CutRule::WholeFiles),
            (1u64..1 << 40).prop_map(CutRule::AtMost),
            Just(CutRule::EqualShares),
            Just(CutRule::BySize),
        ]
    }

    proptest! {
        #[test]
        fn splits_cover_each_file_once_and_in_order(
            sizes in prop::collection::vec(0u64..1 << 42, 0..5), rule in rules(), readers in 1u32..9,
        ) {
            // A small target on a huge file would make more splits than a test has time for.
            let rule = match rule {
                CutRule::AtMost(bytes) => CutRule::AtMost(bytes.max(1 << 30)),
                rule => rule,
            };
            let files: Vec<_> =
                sizes.iter().enumerate().map(|(i, size)| (format!("f{i}").into(), *size)).collect();
            let splits = cut(&files, rule, readers);
            for (path, size) in &files {
                let mut position = 0;
                for split in splits.iter().filter(|split| split.path() == path) {
                    prop_assert_eq!(split.start, position);
                    prop_assert!(split.end > split.start);
                    position = split.end;
                }
                prop_assert_eq!(position, *size);
            }
        }
    }

    fn count(sizes: &[u64], rule: CutRule, readers: u32) -> usize {
        let files: Vec<_> = sizes
            .iter()
            .map(|size| (PathBuf::from("f"), *size))
            .collect();
        cut(&files, rule, readers).len()
    }

    #[test]
    fn a_large_file_keeps_all_readers_busy_and_a_small_one_is_left_whole() {
        const MIB: u64 = 1024 * 1024;
        assert_eq!(count(&[16 * MIB], CutRule::BySize, 2), 8);
        assert_eq!(count(&[10_000 * MIB], CutRule::BySize, 2), 313);
        assert_eq!(count(&[MIB], CutRule::BySize, 2), 1);
        assert_eq!(count(&[0, 5], CutRule::BySize, 2), 1);
        assert_eq!(count(&[100], CutRule::EqualShares, 3), 3);
        assert_eq!(count(&[100, 100], CutRule::WholeFiles, 3), 2);
    }
}
