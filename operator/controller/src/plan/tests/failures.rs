//! What goes wrong with a new revision, with the savepoint that an upgrade needs, or with what an
//! upgrade has found out: who returns to what, and what is told of it.

use serde_json::{Value, json};
use weir_crd::{Condition, ConditionStatus, OperationType, Phase, SnapshotState, Step};

use super::model::{World, runs_newest, stable, turns, until};
use crate::annotation;
use crate::observe::RunState;

fn condition<'a>(world: &'a World, kind: &str) -> Option<&'a Condition> {
    let mut conditions = world.status.conditions.iter();
    conditions.find(|condition| condition.kind == kind)
}

fn holds(world: &World, kind: &str) -> Option<ConditionStatus> {
    condition(world, kind).map(|found| found.status)
}

fn is_at(world: &World, step: Step) -> bool {
    let operation = world.status.operation.as_ref();
    operation.is_some_and(|operation| operation.step == step)
}

fn is_stalled(world: &World) -> bool {
    holds(world, "Stalled") == Some(ConditionStatus::True)
}

fn annotate(world: &mut World, name: &str, value: &str) {
    world.annotations.insert(name.to_owned(), value.to_owned());
}

fn has_failed(world: &World) -> bool {
    world.status.phase == Some(Phase::Failed) && world.pod_count() == 0
}

/// A stable job of version 0 that nothing rolls back by itself.
fn without_rollback(seed: u64) -> World {
    let mut world = stable(seed);
    world.edit("rollback/enabled", json!(false));
    world
}

/// A person asks for the rollback, and version 0 runs again.
#[track_caller]
fn returns_by_hand(world: &mut World, what: &str) {
    annotate(world, annotation::ROLLBACK_NONCE, "1");
    let version = |world: &World| world.version_of(world.runs().as_ref());
    let returned =
        |world: &World| world.status.operation.is_none() && version(world).as_deref() == Some("0");
    until(world, returned);
    assert_eq!(
        world.status.handled.rollback.as_deref(),
        Some("1"),
        "{what}"
    );
    let rollback = world.status.rollback.clone().expect("a rollback");
    assert_eq!(rollback.reason, "a person asked for it", "{what}");
    let claims = world.claims.len();
    turns(world, 60);
    assert!(returned(world), "{what}: {:#?}", world.status);
    assert_eq!(world.claims.len(), claims, "{what}: it was started anew");
}

#[test]
fn a_person_may_return_while_a_new_revision_does_not_come_to_run() {
    let mut world = without_rollback(1);
    world.broken = Some("1".to_owned());
    world.edit("job/args/v", json!("1"));
    until(&mut world, is_stalled);
    let stalled = condition(&world, "Stalled").expect("there");
    assert_eq!(stalled.reason, "NotRunning");
    let text = &stalled.message;
    assert!(text.contains(annotation::ROLLBACK_NONCE), "{text}");
    assert!(!world.told.contains(&"RollingBack"));
    returns_by_hand(&mut world, "broken");
}

#[test]
fn a_person_may_return_while_the_pods_of_a_new_revision_are_refused() {
    let mut world = stable(2);
    world.end_job(RunState::Failed);
    until(&mut world, has_failed);
    world.no_pods = Some("1".to_owned());
    world.edit("job/args/v", json!("1"));
    turns(&mut world, 20);
    assert!(is_at(&world, Step::Starting), "{:#?}", world.status);
    returns_by_hand(&mut world, "refused");
}

#[test]
fn a_revision_that_fails_is_left_as_it_is_where_rollbacks_are_off_until_a_person_returns() {
    for comes_to_run in [false, true] {
        let mut world = without_rollback(3);
        let claims = world.claims.len();
        if !comes_to_run {
            world.broken = Some("1".to_owned());
        }
        world.edit("job/args/v", json!("1"));
        until(&mut world, |world| world.claims.len() > claims);
        match comes_to_run {
            true => until(&mut world, runs_newest),
            false => until(&mut world, |world| is_at(world, Step::AwaitRunning)),
        }
        world.end_job(RunState::Failed);
        until(&mut world, has_failed);
        turns(&mut world, 120);
        assert!(has_failed(&world), "{:#?}", world.status);
        let current = world.status.current_revision.clone();
        assert_eq!(current, Some(crate::revision(&world.spec()).whole));
        assert_eq!(world.status.rollback, None);
        returns_by_hand(&mut world, "failed");
    }
}

#[test]
fn a_revision_that_has_run_and_fails_before_it_is_stable_is_replaced_by_the_last_stable_one() {
    for seed in 0..20 {
        let mut world = stable(seed);
        world.edit("job/args/v", json!("1"));
        until(&mut world, runs_newest);
        turns(&mut world, 5);
        assert_eq!(world.status.phase, Some(Phase::Running));
        let latest = world.pointer.as_ref().and_then(|it| it.latest.clone());
        world.end_job(RunState::Failed);
        until(&mut world, |world| world.status.rollback.is_some());
        let claim = world.claims.last().expect("a claim");
        assert_eq!(claim.restored, latest, "nothing is published again");
        let version = world.version_of(world.runs().as_ref());
        assert_eq!(version.as_deref(), Some("0"));
        let failed = world.status.failed_revision.clone();
        assert_eq!(failed, Some(crate::revision(&world.spec()).whole));
        let told = world.told.iter().filter(|told| **told == "JobEnded");
        assert_eq!(told.count(), 0, "the job goes on");
    }
}

#[test]
fn a_stable_revision_that_fails_and_a_job_that_is_to_rest_are_not_rolled_back() {
    let mut world = stable(4);
    world.edit("job/args/v", json!("1"));
    until(&mut world, |world| {
        runs_newest(world) && world.status.phase == Some(Phase::Stable)
    });
    world.end_job(RunState::Failed);
    until(&mut world, has_failed);
    assert_eq!(world.status.rollback, None);
    let mut world = stable(5);
    world.edit("job/args/v", json!("1"));
    until(&mut world, runs_newest);
    world.end_job(RunState::Failed);
    world.edit("suspend", json!(true));
    until(&mut world, has_failed);
    turns(&mut world, 60);
    assert!(has_failed(&world));
    assert_eq!(world.status.rollback, None);
}

/// Version 1 has run and failed, and version 0 can't go on from its state.
fn failed_without_return() -> World {
    let mut world = stable(6);
    world.edit("job/args/v", json!("1"));
    until(&mut world, runs_newest);
    turns(&mut world, 5);
    world.incompatible = Some("0".to_owned());
    world.end_job(RunState::Failed);
    world
}

#[test]
fn a_revision_that_failed_is_not_gone_back_from_to_one_that_can_not_read_its_state() {
    let mut world = failed_without_return();
    let claims = world.claims.len();
    until(&mut world, is_stalled);
    let stalled = condition(&world, "Stalled").expect("there");
    assert_eq!(stalled.reason, "RollbackWouldRewind");
    turns(&mut world, 60);
    assert_eq!(world.claims.len(), claims);
    // What a person gives up says nothing of what runs.
    assert_eq!(
        holds(&world, "StateCompatible"),
        Some(ConditionStatus::False)
    );
    let id = world.status.operation.as_ref().map(|it| it.id.clone());
    annotate(&mut world, annotation::ABORT_OPERATION, &id.expect("open"));
    turns(&mut world, 2);
    assert_eq!(
        holds(&world, "StateCompatible"),
        Some(ConditionStatus::True)
    );
}

/// It waits for a state that can't be had, and a person says what is to run instead.
#[test]
fn a_return_from_a_revision_that_failed_gives_way_to_a_newer_spec_and_to_a_named_snapshot() {
    for edits in [true, false] {
        let mut world = failed_without_return();
        until(&mut world, is_stalled);
        let claims = world.claims.len();
        match edits {
            true => world.edit("job/args/v", json!("2")),
            false => world.edit("restore", json!({ "from": "None", "nonce": 1 })),
        }
        until(&mut world, |world| {
            world.claims.len() > claims && world.status.operation.is_none()
        });
        assert!(runs_newest(&world), "{edits}: {:#?}", world.status);
        turns(&mut world, 60);
        assert_eq!(
            world.claims.len(),
            claims + 1,
            "{edits}: {:#?}",
            world.status
        );
    }
}

/// It had run for long when the spec began to ask for less than that.
#[test]
fn a_revision_that_runs_well_is_not_returned_from_because_it_is_to_prove_less() {
    let mut world = stable(8);
    world.edit("rollback/minStable", json!("30m"));
    turns(&mut world, 5);
    world.edit("job/args/v", json!("1"));
    until(&mut world, runs_newest);
    for _ in 0..20 {
        turns(&mut world, 60);
    }
    assert_ne!(world.status.phase, Some(Phase::Stable), "not for so long");
    let runs = world.runs();
    world.edit("rollback/readinessTimeout", json!("1s"));
    world.edit("rollback/minStable", json!("1s"));
    turns(&mut world, 60);
    assert_eq!(world.runs(), runs);
    assert_eq!(
        world.status.phase,
        Some(Phase::Stable),
        "{:#?}",
        world.status
    );
    assert!(!world.told.contains(&"RollingBack"));
}

#[test]
fn as_many_earlier_specs_are_kept_as_the_limit_says_and_the_newest_of_them() {
    let mut world = stable(7);
    world.edit("rollback/historyLimit", json!(2));
    for version in 1..=6 {
        world.edit("job/args/v", json!(version.to_string()));
        until(&mut world, |world| {
            runs_newest(world) && world.status.phase == Some(Phase::Stable)
        });
    }
    // The one that runs, the one that was stable as it began to, and two more.
    let kept: Vec<_> = world.kept_versions().into_iter().collect();
    assert_eq!(kept, ["3", "4", "5", "6"]);
    annotate(&mut world, annotation::ROLLBACK_NONCE, "1");
    let revision = world.revision_of("3").expect("it is kept");
    annotate(&mut world, annotation::ROLLBACK_TO, &revision);
    until(&mut world, |world| world.runs().as_ref() == Some(&revision));
}

#[test]
fn another_state_version_is_never_reached_without_a_savepoint() {
    for mode in ["Savepoint", "LastState"] {
        let mut world = stable(8);
        world.edit("upgrade/mode", json!(mode));
        world.savepoints_fail = Some(1);
        let claims = world.claims.len();
        world.edit("stateVersion", json!("2"));
        until(&mut world, |world| world.status.retry.is_some());
        let error = world.status.last_error.clone().expect("an error");
        assert!(error.message.contains("spec.stateVersion"), "{error:?}");
        turns(&mut world, 120);
        assert_eq!(
            world.claims.len(),
            claims,
            "{mode}: the old job was stopped"
        );
        assert!(world.runs().is_some());
        world.savepoints_fail = None;
        until(&mut world, runs_newest);
        let restored = world.claims.last().and_then(|it| it.restored.clone());
        let operation = restored.and_then(|it| it.operation).expect("a savepoint");
        assert!(operation.starts_with("upgrade-"), "{mode}: {operation}");
    }
}

#[test]
fn a_restart_whose_savepoint_fails_is_tried_again_as_is_said_and_done_once() {
    let mut world = stable(18);
    world.edit("upgrade/fallback", json!("None"));
    world.savepoints_fail = Some(1);
    let claims = world.claims.len();
    world.edit("restartNonce", json!(1));
    until(&mut world, |world| world.status.retry.is_some());
    let error = world.status.last_error.clone().expect("an error");
    assert!(error.message.contains("tried again"), "{error:?}");
    assert_eq!(world.claims.len(), claims);
    world.savepoints_fail = None;
    until(&mut world, |world| world.claims.len() > claims);
    turns(&mut world, 120);
    assert_eq!(world.claims.len(), claims + 1);
}

#[test]
fn a_job_that_fails_as_it_is_to_stop_is_not_said_to_go_on() {
    let mut world = stable(9);
    world.edit("upgrade/fallback", json!("None"));
    world.mute = true;
    world.edit("job/args/v", json!("1"));
    until(&mut world, |world| is_at(world, Step::Stopping));
    turns(&mut world, 2);
    let latest = world.pointer.as_ref().and_then(|it| it.latest.clone());
    world.end_job(RunState::Failed);
    world.told.clear();
    until(&mut world, runs_newest);
    assert!(world.told.contains(&"JobEnded"), "{:?}", world.told);
    assert!(!world.told.contains(&"SavepointFailed"), "{:?}", world.told);
    let error = world.status.last_error.clone().expect("an error");
    assert!(!error.message.contains("goes on"), "{error:?}");
    let restored = world.claims.last().and_then(|it| it.restored.clone());
    assert_eq!(restored, latest, "it had nothing newer to save");
}

#[test]
fn what_is_told_of_a_job_that_fails_as_it_is_to_stop_says_what_comes_next() {
    for (field, value, next) in [
        (
            "job/args/v",
            json!("1"),
            "is started from its newest checkpoint",
        ),
        ("stateVersion", json!("2"), "although its spec.stateVersion"),
        ("suspend", json!(true), "as spec.suspend is true"),
        ("restartNonce", json!(1), "raise spec.restartNonce"),
    ] {
        let mut world = stable(17);
        world.edit("upgrade/fallback", json!("None"));
        world.mute = true;
        world.edit(field, value);
        until(&mut world, |world| is_at(world, Step::Stopping));
        turns(&mut world, 2);
        world.end_job(RunState::Failed);
        let is_told = |world: &World| world.told.contains(&"JobEnded");
        until(&mut world, is_told);
        let error = world.status.last_error.clone().expect("an error");
        let text = &error.message;
        assert!(text.contains("there is none"), "{field}: {text}");
        assert!(text.contains(next), "{field}: {text}");
        // It is as was said.
        let starts = text.contains("is started from");
        let claims = world.claims.len();
        turns(&mut world, 60);
        assert_eq!(world.claims.len() > claims, starts, "{field}");
    }
}

#[test]
fn a_storage_that_was_away_is_told_to_be_back_once_the_job_has_come_to_run() {
    let mut world = stable(10);
    world.edit("suspend", json!(true));
    until(&mut world, |world| {
        world.status.phase == Some(Phase::Suspended)
    });
    world.storage_is_down = true;
    world.edit("suspend", json!(false));
    let is_away = |world: &World| holds(world, "StorageReachable") == Some(ConditionStatus::False);
    until(&mut world, is_away);
    world.storage_is_down = false;
    until(&mut world, runs_newest);
    let storage = condition(&world, "StorageReachable").expect("there");
    assert_eq!(storage.status, ConditionStatus::True, "{storage:?}");
    assert!(world.told.contains(&"ConditionCleared"));
}

#[test]
fn a_storage_that_held_an_upgrade_up_is_told_to_be_back_once_the_job_stores_something() {
    for aborts in [false, true] {
        let mut world = stable(11);
        world.storage_is_down = true;
        world.edit("job/args/v", json!("1"));
        let is_away =
            |world: &World| holds(world, "StorageReachable") == Some(ConditionStatus::False);
        until(&mut world, is_away);
        if aborts {
            let id = world.status.operation.as_ref().map(|it| it.id.clone());
            annotate(&mut world, annotation::ABORT_OPERATION, &id.expect("open"));
        } else {
            world.edit("job/args/v", json!("0"));
        }
        until(&mut world, |world| world.status.operation.is_none());
        turns(&mut world, 20);
        assert!(is_away(&world), "nobody knows better yet");
        if aborts {
            world.edit("job/args/v", json!("0"));
            world.end_job(RunState::Finished);
            until(&mut world, |world| {
                world.status.phase == Some(Phase::Finished)
            });
            turns(&mut world, 2);
            assert_eq!(holds(&world, "StorageReachable"), None, "nobody will");
        } else {
            world.storage_is_down = false;
            until(&mut world, |world| !is_away(world));
            assert_eq!(
                holds(&world, "StorageReachable"),
                Some(ConditionStatus::True)
            );
            assert_eq!(world.status.operation, None);
        }
    }
}

/// What the status says of the storage, and how often it has changed.
fn told_of_storage(world: &mut World, seconds: u32) -> (Vec<String>, usize) {
    let (mut told, mut writes) = (Vec::new(), 0);
    for _ in 0..seconds {
        let before = world.status.clone();
        turns(world, 1);
        writes += usize::from(world.status != before);
        if let Some(storage) = condition(world, "StorageReachable") {
            told.push(format!("{:?}: {}", storage.status, storage.reason));
        }
    }
    told.dedup();
    (told, writes)
}

#[test]
fn a_storage_that_goes_away_from_a_running_job_is_told_once_and_so_is_its_return() {
    let mut world = stable(13);
    world.edit("health", json!({ "checkpointProgressWindow": "24h" }));
    turns(&mut world, 5);
    let (told, writes) = told_of_storage(&mut world, 60);
    assert_eq!((told, writes), (vec!["True: Reached".to_owned()], 0));
    world.storage_is_down = true;
    let (told, writes) = told_of_storage(&mut world, 600);
    let away = "False: CheckpointsNotStored";
    assert_eq!(told.last().map(String::as_str), Some(away), "{told:?}");
    assert_eq!(writes, 1, "each checkpoint fails with other words");
    let storage = condition(&world, "StorageReachable").expect("there");
    assert!(storage.message.contains("no answer"), "{storage:?}");
    assert!(world.told.contains(&"StorageUnreachable"));
    assert_eq!(world.status.operation, None, "the job runs on");
    // That it answers again is not enough.
    world.storage_is_down = false;
    world.no_checkpoints = true;
    let (told, writes) = told_of_storage(&mut world, 60);
    assert_eq!((told, writes), (vec![away.to_owned()], 0));
    world.no_checkpoints = false;
    let (told, writes) = told_of_storage(&mut world, 60);
    assert_eq!(told.last().map(String::as_str), Some("True: Reached"));
    assert_eq!(writes, 1);
    assert!(world.told.contains(&"ConditionCleared"));
}

#[test]
fn a_jobmanager_that_takes_over_does_not_make_a_storage_reachable() {
    let mut world = stable(14);
    world.storage_is_down = true;
    let is_away = |world: &World| holds(world, "StorageReachable") == Some(ConditionStatus::False);
    until(&mut world, is_away);
    world.storage_is_down = false;
    world.no_checkpoints = true;
    world.kill_all();
    turns(&mut world, 60);
    assert!(world.runs().is_some() && is_away(&world));
    world.no_checkpoints = false;
    until(&mut world, |world| !is_away(world));
    assert_eq!(
        holds(&world, "StorageReachable"),
        Some(ConditionStatus::True)
    );
}

#[test]
fn an_edit_that_did_not_fit_the_state_is_forgotten_once_it_is_taken_back() {
    let mut world = stable(12);
    world.incompatible = Some("1".to_owned());
    world.edit("job/args/v", json!("1"));
    let refused = |world: &World| holds(world, "StateCompatible") == Some(ConditionStatus::False);
    until(&mut world, refused);
    turns(&mut world, 30);
    assert!(refused(&world), "while the spec asks for it");
    let claims = world.claims.len();
    world.edit("job/args/v", json!("0"));
    turns(&mut world, 2);
    assert_eq!(
        holds(&world, "StateCompatible"),
        Some(ConditionStatus::True)
    );
    assert_eq!(holds(&world, "Ready"), Some(ConditionStatus::True));
    assert!(world.told.contains(&"ConditionCleared"));
    assert_eq!(world.claims.len(), claims);
}

#[test]
fn a_job_without_a_storage_refuses_snapshots_at_once_and_takes_other_edits() {
    for (name, nonce) in [
        (annotation::SAVEPOINT_NONCE, "7"),
        (annotation::CHECKPOINT_NONCE, "8"),
    ] {
        let mut world = World::new(13);
        world.edit("storage", Value::Null);
        world.edit("checkpoint/interval", json!("0s"));
        until(&mut world, |world| {
            world.status.phase == Some(Phase::Stable)
        });
        annotate(&mut world, name, nonce);
        turns(&mut world, 1);
        assert_eq!(world.status.operation, None, "{name}");
        let handled = world.status.handled.clone();
        let handled = handled.savepoint.or(handled.checkpoint);
        assert_eq!(handled.as_deref(), Some(nonce));
        let savepoint = world.status.savepoint.clone().and_then(|it| it.last);
        let checkpoint = world.status.checkpoint.clone().and_then(|it| it.last);
        let last = savepoint.or(checkpoint).expect("an entry");
        assert_eq!(last.state, SnapshotState::Failed, "{name}");
        assert!(last.error.is_some_and(|text| text.contains("spec.storage")));
        assert!(world.told.contains(&"SnapshotFailed"));
        turns(&mut world, 30);
        let told = world.told.iter().filter(|told| **told == "SnapshotFailed");
        assert_eq!(told.count(), 1, "{name}");
        world.edit("job/args/v", json!("1"));
        turns(&mut world, 1);
        let operation = world.status.operation.as_ref().map(|it| it.kind);
        assert_eq!(operation, Some(OperationType::Upgrade), "{name}");
        until(&mut world, runs_newest);
    }
}

#[test]
fn a_snapshot_that_the_jobmanager_refuses_is_given_up_with_its_words() {
    let mut world = stable(14);
    world.denies = Some("it takes none today".to_owned());
    annotate(&mut world, annotation::SAVEPOINT_NONCE, "7");
    turns(&mut world, 3);
    assert_eq!(world.status.handled.savepoint.as_deref(), Some("7"));
    let last = world.status.savepoint.clone().and_then(|it| it.last);
    let last = last.expect("an entry");
    assert_eq!(last.error.as_deref(), Some("it takes none today"));
    assert_eq!(world.status.operation, None);
    // A stop is asked for again: the job may just be coming to its end.
    world.edit("job/args/v", json!("1"));
    until(&mut world, |world| {
        let operation = world.status.operation.as_ref();
        operation.is_some_and(|it| it.message.contains("it takes none today"))
    });
    assert!(is_at(&world, Step::Stopping));
    world.denies = None;
    until(&mut world, runs_newest);
}

#[test]
fn what_a_person_has_returned_from_does_not_come_back_by_itself() {
    for fails in [true, false] {
        let mut world = stable(16);
        let first = world.runs().expect("it runs");
        world.edit("job/args/v", json!("1"));
        until(&mut world, |world| {
            runs_newest(world) && world.status.phase == Some(Phase::Stable)
        });
        annotate(&mut world, annotation::ROLLBACK_NONCE, "1");
        annotate(&mut world, annotation::ROLLBACK_TO, &first);
        until(&mut world, |world| world.status.rollback.is_some());
        let claims = world.claims.len();
        // The one that it has come back to is no better.
        if fails {
            world.end_job(RunState::Failed);
            until(&mut world, has_failed);
        } else {
            world.broken = Some("0".to_owned());
        }
        turns(&mut world, 200);
        assert_eq!(world.status.current_revision, Some(first));
        assert_eq!(world.claims.len(), claims);
    }
}
