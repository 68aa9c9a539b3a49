//! Jobs of two regions that exchange no records: what fails of them is not always all of it.

#[path = "support/scenarios.rs"]
mod support;

use support::{finds, scenario, some};
use weir_tests_sim::{Bug, Fate, Fault, Operation, Plan, Point, PointFault, Then};

/// Two regions, with more to read.
fn two(plan: &mut Plan) {
    plan.regions = 2;
    plan.splits = vec![5; 12];
    plan.interval = 15;
}

fn ask(plan: &mut Plan, at: u64, then: Then) {
    plan.operations = vec![Operation { at, then }];
}

#[test]
fn a_region_that_fails_is_restarted_alone_and_reads_again_what_it_was_given_since() {
    let plan = |plan: &mut Plan| {
        two(plan);
        plan.faults = [60, 100, 150].map(|at| (at, Fault::FailTask)).to_vec();
    };
    let reports = scenario(plan);
    some(&reports, |report| report.partial_restarts >= 2);
    finds(Bug::SplitsNotGivenBack, plan);
}

/// Its sources end at once when a drain begins. A region that went on alone would come to the end
/// of its input as if that were the end of all.
#[test]
fn a_job_that_is_being_drained_goes_back_as_a_whole_when_a_region_fails() {
    let plan = |plan: &mut Plan| {
        two(plan);
        plan.patience = 0;
        ask(plan, 85, Then::Drain);
        plan.faults = [92, 98, 104, 110].map(|at| (at, Fault::FailTask)).to_vec();
    };
    let reports = scenario(plan);
    some(&reports, |report| report.restarts >= 1);
    finds(Bug::DrainedApart, plan);
}

/// What has finished, or is about to and has not said so, takes part in no other last checkpoint,
/// for which a region that failed amid its last commits would wait.
#[test]
fn a_region_that_fails_in_its_last_commits_takes_those_along_that_have_finished() {
    let plan = |plan: &mut Plan| {
        two(plan);
        plan.splits = vec![1, 2, 1, 2];
        plan.commit_errors_per_mille = 300;
    };
    let reports = scenario(plan);
    some(&reports, |report| report.restarts >= 1);
    finds(Bug::FinishedLeftBehind, plan);
}

/// The record of the end is refused, and tried again a while later. Meanwhile a TaskManager is lost
/// whose tasks have nothing to commit, and have not heard that all is over.
#[test]
fn what_fails_after_the_last_commits_is_not_started_again() {
    let plan = |plan: &mut Plan| {
        two(plan);
        plan.splits = vec![1, 2, 1, 2];
        plan.parallelism = vec![[2, 2, 1]];
        plan.interval = 1_000;
        let refused = PointFault::Fate(Fate::Refused);
        let stands_still = PointFault::PauseTm(0, 120);
        plan.points = [refused, stands_still]
            .map(|fault| (Point::Complete, 0, fault))
            .to_vec();
    };
    let reports = scenario(plan);
    some(&reports, |report| report.restarts >= 1);
}

/// The savepoint that a job stops with is asked for, and comes to its end, while regions fail and
/// come back: behind it nothing is read, and nothing of it stays uncommitted.
#[test]
fn a_job_stops_with_a_savepoint_while_a_region_is_restarted() {
    for at in [75, 85, 95, 105, 115] {
        let reports = scenario(|plan| {
            two(plan);
            plan.parallelism = vec![[2, 2, 2], [1, 2, 1]];
            ask(plan, 85, Then::Stop);
            plan.faults = vec![(at, Fault::FailTask), (at + 9, Fault::FailTask)];
            plan.commit_errors_per_mille = 200;
        });
        some(&reports, |report| report.partial_restarts >= 1);
    }
}

/// While the write of the pointer for a savepoint or checkpoint is in doubt a region fails. It
/// waits for the outcome; the other one, which runs on, learns of it later or never.
#[test]
fn a_region_fails_while_a_write_of_the_pointer_is_in_doubt() {
    for fate in [Fate::LostAnswer, Fate::Late(60), Fate::Refused] {
        for then in [Then::Continue, Then::Stop, Then::Drain] {
            let reports = scenario(|plan| {
                two(plan);
                ask(plan, 60, then);
                let at = |nth| (Point::WritePointer, nth, PointFault::Fate(fate));
                plan.points = (0..4).map(at).collect();
                let fails = |nth| (Point::WritePointer, nth, PointFault::FailTask);
                plan.points.extend((0..4).map(fails));
            });
            some(&reports, |report| report.restarts >= 1);
        }
    }
}

/// Two checkpoints at once, each with two enumerators to ask: a split is with its enumerator or
/// with its reader in each of them.
#[test]
fn checkpoints_that_overlap_find_each_split_once() {
    let plan = |plan: &mut Plan| {
        two(plan);
        plan.splits = vec![1; 30];
        plan.interval = 10;
        plan.max_concurrent = 2;
        ask(plan, 75, Then::Continue);
        plan.faults = [90, 130, 170].map(|at| (at, Fault::FailTask)).to_vec();
    };
    let reports = scenario(plan);
    some(&reports, |report| report.partial_restarts >= 1);
    finds(Bug::SplitsNotHeld, plan);
}
