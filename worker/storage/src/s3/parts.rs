//! Bytes on their way into a multipart upload: cut into parts, which go out side by side.
//!
//! An upload carries a nonce in the object's metadata: so the object that is found after a lost
//! answer tells whose it is. Dropped before it is closed, it is given up.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use aws_sdk_s3::types::CompletedPart;

use super::S3Store;
use super::bucket::Bucket;
use super::failure::Failure;
use super::runtime::{self, Pending};
use crate::{ObjectPath, StoreError};

/// The size of a part. Servers refuse less than 5 MiB, and more than 10,000 parts.
pub(super) const PART_BYTES: usize = 8 << 20;
/// From which part on they are larger, and how large: so an object may have 350 GiB.
const PARTS_SMALL: usize = 5_000;
const PART_BYTES_LATE: usize = 64 << 20;

pub(super) const OPERATION: &str = "write";

/// What was written and is not on its way yet, and the upload that it goes to.
pub(super) struct Parts {
    pub(super) store: S3Store,
    pub(super) path: ObjectPath,
    pub(super) size: u64,
    /// The part that fills.
    filling: Vec<u8>,
    /// How many parts are under way at most: they and the one that fills are all the memory.
    under_way_max: usize,
    upload: Option<Upload>,
}

/// An upload that was begun.
pub(super) struct Upload {
    bucket: Arc<Bucket>,
    key: String,
    pub(super) id: String,
    pub(super) nonce: String,
    done: Vec<CompletedPart>,
    under_way: VecDeque<Pending<Result<CompletedPart, Failure>>>,
    /// Completed, or perhaps, or somebody else's to complete: nothing is aborted any more.
    closed: bool,
}

impl Parts {
    pub(super) fn new(store: S3Store, path: ObjectPath, under_way_max: usize) -> Self {
        Self {
            store,
            path,
            size: 0,
            filling: Vec::new(),
            under_way_max,
            upload: None,
        }
    }

    fn failed(&self, failure: Failure) -> StoreError {
        self.store.failed(OPERATION, &self.path, failure)
    }

    /// Appends. The upload is begun once there is more than one part.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), StoreError> {
        self.size += bytes.len() as u64;
        while !bytes.is_empty() {
            // Only once there is more: what fits into one part need not be uploaded in parts.
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

    /// Everything, if no upload was begun.
    pub(super) fn take_small(&mut self) -> Option<Vec<u8>> {
        match self.upload {
            Some(_) => None,
            None => Some(std::mem::take(&mut self.filling)),
        }
    }

    /// Sends the rest and waits until all parts are stored.
    pub(super) fn store_all(&mut self) -> Result<(Upload, Vec<CompletedPart>), StoreError> {
        self.send()?;
        let upload = self.upload.take();
        let mut upload = upload.expect("sending has begun the upload");
        while let Some(part) = upload.under_way.pop_front() {
            let part = part
                .wait()
                .unwrap_or_else(|cause| Err(Failure::other(cause)));
            upload
                .done
                .push(part.map_err(|failure| self.failed(failure))?);
        }
        let parts = std::mem::take(&mut upload.done);
        Ok((upload, parts))
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
        self.begin()?;
        let bytes = std::mem::take(&mut self.filling);
        let Some(upload) = &mut self.upload else {
            return Ok(());
        };
        let sent = upload.send(bytes, self.under_way_max);
        sent.map_err(|failure| self.failed(failure))
    }

    /// Begins the upload, if it was not begun.
    pub(super) fn begin(&mut self) -> Result<(), StoreError> {
        if self.upload.is_some() {
            return Ok(());
        }
        let nonce = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
        let begin = |bucket: Arc<Bucket>, key: String| {
            let nonce = nonce.clone();
            async move { bucket.begin_upload(&key, &nonce).await }
        };
        let begun = self.store.wait(OPERATION, &self.path, begin)?;
        self.upload = Some(Upload {
            bucket: Arc::clone(&self.store.bucket),
            key: self.store.key(&self.path),
            id: begun.map_err(|failure| self.failed(failure))?,
            nonce,
            done: Vec::new(),
            under_way: VecDeque::new(),
            closed: false,
        });
        Ok(())
    }
}

impl Upload {
    /// Leaves it to others.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    fn send(&mut self, bytes: Vec<u8>, under_way_max: usize) -> Result<(), Failure> {
        if self.under_way.len() >= under_way_max
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
    /// Gives the upload up, once its parts are no longer on their way. Others need not wait.
    ///
    /// A request that is cancelled here goes on at the server, whose part is stored after the
    /// abort and stays for ever. So all get their answers first, or their time runs out.
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        let (bucket, key, id) = (Arc::clone(&self.bucket), self.key.clone(), self.id.clone());
        let under_way = std::mem::take(&mut self.under_way);
        let abort = async move {
            for part in under_way {
                part.ended().await;
            }
            if let Err(failure) = bucket.abort_upload(&key, &id).await {
                tracing::warn!(key, %failure, "an unfinished upload stays in the bucket");
            }
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
