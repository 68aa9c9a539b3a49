use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use super::*;
use crate::harness::{HarnessOptions, OneInputHarness};

/// What the outside world has of a sink: prepared and visible transactions.
#[derive(Clone, Default)]
struct World(Arc<Mutex<Written>>);

/// What is prepared, and what was committed.
type Written = (BTreeSet<Vec<u8>>, Vec<u8>);

impl World {
    fn visible(&self) -> Vec<u8> {
        let mut visible = self.0.lock().unwrap().1.clone();
        visible.sort_unstable();
        visible
    }

    fn open_transactions(&self) -> usize {
        self.0.lock().unwrap().0.len()
    }
}

struct Writer {
    world: World,
    current: Vec<u8>,
    /// What was to commit what was prepared.
    prepared_by: Arc<Mutex<Vec<Commit>>>,
}

impl SinkWriter<u8> for Writer {
    fn open(&mut self, _context: &OperatorContext) -> Result<(), BoxError> {
        Ok(())
    }

    fn recover(&mut self, _context: &OperatorContext) -> Result<(), BoxError> {
        self.world.0.lock().unwrap().0.clear();
        Ok(())
    }

    fn write(&mut self, batch: Batch<u8>) -> Result<(), BoxError> {
        self.current.extend(batch.rows());
        Ok(())
    }

    fn prepare_commit(&mut self, by: Commit) -> Result<Vec<CommitHandle>, BoxError> {
        self.prepared_by.lock().unwrap().push(by);
        if self.current.is_empty() {
            return Ok(Vec::new());
        }
        let handle = std::mem::take(&mut self.current);
        self.world.0.lock().unwrap().0.insert(handle.clone());
        Ok(vec![handle])
    }

    fn commit(&mut self, handles: &[CommitHandle]) -> Result<(), BoxError> {
        let mut world = self.world.0.lock().unwrap();
        for handle in handles {
            if world.0.remove(handle) {
                world.1.extend(handle);
            } else if !handle.iter().all(|row| world.1.contains(row)) {
                return Err("it was aborted".into());
            }
        }
        Ok(())
    }
}

type Harness = OneInputHarness<u8, u8>;

fn start(world: &World, snapshots: Vec<OperatorSnapshot>) -> Harness {
    start_and_tell(world, snapshots, Arc::default())
}

fn start_and_tell(
    world: &World,
    snapshots: Vec<OperatorSnapshot>,
    prepared_by: Arc<Mutex<Vec<Commit>>>,
) -> Harness {
    let world = world.clone();
    let writer = Writer {
        world,
        current: Vec::new(),
        prepared_by,
    };
    let operator = Box::new(SinkOperator::<u8, _>::new(writer));
    Harness::restore(operator, HarnessOptions::default(), snapshots).expect("opens")
}

fn checkpoint(id: u64) -> Commit {
    Commit::Checkpoint(CheckpointId(id))
}

#[test]
fn a_checkpoint_commits_what_was_prepared_for_it_and_for_aborted_ones_before_it() {
    let world = World::default();
    let mut sink = start(&world, Vec::new());
    sink.push(1).unwrap();
    sink.snapshot().unwrap();
    sink.push(2).unwrap();
    sink.snapshot().unwrap();
    sink.push(3).unwrap();
    sink.snapshot().unwrap();
    assert_eq!(world.visible(), [0; 0]);
    sink.commit(checkpoint(2)).unwrap();
    assert_eq!(world.visible(), [1, 2]);
    sink.commit(checkpoint(2)).unwrap();
    sink.commit(checkpoint(1)).unwrap();
    assert_eq!(world.visible(), [1, 2]);
    sink.commit(checkpoint(3)).unwrap();
    assert_eq!(world.visible(), [1, 2, 3]);
}

/// Transactions are named by it.
#[test]
fn a_writer_is_told_which_checkpoint_it_prepares_for_and_that_it_is_the_end() {
    let told = Arc::<Mutex<Vec<Commit>>>::default();
    let mut sink = start_and_tell(&World::default(), Vec::new(), Arc::clone(&told));
    sink.snapshot().unwrap();
    sink.snapshot().unwrap();
    sink.commit(Commit::Final).unwrap();
    let want = [checkpoint(1), checkpoint(2), Commit::Final];
    assert_eq!(*told.lock().unwrap(), want);
}

#[test]
fn a_snapshot_says_whether_something_waits_to_be_committed() {
    let world = World::default();
    let mut sink = start(&world, Vec::new());
    let nothing = sink.snapshot().unwrap();
    assert_eq!(nothing, OperatorSnapshot::default());
    sink.push(1).unwrap();
    assert!(sink.snapshot().unwrap().uncommitted);
    let still = sink.snapshot().unwrap();
    assert!(
        still.uncommitted,
        "until the commit it stays in every snapshot"
    );
    sink.commit(checkpoint(3)).unwrap();
    assert!(!sink.snapshot().unwrap().uncommitted);
}

#[test]
fn a_restored_sink_commits_first_and_aborts_what_is_left() {
    let world = World::default();
    let mut sink = start(&world, Vec::new());
    sink.push(1).unwrap();
    let snapshot = sink.snapshot().unwrap();
    sink.push(2).unwrap();
    sink.snapshot().unwrap();
    assert_eq!(world.open_transactions(), 2);
    drop(sink);
    for _ in 0..2 {
        let _restored = start(&world, vec![snapshot.clone()]);
        assert_eq!(world.visible(), [1]);
        assert_eq!(world.open_transactions(), 0);
    }
}

#[test]
fn without_checkpoints_all_is_committed_at_the_end() {
    let world = World::default();
    let mut sink = start(&world, Vec::new());
    sink.push(1).unwrap();
    sink.end_input().unwrap();
    assert_eq!(world.visible(), [0; 0]);
    sink.commit(Commit::Final).unwrap();
    sink.commit(Commit::Final).unwrap();
    assert_eq!(world.visible(), [1]);
}

#[test]
fn commits_are_counted_but_not_those_of_nothing() {
    let world = World::default();
    let mut sink = start(&world, Vec::new());
    sink.push(1).unwrap();
    sink.snapshot().unwrap();
    sink.commit(checkpoint(1)).unwrap();
    sink.commit(checkpoint(1)).unwrap();
    let commits = sink.metrics().commits();
    assert_eq!(commits.counts.iter().sum::<u64>(), 1);
}
