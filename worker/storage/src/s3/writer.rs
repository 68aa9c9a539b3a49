//! A large object while it is written: a multipart upload that is completed at its end.
//!
//! What fits into one part never becomes an upload.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::S3Store;
use super::bucket::Bucket;
use super::failure::{Class, Failure};
use super::parts::{OPERATION, PART_BYTES, Parts};
use crate::object_store::{ObjectStore, ObjectWriter};
use crate::{ObjectPath, StoreError, StoreErrorKind};

/// How many parts are under way: with the one that fills, 40 MiB of memory.
const PARTS_UNDER_WAY_MAX: usize = 4;

pub(super) fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// An object while it is written.
pub(super) struct S3Writer {
    parts: Parts,
    digest: Sha256,
}

impl S3Writer {
    pub(super) fn new(store: S3Store, path: ObjectPath) -> Self {
        Self {
            parts: Parts::new(store, path, PARTS_UNDER_WAY_MAX),
            digest: Sha256::new(),
        }
    }

    /// The upload was not completed, as far as is known.
    fn resolve(&self, nonce: &str, failure: Failure, in_doubt: bool) -> Result<(), StoreError> {
        let Parts {
            store, path, size, ..
        } = &self.parts;
        let error = |kind, cause: Failure| Err(store.error(kind, OPERATION, path, cause));
        let head = |bucket: Arc<Bucket>, key: String| async move { bucket.head(&key).await };
        let found = match store.wait(OPERATION, path, head)? {
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
        if found.nonce.as_deref() == Some(nonce) {
            return Ok(());
        }
        if found.size == *size && self.same_content()? {
            return Ok(());
        }
        let exists = StoreErrorKind::AlreadyExists;
        let cause = "it exists and has another content";
        Err(store.error(exists, OPERATION, path, cause))
    }

    fn same_content(&self) -> Result<bool, StoreError> {
        let Parts {
            store, path, size, ..
        } = &self.parts;
        let mut theirs = Sha256::new();
        let mut start = 0;
        while start < *size {
            let end = (*size).min(start + PART_BYTES as u64);
            theirs.update(store.get_range(path, start..end)?);
            start = end;
        }
        Ok(theirs.finalize() == self.digest.clone().finalize())
    }
}

impl ObjectWriter for S3Writer {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.digest.update(bytes);
        self.parts.write(bytes)
    }

    fn finish(mut self: Box<Self>) -> Result<u64, StoreError> {
        let size = self.parts.size;
        if let Some(all) = self.parts.take_small() {
            self.parts.store.create_owned(&self.parts.path, all)?;
            return Ok(size);
        }
        let (mut upload, parts) = self.parts.store_all()?;
        let id = upload.id.clone();
        let complete = |bucket: Arc<Bucket>, key: String| async move {
            bucket.complete_upload(&key, &id, parts).await
        };
        let Parts { store, path, .. } = &self.parts;
        let ended = store.wait(OPERATION, path, complete)?;
        let Err(failure) = ended.result else {
            upload.close();
            return Ok(size);
        };
        let to_resolve = matches!(failure.class, Class::Precondition | Class::UploadMissing);
        if !ended.in_doubt && !to_resolve {
            return Err(store.failed(OPERATION, path, failure));
        }
        // Also by another writer with the same content: then this upload is of no use.
        if ended.in_doubt || failure.class == Class::UploadMissing {
            upload.close();
        }
        self.resolve(&upload.nonce, failure, ended.in_doubt)?;
        Ok(size)
    }
}
