//! A run that is drawn from a seed.

use weir_checkpoint::coordinator::Then;

use super::{CALM, Fate, Fault, Operation, POINTS, Plan, Point, PointFault, TASK_POINTS};
use crate::rng::Rng;

impl Plan {
    /// The run of a seed.
    pub fn random(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let mut plan = Self::quiet(rng.draw());
        plan.job_managers = 1 + rng.index(3);
        plan.task_managers = 1 + rng.index(3);
        let splits = rng.between(2, 5);
        plan.splits = (0..splits).map(|_| small(&mut rng, 9)).collect();
        let mut draw = || 1 + u32::from(small(&mut rng, 1));
        plan.parallelism = (0..3).map(|_| [draw(), draw(), draw()]).collect();
        plan.interval = rng.between(12, 60);
        plan.max_concurrent = if rng.chance(300) { 2 } else { 1 };
        plan.retained = 1 + u32::from(rng.chance(300));
        for _ in 0..rng.below(5) {
            let fault = plan.random_fault(&mut rng);
            plan.faults.push((rng.below(CALM), fault));
        }
        for _ in 0..rng.below(4) {
            let point = POINTS[rng.index(POINTS.len())];
            let fault = match rng.below(11) {
                0..4 => PointFault::Kill,
                4 | 5 => PointFault::Pause(rng.between(5, 250)),
                6 | 7 => PointFault::Fate(random_fate(&mut rng)),
                8 => PointFault::KillTm(rng.index(plan.task_managers)),
                _ => PointFault::FailTask,
            };
            let nth = u32::from(small(&mut rng, 5));
            plan.points.push((point, nth, fault));
        }
        // Most runs have few kinds of trouble, so that each shows its own.
        let mut some = |share: u64, most: u64| match rng.chance(share) {
            true => rng.below(most),
            false => 0,
        };
        plan.fates_per_mille = some(400, 500);
        plan.errors_per_mille = some(300, 200);
        plan.twice_per_mille = some(300, 200);
        plan.commit_errors_per_mille = some(200, 300);
        for _ in 0..rng.below(3) {
            let then = match rng.below(8) {
                0 | 1 => Then::Stop,
                2 | 3 => Then::Drain,
                _ => Then::Continue,
            };
            let at = rng.between(30, CALM / 2);
            plan.operations.push(Operation { at, then });
        }
        plan.add_failures_of_operations(&mut rng);
        plan.add_task_points(&mut rng);
        plan.add_outages(&mut rng);
        plan.add_a_region(&mut rng);
        if rng.chance(400) {
            plan.patience = 0;
        }
        plan.gives_up = rng.chance(100);
        if rng.chance(50) {
            plan.deletes = true;
            plan.faults.push((rng.below(CALM), Fault::CancelJob));
        }
        if rng.chance(150) {
            plan.slot_timeout = rng.between(60, 250);
        }
        plan.writes_ahead = rng.chance(250);
        plan
    }

    /// Something fails while what people ask for is being done.
    fn add_failures_of_operations(&mut self, rng: &mut Rng) {
        for operation in self.operations.clone() {
            if rng.chance(500) {
                let at = operation.at + rng.between(5, 50);
                let fault = match rng.chance(700) {
                    true => Fault::FailTask,
                    false => Fault::KillTm(rng.index(self.task_managers)),
                };
                self.faults.push((at, fault));
            }
        }
    }

    /// Something happens to tasks at steps of theirs. Each of a checkpoint's steps is taken by
    /// several of them.
    fn add_task_points(&mut self, rng: &mut Rng) {
        if rng.chance(500) {
            return;
        }
        for _ in 0..rng.between(1, 3) {
            let point = TASK_POINTS[rng.index(TASK_POINTS.len())];
            let fault = match rng.below(6) {
                0..4 => PointFault::Kill,
                4 => PointFault::FailTask,
                _ => PointFault::Pause(rng.between(5, 150)),
            };
            let nth = u32::from(small(rng, 24));
            self.points.push((point, nth, fault));
        }
    }

    /// Long outages of one service for some, and people who clean up meanwhile.
    fn add_outages(&mut self, rng: &mut Rng) {
        if rng.chance(120) {
            let cut = PointFault::CutStore(rng.between(20, 400));
            let nth = u32::from(small(rng, 3));
            self.points.push((Point::WritePointer, nth, cut));
        }
        if rng.chance(50) {
            let cut = Fault::StoreCut(rng.index(self.job_managers), rng.between(20, 300));
            self.faults.push((rng.below(CALM), cut));
        }
        if rng.chance(80) {
            let down = Fault::ElectionDown(rng.between(20, 200));
            self.faults.push((rng.below(CALM - 200), down));
        }
        if rng.chance(50) {
            self.faults.push((rng.below(CALM), Fault::Collect));
        }
        if rng.chance(50) {
            self.faults.push((rng.below(CALM), Fault::CancelJob));
        }
    }

    /// For some, a second region, with as much to read.
    fn add_a_region(&mut self, rng: &mut Rng) {
        if rng.chance(400) {
            self.regions = 2;
            let more = (0..self.splits.len()).map(|_| small(rng, 9));
            self.splits.extend(more);
        }
    }

    fn random_fault(&self, rng: &mut Rng) -> Fault {
        let jm = rng.index(self.job_managers);
        let tm = rng.index(self.task_managers);
        match rng.below(15) {
            0 | 1 => Fault::KillJm(jm),
            2 | 3 => Fault::PauseJm(jm, rng.between(20, 300)),
            4 | 5 => Fault::KillTm(tm),
            6 => Fault::PauseTm(tm, rng.between(10, 200)),
            7 => Fault::CutDown(jm, tm, rng.between(5, 150)),
            8 => Fault::CutUp(jm, tm, rng.between(5, 150)),
            9 | 10 => Fault::FailTask,
            11 => Fault::StoreDown(rng.between(10, 120)),
            12 => Fault::ClockBack,
            13 => Fault::ClockAhead,
            _ => Fault::Upgrade(rng.chance(500)),
        }
    }
}

/// Any fate but a fine one.
pub fn random_fate(rng: &mut Rng) -> Fate {
    match rng.below(8) {
        0..3 => Fate::LostAnswer,
        3..6 => Fate::Late(rng.between(1, 150)),
        6 => Fate::Lost,
        _ => Fate::Refused,
    }
}

fn small(rng: &mut Rng, most: u64) -> u8 {
    u8::try_from(rng.below(most + 1)).unwrap_or(0)
}
