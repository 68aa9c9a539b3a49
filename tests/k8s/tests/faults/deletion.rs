//! Deletion, at bad moments.

use serde_json::json;
use weir_tests_k8s::{Job, Stand, get, kubectl, secs, until_within};

#[test]
#[ignore = "takes minutes: make k8s-faults"]
fn f11_a_streamjob_that_is_deleted_during_a_savepoint_is_gone_and_its_state_is_whole() {
    let _stand = Stand::shared();
    let mut job = Job::new("delete-savepoint").started();
    job.goes_on(secs(20));
    job.annotate("savepoint-nonce", "1");
    job.delete();
    until_within(secs(40), "the pods have gone", || job.all_pods().is_empty());
    let published = job.views().newest();
    job.apply();
    job.until_ready(secs(60));
    until_within(secs(20), "output", || job.views().newest() > published);
    job.stops_exact();
}

#[test]
#[ignore = "takes minutes: make k8s-faults"]
fn f11_a_savepoint_that_is_required_comes_before_the_end() {
    let _stand = Stand::shared();
    let mut job = Job::new("delete-required")
        .with(&json!({ "onDelete": { "savepoint": "Required" } }))
        .started();
    job.goes_on(secs(20));
    let id = job.told("/jobId");
    job.delete();
    until_within(secs(40), "the pods have gone", || job.all_pods().is_empty());
    let published = job.views().newest();
    assert!(
        job.views().wrong(1000, false).is_empty(),
        "the stop was not a savepoint's"
    );
    job.apply();
    job.until_ready(secs(60));
    assert_eq!(job.told("/jobId"), id);
    until_within(secs(20), "output", || job.views().newest() > published);
    job.stops_exact();
    job.delete();
}

#[test]
#[ignore = "takes minutes: make k8s-faults"]
fn f12_a_deletion_does_not_wait_for_ever_for_a_savepoint_that_cannot_be_had() {
    let stand = Stand::alone();
    let mut job = Job::new("delete-stuck")
        .with(&json!({ "onDelete": { "savepoint": "Required", "timeout": "5s" } }))
        .started();
    job.goes_on(secs(20));
    stand.run(&["stop", "s3"]);
    job.kubectl(&["delete", "sj", "views", "--wait=false"]);
    let told = job.until_condition("Stalled", true, secs(90));
    assert!(told.message.contains("force-delete"), "{told:?}");
    job.annotate("force-delete", "true");
    until_within(secs(60), "the StreamJob is gone", || job.object().is_null());
    stand.run(&["start", "s3"]);
    let published = job.views().newest();
    job.apply();
    job.until_ready(secs(120));
    until_within(secs(30), "output", || job.views().newest() > published);
    job.edit(&json!({ "onDelete": { "savepoint": "None" } }));
    job.stops_exact();
}

#[test]
#[ignore = "takes minutes: make k8s-faults"]
fn f13_a_streamjob_that_is_deleted_and_made_again_at_once_has_one_writer() {
    let _stand = Stand::shared();
    let mut job = Job::new("at-once").started();
    job.goes_on(secs(20));
    for _ in 0..3 {
        job.kubectl(&["delete", "sj", "views", "--wait=false"]);
        until_within(secs(10), "the name is free", || job.object().is_null());
        let published = job.views().newest();
        job.apply();
        until_within(secs(90), "output", || job.views().newest() > published);
        job.is_exact();
    }
    job.until_ready(secs(60));
    job.stops_exact();
}

#[test]
#[ignore = "takes minutes: make k8s-faults"]
fn f14_a_namespace_whose_job_wants_a_savepoint_first_is_deleted_in_time() {
    let _stand = Stand::shared();
    let job = Job::new("namespace-savepoint")
        .with(&json!({ "onDelete": { "savepoint": "BestEffort", "timeout": "20s" } }))
        .started();
    job.goes_on(secs(20));
    kubectl(&["delete", "namespace", &job.namespace, "--wait=false"]);
    let path = format!("/api/v1/namespaces/{}", job.namespace);
    until_within(secs(50), "the namespace is gone", || get(&path).is_none());
    job.is_exact();
}
