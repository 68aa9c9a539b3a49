//! The writer's rests, which end as soon as somebody waits for it.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::shared::lock;

#[derive(Debug, Default)]
struct Awaited {
    by: usize,
    closed: bool,
}

/// Who waits for the writer.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    awaited: Mutex<Awaited>,
    changed: Condvar,
}

impl Rest {
    /// Waits for the writer in this way: it does not rest meanwhile.
    pub(crate) fn end_while<T>(&self, wait: impl FnOnce() -> T) -> T {
        lock(&self.awaited).by += 1;
        self.changed.notify_all();
        let waited = wait();
        lock(&self.awaited).by -= 1;
        waited
    }

    /// The writer never rests again.
    pub(crate) fn close(&self) {
        lock(&self.awaited).closed = true;
        self.changed.notify_all();
    }

    /// Does nothing for a while, or until somebody waits.
    pub(crate) fn take(&self, time: Duration) {
        let nobody = |awaited: &mut Awaited| awaited.by == 0 && !awaited.closed;
        let awaited = lock(&self.awaited);
        let rested = self.changed.wait_timeout_while(awaited, time, nobody);
        drop(rested.unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{SyncSender, sync_channel};
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    /// A writer that rests, and says when it is done.
    fn resting(rest: &Arc<Rest>, done: SyncSender<()>) {
        let rest = Arc::clone(rest);
        thread::spawn(move || {
            rest.take(LONG);
            done.send(()).unwrap();
        });
    }

    #[test]
    fn a_rest_ends_when_somebody_waits_and_none_begins_meanwhile() {
        let rest = Arc::new(Rest::default());
        let (done, is_done) = sync_channel(3);
        resting(&rest, done.clone());
        let limit = Duration::from_secs(60);
        rest.end_while(|| {
            is_done.recv_timeout(limit).unwrap();
            resting(&rest, done.clone());
            is_done.recv_timeout(limit).unwrap();
        });
        resting(&rest, done);
        let soon = Duration::from_millis(50);
        assert!(is_done.recv_timeout(soon).is_err(), "nobody waits any more");
        rest.close();
        is_done.recv_timeout(limit).unwrap();
    }
}
