//! Ids that nobody else has. This is where randomness comes in.

use std::hash::{BuildHasher, Hasher, RandomState};

/// 128 random bits. The standard library's hash maps get their keys from the operating system.
pub(crate) fn bits() -> u128 {
    let half = || {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u32(std::process::id());
        u128::from(hasher.finish())
    };
    half() << 64 | half()
}

/// 64 random bits.
pub(crate) fn word() -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = bits().to_le_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}
