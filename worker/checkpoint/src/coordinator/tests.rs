//! Named runs of the coordinator. `random` checks its rules on random ones.

mod ends;
mod leaving;
mod random;
mod requests;

use std::time::Duration;

use weir_graph::NodeId;
use weir_types::{
    AttemptNumber, CheckpointId, Epoch, ExecutionAttemptId, JobId, KeyGroupRange, OperatorId,
    SubtaskIndex, Timestamp, VertexId,
};

use super::*;
use crate::handle::{
    KeyedHandle, ObjectRef, OperatorSubtaskState, SnapshotMetrics, Stored, SubtaskState,
};
use crate::pointer::{OperationId, Pointer, RunState, SnapshotKind};

const SOURCE: u128 = 10;
const SINK: u128 = 20;
const NODE: NodeId = NodeId(0);

/// A job of a source with two subtasks and a sink with one.
struct Job {
    coordinator: Coordinator,
    now_ms: u64,
    attempt: u32,
}

fn operator(id: u128, parallelism: u32, source: Option<NodeId>) -> OperatorInfo {
    OperatorInfo {
        operator: OperatorId(id),
        vertex: VertexId(id),
        name: format!("operator {id}"),
        uid: None,
        parallelism,
        max_parallelism: 128,
        source,
    }
}

fn config() -> CoordinatorConfig {
    CoordinatorConfig {
        interval: Duration::from_millis(100),
        timeout: Duration::from_millis(1_000),
        savepoint_timeout: Duration::from_millis(5_000),
        min_pause: Duration::ZERO,
        max_concurrent: 1,
        tolerable_failures: 0,
        retained: 2,
        operators: vec![operator(SINK, 1, None), operator(SOURCE, 2, Some(NODE))],
    }
}

fn claimed() -> Pointer {
    Pointer {
        state_id: JobId(1),
        deployment: 1,
        epoch: Epoch(4),
        holder: "jobmanager".to_owned(),
        nonce: 1,
        run_state: RunState::Running,
        last_id: CheckpointId(6),
        latest: None,
        retained: Vec::new(),
        roots: Vec::new(),
        forgotten: Vec::new(),
        branch: None,
        rewind: None,
    }
}

fn operation(name: &str) -> OperationId {
    OperationId(name.to_owned())
}

fn savepoint(name: &str, then: Then) -> Event {
    Event::Request(SnapshotRequest {
        operation: operation(name),
        kind: SnapshotKind::Savepoint,
        then,
    })
}

fn part(operator: u128) -> SubtaskState {
    SubtaskState {
        operators: vec![OperatorSubtaskState {
            operator: OperatorId(operator),
            keyed: Vec::new(),
            operator_state: None,
            raw: Some(Stored::Inline(vec![1])),
            uncommitted: false,
        }],
        ended: false,
    }
}

/// An action in a word or two, for comparing.
fn short(action: &Action) -> String {
    match action {
        Action::SnapshotEnumerator { id, .. } => format!("enumerator {id}"),
        Action::Trigger {
            barrier,
            then,
            attempts,
        } => format!("trigger {} {then:?} x{}", barrier.id, attempts.len()),
        Action::Abort { id, .. } => format!("abort {id}"),
        Action::WriteMetadata { path, .. } => format!("metadata {path}"),
        Action::WritePointer(pointer) => {
            let latest = pointer.latest.as_ref().map(|latest| latest.id.0);
            format!("pointer {} {:?}", latest.unwrap_or(0), pointer.run_state)
        }
        Action::Complete { id, last, commits } => {
            format!(
                "complete {id}{} x{}",
                if *last { " last" } else { "" },
                commits.len()
            )
        }
        Action::Answer { operation, result } => {
            let result = result
                .as_ref()
                .map_or_else(|_| "error".to_owned(), |s| s.id.to_string());
            format!("answer {} {result}", operation.0)
        }
        Action::End(FinalOutcome::Finished) => "end finished".to_owned(),
        Action::End(FinalOutcome::Stopped(snapshot)) => format!("end stopped {}", snapshot.id),
        Action::EndRecorded => "recorded".to_owned(),
        Action::Fail { .. } => "fail".to_owned(),
        Action::Fenced { .. } => "fenced".to_owned(),
        Action::Say(_) => "say".to_owned(),
    }
}

impl Job {
    fn new(config: CoordinatorConfig) -> Self {
        Self::from(config, claimed())
    }

    fn from(config: CoordinatorConfig, pointer: Pointer) -> Self {
        Self {
            coordinator: Coordinator::new(config, pointer, 1),
            now_ms: 0,
            attempt: 0,
        }
    }

    fn running(config: CoordinatorConfig) -> Self {
        let mut job = Self::new(config);
        assert_eq!(job.start(), [""; 0]);
        job
    }

    fn raw(&mut self, event: Event) -> Vec<Action> {
        let now = Timestamp(self.now_ms * 1_000_000);
        let unix_ms = i64::try_from(self.now_ms).unwrap();
        self.coordinator.on_event(now, unix_ms, event)
    }

    fn on(&mut self, event: Event) -> Vec<String> {
        self.raw(event).iter().map(short).collect()
    }

    /// The time goes on.
    fn wait(&mut self, ms: u64) -> Vec<String> {
        self.now_ms += ms;
        self.on(Event::Tick)
    }

    fn attempt_of(&self, vertex: u128, subtask: u32) -> ExecutionAttemptId {
        ExecutionAttemptId {
            epoch: Epoch(4),
            vertex: VertexId(vertex),
            subtask: SubtaskIndex(subtask),
            attempt: AttemptNumber(self.attempt),
        }
    }

    fn all(&self) -> [ExecutionAttemptId; 3] {
        [(SOURCE, 0), (SOURCE, 1), (SINK, 0)].map(|(vertex, i)| self.attempt_of(vertex, i))
    }

    fn start(&mut self) -> Vec<String> {
        self.attempt += 1;
        let participants = self.all().map(|attempt| Participant {
            attempt,
            source: attempt.vertex == VertexId(SOURCE),
            commits: attempt.vertex == VertexId(SINK),
        });
        self.on(Event::Started {
            participants: participants.to_vec(),
        })
    }

    fn interrupt(&mut self) -> Vec<String> {
        self.on(Event::Interrupted {
            reason: "a task failed".to_owned(),
        })
    }

    fn enumerated(&mut self, id: u64) -> Vec<String> {
        self.on(Event::EnumeratorState {
            id: CheckpointId(id),
            node: NODE,
            result: Ok(vec![7]),
        })
    }

    fn ack(&mut self, id: u64, attempt: ExecutionAttemptId) -> Vec<String> {
        self.on(Event::Acknowledged {
            id: CheckpointId(id),
            attempt,
            state: part(attempt.vertex.0),
            metrics: SnapshotMetrics::default(),
        })
    }

    fn decline(&mut self, id: u64, attempt: ExecutionAttemptId) -> Vec<String> {
        self.on(Event::Declined {
            id: CheckpointId(id),
            attempt,
            why: SnapshotFailure::other("no room"),
        })
    }

    fn ack_all(&mut self, id: u64) -> Vec<String> {
        let acks = self.all().map(|attempt| self.ack(id, attempt));
        acks.concat()
    }

    fn metadata(&mut self, id: u64) -> Vec<String> {
        self.on(Event::MetadataWritten {
            id: CheckpointId(id),
            result: Ok(("00".to_owned(), 5)),
        })
    }

    fn pointer(&mut self, outcome: PointerOutcome) -> Vec<String> {
        let nonce = self
            .coordinator
            .write
            .as_ref()
            .map(InFlight::nonce)
            .unwrap();
        self.on(Event::PointerWritten { nonce, outcome })
    }

    fn written(&mut self) -> Vec<String> {
        self.pointer(PointerOutcome::Written)
    }

    fn refused(&mut self) -> Vec<String> {
        self.pointer(PointerOutcome::Failed("denied".to_owned()))
    }

    fn commit(&mut self, id: u64) -> Vec<String> {
        let attempt = self.attempt_of(SINK, 0);
        self.on(Event::Committed {
            id: CheckpointId(id),
            attempt,
        })
    }

    /// A checkpoint that was begun, from its enumerators to the pointer's write.
    fn until_pointer(&mut self, id: u64) -> Vec<String> {
        self.enumerated(id);
        self.ack_all(id);
        self.metadata(id)
    }

    /// A whole checkpoint that is due now.
    fn checkpoint(&mut self, id: u64) {
        assert_eq!(self.wait(100), [format!("enumerator {id}")]);
        self.until_pointer(id);
        assert_eq!(self.written(), [format!("complete {id} x1")]);
    }

    fn latest(&self) -> u64 {
        let latest = &self.coordinator.pointer().latest;
        latest.as_ref().map_or(0, |latest| latest.id.0)
    }
}

#[test]
fn a_checkpoint_goes_from_the_enumerators_to_the_sinks_in_order() {
    let mut job = Job::running(config());
    assert_eq!(job.wait(99), [""; 0]);
    assert_eq!(job.wait(1), ["enumerator 7"]);
    assert_eq!(job.enumerated(7), ["trigger 7 Continue x2"]);
    let [one, two, sink] = job.all();
    assert_eq!(job.ack(7, one), [""; 0]);
    assert_eq!(job.ack(7, sink), [""; 0]);
    assert_eq!(job.ack(7, two), ["metadata chk-4-7"]);
    assert_eq!(job.metadata(7), ["pointer 7 Running"]);
    assert!(job.coordinator.in_doubt());
    assert_eq!(job.latest(), 0, "not before the pointer is written");
    assert_eq!(job.written(), ["complete 7 x1"]);
    assert_eq!(job.latest(), 7);
    assert!(!job.coordinator.in_doubt());
}

#[test]
fn the_metadata_holds_every_part_at_its_operator() {
    let mut job = Job::running(config());
    job.wait(100);
    job.enumerated(7);
    let [one, two, sink] = job.all();
    job.ack(7, two);
    job.ack(7, sink);
    let mut ended = part(SOURCE);
    ended.ended = true;
    let actions = job.raw(Event::Acknowledged {
        id: CheckpointId(7),
        attempt: one,
        state: ended,
        metrics: SnapshotMetrics::default(),
    });
    let [Action::WriteMetadata { metadata, .. }] = &actions[..] else {
        panic!("{actions:?}");
    };
    let [source, sink] = &metadata.operators[..] else {
        panic!("{metadata:?}");
    };
    assert_eq!(
        source.operator,
        OperatorId(SOURCE),
        "in the order of the ids"
    );
    assert_eq!(source.enumerator, Some(vec![7]));
    let subtasks: Vec<u32> = source
        .subtasks
        .iter()
        .map(|(subtask, _)| subtask.0)
        .collect();
    assert_eq!(subtasks, [0, 1]);
    assert_eq!(source.ended, [SubtaskIndex(0)]);
    assert_eq!((sink.enumerator.as_ref(), sink.subtasks.len()), (None, 1));
    let restored = Coordinator::new(config(), claimed(), 2).with_latest((**metadata).clone());
    assert_eq!(restored.latest_metadata(), Some(&**metadata));
}

#[test]
fn an_acknowledgement_of_an_earlier_attempt_or_a_second_one_does_not_count() {
    let mut job = Job::running(config());
    job.wait(100);
    job.enumerated(7);
    let old = job.all();
    job.interrupt();
    job.start();
    assert_eq!(job.wait(100), ["enumerator 8"]);
    job.enumerated(8);
    let [one, two, sink] = job.all();
    for attempt in [old[0], old[1], old[2], one, one, two, two] {
        assert_eq!(job.ack(8, attempt), [""; 0]);
    }
    assert_eq!(job.ack(7, sink), [""; 0], "of one that was given up");
    assert_eq!(job.ack(8, sink), ["metadata chk-4-8"]);
}

#[test]
fn a_checkpoint_with_the_state_of_an_unknown_operator_fails() {
    let mut job = Job::running(config());
    job.wait(100);
    job.enumerated(7);
    let [one, two, sink] = job.all();
    job.ack(7, one);
    job.ack(7, two);
    let actions = job.on(Event::Acknowledged {
        id: CheckpointId(7),
        attempt: sink,
        state: part(99),
        metrics: SnapshotMetrics::default(),
    });
    assert_eq!(actions, ["abort 7", "fail"]);
}

#[test]
fn numbers_grow_whatever_becomes_of_the_checkpoints() {
    let mut job = Job::running(CoordinatorConfig {
        tolerable_failures: 10,
        ..config()
    });
    job.wait(100);
    let [one, ..] = job.all();
    assert_eq!(job.decline(7, one), ["abort 7"]);
    job.checkpoint(8);
    assert_eq!(job.wait(100), ["enumerator 9"]);
    assert_eq!(job.interrupt(), ["abort 9"]);
    job.start();
    assert_eq!(job.wait(100), ["enumerator 10"]);
    job.until_pointer(10);
    assert_eq!(
        job.coordinator.write.as_ref().unwrap().last_id(),
        CheckpointId(10)
    );
}

#[test]
fn a_slow_checkpoint_is_given_up_and_what_comes_after_is_ignored() {
    let mut job = Job::running(config());
    job.wait(100);
    job.enumerated(7);
    let [one, two, sink] = job.all();
    job.ack(7, one);
    assert_eq!(
        job.coordinator.next_wakeup(),
        Some(Timestamp(1_100_000_000))
    );
    assert_eq!(job.wait(999), [""; 0]);
    assert_eq!(job.wait(1), ["abort 7", "fail"]);
    assert_eq!(job.ack(7, two), [""; 0]);
    assert_eq!(job.ack(7, sink), [""; 0]);
    assert_eq!(job.metadata(7), [""; 0]);
    let views: Vec<_> = job.coordinator.history().checkpoints().collect();
    let CheckpointStatus::Failed { why, .. } = &views[0].status else {
        panic!("{views:?}");
    };
    assert!(why.reason.contains("2 of 3 subtasks"), "{why:?}");
}

#[test]
fn a_checkpoint_that_the_storage_does_not_take_says_that_the_storage_is_at_fault() {
    let declined = |job: &mut Job, why| {
        let [attempt, ..] = job.all();
        let id = CheckpointId(7);
        job.on(Event::Declined { id, attempt, why });
    };
    let acknowledged = |job: &mut Job| drop(job.ack_all(7));
    type Case<'a> = (&'a str, Box<dyn Fn(&mut Job) + 'a>, FailureKind);
    let cases: [Case<'_>; 7] = [
        (
            "a subtask can't store its part",
            Box::new(|job| declined(job, SnapshotFailure::storage("no answer"))),
            FailureKind::Storage,
        ),
        (
            "a subtask has nothing to store",
            Box::new(|job| declined(job, SnapshotFailure::other("a panic"))),
            FailureKind::Other,
        ),
        (
            "the metadata can't be written",
            Box::new(|job| {
                acknowledged(job);
                let (id, result) = (CheckpointId(7), Err(SnapshotFailure::storage("no")));
                job.on(Event::MetadataWritten { id, result });
            }),
            FailureKind::Storage,
        ),
        (
            "the metadata is not written in time",
            Box::new(|job| {
                acknowledged(job);
                job.wait(1_000);
            }),
            FailureKind::Storage,
        ),
        (
            "the pointer can't be written",
            Box::new(|job| {
                job.until_pointer(7);
                job.refused();
                job.refused();
                job.wait(1_000);
                job.refused();
            }),
            FailureKind::Storage,
        ),
        (
            "a subtask does not answer in time",
            Box::new(|job| drop(job.wait(1_000))),
            FailureKind::Other,
        ),
        (
            "the job fails",
            Box::new(|job| drop(job.interrupt())),
            FailureKind::Other,
        ),
    ];
    for (case, happens, kind) in cases {
        let mut job = Job::running(config());
        job.wait(100);
        job.enumerated(7);
        happens(&mut job);
        let views: Vec<_> = job.coordinator.history().checkpoints().collect();
        let CheckpointStatus::Failed { why, .. } = &views[0].status else {
            panic!("{case}: {views:?}");
        };
        assert_eq!(why.kind, kind, "{case}: {why:?}");
    }
}

#[test]
fn a_checkpoint_in_doubt_neither_times_out_nor_is_given_up() {
    let mut job = Job::running(config());
    job.wait(100);
    job.until_pointer(7);
    assert_eq!(job.coordinator.next_wakeup(), None);
    assert_eq!(job.wait(100_000), [""; 0]);
    let [one, ..] = job.all();
    assert_eq!(job.decline(7, one), [""; 0]);
    assert_eq!(job.interrupt(), [""; 0], "no abort: it may be complete");
    assert!(job.coordinator.in_doubt());
    assert_eq!(
        job.written(),
        [""; 0],
        "its tasks are gone: the restore commits"
    );
    assert_eq!(job.latest(), 7);
    assert_eq!(
        job.coordinator.latest_metadata().unwrap().id,
        CheckpointId(7)
    );
}

#[test]
fn a_checkpoint_in_doubt_whose_write_failed_is_given_up() {
    let mut job = Job::running(config());
    job.wait(100);
    job.until_pointer(7);
    job.interrupt();
    assert_eq!(job.refused(), ["abort 7"]);
    assert_eq!(job.latest(), 0);
    job.start();
    job.checkpoint(8);
}

#[test]
fn a_pointer_write_that_failed_is_tried_again_a_few_times() {
    let mut job = Job::running(config());
    job.wait(100);
    job.until_pointer(7);
    assert_eq!(job.refused(), ["pointer 7 Running"]);
    assert_eq!(job.written(), ["complete 7 x1"]);
    job.wait(100);
    job.until_pointer(8);
    assert_eq!(job.refused(), ["pointer 8 Running"]);
    assert_eq!(job.refused(), ["pointer 8 Running"]);
    assert_eq!(job.refused(), ["abort 8", "fail"]);
}

/// While the store was out of reach, a collector in another process may have deleted the objects
/// of a checkpoint that no pointer names.
#[test]
fn the_pointer_is_not_written_again_for_a_checkpoint_beyond_its_time_out() {
    let mut job = Job::running(config());
    job.wait(100);
    job.until_pointer(7);
    job.wait(999);
    assert_eq!(job.refused(), ["pointer 7 Running"]);
    assert_eq!(job.wait(1), [""; 0], "it is in doubt");
    assert_eq!(job.refused(), ["abort 7", "fail"]);
}

#[test]
#[should_panic(expected = "a restore waits")]
fn a_restart_while_a_write_is_in_doubt_is_a_defect() {
    let mut job = Job::running(config());
    job.wait(100);
    job.until_pointer(7);
    job.interrupt();
    job.start();
}

#[test]
fn another_leader_ends_everything() {
    let mut job = Job::running(config());
    job.wait(100);
    job.until_pointer(7);
    let other = Box::new(Pointer {
        epoch: Epoch(5),
        ..claimed()
    });
    assert_eq!(job.pointer(PointerOutcome::Fenced(other)), ["fenced"]);
    assert_eq!(job.wait(1_000), [""; 0]);
    assert_eq!(job.on(savepoint("a", Then::Continue)), [""; 0]);
    assert_eq!(job.coordinator.next_wakeup(), None);
}

#[test]
fn the_outcome_of_a_write_that_was_not_asked_for_is_ignored() {
    let mut job = Job::running(config());
    job.wait(100);
    job.until_pointer(7);
    let stray = job.on(Event::PointerWritten {
        nonce: 5,
        outcome: PointerOutcome::Written,
    });
    assert_eq!(stray, [""; 0]);
    assert!(job.coordinator.in_doubt());
}

#[test]
fn failures_in_a_row_beyond_what_is_tolerated_fail_the_job() {
    let mut job = Job::running(CoordinatorConfig {
        tolerable_failures: 1,
        ..config()
    });
    let [one, ..] = job.all();
    job.wait(100);
    assert_eq!(job.decline(7, one), ["abort 7"]);
    job.checkpoint(8);
    job.wait(100);
    assert_eq!(
        job.decline(9, one),
        ["abort 9"],
        "a complete one starts the count anew"
    );
    job.wait(100);
    assert_eq!(job.decline(10, one), ["abort 10", "fail"]);
}

#[test]
fn the_pause_between_checkpoints_counts_from_the_end_of_the_last() {
    let mut job = Job::running(CoordinatorConfig {
        min_pause: Duration::from_millis(80),
        ..config()
    });
    job.wait(100);
    job.until_pointer(7);
    job.wait(50);
    job.written();
    assert_eq!(job.wait(79), [""; 0]);
    assert_eq!(job.coordinator.next_wakeup(), Some(Timestamp(230_000_000)));
    assert_eq!(job.wait(1), ["enumerator 8"]);
}

/// Otherwise each timer that is late would put off all that come, and no subtask could expect its
/// barriers.
#[test]
fn a_checkpoint_that_begins_late_does_not_put_off_the_next_one() {
    let mut job = Job::running(config());
    assert_eq!(job.wait(103), ["enumerator 7"]);
    job.until_pointer(7);
    job.written();
    assert_eq!(job.coordinator.next_wakeup(), Some(Timestamp(200_000_000)));
    assert_eq!(job.wait(198), ["enumerator 8"]);
    job.until_pointer(8);
    job.written();
    // What was due a whole interval ago is not made up for.
    assert_eq!(job.coordinator.next_wakeup(), Some(Timestamp(401_000_000)));
}

#[test]
fn of_two_at_once_the_older_never_completes_after_the_newer() {
    let mut job = Job::running(CoordinatorConfig {
        max_concurrent: 2,
        ..config()
    });
    job.wait(100);
    job.enumerated(7);
    job.wait(100);
    job.enumerated(8);
    assert_eq!(job.wait(100), [""; 0], "two at once are enough");
    assert_eq!(job.ack_all(8), ["metadata chk-4-8"]);
    assert_eq!(job.metadata(8), ["pointer 8 Running"]);
    assert_eq!(job.ack_all(7), ["metadata chk-4-7"]);
    assert_eq!(job.metadata(7), [""; 0], "one write at a time");
    assert_eq!(job.written(), ["abort 7", "complete 8 x1", "enumerator 9"]);
}

#[test]
fn a_checkpoint_that_builds_on_one_that_is_not_kept_is_given_up_without_counting() {
    let mut job = Job::running(CoordinatorConfig {
        retained: 1,
        ..config()
    });
    let keyed = |id: u64, files: &[u64]| {
        let file = |of: &u64| KeyedHandle {
            stored: Stored::Object(ObjectRef {
                path: format!("shared/{of}"),
                size: 1,
                checksum: 0,
            }),
            checkpoint: CheckpointId(*of),
            base: None,
            range: KeyGroupRange { start: 0, end: 127 },
            max_parallelism: 128,
            states: Vec::new(),
        };
        let mut state = part(SINK);
        state.operators[0].keyed = files.iter().map(file).collect();
        (CheckpointId(id), state)
    };
    let mut take = |(id, state): (CheckpointId, SubtaskState)| {
        job.wait(100);
        job.enumerated(id.0);
        let [one, two, attempt] = job.all();
        job.ack(id.0, one);
        job.ack(id.0, two);
        job.on(Event::Acknowledged {
            id,
            attempt,
            state,
            metrics: SnapshotMetrics::default(),
        });
        let end = job.metadata(id.0);
        if end[0].starts_with("pointer") {
            job.written();
        }
        end
    };
    assert_eq!(take(keyed(7, &[7])), ["pointer 7 Running"]);
    assert_eq!(take(keyed(8, &[7, 8])), ["pointer 8 Running"]);
    assert_eq!(take(keyed(9, &[7, 8, 9])), ["pointer 9 Running"]);
    assert_eq!(take(keyed(10, &[10])), ["pointer 10 Running"]);
    assert_eq!(take(keyed(11, &[7, 8, 11])), ["abort 11"], "8 is not kept");
    assert_eq!(take(keyed(12, &[10, 12])), ["pointer 12 Running"]);
}

#[test]
fn an_enumerator_that_fails_fails_the_checkpoint() {
    let mut job = Job::running(config());
    job.wait(100);
    let failed = job.on(Event::EnumeratorState {
        id: CheckpointId(7),
        node: NODE,
        result: Err("no folder".to_owned()),
    });
    assert_eq!(failed, ["abort 7", "fail"]);
}

#[test]
fn without_an_interval_nothing_begins_by_itself() {
    let mut job = Job::running(CoordinatorConfig {
        interval: Duration::ZERO,
        ..config()
    });
    assert_eq!(job.wait(1_000_000), [""; 0]);
    assert_eq!(job.coordinator.next_wakeup(), None);
    assert_eq!(job.on(savepoint("a", Then::Continue)), ["enumerator 7"]);
}

#[test]
fn the_history_is_bounded_and_counts_on() {
    let mut job = Job::running(config());
    for id in 7..107 {
        job.checkpoint(id);
    }
    let history = job.coordinator.history();
    assert_eq!(
        (history.completed_count(), history.failed_count()),
        (100, 0)
    );
    assert!(history.checkpoints().count() <= 22);
    assert_eq!(
        history.checkpoints().next_back().unwrap().id,
        CheckpointId(106)
    );
    assert_eq!(history.checkpoints().next_back().unwrap().subtasks.len(), 3);
}
