//! One StreamJob in a namespace of its own: its storage, its pods' processes, a node that starts
//! and ends them, and the operator that looks after it, turn by turn.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use hyper::Method;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use kube::runtime::events::{Recorder, Reporter};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use weir_crd::{StreamJobSpec, StreamJobStatus};
use weir_operator::{Cache, Context, Metrics, reconcile, stream_jobs};
use weir_types::{Clock, SystemClock, Timestamp};

use crate::budget::Budget;
use crate::managers::{self, Answer, Asked, Managers, Permission};
use crate::server;
use crate::storage::{JOB_ID, Manager, Process, Storage};

/// The name of every job.
pub(crate) const JOB: &str = "x";

/// How much time passes in a tick, so that nobody waits for what takes seconds.
const TICK_MS: i64 = 2_000;

/// The machine's time, and what has been skipped.
#[derive(Default)]
pub(crate) struct SkippingClock {
    skipped_ms: AtomicI64,
}

impl SkippingClock {
    pub(crate) fn skip(&self, ms: i64) {
        self.skipped_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for SkippingClock {
    fn now(&self) -> Timestamp {
        let skipped = self.skipped_ms.load(Ordering::SeqCst).unsigned_abs();
        SystemClock.now() + std::time::Duration::from_millis(skipped)
    }

    fn unix_ms(&self) -> i64 {
        SystemClock.unix_ms() + self.skipped_ms.load(Ordering::SeqCst)
    }
}

/// What the job consists of, apart from the API server's part.
pub(crate) struct Inside {
    pub(crate) storage: Storage,
    /// The JobManagers' processes, by pod.
    pub(crate) managers: BTreeMap<String, Manager>,
    /// Requests that change something, as they came.
    pub(crate) told: Vec<String>,
    /// What must not happen and did.
    pub(crate) violations: Vec<String>,
    /// How often a job was claimed beside what is left of the deployment before, which had stopped.
    pub(crate) beside: u32,
    /// For how many ticks nodes let pods run that are to go.
    keep_pods: u32,
    /// What keeps nodes from making containers, as they say it.
    pub(crate) no_mount: Option<String>,
    /// Pods whose container is not made.
    unmounted: BTreeSet<String>,
    budget: Arc<Budget>,
}

#[derive(Clone)]
struct Shared(Arc<Mutex<Inside>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Managers for Shared {
    fn may_change(&self, asked: &Asked) -> Permission {
        let budget = Arc::clone(&self.lock().budget);
        let what = format!("{} {}", asked.method, asked.path);
        Box::pin(async move { budget.spend(what).await })
    }

    fn answer(&self, asked: &Asked) -> Answer {
        let inside = &mut *self.lock();
        if inside.storage.troubles.hangs {
            return Answer::Nothing;
        }
        let Some(manager) = inside.managers.get_mut(&asked.pod) else {
            return Answer::Refused(503, "it has ended".to_owned());
        };
        let leads = manager.leads();
        let path: Vec<_> = asked.path.split('/').skip(1).collect();
        if asked.method != Method::GET {
            let operation = asked.body["operation"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            inside.told.push(format!("{} {operation}", asked.path));
            if inside.storage.troubles.refuses {
                return Answer::Refused(409, "the job takes no snapshots".to_owned());
            }
            return match path[..] {
                ["jobs", JOB_ID, what] if leads => {
                    inside.storage.ask(manager, &operation, what == "stop");
                    Answer::Json(json!({ "operation": operation }))
                }
                ["jobs", JOB_ID, "savepoints", name] if leads => {
                    inside.storage.forget(name);
                    Answer::Json(json!({ "operation": name }))
                }
                _ => Answer::Refused(503, "it does not lead".to_owned()),
            };
        }
        if let ["jobs", JOB_ID, "savepoints", name] = path[..]
            && asked.waits
        {
            inside.storage.wait(manager, name);
        }
        let storage = &inside.storage;
        match path[..] {
            ["standby"] => Answer::Json(storage.standby(manager)),
            ["jobs"] if leads => Answer::Json(json!({ "jobs": [storage.job(manager)] })),
            ["jobs"] => Answer::Json(json!({ "jobs": [] })),
            ["jobs", JOB_ID] if leads => Answer::Json(storage.job(manager)),
            ["jobs", JOB_ID, "checkpoints"] if leads => Answer::Json(storage.checkpoints(manager)),
            ["jobs", JOB_ID, "savepoints", name] if leads => {
                match storage.operation(manager, name) {
                    Some(found) => Answer::Json(found),
                    None => Answer::Refused(404, format!("no savepoint {name}")),
                }
            }
            _ => Answer::Refused(404, "no such page".to_owned()),
        }
    }
}

/// What the operator says, where `WEIR_TEST_LOG` wants to see it, for example as `debug`.
fn log() {
    if let Ok(filter) = std::env::var("WEIR_TEST_LOG") {
        let builder = tracing_subscriber::fmt().with_env_filter(filter);
        drop(builder.with_writer(std::io::stderr).try_init());
    }
}

/// How a turn of the operator went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Done,
    /// It came to the effect that its budget does not allow.
    Killed,
    /// There is no StreamJob.
    Gone,
}

/// An operator, in this process.
pub(crate) struct Operator {
    pub(crate) context: Arc<Context>,
    pub(crate) budget: Arc<Budget>,
    /// Whether it holds the Lease, as far as it knows.
    pub(crate) acts: Arc<std::sync::atomic::AtomicBool>,
}

pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    number: u32,
    pub(crate) clock: Arc<SkippingClock>,
    shared: Shared,
    addresses: Mutex<BTreeMap<String, IpAddr>>,
    next_address: Mutex<u8>,
}

impl World {
    pub(crate) async fn new() -> Self {
        log();
        let client = server::server().await.client().await;
        let (namespace, number) = server::namespace(&client).await;
        Self {
            client,
            namespace,
            number,
            clock: Arc::new(SkippingClock::default()),
            shared: Shared(Arc::new(Mutex::new(Inside {
                storage: Storage::default(),
                managers: BTreeMap::new(),
                told: Vec::new(),
                violations: Vec::new(),
                beside: 0,
                keep_pods: 0,
                no_mount: None,
                unmounted: BTreeSet::new(),
                budget: Budget::unlimited(),
            }))),
            addresses: Mutex::new(BTreeMap::new()),
            next_address: Mutex::new(1),
        }
    }

    pub(crate) fn inside(&self) -> MutexGuard<'_, Inside> {
        self.shared.lock()
    }

    pub(crate) fn jobs(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &stream_jobs())
    }

    /// Any of the core's kinds, by name.
    pub(crate) fn api(&self, group: &str, version: &str, kind: &str) -> Api<DynamicObject> {
        let kind = kube::core::GroupVersionKind::gvk(group, version, kind);
        let resource = kube::core::ApiResource::from_gvk(&kind);
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    fn pods(&self) -> Api<DynamicObject> {
        self.api("", "v1", "Pod")
    }

    /// An operator that has just been started, with what it may do.
    pub(crate) fn operator(&self, budget: &Arc<Budget>) -> Operator {
        self.operator_with_image(budget, "localhost/weir:1")
    }

    /// The same with this image for jobs that name none.
    pub(crate) fn operator_with_image(&self, budget: &Arc<Budget>, image: &str) -> Operator {
        self.inside().budget = Arc::clone(budget);
        let client = budget.client(&self.client);
        let acts = Arc::new(std::sync::atomic::AtomicBool::new(true));
        let may_act = Arc::clone(&acts);
        let reporter = Reporter {
            controller: "weir.dev/operator".to_owned(),
            instance: Some("tests".to_owned()),
        };
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as Arc<dyn Clock>;
        Operator {
            context: Arc::new(Context {
                client: client.clone(),
                watches: client.clone(),
                may_act: Arc::new(move || may_act.load(Ordering::SeqCst)),
                clock,
                recorder: Recorder::new(client, reporter),
                metrics: Arc::new(Metrics::new()),
                cache: Arc::new(Cache::default()),
                default_image: image.to_owned(),
                rest_port: managers::port(),
                workers: Semaphore::new(4),
            }),
            budget: Arc::clone(budget),
            acts,
        }
    }

    /// Creates the job: the usual manifest with these changes.
    pub(crate) async fn create(&self, changes: &Value) {
        let mut job = json!({
            "apiVersion": "weir.dev/v1alpha1",
            "kind": "StreamJob",
            "metadata": { "name": JOB, "namespace": self.namespace },
            "spec": {
                "job": { "program": "p", "args": { "v": "0" } },
                "storage": { "local": { "path": "/s" } },
                "upgrade": { "strategy": "Recreate", "savepointTimeout": "60s" },
                "checkpoint": { "interval": "5s" },
                "rollback": { "minStable": "5s", "readinessTimeout": "60s" },
                "jobManager": { "replicas": 1 },
                "taskManager": { "replicas": 1 },
            },
        });
        merge(&mut job["spec"], changes);
        let job: DynamicObject = serde_json::from_value(job).expect("an object");
        let created = self.jobs().create(&PostParams::default(), &job).await;
        created.expect("the job is taken");
    }

    /// Changes the job, by a merge patch.
    pub(crate) async fn patch(&self, patch: &Value) {
        let patched = self
            .jobs()
            .patch(JOB, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        patched.expect("the change is taken");
    }

    pub(crate) async fn edit(&self, spec: &Value) {
        self.patch(&json!({ "spec": spec })).await;
    }

    pub(crate) async fn annotate(&self, name: &str, value: &str) {
        self.patch(&json!({ "metadata": { "annotations": { name: value } } }))
            .await;
    }

    pub(crate) async fn delete(&self) {
        let deleted = self.jobs().delete(JOB, &DeleteParams::default()).await;
        deleted.expect("the deletion is taken");
    }

    pub(crate) async fn job(&self) -> Option<DynamicObject> {
        self.jobs().get_opt(JOB).await.expect("an answer")
    }

    pub(crate) async fn status(&self) -> StreamJobStatus {
        let job = self.job().await.expect("it is there");
        let status = job.data.get("status").cloned().unwrap_or_else(|| json!({}));
        serde_json::from_value(status).expect("a status")
    }

    pub(crate) async fn spec(&self) -> StreamJobSpec {
        let job = self.job().await.expect("it is there");
        serde_json::from_value(job.data["spec"].clone()).expect("a spec")
    }

    /// One turn of the operator.
    pub(crate) async fn turn(&self, operator: &Operator) -> Turn {
        let Some(job) = self.job().await else {
            return Turn::Gone;
        };
        let turn = Box::pin(reconcile(Arc::new(job), Arc::clone(&operator.context)));
        tokio::select! {
            biased;
            () = operator.budget.reached() => Turn::Killed,
            // What failed is tried again in the next turn.
            result = turn => {
                drop(result);
                Turn::Done
            }
        }
    }

    /// A moment passes for nodes and processes.
    pub(crate) async fn tick(&self) {
        self.clock.skip(TICK_MS);
        self.inside().storage.now_ms = self.clock.unix_ms();
        let pods = self.pods().list(&ListParams::default()).await;
        let pods = pods.expect("pods").items;
        self.end_those_without_pod(&pods).await;
        let alive: Vec<(String, i64)> = pods
            .iter()
            .filter(|pod| pod.data.pointer("/status/podIP").is_some())
            .filter(|pod| pod.data.pointer("/status/phase") == Some(&json!("Running")))
            .map(|pod| (pod.name_any(), deployment(pod)))
            .collect();
        let gates = self.names("coordination.k8s.io", "Lease").await;
        for manager in self.inside().managers.values_mut() {
            let gate = format!("{JOB}-d{}", manager.deployment);
            manager.gate_is_open = gates.contains(&gate);
        }
        for pod in &pods {
            self.tick_pod(pod, &alive).await;
        }
    }

    /// A pod that is deleted at once takes its process with it.
    async fn end_those_without_pod(&self, pods: &[DynamicObject]) {
        let is_there = |name: &String| pods.iter().any(|pod| pod.name_any() == *name);
        let mut names: Vec<_> = self.inside().managers.keys().cloned().collect();
        names.retain(|name| !is_there(name));
        for name in names {
            self.end_pod(&name).await;
        }
    }

    async fn tick_pod(&self, pod: &DynamicObject, alive: &[(String, i64)]) {
        let name = pod.name_any();
        if pod.metadata.deletion_timestamp.is_some() {
            let kept = {
                let inside = &mut *self.inside();
                let kept = inside.keep_pods > 0;
                inside.keep_pods = inside.keep_pods.saturating_sub(1);
                kept
            };
            if !kept {
                self.end_pod(&name).await;
            }
            return;
        }
        if pod.data.pointer("/spec/nodeName").is_none() {
            self.start_pod(pod).await;
            return;
        }
        if self.inside().unmounted.contains(&name) {
            self.mount(pod).await;
            return;
        }
        let before = self.inside().managers.get(&name).cloned();
        let Some(mut manager) = before else {
            return;
        };
        if let Process::Ended(code, words) = manager.process.clone() {
            if code != 0 {
                // The node starts it again.
                manager.process = Process::Starts;
                self.set_status(&name, running(self.address(&name), Some((code, &words))))
                    .await;
                self.inside().managers.insert(name, manager);
            }
            return;
        }
        {
            let inside = &mut *self.inside();
            let claims = inside.storage.claims.len();
            inside.storage.tick(&mut manager);
            if inside.storage.claims.len() > claims {
                let others = alive
                    .iter()
                    .filter(|(_, other)| *other != manager.deployment);
                let others: Vec<_> = others.map(|(name, _)| name.as_str()).collect();
                // What has stopped does nothing any more, whatever is left of it.
                let stopped = inside
                    .storage
                    .claims
                    .last()
                    .is_some_and(|claim| claim.stopped);
                inside.beside += u32::from(stopped && !others.is_empty());
                if !stopped && !others.is_empty() {
                    inside
                        .violations
                        .push(format!("{name} claims beside {others:?}"));
                }
            }
            inside.managers.insert(name.clone(), manager.clone());
        }
        if let Process::Ended(code, words) = &manager.process {
            let phase = if *code == 0 { "Succeeded" } else { "Running" };
            self.set_status(&name, ended(phase, self.address(&name), *code, words))
                .await;
        }
    }

    fn address(&self, pod: &str) -> IpAddr {
        let mut addresses = self.addresses.lock().expect("no panic");
        *addresses.entry(pod.to_owned()).or_insert_with(|| {
            let mut next = self.next_address.lock().expect("no panic");
            *next = if *next == 250 { 1 } else { *next + 1 };
            let [_, _, high, low] = self.number.to_be_bytes();
            IpAddr::V4(Ipv4Addr::new(127, 10 + high, low, *next))
        })
    }

    async fn start_pod(&self, pod: &DynamicObject) {
        let name = pod.name_any();
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": { "name": name },
            "target": { "apiVersion": "v1", "kind": "Node", "name": "node" },
        });
        let bound: Result<Value, _> = self
            .pods()
            .create_subresource("binding", &name, &PostParams::default(), &binding)
            .await;
        if bound.is_err() {
            // It is gone already.
            return;
        }
        self.inside().unmounted.insert(name.clone());
        let scheduled = weir_lease::rfc3339(self.clock.unix_ms());
        let waits = json!({ "waiting": { "reason": "ContainerCreating" } });
        let status = json!({
            "phase": "Pending",
            "conditions": [{
                "type": "PodScheduled", "status": "True", "lastTransitionTime": scheduled,
            }],
            "containerStatuses": container(waits, None, false),
        });
        self.set_status(&name, status).await;
        self.mount(pod).await;
    }

    /// The node makes the pod's container, or says why it can't.
    async fn mount(&self, pod: &DynamicObject) {
        let name = pod.name_any();
        let no_mount = self.inside().no_mount.clone();
        if let Some(message) = no_mount {
            let now = self.clock.unix_ms();
            let event = json!({
                "metadata": { "name": format!("{name}.{now}") },
                "involvedObject": {
                    "kind": "Pod", "name": name, "namespace": self.namespace, "apiVersion": "v1",
                },
                "type": "Warning", "reason": "FailedMount", "message": message,
                "firstTimestamp": weir_lease::rfc3339(now),
                "lastTimestamp": weir_lease::rfc3339(now), "count": 1,
            });
            let event = serde_json::from_value(event).expect("an Event");
            let events = self.api("", "v1", "Event");
            let told = events.create(&PostParams::default(), &event).await;
            told.expect("an Event");
            return;
        }
        self.inside().unmounted.remove(&name);
        let address = self.address(&name);
        if pod.labels().get("weir.dev/component").map(String::as_str) == Some("jobmanager") {
            let manager = self.manager(pod).await;
            managers::register(address, Arc::new(self.shared.clone()), &name);
            self.inside().managers.insert(name.clone(), manager);
        }
        self.set_status(&name, running(address, None)).await;
    }

    /// A JobManager's process, as its pod says.
    async fn manager(&self, pod: &DynamicObject) -> Manager {
        let args = pod
            .data
            .pointer("/spec/containers/0/args")
            .and_then(Value::as_array);
        let args = args.into_iter().flatten().filter_map(Value::as_str);
        let mut restore = args.filter_map(|arg| arg.strip_prefix("--restore="));
        let restore = restore.next();
        let number = deployment(pod);
        let map = format!("{JOB}-d{number}");
        let map = self.api("", "v1", "ConfigMap").get(&map).await;
        let map = map.expect("the pod's ConfigMap is there");
        let manifest = map.data["data"]["job.json"].as_str().expect("a manifest");
        let manifest: Value = serde_json::from_str(manifest).expect("JSON");
        let version = manifest["spec"]["job"]["args"]["v"].as_str();
        Manager::new(
            &pod.name_any(),
            number,
            restore.unwrap_or("latest"),
            version.unwrap_or_default(),
        )
    }

    async fn set_status(&self, pod: &str, status: Value) {
        let patch = json!({ "status": status });
        let patched = self
            .pods()
            .patch_status(pod, &PatchParams::default(), &Patch::Merge(&patch))
            .await;
        if let Err(kube::Error::Api(refused)) = &patched {
            assert_eq!(refused.code, 404, "{refused:?}");
        }
    }

    /// Ends a pod's process, and the pod with it.
    pub(crate) async fn end_pod(&self, pod: &str) {
        self.inside().managers.remove(pod);
        let address = self.addresses.lock().expect("no panic").remove(pod);
        if let Some(address) = address {
            managers::unregister(address);
        }
        let at_once = DeleteParams::default().grace_period(0);
        drop(self.pods().delete(pod, &at_once).await);
    }

    /// The names of all objects of a kind, sorted.
    pub(crate) async fn names(&self, group: &str, kind: &str) -> Vec<String> {
        let listed = self
            .api(group, "v1", kind)
            .list(&ListParams::default())
            .await;
        let mut names: Vec<_> = listed
            .expect("a list")
            .iter()
            .map(ResourceExt::name_any)
            .collect();
        names.retain(|name| name.starts_with(&format!("{JOB}-")));
        names.sort_unstable();
        names
    }
}

fn deployment(pod: &DynamicObject) -> i64 {
    let label = pod.labels().get("weir.dev/deployment");
    label.and_then(|label| label.parse().ok()).unwrap_or(0)
}

fn container(state: Value, last: Option<(i32, &str)>, ready: bool) -> Value {
    let last = last.map(|(code, words)| terminated(code, words));
    json!([{
        "name": "main", "ready": ready, "restartCount": u32::from(last.is_some()),
        "image": "i", "imageID": "i", "state": state, "lastState": last.unwrap_or_else(|| json!({})),
    }])
}

fn terminated(code: i32, words: &str) -> Value {
    json!({ "terminated": {
        "exitCode": code, "message": words, "reason": "Error",
        "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:00Z",
    } })
}

fn conditions(ready: bool) -> Value {
    let status = if ready { "True" } else { "False" };
    json!([{ "type": "PodScheduled", "status": "True" }, { "type": "Ready", "status": status }])
}

fn running(address: IpAddr, last: Option<(i32, &str)>) -> Value {
    json!({
        "phase": "Running",
        "podIP": address.to_string(), "podIPs": [{ "ip": address.to_string() }],
        "conditions": conditions(true),
        "containerStatuses": container(
            json!({ "running": { "startedAt": "2026-01-01T00:00:00Z" } }), last, true),
    })
}

fn ended(phase: &str, address: IpAddr, code: i32, words: &str) -> Value {
    json!({
        "phase": phase,
        "podIP": address.to_string(), "podIPs": [{ "ip": address.to_string() }],
        "conditions": conditions(false),
        "containerStatuses": container(terminated(code, words), None, false),
    })
}

/// JSON merge patch (RFC 7396).
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let target = target.as_object_mut().expect("an object");
    for (name, value) in fields {
        match value.is_null() {
            true => drop(target.remove(name)),
            false => merge(target.entry(name).or_insert(Value::Null), value),
        }
    }
}

impl World {
    /// The job and all that belongs to it goes, so that later tests have the API server for
    /// themselves.
    pub(crate) async fn close(self) {
        let names: Vec<_> = self.inside().managers.keys().cloned().collect();
        for name in names {
            self.end_pod(&name).await;
        }
        let no_finalizer = json!({ "metadata": { "finalizers": null } });
        let params = PatchParams::default();
        drop(
            self.jobs()
                .patch(JOB, &params, &Patch::Merge(&no_finalizer))
                .await,
        );
        drop(self.jobs().delete(JOB, &DeleteParams::default()).await);
    }
}

/// What tests do to a job.
impl World {
    /// The pod of the JobManager that leads.
    pub(crate) fn leader(&self) -> String {
        let inside = self.inside();
        let leader = inside.managers.values().find(|manager| manager.leads());
        leader.expect("one leads").pod.clone()
    }

    /// Nodes let pods that are to go run on for so many ticks.
    pub(crate) fn keep_pods(&self, ticks: u32) {
        self.inside().keep_pods = ticks;
    }

    /// Tells the API server of processes that a test has ended.
    pub(crate) async fn show_ends(&self) {
        let managers = self.inside().managers.clone();
        for (name, manager) in managers {
            if let Process::Ended(code, words) = &manager.process {
                let phase = if *code == 0 { "Succeeded" } else { "Running" };
                let status = ended(phase, self.address(&name), *code, words);
                self.set_status(&name, status).await;
            }
        }
    }

    /// A pod as it is, to be made once more.
    pub(crate) async fn pod_to_make_again(&self, name: &str) -> Value {
        let pod = self.pods().get(name).await.expect("it is there");
        let mut pod = serde_json::to_value(pod).expect("JSON");
        let metadata = pod["metadata"].as_object_mut().expect("an object");
        for field in [
            "uid",
            "resourceVersion",
            "creationTimestamp",
            "managedFields",
        ] {
            metadata.remove(field);
        }
        pod["spec"]
            .as_object_mut()
            .expect("an object")
            .remove("nodeName");
        pod.as_object_mut().expect("an object").remove("status");
        pod
    }

    pub(crate) async fn make_pod(&self, pod: &Value) {
        let pod = serde_json::from_value(pod.clone()).expect("a pod");
        let made = self.pods().create(&PostParams::default(), &pod).await;
        made.expect("a pod");
    }

    /// The ConfigMap of a deployment that is gone.
    pub(crate) async fn make_config_map(&self, deployment: i64) {
        let map = json!({
            "metadata": { "name": format!("{JOB}-d{deployment}") },
            "data": { "job.json": "{}" },
        });
        let map = serde_json::from_value(map).expect("a ConfigMap");
        let maps = self.api("", "v1", "ConfigMap");
        drop(maps.create(&PostParams::default(), &map).await);
    }

    fn namespaces(&self) -> Api<k8s_openapi::api::core::v1::Namespace> {
        Api::all(self.client.clone())
    }

    pub(crate) async fn delete_namespace(&self) {
        let deleted = self
            .namespaces()
            .delete(&self.namespace, &DeleteParams::default())
            .await;
        deleted.expect("the deletion is taken");
    }

    pub(crate) async fn namespace_exists(&self) -> bool {
        let found = self.namespaces().get_opt(&self.namespace).await;
        found.expect("an answer").is_some()
    }
}
