//! How an operation ended, for figures.

use weir_crd::{OperationType, StreamJobStatus};
use weir_lease::parse_rfc3339;

use super::{Decision, EventKind};

/// An operation that ends with a decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EndedOperation {
    /// What it did.
    pub kind: OperationType,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub seconds: f64,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has done what it was for.
    Completed,
    /// It was given up, or another one took its place.
    Failed,
    /// A person had it given up.
    Aborted,
}

impl Decision {
    /// The operation of the status before that is over with this decision.
    pub fn ended(&self, before: &StreamJobStatus, now_ms: i64) -> Option<EndedOperation> {
        let operation = before.operation.as_ref()?;
        let now = self.status.operation.as_ref();
        if now.is_some_and(|now| now.id == operation.id) {
            return None;
        }
        let told = |reason| self.events.iter().any(|event| event.reason == reason);
        let warned = |reasons: &[&str]| {
            let warnings = self.events.iter();
            let mut warnings = warnings.filter(|event| event.kind == EventKind::Warning);
            warnings.any(|event| reasons.contains(&event.reason))
        };
        let retried = self.status.retry.is_some() && self.status.retry != before.retry;
        let outcome = if told("OperationAborted") {
            Outcome::Aborted
        } else if retried || warned(&["RollingBack", "SnapshotFailed", "JobEnded"]) {
            Outcome::Failed
        } else {
            Outcome::Completed
        };
        let since = parse_rfc3339(&operation.started_at).unwrap_or(now_ms);
        let millis = u32::try_from((now_ms - since).max(0)).unwrap_or(u32::MAX);
        Some(EndedOperation {
            kind: operation.kind,
            outcome,
            seconds: f64::from(millis) / 1000.0,
        })
    }
}
