//! What a person says of a start: of the first one, and by a nonce of any other, wherever the job
//! stands.

use serde_json::{Value, json};
use weir_crd::{
    Condition, ConditionStatus, OperationType, Phase, RestoreFrom, StartFrom, Step, StreamJobStatus,
};

use super::super::decide;
use super::model::{Claim, World, runs_newest, stable, turns, until};
use crate::observe::{Component, Ended, JobReport, RunState};

fn is_at(world: &World, step: Step) -> bool {
    let operation = world.status.operation.as_ref();
    operation.is_some_and(|operation| operation.step == step)
}

fn condition<'a>(status: &'a StreamJobStatus, kind: &str) -> &'a Condition {
    let mut conditions = status.conditions.iter();
    let found = conditions.find(|condition| condition.kind == kind);
    found.unwrap_or_else(|| panic!("no condition {kind}"))
}

fn by_path(nonce: Option<i64>) -> Value {
    match nonce {
        Some(nonce) => json!({"from": "Path", "path": "/s/1", "nonce": nonce}),
        None => json!({"from": "Path", "path": "/s/1"}),
    }
}

/// What a deployment was told to start from, as it claimed the job.
fn told(claim: &Claim) -> StartFrom {
    claim.status.start_from.clone().expect("a start")
}

fn last(world: &World) -> &Claim {
    world.claims.last().expect("a claim")
}

#[test]
fn what_a_first_start_names_holds_until_the_job_has_come_to_run() {
    for (from, restore) in [
        (RestoreFrom::Path, by_path(None)),
        (RestoreFrom::Path, by_path(Some(1))),
        (RestoreFrom::None, json!({"from": "None"})),
        (RestoreFrom::Latest, json!({"from": "Latest"})),
    ] {
        for mode in ["Savepoint", "Stateless"] {
            let mut world = World::new(1);
            world.edit("restore", restore.clone());
            world.edit("upgrade", json!({"mode": mode, "confirmStateLoss": true}));
            world.no_image = Some("0".to_owned());
            turns(&mut world, 20);
            assert!(is_at(&world, Step::AwaitRunning), "{restore}");
            // The image is mended.
            world.edit("job/args/v", json!("1"));
            until(&mut world, runs_newest);
            assert_eq!(world.claims.len(), 1, "{restore} {mode}");
            assert_eq!(told(last(&world)).from, from, "{restore} {mode}");
            let path = restore["path"].as_str();
            assert_eq!(told(last(&world)).path.as_deref(), path, "{restore}");
            let nonce = restore["nonce"].as_i64();
            assert_eq!(world.status.handled.restore, nonce);
            // It is used once.
            world.edit("upgrade/mode", json!("LastState"));
            until(&mut world, |world| {
                world.status.phase == Some(Phase::Stable)
            });
            world.edit("restartNonce", json!(1));
            until(&mut world, |world| world.claims.len() > 1);
            assert_eq!(told(last(&world)).from, RestoreFrom::Latest, "{restore}");
            assert!(last(&world).restored.is_some(), "{restore}");
        }
    }
}

#[test]
fn it_holds_over_a_suspension_and_may_be_changed_until_then() {
    let mut world = World::new(2);
    world.edit("restore", by_path(None));
    world.no_image = Some("0".to_owned());
    turns(&mut world, 20);
    world.edit("restore/path", json!("/s/3"));
    until(&mut world, |world| {
        world.status.deployment == Some(2) && is_at(world, Step::AwaitRunning)
    });
    world.edit("suspend", json!(true));
    until(&mut world, |world| {
        world.status.phase == Some(Phase::Suspended)
    });
    world.edit("suspend", json!(false));
    until(&mut world, |world| is_at(world, Step::AwaitRunning));
    world.edit("restore/path", json!("/s/2"));
    turns(&mut world, 20);
    world.no_image = None;
    until(&mut world, runs_newest);
    assert_eq!(world.claims.len(), 1);
    let path = told(last(&world)).path;
    assert_eq!(path.as_deref(), Some("/s/2"));
}

#[test]
fn a_jobmanager_that_led_and_did_not_come_to_run_changes_nothing_of_it() {
    let mut world = World::new(3);
    world.edit("restore", by_path(None));
    world.broken = Some("0".to_owned());
    world.no_checkpoints = true;
    until(&mut world, |world| !world.claims.is_empty());
    turns(&mut world, 5);
    world.end_job(RunState::Failed);
    until(&mut world, |world| {
        world.status.phase == Some(Phase::Failed) && world.pod_count() == 0
    });
    world.edit("job/args/v", json!("1"));
    until(&mut world, runs_newest);
    assert_eq!(world.claims.len(), 2);
    assert_eq!(told(last(&world)).from, RestoreFrom::Path);
}

#[test]
fn what_a_job_has_stored_before_anybody_saw_it_run_is_gone_on_from() {
    let mut world = World::new(12);
    world.edit("restore", by_path(None));
    while !is_at(&world, Step::AwaitRunning) {
        world.control(None);
    }
    // The operator is away.
    for _ in 0..60 {
        world.pass();
    }
    let stored = world.pointer.as_ref().and_then(|it| it.latest.clone());
    assert!(stored.is_some());
    world.end_job(RunState::Failed);
    world.edit("job/args/v", json!("1"));
    until(&mut world, runs_newest);
    assert_eq!(last(&world).restored, stored);
    assert_eq!(told(last(&world)).from, RestoreFrom::Latest);
}

#[test]
fn a_job_that_comes_to_run_as_it_is_given_up_goes_on_from_what_it_has_stored() {
    let mut world = World::new(4);
    world.edit("restore", by_path(None));
    world.broken = Some("0".to_owned());
    until(&mut world, |world| {
        world.runs().is_none() && !world.claims.is_empty() && is_at(world, Step::AwaitRunning)
    });
    turns(&mut world, 3);
    world.edit("job/args/v", json!("1"));
    until(&mut world, |world| is_at(world, Step::Accepted));
    world.broken = None;
    world.control(None);
    world.control(None);
    assert!(is_at(&world, Step::Warming), "{:#?}", world.status);
    until(&mut world, runs_newest);
    let claim = last(&world);
    assert_eq!(told(claim).from, RestoreFrom::Latest);
    let restored = claim.restored.clone().expect("a snapshot");
    let operation = restored.operation.expect("a savepoint");
    assert!(operation.starts_with("upgrade-"), "{operation}");
}

#[test]
fn a_storage_that_knows_the_job_is_gone_on_from_whatever_a_new_streamjob_names() {
    // As after the loss of a cluster: only the storage remembers.
    for (upgrades, mends) in [(1, false), (0, true), (1, true)] {
        let what = format!("{upgrades} upgrades before, mended: {mends}");
        let mut world = stable(5);
        for version in 1..=upgrades {
            world.edit("job/args/v", json!((10 + version).to_string()));
            until(&mut world, runs_newest);
        }
        world.edit("job/args/v", json!("20"));
        world.forget_status();
        world.told.clear();
        let newest = world.pointer.as_ref().and_then(|it| it.latest.clone());
        let claims = world.claims.len();
        world.edit("restore", by_path(Some(1)));
        if mends {
            world.no_image = Some("20".to_owned());
            turns(&mut world, 20);
            world.edit("job/args/v", json!("21"));
        }
        until(&mut world, runs_newest);
        let claim = world.claims.get(claims).expect("a claim");
        assert_eq!(claim.restored, newest, "{what}");
        assert!(newest.is_some());
        let start = told(last(&world));
        assert_eq!(start.from, RestoreFrom::Latest, "{what}");
        let is_told = world.told.contains(&"DeploymentAdvanced");
        assert_eq!(is_told, upgrades == 1 && !mends, "{what}");
        turns(&mut world, 60);
        assert_eq!(world.claims.len(), claims + 1, "{what}");
    }
}

#[test]
fn a_nonce_is_obeyed_wherever_the_job_stands_and_once() {
    type Bring = fn(&mut World);
    let stages: [(&str, Bring); 4] = [
        ("running", |_| {}),
        ("failed", |world| {
            world.end_job(RunState::Failed);
            until(world, |world| {
                world.status.phase == Some(Phase::Failed) && world.pod_count() == 0
            });
        }),
        ("suspended", |world| {
            world.edit("suspend", json!(true));
            until(world, |world| world.status.phase == Some(Phase::Suspended));
        }),
        ("stuck", |world| {
            world.edit("rollback/enabled", json!(false));
            world.broken = Some("1".to_owned());
            let claims = world.claims.len();
            world.edit("job/args/v", json!("1"));
            until(world, |world| world.claims.len() > claims);
            until(world, |world| is_at(world, Step::AwaitRunning));
        }),
    ];
    let starts = [
        (RestoreFrom::Path, by_path(Some(1))),
        (RestoreFrom::None, json!({"from": "None", "nonce": 1})),
    ];
    for (stage, bring) in stages {
        for (from, restore) in &starts {
            let mut world = stable(6);
            bring(&mut world);
            let claims = world.claims.len();
            world.edit("restore", restore.clone());
            world.edit("suspend", json!(false));
            until(&mut world, |world| world.claims.len() > claims);
            let claim = last(&world);
            assert_eq!(told(claim).from, *from, "{stage}");
            assert_eq!(claim.status.handled.restore, Some(1), "{stage}");
            world.broken = None;
            until(&mut world, runs_newest);
            turns(&mut world, 60);
            assert_eq!(world.claims.len(), claims + 1, "{stage}: {from:?}");
        }
    }
}

#[test]
fn a_job_that_fails_again_after_a_restore_is_not_started_without_end() {
    let mut world = stable(7);
    let failed =
        |world: &World| world.status.phase == Some(Phase::Failed) && world.pod_count() == 0;
    world.end_job(RunState::Failed);
    until(&mut world, failed);
    let claims = world.claims.len();
    world.broken = Some("0".to_owned());
    world.edit("restore", by_path(Some(1)));
    until(&mut world, |world| world.claims.len() > claims);
    world.end_job(RunState::Failed);
    until(&mut world, failed);
    turns(&mut world, 60);
    assert_eq!(world.claims.len(), claims + 1);
    assert_eq!(world.status.phase, Some(Phase::Failed));
    assert_eq!(world.status.handled.restore, Some(1));
}

#[test]
fn an_upgrade_that_does_not_run_is_not_gone_back_from_to_what_the_job_began_with() {
    // The manifest still names what the job was once restored from.
    for mode in ["Savepoint", "LastState", "Stateless"] {
        let mut world = World::new(8);
        world.edit("restore", by_path(Some(1)));
        until(&mut world, |world| {
            world.status.phase == Some(Phase::Stable)
        });
        world.edit("rollback/enabled", json!(false));
        world.edit("upgrade", json!({"mode": mode, "confirmStateLoss": true}));
        world.broken = Some("1".to_owned());
        let claims = world.claims.len();
        world.edit("job/args/v", json!("1"));
        until(&mut world, |world| world.claims.len() > claims);
        turns(&mut world, 5);
        world.edit("upgrade/mode", json!("LastState"));
        world.edit("job/args/v", json!("2"));
        until(&mut world, runs_newest);
        assert_eq!(told(last(&world)).from, RestoreFrom::Latest, "{mode}");
    }
}

#[test]
fn a_rollback_that_would_rewind_gives_way_to_a_person_who_names_a_snapshot() {
    let mut world = stable(9);
    world.edit("job/args/v", json!("1"));
    until(&mut world, runs_newest);
    turns(&mut world, 5);
    world.incompatible = Some("0".to_owned());
    world.broken = Some("1".to_owned());
    until(&mut world, |world| {
        condition(&world.status, "Stalled").status == ConditionStatus::True
    });
    let stalled = condition(&world.status, "Stalled");
    assert_eq!(stalled.reason, "RollbackWouldRewind");
    let claims = world.claims.len();
    world.edit("restore", by_path(Some(1)));
    until(&mut world, |world| world.claims.len() > claims);
    assert_eq!(told(last(&world)).from, RestoreFrom::Path);
    assert_eq!(last(&world).status.handled.restore, Some(1));
}

#[test]
fn a_job_whose_pods_are_refused_says_so_and_takes_another_spec_or_rests() {
    for suspends in [false, true] {
        let mut world = World::new(10);
        world.no_pods = Some("0".to_owned());
        turns(&mut world, 10);
        assert!(is_at(&world, Step::Starting), "{:#?}", world.status);
        let degraded = condition(&world.status, "Degraded");
        assert_eq!(degraded.reason, "PodRefused", "{}", degraded.message);
        if suspends {
            world.edit("suspend", json!(true));
            until(&mut world, |world| {
                world.status.phase == Some(Phase::Suspended)
            });
        } else {
            world.edit("job/args/v", json!("1"));
            until(&mut world, runs_newest);
        }
        turns(&mut world, 2);
        let degraded = condition(&world.status, "Degraded");
        assert_eq!(degraded.reason, "AsExpected", "{}", degraded.message);
        assert_eq!(world.claims.len(), usize::from(!suspends));
    }
}

#[test]
fn a_job_that_need_not_have_state_any_more_is_started_without() {
    let mut world = World::new(11);
    world.edit("restore/requireState", json!(true));
    world.no_image = Some("0".to_owned());
    turns(&mut world, 20);
    let mut observed = world.observed();
    for pod in &mut observed.pods {
        if pod.component == Component::JobManager {
            pod.ended = Some(Ended {
                exit_code: 1,
                report: Some(JobReport {
                    state_missing: true,
                    ..JobReport::default()
                }),
            });
        }
    }
    let status = decide(&observed).status;
    let stalled = condition(&status, "Stalled");
    assert_eq!(stalled.reason, "StateMissing");
    let text = &stalled.message;
    assert!(text.contains("requireState to false"), "{text}");
    assert!(text.contains("spec.restore.nonce"), "{text}");
    // An edit of something else changes nothing of that.
    observed.job.generation += 1;
    let operation = decide(&observed).status.operation.expect("an operation");
    assert_eq!(operation.kind, OperationType::Deploy);
    let spec = observed.job.spec.as_mut().expect("a spec");
    spec.restore.require_state = false;
    let operation = decide(&observed).status.operation.expect("an operation");
    assert_eq!(operation.kind, OperationType::Upgrade);
}

#[test]
fn a_newest_snapshot_that_cant_be_read_waits_for_a_person_who_names_another() {
    type Bring = fn(&mut World);
    let stages: [(&str, Bring); 4] = [
        ("stable", |world| {
            world.unreadable = true;
            world.kill_all();
        }),
        ("not stable yet", |world| {
            world.edit("job/args/v", json!("1"));
            until(world, runs_newest);
            world.unreadable = true;
            world.kill_all();
        }),
        ("upgrading", |world| {
            world.edit("job/args/v", json!("1"));
            until(world, |world| is_at(world, Step::Removing));
            world.unreadable = true;
        }),
        ("resuming", |world| {
            world.edit("suspend", json!(true));
            until(world, |world| world.status.phase == Some(Phase::Suspended));
            world.unreadable = true;
            world.edit("suspend", json!(false));
        }),
    ];
    for (stage, bring) in stages {
        let mut world = stable(13);
        // No newer one takes its place.
        world.no_checkpoints = true;
        bring(&mut world);
        world.told.clear();
        let unreadable = |world: &World| {
            let stalled = condition(&world.status, "Stalled");
            stalled.status == ConditionStatus::True && stalled.reason == "LatestUnreadable"
        };
        until(&mut world, unreadable);
        let text = &condition(&world.status, "Stalled").message;
        for part in [
            "chk-1/_metadata is damaged",
            "spec.restore.from to Path",
            "spec.restore.path",
            "spec.restore.nonce",
        ] {
            assert!(text.contains(part), "{stage}: {text}");
        }
        // Longer than a revision is given to prove itself.
        for _ in 0..300 {
            turns(&mut world, 1);
            assert!(unreadable(&world), "{stage}: {:#?}", world.status);
        }
        assert!(!world.told.contains(&"RollingBack"), "{stage}");
        assert_eq!(world.status.rollback, None, "{stage}");
        let claims = world.claims.len();
        world.edit("restore", by_path(Some(1)));
        until(&mut world, runs_newest);
        let claim = last(&world);
        assert_eq!(told(claim).from, RestoreFrom::Path, "{stage}");
        assert_eq!(claim.status.handled.restore, Some(1), "{stage}");
        assert_eq!(world.claims.len(), claims + 1, "{stage}");
        turns(&mut world, 2);
        let stalled = condition(&world.status, "Stalled");
        assert_eq!(stalled.status, ConditionStatus::False, "{stage}");
    }
}

#[test]
fn a_rollback_that_finds_the_newest_snapshot_unreadable_says_so_and_blames_no_revision() {
    let mut world = stable(14);
    world.broken = Some("1".to_owned());
    world.no_checkpoints = true;
    world.edit("job/args/v", json!("1"));
    until(&mut world, |world| {
        let operation = world.status.operation.as_ref();
        operation.is_some_and(|it| it.kind == OperationType::Rollback)
    });
    world.unreadable = true;
    until(&mut world, |world| {
        condition(&world.status, "Stalled").reason == "LatestUnreadable"
    });
    turns(&mut world, 60);
    let stalled = condition(&world.status, "Stalled");
    assert_eq!(stalled.reason, "LatestUnreadable", "{}", stalled.message);
    let compatible = world.status.conditions.iter();
    let mut compatible = compatible.filter(|it| it.kind == "StateCompatible");
    assert!(compatible.all(|it| it.status == ConditionStatus::True));
    // What was missing comes back.
    world.unreadable = false;
    until(&mut world, |world| world.status.rollback.is_some());
}
