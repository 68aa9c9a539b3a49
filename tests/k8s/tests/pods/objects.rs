//! The objects around a job's pods, and edits that make no sense.

use serde_json::{Value, json};
use weir_tests_k8s::{Job, Stand, get, rest, secs, try_kubectl, until_within};

/// Each object of a job but its pods: the path of its kind, and its name.
const OBJECTS: &[(&str, &str)] = &[
    ("api/v1/namespaces/NS/configmaps", "views-d1"),
    ("api/v1/namespaces/NS/services", "views-j1"),
    ("api/v1/namespaces/NS/services", "views-rest"),
    ("api/v1/namespaces/NS/serviceaccounts", "views-weir"),
    (
        "apis/rbac.authorization.k8s.io/v1/namespaces/NS/roles",
        "views-d1",
    ),
    (
        "apis/rbac.authorization.k8s.io/v1/namespaces/NS/rolebindings",
        "views-d1",
    ),
    (
        "apis/policy/v1/namespaces/NS/poddisruptionbudgets",
        "views-d1-jobmanager",
    ),
    (
        "apis/policy/v1/namespaces/NS/poddisruptionbudgets",
        "views-d1-taskmanager",
    ),
    (
        "apis/networking.k8s.io/v1/namespaces/NS/networkpolicies",
        "views",
    ),
];

fn path(job: &Job, (kind, name): (&str, &str)) -> String {
    format!("/{}/{name}", kind.replace("NS", &job.namespace))
}

#[test]
fn every_object_that_is_deleted_or_edited_is_put_right_and_the_job_runs_on() {
    let _stand = Stand::shared();
    let mut job = Job::new("objects").started();
    job.goes_on(secs(20));
    let epoch = job.told("/epoch");
    for object in OBJECTS {
        let path = path(&job, *object);
        let before = get(&path).unwrap_or_else(|| unreachable!("{path} is not there"));
        weir_tests_k8s::delete(&path);
        until_within(secs(20), &format!("{path} comes again"), || {
            get(&path).is_some_and(|now| now["metadata"]["uid"] != before["metadata"]["uid"])
        });
    }
    // A foreign label stays, a field of ours returns.
    let service = "service/views-rest";
    job.kubectl(&["label", service, "team=data"]);
    let bend = json!({ "spec": { "ports": [{ "name": "rest", "port": 8081, "targetPort": 1 }] } });
    job.kubectl(&["patch", service, "--type=merge", "-p", &bend.to_string()]);
    let path = path(&job, ("api/v1/namespaces/NS/services", "views-rest"));
    until_within(secs(20), "the port is put right", || {
        let now = get(&path).unwrap_or_default();
        let port = now.pointer("/spec/ports/0/targetPort");
        port == Some(&json!("rest")) && now["metadata"]["labels"]["team"] == "data"
    });
    assert_eq!(job.told("/epoch"), epoch, "the job was disturbed");
    job.stops_exact();
}

#[test]
fn an_edit_that_makes_no_sense_does_not_disturb_the_running_job() {
    let _stand = Stand::shared();
    let mut job = Job::new("bad-edit").started();
    job.goes_on(secs(20));
    let epoch = job.told("/epoch");
    // What the API server can judge, it refuses.
    let refuse = |patch: &Value, word: &str| {
        let patch = patch.to_string();
        let args = [
            "--namespace",
            &job.namespace,
            "patch",
            "sj/views",
            "--type=merge",
            "-p",
            &patch,
        ];
        let said = try_kubectl(&args, "").expect_err("it was taken");
        assert!(said.contains(word), "{said}");
    };
    refuse(
        &json!({ "spec": { "taskManager": { "slots": 0 } } }),
        "slots",
    );
    refuse(&json!({ "spec": { "stateId": "other" } }), "stateId");
    refuse(
        &json!({ "spec": { "jobManager": { "replicas": 9 } } }),
        "replicas",
    );
    // What it cannot, the operator reports.
    let schedule = |cron: &Value| {
        let patch = json!({ "spec": { "savepoint": { "schedule": cron } } }).to_string();
        job.kubectl(&["patch", "sj/views", "--type=merge", "-p", &patch]);
    };
    schedule(&json!("0 99 * * *"));
    let told = job.until_condition("Accepted", false, secs(20));
    assert!(told.message.contains("schedule"), "{told:?}");
    rest(secs(2));
    job.goes_on(secs(20));
    assert_eq!(job.told("/epoch"), epoch, "the job was disturbed");
    schedule(&Value::Null);
    job.until_condition("Accepted", true, secs(20));
    job.stops_exact();
}

#[test]
fn a_paused_job_is_left_alone_until_it_is_not() {
    let _stand = Stand::shared();
    let mut job = Job::new("paused").started();
    job.annotate("paused", "true");
    job.until_condition("ReconciliationPaused", true, secs(20));
    job.edit(&json!({ "job": { "env": [{ "name": "REVISION", "value": "2" }] } }));
    rest(secs(4));
    assert_eq!(job.told("/deployment"), "1", "a paused job was touched");
    job.goes_on(secs(20));
    job.annotate("paused", "false");
    job.until_ready(secs(60));
    assert_eq!(job.told("/deployment"), "2");
    job.stops_exact();
}
