//! Barrier alignment of one subtask (Flink's `SingleCheckpointBarrierHandler` without its unaligned
//! half, and its `CheckpointBarrierTracker`).
//!
//! A subtask takes its snapshot for a checkpoint when the checkpoint's barrier has come on every
//! channel, so that the snapshot holds what lies before the barriers. With
//! [`AlignMode::ExactlyOnce`] a channel whose barrier has come is blocked until then, so that it
//! holds nothing else; with [`AlignMode::AtLeastOnce`] no channel is ever blocked, and what comes
//! early is counted again after a restore. A channel that has ended counts as one whose barrier has
//! come: all that it will ever bring is in the snapshot.
//!
//! Pure: the thread that reads the channels feeds in what it sees and does what comes out, before
//! it reads on. Checkpoints whose barriers never come on all channels are given up when a newer one
//! overtakes them, or when the coordinator says so; until then blocked channels stay blocked, which
//! the coordinator's time-out bounds.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use weir_types::{CheckpointBarrier, CheckpointId, Timestamp};

/// Whether records that come after a barrier wait for the others' barriers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlignMode {
    /// They wait: each record counts once.
    ExactlyOnce,
    /// They do not wait: no channel ever stands still, and records may count twice after a restore.
    AtLeastOnce,
}

/// What the reader of the channels is to do, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlignAction {
    /// Read nothing more from this channel.
    Block(usize),
    /// Read from all channels again.
    UnblockAll,
    /// Take the snapshot, and pass the barrier on before anything else.
    Snapshot {
        /// The barrier.
        barrier: CheckpointBarrier,
        /// When its first copy came.
        start: Timestamp,
        /// From then to the last.
        duration: Duration,
    },
    /// This checkpoint will never be whole here: decline it, so that the coordinator need not wait
    /// for its time-out. Nothing is to be done if it was the coordinator that gave it up.
    GiveUp(CheckpointId),
}

/// An alignment under way.
#[derive(Debug)]
struct Pending {
    barrier: CheckpointBarrier,
    start: Timestamp,
    /// Whose barrier has come.
    seen: Vec<bool>,
}

/// The alignment of one subtask.
#[derive(Debug)]
pub struct Aligner {
    mode: AlignMode,
    ended: Vec<bool>,
    /// By growing id. With exactly-once at most one: a channel that has brought a barrier brings no
    /// other before the first is done.
    pending: VecDeque<Pending>,
    /// Nothing up to this id is begun any more.
    closed: Option<CheckpointId>,
    /// Above `closed`, what the coordinator has given up before its first barrier came.
    aborted: BTreeSet<CheckpointId>,
}

/// How many ids are remembered that were given up before their barrier came. Beyond it the oldest
/// close whatever is older: a checkpoint fails, and memory stays bounded.
const ABORTED_MAX: usize = 64;

impl Aligner {
    /// An aligner of `channels` channels, of all inputs together.
    pub fn new(channels: usize, mode: AlignMode) -> Self {
        Self {
            mode,
            ended: vec![false; channels],
            pending: VecDeque::new(),
            closed: None,
            aborted: BTreeSet::new(),
        }
    }

    /// Whether a checkpoint waits for barriers.
    pub fn is_aligning(&self) -> bool {
        !self.pending.is_empty()
    }

    /// A barrier has come on a channel. (On one that has ended too: its producer still tells of
    /// checkpoints.)
    pub fn on_barrier(
        &mut self,
        now: Timestamp,
        channel: usize,
        barrier: CheckpointBarrier,
    ) -> Vec<AlignAction> {
        let mut actions = Vec::new();
        let known = self.pending.iter().any(|p| p.barrier.id == barrier.id);
        if !known && !self.begin(now, barrier, &mut actions) {
            return actions;
        }
        for pending in &mut self.pending {
            if pending.barrier.id == barrier.id {
                pending.seen[channel] = true;
            }
        }
        if self.mode == AlignMode::ExactlyOnce {
            actions.push(AlignAction::Block(channel));
        }
        self.complete(now, &mut actions);
        actions
    }

    /// A channel brings no more records.
    pub fn on_end(&mut self, now: Timestamp, channel: usize) -> Vec<AlignAction> {
        let mut actions = Vec::new();
        self.ended[channel] = true;
        self.complete(now, &mut actions);
        actions
    }

    /// The coordinator has given up a checkpoint.
    pub fn on_abort(&mut self, id: CheckpointId) -> Vec<AlignAction> {
        let mut actions = Vec::new();
        if self.closed.is_some_and(|closed| id <= closed) {
            return actions;
        }
        let before = self.pending.len();
        self.pending.retain(|pending| pending.barrier.id != id);
        if self.pending.len() < before {
            self.release(&mut actions);
        }
        self.aborted.insert(id);
        if self.aborted.len() > ABORTED_MAX
            && let Some(&oldest) = self.aborted.first()
        {
            self.close(oldest, &mut actions);
        }
        actions
    }

    /// Begins an alignment; `false`: the barrier is of a checkpoint that is over.
    fn begin(
        &mut self,
        now: Timestamp,
        barrier: CheckpointBarrier,
        actions: &mut Vec<AlignAction>,
    ) -> bool {
        let over = self.closed.is_some_and(|closed| barrier.id <= closed);
        let overtaken = self.mode == AlignMode::ExactlyOnce
            && self
                .pending
                .back()
                .is_some_and(|p| barrier.id < p.barrier.id);
        if over || overtaken || self.aborted.contains(&barrier.id) {
            return false;
        }
        if self.mode == AlignMode::ExactlyOnce
            && let Some(older) = self.pending.back().map(|p| p.barrier.id)
        {
            self.close(older, actions);
        }
        let place = self.pending.partition_point(|p| p.barrier.id < barrier.id);
        let pending = Pending {
            barrier,
            start: now,
            seen: vec![false; self.ended.len()],
        };
        self.pending.insert(place, pending);
        true
    }

    /// Takes the snapshots that are due. Of several, the newest gives the older ones up: what lies
    /// before its barriers holds theirs.
    fn complete(&mut self, now: Timestamp, actions: &mut Vec<AlignAction>) {
        let ended = &self.ended;
        let whole = |p: &Pending| {
            p.seen
                .iter()
                .zip(ended)
                .all(|(seen, ended)| *seen || *ended)
        };
        while let Some(place) = self.pending.iter().position(whole) {
            let Some(done) = self.pending.remove(place) else {
                return;
            };
            for older in self.pending.drain(..place) {
                actions.push(AlignAction::GiveUp(older.barrier.id));
            }
            actions.push(AlignAction::Snapshot {
                barrier: done.barrier,
                start: done.start,
                duration: now.since(done.start),
            });
            if self.mode == AlignMode::ExactlyOnce {
                actions.push(AlignAction::UnblockAll);
            }
            self.closed = self.closed.max(Some(done.barrier.id));
            self.aborted.retain(|id| *id > done.barrier.id);
        }
    }

    /// Gives up all alignments up to an id, which are never begun again.
    fn close(&mut self, id: CheckpointId, actions: &mut Vec<AlignAction>) {
        let before = self.pending.len();
        while self.pending.front().is_some_and(|p| p.barrier.id <= id)
            && let Some(older) = self.pending.pop_front()
        {
            actions.push(AlignAction::GiveUp(older.barrier.id));
        }
        if self.pending.len() < before {
            self.release(actions);
        }
        self.closed = self.closed.max(Some(id));
        self.aborted.retain(|aborted| *aborted > id);
    }

    fn release(&self, actions: &mut Vec<AlignAction>) {
        if self.mode == AlignMode::ExactlyOnce {
            actions.push(AlignAction::UnblockAll);
        }
    }
}

#[cfg(test)]
mod tests;
