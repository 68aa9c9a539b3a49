//! Two checkpoints of which the second takes over the first one's object and has one of its own.

use std::sync::Arc;

use weir_checkpoint::collector::METADATA;
use weir_checkpoint::handle::KeyedHandle;
use weir_checkpoint::metadata::{self, sha256_hex};
use weir_checkpoint::pointer::{RunState, SnapshotKind};
use weir_storage::{Call, Fault, FaultyStore, MemoryStore, Operation, StoreErrorKind};
use weir_types::{CheckpointId, Epoch, JobId};

use super::*;
use crate::fixtures::{checkpoint, keyed};

fn path(of: &str) -> ObjectPath {
    ObjectPath::new(of).expect("a path")
}

fn handle(id: u64) -> KeyedHandle {
    keyed(format!("shared/{id}"), id)
}

fn store_checkpoint(store: &dyn ObjectStore, id: u64) -> SnapshotRef {
    let written = store.create(&path(&format!("shared/{id}")), &id.to_le_bytes());
    written.expect("it is new");
    let handles = (1..=id).map(handle).collect();
    let bytes = metadata::encode(&checkpoint(Epoch(1), id, handles));
    let folder = format!("chk-1-{id}");
    let written = store.create(&path(&format!("{folder}/{METADATA}")), &bytes);
    written.expect("it is new");
    SnapshotRef {
        id: CheckpointId(id),
        epoch: Epoch(1),
        kind: SnapshotKind::Checkpoint,
        path: folder,
        sha256: sha256_hex(&bytes),
        size: bytes.len() as u64,
        completed_ms: 0,
        operation: None,
    }
}

fn job(store: &dyn ObjectStore) -> Pointer {
    let retained: Vec<_> = (1..=2).map(|id| store_checkpoint(store, id)).collect();
    Pointer {
        state_id: JobId(1),
        deployment: 1,
        epoch: Epoch(2),
        holder: "test".to_owned(),
        nonce: 1,
        run_state: RunState::Running,
        last_id: CheckpointId(2),
        latest: retained.last().cloned(),
        retained,
        roots: Vec::new(),
        forgotten: Vec::new(),
        branch: None,
        rewind: None,
    }
}

/// The number of the checkpoint that it goes on from, and the warning.
fn goes_on_from(
    store: &dyn ObjectStore,
    pointer: &Pointer,
    transactional: bool,
    look: Look,
) -> Result<(u64, Option<String>), ClaimError> {
    let point = restore_point(store, pointer, transactional, look)?;
    let (metadata, warning) = point.expect("it has a checkpoint");
    Ok((metadata.id.0, warning))
}

#[test]
fn a_job_whose_newest_checkpoint_is_whole_goes_on_from_it() {
    let store = MemoryStore::default();
    let pointer = job(&store);
    for look in [Look::Metadata, Look::Objects] {
        let from = goes_on_from(&store, &pointer, true, look);
        assert_eq!(from.expect("it is whole"), (2, None));
    }
}

#[test]
fn a_job_goes_back_by_itself_if_an_object_of_its_newest_checkpoint_is_gone_or_cut_off() {
    for cut_off in [false, true] {
        let store = MemoryStore::default();
        let pointer = job(&store);
        store.delete(&path("shared/2")).expect("it goes");
        if cut_off {
            store.create(&path("shared/2"), &[1]).expect("it is new");
        }
        let from = goes_on_from(&store, &pointer, false, Look::Objects);
        let (id, warning) = from.expect("the older one is whole");
        let warning = warning.expect("people are told");
        assert_eq!(id, 1);
        assert!(warning.contains("shared/2"), "{warning}");
        assert!(warning.contains("chk-1-1"), "{warning}");
    }
}

/// What it holds was left behind by a person's word.
#[test]
fn a_job_that_began_anew_goes_back_to_nothing_of_the_branch_before() {
    let store = MemoryStore::default();
    let mut pointer = job(&store);
    let mut own = store_checkpoint(&store, 3);
    own.epoch = Epoch(2);
    (pointer.last_id, pointer.latest) = (own.id, Some(own.clone()));
    pointer.retained.push(own);
    store.delete(&path("shared/3")).expect("it goes");
    let from = goes_on_from(&store, &pointer, false, Look::Objects);
    assert_eq!(from.expect("they are of one branch").0, 2);
    pointer.branch = Some(Epoch(2));
    let refused = goes_on_from(&store, &pointer, false, Look::Objects);
    let refused = refused.expect_err("it would go back across the word");
    assert!(
        matches!(refused, ClaimError::LatestUnreadable { .. }),
        "{refused:?}"
    );
}

#[test]
fn a_job_with_a_sink_that_commits_stays_where_it_is_and_names_what_is_missing() {
    let store = MemoryStore::default();
    let pointer = job(&store);
    store.delete(&path("shared/1")).expect("it goes");
    store.delete(&path("shared/2")).expect("it goes");
    let refused = goes_on_from(&store, &pointer, true, Look::Objects);
    let text = refused.expect_err("it would go back").to_string();
    assert!(text.contains("`shared/1` is missing, and 1 more"), "{text}");
    // While it runs nobody looks that closely: its objects may go at any moment.
    assert!(goes_on_from(&store, &pointer, true, Look::Metadata).is_ok());
}

#[test]
fn a_store_that_does_not_answer_takes_no_job_back() {
    for fails in [Operation::Get, Operation::List] {
        let inner = Arc::new(MemoryStore::default());
        let pointer = job(inner.as_ref());
        let store = FaultyStore::new(inner, move |call: &Call| match call.operation == fails {
            true => Fault::Fail(StoreErrorKind::Unavailable),
            false => Fault::None,
        });
        let refused = goes_on_from(&store, &pointer, false, Look::Objects);
        assert!(matches!(refused, Err(ClaimError::Store(_))), "{refused:?}");
    }
}
