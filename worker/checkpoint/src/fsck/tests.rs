use weir_state::{KeyedBackend, SnapshotKind as Size};
use weir_types::{Epoch, KeyGroupRange};

use super::*;
use crate::fixtures;
use crate::keyed_file::Compression;
use crate::metadata::encode;
use crate::pointer::SnapshotKind;

const RANGE: KeyGroupRange = KeyGroupRange { start: 0, end: 3 };

fn keyed_bytes() -> Vec<u8> {
    let mut backend = KeyedBackend::<u32>::new(4, RANGE);
    backend.snapshot_begin(CheckpointId(5), Size::Full).unwrap();
    keyed_file::encode(&backend.snapshot_finish().unwrap(), Compression::None)
}

fn stored(path: &str, bytes: &[u8]) -> Stored {
    Stored::Object(ObjectRef {
        path: path.to_owned(),
        size: bytes.len() as u64,
        checksum: hash128(bytes),
    })
}

fn metadata(kind: SnapshotKind, raw: Stored) -> CheckpointMetadata {
    let keyed = KeyedHandle {
        stored: stored("keyed", &keyed_bytes()),
        checkpoint: CheckpointId(5),
        base: None,
        range: RANGE,
        max_parallelism: 4,
        states: Vec::new(),
    };
    fixtures::metadata(5, kind, 4, vec![keyed], raw)
}

#[test]
fn each_object_is_checked_once_and_every_defect_has_a_name() {
    let raw = blob::encode(&RawState::new());
    let checkpoint = metadata(SnapshotKind::Savepoint, stored("raw", &raw));
    let (checks, defects) = checks("savepoint-1-5", &checkpoint);
    assert!(defects.is_empty());
    let paths: Vec<_> = checks.iter().map(|check| check.path.as_str()).collect();
    assert_eq!(paths, ["savepoint-1-5/keyed", "savepoint-1-5/raw"]);
    let (keyed, bytes) = (&checks[0], keyed_bytes());
    let mut damaged = bytes.clone();
    damaged[20] ^= 1;
    let mut report = Report::default();
    report.add(keyed, keyed.verify(&bytes));
    assert!(report.defects.is_empty());
    report.add(keyed, keyed.verify(&damaged));
    report.add(keyed, keyed.verify(&bytes[1..]));
    report.add(keyed, keyed.verify_size(None));
    assert_eq!(report.objects, 4);
    let texts: Vec<_> = report.defects.iter().map(ToString::to_string).collect();
    let len = bytes.len();
    assert_eq!(
        texts,
        [
            "`savepoint-1-5/keyed` was damaged: its checksum does not match".to_owned(),
            format!(
                "`savepoint-1-5/keyed` has {} bytes and should have {len}",
                len - 1
            ),
            "`savepoint-1-5/keyed` is missing".to_owned(),
        ]
    );
}

#[test]
fn bytes_with_the_right_checksum_that_make_no_sense_are_told() {
    let garbage = b"not raw state";
    let checkpoint = metadata(SnapshotKind::Checkpoint, stored("chk-1-5/raw", garbage));
    let (found, _) = checks("chk-1-5", &checkpoint);
    let verdict = found[0].verify(garbage).unwrap_err();
    assert!(
        matches!(&verdict, Defect::Content { path, .. } if path == "chk-1-5/raw"),
        "{verdict}"
    );
    let inline = metadata(SnapshotKind::Checkpoint, Stored::Inline(garbage.to_vec()));
    let (found, defects) = checks("chk-1-5", &inline);
    assert_eq!((found.len(), defects.len()), (1, 1));
    assert!(
        defects[0].to_string().contains("the raw state of `count`"),
        "{}",
        defects[0]
    );
}

#[test]
fn metadata_must_be_the_one_that_the_pointer_names() {
    let bytes = encode(&metadata(
        SnapshotKind::Checkpoint,
        Stored::Inline(Vec::new()),
    ));
    let snapshot = SnapshotRef {
        id: CheckpointId(5),
        epoch: Epoch(1),
        kind: SnapshotKind::Checkpoint,
        path: "chk-1-5".to_owned(),
        sha256: sha256_hex(&bytes),
        size: bytes.len() as u64,
        completed_ms: 0,
        operation: None,
    };
    assert_eq!(verify_metadata(&snapshot, &bytes), Ok(()));
    let mut other = bytes.clone();
    other[30] ^= 1;
    let path = "chk-1-5/_metadata".to_owned();
    assert_eq!(
        verify_metadata(&snapshot, &other),
        Err(Defect::Checksum { path })
    );
    assert!(matches!(
        verify_metadata(&snapshot, &bytes[1..]),
        Err(Defect::Size { .. })
    ));
}
