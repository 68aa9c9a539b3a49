//! What is asked of the operator, and what counts as done.

use serde_json::{Value, json};

use super::{Cluster, change};

/// The nonce of the savepoint that the recorded job has taken.
const TAKEN: &str = "savepoint quickstart --nonce 7";

#[test]
fn a_savepoint_is_asked_for_by_annotation_and_its_folder_is_the_answer() {
    let cluster = Cluster::new();
    let unseen = json!({ "status": { "savepoint": null } });
    let taking = json!({ "status": { "savepoint": null, "operation": {
        "id": "savepoint-7", "type": "Savepoint", "step": "Snapshot", "nonce": "7",
        "reason": "the annotation weir.dev/savepoint-nonce is 7", "targetGeneration": 3,
        "startedAt": "2026-01-31T11:58:29Z", "stepStartedAt": "2026-01-31T11:58:29Z",
    } } });
    cluster.job_is(&[unseen.clone(), unseen, taking, json!({})]);
    let path = "s3://weir/jobs/default/quickstart/savepoint-3-40";
    assert_eq!(cluster.run(TAKEN).expect("a savepoint"), path);
    assert_eq!(
        cluster.order(),
        "annotate --overwrite streamjobs.weir.dev quickstart weir.dev/savepoint-nonce=7"
    );
    assert_eq!(cluster.calls().len(), 5);
    let told: Value = serde_json::from_str(&cluster.run(&format!("{TAKEN} -o json")).expect("one"))
        .expect("JSON");
    assert_eq!((&told["id"], &told["path"]), (&json!(40), &json!(path)));
}

#[test]
fn a_savepoint_that_was_given_up_is_a_failure_with_its_cause() {
    let cluster = Cluster::new();
    cluster.job_is(&[json!({})]);
    let text = cluster.fails("savepoint quickstart --nonce 6");
    assert!(text.contains("the job goes on as before"), "{text}");
    assert!(
        text.contains("caused by: it took longer than 600s"),
        "{text}"
    );
}

#[test]
fn a_job_without_pods_takes_no_savepoint_and_nothing_is_asked_for() {
    for (state, expected) in [
        (
            "suspended",
            "start it with `kubectl weir resume quickstart`",
        ),
        (
            "finished",
            "start it again with `kubectl weir restart quickstart`",
        ),
    ] {
        let cluster = Cluster::new();
        cluster.job_is(&[change(state)]);
        for line in [TAKEN, "rollback quickstart"] {
            let text = cluster.fails(line);
            assert!(text.contains(expected), "{text}");
        }
        assert!(cluster.calls().iter().all(|call| call.starts_with("get ")));
    }
}

#[test]
fn each_savepoint_has_a_nonce_of_its_own() {
    let nonce = |cluster: &Cluster| {
        let text = cluster
            .run("savepoint quickstart --wait=false")
            .expect("asked");
        text.split_once("nonce ").expect("a nonce").1[..20].to_owned()
    };
    let cluster = Cluster::new();
    cluster.job_is(&[json!({})]);
    assert_ne!(nonce(&cluster), nonce(&cluster));
}

#[test]
fn a_job_is_suspended_once_the_operator_says_so_of_this_spec() {
    let cluster = Cluster::new();
    let asked = json!({ "metadata": { "generation": 4 }, "spec": { "suspend": true } });
    let done = json!({
        "metadata": { "generation": 4 },
        "spec": { "suspend": true },
        "status": { "observedGeneration": 4, "phase": "Suspended" },
    });
    cluster.job_is(&[json!({}), json!({}), asked.clone(), done]);
    cluster.answers(
        "patch-streamjobs.weir.dev-quickstart",
        &[super::changed(&asked)],
    );
    let text = cluster.run("suspend quickstart").expect("suspended");
    assert_eq!(
        text,
        "`quickstart` is suspended; its newest savepoint is \
         s3://weir/jobs/default/quickstart/savepoint-3-40"
    );
    assert_eq!(
        cluster.order(),
        "patch streamjobs.weir.dev quickstart --type=merge \
         --patch={\"metadata\":{\"resourceVersion\":\"4711\"},\"spec\":{\"suspend\":true}} \
         --output=json"
    );
}

#[test]
fn whoever_changes_the_spec_meanwhile_is_heard() {
    let cluster = Cluster::new();
    let asked = json!({ "metadata": { "generation": 4 }, "spec": { "suspend": true } });
    cluster.job_is(&[
        json!({}),
        json!({}),
        json!({ "metadata": { "generation": 5 } }),
    ]);
    cluster.answers(
        "patch-streamjobs.weir.dev-quickstart",
        &[super::changed(&asked)],
    );
    let text = cluster.fails("suspend quickstart");
    assert!(text.contains("spec.suspend is false again"), "{text}");
}

#[test]
fn a_write_that_another_came_before_is_tried_again() {
    let cluster = Cluster::new();
    cluster.job_is(&[json!({})]);
    let patch = "patch-streamjobs.weir.dev-quickstart";
    cluster.error(
        patch,
        1,
        "Error from server (Conflict): the object has been modified",
    );
    cluster.answers(patch, &[Value::Null, super::changed(&json!({}))]);
    cluster.run("resume quickstart").expect("it runs");
    let patches = cluster
        .calls()
        .iter()
        .filter(|call| call.starts_with("patch "))
        .count();
    assert_eq!(patches, 2);
}

#[test]
fn a_restart_raises_the_nonce_above_all_that_were_handled() {
    let cluster = Cluster::new();
    let before = json!({
        "spec": { "restartNonce": 2 },
        "status": { "handled": { "restart": 4 } },
    });
    let done = json!({
        "metadata": { "generation": 4 },
        "status": {
            "observedGeneration": 4,
            "handled": { "restart": 5 },
            "restore": { "checkpointId": 43, "epoch": 4, "at": "2026-01-31T12:00:00Z" },
        },
    });
    cluster.job_is(&[before.clone(), before.clone(), before, done]);
    cluster.answers(
        "patch-streamjobs.weir.dev-quickstart",
        &[super::changed(&json!({ "metadata": { "generation": 4 } }))],
    );
    let text = cluster.run("restart quickstart").expect("restarted");
    assert_eq!(text, "`quickstart` runs anew, from snapshot 43");
    assert!(
        cluster.order().contains(r#""restartNonce":5"#),
        "{}",
        cluster.order()
    );
}

#[test]
fn a_restart_that_was_given_up_is_not_taken_for_one_that_led_to_a_running_job() {
    let before = super::job("running").status.restore;
    let look = |change: &Value| {
        let job = serde_json::from_value::<super::Job>(super::changed(change)).expect("a job");
        super::super::orders::restarted(&job, before.as_ref())
    };
    let error =
        json!({ "reason": "NotWarmedUp", "message": "no room", "at": "2026-01-31T12:00:00Z" });
    let retry = json!({ "failures": 1, "notBefore": "2026-01-31T12:00:10Z", "generation": 4 });
    let tried_again = json!({ "status": { "lastError": error, "retry": retry } });
    assert!(matches!(
        look(&tried_again),
        Ok(super::super::wait::Look::Goes)
    ));
    let text = look(&json!({ "status": { "lastError": error } }))
        .err()
        .expect("given up")
        .text();
    assert!(
        text.contains("given up; it runs as before\n  caused by: no room"),
        "{text}"
    );
}

#[test]
fn a_rollback_forgets_the_revision_of_an_earlier_one() {
    let rollback = |line: &str| {
        let cluster = Cluster::new();
        cluster.job_is(&[json!({})]);
        cluster.answers(
            "get-controllerrevisions.apps",
            &[super::recorded("revisions.json")],
        );
        let line = format!("{line} --wait=false");
        cluster.run(&line).map(|_| cluster.order())
    };
    let order = rollback("rollback quickstart").expect("asked");
    assert!(order.ends_with(" weir.dev/rollback-to-"), "{order}");
    let order = rollback("rollback quickstart --to 91b0c2d4e6").expect("asked");
    assert!(
        order.ends_with(" weir.dev/rollback-to=91b0c2d4e6"),
        "{order}"
    );
    let text = rollback("rollback quickstart --to 91b0")
        .expect_err("not kept")
        .text();
    assert!(text.contains("Kept are: 3f2a91c07d, 91b0c2d4e6"), "{text}");
}

#[test]
fn a_refused_rollback_says_why() {
    // The nonce is not known before: the answer holds whichever it is.
    let status = |error: Option<&str>, nonce: &str| {
        let mut status = json!({ "handled": { "rollback": nonce } });
        if let Some(message) = error {
            status["lastError"] = json!({
                "reason": "RollbackRefused", "message": message, "at": "2026-01-31T12:00:00Z",
            });
        }
        let job = super::changed(&json!({ "status": status }));
        serde_json::from_value::<super::Job>(job).expect("a job")
    };
    let look = |job: &super::Job| super::super::orders::rolled_back(job, &(None, None));
    let refused = look(&status(Some("there is no other stable revision"), "n"));
    let text = refused.err().expect("refused").text();
    assert!(text.contains("there is no other stable revision"), "{text}");
    // It runs what was asked for already.
    let there = look(&status(None, "n"));
    assert!(matches!(there, Ok(super::super::wait::Look::Done(_))));
}

#[test]
fn a_job_that_failed_may_be_rolled_back_and_one_that_finished_may_not() {
    let order = |phase: &str| {
        let cluster = Cluster::new();
        cluster.job_is(&[json!({ "status": { "phase": phase } })]);
        let ordered = cluster.run("rollback quickstart --wait=false");
        ordered.map(|_| cluster.order())
    };
    let asked = order("Failed").expect("asked");
    assert!(asked.contains("weir.dev/rollback-nonce="), "{asked}");
    let text = order("Finished").expect_err("it is over").text();
    assert!(text.contains("is Finished"), "{text}");
}

#[test]
fn what_takes_too_long_is_told_with_what_it_waits_for() {
    let cluster = Cluster::new();
    cluster.job_is(&[json!({}), json!({}), change("stopping")]);
    cluster.answers(
        "patch-streamjobs.weir.dev-quickstart",
        &[super::changed(&json!({}))],
    );
    let text = cluster.fails("resume quickstart --timeout 1ms");
    assert!(text.contains("is not done after 1ms; it goes on"), "{text}");
    assert!(text.contains("Upgrade, step Stopping"), "{text}");
}

#[test]
fn a_cluster_that_does_not_answer_for_a_moment_is_asked_again() {
    let cluster = Cluster::new();
    cluster.job_is(&[json!({}), json!({}), Value::Null, json!({})]);
    let name = "get-streamjobs.weir.dev-quickstart";
    cluster.error(name, 2, "The connection to the server was refused");
    assert!(cluster.run(TAKEN).is_ok());
}
