//! Feeds the JobMaster events, one at a time, and carries out its actions. It decides nothing.
//!
//! One task owns the JobMaster; nothing is shared and nothing is locked. It never waits for a
//! TaskManager, an enumerator or whoever asks, so it is always back at its queues soon.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval};
use weir_rpc::{
    ConnectionId, JobInfo, JobMasterEvent, JobMasterInbox, JobResult, RegisterReply,
    TaskExecutorGateway,
};
use weir_types::{Clock, Timestamp};

use crate::alarm::Alarm;
use crate::checkpoint_store::StoreThread;
use crate::dispatcher::{Question, Wish, answer};
use crate::job_master::{Action, Event, JobMaster, Now, Preparation};
use crate::source_coordinator::SourceCoordinators;

/// Messages that are looked at before time-outs are: a heartbeat that waits in the queue counts.
const MESSAGES_PER_TICK_MAX: usize = 4096;

/// What is overdue is not looked for more often than this.
const SOON: Duration = Duration::from_millis(1);

pub(crate) struct Driver {
    pub(crate) master: JobMaster,
    /// What a TaskManager is told when it is taken in.
    pub(crate) job: JobInfo,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tick: Duration,
    pub(crate) goodbye_timeout: Duration,
    pub(crate) inbox: JobMasterInbox,
    pub(crate) questions: mpsc::Receiver<Question>,
    /// From the threads of the sources.
    pub(crate) reports: mpsc::Receiver<Event>,
    pub(crate) sources: SourceCoordinators,
    /// Where checkpoints are completed.
    pub(crate) store: Option<StoreThread>,
    pub(crate) executors: BTreeMap<ConnectionId, Arc<dyn TaskExecutorGateway>>,
    /// Those that wait to hear whether they are taken in.
    pub(crate) applicants: BTreeMap<ConnectionId, (RegisterReply, Arc<dyn TaskExecutorGateway>)>,
    pub(crate) result: watch::Sender<Option<JobResult>>,
    /// The result, until it is told: TaskManagers hear it first.
    pub(crate) ended: Option<(JobResult, Timestamp)>,
}

impl Driver {
    /// Runs until whoever started it lets go.
    pub(crate) async fn run(mut self, first: Vec<Action>, mut released: oneshot::Receiver<()>) {
        self.carry_out(first);
        let mut ticks = interval(self.tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut asked = true;
        let mut alarm = Alarm::default();
        loop {
            self.tell_result();
            let coarse = alarm.set(self.due());
            // Each branch only takes something out of a queue, so none is lost when another wins.
            tokio::select! {
                Some(event) = self.inbox.next() => self.receive(event),
                Some(event) = self.reports.recv() => self.handle(event),
                question = self.questions.recv(), if asked => match question {
                    Some(question) => self.answer(question),
                    None => asked = false,
                },
                _ = ticks.tick() => self.tick(),
                () = tokio::time::sleep(coarse.unwrap_or_default()), if coarse.is_some() => {}
                () = alarm.rung(), if alarm.is_set() => self.tick(),
                _ = &mut released => return,
            }
        }
    }

    /// How long it is until something is due before the next tick, if something is.
    fn due(&self) -> Option<Duration> {
        let due = self.master.next_wakeup()?.since(self.clock.now());
        let due = if due.is_zero() { SOON } else { due };
        (due < self.tick).then_some(due)
    }

    fn now(&self) -> Now {
        Now {
            at: self.clock.now(),
            unix_ms: self.clock.unix_ms(),
        }
    }

    fn tick(&mut self) {
        for _ in 0..MESSAGES_PER_TICK_MAX {
            let Some(event) = self.inbox.try_next() else {
                break;
            };
            self.receive(event);
        }
        self.handle(Event::Tick);
    }

    fn answer(&mut self, question: Question) {
        match answer(question, &self.master, self.now()) {
            Some(Wish::Cancel) => self.handle(Event::Cancel),
            Some(Wish::CancelAndKeep) => self.handle(Event::CancelAndKeep),
            Some(Wish::Snapshot(request)) => {
                let actions = self.master.request_snapshot(self.now(), request);
                self.carry_out(actions);
            }
            Some(Wish::Forget(operation)) => {
                let actions = self.master.forget_savepoint(self.now(), operation);
                self.carry_out(actions);
            }
            None => {}
        }
    }

    fn receive(&mut self, event: JobMasterEvent) {
        let event = match event {
            JobMasterEvent::Register {
                registration,
                executor,
                reply,
            } => {
                let connection = reply.connection();
                self.applicants.insert(connection, (reply, executor));
                Event::Register {
                    connection,
                    registration,
                }
            }
            JobMasterEvent::Message {
                connection,
                message,
            } => Event::Message {
                connection,
                message: Box::new(message),
            },
            JobMasterEvent::Disconnected { connection } => {
                self.executors.remove(&connection);
                let reason = "its connection was closed".to_owned();
                Event::Disconnected { connection, reason }
            }
        };
        self.handle(event);
    }

    fn handle(&mut self, event: Event) {
        let now = self.now();
        let actions = self.master.on_event(now, event);
        self.carry_out(actions);
    }

    /// Carries out actions in order. One that fails is an event, whose actions come after those
    /// that are waiting.
    fn carry_out(&mut self, actions: Vec<Action>) {
        let mut waiting = VecDeque::from(actions);
        while let Some(action) = waiting.pop_front() {
            let Some(event) = self.act(action) else {
                continue;
            };
            let now = self.now();
            waiting.extend(self.master.on_event(now, event));
        }
    }

    fn act(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Prepare(what) => self.sources.prepare(what, None),
            Action::PrepareSource { node, restore } => {
                self.sources.prepare(Preparation::Source(node), restore);
            }
            Action::SnapshotEnumerator { id, node } => self.sources.snapshot(id, node),
            Action::AddSplitsBack { node, splits } => self.sources.add_splits_back(node, splits),
            Action::WriteMetadata { path, metadata } => {
                if let Some(store) = &self.store {
                    store.write_metadata(path, metadata);
                }
            }
            Action::WritePointer(pointer) => {
                if let Some(store) = &self.store {
                    store.write_pointer(pointer);
                }
            }
            Action::ClearCheckpoints => {
                if let Some(store) = &self.store {
                    store.clear();
                }
            }
            Action::Withdraw(published) => self.sources.withdraw(published),
            Action::FindSplit { node, attempt } => self.sources.find_split(node, attempt),
            Action::Accept { connection } => {
                if let Some((reply, executor)) = self.applicants.remove(&connection) {
                    self.executors.insert(connection, executor);
                    reply.accept(self.job.clone());
                }
            }
            Action::Refuse { connection, reason } => {
                if let Some((reply, _)) = self.applicants.remove(&connection) {
                    reply.refuse(reason);
                }
            }
            Action::TurnAway { connection, result } => {
                if let Some((reply, _)) = self.applicants.remove(&connection) {
                    reply.job_ended(result);
                }
            }
            Action::Tell {
                connection,
                command,
            } => {
                let told = self.executors.get(&connection)?.tell(command);
                if let Err(error) = told {
                    self.executors.remove(&connection);
                    return Some(Event::Disconnected {
                        connection,
                        reason: error.to_string(),
                    });
                }
            }
            Action::HangUp { connection } => drop(self.executors.remove(&connection)),
            Action::Say(text) => tracing::info!("{text}"),
            Action::Note(text) => tracing::debug!("ignored: {text}"),
            Action::End(result) => {
                self.ended = Some((result, self.clock.now() + self.goodbye_timeout));
            }
        }
        None
    }

    /// Tells the result once all TaskManagers have heard it and hung up, or have had time to.
    fn tell_result(&mut self) {
        let Some((_, until)) = &self.ended else {
            return;
        };
        if !self.executors.is_empty() && self.clock.now() < *until {
            return;
        }
        if let Some((result, _)) = self.ended.take() {
            self.result.send_replace(Some(result));
        }
    }
}
