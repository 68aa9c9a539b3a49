//! A store in a bucket of S3, or of a server that speaks it.
//!
//! Objects are created by `PutObject` with `If-None-Match: *`, large ones by a multipart upload
//! that is completed under the same condition. A register is an object whose version is its ETag;
//! it moves by `PutObject` with `If-Match`.
//!
//! The answer to a request can be lost after the server has carried it out; the next attempt then
//! meets its own result as a failed condition. So a failed condition, and the end of patience, are
//! resolved by reading back: an object with our content is ours.
//!
//! ```text
//!   write ──▶ done                                     Ok
//!     ├─────▶ condition failed ──▶ read ──▶ ours       Ok
//!     │                                 └─▶ another's  AlreadyExists, Conflict
//!     └─────▶ no answer, again and again ──▶ read ──▶ ours       Ok
//!                                                 ├─▶ another's  AlreadyExists, Conflict
//!                                                 ├─▶ unchanged  Unavailable; a register: InDoubt
//!                                                 └─▶ no answer  InDoubt
//! ```
//!
//! An unanswered write of a register stays in doubt even where it is not seen: it may lie in a
//! queue and take effect later. An unanswered creation does no harm later: its name and content are
//! fixed.
//!
//! Threading: requests run on two threads that all S3 stores of the process share; callers wait.

mod bucket;
mod credentials;
mod failure;
mod parts;
mod recoverable;
mod retry;
mod runtime;
mod uploads;
mod writer;

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;

use crate::local::{check_range, unusable_name};
use crate::object_store::{ObjectInfo, ObjectStore, ObjectWriter, Unfinished, Version};
use crate::{ObjectPath, StoreError, StoreErrorKind, StoreOptions};
use bucket::{Bucket, Condition};
use failure::{Class, Failure};
use uploads::ListedUpload;
use writer::S3Writer;

/// A store in a bucket.
#[derive(Clone)]
pub struct S3Store {
    bucket: Arc<Bucket>,
    /// Where the store begins, without a `/` at its end; empty if it is the whole bucket.
    prefix: String,
}

impl S3Store {
    /// Opens the store at `bucket/prefix`. Only credentials' whereabouts are looked at yet.
    pub fn open(address: &str, options: &StoreOptions) -> Result<Self, StoreError> {
        let refuse = |cause: String| {
            let place = format!("s3://{address}");
            StoreError::new(StoreErrorKind::Unsuitable, "open", "", place, cause)
        };
        let (name, prefix) = address.split_once('/').unwrap_or((address, ""));
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        if name.is_empty() || !name.bytes().all(good) {
            return Err(refuse(
                "it has no bucket: write `s3://bucket/prefix`".into(),
            ));
        }
        let prefix = ObjectPath::new(prefix.trim_end_matches('/'))
            .map_err(|error| refuse(error.to_string()))?;
        Ok(Self {
            bucket: Bucket::open(name, options).map_err(refuse)?,
            prefix: prefix.as_str().into(),
        })
    }

    fn key(&self, path: &ObjectPath) -> String {
        if self.prefix.is_empty() || path.is_empty() {
            return format!("{}{path}", self.prefix);
        }
        format!("{}/{path}", self.prefix)
    }

    /// The path of a key in this store. What others put here under names that are no paths is not
    /// ours.
    fn path_of(&self, key: &str) -> Option<ObjectPath> {
        let own = match self.prefix.as_str() {
            "" => key,
            prefix => key.strip_prefix(prefix)?.strip_prefix('/')?,
        };
        ObjectPath::new(own).ok().filter(|path| !path.is_empty())
    }

    fn error(
        &self,
        kind: StoreErrorKind,
        operation: &'static str,
        path: &ObjectPath,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> StoreError {
        StoreError::new(kind, operation, path, self.location(), cause)
    }

    fn failed(&self, operation: &'static str, path: &ObjectPath, failure: Failure) -> StoreError {
        self.error(failure.kind(), operation, path, failure)
    }

    fn check_name(&self, operation: &'static str, path: &ObjectPath) -> Result<(), StoreError> {
        match unusable_name(path) {
            Some(cause) => Err(self.error(StoreErrorKind::Unsuitable, operation, path, cause)),
            None => Ok(()),
        }
    }

    /// Runs a request and waits for its end.
    fn wait<T, F>(
        &self,
        operation: &'static str,
        path: &ObjectPath,
        request: impl FnOnce(Arc<Bucket>, String) -> F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        runtime::start(request(Arc::clone(&self.bucket), self.key(path)))
            .and_then(runtime::Pending::wait)
            .map_err(|cause| self.error(StoreErrorKind::Other, operation, path, cause))
    }

    fn read(
        &self,
        operation: &'static str,
        path: &ObjectPath,
    ) -> Result<bucket::Piece, StoreError> {
        self.wait(operation, path, |bucket, key| async move {
            bucket.get(&key, None, 0).await
        })?
        .map_err(|failure| self.failed(operation, path, failure))
    }

    /// Writes a whole object that must not exist.
    fn create_owned(&self, path: &ObjectPath, bytes: Vec<u8>) -> Result<(), StoreError> {
        let operation = "write";
        // For the comparison, should it be needed: a digest instead of a second copy.
        let digest = writer::digest(&bytes);
        let put = |bucket: Arc<Bucket>, key: String| async move {
            bucket.put(&key, bytes, &Condition::Absent).await
        };
        let ended = self.wait(operation, path, put)?;
        let failure = match ended.result {
            Ok(_) => return Ok(()),
            Err(failure) => failure,
        };
        if !ended.in_doubt && failure.class != Class::Precondition {
            return Err(self.failed(operation, path, failure));
        }
        let exists = StoreErrorKind::AlreadyExists;
        match self.read(operation, path) {
            Ok(found) if writer::digest(&found.bytes) == digest => Ok(()),
            Ok(_) => Err(self.error(exists, operation, path, "it exists and has another content")),
            Err(error) if error.kind == StoreErrorKind::NotFound => {
                Err(self.error(StoreErrorKind::Unavailable, operation, path, failure))
            }
            Err(_) if !ended.in_doubt => {
                // It is another's, or an equal one: the condition failed.
                Err(self.error(exists, operation, path, failure))
            }
            Err(_) => Err(self.error(StoreErrorKind::InDoubt, operation, path, failure)),
        }
    }

    /// What was begun in a folder, whoever began it: a large object or a result.
    fn list_uploads(
        &self,
        operation: &'static str,
        folder: &ObjectPath,
    ) -> Result<Vec<ListedUpload>, StoreError> {
        let list = |bucket: Arc<Bucket>, mut prefix: String| async move {
            if !prefix.is_empty() {
                prefix.push('/');
            }
            bucket.list_uploads(&prefix).await
        };
        self.wait(operation, folder, list)?
            .map_err(|failure| self.failed(operation, folder, failure))
    }

    fn abort_upload(
        &self,
        operation: &'static str,
        path: &ObjectPath,
        upload: &str,
    ) -> Result<(), StoreError> {
        let id = upload.to_owned();
        let abort =
            |bucket: Arc<Bucket>, key: String| async move { bucket.abort_upload(&key, &id).await };
        self.wait(operation, path, abort)?
            .map_err(|failure| self.failed(operation, path, failure))
    }
}

impl ObjectStore for S3Store {
    fn location(&self) -> String {
        let separator = if self.prefix.is_empty() { "" } else { "/" };
        format!("s3://{}{separator}{}", self.bucket.name, self.prefix)
    }

    fn get(&self, path: &ObjectPath) -> Result<Vec<u8>, StoreError> {
        Ok(self.read("read", path)?.bytes)
    }

    fn get_range(&self, path: &ObjectPath, range: Range<u64>) -> Result<Vec<u8>, StoreError> {
        let operation = "read a part of";
        let outside = |cause: String| self.error(StoreErrorKind::Truncated, operation, path, cause);
        if range.start >= range.end {
            // HTTP has no empty ranges.
            let head = |bucket: Arc<Bucket>, key: String| async move { bucket.head(&key).await };
            let head = self
                .wait(operation, path, head)?
                .map_err(|failure| self.failed(operation, path, failure))?;
            check_range(&range, head.size).map_err(outside)?;
            return Ok(Vec::new());
        }
        let length = check_range(&range, u64::MAX).map_err(outside)?;
        let wanted = format!("bytes={}-{}", range.start, range.end - 1);
        let get = |bucket: Arc<Bucket>, key: String| async move {
            bucket.get(&key, Some(wanted), length).await
        };
        let piece = self
            .wait(operation, path, get)?
            .map_err(|failure| self.failed(operation, path, failure))?;
        if piece.bytes.len() != length {
            let end = range.start + piece.bytes.len() as u64;
            check_range(&range, end).map_err(outside)?;
            return Err(outside(format!(
                "{} bytes came instead of {length}",
                piece.bytes.len()
            )));
        }
        Ok(piece.bytes)
    }

    fn create(&self, path: &ObjectPath, bytes: &[u8]) -> Result<(), StoreError> {
        self.check_name("write", path)?;
        self.create_owned(path, bytes.to_vec())
    }

    fn create_large(&self, path: &ObjectPath) -> Result<Box<dyn ObjectWriter>, StoreError> {
        self.check_name("write", path)?;
        Ok(Box::new(S3Writer::new(self.clone(), path.clone())))
    }

    fn list_unfinished(&self, folder: &ObjectPath) -> Result<Vec<Unfinished>, StoreError> {
        let listed = self.list_uploads("list what is not finished in", folder)?;
        let found = listed.into_iter().filter_map(|upload| {
            Some(Unfinished {
                path: self.path_of(&upload.key)?,
                // Without it nobody can tell whether its writer is at work.
                begun_ms: upload.begun_ms?,
                upload: upload.id,
            })
        });
        Ok(found.collect())
    }

    fn abandon(&self, unfinished: &Unfinished) -> Result<(), StoreError> {
        self.abort_upload("abandon", &unfinished.path, &unfinished.upload)
    }

    fn list(&self, folder: &ObjectPath) -> Result<Vec<ObjectInfo>, StoreError> {
        let operation = "list";
        let list = |bucket: Arc<Bucket>, mut prefix: String| async move {
            if !prefix.is_empty() {
                prefix.push('/');
            }
            bucket.list(&prefix).await
        };
        let listed = self
            .wait(operation, folder, list)?
            .map_err(|failure| self.failed(operation, folder, failure))?;
        let mut found: Vec<_> = listed
            .into_iter()
            .filter_map(|object| {
                Some(ObjectInfo {
                    path: self.path_of(&object.key)?,
                    size: object.size,
                    modified_ms: object.modified_ms,
                })
            })
            .collect();
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    fn delete(&self, path: &ObjectPath) -> Result<(), StoreError> {
        if path.is_empty() {
            return Ok(());
        }
        let delete = |bucket: Arc<Bucket>, key: String| async move { bucket.delete(&key).await };
        self.wait("delete", path, delete)?
            .map_err(|failure| self.failed("delete", path, failure))
    }

    fn read_register(&self, path: &ObjectPath) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        let operation = "read register";
        match self.read(operation, path) {
            Ok(piece) => {
                let tag = piece.tag.ok_or_else(|| {
                    let kind = StoreErrorKind::Unsuitable;
                    self.error(kind, operation, path, "the server gave no ETag")
                })?;
                Ok(Some((piece.bytes, Version(tag))))
            }
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn swap_register(
        &self,
        path: &ObjectPath,
        expected: Option<&Version>,
        bytes: &[u8],
    ) -> Result<Version, StoreError> {
        let operation = "swap register";
        self.check_name(operation, path)?;
        let condition = expected.map_or(Condition::Absent, |version| {
            Condition::Tag(version.0.clone())
        });
        let content = bytes.to_vec();
        let put = |bucket: Arc<Bucket>, key: String| async move {
            bucket.put(&key, content, &condition).await
        };
        let ended = self.wait(operation, path, put)?;
        let failure = match ended.result {
            Ok(tag) => return Ok(Version(tag)),
            Err(failure) => failure,
        };
        // `If-Match` on an object that is not there is `NoSuchKey`.
        let lost = matches!(failure.class, Class::Precondition | Class::Missing);
        if !ended.in_doubt && !lost {
            return Err(self.failed(operation, path, failure));
        }
        let conflict = |failure| self.error(StoreErrorKind::Conflict, operation, path, failure);
        let in_doubt = |failure| self.error(StoreErrorKind::InDoubt, operation, path, failure);
        match self.read_register(path) {
            Ok(Some((found, version))) if found == bytes => Ok(version),
            // Contents never come back, so neither do ETags: our write fails whenever it arrives.
            Ok(Some((_, version))) if Some(&version) != expected => Err(conflict(failure)),
            // The same for a register that was deleted, unless it may still be created.
            Ok(None) if expected.is_some() => Err(conflict(failure)),
            Ok(_) | Err(_) if ended.in_doubt => Err(in_doubt(failure)),
            // The condition failed, so it was not done; what it is now could not be found out.
            Ok(_) | Err(_) => Err(conflict(failure)),
        }
    }

    fn within(&self, folder: &ObjectPath) -> Arc<dyn ObjectStore> {
        Arc::new(Self {
            bucket: Arc::clone(&self.bucket),
            prefix: self.key(folder),
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
