//! The hash that decides a key's key group.
//!
//! It is a **storage format**: state written under one hash can only be read under the same. So it
//! is our own, has a fixed seed, does not depend on the machine's byte order, and has test vectors.
//! A folded multiplication per word (as wyhash and foldhash do) makes it cheap: about a
//! nanosecond for an integer.

const SEED: u64 = 0x243F_6A88_85A3_08D3;
const MIX: u64 = 0x9E37_79B9_7F4A_7C15;
const FINAL: u64 = 0xD6E8_FEB8_6659_FD93;

#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    #[expect(clippy::cast_possible_truncation, reason = "the two halves are wanted")]
    {
        (product as u64) ^ ((product >> 64) as u64)
    }
}

/// The bytes after the last whole word, as a word in little-endian order.
///
/// Whatever their number, they are put together in registers: to copy them into a buffer and read
/// it back as a word costs as much as the whole hash, because the processor has to wait until all
/// the small writes are done.
#[inline]
fn tail(bytes: &[u8]) -> u64 {
    let rest = bytes.len() % 8;
    let bits = |at: usize| 8 * (at % 8);
    if rest == 0 {
        0
    } else if let Some(last) = bytes.last_chunk::<8>() {
        u64::from_le_bytes(*last) >> bits(8 - rest)
    } else if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        // Where the two overlap they agree.
        let last = u64::from(u32::from_le_bytes(*last));
        u64::from(u32::from_le_bytes(*first)) | last << bits(rest - 4)
    } else {
        let byte = |at: usize| u64::from(bytes[at]) << bits(at);
        byte(0) | byte(rest / 2) | byte(rest - 1)
    }
}

/// Streaming hasher over the canonical words of a key.
#[derive(Clone, Copy, Debug)]
pub struct KeyHasher {
    state: u64,
}

impl Default for KeyHasher {
    fn default() -> Self {
        Self::new()
    }
}

impl KeyHasher {
    /// A hasher that has seen nothing.
    #[inline]
    pub fn new() -> Self {
        Self { state: SEED }
    }

    /// Adds one word: any integer, zero-extended (signed ones sign-extended first).
    #[inline]
    pub fn write_u64(&mut self, word: u64) {
        self.state = fold(self.state ^ word, MIX);
    }

    /// Adds a byte string: its words in little-endian order, then the rest with its length.
    #[inline]
    pub fn write_bytes(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            let mut le = [0; 8];
            le.copy_from_slice(word);
            self.write_u64(u64::from_le_bytes(le));
        }
        self.state = fold(self.state ^ tail(bytes), FINAL);
        self.state ^= bytes.len() as u64;
    }

    /// The hash of what was written.
    #[inline]
    pub fn finish(&self) -> u64 {
        fold(self.state, FINAL)
    }
}

/// The hash of one byte string.
#[inline]
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hasher = KeyHasher::new();
    hasher.write_bytes(bytes);
    hasher.finish()
}

/// Two independent hashes, for ids and for checksums.
pub fn hash128(bytes: &[u8]) -> u128 {
    let mut hash = Hash128::new();
    hash.write(bytes);
    hash.finish()
}

/// [`hash128`] of what comes piece by piece.
///
/// Both hashes go over each word at the same time: each of their steps waits for the one before, so
/// that the second costs next to nothing.
#[derive(Clone, Copy, Debug)]
pub struct Hash128 {
    first: KeyHasher,
    second: KeyHasher,
    /// The bytes behind the last whole word, and how many they are.
    rest: ([u8; 8], usize),
    len: u64,
}

impl Default for Hash128 {
    fn default() -> Self {
        Self::new()
    }
}

impl Hash128 {
    /// A hasher that has seen nothing.
    pub fn new() -> Self {
        let mut second = KeyHasher::new();
        second.write_u64(MIX);
        Self {
            first: KeyHasher::new(),
            second,
            rest: ([0; 8], 0),
            len: 0,
        }
    }

    /// Adds bytes. How they are cut into pieces does not matter.
    pub fn write(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len() as u64;
        let (word, held) = &mut self.rest;
        if *held > 0 {
            let (taken, behind) = bytes.split_at(bytes.len().min(8 - *held));
            word[*held..*held + taken.len()].copy_from_slice(taken);
            *held += taken.len();
            if *held < 8 {
                return;
            }
            let word = u64::from_le_bytes(*word);
            self.first.write_u64(word);
            self.second.write_u64(word);
            bytes = behind;
        }
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            let mut le = [0; 8];
            le.copy_from_slice(word);
            let word = u64::from_le_bytes(le);
            self.first.write_u64(word);
            self.second.write_u64(word);
        }
        let rest = words.remainder();
        self.rest = ([0; 8], rest.len());
        self.rest.0[..rest.len()].copy_from_slice(rest);
    }

    /// The hash of what was written.
    pub fn finish(self) -> u128 {
        let last = tail(&self.rest.0[..self.rest.1]);
        let end = |mut hash: KeyHasher| {
            hash.state = fold(hash.state ^ last, FINAL) ^ self.len;
            u128::from(hash.finish())
        };
        end(self.first) << 64 | end(self.second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Never edit an expected value: state on disk was placed with it.
    #[test]
    fn the_test_vectors_of_version_1_hold() {
        let vectors: [(&[u8], u64); 5] = [
            (b"", V[0]),
            (b"a", V[1]),
            (b"weir", V[2]),
            (b"12345678", V[3]),
            ("gr\u{fc}n und blau, l\u{e4}nger als acht".as_bytes(), V[4]),
        ];
        for (input, want) in vectors {
            assert_eq!(hash_bytes(input), want, "{input:?}");
        }
        let mut word = KeyHasher::new();
        word.write_u64(42);
        assert_eq!(word.finish(), WORD_42);
    }

    const V: [u64; 5] = [
        0x3AFA2490B8543013,
        0xFB7673DAC2B313DE,
        0x585E2029FC734250,
        0x1A01D33384ADD88E,
        0x1C180F5C7C9352E8,
    ];
    const WORD_42: u64 = 0x7E0E7CF410AE4FE3;

    #[test]
    fn the_tail_is_what_a_padded_buffer_would_hold() {
        let bytes: Vec<u8> = (0..40u8).map(|n| n.wrapping_mul(37) ^ 0x81).collect();
        for start in 0..8 {
            for end in start..=bytes.len() {
                let part = &bytes[start..end];
                let mut buffer = [0; 8];
                let rest = part.chunks_exact(8).remainder();
                buffer[..rest.len()].copy_from_slice(rest);
                assert_eq!(tail(part), u64::from_le_bytes(buffer), "{start}..{end}");
            }
        }
    }

    /// The checksums of stored objects: never edit one.
    #[test]
    fn the_hash_of_pieces_is_that_of_the_whole_and_of_two_hashes() {
        let bytes: Vec<u8> = (0..100u8).map(|n| n.wrapping_mul(151) ^ 0x5A).collect();
        for end in 0..=bytes.len() {
            let whole = &bytes[..end];
            let mut second = KeyHasher::new();
            second.write_u64(MIX);
            second.write_bytes(whole);
            let want = u128::from(hash_bytes(whole)) << 64 | u128::from(second.finish());
            assert_eq!(hash128(whole), want, "{end} bytes");
            for step in 1..20 {
                let mut pieces = Hash128::new();
                whole.chunks(step).for_each(|piece| pieces.write(piece));
                assert_eq!(pieces.finish(), want, "{end} bytes by {step}");
            }
        }
    }

    #[test]
    fn length_and_order_of_bytes_matter() {
        assert_ne!(hash_bytes(b"ab"), hash_bytes(b"ba"));
        assert_ne!(hash_bytes(b"a"), hash_bytes(b"a\0"));
        assert_ne!(hash_bytes(&[0; 8]), hash_bytes(&[0; 16]));
    }
}
