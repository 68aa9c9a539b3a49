//! A table of named runs, and random runs against a model that keeps everything it ever saw.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use weir_types::{BarrierKind, Epoch};

use super::*;

fn barrier(id: u64) -> CheckpointBarrier {
    CheckpointBarrier {
        epoch: Epoch(1),
        id: CheckpointId(id),
        triggered_at_ms: 0,
        kind: BarrierKind::Checkpoint,
    }
}

fn snapshot(id: u64, start: u64, end: u64) -> AlignAction {
    AlignAction::Snapshot {
        barrier: barrier(id),
        start: Timestamp(start),
        duration: Timestamp(end).since(Timestamp(start)),
    }
}

use AlignAction::{Block, GiveUp, UnblockAll};

#[test]
fn the_snapshot_waits_for_the_last_channel_and_then_all_go_on() {
    let mut aligner = Aligner::new(2, AlignMode::ExactlyOnce);
    assert_eq!(aligner.on_barrier(Timestamp(5), 1, barrier(1)), [Block(1)]);
    assert!(aligner.is_aligning());
    let last = aligner.on_barrier(Timestamp(9), 0, barrier(1));
    assert_eq!(last, [Block(0), snapshot(1, 5, 9), UnblockAll]);
    assert!(!aligner.is_aligning());
}

#[test]
fn at_least_once_never_blocks_and_keeps_several_checkpoints_apart() {
    let mut aligner = Aligner::new(2, AlignMode::AtLeastOnce);
    assert_eq!(aligner.on_barrier(Timestamp(1), 0, barrier(1)), []);
    assert_eq!(aligner.on_barrier(Timestamp(2), 0, barrier(2)), []);
    let one = aligner.on_barrier(Timestamp(3), 1, barrier(1));
    assert_eq!(one, [snapshot(1, 1, 3)]);
    let two = aligner.on_barrier(Timestamp(4), 1, barrier(2));
    assert_eq!(two, [snapshot(2, 2, 4)]);
}

#[test]
fn a_newer_barrier_gives_up_the_older_alignment() {
    let mut aligner = Aligner::new(3, AlignMode::ExactlyOnce);
    aligner.on_barrier(Timestamp(1), 0, barrier(1));
    let newer = aligner.on_barrier(Timestamp(2), 1, barrier(2));
    let one = CheckpointId(1);
    assert_eq!(newer, [GiveUp(one), UnblockAll, Block(1)]);
    assert_eq!(aligner.on_barrier(Timestamp(3), 2, barrier(1)), []);
    assert_eq!(aligner.on_barrier(Timestamp(4), 0, barrier(2)), [Block(0)]);
}

#[test]
fn a_channel_that_ends_is_not_waited_for() {
    let mut aligner = Aligner::new(2, AlignMode::ExactlyOnce);
    aligner.on_barrier(Timestamp(1), 0, barrier(1));
    let ended = aligner.on_end(Timestamp(3), 1);
    assert_eq!(ended, [snapshot(1, 1, 3), UnblockAll]);
    let next = aligner.on_barrier(Timestamp(4), 0, barrier(2));
    assert_eq!(next, [Block(0), snapshot(2, 4, 4), UnblockAll]);
}

#[test]
fn when_all_channels_have_ended_the_first_barrier_is_enough() {
    let mut aligner = Aligner::new(2, AlignMode::ExactlyOnce);
    aligner.on_end(Timestamp(1), 0);
    aligner.on_end(Timestamp(1), 1);
    let first = aligner.on_barrier(Timestamp(2), 1, barrier(1));
    assert_eq!(first, [Block(1), snapshot(1, 2, 2), UnblockAll]);
    assert_eq!(aligner.on_barrier(Timestamp(3), 0, barrier(1)), []);
}

#[test]
fn an_aborted_checkpoint_blocks_nothing_before_or_after_its_barrier() {
    let mut aligner = Aligner::new(2, AlignMode::ExactlyOnce);
    aligner.on_barrier(Timestamp(1), 0, barrier(1));
    assert_eq!(aligner.on_abort(CheckpointId(1)), [UnblockAll]);
    assert_eq!(aligner.on_barrier(Timestamp(2), 1, barrier(1)), []);
    assert_eq!(aligner.on_abort(CheckpointId(3)), []);
    assert_eq!(aligner.on_barrier(Timestamp(3), 0, barrier(3)), []);
    assert_eq!(aligner.on_barrier(Timestamp(4), 0, barrier(2)), [Block(0)]);
}

#[test]
fn an_abort_of_a_completed_checkpoint_changes_nothing() {
    let mut aligner = Aligner::new(1, AlignMode::ExactlyOnce);
    aligner.on_barrier(Timestamp(1), 0, barrier(1));
    assert_eq!(aligner.on_abort(CheckpointId(1)), []);
}

#[test]
fn the_ids_given_up_in_advance_are_bounded() {
    let mut aligner = Aligner::new(1, AlignMode::ExactlyOnce);
    for id in 1..1_000 {
        aligner.on_abort(CheckpointId(id));
    }
    assert!(aligner.aborted.len() <= ABORTED_MAX);
    assert_eq!(aligner.on_barrier(Timestamp(1), 0, barrier(1)), []);
}

/// What the channels and the coordinator do.
#[derive(Clone, Debug)]
enum Input {
    /// The next barrier of a channel, if it is not blocked.
    Barrier {
        channel: usize,
        skip: bool,
    },
    End(usize),
    Abort(u64),
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        12 => (0..4usize, prop::bool::weighted(0.1))
            .prop_map(|(channel, skip)| Input::Barrier { channel, skip }),
        1 => (0..4usize).prop_map(Input::End),
        1 => (1..12u64).prop_map(Input::Abort),
    ]
}

/// Keeps every barrier that ever came and decides from scratch what is whole.
#[derive(Default)]
struct Model {
    seen: BTreeMap<u64, BTreeSet<usize>>,
    ended: BTreeSet<usize>,
    aborted: BTreeSet<u64>,
    /// Done or overtaken: all up to here.
    over: u64,
}

impl Model {
    fn live(&self, id: u64) -> bool {
        id > self.over && !self.aborted.contains(&id)
    }

    fn barrier(&mut self, channel: usize, id: u64, mode: AlignMode) {
        let newest = self.seen.keys().copied().filter(|id| self.live(*id)).max();
        if self.live(id) && (mode == AlignMode::AtLeastOnce || newest.is_none_or(|n| n <= id)) {
            self.seen.entry(id).or_default().insert(channel);
            if mode == AlignMode::ExactlyOnce {
                self.over = self.over.max(newest.filter(|n| *n < id).unwrap_or(0));
            }
        }
    }

    /// The checkpoints that are whole now, which closes them and what is older.
    fn whole(&mut self) -> Vec<u64> {
        let mut whole = Vec::new();
        for (id, seen) in &self.seen {
            let all = (0..4).all(|c| seen.contains(&c) || self.ended.contains(&c));
            if all && *id > self.over && !self.aborted.contains(id) {
                whole.push(*id);
                self.over = *id;
            }
        }
        whole
    }

    /// The channels that have brought the barrier of a checkpoint that is not whole.
    fn blocked(&self) -> BTreeSet<usize> {
        let live = self.seen.iter().filter(|(id, _)| self.live(**id));
        live.flat_map(|(_, seen)| seen.iter().copied()).collect()
    }
}

fn run(mode: AlignMode, inputs: Vec<Input>) {
    let mut aligner = Aligner::new(4, mode);
    let mut model = Model::default();
    let mut next = [1u64; 4];
    let mut blocked = BTreeSet::new();
    let mut snapshots = Vec::new();
    for (at, input) in inputs.into_iter().enumerate() {
        let now = Timestamp(at as u64);
        let actions = match input {
            Input::Barrier { channel, .. } if blocked.contains(&channel) => continue,
            Input::Barrier { channel, skip } => {
                next[channel] += u64::from(skip);
                let id = next[channel];
                next[channel] += 1;
                model.barrier(channel, id, mode);
                aligner.on_barrier(now, channel, barrier(id))
            }
            Input::End(channel) => {
                model.ended.insert(channel);
                aligner.on_end(now, channel)
            }
            Input::Abort(id) => {
                if id > model.over {
                    model.aborted.insert(id);
                }
                aligner.on_abort(CheckpointId(id))
            }
        };
        let mut taken = Vec::new();
        for action in actions {
            match action {
                Block(channel) => {
                    blocked.insert(channel);
                }
                UnblockAll => blocked.clear(),
                AlignAction::Snapshot { barrier, .. } => taken.push(barrier.id.0),
                GiveUp(id) => assert!(!snapshots.contains(&id.0)),
            }
        }
        snapshots.extend(&taken);
        assert_eq!(taken, model.whole());
        match mode {
            AlignMode::ExactlyOnce => assert_eq!(blocked, model.blocked()),
            AlignMode::AtLeastOnce => assert!(blocked.is_empty()),
        }
    }
    assert!(snapshots.is_sorted(), "{snapshots:?}");
}

proptest! {
    #[test]
    fn exactly_once_blocks_and_snapshots_as_the_model_does(
        inputs in prop::collection::vec(input(), 0..120),
    ) {
        run(AlignMode::ExactlyOnce, inputs);
    }

    #[test]
    fn at_least_once_snapshots_as_the_model_does(
        inputs in prop::collection::vec(input(), 0..120),
    ) {
        run(AlignMode::AtLeastOnce, inputs);
    }
}
