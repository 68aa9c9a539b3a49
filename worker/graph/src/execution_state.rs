//! The states of one attempt of one subtask (Flink's `ExecutionState`), and which may follow which.
//!
//! ```text
//! Created -> Scheduled -> Deploying -> Initializing -> Running -> Finished
//!    |           |            |             |             |
//!    |           |            +------> Canceling <--------+
//!    |           |                         |
//!    +-----------+---------------------> Canceled
//!
//! Failed may follow every state up to Running. What fails while it is being cancelled counts as
//! cancelled.
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

/// The state of one attempt of one subtask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ExecutionState {
    /// It exists.
    Created,
    /// It waits for a slot.
    Scheduled,
    /// It has a slot, and its TaskManager was asked to run it.
    Deploying,
    /// It restores state and connects its channels.
    Initializing,
    /// It processes records.
    Running,
    /// It came to the end of its input.
    Finished,
    /// Its TaskManager was asked to stop it.
    Canceling,
    /// It was stopped.
    Canceled,
    /// It stopped by an error.
    Failed,
}

impl ExecutionState {
    /// All states, in the order above.
    pub const ALL: [Self; 9] = [
        Self::Created,
        Self::Scheduled,
        Self::Deploying,
        Self::Initializing,
        Self::Running,
        Self::Finished,
        Self::Canceling,
        Self::Canceled,
        Self::Failed,
    ];

    /// Whether the attempt is over.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Finished | Self::Canceled | Self::Failed)
    }

    /// Whether a TaskManager may have it.
    pub fn is_deployed(self) -> bool {
        matches!(
            self,
            Self::Deploying | Self::Initializing | Self::Running | Self::Canceling
        )
    }

    /// The states that may follow: the whole table.
    ///
    /// A task that has nothing to restore may run without initializing, and a short one may finish
    /// while it initializes. A task that was cancelled though nobody asked is `Canceled` from
    /// wherever it was.
    pub fn successors(self) -> &'static [Self] {
        use ExecutionState::{
            Canceled, Canceling, Deploying, Failed, Finished, Initializing, Running, Scheduled,
        };
        match self {
            Self::Created => &[Scheduled, Canceled, Failed],
            Self::Scheduled => &[Deploying, Canceled, Failed],
            Self::Deploying => &[Initializing, Running, Canceling, Canceled, Failed],
            Self::Initializing => &[Running, Finished, Canceling, Canceled, Failed],
            Self::Running => &[Finished, Canceling, Canceled, Failed],
            Self::Canceling => &[Canceled],
            Self::Finished | Self::Canceled | Self::Failed => &[],
        }
    }

    /// Whether `next` may follow.
    pub fn may_become(self, next: Self) -> bool {
        self.successors().contains(&next)
    }
}

impl fmt::Display for ExecutionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "CREATED",
            Self::Scheduled => "SCHEDULED",
            Self::Deploying => "DEPLOYING",
            Self::Initializing => "INITIALIZING",
            Self::Running => "RUNNING",
            Self::Finished => "FINISHED",
            Self::Canceling => "CANCELING",
            Self::Canceled => "CANCELED",
            Self::Failed => "FAILED",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second, independent writing of the table: a row per state, a column per successor in the
    /// order of `ALL`. Fails if a transition is added or lost.
    const TABLE: [&str; 9] = [
        //CSDIRFcXf
        ".x.....xx", // Created
        "..x....xx", // Scheduled
        "...xx.xxx", // Deploying
        "....xxxxx", // Initializing
        ".....xxxx", // Running
        ".........", // Finished
        ".......x.", // Canceling
        ".........", // Canceled
        ".........", // Failed
    ];

    #[test]
    fn every_pair_of_states_is_as_the_table_says() {
        for (row, from) in TABLE.iter().zip(ExecutionState::ALL) {
            for (cell, to) in row.chars().zip(ExecutionState::ALL) {
                assert_eq!(from.may_become(to), cell == 'x', "{from} -> {to}");
            }
        }
    }

    #[test]
    fn exactly_the_terminal_states_have_no_successor_and_each_state_reaches_one() {
        for state in ExecutionState::ALL {
            assert_eq!(
                state.is_terminal(),
                state.successors().is_empty(),
                "{state}"
            );
            let mut reached = vec![state];
            let mut next = 0;
            while next < reached.len() {
                for &successor in reached[next].successors() {
                    if !reached.contains(&successor) {
                        reached.push(successor);
                    }
                }
                next += 1;
            }
            assert!(reached.iter().any(|state| state.is_terminal()), "{state}");
            assert_eq!(reached.iter().filter(|&&other| other == state).count(), 1);
        }
    }

    #[test]
    fn no_state_can_come_back() {
        for state in ExecutionState::ALL {
            for &successor in state.successors() {
                assert!(!successor.may_become(state), "{state} <-> {successor}");
                assert_ne!(successor, state);
            }
        }
    }
}
