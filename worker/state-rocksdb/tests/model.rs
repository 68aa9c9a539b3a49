//! Every kind of keyed state over RocksDB, driven by random operations and compared with plain
//! maps: tiny memory limits, snapshots of entries and of files at random places, restores at
//! another parallelism from either.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../state/tests/cold_model/job.rs"]
mod job;
#[path = "../../state/tests/keyed_model/model.rs"]
mod model;

use std::path::Path;

use job::Tiers;
use proptest::prelude::*;
// The model, which another crate's tests share, derives with it.
use serde as _;
use weir_state::{BackendRequest, ColdSetup, FileSnapshot, StateBackendFactory};
use weir_state_rocksdb::{Profile, RocksDbFactory, RocksDbOptions};
use weir_types::{AttemptNumber, Epoch, ExecutionAttemptId, KeyGroupRange};
use weir_types::{OperatorId, SubtaskIndex, VertexId};

struct OnDisk {
    folder: tempfile::TempDir,
    attempts: u32,
}

impl Tiers for OnDisk {
    const FILES: bool = true;

    fn open(
        &mut self,
        subtask: u32,
        range: KeyGroupRange,
        files: &[FileSnapshot],
        memory: usize,
    ) -> ColdSetup {
        self.attempts += 1;
        let profiles = [Profile::MemoryFirst, Profile::DiskHeavy];
        // The folders of earlier attempts hold what this one is restored from.
        let folder = self.folder.path().join(self.attempts.to_string());
        let mut options = RocksDbOptions::new(folder, memory);
        options.profile = profiles[self.attempts as usize % 2];
        let attempt = ExecutionAttemptId {
            epoch: Epoch(1),
            vertex: VertexId(7),
            subtask: SubtaskIndex(subtask),
            attempt: AttemptNumber(self.attempts),
        };
        let setup = RocksDbFactory::new(options).open(&BackendRequest {
            operator: OperatorId(8),
            attempt,
            max_parallelism: model::MAX_PARALLELISM,
            key_groups: range,
            files: files.to_vec(),
        });
        setup.unwrap().unwrap()
    }
}

/// With hardly any memory each change is a file of its own, and a disk that is asked to keep each
/// of them takes minutes. Two megabytes will do; what a disk may do is for other tests.
fn folder() -> tempfile::TempDir {
    let in_memory = Path::new("/dev/shm");
    let folder = if in_memory.is_dir() {
        tempfile::tempdir_in(in_memory)
    } else {
        tempfile::tempdir()
    };
    folder.unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn state_over_rocksdb_is_what_the_model_says_at_any_memory_limit(
        memory in job::memory(), ops in prop::collection::vec(job::op(), 1..250),
    ) {
        let folder = folder();
        job::run(OnDisk { folder, attempts: 0 }, memory, ops);
    }
}
