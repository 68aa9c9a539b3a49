//! An edited spec replaces the running job: each mode with each strategy.

use serde_json::{Value, json};
use weir_tests_k8s::{Job, Stand, secs};

/// Runs a job, edits it, and looks at what became of it.
fn upgrade(test: &str, upgrade: &Value, edit: &Value) -> Job {
    let mut job = Job::new(test)
        .with(&json!({ "upgrade": upgrade }))
        .started();
    job.goes_on(secs(20));
    let before = (job.told("/epoch"), job.told("/currentRevision"));
    job.edit(edit);
    job.until_ready(secs(60));
    assert_ne!(job.told("/currentRevision"), before.1);
    assert_ne!(job.told("/epoch"), before.0);
    let pods = job.pods();
    assert!(pods.iter().all(|pod| pod.deployment == 2), "{pods:?}");
    job
}

/// What makes another revision and changes nothing of the output.
fn edit() -> Value {
    json!({ "job": { "env": [{ "name": "REVISION", "value": "2" }] } })
}

#[test]
fn an_upgrade_by_savepoint_with_recreate_goes_on_from_the_savepoint_that_it_stopped_with() {
    let _stand = Stand::shared();
    let mode = json!({ "mode": "Savepoint", "strategy": "Recreate" });
    let mut job = upgrade("savepoint-recreate", &mode, &edit());
    assert_eq!(
        job.told("/restore/checkpointId"),
        job.told("/savepoint/last/id")
    );
    job.goes_on(secs(20));
    job.stops_exact();
}

#[test]
fn an_upgrade_by_savepoint_with_prewarm_goes_on_from_the_savepoint_that_it_stopped_with() {
    let _stand = Stand::shared();
    let mode = json!({ "mode": "Savepoint", "strategy": "PreWarm" });
    let mut job = upgrade("savepoint-prewarm", &mode, &edit());
    assert_eq!(
        job.told("/restore/checkpointId"),
        job.told("/savepoint/last/id")
    );
    job.goes_on(secs(20));
    job.stops_exact();
}

#[test]
fn an_upgrade_from_the_last_state_takes_no_savepoint_with_either_strategy() {
    let _stand = Stand::shared();
    let mode = json!({ "mode": "LastState", "strategy": "Recreate" });
    let mut job = upgrade("last-state", &mode, &edit());
    assert_ne!(job.told("/restore/checkpointId"), "");
    job.goes_on(secs(20));
    job.edit(&json!({
        "upgrade": { "strategy": "PreWarm" },
        "job": { "env": [{ "name": "REVISION", "value": "3" }] },
    }));
    job.until_ready(secs(60));
    assert_eq!(job.told("/savepoint/last/id"), "", "it took a savepoint");
    job.goes_on(secs(20));
    job.stops_exact();
}

#[test]
fn an_upgrade_without_state_starts_empty_and_only_after_it_was_confirmed() {
    let _stand = Stand::shared();
    let mode = json!({ "mode": "Stateless", "confirmStateLoss": true });
    let mut job = Job::new("stateless").started();
    job.goes_on(secs(20));
    // Its views come again from the first one on, so they go elsewhere.
    job.is_exact();
    let again = format!("{}/again", job.address());
    job.edit(&json!({ "upgrade": mode, "job": { "args": { "output": again } } }));
    job.until_ready(secs(60));
    assert_eq!(job.told("/restore/checkpointId"), "");
    assert_eq!(job.told("/deployment"), "2");
}

#[test]
fn a_restart_nonce_restarts_the_job_and_a_live_field_does_not() {
    let _stand = Stand::shared();
    let mut job = Job::new("restart").started();
    job.goes_on(secs(20));
    let epoch = job.told("/epoch");
    job.edit(&json!({ "rollback": { "minStable": "3s" }, "logging": { "level": "debug" } }));
    job.until_ready(secs(10));
    assert_eq!(
        (job.told("/deployment").as_str(), job.told("/epoch")),
        ("1", epoch)
    );
    job.edit(&json!({ "restartNonce": 1 }));
    job.until(secs(60), "the second deployment runs", |status| {
        status["deployment"] == 2 && status["operation"].is_null()
    });
    job.until_ready(secs(60));
    job.goes_on(secs(20));
    job.stops_exact();
}
