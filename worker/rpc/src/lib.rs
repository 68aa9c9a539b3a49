//! The control plane: gateways in domain types, their in-process twins and tonic.
//!
//! ```text
//!   REST, CLI ── DispatcherGateway ──▶ JobManager
//!   TaskManager ── JobMasterGateway::register ──▶ JobMaster        asks to be taken in
//!   TaskManager ── JobMasterSession::tell ──▶ JobMaster            heartbeats, task states, splits
//!   JobMaster ── TaskExecutorGateway::tell ──▶ TaskManager         deploy, cancel, commit, splits
//! ```
//!
//! A TaskManager dials the JobManager, and everything between the two travels in order on that one
//! connection: a TaskManager needs no port for commands, and a lost connection is lost for both. In
//! one process the same traits are implemented by bounded queues, without a socket.
//!
//! Every message is [`Fenced`]: what it says can be reached only by naming the receiver's epoch, so
//! that a message of another leader is refused at receipt. Policies (who is taken in, when a
//! TaskManager is lost) live in the JobManager and the TaskManager, not here.

#![warn(missing_docs)]

mod gateway;

mod deployment;
mod fence;
mod message;
mod metrics;
mod registration;
mod view;

mod local;

mod client;
mod server;
mod wire;

pub use client::{JobMasterClient, JobMasterClientOptions};
pub use deployment::{
    InputGateDescriptor, ProducerDescriptor, RemoteProducer, TaskDeploymentDescriptor,
};
pub use fence::{FenceError, Fenced, FencedBody};
pub use gateway::{
    BoxFuture, DispatcherError, DispatcherGateway, GatewayError, JobMasterGateway,
    JobMasterSession, RegisterError, TaskExecutorGateway,
};
pub use local::{
    ConnectionId, JobMasterEvent, JobMasterInbox, LocalJobMaster, LocalTaskExecutor, RegisterReply,
    TaskExecutorEvent, TaskExecutorInbox,
};
pub use message::{CommitRequest, SplitResponse, TaskExecutorCommand, TaskManagerMessage};
pub use metrics::{OperatorMetricsReport, StateFigure, TaskMetricsReport};
pub use registration::{
    ANY_DEPLOYMENT, CheckpointSettings, JobInfo, JobResult, PROTOCOL_VERSION, ProgramSpec,
    Registered, Registration, VERSION, version_mismatch,
};
pub use server::{ServerError, ServerOptions, serve};
pub use view::{
    CheckpointDetails, CheckpointState, ClusterOverview, Collected, DURATION_BOUNDS_MS, Durations,
    ExceptionEntry, IoMetrics, JobCheckpoints, JobDetails, JobExceptions, JobOverview,
    OperationStatus, OperatorDetails, StandbyState, StandbyView, StateCheck, StateVerdict,
    SubtaskCheckpoint, SubtaskDetails, TaskManagerDetails, TimeShares, VertexDetails, VertexInput,
};
