//! The store that fails as planned.

use std::sync::{Arc, Mutex};

use super::{path, write_large};
use crate::{Call, Fault, FaultyStore, MemoryStore, ObjectStore, Operation, StoreErrorKind};

/// A store on which every call of one kind has a fault, and what lies behind it.
fn failing(operation: Operation, fault: Fault) -> (FaultyStore, MemoryStore) {
    let behind = MemoryStore::new();
    let store = FaultyStore::new(Arc::new(behind.clone()), move |call| {
        if call.operation == operation {
            fault
        } else {
            Fault::None
        }
    });
    (store, behind)
}

#[test]
fn a_lost_answer_means_that_the_write_was_done() {
    let (store, behind) = failing(Operation::Create, Fault::LoseAnswer);
    let error = store.create(&path("object"), b"1").unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::InDoubt);
    assert_eq!(behind.get(&path("object")).unwrap(), b"1");

    let (store, behind) = failing(Operation::SwapRegister, Fault::LoseAnswer);
    let error = store
        .swap_register(&path("register"), None, b"1")
        .unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::InDoubt);
    assert_eq!(
        behind.read_register(&path("register")).unwrap().unwrap().0,
        b"1"
    );

    let (store, behind) = failing(Operation::Finish, Fault::LoseAnswer);
    assert_eq!(
        write_large(&store, "large", &[b"1"]).unwrap_err().kind,
        StoreErrorKind::InDoubt
    );
    assert_eq!(behind.get(&path("large")).unwrap(), b"1");

    let (store, behind) = failing(Operation::Delete, Fault::LoseAnswer);
    behind.create(&path("object"), b"1").unwrap();
    let error = store.delete(&path("object")).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    assert_eq!(
        behind.get(&path("object")).unwrap_err().kind,
        StoreErrorKind::NotFound
    );
}

#[test]
fn a_failed_call_does_nothing() {
    for operation in [Operation::CreateLarge, Operation::Write, Operation::Finish] {
        let (store, behind) = failing(operation, Fault::Fail(StoreErrorKind::NoSpace));
        let error = write_large(&store, "large", &[b"1"]).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::NoSpace, "{operation:?}");
        assert_eq!(behind.list(&path("")).unwrap(), []);
    }
}

#[test]
fn the_plan_sees_calls_in_order_with_their_full_path() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let store = FaultyStore::new(Arc::new(MemoryStore::new()), move |call: &Call| {
        log.lock().unwrap().push(call.clone());
        Fault::None
    });
    store.create(&path("a"), b"1").unwrap();
    store.within(&path("b")).get(&path("c")).unwrap_err();
    store.within(&path("b")).list(&path("")).unwrap();
    let call = |operation, text, number| Call {
        operation,
        path: path(text),
        number,
    };
    assert_eq!(
        *seen.lock().unwrap(),
        [
            call(Operation::Create, "a", 0),
            call(Operation::Get, "b/c", 1),
            call(Operation::List, "b", 2),
        ]
    );
    assert_eq!(store.calls(), 3);
}
