//! What a shard knows of entries that are not in memory.
//!
//! The tier below may still hold an entry that was removed: its removal is written with the next
//! spill, and that is written by another thread. Until then the shard remembers the key, so that
//! the entry does not come back.

use std::collections::HashSet;

use crate::table::record::Write;

#[derive(Debug, Default)]
pub(crate) struct Partial {
    /// Encoded keys that were removed since the latest freeze.
    removed: HashSet<Box<[u8]>>,
    /// The same from before it: being written.
    written_soon: HashSet<Box<[u8]>>,
    key_bytes: usize,
}

impl Partial {
    /// Notes a removed key. One that cannot be written is reported by whoever notes the removal for
    /// the next spill.
    pub(crate) fn remove(&mut self, key: impl Write) {
        let mut bytes = Vec::new();
        if key(&mut bytes).is_ok() {
            let len = bytes.len();
            if self.removed.insert(bytes.into_boxed_slice()) {
                self.key_bytes += len;
            }
        }
    }

    /// Whether what the tier below says of a key is out of date: it is gone.
    pub(crate) fn is_removed(&self, key: &[u8]) -> bool {
        self.removed.contains(key) || self.written_soon.contains(key)
    }

    /// The removals so far are on their way.
    pub(crate) fn freeze(&mut self) {
        self.written_soon.extend(self.removed.drain());
    }

    /// What was frozen has arrived below.
    pub(crate) fn written(&mut self) {
        self.written_soon = HashSet::new();
        self.key_bytes = self.removed.iter().map(|key| key.len()).sum();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.written_soon.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        /// A cell of the set and the allocator's share of the key.
        const KEY_COST: usize = 40;
        let keys = self.removed.len() + self.written_soon.len();
        size_of::<Self>() + self.key_bytes + keys * KEY_COST
    }
}
