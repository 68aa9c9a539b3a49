//! What goes wrong.

use super::{Collecting, Collector, Event, Process, World, to_jm, to_tm};
use crate::message::{ToJm, ToTm};
use crate::plan::{CALM, Fault, Point, PointFault};
use crate::taskmanager::TaskManager;

impl World {
    /// A JobManager comes to a point. `true`: it is killed before it does what comes next.
    pub(crate) fn at_point(&mut self, jm: usize, point: Point) -> bool {
        let times = self.points.entry(point).or_default();
        let nth = *times;
        *times += 1;
        let mut killed = false;
        for index in 0..self.plan.points.len() {
            let (planned, which, fault) = self.plan.points[index];
            if planned != point || which != nth || self.now >= CALM {
                continue;
            }
            self.note(|| format!("jm {jm} at {point:?}: {fault:?}"));
            match fault {
                PointFault::Kill => killed = true,
                PointFault::Pause(ms) => {
                    self.pause(Process::Jm(jm), ms);
                }
                PointFault::Fate(fate) => self.next_fate = Some(fate),
                PointFault::FailTask => self.fail_a_task(),
                PointFault::PauseTm(tm, ms) => {
                    self.pause(Process::Tm(tm), ms);
                }
                PointFault::CutStore(ms) => {
                    self.store.cut_until.insert(jm, self.now + ms);
                    let earlier = self.rng.below(60).min(ms);
                    self.push(ms - earlier, Event::Collect(Collecting::Begin));
                }
            }
        }
        killed
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
            Fault::Collect => self.collect(Collector::Person),
            Fault::PointerGone => self.store.register = None,
            Fault::CancelJob => {
                if let Some((jm, life)) = self.lease.holder {
                    self.push(1, to_jm(jm, life, ToJm::Cancel));
                }
            }
            Fault::ClockBack => self.wall_offset -= 3_600_000,
            Fault::Upgrade(leaves_one) => self.upgrade(leaves_one),
        }
    }

    pub(crate) fn kill_jm(&mut self, jm: usize) {
        if let Some(process) = &mut self.jms[jm]
            && process.kill()
        {
            let life = process.life;
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
            self.push(0, to_tm(index, life, ToTm::Tick));
        }
    }
}
