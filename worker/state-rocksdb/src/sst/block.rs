//! A block of entries: each key without what it shares with the one before, but for one in
//! [`RESTART`], which is whole and whose place stands at the block's end, for binary search.
//!
//! ```text
//! entry ... entry | offset of each whole key (u32) | number of those (u32)
//! entry: shared bytes, other bytes, bytes of the value (varints) | other bytes | value
//! ```

use std::io;

/// In blocks of data every so many-th key is whole. RocksDB's default.
pub(super) const RESTART: usize = 16;

/// The block while it is written.
#[derive(Debug)]
pub(super) struct Block {
    bytes: Vec<u8>,
    restarts: Vec<u32>,
    /// Entries from one whole key to the next.
    interval: usize,
    /// Entries since the last whole key.
    since: usize,
    /// The last key, without what stands behind it.
    last: Vec<u8>,
}

impl Block {
    pub(super) fn new(interval: usize) -> Self {
        Self {
            bytes: Vec::new(),
            restarts: Vec::new(),
            interval,
            since: interval,
            last: Vec::new(),
        }
    }

    /// Adds an entry; in the block its key has `behind` at its end. One that is not larger than
    /// the one before is refused.
    #[inline]
    pub(super) fn add(&mut self, key: &[u8], behind: &[u8], value: &[u8]) -> io::Result<()> {
        let mut shared = common(&self.last, key);
        if key.get(shared) <= self.last.get(shared) && !self.is_empty() {
            return Err(disorder());
        }
        if self.since < self.interval {
            self.since += 1;
        } else {
            self.since = 1;
            shared = 0;
            self.restarts.push(number(self.bytes.len()));
        }
        let other = key.get(shared..).unwrap_or_default();
        put_varint(&mut self.bytes, shared as u64);
        put_varint(&mut self.bytes, (other.len() + behind.len()) as u64);
        put_varint(&mut self.bytes, value.len() as u64);
        self.bytes.extend_from_slice(other);
        self.bytes.extend_from_slice(behind);
        self.bytes.extend_from_slice(value);
        self.last.truncate(shared);
        self.last.extend_from_slice(other);
        Ok(())
    }

    /// What it takes, or about so.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() + 4 * self.restarts.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The key that was added last.
    pub(super) fn last(&self) -> &[u8] {
        &self.last
    }

    /// The whole block. It is to be cleared before anything is added.
    pub(super) fn finish(&mut self) -> &[u8] {
        if self.restarts.is_empty() {
            self.restarts.push(0);
        }
        for restart in &self.restarts {
            self.bytes.extend_from_slice(&restart.to_le_bytes());
        }
        let restarts = number(self.restarts.len());
        self.bytes.extend_from_slice(&restarts.to_le_bytes());
        &self.bytes
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.restarts.clear();
        self.since = self.interval;
        self.last.clear();
    }
}

#[cold]
pub(super) fn disorder() -> io::Error {
    let kind = io::ErrorKind::InvalidInput;
    io::Error::new(kind, "a key is not larger than the one before it")
}

/// How many bytes two keys begin with alike.
#[inline]
pub(super) fn common(a: &[u8], b: &[u8]) -> usize {
    let words = a.chunks_exact(8).zip(b.chunks_exact(8));
    let mut same = 0;
    for (a, b) in words {
        let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
        let differ = word(a) ^ word(b);
        if differ != 0 {
            return same + (differ.trailing_zeros() / 8) as usize;
        }
        same += 8;
    }
    let rest = a[same..].iter().zip(&b[same..]);
    same + rest.take_while(|(a, b)| a == b).count()
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
#[inline]
pub(super) fn put_varint(into: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        into.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    into.push(number.to_le_bytes()[0]);
}

/// Blocks and files are far smaller than 4 GiB, but for a single entry that large.
fn number(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keys_begin_with_alike_is_told_at_any_length() {
        let text = b"0123456789abcdefghij";
        for len in 0..text.len() {
            assert_eq!(common(text, &text[..len]), len);
            let mut other = text.to_vec();
            other[len] ^= 0x80;
            assert_eq!(common(text, &other), len);
            assert_eq!(common(&other[..=len], text), len);
        }
    }

    #[test]
    fn numbers_take_a_byte_for_seven_bits() {
        let written = |number| {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, number);
            bytes
        };
        assert_eq!(written(0), [0]);
        assert_eq!(written(127), [127]);
        assert_eq!(written(128), [0x80, 1]);
        assert_eq!(written(300), [0xac, 2]);
        assert_eq!(written(u64::MAX).len(), 10);
    }

    #[test]
    fn every_second_key_is_whole_where_it_is_asked_so() {
        let mut block = Block::new(2);
        assert!(block.is_empty());
        for (key, value) in [("aa", "1"), ("ab", "2"), ("abc", "3")] {
            block.add(key.as_bytes(), b"!", value.as_bytes()).unwrap();
        }
        for key in ["abc", "abb", "ab", ""] {
            assert!(block.add(key.as_bytes(), b"!", b"4").is_err(), "{key}");
        }
        assert_eq!(block.last(), b"abc");
        let want = [
            &[0, 3, 1][..],
            b"aa!1",
            &[1, 2, 1],
            b"b!2",
            &[0, 4, 1],
            b"abc!3",
            &[0, 0, 0, 0, 13, 0, 0, 0, 2, 0, 0, 0],
        ];
        assert_eq!(block.finish(), want.concat());
        block.clear();
        assert!(block.is_empty() && block.last().is_empty());
    }
}
