use serde_json::json;
use weir_controller::RunState;

use super::*;

fn pod(value: Value) -> Pod {
    serde_json::from_value(value).expect("a pod")
}

#[test]
fn a_jobmanagers_last_words_are_read_from_its_pod() {
    let message = json!({
        "runState": { "state": "Stopped", "operation": "upgrade-1" },
        "deployment": 1,
        "epoch": 2,
        "latest": { "id": 9, "path": "s3://b/j/savepoint-2-9", "atMs": 5, "operation": "upgrade-1" },
    });
    let view = pod_view(&pod(json!({
        "metadata": {
            "name": "x-j1-0",
            "labels": { "weir.dev/component": "jobmanager", "weir.dev/deployment": "1" },
        },
        "status": {
            "phase": "Running",
            "conditions": [{ "type": "Ready", "status": "False" }],
            "containerStatuses": [{
                "name": "main", "ready": false, "restartCount": 1, "image": "", "imageID": "",
                "state": { "waiting": { "reason": "CrashLoopBackOff", "message": "back-off" } },
                "lastState": { "terminated": { "exitCode": 1, "message": message.to_string() } },
            }],
        },
    })));
    let view = view.expect("one of ours");
    let report = view.ended.and_then(|ended| ended.report).expect("a report");
    assert_eq!(
        report.run_state,
        Some(RunState::Stopped("upgrade-1".to_owned()))
    );
    assert_eq!(report.latest.map(|latest| latest.id), Some(9));
    assert_eq!(
        view.trouble.map(|trouble| trouble.reason).as_deref(),
        Some("CrashLoopBackOff")
    );
}

/// Its node has taken its network away: a question is answered by nothing, not even by a refusal,
/// and holds up whoever asks.
#[test]
fn a_jobmanager_that_is_being_deleted_and_has_no_say_any_more_is_not_asked() {
    let record = pod_record(&pod(json!({
        "metadata": {
            "name": "x-j1-0",
            "labels": { "weir.dev/component": "jobmanager", "weir.dev/deployment": "1" },
            "deletionTimestamp": "2026-11-29T10:00:00Z",
        },
        "status": { "phase": "Running", "podIP": "10.0.0.1" },
    })));
    let asked = |now| candidates(std::slice::from_ref(&record), now).len();
    assert_eq!((asked(Some(2)), asked(Some(1)), asked(None)), (0, 1, 1));
}

#[test]
fn the_marked_jobmanager_of_the_newest_deployment_is_asked_first() {
    let make = |name: &str, deployment: &str, leads: bool| {
        let mut labels = json!({
            "weir.dev/component": "jobmanager", "weir.dev/deployment": deployment,
        });
        if leads {
            labels["weir.dev/leader"] = Value::from("true");
        }
        pod(json!({
            "metadata": { "name": name, "labels": labels },
            "status": { "phase": "Running", "podIP": "10.0.0.1" },
        }))
    };
    let pods = [
        make("x-j1-0", "1", true),
        make("x-j2-0", "2", false),
        make("x-j2-1", "2", true),
    ];
    let pods = pods.each_ref().map(pod_record);
    let order: Vec<_> = candidates(&pods, Some(2))
        .into_iter()
        .map(|found| found.pod)
        .collect();
    assert_eq!(order, ["x-j2-1", "x-j2-0", "x-j1-0"]);
}

#[test]
fn a_spec_that_cant_be_read_is_told_and_a_newer_status_is_not_lost() {
    let job = |spec: Value, status: Value| -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "weir.dev/v1alpha1", "kind": "StreamJob",
            "metadata": { "name": "x", "namespace": "n", "uid": "u", "generation": 3 },
            "spec": spec, "status": status,
        }))
        .expect("an object")
    };
    let view = job_view(&job(
        json!({ "job": 1 }),
        json!({ "deployment": 4, "newer": true }),
    ));
    assert!(
        view.spec
            .is_err_and(|error| error.contains("can't be read"))
    );
    assert_eq!(view.status.deployment, Some(4));
}

#[test]
fn a_kept_spec_says_how_new_it_is() {
    let kept: ControllerRevision = serde_json::from_value(json!({
        "metadata": {
            "name": "x-r", "annotations": { names::REVISION_ANNOTATION: "r" },
            "ownerReferences": [
                { "apiVersion": "weir.dev/v1alpha1", "kind": "StreamJob", "name": "x", "uid": "u" },
            ],
        },
        "revision": 4,
        "data": { "spec": { "job": { "program": "p" } } },
    }))
    .expect("a ControllerRevision");
    let kept = kept_spec(&kept).expect("it can be read");
    assert_eq!((kept.revision.as_str(), kept.number), ("r", 4));
}
