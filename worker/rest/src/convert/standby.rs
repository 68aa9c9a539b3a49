//! What a JobManager tells before it leads.

use weir_rpc::{StandbyState, StandbyView, StateCheck, StateVerdict};

use crate::dto;

pub(crate) fn standby(view: StandbyView) -> dto::Standby {
    dto::Standby {
        state: match view.state {
            StandbyState::Gated => dto::StandbyState::Gated,
            StandbyState::Candidate => dto::StandbyState::Candidate,
            StandbyState::Leads => dto::StandbyState::Leads,
        },
        check: view.check.map(check),
    }
}

fn check(view: StateCheck) -> dto::StateCheck {
    dto::StateCheck {
        state: match view.verdict {
            StateVerdict::Pending => dto::CheckState::Pending,
            StateVerdict::Passed => dto::CheckState::Passed,
            StateVerdict::Failed => dto::CheckState::Failed,
            StateVerdict::Unreachable => dto::CheckState::Unreachable,
        },
        reason: view.reason,
        message: view.message,
        snapshot: view.snapshot.map(|snapshot| snapshot.0),
        deployment: view.deployment,
    }
}
