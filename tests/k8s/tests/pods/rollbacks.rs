//! New versions that do not work: the old one goes on, or returns, and nothing is lost.

use serde_json::{Value, json};
use weir_tests_k8s::{Job, Stand, secs};

/// A stable job whose new versions have little time.
fn stable(test: &str, strategy: &str) -> Job {
    let job = Job::new(test)
        .with(&json!({
            "upgrade": { "strategy": strategy, "preWarmTimeout": "15s" },
            "rollback": { "readinessTimeout": "20s", "minStable": "1s" },
        }))
        .started();
    job.until_stable();
    job
}

/// Edits a stable job to something that can't go on from its state, which is told before the job
/// is touched, and back.
#[track_caller]
fn is_refused(test: &str, strategy: &str, edit: &Value, back: &Value, word: &str) {
    let mut job = stable(test, strategy);
    let epoch = job.told("/epoch");
    job.edit(edit);
    let told = job.until_condition("StateCompatible", false, secs(60));
    assert!(told.message.contains(word), "{told:?}");
    assert!(told.message.contains("edit the spec"), "{told:?}");
    job.until_settled(secs(60));
    job.goes_on(secs(20));
    assert_eq!(job.told("/epoch"), epoch, "the old job was stopped");
    job.edit(back);
    job.until_ready(secs(60));
    job.until_condition("StateCompatible", true, secs(30));
    job.stops_exact();
}

#[test]
fn a_version_whose_program_cannot_be_built_is_refused_while_the_old_one_runs_on() {
    let _stand = Stand::shared();
    let pages = |number: &str| json!({ "job": { "args": { "pages": number } } });
    is_refused("program", "Recreate", &pages("0"), &pages("5"), "pages");
}

#[test]
fn a_version_that_cannot_read_the_state_is_refused_while_the_old_one_runs_on() {
    let _stand = Stand::shared();
    // Nothing of it bears the uids that the state is kept under.
    let other = json!({ "job": {
        "program": "wordcount",
        "args": { "input": "/etc/passwd", "pages": null, "window": null },
    } });
    let back = json!({ "job": {
        "program": "page-views",
        "args": { "input": null, "pages": "5", "window": "1" },
    } });
    is_refused("state", "PreWarm", &other, &back, "allowNonRestoredState");
}

#[test]
fn an_image_that_does_not_exist_does_not_stop_the_old_job() {
    let _stand = Stand::shared();
    let mut job = stable("image", "PreWarm");
    let (epoch, image) = (job.told("/epoch"), job.manifest["spec"]["image"].clone());
    job.edit(&json!({ "image": "localhost/weir:no-such-version" }));
    job.until(secs(30), "a condition that names the image", |status| {
        let conditions = status["conditions"].to_string();
        conditions.contains("localhost/weir:no-such-version")
    });
    job.until_condition("Degraded", true, secs(30));
    job.goes_on(secs(20));
    assert_eq!(job.told("/epoch"), epoch, "the old job was stopped");
    job.edit(&json!({ "image": image }));
    job.until_ready(secs(60));
    assert_eq!(job.told("/epoch"), epoch, "nothing was to be changed");
    job.until_condition("Degraded", false, secs(30));
    job.stops_exact();
}

#[test]
fn a_version_whose_taskmanagers_crash_is_replaced_by_the_last_stable_one() {
    let _stand = Stand::shared();
    let mut job = stable("crash", "Recreate");
    let revision = job.told("/currentRevision");
    let resources = json!({ "limits": { "memory": "8Mi" } });
    job.edit(&json!({ "taskManager": { "resources": resources } }));
    let told = job.until_condition("RolledBack", true, secs(90));
    assert!(told.message.contains("Edit the spec"), "{told:?}");
    job.until_settled(secs(60));
    assert_eq!(job.told("/currentRevision"), revision);
    assert_eq!(
        job.told("/restore/checkpointId"),
        job.told("/savepoint/last/id")
    );
    job.goes_on(secs(20));
    job.edit(&json!({ "taskManager": { "resources": null } }));
    job.until_ready(secs(60));
    job.stops_exact();
}
