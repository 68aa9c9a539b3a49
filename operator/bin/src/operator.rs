//! The life of the process: it stands for election, looks after all jobs while it leads, and ends
//! when it does not lead any more or is told to.
//!
//! An operator that loses its Lease ends at once instead of standing again: whatever it was about
//! to do is lost with the process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use kube::core::DynamicObject;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::Store;
use kube::{Client, Config};
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

/// How long a connection to the API server may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the API server may be silent when it is asked for something: then the job's turn has
/// failed, and is made again.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Clients of the API server.
struct Clients {
    /// For all that is answered at once.
    asks: Client,
    /// For watches, which are silent while nothing happens, and for the Lease, which has times of
    /// its own.
    watches: Client,
}

impl Clients {
    fn new(mut config: Config, answer: Duration) -> Result<Self, kube::Error> {
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        let watches = Client::try_from(config.clone())?;
        config.read_timeout = Some(answer);
        config.write_timeout = Some(answer);
        // From when a request is sent, not from when its connection was used last.
        config.reset_reader_on_write = true;
        let asks = Client::try_from(config)?;
        Ok(Self { asks, watches })
    }
}

/// Runs until told to end, or until another operator acts.
pub async fn run(args: RunArgs) -> anyhow::Result<()> {
    let metrics = Arc::new(Metrics::new());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let config = Config::infer()
        .await
        .context("find the API server: run in a pod, or name a kubeconfig in KUBECONFIG")?;
    let clients =
        Clients::new(config, ANSWER_TIMEOUT).context("make a client of the API server")?;
    for address in [args.health_address, args.metrics_address] {
        http::serve(address, Arc::clone(&metrics), Arc::clone(&clock)).await?;
    }
    let mut leader = lease::stand(
        clients.watches.clone(),
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
        client: clients.asks.clone(),
        watches: clients.watches,
        may_act: Arc::new(move || acting.is_acting()),
        clock,
        recorder: Recorder::new(clients.asks, reporter(&args)),
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

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use kube::Api;
    use kube::api::ListParams;
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn an_api_server_that_never_answers_holds_up_no_request_for_long() {
        // The kernel takes the connections; nobody reads from them.
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let config = Config::new(format!("http://{address}").parse().expect("a URI"));
        let clients = Clients::new(config, Duration::from_millis(200)).expect("clients");
        let list = async |client: Client| {
            let pods: Api<Pod> = Api::default_namespaced(client);
            pods.list(&ListParams::default()).await.map(drop)
        };
        let asked = timeout(Duration::from_secs(20), list(clients.asks)).await;
        assert!(asked.expect("it is given up").is_err());
        let watched = timeout(Duration::from_secs(1), list(clients.watches)).await;
        assert!(watched.is_err(), "a watch may wait");
        drop(listener);
    }
}
