//! A large object while it is written: a multipart upload whose parts go out side by side.
//!
//! What fits into one part never becomes an upload. An upload carries a nonce in the object's
//! metadata: so the object that is found after a lost answer tells whether it is this writer's.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use aws_sdk_s3::types::CompletedPart;
use sha2::{Digest, Sha256};

use super::S3Store;
use super::bucket::Bucket;
use super::failure::{Class, Failure};
use super::runtime::{self, Pending};
use crate::object_store::{ObjectStore, ObjectWriter};
use crate::{ObjectPath, StoreError, StoreErrorKind};

/// The size of a part. Servers refuse less than 5 MiB, and more than 10,000 parts.
const PART_BYTES: usize = 8 << 20;
/// From which part on they are larger, and how large: so an object may have 350 GiB.
const PARTS_SMALL: usize = 5_000;
const PART_BYTES_LATE: usize = 64 << 20;
/// How many parts are under way: with the one that fills, 40 MiB of memory.
const PARTS_UNDER_WAY_MAX: usize = 4;

const OPERATION: &str = "write";

pub(super) fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// An object while it is written.
pub(super) struct S3Writer {
    store: S3Store,
    path: ObjectPath,
    /// The part that fills.
    filling: Vec<u8>,
    size: u64,
    digest: Sha256,
    upload: Option<Upload>,
}

struct Upload {
    bucket: Arc<Bucket>,
    key: String,
    id: String,
    nonce: String,
    done: Vec<CompletedPart>,
    under_way: VecDeque<Pending<Result<CompletedPart, Failure>>>,
    /// Completed, or perhaps: nothing is aborted any more.
    closed: bool,
}

impl S3Writer {
    pub(super) fn new(store: S3Store, path: ObjectPath) -> Self {
        Self {
            store,
            path,
            filling: Vec::new(),
            size: 0,
            digest: Sha256::new(),
            upload: None,
        }
    }

    fn failed(&self, failure: Failure) -> StoreError {
        self.store.failed(OPERATION, &self.path, failure)
    }

    fn part_bytes(&self) -> usize {
        match &self.upload {
            Some(upload) if upload.done.len() + upload.under_way.len() >= PARTS_SMALL => {
                PART_BYTES_LATE
            }
            _ => PART_BYTES,
        }
    }

    /// Sends the part that was filled on its way.
    fn send(&mut self) -> Result<(), StoreError> {
        if self.upload.is_none() {
            self.upload = Some(self.begin()?);
        }
        let bytes = std::mem::take(&mut self.filling);
        let Some(upload) = &mut self.upload else {
            return Ok(());
        };
        let sent = upload.send(bytes);
        sent.map_err(|failure| self.failed(failure))
    }

    fn begin(&self) -> Result<Upload, StoreError> {
        let nonce = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
        let begin = |bucket: Arc<Bucket>, key: String| {
            let nonce = nonce.clone();
            async move { bucket.begin_upload(&key, &nonce).await }
        };
        let begun = self.store.wait(OPERATION, &self.path, begin)?;
        Ok(Upload {
            bucket: Arc::clone(&self.store.bucket),
            key: self.store.key(&self.path),
            id: begun.map_err(|failure| self.failed(failure))?,
            nonce,
            done: Vec::new(),
            under_way: VecDeque::new(),
            closed: false,
        })
    }

    /// The upload was not completed, as far as is known.
    fn resolve(&self, upload: &Upload, failure: Failure, in_doubt: bool) -> Result<(), StoreError> {
        let error =
            |kind, cause: Failure| Err(self.store.error(kind, OPERATION, &self.path, cause));
        let head = |bucket: Arc<Bucket>, key: String| async move { bucket.head(&key).await };
        let found = match self.store.wait(OPERATION, &self.path, head)? {
            Ok(found) => found,
            Err(missing) if missing.class == Class::Missing => {
                return match failure.class {
                    Class::UploadMissing => error(StoreErrorKind::Other, failure),
                    _ => error(StoreErrorKind::Unavailable, failure),
                };
            }
            Err(_) if in_doubt => return error(StoreErrorKind::InDoubt, failure),
            Err(_) => return error(StoreErrorKind::AlreadyExists, failure),
        };
        if found.nonce.as_deref() == Some(&upload.nonce) {
            return Ok(());
        }
        if found.size == self.size && self.same_content()? {
            return Ok(());
        }
        let exists = StoreErrorKind::AlreadyExists;
        let cause = "it exists and has another content";
        Err(self.store.error(exists, OPERATION, &self.path, cause))
    }

    fn same_content(&self) -> Result<bool, StoreError> {
        let mut theirs = Sha256::new();
        let mut start = 0;
        while start < self.size {
            let end = self.size.min(start + PART_BYTES as u64);
            theirs.update(self.store.get_range(&self.path, start..end)?);
            start = end;
        }
        Ok(theirs.finalize() == self.digest.clone().finalize())
    }
}

impl ObjectWriter for S3Writer {
    fn write(&mut self, mut bytes: &[u8]) -> Result<(), StoreError> {
        self.size += bytes.len() as u64;
        self.digest.update(bytes);
        while !bytes.is_empty() {
            // Only once there is more: what fits into one part is not uploaded in parts.
            if self.filling.len() >= self.part_bytes() {
                self.send()?;
            }
            let room = self.part_bytes() - self.filling.len();
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            self.filling.extend_from_slice(now);
            bytes = rest;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<u64, StoreError> {
        if self.upload.is_none() {
            self.store
                .create_owned(&self.path, std::mem::take(&mut self.filling))?;
            return Ok(self.size);
        }
        self.send()?;
        let Some(mut upload) = self.upload.take() else {
            return Ok(self.size);
        };
        while let Some(part) = upload.under_way.pop_front() {
            let part = part
                .wait()
                .unwrap_or_else(|cause| Err(Failure::other(cause)));
            upload
                .done
                .push(part.map_err(|failure| self.failed(failure))?);
        }
        let (id, parts) = (upload.id.clone(), std::mem::take(&mut upload.done));
        let complete = |bucket: Arc<Bucket>, key: String| async move {
            bucket.complete_upload(&key, &id, parts).await
        };
        let ended = self.store.wait(OPERATION, &self.path, complete)?;
        let Err(failure) = ended.result else {
            upload.closed = true;
            return Ok(self.size);
        };
        let to_resolve = matches!(failure.class, Class::Precondition | Class::UploadMissing);
        if !ended.in_doubt && !to_resolve {
            return Err(self.failed(failure));
        }
        // Also by another writer with the same content: then this upload is of no use.
        upload.closed = ended.in_doubt || failure.class == Class::UploadMissing;
        self.resolve(&upload, failure, ended.in_doubt)?;
        Ok(self.size)
    }
}

impl Upload {
    fn send(&mut self, bytes: Vec<u8>) -> Result<(), Failure> {
        if self.under_way.len() >= PARTS_UNDER_WAY_MAX
            && let Some(oldest) = self.under_way.pop_front()
        {
            self.done.push(oldest.wait().map_err(Failure::other)??);
        }
        let number = i32::try_from(self.done.len() + self.under_way.len() + 1)
            .map_err(|_| Failure::other("it has too many parts"))?;
        let (bucket, key, id) = (Arc::clone(&self.bucket), self.key.clone(), self.id.clone());
        let part = async move { bucket.upload_part(&key, &id, number, bytes).await };
        self.under_way
            .push_back(runtime::start(part).map_err(Failure::other)?);
        Ok(())
    }
}

impl Drop for Upload {
    /// Gives the upload up, once its parts are no longer on their way, and waits for neither.
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        let (bucket, key, id) = (Arc::clone(&self.bucket), self.key.clone(), self.id.clone());
        let under_way = std::mem::take(&mut self.under_way);
        let abort = async move {
            for part in under_way {
                // A part that arrives after the abort would stay for ever.
                part.cancel().await;
            }
            bucket.abort_upload(&key, &id).await;
        };
        if let Err(error) = runtime::start(abort) {
            tracing::warn!(
                key = self.key,
                error,
                "an unfinished upload stays in the bucket"
            );
        }
    }
}
