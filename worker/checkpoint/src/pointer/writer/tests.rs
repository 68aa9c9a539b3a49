//! Named runs, and random ones against a store that delivers writes whenever it likes.

use proptest::prelude::*;
use weir_types::{CheckpointId, Epoch, JobId};

use super::*;
use crate::pointer::{RunState, SnapshotKind, SnapshotRef};

fn content(epoch: u64, last_id: u64, nonce: u128) -> Pointer {
    Pointer {
        state_id: JobId(1),
        deployment: 1,
        epoch: Epoch(epoch),
        holder: String::new(),
        nonce,
        run_state: RunState::Running,
        last_id: CheckpointId(last_id),
        latest: None,
        retained: Vec::new(),
        roots: Vec::new(),
        forgotten: Vec::new(),
        branch: None,
        rewind: None,
    }
}

/// The content that names a new snapshot.
fn naming(id: u64, nonce: u128) -> Pointer {
    let mut pointer = content(1, id, nonce);
    let (epoch, id, kind) = (Epoch(1), CheckpointId(id), SnapshotKind::Checkpoint);
    let snapshot = SnapshotRef {
        id,
        epoch,
        kind,
        path: kind.folder(epoch, id),
        sha256: String::new(),
        size: 1,
        completed_ms: 0,
        operation: None,
    };
    pointer.complete(snapshot, 1);
    pointer
}

fn writer() -> PointerWriter {
    PointerWriter::new(content(1, 0, 100), "v0".to_owned(), Nonces::new(1))
}

fn found(pointer: &Pointer, version: &str) -> ReadResult {
    ReadResult::Found {
        pointer: Box::new(pointer.clone()),
        version: version.to_owned(),
    }
}

fn done(nonce: u128, outcome: PointerOutcome) -> Option<WriterAction> {
    Some(WriterAction::Done { nonce, outcome })
}

fn in_doubt() -> SwapResult {
    SwapResult::InDoubt("timed out".to_owned())
}

#[test]
fn a_lost_response_is_found_by_its_nonce() {
    let mut writer = writer();
    let wanted = content(1, 1, 101);
    writer.write(wanted.clone());
    assert_eq!(
        writer.on_swap(in_doubt()),
        Some(WriterAction::Read { tries: 0 })
    );
    let end = writer.on_read(found(&wanted, "v1"));
    assert_eq!(end, done(101, PointerOutcome::Written));
    assert_eq!(writer.current(), &wanted);
}

#[test]
fn a_late_write_is_superseded_before_it_is_tried_again() {
    let mut writer = writer();
    let wanted = content(1, 1, 101);
    writer.write(wanted.clone());
    writer.on_swap(in_doubt());
    let supersede = writer.on_read(found(&content(1, 0, 100), "v0"));
    let Some(WriterAction::Swap { expected, content }) = supersede else {
        panic!("{supersede:?}");
    };
    assert_eq!((expected.as_str(), content.last_id.0), ("v0", 0));
    assert_ne!(content.nonce, 100, "it is another state of the register");
    let again = writer.on_swap(SwapResult::Written {
        version: "v1".to_owned(),
    });
    let swap = WriterAction::Swap {
        expected: "v1".to_owned(),
        content: Box::new(wanted),
    };
    assert_eq!(again, Some(swap));
}

/// Nobody knows how old its snapshot is by then, and whether the objects are still there.
#[test]
fn a_superseded_write_that_names_a_snapshot_is_not_tried_again_by_itself() {
    let mut writer = writer();
    writer.write(naming(1, 101));
    writer.on_swap(in_doubt());
    writer.on_read(found(&content(1, 0, 100), "v0"));
    let end = writer.on_swap(SwapResult::Written {
        version: "v1".to_owned(),
    });
    let Some(WriterAction::Done { nonce, outcome }) = end else {
        panic!("{end:?}");
    };
    assert_eq!(nonce, 101);
    assert!(matches!(outcome, PointerOutcome::Failed(_)), "{outcome:?}");
    let next = writer.write(naming(2, 102));
    assert!(matches!(next, WriterAction::Swap { expected, .. } if expected == "v1"));
}

#[test]
fn a_write_that_arrives_while_it_is_superseded_counts() {
    let mut writer = writer();
    let wanted = content(1, 1, 101);
    writer.write(wanted.clone());
    writer.on_swap(in_doubt());
    writer.on_read(found(&content(1, 0, 100), "v0"));
    assert_eq!(
        writer.on_swap(SwapResult::Conflict),
        Some(WriterAction::Read { tries: 1 })
    );
    let end = writer.on_read(found(&wanted, "v1"));
    assert_eq!(end, done(101, PointerOutcome::Written));
}

#[test]
fn a_foreign_epoch_ends_all_writing() {
    let mut writer = writer();
    let foreign = content(2, 0, 7);
    writer.write(content(1, 1, 101));
    writer.on_swap(SwapResult::Conflict);
    let fenced = PointerOutcome::Fenced(Box::new(foreign.clone()));
    let end = writer.on_read(found(&foreign, "v5"));
    assert_eq!(end, done(101, fenced.clone()));
    let next = writer.write(content(1, 2, 102));
    assert_eq!(Some(next), done(102, fenced));
}

#[test]
fn a_refusal_is_certain_and_the_next_write_goes_from_the_same_state() {
    let mut writer = writer();
    writer.write(content(1, 1, 101));
    let end = writer.on_swap(SwapResult::Failed("no credentials".to_owned()));
    assert_eq!(
        end,
        done(101, PointerOutcome::Failed("no credentials".to_owned()))
    );
    let next = writer.write(content(1, 2, 102));
    assert!(matches!(next, WriterAction::Swap { expected, .. } if expected == "v0"));
}

#[test]
fn a_store_that_does_not_answer_leaves_the_write_in_doubt() {
    let mut writer = writer();
    writer.write(content(1, 1, 101));
    writer.on_swap(in_doubt());
    for tries in 1..20 {
        let action = writer.on_read(ReadResult::Failed("500".to_owned()));
        assert_eq!(action, Some(WriterAction::Read { tries }));
    }
    assert!(writer.is_writing());
}

#[test]
fn nonces_do_not_repeat() {
    let mut all: Vec<u128> = Vec::new();
    for seed in 0..50 {
        let mut nonces = Nonces::new(seed);
        all.extend((0..50).map(|_| nonces.draw()));
    }
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 2_500);
}

/// What the store does with the next request.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// Delivers it and answers.
    Fine,
    /// Delivers it, the answer is lost.
    Lost,
    /// The answer says time-out; it arrives later, or never.
    Late,
    /// Refuses it.
    Refused,
}

fn fate() -> impl Strategy<Value = (Fate, bool, bool)> {
    let fate = prop_oneof![
        2 => Just(Fate::Fine),
        2 => Just(Fate::Lost),
        4 => Just(Fate::Late),
        1 => Just(Fate::Refused),
    ];
    (fate, any::<bool>(), prop::bool::weighted(0.01))
}

struct Store {
    content: Pointer,
    version: u64,
    /// Requests that the writer has given up waiting for.
    late: Vec<(String, Pointer)>,
    /// All nonces that the register ever held.
    held: Vec<u128>,
}

impl Store {
    fn apply(&mut self, expected: &str, content: &Pointer) -> bool {
        let fits = expected == format!("v{}", self.version);
        if fits {
            self.content = content.clone();
            self.version += 1;
            self.held.push(content.nonce);
        }
        fits
    }

    fn swap(&mut self, fate: Fate, expected: String, content: Pointer) -> SwapResult {
        match fate {
            Fate::Refused => SwapResult::Failed("refused".to_owned()),
            Fate::Late => {
                self.late.push((expected, content));
                in_doubt()
            }
            Fate::Fine | Fate::Lost => {
                let fits = self.apply(&expected, &content);
                match (fate, fits) {
                    (Fate::Lost, _) => in_doubt(),
                    (_, true) => SwapResult::Written {
                        version: format!("v{}", self.version),
                    },
                    (_, false) => SwapResult::Conflict,
                }
            }
        }
    }
}

proptest! {
    /// `Written` is in the register now, and what `Failed` or was fenced off never comes.
    #[test]
    fn an_outcome_is_never_taken_back(fates in prop::collection::vec(fate(), 1..80)) {
        let start = content(1, 0, 100);
        let mut writer = writer();
        let mut store = Store { content: start, version: 0, late: Vec::new(), held: vec![100] };
        let (mut id, mut refused, mut written) = (0, Vec::new(), vec![100]);
        let mut action = None;
        for (fate, deliver, foreign) in fates {
            if deliver && let Some((expected, content)) = store.late.pop() {
                store.apply(&expected, &content);
            }
            if foreign {
                let (version, nonce) = (format!("v{}", store.version), 9_000 + u128::from(store.version));
                store.apply(&version, &content(2, 0, nonce));
            }
            action = match action.take() {
                None => {
                    id += 1;
                    let nonce = 100 + u128::from(id);
                    let wanted = if deliver { naming(id, nonce) } else { content(1, id, nonce) };
                    Some(writer.write(wanted))
                }
                Some(WriterAction::Swap { expected, content }) => {
                    writer.on_swap(store.swap(fate, expected, *content))
                }
                Some(WriterAction::Read { .. }) => match fate {
                    Fate::Lost | Fate::Refused => writer.on_read(ReadResult::Failed(String::new())),
                    Fate::Fine | Fate::Late => {
                        writer.on_read(found(&store.content, &format!("v{}", store.version)))
                    }
                },
                Some(WriterAction::Done { nonce, outcome }) => {
                    match outcome {
                        PointerOutcome::Written => {
                            prop_assert!(store.held.contains(&nonce));
                            written.push(nonce);
                        }
                        PointerOutcome::Failed(_) => refused.push(nonce),
                        PointerOutcome::Fenced(other) => {
                            // It may have been in before the other leader came.
                            prop_assert_eq!(other.epoch, Epoch(2));
                            if !store.held.contains(&nonce) {
                                refused.push(nonce);
                            }
                        }
                    }
                    None
                }
            };
        }
        for (expected, content) in std::mem::take(&mut store.late) {
            store.apply(&expected, &content);
        }
        for nonce in refused {
            prop_assert!(!store.held.contains(&nonce), "{} came after all", nonce);
        }
        let order: Vec<u128> = store.held.iter().copied().filter(|n| written.contains(n)).collect();
        prop_assert_eq!(order, written, "each of them once, and in the order of the writes");
    }
}
