//! Two operators that are to look after one job.

use weir_crd::{Condition, ConditionStatus, StreamJobStatus};

use super::super::{Action, Decision, decide};
use super::model::World;

fn accepted(status: &StreamJobStatus) -> Option<&Condition> {
    let mut conditions = status.conditions.iter();
    conditions.find(|condition| condition.kind == "Accepted")
}

/// A turn of an operator, and what is written by it.
fn turn(world: &mut World, own: &str, gone: &[&str]) -> Decision {
    let mut observed = world.observed();
    observed.operators.own = own.to_owned();
    observed.operators.gone = gone.iter().map(|name| (*name).to_owned()).collect();
    let decision = decide(&observed);
    world.status = decision.status.clone();
    decision
}

#[test]
fn the_second_operator_leaves_a_job_alone_and_nobody_writes_for_ever() {
    let mut world = World::new(1);
    turn(&mut world, "a/weir", &[]);
    assert_eq!(world.status.operator.as_deref(), Some("a/weir"));
    let decision = turn(&mut world, "b/weir", &[]);
    assert_eq!(decision.actions, Vec::<Action>::new());
    let told = accepted(&world.status).expect("a condition");
    assert_eq!(told.status, ConditionStatus::False);
    assert_eq!(told.reason, "ForeignOperator");
    assert!(told.message.contains("b/weir leaves"), "{}", told.message);
    for own in ["a/weir", "b/weir", "a/weir", "b/weir"] {
        let before = world.status.clone();
        let decision = turn(&mut world, own, &[]);
        let acts = !decision.actions.is_empty();
        assert_eq!(acts, own == "a/weir");
        assert_eq!(accepted(&world.status), accepted(&before), "{own}");
    }
    // Once the first one is gone, the second one takes its place.
    let decision = turn(&mut world, "b/weir", &["a/weir"]);
    assert!(!decision.actions.is_empty());
    assert_eq!(world.status.operator.as_deref(), Some("b/weir"));
    let told = accepted(&world.status).expect("a condition");
    assert_eq!(told.status, ConditionStatus::True);
}

#[test]
fn once_the_second_operator_is_gone_nothing_is_said_of_it() {
    let mut world = World::new(2);
    turn(&mut world, "a/weir", &[]);
    turn(&mut world, "b/weir", &[]);
    turn(&mut world, "a/weir", &["b/weir"]);
    assert_eq!(world.status.refused_operator, None);
    let told = accepted(&world.status).expect("a condition");
    assert_eq!(told.status, ConditionStatus::True);
}
