//! What follows a failure in a job that may be restarted.

use weir_graph::StreamGraph;

use super::rig::*;
use super::*;

const DELAY: Duration = Duration::from_secs(1);

fn restartable(graph: &StreamGraph, attempts: u32) -> JobMasterConfig {
    JobMasterConfig {
        restart: RestartStrategy::FixedDelay {
            attempts,
            delay: DELAY,
        },
        ..config(graph)
    }
}

fn running(attempts: u32) -> Rig {
    Rig::with(restartable(&wordcount(2), attempts), None).run()
}

/// Those that were asked to stop say that they have.
fn stop_cancelled(rig: &mut Rig) {
    let canceling: Vec<_> = rig
        .master
        .graph
        .executions()
        .iter()
        .filter(|execution| execution.state == ExecutionState::Canceling)
        .map(|execution| execution.attempt)
        .collect();
    for attempt in canceling {
        rig.state(attempt, ExecutionState::Canceled);
    }
}

#[test]
fn a_failed_region_is_started_again_after_the_delay_as_new_attempts() {
    let mut rig = running(3);
    let first = rig.attempts();
    rig.fail(first[0], "boom");
    assert_eq!(rig.master.graph.status(), JobStatus::Restarting);
    assert_eq!(rig.cancelled().len(), 3, "the rest of the region");
    stop_cancelled(&mut rig);
    assert_eq!(rig.attempts(), first, "the delay has not passed");
    rig.log.clear();
    rig.pass_ms(1_000);
    assert_eq!(rig.master.graph.status(), JobStatus::Running);
    let numbers = rig.attempts().into_iter().map(|attempt| attempt.attempt.0);
    assert_eq!(numbers.collect::<Vec<_>>(), [1; 4]);
    let again = rig
        .log
        .iter()
        .any(|action| matches!(action, Action::PrepareSource { restore: None, .. }));
    assert!(again, "without a checkpoint the source begins anew");
    rig.prepare_all();
    rig.run_all();
    assert!(rig.master.graph.all_running());
}

/// Two sources that fail again and again double each other's restarts otherwise.
#[test]
fn an_enumerator_that_was_made_anew_since_says_nothing_of_its_successor() {
    let mut rig = running(3);
    let source = Preparation::Source(rig.master.graph.job().vertices[0].head().node);
    rig.fail(rig.attempts()[0], "boom");
    stop_cancelled(&mut rig);
    rig.pass_ms(1_000);
    let deployed = rig.deployed().len();
    let late = Fault::job(FaultClass::Recoverable, "the store does not answer");
    rig.prepared(source, 0, Err(late));
    assert_eq!(rig.master.graph.status(), JobStatus::Running);
    rig.prepared(source, 0, Ok(()));
    assert_eq!(rig.deployed().len(), deployed, "the new one is not ready");
    rig.prepared(source, 1, Ok(()));
    assert_eq!(rig.deployed().len(), deployed + 4);
}

#[test]
fn nothing_starts_again_before_every_task_of_the_region_has_stopped() {
    let mut rig = running(3);
    let first = rig.attempts();
    rig.fail(first[0], "boom");
    rig.pass_ms(5_000);
    assert_eq!(rig.master.graph.status(), JobStatus::Restarting);
    stop_cancelled(&mut rig);
    assert_eq!(rig.master.graph.status(), JobStatus::Running);
}

#[test]
fn a_job_that_used_up_its_restarts_fails_with_the_last_cause() {
    let mut rig = running(1);
    rig.fail(rig.attempts()[0], "first");
    stop_cancelled(&mut rig);
    rig.pass_ms(1_000);
    rig.prepare_all();
    rig.run_all();
    rig.fail(rig.attempts()[1], "second");
    stop_cancelled(&mut rig);
    let Some(JobResult::Failed(fault)) = rig.master.result() else {
        panic!("it should have failed: {:?}", rig.master.result());
    };
    assert_eq!(fault.cause, "second");
}

#[test]
fn a_fault_that_a_restart_cannot_help_ends_the_job() {
    let mut rig = running(3);
    let attempt = rig.attempts()[0];
    let fault = Fault::task(FaultClass::NonRecoverable, attempt, "a bad argument");
    rig.message_of(
        attempt,
        TaskManagerMessage::TaskState {
            attempt,
            state: ExecutionState::Failed,
            fault: Some(fault),
            metrics: None,
        },
    );
    assert_eq!(rig.master.graph.status(), JobStatus::Failing);
}

#[test]
fn a_job_that_lost_a_taskmanager_waits_for_slots_and_goes_on_when_one_comes() {
    let mut rig = running(3);
    let lost = rig.home(rig.attempts()[0]);
    rig.disconnect(lost);
    stop_cancelled(&mut rig);
    rig.pass_ms(3_000);
    let waits = rig.log.iter().any(
        |action| matches!(action, Action::Say(text) if text.contains("waiting for 1 more slot")),
    );
    assert!(waits, "{:?}", rig.log);
    rig.prepare_all();
    rig.take_in(9, 1);
    rig.run_all();
    assert!(rig.master.graph.all_running());
}

#[test]
fn an_answer_of_an_enumerator_that_was_made_anew_since_is_ignored() {
    let mut rig = running(3);
    let source = rig.attempts()[0];
    let node = rig.master.graph.job().vertices[0].head().node;
    rig.fail(source, "boom");
    stop_cancelled(&mut rig);
    rig.pass_ms(1_000);
    let late = Event::SplitFound {
        attempt: source,
        node,
        life: 0,
        response: Ok(SplitResponse::Split(vec![1])),
    };
    assert_eq!(rig.event(late), []);
    let back = Event::SplitFound {
        attempt: source,
        node,
        life: 1,
        response: Ok(SplitResponse::Split(vec![2])),
    };
    let splits = vec![(source.subtask, vec![2])];
    assert_eq!(rig.event(back), [Action::AddSplitsBack { node, splits }]);
}

#[test]
fn a_machine_at_fault_is_used_only_if_there_is_no_other() {
    let mut rig = running(3);
    rig.take_in(8, 2);
    let faulty = fill_a_disk(&mut rig);
    let homes = homes_after_the_delay(&mut rig);
    assert!(!homes.contains(&faulty), "{homes:?}");
}

/// Some subtask fails because its machine's disk is full, and the others stop. Gives where it ran.
fn fill_a_disk(rig: &mut Rig) -> TaskManagerId {
    let attempt = rig.attempts()[0];
    let faulty = rig.home(attempt);
    let fault = Fault::task(FaultClass::Environment, attempt, "disk full");
    rig.message_of(
        attempt,
        TaskManagerMessage::TaskState {
            attempt,
            state: ExecutionState::Failed,
            fault: Some(fault),
            metrics: None,
        },
    );
    stop_cancelled(rig);
    faulty
}

/// Where all subtasks run when the job has started again.
fn homes_after_the_delay(rig: &mut Rig) -> BTreeSet<TaskManagerId> {
    rig.pass_ms(1_000);
    rig.prepare_all();
    assert_eq!(rig.master.graph.status(), JobStatus::Running);
    let attempts = rig.attempts();
    assert!(attempts.iter().all(|attempt| rig.master.is_live(*attempt)));
    attempts.iter().map(|attempt| rig.home(*attempt)).collect()
}

#[test]
fn another_taskmanager_on_a_machine_at_fault_is_used_last_too() {
    let mut rig = running(3);
    let faulty = rig.home(rig.attempts()[0]);
    rig.take_in_at(7, 2, faulty.0);
    rig.take_in(8, 1);
    assert_eq!(fill_a_disk(&mut rig), faulty);
    let homes = homes_after_the_delay(&mut rig);
    assert!(!homes.contains(&faulty), "{homes:?}");
    assert!(!homes.contains(&TaskManagerId(7)), "{homes:?}");
}

#[test]
fn a_taskmanager_that_comes_back_on_a_machine_at_fault_is_still_used_last() {
    let mut rig = running(3);
    let faulty = fill_a_disk(&mut rig);
    rig.disconnect(faulty);
    rig.take_in_at(7, 2, faulty.0);
    rig.take_in(8, 1);
    let homes = homes_after_the_delay(&mut rig);
    assert!(!homes.contains(&TaskManagerId(7)), "{homes:?}");
}

#[test]
fn where_all_machines_were_at_fault_the_job_goes_on_there() {
    let mut rig = running(3);
    let faulty = fill_a_disk(&mut rig);
    rig.disconnect(faulty);
    rig.take_in_at(7, 2, faulty.0);
    let homes = homes_after_the_delay(&mut rig);
    assert!(homes.contains(&TaskManagerId(7)), "{homes:?}");
}
