//! Control mail of a subtask: what others want from it between two chunks of records.
//!
//! The mailbox is bounded by what its senders can have outstanding: one cancellation, one commit
//! at a time, and one answer for each split request of each source of the chain.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use weir_graph::NodeId;
use weir_network::Signal;
use weir_stream::Commit;
use weir_stream::source::SplitAnswer;

/// A message to a subtask.
#[derive(Debug)]
pub(crate) enum Mail {
    /// Make results visible.
    Commit(Commit),
    /// The enumerator's answer to this subtask's request.
    Split(NodeId, SplitAnswer),
}

/// The sending side; cheap to clone.
#[derive(Clone)]
pub(crate) struct Mailbox {
    queue: Arc<Mutex<VecDeque<Mail>>>,
    signal: Arc<Signal>,
}

impl Mailbox {
    pub(crate) fn new(signal: Arc<Signal>) -> Self {
        Self {
            queue: Arc::default(),
            signal,
        }
    }

    pub(crate) fn put(&self, mail: Mail) {
        self.queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(mail);
        self.signal.notify();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
    }

    pub(crate) fn take(&self) -> Option<Mail> {
        self.queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    }
}
