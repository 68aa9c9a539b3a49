//! A seeded simulator of a whole job: JobManagers that stand for election and claim the job,
//! TaskManagers, a source, a keyed count and a sink that commits in two phases, once or twice side
//! by side; over a store and a network that lose, delay and repeat, and processes that are killed
//! and paused at any step.
//!
//! The decisions are those of the product's pure cores: the JobMaster of `weir_jobmanager`, with
//! all that is in it (slots, deployment, failover, restarts, splits, the checkpoint coordinator,
//! the restore plan, the end of a job), and the claim, pointer writer, aligner and collectors of
//! `weir_checkpoint`. What carries out their actions is a model, as simple as can be with the same
//! duties: the network, the store, the processes, the threads of enumerators, and the tasks.
//!
//! A run is a function of its [`Plan`], which is a function of a seed. What it must show:
//!
//! - what is visible of the sink's output at the end is what the sources have read, each record
//!   once, and nothing that was prepared is left behind;
//! - only what the pointer names is committed, `latest` never goes back, and a restore takes it;
//! - nothing that the pointer needs is deleted, and no object is written twice;
//! - an operation has one savepoint at most;
//! - a job of which all is committed is not started again by the same leader;
//! - once nothing fails any more, the job comes to its end.

mod bug;
mod graph;
mod jobmanager;
mod message;
mod plan;
mod rng;
mod store;
mod task;
mod taskmanager;
mod world;

pub use bug::{BUGS, Bug};
pub use plan::{
    CALM, DEADLINE, Fate, Fault, Ms, Operation, POINTS, Plan, Point, PointFault, TASK_POINTS,
    random_fate,
};
pub use rng::Rng;
pub use weir_checkpoint::coordinator::Then;

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What must not be and was; none: all is well.
    pub violation: Option<String>,
    /// A number that two runs share only if they are the same, step by step.
    pub trace_hash: u64,
    /// How many steps it took.
    pub steps: u64,
    /// How long it took, in the run's own time.
    pub ended_at: Ms,
    /// How many checkpoints and savepoints were completed.
    pub completed: u32,
    /// How often the job, or a region of it, was restarted within an epoch.
    pub restarts: u32,
    /// How often a region was, while another one ran on.
    pub partial_restarts: u32,
    /// How many epochs there were.
    pub epochs: u64,
    /// What happened, if it was asked for.
    pub trace: Vec<String>,
}

/// Carries out a plan.
pub fn run(plan: Plan) -> Report {
    run_with(plan, false)
}

/// Carries out a plan and keeps a protocol for people.
pub fn run_traced(plan: Plan) -> Report {
    run_with(plan, true)
}

fn run_with(plan: Plan, traced: bool) -> Report {
    let mut world = world::World::new(plan);
    world.trace = traced.then(Vec::new);
    world.run();
    Report {
        trace_hash: world.trace_hash(),
        steps: world.events,
        ended_at: world.now,
        completed: world.completed,
        restarts: world.restarts,
        partial_restarts: world.partial_restarts,
        epochs: world.store.epoch().0,
        violation: world.violation,
        trace: world.trace.unwrap_or_default(),
    }
}
