//! Random events, and a naive book of what was said, which checks what must hold in every run.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Start,
    Interrupt,
    Request(u8, Then),
    EndOfInput,
    Enumerator(u64, bool),
    Ack { id: u64, who: usize, stale: bool },
    AckAll,
    Decline(u64, usize),
    Metadata(u64, bool),
    Pointer(bool),
    Commit(u64),
    Forget(u8),
    Ended,
}

fn step() -> impl Strategy<Value = Step> {
    let then =
        prop_oneof![6 => Just(Then::Continue), 1 => Just(Then::Stop), 1 => Just(Then::Drain)];
    // Ids count from the newest backwards.
    prop_oneof![
        12 => (1..150u64).prop_map(Step::Wait),
        3 => Just(Step::Start),
        1 => Just(Step::Interrupt),
        2 => (0..6u8, then).prop_map(|(op, then)| Step::Request(op, then)),
        1 => Just(Step::EndOfInput),
        10 => (0..2u64, prop::bool::weighted(0.95)).prop_map(|(id, ok)| Step::Enumerator(id, ok)),
        6 => (0..3u64, 0..3usize, prop::bool::weighted(0.1))
            .prop_map(|(id, who, stale)| Step::Ack { id, who, stale }),
        8 => Just(Step::AckAll),
        1 => (0..3u64, 0..3usize).prop_map(|(id, who)| Step::Decline(id, who)),
        10 => (0..2u64, prop::bool::weighted(0.95)).prop_map(|(id, ok)| Step::Metadata(id, ok)),
        10 => prop::bool::weighted(0.9).prop_map(Step::Pointer),
        4 => (0..2u64).prop_map(Step::Commit),
        2 => (0..6u8).prop_map(Step::Forget),
        1 => prop::bool::weighted(0.05).prop_map(|ends| if ends { Step::Ended } else { Step::Start }),
    ]
}

/// What was said so far.
#[derive(Default)]
struct Book {
    begun: Vec<u64>,
    begun_ms: BTreeMap<u64, u64>,
    enumerated: BTreeSet<u64>,
    acked: BTreeMap<u64, BTreeSet<ExecutionAttemptId>>,
    aborted: BTreeSet<u64>,
    completed: Vec<u64>,
    in_flight: Option<Box<Pointer>>,
    asked: BTreeMap<String, usize>,
    answered: BTreeMap<String, usize>,
    snapshots_of: BTreeMap<String, BTreeSet<u64>>,
    forgotten: BTreeSet<String>,
    over: bool,
}

impl Book {
    fn check(&mut self, job: &Job, actions: Vec<Action>) -> Result<(), TestCaseError> {
        for action in actions {
            prop_assert!(!self.over, "after the end: {:?}", action);
            match action {
                Action::SnapshotEnumerator { id, .. } => {
                    prop_assert!(self.begun.iter().all(|old| *old < id.0), "numbers grow");
                    self.begun.push(id.0);
                    self.begun_ms.insert(id.0, job.now_ms);
                    let live = self.live();
                    prop_assert!(live <= 3, "{} at once", live);
                }
                Action::Trigger { barrier, then, .. } => {
                    let drain = then == Then::Drain;
                    prop_assert_eq!(self.enumerated.contains(&barrier.id.0), !drain);
                }
                Action::Abort { id, .. } => {
                    let latest = self.in_flight.as_ref().and_then(|p| p.latest.clone());
                    prop_assert!(
                        latest
                            .is_none_or(|latest| latest.id != id || self.completed.contains(&id.0)),
                        "aborted in doubt: {}",
                        id
                    );
                    prop_assert!(!self.completed.contains(&id.0));
                    prop_assert!(self.aborted.insert(id.0), "aborted twice");
                }
                Action::WriteMetadata { metadata, .. } => {
                    let acked = self.acked.get(&metadata.id.0).cloned().unwrap_or_default();
                    prop_assert!(job.all().iter().all(|attempt| acked.contains(attempt)));
                }
                Action::WritePointer(pointer) => {
                    prop_assert!(self.in_flight.is_none(), "two writes at once");
                    prop_assert!(pointer.last_id.0 >= self.begun.last().copied().unwrap_or(0));
                    let before = job.coordinator.pointer();
                    prop_assert!(
                        pointer.latest.as_ref().map(|l| l.id)
                            >= before.latest.as_ref().map(|l| l.id),
                        "latest goes back"
                    );
                    prop_assert_ne!(pointer.nonce, before.nonce);
                    let decoded = Pointer::decode(&pointer.encode());
                    prop_assert_eq!(&decoded.expect("it is consistent"), &*pointer);
                    if let Some(latest) = &pointer.latest
                        && before.latest.as_ref() != Some(latest)
                    {
                        let age = job.now_ms - self.begun_ms[&latest.id.0];
                        let limit = match latest.kind {
                            SnapshotKind::Checkpoint => 1_000,
                            SnapshotKind::Savepoint => 5_000,
                        };
                        prop_assert!(age < limit, "{} is written when {} ms old", latest.id, age);
                    }
                    self.forget(before, &pointer);
                    self.in_flight = Some(pointer);
                }
                Action::Complete { id, .. } => {
                    prop_assert!(!self.aborted.contains(&id.0));
                    prop_assert_eq!(job.latest(), id.0, "complete and not in the pointer");
                }
                Action::Answer { operation, result } => {
                    *self.answered.entry(operation.0.clone()).or_default() += 1;
                    let answers = self.answered[&operation.0];
                    prop_assert!(answers <= self.asked[&operation.0], "answered unasked");
                    if let Ok(snapshot) = result {
                        let name = operation.0;
                        let all = self.snapshots_of.entry(name.clone()).or_default();
                        all.insert(snapshot.id.0);
                        let once = all.len() == 1 || self.forgotten.contains(&name);
                        prop_assert!(once, "two snapshots of one operation");
                        prop_assert!(self.completed.contains(&snapshot.id.0));
                    }
                }
                Action::End(_) | Action::EndRecorded => self.over = true,
                Action::Fenced { .. } | Action::Fail { .. } | Action::Say(_) => {}
            }
        }
        Ok(())
    }

    /// A checkpoint that the pointer does not keep any more may be asked for again, and is another
    /// one then; a savepoint may not.
    fn forget(&mut self, before: &Pointer, after: &Pointer) {
        let gone = before
            .retained
            .iter()
            .filter(|kept| !after.retained.contains(kept))
            .filter(|kept| kept.kind == SnapshotKind::Checkpoint);
        let operations = gone.filter_map(|kept| kept.operation.as_ref());
        self.forgotten
            .extend(operations.map(|operation| operation.0.clone()));
    }

    fn live(&self) -> usize {
        let gone = |id: &&u64| !self.aborted.contains(id) && !self.completed.contains(id);
        self.begun.iter().filter(gone).count()
    }
}

#[expect(clippy::too_many_lines, reason = "one arm for each kind of step")]
fn run(steps: Vec<Step>, max_concurrent: u32) -> Result<(), TestCaseError> {
    let mut job = Job::new(CoordinatorConfig {
        max_concurrent,
        tolerable_failures: 2,
        ..config()
    });
    let mut book = Book::default();
    let mut running = false;
    for step in steps {
        let newest = job.coordinator.next_id.0 - 1;
        let event = match step {
            Step::Wait(ms) => {
                job.now_ms += ms;
                Event::Tick
            }
            Step::Start if job.coordinator.in_doubt() || running => continue,
            Step::Start => {
                running = true;
                job.attempt += 1;
                let participants = job.all().map(|attempt| Participant {
                    attempt,
                    source: attempt.vertex == VertexId(SOURCE),
                    commits: attempt.vertex == VertexId(SINK),
                });
                Event::Started {
                    participants: participants.to_vec(),
                }
            }
            Step::Interrupt => {
                running = false;
                Event::Interrupted {
                    reason: "a task failed".to_owned(),
                }
            }
            Step::Request(op, then) => {
                let name = format!("op-{op}");
                *book.asked.entry(name.clone()).or_default() += 1;
                savepoint(&name, then)
            }
            Step::EndOfInput if !running => continue,
            Step::EndOfInput => Event::EndOfInput,
            Step::Enumerator(back, ok) => {
                let id = newest.saturating_sub(back);
                if ok && !book.aborted.contains(&id) {
                    book.enumerated.insert(id);
                }
                Event::EnumeratorState {
                    id: CheckpointId(id),
                    node: NODE,
                    result: if ok { Ok(vec![]) } else { Err("no".to_owned()) },
                }
            }
            Step::Ack { id, who, stale } => {
                let mut attempt = job.all()[who];
                attempt.attempt.0 -= u32::from(stale && attempt.attempt.0 > 0);
                acked(&mut book, newest.saturating_sub(id), attempt)
            }
            Step::AckAll => {
                for attempt in job.all() {
                    let event = acked(&mut book, newest, attempt);
                    let actions = job.raw(event);
                    book.check(&job, actions)?;
                }
                continue;
            }
            Step::Decline(back, who) => Event::Declined {
                id: CheckpointId(newest.saturating_sub(back)),
                attempt: job.all()[who],
                why: SnapshotFailure::other("no"),
            },
            Step::Metadata(back, ok) => Event::MetadataWritten {
                id: CheckpointId(newest.saturating_sub(back)),
                result: if ok {
                    Ok(("aa".to_owned(), 1))
                } else {
                    Err(SnapshotFailure::storage("no"))
                },
            },
            Step::Pointer(ok) => {
                let Some(content) = book.in_flight.take() else {
                    continue;
                };
                if ok && let Some(latest) = &content.latest {
                    let news = book.completed.last().is_none_or(|last| *last < latest.id.0);
                    if news {
                        book.completed.push(latest.id.0);
                    }
                }
                Event::PointerWritten {
                    nonce: content.nonce,
                    outcome: match ok {
                        true => PointerOutcome::Written,
                        false => PointerOutcome::Failed("no".to_owned()),
                    },
                }
            }
            Step::Commit(back) => Event::Committed {
                id: CheckpointId(newest.saturating_sub(back)),
                attempt: job.attempt_of(SINK, 0),
            },
            Step::Forget(op) => Event::Forget(operation(&format!("op-{op}"))),
            Step::Ended => {
                running = false;
                Event::Ended(RunState::Cancelled)
            }
        };
        let actions = job.raw(event);
        let fails = actions
            .iter()
            .any(|action| matches!(action, Action::Fail { .. }));
        book.check(&job, actions)?;
        if fails {
            running = false;
            let reason = "it was told to".to_owned();
            let actions = job.raw(Event::Interrupted { reason });
            book.check(&job, actions)?;
        }
        let now = Timestamp(job.now_ms * 1_000_000);
        let wakeup = job.coordinator.next_wakeup();
        prop_assert!(
            wakeup.is_none_or(|at| at > now),
            "it is to be woken at once, for ever"
        );
        prop_assert_eq!(job.coordinator.in_doubt(), book.in_flight.is_some());
    }
    Ok(())
}

fn acked(book: &mut Book, id: u64, attempt: ExecutionAttemptId) -> Event {
    book.acked.entry(id).or_default().insert(attempt);
    Event::Acknowledged {
        id: CheckpointId(id),
        attempt,
        state: part(attempt.vertex.0),
        metrics: SnapshotMetrics::default(),
    }
}

proptest! {
    #[test]
    fn the_rules_hold_in_any_run(
        steps in prop::collection::vec(step(), 1..200),
        max_concurrent in 1..3u32,
    ) {
        run(steps, max_concurrent)?;
    }
}
