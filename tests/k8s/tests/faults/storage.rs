//! The storage: gone for a while, at every kind of moment, or for good.

use std::fs;

use serde_json::json;
use weir_tests_k8s::{Job, Stand, rest, secs};

use crate::revision;

#[test]
#[ignore = "takes minutes: make k8s-faults"]
fn f07_a_job_runs_on_while_the_storage_is_down_and_says_so() {
    let stand = Stand::alone();
    let mut job = Job::new("s3-down")
        .with(&json!({
            "checkpoint": { "timeout": "5s", "tolerableFailures": 100 },
            "health": { "checkpointProgressWindow": "5s" },
        }))
        .started();
    job.goes_on(secs(20));
    let epoch = job.told("/epoch");
    stand.run(&["stop", "s3"]);
    let told = job.until_condition("CheckpointsHealthy", false, secs(60));
    assert!(told.message.contains("storage"), "{told:?}");
    stand.run(&["start", "s3"]);
    job.goes_on(secs(60));
    job.until_condition("CheckpointsHealthy", true, secs(60));
    assert_eq!(job.told("/epoch"), epoch, "the job was restarted");
    job.stops_exact();
}

#[test]
#[ignore = "takes minutes: make k8s-faults"]
fn f03_an_upgrade_while_the_storage_is_down_does_not_stop_the_job_and_comes_later() {
    let stand = Stand::alone();
    let mut job = Job::new("s3-upgrade")
        .with(&json!({
            "checkpoint": { "timeout": "5s", "tolerableFailures": 100 },
            "savepoint": { "timeout": "5s" },
            "upgrade": { "fallback": "None", "savepointTimeout": "8s" },
        }))
        .started();
    job.goes_on(secs(20));
    stand.run(&["stop", "s3"]);
    job.edit(&revision("2"));
    rest(secs(20));
    assert_eq!(job.told("/deployment"), "1", "the job was stopped");
    stand.run(&["start", "s3"]);
    job.until_ready(secs(120));
    assert_eq!(
        job.told("/restore/checkpointId"),
        job.told("/savepoint/last/id")
    );
    job.goes_on(secs(30));
    job.stops_exact();
}

#[test]
#[ignore = "takes minutes: make k8s-faults"]
fn f08_a_job_never_starts_empty_because_the_storage_is_down() {
    let stand = Stand::alone();
    let mut job = Job::new("s3-restore").started();
    job.goes_on(secs(20));
    job.stops_exact();
    let stopped_at = job.told("/savepoint/last/id");
    stand.run(&["stop", "s3"]);
    job.edit(&json!({ "suspend": false }));
    rest(secs(30));
    assert!(!job.condition("Ready").is_some_and(|ready| ready.holds));
    let told = job.condition("Ready").map(|ready| ready.message);
    assert_ne!(told.unwrap_or_default(), "");
    stand.run(&["start", "s3"]);
    job.until_ready(secs(180));
    assert_eq!(job.told("/restore/checkpointId"), stopped_at);
    job.until_condition("StorageReachable", true, secs(30));
    job.goes_on(secs(30));
    job.stops_exact();
}

#[test]
#[ignore = "takes minutes: make k8s-faults"]
fn f29_keys_that_are_revoked_and_replaced_are_taken_up_without_a_restart() {
    let stand = Stand::alone();
    let mut job = Job::new("keys")
        .with(&json!({
            "checkpoint": { "timeout": "5s", "tolerableFailures": 1000 },
            "health": { "checkpointProgressWindow": "5s" },
        }))
        .started();
    job.goes_on(secs(20));
    let epoch = job.told("/epoch");
    stand.run(&["keys", "another-secret-key"]);
    job.until_condition("CheckpointsHealthy", false, secs(60));
    let secret = json!({ "stringData": { "secret-key": "another-secret-key" } }).to_string();
    job.kubectl(&["patch", "secret", "weir-s3", "--type=merge", "-p", &secret]);
    // The kubelet brings a Secret's new files within a minute or two.
    job.goes_on(secs(180));
    job.until_condition("CheckpointsHealthy", true, secs(60));
    assert_eq!(job.told("/epoch"), epoch, "the job was restarted");
    job.stops_exact();
    stand.run(&["keys"]);
}

#[test]
#[ignore = "takes minutes: make k8s-faults"]
fn f29_a_secret_that_is_missing_is_named() {
    let _stand = Stand::shared();
    let job = Job::new("no-secret");
    job.kubectl(&["delete", "secret", "weir-s3"]);
    job.apply();
    let told = job.until_condition("Accepted", false, secs(90));
    assert!(told.message.contains("weir-s3"), "{told:?}");
    job.make_secret();
    job.until_condition("Accepted", true, secs(120));
    job.until_ready(secs(120));
}

#[test]
#[ignore = "takes minutes: make k8s-faults"]
fn f32_a_job_whose_state_was_deleted_does_not_start_empty() {
    let _stand = Stand::shared();
    let mut job = Job::new("state-gone").started();
    job.goes_on(secs(20));
    job.stops_exact();
    fs::remove_dir_all(job.folder().join("state")).expect("the state is there");
    job.edit(&json!({ "suspend": false }));
    let told = job.until_condition("Stalled", true, secs(120));
    assert!(told.message.contains("state"), "{told:?}");
    assert!(!job.condition("Ready").is_some_and(|ready| ready.holds));
}
