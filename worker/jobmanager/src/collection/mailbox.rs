//! What the thread that completes checkpoints tells the collector: each move of the pointer with
//! the metadata of what it completes, and when a move is under way. Telling never waits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use weir_checkpoint::metadata::CheckpointMetadata;
use weir_checkpoint::pointer::Pointer;
use weir_types::{CheckpointId, Clock, Timestamp};

/// How many moves of the pointer may wait to be looked at, each with metadata; of more, only the
/// last counts, and what the others let go is left to a listing.
const MOVES_WAITING_MAX: usize = 64;

/// How much metadata is held that no pointer names yet; what is missing is read from the store.
const WRITTEN_MAX: usize = 256;

/// The other threads' end. Dropping the last one ends the collector.
#[derive(Clone)]
pub(crate) struct Collector {
    ends: Arc<Ends>,
}

struct Ends(Arc<Mailbox>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.bell.notify_all();
    }
}

#[derive(Default)]
pub(super) struct Mailbox {
    mail: Mutex<Mail>,
    bell: Condvar,
}

/// A move of the pointer, with the metadata of what it has completed.
pub(super) type Move = (Pointer, Vec<(String, Arc<CheckpointMetadata>)>);

#[derive(Default)]
pub(super) struct Mail {
    pub(super) moves: VecDeque<Move>,
    /// Metadata that no pointer names yet.
    written: BTreeMap<CheckpointId, (String, Arc<CheckpointMetadata>)>,
    /// A write of the pointer is under way.
    writing: bool,
    /// The job has ended: its checkpoints are to go.
    pub(super) clear: bool,
    closed: bool,
}

impl Mailbox {
    pub(super) fn lock(&self) -> MutexGuard<'_, Mail> {
        // Its parts are changed one by one: a panic elsewhere leaves none of them half-changed.
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no write of the pointer is under way. False: there is nobody left to work for.
    pub(super) fn wait_until_quiet(&self) -> bool {
        let mut mail = self.lock();
        while mail.writing && !mail.closed {
            mail = self.bell.wait(mail).unwrap_or_else(PoisonError::into_inner);
        }
        !mail.closed
    }

    /// Whether deleting may go on right now.
    pub(super) fn is_quiet(&self) -> bool {
        let mail = self.lock();
        !mail.writing && !mail.closed
    }

    /// Waits for news, for so long at most. False: there is nobody left to work for.
    pub(super) fn wait(&self, limit: Option<Duration>) -> bool {
        let mail = self.lock();
        let no_news = |mail: &mut Mail| mail.moves.is_empty() && !mail.clear && !mail.closed;
        let mail = match limit {
            None => {
                let waited = self.bell.wait_while(mail, no_news);
                waited.unwrap_or_else(PoisonError::into_inner)
            }
            Some(limit) => {
                let waited = self.bell.wait_timeout_while(mail, limit, no_news);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        !mail.closed
    }

    /// Waits so long, whatever comes. False: there is nobody left to work for.
    pub(super) fn rest(&self, until: Timestamp, clock: &dyn Clock) -> bool {
        let mut mail = self.lock();
        loop {
            let left = until.since(clock.now());
            if mail.closed || left.is_zero() {
                return !mail.closed;
            }
            let waited = self.bell.wait_timeout(mail, left);
            mail = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Collector {
    pub(super) fn new() -> (Self, Arc<Mailbox>) {
        let mailbox = Arc::new(Mailbox::default());
        let ends = Arc::new(Ends(Arc::clone(&mailbox)));
        (Self { ends }, mailbox)
    }

    /// The metadata of a checkpoint that may complete was written.
    pub(crate) fn metadata_written(&self, path: String, metadata: Arc<CheckpointMetadata>) {
        let mut mail = self.ends.0.lock();
        mail.written.insert(metadata.id, (path, metadata));
        if mail.written.len() > WRITTEN_MAX {
            mail.written.pop_first();
        }
    }

    /// A write of the pointer begins.
    pub(crate) fn pointer_writing(&self) {
        self.ends.0.lock().writing = true;
    }

    /// It has ended for certain. `moved`: what the pointer is since.
    pub(crate) fn pointer_written(&self, moved: Option<&Pointer>) {
        let mut mail = self.ends.0.lock();
        mail.writing = false;
        if let Some(pointer) = moved {
            let kept = |path: &str| pointer.retained.iter().any(|one| one.path == path);
            // What is older than the newest completes with it or never.
            let latest = pointer.latest.as_ref().map_or(0, |latest| latest.id.0);
            let later = mail.written.split_off(&CheckpointId(latest + 1));
            let written = std::mem::replace(&mut mail.written, later).into_values();
            let now = written.filter(|(path, _)| kept(path)).collect();
            if mail.moves.len() >= MOVES_WAITING_MAX {
                mail.moves.pop_back();
            }
            mail.moves.push_back((pointer.clone(), now));
        }
        drop(mail);
        self.ends.0.bell.notify_all();
    }

    /// Another process leads the job.
    pub(crate) fn fenced(&self) {
        self.ends.0.lock().closed = true;
        self.ends.0.bell.notify_all();
    }

    /// The job has ended and its pointer keeps no checkpoints; the outcome is an event.
    pub(crate) fn clear(&self) {
        self.ends.0.lock().clear = true;
        self.ends.0.bell.notify_all();
    }
}
