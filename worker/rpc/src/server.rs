//! The JobManager's end of the connections: hands registrations, and then messages, to a gateway of
//! the same process.
//!
//! One stream per TaskManager. The first message must be a registration and must come soon; bytes
//! that are no message, a message over the cap and a registration that never comes end that one
//! connection and nothing else.

mod accept;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use weir_graph::ExecutionState;
use weir_types::{Fault, FaultClass};

use crate::local::{LocalTaskExecutor, TaskExecutorEvent, TaskExecutorInbox};
use crate::wire::{
    COMMAND_BYTES_MAX, MESSAGE_BYTES_MAX, command_to_wire, info_to_wire, message_from_wire, pb,
    registration_from_wire, result_to_wire,
};
use crate::{
    Fenced, FencedBody, GatewayError, JobInfo, JobMasterGateway, JobMasterSession, RegisterError,
    Registered, Registration, TaskExecutorCommand, TaskExecutorGateway, TaskManagerMessage,
};
use pb::job_master_server::{JobMaster, JobMasterServer};

/// How many encoded commands lie between the queue of commands and the socket.
const ENCODED_WAITING_MAX: usize = 16;

/// How many connections may wait for the server to take them up.
const ADMITTED_WAITING_MAX: usize = 16;

/// Limits of the server.
#[derive(Clone, Copy, Debug)]
pub struct ServerOptions {
    /// How long a connection may take to register.
    pub registration_timeout: Duration,
    /// How often a silent connection is asked whether it lives.
    pub keepalive_interval: Duration,
    /// How long it may take to answer that.
    pub keepalive_timeout: Duration,
    /// The longest message that is read.
    pub message_bytes_max: usize,
    /// The longest command that is sent. A longer one fails the subtask that it is for.
    pub command_bytes_max: usize,
    /// How many connections are served at the same time; further ones wait.
    pub connections_max: usize,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            registration_timeout: Duration::from_secs(10),
            keepalive_interval: Duration::from_secs(10),
            keepalive_timeout: Duration::from_secs(10),
            message_bytes_max: MESSAGE_BYTES_MAX,
            command_bytes_max: COMMAND_BYTES_MAX,
            connections_max: 1024,
        }
    }
}

/// The server stopped by itself.
#[derive(Debug, thiserror::Error)]
#[error("serve TaskManagers at {address}")]
pub struct ServerError {
    /// Where it listened.
    pub address: SocketAddr,
    /// Why it stopped.
    #[source]
    pub source: tonic::transport::Error,
}

/// Serves TaskManagers until `shutdown` is done.
pub async fn serve(
    listener: TcpListener,
    gateway: Arc<dyn JobMasterGateway>,
    options: ServerOptions,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServerError> {
    let address = listener
        .local_addr()
        .unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
    let (sender, admitted) = mpsc::channel(ADMITTED_WAITING_MAX);
    let (limit, most) = (options.registration_timeout, options.connections_max);
    tokio::spawn(accept::accept(listener, sender, limit, most));
    let service = JobMasterServer::new(Service { gateway, options })
        .max_decoding_message_size(options.message_bytes_max)
        .max_encoding_message_size(options.command_bytes_max);
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(options.keepalive_interval))
        .http2_keepalive_timeout(Some(options.keepalive_timeout))
        .add_service(service)
        .serve_with_incoming_shutdown(ReceiverStream::new(admitted), shutdown)
        .await
        .map_err(|source| ServerError { address, source })
}

struct Service {
    gateway: Arc<dyn JobMasterGateway>,
    options: ServerOptions,
}

type Inbound = Streaming<pb::TaskManagerMessage>;
type Outbound = ReceiverStream<Result<pb::JobMasterMessage, Status>>;

#[tonic::async_trait]
impl JobMaster for Service {
    type AttachStream = Outbound;

    async fn attach(&self, request: Request<Inbound>) -> Result<Response<Outbound>, Status> {
        let peer = request.remote_addr();
        let mut inbound = request.into_inner();
        let registration = self.registration(&mut inbound, peer).await?;
        let (executor, commands) = LocalTaskExecutor::new();
        let (dropped, executor_dropped) = oneshot::channel();
        let executor = ConnectionExecutor {
            executor,
            _dropped: dropped,
        };
        let (sender, outbound) = mpsc::channel(ENCODED_WAITING_MAX);
        let answer = self
            .gateway
            .register(registration, Arc::new(executor))
            .await;
        let (first, session) = match answer {
            Ok(Registered { job, session }) => (accepted(&job), Some(session)),
            Err(error) => (turned_away(error)?, None),
        };
        sender
            .try_send(Ok(first))
            .expect("the queue is new and its reader is held here");
        if let Some(session) = session {
            let (told, limit) = (Arc::downgrade(&session), self.options.command_bytes_max);
            tokio::spawn(write(commands, sender, told, limit));
            tokio::spawn(read(inbound, session, executor_dropped));
        }
        Ok(Response::new(ReceiverStream::new(outbound)))
    }
}

impl Service {
    async fn registration(
        &self,
        inbound: &mut Inbound,
        peer: Option<SocketAddr>,
    ) -> Result<Registration, Status> {
        let limit = self.options.registration_timeout;
        let first = tokio::time::timeout(limit, inbound.message())
            .await
            .map_err(|_| Status::deadline_exceeded("no registration came"))??;
        let Some(pb::task_manager_message::Body::Register(register)) =
            first.and_then(|message| message.body)
        else {
            return Err(Status::failed_precondition(
                "the first message must be a registration",
            ));
        };
        let mut registration = registration_from_wire(register)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        if let (Some(address), Some(peer)) = (&mut registration.data_address, peer)
            && address.ip().is_unspecified()
        {
            address.set_ip(peer.ip());
        }
        Ok(registration)
    }
}

fn accepted(job: &JobInfo) -> pb::JobMasterMessage {
    let body = pb::job_master_message::Body::Registered(info_to_wire(job));
    pb::JobMasterMessage {
        epoch: job.epoch.0,
        body: Some(body),
    }
}

fn turned_away(error: RegisterError) -> Result<pb::JobMasterMessage, Status> {
    use pb::job_master_message::Body;
    let body = match error {
        RegisterError::Refused(reason) => Body::Refused(pb::Refused { reason }),
        RegisterError::JobEnded(result) => Body::JobEnded(result_to_wire(&result)),
        RegisterError::Unreachable { cause, .. } => return Err(Status::unavailable(cause)),
    };
    Ok(pb::JobMasterMessage {
        epoch: 0,
        body: Some(body),
    })
}

/// Passes commands on to the socket, until the JobMaster drops the executor or the TaskManager
/// hangs up. A command over the limit would break the connection, and again on the next one; the
/// JobMaster is told instead that its subtask has failed.
///
/// A command is encoded when there is room for it; a deployment, which may hold the state of all
/// former subtasks, when all before it have left the queue. Until then it shares that state with
/// the others.
async fn write(
    mut commands: TaskExecutorInbox,
    sender: mpsc::Sender<Result<pb::JobMasterMessage, Status>>,
    session: Weak<dyn JobMasterSession>,
    limit: usize,
) {
    while let TaskExecutorEvent::Command(command) = commands.next().await {
        let places = match command.parts() {
            (_, TaskExecutorCommand::Deploy(_)) => ENCODED_WAITING_MAX,
            _ => 1,
        };
        let Ok(mut places) = sender.reserve_many(places).await else {
            return;
        };
        let message = command_to_wire(&command);
        let bytes = message.encoded_len();
        if bytes > limit
            && let Some(failed) = too_large(&command, bytes, limit)
        {
            // The reader has the session. When it is gone, so is the TaskManager.
            let Some(session) = session.upgrade() else {
                return;
            };
            if session.tell(failed).await.is_err() {
                return;
            }
            continue;
        }
        if let Some(place) = places.next() {
            place.send(Ok(message));
        }
    }
}

/// That the subtask which the command is for has failed; none if it is for no subtask. To send it
/// again would not make it smaller.
fn too_large(
    command: &Fenced<TaskExecutorCommand>,
    bytes: usize,
    limit: usize,
) -> Option<Fenced<TaskManagerMessage>> {
    let (epoch, body) = command.parts();
    let attempt = body.attempt()?;
    let what = match body {
        TaskExecutorCommand::Deploy(task) if task.restore.is_some() => {
            "deploy it with the state that it is restored from"
        }
        TaskExecutorCommand::Deploy(_) => "deploy it",
        TaskExecutorCommand::Split { .. } => "give it a split",
        _ => "tell it something",
    };
    let cause = format!(
        "{what}: the message takes {bytes} bytes, over the limit of {limit} bytes \
         (`command_bytes_max`)"
    );
    let failed = TaskManagerMessage::TaskState {
        attempt,
        state: ExecutionState::Failed,
        fault: Some(Fault::task(FaultClass::NonRecoverable, attempt, cause)),
        metrics: None,
    };
    Some(Fenced::new(epoch, failed))
}

/// Passes messages on to the JobMaster, until the TaskManager hangs up or the JobMaster drops the
/// executor. Ends the session with it.
async fn read(
    mut inbound: Inbound,
    session: Arc<dyn JobMasterSession>,
    mut executor_dropped: oneshot::Receiver<()>,
) {
    loop {
        // Both can be dropped and taken up again without losing anything.
        let received = tokio::select! {
            received = inbound.message() => received,
            _ = &mut executor_dropped => return,
        };
        let message = match received {
            Ok(Some(message)) => message,
            Ok(None) => return,
            Err(status) => {
                tracing::debug!(%status, "a taskmanager's connection broke");
                return;
            }
        };
        match message_from_wire(message) {
            Ok(message) => {
                if session.tell(message).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "hang up on a taskmanager that sent no valid message");
                return;
            }
        }
    }
}

/// The way to a TaskManager; dropping it also ends the reading from that TaskManager.
struct ConnectionExecutor {
    executor: LocalTaskExecutor,
    _dropped: oneshot::Sender<()>,
}

impl TaskExecutorGateway for ConnectionExecutor {
    fn tell(&self, command: Fenced<TaskExecutorCommand>) -> Result<(), GatewayError> {
        self.executor.tell(command)
    }

    fn disconnected(&self, reason: &str) {
        self.executor.disconnected(reason);
    }
}

#[cfg(test)]
mod tests;
