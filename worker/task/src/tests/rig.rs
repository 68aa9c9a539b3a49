//! A job of two sources, a keyed count and a sink that commits, with a JobManager's levers.
//!
//! ```text
//!  feed 0 ─▶ source 0 ─┬─▶ count 0 ─▶ sink 0 ─▶ world
//!  feed 1 ─▶ source 1 ─┴─▶ count 1 ─▶ sink 1 ─▶ world
//! ```

mod program;
mod recorder;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use weir_checkpoint::align::AlignMode;
use weir_checkpoint::coordinator::{OperatorInfo, Then};
use weir_checkpoint::handle::{SnapshotMetrics, SubtaskState};
use weir_checkpoint::metadata::{CheckpointMetadata, OperatorMetadata};
use weir_checkpoint::pointer::SnapshotKind;
use weir_checkpoint::restore::{self, RestoreOptions};
use weir_graph::{ExecutionState, Role};
use weir_network::{ExchangeIdentity, Standalone};
use weir_state::{BackendRequest, ColdError, ColdSetup, HeapFactory, StateBackendFactory};
use weir_storage::{Fault, FaultyStore, MemoryStore, ObjectPath, ObjectStore, StoreErrorKind};
use weir_types::{
    AttemptNumber, BarrierKind, CheckpointBarrier, CheckpointId, Clock, Epoch, ExecutionAttemptId,
    JobId, SubtaskIndex, SystemClock, TaskManagerId, VertexId,
};

use self::program::{Feeds, World};
pub(super) use self::recorder::Heard;
use self::recorder::Recorder;
use crate::{
    InputDeployment, LocalCopies, ProducerLocation, Program, TaskCheckpoints, TaskCommit,
    TaskDeployment, TaskEnvironment, TaskEvents, TaskHandle, launch,
};

/// As many as there are sources at first.
const FEEDS: u32 = 2;

/// What differs between tests.
#[derive(Clone, Copy)]
pub(super) struct Options {
    pub(super) mode: AlignMode,
    pub(super) incremental: bool,
    pub(super) inline_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mode: AlignMode::ExactlyOnce,
            incremental: false,
            inline_max: 64,
        }
    }
}

/// What happens to an object behind everybody's back.
#[derive(Clone, Copy, Debug)]
pub(super) enum Damage {
    Gone,
    Flipped,
}

/// All that outlives an attempt.
pub(super) struct Job {
    options: Options,
    program: Arc<Program>,
    parallelism: u32,
    feeds: Feeds,
    world: World,
    store: MemoryStore,
    failing: Arc<Mutex<Option<StoreErrorKind>>>,
    exchanges: Standalone,
    copies: Option<(Arc<LocalCopies>, Arc<dyn StateBackendFactory>)>,
}

impl Job {
    pub(super) fn new(options: Options) -> Self {
        let (feeds, world) = (Feeds::default(), World::default());
        Self {
            options,
            program: program::program(&feeds, &world, FEEDS),
            parallelism: FEEDS,
            feeds,
            world,
            store: MemoryStore::new(),
            failing: Arc::default(),
            exchanges: Standalone::start().expect("a runtime"),
            copies: None,
        }
    }

    /// From now on there are local copies in this folder. They are those of one process: others
    /// have others, or none.
    pub(super) fn set_copies(&mut self, folder: Option<&Path>) {
        self.copies = folder.map(|folder| {
            let backend: Arc<dyn StateBackendFactory> = Arc::new(ScratchHeap(folder.to_owned()));
            (Arc::new(LocalCopies::new(&backend)), backend)
        });
    }

    /// From now on it runs with so many subtasks of each vertex.
    pub(super) fn rescale(&mut self, parallelism: u32) {
        self.parallelism = parallelism;
        self.program = program::program(&self.feeds, &self.world, parallelism);
    }

    /// Gives the records to the feeds in turn.
    pub(super) fn feed(&self, records: &[u64]) {
        for source in 0..FEEDS {
            let skip = source as usize;
            let step = FEEDS as usize;
            let own: Vec<u64> = records.iter().skip(skip).step_by(step).copied().collect();
            self.feed_to(source, &own);
        }
    }

    pub(super) fn feed_to(&self, source: u32, records: &[u64]) {
        self.feeds.put(source, records);
    }

    pub(super) fn end_input(&self) {
        (0..FEEDS).for_each(|source| self.end_input_of(source));
    }

    pub(super) fn end_input_of(&self, source: u32) {
        self.feeds.end(source);
    }

    /// The rows that were committed: keys with their running counts, sorted.
    pub(super) fn visible(&self) -> Vec<(u64, u64)> {
        self.world.visible()
    }

    pub(super) fn subtasks(&self) -> usize {
        self.program.job_graph.subtask_count()
    }

    pub(super) fn fail_store(&self, kind: Option<StoreErrorKind>) {
        *self.failing.lock().unwrap() = kind;
    }

    /// Damages one object of keyed state; gives its name.
    pub(super) fn damage(&self, taken: &CheckpointMetadata, damage: Damage) -> String {
        let states = taken
            .operators
            .iter()
            .flat_map(|operator| &operator.subtasks);
        let mut objects = states
            .flat_map(|(_, state)| &state.keyed)
            .flat_map(|file| file.stored.objects());
        let path = objects.next().expect("there is an object").path.clone();
        let name = ObjectPath::new(path.as_str()).unwrap();
        let mut bytes = self.store.get(&name).unwrap();
        self.store.delete(&name).unwrap();
        if let Damage::Flipped = damage {
            *bytes.last_mut().unwrap() ^= 1;
            self.store.create(&name, &bytes).unwrap();
        }
        path
    }

    fn operators(&self) -> Vec<OperatorInfo> {
        let vertices = self.program.job_graph.vertices.iter();
        let operators = vertices.flat_map(|vertex| {
            vertex.operators.iter().map(|operator| OperatorInfo {
                operator: operator.operator_id,
                vertex: vertex.id,
                name: operator.name.clone(),
                uid: operator.uid.clone(),
                parallelism: vertex.parallelism,
                max_parallelism: vertex.max_parallelism,
                source: (operator.role == Role::Source).then_some(operator.node),
            })
        });
        operators.collect()
    }

    fn attempts(&self, epoch: u64) -> Vec<ExecutionAttemptId> {
        let vertices = self.program.job_graph.vertices.iter();
        let subtasks = vertices.flat_map(|vertex| vertex.subtasks());
        let attempts = subtasks.map(|subtask| attempt(epoch, subtask.vertex, subtask.subtask));
        attempts.collect()
    }

    /// Starts all subtasks, from a checkpoint if there is one.
    pub(super) fn start(&self, epoch: u64, taken: Option<&CheckpointMetadata>) -> Run<'_> {
        let identity = ExchangeIdentity::new(
            JobId::from_text("job"),
            Epoch(epoch),
            TaskManagerId::from_text("here"),
            "fingerprint",
        );
        let exchange = self.exchanges.exchange(identity);
        let failing = Arc::clone(&self.failing);
        let store = FaultyStore::new(Arc::new(self.store.clone()), move |_| {
            let failing = *failing.lock().unwrap();
            failing.map_or(Fault::None, Fault::Fail)
        });
        let mut checkpoints = TaskCheckpoints::new(Arc::new(store.clone()));
        checkpoints.open_base = Arc::new(move |base| {
            let folder = ObjectPath::new(base).expect("a folder's name");
            Ok(store.within(&folder))
        });
        checkpoints.mode = self.options.mode;
        checkpoints.incremental = self.options.incremental;
        checkpoints.inline_max = self.options.inline_max;
        checkpoints.copies = self.copies.as_ref().map(|(copies, _)| Arc::clone(copies));
        self.feeds.set_fresh(taken.is_none());
        let recorder = Arc::new(Recorder::default());
        let environment = TaskEnvironment {
            exchange,
            clock: Arc::new(SystemClock),
            events: Arc::clone(&recorder) as Arc<dyn TaskEvents>,
            channel_window_bytes: None,
            state_backend: Arc::new(HeapFactory),
            checkpoints: Some(Arc::new(checkpoints)),
        };
        let plan = taken.map(|taken| {
            // A savepoint's names are relative to its own folder.
            let base = match taken.kind {
                SnapshotKind::Checkpoint => String::new(),
                SnapshotKind::Savepoint => format!("savepoint-{}-{}", taken.epoch, taken.id),
            };
            let options = RestoreOptions::default();
            restore::plan(taken, base, true, &self.operators(), options).expect("it fits")
        });
        let tasks = self.attempts(epoch).into_iter().map(|attempt| {
            let deployment = TaskDeployment {
                attempt,
                inputs: self.inputs(attempt),
                restore: plan
                    .as_ref()
                    .map(|plan| plan.subtask(attempt.vertex, attempt.subtask)),
            };
            let (program, environment) = (Arc::clone(&self.program), environment.clone());
            let task = launch(deployment, program, environment).expect("it starts");
            (attempt, task)
        });
        let tasks = tasks.collect();
        Run {
            job: self,
            epoch,
            tasks,
            recorder,
            kinds: Mutex::default(),
        }
    }

    fn inputs(&self, consumer: ExecutionAttemptId) -> Vec<InputDeployment> {
        let gates = self
            .program
            .job_graph
            .input_gates(consumer.vertex, consumer.subtask);
        let inputs = gates.iter().map(|gate| InputDeployment {
            edge: gate.edge,
            producers: gate
                .channels
                .iter()
                .map(|channel| ProducerLocation {
                    attempt: attempt(consumer.epoch.0, gate.producer, channel.producer),
                    remote: None,
                })
                .collect(),
        });
        inputs.collect()
    }
}

/// All state in memory, and a local folder.
#[derive(Debug)]
struct ScratchHeap(PathBuf);

impl StateBackendFactory for ScratchHeap {
    fn open(&self, _request: &BackendRequest) -> Result<Option<ColdSetup>, ColdError> {
        Ok(None)
    }

    fn scratch(&self) -> Result<Option<PathBuf>, ColdError> {
        Ok(Some(self.0.clone()))
    }
}

fn attempt(epoch: u64, vertex: VertexId, subtask: SubtaskIndex) -> ExecutionAttemptId {
    ExecutionAttemptId {
        epoch: Epoch(epoch),
        vertex,
        subtask,
        attempt: AttemptNumber(0),
    }
}

/// All subtasks of one attempt to run the job.
pub(super) struct Run<'a> {
    job: &'a Job,
    epoch: u64,
    tasks: BTreeMap<ExecutionAttemptId, TaskHandle>,
    recorder: Arc<Recorder>,
    /// By id.
    kinds: Mutex<BTreeMap<u64, SnapshotKind>>,
}

impl Run<'_> {
    fn is_source(&self, attempt: &ExecutionAttemptId) -> bool {
        let vertex = self.job.program.job_graph.vertex(attempt.vertex);
        vertex.is_some_and(|vertex| vertex.is_source())
    }

    fn sinks(&self) -> usize {
        self.tasks.len() - self.job.parallelism as usize
    }

    /// Records that have come to the counts.
    pub(super) fn records(&self) -> u64 {
        let counts = self
            .tasks
            .iter()
            .filter(|(attempt, _)| !self.is_source(attempt));
        counts
            .map(|(_, task)| task.metrics().records_in.get())
            .sum()
    }

    pub(super) fn wait_until_restored(&self) {
        self.wait_until("all run", |heard| {
            let run = |heard: &&Heard| matches!(heard, Heard::State(_, ExecutionState::Running, _));
            heard.iter().filter(run).count() == self.tasks.len()
        });
    }

    /// How many bytes all subtasks have read from local copies and from the store.
    pub(super) fn restored(&self) -> (u64, u64) {
        let restored = self.tasks.values().map(|task| &task.metrics().restored);
        restored.fold((0, 0), |(local, store), own| {
            (local + own.local(), store + own.store())
        })
    }

    pub(super) fn wait_for_records(&self, want: u64) {
        let deadline = SystemClock.now() + recorder::PATIENCE;
        while self.records() < want {
            assert!(
                SystemClock.now() < deadline,
                "{} of {want} records came; {:?}",
                self.records(),
                self.recorder.all()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(self.records(), want);
    }

    /// Waits until all that was fed in has come to the counts.
    pub(super) fn wait_until_quiet(&self) {
        let deadline = SystemClock.now() + recorder::PATIENCE;
        let sources = || {
            let sources = self
                .tasks
                .iter()
                .filter(|(attempt, _)| self.is_source(attempt));
            let read: u64 = sources
                .map(|(_, task)| task.metrics().records_in.get())
                .sum();
            read
        };
        let settled = || {
            let before = (sources(), self.records());
            std::thread::sleep(Duration::from_millis(50));
            before.0 == before.1 && before.0 > 0 && before == (sources(), self.records())
        };
        while !settled() {
            assert!(SystemClock.now() < deadline, "{:?}", self.recorder.all());
        }
    }

    pub(super) fn wait_until(&self, what: &str, done: impl Fn(&[Heard]) -> bool) {
        self.recorder.wait_until(what, done);
    }

    pub(super) fn wait_for_ends(&self) {
        self.wait_until("all report the end of input", |heard| {
            let ends = heard
                .iter()
                .filter(|heard| matches!(heard, Heard::EndOfInput(_)));
            ends.count() == self.tasks.len()
        });
    }

    pub(super) fn wait_finished(&self) {
        self.wait_for_states(ExecutionState::Finished);
    }

    fn wait_for_states(&self, want: ExecutionState) {
        self.wait_until(&format!("all are {want:?}"), |heard| {
            let ended = heard.iter().filter_map(|heard| match heard {
                Heard::State(_, state, _) if state.is_terminal() => Some(*state),
                _ => None,
            });
            ended.filter(|state| *state == want).count() == self.tasks.len()
        });
    }

    /// The cause of the first failure.
    pub(super) fn wait_for_failure(&self) -> String {
        let cause = |heard: &[Heard]| {
            heard.iter().find_map(|heard| match heard {
                Heard::State(_, _, Some(cause)) => Some(cause.clone()),
                _ => None,
            })
        };
        self.wait_until("one fails", |heard| cause(heard).is_some());
        cause(&self.recorder.all()).expect("one has failed")
    }

    /// As a lost process: nothing is finished in an orderly way that a checkpoint needs.
    pub(super) fn kill(self) {
        for task in self.tasks.values() {
            task.cancel();
        }
        self.wait_until("all have ended", |heard| {
            let ended = heard
                .iter()
                .filter(|heard| matches!(heard, Heard::State(_, state, _) if state.is_terminal()));
            ended.count() == self.tasks.len()
        });
    }

    pub(super) fn trigger_source(&self, source: u32, id: u64, kind: BarrierKind, then: Then) {
        let barrier = CheckpointBarrier {
            epoch: Epoch(self.epoch),
            id: CheckpointId(id),
            triggered_at_ms: SystemClock.unix_ms(),
            kind,
        };
        let kind = match kind {
            BarrierKind::Checkpoint => SnapshotKind::Checkpoint,
            BarrierKind::Savepoint => SnapshotKind::Savepoint,
        };
        self.kinds.lock().unwrap().insert(id, kind);
        for (attempt, task) in &self.tasks {
            if self.is_source(attempt) && attempt.subtask.0 == source {
                task.trigger(barrier, then);
            }
        }
    }

    pub(super) fn trigger(&self, id: u64, kind: BarrierKind, then: Then) {
        (0..self.job.parallelism).for_each(|source| self.trigger_source(source, id, kind, then));
    }

    pub(super) fn wait_acknowledged(&self, id: u64) {
        self.wait_until(&format!("all acknowledge {id}"), |heard| {
            let acknowledged = heard
                .iter()
                .filter(|heard| matches!(heard, Heard::Acknowledged(_, known, ..) if *known == id));
            acknowledged.count() == self.tasks.len()
        });
    }

    pub(super) fn checkpoint(&self, id: u64) {
        self.trigger(id, BarrierKind::Checkpoint, Then::Continue);
        self.wait_acknowledged(id);
    }

    pub(super) fn savepoint(&self, id: u64) {
        self.trigger(id, BarrierKind::Savepoint, Then::Continue);
        self.wait_acknowledged(id);
    }

    pub(super) fn abort(&self, id: u64) {
        for task in self.tasks.values() {
            task.abort_checkpoint(CheckpointId(id));
        }
    }

    pub(super) fn tell_all_commit(&self, commit: TaskCommit) {
        for task in self.tasks.values() {
            task.commit(commit);
        }
    }

    /// Says that a checkpoint is complete, and waits until the sinks have committed.
    pub(super) fn complete(&self, id: u64, last: bool) {
        let committed = |heard: &[Heard]| {
            let committed = heard
                .iter()
                .filter(|heard| matches!(heard, Heard::Committed(_, known) if *known == id));
            committed.count()
        };
        let before = committed(&self.recorder.all());
        let id = CheckpointId(id);
        self.tell_all_commit(TaskCommit::Checkpoint { id, last });
        self.wait_until("the sinks commit", |heard| {
            committed(heard) >= before + self.sinks()
        });
    }

    fn acknowledged(&self, id: u64) -> BTreeMap<ExecutionAttemptId, SubtaskState> {
        let all = self.recorder.all().into_iter();
        let states = all.filter_map(|heard| match heard {
            Heard::Acknowledged(attempt, known, state, _) if known == id => Some((attempt, state)),
            _ => None,
        });
        states.collect()
    }

    /// What the subtasks have put into a checkpoint.
    pub(super) fn states(&self, id: u64) -> Vec<SubtaskState> {
        self.acknowledged(id).into_values().collect()
    }

    /// How each subtask's part went.
    pub(super) fn metrics(&self, id: u64) -> Vec<SnapshotMetrics> {
        let all = self.recorder.all().into_iter();
        let metrics = all.filter_map(|heard| match heard {
            Heard::Acknowledged(_, known, _, metrics) if known == id => Some(metrics),
            _ => None,
        });
        metrics.collect()
    }

    /// How many files of keyed state each count refers to.
    pub(super) fn chain_lengths(&self, id: u64) -> Vec<usize> {
        let states = self.states(id);
        let operators = states.iter().flat_map(|state| &state.operators);
        let chains = operators.map(|operator| operator.keyed.len());
        chains.filter(|length| *length > 0).collect()
    }

    /// The checkpoint as its metadata would describe it.
    pub(super) fn metadata(&self, id: u64) -> CheckpointMetadata {
        let states = self.acknowledged(id);
        let operators = self.job.operators().into_iter().map(|info| {
            let of_vertex = || {
                states
                    .iter()
                    .filter(|(attempt, _)| attempt.vertex == info.vertex)
            };
            let subtasks = of_vertex().flat_map(|(attempt, state)| {
                let own = state
                    .operators
                    .iter()
                    .filter(|own| own.operator == info.operator);
                own.map(|own| (attempt.subtask, own.clone()))
            });
            let ended = of_vertex().filter(|(_, state)| state.ended);
            OperatorMetadata {
                operator: info.operator,
                name: info.name.clone(),
                uid: info.uid.clone(),
                parallelism: info.parallelism,
                max_parallelism: info.max_parallelism,
                enumerator: None,
                subtasks: subtasks.collect(),
                ended: ended.map(|(attempt, _)| attempt.subtask).collect(),
            }
        });
        CheckpointMetadata {
            state_id: JobId::from_text("job"),
            id: CheckpointId(id),
            epoch: Epoch(self.epoch),
            kind: self.kinds.lock().unwrap()[&id],
            operation: None,
            triggered_ms: 0,
            completed_ms: 0,
            weir_version: String::new(),
            operators: operators.collect(),
        }
    }
}
