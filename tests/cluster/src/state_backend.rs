//! Where jobs keep their keyed state while they run: the output must be the same.

use weir_testkit::{Job, Random};

/// A state backend, as manifests name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StateBackend {
    /// In memory.
    Heap,
    /// In files, below what is in memory.
    RocksDb,
}

/// Names the backend of all tests that draw one.
const VARIABLE: &str = "WEIR_TEST_STATE_BACKEND";

impl StateBackend {
    /// What `spec.stateBackend.type` says.
    pub fn name(self) -> &'static str {
        match self {
            Self::Heap => "heap",
            Self::RocksDb => "rocksdb",
        }
    }

    /// One of them, from the seed; a scenario whose fault has nothing to do with the backend is not
    /// run once for each.
    pub fn drawn(random: &mut Random) -> Self {
        Self::in_turn(random.below(2))
    }

    /// The one whose turn it is, unless a variable names one for all.
    pub fn in_turn(number: usize) -> Self {
        let all = [Self::Heap, Self::RocksDb];
        let named = std::env::var(VARIABLE).ok();
        let named = named.and_then(|name| all.into_iter().find(|one| one.name() == name));
        let backend = named.unwrap_or(all[number % all.len()]);
        eprintln!("state backend {} ({VARIABLE})", backend.name());
        backend
    }

    /// The job with its state there.
    pub fn of(self, job: Job) -> Job {
        job.with_state_backend(self.name())
    }
}
