//! Every mode and strategy of an upgrade against every state of the job and of its storage: each
//! has its result, and no other.

use serde_json::json;
use weir_crd::{Condition, ConditionStatus, Phase, Step, UpgradeMode, UpgradeStrategy};

use super::model::{World, turns};
use crate::observe::RunState;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Job {
    Runs,
    /// Its JobManager leads, and the job does not come to run.
    Restarts,
    /// No JobManager leads.
    Headless,
    Failed,
    Suspended,
    NeverRan,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Fits,
    /// The new revision can't go on from it.
    Unfit,
    /// The storage does not answer.
    Away,
    /// No checkpoint has completed.
    Empty,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    /// The new revision runs, from the savepoint that the upgrade took.
    Savepoint,
    /// The new revision runs, from the newest snapshot that there was.
    Latest,
    /// The new revision runs, with no state.
    Nothing,
    /// What was there goes on untouched, and the revision is refused.
    Refused,
    /// It was tried, and the old revision came back.
    RolledBack,
    /// Nothing is touched until the storage is back, and a person is told.
    Waits,
    /// Nothing runs until the storage is back, and a person is told.
    WaitsToStart,
}

fn expected(mode: UpgradeMode, job: Job, state: State) -> Outcome {
    use Outcome::{Latest, Nothing, Refused, RolledBack, Savepoint, Waits, WaitsToStart};
    let stateless = mode == UpgradeMode::Stateless;
    match (job, state) {
        (Job::Runs | Job::Restarts | Job::Headless, State::Away) => Waits,
        (Job::Failed | Job::Suspended | Job::NeverRan, State::Away) => WaitsToStart,
        // Nothing was ever stored.
        (Job::NeverRan, _) => Nothing,
        // The suspension took a savepoint; resuming is no upgrade, whatever the mode.
        (Job::Suspended, State::Unfit) => RolledBack,
        (Job::Suspended, _) => Latest,
        _ if stateless => Nothing,
        (Job::Failed, State::Unfit) => RolledBack,
        (_, State::Unfit) => Refused,
        (Job::Runs, _) if mode == UpgradeMode::Savepoint => Savepoint,
        (_, State::Empty) => Nothing,
        (_, State::Fits) => Latest,
    }
}

fn until(world: &mut World, done: impl Fn(&World) -> bool) {
    for _ in 0..600 {
        if done(world) {
            return;
        }
        turns(world, 1);
    }
    panic!("it never comes: {:#?}", world.status);
}

/// Brings the job and its storage to where the cell begins.
fn begin(world: &mut World, job: Job, state: State) {
    world.no_checkpoints = state == State::Empty;
    if job == Job::NeverRan {
        world.no_image = Some("0".to_owned());
        turns(world, 20);
    } else {
        world.edit("rollback/minCheckpoints", json!(0));
        until(world, |world| world.status.phase == Some(Phase::Stable));
    }
    if state != State::Empty && job != Job::NeverRan {
        until(world, |world| {
            let pointer = world.pointer.as_ref();
            pointer.is_some_and(|pointer| pointer.latest.is_some())
        });
    }
    match job {
        Job::Runs | Job::NeverRan => {}
        Job::Restarts => {
            world.broken = Some("0".to_owned());
            turns(world, 3);
        }
        Job::Headless => {
            world.no_image = Some("0".to_owned());
            while world.pod_count() > 0 {
                world.kill_a_pod();
            }
            turns(world, 3);
        }
        Job::Failed => {
            world.end_job(RunState::Failed);
            until(world, |world| {
                world.status.phase == Some(Phase::Failed) && world.pod_count() == 0
            });
        }
        Job::Suspended => {
            world.edit("suspend", json!(true));
            until(world, |world| world.status.phase == Some(Phase::Suspended));
        }
    }
    match state {
        State::Fits | State::Empty => {}
        State::Unfit => world.incompatible = Some("1".to_owned()),
        State::Away => world.storage_is_down = true,
    }
}

fn condition<'a>(world: &'a World, kind: &str) -> Option<&'a Condition> {
    let mut conditions = world.status.conditions.iter();
    conditions.find(|condition| condition.kind == kind)
}

fn is_false(world: &World, kind: &str) -> bool {
    condition(world, kind).is_some_and(|found| found.status == ConditionStatus::False)
}

fn outcome(world: &World, old: Option<i64>, newest: i64, first_claim: usize) -> Option<Outcome> {
    let new = crate::revision(&world.spec()).whole;
    let runs = world.runs();
    let operation = world.status.operation.as_ref();
    if runs.as_ref() == Some(&new) && operation.is_none() {
        let claim = world.claims.get(first_claim)?;
        let restored = claim.restored.as_ref();
        return Some(match restored.map(|snapshot| snapshot.id) {
            None => Outcome::Nothing,
            Some(id) if id == newest => Outcome::Latest,
            Some(_) => Outcome::Savepoint,
        });
    }
    let refused = world.status.failed_revision.as_ref() == Some(&new);
    if refused && operation.is_none() && world.status.deployment == old {
        let told = is_false(world, "StateCompatible");
        return told.then_some(Outcome::Refused);
    }
    if refused && operation.is_none() && runs.is_some() {
        return Some(Outcome::RolledBack);
    }
    let waits = is_false(world, "StorageReachable");
    let step = operation.map(|operation| operation.step);
    if waits && step == Some(Step::Warming) && world.status.deployment == old {
        return Some(Outcome::Waits);
    }
    let starts = waits && step == Some(Step::AwaitRunning) && runs.is_none();
    starts.then_some(Outcome::WaitsToStart)
}

#[test]
fn each_upgrade_has_its_result() {
    let mut cells = 0;
    let mut wrong = Vec::new();
    for mode in [
        UpgradeMode::Savepoint,
        UpgradeMode::LastState,
        UpgradeMode::Stateless,
    ] {
        for strategy in [UpgradeStrategy::PreWarm, UpgradeStrategy::Recreate] {
            for job in [
                Job::Runs,
                Job::Restarts,
                Job::Headless,
                Job::Failed,
                Job::Suspended,
                Job::NeverRan,
            ] {
                for state in [State::Fits, State::Unfit, State::Away, State::Empty] {
                    cells += 1;
                    let found = cell(mode, strategy, job, state, cells);
                    let right = Some(expected(mode, job, state));
                    if found != right {
                        wrong.push(format!(
                            "{mode:?} {strategy:?} {job:?} {state:?}: {found:?}, not {right:?}"
                        ));
                    }
                }
            }
        }
    }
    assert_eq!(cells, 144);
    assert_eq!(wrong, Vec::<String>::new());
}

fn cell(
    mode: UpgradeMode,
    strategy: UpgradeStrategy,
    job: Job,
    state: State,
    seed: u64,
) -> Option<Outcome> {
    let mut world = World::new(seed);
    begin(&mut world, job, state);
    // Without a snapshot of its own between, the newest one is known by its number.
    world.no_checkpoints = true;
    let newest = world.pointer.as_ref().and_then(|p| p.latest.as_ref());
    let newest = newest.map_or(0, |latest| latest.id);
    let (old, first_claim) = (world.status.deployment, world.claims.len());
    world.edit("suspend", json!(false));
    world.edit("upgrade/mode", json!(mode));
    world.edit("upgrade/confirmStateLoss", json!(true));
    world.edit("upgrade/strategy", json!(strategy));
    world.edit("upgrade/savepointTimeout", json!("30s"));
    world.edit("job/args/v", json!("1"));
    let mut effective = None;
    for _ in 0..300 {
        turns(&mut world, 1);
        let operation = world.status.operation.as_ref();
        let warming = operation.filter(|operation| operation.step == Step::Warming);
        effective =
            effective.or_else(|| warming.and_then(|operation| operation.effective_strategy));
    }
    if let Some(effective) = effective {
        assert_eq!(effective, strategy, "{job:?} {state:?}");
    }
    outcome(&world, old, newest, first_claim)
}
