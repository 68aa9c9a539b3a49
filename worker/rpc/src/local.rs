//! The in-process twins: the gateways as bounded queues. The tonic client and server put a socket
//! between the same two pairs of ends.
//!
//! ```text
//!   LocalJobMaster ──register──▶ JobMasterInbox       (the JobMaster reads it)
//!   its session    ──tell──────▶
//!   LocalTaskExecutor ──tell───▶ TaskExecutorInbox    (the TaskManager reads it)
//! ```
//!
//! A session that is dropped tells the inbox so, after all messages that were sent through it. An
//! executor that is dropped ends its inbox, after all commands that were sent through it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::{
    BoxFuture, Fenced, GatewayError, JobInfo, JobMasterGateway, JobMasterSession, JobResult,
    RegisterError, Registered, Registration, TaskExecutorCommand, TaskExecutorGateway,
    TaskManagerMessage,
};

/// How many messages of all TaskManagers may wait for the JobMaster; a sender waits beyond it.
const MESSAGES_WAITING_MAX: usize = 1024;

/// How many commands may wait for a TaskManager. One that lets more pile up counts as lost. A
/// TaskManager is sent a few commands for each of its subtasks at once, so it holds several
/// thousand of those.
const COMMANDS_WAITING_MAX: usize = 16 * 1024;

/// One connection of a TaskManager. A TaskManager that comes back has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// What reaches the JobMaster.
pub enum JobMasterEvent {
    /// A TaskManager asks to be taken in.
    Register {
        /// What it says about itself.
        registration: Registration,
        /// How to reach it from now on.
        executor: Arc<dyn TaskExecutorGateway>,
        /// Where the answer goes.
        reply: RegisterReply,
    },
    /// A TaskManager that was taken in says something.
    Message {
        /// Through which connection.
        connection: ConnectionId,
        /// What.
        message: Fenced<TaskManagerMessage>,
    },
    /// A connection that was accepted is gone; nothing follows from it.
    Disconnected {
        /// Which one.
        connection: ConnectionId,
    },
}

/// The JobMaster's end: what TaskManagers say, in the order in which it came.
pub struct JobMasterInbox {
    events: mpsc::Receiver<JobMasterEvent>,
}

impl JobMasterInbox {
    /// The next event; waits for it. Nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<JobMasterEvent> {
        self.events.recv().await
    }

    /// The next event, if there is one already.
    pub fn try_next(&mut self) -> Option<JobMasterEvent> {
        self.events.try_recv().ok()
    }

    /// Lets no more in; what waits can still be read.
    pub fn close(&mut self) {
        self.events.close();
    }
}

/// A JobMaster of the same process.
#[derive(Clone)]
pub struct LocalJobMaster {
    events: mpsc::Sender<JobMasterEvent>,
    next_connection: Arc<AtomicU64>,
}

impl LocalJobMaster {
    /// A gateway and what comes through it.
    pub fn new() -> (Self, JobMasterInbox) {
        let (sender, events) = mpsc::channel(MESSAGES_WAITING_MAX);
        (
            Self {
                events: sender,
                next_connection: Arc::default(),
            },
            JobMasterInbox { events },
        )
    }
}

impl JobMasterGateway for LocalJobMaster {
    fn register(
        &self,
        registration: Registration,
        executor: Arc<dyn TaskExecutorGateway>,
    ) -> BoxFuture<'_, Result<Registered, RegisterError>> {
        let connection = ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed));
        Box::pin(async move {
            let gone = || RegisterError::Unreachable {
                address: "the same process".to_owned(),
                cause: "it has stopped".to_owned(),
            };
            let (sender, answer) = oneshot::channel();
            let reply = RegisterReply {
                connection,
                sender,
                events: self.events.clone(),
            };
            let event = JobMasterEvent::Register {
                registration,
                executor,
                reply,
            };
            self.events.send(event).await.map_err(|_| gone())?;
            answer.await.unwrap_or_else(|_| Err(gone()))
        })
    }
}

/// Answers a TaskManager that asked to be taken in.
pub struct RegisterReply {
    connection: ConnectionId,
    sender: oneshot::Sender<Result<Registered, RegisterError>>,
    events: mpsc::Sender<JobMasterEvent>,
}

impl RegisterReply {
    /// The connection that an acceptance opens.
    pub fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// Takes the TaskManager in. From now on the end of its connection is an event, even if it went
    /// away before it heard the answer. Must be called within a tokio runtime.
    pub fn accept(self, job: JobInfo) {
        let (alive, gone) = oneshot::channel::<()>();
        let (connection, events) = (self.connection, self.events.clone());
        tokio::spawn(async move {
            drop(gone.await);
            // The JobMaster may have stopped before: then nobody wants to know.
            drop(
                events
                    .send(JobMasterEvent::Disconnected { connection })
                    .await,
            );
        });
        let session = LocalSession {
            connection,
            events: self.events,
            _alive: alive,
        };
        drop(self.sender.send(Ok(Registered {
            job,
            session: Arc::new(session),
        })));
    }

    /// Turns it away for good.
    pub fn refuse(self, reason: String) {
        drop(self.sender.send(Err(RegisterError::Refused(reason))));
    }

    /// Tells it that there is nothing left to do.
    pub fn job_ended(self, result: JobResult) {
        drop(self.sender.send(Err(RegisterError::JobEnded(result))));
    }
}

struct LocalSession {
    connection: ConnectionId,
    events: mpsc::Sender<JobMasterEvent>,
    /// Dropped with the session, which ends the task that waits for it.
    _alive: oneshot::Sender<()>,
}

impl JobMasterSession for LocalSession {
    fn tell(&self, message: Fenced<TaskManagerMessage>) -> BoxFuture<'_, Result<(), GatewayError>> {
        let event = JobMasterEvent::Message {
            connection: self.connection,
            message,
        };
        Box::pin(async move {
            self.events
                .send(event)
                .await
                .map_err(|_| GatewayError::Closed)
        })
    }
}

/// What reaches a TaskManager.
#[derive(Debug)]
pub enum TaskExecutorEvent {
    /// Something to do.
    Command(Fenced<TaskExecutorCommand>),
    /// The connection is gone; nothing follows.
    Disconnected(String),
}

/// The TaskManager's end: what the JobMaster tells it.
pub struct TaskExecutorInbox {
    events: mpsc::Receiver<TaskExecutorEvent>,
}

impl TaskExecutorInbox {
    /// The next event; waits for it. Nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> TaskExecutorEvent {
        let gone = || TaskExecutorEvent::Disconnected("the JobManager hung up".to_owned());
        self.events.recv().await.unwrap_or_else(gone)
    }
}

/// A TaskManager of the same process.
pub struct LocalTaskExecutor {
    events: mpsc::Sender<TaskExecutorEvent>,
}

impl LocalTaskExecutor {
    /// A gateway and what comes through it.
    pub fn new() -> (Self, TaskExecutorInbox) {
        Self::with_capacity(COMMANDS_WAITING_MAX)
    }

    fn with_capacity(capacity: usize) -> (Self, TaskExecutorInbox) {
        let (sender, events) = mpsc::channel(capacity);
        (Self { events: sender }, TaskExecutorInbox { events })
    }
}

impl TaskExecutorGateway for LocalTaskExecutor {
    fn tell(&self, command: Fenced<TaskExecutorCommand>) -> Result<(), GatewayError> {
        self.events
            .try_send(TaskExecutorEvent::Command(command))
            .map_err(|error| match error {
                TrySendError::Full(_) => GatewayError::Full {
                    waiting: self.events.max_capacity(),
                },
                TrySendError::Closed(_) => GatewayError::Closed,
            })
    }

    fn disconnected(&self, reason: &str) {
        // A full queue tells the same when it has been read, as this gateway is dropped next.
        drop(
            self.events
                .try_send(TaskExecutorEvent::Disconnected(reason.to_owned())),
        );
    }
}

#[cfg(test)]
mod tests {
    use weir_types::Epoch;

    use super::*;

    fn beat() -> Fenced<TaskExecutorCommand> {
        Fenced::new(Epoch(1), TaskExecutorCommand::Heartbeat)
    }

    #[tokio::test]
    async fn a_taskmanager_that_does_not_read_is_noticed_without_waiting() {
        let (executor, mut inbox) = LocalTaskExecutor::with_capacity(2);
        assert_eq!(executor.tell(beat()), Ok(()));
        assert_eq!(executor.tell(beat()), Ok(()));
        assert_eq!(
            executor.tell(beat()),
            Err(GatewayError::Full { waiting: 2 })
        );
        drop(executor);
        for _ in 0..2 {
            assert!(matches!(inbox.next().await, TaskExecutorEvent::Command(_)));
        }
        assert!(matches!(
            inbox.next().await,
            TaskExecutorEvent::Disconnected(_)
        ));
    }

    #[tokio::test]
    async fn a_jobmaster_that_stopped_answers_nobody() {
        let (gateway, inbox) = LocalJobMaster::new();
        drop(inbox);
        let (executor, _inbox) = LocalTaskExecutor::new();
        let registration = crate::wire::examples::registration();
        let error = gateway
            .register(registration, Arc::new(executor))
            .await
            .expect_err("stopped");
        assert!(
            matches!(error, RegisterError::Unreachable { .. }),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_dropped_session_is_told_after_its_messages() {
        let (gateway, mut inbox) = LocalJobMaster::new();
        let (executor, _inbox) = LocalTaskExecutor::new();
        let register = gateway.register(crate::wire::examples::registration(), Arc::new(executor));
        let serve = async {
            let Some(JobMasterEvent::Register { reply, .. }) = inbox.next().await else {
                panic!("a registration comes first");
            };
            reply.accept(crate::wire::examples::job_info());
            inbox
        };
        let (registered, mut inbox) = tokio::join!(register, serve);
        let session = registered.expect("accepted").session;
        let message = TaskManagerMessage::Heartbeat { tasks: Vec::new() };
        session
            .tell(Fenced::new(Epoch(1), message))
            .await
            .expect("there is room");
        drop(session);
        assert!(matches!(
            inbox.next().await,
            Some(JobMasterEvent::Message { .. })
        ));
        assert!(matches!(
            inbox.next().await,
            Some(JobMasterEvent::Disconnected { .. })
        ));
    }
}
