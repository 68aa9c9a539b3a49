//! The life of the process: it stands for election, looks after all jobs while it leads, and ends
//! when it does not lead any more or is told to.
//!
//! An operator that loses its Lease ends at once instead of standing again: whatever it was about
//! to do is lost with the process.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use futures_util::StreamExt;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::core::DynamicObject;
use kube::runtime::controller::Config;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{Controller, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::signal::unix::{SignalKind, signal};
use weir_controller::names;
use weir_types::{Clock, SystemClock};

use crate::args::RunArgs;
use crate::lease::{self, Leader};
use crate::metrics::Metrics;
use crate::reconcile::{Context, after_error, reconcile, stream_jobs};
use crate::{apply, http};

/// How long giving up the Lease may hold up the end of the process.
const RESIGN_CHECKS: u32 = 20;
const RESIGN_CHECK: Duration = Duration::from_millis(100);

/// How often jobs are counted.
const COUNT_INTERVAL: Duration = Duration::from_secs(60);

/// Runs until told to end, or until another operator acts.
pub(crate) async fn run(args: RunArgs) -> anyhow::Result<()> {
    let metrics = Arc::new(Metrics::new());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let client = Client::try_default()
        .await
        .context("find the API server: run in a pod, or name a kubeconfig in KUBECONFIG")?;
    http::serve(args.health_address, Arc::clone(&metrics)).await?;
    http::serve(args.metrics_address, Arc::clone(&metrics)).await?;
    let mut leader = lease::stand(client.clone(), &args, Arc::clone(&clock));
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
    let context = Arc::new(Context {
        client: client.clone(),
        leader: leader.clone(),
        clock,
        recorder: Recorder::new(client, reporter(&args)),
        metrics: Arc::clone(&metrics),
        default_image: args.job_image.clone(),
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
    let scopes: Vec<Option<&str>> = match namespaces.is_empty() {
        true => vec![None],
        false => namespaces.into_iter().map(Some).collect(),
    };
    let apis: Vec<Api<DynamicObject>> = scopes
        .iter()
        .map(|scope| jobs(&context.client, *scope))
        .collect();
    let watching = scopes
        .iter()
        .map(|scope| watch(*scope, args.workers, Arc::clone(&context)));
    let watching = futures_util::future::join_all(watching);
    tokio::select! {
        _ = watching => {}
        () = count(&apis, &context.metrics) => {}
    }
}

async fn count(apis: &[Api<DynamicObject>], metrics: &Metrics) {
    loop {
        match apply::phases(apis).await {
            Ok(phases) => metrics.count(phases),
            Err(error) => tracing::debug!(%error, "count the jobs"),
        }
        tokio::time::sleep(COUNT_INTERVAL).await;
    }
}

fn jobs(client: &Client, scope: Option<&str>) -> Api<DynamicObject> {
    match scope {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &stream_jobs()),
        None => Api::all_with(client.clone(), &stream_jobs()),
    }
}

fn children<K>(client: &Client, scope: Option<&str>) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match scope {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

async fn watch(scope: Option<&str>, workers: u16, context: Arc<Context>) {
    let client = context.client.clone();
    let own = watcher::Config::default().labels("app.kubernetes.io/managed-by=weir");
    let controller = Controller::new_with(
        jobs(&client, scope),
        watcher::Config::default(),
        stream_jobs(),
    );
    let config = Config::default().concurrency(workers);
    let mut turns = controller
        .with_config(config)
        .watches(children::<Pod>(&client, scope), own.clone(), owner)
        .watches(children::<ConfigMap>(&client, scope), own.clone(), owner)
        .watches(children::<Service>(&client, scope), own.clone(), owner)
        .watches(
            children::<ServiceAccount>(&client, scope),
            own.clone(),
            owner,
        )
        .watches(children::<Role>(&client, scope), own.clone(), owner)
        .watches(children::<RoleBinding>(&client, scope), own.clone(), owner)
        .watches(
            children::<PodDisruptionBudget>(&client, scope),
            own.clone(),
            owner,
        )
        .watches(children::<NetworkPolicy>(&client, scope), own, owner)
        .run(reconcile, after_error, context)
        .boxed();
    while let Some(turn) = turns.next().await {
        if let Err(error) = turn {
            tracing::debug!(%error, "a turn, or a watch, failed");
        }
    }
}

/// The job that an object belongs to.
fn owner<K: Resource + DeserializeOwned + Debug>(child: K) -> Option<ObjectRef<DynamicObject>> {
    let job = child.labels().get(names::JOB_LABEL)?;
    let namespace = child.namespace()?;
    Some(ObjectRef::new_with(job, stream_jobs()).within(&namespace))
}
