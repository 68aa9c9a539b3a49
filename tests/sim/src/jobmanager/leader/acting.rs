//! What the JobMaster says is done, in order; the leader may be killed or stopped at each step.

use weir_checkpoint::coordinator::Then;
use weir_checkpoint::pointer::RunState;
use weir_jobmanager::job_master::{Action, Event, Preparation};
use weir_rpc::{
    CommitRequest, ConnectionId, JobResult, TaskDeploymentDescriptor, TaskExecutorCommand,
};
use weir_types::CheckpointId;

use super::{Ended, Leader, Me, storing};
use crate::message::{Answer, ToJm};
use crate::plan::Point;
use crate::world::{AtPoint, World, to_jm};

/// Something that is to be done.
pub(super) enum Todo {
    Tell(ConnectionId, TaskExecutorCommand),
    Act(Action),
    /// Tell the JobMaster something that only seems to have happened: a planted bug.
    Pretend(Event),
}

/// What is done: several commands may be part of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Trigger(CheckpointId),
    WriteMetadata(CheckpointId),
    WritePointer(u128),
    Complete(CheckpointId),
    Deploy,
    Cancel,
}

impl Step {
    fn of(todo: &Todo) -> Option<Self> {
        match todo {
            Todo::Tell(_, TaskExecutorCommand::TriggerCheckpoint { barrier, .. }) => {
                Some(Self::Trigger(barrier.id))
            }
            Todo::Tell(
                _,
                TaskExecutorCommand::Commit {
                    commit: CommitRequest::Checkpoint { id, .. },
                    ..
                },
            ) => Some(Self::Complete(*id)),
            Todo::Tell(_, TaskExecutorCommand::Deploy(_)) => Some(Self::Deploy),
            Todo::Tell(_, TaskExecutorCommand::Cancel(_)) => Some(Self::Cancel),
            Todo::Act(Action::WriteMetadata { metadata, .. }) => {
                Some(Self::WriteMetadata(metadata.id))
            }
            Todo::Act(Action::WritePointer(pointer)) => Some(Self::WritePointer(pointer.nonce)),
            _ => None,
        }
    }

    fn point(self) -> Point {
        match self {
            Self::Trigger(_) => Point::Trigger,
            Self::WriteMetadata(_) => Point::WriteMetadata,
            Self::WritePointer(_) => Point::WritePointer,
            Self::Complete(_) => Point::Complete,
            Self::Deploy => Point::Deploy,
            Self::Cancel => Point::Cancel,
        }
    }
}

impl Leader {
    /// The driver looks at commands, as the bugs are planted in it.
    pub(super) fn open(&mut self, world: &mut World, action: Action, todo: &mut Vec<Todo>) {
        match action {
            Action::Tell {
                connection,
                command,
            } => match command.open(self.epoch) {
                Ok(command) => self.as_told(world, connection, command, todo),
                Err(error) => {
                    world.violate(error.to_string());
                }
            },
            action => todo.push(Todo::Act(action)),
        }
    }

    pub(super) fn count_restarts(&mut self, world: &mut World, todo: &[Todo]) {
        let deployed = todo.iter().filter_map(|todo| match todo {
            Todo::Tell(_, TaskExecutorCommand::Deploy(task)) => Some(task.attempt.attempt.0),
            _ => None,
        });
        let deployed: Vec<u32> = deployed.collect();
        if deployed.iter().any(|attempt| *attempt > 0) {
            world.restarts += 1;
            let all: u32 = self.parallelism.iter().sum();
            let all = all as usize * world.plan.regions;
            world.partial_restarts += u32::from(deployed.len() < all);
        }
    }

    /// `false`: the process is killed before it does this, or stands still.
    pub(super) fn goes_on(&mut self, world: &mut World, me: Me, next: &Todo) -> bool {
        let step = Step::of(next);
        let point = match step {
            Some(step) if self.last == Some(step) => Some(Point::Told),
            Some(step) => Some(step.point()),
            None => None,
        };
        self.last = step;
        let Some(point) = point else {
            return true;
        };
        match world.at_point(me.0, point) {
            AtPoint::GoesOn => true,
            AtPoint::Killed => {
                self.ended = Some(Ended::Killed);
                false
            }
            AtPoint::Stopped => {
                self.resumes = true;
                world.push(0, to_jm(me.0, me.1, ToJm::GoOn));
                false
            }
        }
    }

    pub(super) fn act(&mut self, world: &mut World, me: Me, todo: Todo) {
        let action = match todo {
            Todo::Tell(connection, command) => return self.tell(world, connection, command),
            Todo::Pretend(event) => return self.feed(world, me, event),
            Todo::Act(action) => action,
        };
        match action {
            Action::Prepare(Preparation::Source(node)) => self.prepare(world, me, (node, None)),
            Action::PrepareSource { node, restore } => self.prepare(world, me, (node, restore)),
            Action::Prepare(what) => {
                let (life, result) = (0, Ok(()));
                self.report(world, me, Event::Prepared { what, life, result });
            }
            Action::SnapshotEnumerator { id, node } => self.ask_state(world, me, (id, node)),
            Action::AddSplitsBack { node, splits } => self.give_back(world, me, node, splits),
            Action::FindSplit { node, attempt } => self.find_split(world, me, node, attempt),
            Action::Tell {
                connection,
                command,
            } => {
                if let Ok(command) = command.open(self.epoch) {
                    self.tell(world, connection, command);
                }
            }
            Action::WriteMetadata { path, metadata } => {
                self.collector.writes(path.clone(), &metadata);
                storing::write_metadata(world, me, &path, metadata);
            }
            Action::WritePointer(content) => {
                self.wanted.clone_from(&content);
                self.collector.pointer_writing();
                let action = self.writer.write(*content);
                self.write(world, me, Some(action));
            }
            Action::Accept { connection } => {
                if self.applicants.remove(&connection) {
                    self.executors.insert(connection);
                    let answer = Answer::Accepted(self.epoch, self.parallelism);
                    world.answer_applicant(connection, answer);
                }
            }
            Action::Refuse { connection, reason } => {
                self.applicants.remove(&connection);
                world.answer_applicant(connection, Answer::Refused(reason));
            }
            Action::TurnAway { connection, .. } => {
                self.applicants.remove(&connection);
                world.answer_applicant(connection, Answer::JobEnded);
            }
            Action::HangUp { connection } => {
                self.note_lost(connection);
                if self.executors.remove(&connection) {
                    world.close_from_jm(connection);
                }
            }
            Action::Say(text) | Action::Note(text) => {
                world.note(|| format!("jm {}: {text}", me.0));
            }
            Action::End(result) => self.end(world, me, result),
            Action::ClearCheckpoints => self.clear(world, me),
            // There are checkpoints.
            Action::Withdraw(_) => {
                world.violate("what is published is taken back".to_owned());
            }
        }
    }

    fn tell(&mut self, world: &mut World, connection: ConnectionId, command: TaskExecutorCommand) {
        match &command {
            TaskExecutorCommand::Deploy(task) => {
                let attempt = task.attempt;
                let subtask = (attempt.vertex, attempt.subtask);
                self.stopped.remove(&subtask);
                self.deployed.insert(subtask, (attempt, connection));
                self.check_deployment(world, task);
            }
            TaskExecutorCommand::Cancel(attempt) => {
                self.stopped.insert((attempt.vertex, attempt.subtask));
            }
            TaskExecutorCommand::TriggerCheckpoint { barrier, then, .. } => {
                world.note(|| format!("triggers {} {then:?}", barrier.id));
                self.kept.drains |= *then == Then::Drain;
            }
            TaskExecutorCommand::Commit {
                commit: CommitRequest::Checkpoint { last, .. },
                ..
            } => {
                self.kept.drains = false;
                self.kept.ends |= *last;
            }
            _ => {}
        }
        if self.executors.contains(&connection) {
            world.command(connection, self.epoch, command);
        }
    }

    /// What the product must never tell a TaskManager to start.
    fn check_deployment(&self, world: &mut World, task: &TaskDeploymentDescriptor) {
        if world.decided.contains(&self.epoch) {
            world.violate("a job of which all is committed is started again".to_owned());
        }
        if world.store.epoch() != self.epoch {
            return;
        }
        let newest = world.store.register.as_ref();
        let newest = newest.and_then(|pointer| pointer.latest.as_ref());
        let newest = newest.map(|latest| latest.id);
        let restored = task.restore.as_ref().map(|restore| restore.checkpoint);
        if newest != restored {
            world.violate(format!(
                "{restored:?} is restored, the newest is {newest:?}"
            ));
        }
    }

    fn end(&mut self, world: &mut World, me: Me, result: JobResult) {
        world.note(|| format!("jm {}: the job has ended: {result:?}", me.0));
        let state = self.writer.current().run_state.clone();
        self.ended = Some(if self.fenced {
            Ended::Fenced
        } else if matches!(state, RunState::Running | RunState::Stopping(_)) {
            Ended::Unrecorded
        } else {
            Ended::Over(state)
        });
    }
}
