//! Addresses that answer, refuse and say nothing.

use std::sync::Mutex;

use tokio::time::sleep;
use weir_graph::{Fingerprint, PartHash};
use weir_rpc::{
    JobInfo, JobMasterSession, LocalTaskExecutor, PROTOCOL_VERSION, ProgramSpec, TaskExecutorEvent,
    TaskManagerMessage,
};
use weir_types::{Clock, Epoch, JobId, SystemClock, TaskManagerId};

use super::*;

struct Session;

impl JobMasterSession for Session {
    fn tell(&self, _: Fenced<TaskManagerMessage>) -> BoxFuture<'_, Result<(), GatewayError>> {
        Box::pin(async { Ok(()) })
    }
}

/// What an address does, each time it is asked; the last one stays.
#[derive(Clone, Copy)]
enum Does {
    /// Nobody listens.
    Refuses,
    /// It takes the connection and stands still.
    Hangs,
    /// It accepts after so many milliseconds, in this epoch.
    Accepts(u64, u64),
}

struct Address {
    does: Mutex<Vec<Does>>,
    asked: Arc<Mutex<usize>>,
}

fn job(epoch: u64) -> JobInfo {
    let part = PartHash(0);
    JobInfo {
        epoch: Epoch(epoch),
        id: JobId(1),
        name: String::new(),
        program: ProgramSpec::default(),
        fingerprint: Fingerprint {
            graph: part,
            args: part,
            config: part,
            executable: part,
        },
        heartbeat_interval: HEAD_START,
        heartbeat_timeout: HEAD_START,
        checkpoints: None,
    }
}

impl JobMasterGateway for Address {
    fn register(
        &self,
        _: Registration,
        executor: Arc<dyn TaskExecutorGateway>,
    ) -> BoxFuture<'_, Result<Registered, RegisterError>> {
        *self.asked.lock().unwrap() += 1;
        let mut does = self.does.lock().unwrap();
        let now = if does.len() > 1 {
            does.remove(0)
        } else {
            does[0]
        };
        Box::pin(async move {
            match now {
                Does::Refuses => Err(RegisterError::Unreachable {
                    address: "x".to_owned(),
                    cause: "connection refused".to_owned(),
                }),
                Does::Hangs => {
                    let _open = executor;
                    sleep(Duration::from_secs(15)).await;
                    Err(RegisterError::Unreachable {
                        address: "x".to_owned(),
                        cause: "no answer".to_owned(),
                    })
                }
                Does::Accepts(after, epoch) => {
                    sleep(Duration::from_millis(after)).await;
                    executor
                        .tell(Fenced::new(Epoch(epoch), TaskExecutorCommand::Heartbeat))
                        .ok();
                    Ok(Registered {
                        job: job(epoch),
                        session: Arc::new(Session),
                    })
                }
            }
        })
    }
}

fn registration() -> Registration {
    Registration {
        protocol: PROTOCOL_VERSION,
        version: String::new(),
        id: TaskManagerId(1),
        name: String::new(),
        deployment: 1,
        slots: 1,
        data_address: None,
    }
}

fn addresses(all: &[&[Does]]) -> (AnyJobMaster, Vec<Arc<Mutex<usize>>>) {
    let counts: Vec<_> = all.iter().map(|_| Arc::new(Mutex::new(0))).collect();
    let gateways = all.iter().zip(&counts).map(|(does, asked)| {
        let gateway: Arc<dyn JobMasterGateway> = Arc::new(Address {
            does: Mutex::new(does.to_vec()),
            asked: Arc::clone(asked),
        });
        gateway
    });
    (AnyJobMaster::new(gateways.collect()), counts)
}

/// The epoch of whoever accepts, and after how many milliseconds.
async fn accepted(any: &AnyJobMaster) -> (u64, u128) {
    let (executor, _inbox) = LocalTaskExecutor::new();
    let start = SystemClock.now();
    let registered = any.register(registration(), Arc::new(executor)).await;
    (
        registered.expect("somebody accepts").job.epoch.0,
        SystemClock.now().since(start).as_millis(),
    )
}

#[tokio::test]
async fn one_that_stands_still_holds_up_nobody() {
    let (any, _) = addresses(&[&[Does::Hangs], &[Does::Accepts(10, 2)]]);
    let (epoch, after) = accepted(&any).await;
    assert_eq!(epoch, 2);
    assert!(after < 5_000, "{after} ms");
}

#[tokio::test]
async fn one_that_stands_by_is_asked_again_while_another_stands_still() {
    let standby = [Does::Refuses, Does::Refuses, Does::Accepts(10, 2)];
    let (any, asked) = addresses(&[&[Does::Hangs], &standby]);
    let (epoch, after) = accepted(&any).await;
    assert_eq!(epoch, 2);
    assert!(after < 5_000, "{after} ms");
    assert_eq!(*asked[0].lock().unwrap(), 1, "it has not answered yet");
}

#[tokio::test]
async fn after_a_loss_the_one_that_was_lost_is_asked_last() {
    let both = [Does::Accepts(0, 1)];
    let (any, asked) = addresses(&[&both, &both]);
    accepted(&any).await;
    accepted(&any).await;
    let asked: Vec<_> = asked.iter().map(|count| *count.lock().unwrap()).collect();
    assert_eq!(asked, [1, 1]);
}

#[tokio::test]
async fn when_all_have_refused_the_answer_comes_at_once() {
    let (any, _) = addresses(&[&[Does::Refuses], &[Does::Refuses]]);
    let (executor, _inbox) = LocalTaskExecutor::new();
    let start = SystemClock.now();
    let answer = any.register(registration(), Arc::new(executor)).await;
    assert!(matches!(answer, Err(RegisterError::Unreachable { .. })));
    assert!(SystemClock.now().since(start) < Duration::from_secs(2));
}

/// Fails if the commands of both came through, or the end of the loser's connection did.
#[tokio::test]
async fn only_the_one_that_was_taken_gives_commands() {
    let (any, _) = addresses(&[&[Does::Accepts(300, 1)], &[Does::Accepts(100, 2)]]);
    let (executor, mut inbox) = LocalTaskExecutor::new();
    let registered = any.register(registration(), Arc::new(executor)).await;
    let epoch = registered.expect("both accept").job.epoch;
    let Some(TaskExecutorEvent::Command(command)) =
        tokio::time::timeout(Duration::from_secs(5), inbox.next())
            .await
            .ok()
    else {
        panic!("the winner has sent a heartbeat")
    };
    assert!(command.open(epoch).is_ok());
    let more = tokio::time::timeout(Duration::from_millis(500), inbox.next()).await;
    assert!(
        !matches!(more, Ok(TaskExecutorEvent::Command(_))),
        "{more:?}"
    );
}
