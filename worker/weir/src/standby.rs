//! REST of a JobManager that does not lead: it says that it lives, and refuses everything else
//! until there is a job to tell about.

use std::sync::{Arc, OnceLock};

use weir_checkpoint::coordinator::SnapshotRequest;
use weir_checkpoint::pointer::OperationId;
use weir_rpc::{
    BoxFuture, ClusterOverview, DispatcherError, DispatcherGateway, JobCheckpoints, JobDetails,
    JobExceptions, JobOverview, OperationStatus, TaskManagerDetails,
};
use weir_types::JobId;

/// A dispatcher that comes later.
#[derive(Clone, Default)]
pub(crate) struct Standby(Arc<OnceLock<Arc<dyn DispatcherGateway>>>);

impl Standby {
    /// From now on this one answers.
    pub(crate) fn lead(&self, dispatcher: Arc<dyn DispatcherGateway>) {
        // There is one leadership in a process's life.
        drop(self.0.set(dispatcher));
    }

    fn ask<'a, T: Send + 'a>(
        &'a self,
        question: impl FnOnce(&'a dyn DispatcherGateway) -> Answer<'a, T>,
    ) -> Answer<'a, T> {
        match self.0.get() {
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

    fn checkpoints(&self, id: JobId) -> Answer<'_, JobCheckpoints> {
        self.ask(|leader| leader.checkpoints(id))
    }

    fn taskmanagers(&self) -> Answer<'_, Vec<TaskManagerDetails>> {
        self.ask(|leader| leader.taskmanagers())
    }

    fn config(&self) -> Answer<'_, Vec<(String, String)>> {
        self.ask(|leader| leader.config())
    }
}
