//! Finds the JobManager: asks until it answers, for as long as it may take.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use weir_rpc::{
    JobMasterGateway, JobResult, LocalTaskExecutor, PROTOCOL_VERSION, RegisterError, Registered,
    Registration, TaskExecutorInbox, VERSION,
};
use weir_types::{Clock, Timestamp};

/// The pause after the first failure; each further one doubles it. Whoever comes back after an
/// election, or in a new pod, is to be found soon.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// The time that each attempt has at least.
const ANSWER_MIN: Duration = Duration::from_millis(100);

/// How often people hear that it is still trying.
const MESSAGE_INTERVAL: Duration = Duration::from_secs(5);

/// How asking came out.
pub(crate) enum Outcome {
    /// Taken in.
    Accepted(Box<Registered>, TaskExecutorInbox),
    /// There is nothing left to do.
    JobEnded(JobResult),
    /// Not wanted.
    Refused(String),
    /// Nobody answered for too long: the last thing that was seen.
    OutOfReach(RegisterError),
}

/// Asks to be taken in, until there is an answer or `since` lies too far back.
pub(crate) async fn register(
    gateway: &dyn JobMasterGateway,
    registration: &Registration,
    clock: &dyn Clock,
    since: Timestamp,
    limit: Duration,
) -> Outcome {
    let mut pause = PAUSE_MIN;
    let mut last_message: Option<Timestamp> = None;
    loop {
        let (executor, inbox) = LocalTaskExecutor::new();
        let rest = limit.saturating_sub(clock.now().since(since));
        // An acceptance that comes too late finds its session dropped, which ends the connection.
        let asked = gateway.register(registration.clone(), Arc::new(executor));
        let unreachable = match timeout(rest.max(ANSWER_MIN), asked).await {
            Ok(Ok(registered)) => return Outcome::Accepted(Box::new(registered), inbox),
            Ok(Err(RegisterError::JobEnded(result))) => return Outcome::JobEnded(result),
            Ok(Err(RegisterError::Refused(reason))) => return Outcome::Refused(reason),
            Ok(Err(error @ RegisterError::Unreachable { .. })) => error,
            Err(_) => RegisterError::Unreachable {
                address: "its address".to_owned(),
                cause: "it does not answer".to_owned(),
            },
        };
        let now = clock.now();
        let rest = limit.saturating_sub(now.since(since));
        if rest.is_zero() {
            return Outcome::OutOfReach(unreachable);
        }
        if last_message.is_none_or(|last| now.since(last) >= MESSAGE_INTERVAL) {
            last_message = Some(now);
            tracing::warn!(
                "{unreachable}; trying again for {} s",
                rest.as_secs().max(1)
            );
        }
        tokio::time::sleep(pause.min(rest)).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// What this process says about itself.
pub(crate) fn registration(
    options: &crate::TaskManagerOptions,
    id: weir_types::TaskManagerId,
    data_address: Option<std::net::SocketAddr>,
) -> Registration {
    Registration {
        protocol: PROTOCOL_VERSION,
        version: VERSION.to_owned(),
        id,
        name: options.name.clone(),
        deployment: options.deployment,
        slots: options.slots,
        data_address,
    }
}
