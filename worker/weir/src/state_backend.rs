//! What keyed state lies on: from the job's configuration to the state backends of a TaskManager's
//! slots.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_crd::{Quantity, StateBackendType};
use weir_rpc::JobInfo;
use weir_state::StateBackendFactory;
use weir_state_rocksdb::{
    Profile, ReadingHeapFactory, RocksDbFactory, RocksDbOptions, ScratchFolder,
};
use weir_stream::BoxError;
use weir_taskmanager::{SlotResources, StateBackendProvider};

use crate::config::{ConfigError, STATE_BACKEND};

/// The base of the local folders.
const LOCAL_DIR: &str = "state.backend.rocksdb.localdir";
/// What the state is like.
const PROFILE: &str = "state.backend.rocksdb.predefined-options";
/// The memory of each slot's state, instead of the slot's managed memory.
const MEMORY: &str = "state.backend.rocksdb.memory.fixed-per-slot";
/// Threads that merge files, of each operator of a subtask.
const THREADS: &str = "state.backend.rocksdb.thread.num";

/// The options of `spec.job.config` that this file reads.
pub(crate) const OPTIONS: [&str; 4] = [LOCAL_DIR, PROFILE, MEMORY, THREADS];

const PROFILES: [(&str, Profile); 2] = [
    ("memory-first", Profile::MemoryFirst),
    ("disk-heavy", Profile::DiskHeavy),
];

/// Less would not hold the filters and indices of a small state.
const MEMORY_MIN: f64 = 65_536.0;

const THREADS_MAX: u32 = 64;

/// How a job keeps its keyed state.
#[derive(Debug, Default, PartialEq, Eq)]
struct Settings {
    rocksdb: bool,
    local_dir: Option<PathBuf>,
    profile: Profile,
    memory: Option<usize>,
    threads: Option<u32>,
}

/// The name of a backend in the configuration that travels with the job.
pub(crate) fn name(backend: StateBackendType) -> &'static str {
    match backend {
        StateBackendType::Heap => "heap",
        StateBackendType::Rocksdb => "rocksdb",
    }
}

/// Checks one of [`OPTIONS`].
pub(crate) fn check(key: &str, value: &str) -> Result<(), ConfigError> {
    Settings::default().set(key, value)
}

impl Settings {
    /// Of a job's configuration, which its JobManager has checked.
    fn read(config: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let mut settings = Self {
            rocksdb: config
                .get(STATE_BACKEND)
                .is_some_and(|kind| kind == name(StateBackendType::Rocksdb)),
            ..Self::default()
        };
        for key in OPTIONS {
            if let Some(value) = config.get(key) {
                settings.set(key, value)?;
            }
        }
        Ok(settings)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        let wrong = |want: String| ConfigError::Value {
            key: key.to_owned(),
            value: value.to_owned(),
            want,
        };
        match key {
            LOCAL_DIR => {
                let path = Some(Path::new(value)).filter(|path| path.is_absolute());
                let path = path.ok_or_else(|| wrong("the absolute path of a folder".to_owned()))?;
                self.local_dir = Some(path.to_owned());
            }
            PROFILE => {
                let known = PROFILES.iter().find(|(name, _)| *name == value);
                let names = || PROFILES.map(|(name, _)| format!("`{name}`")).join(" or ");
                self.profile = known.ok_or_else(|| wrong(names()))?.1;
            }
            MEMORY => {
                let bytes = value.parse::<Quantity>().ok().map(|bytes| bytes.value());
                let bytes = bytes.filter(|bytes| (MEMORY_MIN..1e15).contains(bytes));
                let want = || wrong("a size such as `256Mi`, of 64Ki at least".to_owned());
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "its limits were just checked"
                )]
                let bytes = bytes.ok_or_else(want)? as usize;
                self.memory = Some(bytes);
            }
            THREADS => {
                let threads = value.parse().ok();
                let threads = threads.filter(|threads| (1..=THREADS_MAX).contains(threads));
                let want = || wrong(format!("a number from 1 to {THREADS_MAX}"));
                self.threads = Some(threads.ok_or_else(want)?);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Makes what a job's configuration says. `local_dir` is this process's own choice.
pub(crate) fn provider(local_dir: Option<PathBuf>) -> impl StateBackendProvider {
    move |job: &JobInfo, resources: SlotResources| {
        open(&job.program.config, resources, local_dir.as_deref())
    }
}

fn open(
    config: &BTreeMap<String, String>,
    resources: SlotResources,
    local_dir: Option<&Path>,
) -> Result<Vec<Arc<dyn StateBackendFactory>>, BoxError> {
    let settings = Settings::read(config)?;
    let SlotResources {
        slots,
        managed_bytes,
    } = resources;
    let base = local_dir.map(Path::to_owned).or(settings.local_dir);
    let base = base.unwrap_or_else(std::env::temp_dir);
    let managed = usize::try_from(managed_bytes).unwrap_or(usize::MAX);
    let memory = settings.memory.unwrap_or(managed);
    if !settings.rocksdb {
        let heap: Arc<dyn StateBackendFactory> = Arc::new(ReadingHeapFactory::new(base, memory));
        return Ok((0..slots).map(|_| Arc::clone(&heap)).collect());
    }
    let scratch = Arc::new(ScratchFolder::create(&base)?);
    let slot = |_| {
        let mut options = RocksDbOptions::new(scratch.path(), memory);
        options.profile = settings.profile;
        options.background_threads = settings.threads.unwrap_or(options.background_threads);
        Arc::new(RocksDbFactory::in_scratch(&scratch, options)) as Arc<dyn StateBackendFactory>
    };
    Ok((0..slots).map(slot).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Result<Settings, String> {
        let config = pairs.iter();
        let config = config.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Settings::read(&config.collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_jobs_configuration_says_how_its_state_is_kept() {
        let all = settings(&[
            (STATE_BACKEND, "rocksdb"),
            (LOCAL_DIR, "/disk"),
            (PROFILE, "disk-heavy"),
            (MEMORY, "64Mi"),
            (THREADS, "3"),
        ]);
        let expected = Settings {
            rocksdb: true,
            local_dir: Some(PathBuf::from("/disk")),
            profile: Profile::DiskHeavy,
            memory: Some(64 << 20),
            threads: Some(3),
        };
        assert_eq!(all, Ok(expected));
        assert_eq!(settings(&[]), Ok(Settings::default()));
    }

    #[test]
    fn options_that_make_no_sense_are_refused_by_name() {
        for (key, value, part) in [
            (LOCAL_DIR, "here", "absolute path"),
            (PROFILE, "fast", "`memory-first` or `disk-heavy`"),
            (MEMORY, "1Ki", "64Ki at least"),
            (MEMORY, "much", "64Ki at least"),
            (THREADS, "0", "1 to 64"),
        ] {
            let error = settings(&[(key, value)]).expect_err(value);
            let names = error.contains(key) && error.contains(value);
            assert!(names && error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_process_has_a_folder_of_its_own_while_a_job_runs() {
        let base = tempfile::tempdir().expect("a folder");
        let config = [(STATE_BACKEND, "rocksdb")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let resources = SlotResources {
            slots: 2,
            managed_bytes: 1 << 20,
        };
        let slots = open(&config.into(), resources, Some(base.path())).expect("opened");
        let count = || std::fs::read_dir(base.path()).expect("a folder").count();
        assert_eq!((slots.len(), count()), (2, 2), "the folder and its lock");
        drop(slots);
        assert_eq!(count(), 0);
        let slots = open(&BTreeMap::new(), resources, Some(base.path())).expect("opened");
        assert_eq!((slots.len(), count()), (2, 0), "state in memory needs none");
    }
}
