//! Savepoints, stopping and draining.

use super::*;

#[test]
fn a_savepoint_does_not_wait_for_a_periodic_checkpoint_and_becomes_latest() {
    let mut job = Job::running(config());
    job.wait(100);
    job.enumerated(7);
    assert_eq!(job.on(savepoint("a", Then::Continue)), ["enumerator 8"]);
    assert_eq!(job.enumerated(8), ["trigger 8 Continue x2"]);
    assert_eq!(
        job.wait(100),
        [""; 0],
        "no checkpoint overtakes a savepoint"
    );
    assert_eq!(job.ack_all(8), ["metadata savepoint-4-8"]);
    job.metadata(8);
    let done = job.written();
    assert_eq!(
        done,
        ["abort 7", "complete 8 x1", "answer a 8", "enumerator 9"]
    );
    assert_eq!(job.latest(), 8);
}

#[test]
fn a_request_is_answered_once_however_often_it_is_made() {
    let mut job = Job::new(config());
    assert_eq!(
        job.on(savepoint("a", Then::Continue)),
        [""; 0],
        "it waits for the start"
    );
    assert_eq!(job.on(savepoint("a", Then::Continue)), [""; 0]);
    assert_eq!(job.start(), ["enumerator 7"]);
    assert_eq!(job.on(savepoint("a", Then::Continue)), [""; 0]);
    job.until_pointer(7);
    assert_eq!(job.on(savepoint("a", Then::Continue)), [""; 0]);
    assert_eq!(job.written(), ["complete 7 x1", "answer a 7"]);
    assert_eq!(job.on(savepoint("a", Then::Continue)), ["answer a 7"]);
    let pointer = job.coordinator.pointer().clone();
    let mut successor = Job::from(config(), pointer);
    successor.start();
    assert_eq!(successor.on(savepoint("a", Then::Continue)), ["answer a 7"]);
}

#[test]
fn savepoints_are_taken_one_after_the_other() {
    let mut job = Job::running(config());
    assert_eq!(job.on(savepoint("a", Then::Continue)), ["enumerator 7"]);
    assert_eq!(job.on(savepoint("b", Then::Continue)), [""; 0]);
    job.until_pointer(7);
    assert_eq!(
        job.written(),
        ["complete 7 x1", "answer a 7", "enumerator 8"]
    );
}

#[test]
fn a_savepoint_that_fails_is_told_counts_for_nothing_and_may_be_asked_for_again() {
    let mut job = Job::running(config());
    job.on(savepoint("a", Then::Continue));
    let [one, ..] = job.all();
    assert_eq!(job.decline(7, one), ["abort 7", "answer a error"]);
    assert_eq!(job.on(savepoint("a", Then::Continue)), ["enumerator 8"]);
    assert_eq!(job.interrupt(), ["abort 8", "answer a error"]);
}

#[test]
fn a_savepoint_has_a_time_out_of_its_own() {
    let mut job = Job::running(config());
    job.on(savepoint("a", Then::Continue));
    assert_eq!(job.wait(4_999), [""; 0]);
    assert_eq!(job.wait(1), ["abort 7", "answer a error", "enumerator 8"]);
}

#[test]
fn stop_answers_only_when_all_is_committed() {
    let mut job = Job::running(config());
    job.wait(100);
    assert_eq!(
        job.on(savepoint("s", Then::Stop)),
        ["abort 7", "enumerator 8"]
    );
    assert_eq!(job.enumerated(8), ["trigger 8 Stop x2"]);
    job.ack_all(8);
    let stopping = "pointer 8 Stopping(OperationId(\"s\"))";
    assert_eq!(job.metadata(8), [stopping]);
    assert_eq!(job.written(), ["complete 8 last x1"]);
    assert_eq!(
        job.on(savepoint("s", Then::Stop)),
        [""; 0],
        "it is not stopped yet"
    );
    assert_eq!(job.on(savepoint("b", Then::Continue)), ["answer b error"]);
    assert_eq!(job.wait(10_000), [""; 0], "no checkpoint begins");
    assert_eq!(job.commit(7), [""; 0], "that is an older one");
    assert_eq!(job.commit(8), ["pointer 8 Stopped(OperationId(\"s\"))"]);
    assert_eq!(job.written(), ["answer s 8", "end stopped 8"]);
}

#[test]
fn a_job_that_fails_while_it_commits_its_last_results_only_commits_them() {
    let mut job = Job::running(config());
    job.on(savepoint("s", Then::Stop));
    job.until_pointer(7);
    job.written();
    assert_eq!(job.interrupt(), [""; 0]);
    assert_eq!(job.start(), ["complete 7 last x1"]);
    assert_eq!(job.wait(10_000), [""; 0]);
    assert_eq!(job.commit(7), ["pointer 7 Stopped(OperationId(\"s\"))"]);
    job.interrupt();
    assert_eq!(
        job.written(),
        ["answer s 7", "end stopped 7"],
        "all was committed"
    );
}

#[test]
fn a_successor_that_finds_the_job_stopping_only_finishes_the_commits() {
    let mut job = Job::running(config());
    job.on(savepoint("s", Then::Stop));
    job.until_pointer(7);
    job.written();
    let pointer = Pointer {
        epoch: Epoch(5),
        ..job.coordinator.pointer().clone()
    };
    let mut successor = Job::from(config(), pointer);
    assert_eq!(successor.start(), ["complete 7 last x1"]);
    assert_eq!(successor.on(savepoint("s", Then::Stop)), [""; 0]);
    assert_eq!(
        successor.commit(7),
        ["pointer 7 Stopped(OperationId(\"s\"))"]
    );
    let done = successor.written();
    assert_eq!(done, ["answer s 7", "end stopped 7"]);
}

#[test]
fn a_stop_in_doubt_is_resolved_before_anything_runs_again() {
    let mut job = Job::running(config());
    job.on(savepoint("s", Then::Stop));
    job.until_pointer(7);
    assert_eq!(job.interrupt(), [""; 0]);
    assert_eq!(job.written(), [""; 0]);
    assert_eq!(job.start(), ["complete 7 last x1"]);
    let mut failed = Job::running(config());
    failed.on(savepoint("s", Then::Stop));
    failed.until_pointer(7);
    failed.interrupt();
    assert_eq!(failed.refused(), ["abort 7", "answer s error"]);
    failed.start();
    failed.checkpoint(8);
}

#[test]
fn a_stop_that_fails_lets_the_job_go_on() {
    let mut job = Job::running(config());
    job.on(savepoint("s", Then::Stop));
    let [one, ..] = job.all();
    assert_eq!(job.decline(7, one), ["abort 7", "answer s error"]);
    job.checkpoint(8);
}

#[test]
fn a_second_operation_does_not_stop_a_job_that_is_being_stopped() {
    let mut job = Job::running(config());
    job.on(savepoint("s", Then::Stop));
    assert_eq!(job.on(savepoint("d", Then::Drain)), ["answer d error"]);
    assert_eq!(job.on(savepoint("b", Then::Continue)), ["answer b error"]);
}

#[test]
fn drain_ends_the_sources_and_takes_its_savepoint_at_the_end() {
    let mut job = Job::running(config());
    job.wait(100);
    job.enumerated(7);
    assert_eq!(
        job.on(savepoint("d", Then::Drain)),
        ["abort 7", "trigger 8 Drain x2"]
    );
    assert_eq!(
        job.wait(10_000),
        [""; 0],
        "no checkpoint holds sources that were ended early"
    );
    assert_eq!(job.on(savepoint("d", Then::Drain)), [""; 0]);
    assert_eq!(job.on(Event::EndOfInput), ["enumerator 9"]);
    assert_eq!(job.enumerated(9), ["trigger 9 Stop x2"]);
    assert_eq!(job.ack_all(9), ["metadata savepoint-4-9"]);
    assert_eq!(job.metadata(9), ["pointer 9 Stopping(OperationId(\"d\"))"]);
    assert_eq!(job.written(), ["complete 9 last x1"]);
    job.commit(9);
    assert_eq!(job.written(), ["answer d 9", "end stopped 9"]);
}

#[test]
fn a_drained_jobs_savepoint_is_tried_again() {
    let mut job = Job::running(CoordinatorConfig {
        tolerable_failures: 1,
        ..config()
    });
    job.on(savepoint("d", Then::Drain));
    job.on(Event::EndOfInput);
    let [one, ..] = job.all();
    assert_eq!(job.decline(8, one), ["abort 8"]);
    assert_eq!(job.wait(499), [""; 0]);
    assert_eq!(job.wait(1), ["enumerator 9"]);
    assert_eq!(job.decline(9, one), ["abort 9", "fail"]);
    assert_eq!(
        job.interrupt(),
        ["answer d error"],
        "the job goes on from before the drain"
    );
    job.start();
    job.checkpoint(10);
}

#[test]
fn a_drain_that_is_interrupted_before_its_end_is_over() {
    let mut job = Job::running(config());
    job.on(savepoint("d", Then::Drain));
    assert_eq!(job.interrupt(), ["answer d error"]);
    job.start();
    job.checkpoint(8);
}

#[test]
fn a_savepoint_that_nobody_wants_goes_and_a_needed_one_stays() {
    let mut job = Job::running(config());
    job.on(savepoint("s", Then::Continue));
    job.until_pointer(7);
    job.written();
    // It is the newest: a restore would begin with it.
    assert_eq!(job.on(Event::Forget(operation("s"))), [""; 0]);
    assert!(job.coordinator.pointer().needs(&operation("s")).is_some());
    job.checkpoint(8);
    assert_eq!(job.coordinator.pointer().needs(&operation("s")), None);
    assert_eq!(job.on(Event::Forget(operation("s"))), ["pointer 8 Running"]);
    assert_eq!(job.written(), [""; 0]);
    let kept = |job: &Job| {
        let retained = job.coordinator.pointer().retained.iter();
        retained.map(|kept| kept.id.0).collect::<Vec<_>>()
    };
    assert_eq!(kept(&job), [8]);
    // Asking again, or for what never was, does nothing.
    for name in ["s", "other"] {
        assert_eq!(job.on(Event::Forget(operation(name))), [""; 0]);
    }
    job.checkpoint(9);
    assert_eq!(kept(&job), [8, 9]);
}

/// A manifest that is applied again still asks for what it asked for first.
#[test]
fn a_savepoint_that_was_deleted_is_not_taken_again_whoever_leads() {
    let mut job = Job::running(config());
    job.on(savepoint("s", Then::Continue));
    job.until_pointer(7);
    job.written();
    job.checkpoint(8);
    job.on(Event::Forget(operation("s")));
    job.written();
    assert_eq!(job.on(savepoint("s", Then::Continue)), ["answer s error"]);
    let pointer = Pointer {
        epoch: Epoch(5),
        ..job.coordinator.pointer().clone()
    };
    let mut successor = Job::from(config(), pointer);
    successor.start();
    let asked = successor.on(savepoint("s", Then::Continue));
    assert_eq!(asked, ["answer s error"]);
    successor.on(savepoint("t", Then::Continue));
    successor.until_pointer(9);
    assert!(successor.written().contains(&"answer t 9".to_owned()));
}

#[test]
fn a_savepoint_whose_end_the_store_refuses_stays_and_may_be_given_up_again() {
    let mut job = Job::running(config());
    job.on(savepoint("s", Then::Continue));
    job.until_pointer(7);
    job.written();
    job.checkpoint(8);
    job.on(Event::Forget(operation("s")));
    assert_eq!(job.refused(), ["say"]);
    assert!(
        job.coordinator
            .pointer()
            .of_operation(&operation("s"))
            .is_some()
    );
    assert_eq!(job.on(Event::Forget(operation("s"))), ["pointer 8 Running"]);
}

/// Splits are held back for one trigger: with two they would be in neither snapshot, or in both.
#[test]
fn a_snapshot_waits_while_enumerators_are_asked_for_another_one() {
    let mut job = Job::running(CoordinatorConfig {
        max_concurrent: 2,
        ..config()
    });
    assert_eq!(job.wait(100), ["enumerator 7"]);
    assert_eq!(job.wait(100), [""; 0]);
    assert_eq!(job.on(savepoint("a", Then::Continue)), [""; 0]);
    assert_eq!(job.enumerated(7), ["trigger 7 Continue x2", "enumerator 8"]);
}
