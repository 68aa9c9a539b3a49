//! What a task thread waits on.
//!
//! A subtask is one thread with several things that may give it work: its mailbox, its input gate
//! and, while it is back-pressured, its output channels. All of them notify the same [`Signal`].
//! Notifying a thread that is awake costs one atomic swap; only a thread that sleeps is woken
//! through the kernel. A notification that comes before the wait is kept, so none is lost.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Something that can be woken: a task thread, or a socket's writer.
pub trait Wake: Send + Sync {
    /// Lets the other side look again. Cheap, never blocks, may be called at any time.
    fn wake(&self);
}

const EMPTY: u8 = 0;
const PARKED: u8 = 1;
const NOTIFIED: u8 = 2;

/// A binary semaphore for one waiting thread.
///
/// Several sources share it, so a wake-up says only that *something* may have changed: look at all
/// of them before waiting again.
#[derive(Debug, Default)]
pub struct Signal {
    state: AtomicU8,
    lock: Mutex<()>,
    woken: Condvar,
}

impl Signal {
    /// A signal that nobody has notified.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Ends the current wait, or else the next one at once.
    pub fn notify(&self) {
        if self.state.swap(NOTIFIED, Ordering::SeqCst) == PARKED {
            // The waiter holds the lock from before it says PARKED until it sleeps.
            drop(lock(&self.lock));
            self.woken.notify_one();
        }
    }

    /// Waits until somebody notifies, or about as long as `timeout` says. Returns whether it was
    /// notified; with a time-out it may also return early without.
    pub fn wait(&self, timeout: Option<Duration>) -> bool {
        if self.take() {
            return true;
        }
        let mut guard = lock(&self.lock);
        let parked = self
            .state
            .compare_exchange(EMPTY, PARKED, Ordering::SeqCst, Ordering::SeqCst);
        if parked.is_err() {
            return self.take();
        }
        match timeout {
            None => {
                while !self.take() {
                    guard = self
                        .woken
                        .wait(guard)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                true
            }
            Some(timeout) => {
                drop(self.woken.wait_timeout(guard, timeout));
                self.state.swap(EMPTY, Ordering::SeqCst) == NOTIFIED
            }
        }
    }

    fn take(&self) -> bool {
        self.state
            .compare_exchange(NOTIFIED, EMPTY, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }
}

impl Wake for Signal {
    fn wake(&self) {
        self.notify();
    }
}

/// Tells a task thread to stop, also while it waits for room in an output channel.
#[derive(Clone, Debug)]
pub struct CancelToken {
    cancelled: Arc<AtomicBool>,
    signal: Arc<Signal>,
}

impl CancelToken {
    /// A token for the thread that waits on `signal`.
    pub fn new(signal: Arc<Signal>) -> Self {
        Self {
            cancelled: Arc::new(AtomicBool::new(false)),
            signal,
        }
    }

    /// Cancels. From now on every send of the task fails, one that waits returns.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        self.signal.notify();
    }

    /// Whether [`Self::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    /// What the thread waits on.
    pub fn signal(&self) -> &Arc<Signal> {
        &self.signal
    }
}

impl Default for CancelToken {
    /// A token for a thread that waits on nothing.
    fn default() -> Self {
        Self::new(Signal::new())
    }
}

/// Locks, also after another thread panicked with the lock: none of this crate's critical sections
/// leaves its data half-changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_before_the_wait_is_kept_once() {
        let signal = Signal::new();
        signal.notify();
        signal.notify();
        assert!(signal.wait(None));
        assert!(!signal.wait(Some(Duration::from_millis(1))));
    }

    /// Waits for a notification; a wait with a time-out may end early without one. A lost one ends
    /// the test instead of hanging it.
    fn notified(signal: &Signal) -> bool {
        (0..30).any(|_| signal.wait(Some(Duration::from_secs(1))))
    }

    #[test]
    fn no_wake_up_is_lost_between_two_threads() {
        let (ping, pong) = (Signal::new(), Signal::new());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    assert!(notified(&ping));
                    pong.notify();
                }
            });
            for _ in 0..20_000 {
                ping.notify();
                assert!(notified(&pong));
            }
        });
    }

    #[test]
    fn cancelling_ends_a_wait() {
        let token = CancelToken::new(Signal::new());
        let other = token.clone();
        let canceller = std::thread::spawn(move || other.cancel());
        assert!(token.signal().wait(None));
        assert!(token.is_cancelled());
        canceller.join().unwrap();
    }
}
