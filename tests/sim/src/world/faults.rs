//! What goes wrong.

use super::{Collecting, Event, Process, World, to_jm};
use crate::message::ToJm;
use crate::plan::{CALM, Fault, Point, PointFault};
use crate::taskmanager::TaskManager;

/// How far clocks jump.
const HOUR_MS: i64 = 3_600_000;

/// What a process does that has come to a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtPoint {
    GoesOn,
    /// It does not do what comes next.
    Killed,
    /// It does what comes next when it stands still no more.
    Stopped,
}

impl World {
    /// What is planned for this time that any process comes to a point.
    fn planned(&mut self, point: Point) -> impl Iterator<Item = PointFault> + use<> {
        let times = self.points.entry(point).or_default();
        let nth = *times;
        *times += 1;
        let calm = self.now >= CALM;
        let points = self.plan.points.iter();
        let here = points.filter(|(planned, which, _)| *planned == point && *which == nth);
        let here: Vec<PointFault> = match calm {
            true => Vec::new(),
            false => here.map(|(_, _, fault)| *fault).collect(),
        };
        here.into_iter()
    }

    /// A JobManager comes to a point.
    pub(crate) fn at_point(&mut self, jm: usize, point: Point) -> AtPoint {
        let mut comes = AtPoint::GoesOn;
        for fault in self.planned(point) {
            self.note(|| format!("jm {jm} at {point:?}: {fault:?}"));
            match fault {
                PointFault::Kill => comes = AtPoint::Killed,
                PointFault::Pause(ms) => {
                    self.pause(Process::Jm(jm), ms);
                    if comes == AtPoint::GoesOn {
                        comes = AtPoint::Stopped;
                    }
                }
                PointFault::CutStore(ms) => {
                    self.store.cut_until.insert(jm, self.now + ms);
                    let earlier = self.rng.below(60).min(ms);
                    self.push(ms - earlier, Event::Collect(Collecting::Begin));
                }
                fault => self.point_fault(fault),
            }
        }
        comes
    }

    /// A task comes to a point. An error: it does not do what comes next.
    pub(crate) fn at_task_point(&mut self, tm: usize, point: Point) -> Result<(), String> {
        let mut comes = Ok(());
        for fault in self.planned(point) {
            self.note(|| format!("tm {tm} at {point:?}: {fault:?}"));
            match fault {
                PointFault::Kill => {
                    TaskManager::kill(self, tm);
                    comes = Err("it is killed".to_owned());
                }
                PointFault::FailTask => comes = Err("planned".to_owned()),
                // It stands still once it has done what comes next.
                PointFault::Pause(ms) => self.pause(Process::Tm(tm), ms),
                PointFault::CutStore(_) => {}
                fault => self.point_fault(fault),
            }
        }
        comes
    }

    fn point_fault(&mut self, fault: PointFault) {
        match fault {
            PointFault::Fate(fate) => self.next_fate = Some(fate),
            PointFault::FailTask => self.fail_a_task(),
            PointFault::PauseTm(tm, ms) => self.pause(Process::Tm(tm), ms),
            PointFault::KillTm(tm) => TaskManager::kill(self, tm),
            PointFault::Kill | PointFault::Pause(_) | PointFault::CutStore(_) => {}
        }
    }

    pub(super) fn fail_a_task(&mut self) {
        if !self.tasks.is_empty() {
            let index = self.rng.index(self.tasks.len());
            if let Some(attempt) = self.tasks.keys().nth(index).copied() {
                self.with_task(attempt, |_, _| Err("planned".to_owned()));
            }
        }
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        self.note(|| format!("fault: {fault:?}"));
        let now = self.now;
        match fault {
            Fault::KillJm(jm) => self.kill_jm(jm),
            Fault::KillTm(tm) => TaskManager::kill(self, tm),
            Fault::PauseJm(jm, ms) => {
                self.pause(Process::Jm(jm), ms);
            }
            Fault::PauseTm(tm, ms) => {
                self.pause(Process::Tm(tm), ms);
            }
            Fault::CutDown(jm, tm, ms) => {
                self.cut
                    .insert((Process::Jm(jm), Process::Tm(tm)), now + ms);
            }
            Fault::CutUp(jm, tm, ms) => {
                self.cut
                    .insert((Process::Tm(tm), Process::Jm(jm)), now + ms);
            }
            Fault::FailTask => self.fail_a_task(),
            Fault::StoreDown(ms) => self.store.down_until = now + ms,
            Fault::StoreCut(jm, ms) => {
                self.store.cut_until.insert(jm, now + ms);
            }
            Fault::ElectionDown(ms) => self.lease.down_until = now + ms,
            Fault::Collect => self.collect(),
            Fault::PointerGone => self.store.register = None,
            Fault::CancelJob => {
                if let Some((jm, life)) = self.lease.holder {
                    self.push(1, to_jm(jm, life, ToJm::Cancel));
                }
            }
            Fault::ClockBack => self.wall_offset -= HOUR_MS,
            Fault::ClockAhead => self.wall_offset += HOUR_MS,
            Fault::Upgrade(leaves_one) => self.upgrade(leaves_one),
        }
    }

    pub(crate) fn kill_jm(&mut self, jm: usize) {
        if let Some(process) = &mut self.jms[jm]
            && process.kill()
        {
            let life = process.life;
            self.jm_is_gone((jm, life - 1));
            self.paused.remove(&Process::Jm(jm));
            let delay = self.rng.between(3, 30);
            self.push(
                delay,
                Event::Restart {
                    jm: true,
                    index: jm,
                    life,
                },
            );
        }
    }

    pub(super) fn restart(&mut self, jm: bool, index: usize, life: u32) {
        if jm {
            self.push(0, to_jm(index, life, ToJm::Tick));
        } else {
            TaskManager::begin(self, index, life);
        }
    }
}
