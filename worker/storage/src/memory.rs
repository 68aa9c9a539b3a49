//! A store in memory, for tests and simulations.
//!
//! It is as strict as the strictest real store: a register is not an object, reserved names are
//! refused, nothing is ever overwritten. Clones and folders ([`ObjectStore::within`]) share one
//! content. Each call is one atomic step.

mod recoverable;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_types::{Clock, SystemClock};

use crate::local::{check_range, unusable_name};
use crate::object_store::{ObjectInfo, ObjectStore, ObjectWriter, Unfinished, Version};
use crate::{ObjectPath, StoreError, StoreErrorKind};
use recoverable::Upload;

/// A store in memory.
#[derive(Clone)]
pub struct MemoryStore {
    content: Arc<Mutex<Content>>,
    clock: Arc<dyn Clock>,
    /// The folder that this store is, in the one that holds everything.
    folder: String,
}

#[derive(Default)]
struct Content {
    objects: BTreeMap<String, Entry>,
    registers: BTreeMap<String, (u64, Entry)>,
    /// Versions are not counted per register: one that was deleted and made again must not come
    /// back to an old version.
    versions: u64,
    /// What was begun and is neither committed nor aborted, by its number.
    uploads: BTreeMap<u64, Upload>,
    uploads_begun: u64,
}

#[derive(Clone)]
struct Entry {
    bytes: Arc<[u8]>,
    modified_ms: i64,
    /// The upload that it was.
    upload: Option<u64>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// An empty store whose objects have the times of a clock.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self {
            content: Arc::default(),
            clock,
            folder: String::new(),
        }
    }

    /// Damages an object, as no call of a store can: for tests of readers.
    pub fn corrupt(&self, path: &ObjectPath, bytes: &[u8]) {
        let entry = self.entry(bytes);
        self.lock().objects.insert(self.key(path), entry);
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the keys of a folder's objects begin with.
    fn prefix(&self, folder: &ObjectPath) -> String {
        let mut prefix = self.key(folder);
        if !prefix.is_empty() {
            prefix.push('/');
        }
        prefix
    }

    fn key(&self, path: &ObjectPath) -> String {
        if self.folder.is_empty() || path.is_empty() {
            return format!("{}{path}", self.folder);
        }
        format!("{}/{path}", self.folder)
    }

    fn path_of(&self, operation: &'static str, key: &str) -> Result<ObjectPath, StoreError> {
        let own = match self.folder.len() {
            0 => key,
            length => &key[length + 1..],
        };
        ObjectPath::new(own).map_err(|error| {
            let kind = StoreErrorKind::Other;
            StoreError::new(kind, operation, key, self.location(), error)
        })
    }

    fn entry(&self, bytes: &[u8]) -> Entry {
        Entry {
            bytes: bytes.into(),
            modified_ms: self.clock.unix_ms(),
            upload: None,
        }
    }

    fn failed(
        &self,
        kind: StoreErrorKind,
        operation: &'static str,
        path: &ObjectPath,
        cause: impl Into<String>,
    ) -> StoreError {
        StoreError::new(kind, operation, path, self.location(), cause.into())
    }

    fn check_name(&self, operation: &'static str, path: &ObjectPath) -> Result<(), StoreError> {
        match unusable_name(path) {
            Some(cause) => Err(self.failed(StoreErrorKind::Unsuitable, operation, path, cause)),
            None => Ok(()),
        }
    }

    fn object(&self, operation: &'static str, path: &ObjectPath) -> Result<Arc<[u8]>, StoreError> {
        let found = self.lock().objects.get(&self.key(path)).cloned();
        found.map(|entry| entry.bytes).ok_or_else(|| {
            self.failed(
                StoreErrorKind::NotFound,
                operation,
                path,
                "there is no such object",
            )
        })
    }
}

impl ObjectStore for MemoryStore {
    fn location(&self) -> String {
        format!("memory:{}", self.folder)
    }

    fn get(&self, path: &ObjectPath) -> Result<Vec<u8>, StoreError> {
        Ok(self.object("read", path)?.to_vec())
    }

    fn get_range(&self, path: &ObjectPath, range: Range<u64>) -> Result<Vec<u8>, StoreError> {
        let operation = "read a part of";
        let bytes = self.object(operation, path)?;
        let length = check_range(&range, bytes.len() as u64)
            .map_err(|cause| self.failed(StoreErrorKind::Truncated, operation, path, cause))?;
        Ok(bytes
            .iter()
            .copied()
            .skip(usize::try_from(range.start).unwrap_or(usize::MAX))
            .take(length)
            .collect())
    }

    fn create(&self, path: &ObjectPath, bytes: &[u8]) -> Result<(), StoreError> {
        self.check_name("write", path)?;
        let entry = self.entry(bytes);
        let mut content = self.lock();
        let existing = content.objects.entry(self.key(path)).or_insert(entry);
        if *existing.bytes == *bytes {
            return Ok(());
        }
        drop(content);
        let cause = "it exists and has another content";
        Err(self.failed(StoreErrorKind::AlreadyExists, "write", path, cause))
    }

    fn create_large(&self, path: &ObjectPath) -> Result<Box<dyn ObjectWriter>, StoreError> {
        self.check_name("write", path)?;
        Ok(Box::new(MemoryWriter {
            store: self.clone(),
            path: path.clone(),
            bytes: Vec::new(),
            upload: self.begin(path),
        }))
    }

    fn list_unfinished(&self, folder: &ObjectPath) -> Result<Vec<Unfinished>, StoreError> {
        let prefix = self.prefix(folder);
        let content = self.lock();
        let uploads = content.uploads.iter();
        let inside = uploads.filter(|(_, upload)| upload.key.starts_with(&prefix));
        let found = inside.map(|(number, upload)| {
            Ok(Unfinished {
                path: self.path_of("list what is not finished in", &upload.key)?,
                begun_ms: upload.begun_ms,
                upload: number.to_string(),
            })
        });
        found.collect()
    }

    fn abandon(&self, unfinished: &Unfinished) -> Result<(), StoreError> {
        let number = self.upload_of("abandon", &unfinished.path, &unfinished.upload)?;
        self.lock().uploads.remove(&number);
        Ok(())
    }

    fn list(&self, folder: &ObjectPath) -> Result<Vec<ObjectInfo>, StoreError> {
        let prefix = self.prefix(folder);
        let content = self.lock();
        let registers = content
            .registers
            .iter()
            .map(|(key, (_, entry))| (key, entry));
        let mut found = Vec::new();
        for (key, entry) in content.objects.iter().chain(registers) {
            if !key.starts_with(&prefix) {
                continue;
            }
            found.push(ObjectInfo {
                path: self.path_of("list", key)?,
                size: entry.bytes.len() as u64,
                modified_ms: entry.modified_ms,
            });
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    fn delete(&self, path: &ObjectPath) -> Result<(), StoreError> {
        let key = self.key(path);
        let mut content = self.lock();
        content.objects.remove(&key);
        content.registers.remove(&key);
        Ok(())
    }

    fn read_register(&self, path: &ObjectPath) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        let found = self.lock().registers.get(&self.key(path)).cloned();
        Ok(found.map(|(number, entry)| (entry.bytes.to_vec(), Version(number.to_string()))))
    }

    fn swap_register(
        &self,
        path: &ObjectPath,
        expected: Option<&Version>,
        bytes: &[u8],
    ) -> Result<Version, StoreError> {
        self.check_name("swap register", path)?;
        let key = self.key(path);
        let entry = self.entry(bytes);
        let mut content = self.lock();
        let current = content.registers.get(&key);
        let current = current.map(|(number, _)| Version(number.to_string()));
        if current.as_ref() != expected {
            drop(content);
            let name = |version: Option<&Version>| version.map_or("none", |v| &v.0).to_owned();
            let (current, expected) = (name(current.as_ref()), name(expected));
            let cause = format!("its version is {current} instead of {expected}");
            return Err(self.failed(StoreErrorKind::Conflict, "swap register", path, cause));
        }
        content.versions += 1;
        let number = content.versions;
        content.registers.insert(key, (number, entry));
        Ok(Version(number.to_string()))
    }

    fn within(&self, folder: &ObjectPath) -> Arc<dyn ObjectStore> {
        let mut inner = self.clone();
        inner.folder = self.key(folder);
        Arc::new(inner)
    }
}

struct MemoryWriter {
    store: MemoryStore,
    path: ObjectPath,
    bytes: Vec<u8>,
    /// What it is until it is finished.
    upload: u64,
}

impl ObjectWriter for MemoryWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<u64, StoreError> {
        let abandoned = !self.store.lock().uploads.contains_key(&self.upload);
        if abandoned {
            let (kind, cause) = (StoreErrorKind::Other, "it was abandoned");
            return Err(self.store.failed(kind, "write", &self.path, cause));
        }
        self.store.create(&self.path, &self.bytes)?;
        Ok(self.bytes.len() as u64)
    }
}

impl Drop for MemoryWriter {
    fn drop(&mut self) {
        self.store.lock().uploads.remove(&self.upload);
    }
}
