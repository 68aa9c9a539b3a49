//! New pods beside old ones: what the old job is never stopped for.

use serde_json::json;
use weir_crd::{Condition, ConditionStatus, Step, UpgradeStrategy};

use super::model::{World, runs_newest, stable, turns, until};
use crate::annotation;

fn is_warming(world: &World) -> bool {
    let operation = world.status.operation.as_ref();
    operation.is_some_and(|operation| operation.step == Step::Warming)
}

fn condition<'a>(world: &'a World, kind: &str) -> &'a Condition {
    let mut conditions = world.status.conditions.iter();
    let found = conditions.find(|condition| condition.kind == kind);
    found.unwrap_or_else(|| panic!("no condition {kind}"))
}

fn is_degraded(world: &World) -> bool {
    condition(world, "Degraded").status == ConditionStatus::True
}

#[test]
fn an_image_that_cant_be_had_leaves_the_old_job_alone_and_is_tried_again() {
    for strategy in ["PreWarm", "Recreate"] {
        let mut world = stable(1);
        let (claims, old) = (world.claims.len(), world.status.deployment);
        world.no_image = Some("1".to_owned());
        world.edit("upgrade/strategy", json!(strategy));
        world.edit("job/args/v", json!("1"));
        // While the new pods are waited for, not only once they are given up.
        until(&mut world, is_degraded);
        assert!(is_warming(&world), "{strategy}: {:#?}", world.status);
        let first = condition(&world, "Degraded");
        assert_eq!(first.reason, "PodNotRunning", "{}", first.message);
        assert!(first.message.contains("ImagePullBackOff"));
        until(&mut world, |world| world.status.retry.is_some());
        turns(&mut world, 3);
        assert_eq!(
            world.claims.len(),
            claims,
            "{strategy}: it was started anew"
        );
        assert_eq!(world.status.deployment, old);
        assert!(world.runs().is_some());
        let degraded = condition(&world, "Degraded");
        assert_eq!(degraded.status, ConditionStatus::True);
        let text = &degraded.message;
        assert!(text.contains("ImagePullBackOff"), "{strategy}: {text}");
        world.no_image = None;
        until(&mut world, runs_newest);
        assert!(!is_degraded(&world));
    }
}

#[test]
fn an_image_that_comes_in_time_is_told_no_more_while_the_rest_is_waited_for() {
    let mut world = stable(8);
    world.no_image = Some("1".to_owned());
    world.edit("job/args/v", json!("1"));
    until(&mut world, is_degraded);
    world.no_image = None;
    world.storage_is_down = true;
    turns(&mut world, 5);
    assert!(is_warming(&world));
    let degraded = condition(&world, "Degraded");
    assert_eq!(degraded.reason, "AsExpected", "{}", degraded.message);
}

#[test]
fn a_secret_that_is_missing_is_named_and_told_until_there_is_one() {
    for strategy in ["PreWarm", "Recreate"] {
        let mut world = stable(9);
        let (claims, old) = (world.claims.len(), world.status.deployment);
        let secret = "MountVolume.SetUp failed for volume \"s3\" : secret \"keys\" not found";
        world.no_mount = Some(("1".to_owned(), secret.to_owned()));
        world.edit("upgrade/strategy", json!(strategy));
        world.edit("job/args/v", json!("1"));
        let is_told = |world: &World| condition(world, "Accepted").reason == "SecretMissing";
        until(&mut world, is_told);
        let accepted = condition(&world, "Accepted").clone();
        assert_eq!(accepted.status, ConditionStatus::False);
        for part in [
            "Secret keys,",
            "kubectl create secret generic keys -n default",
            "goes on unchanged",
        ] {
            assert!(accepted.message.contains(part), "{}", accepted.message);
        }
        assert_eq!(condition(&world, "Degraded").status, ConditionStatus::True);
        // Attempts follow each other, and it is told once.
        for _ in 0..400 {
            turns(&mut world, 1);
            assert!(is_told(&world), "{:#?}", world.status);
        }
        assert!(world.told.contains(&"NotWarmedUp"));
        let told = world.told.iter();
        assert_eq!(told.filter(|told| **told == "SpecRefused").count(), 1);
        assert_eq!((world.claims.len(), world.status.deployment), (claims, old));
        assert!(world.runs().is_some());
        world.no_mount = None;
        until(&mut world, runs_newest);
        assert_eq!(condition(&world, "Accepted").reason, "Valid");
        assert_eq!(condition(&world, "Degraded").status, ConditionStatus::False);
    }
}

#[test]
fn another_spec_is_not_told_of_a_secret_that_the_last_one_missed() {
    let mut world = stable(10);
    let secret = "secret \"keys\" not found".to_owned();
    world.no_mount = Some(("1".to_owned(), secret));
    world.edit("job/args/v", json!("1"));
    until(&mut world, |world| world.status.retry.is_some());
    assert_eq!(condition(&world, "Accepted").reason, "SecretMissing");
    world.edit("job/args/v", json!("2"));
    turns(&mut world, 1);
    assert_eq!(condition(&world, "Accepted").reason, "Valid");
    until(&mut world, runs_newest);
}

#[test]
fn without_room_for_all_the_upgrade_goes_on_with_one_jobmanager_or_not_at_all() {
    for fallback in ["Recreate", "None"] {
        let mut world = stable(2);
        // The old two, and the new JobManager.
        world.room = 3;
        let claims = world.claims.len();
        world.edit("upgrade/preWarmFallback", json!(fallback));
        world.edit("job/args/v", json!("1"));
        let mut effective = None;
        for _ in 0..300 {
            turns(&mut world, 1);
            let operation = world.status.operation.as_ref();
            let now = operation.filter(|operation| operation.step == Step::Removing);
            effective =
                effective.or_else(|| now.and_then(|operation| operation.effective_strategy));
        }
        if fallback == "Recreate" {
            assert_eq!(effective, Some(UpgradeStrategy::Recreate));
            assert!(world.told.contains(&"StrategyChanged"));
            assert!(runs_newest(&world), "{:#?}", world.status);
        } else {
            assert_eq!(world.claims.len(), claims);
            assert!(world.told.contains(&"NotWarmedUp"));
        }
    }
}

#[test]
fn a_storage_that_is_away_holds_the_upgrade_up_for_as_long_as_it_takes() {
    let mut world = stable(3);
    let claims = world.claims.len();
    world.storage_is_down = true;
    world.edit("job/args/v", json!("1"));
    turns(&mut world, 600);
    assert!(is_warming(&world));
    assert_eq!(world.claims.len(), claims);
    assert!(world.runs().is_some(), "the old job runs on");
    let storage = condition(&world, "StorageReachable");
    assert_eq!(storage.status, ConditionStatus::False);
    world.storage_is_down = false;
    until(&mut world, runs_newest);
    let storage = condition(&world, "StorageReachable");
    assert_eq!(storage.status, ConditionStatus::True);
}

#[test]
fn a_newer_spec_takes_the_place_of_one_that_is_warm_and_never_its_number() {
    for versions in [["1", "2"], ["1", "0"]] {
        let mut world = stable(4);
        world.storage_is_down = true;
        let claims = world.claims.len();
        world.edit("job/args/v", json!(versions[0]));
        until(&mut world, is_warming);
        turns(&mut world, 5);
        let warm = world
            .status
            .operation
            .as_ref()
            .and_then(|o| o.to_deployment);
        world.edit("job/args/v", json!(versions[1]));
        turns(&mut world, 20);
        world.storage_is_down = false;
        until(&mut world, runs_newest);
        turns(&mut world, 20);
        let back = versions[1] == "0";
        assert_eq!(
            world.claims.len(),
            claims + usize::from(!back),
            "{versions:?}"
        );
        assert_ne!(world.status.deployment, warm);
        assert_eq!(world.pod_count(), 2, "the warm pods are gone");
    }
}

#[test]
fn a_person_may_end_the_warming_and_the_revision_waits_for_another_spec() {
    let mut world = stable(5);
    world.storage_is_down = true;
    let claims = world.claims.len();
    world.edit("job/args/v", json!("1"));
    until(&mut world, is_warming);
    let id = world.status.operation.as_ref().map(|o| o.id.clone());
    let name = annotation::ABORT_OPERATION.to_owned();
    world.annotations.insert(name, id.expect("an operation"));
    turns(&mut world, 5);
    world.storage_is_down = false;
    turns(&mut world, 60);
    assert_eq!(world.claims.len(), claims);
    assert_eq!(world.status.operation, None);
    assert_eq!(world.pod_count(), 2);
    let failed = world.status.failed_revision.clone();
    assert_eq!(failed, Some(crate::revision(&world.spec()).whole));
}

#[test]
fn a_rollback_that_would_rewind_stalls_until_a_person_knows_better() {
    let mut world = stable(6);
    world.edit("job/args/v", json!("1"));
    until(&mut world, runs_newest);
    // The new revision has gone on, in a way that the old one can't follow; then it breaks.
    turns(&mut world, 5);
    world.incompatible = Some("0".to_owned());
    world.broken = Some("1".to_owned());
    let claims = world.claims.len();
    until(&mut world, |world| {
        condition(world, "Stalled").status == ConditionStatus::True
    });
    let stalled = condition(&world, "Stalled");
    assert_eq!(stalled.reason, "RollbackWouldRewind", "{}", stalled.message);
    assert!(
        stalled.message.contains("spec.restore"),
        "{}",
        stalled.message
    );
    assert_eq!(world.claims.len(), claims, "nothing was started");
    world.edit("job/args/v", json!("2"));
    until(&mut world, runs_newest);
    assert_eq!(condition(&world, "Stalled").status, ConditionStatus::False);
}

#[test]
fn a_lease_that_somebody_deletes_comes_back_and_the_leader_never_stops() {
    let mut world = stable(7);
    let claims = world.claims.len();
    world.delete_leases();
    turns(&mut world, 5);
    assert!(world.has_lease(world.status.deployment.expect("one runs")));
    assert_eq!(world.claims.len(), claims);
    assert!(world.runs().is_some());
}

/// They are made once the old job has stopped: then it is too late to find out.
#[test]
fn taskmanagers_that_would_be_refused_do_not_stop_a_job_that_makes_room_for_them() {
    let mut world = stable(3);
    let (claims, old) = (world.claims.len(), world.status.deployment);
    world.no_workers = Some("1".to_owned());
    world.edit("upgrade/strategy", json!("Recreate"));
    world.edit("job/args/v", json!("1"));
    until(&mut world, |world| world.status.retry.is_some());
    turns(&mut world, 3);
    assert_eq!(world.claims.len(), claims, "it was started anew");
    assert_eq!(world.status.deployment, old);
    let degraded = condition(&world, "Degraded");
    let text = &degraded.message;
    assert!(text.contains("no such TaskManagers"), "{text}");
    world.no_workers = None;
    until(&mut world, runs_newest);
    assert!(!is_degraded(&world));
}
