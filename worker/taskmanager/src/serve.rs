//! Works for one JobMaster, from the acceptance to the end of the job or of the connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};
use weir_graph::{ExecutionState, Fingerprint};
use weir_rpc::{
    CommitRequest, Fenced, JobInfo, JobMasterSession, JobResult, SplitResponse,
    TaskExecutorCommand, TaskExecutorEvent, TaskExecutorInbox, TaskManagerMessage,
};
use weir_stream::source::SplitAnswer;
use weir_task::TaskCommit;
use weir_types::{Clock, ExecutionAttemptId, Fault, Timestamp};

use crate::task_table::{TaskEvent, TaskTable};

/// Why serving came to an end.
pub(crate) enum End {
    /// There is nothing left to do.
    JobEnded(JobResult),
    /// The JobMaster does not want this TaskManager after all.
    Dismissed(String),
    /// The JobMaster cannot be reached, or is another one now.
    Lost(String),
}

/// One connection to a JobMaster, and the tasks that it gave.
pub(crate) struct Server {
    pub(crate) job: JobInfo,
    pub(crate) session: Arc<dyn JobMasterSession>,
    pub(crate) inbox: TaskExecutorInbox,
    pub(crate) events: mpsc::Receiver<TaskEvent>,
    pub(crate) tasks: TaskTable,
    pub(crate) clock: Arc<dyn Clock>,
}

/// A message could not be sent: why the JobMaster is lost.
struct Unsent(String);

impl Server {
    /// Offers the slots and does what it is told, until there is nothing left to do.
    pub(crate) async fn run(&mut self, fingerprint: Fingerprint) -> End {
        match self.serve(fingerprint).await {
            Ok(end) => end,
            Err(Unsent(reason)) => End::Lost(reason),
        }
    }

    async fn serve(&mut self, fingerprint: Fingerprint) -> Result<End, Unsent> {
        self.tell(TaskManagerMessage::Ready { fingerprint }).await?;
        let mut heard = self.clock.now();
        let mut beats = interval(self.job.heartbeat_interval);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Each branch only takes something out of a queue, so none is lost when another wins.
            // What the JobMaster said is looked at before how long it has been silent.
            tokio::select! {
                biased;
                event = self.inbox.next() => {
                    heard = self.clock.now();
                    let command = match event {
                        TaskExecutorEvent::Command(command) => command,
                        TaskExecutorEvent::Disconnected(reason) => return Ok(End::Lost(reason)),
                    };
                    if let Some(end) = self.command(command).await? {
                        return Ok(end);
                    }
                }
                Some(event) = self.events.recv() => self.forward(event).await?,
                _ = beats.tick() => self.beat(heard).await?,
            }
        }
    }

    async fn beat(&mut self, heard: Timestamp) -> Result<(), Unsent> {
        let (now, limit) = (self.clock.now(), self.job.heartbeat_timeout);
        if now.since(heard) > limit {
            return Err(Unsent(format!(
                "no heartbeat for {} s",
                limit.as_secs_f64()
            )));
        }
        let tasks = self.tasks.reports(now);
        self.tell(TaskManagerMessage::Heartbeat { tasks }).await
    }

    /// Sends a message. A JobMaster that takes none for long is as good as gone.
    async fn tell(&self, message: TaskManagerMessage) -> Result<(), Unsent> {
        let message = Fenced::new(self.job.epoch, message);
        match timeout(self.job.heartbeat_timeout, self.session.tell(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Unsent(error.to_string())),
            Err(_) => Err(Unsent("it takes no messages".to_owned())),
        }
    }

    async fn command(
        &mut self,
        command: Fenced<TaskExecutorCommand>,
    ) -> Result<Option<End>, Unsent> {
        let command = match command.open(self.job.epoch) {
            Ok(command) => command,
            Err(error) => {
                tracing::warn!("ignored: {error}");
                return Ok(None);
            }
        };
        match command {
            TaskExecutorCommand::Deploy(task) => {
                let attempt = task.attempt;
                if let Err(fault) = self.tasks.deploy(*task) {
                    self.report_end(attempt, ExecutionState::Failed, Some(fault))
                        .await?;
                }
            }
            TaskExecutorCommand::Cancel(attempt) => self.tasks.cancel(attempt),
            TaskExecutorCommand::Commit { attempt, commit } => {
                let commit = match commit {
                    CommitRequest::Checkpoint { id, last } => TaskCommit::Checkpoint { id, last },
                    CommitRequest::Final => TaskCommit::Final,
                };
                self.tasks.commit(attempt, commit);
            }
            TaskExecutorCommand::Split {
                attempt,
                node,
                response,
            } => {
                let answer = match response {
                    SplitResponse::Split(bytes) => SplitAnswer::Split(bytes),
                    SplitResponse::NotYet(rest) => SplitAnswer::NotYet(rest),
                    SplitResponse::NoMore => SplitAnswer::NoMore,
                };
                self.tasks.split_answer(attempt, node, answer);
            }
            TaskExecutorCommand::TriggerCheckpoint {
                attempt,
                barrier,
                then,
            } => self.tasks.trigger(attempt, barrier, then),
            TaskExecutorCommand::AbortCheckpoint {
                attempt,
                checkpoint,
            } => self.tasks.abort_checkpoint(attempt, checkpoint),
            TaskExecutorCommand::Heartbeat => {}
            TaskExecutorCommand::Dismissed { reason } => return Ok(Some(End::Dismissed(reason))),
            TaskExecutorCommand::JobEnded(result) => return Ok(Some(End::JobEnded(result))),
        }
        Ok(None)
    }

    async fn forward(&mut self, event: TaskEvent) -> Result<(), Unsent> {
        match event {
            TaskEvent::State(attempt, state, fault) if state.is_terminal() => {
                self.report_end(attempt, state, fault).await
            }
            TaskEvent::State(attempt, state, fault) => {
                let metrics = None;
                self.tell(TaskManagerMessage::TaskState {
                    attempt,
                    state,
                    fault,
                    metrics,
                })
                .await
            }
            TaskEvent::RequestSplit(attempt, node) => {
                self.tell(TaskManagerMessage::RequestSplit { attempt, node })
                    .await
            }
            TaskEvent::EndOfInput(attempt) => {
                self.tell(TaskManagerMessage::EndOfInput { attempt }).await
            }
            TaskEvent::Acknowledged(attempt, checkpoint, state, metrics) => {
                self.tell(TaskManagerMessage::CheckpointAcknowledged {
                    attempt,
                    checkpoint,
                    state: *state,
                    metrics,
                })
                .await
            }
            TaskEvent::Declined(attempt, checkpoint, why) => {
                self.tell(TaskManagerMessage::CheckpointDeclined {
                    attempt,
                    checkpoint,
                    why,
                })
                .await
            }
            TaskEvent::Committed(attempt, checkpoint) => {
                self.tell(TaskManagerMessage::Committed {
                    attempt,
                    checkpoint,
                })
                .await
            }
        }
    }

    async fn report_end(
        &mut self,
        attempt: ExecutionAttemptId,
        state: ExecutionState,
        fault: Option<Fault>,
    ) -> Result<(), Unsent> {
        let metrics = self.tasks.ended(attempt, self.clock.now());
        self.tell(TaskManagerMessage::TaskState {
            attempt,
            state,
            fault,
            metrics,
        })
        .await
    }

    /// Cancels all tasks and waits for their end. Gives how many did not stop in time.
    pub(crate) async fn stop_tasks(&mut self, limit: Duration) -> usize {
        self.tasks.cancel_all();
        let all_ended = async {
            while !self.tasks.is_empty() {
                // The tasks hold the other end, so it is open as long as there are any.
                let Some(event) = self.events.recv().await else {
                    return;
                };
                if let TaskEvent::State(attempt, state, _) = event
                    && state.is_terminal()
                {
                    self.tasks.ended(attempt, self.clock.now());
                }
            }
        };
        // Only the waiting can be broken off, not what follows from an event.
        drop(timeout(limit, all_ended).await);
        self.tasks.len()
    }
}
