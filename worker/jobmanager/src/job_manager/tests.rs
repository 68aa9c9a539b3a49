//! A whole JobManager against TaskManagers that are the test.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use weir_graph::{
    EdgeSpec, ExecutionState, JobGraph, JobStatus, NodeId, NodeSpec, Settings, StreamGraph,
    StreamGraphBuilder,
};
use weir_rpc::{
    CommitRequest, DispatcherError, Fenced, JobMasterClient, JobMasterClientOptions,
    JobMasterSession, LocalTaskExecutor, PROTOCOL_VERSION, ProgramSpec, RegisterError,
    Registration, SplitResponse, TaskExecutorCommand, TaskExecutorEvent, TaskExecutorInbox,
    TaskManagerMessage, VERSION,
};
use weir_stream::BoxError;
use weir_stream::factory::{EnumeratorFactory, Factories};
use weir_stream::source::{SplitAnswer, SplitBytes, SplitEnumerator};
use weir_types::{Epoch, ExecutionAttemptId, JobId, SubtaskIndex, TaskManagerId};

use super::*;
use crate::fixtures::fingerprint;
use crate::job_master::Preparation;
use crate::restart_strategy::RestartStrategy;

/// Hands out each split once.
struct Splits(Vec<u8>);

impl SplitEnumerator for Splits {
    fn next_split(&mut self, _reader: SubtaskIndex) -> Result<SplitAnswer, BoxError> {
        match self.0.pop() {
            Some(0) => Err("the folder is gone".into()),
            Some(255) => panic!("a defect"),
            Some(split) => Ok(SplitAnswer::Split(vec![split])),
            None => Ok(SplitAnswer::NoMore),
        }
    }

    fn add_splits_back(&mut self, back: Vec<SplitBytes>, _: SubtaskIndex) -> Result<(), BoxError> {
        if back.contains(&vec![255]) {
            return Err("split 255 is none of mine".into());
        }
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, BoxError> {
        Ok(Vec::new())
    }

    fn restore(&mut self, _snapshot: &[u8]) -> Result<(), BoxError> {
        Ok(())
    }
}

/// source -> sink, in one chain.
fn graph() -> (StreamGraph, NodeId, NodeId) {
    let mut builder = StreamGraphBuilder::new("job", Settings::default());
    let mut source = NodeSpec::source("source: numbers", "u64");
    source.bounded = true;
    let source = builder.add_node(source);
    let mut sink = NodeSpec::sink("sink: file", "u64");
    sink.commits = true;
    let sink = builder.add_node(sink);
    builder.add_edge(EdgeSpec::new(source, sink));
    (builder.build().expect("a graph"), source, sink)
}

fn spec(enumerator: EnumeratorFactory) -> JobSpec {
    let (graph, source, _) = graph();
    let mut factories = Factories::default();
    factories.enumerators.insert(source, enumerator);
    JobSpec {
        id: JobId(5),
        name: "job".to_owned(),
        job_graph: JobGraph::from_stream_graph(&graph),
        graph,
        factories,
        program: ProgramSpec::default(),
        fingerprint: fingerprint(),
        checkpoints: None,
    }
}

fn splits(splits: &[u8]) -> JobSpec {
    let splits = splits.to_vec();
    spec(Arc::new(move |_| Ok(Box::new(Splits(splits.clone())))))
}

fn options() -> JobManagerOptions {
    JobManagerOptions {
        heartbeat_interval: Duration::from_millis(40),
        goodbye_timeout: Duration::from_millis(500),
        ..JobManagerOptions::default()
    }
}

fn start(spec: JobSpec) -> JobManager {
    JobManager::start(options(), spec).expect("nothing to open")
}

async fn result(manager: &JobManager) -> JobResult {
    tokio::time::timeout(Duration::from_secs(10), manager.wait())
        .await
        .expect("the job ends")
}

fn cause(result: JobResult) -> String {
    match result {
        JobResult::Failed(fault) => fault.cause,
        other => panic!("{other}"),
    }
}

fn registration() -> Registration {
    Registration {
        protocol: PROTOCOL_VERSION,
        version: VERSION.to_owned(),
        id: TaskManagerId(1),
        name: "host".to_owned(),
        deployment: 1,
        slots: 1,
        data_address: None,
    }
}

/// A TaskManager of which the test is the tasks.
struct Fake {
    session: Arc<dyn JobMasterSession>,
    inbox: TaskExecutorInbox,
}

impl Fake {
    async fn register(gateway: &dyn JobMasterGateway) -> Result<Self, RegisterError> {
        let (executor, inbox) = LocalTaskExecutor::new();
        let registered = gateway.register(registration(), Arc::new(executor)).await?;
        assert_eq!(registered.job.epoch, Epoch(1));
        let fake = Self {
            session: registered.session,
            inbox,
        };
        fake.tell(TaskManagerMessage::Ready {
            fingerprint: fingerprint(),
        })
        .await;
        Ok(fake)
    }

    async fn tell(&self, message: TaskManagerMessage) {
        self.session
            .tell(Fenced::new(Epoch(1), message))
            .await
            .expect("the JobManager runs");
    }

    async fn state(&self, attempt: ExecutionAttemptId, state: ExecutionState) {
        let (fault, metrics) = (None, None);
        self.tell(TaskManagerMessage::TaskState {
            attempt,
            state,
            fault,
            metrics,
        })
        .await;
    }

    /// The next command that is no heartbeat; says that it lives meanwhile.
    async fn command(&mut self) -> TaskExecutorCommand {
        loop {
            let next = tokio::time::timeout(Duration::from_secs(10), self.inbox.next());
            let TaskExecutorEvent::Command(command) = next.await.expect("something comes") else {
                panic!("hung up")
            };
            match command.open(Epoch(1)).expect("the JobManager's epoch") {
                TaskExecutorCommand::Heartbeat => {
                    self.tell(TaskManagerMessage::Heartbeat { tasks: Vec::new() })
                        .await;
                }
                command => return command,
            }
        }
    }

    async fn deployed(&mut self) -> ExecutionAttemptId {
        let TaskExecutorCommand::Deploy(task) = self.command().await else {
            panic!("a deployment comes first")
        };
        self.state(task.attempt, ExecutionState::Initializing).await;
        self.state(task.attempt, ExecutionState::Running).await;
        task.attempt
    }

    async fn split(&mut self, attempt: ExecutionAttemptId) -> TaskExecutorCommand {
        self.tell(TaskManagerMessage::RequestSplit {
            attempt,
            node: NodeId(0),
        })
        .await;
        self.command().await
    }
}

async fn runs_to_its_end(manager: &JobManager, gateway: &dyn JobMasterGateway) {
    let mut fake = Fake::register(gateway).await.expect("taken in");
    let attempt = fake.deployed().await;
    for want in [SplitResponse::Split(vec![1]), SplitResponse::NoMore] {
        let TaskExecutorCommand::Split { response, .. } = fake.split(attempt).await else {
            panic!("a split comes")
        };
        assert_eq!(response, want);
    }
    fake.tell(TaskManagerMessage::EndOfInput { attempt }).await;
    let commit = TaskExecutorCommand::Commit {
        attempt,
        commit: CommitRequest::Final,
    };
    assert_eq!(fake.command().await, commit);
    fake.state(attempt, ExecutionState::Finished).await;
    assert_eq!(
        fake.command().await,
        TaskExecutorCommand::JobEnded(JobResult::Finished)
    );
    drop(fake);
    assert_eq!(result(manager).await, JobResult::Finished);
}

#[tokio::test]
async fn a_job_runs_to_its_end_within_one_process() {
    let manager = start(splits(&[1]));
    runs_to_its_end(&manager, manager.gateway().as_ref()).await;
    // Whoever comes late hears so, and questions are still answered.
    let late = Fake::register(manager.gateway().as_ref()).await.err();
    assert_eq!(late, Some(RegisterError::JobEnded(JobResult::Finished)));
    let jobs = manager.dispatcher().jobs().await.expect("it answers");
    assert_eq!(jobs[0].status, JobStatus::Finished);
    let refused = manager.dispatcher().cancel(JobId(5)).await;
    let id = JobId(5);
    assert_eq!(
        refused,
        Err(DispatcherError::Ended {
            id,
            result: JobResult::Finished
        })
    );
}

#[tokio::test]
async fn a_job_runs_to_its_end_over_a_socket() {
    let rpc_bind = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    let options = JobManagerOptions {
        rpc_bind,
        ..options()
    };
    let manager = JobManager::start(options, splits(&[1])).expect("a free port");
    let address = manager.rpc_address().expect("it listens").to_string();
    let client = JobMasterClient::new(address, JobMasterClientOptions::default());
    runs_to_its_end(&manager, &client).await;
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_next_step() {
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = taken.local_addr().expect("bound");
    let options = JobManagerOptions {
        rpc_bind: Some(address),
        ..options()
    };
    let error = JobManager::start(options, splits(&[]))
        .err()
        .expect("it is taken");
    let text = error.to_string();
    assert!(
        text.contains(&address.to_string()) && text.contains("--rpc"),
        "{text}"
    );
}

#[tokio::test]
async fn a_source_that_cannot_be_opened_fails_the_job_with_its_name_and_cause() {
    let manager = start(spec(Arc::new(|_| Err("no such file: /data/x".into()))));
    let cause = cause(result(&manager).await);
    assert_eq!(cause, "source `source: numbers`: no such file: /data/x");
}

#[tokio::test]
async fn a_panic_in_an_enumerator_fails_the_job_and_not_the_process() {
    let manager = start(spec(Arc::new(|_| panic!("a defect"))));
    let text = cause(result(&manager).await);
    assert_eq!(text, "source `source: numbers`: panicked: a defect");

    let manager = start(splits(&[255]));
    let mut fake = Fake::register(manager.gateway().as_ref())
        .await
        .expect("taken in");
    let attempt = fake.deployed().await;
    assert_eq!(
        fake.split(attempt).await,
        TaskExecutorCommand::Cancel(attempt)
    );
    fake.state(attempt, ExecutionState::Canceled).await;
    let text = cause(result(&manager).await);
    assert_eq!(
        text,
        "source `source: numbers`: find the next split: panicked: a defect"
    );
}

#[tokio::test]
async fn an_enumerator_that_fails_later_cancels_what_runs() {
    let manager = start(splits(&[0]));
    let mut fake = Fake::register(manager.gateway().as_ref())
        .await
        .expect("taken in");
    let attempt = fake.deployed().await;
    assert_eq!(
        fake.split(attempt).await,
        TaskExecutorCommand::Cancel(attempt)
    );
    fake.state(attempt, ExecutionState::Canceled).await;
    let text = cause(result(&manager).await);
    assert!(
        text.ends_with("find the next split: the folder is gone"),
        "{text}"
    );
}

/// Fails if such a split were only told of in a log: its records would be missing.
#[test]
fn a_split_that_is_not_taken_back_is_a_fault_that_names_the_source() {
    let spec = splits(&[]);
    let (_, source, _) = graph();
    let (sender, mut events) = mpsc::channel(8);
    let mut sources = SourceCoordinators::new(&spec.graph, spec.factories, sender, true);
    sources.prepare(Preparation::Source(source), None);
    let mut prepared = || match events.blocking_recv() {
        Some(Event::Prepared { result, .. }) => result,
        other => panic!("{other:?}"),
    };
    assert_eq!(prepared(), Ok(()));
    let back = [(0, 1), (1, 255)].map(|(reader, split)| (SubtaskIndex(reader), vec![split]));
    sources.add_splits_back(source, back.to_vec());
    let fault = prepared().expect_err("it must not be lost");
    assert_eq!(
        fault.cause,
        "source `source: numbers`: take splits back: split 255 is none of mine"
    );
}

#[tokio::test]
async fn a_sink_that_refuses_fails_the_job_before_anything_is_deployed() {
    let mut spec = splits(&[1]);
    let (_, _, sink) = graph();
    let check = |_restored: bool| -> Result<(), BoxError> { Err("it holds finished files".into()) };
    spec.factories.sink_checks.insert(sink, Arc::new(check));
    let manager = start(spec);
    let text = cause(result(&manager).await);
    assert_eq!(text, "sink `sink: file`: it holds finished files");
}

#[tokio::test]
async fn results_are_taken_back_before_a_job_that_failed_has_ended() {
    let taken_back = Arc::new(Mutex::new(Vec::new()));
    let withdraw = {
        let taken_back = Arc::clone(&taken_back);
        move |attempts: &[ExecutionAttemptId]| -> Result<(), BoxError> {
            taken_back
                .lock()
                .expect("no panic")
                .extend(attempts.to_vec());
            Err("the folder is gone".into())
        }
    };
    let mut spec = splits(&[]);
    let (_, _, sink) = graph();
    spec.factories
        .sink_withdrawals
        .insert(sink, Arc::new(withdraw));
    let manager = start(spec);
    let mut fake = Fake::register(manager.gateway().as_ref())
        .await
        .expect("taken in");
    let attempt = fake.deployed().await;
    fake.tell(TaskManagerMessage::EndOfInput { attempt }).await;
    let commit = TaskExecutorCommand::Commit {
        attempt,
        commit: CommitRequest::Final,
    };
    assert_eq!(fake.command().await, commit);
    drop(fake);
    let text = cause(result(&manager).await);
    assert!(text.contains("TaskManager `host` is lost"), "{text}");
    assert_eq!(*taken_back.lock().expect("no panic"), [attempt]);
}

#[tokio::test]
async fn a_lost_connection_fails_the_job() {
    let manager = start(splits(&[1]));
    let mut fake = Fake::register(manager.gateway().as_ref())
        .await
        .expect("taken in");
    fake.deployed().await;
    drop(fake);
    let text = cause(result(&manager).await);
    assert!(
        text.contains("TaskManager `host` is lost: its connection was closed"),
        "{text}"
    );
}

#[tokio::test]
async fn a_taskmanager_that_does_not_hang_up_holds_the_end_back_only_for_a_while() {
    let manager = start(splits(&[]));
    let fake = Fake::register(manager.gateway().as_ref())
        .await
        .expect("taken in");
    manager
        .dispatcher()
        .cancel(JobId(5))
        .await
        .expect("it runs");
    let mut fake = fake;
    if let TaskExecutorCommand::Deploy(task) = fake.command().await {
        fake.state(task.attempt, ExecutionState::Canceled).await;
    }
    assert_eq!(result(&manager).await, JobResult::Canceled);
    drop(fake);
}

#[tokio::test]
async fn questions_about_other_jobs_are_answered_with_what_to_do() {
    let manager = start(splits(&[]));
    let dispatcher = manager.dispatcher();
    let error = dispatcher.job(JobId(9)).await.expect_err("no such job");
    assert!(
        error.to_string().contains("`weir list` shows the ids"),
        "{error}"
    );
    assert!(dispatcher.cancel(JobId(9)).await.is_err());
    let details = dispatcher.job(JobId(5)).await.expect("the job");
    assert_eq!(details.vertices.len(), 1);
    assert_eq!(
        dispatcher
            .overview()
            .await
            .expect("it answers")
            .jobs_running,
        1
    );
    drop(manager);
    let gone = tokio::time::timeout(Duration::from_secs(5), async {
        while dispatcher.jobs().await.is_ok() {
            tokio::task::yield_now().await;
        }
        dispatcher.jobs().await
    });
    assert_eq!(
        gone.await.expect("it stops"),
        Err(DispatcherError::ShuttingDown)
    );
}

/// Two slow answers must not hold up each other's sources, nor the driver.
#[tokio::test]
async fn an_enumerator_that_hangs_holds_up_neither_questions_nor_cancelling() {
    let (hold, held) = std::sync::mpsc::sync_channel::<()>(0);
    let held = Mutex::new(held);
    let manager = start(spec(Arc::new(move |_| {
        let held = held.lock().map_err(|_| "poisoned")?;
        held.recv().unwrap_or_default();
        Err("released".into())
    })));
    let jobs = manager.dispatcher().jobs().await.expect("it answers");
    let waiting = jobs[0].waiting_for.clone().expect("it waits");
    assert!(waiting.contains("slot"), "{waiting}");
    manager
        .dispatcher()
        .cancel(JobId(5))
        .await
        .expect("it runs");
    assert_eq!(result(&manager).await, JobResult::Canceled);
    drop(hold);
}

/// What worked before may work again: a server that is slow for a moment ends no job for good.
#[tokio::test]
async fn an_enumerator_that_cannot_be_made_anew_is_made_at_the_next_restart() {
    let made = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&made);
    let spec = spec(Arc::new(move |_| {
        match counter.fetch_add(1, Ordering::Relaxed) {
            1 => Err("the server is slow".into()),
            _ => Ok(Box::new(Splits(vec![1]))),
        }
    }));
    let options = JobManagerOptions {
        restart: RestartStrategy::FixedDelay {
            attempts: 3,
            delay: Duration::ZERO,
        },
        ..options()
    };
    let manager = JobManager::start(options, spec).expect("nothing to open");
    let mut fake = Fake::register(manager.gateway().as_ref())
        .await
        .expect("taken in");
    let attempt = fake.deployed().await;
    fake.state(attempt, ExecutionState::Failed).await;
    let again = fake.deployed().await;
    assert!(again.attempt > attempt.attempt);
    assert_eq!(made.load(Ordering::Relaxed), 3);
}
