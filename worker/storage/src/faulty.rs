//! A store that fails as it is told, around one that works.
//!
//! The plan is a function of the call, so a test writes down exactly which call goes wrong, and a
//! simulation draws it from its seed. What a real store does by itself, such as retries, is not
//! repeated here: a fault is what comes out in the end.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::object_store::{ObjectInfo, ObjectStore, ObjectWriter, Unfinished, Version};
use crate::{ObjectPath, StoreError, StoreErrorKind};

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// [`ObjectStore::get`].
    Get,
    /// [`ObjectStore::get_range`].
    GetRange,
    /// [`ObjectStore::create`].
    Create,
    /// [`ObjectStore::create_large`].
    CreateLarge,
    /// [`ObjectWriter::write`].
    Write,
    /// [`ObjectWriter::finish`].
    Finish,
    /// [`ObjectStore::list`].
    List,
    /// [`ObjectStore::list_unfinished`].
    ListUnfinished,
    /// [`ObjectStore::abandon`].
    Abandon,
    /// [`ObjectStore::delete`].
    Delete,
    /// [`ObjectStore::read_register`].
    ReadRegister,
    /// [`ObjectStore::swap_register`].
    SwapRegister,
}

impl Operation {
    /// Whether a lost answer leaves open what has happened.
    fn leaves_doubt(self) -> bool {
        matches!(self, Self::Create | Self::Finish | Self::SwapRegister)
    }

    fn verb(self) -> &'static str {
        match self {
            Self::Get => "read",
            Self::GetRange => "read a part of",
            Self::Create | Self::CreateLarge | Self::Write | Self::Finish => "write",
            Self::List => "list",
            Self::ListUnfinished => "list what is not finished in",
            Self::Abandon => "abandon",
            Self::Delete => "delete",
            Self::ReadRegister => "read register",
            Self::SwapRegister => "swap register",
        }
    }
}

/// One call, as the plan sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What is called.
    pub operation: Operation,
    /// On which object, relative to the store that was wrapped.
    pub path: ObjectPath,
    /// How many calls came before it, on this store and all its folders.
    pub number: u64,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It goes through.
    None,
    /// It fails and does nothing.
    Fail(StoreErrorKind),
    /// It is done, but the caller does not learn that: writes fail as `InDoubt`, others as
    /// `Unavailable`.
    LoseAnswer,
    /// It goes through after a while.
    Delay(Duration),
}

type Plan = dyn Fn(&Call) -> Fault + Send + Sync;

/// A store that fails as planned.
#[derive(Clone)]
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    /// Where `inner` lies in the store that was wrapped.
    folder: ObjectPath,
    faults: Faults,
}

#[derive(Clone)]
struct Faults {
    plan: Arc<Plan>,
    calls: Arc<AtomicU64>,
}

impl FaultyStore {
    /// Wraps a store.
    pub fn new(
        inner: Arc<dyn ObjectStore>,
        plan: impl Fn(&Call) -> Fault + Send + Sync + 'static,
    ) -> Self {
        Self {
            inner,
            folder: ObjectPath::default(),
            faults: Faults {
                plan: Arc::new(plan),
                calls: Arc::default(),
            },
        }
    }

    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        self.faults.calls.load(Ordering::SeqCst)
    }

    fn run<T>(
        &self,
        operation: Operation,
        path: &ObjectPath,
        call: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let full = self.folder.join(path.as_str());
        let full = if path.is_empty() {
            Ok(self.folder.clone())
        } else {
            full
        };
        let planned = Planned {
            operation,
            full: full.unwrap_or_else(|_| path.clone()),
            path,
            store: self.inner.location(),
        };
        self.faults.run(planned, call)
    }
}

struct Planned<'a> {
    operation: Operation,
    full: ObjectPath,
    path: &'a ObjectPath,
    store: String,
}

impl Faults {
    fn run<T>(
        &self,
        planned: Planned<'_>,
        call: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let Planned {
            operation,
            full,
            path,
            store,
        } = planned;
        let fail =
            |kind, cause: &str| Err(StoreError::new(kind, operation.verb(), path, store, cause));
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        match (self.plan)(&Call {
            operation,
            path: full,
            number,
        }) {
            Fault::None => call(),
            Fault::Fail(kind) => fail(kind, "planned fault"),
            Fault::Delay(pause) => {
                std::thread::sleep(pause);
                call()
            }
            Fault::LoseAnswer => {
                drop(call());
                let kind = if operation.leaves_doubt() {
                    StoreErrorKind::InDoubt
                } else {
                    StoreErrorKind::Unavailable
                };
                fail(kind, "planned fault: the answer was lost")
            }
        }
    }
}

impl ObjectStore for FaultyStore {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn get(&self, path: &ObjectPath) -> Result<Vec<u8>, StoreError> {
        self.run(Operation::Get, path, || self.inner.get(path))
    }

    fn get_range(&self, path: &ObjectPath, range: Range<u64>) -> Result<Vec<u8>, StoreError> {
        self.run(Operation::GetRange, path, || {
            self.inner.get_range(path, range)
        })
    }

    fn create(&self, path: &ObjectPath, bytes: &[u8]) -> Result<(), StoreError> {
        self.run(Operation::Create, path, || self.inner.create(path, bytes))
    }

    fn create_large(&self, path: &ObjectPath) -> Result<Box<dyn ObjectWriter>, StoreError> {
        let inner = self.run(Operation::CreateLarge, path, || {
            self.inner.create_large(path)
        })?;
        Ok(Box::new(FaultyWriter {
            inner,
            path: path.clone(),
            store: self.clone(),
        }))
    }

    fn list_unfinished(&self, folder: &ObjectPath) -> Result<Vec<Unfinished>, StoreError> {
        self.run(Operation::ListUnfinished, folder, || {
            self.inner.list_unfinished(folder)
        })
    }

    fn abandon(&self, unfinished: &Unfinished) -> Result<(), StoreError> {
        self.run(Operation::Abandon, &unfinished.path, || {
            self.inner.abandon(unfinished)
        })
    }

    fn list(&self, folder: &ObjectPath) -> Result<Vec<ObjectInfo>, StoreError> {
        self.run(Operation::List, folder, || self.inner.list(folder))
    }

    fn delete(&self, path: &ObjectPath) -> Result<(), StoreError> {
        self.run(Operation::Delete, path, || self.inner.delete(path))
    }

    fn read_register(&self, path: &ObjectPath) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        self.run(Operation::ReadRegister, path, || {
            self.inner.read_register(path)
        })
    }

    fn swap_register(
        &self,
        path: &ObjectPath,
        expected: Option<&Version>,
        bytes: &[u8],
    ) -> Result<Version, StoreError> {
        self.run(Operation::SwapRegister, path, || {
            self.inner.swap_register(path, expected, bytes)
        })
    }

    fn within(&self, folder: &ObjectPath) -> Arc<dyn ObjectStore> {
        let joined = self.folder.join(folder.as_str());
        Arc::new(Self {
            inner: self.inner.within(folder),
            folder: joined.unwrap_or_else(|_| self.folder.clone()),
            faults: self.faults.clone(),
        })
    }
}

struct FaultyWriter {
    inner: Box<dyn ObjectWriter>,
    path: ObjectPath,
    store: FaultyStore,
}

impl ObjectWriter for FaultyWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let inner = &mut self.inner;
        self.store
            .run(Operation::Write, &self.path, || inner.write(bytes))
    }

    fn finish(self: Box<Self>) -> Result<u64, StoreError> {
        let Self { inner, path, store } = *self;
        store.run(Operation::Finish, &path, || inner.finish())
    }
}
