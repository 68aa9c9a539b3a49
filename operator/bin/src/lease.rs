//! The operators' election, on a Lease. Who acts is decided by `weir_lease`.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use futures_util::TryStreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{PostParams, WatchParams};
use kube::{Api, Client};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use weir_lease::{
    Action, Election, Event, LeaseRecord, Observed, OnMissing, OnSilence, Settings, WriteError,
    micro_time,
};
use weir_types::{Clock, Timestamp};

use crate::args::RunArgs;
use crate::metrics::Metrics;

/// A request that takes longer has failed, or is in doubt.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// How long one watch of the Lease lasts.
const WATCH_SECS: u32 = 290;

/// Whether this process may act, for all who act.
#[derive(Clone)]
pub(crate) struct Leader {
    election: Arc<Mutex<Election>>,
    clock: Arc<dyn Clock>,
    acting: watch::Receiver<bool>,
}

impl Leader {
    /// Whether this process may act now. To be asked before each write.
    pub(crate) fn is_acting(&self) -> bool {
        let election = self.election.lock().unwrap_or_else(PoisonError::into_inner);
        election.is_acting(self.clock.now())
    }

    /// Waits until this process may act.
    pub(crate) async fn elected(&mut self) {
        // The sender lives as long as the process.
        let elected = self.acting.wait_for(|acting| *acting).await;
        drop(elected);
    }

    /// Waits until it may not act any more.
    pub(crate) async fn lost(&mut self) {
        let lost = self.acting.wait_for(|acting| !*acting).await;
        drop(lost);
    }

    /// Has the Lease given up. Whoever calls this has stopped acting.
    pub(crate) fn resign(&self) {
        let mut election = self.election.lock().unwrap_or_else(PoisonError::into_inner);
        election.resign(self.clock.now());
    }

    /// Whether it has been given up, or was never held.
    pub(crate) fn has_resigned(&self) -> bool {
        let election = self.election.lock().unwrap_or_else(PoisonError::into_inner);
        election.has_resigned()
    }
}

/// Stands for election from now on.
pub(crate) fn stand(
    client: Client,
    args: &RunArgs,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
) -> Leader {
    let settings = Settings {
        identity: format!("{}_{:016x}", args.name, random()),
        predecessors: String::new(),
        duration: args.lease_duration.get(),
        renew_deadline: args.renew_deadline.get(),
        retry_period: args.retry_period.get(),
        on_silence: OnSilence::StepDown,
        on_missing: OnMissing::Create,
    };
    let election = Arc::new(Mutex::new(Election::new(settings, clock.now())));
    let (acting, receiver) = watch::channel(false);
    let leader = Leader {
        election,
        clock,
        acting: receiver,
    };
    let driver = Driver {
        leader: leader.clone(),
        api: Api::namespaced(client, &args.lease_namespace),
        namespace: args.lease_namespace.clone(),
        name: args.lease_name.clone(),
        changed: Arc::default(),
        metrics,
    };
    let changed = Arc::clone(&driver.changed);
    let retry = args.retry_period.get();
    tokio::spawn(heed(
        driver.api.clone(),
        driver.name.clone(),
        retry,
        changed,
    ));
    tokio::spawn(driver.run(acting));
    leader
}

/// Tells of changes of the Lease as they happen. Nothing depends on it: whoever may not watch, or
/// misses one, sees it with the next read.
async fn heed(api: Api<Lease>, name: String, retry: Duration, changed: Arc<Notify>) {
    let own = format!("metadata.name={name}");
    let params = WatchParams::default().fields(&own).timeout(WATCH_SECS);
    loop {
        let watched = async {
            let mut told = std::pin::pin!(api.watch(&params, "0").await?);
            while told.try_next().await?.is_some() {
                changed.notify_one();
            }
            Ok::<(), kube::Error>(())
        };
        if let Err(error) = watched.await {
            tracing::debug!(%error, lease = name, "watch the Lease");
        }
        sleep(retry).await;
    }
}

/// The standard library's hash maps get their keys from the operating system.
fn random() -> u64 {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.finish()
}

struct Driver {
    metrics: Arc<Metrics>,
    leader: Leader,
    api: Api<Lease>,
    namespace: String,
    name: String,
    /// The Lease may have changed.
    changed: Arc<Notify>,
}

/// How often it is looked whether the time to act is over.
const LOOK: Duration = Duration::from_millis(100);

impl Driver {
    async fn run(self, acting: watch::Sender<bool>) {
        let mut event = Event::Tick;
        loop {
            let action = {
                let election = &self.leader.election;
                let mut election = election.lock().unwrap_or_else(PoisonError::into_inner);
                election.on_event(self.leader.clock.now(), event)
            };
            self.tell(&acting);
            event = match action {
                Action::Wait(until) => self.wait(until, &acting).await,
                Action::Read => self.read().await,
                Action::Write { record, replaces } => self.write(record, replaces).await,
            };
            if matches!(event, Event::Read(_) | Event::Written(_)) {
                self.metrics.health.heard(self.leader.clock.now());
            }
        }
    }

    /// In slices, so that the end of the time to act, and a resignation, are seen.
    async fn wait(&self, until: Timestamp, acting: &watch::Sender<bool>) -> Event {
        while self.leader.clock.now() < until {
            let changed = timeout(LOOK, self.changed.notified()).await.is_ok();
            self.tell(acting);
            if changed {
                return Event::Changed;
            }
            if self.is_resigning() {
                break;
            }
        }
        Event::Tick
    }

    fn is_resigning(&self) -> bool {
        let election = &self.leader.election;
        let election = election.lock().unwrap_or_else(PoisonError::into_inner);
        election.leads() && !election.is_acting(self.leader.clock.now())
    }

    fn tell(&self, acting: &watch::Sender<bool>) {
        let now = self.leader.is_acting();
        acting.send_if_modified(|before| {
            let changed = *before != now;
            *before = now;
            changed
        });
    }

    async fn read(&self) -> Event {
        match timeout(REQUEST_TIMEOUT, self.api.get_opt(&self.name)).await {
            Ok(Ok(None)) => Event::Read(None),
            Ok(Ok(Some(lease))) => match observed(&lease) {
                Some(observed) => Event::Read(Some(observed)),
                None => Event::ReadFailed,
            },
            Ok(Err(error)) => {
                tracing::warn!(%error, lease = self.name, "read the Lease");
                Event::ReadFailed
            }
            Err(_) => Event::ReadFailed,
        }
    }

    async fn write(&self, mut record: LeaseRecord, replaces: Option<String>) -> Event {
        let now = micro_time(self.leader.clock.unix_ms());
        if record.acquired_at.is_empty() {
            record.acquired_at.clone_from(&now);
        }
        record.renewed_at = now;
        let object = record.to_object(&self.namespace, &self.name, replaces.as_deref());
        let written = async {
            let lease: Lease = serde_json::from_value(object).context("make a Lease")?;
            let params = PostParams::default();
            let written = match replaces {
                Some(_) => self.api.replace(&self.name, &params, &lease).await?,
                None => self.api.create(&params, &lease).await?,
            };
            observed(&written).context("read the Lease that was written")
        };
        match timeout(REQUEST_TIMEOUT, written).await {
            Ok(Ok(observed)) => Event::Written(observed),
            Ok(Err(error)) => {
                let conflict = error.downcast_ref::<kube::Error>().is_some_and(|error| {
                    matches!(error, kube::Error::Api(status) if matches!(status.code, 404 | 409))
                });
                if conflict {
                    return Event::WriteFailed(WriteError::Conflict);
                }
                tracing::warn!(
                    error = format!("{error:#}"),
                    lease = self.name,
                    "write the Lease"
                );
                Event::WriteFailed(WriteError::InDoubt)
            }
            Err(_) => Event::WriteFailed(WriteError::InDoubt),
        }
    }
}

fn observed(lease: &Lease) -> Option<Observed> {
    Observed::from_object(&serde_json::to_value(lease).ok()?)
}
