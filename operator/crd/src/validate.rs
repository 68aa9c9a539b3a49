//! Rules between and about values that a schema can't say, or that hold for manifests that were
//! made without one.
//!
//! Ranges of single numbers and words stand in the schema. What is checked here holds on a local
//! run and on Kubernetes alike; what only a cluster can tell (does the Secret exist?) and what
//! depends on the spec before (immutable fields) is the controller's business.

mod cron;
mod job;
mod kubernetes;
mod lifecycle;
mod names;
mod network;
mod pods;
mod state;

pub use cron::Schedule;

use std::fmt::Display;

use thiserror::Error;

use crate::spec::{JobSpec, StreamJobSpec};
use crate::stream_job::{Metadata, StreamJob};

/// A rule that a manifest breaks.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{path}` {message}")]
pub struct Violation {
    /// The field, as in `spec.job.parallelism`.
    pub path: String,
    /// What is wrong with it, and the fix.
    pub message: String,
}

impl StreamJob {
    /// The rules that the manifest breaks; none, if it may run.
    pub fn validate(&self) -> Vec<Violation> {
        let mut found = Violations::default();
        metadata(&mut found, &self.metadata);
        found.0.extend(self.spec.validate());
        found.0
    }
}

impl StreamJobSpec {
    /// The rules that the spec breaks, with paths from `spec`.
    pub fn validate(&self) -> Vec<Violation> {
        let mut found = Violations::default();
        job::job(&mut found, &self.job);
        job::slots(&mut found, self);
        state::state(&mut found, self);
        lifecycle::lifecycle(&mut found, self);
        lifecycle::restart_strategy(&mut found, &self.restart_strategy);
        pods::pods(&mut found, self);
        network::network(&mut found, &self.network_policy);
        found.0
    }
}

impl JobSpec {
    /// The rules that the program, its arguments and its parallelism break.
    pub fn validate(&self) -> Vec<Violation> {
        let mut found = Violations::default();
        job::job(&mut found, self);
        found.0
    }
}

#[derive(Default)]
struct Violations(Vec<Violation>);

impl Violations {
    /// Records a broken rule.
    fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(Violation {
            path: path.into(),
            message: message.into(),
        });
    }

    /// Records a rule that does not hold.
    fn check(&mut self, holds: bool, path: &str, message: impl Display) {
        if !holds {
            self.add(path, message.to_string());
        }
    }

    /// Records a result's error.
    fn result(&mut self, path: &str, result: Result<(), String>) {
        if let Err(message) = result {
            self.add(path, message);
        }
    }
}

fn metadata(found: &mut Violations, metadata: &Metadata) {
    found.result("metadata.name", names::job_name(&metadata.name));
    if let Some(namespace) = &metadata.namespace {
        found.result("metadata.namespace", names::dns_label(namespace, 63));
    }
}
