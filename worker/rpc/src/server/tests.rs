use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir_checkpoint::handle::{OperatorRestore, Stored, SubtaskRestore};
use weir_types::{CheckpointId, Epoch, OperatorId, SlotIndex, SubtaskIndex};

use super::*;
use crate::wire::examples;
use crate::{
    JobMasterClient, JobMasterClientOptions, JobMasterEvent, JobMasterInbox, JobResult,
    LocalJobMaster, TaskDeploymentDescriptor,
};

/// A server whose JobMaster is the test.
async fn start(options: ServerOptions) -> (String, JobMasterInbox, oneshot::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let (gateway, inbox) = LocalJobMaster::new();
    let (stop, stopped) = oneshot::channel();
    tokio::spawn(serve(listener, Arc::new(gateway), options, async move {
        drop(stopped.await)
    }));
    (address, inbox, stop)
}

fn client(address: &str) -> JobMasterClient {
    JobMasterClient::new(address, JobMasterClientOptions::default())
}

struct Attached {
    executor: Arc<dyn TaskExecutorGateway>,
    inbox: TaskExecutorInbox,
    session: Arc<dyn JobMasterSession>,
    registration: Registration,
}

async fn attach(address: &str, master: &mut JobMasterInbox, ask: Registration) -> Attached {
    let (executor, inbox) = LocalTaskExecutor::new();
    let client = client(address);
    let serve = async {
        let Some(JobMasterEvent::Register {
            registration,
            executor,
            reply,
        }) = master.next().await
        else {
            panic!("a registration comes first");
        };
        reply.accept(examples::job_info());
        (registration, executor)
    };
    let (registered, (registration, far)) =
        tokio::join!(client.register(ask, Arc::new(executor)), serve);
    let registered = registered.expect("accepted");
    assert_eq!(registered.job, examples::job_info());
    Attached {
        executor: far,
        inbox,
        session: registered.session,
        registration,
    }
}

/// Fails if something of a message is lost on the way through a socket, or if two overtake each
/// other.
#[tokio::test]
async fn messages_and_commands_pass_through_a_socket_in_order() {
    let (address, mut master, _stop) = start(ServerOptions::default()).await;
    let mut attached = attach(&address, &mut master, examples::registration()).await;
    assert_eq!(attached.registration, examples::registration());
    for message in examples::messages() {
        attached
            .session
            .tell(Fenced::new(Epoch(3), message))
            .await
            .expect("there is room");
    }
    for want in examples::messages() {
        let Some(JobMasterEvent::Message { message, .. }) = master.next().await else {
            panic!("a message");
        };
        assert_eq!(message.open(Epoch(3)), Ok(want));
    }
    for command in examples::commands() {
        attached
            .executor
            .tell(Fenced::new(Epoch(3), command))
            .expect("there is room");
    }
    for want in examples::commands() {
        let TaskExecutorEvent::Command(command) = attached.inbox.next().await else {
            panic!("a command");
        };
        assert_eq!(command.open(Epoch(3)), Ok(want));
    }
}

#[tokio::test]
async fn each_side_hears_that_the_other_hung_up() {
    let (address, mut master, _stop) = start(ServerOptions::default()).await;
    let attached = attach(&address, &mut master, examples::registration()).await;
    drop(attached.session);
    assert!(matches!(
        master.next().await,
        Some(JobMasterEvent::Disconnected { .. })
    ));

    let mut attached = attach(&address, &mut master, examples::registration()).await;
    drop(attached.executor);
    assert!(matches!(
        attached.inbox.next().await,
        TaskExecutorEvent::Disconnected(_)
    ));
    assert!(matches!(
        master.next().await,
        Some(JobMasterEvent::Disconnected { .. })
    ));
}

#[tokio::test]
async fn a_data_address_without_a_host_gets_that_of_the_connection() {
    let (address, mut master, _stop) = start(ServerOptions::default()).await;
    let data_address = Some("0.0.0.0:99".parse().expect("an address"));
    let ask = Registration {
        data_address,
        ..examples::registration()
    };
    let attached = attach(&address, &mut master, ask).await;
    assert_eq!(
        attached.registration.data_address,
        "127.0.0.1:99".parse().ok()
    );
}

#[tokio::test]
async fn a_refusal_and_the_end_of_the_job_reach_the_taskmanager() {
    let (address, mut master, _stop) = start(ServerOptions::default()).await;
    let failed = JobResult::Failed(Fault::job(FaultClass::Recoverable, "no luck"));
    let answers = [
        RegisterError::Refused("version mismatch".to_owned()),
        RegisterError::JobEnded(JobResult::Finished),
        RegisterError::JobEnded(failed),
    ];
    for want in answers {
        let (executor, _inbox) = LocalTaskExecutor::new();
        let client = client(&address);
        let serve = async {
            match (master.next().await, want.clone()) {
                (Some(JobMasterEvent::Register { reply, .. }), RegisterError::Refused(why)) => {
                    reply.refuse(why);
                }
                (Some(JobMasterEvent::Register { reply, .. }), RegisterError::JobEnded(result)) => {
                    reply.job_ended(result);
                }
                _ => panic!("a registration comes first"),
            }
        };
        let ask = client.register(examples::registration(), Arc::new(executor));
        let (answer, ()) = tokio::join!(ask, serve);
        assert_eq!(answer.expect_err("turned away"), want);
    }
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_named_with_the_reason() {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = free.local_addr().expect("bound").to_string();
    drop(free);
    let (executor, _inbox) = LocalTaskExecutor::new();
    let error = client(&address)
        .register(examples::registration(), Arc::new(executor))
        .await
        .expect_err("nobody listens");
    let text = error.to_string();
    assert!(
        text.contains(&address) && text.to_lowercase().contains("refused"),
        "{text}"
    );
}

/// Fails if bytes that are no HTTP/2 hang the connection or take the server down.
#[tokio::test]
async fn garbage_ends_its_own_connection_only() {
    let (address, mut master, _stop) = start(ServerOptions::default()).await;
    for garbage in [
        &b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..],
        &[0xff; 4096],
        &[0; 64],
    ] {
        let mut socket = TcpStream::connect(&address).await.expect("it listens");
        // The server may hang up before it has read everything.
        drop(socket.write_all(garbage).await);
        drop(socket.shutdown().await);
        let mut answer = Vec::new();
        let end = socket.read_to_end(&mut answer);
        drop(
            tokio::time::timeout(Duration::from_secs(5), end)
                .await
                .expect("it hangs up"),
        );
    }
    let attached = attach(&address, &mut master, examples::registration()).await;
    drop(attached);
}

#[tokio::test]
async fn a_connection_that_never_registers_is_ended() {
    let short = Duration::from_millis(50);
    let options = ServerOptions {
        registration_timeout: short,
        ..ServerOptions::default()
    };
    let (address, _master, _stop) = start(options).await;
    let endpoint =
        tonic::transport::Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let channel = endpoint.connect().await.expect("it listens");
    let (sender, silent) = mpsc::channel::<pb::TaskManagerMessage>(1);
    let status = pb::job_master_client::JobMasterClient::new(channel.clone())
        .attach(ReceiverStream::new(silent))
        .await
        .expect_err("nothing was sent");
    assert_eq!(status.message(), "no registration came");
    drop(sender);

    let first = pb::TaskManagerMessage {
        epoch: 0,
        body: None,
    };
    let status = pb::job_master_client::JobMasterClient::new(channel)
        .attach(tokio_stream::iter([first]))
        .await
        .expect_err("no registration");
    assert_eq!(status.message(), "the first message must be a registration");
}

#[tokio::test]
async fn a_message_over_the_cap_ends_the_connection() {
    let options = ServerOptions {
        message_bytes_max: 1024,
        ..ServerOptions::default()
    };
    let (address, mut master, _stop) = start(options).await;
    let attached = attach(&address, &mut master, examples::registration()).await;
    let fault = Fault::job(FaultClass::Recoverable, "x".repeat(4096));
    let message = TaskManagerMessage::TaskState {
        attempt: examples::attempt(),
        state: weir_graph::ExecutionState::Failed,
        fault: Some(fault),
        metrics: None,
    };
    attached
        .session
        .tell(Fenced::new(Epoch(3), message))
        .await
        .expect("there is room");
    assert!(matches!(
        master.next().await,
        Some(JobMasterEvent::Disconnected { .. })
    ));
}

/// A deployment that restores the operator state of so many former subtasks, each as large as it
/// may be without an object of its own.
fn deployment(former_parallelism: u32) -> TaskExecutorCommand {
    let state = Stored::Inline(vec![7; 16 << 10]);
    let states = (0..former_parallelism).map(|former| (SubtaskIndex(former), state.clone()));
    let operator = OperatorRestore {
        operator_state: states.collect(),
        former_parallelism,
        ..OperatorRestore::default()
    };
    let restore = SubtaskRestore {
        checkpoint: CheckpointId(4),
        base: "/state/count".to_owned(),
        own: true,
        operators: vec![(OperatorId(6), operator)],
        ended: false,
    };
    TaskExecutorCommand::Deploy(Box::new(TaskDeploymentDescriptor {
        attempt: examples::attempt(),
        slot: SlotIndex(3),
        inputs: Vec::new(),
        restore: Some(restore),
    }))
}

struct Nobody;

impl JobMasterSession for Nobody {
    fn tell(
        &self,
        _message: Fenced<TaskManagerMessage>,
    ) -> crate::BoxFuture<'_, Result<(), GatewayError>> {
        Box::pin(async { Err(GatewayError::Closed) })
    }
}

/// Fails if a TaskManager that reads slowly has the JobManager hold the encoded state of all former
/// subtasks for each of its own.
#[tokio::test]
async fn a_deployment_is_encoded_when_the_one_before_it_is_on_its_way() {
    let (executor, commands) = LocalTaskExecutor::new();
    let (sender, mut outbound) = mpsc::channel(ENCODED_WAITING_MAX);
    let told: Weak<dyn JobMasterSession> = Weak::<Nobody>::new();
    tokio::spawn(write(commands, sender, told, COMMAND_BYTES_MAX));
    let command = deployment(2);
    let TaskExecutorCommand::Deploy(task) = &command else {
        unreachable!("it deploys")
    };
    let restore = task.restore.as_ref().expect("it restores");
    let state = Arc::clone(&restore.operators[0].1.operator_state);
    let tell = |command: TaskExecutorCommand| {
        let told = executor.tell(Fenced::new(Epoch(3), command));
        told.expect("there is room");
    };
    tell(TaskExecutorCommand::Heartbeat);
    for _ in 0..5 {
        tell(command.clone());
    }
    tell(TaskExecutorCommand::Heartbeat);
    drop(command);
    let mut kinds = Vec::new();
    for encoded in [0, 1, 2, 3, 4, 5, 5] {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(Arc::strong_count(&state), 1 + 5 - encoded);
        let message = outbound.recv().await.expect("all are sent");
        let body = message.expect("a message").body;
        kinds.push(matches!(
            body,
            Some(pb::job_master_message::Body::Deploy(_))
        ));
    }
    assert_eq!(kinds, [false, true, true, true, true, true, false]);
}

async fn next_command(inbox: &mut TaskExecutorInbox) -> TaskExecutorCommand {
    match inbox.next().await {
        TaskExecutorEvent::Command(command) => command.open(Epoch(3)).expect("of this epoch"),
        TaskExecutorEvent::Disconnected(reason) => panic!("{reason}"),
    }
}

/// Fails if a job of many subtasks cannot start from its checkpoint: what restores one is longer
/// than anything that a TaskManager sends.
#[tokio::test]
async fn a_deployment_with_the_state_of_a_thousand_subtasks_reaches_the_taskmanager() {
    let (address, mut master, _stop) = start(ServerOptions::default()).await;
    let mut attached = attach(&address, &mut master, examples::registration()).await;
    let command = Fenced::new(Epoch(3), deployment(1_100));
    assert!(command_to_wire(&command).encoded_len() > MESSAGE_BYTES_MAX);
    attached.executor.tell(command).expect("there is room");
    let deployed = next_command(&mut attached.inbox).await;
    assert!(deployed == deployment(1_100), "another deployment");
}

/// Fails if a TaskManager that cannot be told something hangs up and comes back for ever.
#[tokio::test]
async fn a_command_over_the_cap_fails_its_subtask_and_keeps_the_connection() {
    let options = ServerOptions {
        command_bytes_max: 20_000,
        ..ServerOptions::default()
    };
    let (address, mut master, _stop) = start(options).await;
    let mut attached = attach(&address, &mut master, examples::registration()).await;
    let large = Fenced::new(Epoch(3), deployment(2));
    let bytes = command_to_wire(&large).encoded_len();
    for command in [large, Fenced::new(Epoch(3), deployment(1))] {
        attached.executor.tell(command).expect("there is room");
    }
    let Some(JobMasterEvent::Message { message, .. }) = master.next().await else {
        panic!("a message");
    };
    let attempt = examples::attempt();
    let cause = format!(
        "deploy it with the state that it is restored from: the message takes {bytes} bytes, over \
         the limit of 20000 bytes (`command_bytes_max`)"
    );
    let failed = TaskManagerMessage::TaskState {
        attempt,
        state: ExecutionState::Failed,
        fault: Some(Fault::task(FaultClass::NonRecoverable, attempt, cause)),
        metrics: None,
    };
    assert_eq!(message.open(Epoch(3)), Ok(failed));
    assert!(next_command(&mut attached.inbox).await == deployment(1));
}

/// Fails if a caller that says nothing, or only the beginning, keeps its file descriptor, or if
/// such callers keep TaskManagers out for good.
#[tokio::test]
async fn callers_that_say_nothing_lose_their_place() {
    let options = ServerOptions {
        registration_timeout: Duration::from_millis(50),
        connections_max: 2,
        ..ServerOptions::default()
    };
    let (address, mut master, _stop) = start(options).await;
    let mut callers = Vec::new();
    for first in [&b""[..], b"PRI * HT", b"nonsense"] {
        let mut socket = TcpStream::connect(&address).await.expect("it listens");
        drop(socket.write_all(first).await);
        callers.push(socket);
    }
    for mut socket in callers {
        let mut answer = Vec::new();
        let end = socket.read_to_end(&mut answer);
        let end = tokio::time::timeout(Duration::from_secs(5), end).await;
        drop(end.expect("it hangs up"));
        assert_eq!(answer, b"");
    }
    drop(attach(&address, &mut master, examples::registration()).await);
}
