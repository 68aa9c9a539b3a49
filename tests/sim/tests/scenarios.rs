//! The interleavings that the rules of checkpoints and fencing exist for, each by its name, over a
//! range of seeds for all that the scenario leaves open.

use weir_tests_sim::{Fate, Fault, Operation, Plan, Point, PointFault, Report, Then, run};

const RUNS: u64 = 60;

/// Runs a scenario again and again; gives all reports of it.
fn scenario(change: impl Fn(&mut Plan)) -> Vec<Report> {
    let run_one = |seed| {
        let mut plan = Plan::quiet(seed);
        change(&mut plan);
        let report = run(plan);
        assert_eq!(report.violation, None, "seed {seed}");
        report
    };
    (0..RUNS).map(run_one).collect()
}

fn some(reports: &[Report], wanted: impl Fn(&Report) -> bool) {
    let count = reports.iter().filter(|report| wanted(report)).count();
    assert!(
        count > reports.len() / 4,
        "it happened in {count} of {} runs only",
        reports.len()
    );
}

/// A leader that is stopped just before it writes a checkpoint's metadata, and wakes when its
/// successor has completed a checkpoint of the same number, must not overwrite that.
#[test]
fn a_leader_that_wakes_late_does_not_overwrite_its_successors_checkpoint() {
    for nth in 0..4 {
        let pause = PointFault::Pause(200);
        let reports = scenario(|plan| plan.points = vec![(Point::WriteMetadata, nth, pause)]);
        some(&reports, |report| report.epochs >= 2);
    }
}

/// A write of the pointer that arrives after its writer has read back must not complete a
/// checkpoint that was given up.
#[test]
fn a_write_that_arrives_after_the_read_back_completes_nothing_that_was_given_up() {
    for after in [1, 5, 10, 40, 120] {
        scenario(|plan| {
            let late = PointFault::Fate(Fate::Late(after));
            plan.points = vec![
                (Point::WritePointer, 1, late),
                (Point::WritePointer, 1, PointFault::FailTask),
                (Point::WritePointer, 2, late),
            ];
        });
    }
}

#[test]
fn a_write_whose_answer_is_lost_completes_its_checkpoint() {
    let lost = PointFault::Fate(Fate::LostAnswer);
    let reports = scenario(|plan| {
        plan.points = (0..6).map(|nth| (Point::WritePointer, nth, lost)).collect();
    });
    some(&reports, |report| {
        report.completed >= 4 && report.epochs == 1
    });
}

/// A leader that is killed while its write is under way leaves it in doubt to its successor, whose
/// claim decides.
#[test]
fn a_claim_decides_what_its_predecessor_left_in_doubt() {
    for after in [1, 20, 60] {
        let reports = scenario(|plan| {
            plan.job_managers = 1;
            plan.points = vec![
                (Point::WritePointer, 1, PointFault::Fate(Fate::Late(after))),
                (Point::Trigger, 2, PointFault::Kill),
            ];
            plan.faults = vec![(70, Fault::KillJm(0)), (110, Fault::KillJm(0))];
        });
        some(&reports, |report| report.epochs >= 2);
    }
}

#[test]
fn a_leader_is_killed_at_each_of_its_steps() {
    for point in weir_tests_sim::POINTS {
        for nth in 0..4 {
            scenario(|plan| plan.points = vec![(point, nth, PointFault::Kill)]);
        }
    }
}

#[test]
fn a_leader_is_stopped_at_each_of_its_steps_until_another_leads() {
    for point in weir_tests_sim::POINTS {
        scenario(|plan| plan.points = vec![(point, 1, PointFault::Pause(250))]);
    }
}

/// A container of the old deployment that is restarted must never lead the job again.
#[test]
fn a_process_of_an_older_deployment_never_takes_the_job_back() {
    let reports = scenario(|plan| {
        plan.faults = vec![
            (90, Fault::Upgrade(true)),
            (120, Fault::KillJm(0)),
            (150, Fault::KillJm(1)),
            (200, Fault::KillJm(0)),
        ];
    });
    some(&reports, |report| report.epochs >= 2);
}

/// The savepoint to stop with is complete, its leader is lost before the commits: the successor
/// only finishes them, and nothing is read that the savepoint does not hold.
#[test]
fn a_stopped_job_only_finishes_its_commits_under_a_new_leader() {
    for nth in 0..6 {
        scenario(|plan| {
            plan.operations = vec![Operation {
                at: 60,
                then: Then::Stop,
            }];
            plan.points = vec![(Point::Complete, nth, PointFault::Kill)];
            plan.commit_errors_per_mille = 300;
        });
    }
}

#[test]
fn a_stopped_job_goes_on_in_its_next_deployment_at_another_parallelism() {
    scenario(|plan| {
        plan.operations = vec![Operation {
            at: 60,
            then: Then::Stop,
        }];
        plan.parallelism = vec![[2, 2, 2], [1, 3, 1], [3, 1, 2]];
    });
}

#[test]
fn a_drained_job_shows_all_that_it_has_read() {
    scenario(|plan| {
        plan.operations = vec![Operation {
            at: 70,
            then: Then::Drain,
        }];
        plan.faults = vec![(85, Fault::FailTask)];
    });
}

/// A TaskManager that is stopped beyond its heartbeat wakes in the same epoch: what its tasks still
/// say must not count for their successors.
#[test]
fn a_task_that_wakes_late_does_not_acknowledge_for_its_successor() {
    for at in [60, 75, 90] {
        let reports = scenario(|plan| plan.faults = vec![(at, Fault::PauseTm(0, 100))]);
        some(&reports, |report| report.restarts >= 1);
    }
}

#[test]
fn splits_that_were_handed_out_after_the_restored_checkpoint_are_read_again() {
    let reports = scenario(|plan| {
        plan.splits = vec![3; 10];
        plan.faults = vec![
            (60, Fault::FailTask),
            (100, Fault::KillTm(0)),
            (150, Fault::FailTask),
        ];
    });
    some(&reports, |report| report.restarts >= 2);
}

#[test]
fn a_commit_that_is_repeated_late_or_refused_at_first_gives_the_same_output() {
    scenario(|plan| {
        plan.commit_errors_per_mille = 400;
        plan.twice_per_mille = 300;
        plan.faults = vec![(80, Fault::KillTm(1))];
    });
}

/// The collector is stopped between mark and delete, and another leader goes on meanwhile.
#[test]
fn a_collector_that_wakes_late_deletes_nothing_that_is_needed() {
    for nth in 0..6 {
        scenario(|plan| {
            plan.splits = vec![12; 4];
            plan.interval = 15;
            plan.points = vec![(Point::Marked, nth, PointFault::Pause(200))];
        });
    }
}

/// The job has ended; whoever comes later finds that and leaves it so.
#[test]
fn a_finished_job_is_not_run_again() {
    scenario(|plan| {
        plan.splits = vec![2, 2];
        plan.points = vec![(Point::WritePointer, 1, PointFault::Fate(Fate::LostAnswer))];
        plan.faults = vec![
            (60, Fault::KillJm(0)),
            (90, Fault::KillJm(1)),
            (120, Fault::KillJm(0)),
        ];
    });
}

#[test]
fn one_way_cuts_and_an_outage_of_the_store_lose_nothing() {
    scenario(|plan| {
        plan.errors_per_mille = 50;
        plan.faults = vec![
            (50, Fault::CutUp(0, 0, 100)),
            (160, Fault::CutDown(0, 1, 100)),
            (240, Fault::StoreDown(100)),
            (300, Fault::ClockBack),
        ];
    });
}
