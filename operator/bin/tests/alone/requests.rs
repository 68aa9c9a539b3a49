//! What goes wrong with an operation, and what people and other programs do to a job's objects.

use std::time::Duration;

use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use weir_controller::annotation;
use weir_crd::{ConditionStatus, StreamJobStatus};
use weir_types::{Clock, SystemClock};

use crate::matrix::{go_on, is_settled, reach, settle, stable};
use crate::process::start;
use crate::server::server;
use crate::world::{JOB, World};

fn version_1() -> Value {
    json!({ "job": { "args": { "v": "1" } } })
}

fn holds(status: &StreamJobStatus, kind: &str) -> bool {
    let mut conditions = status.conditions.iter();
    conditions.any(|found| found.kind == kind && found.status == ConditionStatus::True)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_whose_savepoint_fails_leaves_the_job_alone_and_is_tried_again() {
    let world = stable(&json!({ "upgrade": { "fallback": "None" } })).await;
    world.inside().storage.troubles.savepoints_fail = true;
    let claims = world.inside().storage.claims.len();
    world.edit(&version_1()).await;
    let is_put_off = async |world: &World| world.status().await.retry.is_some();
    reach(&world, "an attempt that fails", is_put_off).await;
    let status = world.status().await;
    assert!(status.retry.is_some(), "{:?}", status.operation);
    assert!(holds(&status, "Degraded"), "{:?}", status.conditions);
    assert_eq!(
        world.inside().storage.claims.len(),
        claims,
        "the old job goes on"
    );
    assert!(
        world
            .inside()
            .managers
            .values()
            .any(|m| m.leads() && m.version == "0")
    );
    world.inside().storage.troubles.savepoints_fail = false;
    world.clock.skip(60_000);
    settle(&world, "the next attempt").await;
    let claim = world
        .inside()
        .storage
        .claims
        .last()
        .cloned()
        .expect("a claim");
    let taken = claim.restored.and_then(|snapshot| snapshot.operation);
    assert!(taken.is_some_and(|name| name.starts_with("upgrade-")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_whose_savepoint_fails_goes_on_from_the_newest_checkpoint_if_it_may() {
    let world = stable(&json!({ "upgrade": { "fallback": "LastState" } })).await;
    world.inside().storage.troubles.savepoints_fail = true;
    world.edit(&version_1()).await;
    settle(&world, "a fallback").await;
    let claim = world
        .inside()
        .storage
        .claims
        .last()
        .cloned()
        .expect("a claim");
    assert!(claim.restored.is_some());
    assert_eq!(claim.restored, claim.newest);
    assert_eq!(claim.told, "latest");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_can_not_go_on_from_the_state_is_refused_before_the_job_stops() {
    let world = stable(&json!({})).await;
    world.inside().storage.troubles.incompatible = Some("1".to_owned());
    let claims = world.inside().storage.claims.len();
    world.edit(&version_1()).await;
    let is_refused = async |world: &World| {
        let status = world.status().await;
        let mut conditions = status.conditions.iter();
        let refused = ConditionStatus::False;
        conditions.any(|found| found.kind == "StateCompatible" && found.status == refused)
    };
    reach(&world, "an upgrade that is refused", is_refused).await;
    go_on(&world, 3).await;
    let status = world.status().await;
    assert_eq!(
        world.inside().storage.claims.len(),
        claims,
        "nothing was stopped"
    );
    assert!(
        world
            .inside()
            .managers
            .values()
            .any(|m| m.leads() && m.version == "0")
    );
    let message = status
        .conditions
        .iter()
        .find(|found| found.kind == "StateCompatible");
    let message = message.map(|found| (found.status, found.message.clone()));
    let (holds, text) = message.expect("a condition");
    assert_eq!(holds, ConditionStatus::False);
    assert!(text.contains("another kind of state"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_savepoint_that_the_jobmanager_refuses_is_given_up_at_once_with_its_words() {
    let world = stable(&json!({})).await;
    world.inside().storage.troubles.refuses = true;
    world.annotate(annotation::SAVEPOINT_NONCE, "7").await;
    let is_handled = async |world: &World| {
        let handled = world.status().await.handled.savepoint;
        handled.as_deref() == Some("7")
    };
    reach(&world, "a savepoint that is refused", is_handled).await;
    let status = world.status().await;
    let last = status.savepoint.and_then(|savepoint| savepoint.last);
    let error = last.and_then(|last| last.error);
    assert_eq!(error.as_deref(), Some("the job takes no snapshots"));
    let told = world.inside().told.clone();
    let asked = told.iter().filter(|told| told.ends_with("savepoint-7"));
    assert_eq!(asked.count(), 1, "{told:?}");
}

/// The operator reads no Secret: it knows from the pod's node which one is missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_missing_is_named_while_the_job_runs_on_until_there_is_one() {
    let world = stable(&json!({})).await;
    let claims = world.inside().storage.claims.len();
    let missing = "MountVolume.SetUp failed for volume \"s3\" : secret \"weir-keys\" not found";
    world.inside().no_mount = Some(missing.to_owned());
    world.edit(&version_1()).await;
    let is_told = async |world: &World| {
        condition(world, "Accepted").await.0 == ConditionStatus::False
            && condition(world, "Degraded").await.0 == ConditionStatus::True
    };
    reach(&world, "a Secret that is missed", is_told).await;
    let accepted = condition(&world, "Accepted").await;
    assert_eq!(accepted.0, ConditionStatus::False, "{accepted:?}");
    assert_eq!(accepted.1, "SecretMissing");
    assert!(accepted.2.contains("Secret weir-keys"), "{accepted:?}");
    let degraded = condition(&world, "Degraded").await;
    assert_eq!(degraded.0, ConditionStatus::True, "{degraded:?}");
    assert!(degraded.2.contains("FailedMount"), "{degraded:?}");
    assert_eq!(world.inside().storage.claims.len(), claims);
    world.inside().no_mount = None;
    settle(&world, "there is a Secret").await;
    let accepted = condition(&world, "Accepted").await;
    assert_eq!(accepted.0, ConditionStatus::True, "{accepted:?}");
    let degraded = condition(&world, "Degraded").await;
    assert_eq!(degraded.0, ConditionStatus::False, "{degraded:?}");
}

async fn is_refused(world: &World) -> bool {
    condition(world, "Degraded").await.1 == "PodRefused"
}

/// The API server looks into a template only once a pod is made of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_no_pod_can_have_is_told_and_the_job_starts_once_it_is_mended() {
    let mount = json!({ "name": "main", "volumeMounts": [{ "name": "x", "mountPath": "/x" }] });
    for (template, word) in [
        // A volume that is not there, and values of another type.
        (json!({ "spec": { "containers": [mount] } }), "volumeMounts"),
        (
            json!({ "spec": { "nodeSelector": { "disk": 1 } } }),
            "nodeSelector",
        ),
        (json!({ "metadata": { "labels": { "team": 1 } } }), "Pod x-"),
    ] {
        let world = World::new().await;
        world.create(&json!({ "podTemplate": template })).await;
        reach(&world, "pods that are refused", is_refused).await;
        let degraded = condition(&world, "Degraded").await;
        assert!(degraded.2.contains(word), "{degraded:?}");
        assert_eq!(world.names("", "Pod").await, Vec::<String>::new());
        world.edit(&json!({ "podTemplate": null })).await;
        settle(&world, "a template that is mended").await;
        let degraded = condition(&world, "Degraded").await;
        assert_eq!(degraded.0, ConditionStatus::False, "{degraded:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_refused_is_told_and_the_job_starts_once_it_is_not() {
    let world = World::new().await;
    // Its address can't be taken from it.
    let foreign = json!({
        "metadata": { "name": "x-j1" },
        "spec": { "ports": [{ "name": "rpc", "port": 6123 }] },
    });
    let foreign = serde_json::from_value(foreign).expect("a Service");
    let services = world.api("", "v1", "Service");
    let made = services.create(&PostParams::default(), &foreign).await;
    made.expect("a Service");
    world.create(&json!({})).await;
    reach(&world, "an object that is refused", is_refused).await;
    let degraded = condition(&world, "Degraded").await;
    assert!(degraded.2.contains("x-j1"), "{degraded:?}");
    assert_eq!(world.names("", "Pod").await, Vec::<String>::new());
    let deleted = services.delete("x-j1", &DeleteParams::default()).await;
    deleted.expect("deleted");
    settle(&world, "nothing is in the way").await;
    let degraded = condition(&world, "Degraded").await;
    assert_eq!(degraded.0, ConditionStatus::False, "{degraded:?}");
}

/// What somebody else has written into an object may be in the way of what belongs there.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_refused_keeps_no_lost_pod_from_being_made_again() {
    let world = stable(&json!({})).await;
    let services = world.api("", "v1", "Service");
    // No two ports of a Service can have one name.
    let theirs = json!({ "spec": { "ports": [{ "name": "rest", "port": 9999 }] } });
    let (params, theirs) = (PatchParams::default(), Patch::Merge(&theirs));
    let patched = services.patch("x-rest", &params, &theirs).await;
    patched.expect("patched");
    reach(&world, "a Service that is refused", is_refused).await;
    let degraded = condition(&world, "Degraded").await;
    assert!(degraded.2.contains("x-rest"), "{degraded:?}");
    let pod = "x-t1-0";
    world.end_pod(pod).await;
    let pods = world.api("", "v1", "Pod");
    let is_back = async |_: &World| pods.get_opt(pod).await.expect("an answer").is_some();
    reach(&world, "the pod is back", is_back).await;
    assert!(is_refused(&world).await, "it is still told");
    let deleted = services.delete("x-rest", &DeleteParams::default()).await;
    deleted.expect("deleted");
    settle(&world, "nothing is in the way").await;
    let degraded = condition(&world, "Degraded").await;
    assert_eq!(degraded.0, ConditionStatus::False, "{degraded:?}");
}

/// What stands around the job's pods: of each object what the spec says of it.
async fn surroundings(world: &World) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (group, kind, part) in [
        ("", "Service", "/spec/ports"),
        ("policy", "PodDisruptionBudget", "/spec/minAvailable"),
        ("networking.k8s.io", "NetworkPolicy", "/spec/ingress"),
    ] {
        let api = world.api(group, "v1", kind);
        let objects = api.list(&ListParams::default()).await.expect("a list");
        for object in objects {
            let said = object.data.pointer(part).cloned();
            let name = format!("{kind} {}", object.name_any());
            found.push((name, said.unwrap_or_default()));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_is_refused_changes_nothing_that_stands_around_the_job() {
    let world = stable(&json!({})).await;
    let has_port = async |world: &World, port: u16| {
        let rest = world.api("", "v1", "Service").get_opt("x-rest").await;
        let rest = rest.expect("an answer");
        rest.is_some_and(|rest| rest.data["spec"]["ports"][0]["port"] == port)
    };
    // It makes no other revision, so the spec that is kept has nothing of it.
    let peers = json!({ "restFrom": [{ "ipBlock": { "cidr": "10.0.0.0/8" } }] });
    let edit = json!({
        "ui": { "port": 9000 }, "pdb": { "enabled": false }, "networkPolicy": peers,
    });
    world.edit(&edit).await;
    reach(&world, "an edit that is accepted", async |world| {
        has_port(world, 9000).await && is_settled(world).await
    })
    .await;
    go_on(&world, 2).await;
    let before = surroundings(&world).await;
    let edit = json!({
        "job": { "maxParallelism": 64 },
        "ui": { "port": 7000 },
        "pdb": { "enabled": true },
        "networkPolicy": { "enabled": false },
    });
    world.edit(&edit).await;
    reach(&world, "an edit that is refused", async |world| {
        condition(world, "Accepted").await.1 == "Invalid"
    })
    .await;
    go_on(&world, 2).await;
    assert_eq!(surroundings(&world).await, before);
    // What is lost meanwhile comes back as it was.
    let services = world.api("", "v1", "Service");
    let deleted = services.delete("x-rest", &DeleteParams::default()).await;
    deleted.expect("deleted");
    reach(&world, "the Service is back", async |world| {
        has_port(world, 9000).await
    })
    .await;
    assert_eq!(surroundings(&world).await, before);
    world
        .edit(&json!({ "job": { "maxParallelism": null } }))
        .await;
    reach(&world, "the edit is mended", async |world| {
        has_port(world, 7000).await && is_settled(world).await
    })
    .await;
    let after = surroundings(&world).await;
    let of = |kind: &str| {
        after
            .iter()
            .filter(|(name, _)| name.starts_with(kind))
            .count()
    };
    assert_eq!((of("PodDisruptionBudget"), of("NetworkPolicy")), (2, 0));
}

async fn condition(world: &World, kind: &str) -> (ConditionStatus, String, String) {
    let status = world.status().await;
    let mut conditions = status.conditions.into_iter();
    let found = conditions.find(|found| found.kind == kind);
    let found = found.expect("a condition");
    (found.status, found.reason, found.message)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_cannot_be_reached_holds_an_upgrade_up_and_never_starts_empty() {
    let world = stable(&json!({})).await;
    world.inside().storage.troubles.unreachable = true;
    let claims = world.inside().storage.claims.len();
    world.edit(&version_1()).await;
    go_on(&world, 8).await;
    assert_eq!(world.inside().storage.claims.len(), claims);
    assert!(
        world
            .inside()
            .managers
            .values()
            .any(|m| m.leads() && m.version == "0")
    );
    world.inside().storage.troubles.unreachable = false;
    settle(&world, "the storage is back").await;
    let claim = world
        .inside()
        .storage
        .claims
        .last()
        .cloned()
        .expect("a claim");
    assert!(
        claim.restored.is_some() && claim.restored == claim.newest,
        "{claim:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_operator_has_begun_is_left_alone_and_told() {
    let world = stable(&json!({})).await;
    let mut job = world.job().await.expect("it is there");
    job.data["status"]["operation"] = json!({
        "id": "migrate-1", "type": "Migrate", "step": "Folding", "reason": "new",
        "targetGeneration": 1, "startedAt": "2026-01-01T00:00:00Z",
        "stepStartedAt": "2026-01-01T00:00:00Z",
    });
    let params = PostParams::default();
    let written = world.jobs().replace_status(JOB, &params, &job).await;
    written.expect("the definition is of a newer version");
    world.edit(&version_1()).await;
    let claims = world.inside().storage.claims.len();
    go_on(&world, 6).await;
    assert_eq!(world.inside().storage.claims.len(), claims);
    let job = world.job().await.expect("it is there");
    assert_eq!(job.data["status"]["operation"]["type"], "Migrate");
    let conditions = job.data["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let stalled = conditions.iter().find(|found| found["type"] == "Stalled");
    assert_eq!(stalled.map(|found| &found["status"]), Some(&json!("True")));
}

/// The job's objects, by group, version, kind and name.
const OBJECTS: [(&str, &str, &str); 8] = [
    ("", "ConfigMap", "x-d1"),
    ("", "Service", "x-j1"),
    ("", "Service", "x-rest"),
    ("", "ServiceAccount", "x-weir"),
    ("rbac.authorization.k8s.io", "Role", "x-d1"),
    ("rbac.authorization.k8s.io", "RoleBinding", "x-d1"),
    ("policy", "PodDisruptionBudget", "x-d1-jobmanager"),
    ("networking.k8s.io", "NetworkPolicy", "x"),
];

/// A process of the operator that has seen that there is nothing to do sees that there is again.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_object_that_somebody_deletes_or_edits_is_put_right_within_five_seconds() {
    let server = server().await;
    let world = World::new().await;
    world.create(&json!({})).await;
    let namespace = world.namespace.clone();
    let process = spawn_blocking(move || start(&server.kubeconfig("operator-a"), "a", &namespace));
    let process = process.await.expect("it starts");
    let begun = SystemClock.unix_ms();
    while !is_settled(&world).await {
        assert!(
            SystemClock.unix_ms() - begun < 60_000,
            "{}",
            process.stderr()
        );
        world.tick().await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for (group, kind, name) in OBJECTS {
        let api = world.api(group, "v1", kind);
        let before = api.get(name).await.expect("it is there");
        api.delete(name, &DeleteParams::default())
            .await
            .expect("deleted");
        until(&format!("{kind} {name} is back"), async || {
            let found = api.get_opt(name).await.expect("an answer");
            found.is_some_and(|found| found.uid() != before.uid())
        })
        .await;
        let foreign = json!({ "metadata": {
            "labels": { "theirs": "1", "weir.dev/job": "other" },
        } });
        let params = PatchParams::default();
        let edited = api.patch(name, &params, &Patch::Merge(&foreign)).await;
        edited.expect("edited");
        until(&format!("{kind} {name} is put right"), async || {
            let found = api.get(name).await.expect("it is there");
            let labels = found.labels();
            assert_eq!(
                labels.get("theirs").map(String::as_str),
                Some("1"),
                "{labels:?}"
            );
            labels.get("weir.dev/job").map(String::as_str) == Some(JOB)
        })
        .await;
    }
    let pod = "x-t1-0";
    world.end_pod(pod).await;
    let pods = world.api("", "v1", "Pod");
    until("the pod is back", async || {
        pods.get_opt(pod).await.expect("an answer").is_some()
    })
    .await;
}

async fn until(what: &str, so: impl AsyncFn() -> bool) {
    let begun = SystemClock.unix_ms();
    while !so().await {
        assert!(
            SystemClock.unix_ms() - begun < 5_000,
            "{what}: not within five seconds"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// They are made once the old job has stopped: then it is too late to find out.
#[tokio::test(flavor = "multi_thread")]
async fn taskmanagers_that_would_be_refused_do_not_stop_a_job_that_makes_room_for_them() {
    let world = stable(&json!({})).await;
    let limit = json!({
        "metadata": { "name": "limit" },
        "spec": { "limits": [{ "type": "Container", "max": { "memory": "32Gi" } }] },
    });
    let limit = serde_json::from_value(limit).expect("a LimitRange");
    let limits = world.api("", "v1", "LimitRange");
    let made = limits.create(&PostParams::default(), &limit).await;
    made.expect("a LimitRange");
    let claims = world.inside().storage.claims.len();
    world
        .edit(&json!({
            "job": { "args": { "v": "1" } },
            "taskManager": { "resources": { "limits": { "memory": "64Gi" } } },
        }))
        .await;
    reach(&world, "pods that would be refused", is_refused).await;
    let degraded = condition(&world, "Degraded").await;
    assert!(degraded.2.contains("32Gi"), "{degraded:?}");
    assert!(world.names("", "Pod").await.contains(&"x-t1-0".to_owned()));
    assert_eq!(
        world.inside().storage.claims.len(),
        claims,
        "it was started anew"
    );
    let deleted = limits.delete("limit", &DeleteParams::default()).await;
    deleted.expect("deleted");
    settle(&world, "nothing is in the way").await;
    assert_eq!(world.inside().storage.claims.len(), claims + 1);
}
