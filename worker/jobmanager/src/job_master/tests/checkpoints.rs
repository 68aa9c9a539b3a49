//! The JobMaster's part in checkpoints.

use std::collections::BTreeMap;

use weir_checkpoint::coordinator::{Coordinator, CoordinatorConfig, PointerOutcome};
use weir_checkpoint::handle::{SnapshotMetrics, SubtaskState};
use weir_checkpoint::pointer::{Pointer, RunState};
use weir_checkpoint::restore::RestoreOptions;
use weir_graph::StreamGraph;
use weir_types::CheckpointId;

use super::rig::*;
use super::*;
use crate::restoring::{RestoreFrom, Restoring, operators};

const INTERVAL: Duration = Duration::from_secs(1);

/// word count with checkpoints, all running.
fn running() -> Rig {
    running_with(|checkpoints| checkpoints)
}

fn running_with(change: impl FnOnce(Checkpoints) -> Checkpoints) -> Rig {
    let config = restartable(&wordcount(2));
    let checkpoints = taken_by(&config, None);
    Rig::with(config, Some(change(checkpoints))).run()
}

/// A job that is restarted at once.
pub(super) fn restartable(graph: &StreamGraph) -> JobMasterConfig {
    JobMasterConfig {
        restart: RestartStrategy::FixedDelay {
            attempts: 9,
            delay: Duration::ZERO,
        },
        ..config(graph)
    }
}

/// The checkpoints of a job that goes on from this snapshot.
pub(super) fn taken_by(config: &JobMasterConfig, from: Option<&RestoreFrom>) -> Checkpoints {
    let coordinator = CoordinatorConfig {
        interval: INTERVAL,
        timeout: Duration::from_secs(60),
        savepoint_timeout: Duration::from_secs(60),
        min_pause: Duration::ZERO,
        max_concurrent: 1,
        tolerable_failures: 0,
        retained: 2,
        operators: operators(&config.job_graph),
    };
    let own = from.filter(|from| from.lineage);
    let pointer = Pointer {
        state_id: JobId(1),
        deployment: 1,
        epoch: Epoch(1),
        holder: "test".to_owned(),
        nonce: 1,
        run_state: RunState::Running,
        last_id: own.map_or(CheckpointId(0), |own| own.metadata.id),
        latest: None,
        retained: Vec::new(),
        roots: Vec::new(),
        forgotten: Vec::new(),
        branch: None,
        rewind: None,
    };
    let folder = "/state/wordcount".to_owned();
    let options = RestoreOptions::default();
    let restoring = Restoring::new(&config.job_graph, folder.clone(), options, from);
    let mut coordinator = Coordinator::new(coordinator, pointer, 7);
    if let Some(own) = own {
        coordinator = coordinator.with_latest(own.metadata.as_ref().clone());
    }
    let restoring = restoring.expect("the snapshot fits the job");
    Checkpoints::new(coordinator, restoring, folder)
}

pub(super) fn source_node(rig: &Rig) -> NodeId {
    rig.master.graph.job().vertices[0].head().node
}

/// The barriers that sources were told to send, by subtask.
fn triggers(actions: &[Action]) -> BTreeMap<ExecutionAttemptId, CheckpointId> {
    let triggers = actions.iter().filter_map(|action| match action {
        Action::Tell { command, .. } => match command.clone().open(Epoch(1)) {
            Ok(TaskExecutorCommand::TriggerCheckpoint {
                attempt, barrier, ..
            }) => Some((attempt, barrier.id)),
            _ => None,
        },
        _ => None,
    });
    triggers.collect()
}

pub(super) fn commands(actions: &[Action]) -> Vec<TaskExecutorCommand> {
    let told = actions.iter().filter_map(|action| match action {
        Action::Tell { command, .. } => command.clone().open(Epoch(1)).ok(),
        _ => None,
    });
    told.collect()
}

/// The checkpoint for which the enumerator was asked.
pub(super) fn asked(rig: &Rig) -> Option<CheckpointId> {
    rig.log.iter().find_map(|action| match action {
        Action::SnapshotEnumerator { id, .. } => Some(*id),
        _ => None,
    })
}

/// The store has the metadata: what the pointer is to become.
pub(super) fn store_metadata(rig: &mut Rig, id: CheckpointId) -> Box<Pointer> {
    let result = Ok(("ab".repeat(32), 10));
    let actions = rig.event(Event::MetadataWritten { id, result });
    let [Action::WritePointer(pointer)] = actions.as_slice() else {
        panic!("the pointer comes next: {actions:?}");
    };
    pointer.clone()
}

/// Time for a checkpoint comes, and the enumerator tells its state.
fn trigger(rig: &mut Rig) -> CheckpointId {
    rig.log.clear();
    rig.pass_ms(1_000);
    let id = asked(rig).expect("the interval has passed");
    let node = source_node(rig);
    let result = Ok(vec![7]);
    let actions = rig.event(Event::EnumeratorState { id, node, result });
    assert_eq!(triggers(&actions).len(), 2, "both sources");
    id
}

pub(super) fn acknowledge_all(rig: &mut Rig, id: CheckpointId) -> Vec<Action> {
    let attempts = rig.attempts();
    let acknowledged = attempts.into_iter().flat_map(|attempt| {
        rig.message_of(
            attempt,
            TaskManagerMessage::CheckpointAcknowledged {
                attempt,
                checkpoint: id,
                state: SubtaskState::default(),
                metrics: SnapshotMetrics::default(),
            },
        )
    });
    acknowledged.collect()
}

/// All that follows the last acknowledgement, with a store that works.
pub(super) fn complete(rig: &mut Rig, id: CheckpointId) -> Vec<Action> {
    let actions = acknowledge_all(rig, id);
    assert!(
        matches!(actions.as_slice(), [Action::WriteMetadata { .. }]),
        "{actions:?}"
    );
    let pointer = store_metadata(rig, id);
    let (nonce, outcome) = (pointer.nonce, PointerOutcome::Written);
    rig.event(Event::PointerWritten { nonce, outcome })
}

#[test]
fn a_checkpoint_is_committed_everywhere_once_the_pointer_names_it() {
    let mut rig = running();
    let id = trigger(&mut rig);
    let told = commands(&complete(&mut rig, id));
    let commits = told.iter().filter(|command| {
        let want = CommitRequest::Checkpoint { id, last: false };
        matches!(command, TaskExecutorCommand::Commit { commit, .. } if *commit == want)
    });
    assert_eq!(commits.count(), 4, "{told:?}");
}

#[test]
fn a_restarted_subtask_goes_on_from_the_newest_checkpoint_and_so_does_the_enumerator() {
    let mut rig = running();
    let id = trigger(&mut rig);
    complete(&mut rig, id);
    let attempts = rig.attempts();
    rig.log.clear();
    rig.fail(attempts[0], "boom");
    for attempt in &attempts[1..] {
        rig.state(*attempt, ExecutionState::Canceled);
    }
    rig.pass_ms(500);
    let restored = rig.log.iter().find_map(|action| match action {
        Action::PrepareSource { restore, .. } => Some(restore.clone()),
        _ => None,
    });
    assert_eq!(restored, Some(Some(vec![7])));
    rig.prepare_all();
    let again = rig.deployed();
    let restores: Vec<_> = again[4..].iter().map(|task| task.restore.clone()).collect();
    assert_eq!(restores.len(), 4);
    for restore in restores {
        let restore = restore.expect("there is a checkpoint");
        assert_eq!((restore.checkpoint, restore.own), (id, true));
        assert_eq!(restore.base, "/state/wordcount");
    }
}

#[test]
fn no_restart_begins_while_it_is_uncertain_whether_the_newest_checkpoint_is_complete() {
    let mut rig = running();
    let id = trigger(&mut rig);
    acknowledge_all(&mut rig, id);
    let pointer = store_metadata(&mut rig, id);
    let nonce = pointer.nonce;
    let attempts = rig.attempts();
    rig.fail(attempts[0], "boom");
    for attempt in &attempts[1..] {
        rig.state(*attempt, ExecutionState::Canceled);
    }
    rig.pass_ms(5_000);
    assert_eq!(rig.master.graph.status(), JobStatus::Restarting);
    let outcome = PointerOutcome::Written;
    rig.event(Event::PointerWritten { nonce, outcome });
    assert_eq!(rig.master.graph.status(), JobStatus::Running);
    rig.prepare_all();
    let last = rig.deployed().pop().expect("it was deployed again");
    assert_eq!(last.restore.expect("a checkpoint").checkpoint, id);
}

#[test]
fn a_split_found_after_the_enumerator_told_its_state_reaches_the_reader_after_the_trigger() {
    let mut rig = running();
    rig.log.clear();
    rig.pass_ms(1_000);
    let (sources, _) = rig.sources_and_sinks();
    let node = source_node(&rig);
    let found = |split: u8| Event::SplitFound {
        attempt: sources[1],
        node,
        life: 0,
        response: Ok(SplitResponse::Split(vec![split])),
    };
    assert_eq!(
        rig.event(found(1)).len(),
        1,
        "before the state it goes at once"
    );
    let id = asked(&rig).expect("the interval has passed");
    let result = Ok(vec![7]);
    let mut told = commands(&rig.event(Event::EnumeratorState { id, node, result }));
    told.extend(commands(&rig.event(found(2))));
    let place = |wanted: &dyn Fn(&TaskExecutorCommand) -> bool| told.iter().position(wanted);
    let triggered = place(
        &|command| matches!(command, TaskExecutorCommand::TriggerCheckpoint { attempt, .. } if *attempt == sources[1]),
    );
    let handed = place(&|command| matches!(command, TaskExecutorCommand::Split { .. }));
    assert!(triggered.is_some() && triggered < handed, "{told:?}");
}

#[test]
fn a_leader_that_was_fenced_tells_nobody_anything_and_ends() {
    let mut rig = running();
    let id = trigger(&mut rig);
    acknowledge_all(&mut rig, id);
    let pointer = store_metadata(&mut rig, id);
    let mut other = pointer.clone();
    other.epoch = Epoch(2);
    let nonce = pointer.nonce;
    let outcome = PointerOutcome::Fenced(other);
    let actions = rig.event(Event::PointerWritten { nonce, outcome });
    assert_eq!(commands(&actions), []);
    assert!(matches!(
        actions.last(),
        Some(Action::End(JobResult::Failed(_)))
    ));
}

/// Found by the simulator: the write's outcome frees the restart, and it is that another one leads.
#[test]
fn a_leader_that_was_succeeded_while_a_restart_waited_for_its_write_starts_nothing() {
    let mut rig = running();
    let id = trigger(&mut rig);
    acknowledge_all(&mut rig, id);
    let pointer = store_metadata(&mut rig, id);
    let attempts = rig.attempts();
    rig.fail(attempts[0], "boom");
    for attempt in rig.cancelled() {
        rig.state(attempt, ExecutionState::Canceled);
    }
    assert_eq!(rig.master.graph.status(), JobStatus::Restarting);
    let mut other = pointer.clone();
    other.epoch = Epoch(2);
    let nonce = pointer.nonce;
    rig.log.clear();
    let outcome = PointerOutcome::Fenced(other);
    rig.event(Event::PointerWritten { nonce, outcome });
    rig.prepare_all();
    rig.pass_ms(5_000);
    let prepares = |action: &Action| matches!(action, Action::PrepareSource { .. });
    assert!(!rig.log.iter().any(prepares), "{:?}", rig.log);
    assert_eq!(commands(&rig.log), []);
    assert_eq!(rig.attempts(), attempts);
}

#[test]
fn the_job_finishes_when_its_last_checkpoint_is_committed_and_recorded() {
    let mut rig = running();
    let attempts = rig.attempts();
    rig.log.clear();
    for attempt in &attempts {
        rig.end_of_input(*attempt);
    }
    let id = asked(&rig).expect("the last checkpoint");
    let node = source_node(&rig);
    let result = Ok(Vec::new());
    rig.event(Event::EnumeratorState { id, node, result });
    let told = commands(&complete(&mut rig, id));
    let last = CommitRequest::Checkpoint { id, last: true };
    assert!(told.iter().any(
        |command| matches!(command, TaskExecutorCommand::Commit { commit, .. } if *commit == last)
    ));
    rig.log.clear();
    for attempt in &attempts {
        let committed = TaskManagerMessage::Committed {
            attempt: *attempt,
            checkpoint: id,
        };
        rig.message_of(*attempt, committed);
        rig.state(*attempt, ExecutionState::Finished);
    }
    assert_eq!(rig.master.result(), None, "the pointer does not say so yet");
    let write = rig.log.iter().find_map(|action| match action {
        Action::WritePointer(pointer) => Some(pointer.clone()),
        _ => None,
    });
    let pointer = write.expect("the pointer is to say that the job has finished");
    assert_eq!(pointer.run_state, RunState::Finished);
    let (nonce, outcome) = (pointer.nonce, PointerOutcome::Written);
    rig.event(Event::PointerWritten { nonce, outcome });
    assert_eq!(rig.master.result(), Some(&JobResult::Finished));
}

/// All tasks stop; what the pointer is to become.
fn cancelled(rig: &mut Rig, event: Event) -> Box<Pointer> {
    let id = trigger(rig);
    complete(rig, id);
    rig.log.clear();
    rig.event(event);
    for attempt in rig.attempts() {
        rig.state(attempt, ExecutionState::Canceled);
    }
    let write = rig.log.iter().find_map(|action| match action {
        Action::WritePointer(pointer) => Some(pointer.clone()),
        _ => None,
    });
    write.expect("the pointer is to say that the job was cancelled")
}

pub(super) fn written(rig: &mut Rig, pointer: &Pointer) -> Vec<Action> {
    let (nonce, outcome) = (pointer.nonce, PointerOutcome::Written);
    rig.event(Event::PointerWritten { nonce, outcome })
}

#[test]
fn a_cancelled_job_ends_once_its_checkpoints_are_gone_if_they_are_to_go() {
    let mut rig = running_with(|checkpoints| checkpoints.deleted_on_cancel(true));
    let pointer = cancelled(&mut rig, Event::Cancel);
    assert_eq!(pointer.run_state, RunState::Deleted);
    assert_eq!((&pointer.latest, pointer.retained.len()), (&None, 0));
    let actions = written(&mut rig, &pointer);
    assert!(actions.contains(&Action::ClearCheckpoints), "{actions:?}");
    assert_eq!(rig.master.result(), None, "they are not gone yet");
    rig.event(Event::Cleared);
    assert_eq!(rig.master.result(), Some(&JobResult::Canceled));
}

#[test]
fn a_store_that_does_not_delete_does_not_hold_up_the_end_for_ever() {
    let mut rig = running_with(|checkpoints| checkpoints.deleted_on_cancel(true));
    let pointer = cancelled(&mut rig, Event::Cancel);
    written(&mut rig, &pointer);
    rig.log.clear();
    rig.pass_ms(60_000);
    assert_eq!(rig.master.result(), Some(&JobResult::Canceled));
    let said = |action: &Action| matches!(action, Action::Say(text) if text.contains("weir gc"));
    assert!(rig.log.iter().any(said), "{:?}", rig.log);
}

/// Fails if a process that is only told to end took the checkpoints with it.
#[test]
fn a_job_whose_process_is_told_to_end_keeps_its_checkpoints() {
    let mut rig = running_with(|checkpoints| checkpoints.deleted_on_cancel(true));
    let pointer = cancelled(&mut rig, Event::CancelAndKeep);
    assert_eq!(pointer.run_state, RunState::Cancelled);
    assert!(pointer.latest.is_some());
    let actions = written(&mut rig, &pointer);
    assert!(!actions.contains(&Action::ClearCheckpoints));
    assert_eq!(rig.master.result(), Some(&JobResult::Canceled));
}

/// All that runs is started again; the attempts that are deployed.
fn started_again(rig: &mut Rig) -> Vec<ExecutionAttemptId> {
    let attempts = rig.attempts();
    rig.fail(attempts[0], "boom");
    for attempt in &attempts[1..] {
        rig.state(*attempt, ExecutionState::Canceled);
    }
    rig.pass_ms(500);
    rig.prepare_all();
    rig.attempts()
}

/// A subtask finds that what it is restored from is damaged.
fn finds_damage(rig: &mut Rig, attempt: ExecutionAttemptId) -> Vec<Action> {
    let message = TaskManagerMessage::TaskState {
        attempt,
        state: ExecutionState::Failed,
        fault: Some(Fault::task(FaultClass::StateDamaged, attempt, "checksum")),
        metrics: None,
    };
    rig.message_of(attempt, message)
}

#[test]
fn a_job_goes_back_from_a_damaged_checkpoint_only_if_no_sink_commits_by_it() {
    for commits in [false, true] {
        let mut config = restartable(&wordcount(2));
        for vertex in &mut config.job_graph.vertices {
            vertex.commits &= commits;
        }
        let checkpoints = taken_by(&config, None);
        let mut rig = Rig::with(config, Some(checkpoints)).run();
        let [older, newest] = [(); 2].map(|()| {
            let id = trigger(&mut rig);
            complete(&mut rig, id);
            id
        });
        let attempts = started_again(&mut rig);
        let last = rig.deployed().pop().expect("it was deployed again");
        assert_eq!(last.restore.expect("a checkpoint").checkpoint, newest);
        let actions = finds_damage(&mut rig, attempts[0]);
        let written = actions.iter().find_map(|action| match action {
            Action::WritePointer(pointer) => Some(pointer.clone()),
            _ => None,
        });
        if commits {
            assert!(written.is_none(), "{actions:?}");
            assert_eq!(rig.master.graph.status(), JobStatus::Failing);
            continue;
        }
        let pointer = written.expect("the pointer says what is restored");
        assert_eq!(pointer.latest.map(|latest| latest.id), Some(older));
        // All others find the same.
        finds_damage(&mut rig, attempts[1]);
        for attempt in &attempts[2..] {
            rig.state(*attempt, ExecutionState::Canceled);
        }
        rig.pass_ms(2_000);
        assert_eq!(rig.master.graph.status(), JobStatus::Restarting);
        let (nonce, outcome) = (pointer.nonce, PointerOutcome::Written);
        rig.event(Event::PointerWritten { nonce, outcome });
        rig.prepare_all();
        let last = rig.deployed().pop().expect("it was deployed again");
        assert_eq!(last.restore.expect("a checkpoint").checkpoint, older);
        // That one is damaged, too, and there is none before it.
        let attempts = rig.attempts();
        finds_damage(&mut rig, attempts[0]);
        assert_eq!(rig.master.graph.status(), JobStatus::Failing);
    }
}
