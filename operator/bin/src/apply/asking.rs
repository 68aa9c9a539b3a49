//! Asks the JobManager that leads.

use weir_controller::{Action, Denied, OperationView};

use super::{Applier, ApplyError};
use crate::manager::{self, Request};

impl Applier<'_> {
    /// Whether an action is a request to the JobManager.
    pub(crate) fn asks_manager(action: &Action) -> bool {
        matches!(
            action,
            Action::Stop { .. }
                | Action::Savepoint { .. }
                | Action::Checkpoint { .. }
                | Action::Forget { .. }
        )
    }

    /// Without a JobManager that leads there is nobody to tell: it is told once there is one.
    pub(super) async fn tell(&self, request: Request) -> Result<Option<OperationView>, ApplyError> {
        let Some(manager) = &self.observed().manager else {
            return Ok(None);
        };
        let Some(address) = self.fetched.addresses.get(&manager.pod) else {
            return Ok(None);
        };
        Ok(manager::tell(address, self.rest_port, &manager.job_id, request).await?)
    }

    /// Asks for what the open operation is for. A JobManager that refuses will do so again: what it
    /// said is remembered for the next turn, which tells people; so is how the operation has ended.
    pub(super) async fn ask_for(
        &self,
        operation: &str,
        request: Request,
    ) -> Result<(), ApplyError> {
        let asked = self.tell(request).await;
        let denied = asked.as_ref().err().and_then(ApplyError::denial);
        let denied = denied.map(|why| Denied {
            operation: operation.to_owned(),
            why,
        });
        let is_denied = denied.is_some();
        self.cache.deny(self.key(), denied);
        let answered = match asked {
            Err(_) if is_denied => None,
            asked => asked?,
        };
        self.cache.answer(self.key(), answered);
        Ok(())
    }
}
