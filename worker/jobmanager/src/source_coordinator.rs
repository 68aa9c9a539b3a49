//! Runs sources' enumerators and sinks' checks: a thread each, as they are blocking user code that
//! may do I/O (Flink's `SourceCoordinator`).
//!
//! A thread makes its enumerator, then answers requests one by one, until nobody can ask any more.
//! Panics are caught and fail the job. A thread that hangs in I/O is left behind when the job ends.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use tokio::sync::mpsc;
use weir_graph::{NodeId, StreamGraph};
use weir_rpc::SplitResponse;
use weir_stream::BoxError;
use weir_stream::factory::{EnumeratorContext, EnumeratorFactory, Factories, SinkCheck};
use weir_stream::source::{SplitAnswer, SplitBytes, SplitEnumerator};
use weir_types::{CheckpointId, ExecutionAttemptId, Fault, FaultClass, SubtaskIndex, causes};

use crate::job_master::{Event, Preparation};

/// How many readers may wait for an answer of one enumerator. A reader has one request at a time.
/// The channel takes memory for those that wait; one of the standard library would take 4.5 MiB for
/// all that may.
const REQUESTS_WAITING_MAX: usize = 64 * 1024;

/// The threads of one job.
pub(crate) struct SourceCoordinators {
    factories: Factories,
    names: BTreeMap<NodeId, (String, u32)>,
    events: mpsc::Sender<Event>,
    requests: BTreeMap<NodeId, mpsc::Sender<Request>>,
    /// How often each enumerator was made.
    lives: BTreeMap<NodeId, u32>,
    /// The job goes on from a snapshot.
    restored: bool,
}

/// What an enumerator is asked.
enum Request {
    /// Work for a reader.
    Split(ExecutionAttemptId),
    /// What it keeps.
    Snapshot(CheckpointId),
    /// To hand these out again.
    AddBack(Vec<(SubtaskIndex, SplitBytes)>),
}

/// One source's thread.
struct Coordinator {
    node: NodeId,
    name: String,
    events: mpsc::Sender<Event>,
    requests: mpsc::Receiver<Request>,
    life: u32,
    restore: Option<Vec<u8>>,
    /// The class of the fault that it cannot be made.
    failure: FaultClass,
}

impl SourceCoordinators {
    /// What threads find out goes to `events`.
    pub(crate) fn new(
        graph: &StreamGraph,
        factories: Factories,
        events: mpsc::Sender<Event>,
        restored: bool,
    ) -> Self {
        let names = graph
            .nodes
            .iter()
            .map(|node| (node.id, (node.name.clone(), node.parallelism)));
        Self {
            names: names.collect(),
            factories,
            events,
            requests: BTreeMap::new(),
            lives: BTreeMap::new(),
            restored,
        }
    }

    /// All that has to be prepared.
    pub(crate) fn preparations(&self) -> impl Iterator<Item = Preparation> {
        let sources = self
            .factories
            .enumerators
            .keys()
            .map(|&node| Preparation::Source(node));
        let sinks = self
            .factories
            .sink_checks
            .keys()
            .map(|&node| Preparation::Sink(node));
        sources.chain(sinks)
    }

    /// Starts one of [`Self::preparations`]; the outcome is an event.
    pub(crate) fn prepare(&mut self, what: Preparation, restore: Option<Vec<u8>>) {
        let started = match what {
            Preparation::Source(node) => self.start_source(node, restore),
            Preparation::Sink(node) => self.start_check(node),
        };
        if let Err(error) = started {
            let cause = format!("start a thread to prepare the job: {error}");
            self.report(Event::Prepared {
                what,
                life: self.life_of(what),
                result: Err(Fault::job(FaultClass::Environment, cause)),
            });
        }
    }

    /// Has sinks take back what these attempts have published; the outcome is an event.
    pub(crate) fn withdraw(&self, published: Vec<(NodeId, Vec<ExecutionAttemptId>)>) {
        let mut sinks = Vec::new();
        for (node, attempts) in published {
            if let Some(withdrawal) = self.factories.sink_withdrawals.get(&node) {
                sinks.push((self.name(node).0, Arc::clone(withdrawal), attempts));
            }
        }
        let events = self.events.clone();
        let withdraw = move || {
            for (name, withdrawal, attempts) in sinks {
                if let Err(cause) = guarded(|| withdrawal(&attempts)) {
                    tracing::warn!("some results stay visible: sink `{name}`: {cause}");
                }
            }
            drop(events.blocking_send(Event::Withdrawn));
        };
        let name = "withdrawal".to_owned();
        if let Err(error) = thread::Builder::new().name(name).spawn(withdraw) {
            tracing::warn!(%error, "some results may stay visible: start a thread");
            self.report(Event::Withdrawn);
        }
    }

    /// Asks a source's enumerator; the answer is an event.
    pub(crate) fn find_split(&self, node: NodeId, attempt: ExecutionAttemptId) {
        if !self.ask(node, Request::Split(attempt)) {
            let response = Err(Fault::job(FaultClass::Recoverable, overrun(node)));
            self.report(Event::SplitFound {
                attempt,
                node,
                life: self.life(node),
                response,
            });
        }
    }

    /// Asks an enumerator what it keeps; the answer is an event.
    pub(crate) fn snapshot(&self, id: CheckpointId, node: NodeId) {
        if !self.ask(node, Request::Snapshot(id)) {
            let result = Err(overrun(node));
            self.report(Event::EnumeratorState { id, node, result });
        }
    }

    /// Gives splits back to an enumerator.
    pub(crate) fn add_splits_back(&self, node: NodeId, splits: Vec<(SubtaskIndex, SplitBytes)>) {
        if !splits.is_empty() && !self.ask(node, Request::AddBack(splits)) {
            // Losing them would lose records.
            let result = Err(Fault::job(FaultClass::Recoverable, overrun(node)));
            let what = Preparation::Source(node);
            let life = self.life(node);
            self.report(Event::Prepared { what, life, result });
        }
    }

    fn ask(&self, node: NodeId, request: Request) -> bool {
        let requests = self.requests.get(&node);
        requests.is_some_and(|requests| requests.try_send(request).is_ok())
    }

    fn life_of(&self, what: Preparation) -> u32 {
        match what {
            Preparation::Source(node) => self.life(node),
            Preparation::Sink(_) => 0,
        }
    }

    fn life(&self, node: NodeId) -> u32 {
        self.lives.get(&node).copied().unwrap_or(0)
    }

    /// Reports from the driver's own task, which reads the events: it must not wait for room.
    fn report(&self, event: Event) {
        let events = self.events.clone();
        // The driver may have stopped before: then nobody wants to know.
        tokio::spawn(async move { drop(events.send(event).await) });
    }

    fn name(&self, node: NodeId) -> (String, u32) {
        self.names
            .get(&node)
            .cloned()
            .unwrap_or_else(|| (node.to_string(), 1))
    }

    fn start_source(&mut self, node: NodeId, restore: Option<Vec<u8>>) -> std::io::Result<()> {
        let Some(factory) = self.factories.enumerators.get(&node).cloned() else {
            return Ok(());
        };
        let (name, parallelism) = self.name(node);
        let (sender, requests) = mpsc::channel(REQUESTS_WAITING_MAX);
        let events = self.events.clone();
        // The first life is 0.
        let life = self.lives.get(&node).map_or(0, |life| life + 1);
        self.lives.insert(node, life);
        let context = EnumeratorContext {
            parallelism,
            restored: restore.is_some(),
        };
        // What worked before, here or in a predecessor, may work again: a restart decides. What is
        // wrong from the start is told at once.
        let failure = if life > 0 || restore.is_some() {
            FaultClass::Recoverable
        } else {
            FaultClass::NonRecoverable
        };
        let coordinator = Coordinator {
            node,
            failure,
            name,
            events,
            requests,
            life,
            restore,
        };
        thread::Builder::new()
            .name(format!("source-{node}"))
            .spawn(move || coordinator.run(&factory, context))?;
        self.requests.insert(node, sender);
        Ok(())
    }

    fn start_check(&self, node: NodeId) -> std::io::Result<()> {
        let Some(check) = self.factories.sink_checks.get(&node).cloned() else {
            return Ok(());
        };
        let (name, _) = self.name(node);
        let (events, restored) = (self.events.clone(), self.restored);
        let check = move || {
            let result = run_check(&name, &check, restored);
            drop(events.blocking_send(Event::Prepared {
                what: Preparation::Sink(node),
                life: 0,
                result,
            }));
        };
        thread::Builder::new()
            .name(format!("sink-{node}"))
            .spawn(check)
            .map(drop)
    }
}

fn overrun(node: NodeId) -> String {
    format!("source {node}: its enumerator takes no more requests")
}

fn run_check(name: &str, check: &SinkCheck, restored: bool) -> Result<(), Fault> {
    // The sinks of a job that goes on have worked before: a restart may help.
    let class = if restored {
        FaultClass::Recoverable
    } else {
        FaultClass::NonRecoverable
    };
    guarded(|| check(restored))
        .map_err(|cause| Fault::job(class, format!("sink `{name}`: {cause}")))
}

impl Coordinator {
    fn run(mut self, factory: &EnumeratorFactory, context: EnumeratorContext) {
        let what = Preparation::Source(self.node);
        let fault = |class, cause| Fault::job(class, format!("source `{}`: {cause}", self.name));
        let made = guarded(|| factory(&context)).map_err(|cause| fault(self.failure, cause));
        let made = made.and_then(|mut enumerator| {
            if let Some(restore) = &self.restore {
                // State that cannot be read does not get better.
                guarded(|| enumerator.restore(restore))
                    .map_err(|cause| fault(FaultClass::NonRecoverable, cause))?;
            }
            Ok(enumerator)
        });
        let mut enumerator = match made {
            Ok(enumerator) => enumerator,
            Err(fault) => {
                drop(self.events.blocking_send(Event::Prepared {
                    what,
                    life: self.life,
                    result: Err(fault),
                }));
                return;
            }
        };
        if self
            .events
            .blocking_send(Event::Prepared {
                what,
                life: self.life,
                result: Ok(()),
            })
            .is_err()
        {
            return;
        }
        while let Some(request) = self.requests.blocking_recv() {
            let Some(event) = self.serve(enumerator.as_mut(), request) else {
                continue;
            };
            if self.events.blocking_send(event).is_err() {
                return;
            }
        }
    }

    fn serve(&self, enumerator: &mut dyn SplitEnumerator, request: Request) -> Option<Event> {
        let node = self.node;
        match request {
            Request::Split(attempt) => Some(Event::SplitFound {
                attempt,
                node,
                life: self.life,
                response: self.answer(enumerator, attempt),
            }),
            Request::Snapshot(id) => {
                let result = guarded(|| enumerator.snapshot())
                    .map_err(|cause| format!("source `{}`: {cause}", self.name));
                Some(Event::EnumeratorState { id, node, result })
            }
            Request::AddBack(splits) => {
                let mut by_reader = BTreeMap::<SubtaskIndex, Vec<SplitBytes>>::new();
                for (reader, split) in splits {
                    by_reader.entry(reader).or_default().push(split);
                }
                let added = guarded(|| {
                    for (reader, splits) in by_reader {
                        enumerator.add_splits_back(splits, reader)?;
                    }
                    Ok(())
                });
                added.err().map(|cause| {
                    let cause = format!("source `{}`: take splits back: {cause}", self.name);
                    Event::Prepared {
                        what: Preparation::Source(node),
                        life: self.life,
                        result: Err(Fault::job(FaultClass::Recoverable, cause)),
                    }
                })
            }
        }
    }

    fn answer(
        &self,
        enumerator: &mut dyn SplitEnumerator,
        attempt: ExecutionAttemptId,
    ) -> Result<SplitResponse, Fault> {
        match guarded(|| enumerator.next_split(attempt.subtask)) {
            Ok(SplitAnswer::Split(bytes)) => Ok(SplitResponse::Split(bytes)),
            Ok(SplitAnswer::NotYet(rest)) => Ok(SplitResponse::NotYet(rest)),
            Ok(SplitAnswer::NoMore) => Ok(SplitResponse::NoMore),
            Err(cause) => {
                let cause = format!("source `{}`: find the next split: {cause}", self.name);
                Err(Fault::job(FaultClass::Recoverable, cause))
            }
        }
    }
}

/// Runs user code; an error with its causes, or a panic, becomes a text.
fn guarded<T>(run: impl FnOnce() -> Result<T, BoxError>) -> Result<T, String> {
    // What a panic leaves behind is not used again: the job fails.
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(causes(error.as_ref())),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            Err(format!(
                "panicked: {}",
                text.unwrap_or_else(|| "no message".to_owned())
            ))
        }
    }
}
