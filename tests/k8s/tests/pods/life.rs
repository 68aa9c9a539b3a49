//! Apply, suspend, resume, delete and apply again, scale.

use serde_json::json;
use weir_tests_k8s::{Job, Stand, comes_within, kubectl, secs, until_within};

#[test]
fn a_job_that_is_applied_becomes_ready_in_a_restricted_namespace_and_publishes_each_view_once() {
    let _stand = Stand::shared();
    let mut job = Job::new("apply").started();
    // By the ways that people use.
    job.kubectl(&["wait", "--for=condition=Ready", "sj/views", "--timeout=10s"]);
    let line = job.kubectl(&["get", "sj", "views", "--no-headers"]);
    assert!(line.starts_with("views"), "{line}");
    // It has proved itself within seconds, which may have passed.
    let phase = job.told("/phase");
    assert!(["Running", "Stable"].contains(&&*phase), "{line}");
    // The job knows of its processes before Kubernetes says that their pods run.
    until_within(secs(10), "pods that run", || {
        job.pods().iter().all(|pod| pod.phase == "Running")
    });
    for pod in job.pods() {
        assert_eq!(pod.restarts, 0, "{pod:?}");
    }
    assert_eq!(job.component("jobmanager").len(), 1);
    assert_eq!(job.component("taskmanager").len(), 1);
    job.goes_on(secs(20));
    // State is where `localSize` is the limit, and not with other temporary files.
    let worker = job.taskmanager();
    let holds_state = |folder: &str| {
        let names = worker.names_in(folder);
        names.iter().any(|name| name.starts_with("weir-state-"))
    };
    assert!(holds_state("/var/lib/weir"), "no state on its volume");
    assert!(!holds_state("/tmp"), "state beside its volume");
    job.until_stable();
    job.stops_exact();
}

#[test]
fn a_suspended_job_has_no_pods_and_resumes_where_it_stopped() {
    let _stand = Stand::shared();
    let mut job = Job::new("suspend").started();
    job.goes_on(secs(20));
    job.stops_exact();
    assert_eq!(job.all_pods(), []);
    let stopped_at = job.told("/savepoint/last/id");
    assert_ne!(stopped_at, "", "the stop has left no savepoint");
    job.edit(&json!({ "suspend": false }));
    job.until_ready(secs(60));
    assert_eq!(job.told("/restore/checkpointId"), stopped_at);
    job.goes_on(secs(20));
    job.stops_exact();
}

#[test]
fn a_job_that_is_deleted_and_applied_again_resumes_from_the_bucket_alone() {
    let _stand = Stand::shared();
    let mut job = Job::new("again").started();
    job.goes_on(secs(20));
    let id = job.told("/jobId");
    let epoch = job.views().epoch();
    job.delete();
    until_within(secs(30), "the pods have gone", || job.all_pods().is_empty());
    let published = job.views().newest();
    job.apply();
    job.until_ready(secs(60));
    assert_eq!(job.told("/jobId"), id, "it is another job");
    assert_ne!(job.told("/restore/checkpointId"), "", "it started empty");
    until_within(secs(20), "output", || job.views().newest() > published);
    assert!(job.views().epoch() > epoch, "no epoch of its own");
    job.stops_exact();
}

#[test]
fn another_job_can_start_from_the_path_of_a_savepoint() {
    let _stand = Stand::shared();
    let mut job = Job::new("path").started();
    job.goes_on(secs(20));
    job.stops_exact();
    let path = job.told("/savepoint/last/path");
    let id = job.told("/savepoint/last/id");
    job.delete();
    // Another state id: nothing of the old job is found but by the path.
    let mut job = job.with(&json!({
        "suspend": false,
        "stateId": "another",
        "restore": { "from": "Path", "path": path },
    }));
    let published = job.views().newest();
    job.apply();
    job.until_ready(secs(60));
    assert_eq!(job.told("/restore/checkpointId"), id);
    until_within(secs(20), "output", || job.views().newest() > published);
    job.stops_exact();
}

#[test]
fn kubectl_scale_changes_the_taskmanagers_and_the_parallelism() {
    let _stand = Stand::shared();
    let mut job = Job::new("scale")
        .with(&json!({ "taskManager": { "slots": 1 } }))
        .started();
    assert_eq!(job.told("/parallelism"), "1");
    job.kubectl(&["scale", "sj/views", "--replicas=2"]);
    job.until(secs(60), "two TaskManagers", |status| {
        status.pointer("/parallelism") == Some(&json!(2)) && status["operation"].is_null()
    });
    job.until_ready(secs(60));
    assert_eq!(job.component("taskmanager").len(), 2);
    let scale = job.kubectl(&[
        "get",
        "sj/views",
        "--subresource=scale",
        "-o",
        "jsonpath={.status.replicas}",
    ]);
    assert_eq!(scale, "2");
    job.goes_on(secs(20));
    job.manifest["spec"]["taskManager"]["replicas"] = json!(2);
    job.stops_exact();
}

#[test]
fn a_namespace_with_a_running_job_can_be_deleted_and_its_state_stays() {
    let _stand = Stand::shared();
    let job = Job::new("namespace").started();
    job.goes_on(secs(20));
    kubectl(&["delete", "namespace", &job.namespace, "--wait=false"]);
    let gone = || weir_tests_k8s::get(&format!("/api/v1/namespaces/{}", job.namespace)).is_none();
    assert!(comes_within(secs(60), gone), "the namespace stays");
    job.is_exact();
    assert!(job.folder().join("state").is_dir(), "the state is gone");
}
