//! What a local run makes of a manifest: the command line's overrides applied, the defaults that
//! differ from Kubernetes' filled in, and everything that only concerns pods left out.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::manifest::quoted;
use crate::spec::{
    CheckpointSpec, FailoverStrategy, JobSpec, ManifestDuration, RestartPolicy,
    RestartStrategySpec, StateBackendType, StreamJobSpec,
};
use crate::stream_job::StreamJob;
use crate::validate::Violation;

/// What the command line says about a job; it wins over the manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Arguments of the program. They are added to the manifest's, or replace those of the same
    /// name.
    pub args: BTreeMap<String, String>,
    /// The parallelism.
    pub parallelism: Option<u32>,
    /// Where keyed state lives.
    pub state_backend: Option<StateBackendType>,
}

impl Overrides {
    /// Adds an argument as `--arg` takes it: `NAME=VALUE`, split at the first `=`. The last one of
    /// a name wins.
    pub fn add_arg(&mut self, assignment: &str) -> Result<(), OverrideError> {
        match assignment.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                self.args.insert(name.to_owned(), value.to_owned());
                Ok(())
            }
            _ => Err(OverrideError::SplitArg {
                assignment: assignment.to_owned(),
            }),
        }
    }
}

/// Overrides that can't be applied.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OverrideError {
    /// An argument is not of the form `NAME=VALUE`.
    #[error("argument {} is not of the form NAME=VALUE", quoted(.assignment))]
    SplitArg {
        /// The argument.
        assignment: String,
    },
    /// With the overrides, the manifest breaks a rule.
    #[error("after applying the command line, {0}")]
    BreakRule(Violation),
}

/// A job as a local run needs it. It needs neither an image nor a storage.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalJob {
    /// The job's name.
    pub name: String,
    /// The job's name in its storage, if that is not the job's name.
    pub state_id: Option<String>,
    /// The name under which the program is registered.
    pub program: String,
    /// The program's arguments.
    pub args: BTreeMap<String, String>,
    /// The environment variables that have a value. Those that Kubernetes would fill in are left
    /// out.
    pub env: BTreeMap<String, String>,
    /// Configuration of the runtime.
    pub config: BTreeMap<String, String>,
    /// The parallelism of operators that don't have one of their own.
    pub parallelism: u32,
    /// The number of key groups; none: that of what the job begins with.
    pub max_parallelism: Option<u32>,
    /// Whether state of operators that the program no longer has is passed over.
    pub allow_non_restored_state: bool,
    /// Where keyed state lives: `heap` unless the command line or the manifest names a backend.
    pub state_backend: StateBackendType,
    /// Whether TaskManagers keep copies of the newest checkpoint on their local disks.
    pub local_recovery: bool,
    /// When and how checkpoints are made, if the command line says where they are kept.
    pub checkpoint: CheckpointSpec,
    /// How long a savepoint may take before it is given up.
    pub savepoint_timeout: ManifestDuration,
    /// What is restarted when one task fails.
    pub failover_strategy: FailoverStrategy,
    /// Whether, and how often, a failed job is started again.
    pub restart_strategy: RestartStrategySpec,
}

impl LocalJob {
    /// The restart strategy with its defaults filled in, which depend on whether there are
    /// checkpoints.
    pub fn restart_policy(&self, checkpoints_on: bool) -> RestartPolicy {
        self.restart_strategy.policy(checkpoints_on)
    }
}

impl StreamJob {
    /// Applies what the command line says. On an error the manifest is as it was.
    pub fn apply(&mut self, overrides: &Overrides) -> Result<(), OverrideError> {
        self.spec.job = overridden(&self.spec.job, overrides)?;
        let backend = &mut self.spec.state_backend;
        backend.kind = overrides.state_backend.or(backend.kind);
        Ok(())
    }

    /// The job for a local run. Fields that only concern Kubernetes have no effect.
    pub fn resolve_local(&self, overrides: &Overrides) -> Result<LocalJob, OverrideError> {
        let job = overridden(&self.spec.job, overrides)?;
        let parallelism = job
            .parallelism
            .unwrap_or_else(|| self.spec.default_parallelism());
        let env = job
            .env
            .into_iter()
            .filter_map(|variable| Some((variable.name, variable.value?)));
        Ok(LocalJob {
            name: self.metadata.name.clone(),
            state_id: self.spec.state_id.clone(),
            program: job.program,
            args: job.args,
            env: env.collect(),
            config: job.config,
            parallelism,
            max_parallelism: job.max_parallelism,
            allow_non_restored_state: job.allow_non_restored_state,
            state_backend: overrides
                .state_backend
                .or(self.spec.state_backend.kind)
                .unwrap_or(StateBackendType::Heap),
            local_recovery: self.spec.state_backend.local_recovery,
            checkpoint: self.spec.checkpoint.clone(),
            savepoint_timeout: self.spec.savepoint.timeout,
            failover_strategy: self.spec.failover_strategy,
            restart_strategy: self.spec.restart_strategy.clone(),
        })
    }
}

impl StreamJobSpec {
    /// The parallelism of a job that names none: all slots if the number of TaskManagers is given
    /// (as many as there are key groups at most), otherwise 1.
    pub fn default_parallelism(&self) -> u32 {
        let task_manager = &self.task_manager;
        task_manager.replicas.map_or(1, |replicas| {
            replicas
                .saturating_mul(task_manager.slots)
                .clamp(1, self.job.max_parallelism_or_default().max(1))
        })
    }
}

fn overridden(job: &JobSpec, overrides: &Overrides) -> Result<JobSpec, OverrideError> {
    let mut job = job.clone();
    job.args.extend(overrides.args.clone());
    job.parallelism = overrides.parallelism.or(job.parallelism);
    match job.validate().into_iter().next() {
        Some(violation) => Err(OverrideError::BreakRule(violation)),
        None => Ok(job),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "\
apiVersion: weir.dev/v1alpha1
kind: StreamJob
metadata: {name: wordcount}
spec:
  job:
    program: wordcount
    args: {input: a.txt, output: out}
    env:
    - {name: MODE, value: fast}
    - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
";

    fn manifest(more: &str) -> StreamJob {
        StreamJob::from_yaml("job.yaml", &format!("{MANIFEST}{more}")).expect("a manifest")
    }

    fn strings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn a_local_run_needs_neither_image_nor_storage() {
        let job = manifest("")
            .resolve_local(&Overrides::default())
            .expect("a job");
        let expected = LocalJob {
            name: "wordcount".to_owned(),
            state_id: None,
            program: "wordcount".to_owned(),
            args: strings(&[("input", "a.txt"), ("output", "out")]),
            env: strings(&[("MODE", "fast")]),
            config: BTreeMap::new(),
            parallelism: 1,
            max_parallelism: None,
            allow_non_restored_state: false,
            state_backend: StateBackendType::Heap,
            local_recovery: true,
            checkpoint: CheckpointSpec::default(),
            savepoint_timeout: ManifestDuration::from_mins(10),
            failover_strategy: FailoverStrategy::Region,
            restart_strategy: RestartStrategySpec::default(),
        };
        assert_eq!(job, expected);
    }

    #[test]
    fn the_command_line_wins_over_the_manifest() {
        let mut overrides = Overrides {
            parallelism: Some(4),
            ..Overrides::default()
        };
        for arg in ["input=b.txt", "filter=a=b", "empty="] {
            overrides.add_arg(arg).expect(arg);
        }
        let mut manifest = manifest("    parallelism: 2\n");
        let job = manifest.resolve_local(&overrides).expect("a job");
        let args = [
            ("input", "b.txt"),
            ("output", "out"),
            ("filter", "a=b"),
            ("empty", ""),
        ];
        assert_eq!(job.args, strings(&args));
        assert_eq!(job.parallelism, 4);
        manifest.apply(&overrides).expect("applied");
        assert_eq!(manifest.resolve_local(&Overrides::default()), Ok(job));
    }

    #[test]
    fn a_parallelism_that_is_not_given_is_the_number_of_slots() {
        for (task_manager, max, expected) in [
            ("{}", 128, 1),
            ("{slots: 4}", 128, 1),
            ("{replicas: 3, slots: 4}", 128, 12),
            ("{replicas: 3, slots: 4}", 8, 8),
        ] {
            let more = format!("    maxParallelism: {max}\n  taskManager: {task_manager}\n");
            let job = manifest(&more)
                .resolve_local(&Overrides::default())
                .expect("a job");
            assert_eq!(job.parallelism, expected, "{more}");
        }
    }

    #[test]
    fn a_named_backend_holds_on_a_local_run_too() {
        let mut job = manifest("  stateBackend: {type: rocksdb}\n");
        let local = job.resolve_local(&Overrides::default()).expect("a job");
        assert_eq!(local.state_backend, StateBackendType::Rocksdb);
        let overrides = Overrides {
            state_backend: Some(StateBackendType::Heap),
            ..Overrides::default()
        };
        let local = job.resolve_local(&overrides).expect("a job");
        assert_eq!(local.state_backend, StateBackendType::Heap);
        job.apply(&overrides).expect("applied");
        assert_eq!(job.resolve_local(&Overrides::default()), Ok(local));
    }

    #[test]
    fn slots_of_the_cluster_do_not_limit_the_command_line() {
        let job = manifest("  taskManager: {replicas: 1}\n");
        let overrides = Overrides {
            parallelism: Some(8),
            ..Overrides::default()
        };
        assert_eq!(
            job.resolve_local(&overrides).map(|job| job.parallelism),
            Ok(8)
        );
    }

    #[test]
    fn overrides_that_break_a_rule_are_refused() {
        let mut job = manifest("");
        let before = job.clone();
        for (parallelism, message) in [
            (
                0,
                "after applying the command line, `spec.job.parallelism` must lie in 1 to 32768, not 0",
            ),
            (
                200,
                "after applying the command line, `spec.job.parallelism` is 200, more than \
                 `spec.job.maxParallelism`, which is 128: lower it, or raise `maxParallelism` \
                 before the job's first start",
            ),
        ] {
            let overrides = Overrides {
                parallelism: Some(parallelism),
                ..Overrides::default()
            };
            let error = job.apply(&overrides).unwrap_err();
            assert_eq!(error.to_string(), message);
            assert_eq!(job, before);
        }
        for arg in ["input", "=x", ""] {
            let error = Overrides::default().add_arg(arg).unwrap_err();
            let message = format!("argument `{arg}` is not of the form NAME=VALUE");
            assert_eq!(error.to_string(), message);
        }
    }
}
