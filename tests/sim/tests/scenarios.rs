//! The interleavings that the rules of checkpoints and fencing exist for, each by its name, over a
//! range of seeds for all that the scenario leaves open.

#[path = "support/scenarios.rs"]
mod support;

use support::{RUNS, finds, scenario, some};
use weir_tests_sim::{Bug, Fate, Fault, Operation, Plan, Point, PointFault, Then, run};

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
        let plan = |plan: &mut Plan| {
            let late = PointFault::Fate(Fate::Late(after));
            plan.points = vec![
                (Point::WritePointer, 1, late),
                (Point::WritePointer, 1, PointFault::FailTask),
                (Point::WritePointer, 2, late),
            ];
        };
        scenario(plan);
        finds(Bug::InDoubtIsFailed, plan);
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

/// Its results are prepared and not stored, stored and not acknowledged, committed in part: the
/// next attempt finds what the last one has left.
#[test]
fn a_process_is_killed_at_each_step_of_its_tasks() {
    for point in weir_tests_sim::TASK_POINTS {
        for nth in [0, 1, 3, 6, 10, 15] {
            scenario(|plan| plan.points = vec![(point, nth, PointFault::Kill)]);
        }
    }
}

#[test]
fn a_process_stands_still_after_each_step_of_its_tasks_until_others_do_its_work() {
    for point in weir_tests_sim::TASK_POINTS {
        scenario(|plan| plan.points = vec![(point, 3, PointFault::Pause(150))]);
    }
}

/// Several transactions of one sink are to be committed, its process is killed after some of them.
#[test]
fn a_sink_that_is_killed_between_two_commits_commits_each_result_once() {
    for nth in 0..8 {
        let plan = |plan: &mut Plan| {
            plan.task_managers = 1;
            plan.parallelism = vec![[2, 2, 1]];
            plan.points = vec![
                (Point::Commit, nth, PointFault::Kill),
                (Point::Commit, nth + 3, PointFault::Kill),
            ];
            plan.commit_errors_per_mille = 200;
        };
        let reports = scenario(plan);
        some(&reports, |report| report.restarts >= 1);
    }
}

/// Nothing that has to happen in time is measured by a clock that people or their services set, and
/// what is young by the store's clock stays.
#[test]
fn clocks_that_jump_an_hour_change_nothing() {
    for fault in [Fault::ClockBack, Fault::ClockAhead] {
        let plan = |plan: &mut Plan| {
            plan.splits = vec![12; 4];
            plan.interval = 15;
            plan.errors_per_mille = 100;
            let fails = |at| [(at, Fault::FailTask), (at + 4, fault)];
            plan.faults = [80, 160, 240].into_iter().flat_map(fails).collect();
        };
        let reports = scenario(plan);
        some(&reports, |report| report.completed >= 3);
        let shows = match fault {
            Fault::ClockBack => Bug::WallClock,
            _ => Bug::AgeAlone,
        };
        finds(shows, plan);
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
    finds(Bug::Reanimated, |plan| {
        plan.operations = vec![Operation {
            at: 60,
            then: Then::Stop,
        }];
        plan.faults = vec![(80, Fault::KillJm(0)), (80, Fault::KillJm(1))];
    });
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
    let plan = |plan: &mut Plan| {
        plan.splits = vec![3; 10];
        plan.faults = vec![
            (60, Fault::FailTask),
            (100, Fault::KillTm(0)),
            (150, Fault::FailTask),
        ];
    };
    let reports = scenario(plan);
    some(&reports, |report| report.restarts >= 2);
    finds(Bug::SplitsNotGivenBack, plan);
}

/// A split that is handed out while a checkpoint is between the enumerator and the readers is in
/// one of the two.
#[test]
fn a_split_is_either_with_its_enumerator_or_with_its_reader() {
    let plan = |plan: &mut Plan| {
        plan.splits = vec![1; 24];
        plan.interval = 14;
        plan.faults = vec![(90, Fault::FailTask), (160, Fault::FailTask)];
    };
    scenario(plan);
    finds(Bug::SplitsNotHeld, plan);
}

#[test]
fn a_commit_that_is_repeated_late_or_refused_at_first_gives_the_same_output() {
    let plan = |plan: &mut Plan| {
        plan.commit_errors_per_mille = 400;
        plan.twice_per_mille = 300;
        plan.faults = vec![(80, Fault::KillTm(1))];
    };
    scenario(plan);
    finds(Bug::CommitNotIdempotent, plan);
    finds(Bug::CommitErrorSwallowed, plan);
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

/// A TaskManager that is told to start a task, and stands still until the job has been restarted
/// and has let go of what the task was to restore, finds that gone: nobody minds.
#[test]
fn a_task_that_starts_late_finds_its_snapshot_gone_and_nobody_minds() {
    let late = PointFault::PauseTm(0, 420);
    let reports = scenario(|plan| {
        plan.splits = vec![12; 5];
        plan.parallelism = vec![[1, 2, 2]];
        plan.faults = vec![(90, Fault::FailTask)];
        plan.points = vec![(Point::Deploy, 1, late)];
    });
    some(&reports, |report| {
        report.restarts >= 2 && report.ended_at > 520
    });
}

/// A TaskManager whose word that its tasks are deployed gets lost must not count as if nothing had
/// happened because an older request of it is answered afterwards.
#[test]
fn a_lost_word_of_a_task_manager_costs_a_new_registration_and_not_the_job() {
    for at in 28..34 {
        scenario(|plan| {
            (plan.job_managers, plan.task_managers) = (1, 1);
            plan.faults = vec![
                (at, Fault::PauseJm(0, 40)),
                (at + 39, Fault::CutUp(0, 0, 25)),
            ];
        });
    }
}

/// The store is out of a leader's reach for longer than the grace period while it writes the
/// pointer, and a person's collector, which sees no snapshot that needs them, deletes the objects
/// of the checkpoint. The pointer must not name it afterwards.
#[test]
fn a_collector_in_another_process_and_a_write_in_doubt_beyond_the_grace_period() {
    for nth in 0..4 {
        let cut = PointFault::CutStore(380);
        let plan = |plan: &mut Plan| {
            plan.job_managers = 1;
            plan.splits = vec![12; 4];
            plan.points = vec![(Point::WritePointer, nth, cut)];
        };
        let reports = scenario(plan);
        finds(Bug::RewrittenLate, plan);
        some(&reports, |report| {
            report.epochs == 1 && report.ended_at > 450
        });
    }
}

/// While nobody can be elected the leader leads on: nobody can be in its place, and each of its
/// writes of the pointer shows that nobody is.
#[test]
fn a_leader_goes_on_while_nobody_can_be_elected() {
    let reports = scenario(|plan| {
        plan.splits = vec![9; 4];
        plan.faults = vec![(60, Fault::ElectionDown(400))];
    });
    some(&reports, |report| {
        report.epochs == 1 && report.restarts == 0 && report.ended_at > 200
    });
}

/// Without the pointer nobody knows what the job's newest state is. Starting with none, or with
/// what a listing shows, would lose or repeat results.
#[test]
fn a_job_whose_pointer_is_gone_is_not_started() {
    for seed in 0..RUNS {
        let mut plan = Plan::quiet(seed);
        plan.job_managers = 1;
        plan.splits = vec![12; 4];
        plan.faults = vec![(220, Fault::PointerGone), (225, Fault::KillJm(0))];
        let violation = run(plan).violation.unwrap_or_default();
        assert!(
            violation.contains("the pointer that says which are its newest is missing"),
            "seed {seed}: {violation}"
        );
    }
}

/// Going back to the former program goes on from the newest snapshot: what the new one has
/// committed since the upgrade is not emitted again.
#[test]
fn a_rollback_goes_on_from_the_newest_snapshot() {
    let reports = scenario(|plan| {
        plan.splits = vec![9; 4];
        plan.parallelism = vec![[2, 2, 2], [1, 2, 1], [2, 2, 2]];
        plan.operations = vec![Operation {
            at: 60,
            then: Then::Continue,
        }];
        plan.faults = vec![(110, Fault::Upgrade(false)), (260, Fault::Upgrade(false))];
    });
    some(&reports, |report| report.epochs >= 3);
}

/// A snapshot that cannot be read just now is waited for: results after an older one are visible.
#[test]
fn a_newest_snapshot_that_cannot_be_read_is_waited_for() {
    let plan = |plan: &mut Plan| {
        plan.splits = vec![9; 4];
        plan.errors_per_mille = 100;
        let kill = |at| [(at, Fault::KillJm(0)), (at, Fault::KillJm(1))];
        plan.faults = [80, 250, 420].into_iter().flat_map(kill).collect();
    };
    let reports = scenario(plan);
    finds(Bug::UnreadableIgnored, plan);
    some(&reports, |report| report.epochs >= 2);
}

/// Whoever asks again after a lost answer, also another leader, gets the same savepoint.
#[test]
fn an_operation_that_is_asked_for_again_has_one_savepoint() {
    for nth in 0..4 {
        let plan = |plan: &mut Plan| {
            let at = |at| Operation {
                at,
                then: Then::Continue,
            };
            plan.operations = vec![at(40), at(90)];
            plan.points = vec![
                (Point::WritePointer, nth, PointFault::Fate(Fate::LostAnswer)),
                (Point::Complete, nth, PointFault::Kill),
            ];
        };
        scenario(plan);
        finds(Bug::RequestRepeated, plan);
    }
}

/// Of two checkpoints at once the newer completes, and lets go of what the older builds on; or a
/// task builds on one that it does not know to be let go of.
#[test]
fn a_checkpoint_on_top_of_one_that_is_let_go_of_does_not_complete() {
    let reports = scenario(|plan| {
        plan.splits = vec![12; 4];
        plan.interval = 12;
        plan.max_concurrent = 2;
        plan.twice_per_mille = 100;
        plan.faults = vec![(90, Fault::CutDown(0, 0, 10)), (140, Fault::PauseTm(1, 40))];
    });
    some(&reports, |report| report.completed >= 5);
}

/// What has changed since the last completed checkpoint is in the next one, whatever became of
/// those in between.
#[test]
fn what_was_in_a_checkpoint_that_was_given_up_is_in_the_next_one() {
    let plan = |plan: &mut Plan| {
        plan.splits = vec![12; 4];
        plan.interval = 15;
        plan.errors_per_mille = 100;
        plan.faults = vec![(200, Fault::FailTask)];
    };
    let reports = scenario(plan);
    finds(Bug::AbortedDirtyLost, plan);
    some(&reports, |report| {
        report.restarts >= 1 && report.completed >= 2
    });
}

/// A task that is slow to stop goes on beside its successor: what it says, reads and sends counts
/// for nobody.
#[test]
fn an_attempt_that_is_slow_to_stop_disturbs_nobody() {
    let plan = |plan: &mut Plan| {
        plan.task_managers = 1;
        plan.splits = vec![12; 4];
        plan.interval = 12;
        plan.faults = (0..8).map(|i| (50 + 55 * i, Fault::FailTask)).collect();
    };
    let reports = scenario(plan);
    some(&reports, |report| report.restarts >= 4);
    // Its leader waits for it, unless the TaskManager and the leader have lost each other.
    let plan = |plan: &mut Plan| {
        (plan.job_managers, plan.task_managers) = (1, 1);
        plan.splits = vec![12; 4];
        plan.interval = 12;
        plan.faults = (0..5)
            .map(|i| (80 + 80 * i, Fault::CutUp(0, 0, 25)))
            .collect();
    };
    let reports = scenario(plan);
    finds(Bug::AnyAttempt, plan);
    finds(Bug::AnyChannel, plan);
    some(&reports, |report| report.restarts >= 3);
}

/// Its pointer says so, its tasks have ended, and its next deployment goes on from its newest
/// snapshot, whatever was under way.
#[test]
fn a_job_that_has_failed_for_good_goes_on_where_its_newest_snapshot_is() {
    for then in [Then::Continue, Then::Stop, Then::Drain] {
        let reports = scenario(|plan| {
            plan.gives_up = true;
            plan.operations = vec![Operation { at: 60, then }];
            plan.faults = (0..6).map(|i| (70 + 25 * i, Fault::FailTask)).collect();
            plan.fates_per_mille = 200;
        });
        some(&reports, |report| report.epochs >= 2);
    }
}

/// A job is cancelled at any moment, also while it stops or its last results are being committed:
/// its next deployment goes on from its newest snapshot, and commits what that holds.
#[test]
fn a_cancelled_job_goes_on_where_its_newest_snapshot_is() {
    for at in [40, 65, 75, 85, 95] {
        let reports = scenario(|plan| {
            plan.faults = vec![(at, Fault::CancelJob), (at + 120, Fault::CancelJob)];
            plan.operations = vec![Operation {
                at: 60,
                then: Then::Stop,
            }];
            plan.fates_per_mille = 200;
            plan.commit_errors_per_mille = 200;
        });
        some(&reports, |report| report.epochs >= 3);
    }
}

/// A job whose checkpoints go with it is cancelled at any moment: what it has stored is deleted,
/// but for savepoints, and its next deployment begins with no state.
#[test]
fn a_cancelled_job_whose_checkpoints_go_with_it_starts_anew() {
    for at in [40, 65, 75, 85, 95] {
        let plan = |plan: &mut Plan| {
            plan.deletes = true;
            plan.faults = vec![(at, Fault::CancelJob), (at + 120, Fault::CancelJob)];
            plan.operations = vec![Operation {
                at: 30,
                then: Then::Continue,
            }];
            plan.fates_per_mille = 200;
            plan.errors_per_mille = 100;
        };
        let reports = scenario(plan);
        some(&reports, |report| report.epochs >= 3);
        finds(Bug::SavepointsCleared, plan);
    }
}

/// Its leader is killed or stopped while it deletes, and nobody else deletes what is needed.
#[test]
fn a_leader_that_deletes_the_checkpoints_of_a_cancelled_job_is_killed_at_any_moment() {
    for (nth, fault) in [PointFault::Kill, PointFault::Pause(250)]
        .into_iter()
        .flat_map(|fault| (0..3).map(move |nth| (nth, fault)))
    {
        scenario(|plan| {
            plan.deletes = true;
            plan.faults = vec![(90, Fault::CancelJob), (200, Fault::CancelJob)];
            plan.points = vec![(Point::Marked, nth, fault), (Point::Marked, nth + 4, fault)];
        });
    }
}

/// A job that waits longer for slots than it may fails, is restarted, and waits again, until they
/// are back.
#[test]
fn a_job_that_waits_too_long_for_slots_is_restarted_until_they_are_back() {
    let reports = scenario(|plan| {
        plan.slot_timeout = 40;
        plan.faults = vec![
            (60, Fault::PauseTm(0, 200)),
            (80, Fault::KillTm(1)),
            (120, Fault::PauseTm(1, 200)),
        ];
    });
    some(&reports, |report| report.restarts >= 1);
}
