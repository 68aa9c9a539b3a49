//! Objects out of sight, as a bucket has them: uploads with numbers. Large objects are uploads too
//! while they are written, and stay if their writer is killed (forgotten, in a test).

use super::MemoryStore;
use crate::recoverable::{CommitRecoverable, RecoverableStream, RecoverableWriter, Uncommitted};
use crate::{ObjectPath, StoreError, StoreErrorKind};

/// What was begun, whole or not.
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) begun_ms: i64,
    bytes: Vec<u8>,
}

impl MemoryStore {
    /// Begins an upload. Gives its number.
    pub(super) fn begin(&self, path: &ObjectPath) -> u64 {
        let upload = Upload {
            key: self.key(path),
            begun_ms: self.clock.unix_ms(),
            bytes: Vec::new(),
        };
        let mut content = self.lock();
        content.uploads_begun += 1;
        let number = content.uploads_begun;
        content.uploads.insert(number, upload);
        number
    }

    /// The number of an upload, as its text has it.
    pub(super) fn upload_of(
        &self,
        operation: &'static str,
        path: &ObjectPath,
        text: &str,
    ) -> Result<u64, StoreError> {
        text.parse().map_err(|_| {
            let cause = format!("`{text}` is no upload of this store");
            self.failed(StoreErrorKind::Unsuitable, operation, path, cause)
        })
    }
}

impl RecoverableWriter for MemoryStore {
    fn open(&self, path: &ObjectPath) -> Result<Box<dyn RecoverableStream>, StoreError> {
        self.check_name("write", path)?;
        Ok(Box::new(MemoryStream {
            store: self.clone(),
            path: path.clone(),
            number: self.begin(path),
            closed: false,
        }))
    }

    fn commit(&self, prepared: &CommitRecoverable) -> Result<(), StoreError> {
        let path = ObjectPath::new(&*prepared.path).unwrap_or_default();
        self.check_name("commit", &path)?;
        let number = self.upload_of("commit", &path, &prepared.upload)?;
        let mut content = self.lock();
        let key = self.key(&path);
        let (kind, cause) = match content.objects.get(&key) {
            Some(found) if found.upload == Some(number) => return Ok(()),
            Some(_) => (StoreErrorKind::AlreadyExists, "another object has its name"),
            None => match content.uploads.remove(&number) {
                Some(upload) => {
                    let mut entry = self.entry(&upload.bytes);
                    entry.upload = Some(number);
                    content.objects.insert(key, entry);
                    return Ok(());
                }
                None => (StoreErrorKind::NotFound, "there is no such upload"),
            },
        };
        drop(content);
        Err(self.failed(kind, "commit", &path, cause))
    }

    fn list_uncommitted(&self, folder: &ObjectPath) -> Result<Vec<Uncommitted>, StoreError> {
        let prefix = self.prefix(folder);
        let content = self.lock();
        let uploads = content.uploads.iter();
        let inside = uploads.filter(|(_, upload)| upload.key.starts_with(&prefix));
        let found = inside.map(|(number, upload)| {
            Ok(Uncommitted {
                path: self.path_of("list what is not committed in", &upload.key)?,
                upload: number.to_string(),
            })
        });
        found.collect()
    }

    fn abort(&self, uncommitted: &Uncommitted) -> Result<(), StoreError> {
        let number = self.upload_of("abort", &uncommitted.path, &uncommitted.upload)?;
        self.lock().uploads.remove(&number);
        Ok(())
    }
}

struct MemoryStream {
    store: MemoryStore,
    path: ObjectPath,
    number: u64,
    closed: bool,
}

impl RecoverableStream for MemoryStream {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        match self.store.lock().uploads.get_mut(&self.number) {
            Some(upload) => {
                upload.bytes.extend_from_slice(bytes);
                Ok(())
            }
            None => Err(self.store.failed(
                StoreErrorKind::NotFound,
                "write",
                &self.path,
                "it was aborted",
            )),
        }
    }

    fn close_for_commit(mut self: Box<Self>) -> Result<CommitRecoverable, StoreError> {
        self.write(&[])?;
        self.closed = true;
        let content = self.store.lock();
        let size = content
            .uploads
            .get(&self.number)
            .map_or(0, |upload| upload.bytes.len());
        Ok(CommitRecoverable {
            path: self.path.as_str().to_owned(),
            size: size as u64,
            upload: self.number.to_string(),
            nonce: String::new(),
            parts: Vec::new(),
        })
    }
}

impl Drop for MemoryStream {
    fn drop(&mut self) {
        if !self.closed {
            self.store.lock().uploads.remove(&self.number);
        }
    }
}
