//! Objects out of sight: multipart uploads that are completed by whoever commits them (Flink's
//! `S3RecoverableWriter`).
//!
//! A file is closed at each checkpoint, so the tail of an upload, which may be of any size, is its
//! last part; nothing has to be put aside as an object of its own.

use std::sync::Arc;

use aws_sdk_s3::types::CompletedPart;

use super::S3Store;
use super::bucket::Bucket;
use super::failure::Class;
use super::parts::Parts;
use crate::recoverable::StoredPart;
use crate::{
    CommitRecoverable, ObjectPath, RecoverableStream, RecoverableWriter, StoreError,
    StoreErrorKind, Uncommitted,
};

/// How many parts of one stream are under way: with the one that fills, 24 MiB of memory. Each
/// subtask of a sink has such a stream.
const PARTS_UNDER_WAY_MAX: usize = 2;

const COMMIT: &str = "commit";

struct S3Stream(Parts);

impl RecoverableStream for S3Stream {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.0.write(bytes)
    }

    fn close_for_commit(mut self: Box<Self>) -> Result<CommitRecoverable, StoreError> {
        let (mut upload, parts) = self.0.store_all()?;
        let parts = parts.into_iter().map(|part| StoredPart {
            tag: part.e_tag,
            checksum: part.checksum_crc32,
        });
        upload.close();
        Ok(CommitRecoverable {
            path: self.0.path.as_str().to_owned(),
            size: self.0.size,
            upload: upload.id.clone(),
            nonce: upload.nonce.clone(),
            parts: parts.collect(),
        })
    }
}

impl S3Store {
    /// The upload was not completed just now, as far as is known: perhaps it was before.
    fn resolve_commit(
        &self,
        path: &ObjectPath,
        prepared: &CommitRecoverable,
        otherwise: StoreError,
    ) -> Result<(), StoreError> {
        let head = |bucket: Arc<Bucket>, key: String| async move { bucket.head(&key).await };
        let unavailable = |cause| self.error(StoreErrorKind::Unavailable, COMMIT, path, cause);
        match self.wait(COMMIT, path, head)? {
            Ok(found)
                if found.nonce.as_ref() == Some(&prepared.nonce) && found.size == prepared.size =>
            {
                Ok(())
            }
            Ok(_) => {
                let exists = StoreErrorKind::AlreadyExists;
                Err(self.error(exists, COMMIT, path, "another object has its name"))
            }
            Err(missing) if missing.class == Class::Missing => Err(otherwise),
            Err(failure) => Err(unavailable(failure)),
        }
    }
}

impl RecoverableWriter for S3Store {
    fn open(&self, path: &ObjectPath) -> Result<Box<dyn RecoverableStream>, StoreError> {
        self.check_name("write", path)?;
        let mut parts = Parts::new(self.clone(), path.clone(), PARTS_UNDER_WAY_MAX);
        parts.begin()?;
        Ok(Box::new(S3Stream(parts)))
    }

    fn commit(&self, prepared: &CommitRecoverable) -> Result<(), StoreError> {
        let path = ObjectPath::new(&*prepared.path).map_err(|error| {
            self.error(
                StoreErrorKind::Unsuitable,
                COMMIT,
                &ObjectPath::default(),
                error,
            )
        })?;
        self.check_name(COMMIT, &path)?;
        let parts = prepared.parts.iter().zip(1..).map(|(part, number)| {
            CompletedPart::builder()
                .part_number(number)
                .set_e_tag(part.tag.clone())
                .set_checksum_crc32(part.checksum.clone())
                .build()
        });
        let (id, parts) = (prepared.upload.clone(), parts.collect());
        let complete = |bucket: Arc<Bucket>, key: String| async move {
            bucket.complete_upload(&key, &id, parts).await
        };
        let ended = self.wait(COMMIT, &path, complete)?;
        let Err(failure) = ended.result else {
            return Ok(());
        };
        let gone = failure.class == Class::UploadMissing;
        if !ended.in_doubt && !gone && failure.class != Class::Precondition {
            return Err(self.failed(COMMIT, &path, failure));
        }
        // An attempt without an answer may still be under way: then nothing is gone for good.
        let kind = match gone && !ended.in_doubt {
            true => StoreErrorKind::NotFound,
            false => StoreErrorKind::Unavailable,
        };
        let otherwise = self.error(kind, COMMIT, &path, failure);
        self.resolve_commit(&path, prepared, otherwise)
    }

    fn list_uncommitted(&self, folder: &ObjectPath) -> Result<Vec<Uncommitted>, StoreError> {
        let listed = self.list_uploads("list what is not committed in", folder)?;
        let found = listed.into_iter().filter_map(|upload| {
            Some(Uncommitted {
                path: self.path_of(&upload.key)?,
                upload: upload.id,
            })
        });
        Ok(found.collect())
    }

    fn abort(&self, uncommitted: &Uncommitted) -> Result<(), StoreError> {
        self.abort_upload("abort", &uncommitted.path, &uncommitted.upload)
    }
}
