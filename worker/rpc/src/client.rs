//! The TaskManager's end of the connection: a JobMaster gateway that dials.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use tonic::{Status, Streaming};
use weir_types::causes;

use crate::wire::{
    COMMAND_BYTES_MAX, MESSAGE_BYTES_MAX, command_from_wire, info_from_wire, message_to_wire, pb,
    registration_to_wire, result_from_wire,
};
use crate::{
    BoxFuture, Fenced, GatewayError, JobMasterGateway, JobMasterSession, RegisterError, Registered,
    Registration, TaskExecutorGateway, TaskManagerMessage,
};
use pb::job_master_client::JobMasterClient as WireClient;

/// How many encoded messages may wait for the socket; a sender waits beyond it.
const ENCODED_WAITING_MAX: usize = 256;

/// Limits of the client.
#[derive(Clone, Copy, Debug)]
pub struct JobMasterClientOptions {
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long the JobManager may take to answer a registration.
    pub answer_timeout: Duration,
    /// How often a silent connection is asked whether it lives.
    pub keepalive_interval: Duration,
    /// How long it may take to answer that.
    pub keepalive_timeout: Duration,
    /// The longest message that is sent.
    pub message_bytes_max: usize,
    /// The longest command that is read.
    pub command_bytes_max: usize,
}

impl Default for JobMasterClientOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(10),
            keepalive_interval: Duration::from_secs(10),
            keepalive_timeout: Duration::from_secs(10),
            message_bytes_max: MESSAGE_BYTES_MAX,
            command_bytes_max: COMMAND_BYTES_MAX,
        }
    }
}

/// A JobMaster in another process.
#[derive(Clone, Debug)]
pub struct JobMasterClient {
    address: String,
    options: JobMasterClientOptions,
}

impl JobMasterClient {
    /// The JobMaster at `HOST:PORT`. Nothing is dialled yet.
    pub fn new(address: impl Into<String>, options: JobMasterClientOptions) -> Self {
        Self {
            address: address.into(),
            options,
        }
    }

    fn unreachable(&self, cause: impl Into<String>) -> RegisterError {
        RegisterError::Unreachable {
            address: self.address.clone(),
            cause: cause.into(),
        }
    }

    async fn connect(
        &self,
        registration: &Registration,
    ) -> Result<
        (
            pb::JobMasterMessage,
            mpsc::Sender<pb::TaskManagerMessage>,
            Inbound,
        ),
        RegisterError,
    > {
        let channel = Endpoint::from_shared(format!("http://{}", self.address))
            .map_err(|error| self.unreachable(format!("this is no HOST:PORT: {}", told(&error))))?
            .connect_timeout(self.options.connect_timeout)
            .http2_keep_alive_interval(self.options.keepalive_interval)
            .keep_alive_timeout(self.options.keepalive_timeout)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true)
            .connect()
            .await
            .map_err(|error| self.unreachable(told(&error)))?;
        let mut client = WireClient::new(channel)
            .max_decoding_message_size(self.options.command_bytes_max)
            .max_encoding_message_size(self.options.message_bytes_max);
        let (sender, outbound) = mpsc::channel(ENCODED_WAITING_MAX);
        let body = pb::task_manager_message::Body::Register(registration_to_wire(registration));
        let first = pb::TaskManagerMessage {
            epoch: 0,
            body: Some(body),
        };
        sender
            .try_send(first)
            .expect("the queue is new and its reader is held here");
        let mut inbound = client
            .attach(ReceiverStream::new(outbound))
            .await
            .map_err(|status| self.status(&status))?
            .into_inner();
        let answer = inbound
            .message()
            .await
            .map_err(|status| self.status(&status))?;
        let answer = answer.ok_or_else(|| self.unreachable("it hung up without an answer"))?;
        Ok((answer, sender, inbound))
    }

    fn status(&self, status: &Status) -> RegisterError {
        let unimplemented = status.code() == tonic::Code::Unimplemented;
        if unimplemented || status.code() == tonic::Code::Internal {
            let cause = format!(
                "what answers there is no weir JobManager: {}",
                status.message()
            );
            return self.unreachable(cause);
        }
        self.unreachable(status.message())
    }

    async fn try_register(
        &self,
        registration: Registration,
        executor: Arc<dyn TaskExecutorGateway>,
    ) -> Result<Registered, RegisterError> {
        use pb::job_master_message::Body;
        let limit = self.options.connect_timeout + self.options.answer_timeout;
        let (answer, sender, inbound) = tokio::time::timeout(limit, self.connect(&registration))
            .await
            .map_err(|_| self.unreachable(format!("no answer within {} s", limit.as_secs())))??;
        let invalid = |error: crate::wire::WireError| self.unreachable(error.to_string());
        match answer.body {
            Some(Body::Registered(registered)) => {
                let job = info_from_wire(answer.epoch, registered).map_err(invalid)?;
                let pump = tokio::spawn(read(inbound, executor));
                Ok(Registered {
                    job,
                    session: Arc::new(Session { sender, pump }),
                })
            }
            Some(Body::Refused(refused)) => Err(RegisterError::Refused(refused.reason)),
            Some(Body::JobEnded(ended)) => Err(RegisterError::JobEnded(
                result_from_wire(ended).map_err(invalid)?,
            )),
            _ => Err(self.unreachable("its first message is no answer to a registration")),
        }
    }
}

type Inbound = Streaming<pb::JobMasterMessage>;

impl JobMasterGateway for JobMasterClient {
    fn register(
        &self,
        registration: Registration,
        executor: Arc<dyn TaskExecutorGateway>,
    ) -> BoxFuture<'_, Result<Registered, RegisterError>> {
        Box::pin(self.try_register(registration, executor))
    }
}

struct Session {
    sender: mpsc::Sender<pb::TaskManagerMessage>,
    pump: JoinHandle<()>,
}

impl JobMasterSession for Session {
    fn tell(&self, message: Fenced<TaskManagerMessage>) -> BoxFuture<'_, Result<(), GatewayError>> {
        let message = message_to_wire(&message);
        Box::pin(async move {
            self.sender
                .send(message)
                .await
                .map_err(|_| GatewayError::Closed)
        })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

/// Passes commands on to the TaskManager, until either side hangs up.
async fn read(mut inbound: Inbound, executor: Arc<dyn TaskExecutorGateway>) {
    let reason = loop {
        let message = match inbound.message().await {
            Ok(Some(message)) => message,
            Ok(None) => break "the JobManager hung up".to_owned(),
            Err(status) => break format!("the connection broke: {}", status.message()),
        };
        match command_from_wire(message) {
            Ok(command) => {
                if let Err(error) = executor.tell(command) {
                    break error.to_string();
                }
            }
            Err(error) => break format!("the JobManager sent no valid message: {error}"),
        }
    };
    executor.disconnected(&reason);
}

/// The causes of a transport error in one line; itself it says nothing.
fn told(error: &tonic::transport::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), causes)
}
