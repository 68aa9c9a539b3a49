//! Stores that do not keep their promises, and the probe that refuses them.

use std::ops::Range;
use std::sync::Arc;

use super::{names, path};
use crate::{
    Fault, FaultyStore, MemoryStore, ObjectInfo, ObjectPath, ObjectStore, ObjectWriter, Operation,
    StoreError, StoreErrorKind, Version, probe,
};

/// What a store does wrong.
#[derive(Clone, Copy, PartialEq)]
enum Flaw {
    OverwritesObjects,
    IgnoresVersions,
    ReadsLate,
    ListsLate,
}

#[derive(Clone)]
struct Flawed {
    inner: MemoryStore,
    flaw: Flaw,
}

impl ObjectStore for Flawed {
    fn location(&self) -> String {
        "flawed".into()
    }

    fn get(&self, path: &ObjectPath) -> Result<Vec<u8>, StoreError> {
        if self.flaw == Flaw::ReadsLate {
            return Ok(b"what was here before".to_vec());
        }
        self.inner.get(path)
    }

    fn get_range(&self, path: &ObjectPath, range: Range<u64>) -> Result<Vec<u8>, StoreError> {
        self.inner.get_range(path, range)
    }

    fn create(&self, path: &ObjectPath, bytes: &[u8]) -> Result<(), StoreError> {
        if self.flaw == Flaw::OverwritesObjects {
            self.inner.corrupt(path, bytes);
            return Ok(());
        }
        self.inner.create(path, bytes)
    }

    fn create_large(&self, path: &ObjectPath) -> Result<Box<dyn ObjectWriter>, StoreError> {
        self.inner.create_large(path)
    }

    fn list(&self, folder: &ObjectPath) -> Result<Vec<ObjectInfo>, StoreError> {
        if self.flaw == Flaw::ListsLate {
            return Ok(Vec::new());
        }
        self.inner.list(folder)
    }

    fn delete(&self, path: &ObjectPath) -> Result<(), StoreError> {
        self.inner.delete(path)
    }

    fn read_register(&self, path: &ObjectPath) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        self.inner.read_register(path)
    }

    fn swap_register(
        &self,
        path: &ObjectPath,
        expected: Option<&Version>,
        bytes: &[u8],
    ) -> Result<Version, StoreError> {
        if self.flaw == Flaw::IgnoresVersions && expected.is_some() {
            loop {
                let current = self.inner.read_register(path)?.map(|(_, version)| version);
                if let Ok(version) = self.inner.swap_register(path, current.as_ref(), bytes) {
                    return Ok(version);
                }
            }
        }
        self.inner.swap_register(path, expected, bytes)
    }

    fn within(&self, _folder: &ObjectPath) -> Arc<dyn ObjectStore> {
        Arc::new(self.clone())
    }
}

#[test]
fn a_store_that_breaks_a_promise_is_refused() {
    for (flaw, said) in [
        (Flaw::OverwritesObjects, "8 of them won"),
        (Flaw::IgnoresVersions, "8 of them won"),
        (Flaw::ReadsLate, "give back"),
        (Flaw::ListsLate, "list"),
    ] {
        let inner = MemoryStore::new();
        let error = probe(&Flawed {
            inner: inner.clone(),
            flaw,
        })
        .unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Unsuitable, "{error}");
        assert!(error.source.to_string().contains(said), "{}", error.source);
        assert_eq!(names(&inner, ""), [""; 0], "the probe left something");
    }
}

#[test]
fn a_store_that_cannot_be_reached_is_not_called_unsuitable() {
    for failing in [
        Operation::Create,
        Operation::SwapRegister,
        Operation::Get,
        Operation::List,
    ] {
        let store = FaultyStore::new(Arc::new(MemoryStore::new()), move |call| {
            if call.operation == failing {
                Fault::Fail(StoreErrorKind::Unavailable)
            } else {
                Fault::None
            }
        });
        assert_eq!(
            probe(&store).unwrap_err().kind,
            StoreErrorKind::Unavailable,
            "{failing:?}"
        );
    }
}

#[test]
fn probes_of_processes_that_died_are_removed_after_an_hour() {
    let clock = Arc::new(weir_types::ManualClock::at(1_000_000_000));
    let store = MemoryStore::with_clock(Arc::<weir_types::ManualClock>::clone(&clock));
    store.create(&path("_probe/old-object"), b"1").unwrap();
    clock.advance(std::time::Duration::from_secs(1_800));
    store.create(&path("_probe/young-object"), b"1").unwrap();
    clock.advance(std::time::Duration::from_secs(1_801));
    probe(&store).unwrap();
    assert_eq!(names(&store, ""), ["_probe/young-object"]);
}
