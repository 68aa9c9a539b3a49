//! Whether this process is well, for the kubelet.
//!
//! It lives while its turns come to an end: each has time-outs of its own, so one that lasts for
//! minutes hangs for good, and only a restart helps. It is ready once it knows what there is, or,
//! standing by, while it hears from the Lease: an operator that could not take over is no standby.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use weir_types::Timestamp;

/// Longer than all time-outs of a turn together.
const TURN_MAX: Duration = Duration::from_secs(300);

/// How long the Lease may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// What is known of this process.
#[derive(Debug, Default)]
pub(crate) struct Health {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// When each turn that has not ended began.
    turns: BTreeMap<u64, Timestamp>,
    next: u64,
    /// When the Lease was last read or written.
    heard: Option<Timestamp>,
    acts: bool,
    synced: bool,
}

/// A turn that has not ended.
pub(crate) struct Turn<'a> {
    health: &'a Health,
    number: u64,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.health.inner().turns.remove(&self.number);
    }
}

impl Health {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A turn begins; it ends when what is returned is dropped.
    pub(crate) fn turn(&self, now: Timestamp) -> Turn<'_> {
        let mut inner = self.inner();
        let number = inner.next;
        inner.next += 1;
        inner.turns.insert(number, now);
        Turn {
            health: self,
            number,
        }
    }

    /// The Lease was read or written.
    pub(crate) fn heard(&self, now: Timestamp) {
        self.inner().heard = Some(now);
    }

    /// Whether this process acts.
    pub(crate) fn acts(&self, acts: bool) {
        self.inner().acts = acts;
    }

    /// The watches have brought all that there is.
    pub(crate) fn synced(&self) {
        self.inner().synced = true;
    }

    /// Why only a restart helps, if so.
    pub(crate) fn is_live(&self, now: Timestamp) -> Result<(), String> {
        let inner = self.inner();
        let hangs = |began: &&Timestamp| now.since(**began) > TURN_MAX;
        match inner.turns.values().filter(hangs).count() {
            0 => Ok(()),
            hanging => Err(format!(
                "{hanging} turns last for more than {}s",
                TURN_MAX.as_secs()
            )),
        }
    }

    /// Why it could not do its work now, if so.
    pub(crate) fn is_ready(&self, now: Timestamp) -> Result<(), String> {
        let inner = self.inner();
        if inner.acts {
            return match inner.synced {
                true => Ok(()),
                false => Err("not all that there is has been seen yet".to_owned()),
            };
        }
        match inner.heard {
            Some(heard) if now.since(heard) <= SILENCE_MAX => Ok(()),
            _ => Err("it stands by and does not hear from the Lease".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp(secs * 1_000_000_000)
    }

    #[test]
    fn a_turn_that_hangs_is_the_end_of_the_process_and_one_that_ends_is_not() {
        let health = Health::default();
        let short = health.turn(at(0));
        let long = health.turn(at(10));
        drop(short);
        assert_eq!(health.is_live(at(310)), Ok(()));
        assert!(health.is_live(at(311)).is_err());
        drop(long);
        assert_eq!(health.is_live(at(1000)), Ok(()));
    }

    #[test]
    fn ready_is_who_knows_what_there_is_or_could_take_over() {
        let health = Health::default();
        assert!(
            health.is_ready(at(0)).is_err(),
            "it has not heard of the Lease"
        );
        health.heard(at(5));
        assert_eq!(health.is_ready(at(60)), Ok(()));
        assert!(health.is_ready(at(66)).is_err(), "the API server is silent");
        health.acts(true);
        assert!(health.is_ready(at(66)).is_err(), "it knows nothing yet");
        health.synced();
        assert_eq!(health.is_ready(at(1000)), Ok(()));
    }
}
