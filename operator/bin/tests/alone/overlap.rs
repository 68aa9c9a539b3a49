//! Two operators at once: one stands still before one of its effects, as a process does that is
//! stopped, or whose request is long on its way. The other one takes over and does all that is to
//! be done; then the first one's effect comes through, and it sees that it does not lead any more.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;
use weir_controller::annotation;
use weir_operator::reconcile;

use crate::budget::Budget;
use crate::matrix::{drive, is_settled, stable};
use crate::world::{Turn, World};

/// Lets the first operator come to the effect after so many, and the second one to the end.
/// Says whether the first one got so far.
async fn overlap(world: &World, effects: usize, done: impl AsyncFn(&World) -> bool) -> bool {
    let budget = Budget::held_up_after(effects);
    let first = world.operator(&budget);
    let mut held = None;
    for _ in 0..60 {
        let Some(job) = world.job().await else {
            break;
        };
        let mut turn = tokio::spawn(reconcile(Arc::new(job), Arc::clone(&first.context)));
        tokio::select! {
            biased;
            () = budget.reached() => {
                held = Some(turn);
                break;
            }
            result = &mut turn => drop(result),
        }
        world.tick().await;
        if done(world).await {
            return false;
        }
    }
    let held = held.expect("it comes to that effect, or to the end");
    // Its Lease has passed to the other one.
    first.acts.store(false, Ordering::SeqCst);
    let second = world.operator(&Budget::unlimited());
    let turn = drive(world, &second, "beside another operator", &done).await;
    assert_ne!(turn, Turn::Killed);
    budget.release();
    let ended = tokio::time::timeout(Duration::from_secs(20), held).await;
    assert!(ended.is_ok(), "the first one ends");
    let used = budget.used();
    assert!(used <= effects + 1, "it acted on: {:?}", budget.effects());
    // Whatever that did is put right.
    for _ in 0..3 {
        world.turn(&second).await;
        world.tick().await;
    }
    drive(world, &second, "after another operator", &done).await;
    true
}

fn check(world: &World, what: &str) {
    let inside = world.inside();
    assert_eq!(inside.violations, Vec::<String>::new(), "{what}");
    for (name, times) in &inside.storage.taken {
        assert_eq!(*times, 1, "{what}: {name}");
    }
    for claim in &inside.storage.claims {
        assert_eq!(claim.restored, claim.newest, "{what}: {claim:?}");
    }
    let leading = inside
        .managers
        .values()
        .filter(|manager| manager.leads())
        .count();
    assert_eq!(leading, 1, "{what}");
}

async fn upgrade_beside(effects: usize) -> bool {
    let world = stable(&json!({})).await;
    world
        .edit(&json!({ "job": { "args": { "v": "1" } } }))
        .await;
    let held = overlap(&world, effects, is_settled).await;
    check(&world, &format!("upgrade, held up after {effects} effects"));
    let runs = world
        .inside()
        .managers
        .values()
        .any(|manager| manager.version == "1");
    assert!(runs, "the new version runs");
    world.close().await;
    held
}

async fn savepoint_beside(effects: usize) -> bool {
    let world = stable(&json!({})).await;
    world.annotate(annotation::SAVEPOINT_NONCE, "7").await;
    let done = async |world: &World| {
        let handled = world.status().await.handled.savepoint;
        is_settled(world).await && handled.as_deref() == Some("7")
    };
    let held = overlap(&world, effects, done).await;
    check(
        &world,
        &format!("savepoint, held up after {effects} effects"),
    );
    assert_eq!(world.inside().storage.taken.get("savepoint-7"), Some(&1));
    world.close().await;
    held
}

/// FLINK-29959, spotify/flink-on-k8s-operator#1051 and #1056: the status of an operator that is
/// behind overwrote a newer one, and what it did again was a second savepoint.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_that_is_behind_neither_overwrites_a_status_nor_takes_a_second_savepoint() {
    for effects in [0, 1, 2, 5] {
        upgrade_beside(effects).await;
    }
    for effects in [0, 1] {
        savepoint_beside(effects).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: make k8s-faults"]
async fn wherever_one_operator_is_held_up_another_one_does_all_and_nothing_is_done_twice() {
    let mut effects = 0;
    while upgrade_beside(effects).await {
        effects += 1;
    }
    assert!(effects > 10, "an upgrade has more than {effects} effects");
    let mut effects = 0;
    while savepoint_beside(effects).await {
        effects += 1;
    }
}
