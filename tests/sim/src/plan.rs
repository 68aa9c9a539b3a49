//! What happens in a run: the job, the faults, what people ask for. Drawn from a seed, or written
//! by hand for a named scenario.

use weir_checkpoint::coordinator::Then;

use crate::bug::Bug;
use crate::rng::Rng;

/// Milliseconds since the start of the run.
pub type Ms = u64;

/// The moment from which on nothing fails any more.
pub const CALM: Ms = 500;
/// The moment by which every job must have ended.
pub const DEADLINE: Ms = 12_000;

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process of a JobManager is killed and comes back.
    KillJm(usize),
    /// It stands still for so long.
    PauseJm(usize, Ms),
    /// The process of a TaskManager is killed and comes back.
    KillTm(usize),
    /// It stands still for so long.
    PauseTm(usize, Ms),
    /// Nothing gets from a JobManager to a TaskManager for so long.
    CutDown(usize, usize, Ms),
    /// Nothing gets from a TaskManager to a JobManager for so long.
    CutUp(usize, usize, Ms),
    /// A task fails by itself.
    FailTask,
    /// The store refuses or loses everything for so long.
    StoreDown(Ms),
    /// A JobManager, and nobody else, does not get through to the store for so long.
    StoreCut(usize, Ms),
    /// Nobody is elected, and nobody's election is renewed, for so long.
    ElectionDown(Ms),
    /// A person has deleted what nothing needs, by a process of its own.
    Collect,
    /// Somebody deletes the pointer.
    PointerGone,
    /// A person cancels the job, to start it again as its next deployment.
    CancelJob,
    /// The wall clock is set back by an hour.
    ClockBack,
    /// A new deployment takes the job over. With `true`, one process of the old one stays.
    Upgrade(bool),
}

/// A place in a JobManager's work at which something may happen to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// It has claimed the job.
    Claimed,
    /// It is about to tell the sources of a checkpoint.
    Trigger,
    /// It is about to write a checkpoint's metadata.
    WriteMetadata,
    /// It is about to write the pointer for a checkpoint.
    WritePointer,
    /// It is about to say that a checkpoint is complete.
    Complete,
    /// It has marked what the collector is to delete.
    Marked,
    /// It is about to deploy the job.
    Deploy,
}

/// All points.
pub const POINTS: [Point; 7] = [
    Point::Claimed,
    Point::Trigger,
    Point::WriteMetadata,
    Point::WritePointer,
    Point::Complete,
    Point::Marked,
    Point::Deploy,
];

/// What happens to a JobManager at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointFault {
    /// It is killed before it does it.
    Kill,
    /// It stands still for so long, then does it.
    Pause(Ms),
    /// The next write of the pointer has this fate.
    Fate(Fate),
    /// A task fails.
    FailTask,
    /// A TaskManager stands still for so long.
    PauseTm(usize, Ms),
    /// It does not get through to the store for so long, at the end of which a person has deleted
    /// what nothing needs.
    CutStore(Ms),
}

/// What becomes of a write of the pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives, and so does the answer.
    Fine,
    /// It arrives, the answer does not.
    LostAnswer,
    /// The client gives up waiting; the write arrives so much later.
    Late(Ms),
    /// It never arrives, and the client is not told (a 500, a 409, a time-out).
    Lost,
    /// The store says no.
    Refused,
}

/// Something that a person asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// When.
    pub at: Ms,
    /// What follows the savepoint.
    pub then: Then,
}

/// A run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// For all that the plan leaves open.
    pub seed: u64,
    /// A planted bug.
    pub bug: Option<Bug>,
    /// How many JobManagers stand for election.
    pub job_managers: usize,
    /// How many TaskManagers there are.
    pub task_managers: usize,
    /// How many records each split has.
    pub splits: Vec<u8>,
    /// By deployment, the parallelism of source, count and sink; the last one stays.
    pub parallelism: Vec<[u32; 3]>,
    /// From checkpoint to checkpoint.
    pub interval: Ms,
    /// How many checkpoints at once.
    pub max_concurrent: u32,
    /// How many checkpoints are kept.
    pub retained: u32,
    /// At certain times.
    pub faults: Vec<(Ms, Fault)>,
    /// At the so-many-th time that any JobManager comes to a point.
    pub points: Vec<(Point, u32, PointFault)>,
    /// Of a thousand writes of the pointer, how many meet a fate of each kind.
    pub fates_per_mille: u64,
    /// Of a thousand other calls to the store, how many fail.
    pub errors_per_mille: u64,
    /// Of a thousand messages, how many come twice.
    pub twice_per_mille: u64,
    /// Of a thousand commits, how many fail at first.
    pub commit_errors_per_mille: u64,
    /// What people ask for.
    pub operations: Vec<Operation>,
    /// Whether the collector runs.
    pub collects: bool,
}

impl Plan {
    /// A run without any fault.
    pub fn quiet(seed: u64) -> Self {
        Self {
            seed,
            bug: None,
            job_managers: 2,
            task_managers: 2,
            splits: vec![7, 5, 8, 6],
            parallelism: vec![[2, 2, 2]],
            interval: 25,
            max_concurrent: 1,
            retained: 1,
            faults: Vec::new(),
            points: Vec::new(),
            fates_per_mille: 0,
            errors_per_mille: 0,
            twice_per_mille: 0,
            commit_errors_per_mille: 0,
            operations: Vec::new(),
            collects: true,
        }
    }

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
            let fault = match rng.below(5) {
                0 | 1 => PointFault::Kill,
                2 => PointFault::Pause(rng.between(5, 250)),
                3 => PointFault::Fate(random_fate(&mut rng)),
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
                2 => Then::Drain,
                _ => Then::Continue,
            };
            let at = rng.below(CALM / 2);
            plan.operations.push(Operation { at, then });
        }
        plan.add_outages(&mut rng);
        plan
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

    fn random_fault(&self, rng: &mut Rng) -> Fault {
        let jm = rng.index(self.job_managers);
        let tm = rng.index(self.task_managers);
        match rng.below(14) {
            0 | 1 => Fault::KillJm(jm),
            2 | 3 => Fault::PauseJm(jm, rng.between(20, 300)),
            4 | 5 => Fault::KillTm(tm),
            6 => Fault::PauseTm(tm, rng.between(10, 200)),
            7 => Fault::CutDown(jm, tm, rng.between(5, 150)),
            8 => Fault::CutUp(jm, tm, rng.between(5, 150)),
            9 | 10 => Fault::FailTask,
            11 => Fault::StoreDown(rng.between(10, 120)),
            12 => Fault::ClockBack,
            _ => Fault::Upgrade(rng.chance(500)),
        }
    }

    /// The parallelism in a deployment, counted from 1.
    pub fn parallelism_of(&self, deployment: u64) -> [u32; 3] {
        let last = self.parallelism.len().saturating_sub(1);
        let index = usize::try_from(deployment.saturating_sub(1)).unwrap_or(last);
        self.parallelism[index.min(last)]
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
