//! What holds within `spec.job`.

use super::{Rule, rule};

pub(super) const RULES: &[Rule] = &[
    rule(
        "parallelism-within-key-groups",
        "spec.job",
        "!has(self.parallelism) || self.parallelism <= (has(self.maxParallelism) ? self.maxParallelism : 128)",
        "job.parallelism is more than job.maxParallelism: lower it",
    ),
    rule(
        "max-parallelism-stays",
        "spec.job.maxParallelism",
        "self == oldSelf",
        "job.maxParallelism can't be changed: state is dealt out by it. Make a new StreamJob",
    ),
    rule(
        "environment-value-or-source",
        "spec.job.env[]",
        "!(has(self.value) && has(self.valueFrom))",
        "has both `value` and `valueFrom`: remove one",
    ),
    rule(
        "argument-has-a-name",
        "spec.job.args",
        "!('' in self)",
        "has an entry without a name",
    ),
    rule(
        "configuration-has-a-name",
        "spec.job.config",
        "!('' in self)",
        "has an entry without a name",
    ),
];
