use proptest::prelude::*;
use weir_state::KeyedBackend;
use weir_types::KeyGroupRange;

use super::*;
use crate::golden::{self, damage};
use crate::handle::{FileContent, KeyedHandle, ObjectRef, Stored, StoredFile};

const RANGE: KeyGroupRange = KeyGroupRange { start: 0, end: 3 };

fn keyed(checkpoint: u64, base: Option<u64>) -> KeyedHandle {
    let mut backend = KeyedBackend::<String>::new(8, RANGE);
    backend.map_state::<u8, (u64, Option<f64>)>("map").unwrap();
    backend
        .snapshot_begin(CheckpointId(checkpoint), weir_state::SnapshotKind::Full)
        .unwrap();
    let states = backend.snapshot_finish().unwrap().states;
    KeyedHandle {
        stored: Stored::Object(ObjectRef {
            path: format!("shared/2-{checkpoint}/a"),
            size: 100,
            checksum: 0x1234_5678_9ABC_DEF0_1234_5678_9ABC_DEF0,
        }),
        checkpoint: CheckpointId(checkpoint),
        base: base.map(CheckpointId),
        range: RANGE,
        max_parallelism: 8,
        states: states.into_iter().map(|state| state.meta).collect(),
    }
}

fn sample() -> CheckpointMetadata {
    let state = OperatorSubtaskState {
        operator: OperatorId(7),
        keyed: vec![keyed(3, None), keyed(5, Some(3))],
        operator_state: None,
        raw: Some(Stored::Inline(vec![1, 2, 3])),
        uncommitted: true,
    };
    let operator = OperatorMetadata {
        operator: OperatorId(7),
        name: "count".to_owned(),
        uid: Some("count-words".to_owned()),
        parallelism: 2,
        max_parallelism: 8,
        enumerator: None,
        subtasks: vec![(SubtaskIndex(0), state)],
        ended: vec![SubtaskIndex(1)],
    };
    let source = OperatorMetadata {
        operator: OperatorId(9),
        name: "lines".to_owned(),
        uid: None,
        parallelism: 1,
        max_parallelism: 128,
        enumerator: Some(b"splits".to_vec()),
        subtasks: Vec::new(),
        ended: Vec::new(),
    };
    CheckpointMetadata {
        state_id: JobId(42),
        id: CheckpointId(5),
        epoch: Epoch(2),
        kind: SnapshotKind::Savepoint,
        operation: Some(OperationId("upgrade-1".to_owned())),
        triggered_ms: 1_700_000_000_000,
        completed_ms: 1_700_000_000_250,
        weir_version: "0.1.0".to_owned(),
        operators: vec![operator, source],
    }
}

#[test]
fn metadata_of_version_1_stays_readable() {
    let value = sample();
    golden::check("metadata-v1", &value, &encode(&value), |bytes| {
        decode(bytes).unwrap()
    });
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    golden::every_damage_is_noticed(&encode(&sample()), |bytes| decode(bytes).is_err());
}

#[test]
fn a_later_version_is_named_and_not_guessed_at() {
    let later = Envelope { version: 2, ..V1 };
    let error = decode(&later.seal(b"whatever comes then")).unwrap_err();
    let text = weir_types::causes(&error);
    assert!(
        text.contains("has format version 2, this program reads version 1"),
        "{text}"
    );
}

#[test]
fn metadata_that_contradicts_itself_is_refused() {
    type Break = fn(&mut CheckpointMetadata);
    let cases: [(Break, &str); 8] = [
        (|m| m.operators.swap(0, 1), "not in the order of their ids"),
        (|m| m.operators[0].parallelism = 0, "parallelism 0"),
        (
            |m| m.operators[0].parallelism = 9,
            "parallelism 9 and max parallelism 8",
        ),
        (
            |m| m.operators[0].ended = vec![SubtaskIndex(2)],
            "ended subtask 2",
        ),
        (
            |m| m.operators[0].subtasks[0].0 = SubtaskIndex(2),
            "subtask 2",
        ),
        (
            |m| m.operators[0].subtasks[0].1.keyed[0].range = KeyGroupRange { start: 2, end: 1 },
            "key groups 2..=1",
        ),
        (
            |m| drop(m.operators[0].subtasks[0].1.keyed.remove(0)),
            "continues one of checkpoint 3",
        ),
        (
            |m| m.operators[0].subtasks[0].1.keyed[0].max_parallelism = 16,
            "max parallelism 16",
        ),
    ];
    for (break_it, want) in cases {
        let mut broken = sample();
        break_it(&mut broken);
        let error = decode(&encode(&broken)).unwrap_err();
        assert!(matches!(error, MetadataError::Inconsistent { .. }));
        assert!(error.to_string().contains(want), "{error}, want {want}");
    }
}

/// The database of an operator: a file that checkpoint 3 stored, and one of this one's own.
fn with_files(names: [&str; 2]) -> CheckpointMetadata {
    let mut metadata = sample();
    let object = |path: &str| ObjectRef {
        path: path.to_owned(),
        size: 10,
        checksum: 1,
    };
    let [old, new] = names;
    let files = vec![
        StoredFile {
            name: old.to_owned(),
            checkpoint: CheckpointId(3),
            shared: true,
            content: FileContent::Object(object("chk-2-3/old")),
        },
        StoredFile {
            name: new.to_owned(),
            checkpoint: CheckpointId(5),
            shared: false,
            content: FileContent::Inline(vec![7]),
        },
    ];
    let handle = KeyedHandle {
        stored: Stored::Files(files),
        ..keyed(5, None)
    };
    metadata.operators[0].subtasks[0].1.keyed = vec![handle];
    metadata
}

#[test]
fn files_of_a_database_are_read_back_and_name_what_they_reuse() {
    let metadata = with_files(["000007.sst", "MANIFEST-000004"]);
    assert_eq!(decode(&encode(&metadata)), Ok(metadata.clone()));
    let state = &metadata.operators[0].subtasks[0].1;
    let paths = |objects: Vec<&ObjectRef>| -> Vec<String> {
        objects
            .into_iter()
            .map(|object| object.path.clone())
            .collect()
    };
    assert_eq!(
        paths(state.keyed[0].stored.objects().collect()),
        ["chk-2-3/old"]
    );
    let reused = |id| paths(state.keyed[0].reused(CheckpointId(id)).collect());
    assert_eq!(reused(5), ["chk-2-3/old"]);
    assert_eq!(reused(3), [""; 0], "its own");
    assert_eq!(state.keyed[0].stored.size(), 11);
}

#[test]
fn a_file_that_no_database_can_have_is_refused() {
    for names in [
        ["../000007.sst", "CURRENT"],
        ["/etc/passwd", "CURRENT"],
        [".hidden", "CURRENT"],
        ["", "CURRENT"],
        ["CURRENT", "CURRENT"],
    ] {
        let error = decode(&encode(&with_files(names))).unwrap_err();
        assert!(
            error.to_string().contains("a database has no file"),
            "{error}"
        );
    }
    let mut metadata = with_files(["000007.sst", "CURRENT"]);
    let state = &mut metadata.operators[0].subtasks[0].1;
    state.raw = Some(state.keyed[0].stored.clone());
    let error = decode(&encode(&metadata)).unwrap_err();
    assert!(
        error.to_string().contains("where a blob should be"),
        "{error}"
    );
}

#[test]
fn a_hash_has_64_digits_and_is_that_of_everyone() {
    assert_eq!(
        sha256_hex(b"abc"),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

proptest! {
    #[test]
    fn damaged_metadata_gives_an_error(damage in damage()) {
        if let Some(damaged) = damage.apply(&encode(&sample())) {
            prop_assert!(decode(&damaged).is_err());
        }
    }

    /// The checksum is right, so the body's own decoder has to cope.
    #[test]
    fn a_foreign_body_never_panics(damage in damage()) {
        let body = postcard::to_allocvec(&sample()).unwrap();
        if let Some(damaged) = damage.apply(&body) {
            drop(decode(&V1.seal(&damaged)));
        }
    }
}
