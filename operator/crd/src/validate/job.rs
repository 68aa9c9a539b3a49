//! Rules for the program, its arguments and its parallelism.

use std::collections::HashSet;

use super::{Violations, names};
use crate::spec::{JobSpec, StreamJobSpec};

/// The greatest number of key groups.
const MAX_PARALLELISM_LIMIT: u32 = 32_768;

pub(super) fn job(found: &mut Violations, job: &JobSpec) {
    found.check(
        !job.program.is_empty(),
        "spec.job.program",
        "must not be empty",
    );
    let max = job.max_parallelism_or_default();
    for (path, value) in [
        ("spec.job.parallelism", job.parallelism),
        ("spec.job.maxParallelism", job.max_parallelism),
    ] {
        if let Some(value) = value {
            let message = format!("must lie in 1 to {MAX_PARALLELISM_LIMIT}, not {value}");
            found.check((1..=MAX_PARALLELISM_LIMIT).contains(&value), path, message);
        }
    }
    if let Some(parallelism) = job.parallelism.filter(|parallelism| *parallelism > max) {
        found.add(
            "spec.job.parallelism",
            format!(
                "is {parallelism}, more than `spec.job.maxParallelism`, which is {max}: lower it, \
                 or raise `maxParallelism` before the job's first start"
            ),
        );
    }
    for (path, map) in [
        ("spec.job.args", &job.args),
        ("spec.job.config", &job.config),
    ] {
        found.check(!map.contains_key(""), path, "has an entry without a name");
    }
    let mut names = HashSet::new();
    for (index, variable) in job.env.iter().enumerate() {
        let path = format!("spec.job.env[{index}]");
        found.result(&format!("{path}.name"), names::env_name(&variable.name));
        if !names.insert(&variable.name) {
            found.add(
                format!("{path}.name"),
                "is given to an earlier variable already",
            );
        }
        let both = variable.value.is_some() && variable.value_from.is_some();
        found.check(!both, &path, "has both `value` and `valueFrom`: remove one");
    }
}

pub(super) fn slots(found: &mut Violations, spec: &StreamJobSpec) {
    let (Some(replicas), Some(parallelism)) = (spec.task_manager.replicas, spec.job.parallelism)
    else {
        return;
    };
    let slots = spec.task_manager.slots;
    found.check(
        u64::from(replicas) * u64::from(slots) >= u64::from(parallelism),
        "spec.taskManager.replicas",
        format_args!(
            "is {replicas}; with {slots} slots each, that is too few for `spec.job.parallelism`, \
             which is {parallelism}: raise one of them or leave `replicas` out"
        ),
    );
}
