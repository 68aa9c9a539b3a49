//! Bugs that other operators had, each as a test that would find it here. `docs/reliability.md`
//! lists them, with those that other tests are about.

use serde_json::{Value, json};
use weir_controller::{RunState, annotation};
use weir_crd::{Phase, SnapshotState};

use crate::budget::Budget;
use crate::matrix::{drive, go_on, reach, settle, stable};
use crate::storage::Claim;
use crate::world::World;

fn version(v: &str) -> Value {
    json!({ "job": { "args": { "v": v } } })
}

fn last_claim(world: &World) -> Claim {
    world
        .inside()
        .storage
        .claims
        .last()
        .expect("a claim")
        .clone()
}

fn check(world: &World) {
    let inside = world.inside();
    assert_eq!(inside.violations, Vec::<String>::new());
    assert!(
        inside.storage.taken.values().all(|times| *times == 1),
        "{:?}",
        inside.storage.taken
    );
}

/// FLINK-39270: a JobManager that was slow to end left its own record of the newest state behind,
/// which the operator preferred to the savepoint that it had recorded.
#[tokio::test(flavor = "multi_thread")]
async fn a_jobmanager_that_is_slow_to_stop_is_waited_for_and_its_savepoint_restored() {
    let world = stable(&json!({})).await;
    world.inside().storage.troubles.slow_stop = 10;
    world.edit(&version("1")).await;
    settle(&world, "a slow stop").await;
    let restored = last_claim(&world).restored.expect("a snapshot");
    assert!(
        restored
            .operation
            .is_some_and(|name| name.starts_with("upgrade-"))
    );
    let stops = world
        .inside()
        .told
        .iter()
        .filter(|told| told.contains("/stop"))
        .count();
    assert!(
        stops > 2,
        "it is asked again and again, under the same name"
    );
    check(&world);
}

/// FLINK-30527: with another format of the state, an upgrade from the last checkpoint lost it.
#[tokio::test(flavor = "multi_thread")]
async fn another_state_version_takes_a_savepoint_although_the_mode_is_last_state() {
    let spec = json!({ "stateVersion": "1", "upgrade": { "mode": "LastState" } });
    let world = stable(&spec).await;
    let mut edit = version("1");
    edit["stateVersion"] = json!("2");
    world.edit(&edit).await;
    settle(&world, "another state version").await;
    let restored = last_claim(&world).restored.expect("a snapshot");
    assert!(
        restored
            .operation
            .is_some_and(|name| name.starts_with("upgrade-"))
    );
}

/// FLINK-35857: a job that had failed was started again under a new id, with no state.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_has_failed_and_is_started_again_goes_on_from_its_newest_state() {
    let world = stable(&json!({})).await;
    end_job(&world, RunState::Failed).await;
    assert_eq!(world.status().await.phase, Some(Phase::Failed));
    world.edit(&json!({ "restartNonce": 1 })).await;
    settle(&world, "a restart").await;
    let claim = last_claim(&world);
    assert!(claim.restored.is_some());
    assert_eq!(claim.restored, claim.newest);
}

async fn end_job(world: &World, how: RunState) {
    {
        let inside = &mut *world.inside();
        let manager = inside.managers.values_mut().find(|manager| manager.leads());
        inside.storage.finish(manager.expect("it runs"), how);
    }
    world.show_ends().await;
    go_on(world, 6).await;
}

/// FLINK-33522: the savepoint was complete, then the job failed as it stopped, and the savepoint
/// was forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_while_it_stops_goes_on_from_the_savepoint_it_has_taken() {
    let world = stable(&json!({ "upgrade": { "fallback": "LastState" } })).await;
    world.inside().storage.troubles.fail_after_savepoint = true;
    world.edit(&version("1")).await;
    settle(&world, "an upgrade whose stop fails").await;
    let restored = last_claim(&world).restored.expect("a snapshot");
    assert!(
        restored
            .operation
            .is_some_and(|name| name.starts_with("upgrade-"))
    );
    check(&world);
}

/// FLINK-26577: a switch from stateless to last-state lost what the job had by then.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_stateless_keeps_its_state_from_the_moment_the_mode_says_so() {
    let spec = json!({ "upgrade": { "mode": "Stateless", "confirmStateLoss": true } });
    let world = stable(&spec).await;
    let mut edit = version("1");
    edit["upgrade"] = json!({ "mode": "LastState" });
    world.edit(&edit).await;
    settle(&world, "a switch of modes").await;
    let claim = last_claim(&world);
    assert!(claim.restored.is_some());
    assert_eq!(claim.restored, claim.newest);
}

/// FLINK-33107, FLINK-30444: a rollback used the mode of the version that had failed, or no state.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_goes_on_from_the_newest_state_whatever_the_mode() {
    for mode in ["Savepoint", "LastState"] {
        let world = stable(&json!({ "upgrade": { "mode": mode } })).await;
        world.inside().storage.troubles.broken = Some("1".to_owned());
        world.edit(&version("1")).await;
        settle(&world, mode).await;
        let claim = last_claim(&world);
        assert!(claim.restored.is_some(), "{mode}");
        assert_eq!(claim.restored, claim.newest, "{mode}");
        let runs = world
            .inside()
            .managers
            .values()
            .any(|manager| manager.version == "0");
        assert!(runs, "{mode}: the old version runs again");
        check(&world);
    }
}

/// FLINK-38049: a stateless job that was submitted again went on from the last state, and the other
/// way round.
#[tokio::test(flavor = "multi_thread")]
async fn a_stateless_upgrade_starts_empty_and_a_jobmanager_that_comes_back_does_not() {
    let spec = json!({ "upgrade": { "mode": "Stateless", "confirmStateLoss": true } });
    let world = stable(&spec).await;
    world.edit(&version("1")).await;
    settle(&world, "a stateless upgrade").await;
    assert_eq!(last_claim(&world).restored, None);
    let manager = world.leader();
    world.end_pod(&manager).await;
    go_on(&world, 4).await;
    settle(&world, "a lost JobManager").await;
    let claim = last_claim(&world);
    assert!(!claim.first && claim.restored.is_some(), "{claim:?}");
    assert_eq!(claim.restored, claim.newest);
}

/// FLINK-38867: a restart used the path that the job had once been restored from, and rewound it.
#[tokio::test(flavor = "multi_thread")]
async fn a_path_to_restore_is_used_once_and_not_by_later_restarts() {
    let world = stable(&json!({})).await;
    world.annotate(annotation::SAVEPOINT_NONCE, "7").await;
    go_on(&world, 6).await;
    let savepoint = world
        .status()
        .await
        .savepoint
        .and_then(|savepoint| savepoint.last);
    let path = savepoint.and_then(|last| last.path).expect("a savepoint");
    let restore = json!({ "from": "Path", "path": path, "nonce": 1 });
    world.edit(&json!({ "restore": restore })).await;
    go_on(&world, 2).await;
    settle(&world, "a restore").await;
    assert_eq!(last_claim(&world).told, path);
    world.edit(&json!({ "restartNonce": 1 })).await;
    settle(&world, "a restart").await;
    let claim = last_claim(&world);
    assert_eq!(claim.told, "latest");
    assert_eq!(claim.restored, claim.newest);
}

/// FLINK-41262: a suspended job's JobManager was kept, restarted, and ran the job from scratch.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_of_a_suspended_job_that_turns_up_runs_nothing_and_is_removed() {
    let world = stable(&json!({})).await;
    let stray = world.pod_to_make_again(&world.leader()).await;
    world.edit(&json!({ "suspend": true })).await;
    settle(&world, "a suspension").await;
    let claims = world.inside().storage.claims.len();
    world.make_pod(&stray).await;
    world.make_config_map(1).await;
    world.tick().await;
    world.tick().await;
    assert_eq!(
        world.inside().storage.claims.len(),
        claims,
        "the storage says that it is stopped"
    );
    go_on(&world, 4).await;
    assert_eq!(world.names("", "Pod").await, Vec::<String>::new());
    assert_eq!(world.status().await.phase, Some(Phase::Suspended));
}

/// FLINK-35108, FLINK-37320, FLINK-39043, FLINK-39704: jobs that had ended were run again when
/// their JobManager went.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_has_ended_is_never_run_again_by_itself() {
    for (how, phase) in [
        (RunState::Finished, Phase::Finished),
        (RunState::Failed, Phase::Failed),
        (RunState::Cancelled, Phase::Cancelled),
    ] {
        let world = stable(&json!({})).await;
        let claims = world.inside().storage.claims.len();
        end_job(&world, how).await;
        for pod in world.names("", "Pod").await {
            world.end_pod(&pod).await;
        }
        go_on(&world, 8).await;
        assert_eq!(world.names("", "Pod").await, Vec::<String>::new());
        assert_eq!(world.status().await.phase, Some(phase));
        assert_eq!(world.inside().storage.claims.len(), claims);
    }
}

/// FLINK-32334: the new job was started while TaskManagers of the old one still ran.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_started_while_a_taskmanager_that_ignores_its_end_still_runs() {
    for upgrade in [
        json!({ "strategy": "PreWarm", "mode": "LastState" }),
        json!({ "strategy": "Recreate" }),
    ] {
        let world = stable(&json!({ "upgrade": upgrade })).await;
        world.keep_pods(12);
        world.edit(&version("1")).await;
        settle(&world, "an upgrade with stubborn pods").await;
        check(&world);
        assert_eq!(last_claim(&world).deployment, 2);
        assert_eq!(world.inside().beside, 0, "{upgrade}");
    }
}

/// What its storage says has stopped does nothing any more: pods that are there already need not
/// wait until nodes have done away with the old ones.
#[tokio::test(flavor = "multi_thread")]
async fn warm_pods_go_on_with_a_job_that_has_stopped_while_its_old_pods_are_on_their_way_out() {
    let world = stable(&json!({ "upgrade": { "strategy": "PreWarm" } })).await;
    world.keep_pods(1_000);
    world.edit(&version("1")).await;
    let runs = async |world: &World| world.status().await.phase == Some(Phase::Running);
    let upgrades = async |world: &World| world.status().await.phase == Some(Phase::Upgrading);
    reach(&world, "the upgrade's begin", upgrades).await;
    reach(&world, "the new version, beside old pods", runs).await;
    assert_eq!(last_claim(&world).deployment, 2);
    assert_eq!(last_claim(&world).restored, last_claim(&world).newest);
    assert_eq!(world.inside().beside, 1);
    let pods = world.names("", "Pod").await;
    assert!(pods.iter().any(|pod| pod.contains("1-")), "{pods:?}");
    world.keep_pods(0);
    go_on(&world, 6).await;
    let pods = world.names("", "Pod").await;
    assert!(!pods.iter().any(|pod| pod.contains("1-")), "{pods:?}");
    check(&world);
}

/// GoogleCloudPlatform/flink-on-k8s-operator#398, #401: after its JobManager was lost the job was
/// submitted again, and then cancelled as one that nobody expected.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_jobmanager_comes_back_with_the_next_epoch_of_the_same_deployment() {
    let world = stable(&json!({})).await;
    let before = world.inside().storage.pointer.clone().expect("it runs");
    world.end_pod(&world.leader()).await;
    go_on(&world, 4).await;
    settle(&world, "a lost JobManager").await;
    let after = world.inside().storage.pointer.clone().expect("it runs");
    assert_eq!(
        (after.deployment, after.epoch),
        (before.deployment, before.epoch + 1)
    );
    assert_eq!(after.run_state, RunState::Running);
    check(&world);
}

/// FLINK-40388, lyft/flinkk8soperator#13, #58, #119: a deletion waited for ever for the savepoint
/// of a job that could not take one.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_does_not_wait_for_ever_for_a_job_that_can_take_no_savepoint() {
    let spec = json!({ "onDelete": { "savepoint": "BestEffort", "timeout": "20s" } });
    let world = stable(&spec).await;
    world.inside().storage.troubles.savepoints_fail = true;
    world.delete().await;
    let operator = world.operator(&Budget::unlimited());
    let gone = async |world: &World| world.job().await.is_none();
    drive(&world, &operator, "a deletion", gone).await;

    let world = stable(&spec).await;
    world.inside().storage.troubles.hangs = true;
    world.clock.skip(60_000);
    world.delete().await;
    let operator = world.operator(&Budget::unlimited());
    for _ in 0..3 {
        world.turn(&operator).await;
        world.clock.skip(30_000);
        world.tick().await;
    }
    drive(&world, &operator, "a deletion that nobody answers", gone).await;
}

/// operator-framework/java-operator-sdk#1876: a namespace that was deleted never went.
#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_deleted_goes_although_a_job_wants_a_savepoint_first() {
    let spec = json!({
        "onDelete": { "savepoint": "BestEffort", "timeout": "20s" },
        // The namespace's end waits for half of what its pods are given.
        "taskManager": { "terminationGracePeriodSeconds": 5 },
    });
    let world = stable(&spec).await;
    world.delete_namespace().await;
    let operator = world.operator(&Budget::unlimited());
    for _ in 0..400 {
        world.turn(&operator).await;
        world.tick().await;
        if !world.namespace_exists().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    unreachable!("the namespace is still there: {:?}", world.job().await);
}

/// FLINK-26830: the savepoint of an upgrade was forgotten because it was recorded in the same step
/// as it was used. The operator is killed right after each of its effects in `matrix`; here the
/// spec changes again meanwhile, even back to what it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_spec_that_changes_during_an_upgrade_ends_at_the_newest_and_from_the_savepoint() {
    for last in ["0", "2"] {
        for turns in [1, 2, 3, 5] {
            let world = stable(&json!({})).await;
            world.edit(&version("1")).await;
            go_on(&world, turns).await;
            world.edit(&version(last)).await;
            go_on(&world, 1).await;
            settle(&world, "a spec that changed twice").await;
            let runs = world
                .inside()
                .managers
                .values()
                .any(|m| m.leads() && m.version == last);
            assert!(runs, "version {last} after {turns} turns");
            for claim in &world.inside().storage.claims {
                assert_eq!(claim.restored, claim.newest, "after {turns} turns");
            }
            check(&world);
        }
    }
}

/// FLINK-40384: a savepoint that was asked for twice was taken twice, or not at all.
#[tokio::test(flavor = "multi_thread")]
async fn two_savepoints_that_are_asked_for_at_once_are_both_taken_and_once() {
    let world = stable(&json!({})).await;
    world.annotate(annotation::SAVEPOINT_NONCE, "7").await;
    go_on(&world, 1).await;
    world.annotate(annotation::SAVEPOINT_NONCE, "8").await;
    go_on(&world, 10).await;
    world.annotate(annotation::SAVEPOINT_NONCE, "7").await;
    go_on(&world, 6).await;
    let taken = world.inside().storage.taken.clone();
    assert_eq!(taken.get("savepoint-7"), Some(&1), "{taken:?}");
    assert_eq!(taken.get("savepoint-8"), Some(&1), "{taken:?}");
    let history = world.status().await.savepoint.expect("savepoints").history;
    assert_eq!(history.len(), 2, "{history:?}");
}

/// A job that is deleted and made again under the same name goes on from its newest state, although
/// its status is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_deleted_and_made_again_goes_on_from_its_newest_state() {
    let world = stable(&json!({})).await;
    world.edit(&version("1")).await;
    settle(&world, "an upgrade").await;
    let newest = world
        .inside()
        .storage
        .pointer
        .clone()
        .and_then(|pointer| pointer.latest);
    assert!(newest.is_some());
    world.delete().await;
    world.create(&version("1")).await;
    made_again(&world).await;
    let claim = last_claim(&world);
    assert_eq!(claim.restored, claim.newest);
    assert!(claim.restored.is_some());
    assert!(claim.deployment > 2, "{claim:?}");
    let inside = world.inside();
    let leading = inside
        .managers
        .values()
        .filter(|manager| manager.leads())
        .count();
    assert_eq!(leading, 1);
}

/// Until a job that was deleted and created again runs: Kubernetes removes the first one's objects.
async fn made_again(world: &World) {
    for _ in 0..400 {
        world.tick().await;
        if world.names("", "Pod").await.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    go_on(world, 3).await;
    settle(world, "the job that was made again").await;
}

/// A manifest that is kept may still have the annotation: what it asked for has been done, whether
/// the savepoint is still there or not.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_made_again_with_an_old_nonce_takes_no_second_savepoint() {
    let world = stable(&json!({})).await;
    for nonce in ["7", "8"] {
        world.annotate(annotation::SAVEPOINT_NONCE, nonce).await;
        go_on(&world, 6).await;
    }
    world.inside().storage.forget("savepoint-7");
    for (nonce, state) in [
        ("7", SnapshotState::Failed),
        ("8", SnapshotState::Completed),
    ] {
        world.delete().await;
        world.create(&json!({})).await;
        world.annotate(annotation::SAVEPOINT_NONCE, nonce).await;
        made_again(&world).await;
        go_on(&world, 6).await;
        let status = world.status().await;
        assert_eq!(status.handled.savepoint.as_deref(), Some(nonce));
        let last = status.savepoint.and_then(|savepoint| savepoint.last);
        assert_eq!(last.map(|last| last.state), Some(state), "{nonce}");
    }
    let taken = world.inside().storage.taken.clone();
    assert!(taken.values().all(|times| *times == 1), "{taken:?}");
}
