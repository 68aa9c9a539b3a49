use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};

use weir_checkpoint::handle::{KeyedHandle, OperatorSubtaskState, Stored};
use weir_checkpoint::pointer::SnapshotKind;
use weir_graph::{EdgeSpec, JobGraph, NodeSpec, Partitioner, Settings, StreamGraphBuilder};
use weir_network::Chunk;
use weir_state::{StateError, StateValue};
use weir_stream::factory::{Factories, OperatorFactory};
use weir_stream::ops::{
    ProcessContext, ProcessFunction, ProcessOpenContext, ProcessOperator, ReduceOperator,
};
use weir_stream::{BoxError, Collector, Data, Output, SnapshotRequest};
use weir_types::{CheckpointId, JobId, SystemClock};

use super::*;

/// A keyed operator behind a source, made by `make`.
fn program(make: OperatorFactory) -> Program {
    let settings = Settings {
        parallelism: 2,
        max_parallelism: Some(16),
        ..Settings::default()
    };
    let mut builder = StreamGraphBuilder::new("sums", settings);
    let source = builder.add_node(NodeSpec::source("numbers", "row"));
    let mut sum = NodeSpec::operator("sum", ["row"], "row");
    sum.keyed = true;
    let sum = builder.add_node(sum);
    builder.add_edge(EdgeSpec::new(source, sum).partitioned(Partitioner::Hash));
    let sink = builder.add_node(NodeSpec::sink("out", "row"));
    builder.add_edge(EdgeSpec::new(sum, sink));
    let graph = builder.build().unwrap();
    let job_graph = JobGraph::from_stream_graph(&graph);
    let mut factories = Factories::default();
    factories.operators.insert(sum, make);
    Program {
        graph,
        job_graph,
        factories,
    }
}

fn sums<V: Data + std::ops::AddAssign>() -> OperatorFactory
where
    (u64, V): Data + weir_state::StateValue,
{
    let add = |into: &mut (u64, V), row: (u64, V)| into.1 += row.1;
    Arc::new(move || Box::new(ReduceOperator::new(|row: &(u64, V)| row.0, add)))
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

fn keyed_operator(program: &Program) -> (&JobVertex, &ChainedOperator) {
    let mut vertices = program.job_graph.vertices.iter();
    let vertex = vertices.find(|vertex| vertex.head().keyed).unwrap();
    (vertex, vertex.head())
}

/// What the program's subtasks leave behind.
fn snapshot_of(program: &Program) -> CheckpointMetadata {
    let (vertex, operator) = keyed_operator(program);
    let context = context(vertex, operator, &clock());
    let mut sum = program.factories.operators[&operator.node]();
    sum.open(&context).unwrap();
    let keyed = sum.snapshot(CheckpointId(4)).unwrap().keyed.unwrap();
    let handle = KeyedHandle {
        stored: Stored::Inline(Vec::new()),
        checkpoint: CheckpointId(4),
        base: None,
        range: keyed.range,
        max_parallelism: keyed.max_parallelism,
        states: keyed.states.into_iter().map(|state| state.meta).collect(),
    };
    assert!(!handle.states.is_empty());
    let subtask = |index| {
        let state = OperatorSubtaskState {
            operator: operator.operator_id,
            keyed: vec![handle.clone()],
            operator_state: None,
            raw: None,
            uncommitted: false,
        };
        (SubtaskIndex(index), state)
    };
    CheckpointMetadata {
        state_id: JobId(1),
        id: CheckpointId(4),
        epoch: Epoch(1),
        kind: SnapshotKind::Checkpoint,
        operation: None,
        triggered_ms: 1,
        completed_ms: 2,
        weir_version: "0.1.0".to_owned(),
        operators: vec![OperatorMetadata {
            operator: operator.operator_id,
            name: "sum".to_owned(),
            uid: None,
            parallelism: 2,
            max_parallelism: 16,
            enumerator: None,
            subtasks: vec![subtask(0), subtask(1)],
            ended: Vec::new(),
        }],
    }
}

fn check(program: &Program, metadata: &CheckpointMetadata) -> Result<(), String> {
    let types = former_types(metadata, |_| None);
    let found = check_state_types(program, (metadata.id, &types), &clock());
    found.map_err(|error| causes(&error))
}

#[test]
fn a_program_reads_its_own_types_and_refuses_others_by_operator_and_state() {
    let (numbers, fractions) = (program(sums::<u64>()), program(sums::<f64>()));
    let metadata = snapshot_of(&numbers);
    assert_eq!(keyed_types(&metadata.operators[0]).len(), 1);
    assert_eq!(check(&numbers, &metadata), Ok(()));
    let said = check(&fractions, &metadata).unwrap_err();
    for word in ["`sum`", "restore state", "u64", "f64"] {
        assert!(said.contains(word), "{word}: {said}");
    }
}

/// What the checked program may widen, it may read.
#[test]
fn types_that_are_read_as_others_are_no_obstacle() {
    let metadata = snapshot_of(&program(sums::<u32>()));
    assert_eq!(check(&program(sums::<u64>()), &metadata), Ok(()));
}

/// One of two subtasks has already written another type: each is looked at.
#[test]
fn the_types_of_all_subtasks_are_looked_at() {
    let (numbers, fractions) = (program(sums::<u64>()), program(sums::<f64>()));
    let mut metadata = snapshot_of(&numbers);
    let other = snapshot_of(&fractions).operators[0].subtasks[1].clone();
    metadata.operators[0].subtasks[1] = other;
    assert_eq!(keyed_types(&metadata.operators[0]).len(), 2);
    assert!(check(&numbers, &metadata).is_err());
}

/// An operator that does something else as it opens.
struct Opens(fn() -> Result<(), OperatorError>, Arc<AtomicUsize>);

impl Operator for Opens {
    fn open(&mut self, _context: &OperatorContext) -> Result<(), OperatorError> {
        self.0()
    }

    fn process(
        &mut self,
        _input: usize,
        _chunk: Box<dyn Chunk>,
        _out: &mut dyn Output,
    ) -> Result<(), OperatorError> {
        unreachable!("no record comes")
    }

    fn snapshot_begin(
        &mut self,
        _request: SnapshotRequest,
    ) -> Result<OperatorSnapshot, OperatorError> {
        unreachable!("no checkpoint is taken")
    }

    fn restore(&mut self, snapshots: Vec<OperatorSnapshot>) -> Result<(), OperatorError> {
        let keyed = snapshots[0].keyed.as_ref().unwrap();
        assert!(keyed.states.iter().all(|state| state.blocks.is_empty()));
        Ok(())
    }

    fn close(&mut self) -> Result<(), OperatorError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// Only what is said of types counts: a function may need what there is where it runs alone.
#[test]
fn an_operator_that_does_not_open_for_another_reason_is_passed_over_and_closed() {
    let metadata = snapshot_of(&program(sums::<u64>()));
    type Open = fn() -> Result<(), OperatorError>;
    let opens: [(Open, bool); 3] = [
        (|| Err(OperatorError::function("no such host")), true),
        (|| panic!("no such device"), true),
        (
            || {
                let cause = StateError::Incompatible {
                    state: "sums".to_owned(),
                    snapshot: "a".to_owned(),
                    program: "b".to_owned(),
                    cause: "it was another".to_owned(),
                };
                Err(OperatorError::function(cause))
            },
            false,
        ),
    ];
    for (open, passes) in opens {
        let closed = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&closed);
        let make = move || Box::new(Opens(open, Arc::clone(&counted))) as Box<dyn Operator>;
        let program = program(Arc::new(make));
        assert_eq!(check(&program, &metadata).is_ok(), passes);
        assert_eq!(closed.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn an_operator_without_state_in_the_snapshot_is_not_opened() {
    let mut metadata = snapshot_of(&program(sums::<u64>()));
    metadata.operators[0].subtasks.clear();
    let closed = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&closed);
    let open = || unreachable!("it has no state to read");
    let make = move || Box::new(Opens(open, Arc::clone(&counted))) as Box<dyn Operator>;
    assert_eq!(check(&program(Arc::new(make)), &metadata), Ok(()));
    assert_eq!(closed.load(Ordering::SeqCst), 0);
}

/// A function with a list and a broadcast map.
#[derive(Clone)]
struct Keeps<L, M>(PhantomData<fn() -> (L, M)>);

impl<L: StateValue, M: StateValue> ProcessFunction<(u64, u64), (u64, u64)> for Keeps<L, M> {
    fn open(&mut self, context: &mut ProcessOpenContext<'_>) -> Result<(), BoxError> {
        context.list_state::<L>("held back")?;
        context.broadcast_state::<u32, M>("rules")?;
        Ok(())
    }

    fn process(
        &mut self,
        _record: (u64, u64),
        _context: &mut ProcessContext<'_>,
        _out: &mut Collector<'_, (u64, u64)>,
    ) -> Result<(), BoxError> {
        unreachable!("no record comes")
    }
}

fn keeps<L: StateValue, M: StateValue>() -> Program {
    let function = Keeps::<L, M>(PhantomData);
    program(Arc::new(move || {
        Box::new(ProcessOperator::new(function.clone()))
    }))
}

/// What a subtask of `keeps` leaves behind, as the metadata or an object holds it.
fn lists_of(program: &Program) -> Vec<u8> {
    let (vertex, operator) = keyed_operator(program);
    let mut keeps = program.factories.operators[&operator.node]();
    keeps.open(&context(vertex, operator, &clock())).unwrap();
    let taken = keeps.snapshot(CheckpointId(4)).unwrap().operator.unwrap();
    assert_eq!(taken.states.len(), 2);
    blob::encode(&taken)
}

#[test]
fn lists_and_broadcast_maps_of_another_type_are_refused_too() {
    let same = keeps::<u64, u64>();
    let bytes = lists_of(&same);
    let mut metadata = snapshot_of(&program(sums::<u64>()));
    metadata.operators[0].subtasks.truncate(1);
    let subtask = &mut metadata.operators[0].subtasks[0].1;
    subtask.keyed.clear();
    subtask.operator_state = Some(Stored::Inline(bytes.clone()));
    assert_eq!(check(&same, &metadata), Ok(()));
    let others = [
        ("`held back`", keeps::<String, u64>()),
        ("`rules`", keeps::<u64, String>()),
    ];
    for (state, other) in &others {
        let said = check(other, &metadata).unwrap_err();
        for word in ["`sum`", state, "u64", "String"] {
            assert!(said.contains(word), "{word}: {said}");
        }
    }

    // The same in an object: read once for each, and passed over if it cannot be had or is huge.
    let mut object = ObjectRef {
        path: "chk-1-4/lists".to_owned(),
        size: bytes.len() as u64,
        checksum: 0,
    };
    for (size, gives, lists) in [
        (object.size, Some(bytes.clone()), 2),
        (object.size, Some(vec![1, 2, 3]), 0),
        (object.size, None, 0),
        (READ_MAX + 1, Some(bytes), 0),
    ] {
        object.size = size;
        let subtask = &mut metadata.operators[0].subtasks[0].1;
        subtask.operator_state = Some(Stored::Object(object.clone()));
        let types = former_types(&metadata, |asked| {
            assert_eq!(asked.path, object.path);
            gives.clone()
        });
        assert_eq!(types[0].lists.len(), lists);
    }
}
