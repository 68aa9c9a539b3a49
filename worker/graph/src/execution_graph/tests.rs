use proptest::prelude::*;
use weir_types::{Fault, FaultClass, SlotIndex, TaskManagerId};

use super::*;
use crate::fixtures::{co_location, wordcount};
use crate::slot::assign_slots;
use crate::stream_graph::StreamGraph;

use ExecutionState::{
    Canceled, Canceling, Created, Deploying, Failed, Finished, Initializing, Running, Scheduled,
};

const EPOCH: Epoch = Epoch(7);

fn graph(program: &StreamGraph) -> ExecutionGraph {
    ExecutionGraph::new(JobGraph::from_stream_graph(program), EPOCH, 0)
}

/// Two TaskManagers with two slots each.
fn slots() -> Vec<FreeSlot> {
    let slot = |manager, slot| FreeSlot {
        task_manager: TaskManagerId(manager),
        slot: SlotIndex(slot),
    };
    vec![slot(1, 0), slot(1, 1), slot(2, 0), slot(2, 1)]
}

fn deployed(program: &StreamGraph) -> ExecutionGraph {
    let mut graph = graph(program);
    drop(graph.schedule(1).expect("a new job can start"));
    let assignments = assign_slots(graph.job(), &slots()).expect("there are enough slots");
    drop(graph.deploy(&assignments, 2).expect("all wait for slots"));
    graph
}

/// word count with two subtasks of each of its two vertices, all running.
fn running() -> (ExecutionGraph, Vec<ExecutionAttemptId>) {
    let mut graph = deployed(&wordcount(2));
    let attempts = attempts(&graph);
    for &attempt in &attempts {
        drop(graph.update(attempt, Initializing, None, 3).expect("legal"));
        drop(graph.update(attempt, Running, None, 4).expect("legal"));
    }
    (graph, attempts)
}

fn attempts(graph: &ExecutionGraph) -> Vec<ExecutionAttemptId> {
    graph
        .executions()
        .iter()
        .map(|execution| execution.attempt)
        .collect()
}

fn states(graph: &ExecutionGraph) -> Vec<ExecutionState> {
    graph
        .executions()
        .iter()
        .map(|execution| execution.state)
        .collect()
}

fn fault(class: FaultClass, attempt: ExecutionAttemptId, cause: &str) -> Option<Fault> {
    Some(Fault::task(class, attempt, cause))
}

fn broken(attempt: ExecutionAttemptId, cause: &str) -> Option<Fault> {
    fault(FaultClass::Recoverable, attempt, cause)
}

fn causes(entry: &FailureEntry) -> Vec<&str> {
    std::iter::once(&entry.root_cause)
        .chain(&entry.concurrent)
        .map(|record| record.fault.cause.as_str())
        .collect()
}

#[test]
fn a_new_graph_has_a_subtask_for_each_index_with_its_key_groups() {
    let graph = graph(&wordcount(2));
    let names: Vec<_> = graph
        .executions()
        .iter()
        .map(|e| e.task_name.as_str())
        .collect();
    let want = [
        "source: file -> flat_map (1/2)",
        "source: file -> flat_map (2/2)",
        "reduce -> sink: csv (1/2)",
        "reduce -> sink: csv (2/2)",
    ];
    assert_eq!(names, want);
    let reduce = graph.job().vertices[1].id;
    let ranges: Vec<_> = graph
        .subtasks(reduce)
        .iter()
        .map(|e| e.key_group_range.to_string())
        .collect();
    assert_eq!(ranges, ["0..=63", "64..=127"]);
    assert!(graph.subtasks(VertexId(1)).is_empty());
}

#[test]
fn a_job_runs_from_created_to_finished() {
    let mut graph = deployed(&wordcount(2));
    assert_eq!(states(&graph), [Deploying; 4]);
    assert!(
        graph
            .executions()
            .iter()
            .all(|execution| execution.slot.is_some())
    );
    let attempts = attempts(&graph);
    for &attempt in &attempts {
        drop(graph.update(attempt, Initializing, None, 3).expect("legal"));
        drop(graph.update(attempt, Running, None, 4).expect("legal"));
    }
    for &attempt in &attempts[..3] {
        assert!(
            graph
                .update(attempt, Finished, None, 5)
                .expect("legal")
                .job
                .is_empty()
        );
    }
    let last = graph.update(attempts[3], Finished, None, 6).expect("legal");
    assert_eq!(last.job, [JobStatus::Finished]);
    assert_eq!(graph.root_cause(), None);
    let since = |status| graph.status_since_ms().get(&status).copied();
    assert_eq!(since(JobStatus::Created), Some(0));
    assert_eq!(since(JobStatus::Running), Some(1));
    assert_eq!(since(JobStatus::Finished), Some(6));
    let want = [
        (Created, 0),
        (Scheduled, 1),
        (Deploying, 2),
        (Initializing, 3),
        (Running, 4),
        (Finished, 5),
    ];
    assert_eq!(graph.executions()[0].state_since_ms, BTreeMap::from(want));
}

#[test]
fn a_failed_task_fails_the_job_after_all_others_have_stopped() {
    let (mut graph, attempts) = running();
    let first = graph
        .update(attempts[1], Failed, broken(attempts[1], "boom"), 5)
        .expect("legal");
    assert_eq!(first.job, [JobStatus::Failing]);
    assert_eq!(first.cancel, [attempts[0], attempts[2], attempts[3]]);
    assert_eq!(states(&graph), [Canceling, Failed, Canceling, Canceling]);
    drop(graph.update(attempts[0], Canceled, None, 6).expect("legal"));
    drop(
        graph
            .update(attempts[2], Finished, None, 6)
            .expect("it crossed the order"),
    );
    let last = graph.update(attempts[3], Canceled, None, 7).expect("legal");
    assert_eq!(last.job, [JobStatus::Failed]);
    assert_eq!(states(&graph), [Canceled, Failed, Canceled, Canceled]);
    let root = graph.root_cause().expect("it failed");
    assert_eq!(root.fault.cause, "boom");
    assert_eq!(
        root.task_name.as_deref(),
        Some("source: file -> flat_map (2/2)")
    );
    assert_eq!(root.at_ms, 5);
}

#[test]
fn failures_that_follow_are_concurrent_to_the_first() {
    let (mut graph, attempts) = running();
    for (position, cause) in ["first", "second", "third"].into_iter().enumerate() {
        let attempt = attempts[position];
        drop(
            graph
                .update(attempt, Failed, broken(attempt, cause), 5)
                .expect("legal"),
        );
    }
    let entry = graph.failures().latest().expect("it failed");
    assert_eq!(causes(entry), ["first", "second", "third"]);
    assert_eq!(graph.failures().entries.len(), 1);
}

/// A consumer's news that its producer is gone may overtake that of the producer's panic.
#[test]
fn missing_data_gives_way_to_the_failure_behind_it() {
    let (mut graph, attempts) = running();
    let gone = |attempt| {
        fault(
            FaultClass::PartitionDataMissing,
            attempt,
            "connection closed",
        )
    };
    drop(
        graph
            .update(attempts[2], Failed, gone(attempts[2]), 5)
            .expect("legal"),
    );
    drop(
        graph
            .update(attempts[3], Failed, gone(attempts[3]), 5)
            .expect("legal"),
    );
    drop(
        graph
            .update(attempts[0], Failed, broken(attempts[0], "panic"), 6)
            .expect("legal"),
    );
    drop(
        graph
            .update(attempts[1], Failed, broken(attempts[1], "late"), 7)
            .expect("legal"),
    );
    let entry = graph.failures().latest().expect("it failed");
    let want = ["panic", "connection closed", "connection closed", "late"];
    assert_eq!(causes(entry), want);
    assert_eq!(entry.root_cause.attempt, Some(attempts[0]));
    assert_eq!(graph.status(), JobStatus::Failed);
}

#[test]
fn what_is_kept_of_failures_is_bounded() {
    let (mut graph, attempts) = running();
    let gone = fault(FaultClass::PartitionDataMissing, attempts[2], "gone");
    drop(graph.update(attempts[2], Failed, gone, 5).expect("legal"));
    for number in 0..100 {
        let gone = Fault::job(FaultClass::PartitionDataMissing, format!("gone {number}"));
        drop(graph.fail(gone, 5));
    }
    drop(graph.fail(Fault::job(FaultClass::Recoverable, "the cause"), 6));
    let entry = graph.failures().latest().expect("it failed");
    assert_eq!(entry.root_cause.fault.cause, "the cause");
    assert_eq!(entry.concurrent[0].fault.cause, "gone");
    assert_eq!(
        entry.concurrent.len() as u64 + entry.concurrent_left_out,
        101
    );
    assert!(entry.concurrent.len() <= 32);
}

#[test]
fn a_task_that_fails_without_a_cause_still_fails_the_job() {
    let (mut graph, attempts) = running();
    drop(graph.update(attempts[0], Failed, None, 5).expect("legal"));
    let root = graph.root_cause().expect("it failed");
    assert_eq!(root.fault.cause, "the task failed without saying why");
}

/// Fails if a task that gives up by itself leaves the job running without it.
#[test]
fn a_cancellation_that_nobody_asked_for_fails_the_job() {
    let (mut graph, attempts) = running();
    let update = graph.update(attempts[0], Canceled, None, 5).expect("legal");
    assert_eq!(update.job, [JobStatus::Failing]);
    let root = graph.root_cause().expect("it failed");
    assert_eq!(
        root.fault.cause,
        "the task was cancelled though nobody asked for it"
    );
}

#[test]
fn cancelling_stops_all_and_ends_cancelled() {
    let (mut graph, attempts) = running();
    let update = graph.cancel(5).expect("a running job can be cancelled");
    assert_eq!(update.job, [JobStatus::Cancelling]);
    assert_eq!(update.cancel, attempts);
    assert_eq!(
        graph.cancel(6).expect("asking again changes nothing"),
        Update::default()
    );
    // What fails while it is being cancelled is no failure of the job.
    let failed = graph.update(attempts[0], Failed, broken(attempts[0], "closed"), 6);
    assert_eq!(failed.expect("legal").executions, [(attempts[0], Canceled)]);
    for &attempt in &attempts[1..] {
        drop(graph.update(attempt, Canceled, None, 7).expect("legal"));
    }
    assert_eq!(graph.status(), JobStatus::Cancelled);
    assert_eq!(graph.root_cause(), None);
}

#[test]
fn a_job_that_waits_for_slots_ends_at_once_when_cancelled_or_failed() {
    let mut cancelled = graph(&wordcount(2));
    drop(cancelled.schedule(1).expect("legal"));
    let update = cancelled.cancel(2).expect("legal");
    assert_eq!(update.job, [JobStatus::Cancelling, JobStatus::Cancelled]);
    assert!(update.cancel.is_empty(), "no TaskManager knows of it");

    let mut failed = graph(&wordcount(2));
    let update = failed.fail(Fault::job(FaultClass::NonRecoverable, "no slots"), 2);
    assert_eq!(update.job, [JobStatus::Failing, JobStatus::Failed]);
    assert_eq!(failed.root_cause().expect("it failed").attempt, None);
}

#[test]
fn a_failing_job_can_be_cancelled_and_keeps_its_cause() {
    let (mut graph, attempts) = running();
    drop(
        graph
            .update(attempts[0], Failed, broken(attempts[0], "boom"), 5)
            .expect("legal"),
    );
    let update = graph.cancel(6).expect("legal");
    assert!(update.cancel.is_empty(), "all were told before");
    for &attempt in &attempts[1..] {
        drop(graph.update(attempt, Canceled, None, 7).expect("legal"));
    }
    assert_eq!(graph.status(), JobStatus::Cancelled);
    assert_eq!(
        graph.root_cause().expect("it failed first").fault.cause,
        "boom"
    );
}

#[test]
fn a_lost_task_manager_fails_what_it_ran_and_is_not_asked_to_stop_anything() {
    let (mut graph, attempts) = running();
    let fault = Fault::job(FaultClass::Recoverable, "lost");
    assert_eq!(
        graph.lose_task_manager(TaskManagerId(9), &fault, 5),
        Update::default()
    );
    let update = graph.lose_task_manager(TaskManagerId(2), &fault, 5);
    // Subtask 0 of each vertex is in the slot of the first TaskManager, subtask 1 in the other.
    assert_eq!(states(&graph), [Canceling, Failed, Canceling, Failed]);
    assert_eq!(update.cancel, [attempts[0], attempts[2]]);
    let update = graph.lose_task_manager(TaskManagerId(1), &fault, 6);
    assert_eq!(update.job, [JobStatus::Failed]);
    assert_eq!(states(&graph), [Canceled, Failed, Canceled, Failed]);
}

#[test]
fn reports_of_other_attempts_epochs_and_jobs_are_refused() {
    let (mut graph, attempts) = running();
    let before = states(&graph);
    let current = attempts[0];
    let stale = [
        ExecutionAttemptId {
            epoch: Epoch(6),
            ..current
        },
        ExecutionAttemptId {
            epoch: Epoch(8),
            ..current
        },
        ExecutionAttemptId {
            attempt: AttemptNumber(1),
            ..current
        },
    ];
    for attempt in stale {
        let error = graph
            .update(attempt, Failed, None, 5)
            .expect_err("it is stale");
        assert!(matches!(error, UpdateError::Stale { .. }), "{error}");
    }
    let unknown = [
        ExecutionAttemptId {
            subtask: SubtaskIndex(2),
            ..current
        },
        ExecutionAttemptId {
            subtask: SubtaskIndex(u32::MAX),
            ..current
        },
        ExecutionAttemptId {
            vertex: VertexId(1),
            ..current
        },
    ];
    for attempt in unknown {
        let error = graph.end_of_input(attempt, 5).expect_err("it is unknown");
        assert!(matches!(error, UpdateError::Unknown { .. }), "{error}");
    }
    assert_eq!(states(&graph), before);
}

#[test]
fn a_report_that_comes_twice_changes_nothing_and_one_after_the_end_is_refused() {
    let (mut graph, attempts) = running();
    let again = graph
        .update(attempts[0], Running, None, 5)
        .expect("it came twice");
    assert_eq!(again, Update::default());
    assert_eq!(graph.executions()[0].state_since_ms[&Running], 4);
    drop(graph.update(attempts[0], Finished, None, 5).expect("legal"));
    let again = graph
        .update(attempts[0], Finished, None, 6)
        .expect("it came twice");
    assert_eq!(again, Update::default());
    for late in [Initializing, Running, Canceled, Failed] {
        let error = graph
            .update(attempts[0], late, None, 6)
            .expect_err("it is over");
        assert!(
            matches!(
                error,
                UpdateError::AlreadyEnded {
                    state: Finished,
                    ..
                }
            ),
            "{error}"
        );
    }
    assert_eq!(graph.status(), JobStatus::Running);
}

#[test]
fn progress_that_crosses_the_order_to_stop_changes_nothing() {
    let mut graph = deployed(&wordcount(2));
    let attempts = attempts(&graph);
    drop(graph.cancel(3).expect("legal"));
    for late in [Initializing, Running] {
        assert_eq!(
            graph.update(attempts[0], late, None, 4),
            Ok(Update::default())
        );
    }
    assert_eq!(states(&graph), [Canceling; 4]);
}

#[test]
fn sinks_are_told_to_publish_once_when_every_subtask_has_ended() {
    let (mut graph, attempts) = running();
    drop(graph.update(attempts[0], Finished, None, 5).expect("legal"));
    assert!(
        graph
            .end_of_input(attempts[2], 5)
            .expect("legal")
            .publish
            .is_empty()
    );
    assert!(
        graph
            .end_of_input(attempts[3], 5)
            .expect("legal")
            .publish
            .is_empty()
    );
    let last = graph.update(attempts[1], Finished, None, 6).expect("legal");
    assert_eq!(last.publish, attempts[2..]);
    assert!(
        graph
            .end_of_input(attempts[3], 7)
            .expect("legal")
            .publish
            .is_empty()
    );
    drop(graph.update(attempts[2], Finished, None, 8).expect("legal"));
    drop(graph.update(attempts[3], Finished, None, 8).expect("legal"));
    assert_eq!(graph.status(), JobStatus::Finished);
}

/// Fails if a job could publish half of its output after something was lost.
#[test]
fn nobody_is_told_to_publish_in_a_job_that_fails() {
    let (mut graph, attempts) = running();
    drop(
        graph
            .update(attempts[0], Failed, broken(attempts[0], "boom"), 5)
            .expect("legal"),
    );
    for &attempt in &attempts[1..] {
        let update = graph.end_of_input(attempt, 6).expect("it still runs");
        assert!(update.publish.is_empty());
    }
}

/// Fails if a restart could publish a second time what is visible already.
#[test]
fn what_fails_once_results_are_being_published_is_not_restarted() {
    let restarts = ExecutionOptions {
        restarts: true,
        checkpoints: false,
    };
    let (graph, attempts) = running();
    let mut before = graph.clone().with_options(restarts);
    let fails = before.update(attempts[2], Failed, broken(attempts[2], "disk"), 5);
    assert_eq!(fails.expect("legal").failed.len(), 1, "restarts are on");
    assert!(!before.is_publishing());

    let mut graph = graph.with_options(restarts);
    for &attempt in &attempts {
        drop(graph.end_of_input(attempt, 5).expect("it runs"));
    }
    assert!(graph.is_publishing());
    drop(graph.update(attempts[2], Finished, None, 6).expect("legal"));
    let fails = graph.update(attempts[3], Failed, broken(attempts[3], "disk"), 7);
    assert!(fails.expect("legal").failed.is_empty());
    assert_eq!(graph.status(), JobStatus::Failing);
}

#[test]
fn deploying_is_all_or_nothing() {
    let mut graph = graph(&co_location());
    let assignments = assign_slots(graph.job(), &slots()).expect("enough");
    assert!(
        graph.deploy(&assignments, 1).is_err(),
        "nothing is scheduled yet"
    );
    drop(graph.schedule(1).expect("legal"));
    let mut wrong = assignments.clone();
    wrong[3].request.subtasks[0].subtask = SubtaskIndex(9);
    assert!(graph.deploy(&wrong, 2).is_err());
    assert!(
        graph
            .executions()
            .iter()
            .all(|e| e.state == Scheduled && e.slot.is_none())
    );
    let update = graph.deploy(&assignments, 2).expect("all wait");
    assert_eq!(update.executions.len(), graph.executions().len());
    assert!(graph.schedule(3).is_err(), "it runs already");
}

#[test]
fn a_suspended_job_stops_its_tasks_and_takes_no_other_state() {
    let (mut graph, attempts) = running();
    let update = graph.suspend(5).expect("legal");
    assert_eq!(update.job, [JobStatus::Suspended]);
    assert_eq!(update.cancel, attempts);
    for &attempt in &attempts {
        drop(graph.update(attempt, Canceled, None, 6).expect("legal"));
    }
    assert_eq!(graph.status(), JobStatus::Suspended);
    assert!(graph.cancel(7).is_err());
}

/// One event of a random history.
#[derive(Clone, Debug)]
enum Event {
    Report(usize, ExecutionState, bool),
    End(usize),
    Fail,
    Cancel,
    Suspend,
    Lose(u128),
    Schedule,
    Deploy,
}

fn any_event() -> impl Strategy<Value = Event> {
    let state = proptest::sample::select(ExecutionState::ALL.to_vec());
    prop_oneof![
        20 => (0usize..4, state, any::<bool>()).prop_map(|(n, s, f)| Event::Report(n, s, f)),
        4 => (0usize..4).prop_map(Event::End),
        1 => Just(Event::Fail),
        1 => Just(Event::Cancel),
        1 => Just(Event::Suspend),
        1 => (1u128..3).prop_map(Event::Lose),
        1 => Just(Event::Schedule),
        1 => Just(Event::Deploy),
    ]
}

fn apply(graph: &mut ExecutionGraph, event: &Event, now_ms: i64) -> Result<Update, UpdateError> {
    let attempts = attempts(graph);
    match *event {
        Event::Report(n, state, with_fault) => {
            let fault = with_fault.then(|| broken(attempts[n], "boom")).flatten();
            graph.update(attempts[n], state, fault, now_ms)
        }
        Event::End(n) => graph.end_of_input(attempts[n], now_ms),
        Event::Fail => Ok(graph.fail(Fault::job(FaultClass::Recoverable, "failed"), now_ms)),
        Event::Cancel => graph.cancel(now_ms),
        Event::Suspend => graph.suspend(now_ms),
        Event::Lose(manager) => {
            let fault = Fault::job(FaultClass::Recoverable, "lost");
            Ok(graph.lose_task_manager(TaskManagerId(manager), &fault, now_ms))
        }
        Event::Schedule => graph.schedule(now_ms),
        Event::Deploy => {
            let assignments = assign_slots(graph.job(), &slots()).expect("enough");
            graph.deploy(&assignments, now_ms)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever is reported in whatever order: only legal transitions, a refused event changes
    /// nothing, the job's state fits its tasks', the cause is kept, and it can always be ended.
    #[test]
    fn any_history_keeps_the_invariants(
        start_running in any::<bool>(), events in proptest::collection::vec(any_event(), 0..60)
    ) {
        let mut graph = if start_running { running().0 } else { graph(&wordcount(2)) };
        let mut told_to_publish = 0;
        for (event, now_ms) in events.iter().zip(10..) {
            let before = graph.clone();
            match apply(&mut graph, event, now_ms) {
                Err(_) => {
                    prop_assert_eq!(states(&graph), states(&before));
                    prop_assert_eq!(graph.status(), before.status());
                    prop_assert_eq!(graph.failures(), before.failures());
                }
                Ok(update) => {
                    let mut status = before.status();
                    for &next in &update.job {
                        prop_assert!(status.may_become(next));
                        status = next;
                    }
                    prop_assert_eq!(status, graph.status());
                    told_to_publish += usize::from(!update.publish.is_empty());
                    prop_assert!(update.publish.is_empty() || status == JobStatus::Running);
                }
            }
            check(&graph)?;
        }
        prop_assert!(told_to_publish <= 1);
        // Whatever happened: asked to end, it ends once the tasks that were told report.
        if !graph.status().is_terminal() {
            drop(graph.cancel(1_000));
            for attempt in attempts(&graph) {
                drop(graph.update(attempt, Canceled, None, 1_001));
            }
            prop_assert!(graph.status().is_terminal(), "{}", graph.status());
        }
    }
}

fn check(graph: &ExecutionGraph) -> Result<(), TestCaseError> {
    let over = graph
        .executions()
        .iter()
        .all(|execution| execution.state.is_terminal());
    let any = |state| {
        graph
            .executions()
            .iter()
            .any(|execution| execution.state == state)
    };
    match graph.status() {
        JobStatus::Finished => prop_assert!(states(graph).iter().all(|&s| s == Finished)),
        JobStatus::Failed | JobStatus::Cancelled => prop_assert!(over),
        JobStatus::Created | JobStatus::Running => {
            prop_assert!(!over && !any(Failed) && !any(Canceled) && !any(Canceling));
        }
        JobStatus::Failing | JobStatus::Cancelling => {
            prop_assert!(!over);
            let stopped = |&state: &ExecutionState| state == Canceling || state.is_terminal();
            prop_assert!(states(graph).iter().all(stopped));
        }
        JobStatus::Restarting | JobStatus::Suspended => {}
    }
    if matches!(graph.status(), JobStatus::Failing | JobStatus::Failed) {
        prop_assert!(graph.root_cause().is_some());
    }
    Ok(())
}
