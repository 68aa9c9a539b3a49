//! Somebody has edited the status: the job goes on, and what can be told from pods is put right.

use serde_json::json;
use weir_crd::{ConditionStatus, Operation, Phase, StreamJobStatus};

use super::super::{Action, decide};
use super::model::{World, turns};

fn stable(seed: u64) -> World {
    let mut world = World::new(seed);
    // Past deployment 1, so that there are lower numbers.
    for version in ["1", "0"] {
        for _ in 0..300 {
            turns(&mut world, 1);
            if world.status.phase == Some(Phase::Stable) {
                break;
            }
        }
        world.edit("job/args/v", json!(version));
        turns(&mut world, 60);
    }
    assert_eq!(world.status.phase, Some(Phase::Stable));
    world
}

fn operation(world: &World, to: i64) -> Operation {
    let from = world.status.deployment;
    let value = json!({
        "id": "nonsense", "type": "Upgrade", "step": "Removing", "reason": "none",
        "targetGeneration": world.generation, "fromDeployment": from, "toDeployment": to,
        "startedAt": "never", "stepStartedAt": "never", "effectiveMode": "LastState",
    });
    serde_json::from_value(value).expect("an operation")
}

#[test]
fn a_status_that_pods_contradict_is_put_right_and_the_job_goes_on() {
    type Tamper = fn(&mut World);
    let cases: [(&str, Tamper); 10] = [
        ("lower", |world| world.status.deployment = Some(1)),
        ("higher", |world| world.status.deployment = Some(99)),
        ("no number", |world| world.status.deployment = None),
        ("nothing at all", |world| {
            world.status = StreamJobStatus::default();
        }),
        ("revision", |world| {
            world.status.current_revision = Some("nonsense".to_owned());
        }),
        ("no revision", |world| world.status.current_revision = None),
        ("suspended", |world| {
            world.status.phase = Some(Phase::Suspended);
        }),
        ("finished", |world| {
            world.status.phase = Some(Phase::Finished);
        }),
        ("epoch and path", |world| {
            world.status.epoch = Some(-3);
            let checkpoint = world.status.checkpoint.get_or_insert_default();
            checkpoint.path = Some("/nonsense".to_owned());
        }),
        ("an operation", |world| {
            let operation = operation(world, 1);
            world.status.operation = Some(operation);
        }),
    ];
    for (what, tamper) in cases {
        let mut world = stable(11);
        let (claims, deployment) = (world.claims.len(), world.status.deployment);
        let (epoch, revision) = (world.status.epoch, world.status.current_revision.clone());
        tamper(&mut world);
        turns(&mut world, 60);
        assert_eq!(
            world.claims.len(),
            claims,
            "{what}: the job was started anew"
        );
        assert_eq!(world.status.deployment, deployment, "{what}");
        assert_eq!(world.status.epoch, epoch, "{what}");
        assert_eq!(world.status.current_revision, revision, "{what}");
        assert_eq!(world.status.operation, None, "{what}");
        let path = world.status.checkpoint.as_ref();
        let path = path.and_then(|checkpoint| checkpoint.path.as_deref());
        assert_ne!(path, Some("/nonsense"), "{what}");
        assert!(world.runs().is_some(), "{what}");
        // And what comes next finds it right.
        world.edit("job/args/v", json!("7"));
        turns(&mut world, 120);
        let newest = crate::revision(&world.spec()).whole;
        assert_eq!(world.runs(), Some(newest), "{what}");
    }
}

#[test]
fn without_what_the_pods_were_made_from_the_job_is_left_alone() {
    let mut world = stable(12);
    let claims = world.claims.len();
    world.status.deployment = Some(99);
    world.forget_revisions();
    world.edit("job/args/v", json!("7"));
    turns(&mut world, 60);
    let stalled = world.status.conditions.iter().find(|c| c.kind == "Stalled");
    let stalled = stalled.expect("a condition");
    assert_eq!(stalled.reason, "StatusTampered");
    assert_eq!((world.claims.len(), world.runs_any()), (claims, true));
}

#[test]
fn a_status_that_cant_be_read_stops_the_operator_and_not_the_job() {
    let world = stable(13);
    let mut observed = world.observed();
    observed.job.unread = Some("status.operation: unknown variant `Levitating`".to_owned());
    observed.job.spec.as_mut().expect("a spec").suspend = true;
    let decision = decide(&observed);
    assert_eq!(decision.actions, Vec::<Action>::new());
    let stalled = |status: &StreamJobStatus| {
        let mut conditions = status.conditions.iter();
        conditions.find(|c| c.kind == "Stalled").cloned()
    };
    let told = stalled(&decision.status).expect("a condition");
    assert_eq!(told.status, ConditionStatus::True);
    assert_eq!(told.reason, "StatusUnreadable");
    assert!(told.message.contains("Levitating"), "{}", told.message);
    let mut rest = decision.status.clone();
    rest.conditions.clone_from(&observed.job.status.conditions);
    assert_eq!(rest, observed.job.status, "nothing else has changed");
    // Asked again, nothing is written.
    observed.job.status = decision.status.clone();
    observed.now_ms += 60_000;
    assert_eq!(decide(&observed).status, decision.status);
}
