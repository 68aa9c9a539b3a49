//! The Dispatcher: answers people and the command line, by asking the driver of the job they mean
//! (Flink's `Dispatcher`). A process runs one job for now; every question names the job, so that
//! there can be more.

use tokio::sync::{mpsc, oneshot};
use weir_rpc::{
    BoxFuture, ClusterOverview, DispatcherError, DispatcherGateway, JobDetails, JobExceptions,
    JobOverview, TaskManagerDetails,
};
use weir_types::JobId;

use crate::job_master::{JobMaster, Now};

/// How many questions may wait; whoever asks waits beyond it.
pub(crate) const QUESTIONS_WAITING_MAX: usize = 64;

/// A question and where its answer goes. Whoever asked may have gone away.
pub(crate) enum Question {
    Overview(oneshot::Sender<ClusterOverview>),
    Jobs(oneshot::Sender<Vec<JobOverview>>),
    Job(JobId, oneshot::Sender<Result<JobDetails, DispatcherError>>),
    Exceptions(
        JobId,
        oneshot::Sender<Result<JobExceptions, DispatcherError>>,
    ),
    /// Answered when it is clear whether the job can still be cancelled.
    Cancel(JobId, oneshot::Sender<Result<(), DispatcherError>>),
    TaskManagers(oneshot::Sender<Vec<TaskManagerDetails>>),
}

/// Answers a question. Returns whether the job is to be cancelled.
pub(crate) fn answer(question: Question, master: &JobMaster, now: Now) -> bool {
    let known = |id: JobId| {
        if id == master.id() {
            Ok(())
        } else {
            Err(DispatcherError::UnknownJob(id))
        }
    };
    match question {
        Question::Overview(reply) => drop(reply.send(master.cluster())),
        Question::Jobs(reply) => drop(reply.send(vec![master.overview(now)])),
        Question::Job(id, reply) => drop(reply.send(known(id).map(|()| master.details(now)))),
        Question::Exceptions(id, reply) => {
            drop(reply.send(known(id).map(|()| master.exceptions())));
        }
        Question::Cancel(id, reply) => {
            let ended = |result: &weir_rpc::JobResult| {
                Err(DispatcherError::Ended {
                    id,
                    result: result.clone(),
                })
            };
            let allowed = known(id).and_then(|()| master.result().map_or(Ok(()), ended));
            let cancel = allowed.is_ok();
            drop(reply.send(allowed));
            return cancel;
        }
        Question::TaskManagers(reply) => drop(reply.send(master.task_managers(now))),
    }
    false
}

/// The gateway.
pub(crate) struct Dispatcher {
    pub(crate) questions: mpsc::Sender<Question>,
    pub(crate) config: Vec<(String, String)>,
}

impl Dispatcher {
    async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<T>) -> Question,
    ) -> Result<T, DispatcherError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.questions.send(question(reply)).await;
        sent.map_err(|_| DispatcherError::ShuttingDown)?;
        answer.await.map_err(|_| DispatcherError::ShuttingDown)
    }
}

impl DispatcherGateway for Dispatcher {
    fn overview(&self) -> BoxFuture<'_, Result<ClusterOverview, DispatcherError>> {
        Box::pin(self.ask(Question::Overview))
    }

    fn jobs(&self) -> BoxFuture<'_, Result<Vec<JobOverview>, DispatcherError>> {
        Box::pin(self.ask(Question::Jobs))
    }

    fn job(&self, id: JobId) -> BoxFuture<'_, Result<JobDetails, DispatcherError>> {
        Box::pin(async move { self.ask(|reply| Question::Job(id, reply)).await? })
    }

    fn exceptions(&self, id: JobId) -> BoxFuture<'_, Result<JobExceptions, DispatcherError>> {
        Box::pin(async move { self.ask(|reply| Question::Exceptions(id, reply)).await? })
    }

    fn cancel(&self, id: JobId) -> BoxFuture<'_, Result<(), DispatcherError>> {
        Box::pin(async move { self.ask(|reply| Question::Cancel(id, reply)).await? })
    }

    fn taskmanagers(&self) -> BoxFuture<'_, Result<Vec<TaskManagerDetails>, DispatcherError>> {
        Box::pin(self.ask(Question::TaskManagers))
    }

    fn config(&self) -> BoxFuture<'_, Result<Vec<(String, String)>, DispatcherError>> {
        Box::pin(async { Ok(self.config.clone()) })
    }
}
