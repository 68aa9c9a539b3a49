//! What processes say to each other: late, cut off, or twice.

use weir_types::Epoch;

use super::{Process, World};
use crate::message::{Event, ToJm, ToTm};
use crate::plan::{CALM, Ms};

impl World {
    /// Whether a message gets through, and when: those between two processes stay in order.
    fn delivery(&mut self, from: Process, to: Process) -> Option<Ms> {
        if self
            .cut
            .get(&(from, to))
            .is_some_and(|until| *until > self.now)
        {
            return None;
        }
        let slow = self.rng.chance(20) && self.now < CALM;
        let delay = if slow {
            self.rng.between(5, 40)
        } else {
            self.rng.between(0, 3)
        };
        let last = self.last_delivery.entry((from, to)).or_default();
        *last = (*last).max(self.now + delay);
        Some(*last - self.now)
    }

    pub(crate) fn send_up(&mut self, tm: usize, (jm, life): (usize, u32), message: ToJm) {
        match self.delivery(Process::Tm(tm), Process::Jm(jm)) {
            Some(delay) => self.push(delay, to_jm(jm, life, message)),
            None if matches!(message, ToJm::Register { .. } | ToJm::Heartbeat { .. }) => {}
            // Whoever calls and gets no answer takes the other for lost.
            None => self.tms[tm].call_lost = true,
        }
    }

    pub(crate) fn send_down(
        &mut self,
        from: (usize, u32, Epoch),
        (tm, reg): (usize, u64),
        message: ToTm,
    ) {
        let (jm, life, epoch) = from;
        let twice = matches!(
            message,
            ToTm::Trigger { .. } | ToTm::Abort { .. } | ToTm::Complete { .. }
        ) && self.rng.chance(self.plan.twice_per_mille);
        for _ in 0..=usize::from(twice) {
            match self.delivery(Process::Jm(jm), Process::Tm(tm)) {
                Some(delay) => {
                    let event = Event::ToTm {
                        tm,
                        life: self.tms[tm].life,
                        from: Some((jm, epoch, reg)),
                        message: message.clone(),
                    };
                    self.push(delay, event);
                }
                None if matches!(message, ToTm::Ping) => {}
                None => self.push(15, to_jm(jm, life, ToJm::CallLost { tm, reg })),
            }
        }
    }
}

pub(crate) fn to_jm(jm: usize, life: u32, message: ToJm) -> Event {
    Event::ToJm { jm, life, message }
}

pub(crate) fn to_tm(tm: usize, life: u32, message: ToTm) -> Event {
    Event::ToTm {
        tm,
        life,
        from: None,
        message,
    }
}
