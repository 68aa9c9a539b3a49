//! A whole TaskManager against a JobMaster that is the test.

mod program;

use std::sync::atomic::{AtomicUsize, Ordering};

use weir_graph::{ExecutionState, Fingerprint, fingerprint};
use weir_rpc::{
    CommitRequest, ConnectionId, Fenced, InputGateDescriptor, JobMasterEvent, JobMasterInbox,
    LocalJobMaster, ProducerDescriptor, ProgramSpec, RegisterReply, Registration, SplitResponse,
    TaskDeploymentDescriptor, TaskExecutorCommand, TaskExecutorGateway, TaskManagerMessage,
};
use weir_stream::BoxError;
use weir_task::Program;
use weir_types::{
    AttemptNumber, Epoch, ExecutionAttemptId, JobId, SlotIndex, SubtaskIndex, VertexId,
};

use super::*;
use program::{Published, numbers};

const EPOCH: Epoch = Epoch(7);

/// The JobMaster's end.
struct Master {
    inbox: JobMasterInbox,
    executor: Option<Arc<dyn TaskExecutorGateway>>,
    job: JobInfo,
}

impl Master {
    async fn next(&mut self) -> JobMasterEvent {
        let next = tokio::time::timeout(Duration::from_secs(10), self.inbox.next());
        next.await
            .expect("something happens")
            .expect("the TaskManager has the gateway")
    }

    async fn registration(&mut self) -> (Registration, RegisterReply) {
        loop {
            if let JobMasterEvent::Register {
                registration,
                executor,
                reply,
            } = self.next().await
            {
                self.executor = Some(executor);
                return (registration, reply);
            }
        }
    }

    /// Takes the TaskManager in and waits until it is ready.
    async fn take_in(&mut self) -> Registration {
        let (registration, reply) = self.registration().await;
        reply.accept(self.job.clone());
        let ready = self.message().await;
        assert_eq!(
            ready,
            TaskManagerMessage::Ready {
                fingerprint: self.job.fingerprint
            }
        );
        registration
    }

    /// The next message that is no heartbeat.
    async fn message(&mut self) -> TaskManagerMessage {
        loop {
            match self.next().await {
                JobMasterEvent::Message { message, .. } => match message.open(EPOCH) {
                    Ok(TaskManagerMessage::Heartbeat { .. }) => {}
                    Ok(message) => return message,
                    Err(error) => panic!("{error}"),
                },
                JobMasterEvent::Disconnected {
                    connection: ConnectionId(id),
                } => {
                    panic!("connection {id} is gone")
                }
                JobMasterEvent::Register { .. } => panic!("it registers again"),
            }
        }
    }

    /// Waits for an attempt to reach a state; gives the fault and the messages on the way.
    async fn state(
        &mut self,
        of: ExecutionAttemptId,
        want: ExecutionState,
    ) -> (Option<weir_types::Fault>, Vec<TaskManagerMessage>) {
        let mut others = Vec::new();
        loop {
            match self.message().await {
                TaskManagerMessage::TaskState {
                    attempt,
                    state,
                    fault,
                    metrics,
                } if attempt == of && state == want => {
                    assert_eq!(metrics.is_some(), state.is_terminal() && fault.is_none());
                    return (fault, others);
                }
                other => others.push(other),
            }
        }
    }

    fn tell(&self, command: TaskExecutorCommand) {
        let executor = self.executor.as_ref().expect("it has registered");
        executor
            .tell(Fenced::new(EPOCH, command))
            .expect("there is room");
    }
}

fn attempt(vertex: VertexId) -> ExecutionAttemptId {
    ExecutionAttemptId {
        epoch: EPOCH,
        vertex,
        subtask: SubtaskIndex(0),
        attempt: AttemptNumber(0),
    }
}

/// The deployments of the source and of the sink.
fn tasks(program: &Program) -> [TaskDeploymentDescriptor; 2] {
    let [source, sink] = program.job_graph.vertices.as_slice() else {
        panic!("two vertices")
    };
    let edge = program.job_graph.edges[0].id;
    let producers = vec![ProducerDescriptor {
        attempt: attempt(source.id),
        remote: None,
    }];
    let slot = SlotIndex(0);
    [
        TaskDeploymentDescriptor {
            attempt: attempt(source.id),
            slot,
            inputs: Vec::new(),
            restore: None,
        },
        TaskDeploymentDescriptor {
            attempt: attempt(sink.id),
            slot,
            inputs: vec![InputGateDescriptor { edge, producers }],
            restore: None,
        },
    ]
}

fn fingerprint_of(program: &Program) -> Fingerprint {
    let spec = ProgramSpec::default();
    fingerprint(&program.job_graph, &spec.args, &spec.config, "build-1")
}

struct Rig {
    master: Master,
    program: Arc<Program>,
    published: Published,
    taskmanager: tokio::task::JoinHandle<Result<JobResult, TaskManagerError>>,
}

fn options() -> TaskManagerOptions {
    TaskManagerOptions {
        data_bind: None,
        executable: "build-1".to_owned(),
        reconnect_timeout: Duration::from_secs(5),
        ..TaskManagerOptions::new(TaskManagerId(1), "host", 2)
    }
}

fn start(options: TaskManagerOptions, endless: bool) -> Rig {
    let (program, published) = numbers(endless);
    let built = Arc::clone(&program);
    let provider = move |_: &JobInfo| Ok::<_, BoxError>(Arc::clone(&built));
    let job = JobInfo {
        epoch: EPOCH,
        id: JobId(1),
        name: "numbers".to_owned(),
        program: ProgramSpec::default(),
        fingerprint: fingerprint_of(&program),
        heartbeat_interval: Duration::from_millis(20),
        heartbeat_timeout: Duration::from_secs(5),
        checkpoints: None,
    };
    let (gateway, inbox) = LocalJobMaster::new();
    let run = TaskManager::run(options, Arc::new(gateway), Arc::new(provider));
    let master = Master {
        inbox,
        executor: None,
        job,
    };
    Rig {
        master,
        program,
        published,
        taskmanager: tokio::spawn(run),
    }
}

async fn ended(rig: Rig) -> Result<JobResult, TaskManagerError> {
    // The JobMaster stays while the TaskManager takes its leave.
    let Rig {
        master,
        taskmanager,
        ..
    } = rig;
    let ended = tokio::time::timeout(Duration::from_secs(10), taskmanager).await;
    drop(master);
    ended.expect("it ends").expect("it does not panic")
}

#[tokio::test]
async fn a_job_runs_from_registration_to_its_end() {
    let mut rig = start(options(), false);
    let registration = rig.master.take_in().await;
    assert_eq!((registration.slots, registration.id), (2, TaskManagerId(1)));
    let [source, sink] = tasks(&rig.program);
    let (source_id, sink_id) = (source.attempt, sink.attempt);
    rig.master
        .tell(TaskExecutorCommand::Deploy(Box::new(source)));
    rig.master.tell(TaskExecutorCommand::Deploy(Box::new(sink)));
    let mut splits = vec![SplitResponse::NoMore, SplitResponse::Split(vec![3])];
    let mut finished = Vec::new();
    while finished.len() < 2 {
        match rig.master.message().await {
            TaskManagerMessage::RequestSplit { attempt, node } => {
                let response = splits.pop().expect("no request after the last");
                rig.master.tell(TaskExecutorCommand::Split {
                    attempt,
                    node,
                    response,
                });
            }
            TaskManagerMessage::EndOfInput { attempt } => {
                assert_eq!(attempt, sink_id);
                assert_eq!(
                    rig.published.rows(),
                    [] as [u64; 0],
                    "nothing is visible yet"
                );
                let commit = CommitRequest::Final;
                rig.master
                    .tell(TaskExecutorCommand::Commit { attempt, commit });
            }
            TaskManagerMessage::TaskState {
                attempt,
                state: ExecutionState::Finished,
                metrics,
                ..
            } => {
                let metrics = metrics.expect("the last counters come with the last state");
                if attempt == source_id {
                    assert_eq!(
                        (metrics.records_out, metrics.operators[0].records_in),
                        (3, 3)
                    );
                } else {
                    assert_eq!(metrics.records_in, 3);
                }
                finished.push(attempt);
            }
            TaskManagerMessage::TaskState { fault, .. } => assert_eq!(fault, None),
            other => panic!("{other:?}"),
        }
    }
    // Each has a thread of its own, and the source's may be the slower one to say so.
    finished.sort();
    let mut both = [source_id, sink_id];
    both.sort();
    assert_eq!(finished, both);
    assert_eq!(rig.published.rows(), [0, 1, 2]);
    rig.master
        .tell(TaskExecutorCommand::JobEnded(JobResult::Finished));
    assert_eq!(
        ended(rig).await.expect("the job has ended"),
        JobResult::Finished
    );
}

async fn run_endless(rig: &mut Rig) -> [ExecutionAttemptId; 2] {
    let deployed = tasks(&rig.program);
    let ids = [deployed[0].attempt, deployed[1].attempt];
    for task in deployed {
        rig.master.tell(TaskExecutorCommand::Deploy(Box::new(task)));
    }
    let (mut requested, mut running) = (false, 0);
    while !requested || running < 2 {
        match rig.master.message().await {
            TaskManagerMessage::RequestSplit { attempt, node } => {
                let response = SplitResponse::Split(vec![1]);
                rig.master.tell(TaskExecutorCommand::Split {
                    attempt,
                    node,
                    response,
                });
                requested = true;
            }
            TaskManagerMessage::TaskState {
                state: ExecutionState::Running,
                ..
            } => running += 1,
            _ => {}
        }
    }
    ids
}

#[tokio::test]
async fn tasks_that_are_cancelled_stop_and_say_so() {
    let mut rig = start(options(), true);
    rig.master.take_in().await;
    let ids = run_endless(&mut rig).await;
    assert_eq!(rig.published.readers(), 1);
    for id in ids {
        rig.master.tell(TaskExecutorCommand::Cancel(id));
    }
    let mut stopped = Vec::new();
    while stopped.len() < 2 {
        if let TaskManagerMessage::TaskState { state, .. } = rig.master.message().await {
            stopped.push(state);
        }
    }
    // One may notice that the other's channels are gone before it is cancelled itself, and be the
    // first to say so. Whoever cancels a job takes both for the end of it.
    let ends = [ExecutionState::Canceled, ExecutionState::Failed];
    assert!(
        stopped.contains(&ends[0]) && stopped.iter().all(|state| ends.contains(state)),
        "{stopped:?}"
    );
    assert_eq!(
        rig.published.readers(),
        0,
        "what the tasks held is released"
    );
    rig.master
        .tell(TaskExecutorCommand::JobEnded(JobResult::Canceled));
    assert_eq!(
        ended(rig).await.expect("the job has ended"),
        JobResult::Canceled
    );
}

#[tokio::test]
async fn a_lost_jobmanager_costs_all_tasks_and_the_id() {
    let mut rig = start(options(), true);
    let first = rig.master.take_in().await;
    run_endless(&mut rig).await;
    rig.master.executor = None;
    let (second, reply) = rig.master.registration().await;
    assert_eq!(
        rig.published.readers(),
        0,
        "all tasks have ended before it registers again"
    );
    assert_ne!(first.id, second.id);
    reply.job_ended(JobResult::Canceled);
    assert_eq!(
        ended(rig).await.expect("the job has ended"),
        JobResult::Canceled
    );
}

#[tokio::test]
async fn a_jobmanager_that_is_silent_for_too_long_is_lost() {
    let mut rig = start(options(), false);
    rig.master.job.heartbeat_timeout = Duration::from_millis(100);
    rig.master.take_in().await;
    // The connection is still open, but nobody says anything.
    let held = rig.master.executor.clone();
    let (_, reply) = rig.master.registration().await;
    reply.job_ended(JobResult::Finished);
    drop(held);
    assert_eq!(
        ended(rig).await.expect("the job has ended"),
        JobResult::Finished
    );
}

#[tokio::test]
async fn commands_of_another_epoch_are_ignored() {
    let mut rig = start(options(), false);
    rig.master.take_in().await;
    let executor = rig.master.executor.clone().expect("it has registered");
    let ended_elsewhere = TaskExecutorCommand::JobEnded(JobResult::Canceled);
    executor
        .tell(Fenced::new(Epoch(6), ended_elsewhere))
        .expect("there is room");
    rig.master
        .tell(TaskExecutorCommand::JobEnded(JobResult::Finished));
    assert_eq!(
        ended(rig).await.expect("the job has ended"),
        JobResult::Finished
    );
}

#[tokio::test]
async fn a_deployment_that_cannot_be_is_a_failed_task_and_no_more() {
    let mut rig = start(options(), false);
    rig.master.take_in().await;
    let [source, _] = tasks(&rig.program);
    let id = source.attempt;
    let nowhere = TaskDeploymentDescriptor {
        slot: SlotIndex(9),
        ..source.clone()
    };
    rig.master
        .tell(TaskExecutorCommand::Deploy(Box::new(nowhere)));
    let (fault, _) = rig.master.state(id, ExecutionState::Failed).await;
    assert!(
        fault
            .expect("a fault")
            .cause
            .contains("no slot 9, there are 2")
    );
    let unknown = ExecutionAttemptId {
        vertex: VertexId(99),
        ..id
    };
    let task = TaskDeploymentDescriptor {
        attempt: unknown,
        ..source
    };
    rig.master.tell(TaskExecutorCommand::Deploy(Box::new(task)));
    let (fault, _) = rig.master.state(unknown, ExecutionState::Failed).await;
    assert!(fault.expect("a fault").cause.contains("no such vertex"));
    rig.master
        .tell(TaskExecutorCommand::JobEnded(JobResult::Finished));
    ended(rig).await.expect("the job has ended");
}

#[tokio::test]
async fn another_program_than_the_jobmanagers_is_an_error_that_says_what_differs() {
    let mut rig = start(options(), false);
    rig.master.job.fingerprint.executable.0 ^= 1;
    let (_, reply) = rig.master.registration().await;
    reply.accept(rig.master.job.clone());
    let error = ended(rig).await.expect_err("it differs").to_string();
    assert!(error.contains("the executable differs"), "{error}");
}

#[tokio::test]
async fn a_program_that_cannot_be_built_is_named() {
    type Build = fn(&JobInfo) -> Result<Arc<Program>, BoxError>;
    let cases: [(Build, &str); 2] = [
        (
            |_| Err("no argument `input`".into()),
            "build program `numbers`",
        ),
        (
            |_| panic!("a defect"),
            "build program `numbers`: it panicked",
        ),
    ];
    for (build, want) in cases {
        let mut rig = start(options(), false);
        rig.taskmanager.abort();
        let (gateway, inbox) = LocalJobMaster::new();
        rig.master.inbox = inbox;
        rig.master.job.program.program = "numbers".to_owned();
        let run = TaskManager::run(options(), Arc::new(gateway), Arc::new(build));
        rig.taskmanager = tokio::spawn(run);
        let (_, reply) = rig.master.registration().await;
        reply.accept(rig.master.job.clone());
        let error = ended(rig)
            .await
            .expect_err("there is no program")
            .to_string();
        assert_eq!(error, want);
    }
}

#[tokio::test]
async fn a_refusal_is_final() {
    let mut rig = start(options(), false);
    let (_, reply) = rig.master.registration().await;
    reply.refuse("version mismatch".to_owned());
    let error = ended(rig).await.expect_err("refused").to_string();
    assert_eq!(
        error,
        "the JobManager refused this TaskManager: version mismatch"
    );
}

/// A JobManager that cannot be reached for the first `fails` times.
struct Flaky {
    fails: usize,
    asked: AtomicUsize,
    behind: LocalJobMaster,
}

impl JobMasterGateway for Flaky {
    fn register(
        &self,
        registration: Registration,
        executor: Arc<dyn TaskExecutorGateway>,
    ) -> weir_rpc::BoxFuture<'_, Result<Registered, RegisterError>> {
        if self.asked.fetch_add(1, Ordering::Relaxed) >= self.fails {
            return self.behind.register(registration, executor);
        }
        let (address, cause) = ("jm:1".to_owned(), "connection refused".to_owned());
        Box::pin(async { Err(RegisterError::Unreachable { address, cause }) })
    }
}

async fn run_flaky(fails: usize, limit: Duration) -> Result<JobResult, TaskManagerError> {
    let rig = start(options(), false);
    rig.taskmanager.abort();
    let (behind, mut inbox) = LocalJobMaster::new();
    let gateway = Arc::new(Flaky {
        fails,
        asked: AtomicUsize::new(0),
        behind,
    });
    let options = TaskManagerOptions {
        reconnect_timeout: limit,
        ..options()
    };
    let provider = |_: &JobInfo| Err::<Arc<Program>, BoxError>("not needed".into());
    let run = tokio::spawn(TaskManager::run(options, gateway, Arc::new(provider)));
    let answer = async {
        if let Some(JobMasterEvent::Register { reply, .. }) = inbox.next().await {
            reply.job_ended(JobResult::Finished);
        }
    };
    let (ended, ()) = tokio::join!(run, answer);
    ended.expect("it does not panic")
}

#[tokio::test]
async fn a_jobmanager_that_is_not_there_yet_is_waited_for() {
    let result = run_flaky(2, Duration::from_secs(10)).await;
    assert_eq!(
        result.expect("the third attempt succeeds"),
        JobResult::Finished
    );
}

#[tokio::test]
async fn a_jobmanager_that_stays_away_is_given_up() {
    let error = run_flaky(usize::MAX, Duration::from_millis(200))
        .await
        .expect_err("given up");
    assert!(error.to_string().contains("out of reach"), "{error}");
    let source = std::error::Error::source(&error)
        .expect("the last attempt")
        .to_string();
    assert_eq!(source, "reach the JobManager at jm:1: connection refused");
}

#[tokio::test]
async fn a_fixed_data_port_is_opened_again_after_the_jobmanager_was_lost() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let address = free.local_addr().expect("bound");
    drop(free);
    let options = TaskManagerOptions {
        data_bind: Some(address),
        ..options()
    };
    let mut rig = start(options, false);
    let first = rig.master.take_in().await;
    assert_eq!(first.data_address, Some(address));
    rig.master.executor = None;
    let (second, reply) = rig.master.registration().await;
    assert_eq!(second.data_address, Some(address));
    reply.job_ended(JobResult::Finished);
    ended(rig).await.expect("the job has ended");
}

#[tokio::test]
async fn a_data_port_in_use_is_named() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let address = taken.local_addr().expect("bound");
    let options = TaskManagerOptions {
        data_bind: Some(address),
        ..options()
    };
    let error = ended(start(options, false))
        .await
        .expect_err("it is taken")
        .to_string();
    assert!(error.contains(&address.to_string()), "{error}");
}
