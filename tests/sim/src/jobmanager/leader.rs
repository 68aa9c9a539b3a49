//! A leader: the driver of the product's JobMaster. The JobMaster decides; here its actions are
//! carried out on the models of the network, the store and the enumerators' threads, as the
//! product's driver does on the real ones. The process may be killed or stopped before each of
//! them.

mod acting;
mod collecting;
mod enumerators;
mod planted;
mod storing;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use weir_checkpoint::claim::LeaderTask;
use weir_checkpoint::coordinator::{CoordinatorConfig, SnapshotRequest};
use weir_checkpoint::metadata::CheckpointMetadata;
use weir_checkpoint::pointer::{Nonces, Pointer, PointerWriter, RunState};
use weir_jobmanager::job_master::{
    Action, CheckpointStart, Checkpoints, Event, JobMaster, JobMasterConfig, Now, Preparation,
};
use weir_jobmanager::{FailoverStrategy, RestartStrategy, RestoreFrom};
use weir_rpc::{ConnectionId, Fenced, OperationStatus};
use weir_types::{Epoch, ExecutionAttemptId, JobId, SubtaskIndex, Timestamp, VertexId};

use super::TICK;
use crate::bug::Bug;
use crate::graph::{Parallelism, fingerprint, job_graph, sink_node, source_node};
use crate::message::ToJm;
use crate::plan::{Ms, Plan};
use crate::rng::Rng;
use crate::store::FOLDER;
use crate::taskmanager::{CANCELLATION_TIMEOUT, HEARTBEAT_TIMEOUT};
use crate::world::{World, to_jm};
use acting::Todo;
pub(crate) use collecting::Collecting;
use collecting::CollectorThread;
use enumerators::Enumerators;
use planted::Kept;

const CHECKPOINT_TIMEOUT: Ms = 80;
const SAVEPOINT_TIMEOUT: Ms = 120;

/// Why it leads no more.
#[derive(Clone, Debug)]
pub(super) enum Ended {
    Killed,
    Fenced,
    /// It could not record that the job has ended.
    Unrecorded,
    Over(RunState),
}

/// A subtask's place in the job.
type Subtask = (VertexId, SubtaskIndex);

/// A process, by its index and its life.
type Me = (usize, u32);

pub(super) struct Leader {
    epoch: Epoch,
    parallelism: Parallelism,
    master: JobMaster,
    writer: PointerWriter,
    /// What it was to write last.
    wanted: Box<Pointer>,
    /// TaskManagers that wait to hear whether they are taken in.
    applicants: BTreeSet<ConnectionId>,
    /// Those that were.
    executors: BTreeSet<ConnectionId>,
    /// The newest attempts that were deployed, and where.
    deployed: BTreeMap<Subtask, (ExecutionAttemptId, ConnectionId)>,
    enumerators: Enumerators,
    collector: CollectorThread,
    /// What is to be done, in order.
    todo: VecDeque<Todo>,
    /// It was stopped right before the first of that.
    resumes: bool,
    /// What was done last, to know where something else begins.
    last: Option<acting::Step>,
    wake: Option<Ms>,
    fenced: bool,
    /// Those that were told to stop, and whose successors are not deployed yet.
    stopped: BTreeSet<Subtask>,
    kept: Kept,
    ended: Option<Ended>,
}

fn ms(ms: Ms) -> Duration {
    Duration::from_millis(ms)
}

fn coordinator_config(plan: &Plan) -> CoordinatorConfig {
    CoordinatorConfig {
        interval: ms(plan.interval),
        timeout: ms(CHECKPOINT_TIMEOUT),
        savepoint_timeout: ms(SAVEPOINT_TIMEOUT),
        min_pause: Duration::ZERO,
        max_concurrent: plan.max_concurrent,
        tolerable_failures: 3,
        retained: plan.retained,
        operators: Vec::new(),
    }
}

/// How it restarts what has failed: as often as it takes, unless it is to give up.
fn restart(rng: &mut Rng, gives_up: bool) -> RestartStrategy {
    if gives_up {
        return RestartStrategy::FailureRate {
            max_failures: 1,
            interval: ms(100),
            delay: ms(5),
        };
    }
    if rng.chance(500) {
        return RestartStrategy::FixedDelay {
            attempts: u32::MAX,
            delay: ms(rng.between(0, 10)),
        };
    }
    RestartStrategy::ExponentialDelay {
        attempts: None,
        initial_delay: ms(2),
        max_delay: ms(40),
        multiplier: 2.0,
        jitter: 0.5,
        reset_after: ms(100),
    }
}

fn config(
    world: &mut World,
    (epoch, deployment): (Epoch, u64),
    parallelism: Parallelism,
) -> JobMasterConfig {
    let regions = world.plan.regions;
    let sources = (0..regions).map(source_node).map(Preparation::Source);
    let sinks = (0..regions).map(sink_node).map(Preparation::Sink);
    JobMasterConfig {
        id: JobId(7),
        name: String::new(),
        job_graph: job_graph(regions, parallelism),
        fingerprint: fingerprint(),
        epoch,
        deployment,
        preparations: sources.chain(sinks).collect(),
        rpc_address: None,
        heartbeat_interval: ms(TICK),
        heartbeat_timeout: ms(HEARTBEAT_TIMEOUT),
        slot_request_timeout: ms(world.plan.slot_timeout),
        waiting_message_interval: ms(world.plan.slot_timeout),
        cancellation_timeout: ms(CANCELLATION_TIMEOUT),
        restart: restart(&mut world.rng, world.plan.gives_up),
        failover: match world.rng.chance(100) {
            true => FailoverStrategy::Full,
            false => FailoverStrategy::Region,
        },
        block_time: ms(100),
        random_seed: world.rng.draw(),
    }
}

impl Leader {
    pub(super) fn new(
        world: &mut World,
        (deployment, me): (u64, Me),
        (pointer, version, task): (Pointer, String, LeaderTask),
        metadata: Option<Box<CheckpointMetadata>>,
    ) -> Result<Self, String> {
        let parallelism = world.plan.parallelism_of(deployment);
        let epoch = pointer.epoch;
        let config = config(world, (epoch, deployment), parallelism);
        let seed = world.rng.draw();
        let restore = metadata.map(|metadata| RestoreFrom::latest(FOLDER, *metadata));
        let checkpoints = Checkpoints::start(CheckpointStart {
            config: coordinator_config(&world.plan),
            job_graph: &config.job_graph,
            folder: FOLDER,
            pointer: pointer.clone(),
            task: &task,
            restore: restore.as_ref(),
            allow_non_restored_state: false,
            seed,
        });
        let checkpoints = checkpoints.map_err(|error| error.to_string())?;
        let checkpoints = checkpoints.deleted_on_cancel(world.plan.deletes);
        let collector = CollectorThread::new(pointer.clone(), world.now);
        let wanted = Box::new(pointer.clone());
        let writer = PointerWriter::new(pointer, version, Nonces::new(!seed));
        let now = now(world);
        let (master, first) = JobMaster::new(config, Some(checkpoints), now);
        let mut leader = Self {
            epoch,
            parallelism,
            master,
            writer,
            wanted,
            applicants: BTreeSet::new(),
            executors: BTreeSet::new(),
            deployed: BTreeMap::new(),
            enumerators: Enumerators::default(),
            collector,
            todo: VecDeque::new(),
            resumes: false,
            last: None,
            wake: None,
            fenced: false,
            stopped: BTreeSet::new(),
            kept: Kept::default(),
            ended: None,
        };
        leader.carry_out(world, me, first);
        leader.collect_on(world, me);
        Ok(leader)
    }

    pub(super) fn ended(&self) -> Option<Ended> {
        self.ended.clone()
    }

    pub(super) fn runs(&self, attempt: ExecutionAttemptId) -> bool {
        let subtask = (attempt.vertex, attempt.subtask);
        let newest = self.deployed.get(&subtask);
        let stopped = self.stopped.contains(&subtask);
        !stopped && newest.is_some_and(|(newest, _)| *newest == attempt)
    }

    pub(super) fn is_restarting(&self) -> bool {
        !self.stopped.is_empty()
    }

    pub(super) fn describe(&self, now: Ms) -> String {
        let overview = self.master.overview(Now {
            at: Timestamp(now * 1_000_000),
            unix_ms: 0,
        });
        let attempts: Vec<_> = self.deployed.values().map(|(attempt, _)| attempt).collect();
        format!(
            "leads epoch {}: {}, {} of {} run, {} finished, waiting for {:?}, writing {}, \
             connections {:?}, attempts {attempts:?}",
            self.epoch,
            overview.status,
            overview.tasks_running,
            overview.tasks_total,
            overview.tasks_finished,
            overview.waiting_for,
            self.writer.is_writing(),
            self.executors,
        )
    }

    pub(super) fn tick(&mut self, world: &mut World, me: Me) {
        self.feed(world, me, Event::Tick);
    }

    pub(super) fn on_message(&mut self, world: &mut World, me: Me, message: ToJm) {
        // It was stopped in the middle of something.
        self.go_on(world, me);
        if self.ended.is_some() {
            return;
        }
        match message {
            ToJm::Tick | ToJm::GoOn | ToJm::Loaded(_) => {}
            ToJm::Wake => {
                self.wake = None;
                self.feed(world, me, Event::Tick);
            }
            ToJm::Swapped(result) => {
                let action = self.writer.on_swap(result);
                self.write(world, me, action);
            }
            ToJm::Read(result, _) => self.read_back(world, me, result),
            ToJm::MetadataWritten(id, result) => self.metadata_written(world, me, (id, result)),
            ToJm::Enumerator(node, life) => self.serve(world, me, (node, life)),
            ToJm::Report(event) => self.feed(world, me, *event),
            ToJm::Request(request) => self.request(world, me, request),
            ToJm::Forget(operation) => {
                let actions = self.master.forget_savepoint(now(world), operation);
                self.carry_out(world, me, actions);
            }
            ToJm::Cancel => {
                world.note(|| format!("jm {} cancels the job", me.0));
                self.feed(world, me, Event::Cancel);
            }
            ToJm::Register(connection, registration) => {
                self.applicants.insert(connection);
                let registration = *registration;
                let event = Event::Register {
                    connection,
                    registration,
                };
                self.feed(world, me, event);
            }
            ToJm::Said(connection, epoch, message) => {
                let (connection, epoch, message) =
                    self.as_heard(world, (connection, epoch, *message));
                self.kept.note_failure(&message);
                let message = Box::new(Fenced::new(epoch, message));
                let event = Event::Message {
                    connection,
                    message,
                };
                self.feed(world, me, event);
            }
            ToJm::Disconnected(connection) => self.disconnected(world, me, connection),
            ToJm::Collect(step) => self.collect(world, me, step),
        }
    }

    fn disconnected(&mut self, world: &mut World, me: Me, connection: ConnectionId) {
        self.applicants.remove(&connection);
        self.executors.remove(&connection);
        self.note_lost(connection);
        let reason = "its connection was closed".to_owned();
        self.feed(world, me, Event::Disconnected { connection, reason });
    }

    /// A person asks for a snapshot, or asks again: first what has become of it.
    fn request(&mut self, world: &mut World, me: Me, request: SnapshotRequest) {
        let operation = request.operation.clone();
        if let Some(OperationStatus::Failed(why)) = self.master.operation(&operation) {
            world.answer::<()>(&operation, &Err(why));
        }
        let actions = self.master.request_snapshot(now(world), request);
        self.carry_out(world, me, actions);
        if let Some(OperationStatus::Completed { .. }) = self.master.operation(&operation) {
            world.answer(&operation, &Ok(()));
        }
    }

    /// Tells the JobMaster, and does what it says.
    fn feed(&mut self, world: &mut World, me: Me, event: Event) {
        let actions = self.master.on_event(now(world), event);
        self.carry_out(world, me, actions);
    }

    fn carry_out(&mut self, world: &mut World, me: Me, actions: Vec<Action>) {
        let mut todo = Vec::with_capacity(actions.len());
        for action in actions {
            self.open(world, action, &mut todo);
        }
        self.count_restarts(world, &todo);
        self.forget_kept(&todo);
        self.todo.extend(todo);
        self.go_on(world, me);
    }

    /// Does what is to be done, until it is killed or stopped.
    fn go_on(&mut self, world: &mut World, me: Me) {
        while self.ended.is_none()
            && let Some(next) = self.todo.pop_front()
        {
            if !std::mem::take(&mut self.resumes) && !self.goes_on(world, me, &next) {
                self.todo.push_front(next);
                return;
            }
            self.act(world, me, next);
        }
        let due = self.master.next_wakeup();
        if let Some(due) = due
            .map(|at| at.0.div_ceil(1_000_000))
            .filter(|_| self.ended.is_none())
            && self.wake.is_none_or(|wake| wake > due || wake < world.now)
        {
            // What is due is not looked for more often than this.
            let due = due.max(world.now + 1);
            self.wake = Some(due);
            world.push(due - world.now, to_jm(me.0, me.1, ToJm::Wake));
        }
    }
}

/// The time on both of a JobManager's clocks.
fn now(world: &World) -> Now {
    let unix_ms = world.unix_ms();
    let at = match world.has(Bug::WallClock) {
        false => world.now,
        true => Ms::try_from(unix_ms).unwrap_or(0),
    };
    Now {
        at: Timestamp(at * 1_000_000),
        unix_ms,
    }
}
