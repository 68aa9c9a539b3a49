//! REST of a JobManager that does not lead: it says that it lives, what it has found out about the
//! job's state, and refuses everything else until there is a job to tell about.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use weir_checkpoint::coordinator::SnapshotRequest;
use weir_checkpoint::pointer::OperationId;
use weir_rpc::{
    BoxFuture, ClusterOverview, DispatcherError, DispatcherGateway, JobCheckpoints, JobDetails,
    JobExceptions, JobOverview, OperationStatus, StandbyState, StandbyView, StateCheck,
    TaskManagerDetails,
};
use weir_types::JobId;

/// A dispatcher that comes later.
#[derive(Clone)]
pub(crate) struct Standby {
    leader: Arc<OnceLock<Arc<dyn DispatcherGateway>>>,
    view: Arc<Mutex<StandbyView>>,
}

impl Default for Standby {
    fn default() -> Self {
        let view = StandbyView {
            state: StandbyState::Candidate,
            check: None,
        };
        Self {
            leader: Arc::default(),
            view: Arc::new(Mutex::new(view)),
        }
    }
}

impl Standby {
    /// From now on this one answers.
    pub(crate) fn lead(&self, dispatcher: Arc<dyn DispatcherGateway>) {
        self.stand(StandbyState::Leads);
        // There is one leadership in a process's life.
        drop(self.leader.set(dispatcher));
    }

    /// Where this process stands from now on.
    pub(crate) fn stand(&self, state: StandbyState) {
        self.change(|view| view.state = state);
    }

    /// What was found out about the job's state.
    pub(crate) fn found(&self, check: StateCheck) {
        self.change(|view| view.check = Some(check));
    }

    fn change(&self, change: impl FnOnce(&mut StandbyView)) {
        change(&mut self.view.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn ask<'a, T: Send + 'a>(
        &'a self,
        question: impl FnOnce(&'a dyn DispatcherGateway) -> Answer<'a, T>,
    ) -> Answer<'a, T> {
        match self.leader.get() {
            Some(dispatcher) => question(dispatcher.as_ref()),
            None => Box::pin(async { Err(DispatcherError::ShuttingDown) }),
        }
    }
}

type Answer<'a, T> = BoxFuture<'a, Result<T, DispatcherError>>;

impl DispatcherGateway for Standby {
    fn overview(&self) -> Answer<'_, ClusterOverview> {
        self.ask(|leader| leader.overview())
    }

    fn jobs(&self) -> Answer<'_, Vec<JobOverview>> {
        self.ask(|leader| leader.jobs())
    }

    fn job(&self, id: JobId) -> Answer<'_, JobDetails> {
        self.ask(|leader| leader.job(id))
    }

    fn exceptions(&self, id: JobId) -> Answer<'_, JobExceptions> {
        self.ask(|leader| leader.exceptions(id))
    }

    fn cancel(&self, id: JobId) -> Answer<'_, ()> {
        self.ask(|leader| leader.cancel(id))
    }

    fn trigger_snapshot(&self, id: JobId, request: SnapshotRequest) -> Answer<'_, ()> {
        self.ask(|leader| leader.trigger_snapshot(id, request))
    }

    fn operation(&self, id: JobId, operation: OperationId) -> Answer<'_, OperationStatus> {
        self.ask(|leader| leader.operation(id, operation))
    }

    fn forget_savepoint(&self, id: JobId, operation: OperationId) -> Answer<'_, ()> {
        self.ask(|leader| leader.forget_savepoint(id, operation))
    }

    fn checkpoints(&self, id: JobId) -> Answer<'_, JobCheckpoints> {
        self.ask(|leader| leader.checkpoints(id))
    }

    fn taskmanagers(&self) -> Answer<'_, Vec<TaskManagerDetails>> {
        self.ask(|leader| leader.taskmanagers())
    }

    fn config(&self) -> Answer<'_, Vec<(String, String)>> {
        self.ask(|leader| leader.config())
    }

    fn standby(&self) -> StandbyView {
        let view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        view.clone()
    }
}
