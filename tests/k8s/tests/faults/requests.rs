//! Requests that meet each other.

use serde_json::json;
use weir_tests_k8s::{Job, Stand, secs};

use crate::revision;

#[test]
#[ignore = "takes minutes: make k8s-faults"]
fn f35_two_nonces_set_quickly_are_both_taken_or_the_newer_one_is() {
    let _stand = Stand::shared();
    let mut job = Job::new("nonces").started();
    job.annotate("savepoint-nonce", "7");
    job.until(secs(15), "an operation", |status| {
        !status["operation"].is_null()
    });
    job.annotate("savepoint-nonce", "8");
    job.until(secs(30), "savepoint 8", |status| {
        status
            .pointer("/savepoint/last/nonce")
            .is_some_and(|nonce| nonce == "8")
    });
    let history = job.status()["savepoint"]["history"].to_string();
    assert!(history.contains("\"nonce\":\"7\""), "{history}");
    job.stops_exact();
}

#[test]
#[ignore = "takes minutes: make k8s-faults"]
fn f10_the_newest_of_specs_that_change_during_an_upgrade_runs_in_the_end() {
    let _stand = Stand::shared();
    let mut job = Job::new("edits").started();
    job.goes_on(secs(20));
    for name in ["2", "3", "4"] {
        job.edit(&revision(name));
        job.until(secs(15), "an operation", |status| {
            !status["operation"].is_null()
        });
    }
    job.until_ready(secs(120));
    let pod = job.kubectl(&[
        "get",
        "pods",
        "-l",
        "weir.dev/component=taskmanager",
        "-o",
        "json",
    ]);
    assert!(
        pod.contains("\"REVISION\"") && pod.contains("\"value\": \"4\""),
        "{pod}"
    );
    // And back to the first one.
    job.edit(&json!({ "job": { "env": null } }));
    job.until_ready(secs(120));
    job.stops_exact();
}

#[test]
#[ignore = "takes minutes: make k8s-faults"]
fn f36_a_job_whose_jobmanager_hangs_holds_up_no_other_job() {
    let _stand = Stand::shared();
    let mut hanging = Job::new("hangs").started();
    let mut other = Job::new("other").started();
    let leader = hanging.leader();
    leader.signal("STOP");
    hanging.annotate("savepoint-nonce", "1");
    for nonce in ["1", "2", "3"] {
        other.annotate("savepoint-nonce", nonce);
        other.until(secs(10), "the other job's savepoint", |status| {
            let told = status.pointer("/savepoint/last/nonce");
            told.is_some_and(|told| told == nonce)
        });
    }
    leader.signal("CONT");
    hanging.until_ready(secs(90));
    hanging.stops_exact();
    other.stops_exact();
}
