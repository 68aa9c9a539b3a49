//! The plan under random schedules: the controller is killed between any two effects, pods die,
//! savepoints fail, and a person changes their mind.

use serde_json::json;
use weir_crd::{ConditionStatus, OperationType, Phase, RestoreFrom, UpgradeMode};

use super::model::World;
use crate::annotation;
use crate::observe::RunState;

const SCHEDULES: u64 = 400;
const SECONDS: u64 = 400;

fn disturb(world: &mut World, requested_restart: &mut i64) {
    match world.random.below(16) {
        0 | 1 => {
            let version = world.random.below(5).to_string();
            world.edit("job/args/v", json!(version));
        }
        2 => {
            let suspended = world.spec().suspend;
            world.edit("suspend", json!(!suspended));
        }
        3 => {
            *requested_restart += 1;
            world.edit("restartNonce", json!(*requested_restart));
        }
        4 | 5 => {
            let nonce = world.random.below(50).to_string();
            let name = annotation::SAVEPOINT_NONCE.to_owned();
            world.annotations.insert(name, nonce);
        }
        6 => {
            let mode = ["Savepoint", "LastState"][usize::from(world.random.one_in(2))];
            world.edit("upgrade/mode", json!(mode));
        }
        7 => {
            let replicas = 1 + world.random.below(3);
            world.edit("taskManager/replicas", json!(replicas));
        }
        8 => {
            let nonce = world.random.below(50).to_string();
            world
                .annotations
                .insert(annotation::ROLLBACK_NONCE.to_owned(), nonce);
        }
        9 => {
            if let Some(operation) = &world.status.operation {
                let id = operation.id.clone();
                world
                    .annotations
                    .insert(annotation::ABORT_OPERATION.to_owned(), id);
            }
        }
        10 => {
            let strategy = ["PreWarm", "Recreate"][usize::from(world.random.one_in(2))];
            world.edit("upgrade/strategy", json!(strategy));
        }
        11 => world.room = 2 + usize::try_from(world.random.below(6)).expect("small"),
        12 => world.storage_is_down = !world.storage_is_down,
        13 => world.delete_leases(),
        _ => world.kill_a_pod(),
    }
}

fn check(world: &World, seed: u64) {
    let mut promised = None;
    for claim in &world.claims {
        assert!(
            claim.others.iter().all(|other| *other == claim.deployment),
            "seed {seed}: deployment {} starts beside {:?}",
            claim.deployment,
            claim.others
        );
        let status = &claim.status;
        let from = status.start_from.as_ref().map(|start| start.from);
        assert_ne!(
            from,
            Some(RestoreFrom::None),
            "seed {seed}: nobody asked for an empty start"
        );
        let first = promised != Some(claim.deployment);
        promised = Some(claim.deployment);
        let Some(operation) = status.operation.as_ref().filter(|_| first) else {
            continue;
        };
        if operation.effective_mode == Some(UpgradeMode::Savepoint)
            && operation.to_deployment == Some(claim.deployment)
        {
            let restored = claim.restored.as_ref().map(|snapshot| snapshot.id);
            assert_eq!(
                restored, operation.snapshot_id,
                "seed {seed}: {} starts from something else than its savepoint",
                operation.id
            );
            assert!(restored.is_some(), "seed {seed}: {}", operation.id);
        }
    }
    for (name, times) in &world.taken {
        assert_eq!(*times, 1, "seed {seed}: savepoint {name}");
    }
}

fn run(seed: u64) {
    let mut world = World::new(seed);
    let mut restarts = 0;
    world.savepoints_fail = world.random.one_in(3).then_some(3);
    if world.random.one_in(4) {
        world.broken = Some("3".to_owned());
    }
    if world.random.one_in(3) {
        world.incompatible = Some("2".to_owned());
    }
    if world.random.one_in(3) {
        world.no_image = Some("4".to_owned());
    }
    let ends = world.random.one_in(5);
    for second in 0..SECONDS {
        let trouble = second < SECONDS / 2;
        if trouble && world.random.one_in(12) {
            disturb(&mut world, &mut restarts);
        }
        if trouble && ends && world.random.one_in(60) {
            world.end_job(RunState::Finished);
        }
        for _ in 0..2 {
            let killed = (trouble && world.random.one_in(3)).then(|| world.random.below(5));
            let killed = killed.map(|after| usize::try_from(after).expect("small"));
            world.control(killed);
        }
        world.pass();
        check(&world, seed);
    }
    settle(&mut world, seed);
}

/// Without further trouble the job comes to where the spec wants it.
fn settle(world: &mut World, seed: u64) {
    world.savepoints_fail = None;
    world.storage_is_down = false;
    world.room = usize::MAX;
    for _ in 0..1500 {
        world.control(None);
        world.control(None);
        world.pass();
        check(world, seed);
        if is_settled(world) {
            return;
        }
    }
    panic!(
        "seed {seed}: does not settle: {:#?}\nspec {}\npointer {:?}",
        world.status, world.spec, world.pointer
    );
}

fn is_settled(world: &World) -> bool {
    // A revision that can't run, and none to return to: a person is told.
    let stalled = |condition: &weir_crd::Condition| {
        condition.kind == "Stalled" && condition.status == ConditionStatus::True
    };
    let version = world.spec().job.args.get("v").cloned();
    let bad = [&world.broken, &world.incompatible, &world.no_image];
    let bad = version.is_some() && bad.contains(&&version);
    if world.status.conditions.iter().any(stalled) {
        let stable = world.status.stable_revision.as_ref();
        let back = stable.map(|stable| world.version_of(Some(stable)));
        return bad && back.is_none_or(|back| back.is_none() || back == world.incompatible);
    }
    // What has no image is tried again and again, beside what runs.
    if version == world.no_image && world.runs().is_some() && world.status.retry.is_some() {
        return true;
    }
    if world.status.operation.is_some() {
        return false;
    }
    let spec = world.spec();
    match world.status.phase {
        Some(Phase::Finished) => world.pod_count() == 0,
        Some(Phase::Suspended) => spec.suspend && world.pod_count() == 0,
        Some(Phase::Running | Phase::Stable) => {
            let wanted = Some(crate::revision(&spec).whole);
            let runs = world.runs();
            // It may be what a person has returned from, or past.
            let known = [
                &runs,
                &world.status.failed_revision,
                &world.status.handled.passed_revision,
            ];
            !spec.suspend && known.contains(&&wanted)
        }
        _ => false,
    }
}

#[test]
fn however_often_the_controller_is_killed_one_job_runs_from_what_was_promised() {
    for seed in 0..SCHEDULES {
        run(seed);
    }
}

/// Each operation, with the controller killed after each number of effects in each of its turns.
#[test]
fn an_operation_comes_to_its_end_wherever_the_controller_is_killed() {
    type Ask = fn(&mut World);
    let operations: [(OperationType, Ask); 10] = [
        (OperationType::Upgrade, |world| {
            world.edit("job/args/v", json!("1"))
        }),
        (OperationType::Upgrade, |world| {
            world.edit("upgrade/mode", json!("LastState"));
            world.edit("job/args/v", json!("1"));
        }),
        (OperationType::Upgrade, |world| {
            world.edit("upgrade/strategy", json!("Recreate"));
            world.edit("job/args/v", json!("1"));
        }),
        (OperationType::Upgrade, |world| {
            // Old and new pods find no room at once.
            world.room = 3;
            world.edit("upgrade/preWarmTimeout", json!("5s"));
            world.edit("job/args/v", json!("1"));
        }),
        (OperationType::Restore, |world| {
            let restore = json!({"from": "Path", "path": "/s/1", "nonce": 1});
            world.edit("restore", restore);
        }),
        (OperationType::Restart, |world| {
            world.edit("restartNonce", json!(1))
        }),
        (OperationType::Rescale, |world| {
            world.edit("taskManager/replicas", json!(2))
        }),
        (OperationType::Suspend, |world| {
            world.edit("suspend", json!(true))
        }),
        (OperationType::Savepoint, |world| {
            let name = annotation::SAVEPOINT_NONCE.to_owned();
            world.annotations.insert(name, "7".to_owned());
        }),
        (OperationType::Rollback, |world| {
            world.broken = Some("1".to_owned());
            world.edit("job/args/v", json!("1"));
        }),
    ];
    for (which, (kind, ask)) in operations.into_iter().enumerate() {
        for turn in 0..20 {
            for effects in 0..4 {
                let seed = (which as u64) * 1000 + turn * 10 + effects as u64;
                let mut world = World::new(seed);
                while world.status.phase != Some(Phase::Stable) {
                    settle(&mut world, seed);
                }
                ask(&mut world);
                let mut seen = false;
                for at in 0..100 {
                    world.control((at == turn).then_some(effects));
                    world.pass();
                    check(&world, seed);
                    let operation = world.status.operation.as_ref();
                    seen |= operation.is_some_and(|operation| operation.kind == kind);
                }
                settle(&mut world, seed);
                assert!(seen, "{kind:?} was never begun");
                if kind == OperationType::Savepoint {
                    assert_eq!(world.taken.get("savepoint-7"), Some(&1));
                }
            }
        }
    }
}
