//! A StreamJob under test, in a namespace of its own that admits only what `restricted` allows.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::cluster::{get, kubectl, kubectl_with, list, try_kubectl};
use crate::pods::{Pod, pods};
use crate::stand::Stand;
use crate::views::{Part, Views};
use crate::{comes_within, secs, until_within};

/// The bucket that the stand makes.
const BUCKET: &str = "weir";

/// How long anything may take that has no time of its own.
const TIME_LIMIT: Duration = secs(60);

/// A condition of the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Whether it is `True`.
    pub holds: bool,
    /// In one word.
    pub reason: String,
    /// For people.
    pub message: String,
    /// The generation that it speaks of.
    pub generation: i64,
}

/// A job that counts page views. Its namespace goes when this is dropped.
pub struct Job {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What is applied next.
    pub manifest: Value,
    /// Where its objects are in the bucket.
    prefix: String,
    /// The length of a window.
    window_ms: i64,
}

/// JSON merge patch (RFC 7396).
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    for (name, value) in fields {
        match value {
            Value::Null => drop(target.as_object_mut().map(|own| own.remove(name))),
            value => merge(&mut target[name], value),
        }
    }
}

impl Job {
    /// A job in a new namespace, named after the test: a JobManager and a TaskManager, a thousand
    /// views a second in windows of a second, a checkpoint every half second. Not applied yet.
    #[track_caller]
    pub fn new(test: &str) -> Self {
        static JOBS: AtomicU32 = AtomicU32::new(0);
        let number = JOBS.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("test-{test}-{}-{number}", std::process::id());
        let prefix = format!("tests/{namespace}");
        let manifest = json!({
            "apiVersion": "weir.dev/v1alpha1",
            "kind": "StreamJob",
            "metadata": { "name": "views", "namespace": namespace },
            "spec": {
                "image": concat!("localhost/weir:", env!("CARGO_PKG_VERSION")),
                "job": {
                    "program": "page-views",
                    "args": {
                        "output": format!("s3://{BUCKET}/{prefix}/views"),
                        "rate": "1000",
                        "window": "1",
                        "pages": "5",
                    },
                },
                "checkpoint": { "interval": "500ms" },
                "storage": { "s3": {
                    "bucket": BUCKET,
                    "prefix": format!("{prefix}/state"),
                    "endpoint": "http://weir-s3.default.svc:7070",
                    "pathStyle": true,
                    "credentials": { "secretRef": {
                        "name": "weir-s3",
                        "accessKeyIdKey": "access-key",
                        "secretAccessKeyKey": "secret-key",
                    } },
                } },
                "jobManager": { "replicas": 1 },
                "taskManager": { "slots": 2, "replicas": 1 },
                "rollback": { "minStable": "2s", "readinessTimeout": "30s" },
            },
        });
        let job = Self {
            namespace,
            name: "views".to_owned(),
            manifest,
            prefix,
            window_ms: 1000,
        };
        job.make_namespace();
        job
    }

    #[track_caller]
    fn make_namespace(&self) {
        let made = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": self.namespace,
                "labels": { "pod-security.kubernetes.io/enforce": "restricted" },
            },
        });
        kubectl_with(&["apply", "-f", "-"], &made.to_string());
        self.make_secret();
    }

    /// Makes the Secret with the keys of its storage.
    #[track_caller]
    pub fn make_secret(&self) {
        let made = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": "weir-s3", "namespace": self.namespace },
            "stringData": { "access-key": "weir", "secret-key": "weir-of-the-test-stand" },
        });
        kubectl_with(&["apply", "-f", "-"], &made.to_string());
    }

    /// Changes what is applied next, by a merge patch of the spec.
    #[must_use]
    pub fn with(mut self, spec: &Value) -> Self {
        merge(&mut self.manifest, &json!({ "spec": spec }));
        self
    }

    /// `kubectl apply`.
    #[track_caller]
    pub fn apply(&self) {
        kubectl_with(&["apply", "-f", "-"], &self.manifest.to_string());
    }

    /// Applies it and waits until it runs.
    #[track_caller]
    pub fn started(self) -> Self {
        self.apply();
        self.until_ready(TIME_LIMIT);
        self
    }

    /// Edits the spec by a merge patch and applies it.
    #[track_caller]
    pub fn edit(&mut self, spec: &Value) {
        merge(&mut self.manifest, &json!({ "spec": spec }));
        self.apply();
    }

    /// `kubectl annotate --overwrite`.
    #[track_caller]
    pub fn annotate(&self, annotation: &str, value: &str) {
        let annotation = format!("weir.dev/{annotation}={value}");
        self.kubectl(&["annotate", "--overwrite", "streamjob", "views", &annotation]);
    }

    /// `kubectl delete` of the StreamJob, waiting until it is gone.
    #[track_caller]
    pub fn delete(&self) {
        self.kubectl(&["delete", "streamjob", "views", "--timeout=60s"]);
    }

    /// `kubectl` in the job's namespace.
    #[track_caller]
    pub fn kubectl(&self, args: &[&str]) -> String {
        let mut all = vec!["--namespace", &self.namespace];
        all.extend(args);
        kubectl(&all)
    }

    /// The StreamJob as the API server has it.
    pub fn object(&self) -> Value {
        let path = format!(
            "/apis/weir.dev/v1alpha1/namespaces/{}/streamjobs/{}",
            self.namespace, self.name
        );
        get(&path).unwrap_or_default()
    }

    /// Its status.
    pub fn status(&self) -> Value {
        self.object()["status"].take()
    }

    /// A number, or a text, of the status; empty if there is none.
    pub fn told(&self, pointer: &str) -> String {
        match self.status().pointer(pointer) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }

    /// A condition.
    pub fn condition(&self, kind: &str) -> Option<Condition> {
        let status = self.status();
        let conditions = status["conditions"].as_array()?;
        let found = conditions.iter().find(|found| found["type"] == kind)?;
        let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
        Some(Condition {
            holds: found["status"] == "True",
            reason: text("reason"),
            message: text("message"),
            generation: found["observedGeneration"].as_i64().unwrap_or(0),
        })
    }

    /// Waits until the status is so.
    #[track_caller]
    pub fn until(&self, limit: Duration, what: &str, so: impl Fn(&Value) -> bool) {
        until_within(limit, what, || so(&self.status()));
    }

    /// Waits until a condition is, or is not, `True` for the newest generation, and gives it.
    #[track_caller]
    pub fn until_condition(&self, kind: &str, holds: bool, limit: Duration) -> Condition {
        let mut found = None;
        until_within(limit, &format!("{kind}={holds}"), || {
            let object = self.object();
            let generation = object.pointer("/metadata/generation");
            let generation = generation.and_then(Value::as_i64).unwrap_or(-1);
            found = self.condition(kind);
            let fits = |found: &Condition| found.holds == holds && found.generation == generation;
            found.as_ref().is_some_and(fits)
        });
        found.expect("it was found")
    }

    /// Waits until the job runs with the newest spec.
    #[track_caller]
    pub fn until_ready(&self, limit: Duration) {
        self.until_condition("Ready", true, limit);
    }

    /// Waits until no operation is open and the job runs, whatever its spec.
    #[track_caller]
    pub fn until_settled(&self, limit: Duration) {
        self.until(limit, "no operation is open and the job runs", |status| {
            let phase = status["phase"].as_str().unwrap_or_default();
            status["operation"].is_null() && matches!(phase, "Running" | "Stable")
        });
    }

    /// Waits until the revision has proved itself.
    #[track_caller]
    pub fn until_stable(&self) {
        self.until_condition("Stable", true, TIME_LIMIT);
    }

    /// Its pods that are not being deleted.
    pub fn pods(&self) -> Vec<Pod> {
        let mut found = self.all_pods();
        found.retain(|pod| !pod.is_deleting);
        found
    }

    /// All its pods.
    pub fn all_pods(&self) -> Vec<Pod> {
        pods(&self.namespace, &format!("weir.dev/job={}", self.name))
    }

    /// Its pods of a component.
    pub fn component(&self, component: &str) -> Vec<Pod> {
        let mut found = self.pods();
        found.retain(|pod| pod.component == component);
        found
    }

    /// The JobManager that leads.
    #[track_caller]
    pub fn leader(&self) -> Pod {
        let mut found = None;
        until_within(TIME_LIMIT, "a JobManager that leads", || {
            let mut managers = self.component("jobmanager").into_iter();
            found = managers.find(|pod| pod.leads && pod.phase == "Running");
            found.is_some()
        });
        found.expect("it was found")
    }

    /// A TaskManager.
    #[track_caller]
    pub fn taskmanager(&self) -> Pod {
        let found = self.component("taskmanager").into_iter().next();
        found.expect("the job has a TaskManager")
    }

    /// The reasons of its events, oldest first.
    pub fn events(&self) -> Vec<String> {
        let path = format!(
            "/apis/events.k8s.io/v1/namespaces/{}/events",
            self.namespace
        );
        let mut events = list(&path).unwrap_or_default();
        events.retain(|event| event["regarding"]["kind"] == "StreamJob");
        events.sort_by_key(|event| event["eventTime"].as_str().unwrap_or_default().to_owned());
        let reason = |event: &Value| event["reason"].as_str().unwrap_or_default().to_owned();
        events.iter().map(reason).collect()
    }

    /// Where its objects are on this machine.
    pub fn folder(&self) -> PathBuf {
        Stand::bucket(BUCKET).join(&self.prefix)
    }

    /// The address of its objects.
    pub fn address(&self) -> String {
        format!("s3://{BUCKET}/{}", self.prefix)
    }

    /// What it has published.
    pub fn views(&self) -> Views {
        Views::read(&self.folder().join("views"))
    }

    /// When it has published what.
    pub fn published(&self) -> Vec<Part> {
        Part::all(&self.folder().join("views"))
    }

    /// Waits until it publishes more than it has.
    #[track_caller]
    pub fn goes_on(&self, limit: Duration) {
        let before = self.views().newest();
        until_within(limit, "output", || self.views().newest() > before);
        self.is_exact();
    }

    /// Fails if something is missing or there twice in what is published so far.
    #[track_caller]
    pub fn is_exact(&self) {
        let mut wrong = Vec::new();
        // The files of a checkpoint appear one after the other.
        let fine = comes_within(secs(5), || {
            wrong = self.views().wrong(self.window_ms, true);
            wrong.is_empty()
        });
        assert!(fine, "{wrong:#?}");
    }

    /// Stops the job with a savepoint, as `spec.suspend` does, and looks at all of its output.
    #[track_caller]
    pub fn stops_exact(&mut self) {
        self.edit(&json!({ "suspend": true }));
        self.until_condition("Suspended", true, TIME_LIMIT);
        let wrong = self.views().wrong(self.window_ms, false);
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(self.views().newest() > 0, "there is no output");
    }

    /// For people: what the cluster says of the job.
    pub fn describe(&self) -> String {
        let ask = |args: &[&str]| {
            let mut all = vec!["--namespace", &self.namespace];
            all.extend(args);
            try_kubectl(&all, "").unwrap_or_else(|said| said)
        };
        let mut text = ask(&["get", "streamjob", "views", "-o", "yaml"]);
        text.push_str("\n--- pods\n");
        text.push_str(&ask(&["get", "pods", "-o", "wide"]));
        text.push_str("\n--- events\n");
        text.push_str(&ask(&[
            "get",
            "events",
            "--sort-by=.metadata.creationTimestamp",
        ]));
        for pod in self.all_pods() {
            text.push_str(&format!("\n--- {}\n", pod.name));
            text.push_str(&ask(&["logs", &pod.name, "--tail=30"]));
        }
        text
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.describe());
        }
        // Nobody waits for it.
        let name = &self.namespace;
        drop(try_kubectl(
            &["delete", "namespace", name, "--wait=false"],
            "",
        ));
    }
}

/// When the first of these parts was published, in milliseconds since 1970.
#[track_caller]
pub fn published_after(job: &Job, is_one: impl Fn(&Part) -> bool) -> i64 {
    let parts = job.published();
    let times = parts.iter().filter(|part| is_one(part));
    let first = times.map(|part| part.at_ms).min();
    first.expect("there is such a part")
}
