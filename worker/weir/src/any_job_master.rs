//! The JobManager that leads, among several addresses.
//!
//! Those that stand by refuse connections; one that is stopped, or cut off, takes a connection and
//! never answers. So nobody's answer is waited for alone: the next address is asked a moment later,
//! those that refused are asked again meanwhile, and the first that takes the TaskManager in is the
//! one it works for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use weir_rpc::{
    BoxFuture, Fenced, GatewayError, JobMasterGateway, RegisterError, Registered, Registration,
    TaskExecutorCommand, TaskExecutorGateway,
};

/// How long an address has for its answer before the next one is asked, too.
const HEAD_START: Duration = Duration::from_millis(250);

/// Nobody has been heard yet.
const NOBODY: usize = usize::MAX;

/// The addresses.
pub(crate) struct AnyJobMaster {
    gateways: Vec<Arc<dyn JobMasterGateway>>,
    /// Whom to ask first: after a loss, not the one that was lost.
    first: AtomicUsize,
}

/// An address and its answer.
type Answer = (usize, Result<Registered, RegisterError>);

impl AnyJobMaster {
    pub(crate) fn new(gateways: Vec<Arc<dyn JobMasterGateway>>) -> Self {
        Self {
            gateways,
            first: AtomicUsize::new(0),
        }
    }

    async fn ask_all(
        &self,
        registration: Registration,
        executor: Arc<dyn TaskExecutorGateway>,
    ) -> Result<Registered, RegisterError> {
        let floor = Arc::new(Floor {
            executor,
            holder: AtomicUsize::new(NOBODY),
        });
        let mut asked = Asked {
            registration,
            floor: Arc::clone(&floor),
            pending: JoinSet::new(),
            waiting: self.in_turn(),
        };
        let mut failed: Vec<usize> = Vec::new();
        let mut last = RegisterError::Unreachable {
            address: "no address".to_owned(),
            cause: "no JobManager was named".to_owned(),
        };
        let mut ticks = interval(HEAD_START);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(answered) = asked.pending.join_next() => {
                    // A task that panicked has told why; its address counts as out of reach.
                    let Ok((at, answer)) = answered else { continue };
                    match answer {
                        Ok(registered) if floor.take(at) => {
                            self.first.store(at + 1, Ordering::Relaxed);
                            return Ok(registered);
                        }
                        // Another one has begun to give commands.
                        Ok(_) => {}
                        Err(error @ RegisterError::Unreachable { .. }) => {
                            last = error;
                            failed.push(at);
                            if let Some(next) = asked.waiting.pop() {
                                asked.ask(&self.gateways, next);
                            }
                        }
                        Err(error) => return Err(error),
                    }
                }
                _ = ticks.tick() => {
                    let next = asked.waiting.pop().or_else(|| {
                        (!failed.is_empty()).then(|| failed.remove(0))
                    });
                    if let Some(next) = next {
                        asked.ask(&self.gateways, next);
                    }
                }
            }
            // Nobody's answer is outstanding: whoever asked pauses, and asks again.
            if asked.pending.is_empty() && asked.waiting.is_empty() {
                return Err(last);
            }
        }
    }

    /// All addresses, the first to be asked last.
    fn in_turn(&self) -> Vec<usize> {
        let (first, count) = (self.first.load(Ordering::Relaxed), self.gateways.len());
        (0..count).rev().map(|at| (first + at) % count).collect()
    }
}

/// What is under way.
struct Asked {
    registration: Registration,
    floor: Arc<Floor>,
    pending: JoinSet<Answer>,
    waiting: Vec<usize>,
}

impl Asked {
    fn ask(&mut self, gateways: &[Arc<dyn JobMasterGateway>], at: usize) {
        let (gateway, registration) = (Arc::clone(&gateways[at]), self.registration.clone());
        let voice = Arc::new(Voice {
            floor: Arc::clone(&self.floor),
            at,
        });
        self.pending
            .spawn(async move { (at, gateway.register(registration, voice).await) });
    }
}

impl JobMasterGateway for AnyJobMaster {
    fn register(
        &self,
        registration: Registration,
        executor: Arc<dyn TaskExecutorGateway>,
    ) -> BoxFuture<'_, Result<Registered, RegisterError>> {
        Box::pin(self.ask_all(registration, executor))
    }
}

/// Only one of those that were asked may give commands.
struct Floor {
    executor: Arc<dyn TaskExecutorGateway>,
    holder: AtomicUsize,
}

impl Floor {
    fn take(&self, at: usize) -> bool {
        let taken = self
            .holder
            .compare_exchange(NOBODY, at, Ordering::AcqRel, Ordering::Acquire);
        taken.map_or_else(|holder| holder == at, |_| true)
    }

    fn is_held_by(&self, at: usize) -> bool {
        self.holder.load(Ordering::Acquire) == at
    }
}

/// One of those that were asked.
struct Voice {
    floor: Arc<Floor>,
    at: usize,
}

impl TaskExecutorGateway for Voice {
    fn tell(&self, command: Fenced<TaskExecutorCommand>) -> Result<(), GatewayError> {
        if !self.floor.take(self.at) {
            return Err(GatewayError::Closed);
        }
        self.floor.executor.tell(command)
    }

    fn disconnected(&self, reason: &str) {
        if self.floor.is_held_by(self.at) {
            self.floor.executor.disconnected(reason);
        }
    }
}

#[cfg(test)]
mod tests;
