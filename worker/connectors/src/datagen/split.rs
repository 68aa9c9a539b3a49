//! The indices that one reader makes. Pure.

use serde::{Deserialize, Serialize};

/// How many indices in a row a reader makes.
pub(super) const BLOCK: u64 = 1000;

/// The indices from `next` on that one reader makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IndexSplit {
    pub(super) next: u64,
    /// Of how many blocks one belongs to the split.
    pub(super) stride: u64,
    pub(super) end: u64,
    /// When record 0 is due; `None` once the split was under way when it was written.
    pub(super) start_ms: Option<i64>,
}

impl IndexSplit {
    /// Which of the `stride` splits it is, from 0: its blocks' number modulo their stride.
    pub(super) fn lane(&self) -> u64 {
        self.next / BLOCK % self.stride
    }

    pub(super) fn is_done(&self) -> bool {
        self.next >= self.end
    }

    /// Where the run of indices from `next` on ends.
    pub(super) fn run_end(&self) -> u64 {
        (self.next / BLOCK)
            .saturating_add(1)
            .saturating_mul(BLOCK)
            .min(self.end)
    }

    /// All before `until`, which lies in the run or ends it, is done.
    pub(super) fn advance(&mut self, until: u64) {
        self.next = until;
        if until.is_multiple_of(BLOCK) {
            self.next = until.saturating_add((self.stride - 1).saturating_mul(BLOCK));
        }
    }
}
