//! New versions that do not work: the old one goes on, or returns, and nothing is lost.

use serde_json::{Value, json};
use weir_tests_k8s::{Condition, Job, Stand, secs};

/// A stable job whose new versions have little time.
fn stable(test: &str, strategy: &str) -> Job {
    let job = Job::new(test)
        .with(&json!({
            "upgrade": { "strategy": strategy },
            "rollback": { "readinessTimeout": "10s", "minStable": "1s" },
        }))
        .started();
    job.until_stable();
    job
}

/// Edits a stable job to something that does not work, and waits for the old version's return.
fn returns(mut job: Job, edit: &Value) -> (Job, Condition) {
    let revision = job.told("/currentRevision");
    job.edit(edit);
    let told = job.until_condition("RolledBack", true, secs(60));
    job.until_settled(secs(60));
    assert_eq!(job.told("/currentRevision"), revision);
    assert!(told.message.contains("Edit the spec"), "{told:?}");
    job.goes_on(secs(20));
    (job, told)
}

#[test]
fn a_version_that_crashes_is_replaced_by_the_last_stable_one() {
    let _stand = Stand::shared();
    let job = stable("crash", "Recreate");
    let (mut job, _) = returns(job, &json!({ "job": { "args": { "pages": "0" } } }));
    job.edit(&json!({ "job": { "args": { "pages": "5" } } }));
    job.until_ready(secs(30));
    job.stops_exact();
}

#[test]
fn an_image_that_does_not_exist_is_replaced_by_the_last_stable_one() {
    let _stand = Stand::shared();
    let job = stable("image", "Recreate");
    let (job, _) = returns(job, &json!({ "image": "localhost/weir:no-such-version" }));
    job.is_exact();
}
