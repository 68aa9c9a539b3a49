//! The thread that stores a subtask's snapshots, one after the other, while the subtask goes on.
//!
//! It ends when its subtask has ended and it has nothing to do; a call to the store that hangs then
//! keeps nobody waiting, and whatever it still writes nobody refers to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use weir_checkpoint::coordinator::SnapshotFailure;
use weir_checkpoint::handle::SnapshotMetrics;
use weir_state::{GiveWay, IdleTime, REST_MAX};
use weir_types::{CheckpointBarrier, CheckpointId, Clock, ExecutionAttemptId, Timestamp, causes};

use super::ahead::{Round, StoredRound};
use super::plan::{AheadCost, Cost};
use super::store::{SaveError, Saved, Saver, StoredChains};
use super::{Part, micros};
use crate::deployment::{TaskCheckpoints, TaskEvents};
use crate::metrics::{Idle, TaskMetrics};
use crate::panics;

/// How many snapshots may wait for the one that is being stored. Each holds a copy of the state;
/// beyond that checkpoints are declined.
const WAITING_MAX: usize = 2;

/// How many given-up checkpoints are remembered.
const ABORTED_MAX: usize = 64;

/// About how long it works on a byte, in thousandths of a nanosecond.
const PICOSECONDS_PER_BYTE: u64 = 2500;

/// A snapshot to be stored.
pub(super) struct Upload {
    pub(super) barrier: CheckpointBarrier,
    pub(super) parts: Vec<Part>,
    pub(super) what: What,
    /// The rounds written ahead for the same checkpoint, all of which were handed over before.
    pub(super) ahead: Vec<Arc<Round>>,
    pub(super) frozen_at: Timestamp,
}

/// What a snapshot is.
#[derive(Clone)]
pub(super) enum What {
    /// The subtask's part of the checkpoint.
    Checkpoint {
        ended: bool,
        metrics: SnapshotMetrics,
    },
    /// Written ahead of it.
    Ahead(Arc<Round>),
}

/// What is known of a checkpoint that this attempt has stored.
pub(super) struct StoredCheckpoint {
    pub(super) chains: StoredChains,
    /// What was stored behind the barrier, if it was a delta.
    pub(super) delta: Option<Cost>,
    /// What was stored before it.
    pub(super) ahead: Option<AheadCost>,
}

/// What the subtask and the thread both look at.
#[derive(Default)]
struct Shared {
    /// The subtask has ended: nobody wants to hear anything.
    closed: bool,
    aborted: BTreeSet<CheckpointId>,
    /// The files of stored checkpoints whose end is not known yet.
    stored: BTreeMap<CheckpointId, StoredCheckpoint>,
}

/// The subtask's end. Dropping it ends the thread.
pub(super) struct Uploader {
    queue: SyncSender<Upload>,
    shared: Arc<Mutex<Shared>>,
    subtask: Arc<dyn IdleTime>,
}

struct Worker {
    config: Arc<TaskCheckpoints>,
    attempt: ExecutionAttemptId,
    events: Arc<dyn TaskEvents>,
    clock: Arc<dyn Clock>,
    subtask: Arc<dyn IdleTime>,
    shared: Arc<Mutex<Shared>>,
}

impl Uploader {
    pub(super) fn start(
        config: &Arc<TaskCheckpoints>,
        attempt: ExecutionAttemptId,
        events: &Arc<dyn TaskEvents>,
        clock: &Arc<dyn Clock>,
        metrics: &Arc<TaskMetrics>,
    ) -> std::io::Result<Self> {
        let (queue, uploads) = mpsc::sync_channel(WAITING_MAX);
        let shared = Arc::new(Mutex::new(Shared::default()));
        let subtask = Idle::of(metrics, clock);
        let worker = Worker {
            config: Arc::clone(config),
            attempt,
            events: Arc::clone(events),
            clock: Arc::clone(clock),
            subtask: Arc::clone(&subtask),
            shared: Arc::clone(&shared),
        };
        thread::Builder::new()
            .name(format!("upload/{}", attempt.subtask))
            .spawn(move || worker.run(&uploads))?;
        Ok(Self {
            queue,
            shared,
            subtask,
        })
    }

    /// Whom the thread gives way to.
    pub(super) fn subtask(&self) -> Arc<dyn IdleTime> {
        Arc::clone(&self.subtask)
    }

    /// Hands over a snapshot; an error says why it cannot be stored.
    pub(super) fn put(&self, upload: Upload) -> Result<(), &'static str> {
        self.queue.try_send(upload).map_err(|error| match error {
            TrySendError::Full(_) => "earlier snapshots are still being stored",
            TrySendError::Disconnected(_) => "the subtask's uploader has ended",
        })
    }

    /// Nobody needs this checkpoint any more.
    pub(super) fn abort(&self, id: CheckpointId) {
        let mut shared = lock(&self.shared);
        shared.stored.remove(&id);
        shared.aborted.insert(id);
        if shared.aborted.len() > ABORTED_MAX {
            shared.aborted.pop_first();
        }
    }

    /// The files of a checkpoint that was stored, which is complete now. Those of earlier ones are
    /// forgotten.
    pub(super) fn take_stored(&self, id: CheckpointId) -> Option<StoredCheckpoint> {
        let mut shared = lock(&self.shared);
        let later = shared.stored.split_off(&CheckpointId(id.0 + 1));
        let mut done = std::mem::replace(&mut shared.stored, later);
        done.remove(&id)
    }
}

impl Drop for Uploader {
    fn drop(&mut self) {
        lock(&self.shared).closed = true;
    }
}

impl Worker {
    fn run(&self, uploads: &Receiver<Upload>) {
        let mut give_way = GiveWay::new(Some(Arc::clone(&self.subtask)));
        while let Ok(upload) = uploads.recv() {
            let id = upload.barrier.id;
            let round = match &upload.what {
                What::Ahead(round) => Some(Arc::clone(round)),
                What::Checkpoint { .. } => None,
            };
            let stored = panics::catch(|| self.store(upload, &mut give_way));
            match (stored, round) {
                (Ok(()), _) => {}
                // Nobody waits for it: a checkpoint that would continue it says so.
                (Err(panic), Some(round)) => round.end(Err(SnapshotFailure::other(panic))),
                (Err(panic), None) => self.decline(id, SnapshotFailure::other(panic)),
            }
        }
    }

    fn decline(&self, id: CheckpointId, why: SnapshotFailure) {
        if self.is_wanted(id) {
            self.events.declined(self.attempt, id, why);
        }
    }

    fn is_wanted(&self, id: CheckpointId) -> bool {
        let shared = lock(&self.shared);
        !shared.closed && !shared.aborted.contains(&id)
    }

    fn store(&self, upload: Upload, give_way: &mut GiveWay) {
        let Upload {
            barrier,
            mut parts,
            what,
            ahead,
            frozen_at,
        } = upload;
        let id = barrier.id;
        if let Err(failure) = parts.iter_mut().try_for_each(Part::continue_ahead) {
            return match what {
                What::Ahead(round) => round.end(Err(failure)),
                What::Checkpoint { .. } => self.decline(id, failure),
            };
        }
        let is_delta = parts.iter().all(Part::is_delta);
        let bytes: u64 = parts.iter().map(Part::bytes).sum();
        let work = Duration::from_nanos(bytes.saturating_mul(PICOSECONDS_PER_BYTE) / 1000);
        // What works on the snapshot before has its share of the rests.
        give_way.allow(REST_MAX.saturating_sub(self.clock.now().since(frozen_at)));
        give_way.begin(work);
        let saver = Saver::new(&self.config, self.attempt, barrier, give_way);
        let cost = |saved: &Saved| Cost {
            bytes: saved.written_bytes,
            took: self.clock.now().since(frozen_at),
        };
        match what {
            What::Ahead(round) => {
                let wanted = || self.is_wanted(id) && !round.is_given_up();
                let saved = saver.ahead(round.number).save(parts, false, wanted);
                let stored = saved.map_err(|error| why(&error)).and_then(|saved| {
                    let saved = saved.ok_or_else(|| why(&SaveError::GivenUp))?;
                    Ok(StoredRound {
                        cost: cost(&saved),
                        chains: saved.chains,
                    })
                });
                round.end(stored);
            }
            What::Checkpoint { ended, metrics } => {
                match saver.save(parts, ended, || self.is_wanted(id)) {
                    Ok(Some(saved)) => {
                        let cost = cost(&saved);
                        let delta = is_delta.then_some(cost);
                        self.acknowledge(id, saved, (delta, &ahead), metrics, cost.took);
                    }
                    Ok(None) => {}
                    Err(error) => self.decline(id, why(&error)),
                }
            }
        }
    }

    fn acknowledge(
        &self,
        id: CheckpointId,
        saved: Saved,
        (delta, rounds): (Option<Cost>, &[Arc<Round>]),
        metrics: SnapshotMetrics,
        took: Duration,
    ) {
        let costs = rounds
            .iter()
            .filter_map(|round| Some((round.frozen_at, round.stored()?.cost)));
        let ahead = AheadCost::of(costs);
        let mut shared = lock(&self.shared);
        if shared.closed || shared.aborted.contains(&id) {
            return;
        }
        // Before anybody can learn that the checkpoint is complete.
        let stored = StoredCheckpoint {
            chains: saved.chains,
            delta,
            ahead,
        };
        shared.stored.insert(id, stored);
        drop(shared);
        let metrics = SnapshotMetrics {
            async_us: micros(took),
            written_bytes: saved.written_bytes + ahead.map_or(0, |ahead| ahead.bytes),
            full_bytes: saved.full_bytes,
            ..metrics
        };
        self.events
            .acknowledged(self.attempt, id, saved.state, metrics);
    }
}

/// What keeps a snapshot from being stored.
fn why(error: &SaveError) -> SnapshotFailure {
    let of_the_storage = matches!(error, SaveError::Store(store) if store.kind.is_of_the_store());
    SnapshotFailure::new(of_the_storage, causes(error))
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    // Its parts are changed one by one: a panic elsewhere leaves none of them half-changed.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
