//! A subtask's part in checkpoints: the freeze at the barrier, the copying between records, and the
//! hand-over to the uploader (Flink's `SubtaskCheckpointCoordinatorImpl`).
//!
//! ```text
//!  barrier ─▶ begin: every operator freezes      the task stands still for this alone, and for
//!             │                                  what is left to copy of the snapshot before it
//!             step: keyed state is copied,       a bounded piece between two chunks
//!             ▼
//!             uploader ─▶ objects ─▶ acknowledged, or declined
//!  completed ─▶ confirm: later deltas build on it      aborted ─▶ what was frozen flows back
//! ```
//!
//! Shortly before a barrier is expected, most of what it will find changed may be written ahead:
//! see [`ahead`].
//!
//! It belongs to the subtask's thread, the uploader to its own. Nothing here knows when a
//! checkpoint is complete: the runtime is told. Failure story: what cannot be copied or stored
//! declines the checkpoint, and the subtask runs on; a sink that cannot prepare its results fails
//! the subtask, as it does not know any more what it has written.

mod ahead;
mod bases;
mod plan;
mod store;
mod uploader;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use weir_checkpoint::coordinator::SnapshotFailure;
use weir_checkpoint::handle::{SnapshotMetrics, StoredFile, SubtaskRestore};
use weir_state::{SnapshotKind, TakenSnapshot};
use weir_stream::source::AnySource;
use weir_stream::{OperatorError, OperatorSnapshot, SnapshotRequest};
use weir_types::{
    BarrierKind, CheckpointBarrier, CheckpointId, Clock, ExecutionAttemptId, OperatorId, Timestamp,
    causes,
};

use self::ahead::{Ahead, Round};
use self::bases::Bases;
use self::plan::{Cost, Plan};
use self::store::Chain;
use self::uploader::{Upload, Uploader, What};
use crate::chain::{ChainNode, OperatorChain};
use crate::deployment::{TaskCheckpoints, TaskEvents};
use crate::metrics::TaskMetrics;

/// How much of a snapshot is copied at once: some tenths of a millisecond.
const COPY_BYTES: usize = 128 << 10;

/// While there are records to process, so many times as long as a piece took goes by before the
/// next one. The snapshot takes longer by that, and the records hardly notice it.
const PAUSE: u32 = 24;

/// Whether the subtask has something better to do than to copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// There may be records.
    Busy,
    /// There may be, and some are behind a barrier whose snapshot cannot begin before this one is
    /// copied.
    Blocked,
    /// There are none.
    Idle,
}

/// A barrier that has come on all channels, and how that went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aligned {
    pub(crate) barrier: CheckpointBarrier,
    /// From the first barrier to the last.
    pub(crate) alignment: Duration,
    /// What waited in blocked channels when the last barrier came.
    pub(crate) bytes_blocked: usize,
}

impl Aligned {
    /// A barrier that did not have to wait for others.
    pub(crate) fn at_once(barrier: CheckpointBarrier) -> Self {
        Self {
            barrier,
            alignment: Duration::ZERO,
            bytes_blocked: 0,
        }
    }
}

/// What one operator puts into the snapshot.
struct Part {
    /// Its place in the chain.
    place: usize,
    operator: OperatorId,
    snapshot: OperatorSnapshot,
    /// The files that its keyed part continues, if that is a delta.
    base: Chain,
    /// The files of its database that a checkpoint holds already.
    known: Vec<StoredFile>,
    /// What was written ahead of it, which takes the place of both.
    ahead: Option<Arc<Round>>,
}

impl Part {
    fn new(place: usize, node: &ChainNode, snapshot: OperatorSnapshot) -> Self {
        Self {
            place,
            operator: node.context.operator,
            snapshot,
            base: Chain::default(),
            known: Vec::new(),
            ahead: None,
        }
    }

    /// Whether changes only are to be stored, or nothing.
    fn is_delta(&self) -> bool {
        let keyed = self.snapshot.keyed.as_ref();
        let entries = keyed.is_none_or(|keyed| keyed.base.is_some());
        entries && (self.snapshot.files.is_none() || !self.known.is_empty())
    }

    /// About how many bytes are to be stored of its keyed state.
    fn bytes(&self) -> u64 {
        let states = self.snapshot.keyed.iter().flat_map(|keyed| &keyed.states);
        let blocks = states.flat_map(|state| &state.blocks);
        let entries = blocks.map(|block| block.bytes.len() as u64);
        let known: BTreeSet<&str> = self.known.iter().map(|file| &*file.name).collect();
        let files = self.snapshot.files.iter().flat_map(|files| &files.files);
        let new = files.filter(|file| !known.contains(&*file.name));
        entries.chain(new.map(|file| file.bytes)).sum()
    }
}

/// The snapshot that is being copied.
struct Copying {
    barrier: CheckpointBarrier,
    parts: Vec<Part>,
    what: What,
    /// What was written ahead for it.
    ahead: Vec<Arc<Round>>,
    frozen_at: Timestamp,
    /// When the next piece is due, if there are records to process.
    due: Timestamp,
}

/// The snapshots of one subtask.
pub(crate) struct Snapshots {
    config: Arc<TaskCheckpoints>,
    attempt: ExecutionAttemptId,
    events: Arc<dyn TaskEvents>,
    clock: Arc<dyn Clock>,
    uploader: Uploader,
    copying: Option<Copying>,
    bases: Bases,
    /// Those that are neither complete nor aborted: nothing builds on them.
    savepoints: BTreeSet<CheckpointId>,
    has_confirmed: bool,
    plan: Plan,
    ahead: Ahead,
}

impl Snapshots {
    /// For a subtask whose chain has so many operators. Starts the uploader's thread.
    pub(crate) fn new(
        config: &Arc<TaskCheckpoints>,
        attempt: ExecutionAttemptId,
        events: &Arc<dyn TaskEvents>,
        clock: &Arc<dyn Clock>,
        metrics: &Arc<TaskMetrics>,
        operators: usize,
    ) -> std::io::Result<Self> {
        Ok(Self {
            config: Arc::clone(config),
            attempt,
            events: Arc::clone(events),
            clock: Arc::clone(clock),
            uploader: Uploader::start(config, attempt, events, clock, metrics)?,
            copying: None,
            bases: Bases::new(operators, config.full_every),
            savepoints: BTreeSet::new(),
            has_confirmed: false,
            plan: Plan::new(config.inline_max),
            ahead: Ahead::default(),
        })
    }

    /// The operators go on from a checkpoint. What it holds need not be stored again, if it is one
    /// of this job: anything else may be moved or deleted.
    pub(crate) fn restored(&mut self, restore: &SubtaskRestore, operators: &[OperatorId]) {
        if !restore.own {
            return;
        }
        for (place, operator) in operators.iter().enumerate() {
            let of = restore.operators.iter().find(|(id, _)| id == operator);
            let handles = of.map_or(&[][..], |(_, restore)| &restore.keyed);
            self.bases.go_on_from(place, handles);
        }
    }

    /// Whether there is something to copy.
    pub(crate) fn is_copying(&self) -> bool {
        self.copying.is_some()
    }

    /// Whether what is to be copied next is copied by somebody else.
    pub(crate) fn waits(&self, chain: &OperatorChain) -> bool {
        let parts = self.copying.iter().flat_map(|copying| &copying.parts);
        let operators = parts.filter_map(|part| chain.nodes[part.place].operator.as_ref());
        let mut running = operators.filter(|operator| operator.snapshot_running().is_some());
        running.next().is_some_and(|next| next.snapshot_waits())
    }

    /// What works beside the subtask gives way to its records from now on. To be called once the
    /// operators are open.
    pub(crate) fn give_way(&self, metrics: &TaskMetrics) {
        let tiers = metrics
            .operators
            .iter()
            .filter_map(|it| it.own.tier_itself());
        tiers.for_each(|tier| tier.give_way_to(self.uploader.subtask()));
    }

    /// Freezes the chain for a checkpoint whose barrier has been passed on.
    pub(crate) fn begin(
        &mut self,
        chain: &mut OperatorChain,
        mut source: Option<&mut dyn AnySource>,
        aligned: Aligned,
        ended: bool,
    ) -> Result<(), OperatorError> {
        let id = aligned.barrier.id;
        let began = self.clock.now();
        let ahead = self.barrier_came(chain, aligned.barrier, began);
        // Keyed state is copied for one snapshot at a time, and no record behind the barrier may
        // come before this one is frozen: the task stands still until the other one is copied.
        while self.is_copying() {
            self.copy(chain, usize::MAX);
        }
        let metrics = self.begun(&aligned);
        if aligned.barrier.kind == BarrierKind::Savepoint {
            self.savepoints.insert(id);
        }
        let mut parts = Vec::with_capacity(chain.nodes.len());
        for (place, node) in chain.nodes.iter_mut().enumerate() {
            let frozen = match (&mut node.operator, &mut source) {
                (Some(operator), _) => {
                    operator.snapshot_begin(self.request(place, aligned.barrier))
                }
                (None, Some(source)) => source.snapshot(),
                (None, None) => Ok(OperatorSnapshot::default()),
            };
            match frozen {
                Ok(snapshot) => parts.push(Part::new(place, node, snapshot)),
                Err(OperatorError::State(error)) => {
                    self.decline(chain, id, format!("freeze: {}", causes(&error)));
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        let frozen_at = self.clock.now();
        self.copying = Some(Copying {
            barrier: aligned.barrier,
            parts,
            what: What::Checkpoint {
                ended,
                metrics: SnapshotMetrics {
                    sync_us: micros(frozen_at.since(began)),
                    ..metrics
                },
            },
            ahead,
            frozen_at,
            due: frozen_at,
        });
        self.step(chain, Input::Idle);
        Ok(())
    }

    fn begun(&self, aligned: &Aligned) -> SnapshotMetrics {
        let since_trigger = self.clock.unix_ms() - aligned.barrier.triggered_at_ms;
        let since_trigger = u64::try_from(since_trigger).unwrap_or(0) * 1000;
        let alignment_us = micros(aligned.alignment);
        SnapshotMetrics {
            start_delay_us: since_trigger.saturating_sub(alignment_us),
            alignment_us,
            alignment_bytes: aligned.bytes_blocked as u64,
            ..SnapshotMetrics::default()
        }
    }

    fn request(&self, place: usize, barrier: CheckpointBarrier) -> SnapshotRequest {
        let files = barrier.kind == BarrierKind::Checkpoint && self.config.incremental;
        let kind = match files {
            true => self.bases.kind(place),
            false => SnapshotKind::Full,
        };
        let id = barrier.id;
        SnapshotRequest { id, kind, files }
    }

    /// Copies a piece of the snapshot, if there is one and it is due. To be called between two
    /// chunks, and while there are none. While another snapshot is waiting, all pieces are due: the
    /// more is copied before its last barrier comes, the shorter the task stands still then.
    pub(crate) fn step(&mut self, chain: &mut OperatorChain, input: Input) {
        let Some(copying) = &self.copying else {
            if input != Input::Blocked {
                self.write_ahead_if_due(chain);
            }
            return;
        };
        let began = self.clock.now();
        if input == Input::Busy && began < copying.due {
            return;
        }
        self.copy(chain, COPY_BYTES);
        if let Some(copying) = &mut self.copying {
            let now = self.clock.now();
            copying.due = now + now.since(began) * PAUSE;
        }
    }

    fn copy(&mut self, chain: &mut OperatorChain, budget: usize) {
        let Some(mut copying) = self.copying.take() else {
            return;
        };
        let id = copying.barrier.id;
        for part in &mut copying.parts {
            let Some(operator) = &mut chain.nodes[part.place].operator else {
                continue;
            };
            if operator.snapshot_running() != Some(id) {
                continue;
            }
            match operator.snapshot_step(budget) {
                Ok(None) => {
                    self.copying = Some(copying);
                    return;
                }
                Ok(Some(taken)) => {
                    let ahead = copying.ahead.last().filter(|ahead| ahead.has(part.place));
                    match &taken {
                        TakenSnapshot::Entries(keyed) => match keyed.base {
                            Some(base) if base == id => part.ahead = ahead.cloned(),
                            Some(base) => part.base = self.bases.chain(part.place, base),
                            None => {}
                        },
                        TakenSnapshot::Files(_) => {
                            part.known = self.bases.files(part.place).to_vec();
                            part.ahead = ahead.cloned();
                        }
                    }
                    part.snapshot.add_keyed(taken);
                }
                Err(error) => {
                    let why = format!("copy: {}", causes(&error));
                    self.give_up(chain, id, &copying.what, why);
                    return;
                }
            }
        }
        let links = copying
            .parts
            .iter()
            .any(|part| part.snapshot.files.is_some());
        let (barrier, what) = (copying.barrier, copying.what.clone());
        let upload = Upload {
            barrier,
            parts: copying.parts,
            what: copying.what,
            ahead: copying.ahead,
            frozen_at: copying.frozen_at,
        };
        match (self.uploader.put(upload), &what) {
            (Ok(()), What::Checkpoint { .. }) => {}
            (Ok(()), What::Ahead(round)) => self.ahead.copied(barrier, round, links),
            (Err(reason), what) => self.give_up(chain, id, what, reason.to_owned()),
        }
    }

    /// What was being copied cannot be, or cannot be stored.
    fn give_up(&mut self, chain: &mut OperatorChain, id: CheckpointId, what: &What, why: String) {
        match what {
            What::Checkpoint { .. } => self.decline(chain, id, why),
            What::Ahead(_) => {
                chain.snapshot_abort(id);
                self.drop_ahead(chain);
            }
        }
    }

    /// Gives up a checkpoint and says so.
    pub(crate) fn decline(&mut self, chain: &mut OperatorChain, id: CheckpointId, reason: String) {
        self.abort(chain, id);
        let why = SnapshotFailure::other(reason);
        self.events.declined(self.attempt, id, why);
    }

    /// The checkpoint will never be complete.
    pub(crate) fn abort(&mut self, chain: &mut OperatorChain, id: CheckpointId) {
        if self
            .copying
            .as_ref()
            .is_some_and(|copying| copying.barrier.id == id)
        {
            self.copying = None;
        }
        self.savepoints.remove(&id);
        self.ahead.forget(id);
        self.plan.on_other();
        self.uploader.abort(id);
        chain.snapshot_abort(id);
        if let Some(copies) = &self.config.copies {
            copies.aborted(id);
        }
    }

    /// Whether a checkpoint of this attempt is complete.
    pub(crate) fn has_confirmed(&self) -> bool {
        self.has_confirmed
    }

    /// The checkpoint is complete.
    pub(crate) fn confirm(&mut self, chain: &mut OperatorChain, id: CheckpointId) {
        if let Some(copies) = &self.config.copies {
            copies.completed(id);
        }
        let stored = self.uploader.take_stored(id);
        self.has_confirmed |= stored.is_some();
        let now = self.clock.now();
        if self.savepoints.contains(&id) || stored.is_none() {
            // A savepoint may be moved or deleted: no checkpoint may need it. And one that was not
            // stored by this attempt is none to build on.
            chain.snapshot_abort(id);
        } else if let Some(stored) = stored {
            self.bases.confirm(id, stored.chains);
            chain.snapshot_confirm(id);
            self.plan.on_delta(stored.delta, stored.ahead);
            self.plan.on_complete(id, now, chain.ahead_extra_bytes());
        }
        self.savepoints.retain(|open| *open > id);
    }
}

impl OperatorChain {
    fn snapshot_abort(&mut self, id: CheckpointId) {
        for node in &mut self.nodes {
            if let Some(operator) = &mut node.operator {
                operator.snapshot_abort(id);
            }
        }
    }

    fn ahead_extra_bytes(&self) -> u64 {
        let operators = self.nodes.iter().filter_map(|node| node.operator.as_ref());
        let bytes: usize = operators.map(|operator| operator.ahead_extra_bytes()).sum();
        bytes as u64
    }

    fn snapshot_confirm(&mut self, id: CheckpointId) {
        for node in &mut self.nodes {
            if let Some(operator) = &mut node.operator {
                operator.snapshot_confirm(id);
            }
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
