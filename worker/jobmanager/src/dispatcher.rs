//! The Dispatcher: answers people and the command line, by asking the driver of the job they mean
//! (Flink's `Dispatcher`). A process runs one job for now; every question names the job, so that
//! there can be more.

use tokio::sync::{mpsc, oneshot};
use weir_checkpoint::coordinator::SnapshotRequest;
use weir_checkpoint::pointer::OperationId;
use weir_rpc::{
    BoxFuture, ClusterOverview, DispatcherError, DispatcherGateway, JobCheckpoints, JobDetails,
    JobExceptions, JobOverview, OperationStatus, TaskManagerDetails,
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
    /// Answered when it is clear whether the job can still be cancelled. `true`: its checkpoints
    /// stay.
    Cancel(JobId, bool, oneshot::Sender<Result<(), DispatcherError>>),
    TaskManagers(oneshot::Sender<Vec<TaskManagerDetails>>),
    /// Answered when it is clear whether it can be taken.
    Snapshot(
        JobId,
        SnapshotRequest,
        oneshot::Sender<Result<(), DispatcherError>>,
    ),
    Operation(
        JobId,
        OperationId,
        oneshot::Sender<Result<OperationStatus, DispatcherError>>,
    ),
    /// Answered when it is clear whether the savepoint may go.
    Forget(
        JobId,
        OperationId,
        oneshot::Sender<Result<(), DispatcherError>>,
    ),
    Checkpoints(
        JobId,
        oneshot::Sender<Result<JobCheckpoints, DispatcherError>>,
    ),
}

/// What a question asks the job to do.
pub(crate) enum Wish {
    Cancel,
    CancelAndKeep,
    Snapshot(SnapshotRequest),
    Forget(OperationId),
}

/// Answers a question. Returns what is to be done about it.
pub(crate) fn answer(question: Question, master: &JobMaster, now: Now) -> Option<Wish> {
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
        Question::Cancel(id, keep, reply) => {
            let allowed = known(id).and_then(|()| not_ended(id, master));
            let wish = if keep {
                Wish::CancelAndKeep
            } else {
                Wish::Cancel
            };
            let cancel = allowed.is_ok().then_some(wish);
            drop(reply.send(allowed));
            return cancel;
        }
        Question::Snapshot(id, request, reply) => {
            let allowed = known(id).and_then(|()| {
                if !master.takes_snapshots() {
                    return Err(DispatcherError::CheckpointsOff(id));
                }
                not_ended(id, master)
            });
            let wish = allowed.is_ok().then_some(Wish::Snapshot(request));
            drop(reply.send(allowed));
            return wish;
        }
        Question::Operation(id, operation, reply) => {
            let status = known(id).and_then(|()| {
                let unknown = || DispatcherError::UnknownOperation {
                    id,
                    operation: operation.0.clone(),
                };
                master.operation(&operation).ok_or_else(unknown)
            });
            drop(reply.send(status));
        }
        Question::Forget(id, operation, reply) => {
            let allowed = known(id).and_then(|()| {
                if !master.takes_snapshots() {
                    return Err(DispatcherError::CheckpointsOff(id));
                }
                not_ended(id, master)?;
                let needed = |why: &str| DispatcherError::Needed {
                    operation: operation.0.clone(),
                    why: why.to_owned(),
                };
                master
                    .needs_savepoint(&operation)
                    .map_or(Ok(()), |why| Err(needed(why)))
            });
            let wish = allowed.is_ok().then_some(Wish::Forget(operation));
            drop(reply.send(allowed));
            return wish;
        }
        Question::Checkpoints(id, reply) => {
            let off = || DispatcherError::CheckpointsOff(id);
            let checkpoints = known(id).and_then(|()| master.job_checkpoints(now).ok_or_else(off));
            drop(reply.send(checkpoints));
        }
        Question::TaskManagers(reply) => drop(reply.send(master.task_managers(now))),
    }
    None
}

fn not_ended(id: JobId, master: &JobMaster) -> Result<(), DispatcherError> {
    match master.result() {
        None => Ok(()),
        Some(result) => Err(DispatcherError::Ended {
            id,
            result: result.clone(),
        }),
    }
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
        Box::pin(async move { self.ask(|reply| Question::Cancel(id, false, reply)).await? })
    }

    fn cancel_and_keep(&self, id: JobId) -> BoxFuture<'_, Result<(), DispatcherError>> {
        Box::pin(async move { self.ask(|reply| Question::Cancel(id, true, reply)).await? })
    }

    fn trigger_snapshot(
        &self,
        id: JobId,
        request: SnapshotRequest,
    ) -> BoxFuture<'_, Result<(), DispatcherError>> {
        Box::pin(async move {
            self.ask(|reply| Question::Snapshot(id, request, reply))
                .await?
        })
    }

    fn operation(
        &self,
        id: JobId,
        operation: OperationId,
    ) -> BoxFuture<'_, Result<OperationStatus, DispatcherError>> {
        Box::pin(async move {
            self.ask(|reply| Question::Operation(id, operation, reply))
                .await?
        })
    }

    fn forget_savepoint(
        &self,
        id: JobId,
        operation: OperationId,
    ) -> BoxFuture<'_, Result<(), DispatcherError>> {
        Box::pin(async move {
            self.ask(|reply| Question::Forget(id, operation, reply))
                .await?
        })
    }

    fn checkpoints(&self, id: JobId) -> BoxFuture<'_, Result<JobCheckpoints, DispatcherError>> {
        Box::pin(async move { self.ask(|reply| Question::Checkpoints(id, reply)).await? })
    }

    fn taskmanagers(&self) -> BoxFuture<'_, Result<Vec<TaskManagerDetails>, DispatcherError>> {
        Box::pin(self.ask(Question::TaskManagers))
    }

    fn config(&self) -> BoxFuture<'_, Result<Vec<(String, String)>, DispatcherError>> {
        Box::pin(async { Ok(self.config.clone()) })
    }
}
