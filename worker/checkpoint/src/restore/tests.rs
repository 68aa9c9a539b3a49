use std::collections::BTreeMap;

use proptest::prelude::*;
use weir_state::{
    KeyedBackend, OperatorSnapshot, OperatorStateBackend, SnapshotKind as Size, own_part,
};
use weir_types::{Epoch, JobId, KeyGroup};

use super::*;
use crate::blob;
use crate::handle::{ObjectRef, OperatorSubtaskState};
use crate::pointer::SnapshotKind;

const MAX: u32 = 16;
const VERTEX: VertexId = VertexId(1);

fn info(operator: u128, parallelism: u32) -> OperatorInfo {
    OperatorInfo {
        operator: OperatorId(operator),
        vertex: VERTEX,
        name: format!("operator {operator}"),
        uid: Some(format!("uid-{operator}")),
        parallelism,
        max_parallelism: MAX,
        source: None,
    }
}

fn keyed(checkpoint: u64, base: Option<u64>, range: KeyGroupRange) -> KeyedHandle {
    KeyedHandle {
        stored: Stored::Object(ObjectRef {
            path: format!("shared/{checkpoint}-{}", range.start),
            size: 10,
            checksum: 1,
        }),
        checkpoint: CheckpointId(checkpoint),
        base: base.map(CheckpointId),
        range,
        max_parallelism: MAX,
        states: Vec::new(),
    }
}

fn inline(byte: u32) -> Option<Stored> {
    Some(Stored::Inline(byte.to_le_bytes().to_vec()))
}

/// A full file and one that continues it per subtask, operator state and raw state.
fn former(operator: u128, parallelism: u32) -> OperatorMetadata {
    let state = |subtask: u32| {
        let range = KeyGroupRange::of_subtask(MAX, parallelism, subtask);
        let state = OperatorSubtaskState {
            operator: OperatorId(operator),
            keyed: vec![keyed(3, None, range), keyed(4, Some(3), range)],
            operator_state: inline(subtask),
            raw: inline(100 + subtask),
            uncommitted: false,
        };
        (SubtaskIndex(subtask), state)
    };
    OperatorMetadata {
        operator: OperatorId(operator),
        name: format!("operator {operator}"),
        uid: Some(format!("uid-{operator}")),
        parallelism,
        max_parallelism: MAX,
        enumerator: None,
        subtasks: (0..parallelism).map(state).collect(),
        ended: Vec::new(),
    }
}

fn metadata(operators: Vec<OperatorMetadata>) -> CheckpointMetadata {
    CheckpointMetadata {
        state_id: JobId(1),
        id: CheckpointId(4),
        epoch: Epoch(1),
        kind: SnapshotKind::Checkpoint,
        operation: None,
        triggered_ms: 0,
        completed_ms: 0,
        weir_version: String::new(),
        operators,
    }
}

fn planned(
    metadata: &CheckpointMetadata,
    program: &[OperatorInfo],
) -> Result<RestorePlan, RestoreError> {
    let base = "file:/state".to_owned();
    plan(metadata, base, true, program, RestoreOptions::default())
}

fn all_subtasks(plan: &RestorePlan, parallelism: u32) -> Vec<SubtaskRestore> {
    (0..parallelism)
        .map(|subtask| plan.subtask(VERTEX, SubtaskIndex(subtask)))
        .collect()
}

#[test]
fn a_subtask_gets_its_key_groups_in_order_and_all_operator_state() {
    let plan = planned(&metadata(vec![former(1, 2)]), &[info(1, 4)]).unwrap();
    let restore = plan.subtask(VERTEX, SubtaskIndex(1));
    assert_eq!((restore.checkpoint, restore.own), (CheckpointId(4), true));
    assert_eq!(restore.base, "file:/state");
    let (_, operator) = &restore.operators[0];
    let range = KeyGroupRange { start: 4, end: 7 };
    let read: Vec<_> = operator
        .keyed
        .iter()
        .map(|handle| (handle.checkpoint.0, handle.base, handle.range))
        .collect();
    assert_eq!(read, [(3, None, range), (4, Some(CheckpointId(3)), range)]);
    assert_eq!(operator.operator_state.len(), 2);
    assert_eq!(operator.former_parallelism, 2);
    assert_eq!(
        operator.raw,
        [(SubtaskIndex(1), inline(101).unwrap())],
        "former subtask 1 goes on as subtask 1"
    );
    assert!(!restore.ended);
    let other = plan.subtask(VertexId(9), SubtaskIndex(0));
    assert!(other.operators.is_empty() && !other.ended);
}

/// Fails if a JobManager that restores `p` subtasks needs memory for `p * p` states.
#[test]
fn a_thousand_subtasks_share_the_former_operator_states() {
    let mut operator = former(1, 1);
    let (_, state) = operator.subtasks.remove(0);
    operator.parallelism = 1_000;
    // In another order than that of the indices, and one has none.
    operator.subtasks = (0..1_000)
        .rev()
        .map(|subtask| {
            let state = OperatorSubtaskState {
                keyed: Vec::new(),
                operator_state: inline(subtask).filter(|_| subtask != 7),
                ..state.clone()
            };
            (SubtaskIndex(subtask), state)
        })
        .collect();
    let plan = planned(&metadata(vec![operator]), &[info(1, 1_000)]).unwrap();
    let restores = all_subtasks(&plan, 1_000);
    let states = |restore: &SubtaskRestore| Arc::clone(&restore.operators[0].1.operator_state);
    let shared = states(&restores[0]);
    let all = restores.iter().map(states);
    assert_eq!(all.filter(|of| Arc::ptr_eq(of, &shared)).count(), 1_000);
    let want = (0..1_000).filter(|subtask| *subtask != 7);
    let want = want.map(|subtask| (SubtaskIndex(subtask), inline(subtask).unwrap()));
    assert_eq!(*shared, *want.collect::<Vec<_>>());
}

#[test]
fn an_operator_without_state_starts_empty_and_is_said_so() {
    let mut source = former(2, 1);
    (source.subtasks, source.enumerator) = (Vec::new(), Some(b"splits".to_vec()));
    let metadata = metadata(vec![former(1, 2), source]);
    let plan = planned(&metadata, &[info(1, 2), info(2, 1), info(3, 2)]).unwrap();
    let names: Vec<_> = plan.starts_empty.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["`operator 3` (uid `uid-3`)"]);
    let of_source = (OperatorId(2), b"splits".to_vec());
    assert_eq!(plan.enumerators, BTreeMap::from([of_source]));
    assert_eq!(plan.subtask(VERTEX, SubtaskIndex(0)).operators.len(), 2);
}

#[test]
fn a_missing_operator_is_refused_unless_that_is_allowed_and_loses_no_results() {
    let mut metadata = metadata(vec![former(1, 2), former(2, 2)]);
    let program = [info(1, 2)];
    let error = planned(&metadata, &program).unwrap_err();
    assert_eq!(
        error.to_string(),
        "restore operator `operator 2` (uid `uid-2`): the checkpoint holds state of it and the \
         program has no operator with that id; give the operator that continues it the uid \
         `uid-2`, or allow state to be left behind (`allowNonRestoredState`)"
    );
    let allowed = RestoreOptions {
        allow_non_restored_state: true,
    };
    let run =
        |metadata: &CheckpointMetadata| plan(metadata, String::new(), true, &program, allowed);
    assert_eq!(run(&metadata).unwrap().left_behind.len(), 1);
    metadata.operators[1].subtasks[1].1.uncommitted = true;
    assert!(matches!(
        run(&metadata),
        Err(RestoreError::Uncommitted { operator }) if operator.id == OperatorId(2)
    ));
    // Without any state it may go.
    metadata.operators[1].subtasks.clear();
    assert!(planned(&metadata, &program).is_ok());
}

#[test]
fn a_changed_max_parallelism_is_refused_where_keys_are_placed_by_it() {
    let mut program = [info(1, 2)];
    program[0].max_parallelism = 32;
    let mut metadata = metadata(vec![former(1, 2)]);
    let error = planned(&metadata, &program).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("set the operator's max parallelism to 16"),
        "{error}"
    );
    for (_, state) in &mut metadata.operators[0].subtasks {
        state.keyed.clear();
    }
    assert!(planned(&metadata, &program).is_ok());
}

#[test]
fn missing_key_groups_are_refused_unless_their_subtask_had_ended() {
    let mut metadata = metadata(vec![former(1, 2)]);
    metadata.operators[0].subtasks[1].1.keyed.clear();
    let error = planned(&metadata, &[info(1, 2)]).unwrap_err();
    assert!(
        matches!(
            &error,
            RestoreError::Gap {
                group: KeyGroup(8),
                ..
            }
        ),
        "{error}"
    );
    metadata.operators[0].ended = vec![SubtaskIndex(1)];
    let plan = planned(&metadata, &[info(1, 3)]).unwrap();
    let (_, operator) = &plan.subtask(VERTEX, SubtaskIndex(2)).operators[0];
    let Stored::Inline(bytes) = &operator.keyed[0].stored else {
        unreachable!("there is nothing to be stored")
    };
    let empty = keyed_file::decode(bytes).unwrap();
    let range = KeyGroupRange { start: 11, end: 15 };
    assert_eq!(operator.keyed[0].range, range);
    assert!(empty.states.is_empty() && empty.base.is_none());
    assert_eq!(empty.range, KeyGroupRange { start: 8, end: 15 });
}

#[test]
fn a_subtask_has_ended_if_the_same_one_had_or_all_had() {
    // (former parallelism, ended, new parallelism, who has ended then)
    type Case = (u32, &'static [u32], u32, &'static [bool]);
    let cases: [Case; 5] = [
        (2, &[1], 2, &[false, true]),
        (2, &[1], 3, &[false, false, false]),
        (2, &[0, 1], 3, &[true, true, true]),
        (2, &[], 1, &[false]),
        (3, &[0, 1], 1, &[false]),
    ];
    for (before, ended, now, want) in cases {
        let mut operator = former(1, before);
        operator.ended = ended.iter().map(|n| SubtaskIndex(*n)).collect();
        let mut chained = operator.clone();
        chained.operator = OperatorId(2);
        let both = metadata(vec![operator.clone(), chained]);
        let plan = planned(&both, &[info(1, now), info(2, now)]).unwrap();
        let found: Vec<_> = all_subtasks(&plan, now).iter().map(|r| r.ended).collect();
        assert_eq!(found, want, "{ended:?} of {before}, now {now}");
        // A new operator in the chain has not ended, so the chain has not.
        let plan = planned(&metadata(vec![operator]), &[info(1, now), info(3, now)]).unwrap();
        assert!(all_subtasks(&plan, now).iter().all(|r| !r.ended));
    }
}

proptest! {
    /// Keys, split elements, union elements and raw parts, through real backends.
    #[test]
    fn everything_is_owned_exactly_once_at_any_parallelism(before in 1u32..=MAX, now in 1u32..=MAX) {
        let mut operator = former(1, before);
        for (subtask, state) in &mut operator.subtasks {
            let range = KeyGroupRange::of_subtask(MAX, before, subtask.0);
            let mut backend = KeyedBackend::<u32>::new(MAX, range);
            let value = backend.value_state::<u32>("value").unwrap();
            for key in 0..200 {
                backend.set_key(key).unwrap();
                if range.contains(backend.key_group().unwrap()) {
                    value.set(&mut backend, key).unwrap();
                }
            }
            backend.snapshot_begin(CheckpointId(4), Size::Full).unwrap();
            let bytes = keyed_file::encode(&backend.snapshot_finish().unwrap(), Compression::Lz4);
            state.keyed = vec![KeyedHandle {
                stored: Stored::Inline(bytes),
                ..keyed(4, None, range)
            }];
            let mut backend = OperatorStateBackend::new();
            let split = backend.list_state::<u32>("split").unwrap();
            let union = backend.union_list_state::<u32>("union").unwrap();
            for n in 0..=subtask.0 {
                split.add(&mut backend, subtask.0 * 100 + n).unwrap();
                union.add(&mut backend, subtask.0 * 100 + n).unwrap();
            }
            state.operator_state = Some(Stored::Inline(blob::encode(&backend.snapshot().unwrap())));
        }
        let plan = planned(&metadata(vec![operator]), &[info(1, now)]).unwrap();
        let (mut keys, mut split, mut raw) = (Vec::new(), Vec::new(), Vec::new());
        for subtask in 0..now {
            let (_, restore) = plan.subtask(VERTEX, SubtaskIndex(subtask)).operators.remove(0);
            let range = KeyGroupRange::of_subtask(MAX, now, subtask);
            let files = restore.keyed.iter().map(|handle| read(handle).unwrap());
            let mut backend = KeyedBackend::<u32>::restored(MAX, range, files).unwrap();
            let value = backend.value_state::<u32>("value").unwrap();
            for key in 0..200 {
                backend.set_key(key).unwrap();
                if range.contains(backend.key_group().unwrap()) {
                    keys.extend(value.get(&mut backend).unwrap().copied());
                }
            }
            let former: Vec<OperatorSnapshot> = restore.operator_state.iter().map(|(_, stored)| {
                let Stored::Inline(bytes) = stored else { unreachable!("all is inline") };
                blob::decode(bytes).unwrap()
            }).collect();
            let own = own_part(&former, now as usize, subtask as usize).unwrap();
            let mut backend = OperatorStateBackend::restored(own);
            let list = backend.list_state::<u32>("split").unwrap();
            split.extend_from_slice(list.get(&mut backend).unwrap());
            let union = backend.union_list_state::<u32>("union").unwrap();
            let found = union.get(&mut backend).unwrap().len();
            prop_assert_eq!(found as u32, before * (before + 1) / 2, "all see all of it, once");
            raw.extend(restore.raw.iter().map(|(former, _)| former.0));
        }
        keys.sort_unstable();
        prop_assert_eq!(keys, (0..200).collect::<Vec<u32>>());
        split.sort_unstable();
        let all = (0..before).flat_map(|subtask| (0..=subtask).map(move |n| subtask * 100 + n));
        prop_assert_eq!(split, all.collect::<Vec<_>>());
        raw.sort_unstable();
        prop_assert_eq!(raw, (0..before).collect::<Vec<_>>());
    }
}

/// Reads what a handle says of a file.
fn read(handle: &KeyedHandle) -> Result<KeyedSnapshot, String> {
    let Stored::Inline(bytes) = &handle.stored else {
        return Err("all is inline".to_owned());
    };
    let mut read = |range: std::ops::Range<u64>| {
        let part = &bytes[range.start as usize..range.end as usize];
        Ok::<_, std::convert::Infallible>(part.to_vec())
    };
    let mut reader =
        keyed_file::Reader::open(&mut read, bytes.len() as u64).map_err(|e| e.to_string())?;
    reader.read_groups(handle.range).map_err(|e| e.to_string())
}
