//! A Bloom filter over the keys of a file, in the older of RocksDB's two forms: its hash is a few
//! lines, and takes less time for short keys. All of a key's bits lie in one cache line.
//!
//! ```text
//! lines of 64 bytes | bits of a key (u8) | number of lines (u32)
//! ```

/// Bytes of a cache line.
const LINE: usize = 64;

const BITS_PER_KEY: usize = 10;

/// Bits that are set for a key: the best number for so many bits per key, 0.69 of them.
const PROBES: u8 = 6;

/// A filter for keys with these hashes.
pub(super) fn filter(hashes: &[u32]) -> Vec<u8> {
    // An odd number, so that more bits of the hash tell which line it is. Hashes have 32 bits, so
    // that a filter of more would be none.
    let lines = (hashes.len() * BITS_PER_KEY).div_ceil(LINE * 8) | 1;
    let lines = u32::try_from(lines).unwrap_or(u32::MAX);
    let mut filter = vec![0; lines as usize * LINE];
    for hash in hashes {
        let line = (hash % lines) as usize * LINE;
        let Some(line) = filter.get_mut(line..line + LINE) else {
            continue;
        };
        let step = hash.rotate_right(17);
        let mut bit = *hash;
        for _ in 0..PROBES {
            let at = bit as usize % (LINE * 8);
            line[at / 8] |= 1 << (at % 8);
            bit = bit.wrapping_add(step);
        }
    }
    filter.push(PROBES);
    filter.extend_from_slice(&lines.to_le_bytes());
    filter
}

/// The hash of a key: MurmurHash 1, with a tail of its own, whose bytes have signs.
#[inline]
pub(super) fn hash(key: &[u8]) -> u32 {
    const SEED: u32 = 0xbc9f_1d34;
    const FACTOR: u32 = 0xc6a4_a793;
    let len = u32::try_from(key.len()).unwrap_or(u32::MAX);
    let mut hash = SEED ^ len.wrapping_mul(FACTOR);
    let words = key.chunks_exact(4);
    let rest = words.remainder();
    for word in words {
        let word = word.try_into().map_or(0, u32::from_le_bytes);
        hash = hash.wrapping_add(word).wrapping_mul(FACTOR);
        hash ^= hash >> 16;
    }
    if !rest.is_empty() {
        for (nth, byte) in rest.iter().enumerate() {
            let signed = i32::from(byte.cast_signed()).cast_unsigned();
            hash = hash.wrapping_add(signed << (8 * nth));
        }
        hash = hash.wrapping_mul(FACTOR);
        hash ^= hash >> 24;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_has_a_line_for_fifty_keys_and_an_odd_number_of_them() {
        let lines = |keys: usize| (filter(&vec![7; keys]).len() - 5) / LINE;
        assert_eq!(lines(1), 1);
        assert_eq!(lines(51), 1);
        assert_eq!(lines(52), 3);
        assert_eq!(lines(1000), 21);
        let small = filter(&[0x1234_5678]);
        assert_eq!(&small[LINE..], [6, 1, 0, 0, 0]);
        let bits: u32 = small[..LINE].iter().map(|byte| byte.count_ones()).sum();
        assert_eq!(bits, 6);
    }
}
