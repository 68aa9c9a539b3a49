//! The watches: they fill the cache and say which job to look at.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::core::{DynamicObject, PartialObjectMeta};
use kube::runtime::WatchStreamExt;
use kube::runtime::controller::{Config, applier};
use kube::runtime::reflector::{ObjectRef, Store as Jobs, store::Writer};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use weir_controller::names;

use crate::cache::{Cache, Entry, Key, Store};
use crate::observe;
use crate::reconcile::{Context, after_error, reconcile, stream_jobs};

/// How many objects the API server is asked for at once, so that memory stays flat at the start.
const PAGE: u32 = 100;

/// How many jobs are looked at at once. A JobManager that does not answer costs its job's turn some
/// seconds of ten: so a few hundred such jobs delay no other one. How many of the turns may ask the
/// API server is another matter, see [`Context`].
const TURNS_MAX: u16 = 128;

/// What a watch tells: jobs to look at.
type Told = BoxStream<'static, Result<ObjectRef<DynamicObject>, watcher::Error>>;

/// The jobs of a namespace, or of all.
pub(crate) struct Scope {
    namespace: Option<String>,
    writer: Writer<DynamicObject>,
}

impl Scope {
    pub(crate) fn new(namespace: Option<&str>) -> Self {
        Self {
            namespace: namespace.map(str::to_owned),
            writer: Writer::new(stream_jobs()),
        }
    }

    /// The jobs, as the watch has brought them.
    pub(crate) fn jobs(&self) -> Jobs<DynamicObject> {
        self.writer.as_reader()
    }

    /// Looks after the jobs, for ever.
    pub(crate) async fn look_after(self, context: Arc<Context>) {
        let (client, cache) = (&context.watches, &context.cache);
        let space = self.namespace.clone();
        let jobs = self.jobs();
        let told = stream::select_all([
            stream_jobs_told(client, space.as_deref(), cache, self.writer),
            told(client, space.as_deref(), cache, &cache.pods, |pod: &Pod| {
                Some(observe::pod_record(pod))
            }),
            told(
                client,
                space.as_deref(),
                cache,
                &cache.kept,
                |kept: &ControllerRevision| observe::kept_spec(kept),
            ),
            versions::<ConfigMap>(client, space.as_deref(), cache),
            versions::<Service>(client, space.as_deref(), cache),
            versions::<ServiceAccount>(client, space.as_deref(), cache),
            versions::<Role>(client, space.as_deref(), cache),
            versions::<RoleBinding>(client, space.as_deref(), cache),
            versions::<PodDisruptionBudget>(client, space.as_deref(), cache),
            versions::<NetworkPolicy>(client, space.as_deref(), cache),
        ]);
        let look = |job, context| Box::pin(reconcile(job, context));
        let config = Config::default().concurrency(TURNS_MAX);
        let turns = applier(look, after_error, context, jobs, told, config);
        turns
            .for_each(|turn| async {
                if let Err(error) = turn {
                    tracing::debug!(%error, "a turn, or a watch, failed");
                }
            })
            .await;
    }
}

fn stream_jobs_told(
    client: &Client,
    namespace: Option<&str>,
    cache: &Arc<Cache>,
    writer: Writer<DynamicObject>,
) -> Told {
    let api = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &stream_jobs()),
        None => Api::all_with(client.clone(), &stream_jobs()),
    };
    let cache = Arc::clone(cache);
    watcher(api, watcher::Config::default().page_size(PAGE))
        .default_backoff()
        .modify(|job: &mut DynamicObject| job.managed_fields_mut().clear())
        .reflect(writer)
        .map_ok(move |event| match event {
            Event::Apply(job) | Event::InitApply(job) => {
                Some(ObjectRef::from_obj_with(&job, stream_jobs()))
            }
            Event::Delete(job) => {
                cache.forget(&(job.namespace().unwrap_or_default(), job.name_any()));
                None
            }
            Event::Init | Event::InitDone => None,
        })
        .try_filter_map(|job| async move { Ok(job) })
        .boxed()
}

fn children<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// Watches nothing but the versions of a kind's objects.
fn versions<K>(client: &Client, namespace: Option<&str>, cache: &Arc<Cache>) -> Told
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let store = cache.versions(&K::kind(&()));
    let version = |object: &PartialObjectMeta<K>| object.resource_version();
    told(client, namespace, cache, &store, version)
}

/// Watches a kind of the jobs' objects: puts what matters of each into the store, and tells whose
/// have changed.
fn told<K, V>(
    client: &Client,
    namespace: Option<&str>,
    cache: &Arc<Cache>,
    store: &Arc<Store<V>>,
    what: fn(&K) -> Option<V>,
) -> Told
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + Debug + DeserializeOwned + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    cache.expect_watch();
    let mut filler = Filler {
        namespace: namespace.map(str::to_owned),
        cache: Arc::clone(cache),
        store: Arc::clone(store),
        coming: BTreeMap::new(),
        complete: false,
        what,
    };
    let own = watcher::Config::default()
        .labels("app.kubernetes.io/managed-by=weir")
        .page_size(PAGE);
    watcher(children::<K>(client, namespace), own)
        .default_backoff()
        .map_ok(move |event| {
            let jobs = filler.take(event).into_iter();
            stream::iter(jobs.map(|(namespace, job)| {
                Ok(ObjectRef::new_with(&job, stream_jobs()).within(&namespace))
            }))
        })
        .try_flatten()
        .boxed()
}

/// Fills a store from a watch.
struct Filler<K, V> {
    namespace: Option<String>,
    cache: Arc<Cache>,
    store: Arc<Store<V>>,
    /// What a watch that begins anew has brought so far.
    coming: BTreeMap<Key, Entry<V>>,
    complete: bool,
    what: fn(&K) -> Option<V>,
}

impl<K: Resource, V: Clone> Filler<K, V> {
    /// Takes an event in, and gives the jobs that it is about, as namespace and name.
    fn take(&mut self, event: Event<K>) -> Vec<Key> {
        match event {
            Event::Apply(object) => {
                let key = (object.namespace().unwrap_or_default(), object.name_any());
                // Somebody may have changed the label that says whose it is.
                let before = self.store.remove(&key);
                let mut jobs: Vec<_> = before.map(|job| (key.0.clone(), job)).into_iter().collect();
                if let Some((key, entry)) = self.entry(&object) {
                    jobs.push((key.0.clone(), entry.job.clone()));
                    self.store.put(key, entry);
                }
                jobs.dedup();
                jobs
            }
            Event::Delete(object) => {
                let key = (object.namespace().unwrap_or_default(), object.name_any());
                let job = self.store.remove(&key);
                job.map(|job| (key.0, job)).into_iter().collect()
            }
            Event::Init => {
                self.coming.clear();
                Vec::new()
            }
            Event::InitApply(object) => {
                self.coming.extend(self.entry(&object));
                Vec::new()
            }
            Event::InitDone => {
                let new = std::mem::take(&mut self.coming);
                let mut jobs: Vec<Key> = new
                    .iter()
                    .map(|((namespace, _), entry)| (namespace.clone(), entry.job.clone()))
                    .collect();
                jobs.extend(self.store.replace(self.namespace.as_deref(), new));
                jobs.sort_unstable();
                jobs.dedup();
                if !self.complete {
                    self.complete = true;
                    self.cache.watch_is_complete();
                }
                jobs
            }
        }
    }

    fn entry(&self, object: &K) -> Option<(Key, Entry<V>)> {
        let job = object.labels().get(names::JOB_LABEL)?.clone();
        let namespace = object.namespace().unwrap_or_default();
        let value = (self.what)(object)?;
        Some(((namespace, object.name_any()), Entry { job, value }))
    }
}
