//! Commands against a `kubectl` that answers with what a cluster once said, and writes down what it
//! was told.

mod orders;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use clap::Parser;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::objects::Job;
use super::{Answer, Kubectl, Plugin, answer, is_plugin};
use crate::Failure;

/// When the recorded answers were given: 2026-01-31T12:00:00Z.
pub(super) const NOW_MS: i64 = 1_769_860_800_000;

fn recordings() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/kubectl")
}

/// A recorded answer.
pub(super) fn recorded(name: &str) -> Value {
    let text = fs::read_to_string(recordings().join(name)).expect("a recording");
    serde_json::from_str(&text).expect("JSON")
}

/// The recorded job, changed.
fn changed(change: &Value) -> Value {
    fn merge(into: &mut Value, change: &Value) {
        match (into, change) {
            (Value::Object(into), Value::Object(change)) => {
                for (key, change) in change {
                    match change {
                        Value::Null => drop(into.remove(key)),
                        change => merge(into.entry(key).or_insert(Value::Null), change),
                    }
                }
            }
            (into, change) => into.clone_from(change),
        }
    }
    let mut job = recorded("job.json");
    merge(&mut job, change);
    job
}

/// The recorded job in one of its states.
pub(super) fn job(state: &str) -> Job {
    serde_json::from_value(changed(&change(state))).expect("a job")
}

fn change(state: &str) -> Value {
    match state {
        "running" => json!({}),
        "suspended" => json!({
            "spec": { "suspend": true },
            "status": { "phase": "Suspended", "jobManager": { "leader": null, "readyReplicas": 0 } },
        }),
        "finished" => json!({
            "status": { "phase": "Finished", "endedAt": "2026-01-31T11:59:00Z" },
        }),
        // Stopping for an upgrade.
        "stopping" => json!({ "status": { "phase": "Upgrading", "operation": {
            "id": "upgrade-2-4-1769860780",
            "type": "Upgrade",
            "step": "Stopping",
            "reason": "the spec has changed",
            "targetGeneration": 4,
            "targetRevision": "c0ffee1234",
            "fromDeployment": 2,
            "toDeployment": 3,
            "startedAt": "2026-01-31T11:59:40Z",
            "stepStartedAt": "2026-01-31T11:59:43Z",
            "requestedMode": "Savepoint",
            "effectiveMode": "Savepoint",
            "effectiveStrategy": "Recreate",
        } } }),
        // The new revision does not come up.
        "stuck" => json!({
            "metadata": { "generation": 5 },
            "spec": { "image": "localhost/weir:nope" },
            "status": {
                "observedGeneration": 4,
                "phase": "Upgrading",
                "deployment": 3,
                "currentRevision": "c0ffee1234",
                "updateRevision": "c0ffee1234",
                "failedRevision": "deadbeef00",
                "restore": null,
                "runningSince": null,
                "jobManager": { "readyReplicas": 0 },
                "operation": {
                    "id": "upgrade-2-4-1769860480",
                    "type": "Upgrade",
                    "step": "AwaitRunning",
                    "reason": "the spec has changed",
                    "targetGeneration": 4,
                    "targetRevision": "c0ffee1234",
                    "fromDeployment": 2,
                    "toDeployment": 3,
                    "startedAt": "2026-01-31T11:54:40Z",
                    "stepStartedAt": "2026-01-31T11:54:53Z",
                    "requestedMode": "Savepoint",
                    "effectiveMode": "LastState",
                    "effectiveStrategy": "Recreate",
                    "snapshotPath": "s3://weir/jobs/default/quickstart/savepoint-3-43",
                    "message": "pod quickstart-j3-0: ImagePullBackOff: Back-off pulling image",
                },
                "conditions": [
                    condition("Accepted", "True", "Valid", "the spec is valid"),
                    condition("Ready", "False", "Upgrading", "pod quickstart-j3-0: \
                        ImagePullBackOff: Back-off pulling image"),
                    condition("Progressing", "True", "Upgrade", "AwaitRunning"),
                    condition("Degraded", "True", "PodNotRunning", "pod quickstart-j3-0: \
                        ImagePullBackOff: Back-off pulling image"),
                    condition("Stalled", "True", "NotRunning", "the job does not run: pod \
                        quickstart-j3-0: ImagePullBackOff. Edit the spec, or repair what it waits \
                        for"),
                ],
            },
        }),
        other => panic!("no such state: {other}"),
    }
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": kind,
        "status": status,
        "observedGeneration": 4,
        "lastTransitionTime": "2026-01-31T11:55:00Z",
        "reason": reason,
        "message": message,
    })
}

/// A cluster behind a recorded kubectl.
struct Cluster {
    folder: TempDir,
}

impl Cluster {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        symlink(recordings().join("kubectl"), folder.path().join("kubectl")).expect("a link");
        Self { folder }
    }

    /// The answers to a command, one after the other.
    fn answers(&self, command: &str, answers: &[Value]) {
        for (turn, answer) in answers.iter().enumerate() {
            let path = self.folder.path().join(format!("{command}.{}", turn + 1));
            fs::write(path, answer.to_string()).expect("written");
        }
    }

    fn error(&self, command: &str, turn: u32, text: &str) {
        let path = self.folder.path().join(format!("{command}.{turn}.error"));
        fs::write(path, text).expect("written");
    }

    /// The job in each of these states, one after the other.
    fn job_is(&self, changes: &[Value]) {
        let jobs: Vec<_> = changes.iter().map(changed).collect();
        self.answers("get-streamjobs.weir.dev-quickstart", &jobs);
    }

    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.folder.path().join("calls")).unwrap_or_default();
        let plain = |line: &str| line.replace("--request-timeout=20s ", "");
        calls.lines().map(plain).collect()
    }

    /// The one call that is not a question.
    fn order(&self) -> String {
        let mut calls = self.calls();
        calls.retain(|call| !call.contains("get "));
        assert_eq!(calls.len(), 1, "{calls:?}");
        calls.remove(0)
    }

    fn run(&self, line: &str) -> Result<String, Failure> {
        let words = std::iter::once("kubectl-weir").chain(line.split_whitespace());
        let plugin = Plugin::try_parse_from(words).expect("a command line");
        let program = self.folder.path().join("kubectl").display().to_string();
        let kubectl = Kubectl::of_program(&program, &plugin.args.cluster);
        match answer(&kubectl, &plugin.args.command)? {
            Answer::Text(text) => Ok(text),
            Answer::Ended(exit) => Ok(format!("{exit:?}")),
        }
    }

    fn fails(&self, line: &str) -> String {
        match self.run(line) {
            Ok(text) => panic!("`{line}` is answered with {text}"),
            Err(failure) => failure.text(),
        }
    }
}

#[test]
fn the_programs_name_makes_it_the_plugin() {
    for name in [
        "kubectl-weir",
        "/usr/local/bin/kubectl-weir",
        "kubectl-weir.exe",
    ] {
        assert!(is_plugin(name.as_ref()), "{name}");
    }
    for name in ["weir", "kubectl", "kubectl-weir-2", "", "bin/weir"] {
        assert!(!is_plugin(name.as_ref()), "{name}");
    }
}

#[test]
fn the_cluster_is_named_as_kubectl_is_told() {
    let cluster = Cluster::new();
    cluster.job_is(&[json!({})]);
    let line = "snapshots quickstart -n shop --context prod --kubeconfig /etc/k -o json";
    cluster.run(line).expect("an answer");
    let first = cluster.calls().remove(0);
    assert_eq!(
        first,
        "--kubeconfig=/etc/k --context=prod --namespace=shop get streamjobs.weir.dev quickstart \
         --output=json"
    );
}

#[test]
fn a_job_that_is_not_there_is_told_with_those_that_are() {
    let cluster = Cluster::new();
    let missing = "Error from server (NotFound): streamjobs.weir.dev \"quickstrat\" not found";
    cluster.error("get-streamjobs.weir.dev-quickstrat", 1, missing);
    let list = |jobs: &[(&str, &str)]| {
        let jobs = jobs.iter().map(
            |(name, namespace)| json!({ "metadata": { "name": name, "namespace": namespace } }),
        );
        json!({ "items": jobs.collect::<Vec<_>>() })
    };
    for (here, everywhere, expected) in [
        (
            &[("quickstart", "default")][..],
            &[][..],
            "did you mean `quickstart`?",
        ),
        (
            &[("a", "default"), ("b", "default")],
            &[],
            "There are: a, b",
        ),
        (&[], &[("quickstrat", "shop")], "add `-n shop`"),
        (&[], &[("other", "shop")], "\n  other -n shop"),
        (&[], &[], "nor any other"),
    ] {
        cluster.answers("get-streamjobs.weir.dev", &[list(here), list(everywhere)]);
        drop(fs::remove_file(
            cluster.folder.path().join("get-streamjobs.weir.dev.turn"),
        ));
        let text = cluster.fails("status quickstrat");
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn what_keeps_kubectl_from_answering_is_told_with_the_next_step() {
    for (said, expected) in [
        (
            "error: the server doesn't have a resource type \"streamjobs\"",
            "this cluster knows no StreamJobs: install Weir first",
        ),
        (
            "Error from server (Forbidden): streamjobs.weir.dev \"quickstart\" is forbidden: User \
             \"a\" cannot get resource",
            "The roles `view` and `edit`",
        ),
        (
            "error: You must be logged in to the server",
            "error: You must be logged in",
        ),
    ] {
        let cluster = Cluster::new();
        cluster.error("get-streamjobs.weir.dev-quickstart", 1, said);
        let text = cluster.fails("status quickstart");
        assert!(text.contains(expected), "{text}");
    }
    let kubectl = Kubectl::of_program("/no/such/kubectl", &super::args::ClusterArgs::default());
    let text = kubectl.job("a").expect_err("no kubectl").text();
    assert!(
        text.contains("`/no/such/kubectl` is not on the PATH"),
        "{text}"
    );
}

#[test]
fn the_logs_of_the_leader_or_of_all_are_kubectls() {
    let logs = |line: &str| {
        let cluster = Cluster::new();
        cluster.job_is(&[json!({})]);
        cluster.answers("get-pods", &[recorded("pods.json")]);
        assert_eq!(cluster.run(line).expect("an end"), "Finished");
        cluster.calls().pop().expect("a call")
    };
    assert_eq!(
        logs("logs quickstart"),
        "logs --selector=weir.dev/job=quickstart,weir.dev/component=jobmanager,weir.dev/leader=true \
         --container=main --tail=-1 --max-log-requests=5 --prefix"
    );
    assert_eq!(
        logs("logs quickstart -t -f --tail 20 --since 10m"),
        "logs --selector=weir.dev/job=quickstart,weir.dev/component=taskmanager --container=main \
         --tail=20 --max-log-requests=5 --prefix --since=10m --follow"
    );
    assert!(logs("logs quickstart --all --previous").ends_with("--prefix --previous"));

    let cluster = Cluster::new();
    cluster.job_is(&[change("suspended")]);
    cluster.answers("get-pods", &[json!({ "items": [] })]);
    let text = cluster.fails("logs quickstart");
    assert!(
        text.contains("`quickstart` is Suspended and has no pods"),
        "{text}"
    );
}

#[test]
fn a_port_leads_to_the_service_unless_there_is_none() {
    let cluster = Cluster::new();
    cluster.job_is(&[json!({ "spec": { "ui": { "enabled": false } } })]);
    assert!(cluster.fails("ui quickstart").contains("spec.ui.enabled"));

    let cluster = Cluster::new();
    cluster.job_is(&[json!({})]);
    cluster.error(
        "port-forward-service_quickstart-rest-9000:rest",
        1,
        "no such pod",
    );
    let text = cluster.fails("ui quickstart --port 9000");
    assert!(text.contains("`quickstart` was not reached"), "{text}");
    assert_eq!(
        cluster.calls().pop().as_deref(),
        Some("port-forward service/quickstart-rest 9000:rest")
    );
}

#[test]
fn a_forced_deletion_asks_the_operator_first() {
    let cluster = Cluster::new();
    let missing = "Error from server (NotFound): not found";
    cluster.job_is(&[json!({}), json!({})]);
    cluster.error("get-streamjobs.weir.dev-quickstart", 3, missing);
    let text = cluster.run("force-delete quickstart").expect("gone");
    assert_eq!(text, "`quickstart` is deleted; its checkpoints stay");
    let calls = cluster.calls();
    assert_eq!(
        &calls[1..3],
        [
            "annotate --overwrite streamjobs.weir.dev quickstart weir.dev/force-delete=true",
            "delete streamjobs.weir.dev quickstart --wait=false",
        ]
    );
}

#[test]
fn where_no_operator_runs_its_finalizer_is_taken_off_and_no_other() {
    let cluster = Cluster::new();
    let held = json!({ "metadata": {
        "finalizers": ["weir.dev/savepoint-on-delete", "example.com/other"],
    } });
    cluster.job_is(&[held.clone(), held.clone(), held]);
    let missing = "Error from server (NotFound): not found";
    cluster.error("get-streamjobs.weir.dev-quickstart", 4, missing);
    let text = cluster
        .run("force-delete quickstart --grace 0s")
        .expect("gone");
    assert!(text.contains("without the operator"), "{text}");
    let patch = cluster
        .calls()
        .into_iter()
        .find(|call| call.starts_with("patch "));
    let patch = patch.expect("a patch");
    assert!(
        patch.contains(r#""finalizers":["example.com/other"]"#),
        "{patch}"
    );
}

#[test]
fn checkpoints_are_asked_of_the_jobmanager_through_the_api_server() {
    let cluster = Cluster::new();
    cluster.job_is(&[json!({})]);
    let text = cluster.run("snapshots quickstart").expect("an answer");
    assert!(text.contains("the checkpoints are not listed"), "{text}");
    let raw = cluster.calls().pop().expect("a call");
    assert_eq!(
        raw,
        "get --raw /api/v1/namespaces/default/services/quickstart-rest:rest/proxy/jobs"
    );

    let cluster = Cluster::new();
    cluster.job_is(&[change("suspended")]);
    let text = cluster.run("snapshots quickstart").expect("an answer");
    assert!(text.contains("no JobManager runs"), "{text}");
    assert_eq!(cluster.calls().len(), 1);
}
