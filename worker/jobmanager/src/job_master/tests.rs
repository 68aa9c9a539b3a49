use weir_graph::{EdgeSpec, NodeId, NodeSpec, Partitioner, Settings, StreamGraphBuilder};
use weir_rpc::{Registration, SplitResponse, TaskManagerMessage};
use weir_types::{AttemptNumber, SubtaskIndex, VertexId};

use super::*;
use crate::fixtures::fingerprint;

mod checkpoints;
mod random_events;
mod regions;
mod restarts;
mod rig;

use rig::{Rig, config, registration, wordcount};

fn ended(actions: &[Action]) -> Option<&JobResult> {
    actions.iter().find_map(|action| match action {
        Action::End(result) => Some(result),
        _ => None,
    })
}

fn said(actions: &[Action]) -> Vec<&str> {
    let texts = actions.iter().filter_map(|action| match action {
        Action::Say(text) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

#[test]
fn a_job_is_deployed_once_its_sources_are_ready_and_there_are_slots_for_all_of_it() {
    let mut rig = Rig::new(wordcount(2));
    assert_eq!(rig.prepare_all(), []);
    rig.take_in(1, 1);
    assert_eq!(rig.deployed(), []);
    rig.take_in(2, 1);
    assert_eq!(rig.deployed().len(), 4);
    // Producers come first: their consumers find their partitions at once.
    let vertices: Vec<VertexId> = rig
        .deployed()
        .iter()
        .map(|task| task.attempt.vertex)
        .collect();
    assert_eq!(vertices[0], vertices[1]);
    assert_eq!(vertices[2], vertices[3]);
    assert_ne!(vertices[0], vertices[3]);
}

#[test]
fn a_task_is_told_where_each_of_its_producers_runs() {
    let mut rig = Rig::new(wordcount(2));
    rig.prepare_all();
    rig.take_in(1, 1);
    rig.take_in(2, 1);
    let count = rig
        .deployed()
        .into_iter()
        .find(|task| !task.inputs.is_empty())
        .expect("a count");
    let home = rig.home(count.attempt);
    let producers = &count.inputs[0].producers;
    assert_eq!(producers.len(), 2);
    for producer in producers {
        let place = rig.home(producer.attempt);
        let remote = (place != home).then_some(place);
        assert_eq!(producer.remote.map(|remote| remote.taskmanager), remote);
    }
    assert_eq!(
        producers
            .iter()
            .filter(|producer| producer.remote.is_some())
            .count(),
        1
    );
}

#[test]
fn a_taskmanager_is_of_no_use_before_it_has_built_the_program() {
    let mut rig = Rig::new(wordcount(1));
    rig.prepare_all();
    rig.register(registration(1, 4));
    assert_eq!(rig.deployed(), []);
    rig.ready(1);
    assert_eq!(rig.deployed().len(), 2);
}

#[test]
fn too_few_slots_are_asked_for_again_and_again_and_then_the_job_fails() {
    let mut rig = Rig::new(wordcount(4));
    rig.prepare_all();
    rig.pass_ms(1000);
    let text = said(&rig.log).concat();
    assert!(
        text.contains("waiting for 4 slots: needs 4, no TaskManager has registered"),
        "{text}"
    );
    rig.log.clear();
    rig.take_in(1, 2);
    rig.pass_ms(12_000);
    let texts = said(&rig.log);
    let waiting = "waiting for 2 more slots: needs 4, 1 TaskManager offers 2; start \
                   `weir taskmanager --jobmanager 127.0.0.1:6123` or lower the parallelism";
    assert_eq!(texts, [waiting, waiting]);
    rig.pass_ms(300_000);
    let Some(JobResult::Failed(fault)) = ended(&rig.log) else {
        panic!("it fails")
    };
    assert!(
        fault
            .cause
            .starts_with("no slots within 300 s: waiting for 2 more"),
        "{fault}"
    );
    assert_eq!(rig.deployed(), []);
}

#[test]
fn a_second_taskmanager_with_the_same_id_is_refused_and_the_first_stays() {
    let mut rig = Rig::new(wordcount(2));
    rig.prepare_all();
    rig.register(registration(1, 1));
    let refused = rig.register(registration(1, 1));
    let [.., Action::Refuse { reason, .. }] = refused.as_slice() else {
        panic!("{refused:?}")
    };
    assert!(reason.contains("already registered"), "{reason}");
    // The refused connection ends; that must not take the first one with it.
    rig.disconnect_last();
    rig.ready(1);
    rig.take_in(2, 1);
    assert_eq!(rig.deployed().len(), 4);
}

#[test]
fn whoever_does_not_fit_is_refused_with_what_differs() {
    let fits = registration(1, 1);
    let cases = [
        (
            Registration {
                protocol: 9,
                ..fits.clone()
            },
            "version mismatch",
        ),
        (
            Registration {
                version: "9.9.9".to_owned(),
                ..fits.clone()
            },
            "TaskManager 9.9.9",
        ),
        (
            Registration {
                deployment: 2,
                ..fits.clone()
            },
            "it belongs to deployment 2",
        ),
        (
            Registration {
                slots: 0,
                ..fits.clone()
            },
            "it offers 0 slots",
        ),
        (
            Registration {
                slots: u32::MAX,
                ..fits
            },
            "it offers 4294967295 slots",
        ),
    ];
    for (registration, want) in cases {
        let mut rig = Rig::new(wordcount(1));
        rig.prepare_all();
        let actions = rig.register(registration);
        let [.., Action::Refuse { reason, .. }] = actions.as_slice() else {
            panic!("{actions:?}")
        };
        assert!(reason.contains(want), "`{want}` is missing in `{reason}`");
    }
}

#[test]
fn a_taskmanager_with_another_program_is_dismissed_with_what_differs() {
    let mut rig = Rig::new(wordcount(1));
    rig.prepare_all();
    rig.register(registration(1, 1));
    let mut other = fingerprint();
    other.executable.0 += 1;
    let message = TaskManagerMessage::Ready { fingerprint: other };
    let actions = rig.message(1, message);
    let dismissed = actions.iter().find_map(|action| match action {
        Action::Tell { command, .. } => match command.clone().open(Epoch(1)) {
            Ok(TaskExecutorCommand::Dismissed { reason }) => Some(reason),
            _ => None,
        },
        _ => None,
    });
    assert!(
        dismissed
            .expect("dismissed")
            .contains("the executable differs")
    );
    let hung_up = |action: &Action| matches!(action, Action::HangUp { .. });
    assert!(actions.iter().any(hung_up), "{actions:?}");
    assert_eq!(rig.deployed(), []);
}

#[test]
fn sinks_publish_when_every_subtask_has_reached_its_end_and_the_job_finishes_after_that() {
    let mut rig = Rig::running(wordcount(2));
    let (sources, sinks) = rig.sources_and_sinks();
    rig.end_of_input(sinks[0]);
    rig.state(sources[0], ExecutionState::Finished);
    rig.end_of_input(sinks[1]);
    assert_eq!(rig.commits(), []);
    rig.state(sources[1], ExecutionState::Finished);
    assert_eq!(rig.commits(), sinks);
    rig.state(sinks[0], ExecutionState::Finished);
    assert_eq!(ended(&rig.log), None);
    let actions = rig.state(sinks[1], ExecutionState::Finished);
    assert_eq!(ended(&actions), Some(&JobResult::Finished));
    assert_eq!(rig.told_end(), 2);
}

/// Both sinks are told to publish, and the first has.
fn half_published() -> (Rig, Vec<ExecutionAttemptId>) {
    let mut rig = Rig::running(wordcount(2));
    let (sources, sinks) = rig.sources_and_sinks();
    for source in sources {
        rig.state(source, ExecutionState::Finished);
    }
    for &sink in &sinks {
        rig.end_of_input(sink);
    }
    rig.state(sinks[0], ExecutionState::Finished);
    (rig, sinks)
}

/// Fails if half of the results of a job that failed could stay visible.
#[test]
fn what_one_sink_has_published_is_taken_back_when_another_cannot() {
    let (mut rig, sinks) = half_published();
    let actions = rig.fail(sinks[1], "the disk is full");
    let vertex = rig.master.graph.job().vertex(sinks[0].vertex).expect("it");
    let (head, sink) = (vertex.operators[0].node, vertex.operators[1].node);
    let taken_back = vec![(head, vec![sinks[0]]), (sink, vec![sinks[0]])];
    assert!(
        actions.contains(&Action::Withdraw(taken_back)),
        "{actions:?}"
    );
    rig.pass_ms(1_000);
    assert_eq!(ended(&rig.log), None, "the sink has not answered");
    let actions = rig.event(Event::Withdrawn);
    let Some(JobResult::Failed(fault)) = ended(&actions) else {
        panic!("{actions:?}")
    };
    assert_eq!(fault.cause, "the disk is full");
}

#[test]
fn a_folder_that_does_not_answer_holds_up_no_end() {
    let (mut rig, sinks) = half_published();
    rig.fail(sinks[1], "the disk is full");
    rig.pass_ms(31_000);
    assert!(ended(&rig.log).is_some());
    let said = said(&rig.log);
    let told = said.iter().any(|text| text.contains("may be visible"));
    assert!(told, "{said:?}");
}

/// What a TaskManager that is lost did last, nobody knows.
#[test]
fn a_taskmanager_lost_while_it_publishes_may_have_published() {
    let (mut rig, sinks) = half_published();
    rig.disconnect(rig.home(sinks[1]));
    let withdrawn = rig.log.iter().find_map(|action| match action {
        Action::Withdraw(published) => published.first().map(|(_, attempts)| attempts.clone()),
        _ => None,
    });
    assert_eq!(withdrawn, Some(sinks));
}

#[test]
fn the_first_fault_is_the_result_after_all_others_have_stopped() {
    let mut rig = Rig::running(wordcount(2));
    let (sources, sinks) = rig.sources_and_sinks();
    rig.fail(sources[0], "bad record");
    let mut cancelled = rig.cancelled();
    cancelled.sort_unstable();
    let mut others = vec![sources[1], sinks[0], sinks[1]];
    others.sort_unstable();
    assert_eq!(cancelled, others);
    rig.fail(sinks[0], "something that followed");
    rig.state(sinks[1], ExecutionState::Canceled);
    assert_eq!(ended(&rig.log), None);
    let actions = rig.state(sources[1], ExecutionState::Canceled);
    let Some(JobResult::Failed(fault)) = ended(&actions) else {
        panic!("{actions:?}")
    };
    assert_eq!(fault.cause, "bad record");
    let exceptions = rig.master.exceptions();
    let causes: Vec<_> = exceptions
        .entries
        .iter()
        .map(|entry| entry.fault.cause.as_str())
        .collect();
    assert_eq!(causes, ["bad record", "something that followed"]);
    assert!(exceptions.entries[0].root_cause && !exceptions.entries[1].root_cause);
    assert!(exceptions.entries[0].taskmanager.is_some() && exceptions.entries[0].task.is_some());
}

#[test]
fn a_taskmanager_that_hangs_up_fails_the_job_and_is_told_nothing_more() {
    let mut rig = Rig::running(wordcount(2));
    let lost = rig.home(rig.sources_and_sinks().0[0]);
    rig.log.clear();
    rig.disconnect(lost);
    assert!(!rig.was_told(lost), "{:?}", rig.log);
    assert_eq!(rig.cancelled().len(), 2);
    for attempt in rig.cancelled() {
        rig.state(attempt, ExecutionState::Canceled);
    }
    let Some(JobResult::Failed(fault)) = ended(&rig.log) else {
        panic!("it fails")
    };
    assert!(
        fault.cause.contains("is lost: its connection was closed"),
        "{fault}"
    );
    assert_eq!(fault.scope, FaultScope::TaskManager(lost));
}

#[test]
fn a_lost_taskmanager_is_told_with_where_to_look_if_it_was_killed_for_memory() {
    let mut rig = Rig::running(wordcount(2));
    rig.disconnect(rig.home(rig.attempts()[0]));
    let cause = &rig.master.graph.root_cause().expect("a cause").fault.cause;
    for part in [
        "its own log",
        "memory ran out",
        "`dmesg`",
        "`kubectl describe pod`",
    ] {
        assert!(cause.contains(part), "{part} is missing in {cause}");
    }
}

#[test]
fn a_taskmanager_that_is_silent_for_too_long_is_lost() {
    let mut rig = Rig::running(wordcount(2));
    let silent = rig.home(rig.sources_and_sinks().0[0]);
    rig.silence(silent);
    rig.pass_ms(9_000);
    assert_eq!(rig.cancelled(), []);
    rig.pass_ms(3_000);
    assert_eq!(rig.cancelled().len(), 2);
    let cause = &rig.master.graph.root_cause().expect("a cause").fault.cause;
    assert!(cause.contains("no heartbeat for 10 s"), "{cause}");
}

/// A consumer notices the end of its producer's process before the JobMaster does.
#[test]
fn missing_data_is_never_the_root_cause_when_a_lost_taskmanager_explains_it() {
    let mut rig = Rig::running(wordcount(2));
    let lost = rig.home(rig.sources_and_sinks().0[0]);
    let witness = rig
        .sources_and_sinks()
        .1
        .into_iter()
        .find(|&s| rig.home(s) != lost);
    let witness = witness.expect("two TaskManagers");
    let fault = Fault::task(
        FaultClass::PartitionDataMissing,
        witness,
        "connection reset",
    );
    rig.message_of(
        witness,
        TaskManagerMessage::TaskState {
            attempt: witness,
            state: ExecutionState::Failed,
            fault: Some(fault),
            metrics: None,
        },
    );
    rig.disconnect(lost);
    for attempt in rig.cancelled() {
        rig.state(attempt, ExecutionState::Canceled);
    }
    let Some(JobResult::Failed(fault)) = ended(&rig.log) else {
        panic!("it fails")
    };
    assert!(fault.cause.contains("is lost"), "{fault}");
}

#[test]
fn a_source_that_cannot_be_prepared_fails_the_job_before_anything_is_deployed() {
    let mut rig = Rig::new(wordcount(1));
    rig.take_in(1, 4);
    let fault = Fault::job(FaultClass::NonRecoverable, "no such file: /data/x");
    let what = *rig.master.preparations.first().expect("a source");
    let actions = rig.event(Event::Prepared {
        what,
        life: 0,
        result: Err(fault.clone()),
    });
    assert_eq!(ended(&actions), Some(&JobResult::Failed(fault)));
    assert_eq!(rig.deployed(), []);
    assert_eq!(rig.told_end(), 1);
}

#[test]
fn cancelling_a_job_that_waits_ends_it_at_once() {
    let mut rig = Rig::new(wordcount(1));
    let actions = rig.event(Event::Cancel);
    assert_eq!(ended(&actions), Some(&JobResult::Canceled));
    assert_eq!(ended(&rig.event(Event::Cancel)), None);
}

#[test]
fn cancelling_a_job_that_runs_waits_for_its_tasks() {
    let mut rig = Rig::running(wordcount(1));
    rig.event(Event::Cancel);
    let cancelled = rig.cancelled();
    assert_eq!(cancelled.len(), 2);
    rig.state(cancelled[0], ExecutionState::Canceled);
    assert_eq!(ended(&rig.log), None);
    let actions = rig.state(cancelled[1], ExecutionState::Canceled);
    assert_eq!(ended(&actions), Some(&JobResult::Canceled));
}

#[test]
fn a_task_that_does_not_stop_costs_its_taskmanager_and_not_the_end_of_the_job() {
    let mut rig = Rig::running(wordcount(1));
    rig.event(Event::Cancel);
    rig.pass_ms(29_000);
    assert_eq!(ended(&rig.log), None);
    rig.pass_ms(3_000);
    assert_eq!(ended(&rig.log), Some(&JobResult::Canceled));
    let text = said(&rig.log).join("\n");
    assert!(text.contains("did not stop within 30 s"), "{text}");
}

#[test]
fn what_a_given_up_connection_or_another_taskmanager_says_about_a_task_is_ignored() {
    let mut rig = Rig::running(wordcount(2));
    let (sources, _) = rig.sources_and_sinks();
    let other = rig.other_than(rig.home(sources[0]));
    let failed = TaskManagerMessage::TaskState {
        attempt: sources[0],
        state: ExecutionState::Failed,
        fault: None,
        metrics: None,
    };
    rig.message(other.0, failed.clone());
    let stale = ExecutionAttemptId {
        attempt: AttemptNumber(1),
        ..sources[0]
    };
    rig.state_by(rig.home(sources[0]), stale, ExecutionState::Failed);
    let unknown = ExecutionAttemptId {
        subtask: SubtaskIndex(9),
        ..sources[0]
    };
    rig.state_by(rig.home(sources[0]), unknown, ExecutionState::Failed);
    let fenced = Fenced::new(
        Epoch(7),
        TaskManagerMessage::EndOfInput {
            attempt: ExecutionAttemptId {
                epoch: Epoch(7),
                ..sources[0]
            },
        },
    );
    rig.raw_message(rig.home(sources[0]), fenced);
    rig.event(Event::Message {
        connection: ConnectionId(999),
        message: Box::new(Fenced::new(Epoch(1), failed)),
    });
    assert_eq!(rig.cancelled(), []);
    assert_eq!(rig.master.graph.status(), JobStatus::Running);
}

#[test]
fn whoever_comes_after_the_end_hears_how_it_ended() {
    let mut rig = Rig::new(wordcount(1));
    rig.event(Event::Cancel);
    let actions = rig.register(registration(1, 1));
    assert!(matches!(
        actions.as_slice(),
        [Action::TurnAway {
            result: JobResult::Canceled,
            ..
        }]
    ));
}

#[test]
fn splits_are_found_only_for_running_readers_of_that_source() {
    let mut rig = Rig::running(wordcount(1));
    let (sources, sinks) = rig.sources_and_sinks();
    let node = rig.master.graph.job().vertices[0].head().node;
    let found = |actions: &[Action]| {
        actions
            .iter()
            .filter(|action| matches!(action, Action::FindSplit { .. }))
            .count()
    };
    let ask = |attempt, node| TaskManagerMessage::RequestSplit { attempt, node };
    let asked = rig.message_of(sources[0], ask(sources[0], node));
    assert_eq!(found(&asked), 1);
    let asked = rig.message_of(sinks[0], ask(sinks[0], node));
    assert_eq!(found(&asked), 0);
    let asked = rig.message_of(sources[0], ask(sources[0], NodeId(77)));
    assert_eq!(found(&asked), 0);

    let response = Ok(SplitResponse::NoMore);
    let answer = Event::SplitFound {
        life: 0,
        attempt: sources[0],
        node,
        response,
    };
    assert!(matches!(
        rig.event(answer).as_slice(),
        [Action::Tell { .. }]
    ));
    rig.state(sources[0], ExecutionState::Finished);
    let asked = rig.message_of(sources[0], ask(sources[0], node));
    assert_eq!(found(&asked), 0);
}

#[test]
fn an_enumerator_that_fails_while_the_job_runs_fails_it() {
    let mut rig = Rig::running(wordcount(1));
    let (sources, _) = rig.sources_and_sinks();
    let node = rig.master.graph.job().vertices[0].head().node;
    let response = Err(Fault::job(FaultClass::Recoverable, "the folder is gone"));
    rig.event(Event::SplitFound {
        life: 0,
        attempt: sources[0],
        node,
        response,
    });
    assert_eq!(rig.master.graph.status(), JobStatus::Failing);
    assert_eq!(rig.cancelled().len(), 2);
}

#[test]
fn taskmanagers_that_exchange_records_need_an_address() {
    let mut rig = Rig::new(wordcount(2));
    rig.prepare_all();
    for id in [1, 2] {
        rig.register(Registration {
            data_address: None,
            ..registration(id, 1)
        });
        rig.ready(id);
    }
    let Some(JobResult::Failed(fault)) = ended(&rig.log) else {
        panic!("it fails")
    };
    assert!(
        fault.cause.contains("has no address for records"),
        "{fault}"
    );
    assert_eq!(rig.deployed(), []);
}

#[test]
fn details_show_states_sums_and_what_is_waited_for() {
    let mut rig = Rig::new(wordcount(2));
    let details = rig.master.details(rig.now());
    assert_eq!(details.overview.status, JobStatus::Running);
    let waiting = details.overview.waiting_for.expect("it waits");
    assert!(waiting.contains("2 slots"), "{waiting}");
    rig.prepare_all();
    rig.take_in(1, 1);
    rig.take_in(2, 1);
    rig.run_all();
    let (sources, sinks) = rig.sources_and_sinks();
    for (&attempt, records_out) in sources.iter().zip([3, 4]) {
        let tasks = vec![rig::report(attempt, records_out)];
        rig.message_of(attempt, TaskManagerMessage::Heartbeat { tasks });
    }
    // Another TaskManager cannot report for it.
    let other = rig.other_than(rig.home(sources[0]));
    rig.message(
        other.0,
        TaskManagerMessage::Heartbeat {
            tasks: vec![rig::report(sources[0], 99)],
        },
    );
    let details = rig.master.details(rig.now());
    assert_eq!(details.overview.tasks_running, 4);
    assert_eq!(details.vertices[0].metrics.records_out, 7);
    assert_eq!(details.vertices[0].operators[0].records_in, 70);
    assert_eq!(details.vertices[1].inputs[0].partitioner, "hash");
    rig.state(sources[0], ExecutionState::Finished);
    let details = rig.master.details(rig.now());
    assert_eq!(details.vertices[0].state, ExecutionState::Running);
    assert_eq!(details.vertices[0].ended_at_ms, None);
    rig.state(sources[1], ExecutionState::Finished);
    let details = rig.master.details(rig.now());
    assert_eq!(details.vertices[0].state, ExecutionState::Finished);
    assert!(details.vertices[0].ended_at_ms.is_some());
    assert_eq!(
        details.vertices[1].subtasks[0].taskmanager,
        Some(rig.home(sinks[0]))
    );
    assert_eq!(rig.master.task_managers(rig.now()).len(), 2);
    let cluster = rig.master.cluster();
    assert_eq!(
        (
            cluster.slots_total,
            cluster.slots_free,
            cluster.jobs_running
        ),
        (2, 0, 1)
    );
}
