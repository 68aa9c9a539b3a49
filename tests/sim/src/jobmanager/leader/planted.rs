//! Bugs that are planted between the JobMaster and the world: what it hears and says is altered on
//! the way, so that together they behave as if the bug were in one of them.

use std::collections::BTreeSet;

use weir_graph::ExecutionState;
use weir_jobmanager::job_master::Event;
use weir_rpc::{
    ConnectionId, Fenced, FencedBody, TaskDeploymentDescriptor, TaskExecutorCommand,
    TaskManagerMessage,
};
use weir_types::{Epoch, ExecutionAttemptId};

use super::Leader;
use super::acting::Todo;
use crate::bug::Bug;
use crate::graph::region_of;
use crate::world::World;

/// What is needed for regions that run on, although the JobMaster has all of them restarted.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Sources were told to end.
    pub(super) drains: bool,
    /// Tasks were told that the last checkpoint is complete.
    pub(super) ends: bool,
    /// Those in which something has failed, as the JobMaster is about to hear.
    failed: BTreeSet<usize>,
    /// Those that run on.
    regions: BTreeSet<usize>,
    /// Their tasks, which the JobMaster takes for cancelled.
    tasks: Vec<(ConnectionId, ExecutionAttemptId)>,
}

impl Kept {
    pub(super) fn note_failure(&mut self, message: &TaskManagerMessage) {
        self.failed.clear();
        if let TaskManagerMessage::TaskState {
            attempt,
            state: ExecutionState::Failed,
            ..
        } = message
        {
            self.failed.insert(region_of(attempt.vertex));
        }
        self.regions.retain(|kept| !self.failed.contains(kept));
    }
}

/// The message, as if it came from another attempt.
fn from_attempt(message: TaskManagerMessage, other: ExecutionAttemptId) -> TaskManagerMessage {
    let mut message = message;
    match &mut message {
        TaskManagerMessage::Ready { .. } | TaskManagerMessage::Heartbeat { .. } => {}
        TaskManagerMessage::TaskState { attempt, .. }
        | TaskManagerMessage::RequestSplit { attempt, .. }
        | TaskManagerMessage::EndOfInput { attempt }
        | TaskManagerMessage::CheckpointAcknowledged { attempt, .. }
        | TaskManagerMessage::CheckpointDeclined { attempt, .. }
        | TaskManagerMessage::Committed { attempt, .. } => *attempt = other,
    }
    message
}

impl Leader {
    /// What a TaskManager says, as the JobMaster hears it.
    pub(super) fn as_heard(
        &self,
        world: &World,
        (connection, epoch, message): (ConnectionId, Epoch, TaskManagerMessage),
    ) -> (ConnectionId, Epoch, TaskManagerMessage) {
        let unfenced = world.has(Bug::AnyAttempt) || world.has(Bug::AnyEpoch);
        let Some(attempt) = message.attempt().filter(|_| unfenced) else {
            return (connection, epoch, message);
        };
        let Some((newest, home)) = self.deployed.get(&(attempt.vertex, attempt.subtask)) else {
            return (connection, epoch, message);
        };
        let taken = world.taken_for(attempt, [*newest].into_iter()).next();
        match taken {
            Some(newest) => (*home, self.epoch, from_attempt(message, newest)),
            None => (connection, epoch, message),
        }
    }

    /// A TaskManager is lost, as the JobMaster is about to hear or has found out.
    pub(super) fn note_lost(&mut self, connection: ConnectionId) {
        let there = self
            .deployed
            .values()
            .filter(|(_, home)| *home == connection);
        let regions = there.map(|(attempt, _)| region_of(attempt.vertex));
        let failed: BTreeSet<usize> = regions.collect();
        self.kept.regions.retain(|kept| !failed.contains(kept));
        self.kept.failed = failed;
    }

    pub(super) fn keeps_enumerator(&self, region: usize) -> bool {
        self.kept.regions.contains(&region)
    }

    /// What the JobMaster says, as it is done.
    pub(super) fn as_told(
        &mut self,
        world: &mut World,
        connection: ConnectionId,
        command: TaskExecutorCommand,
        todo: &mut Vec<Todo>,
    ) {
        match command {
            TaskExecutorCommand::Cancel(attempt) => {
                let region = region_of(attempt.vertex);
                let apart = (world.has(Bug::DrainedApart) && self.kept.drains)
                    || (world.has(Bug::FinishedLeftBehind) && self.kept.ends);
                if apart && !self.kept.failed.is_empty() {
                    self.kept.regions = (0..world.plan.regions).collect();
                }
                self.kept
                    .regions
                    .retain(|kept| !self.kept.failed.contains(kept));
                if self.kept.regions.contains(&region) {
                    self.kept.tasks.push((connection, attempt));
                    let canceled = ExecutionState::Canceled;
                    todo.push(self.pretend(connection, attempt, canceled));
                } else {
                    todo.push(Todo::Tell(connection, command));
                }
            }
            TaskExecutorCommand::Deploy(task) => {
                (self.kept.drains, self.kept.ends) = (false, false);
                let region = region_of(task.attempt.vertex);
                if self.kept.regions.contains(&region) {
                    self.run_on(world, connection, &task, todo);
                } else {
                    self.cancel_kept(region, todo);
                    let command = TaskExecutorCommand::Deploy(task);
                    todo.push(Todo::Tell(connection, command));
                }
            }
            command => todo.push(Todo::Tell(connection, command)),
        }
    }

    /// A region cannot run on, as something has failed in it since.
    fn cancel_kept(&mut self, region: usize, todo: &mut Vec<Todo>) {
        let tasks = self.kept.tasks.iter();
        let tasks = tasks.filter(|(_, attempt)| region_of(attempt.vertex) == region);
        todo.extend(tasks.map(|(connection, attempt)| {
            Todo::Tell(*connection, TaskExecutorCommand::Cancel(*attempt))
        }));
        self.kept
            .tasks
            .retain(|(_, attempt)| region_of(attempt.vertex) != region);
    }

    /// After all of a turn's commands.
    pub(super) fn forget_kept(&mut self, todo: &[Todo]) {
        let deploys = |todo: &Todo| matches!(todo, Todo::Tell(_, TaskExecutorCommand::Deploy(_)));
        if todo.iter().any(deploys) {
            self.kept.regions.clear();
            self.kept.tasks.clear();
        }
    }

    fn pretend(
        &self,
        connection: ConnectionId,
        attempt: ExecutionAttemptId,
        state: ExecutionState,
    ) -> Todo {
        let (fault, metrics) = (None, None);
        self.pretend_message(
            connection,
            TaskManagerMessage::TaskState {
                attempt,
                state,
                fault,
                metrics,
            },
        )
    }

    fn pretend_message(&self, connection: ConnectionId, message: TaskManagerMessage) -> Todo {
        Todo::Pretend(Event::Message {
            connection,
            message: Box::new(Fenced::new(self.epoch, message)),
        })
    }

    /// The task before takes the place of the one that is to be started. If it has finished, there
    /// is none.
    fn run_on(
        &mut self,
        world: &mut World,
        connection: ConnectionId,
        task: &TaskDeploymentDescriptor,
        todo: &mut Vec<Todo>,
    ) {
        let attempt = task.attempt;
        let subtask = (attempt.vertex, attempt.subtask);
        let before = self.deployed.insert(subtask, (attempt, connection));
        self.stopped.remove(&subtask);
        let Some((before, _)) = before else {
            return;
        };
        let Some(tm) = world.home_of(connection) else {
            return;
        };
        let Some(has_read_all) = world.rename_task(before, attempt, tm) else {
            return;
        };
        for state in [ExecutionState::Initializing, ExecutionState::Running] {
            todo.push(self.pretend(connection, attempt, state));
        }
        if has_read_all {
            let end = TaskManagerMessage::EndOfInput { attempt };
            todo.push(self.pretend_message(connection, end));
        }
    }
}
