//! What processes say to each other: late, cut off, or twice.
//!
//! A TaskManager dials a JobManager, and what the two say to each other on one connection arrives
//! in order. Where something of it gets lost, nothing that was said after it arrives, and whoever
//! has said it learns that the connection is gone; the other one may not.

use weir_rpc::{ConnectionId, Fenced, Registration, TaskExecutorCommand, TaskManagerMessage};
use weir_types::Epoch;

use super::{Process, World};
use crate::message::{Answer, Event, ToJm, ToTm};
use crate::plan::{CALM, Ms};

/// After this long without an answer a message counts as lost.
const CALL_TIMEOUT: Ms = 15;

/// A connection of a TaskManager to a JobManager.
pub(crate) struct Connection {
    jm: (usize, u32),
    tm: (usize, u32),
    /// Whether what is said to the JobManager still arrives.
    up: bool,
    /// Whether what is said to the TaskManager does.
    down: bool,
}

/// What one of the two says to the other.
enum Said {
    Up(ToJm),
    Down(ToTm),
}

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

    fn connection(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.get_mut(usize::try_from(id.0).ok()?)
    }

    /// A TaskManager asks a JobManager to be taken in.
    pub(crate) fn dial(
        &mut self,
        tm: usize,
        jm: (usize, u32),
        registration: Registration,
    ) -> ConnectionId {
        let id = ConnectionId(self.connections.len() as u64);
        self.connections.push(Connection {
            jm,
            tm: (tm, self.tms[tm].life),
            up: true,
            down: true,
        });
        if let Some(delay) = self.delivery(Process::Tm(tm), Process::Jm(jm.0)) {
            let asks = ToJm::Register(id, Box::new(registration));
            self.push(delay, to_jm(jm.0, jm.1, asks));
        } else if let Some(connection) = self.connection(id) {
            connection.up = false;
        }
        id
    }

    /// One of the two says something. `needed`: it learns if that does not arrive.
    fn send(&mut self, id: ConnectionId, said: Said, needed: bool) {
        let Some(&mut Connection { jm, tm, up, down }) = self.connection(id) else {
            return;
        };
        let ((jm, jm_life), (tm, tm_life)) = (jm, tm);
        let ends = (Process::Jm(jm), Process::Tm(tm));
        let (open, (to, from)) = match &said {
            Said::Up(_) => (up, ends),
            Said::Down(_) => (down, (ends.1, ends.0)),
        };
        if !open {
            return;
        }
        let delivery = self.delivery(from, to);
        if delivery.is_none() && !needed {
            return;
        }
        let event = match (said, delivery) {
            (Said::Up(message), Some(_)) => to_jm(jm, jm_life, message),
            (Said::Down(message), Some(_)) => to_tm(tm, tm_life, message),
            (said, None) => {
                let is_up = matches!(said, Said::Up(_));
                if let Some(connection) = self.connection(id) {
                    let way = match is_up {
                        true => &mut connection.up,
                        false => &mut connection.down,
                    };
                    *way = false;
                }
                match is_up {
                    true => to_tm(tm, tm_life, ToTm::Disconnected(id)),
                    false => to_jm(jm, jm_life, ToJm::Disconnected(id)),
                }
            }
        };
        self.push(delivery.unwrap_or(CALL_TIMEOUT), event);
    }

    /// A TaskManager says something.
    pub(crate) fn say(&mut self, id: ConnectionId, epoch: Epoch, message: TaskManagerMessage) {
        use TaskManagerMessage::{Heartbeat, Ready, RequestSplit};
        let beats = matches!(message, Heartbeat { .. });
        let once = matches!(message, Ready { .. } | RequestSplit { .. });
        if !once && !beats && self.rng.chance(self.plan.twice_per_mille) {
            let again = ToJm::Said(id, epoch, Box::new(message.clone()));
            self.send(id, Said::Up(again), true);
        }
        let said = ToJm::Said(id, epoch, Box::new(message));
        self.send(id, Said::Up(said), !beats);
    }

    /// A JobManager tells a TaskManager to do something.
    pub(crate) fn command(&mut self, id: ConnectionId, epoch: Epoch, command: TaskExecutorCommand) {
        use TaskExecutorCommand::{AbortCheckpoint, Commit, Heartbeat, TriggerCheckpoint};
        let beats = matches!(command, Heartbeat);
        let repeatable = matches!(
            command,
            TriggerCheckpoint { .. } | AbortCheckpoint { .. } | Commit { .. }
        );
        let message = ToTm::Command(id, Box::new(Fenced::new(epoch, command)));
        if repeatable && self.rng.chance(self.plan.twice_per_mille) {
            self.send(id, Said::Down(message.clone()), true);
        }
        self.send(id, Said::Down(message), !beats);
    }

    /// A JobManager answers one that has asked to be taken in.
    pub(crate) fn answer_applicant(&mut self, id: ConnectionId, answer: Answer) {
        self.send(id, Said::Down(ToTm::Answer(id, answer)), true);
    }

    /// A JobManager closes a connection, after what it has said.
    pub(crate) fn close_from_jm(&mut self, id: ConnectionId) {
        self.send(id, Said::Down(ToTm::Disconnected(id)), false);
        if let Some(connection) = self.connection(id) {
            (connection.up, connection.down) = (false, false);
        }
    }

    /// A TaskManager does.
    pub(crate) fn close_from_tm(&mut self, id: ConnectionId) {
        self.send(id, Said::Up(ToJm::Disconnected(id)), false);
        if let Some(connection) = self.connection(id) {
            (connection.up, connection.down) = (false, false);
        }
    }

    /// The TaskManager at the other end of a connection.
    pub(crate) fn home_of(&mut self, id: ConnectionId) -> Option<usize> {
        self.connection(id).map(|connection| connection.tm.0)
    }

    /// The process of a JobManager is gone. If its machine is there, it closes its connections.
    pub(crate) fn jm_is_gone(&mut self, jm: (usize, u32)) {
        let open = self.connections.iter().enumerate();
        let open = open.filter(|(_, connection)| connection.jm == jm && connection.down);
        let open: Vec<_> = open.map(|(id, _)| ConnectionId(id as u64)).collect();
        let tells = self.rng.chance(600);
        for id in open {
            if tells {
                self.close_from_jm(id);
            } else if let Some(connection) = self.connection(id) {
                (connection.up, connection.down) = (false, false);
            }
        }
    }
}

pub(crate) fn to_jm(jm: usize, life: u32, message: ToJm) -> Event {
    Event::ToJm { jm, life, message }
}

pub(crate) fn to_tm(tm: usize, life: u32, message: ToTm) -> Event {
    Event::ToTm { tm, life, message }
}
