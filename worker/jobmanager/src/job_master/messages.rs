//! What TaskManagers say, and whether it counts: only from those that were taken in, only about
//! what runs there, only in this epoch.

use weir_checkpoint::coordinator;
use weir_graph::{Fingerprint, NodeId};
use weir_rpc::{
    ConnectionId, Fenced, Registration, TaskExecutorCommand, TaskManagerMessage, TaskMetricsReport,
};
use weir_types::{ExecutionAttemptId, TaskManagerId};

use super::{Action, JobMaster, Now};

impl JobMaster {
    pub(super) fn register(
        &mut self,
        now: Now,
        connection: ConnectionId,
        registration: Registration,
        actions: &mut Vec<Action>,
    ) {
        if let Some(result) = self.result.clone() {
            actions.push(Action::TurnAway { connection, result });
            return;
        }
        let name = registration.name.clone();
        match self
            .task_managers
            .register(connection, registration, now.at, now.unix_ms)
        {
            Ok(_) => actions.push(Action::Accept { connection }),
            Err(reason) => {
                actions.push(Action::Say(format!(
                    "refuse TaskManager `{name}`: {reason}"
                )));
                actions.push(Action::Refuse { connection, reason });
            }
        }
    }

    pub(super) fn message(
        &mut self,
        now: Now,
        connection: ConnectionId,
        message: Fenced<TaskManagerMessage>,
        actions: &mut Vec<Action>,
    ) {
        // A connection that was given up may still have messages in the queue.
        let Some(task_manager) = self.task_managers.of_connection(connection) else {
            return;
        };
        let id = task_manager.id;
        let message = match message.open(self.config.epoch) {
            Ok(message) => message,
            Err(error) => {
                actions.push(Action::Note(format!("TaskManager {id}: {error}")));
                return;
            }
        };
        task_manager.last_seen = now.at;
        match message {
            TaskManagerMessage::Ready { fingerprint } => {
                self.ready(now, id, &fingerprint, actions);
            }
            TaskManagerMessage::Heartbeat { tasks } => {
                self.report(tasks, id, now);
            }
            TaskManagerMessage::TaskState {
                attempt,
                state,
                fault,
                metrics,
            } => {
                if !self.runs_on(attempt, id) {
                    actions.push(Action::Note(format!("{attempt} is not a task of {id}")));
                    return;
                }
                self.report(metrics.filter(|report| report.attempt == attempt), id, now);
                let fault = fault.map(|fault| self.task_managers.with_places(fault, id));
                let update = self.graph.update(attempt, state, fault, now.unix_ms);
                self.follow_if_valid(update, now, actions);
            }
            TaskManagerMessage::RequestSplit { attempt, node } => {
                self.request_split(attempt, node, id, actions);
            }
            TaskManagerMessage::EndOfInput { attempt } => {
                if self.runs_on(attempt, id) {
                    let update = self.graph.end_of_input(attempt, now.unix_ms);
                    self.follow_if_valid(update, now, actions);
                }
            }
            TaskManagerMessage::CheckpointAcknowledged {
                attempt,
                checkpoint,
                state,
                metrics,
            } => {
                let event = coordinator::Event::Acknowledged {
                    id: checkpoint,
                    attempt,
                    state,
                    metrics,
                };
                self.of_checkpoint(now, (attempt, id), event, actions);
            }
            TaskManagerMessage::CheckpointDeclined {
                attempt,
                checkpoint,
                why,
            } => {
                let event = coordinator::Event::Declined {
                    id: checkpoint,
                    attempt,
                    why,
                };
                self.of_checkpoint(now, (attempt, id), event, actions);
            }
            TaskManagerMessage::Committed {
                attempt,
                checkpoint,
            } => {
                let event = coordinator::Event::Committed {
                    id: checkpoint,
                    attempt,
                };
                self.of_checkpoint(now, (attempt, id), event, actions);
            }
        }
    }

    /// Takes in the counters of subtasks that run there.
    fn report(
        &mut self,
        reports: impl IntoIterator<Item = TaskMetricsReport>,
        id: TaskManagerId,
        now: Now,
    ) {
        for report in reports {
            if self.runs_on(report.attempt, id) {
                self.metrics.report(report, now.at);
            }
        }
    }

    /// A subtask says something of a checkpoint, if it runs where that comes from.
    fn of_checkpoint(
        &mut self,
        now: Now,
        (attempt, id): (ExecutionAttemptId, TaskManagerId),
        event: coordinator::Event,
        actions: &mut Vec<Action>,
    ) {
        if self.runs_on(attempt, id) {
            self.tell_coordinator(now, event, actions);
        }
    }

    fn ready(
        &mut self,
        now: Now,
        id: TaskManagerId,
        fingerprint: &Fingerprint,
        actions: &mut Vec<Action>,
    ) {
        let Some(task_manager) = self.task_managers.get_mut(id) else {
            return;
        };
        let (connection, slots) = (task_manager.connection, task_manager.slots);
        let differences = self.config.fingerprint.differences(fingerprint);
        if differences.is_empty() {
            task_manager.ready = true;
            self.slots.add(id, slots);
            self.deploy_if_possible(now, actions);
            return;
        }
        let reason = format!(
            "it has built another program than the JobManager ({}): run the same executable on \
             both",
            differences.join(", ")
        );
        let command = TaskExecutorCommand::Dismissed {
            reason: reason.clone(),
        };
        actions.push(self.tell(connection, command));
        self.lose(now, id, &reason, actions);
    }

    fn request_split(
        &mut self,
        attempt: ExecutionAttemptId,
        node: NodeId,
        id: TaskManagerId,
        actions: &mut Vec<Action>,
    ) {
        let vertex = self.graph.job().vertex(attempt.vertex);
        let reads = vertex.is_some_and(|vertex| vertex.is_source() && vertex.head().node == node);
        if !reads || !self.is_live(attempt) || !self.runs_on(attempt, id) {
            actions.push(Action::Note(format!(
                "{attempt} asks for a split of source {node}"
            )));
            return;
        }
        actions.push(Action::FindSplit { node, attempt });
    }
}
