//! One connection with a JobMaster, from being taken in to its end.
//!
//! The loop never waits for a subtask, and subtasks wait for the loop only when thousands of their
//! sayings are unread. Telling the JobMaster may wait for room; the JobMaster never waits for a
//! TaskManager, so the two cannot block each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use weir_graph::{ExecutionState, Fingerprint};
use weir_network::Exchange;
use weir_rpc::{
    Fenced, GatewayError, JobResult, Registered, TaskDeploymentDescriptor, TaskExecutorCommand,
    TaskExecutorEvent, TaskExecutorInbox, TaskManagerMessage,
};
use weir_task::{Program, TaskEnvironment, TaskHandle, launch};
use weir_types::{Clock, ExecutionAttemptId, Fault, Timestamp};

use crate::convert;
use crate::events::{EventQueue, TaskEvent};
use crate::memory::MemoryModel;
use crate::service::{StopSignal, TaskManager};

/// How a session ended.
#[derive(Debug)]
pub(crate) enum Ended {
    Job(JobResult),
    Dismissed(String),
    Lost(String),
    Stopped,
}

pub(crate) struct Session {
    registered: Registered,
    program: Arc<Program>,
    exchange: Exchange,
    clock: Arc<dyn Clock>,
    memory: MemoryModel,
    queue: Arc<EventQueue>,
    events: mpsc::Receiver<TaskEvent>,
    tasks: BTreeMap<ExecutionAttemptId, TaskHandle>,
    last_heard: Timestamp,
}

impl Session {
    pub(crate) fn new(
        taskmanager: &TaskManager,
        registered: Registered,
        program: Arc<Program>,
        exchange: Exchange,
    ) -> Self {
        let (queue, events) = EventQueue::new();
        Self {
            registered,
            program,
            exchange,
            clock: Arc::clone(&taskmanager.clock),
            memory: taskmanager.options.memory,
            queue: Arc::new(queue),
            events,
            tasks: BTreeMap::new(),
            last_heard: taskmanager.clock.now(),
        }
    }

    /// Works until the session is over; all its subtasks have ended then.
    pub(crate) async fn run(
        mut self,
        fingerprint: Fingerprint,
        mut inbox: TaskExecutorInbox,
        stop: &mut StopSignal,
    ) -> Ended {
        let ended = match self.tell(TaskManagerMessage::Ready { fingerprint }).await {
            Ok(()) => self.work(&mut inbox, stop).await,
            Err(error) => Ended::Lost(error.to_string()),
        };
        self.cancel_all().await;
        ended
    }

    async fn work(&mut self, inbox: &mut TaskExecutorInbox, stop: &mut StopSignal) -> Ended {
        let mut beat = tokio::time::interval(self.registered.job.heartbeat_interval);
        loop {
            // Each branch only takes something from a queue, which loses nothing when dropped;
            // all work is done after one was chosen.
            let turn = tokio::select! {
                biased;
                () = &mut *stop => return Ended::Stopped,
                event = inbox.next() => Turn::Told(event),
                event = self.events.recv() => Turn::Task(event),
                _ = beat.tick() => Turn::Beat,
            };
            let done = match turn {
                Turn::Told(TaskExecutorEvent::Command(command)) => self.obey(command).await,
                Turn::Told(TaskExecutorEvent::Disconnected(reason)) => Err(Ended::Lost(reason)),
                Turn::Task(Some(event)) => self.pass_on(event).await,
                Turn::Task(None) => Ok(()),
                Turn::Beat => self.heartbeat().await,
            };
            if let Err(ended) = done {
                return ended;
            }
        }
    }

    async fn obey(&mut self, command: Fenced<TaskExecutorCommand>) -> Result<(), Ended> {
        self.last_heard = self.clock.now();
        let command = match command.open(self.registered.job.epoch) {
            Ok(command) => command,
            Err(error) => {
                tracing::warn!(%error, "refused a command");
                return Ok(());
            }
        };
        match command {
            TaskExecutorCommand::Deploy(task) => return self.deploy(*task).await,
            TaskExecutorCommand::Cancel(attempt) => self.with_task(attempt, TaskHandle::cancel),
            TaskExecutorCommand::Commit { attempt, commit } => {
                self.with_task(attempt, |task| task.commit(convert::commit(commit)));
            }
            TaskExecutorCommand::Split { attempt, node, response } => {
                self.with_task(attempt, |task| task.split_answer(node, convert::split(response)));
            }
            TaskExecutorCommand::Heartbeat => {}
            TaskExecutorCommand::Dismissed { reason } => return Err(Ended::Dismissed(reason)),
            TaskExecutorCommand::JobEnded(result) => return Err(Ended::Job(result)),
        }
        Ok(())
    }

    /// A subtask that is gone has said so; what was meant for it is void.
    fn with_task(&self, attempt: ExecutionAttemptId, call: impl FnOnce(&TaskHandle)) {
        if let Some(task) = self.tasks.get(&attempt) {
            call(task);
        }
    }

    async fn deploy(&mut self, task: TaskDeploymentDescriptor) -> Result<(), Ended> {
        let attempt = task.attempt;
        if self.tasks.contains_key(&attempt) {
            tracing::warn!(%attempt, "refused to deploy a subtask twice");
            return Ok(());
        }
        let deployment = convert::deployment(task);
        let channels = deployment.inputs.iter().map(|input| input.producers.len()).sum::<usize>();
        let environment = TaskEnvironment {
            exchange: self.exchange.clone(),
            clock: Arc::clone(&self.clock),
            events: Arc::clone(&self.queue) as _,
            channel_window_bytes: Some(self.memory.window_bytes(channels)),
        };
        match launch(deployment, Arc::clone(&self.program), environment) {
            Ok(handle) => {
                self.tasks.insert(attempt, handle);
                Ok(())
            }
            Err(fault) => self.tell_state(attempt, ExecutionState::Failed, Some(fault)).await,
        }
    }

    async fn pass_on(&mut self, event: TaskEvent) -> Result<(), Ended> {
        match event {
            TaskEvent::State { attempt, state, fault } => {
                self.tell_state(attempt, state, fault).await
            }
            TaskEvent::RequestSplit { attempt, node } => {
                self.tell_or_lose(TaskManagerMessage::RequestSplit { attempt, node }).await
            }
            TaskEvent::EndOfInput { attempt } => {
                self.tell_or_lose(TaskManagerMessage::EndOfInput { attempt }).await
            }
        }
    }

    async fn tell_state(
        &mut self,
        attempt: ExecutionAttemptId,
        state: ExecutionState,
        fault: Option<Fault>,
    ) -> Result<(), Ended> {
        let ended = state.is_terminal().then(|| self.tasks.remove(&attempt)).flatten();
        let metrics =
            ended.map(|task| convert::metrics(attempt, task.metrics(), self.clock.now()));
        self.tell_or_lose(TaskManagerMessage::TaskState { attempt, state, fault, metrics }).await
    }

    async fn heartbeat(&mut self) -> Result<(), Ended> {
        let now = self.clock.now();
        let silence = now.since(self.last_heard);
        if silence > self.registered.job.heartbeat_timeout {
            return Err(Ended::Lost(format!("the JobManager was silent for {silence:?}")));
        }
        let tasks = self
            .tasks
            .iter()
            .map(|(attempt, task)| convert::metrics(*attempt, task.metrics(), now))
            .collect();
        self.tell_or_lose(TaskManagerMessage::Heartbeat { tasks }).await
    }

    async fn tell_or_lose(&self, message: TaskManagerMessage) -> Result<(), Ended> {
        self.tell(message).await.map_err(|error| Ended::Lost(error.to_string()))
    }

    async fn tell(&self, message: TaskManagerMessage) -> Result<(), GatewayError> {
        let message = Fenced::new(self.registered.job.epoch, message);
        self.registered.session.tell(message).await
    }

    /// Stops all subtasks and waits until each has released everything. User code that neither
    /// returns nor sends cannot be stopped: it is waited for, and named.
    async fn cancel_all(&mut self) {
        for task in self.tasks.values() {
            task.cancel();
        }
        while !self.tasks.is_empty() {
            let patience = std::time::Duration::from_secs(10);
            match tokio::time::timeout(patience, self.events.recv()).await {
                Ok(Some(TaskEvent::State { attempt, state, .. })) if state.is_terminal() => {
                    self.tasks.remove(&attempt);
                }
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(_) => {
                    let names: Vec<String> = self.tasks.keys().map(ToString::to_string).collect();
                    tracing::warn!(?names, "subtasks do not stop: their code does not return");
                }
            }
        }
    }
}

enum Turn {
    Told(TaskExecutorEvent),
    Task(Option<TaskEvent>),
    Beat,
}
