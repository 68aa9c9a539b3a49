//! What a job would go on from if it failed now, and how often it did.

use std::time::Duration;

use weir_rpc::{CheckpointState, JobCheckpoints, JobDetails};
use weir_types::CheckpointId;

use crate::human;

/// The last completed checkpoint, and restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Recovery {
    last: Option<Last>,
    /// The newest one that was given up, if none was completed since.
    failed: Option<(CheckpointId, String)>,
    restarts: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Last {
    id: CheckpointId,
    age: Duration,
    /// Not known of one that an earlier JobManager took.
    duration: Option<Duration>,
}

impl Recovery {
    pub(super) fn of(job: &JobDetails, checkpoints: Option<&JobCheckpoints>, unix_ms: i64) -> Self {
        let subtasks = job.vertices.iter().flat_map(|vertex| &vertex.subtasks);
        let restarts = subtasks.map(|subtask| subtask.attempt.0).max().unwrap_or(0);
        let Some(checkpoints) = checkpoints else {
            return Self {
                restarts,
                ..Self::default()
            };
        };
        let last = checkpoints.retained.last().map(|kept| {
            let taken = checkpoints.history.iter().find(|each| each.id == kept.id);
            let age_ms = unix_ms.saturating_sub(kept.completed_ms).max(0);
            Last {
                id: kept.id,
                age: Duration::from_millis(u64::try_from(age_ms).unwrap_or(0)),
                duration: taken.map(|taken| taken.duration),
            }
        });
        let ended = checkpoints
            .history
            .iter()
            .find_map(|each| match &each.state {
                CheckpointState::InProgress => None,
                CheckpointState::Completed => Some(None),
                CheckpointState::Failed(why) => Some(Some((each.id, why.reason.clone()))),
            });
        Self {
            last,
            failed: ended.flatten(),
            restarts,
        }
    }

    /// Lines for a table.
    pub(super) fn texts(&self) -> Vec<String> {
        let mut parts = Vec::new();
        if let Some(last) = self.last {
            let mut text = format!("checkpoint {}, {} ago", last.id, human::duration(last.age));
            if let Some(duration) = last.duration {
                text.push_str(&format!(", took {}", human::duration(duration)));
            }
            parts.push(text);
        }
        if self.restarts > 0 {
            parts.push(human::counted(u64::from(self.restarts), "restart"));
        }
        let first = (!parts.is_empty()).then(|| parts.join("; "));
        let failed = self.failed.as_ref();
        let failed = failed.map(|(id, why)| format!("checkpoint {id} failed: {why}"));
        first.into_iter().chain(failed).collect()
    }

    /// The fields of a line; none if there is nothing to say.
    pub(super) fn fields(&self) -> Option<String> {
        let mut fields = Vec::new();
        if let Some(last) = self.last {
            fields.push(format!(
                "checkpoint={} age={:.1}s",
                last.id,
                last.age.as_secs_f64()
            ));
            let duration = last
                .duration
                .map(|time| format!("duration={}ms", time.as_millis()));
            fields.extend(duration);
        }
        if self.restarts > 0 {
            fields.push(format!("restarts={}", self.restarts));
        }
        let failed = self.failed.as_ref();
        fields.extend(failed.map(|(id, why)| format!("failed={id} cause=\"{why}\"")));
        (!fields.is_empty()).then(|| fields.join(" "))
    }
}
