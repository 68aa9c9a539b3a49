//! Every operation, with the operator killed between any two of its effects: the next one brings it
//! to its end, and nothing that must not happen does.
//!
//! An operation is run once as it goes, and then once for each effect that it had, with the
//! operator killed before that one. What it deletes turn after turn, as long as it waits (here
//! nothing tells it that it is gone), it is killed at twice. The short form kills it once in each
//! operation, at an effect that differs from operation to operation.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use weir_controller::{RunState, annotation};
use weir_crd::{OperationType, Phase};

use crate::budget::Budget;
use crate::storage::Claim;
use crate::world::{JOB, Operator, Turn, World};

/// An operation takes at most so many turns, each with a moment that passes after it.
const TURNS_MAX: u32 = 120;

/// What starts the operation.
#[derive(Clone, Copy)]
enum Ask {
    Create,
    Edit(fn() -> Value),
    Annotate(&'static str, &'static str),
    Delete,
    /// The job has taken this savepoint, and is to be started from it again.
    RestorePath,
}

/// How it ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Runs,
    Suspended,
    Gone,
}

pub(crate) struct Case {
    name: &'static str,
    /// What the job has beyond the usual.
    spec: fn() -> Value,
    /// What is asked before, and must have come to its end.
    before: Option<Ask>,
    ask: Ask,
    kind: Option<OperationType>,
    end: End,
    /// What the next deployment is told to start from, if there is one.
    told: &'static str,
    broken: Option<&'static str>,
}

fn usual() -> Value {
    json!({})
}

const CASE: Case = Case {
    name: "",
    spec: usual,
    before: None,
    ask: Ask::Create,
    kind: None,
    end: End::Runs,
    told: "latest",
    broken: None,
};

fn version_1() -> Value {
    json!({ "job": { "args": { "v": "1" } } })
}

fn upgrade(mode: &str, strategy: &str) -> Value {
    json!({ "upgrade": {
        "mode": mode, "strategy": strategy, "confirmStateLoss": mode == "Stateless",
    } })
}

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "deploy",
        kind: Some(OperationType::Deploy),
        ..CASE
    },
    Case {
        name: "upgrade by savepoint, recreate",
        spec: || upgrade("Savepoint", "Recreate"),
        ask: Ask::Edit(version_1),
        kind: Some(OperationType::Upgrade),
        ..CASE
    },
    Case {
        name: "upgrade by last state, recreate",
        spec: || upgrade("LastState", "Recreate"),
        ask: Ask::Edit(version_1),
        kind: Some(OperationType::Upgrade),
        ..CASE
    },
    Case {
        name: "upgrade without state, recreate",
        spec: || upgrade("Stateless", "Recreate"),
        ask: Ask::Edit(version_1),
        kind: Some(OperationType::Upgrade),
        told: "none",
        ..CASE
    },
    Case {
        name: "upgrade by savepoint, pre-warm",
        spec: || upgrade("Savepoint", "PreWarm"),
        ask: Ask::Edit(version_1),
        kind: Some(OperationType::Upgrade),
        ..CASE
    },
    Case {
        name: "upgrade by last state, pre-warm",
        spec: || upgrade("LastState", "PreWarm"),
        ask: Ask::Edit(version_1),
        kind: Some(OperationType::Upgrade),
        ..CASE
    },
    Case {
        name: "upgrade without state, pre-warm",
        spec: || upgrade("Stateless", "PreWarm"),
        ask: Ask::Edit(version_1),
        kind: Some(OperationType::Upgrade),
        told: "none",
        ..CASE
    },
    Case {
        name: "restart",
        ask: Ask::Edit(|| json!({ "restartNonce": 1 })),
        kind: Some(OperationType::Restart),
        ..CASE
    },
    Case {
        name: "rescale",
        ask: Ask::Edit(|| json!({ "taskManager": { "replicas": 2 } })),
        kind: Some(OperationType::Rescale),
        ..CASE
    },
    Case {
        name: "suspend",
        ask: Ask::Edit(|| json!({ "suspend": true })),
        kind: Some(OperationType::Suspend),
        end: End::Suspended,
        ..CASE
    },
    Case {
        name: "resume",
        before: Some(Ask::Edit(|| json!({ "suspend": true }))),
        ask: Ask::Edit(|| json!({ "suspend": false })),
        kind: Some(OperationType::Deploy),
        ..CASE
    },
    Case {
        name: "savepoint",
        ask: Ask::Annotate(annotation::SAVEPOINT_NONCE, "7"),
        kind: Some(OperationType::Savepoint),
        ..CASE
    },
    Case {
        name: "checkpoint",
        ask: Ask::Annotate(annotation::CHECKPOINT_NONCE, "7"),
        kind: Some(OperationType::Checkpoint),
        ..CASE
    },
    Case {
        name: "rollback of a revision that does not run",
        ask: Ask::Edit(version_1),
        broken: Some("1"),
        kind: Some(OperationType::Rollback),
        ..CASE
    },
    Case {
        name: "rollback that a person asks for",
        before: Some(Ask::Edit(version_1)),
        ask: Ask::Annotate(annotation::ROLLBACK_TO, ""),
        kind: Some(OperationType::Rollback),
        ..CASE
    },
    Case {
        name: "restore of a path",
        before: Some(Ask::Annotate(annotation::SAVEPOINT_NONCE, "7")),
        ask: Ask::RestorePath,
        kind: Some(OperationType::Restore),
        told: "/s/",
        ..CASE
    },
    Case {
        name: "deletion",
        ask: Ask::Delete,
        end: End::Gone,
        ..CASE
    },
    Case {
        name: "deletion with a savepoint, best effort",
        spec: || json!({ "onDelete": { "savepoint": "BestEffort" } }),
        ask: Ask::Delete,
        end: End::Gone,
        ..CASE
    },
    Case {
        name: "deletion with a savepoint, required",
        spec: || json!({ "onDelete": { "savepoint": "Required" } }),
        ask: Ask::Delete,
        end: End::Gone,
        ..CASE
    },
];

/// Turns of an operator until a condition holds, or it is killed.
pub(crate) async fn drive(
    world: &World,
    operator: &Operator,
    what: &str,
    done: impl AsyncFn(&World) -> bool,
) -> Turn {
    for _ in 0..TURNS_MAX {
        let turn = world.turn(operator).await;
        if turn != Turn::Done {
            return turn;
        }
        world.tick().await;
        if done(world).await {
            return Turn::Done;
        }
    }
    let status = world.job().await.map(|job| job.data["status"].clone());
    unreachable!(
        "{what} does not come to its end: {status:#?}\nstorage: {:?}\neffects: {:?}",
        world.inside().storage.pointer,
        operator.budget.effects(),
    );
}

/// Whether the job runs as its spec says, or rests, and nothing is under way.
pub(crate) async fn is_settled(world: &World) -> bool {
    let status = world.status().await;
    if status.operation.is_some() || status.retry.is_some() {
        return false;
    }
    let spec = world.spec().await;
    let wanted = Some(weir_controller::revision(&spec).whole);
    match status.phase {
        Some(Phase::Suspended) => spec.suspend,
        Some(Phase::Stable) => {
            !spec.suspend && (status.current_revision == wanted || status.failed_revision == wanted)
        }
        _ => false,
    }
}

/// Whether a request by annotation has been handled.
async fn is_handled(world: &World) -> bool {
    let job = world.job().await.expect("it is there");
    let status = world.status().await;
    let asked = |name: &str| job.metadata.annotations.as_ref()?.get(name).cloned();
    let handled = status.handled;
    asked(annotation::SAVEPOINT_NONCE) == handled.savepoint
        && asked(annotation::CHECKPOINT_NONCE) == handled.checkpoint
        && asked(annotation::ROLLBACK_NONCE) == handled.rollback
}

async fn is_done(world: &World, end: End) -> bool {
    match end {
        End::Gone => world.job().await.is_none(),
        End::Runs | End::Suspended => is_settled(world).await && is_handled(world).await,
    }
}

async fn ask(world: &World, what: Ask) {
    match what {
        Ask::Create => {}
        Ask::Edit(spec) => world.edit(&spec()).await,
        Ask::Annotate(annotation::ROLLBACK_TO, _) => {
            let first = world.names("apps", "ControllerRevision").await;
            let current = world.status().await.current_revision.expect("it runs");
            let prefix = format!("{JOB}-r");
            let mut kept = first.iter().filter_map(|name| name.strip_prefix(&prefix));
            let other = kept.find(|revision| *revision != current);
            world
                .annotate(annotation::ROLLBACK_TO, other.expect("the first revision"))
                .await;
            world.annotate(annotation::ROLLBACK_NONCE, "1").await;
        }
        Ask::Annotate(name, value) => world.annotate(name, value).await,
        Ask::Delete => world.delete().await,
        Ask::RestorePath => {
            let status = world.status().await;
            let last = status.savepoint.and_then(|savepoint| savepoint.last);
            let path = last.and_then(|last| last.path).expect("a savepoint");
            let restore = json!({ "from": "Path", "path": path, "nonce": 1 });
            world.edit(&json!({ "restore": restore })).await;
        }
    }
}

/// A job that runs and has proved itself.
pub(crate) async fn stable(spec: &Value) -> World {
    let world = World::new().await;
    world.create(spec).await;
    let operator = world.operator(&Budget::unlimited());
    let turn = drive(&world, &operator, "the first deployment", is_settled).await;
    assert_eq!(turn, Turn::Done);
    world
}

/// Runs a case with an operator that is killed, or not. Says whether it was.
async fn run(case: &Case, budget: &Arc<Budget>) -> bool {
    let world = prepared(case).await;
    let claims = world.inside().storage.claims.len();
    ask(&world, case.ask).await;
    let first = world.operator(budget);
    let done = async |world: &World| is_done(world, case.end).await;
    let name = format!("{} ({})", case.name, budget.limit());
    let turn = drive(&world, &first, &name, &done).await;
    let killed = turn == Turn::Killed;
    if killed {
        drop(first);
        let second = world.operator(&Budget::unlimited());
        drive(&world, &second, &name, &done).await;
    }
    check(&world, case, claims, &name).await;
    world.close().await;
    killed
}

/// Operators that are killed at these effects: at each of them, whenever that comes.
fn killed_at(effects: &[String]) -> Vec<Arc<Budget>> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let budgets = effects.iter().filter_map(|effect| {
        let times = seen.entry(effect.as_str()).or_default();
        *times += 1;
        let differs = *times <= 2 || !effect.starts_with("DELETE");
        differs.then(|| Budget::killed_before(effect, *times - 1))
    });
    budgets.collect()
}

async fn prepared(case: &Case) -> World {
    if matches!(case.ask, Ask::Create) {
        let world = World::new().await;
        world.create(&(case.spec)()).await;
        return world;
    }
    let world = stable(&(case.spec)()).await;
    if let Some(before) = case.before {
        ask(&world, before).await;
        let operator = world.operator(&Budget::unlimited());
        let done = async |world: &World| is_done(world, End::Runs).await;
        drive(&world, &operator, case.name, done).await;
    }
    world.inside().storage.troubles.broken = case.broken.map(str::to_owned);
    world
}

/// One deployment at a time, from the newest state, with one savepoint for a name. And what was
/// asked for is what there is.
async fn check(world: &World, case: &Case, claims_before: usize, name: &str) {
    let (claims, taken, violations, pointer) = {
        let inside = world.inside();
        let storage = &inside.storage;
        let claims: Vec<Claim> = storage.claims[claims_before..].to_vec();
        let violations = inside.violations.clone();
        (
            claims,
            storage.taken.clone(),
            violations,
            storage.pointer.clone(),
        )
    };
    assert_eq!(violations, Vec::<String>::new(), "{name}");
    for (savepoint, times) in &taken {
        assert_eq!(*times, 1, "{name}: {savepoint} was taken more than once");
    }
    for claim in &claims {
        let told = if claim.first { case.told } else { "latest" };
        assert!(claim.told.starts_with(told), "{name}: {claim:?}");
        if claim.told == "latest" || !claim.first {
            assert_eq!(claim.restored, claim.newest, "{name}: {claim:?}");
        }
        if claim.told.starts_with('/') {
            assert!(claim.restored.is_some(), "{name}: {claim:?}");
        }
    }
    let starts = claims.iter().filter(|claim| claim.first).count();
    let expected = match (case.kind, case.end) {
        (Some(OperationType::Savepoint | OperationType::Checkpoint), _) => 0,
        (Some(OperationType::Rollback), _) if case.broken.is_some() => 2,
        (_, End::Runs) => 1,
        _ => 0,
    };
    assert_eq!(starts, expected, "{name}: {claims:?}");
    let pointer = pointer.expect("the job has run");
    match case.end {
        End::Gone => {
            let wished = (case.spec)()["onDelete"]["savepoint"].is_string();
            let stopped = matches!(pointer.run_state, RunState::Stopped(_));
            assert_eq!(stopped, wished, "{name}: {pointer:?}");
        }
        End::Suspended => {
            assert!(matches!(pointer.run_state, RunState::Stopped(_)), "{name}");
            assert_eq!(world.names("", "Pod").await, Vec::<String>::new(), "{name}");
        }
        End::Runs => check_running(world, case, &claims, name).await,
    }
}

async fn check_running(world: &World, case: &Case, claims: &[Claim], name: &str) {
    let status = world.status().await;
    let deployment = status.deployment.expect("it runs");
    let running = world
        .inside()
        .managers
        .values()
        .filter(|m| m.leads())
        .count();
    assert_eq!(running, 1, "{name}");
    let spec = world.spec().await;
    let workers = spec.task_manager.replicas.unwrap_or(1);
    let mut expected: Vec<_> = (0..workers)
        .map(|i| format!("{JOB}-t{deployment}-{i}"))
        .collect();
    expected.insert(0, format!("{JOB}-j{deployment}-0"));
    assert_eq!(world.names("", "Pod").await, expected, "{name}");
    let map = format!("{JOB}-d{deployment}");
    assert_eq!(
        world.names("", "ConfigMap").await,
        [map],
        "{name}: left over"
    );
    let by_savepoint = (case.spec)()["upgrade"]["mode"] != "LastState" && case.told == "latest";
    let operation = |claim: &Claim| claim.restored.as_ref()?.operation.clone();
    if let (Some(OperationType::Upgrade | OperationType::Restart), true) = (case.kind, by_savepoint)
    {
        let word = if case.kind == Some(OperationType::Restart) {
            "restart"
        } else {
            "upgrade"
        };
        let from = claims.iter().find(|claim| claim.first).and_then(operation);
        assert!(
            from.is_some_and(|from| from.starts_with(word)),
            "{name}: {claims:?}"
        );
    }
    if case.kind == Some(OperationType::Savepoint) {
        let last = status
            .savepoint
            .and_then(|savepoint| savepoint.last)
            .expect("a savepoint");
        assert_eq!(last.nonce.as_deref(), Some("7"), "{name}");
        assert!(last.id.is_some(), "{name}: {last:?}");
        assert!(
            world.inside().storage.taken.contains_key("savepoint-7"),
            "{name}"
        );
    }
}

/// So many cases at once: they wait for the API server more than they work.
const AT_ONCE: usize = 6;

/// In how many of these runs the operator was killed: in others it came through before.
async fn run_all(jobs: Vec<(usize, Arc<Budget>)>) -> usize {
    use futures_util::StreamExt;
    let runs = jobs.into_iter().map(|(index, budget)| async move {
        let killed = run(&CASES[index], &budget).await;
        usize::from(killed)
    });
    let ran = futures_util::stream::iter(runs).buffer_unordered(AT_ONCE);
    ran.fold(0, async |sum, killed| sum + killed).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_whose_operator_is_killed_once_comes_to_its_end() {
    // At a different effect in each; the long form goes through all of them.
    let effects = |index: usize| 2 + (index * 5) % 11;
    let jobs = (0..CASES.len()).map(|index| (index, Budget::killed_after(effects(index))));
    let killed = run_all(jobs.collect()).await;
    assert!(killed >= CASES.len() / 2, "only {killed} were killed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: make k8s-faults"]
async fn an_operation_comes_to_its_end_wherever_its_operator_is_killed() {
    // Those whose name has this word in it, if one is given: `WEIR_TEST_CASES=rollback`.
    let wanted = std::env::var("WEIR_TEST_CASES").unwrap_or_default();
    let cases = CASES.iter().enumerate();
    for (index, case) in cases.filter(|(_, case)| case.name.contains(&wanted)) {
        let whole = Budget::unlimited();
        assert!(!run(case, &whole).await, "it is not killed");
        let budgets = killed_at(&whole.effects());
        let wanted = budgets.len();
        let killed = run_all(budgets.into_iter().map(|budget| (index, budget)).collect()).await;
        // It takes an effect more or less where timing differs; the more there are, the more.
        assert!(
            killed + 3 + wanted / 10 >= wanted,
            "{}: {killed} of {wanted}",
            case.name
        );
        let effects = whole.used();
        println!(
            "{}: killed {killed} times of {wanted}, at {effects} effects",
            case.name
        );
    }
}

/// Until the job is settled.
pub(crate) async fn settle(world: &World, what: &str) {
    reach(world, what, is_settled).await;
}

/// Until something is so. How many turns that takes depends on the machine.
pub(crate) async fn reach(world: &World, what: &str, done: impl AsyncFn(&World) -> bool) {
    let operator = world.operator(&Budget::unlimited());
    assert_eq!(drive(world, &operator, what, done).await, Turn::Done);
}

/// Turns and moments, whatever they bring.
pub(crate) async fn go_on(world: &World, turns: u32) {
    let operator = world.operator(&Budget::unlimited());
    for _ in 0..turns {
        world.turn(&operator).await;
        world.tick().await;
    }
}
