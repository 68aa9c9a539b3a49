//! `spec.job.config`: the runtime's options, under Flink's names where the thing is Flink's.

use std::collections::BTreeMap;
use std::time::Duration;

use weir_cli::{CheckpointArgs, suggest};
use weir_crd::{DurationError, LocalJob, ManifestDuration};
use weir_jobmanager::JobManagerOptions;
use weir_storage::{OptionError, StoreOptions};

use crate::state_backend;

/// Where a process finds what the manifest says about the graph as a whole. They travel with the
/// job's configuration, and cannot be set in it: the manifest has fields for them.
pub(crate) const PARALLELISM: &str = "parallelism.default";
/// The number of key groups.
pub(crate) const MAX_PARALLELISM: &str = "pipeline.max-parallelism";

/// Where keyed state lives: `heap` or `rocksdb`.
pub(crate) const STATE_BACKEND: &str = "state.backend.type";

const RESERVED: &[(&str, &str)] = &[
    (STATE_BACKEND, "spec.stateBackend.type"),
    (PARALLELISM, "spec.job.parallelism"),
    (MAX_PARALLELISM, "spec.job.maxParallelism"),
];

/// What the options of stores begin with.
const STORE: &str = "s3.";

/// An option that sets a duration.
type SetDuration = fn(&mut JobManagerOptions, Duration);

const DURATIONS: &[(&str, SetDuration)] = &[
    ("heartbeat.interval", |options, time| {
        options.heartbeat_interval = time
    }),
    ("heartbeat.timeout", |options, time| {
        options.heartbeat_timeout = time
    }),
    ("slot.request.timeout", |options, time| {
        options.slot_request_timeout = time
    }),
    ("task.cancellation.timeout", |options, time| {
        options.cancellation_timeout = time
    }),
];

/// A configuration that cannot be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error(
        "spec.job.config has unknown option `{key}`{}; the options are: {known}",
        hint(*.nearest)
    )]
    Unknown {
        key: String,
        nearest: Option<&'static str>,
        known: String,
    },
    #[error("spec.job.config cannot set `{key}`: set `{field}` instead")]
    Reserved { key: String, field: &'static str },
    #[error("spec.job.config: `{key}` is `{value}`, which is no duration")]
    Duration {
        key: String,
        value: String,
        #[source]
        source: DurationError,
    },
    #[error("spec.job.config: `{key}` is `{value}`: want {want}")]
    Value {
        key: String,
        value: String,
        want: String,
    },
    #[error("spec.job.config: `{key}` must be longer than 0s")]
    Zero { key: String },
    #[error("spec.job.config")]
    Store(#[from] OptionError),
    #[error("spec.job.config: `heartbeat.timeout` must be longer than `heartbeat.interval`")]
    Heartbeat,
}

fn hint(nearest: Option<&str>) -> String {
    nearest
        .map(|name| format!(": did you mean `{name}`?"))
        .unwrap_or_default()
}

/// How stores are reached is said in the configuration and on the command line, which wins: the
/// same for checkpoints and for the job's own sinks.
pub(crate) fn unite_stores(job: &mut LocalJob, checkpoints: &mut CheckpointArgs) {
    let said = std::mem::take(&mut checkpoints.store);
    job.config.extend(said);
    let options = job.config.iter().filter(|(key, _)| key.starts_with(STORE));
    checkpoints.store = options.map(|(k, v)| (k.clone(), v.clone())).collect();
}

/// The JobManager's options with the job's configuration applied.
pub(crate) fn apply(
    config: &BTreeMap<String, String>,
    mut options: JobManagerOptions,
) -> Result<JobManagerOptions, ConfigError> {
    StoreOptions::from_config(config)?;
    for (key, value) in config {
        if key.starts_with(STORE) {
            continue;
        }
        if let Some((_, field)) = RESERVED.iter().find(|(name, _)| name == key) {
            return Err(ConfigError::Reserved {
                key: key.clone(),
                field,
            });
        }
        if state_backend::OPTIONS.contains(&key.as_str()) {
            state_backend::check(key, value)?;
            continue;
        }
        let known = || {
            let durations = DURATIONS.iter().map(|(name, _)| *name);
            durations.chain(state_backend::OPTIONS)
        };
        let Some((_, set)) = DURATIONS.iter().find(|(name, _)| name == key) else {
            let near = suggest::nearest(key, known());
            let nearest = known().find(|name| near == Some(*name));
            let known = known().collect::<Vec<_>>().join(", ");
            return Err(ConfigError::Unknown {
                key: key.clone(),
                nearest,
                known,
            });
        };
        let time: ManifestDuration = value.parse().map_err(|source| ConfigError::Duration {
            key: key.clone(),
            value: value.clone(),
            source,
        })?;
        if time.is_zero() {
            return Err(ConfigError::Zero { key: key.clone() });
        }
        set(&mut options, time.get());
    }
    if options.heartbeat_timeout <= options.heartbeat_interval {
        return Err(ConfigError::Heartbeat);
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(pairs: &[(&str, &str)]) -> Result<JobManagerOptions, String> {
        let config = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        apply(&config, JobManagerOptions::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn options_are_applied() {
        let options = applied(&[
            ("slot.request.timeout", "2s"),
            ("heartbeat.timeout", "1m30s"),
        ]);
        let options = options.expect("known options");
        assert_eq!(options.slot_request_timeout, Duration::from_secs(2));
        assert_eq!(options.heartbeat_timeout, Duration::from_secs(90));
    }

    #[test]
    fn the_command_line_says_last_how_stores_are_reached_for_all_who_use_them() {
        let text = "apiVersion: weir.dev/v1alpha1\nkind: StreamJob\nmetadata: {name: a}\nspec:\n  \
                    job:\n    program: a\n    config: {s3.region: here, s3.endpoint: 'http://a'}\n";
        let manifest = weir_crd::StreamJob::from_yaml("job.yaml", text).expect("a manifest");
        let mut job = manifest
            .resolve_local(&weir_crd::Overrides::default())
            .expect("a job");
        let mut checkpoints = CheckpointArgs::default();
        let endpoint = ("s3.endpoint".to_owned(), "http://b".to_owned());
        checkpoints.store.extend([endpoint]);
        unite_stores(&mut job, &mut checkpoints);
        let both = [("s3.endpoint", "http://b"), ("s3.region", "here")];
        let both = both
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        assert_eq!(checkpoints.store, both);
        assert_eq!(job.config, both);
        apply(&job.config, JobManagerOptions::default()).expect("known options");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (pairs, part) in [
            (
                ("slot.request.timout", "2s"),
                "did you mean `slot.request.timeout`?",
            ),
            (
                ("state.backend", "x"),
                "the options are: heartbeat.interval,",
            ),
            (
                ("parallelism.default", "2"),
                "set `spec.job.parallelism` instead",
            ),
            (("heartbeat.interval", "2"), "is `2`, which is no duration"),
            (("s3.access-key", "x"), "spec.job.config"),
            (("heartbeat.interval", "0s"), "must be longer than 0s"),
            (
                ("heartbeat.interval", "10s"),
                "longer than `heartbeat.interval`",
            ),
        ] {
            let error = applied(&[pairs]).err().unwrap_or_default();
            assert!(error.contains(part), "{pairs:?}: {error}");
        }
    }
}
