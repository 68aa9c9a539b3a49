//! What a JobManager tells before it leads.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether this JobManager leads, and what it has found out before (`GET /standby`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Standby {
    /// Where it stands.
    pub state: StandbyState,
    /// Whether its program can go on from the job's state, if it has looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<StateCheck>,
}

/// Where a JobManager stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StandbyState {
    /// It waits until the job's Lease is made, and claims nothing before.
    Gated,
    /// It stands for election.
    Candidate,
    /// It leads.
    Leads,
}

/// Whether a program can go on from a job's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct StateCheck {
    /// What was found.
    pub state: CheckState,
    /// In one word.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Cause, place and next step.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The number of the snapshot that it would go on from; none if it would start with no state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<u64>,
    /// The deployment that has the job now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<u64>,
}

/// What a check of the state found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CheckState {
    /// Nothing yet.
    Pending,
    /// The program can go on from it.
    Passed,
    /// It cannot.
    Failed,
    /// The job's storage could not be asked.
    Unreachable,
}
