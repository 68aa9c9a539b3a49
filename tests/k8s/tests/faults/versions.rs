//! New versions that cannot run: seen before the old job stops, where that can be seen.

use serde_json::json;
use weir_tests_k8s::{Job, Stand, rest, secs};

use crate::revision;

/// A stable job whose upgrades are prewarmed.
fn stable(test: &str) -> Job {
    let job = Job::new(test)
        .with(&json!({
            "upgrade": { "strategy": "PreWarm" },
            "rollback": { "readinessTimeout": "15s", "minStable": "1s" },
        }))
        .started();
    job.until_stable();
    job
}

#[test]
#[ignore = "takes minutes: make k8s-faults"]
fn f27_new_pods_that_cannot_be_scheduled_do_not_stop_the_old_job() {
    let _stand = Stand::shared();
    let mut job = stable("unschedulable");
    let epoch = job.told("/epoch");
    job.edit(&json!({ "taskManager": { "resources": { "requests": { "cpu": "1000" } } } }));
    rest(secs(15));
    job.goes_on(secs(10));
    assert_eq!(job.told("/epoch"), epoch, "the old job was stopped");
    let conditions = job.status()["conditions"].to_string();
    assert!(conditions.contains("nschedulable"), "{conditions}");
    job.edit(&json!({ "taskManager": { "resources": null } }));
    job.until_ready(secs(60));
    job.stops_exact();
}

#[test]
#[ignore = "takes minutes: make k8s-faults"]
fn f05_a_job_whose_first_version_crashes_says_what_to_do() {
    let _stand = Stand::shared();
    let mut job = Job::new("crash-first").with(&json!({
        "job": { "args": { "pages": "0" } },
        "rollback": { "readinessTimeout": "10s" },
    }));
    job.apply();
    let told = job.until_condition("Stalled", true, secs(90));
    assert!(told.message.contains("pages"), "{told:?}");
    job.edit(&json!({ "job": { "args": { "pages": "5" } } }));
    job.until_ready(secs(60));
    job.edit(&revision("2"));
    job.until_ready(secs(60));
    job.stops_exact();
}
