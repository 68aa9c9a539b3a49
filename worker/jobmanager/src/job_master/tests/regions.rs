//! A job of two regions that takes checkpoints: what fails is not always all of it.

use std::sync::Arc;

use weir_checkpoint::coordinator::{SnapshotRequest, Then};
use weir_checkpoint::metadata::{CheckpointMetadata, OperatorMetadata};
use weir_checkpoint::pointer::{OperationId, Pointer, RunState, SnapshotKind};
use weir_graph::StreamGraph;
use weir_types::CheckpointId;

use super::checkpoints::{asked, commands, complete, restartable, source_node, taken_by, written};
use super::rig::*;
use super::*;
use crate::restoring::{RestoreFrom, operators};

/// A source with a sink that commits, twice side by side.
fn pipelines() -> StreamGraph {
    let settings = Settings {
        parallelism: 2,
        ..Settings::default()
    };
    let mut builder = StreamGraphBuilder::new("pipelines", settings);
    let source = builder.add_node(NodeSpec::source("source: file", "String"));
    let mut sink = NodeSpec::sink("sink: file", "String");
    sink.commits = true;
    let sink = builder.add_node(sink);
    builder.add_edge(EdgeSpec::new(source, sink));
    builder.build().expect("a graph")
}

fn running() -> Rig {
    let config = restartable(&pipelines());
    let checkpoints = taken_by(&config, None);
    Rig::with(config, Some(checkpoints)).run()
}

fn both(rig: &Rig) -> [ExecutionAttemptId; 2] {
    rig.attempts().try_into().expect("two subtasks")
}

/// A snapshot of the job in which nothing was read.
fn snapshot(config: &JobMasterConfig, id: u64) -> RestoreFrom {
    let operators = operators(&config.job_graph).into_iter();
    let metadata = CheckpointMetadata {
        state_id: JobId(1),
        id: CheckpointId(id),
        epoch: Epoch(1),
        kind: SnapshotKind::Checkpoint,
        operation: None,
        triggered_ms: 0,
        completed_ms: 0,
        weir_version: "0.1.0".to_owned(),
        operators: operators
            .map(|info| OperatorMetadata {
                operator: info.operator,
                name: info.name,
                uid: info.uid,
                parallelism: info.parallelism,
                max_parallelism: info.max_parallelism,
                enumerator: None,
                subtasks: Vec::new(),
                ended: Vec::new(),
            })
            .collect(),
    };
    RestoreFrom {
        metadata: Arc::new(metadata),
        base: "/state/wordcount".to_owned(),
        own: true,
        lineage: true,
        older: Vec::new(),
    }
}

/// The first reader gets a split and fails: what its enumerator gets back.
fn given_back(rig: &mut Rig) -> Vec<(SubtaskIndex, Vec<u8>)> {
    let (node, [first, _]) = (source_node(rig), both(rig));
    rig.event(Event::SplitFound {
        attempt: first,
        node,
        life: 0,
        response: Ok(SplitResponse::Split(vec![1])),
    });
    rig.log.clear();
    rig.fail(first, "boom");
    rig.pass_ms(500);
    let back = rig.log.iter().find_map(|action| match action {
        Action::AddSplitsBack { splits, .. } => Some(splits.clone()),
        _ => None,
    });
    back.expect("the enumerator goes on")
}

#[test]
fn a_split_handed_out_since_a_job_was_restored_goes_back_when_its_reader_fails() {
    for lineage in [true, false] {
        let config = restartable(&pipelines());
        // The own checkpoints of a job that was restored from another one begin at 1.
        let from = RestoreFrom {
            lineage,
            ..snapshot(&config, 37)
        };
        let checkpoints = taken_by(&config, Some(&from));
        let mut rig = Rig::with(config, Some(checkpoints)).run();
        let expected = vec![(SubtaskIndex(0), vec![1])];
        assert_eq!(given_back(&mut rig), expected, "own lineage: {lineage}");
    }
}

#[test]
fn a_split_that_a_checkpoint_has_with_its_reader_does_not_go_back() {
    let mut rig = running();
    let (node, [first, _]) = (source_node(&rig), both(&rig));
    rig.event(Event::SplitFound {
        attempt: first,
        node,
        life: 0,
        response: Ok(SplitResponse::Split(vec![9])),
    });
    rig.log.clear();
    rig.pass_ms(1_000);
    take_checkpoint(&mut rig);
    assert_eq!(given_back(&mut rig), [(SubtaskIndex(0), vec![1])]);
}

/// The checkpoint that has begun since the log was cleared is completed.
fn take_checkpoint(rig: &mut Rig) -> (CheckpointId, Vec<Action>) {
    let id = asked(rig).expect("a checkpoint has begun");
    let node = source_node(rig);
    let result = Ok(vec![7]);
    rig.event(Event::EnumeratorState { id, node, result });
    (id, complete(rig, id))
}

fn ask(rig: &mut Rig, then: Then) {
    let request = SnapshotRequest {
        operation: OperationId("a".to_owned()),
        kind: SnapshotKind::Savepoint,
        then,
    };
    let actions = rig.master.request_snapshot(rig.now(), request);
    rig.log.extend(actions);
}

/// Its sources end at once when a drain begins; one that then went on alone would leave the rest of
/// its input unread for ever.
#[test]
fn a_failure_while_a_job_is_drained_restarts_all_of_it() {
    let mut rig = running();
    let [first, second] = both(&rig);
    ask(&mut rig, Then::Drain);
    rig.end_of_input(first);
    rig.fail(second, "boom");
    assert_eq!(rig.cancelled(), [first]);
    rig.state(first, ExecutionState::Canceled);
    rig.pass_ms(500);
    rig.prepare_all();
    let numbers = rig.attempts().into_iter().map(|attempt| attempt.attempt.0);
    assert_eq!(numbers.collect::<Vec<_>>(), [1, 1]);
}

/// All has been read, and the last checkpoint is complete: sinks are to commit it.
fn committing(rig: &mut Rig) -> CheckpointId {
    rig.log.clear();
    for attempt in both(rig) {
        rig.end_of_input(attempt);
    }
    let (id, told) = take_checkpoint(rig);
    let last = CommitRequest::Checkpoint { id, last: true };
    assert!(commands(&told).iter().any(
        |command| matches!(command, TaskExecutorCommand::Commit { commit, .. } if *commit == last)
    ));
    id
}

fn committed(rig: &mut Rig, attempt: ExecutionAttemptId, checkpoint: CheckpointId) {
    let message = TaskManagerMessage::Committed {
        attempt,
        checkpoint,
    };
    rig.message_of(attempt, message);
}

/// The first has committed; then it finishes and the second fails, one after the other. Both are
/// to run again: one that has finished would not take part in another last checkpoint.
fn both_restart(finish_and_fail: impl FnOnce(&mut Rig, [ExecutionAttemptId; 2])) {
    let mut rig = running();
    let [first, second] = both(&rig);
    let id = committing(&mut rig);
    committed(&mut rig, first, id);
    finish_and_fail(&mut rig, [first, second]);
    rig.pass_ms(500);
    rig.prepare_all();
    rig.run_all();
    assert!(rig.master.graph.all_running());
    let again = committing(&mut rig);
    assert!(again > id);
}

#[test]
fn a_failure_after_a_subtask_has_finished_restarts_all_and_the_job_comes_to_its_end() {
    both_restart(|rig, [first, second]| {
        rig.state(first, ExecutionState::Finished);
        rig.fail(second, "boom");
    });
}

/// Found by the simulator: the first was left out, and the second waited for it for ever.
#[test]
fn a_failure_before_a_subtask_says_that_it_has_finished_restarts_it_too() {
    both_restart(|rig, [first, second]| {
        rig.fail(second, "boom");
        // It had been told to before the failure, and is quicker than its cancellation.
        rig.state(first, ExecutionState::Finished);
    });
}

#[test]
fn a_failure_behind_the_savepoint_that_a_job_stops_with_brings_nothing_back_that_reads() {
    let mut rig = running();
    ask(&mut rig, Then::Stop);
    let (id, _) = take_checkpoint(&mut rig);
    let [first, second] = both(&rig);
    committed(&mut rig, first, id);
    rig.fail(second, "boom");
    rig.state(first, ExecutionState::Canceled);
    rig.pass_ms(500);
    rig.prepare_all();
    let again: Vec<_> = rig.deployed().split_off(2);
    assert!(!again.is_empty());
    for task in again {
        let restore = task.restore.expect("there is a savepoint");
        assert_eq!((restore.checkpoint, restore.ended), (id, true));
    }
}

/// Both have committed, one has finished; the pointer is to say so.
fn almost_finished(rig: &mut Rig) -> Box<Pointer> {
    let [first, second] = both(rig);
    let id = committing(rig);
    rig.log.clear();
    committed(rig, first, id);
    committed(rig, second, id);
    rig.state(first, ExecutionState::Finished);
    let write = rig.log.iter().find_map(|action| match action {
        Action::WritePointer(pointer) => Some(pointer.clone()),
        _ => None,
    });
    let pointer = write.expect("the pointer is to say that the job has finished");
    assert_eq!(pointer.run_state, RunState::Finished);
    pointer
}

#[test]
fn a_failure_after_all_is_committed_does_not_start_a_job_again_that_has_finished() {
    for restart in [restartable(&pipelines()).restart, RestartStrategy::None] {
        for recorded_first in [true, false] {
            let config = JobMasterConfig {
                restart,
                ..restartable(&pipelines())
            };
            let checkpoints = taken_by(&config, None);
            let mut rig = Rig::with(config, Some(checkpoints)).run();
            let pointer = almost_finished(&mut rig);
            let [_, second] = both(&rig);
            let deployed = rig.deployed().len();
            if recorded_first {
                written(&mut rig, &pointer);
                assert_eq!(rig.master.result(), None, "one has not ended");
                rig.fail(second, "boom");
            } else {
                rig.fail(second, "boom");
                rig.pass_ms(5_000);
                written(&mut rig, &pointer);
            }
            rig.pass_ms(5_000);
            assert_eq!(rig.deployed().len(), deployed);
            assert_eq!(rig.master.result(), Some(&JobResult::Finished));
        }
    }
}

#[test]
fn the_end_of_a_finished_job_is_recorded_in_the_end_although_a_subtask_failed_and_the_store_did() {
    let mut rig = running();
    let pointer = almost_finished(&mut rig);
    let [_, second] = both(&rig);
    rig.fail(second, "boom");
    let outcome = weir_checkpoint::coordinator::PointerOutcome::Failed("no answer".to_owned());
    let nonce = pointer.nonce;
    let deployed = rig.deployed().len();
    rig.log.clear();
    rig.event(Event::PointerWritten { nonce, outcome });
    rig.pass_ms(1_000);
    let write = rig.log.iter().find_map(|action| match action {
        Action::WritePointer(pointer) => Some(pointer.clone()),
        _ => None,
    });
    written(&mut rig, &write.expect("it is tried again"));
    assert_eq!(rig.deployed().len(), deployed);
    assert_eq!(rig.master.result(), Some(&JobResult::Finished));
}
