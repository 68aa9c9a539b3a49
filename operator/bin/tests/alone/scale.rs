//! A thousand StreamJobs: what the operator needs of memory and of the API server while they just
//! run, and how soon it sees a change. Nodes and JobManagers are this program, the operator is a
//! process of its own.
//!
//! `cargo test -p weir-operator --test alone -- --ignored --nocapture a_thousand_jobs` prints one
//! line of JSON. `WEIR_SCALE_JOBS` is another number of jobs, `WEIR_TEST_OPERATOR` another program.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use hyper::Method;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use weir_operator::stream_jobs;
use weir_types::{Clock, SystemClock};

use crate::managers::{self, Answer, Asked, Managers, Permission};
use crate::process::{Request, requests, start_with};
use crate::server::{namespace, server};
use crate::storage::JOB_ID;
use crate::world::merge;

/// How many requests this program sends at once.
const AT_ONCE: usize = 8;

/// The JobManager of this job takes connections and answers nothing.
const HANGS: &str = "job-0";

fn variable(name: &str, default: u64) -> u64 {
    let value = std::env::var(name).ok();
    value
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}

/// The JobManagers of jobs that run, and take a checkpoint every half minute.
struct Fleet;

impl Managers for Fleet {
    fn may_change(&self, _: &Asked) -> Permission {
        Box::pin(std::future::ready(()))
    }

    fn answer(&self, asked: &Asked) -> Answer {
        if asked.pod.starts_with(&format!("{HANGS}-")) {
            return Answer::Nothing;
        }
        let path: Vec<_> = asked.path.split('/').skip(1).collect();
        let now_ms = SystemClock.unix_ms();
        let newest = now_ms / 30_000;
        let job = json!({
            "id": JOB_ID, "name": "x", "state": "RUNNING",
            "start-time": 1, "end-time": -1, "duration": 1,
            "tasks": { "total": 2, "running": 2, "finished": 0 },
            "epoch": 1, "vertices": [],
        });
        let none = json!({ "min": 0, "max": 0, "avg": 0 });
        match path[..] {
            _ if asked.method != Method::GET => Answer::Json(json!({ "operation": "o" })),
            ["standby"] => {
                Answer::Json(json!({ "state": "leads", "check": { "state": "passed" } }))
            }
            ["jobs"] => Answer::Json(json!({ "jobs": [job] })),
            ["jobs", _] => Answer::Json(job),
            ["jobs", _, "checkpoints"] => Answer::Json(json!({
                "folder": "/s",
                "counts": { "in-progress": 0, "completed": 5, "failed": 0 },
                "summary": {
                    "end-to-end-duration": none, "state-size": none, "checkpointed-size": none,
                    "alignment-buffered": none,
                },
                "retained": [{
                    "id": newest, "epoch": 1, "kind": "checkpoint", "location": format!("/s/{newest}"),
                    "completed-timestamp": newest * 30_000,
                }],
                "history": [],
            })),
            _ => Answer::Refused(404, "no such page".to_owned()),
        }
    }
}

/// Each pod runs as soon as it is there.
async fn run_pods(client: Client, namespace: String) {
    let pods: Api<Pod> = Api::namespaced(client, &namespace);
    let fleet: Arc<dyn Managers> = Arc::new(Fleet);
    let mut next = 0_u32;
    let events = watcher(pods.clone(), watcher::Config::default()).default_backoff();
    let started = events.applied_objects().filter_map(|pod| async move {
        let pod = pod.ok()?;
        let status = pod.status.as_ref()?;
        status.pod_ip.is_none().then_some(pod)
    });
    let started = started.map(|pod| {
        next += 1;
        let [_, high, middle, low] = next.to_be_bytes();
        let address = IpAddr::V4(Ipv4Addr::new(127, 100 + high, middle, low));
        let name = pod.name_any();
        if pod.labels().get("weir.dev/component").map(String::as_str) == Some("jobmanager") {
            managers::register(address, Arc::clone(&fleet), &name);
        }
        let pods = pods.clone();
        async move {
            let status = json!({ "status": {
                "phase": "Running",
                "podIP": address.to_string(), "podIPs": [{ "ip": address.to_string() }],
                "conditions": [
                    { "type": "PodScheduled", "status": "True" },
                    { "type": "Ready", "status": "True" },
                ],
                "containerStatuses": [{
                    "name": "main", "ready": true, "restartCount": 0, "image": "i", "imageID": "i",
                    "state": { "running": { "startedAt": "2026-01-01T00:00:00Z" } },
                }],
            } });
            let params = PatchParams::default();
            drop(
                pods.patch_status(&name, &params, &Patch::Merge(&status))
                    .await,
            );
        }
    });
    started.buffer_unordered(AT_ONCE).collect::<()>().await;
}

fn jobs(client: &Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &stream_jobs())
}

async fn create(jobs: &Api<DynamicObject>, count: u64) {
    let making = (0..count).map(|number| async move {
        let job = json!({
            "apiVersion": "weir.dev/v1alpha1",
            "kind": "StreamJob",
            "metadata": { "name": format!("job-{number}") },
            "spec": {
                "job": { "program": "p", "args": { "v": "0" } },
                "storage": { "local": { "path": "/s" } },
                "upgrade": { "strategy": "Recreate", "mode": "LastState" },
                "checkpoint": { "interval": "30s" },
                "rollback": { "minStable": "5s" },
                "jobManager": { "replicas": 1 },
                "taskManager": { "replicas": 1 },
            },
        });
        let job = serde_json::from_value(job).expect("an object");
        jobs.create(&PostParams::default(), &job)
            .await
            .expect("taken");
    });
    futures_util::stream::iter(making)
        .buffer_unordered(AT_ONCE)
        .collect::<()>()
        .await;
}

/// How many jobs there are in each phase.
async fn phases(jobs: &Api<DynamicObject>) -> BTreeMap<String, u64> {
    let mut phases = BTreeMap::new();
    for job in jobs.list(&Default::default()).await.expect("a list") {
        let phase = job.data.pointer("/status/phase").and_then(Value::as_str);
        *phases
            .entry(phase.unwrap_or("none").to_owned())
            .or_default() += 1;
    }
    phases
}

async fn until_stable(jobs: &Api<DynamicObject>, count: u64) {
    let start = SystemClock.unix_ms();
    loop {
        let found = phases(jobs).await;
        // One hangs and never comes to run.
        if found.get("Stable").copied().unwrap_or(0) >= count - 1 {
            return;
        }
        let waited = (SystemClock.unix_ms() - start) / 1000;
        assert!(waited < 900, "not all jobs become stable: {found:?}");
        eprintln!("{waited} s: {found:?}");
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}

/// The times from a change of a spec to the operator's first write about that job.
async fn reactions(
    jobs: &Api<DynamicObject>,
    count: u64,
    requests: impl Fn() -> Vec<Request>,
) -> Vec<i64> {
    let mut changed = Vec::new();
    for number in (1..count).step_by(usize::try_from(count / 40).expect("small").max(1)) {
        let name = format!("job-{number}");
        let edit = json!({ "spec": { "job": { "args": { "v": "1" } } } });
        let params = PatchParams::default();
        // The operator may see it before we have the answer.
        let at = SystemClock.unix_ms();
        let edited = jobs.patch(&name, &params, &Patch::Merge(&edit)).await;
        edited.expect("taken");
        changed.push((name, at));
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    let requests = requests();
    let mut times: Vec<i64> = changed
        .iter()
        .map(|(name, at)| {
            let first = requests
                .iter()
                .find(|request| request.changes() && request.at_ms >= *at && request.name == *name);
            first.map_or(i64::MAX, |first| (first.at_ms - at).max(0))
        })
        .collect();
    times.sort_unstable();
    times
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a benchmark of some minutes: make bench-k8s"]
async fn a_thousand_jobs() {
    let (count, seconds) = (
        variable("WEIR_SCALE_JOBS", 1000),
        variable("WEIR_SCALE_SECONDS", 60),
    );
    let server = server().await;
    let client = server.client().await;
    let (namespace, _) = namespace(&client).await;
    let jobs = jobs(&client, &namespace);
    let nodes = tokio::spawn(run_pods(client.clone(), namespace.clone()));
    let operator = start_with(
        &server.kubeconfig("operator-a"),
        "a",
        &namespace,
        &[("--log", "error")],
    );
    let start = SystemClock.unix_ms();
    create(&jobs, count).await;
    until_stable(&jobs, count).await;
    let deployed = SystemClock.unix_ms() - start;
    tokio::time::sleep(Duration::from_secs(15)).await;

    let from = SystemClock.unix_ms();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let to = SystemClock.unix_ms();
    let mut calls: BTreeMap<String, u64> = BTreeMap::new();
    let mut names: BTreeMap<String, u64> = BTreeMap::new();
    for request in requests(server, &namespace) {
        if (from..to).contains(&request.at_ms) {
            let key = format!("{} {}", request.verb, request.resource);
            *calls.entry(key).or_default() += 1;
            *names.entry(request.name).or_default() += 1;
        }
    }
    let all: u64 = calls.values().sum();
    eprintln!("by name: {names:?}");
    let (memory, peak) = (operator.memory_mb("VmRSS"), operator.memory_mb("VmHWM"));
    let times = reactions(&jobs, count, || requests(server, &namespace)).await;
    let at = |share: usize| {
        times
            .get((times.len() * share / 100).min(times.len() - 1))
            .copied()
    };
    let mut line = json!({
        "benchmark": "operator-scale", "jobs": count, "deployed_s": deployed / 1000,
        "rss_mib": memory, "peak_rss_mib": peak,
        "api_calls_per_s": all as f64 / seconds as f64, "calls": calls,
        "hanging_job_managers": 1,
    });
    merge(
        &mut line,
        &json!({
            "spec_change_to_first_action_ms": {
            "p50": at(50), "p90": at(90), "p99": at(99), "most": times.last(), "n": times.len(),
        },
        }),
    );
    println!("{line}");
    nodes.abort();
    assert!(memory.is_some_and(|memory| memory <= 150), "{line}");
    assert!(all as f64 / seconds as f64 <= 2.0, "{line}");
    assert!(at(99).is_some_and(|time| time <= 1000), "{line}");
}
