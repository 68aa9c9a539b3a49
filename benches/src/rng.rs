//! splitmix64 with random access: the same numbers as the comparison program makes.

/// The finalizer of splitmix64.
#[inline]
pub(crate) fn mix64(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The `index`-th output, from 0, of splitmix64 with this seed.
#[inline]
pub(crate) fn at(seed: u64, index: u64) -> u64 {
    mix64(seed.wrapping_add((index.wrapping_add(1)).wrapping_mul(0x9E37_79B9_7F4A_7C15)))
}

/// A number below `m`.
#[inline]
pub(crate) fn below(x: u64, m: u64) -> u64 {
    (x >> 1) % m
}
