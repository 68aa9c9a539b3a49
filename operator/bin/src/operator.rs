//! The life of the process: it stands for election, looks after all jobs while it leads, and ends
//! when it does not lead any more or is told to.
//!
//! An operator that loses its Lease ends at once instead of standing again: whatever it was about
//! to do is lost with the process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use kube::Client;
use kube::core::DynamicObject;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::Store;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use weir_types::{Clock, SystemClock};

use crate::args::RunArgs;
use crate::cache::Cache;
use crate::http;
use crate::lease::{self, Leader};
use crate::metrics::Metrics;
use crate::reconcile::Context;
use crate::watch::Scope;

/// How long giving up the Lease may hold up the end of the process.
const RESIGN_CHECKS: u32 = 20;
const RESIGN_CHECK: Duration = Duration::from_millis(100);

/// How often it is looked whether the watches have brought all that there is.
const SYNC_CHECK: Duration = Duration::from_millis(200);

/// How often jobs are counted.
const COUNT_INTERVAL: Duration = Duration::from_secs(15);

/// Runs until told to end, or until another operator acts.
pub async fn run(args: RunArgs) -> anyhow::Result<()> {
    let metrics = Arc::new(Metrics::new());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let client = Client::try_default()
        .await
        .context("find the API server: run in a pod, or name a kubeconfig in KUBECONFIG")?;
    for address in [args.health_address, args.metrics_address] {
        http::serve(address, Arc::clone(&metrics), Arc::clone(&clock)).await?;
    }
    let mut leader = lease::stand(
        client.clone(),
        &args,
        Arc::clone(&clock),
        Arc::clone(&metrics),
    );
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for signals")?;
    let told_to_end = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    tokio::pin!(told_to_end);
    tracing::info!(name = args.name, lease = args.lease_name, "standing by");
    tokio::select! {
        () = leader.elected() => {}
        () = &mut told_to_end => return Ok(()),
    }
    tracing::info!(name = args.name, "this operator acts");
    metrics.acts(true);
    let acting = leader.clone();
    let cache = Cache::default();
    let own = format!("{}/{}", args.lease_namespace, args.lease_name);
    cache.others.identify(own);
    let context = Arc::new(Context {
        client: client.clone(),
        may_act: Arc::new(move || acting.is_acting()),
        clock,
        recorder: Recorder::new(client, reporter(&args)),
        metrics: Arc::clone(&metrics),
        cache: Arc::new(cache),
        default_image: args.job_image.clone(),
        rest_port: args.rest_port,
        workers: Semaphore::new(usize::from(args.workers.max(1))),
    });
    let result = tokio::select! {
        () = look_after(&args, context) => Err(anyhow!("the watch of the API server ended")),
        () = leader.lost() => Err(anyhow!("another operator may act: this one ends")),
        () = &mut told_to_end => Ok(()),
    };
    metrics.acts(false);
    // From here on nothing acts: the futures above are dropped.
    resign(&leader).await;
    result
}

async fn resign(leader: &Leader) {
    leader.resign();
    for _ in 0..RESIGN_CHECKS {
        if leader.has_resigned() {
            return;
        }
        tokio::time::sleep(RESIGN_CHECK).await;
    }
}

fn reporter(args: &RunArgs) -> Reporter {
    Reporter {
        controller: "weir.dev/operator".to_owned(),
        instance: Some(args.name.clone()),
    }
}

/// Looks after all jobs of the namespaces.
async fn look_after(args: &RunArgs, context: Arc<Context>) {
    let namespaces = args.namespaces();
    let scopes: Vec<Scope> = match namespaces.is_empty() {
        true => vec![Scope::new(None)],
        false => namespaces
            .into_iter()
            .map(|namespace| Scope::new(Some(namespace)))
            .collect(),
    };
    let jobs: Vec<_> = scopes.iter().map(Scope::jobs).collect();
    let watching = scopes
        .into_iter()
        .map(|scope| scope.look_after(Arc::clone(&context)));
    let watching = futures_util::future::join_all(watching);
    tokio::select! {
        _ = watching => {}
        () = count(&jobs, &context.metrics) => {}
        () = until_synced(&context) => {}
    }
}

/// Tells when the watches have brought all that there is. Never ends.
async fn until_synced(context: &Context) {
    while !context.cache.is_complete() {
        tokio::time::sleep(SYNC_CHECK).await;
    }
    context.metrics.health.synced();
    std::future::pending().await
}

/// Counts the jobs by phase.
async fn count(jobs: &[Store<DynamicObject>], metrics: &Metrics) {
    loop {
        tokio::time::sleep(COUNT_INTERVAL).await;
        let mut phases: BTreeMap<String, i64> = BTreeMap::new();
        for job in jobs.iter().flat_map(Store::state) {
            let phase = job.data.pointer("/status/phase").and_then(Value::as_str);
            let phase = phase.unwrap_or("Pending").to_owned();
            *phases.entry(phase).or_default() += 1;
        }
        metrics.count(phases);
    }
}
