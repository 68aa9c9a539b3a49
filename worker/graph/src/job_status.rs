//! The states of a job (Flink's `JobStatus`), and which may follow which.
//!
//! ```text
//! Created ---> Running ------------------------> Finished
//!    |          |  |  ^
//!    |          |  |  +--- Restarting <---+
//!    |          |  +--------^  |          |
//!    +----------+-----------> Failing ----+----> Failed
//!    |          |                |
//!    +----------+--------> Cancelling ---------> Cancelled
//!
//! Suspended may follow every state that is not terminal: this JobManager gives the job up, and
//! another one may take it over.
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

/// The state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum JobStatus {
    /// It exists, nothing was scheduled.
    Created,
    /// Its subtasks are scheduled or run.
    Running,
    /// Something failed, and what still runs is being stopped.
    Failing,
    /// What failed is about to be scheduled again.
    Restarting,
    /// It is over by an error.
    Failed,
    /// A person asked for its end, and what still runs is being stopped.
    Cancelling,
    /// It is over because a person asked for it.
    Cancelled,
    /// This JobManager no longer runs it; another may.
    Suspended,
    /// It came to the end of its input.
    Finished,
}

impl JobStatus {
    /// All states, in the order above.
    pub const ALL: [Self; 9] = [
        Self::Created,
        Self::Running,
        Self::Failing,
        Self::Restarting,
        Self::Failed,
        Self::Cancelling,
        Self::Cancelled,
        Self::Suspended,
        Self::Finished,
    ];

    /// Whether the job is over, for every JobManager.
    pub fn is_globally_terminal(self) -> bool {
        matches!(self, Self::Failed | Self::Cancelled | Self::Finished)
    }

    /// Whether the job is over for this JobManager.
    pub fn is_terminal(self) -> bool {
        self.is_globally_terminal() || self == Self::Suspended
    }

    /// The states that may follow: the whole table.
    pub fn successors(self) -> &'static [Self] {
        use JobStatus::{
            Cancelled, Cancelling, Failed, Failing, Finished, Restarting, Running, Suspended,
        };
        match self {
            Self::Created => &[Running, Failing, Cancelling, Suspended],
            Self::Running => &[Finished, Failing, Restarting, Cancelling, Suspended],
            Self::Failing => &[Failed, Restarting, Cancelling, Suspended],
            Self::Restarting => &[Running, Failing, Cancelling, Suspended],
            Self::Cancelling => &[Cancelled, Suspended],
            Self::Failed | Self::Cancelled | Self::Suspended | Self::Finished => &[],
        }
    }

    /// Whether `next` may follow.
    pub fn may_become(self, next: Self) -> bool {
        self.successors().contains(&next)
    }
}

impl fmt::Display for JobStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "CREATED",
            Self::Running => "RUNNING",
            Self::Failing => "FAILING",
            Self::Restarting => "RESTARTING",
            Self::Failed => "FAILED",
            Self::Cancelling => "CANCELLING",
            Self::Cancelled => "CANCELLED",
            Self::Suspended => "SUSPENDED",
            Self::Finished => "FINISHED",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second, independent writing of the table: a row per state, a column per successor in the
    /// order of `ALL`. Fails if a transition is added or lost.
    const TABLE: [&str; 9] = [
        ".xx..x.x.", // Created
        "..xx.x.xx", // Running
        "...xxx.x.", // Failing
        ".xx..x.x.", // Restarting
        ".........", // Failed
        "......xx.", // Cancelling
        ".........", // Cancelled
        ".........", // Suspended
        ".........", // Finished
    ];

    #[test]
    fn every_pair_of_states_is_as_the_table_says() {
        for (row, from) in TABLE.iter().zip(JobStatus::ALL) {
            for (cell, to) in row.chars().zip(JobStatus::ALL) {
                assert_eq!(from.may_become(to), cell == 'x', "{from} -> {to}");
            }
        }
    }

    #[test]
    fn exactly_the_terminal_states_have_no_successor() {
        for status in JobStatus::ALL {
            assert_eq!(
                status.is_terminal(),
                status.successors().is_empty(),
                "{status}"
            );
        }
    }

    /// Fails if a cancelled job could come to life again.
    #[test]
    fn cancelling_ends_only_in_cancelled_or_suspended() {
        assert!(
            JobStatus::Cancelling
                .successors()
                .iter()
                .all(|next| next.is_terminal())
        );
    }
}
