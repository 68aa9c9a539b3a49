//! What happens in a run: the job, the faults, what people ask for. Drawn from a seed, or written
//! by hand for a named scenario.

mod draw;

use weir_checkpoint::coordinator::Then;

use crate::bug::Bug;
use crate::graph::{Parallelism, reads};

pub use draw::random_fate;

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
    /// The wall clocks of JobManagers are set back by an hour.
    ClockBack,
    /// They are set an hour ahead.
    ClockAhead,
    /// A new deployment takes the job over. With `true`, one process of the old one stays.
    Upgrade(bool),
}

/// A place in the work of a JobManager or of a task at which something may happen to its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// A JobManager has claimed the job.
    Claimed,
    /// It is about to tell the sources of a checkpoint.
    Trigger,
    /// It is about to write a checkpoint's metadata.
    WriteMetadata,
    /// It is about to write the pointer.
    WritePointer,
    /// It is about to say that a checkpoint is complete.
    Complete,
    /// It is about to have tasks stopped.
    Cancel,
    /// It is about to deploy tasks.
    Deploy,
    /// It has told one task so, of several.
    Told,
    /// It has marked what its collector is to delete.
    Marked,
    /// A task was deployed, and is not restored.
    Deployed,
    /// It has read what it is restored from, and does not run.
    Restored,
    /// It has sent a barrier on, and its state is not in the snapshot.
    Forwarded,
    /// Its state is in the snapshot, and a sink's results are prepared; nothing is stored.
    Frozen,
    /// One object of the snapshot is stored.
    ObjectStored,
    /// All are, and it is about to say so.
    Acknowledge,
    /// It is about to commit one of its results, the first or another.
    Commit,
    /// It has committed all, and is about to say so.
    Committed,
}

/// All points of a JobManager.
pub const POINTS: [Point; 9] = [
    Point::Claimed,
    Point::Trigger,
    Point::WriteMetadata,
    Point::WritePointer,
    Point::Complete,
    Point::Cancel,
    Point::Deploy,
    Point::Told,
    Point::Marked,
];

/// All points of a task.
pub const TASK_POINTS: [Point; 8] = [
    Point::Deployed,
    Point::Restored,
    Point::Forwarded,
    Point::Frozen,
    Point::ObjectStored,
    Point::Acknowledge,
    Point::Commit,
    Point::Committed,
];

/// What happens to a process at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointFault {
    /// It is killed before it does what comes next.
    Kill,
    /// It stands still for so long. A JobManager then does what comes next, a TaskManager has just
    /// done it.
    Pause(Ms),
    /// The next write of the pointer has this fate.
    Fate(Fate),
    /// A task fails: that which has come to the point, or any.
    FailTask,
    /// A TaskManager stands still for so long.
    PauseTm(usize, Ms),
    /// A TaskManager is killed.
    KillTm(usize),
    /// A JobManager does not get through to the store for so long, at the end of which a person has
    /// deleted what nothing needs.
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
    /// How many regions the job has, which exchange no records: one or two.
    pub regions: usize,
    /// How many records each split has. With two regions each reads every other split.
    pub splits: Vec<u8>,
    /// By deployment, the parallelism of each source, count and sink; the last one stays.
    pub parallelism: Vec<[u32; 3]>,
    /// From checkpoint to checkpoint.
    pub interval: Ms,
    /// How many checkpoints at once.
    pub max_concurrent: u32,
    /// How many checkpoints are kept.
    pub retained: u32,
    /// At certain times.
    pub faults: Vec<(Ms, Fault)>,
    /// At the so-many-th time that any process comes to a point.
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
    /// After so many refusals they still ask again.
    pub patience: u32,
    /// Whether the collector runs.
    pub collects: bool,
    /// Whether the job fails for good when failures come too often, and by some that no restart
    /// mends. People then start it again, as its next deployment.
    pub gives_up: bool,
    /// Whether the checkpoints of a job that is cancelled go with it. People then start it anew,
    /// with no state, and take its results away.
    pub deletes: bool,
    /// How long a job waits for slots before that counts as a failure.
    pub slot_timeout: Ms,
    /// Tasks store a part of the next checkpoint before its barrier comes.
    pub writes_ahead: bool,
}

impl Plan {
    /// A run without any fault.
    pub fn quiet(seed: u64) -> Self {
        Self {
            seed,
            bug: None,
            job_managers: 2,
            task_managers: 2,
            regions: 1,
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
            patience: 3,
            collects: true,
            gives_up: false,
            deletes: false,
            // Slots come back.
            slot_timeout: DEADLINE * 100,
            writes_ahead: false,
        }
    }

    /// The parallelism in a deployment, counted from 1.
    pub(crate) fn parallelism_of(&self, deployment: u64) -> Parallelism {
        let last = self.parallelism.len().saturating_sub(1);
        let index = usize::try_from(deployment.saturating_sub(1)).unwrap_or(last);
        self.parallelism[index.min(last)]
    }

    /// The splits that the source of a region reads.
    pub(crate) fn splits_of(&self, region: usize) -> impl Iterator<Item = u8> {
        let splits = (0..self.splits.len()).map(|split| u8::try_from(split).unwrap_or(0));
        splits.filter(move |split| reads(self.regions, *split) == region)
    }
}
