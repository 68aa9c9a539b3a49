//! Random numbers that a person can ask for again.

use std::time::Duration;

use weir_types::{Clock, SystemClock};

/// A stream of random numbers from a seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random {
    seed: u64,
    state: u64,
}

/// Where the seed of a run that is to be repeated stands.
const VARIABLE: &str = "WEIR_TEST_SEED";

impl Random {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, state: seed }
    }

    /// A stream that differs from run to run, unless `WEIR_TEST_SEED` names one. Says which it is:
    /// whoever sees a test fail needs it.
    pub fn printed() -> Self {
        let given = std::env::var(VARIABLE).ok();
        let seed = match given {
            Some(text) => text.parse().expect("WEIR_TEST_SEED is a number"),
            None => Self::new(SystemClock.unix_ms().unsigned_abs()).next() % 1_000_000,
        };
        eprintln!("seed {seed}: the same faults again with {VARIABLE}={seed}");
        Self::new(seed)
    }

    /// The seed it came from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which is not zero.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).expect("below a usize")
    }

    /// A time from `least` to `most` milliseconds.
    pub fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.next() % (most - least + 1))
    }

    /// True in so many of a thousand cases.
    pub fn per_mille(&mut self, chance: u32) -> bool {
        self.next() % 1_000 < u64::from(chance)
    }
}
