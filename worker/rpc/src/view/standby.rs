//! What a JobManager tells before it leads.

use weir_types::CheckpointId;

/// Whether a JobManager leads, and what it has found out about the job's state before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StandbyView {
    /// Where it stands.
    pub state: StandbyState,
    /// Whether its program can go on from the job's state. None: it was not asked to find out.
    pub check: Option<StateCheck>,
}

/// Where a JobManager stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StandbyState {
    /// It waits until an election is held.
    Gated,
    /// It stands for election, or claims the job.
    Candidate,
    /// It leads the job.
    #[default]
    Leads,
}

/// Whether a program can go on from a job's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateCheck {
    /// What was found.
    pub verdict: StateVerdict,
    /// In one word for programs; empty if there is nothing to say.
    pub reason: String,
    /// For people; empty if there is nothing to say.
    pub message: String,
    /// The snapshot that it would go on from; none if it would start with no state.
    pub snapshot: Option<CheckpointId>,
    /// The deployment that has the job, if one has.
    pub deployment: Option<u64>,
}

/// What a check of the state found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateVerdict {
    /// Nothing yet.
    Pending,
    /// The program can go on from it.
    Passed,
    /// It cannot.
    Failed,
    /// The job's storage could not be asked.
    Unreachable,
}
