//! The stored form and the rule of what is kept.

use proptest::prelude::*;

use super::*;

fn snapshot(id: u64, kind: SnapshotKind) -> SnapshotRef {
    SnapshotRef {
        id: CheckpointId(id),
        epoch: Epoch(2),
        kind,
        path: kind.folder(Epoch(2), CheckpointId(id)),
        sha256: "ab".repeat(32),
        size: 100 + id,
        completed_ms: 1_700_000_000_000,
        operation: (kind == SnapshotKind::Savepoint).then(|| OperationId(format!("op-{id}"))),
    }
}

fn pointer() -> Pointer {
    let mut pointer = Pointer {
        state_id: JobId(0xABC),
        deployment: 1,
        epoch: Epoch(3),
        holder: "jobmanager-0".to_owned(),
        nonce: u128::MAX - 1,
        run_state: RunState::Stopping(OperationId("stop".to_owned())),
        last_id: CheckpointId(7),
        latest: None,
        retained: Vec::new(),
        roots: vec![Root {
            operation: OperationId("op-1".to_owned()),
            path: "chk-2-1".to_owned(),
        }],
        forgotten: Vec::new(),
        branch: None,
        rewind: None,
    };
    pointer.complete(snapshot(4, SnapshotKind::Checkpoint), 2);
    pointer.complete(snapshot(6, SnapshotKind::Savepoint), 2);
    pointer
}

/// A change of this text is a change of a storage format.
#[test]
fn version_one_looks_like_this() {
    let text = String::from_utf8(pointer().encode()).unwrap();
    let golden = include_str!("tests/pointer-v1.json");
    assert_eq!(text, golden);
    assert_eq!(Pointer::decode(golden.as_bytes()).unwrap(), pointer());
}

/// Pointers that never began anew look as they did before there was such a thing.
#[test]
fn version_one_of_a_job_that_a_person_took_back_looks_like_this() {
    let mut rewound = pointer();
    rewound.branch = Some(Epoch(3));
    rewound.rewind = Some(Rewind {
        operation: OperationId::of_rewind(Some("monday")),
        path: Some("/data/state/job/savepoint-2-6".to_owned()),
    });
    let text = String::from_utf8(rewound.encode()).unwrap();
    let golden = include_str!("tests/pointer-v1-rewound.json");
    assert_eq!(text, golden);
    assert_eq!(Pointer::decode(golden.as_bytes()).unwrap(), rewound);
}

#[test]
fn what_is_not_a_pointer_is_refused_with_its_kind() {
    let text = String::from_utf8(pointer().encode()).unwrap();
    let decode = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        Pointer::decode(text.replacen(from, to, 1).as_bytes()).unwrap_err()
    };
    use DecodePointerError as E;
    assert!(matches!(
        decode("\"version\": 1", "\"version\": 2"),
        E::Version { found: 2 }
    ));
    assert!(matches!(
        decode("\"epoch\": 3", "\"epoch\": 5"),
        E::Checksum { .. }
    ));
    assert!(matches!(decode("\"roots\"", "\"rotos\""), E::Parse(_)));
    assert!(matches!(decode("\"deployment\": 1,", ""), E::Parse(_)));
    assert!(matches!(
        decode("\"deployment\": 1", "\"deployment\": 1, \"x\": 1"),
        E::Parse(_)
    ));
    assert!(matches!(Pointer::decode(b""), Err(E::Parse(_))));
}

#[test]
fn a_pointer_that_contradicts_itself_is_refused_though_its_checksum_is_right() {
    let refused = |change: &dyn Fn(&mut Pointer)| {
        let mut pointer = pointer();
        change(&mut pointer);
        let error = Pointer::decode(&pointer.encode()).unwrap_err();
        assert!(
            matches!(error, DecodePointerError::Contradiction(_)),
            "{error}"
        );
    };
    refused(&|pointer| pointer.retained.reverse());
    refused(&|pointer| pointer.latest = Some(snapshot(5, SnapshotKind::Checkpoint)));
    refused(&|pointer| pointer.last_id = CheckpointId(5));
    refused(&|pointer| pointer.epoch = Epoch(1));
    refused(&|pointer| pointer.branch = Some(Epoch(4)));
}

#[test]
fn a_job_that_began_anew_keeps_what_it_had_before() {
    let mut pointer = pointer();
    pointer.latest = None;
    assert_eq!(Pointer::decode(&pointer.encode()).unwrap(), pointer);
}

/// Pointers that have nothing to say of it look as they did before there was such a list.
#[test]
fn what_was_let_go_of_is_remembered_once_and_of_many_the_newest() {
    let mut pointer = pointer();
    let text = String::from_utf8(pointer.encode()).unwrap();
    assert!(!text.contains("forgotten"), "{text}");
    let op = |id: u64| OperationId(format!("op-{id}"));
    assert!(!pointer.forget(&op(6)), "it is the newest");
    assert!(!pointer.forget(&op(1)), "there is none");
    assert_eq!(pointer.forgotten, []);
    for id in 8..308 {
        pointer.complete(snapshot(id, SnapshotKind::Savepoint), 2);
        assert_eq!(pointer.forget(&op(id - 1)), id != 8);
    }
    assert_eq!(pointer.forgotten.len(), FORGOTTEN_MAX);
    assert_eq!(pointer.forgotten.last(), Some(&op(306)));
    assert!(!pointer.forget(&op(306)), "it is gone");
    assert_eq!(pointer.forgotten.len(), FORGOTTEN_MAX);
    assert_eq!(Pointer::decode(&pointer.encode()).unwrap(), pointer);
}

#[test]
fn white_space_of_a_person_who_has_looked_at_it_does_no_harm() {
    let text = String::from_utf8(pointer().encode()).unwrap();
    let compact: String = text.lines().map(str::trim).collect();
    assert_eq!(Pointer::decode(compact.as_bytes()).unwrap(), pointer());
}

#[test]
fn a_running_operation_keeps_an_old_checkpoint() {
    let mut pointer = pointer();
    pointer
        .retained
        .insert(0, snapshot(1, SnapshotKind::Checkpoint));
    for id in 8..12 {
        pointer.complete(snapshot(id, SnapshotKind::Checkpoint), 2);
    }
    let kept: Vec<u64> = pointer.retained.iter().map(|kept| kept.id.0).collect();
    assert_eq!(kept, [1, 6, 10, 11], "1: a root, 6: a savepoint");
    assert_eq!(pointer.last_id, CheckpointId(11));
}

/// Fails if a savepoint could never be deleted once the job was restored from it, or if something
/// that only a root keeps were lost.
#[test]
fn a_savepoint_that_an_older_deployment_began_with_may_go_once_a_newer_one_has_its_own() {
    let savepoint = "s3://b/job/savepoint-2-6/_metadata";
    for (deployment, issued, path, stays) in [
        (2, Some(1), savepoint, false),
        (1, Some(1), savepoint, true),
        (2, None, savepoint, true),
        (2, Some(1), "s3://b/job/chk-2-4", true),
        (2, Some(1), "s3://b/other/savepoint-1-3", true),
    ] {
        let mut pointer = pointer();
        pointer.deployment = deployment;
        pointer.roots = vec![Root {
            operation: OperationId::of_restore(issued),
            path: path.to_owned(),
        }];
        pointer.complete(snapshot(8, SnapshotKind::Checkpoint), 2);
        let case = format!("deployment {deployment}, issued {issued:?}, {path}");
        assert_eq!(pointer.roots.len(), usize::from(stays), "{case}");
        let needed = pointer.needs(&OperationId("op-6".to_owned())).is_some();
        assert_eq!(needed, stays && path == savepoint, "{case}");
        assert!(pointer.retained.iter().any(|kept| kept.id.0 == 6), "{case}");
    }
}

proptest! {
    #[test]
    fn a_damaged_pointer_never_reads_as_another_one(at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let mut bytes = pointer().encode();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(read) = Pointer::decode(&bytes) {
            prop_assert_eq!(read, pointer());
        }
        prop_assert!(Pointer::decode(&pointer().encode()[..at.min(bytes.len() - 2)]).is_err());
    }

    #[test]
    fn the_newest_checkpoints_and_all_savepoints_are_kept(
        kinds in prop::collection::vec(any::<bool>(), 1..40),
        retained in 0..5u32,
    ) {
        let mut pointer = pointer();
        (pointer.latest, pointer.roots) = (None, Vec::new());
        pointer.retained.clear();
        let mut all = Vec::new();
        for (id, savepoint) in kinds.into_iter().enumerate() {
            let kind = [SnapshotKind::Checkpoint, SnapshotKind::Savepoint][usize::from(savepoint)];
            all.push(snapshot(id as u64 + 10, kind));
            pointer.complete(all[id].clone(), retained);
            let checkpoints = all.iter().filter(|s| s.kind == SnapshotKind::Checkpoint);
            let newest: Vec<_> = checkpoints.rev().take(retained.max(1) as usize).collect();
            let mut want = all.clone();
            want.retain(|s| s.kind == SnapshotKind::Savepoint || newest.contains(&s));
            prop_assert_eq!(&pointer.retained, &want);
            prop_assert_eq!(pointer.latest.as_ref(), all.last());
        }
    }
}
