//! What a person asks for by annotations: it is answered at once, and never done later, when nobody
//! expects it any more.

use serde_json::json;
use weir_crd::{OperationType, Phase, SnapshotState, Step};

use super::model::{World, runs_newest, stable, turns, until};
use crate::annotation;
use crate::observe::RunState;

fn annotate(world: &mut World, name: &str, value: &str) {
    world.annotations.insert(name.to_owned(), value.to_owned());
}

fn ask_for_rollback(world: &mut World, nonce: &str, to: Option<&String>) {
    annotate(world, annotation::ROLLBACK_NONCE, nonce);
    world.annotations.remove(annotation::ROLLBACK_TO);
    if let Some(to) = to {
        annotate(world, annotation::ROLLBACK_TO, to);
    }
}

fn told(world: &World, reason: &str) -> usize {
    world.told.iter().filter(|told| **told == reason).count()
}

fn version(world: &World) -> Option<String> {
    world.version_of(world.runs().as_ref())
}

fn is_open(world: &World, kind: OperationType, step: Step) -> bool {
    let operation = world.status.operation.as_ref();
    operation.is_some_and(|operation| (operation.kind, operation.step) == (kind, step))
}

fn settled(world: &World, runs: &str) -> bool {
    world.status.operation.is_none() && version(world).as_deref() == Some(runs)
}

/// A job of which version 1 is stable, and version 0 was; its new pods may take their time.
fn second(seed: u64) -> World {
    let mut world = stable(seed);
    world.edit("upgrade/preWarmTimeout", json!("1h"));
    world.edit("job/args/v", json!("1"));
    until(&mut world, |world| {
        runs_newest(world) && world.status.phase == Some(Phase::Stable)
    });
    world.told.clear();
    world
}

#[test]
fn what_is_asked_of_a_job_at_rest_is_refused_at_once_and_not_done_when_it_runs_again() {
    type Change = fn(&mut World);
    let suspend: Change = |world| world.edit("suspend", json!(true));
    let rest: [(Phase, Change, Change); 4] = [
        (Phase::Suspended, suspend, |world| {
            world.edit("suspend", json!(false));
        }),
        (
            Phase::Finished,
            |world| world.end_job(RunState::Finished),
            |world| world.edit("restartNonce", json!(1)),
        ),
        (
            Phase::Cancelled,
            |world| world.end_job(RunState::Cancelled),
            |world| world.edit("restartNonce", json!(1)),
        ),
        (
            Phase::Failed,
            |world| {
                world.end_job(RunState::Failed);
                world.edit("suspend", json!(true));
            },
            |world| {
                world.edit("suspend", json!(false));
                world.edit("restartNonce", json!(1));
            },
        ),
    ];
    for (phase, ends, begins) in rest {
        let mut world = second(1);
        ends(&mut world);
        until(&mut world, |world| {
            world.status.phase == Some(phase) && world.pod_count() == 0
        });
        let first = world.revision_of("0");
        ask_for_rollback(&mut world, "1", first.as_ref());
        annotate(&mut world, annotation::SAVEPOINT_NONCE, "7");
        annotate(&mut world, annotation::CHECKPOINT_NONCE, "8");
        turns(&mut world, 1);
        let handled = world.status.handled.clone();
        assert_eq!(handled.rollback.as_deref(), Some("1"), "{phase:?}");
        assert_eq!(handled.savepoint.as_deref(), Some("7"), "{phase:?}");
        assert_eq!(handled.checkpoint.as_deref(), Some("8"), "{phase:?}");
        let savepoint = world.status.savepoint.clone().and_then(|it| it.last);
        let checkpoint = world.status.checkpoint.clone().and_then(|it| it.last);
        for entry in [savepoint, checkpoint] {
            let entry = entry.expect("an entry");
            assert_eq!(entry.state, SnapshotState::Failed, "{phase:?}");
            let error = entry.error.unwrap_or_default();
            assert!(error.contains(&format!("{phase:?}")), "{error}");
        }
        turns(&mut world, 30);
        let refused = (
            told(&world, "RollbackRefused"),
            told(&world, "SnapshotFailed"),
        );
        assert_eq!(refused, (1, 2), "{phase:?}");
        begins(&mut world);
        until(&mut world, runs_newest);
        turns(&mut world, 120);
        assert!(settled(&world, "1"), "{phase:?}: {:#?}", world.status);
        assert_eq!(world.taken.get("savepoint-7"), None, "{phase:?}");
        assert_eq!(world.taken.get("checkpoint-8"), None, "{phase:?}");
    }
}

/// What the revision to return to lacks may never come.
#[test]
fn a_return_that_waits_for_its_pods_gives_way_to_a_persons_word() {
    for word in ["another revision", "an edit", "the way it was"] {
        let mut world = second(2);
        let first = world.revision_of("0");
        world.broken = Some("2".to_owned());
        world.no_image = Some("1".to_owned());
        world.edit("job/args/v", json!("2"));
        until(&mut world, |world| {
            is_open(world, OperationType::Rollback, Step::Warming)
        });
        turns(&mut world, 10);
        let expected = match word {
            "another revision" => {
                ask_for_rollback(&mut world, "1", first.as_ref());
                "0"
            }
            "an edit" => {
                world.edit("job/args/v", json!("3"));
                "3"
            }
            _ => {
                world.broken = None;
                let current = world.status.current_revision.clone();
                ask_for_rollback(&mut world, "1", current.as_ref());
                "2"
            }
        };
        let began = world.now_ms;
        until(&mut world, |world| settled(world, expected));
        let took = (world.now_ms - began) / 1000;
        assert!(took < 120, "{word}: {took}s");
        // Neither does what it replaced come back.
        turns(&mut world, 300);
        assert!(settled(&world, expected), "{word}: {:#?}", world.status);
    }
}

#[test]
fn a_return_that_is_under_way_already_goes_on() {
    let mut world = second(3);
    world.broken = Some("2".to_owned());
    world.no_image = Some("1".to_owned());
    world.edit("job/args/v", json!("2"));
    until(&mut world, |world| {
        is_open(world, OperationType::Rollback, Step::Warming)
    });
    let before = world.status.operation.clone();
    ask_for_rollback(&mut world, "1", None);
    turns(&mut world, 5);
    assert_eq!(world.status.handled.rollback.as_deref(), Some("1"));
    assert_eq!(told(&world, "RollbackRefused"), 0);
    let id = |operation: &Option<weir_crd::Operation>| operation.clone().map(|it| it.id);
    assert_eq!(id(&world.status.operation), id(&before));
    world.no_image = None;
    until(&mut world, |world| settled(world, "1"));
}

#[test]
fn an_upgrade_that_has_stopped_nothing_gives_way_to_a_rollback_and_is_not_begun_again() {
    for to in ["1", "0"] {
        let mut world = second(4);
        let claims = world.claims.len();
        let revision = world.revision_of(to);
        world.no_image = Some("2".to_owned());
        world.edit("job/args/v", json!("2"));
        until(&mut world, |world| {
            is_open(world, OperationType::Upgrade, Step::Warming)
        });
        ask_for_rollback(&mut world, "1", revision.as_ref());
        until(&mut world, |world| settled(world, to));
        world.no_image = None;
        turns(&mut world, 300);
        assert!(settled(&world, to), "{to}: {:#?}", world.status);
        // What runs was not touched if it was meant.
        let more = usize::from(to == "0");
        assert_eq!(world.claims.len(), claims + more, "{to}");
        world.edit("job/args/v", json!("3"));
        until(&mut world, runs_newest);
        world.edit("job/args/v", json!("2"));
        until(&mut world, runs_newest);
    }
}

#[test]
fn a_spec_that_was_refused_is_not_tried_again_because_a_person_returns_to_an_older_one() {
    let mut world = second(5);
    world.incompatible = Some("2".to_owned());
    world.edit("job/args/v", json!("2"));
    until(&mut world, |world| {
        told(world, "StateIncompatible") > 0 && world.status.operation.is_none()
    });
    let first = world.revision_of("0");
    let began = told(&world, "OperationStarted");
    ask_for_rollback(&mut world, "1", first.as_ref());
    until(&mut world, |world| settled(world, "0"));
    turns(&mut world, 300);
    assert!(settled(&world, "0"), "{:#?}", world.status);
    let more = told(&world, "OperationStarted") - began;
    assert_eq!(more, 1, "the rollback alone: {:#?}", world.status);
}

#[test]
fn requests_do_not_wait_for_an_operation_that_is_to_be_tried_again() {
    let mut world = second(6);
    world.no_image = Some("2".to_owned());
    world.edit("upgrade/preWarmTimeout", json!("5s"));
    world.edit("job/args/v", json!("2"));
    until(&mut world, |world| {
        let failures = world.status.retry.as_ref().map(|retry| retry.failures);
        failures >= Some(4) && world.status.operation.is_none()
    });
    let began = world.now_ms;
    annotate(&mut world, annotation::SAVEPOINT_NONCE, "7");
    until(&mut world, |world| {
        world.status.handled.savepoint.is_some() && world.status.operation.is_none()
    });
    assert_eq!(world.taken.get("savepoint-7"), Some(&1));
    assert!(world.status.retry.is_some(), "it is tried again later");
    let first = world.revision_of("0");
    ask_for_rollback(&mut world, "1", first.as_ref());
    until(&mut world, |world| settled(world, "0"));
    assert!(world.now_ms - began < 60_000, "the delay is 80 s");
}

#[test]
fn requests_are_carried_out_while_the_newest_spec_is_invalid() {
    let mut world = second(7);
    world.edit("checkpoint/interval", json!("1ms"));
    annotate(&mut world, annotation::SAVEPOINT_NONCE, "7");
    until(&mut world, |world| {
        world.status.handled.savepoint.is_some() && world.status.operation.is_none()
    });
    assert_eq!(world.taken.get("savepoint-7"), Some(&1));
    let first = world.revision_of("0");
    ask_for_rollback(&mut world, "1", first.as_ref());
    until(&mut world, |world| settled(world, "0"));
}

#[test]
fn a_rollback_that_leads_nowhere_says_why() {
    for (to, why) in [
        (Some("nothing".to_owned()), "is not kept"),
        (None, "is the one that is there"),
    ] {
        let mut world = second(8);
        ask_for_rollback(&mut world, "1", to.as_ref());
        turns(&mut world, 1);
        let error = world.status.last_error.clone().expect("an error");
        assert_eq!(error.reason, "RollbackRefused");
        assert!(error.message.contains(why), "{}", error.message);
        assert_eq!(world.status.operation, None);
    }
}
