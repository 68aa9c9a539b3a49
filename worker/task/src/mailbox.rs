//! Control mail of a subtask: what others want from it between two chunks of records.
//!
//! The mailbox is bounded by what its senders can have outstanding: for each checkpoint under way
//! a trigger and an end, one answer for each split request of each source of the chain, and one
//! final commit. A subtask that is stuck in a user's function reads none of it, while checkpoints
//! go on timing out: those it never hears of, see [`Mailbox::put`].

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use weir_checkpoint::coordinator::Then;
use weir_graph::NodeId;
use weir_network::Signal;
use weir_stream::source::SplitAnswer;
use weir_types::{CheckpointBarrier, CheckpointId};

/// How many aborts may be unread. A newer one, or a newer barrier, ends what older ones would.
const ABORTS_MAX: usize = 64;

/// What a sink is to make visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskCommit {
    /// What was prepared up to this checkpoint, which has completed.
    Checkpoint {
        /// The checkpoint.
        id: CheckpointId,
        /// It is the last one: the subtask ends when it has committed.
        last: bool,
    },
    /// All: the job has no checkpoints, and every subtask has come to the end of its input.
    Final,
}

/// A message to a subtask.
#[derive(Debug)]
pub(crate) enum Mail {
    /// Make results visible, all or up to a checkpoint.
    Commit(TaskCommit),
    /// Put a barrier into the outputs: only for sources.
    Trigger(CheckpointBarrier, Then),
    /// This checkpoint will never be complete.
    Abort(CheckpointId),
    /// The enumerator's answer to this subtask's request.
    Split(NodeId, SplitAnswer),
}

/// The sending side; cheap to clone.
#[derive(Clone)]
pub(crate) struct Mailbox {
    queue: Arc<Mutex<VecDeque<Mail>>>,
    signal: Arc<Signal>,
    /// There is mail, or the subtask is cancelled: a source that is reading comes back for it.
    called: Arc<AtomicBool>,
}

impl Mailbox {
    pub(crate) fn new(signal: Arc<Signal>) -> Self {
        Self {
            queue: Arc::default(),
            signal,
            called: Arc::default(),
        }
    }

    /// Adds a message. A checkpoint that is given up before the subtask has read of its beginning
    /// never begins there.
    pub(crate) fn put(&self, mail: Mail) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if let Mail::Abort(id) = mail {
            let aborts = |mail: &Mail| matches!(mail, Mail::Abort(_));
            let many = queue.iter().filter(|mail| aborts(mail)).count() >= ABORTS_MAX;
            queue.retain(|waiting| match waiting {
                Mail::Trigger(barrier, _) => barrier.id != id,
                Mail::Abort(_) => !many,
                Mail::Commit(_) | Mail::Split(..) => true,
            });
        }
        queue.push_back(mail);
        drop(queue);
        self.call();
        self.signal.notify();
    }

    /// Ends the turn of a source soon.
    pub(crate) fn call(&self) {
        self.called.store(true, Ordering::SeqCst);
    }

    /// Whether somebody has called since [`Self::hear_call`].
    pub(crate) fn is_called(&self) -> &AtomicBool {
        &self.called
    }

    /// To be called before looking at the mail and at whether the subtask is cancelled.
    pub(crate) fn hear_call(&self) {
        if self.called.load(Ordering::Relaxed) {
            self.called.store(false, Ordering::SeqCst);
        }
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

#[cfg(test)]
mod tests {
    use weir_types::{BarrierKind, Epoch};

    use super::*;

    fn trigger(id: u64) -> Mail {
        let barrier = CheckpointBarrier {
            epoch: Epoch(1),
            id: CheckpointId(id),
            triggered_at_ms: 0,
            kind: BarrierKind::Checkpoint,
        };
        Mail::Trigger(barrier, Then::Continue)
    }

    fn unread(mailbox: &Mailbox) -> Vec<String> {
        let mail = std::iter::from_fn(|| mailbox.take());
        let text = mail.map(|mail| match mail {
            Mail::Trigger(barrier, _) => format!("trigger {}", barrier.id),
            Mail::Abort(id) => format!("abort {id}"),
            mail => format!("{mail:?}"),
        });
        text.collect()
    }

    #[test]
    fn a_checkpoint_that_is_given_up_before_it_was_read_of_never_begins() {
        let mailbox = Mailbox::new(Signal::new());
        mailbox.put(trigger(1));
        mailbox.put(trigger(2));
        mailbox.put(Mail::Abort(CheckpointId(1)));
        assert_eq!(unread(&mailbox), ["trigger 2", "abort 1"]);
    }

    #[test]
    fn mail_of_a_subtask_that_reads_none_stays_bounded() {
        let mailbox = Mailbox::new(Signal::new());
        for id in 0..10_000 {
            mailbox.put(trigger(id));
            mailbox.put(Mail::Abort(CheckpointId(id)));
        }
        let unread = unread(&mailbox);
        assert!(unread.len() <= ABORTS_MAX, "{}", unread.len());
        assert_eq!(unread.last().map(String::as_str), Some("abort 9999"));
    }

    #[test]
    fn mail_calls_the_subtask_until_it_has_heard() {
        let mailbox = Mailbox::new(Signal::new());
        let is_called = || mailbox.is_called().load(Ordering::SeqCst);
        assert!(!is_called());
        mailbox.put(trigger(1));
        assert!(is_called());
        mailbox.hear_call();
        assert!(!is_called());
    }
}
