//! A TaskManager: it looks for a leader, runs what that tells it to, and cancels everything when it
//! loses that leader. Its messages are the product's.

use weir_graph::ExecutionState;
use weir_rpc::{
    ANY_DEPLOYMENT, CommitRequest, ConnectionId, Fenced, PROTOCOL_VERSION, Registration,
    SplitResponse, TaskDeploymentDescriptor, TaskExecutorCommand, TaskManagerMessage, VERSION,
};
use weir_types::{Epoch, ExecutionAttemptId, TaskManagerId};

use crate::graph::{Parallelism, fingerprint};
use crate::message::{Answer, Event, ToTm};
use crate::plan::{Ms, Point};
use crate::task::Task;
use crate::world::{World, to_tm};

pub(crate) const TICK: Ms = 15;
pub(crate) const HEARTBEAT_TIMEOUT: Ms = 60;
/// How long tasks have for noticing that they are cancelled.
pub(crate) const CANCELLATION_TIMEOUT: Ms = 80;
/// How long it waits for an answer before it asks again.
const ANSWER_TIMEOUT: Ms = 40;

/// What it does.
#[derive(Clone, Copy, Debug)]
enum State {
    /// It looks for a leader, and may wait for an answer since then.
    Looking(Option<(ConnectionId, Ms)>),
    /// It works for a leader.
    Serving(Service),
    /// It has lost its leader, and waits for its tasks to end.
    Stopping(Ms),
    /// Its process has ended and is to be started again.
    Gone,
}

/// Whom it works for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service {
    pub(crate) connection: ConnectionId,
    pub(crate) epoch: Epoch,
    parallelism: Parallelism,
    heard: Ms,
}

pub(crate) struct TaskManager {
    index: usize,
    pub(crate) life: u32,
    slots: u32,
    /// Its name towards JobManagers; a new one whenever it starts anew.
    id: TaskManagerId,
    state: State,
}

impl TaskManager {
    pub(crate) fn new(index: usize, slots: u32) -> Self {
        Self {
            index,
            life: 0,
            slots,
            id: TaskManagerId(index as u128),
            state: State::Looking(None),
        }
    }

    pub(crate) fn describe(&self) -> String {
        format!(
            "tm {} with {} slots: {:?}",
            self.index, self.slots, self.state
        )
    }

    /// Whom it works for, if it does.
    pub(crate) fn service(&self) -> Option<Service> {
        match self.state {
            State::Serving(service) => Some(service),
            _ => None,
        }
    }

    fn connection(&self) -> Option<ConnectionId> {
        match self.state {
            State::Looking(asked) => asked.map(|(connection, _)| connection),
            State::Serving(service) => Some(service.connection),
            State::Stopping(_) | State::Gone => None,
        }
    }

    fn registration(&self) -> Registration {
        let machine = u8::try_from(self.index).unwrap_or(u8::MAX);
        Registration {
            protocol: PROTOCOL_VERSION,
            version: VERSION.to_owned(),
            id: self.id,
            name: format!("tm-{}", self.index),
            deployment: ANY_DEPLOYMENT,
            slots: self.slots,
            data_address: Some(([10, 0, 0, machine], 6_000).into()),
        }
    }

    fn new_id(world: &mut World, tm: usize) {
        world.registrations += 1;
        world.tms[tm].id = TaskManagerId(1_000 + u128::from(world.registrations));
    }

    /// The process is killed, or ends. It is started again.
    pub(crate) fn kill(world: &mut World, tm: usize) {
        let tasks = world.tasks.values().filter(|task| task.tm == tm);
        let attempts: Vec<_> = tasks.map(|task| task.attempt).collect();
        for attempt in attempts {
            if let Some(task) = world.tasks.remove(&attempt) {
                task.killed(world);
            }
        }
        // The machine may be gone with it, and say nothing.
        if let Some(connection) = world.tms[tm].connection()
            && world.rng.chance(600)
        {
            world.close_from_tm(connection);
        }
        Self::new_id(world, tm);
        let this = &mut world.tms[tm];
        this.life += 1;
        this.state = State::Gone;
        let life = this.life;
        let delay = world.rng.between(3, 40);
        let event = Event::Restart {
            jm: false,
            index: tm,
            life,
        };
        world.push(delay, event);
    }

    /// Cancels tasks, some of which, so many of a thousand, notice it late and go on meanwhile.
    fn cancel_slowly(world: &mut World, tm: usize, late: u64, which: impl Fn(&Task) -> bool) {
        let tasks = world.tasks.values();
        let tasks = tasks.filter(|task| task.tm == tm && which(task));
        let attempts: Vec<_> = tasks.map(|task| task.attempt).collect();
        for attempt in attempts {
            let late = world.rng.chance(late);
            let delay = match world.rng.below(3) {
                _ if late => world.rng.below(300),
                0 => world.rng.below(30),
                _ => 0,
            };
            world.push(delay, Event::Cancelled(attempt));
        }
    }

    /// It works for nobody any more: all its tasks are to end, and it comes back under another
    /// name.
    fn lose_leader(world: &mut World, tm: usize) {
        if let Some(connection) = world.tms[tm].connection() {
            world.close_from_tm(connection);
        }
        // The product waits for the end of its tasks. Nothing may depend on it.
        let waits = world.rng.chance(500);
        let late = if waits { 50 } else { 800 };
        Self::cancel_slowly(world, tm, late, |_| true);
        Self::new_id(world, tm);
        world.tms[tm].state = match waits {
            true => State::Stopping(world.now),
            false => State::Looking(None),
        };
    }

    pub(crate) fn on_message(world: &mut World, tm: usize, message: ToTm) {
        let own = world.tms[tm].connection();
        match message {
            ToTm::Tick => Self::tick(world, tm),
            ToTm::Answer(connection, answer) => {
                if matches!(world.tms[tm].state, State::Looking(_)) && own == Some(connection) {
                    Self::answered(world, tm, connection, answer);
                }
            }
            ToTm::Command(connection, command) => {
                if let State::Serving(service) = &mut world.tms[tm].state
                    && service.connection == connection
                {
                    service.heard = world.now;
                    let service = *service;
                    Self::command(world, tm, service, *command);
                }
            }
            ToTm::Disconnected(connection) => {
                if own != Some(connection) {
                    return;
                }
                match world.tms[tm].state {
                    State::Serving(_) => Self::lose_leader(world, tm),
                    State::Looking(_) => world.tms[tm].state = State::Looking(None),
                    State::Stopping(_) | State::Gone => {}
                }
            }
        }
    }

    fn answered(world: &mut World, tm: usize, connection: ConnectionId, answer: Answer) {
        match answer {
            Answer::Accepted(epoch, parallelism) => {
                let heard = world.now;
                world.tms[tm].state = State::Serving(Service {
                    connection,
                    epoch,
                    parallelism,
                    heard,
                });
                let fingerprint = fingerprint();
                world.say(connection, epoch, TaskManagerMessage::Ready { fingerprint });
            }
            Answer::Refused(reason) => {
                world.note(|| format!("tm {tm} is refused: {reason}"));
                Self::kill(world, tm);
            }
            Answer::JobEnded => Self::kill(world, tm),
        }
    }

    fn tick(world: &mut World, tm: usize) {
        let (now, this) = (world.now, &world.tms[tm]);
        let silent = |since: Ms, limit: Ms| now.saturating_sub(since) > limit;
        match this.state {
            State::Serving(service) if silent(service.heard, HEARTBEAT_TIMEOUT) => {
                Self::lose_leader(world, tm);
            }
            State::Serving(service) => {
                let tasks = Vec::new();
                let beat = TaskManagerMessage::Heartbeat { tasks };
                world.say(service.connection, service.epoch, beat);
            }
            State::Stopping(since) => {
                if !world.tasks.values().any(|task| task.tm == tm) {
                    world.tms[tm].state = State::Looking(None);
                } else if silent(since, CANCELLATION_TIMEOUT) {
                    Self::kill(world, tm);
                    return;
                }
            }
            State::Looking(Some((connection, since))) if silent(since, ANSWER_TIMEOUT) => {
                world.close_from_tm(connection);
                world.tms[tm].state = State::Looking(None);
            }
            State::Looking(_) => {}
            State::Gone => return,
        }
        if let State::Looking(None) = world.tms[tm].state
            && let Some(holder) = world.lease.holder
        {
            let registration = world.tms[tm].registration();
            let connection = world.dial(tm, holder, registration);
            world.tms[tm].state = State::Looking(Some((connection, now)));
        }
        let life = world.tms[tm].life;
        world.push(TICK, to_tm(tm, life, ToTm::Tick));
    }

    /// The process is there again.
    pub(crate) fn begin(world: &mut World, tm: usize, life: u32) {
        if world.tms[tm].life == life {
            world.tms[tm].state = State::Looking(None);
            world.push(0, to_tm(tm, life, ToTm::Tick));
        }
    }

    fn command(
        world: &mut World,
        tm: usize,
        service: Service,
        command: Fenced<TaskExecutorCommand>,
    ) {
        let Ok(command) = command.open(service.epoch) else {
            return;
        };
        match command {
            TaskExecutorCommand::Deploy(task) => Self::deploy(world, tm, service, *task),
            TaskExecutorCommand::Cancel(attempt) => {
                Self::cancel_slowly(world, tm, 50, |task| task.attempt == attempt);
            }
            TaskExecutorCommand::TriggerCheckpoint {
                attempt,
                barrier,
                then,
            } => Self::with(world, tm, attempt, |task, world| {
                task.trigger(world, barrier, then)
            }),
            TaskExecutorCommand::AbortCheckpoint {
                attempt,
                checkpoint,
            } => Self::with(world, tm, attempt, |task, world| {
                task.aborted(world, checkpoint)
            }),
            TaskExecutorCommand::Commit { attempt, commit } => {
                if let CommitRequest::Checkpoint { id, last } = commit {
                    Self::with(world, tm, attempt, |task, world| {
                        task.completed(world, id, last)
                    });
                }
            }
            TaskExecutorCommand::Split {
                attempt, response, ..
            } => {
                let split = match response {
                    SplitResponse::Split(bytes) => bytes.first().copied(),
                    SplitResponse::NotYet(_) | SplitResponse::NoMore => None,
                };
                Self::with(world, tm, attempt, |task, world| {
                    task.assign(world, split);
                    Ok(())
                });
            }
            TaskExecutorCommand::Heartbeat => {}
            TaskExecutorCommand::Dismissed { .. } | TaskExecutorCommand::JobEnded(_) => {
                Self::kill(world, tm);
            }
        }
    }

    fn deploy(
        world: &mut World,
        tm: usize,
        service: Service,
        descriptor: TaskDeploymentDescriptor,
    ) {
        let attempt = descriptor.attempt;
        let task = Task::new(tm, descriptor, service.parallelism);
        world.add_task(task);
        world.with_task(attempt, |task, world| {
            task.tell_state(world, ExecutionState::Initializing);
            world.at_task_point(task.tm, Point::Deployed)?;
            world.schedule_step(task);
            Ok(())
        });
    }

    /// Lets the task do something that this is for.
    fn with(
        world: &mut World,
        tm: usize,
        attempt: ExecutionAttemptId,
        work: impl Fn(&mut Task, &mut World) -> Result<(), String>,
    ) {
        let tasks = world.tasks.values().filter(|task| task.tm == tm);
        let here: Vec<_> = tasks.map(|task| task.attempt).collect();
        let meant: Vec<_> = world.taken_for(attempt, here.into_iter()).collect();
        for attempt in meant {
            world.with_task(attempt, &work);
        }
    }
}
