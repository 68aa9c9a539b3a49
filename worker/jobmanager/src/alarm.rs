//! Waits for a time more precisely than the runtime does, whose timers know milliseconds: subtasks
//! expect their barriers at equal distances.

use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};

/// The runtime's timers are late by so much at most. The rest is waited for on a thread.
const COARSE: Duration = Duration::from_millis(2);

/// For one time after the other.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    thread: Option<JoinHandle<()>>,
}

impl Alarm {
    /// Something is due in so long, if anything. How long the runtime's timers are to be waited for
    /// before this is to be called again; none: until [`Self::rung`], or for nothing. An alarm that
    /// is set stays as it is.
    pub(crate) fn set(&mut self, due: Option<Duration>) -> Option<Duration> {
        let due = due.filter(|_| self.thread.is_none())?;
        let coarse = due.checked_sub(COARSE).filter(|coarse| !coarse.is_zero());
        if coarse.is_none() {
            self.thread = Some(spawn_blocking(move || std::thread::sleep(due)));
        }
        coarse
    }

    /// Whether there is something to wait for.
    pub(crate) fn is_set(&self) -> bool {
        self.thread.is_some()
    }

    /// Waits until what is set is due, and sets it no more. Nothing is lost if the future is
    /// dropped before.
    pub(crate) async fn rung(&mut self) {
        if let Some(thread) = &mut self.thread {
            // It fails when the runtime ends, and with it whoever waits here.
            drop(thread.await);
        }
        self.thread = None;
    }
}

#[cfg(test)]
mod tests {
    use weir_types::{Clock, SystemClock};

    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[tokio::test]
    async fn what_is_due_late_is_left_to_the_runtime_but_for_the_last_two_milliseconds() {
        let mut alarm = Alarm::default();
        assert_eq!(alarm.set(None), None);
        assert_eq!(alarm.set(Some(millis(5))), Some(millis(3)));
        assert!(!alarm.is_set());
    }

    #[tokio::test]
    async fn an_alarm_rings_when_it_is_due_and_not_before_however_often_it_is_set() {
        let mut alarm = Alarm::default();
        let began = SystemClock.now();
        assert_eq!(alarm.set(Some(millis(2))), None);
        assert!(alarm.is_set());
        for due in [None, Some(millis(1)), Some(millis(90))] {
            if !alarm.is_set() {
                // This machine is slow.
                break;
            }
            assert_eq!(alarm.set(due), None);
            // Something else comes first.
            let other = tokio::time::timeout(Duration::ZERO, alarm.rung());
            drop(other.await);
        }
        while alarm.is_set() {
            alarm.rung().await;
        }
        assert!(SystemClock.now().since(began) >= millis(2));
        assert_eq!(alarm.set(Some(millis(5))), Some(millis(3)));
    }
}
