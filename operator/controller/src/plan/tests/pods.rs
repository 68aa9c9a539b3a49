//! In which order pods are made: who is asked for by name comes first.

use serde_json::json;
use weir_crd::Step;

use super::super::{Action, Pods, decide};
use super::model::{World, stable, turns, until};
use crate::observe::{Component, Observed};

fn managers(world: &World) -> Vec<String> {
    world.pods_of(Component::JobManager)
}

fn workers(world: &World) -> Vec<String> {
    world.pods_of(Component::TaskManager)
}

/// So many seconds, in which no TaskManager is made.
fn without_workers(world: &mut World, seconds: u32) {
    for _ in 0..seconds {
        turns(world, 1);
        assert_eq!(workers(world), Vec::<String>::new());
    }
}

#[test]
fn taskmanagers_are_made_as_soon_as_a_jobmanager_has_an_address() {
    let mut world = World::new(1);
    world.no_addresses = true;
    until(&mut world, |world| !managers(world).is_empty());
    without_workers(&mut world, 3);
    world.no_addresses = false;
    turns(&mut world, 2);
    assert_eq!(workers(&world), ["x-t1-0"]);
}

#[test]
fn a_jobmanager_that_gets_no_address_holds_the_others_up_for_five_seconds_only() {
    let mut world = World::new(2);
    world.no_addresses = true;
    until(&mut world, |world| !managers(world).is_empty());
    let made = world.now_ms;
    until(&mut world, |world| !workers(world).is_empty());
    let waited = (world.now_ms - made) / 1000;
    assert!((4..=6).contains(&waited), "{waited}s");
}

#[test]
fn all_jobmanagers_are_waited_for_as_any_of_them_may_lead() {
    let mut world = World::new(5);
    world.no_addresses = true;
    until(&mut world, |world| !managers(world).is_empty());
    let mut observed = world.observed();
    observed.manager = None;
    let mut second = observed.pods[0].clone();
    second.name = "x-j1-1".to_owned();
    observed.pods[0].has_address = true;
    observed.pods.push(second);
    let pods = |observed: &Observed| {
        let mut actions = decide(observed).actions.into_iter();
        actions.find_map(|action| match action {
            Action::Ensure { pods, .. } => Some(pods),
            _ => None,
        })
    };
    assert_eq!(pods(&observed), Some(Pods::JobManagers));
    observed.pods[1].has_address = true;
    assert_eq!(pods(&observed), Some(Pods::All));
}

#[test]
fn pods_that_are_warmed_up_come_in_the_same_order() {
    let mut world = stable(3);
    world.no_addresses = true;
    world.edit("job/args/v", json!("1"));
    let new = |all: Vec<String>| all.into_iter().filter(|name| name.contains("2-")).count();
    until(&mut world, |world| new(managers(world)) > 0);
    for _ in 0..3 {
        turns(&mut world, 1);
        assert_eq!(new(workers(&world)), 0);
    }
    world.no_addresses = false;
    until(&mut world, |world| new(workers(world)) > 0);
    let operation = world.status.operation.as_ref();
    assert_eq!(operation.map(|it| it.step), Some(Step::Warming));
}

/// Nothing else would bring the next turn while a job just runs.
#[test]
fn a_job_that_has_lost_all_its_pods_is_looked_at_again_soon() {
    let mut world = stable(4);
    world.no_addresses = true;
    world.kill_all();
    turns(&mut world, 1);
    assert!(workers(&world).is_empty() && !managers(&world).is_empty());
    let mut decision = decide(&world.observed());
    for _ in 0..3 {
        // What it tells of the loss is written by now.
        world.status = decision.status;
        decision = decide(&world.observed());
    }
    assert!(decision.look_again_ms < 1000, "{}", decision.look_again_ms);
    let waits = |action: &Action| matches!(action, Action::Ensure { pods, .. } if *pods == Pods::JobManagers);
    assert!(decision.actions.iter().any(waits), "{:?}", decision.actions);
}
