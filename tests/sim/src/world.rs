//! Everything that exists in a run: the time, what is under way, the store, the processes; and what
//! people want of the job, with the judgement of what they got.

mod collecting;
mod faults;
mod network;
mod people;
mod swaps;
mod tag;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use weir_checkpoint::coordinator::SnapshotRequest;
use weir_checkpoint::pointer::{OperationId, Pointer, RunState, SnapshotKind};
use weir_graph::ExecutionState;
use weir_rpc::TaskManagerMessage;
use weir_types::{CheckpointId, Epoch, ExecutionAttemptId, Fault, FaultClass, KeyHasher};

use crate::bug::Bug;
use crate::jobmanager::JobManager;
use crate::message::{Event, ToJm, ToTm};
use crate::plan::{CALM, DEADLINE, Fate, Ms, Plan, Point};
use crate::rng::Rng;
use crate::store::{Content, Store, Txn};
use crate::task::{self, Task};
use crate::taskmanager::TaskManager;

pub(crate) use collecting::{Collecting, GRACE};
pub(crate) use faults::AtPoint;
use network::Connection;
pub(crate) use network::{to_jm, to_tm};

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Process {
    Jm(usize),
    Tm(usize),
}

/// After this long without an answer a client of the store gives up.
const STORE_TIMEOUT: Ms = 20;

/// No run takes as many steps, unless something goes round in circles.
const STEPS_MAX: u64 = 100_000;

struct Entry {
    at: Ms,
    number: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// Who may try to lead, by the election service's word.
#[derive(Default)]
pub(crate) struct Lease {
    pub(crate) holder: Option<(usize, u32)>,
    pub(crate) expires: Ms,
    /// The service does not answer until then.
    pub(crate) down_until: Ms,
}

/// What people asked for.
pub(crate) struct Asked {
    pub(crate) at: Ms,
    pub(crate) request: SnapshotRequest,
    pub(crate) answered: bool,
    /// Once it is answered, so many more times they ask for the savepoint to go.
    pub(crate) forgets: u32,
    pub(crate) refusals: u32,
}

pub(crate) struct World {
    pub(crate) now: Ms,
    pub(crate) wall_offset: i64,
    number: u64,
    queue: BinaryHeap<Reverse<Entry>>,
    pub(crate) rng: Rng,
    pub(crate) plan: Plan,
    hash: KeyHasher,
    pub(crate) events: u64,
    pub(crate) store: Store,
    pub(crate) jms: Vec<Option<Box<JobManager>>>,
    pub(crate) tms: Vec<TaskManager>,
    pub(crate) tasks: BTreeMap<ExecutionAttemptId, Task>,
    pub(crate) lease: Lease,
    paused: BTreeMap<Process, Ms>,
    cut: BTreeMap<(Process, Process), Ms>,
    last_delivery: BTreeMap<(Process, Process), Ms>,
    connections: Vec<Connection>,
    points: BTreeMap<Point, u32>,
    next_fate: Option<Fate>,
    pub(crate) registrations: u64,
    pub(crate) deployment: u64,
    pub(crate) asked: Vec<Asked>,
    pub(crate) over: BTreeSet<u64>,
    pub(crate) completed: u32,
    pub(crate) restarts: u32,
    pub(crate) partial_restarts: u32,
    /// Epochs in which all was committed, and a leader was to record that the job has ended.
    pub(crate) decided: BTreeSet<Epoch>,
    pub(crate) violation: Option<String>,
    pub(crate) finished: bool,
    pub(crate) trace: Option<Vec<String>>,
}

impl World {
    pub(crate) fn new(plan: Plan) -> Self {
        let asked = plan
            .operations
            .iter()
            .enumerate()
            .map(|(i, operation)| Asked {
                at: operation.at,
                request: SnapshotRequest {
                    operation: OperationId(format!("op-{i}")),
                    kind: SnapshotKind::Savepoint,
                    then: operation.then,
                },
                answered: false,
                forgets: 0,
                refusals: 0,
            });
        let asked = asked.collect();
        let jms = (0..plan.job_managers).map(|jm| Some(Box::new(JobManager::new(jm, 1, None))));
        let jms = jms.collect();
        let mut rng = Rng::new(plan.seed);
        let tms = task_managers(&plan, &mut rng);
        let mut world = Self {
            now: 0,
            wall_offset: collecting::START_MS,
            number: 0,
            queue: BinaryHeap::new(),
            rng,
            plan,
            hash: KeyHasher::new(),
            events: 0,
            store: Store::default(),
            jms,
            tms,
            tasks: BTreeMap::new(),
            lease: Lease::default(),
            paused: BTreeMap::new(),
            cut: BTreeMap::new(),
            last_delivery: BTreeMap::new(),
            connections: Vec::new(),
            points: BTreeMap::new(),
            next_fate: None,
            registrations: 0,
            deployment: 1,
            asked,
            over: BTreeSet::new(),
            completed: 0,
            restarts: 0,
            partial_restarts: 0,
            decided: BTreeSet::new(),
            violation: None,
            finished: false,
            trace: None,
        };
        for jm in 0..world.plan.job_managers {
            world.push(jm as u64, to_jm(jm, 0, ToJm::Tick));
        }
        for tm in 0..world.plan.task_managers {
            world.push(3 + tm as u64, to_tm(tm, 0, ToTm::Tick));
        }
        for fault in 0..world.plan.faults.len() {
            world.push(world.plan.faults[fault].0, Event::Fault(fault));
        }
        world.push(10, Event::Client);
        world
    }

    /// What the wall clocks of JobManagers show.
    pub(crate) fn unix_ms(&self) -> i64 {
        self.wall_offset + i64::try_from(self.now).unwrap_or(0)
    }

    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.plan.bug == Some(bug)
    }

    /// Whether this call meets one of the errors that come so often, while there are any.
    pub(crate) fn fails(&mut self, per_mille: u64) -> bool {
        let down = per_mille > 0 && self.now < self.store.down_until;
        self.now < CALM && per_mille > 0 && (down || self.rng.chance(per_mille))
    }

    /// The same, for a call of a JobManager.
    pub(crate) fn fails_for(&mut self, jm: usize, per_mille: u64) -> bool {
        self.fails(per_mille) || self.store.is_out_of_reach(jm, self.now)
    }

    /// Records what must not be, and gives it back as the error that it is for whoever meets it.
    pub(crate) fn violate(&mut self, text: String) -> String {
        self.note(|| format!("VIOLATION {text}"));
        self.violation.get_or_insert_with(|| text.clone());
        text
    }

    pub(crate) fn note(&mut self, text: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{now:>6} {}", text()));
        }
    }

    pub(crate) fn push(&mut self, delay: Ms, event: Event) {
        self.number += 1;
        let entry = Entry {
            at: self.now + delay,
            number: self.number,
            event,
        };
        self.queue.push(Reverse(entry));
    }

    /// Runs until the job has finished, something is wrong, or the time is up.
    pub(crate) fn run(&mut self) {
        while !self.finished && self.violation.is_none() {
            let Some(Reverse(entry)) = self.queue.pop() else {
                self.violate("nothing happens any more".to_owned());
                return;
            };
            self.now = entry.at;
            if self.now > DEADLINE {
                let text = format!(
                    "the job has not ended by {DEADLINE} ms: {}",
                    self.describe()
                );
                self.violate(text);
                return;
            }
            if self.events > STEPS_MAX {
                let text = format!("no end after {STEPS_MAX} steps: {}", self.describe());
                self.violate(text);
                return;
            }
            if let Some(until) = self.paused_until(&entry.event) {
                // It keeps its place among what comes on the same way.
                let waits = Entry { at: until, ..entry };
                self.queue.push(Reverse(waits));
                continue;
            }
            self.events += 1;
            self.hash.write_u64(self.now);
            self.hash.write_u64(tag::tag(&entry.event));
            self.handle(entry.event);
        }
    }

    pub(crate) fn trace_hash(&self) -> u64 {
        self.hash.finish()
    }

    fn describe(&self) -> String {
        let states = self.jms.iter().flatten().map(|jm| jm.describe(self.now));
        let states = states.chain(self.tms.iter().map(TaskManager::describe));
        let states: Vec<String> = states.collect();
        format!("{states:?}, pointer {:?}", self.store.register)
    }

    /// It stands still for at least so long: a second pause does not wake it before the first one
    /// has ended, which would bring what waits for it out of order.
    fn pause(&mut self, process: Process, ms: Ms) {
        let until = self.paused.entry(process).or_default();
        *until = (*until).max(self.now + ms);
    }

    fn paused_until(&self, event: &Event) -> Option<Ms> {
        let process = match event {
            Event::ToJm { jm, .. } => Process::Jm(*jm),
            Event::ToTm { tm, .. } => Process::Tm(*tm),
            Event::Step(attempt)
            | Event::Cancelled(attempt)
            | Event::Broken(attempt)
            | Event::Stored { attempt, .. } => Process::Tm(self.tasks.get(attempt)?.tm),
            _ => return None,
        };
        self.paused
            .get(&process)
            .copied()
            .filter(|until| *until > self.now)
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::ToJm { jm, life, message } => {
                if let Some(mut process) = self.jms[jm].take() {
                    if process.life == life {
                        process.on_message(self, message);
                    }
                    // It may just have been replaced.
                    self.jms[jm].get_or_insert(process);
                }
            }
            Event::ToTm { tm, life, message } => {
                if self.tms[tm].life == life {
                    TaskManager::on_message(self, tm, message);
                }
            }
            Event::Step(attempt) => self.with_task(attempt, |task, world| task.step(world)),
            Event::Cancelled(attempt) => {
                if let Some(task) = self.tasks.remove(&attempt) {
                    task.tell_state(self, ExecutionState::Canceled);
                    task.gone(self);
                }
            }
            Event::Broken(attempt) => self.end_task(attempt, FaultClass::PartitionDataMissing),
            Event::Put { path, rows } => {
                let created = self.store.create(&path, Content::Counts(rows), self.now);
                if let Err(text) = created {
                    self.violate(text);
                }
            }
            Event::Collect(step) => self.go_on_collecting(step),
            Event::Stored { attempt, id, ok } => {
                self.with_task(attempt, |task, world| task.stored(world, id, ok));
            }
            Event::Swap {
                expected,
                content,
                tell,
            } => self.swap_arrives(expected, *content, tell),
            Event::Fault(index) => self.fault(self.plan.faults[index].1),
            Event::Restart { jm, index, life } => self.restart(jm, index, life),
            Event::Client => self.client(),
        }
    }

    /// A task is there.
    pub(crate) fn add_task(&mut self, mut task: Task) {
        task.connect(self);
        self.tasks.insert(task.attempt, task);
    }

    /// Another attempt takes the place of a task that lives on, by a planted bug. Says whether it
    /// has read all its input.
    pub(crate) fn rename_task(
        &mut self,
        before: ExecutionAttemptId,
        attempt: ExecutionAttemptId,
        tm: usize,
    ) -> Option<bool> {
        let mut task = self.tasks.remove(&before)?;
        task.renamed(attempt, tm);
        let has_read_all = task.has_read_all();
        self.schedule_step(&mut task);
        self.tasks.insert(attempt, task);
        Some(has_read_all)
    }

    /// Lets a task do something; an error fails it. One that has finished is gone, and so is one
    /// whose process is killed meanwhile.
    pub(crate) fn with_task(
        &mut self,
        attempt: ExecutionAttemptId,
        work: impl FnOnce(&mut Task, &mut Self) -> Result<(), String>,
    ) {
        let Some(mut task) = self.tasks.remove(&attempt) else {
            return;
        };
        let life = self.tms[task.tm].life;
        match work(&mut task, self) {
            _ if self.tms[task.tm].life != life => task.killed(self),
            Ok(()) if task.finished => {}
            Ok(()) => {
                self.tasks.insert(attempt, task);
            }
            Err(why) => {
                self.note(|| format!("task {attempt} fails: {why}"));
                let class = match self.rng.below(10) {
                    0 => FaultClass::Environment,
                    1 if self.plan.gives_up => FaultClass::NonRecoverable,
                    _ => FaultClass::Recoverable,
                };
                self.tell_end(&task, class);
                task.gone(self);
            }
        }
    }

    fn tell_end(&mut self, task: &Task, class: FaultClass) {
        let attempt = task.attempt;
        let message = TaskManagerMessage::TaskState {
            attempt,
            state: ExecutionState::Failed,
            fault: Some(Fault::task(class, attempt, "a fault")),
            metrics: None,
        };
        self.tell(task.tm, message);
    }

    /// A task fails by something outside of it.
    fn end_task(&mut self, attempt: ExecutionAttemptId, class: FaultClass) {
        if let Some(task) = self.tasks.remove(&attempt) {
            self.note(|| format!("task {attempt} fails: {class:?}"));
            self.tell_end(&task, class);
            task.gone(self);
        }
    }

    /// Whether the newest leader counts on this attempt. Any other may find that what it was to
    /// restore is gone: its successors have let go of it.
    pub(crate) fn is_current(&self, attempt: ExecutionAttemptId) -> bool {
        // Of a job that was cancelled with all that it had stored, no attempt counts any more.
        let register = self.store.register.as_ref();
        let is_deleted = register.is_some_and(|now| now.run_state == RunState::Deleted);
        let epoch = self.store.epoch();
        epoch == attempt.epoch
            && !is_deleted
            && self.jms.iter().flatten().any(|jm| jm.runs(attempt))
    }

    /// Those of the known attempts that count as this one: it alone, unless a planted bug compares
    /// less than all of it.
    pub(crate) fn taken_for(
        &self,
        attempt: ExecutionAttemptId,
        known: impl Iterator<Item = ExecutionAttemptId>,
    ) -> impl Iterator<Item = ExecutionAttemptId> {
        let any_attempt = self.has(Bug::AnyAttempt);
        let any_epoch = self.has(Bug::AnyEpoch);
        known.filter(move |known| {
            (known.vertex, known.subtask) == (attempt.vertex, attempt.subtask)
                && (any_epoch || known.epoch == attempt.epoch)
                && (any_attempt || known.attempt == attempt.attempt)
        })
    }

    pub(crate) fn schedule_step(&mut self, task: &mut Task) {
        if !task.stepping {
            task.stepping = true;
            let delay = match task.kind {
                task::Kind::Source(_) => self.rng.between(4, 20),
                _ => self.rng.between(0, 4),
            };
            let attempt = task.attempt;
            self.push(delay, Event::Step(attempt));
        }
    }

    /// From a task to the JobManager that its TaskManager works for.
    pub(crate) fn tell(&mut self, tm: usize, message: TaskManagerMessage) {
        if let Some(service) = self.tms[tm].service() {
            self.say(service.connection, service.epoch, message);
        }
    }

    /// A sink makes a result visible. Decided once, it may be done any number of times.
    pub(crate) fn commit(
        &mut self,
        txn: Txn,
        under: CheckpointId,
        epoch: Epoch,
    ) -> Result<(), String> {
        if !self.store.decided.contains(&under) {
            let text = format!("{txn:?} is committed for {under}, which no pointer has named");
            return Err(self.violate(text));
        }
        match self.store.pending.remove(&txn) {
            Some((_, rows)) => {
                if self.has(Bug::NamesReused) {
                    self.store.committed.insert(txn, rows);
                } else if self.store.committed.insert(txn, rows).is_some() {
                    return Err(self.violate(format!("{txn:?} is written twice")));
                }
            }
            None if self.store.committed.contains_key(&txn) => {
                if self.has(Bug::CommitNotIdempotent) {
                    let rows = self.store.committed[&txn].clone();
                    self.store.repeated.extend(rows);
                }
            }
            None if epoch < self.store.epoch() => return Err("fenced".to_owned()),
            None => return Err(self.violate(format!("the results {txn:?} are lost"))),
        }
        Ok(())
    }
}

/// TaskManagers with slots for the job, all together at least: some jobs need each of them, in
/// others the rest can do without one that is lost.
fn task_managers(plan: &Plan, rng: &mut Rng) -> Vec<TaskManager> {
    let widest = plan.parallelism.iter().flatten().copied().max();
    let needed = widest.unwrap_or(1);
    let count = u32::try_from(plan.task_managers).unwrap_or(1).max(1);
    let least = needed.div_ceil(count);
    let slots = |rng: &mut Rng| match rng.chance(500) {
        true => needed,
        false => least,
    };
    (0..plan.task_managers)
        .map(|tm| TaskManager::new(tm, slots(rng)))
        .collect()
}

fn brief(pointer: &Pointer) -> String {
    let latest = pointer.latest.as_ref().map(|latest| latest.id.0);
    format!(
        "deployment {} epoch {} latest {latest:?} {:?} nonce {:x}",
        pointer.deployment,
        pointer.epoch,
        pointer.run_state,
        pointer.nonce & 0xFFFF
    )
}
