//! The thread that completes checkpoints: it writes their metadata and moves the pointer.
//!
//! Calls to a store block, so a running job's are made by one thread of their own, in order; what
//! comes of them are events. What is to be done about a lost answer is decided by the pure writer
//! of `weir_checkpoint`; here it is only obeyed.

use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::thread;

use tokio::sync::mpsc;
use weir_checkpoint::collector::METADATA;
use weir_checkpoint::coordinator::{PointerOutcome, SnapshotFailure};
use weir_checkpoint::metadata::{self, CheckpointMetadata, sha256_hex};
use weir_checkpoint::pointer::{Nonces, Pointer, PointerWriter};
use weir_storage::{ObjectPath, ObjectStore, PathError};
use weir_types::causes;

use crate::claiming::Claimed;
use crate::collection::Collector;
use crate::job_master::Event;
use crate::pointer_register::outcome_of_write;

/// How many requests may wait for the store. There is one pointer write and a few checkpoints.
const REQUESTS_WAITING_MAX: usize = 1024;

/// The thread that completes checkpoints.
pub(crate) struct StoreThread {
    requests: blocking::SyncSender<Request>,
}

enum Request {
    Metadata {
        path: String,
        metadata: Arc<CheckpointMetadata>,
    },
    Pointer(Box<Pointer>),
    Clear,
}

/// What the thread works with.
pub(crate) struct StoreWork {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) claimed: Claimed,
    pub(crate) seed: u64,
    pub(crate) events: mpsc::Sender<Event>,
    /// Is told what nothing needs any more.
    pub(crate) collector: Collector,
}

impl StoreThread {
    pub(crate) fn start(work: StoreWork) -> std::io::Result<Self> {
        let (requests, asked) = blocking::sync_channel(REQUESTS_WAITING_MAX);
        thread::Builder::new()
            .name("checkpoint-store".to_owned())
            .spawn(move || work.run(&asked))?;
        Ok(Self { requests })
    }

    /// Stores the metadata of a checkpoint; the outcome is an event.
    pub(crate) fn write_metadata(&self, path: String, metadata: Arc<CheckpointMetadata>) {
        self.ask(Request::Metadata { path, metadata });
    }

    /// Moves the pointer; the outcome is an event.
    pub(crate) fn write_pointer(&self, pointer: Box<Pointer>) {
        self.ask(Request::Pointer(pointer));
    }

    /// Deletes the checkpoints of a job that has ended, whose pointer keeps none; the outcome is an
    /// event.
    pub(crate) fn clear(&self) {
        self.ask(Request::Clear);
    }

    fn ask(&self, request: Request) {
        if self.requests.try_send(request).is_err() {
            tracing::error!("the thread that completes checkpoints takes no more requests");
        }
    }
}

impl StoreWork {
    fn run(self, requests: &blocking::Receiver<Request>) {
        let Claimed {
            pointer, version, ..
        } = self.claimed.clone();
        let mut writer = PointerWriter::new(pointer, version, Nonces::new(self.seed));
        while let Ok(request) = requests.recv() {
            let event = match request {
                Request::Metadata { path, metadata } => {
                    let id = metadata.id;
                    let result = write_metadata(self.store.as_ref(), &path, &metadata);
                    if result.is_ok() {
                        self.collector.metadata_written(path, metadata);
                    }
                    Event::MetadataWritten { id, result }
                }
                Request::Pointer(pointer) => self.write_pointer(&mut writer, *pointer),
                Request::Clear => {
                    self.collector.clear();
                    continue;
                }
            };
            if self.events.blocking_send(event).is_err() {
                return;
            }
        }
    }

    fn write_pointer(&self, writer: &mut PointerWriter, pointer: Pointer) -> Event {
        self.collector.pointer_writing();
        let (nonce, outcome) = outcome_of_write(self.store.as_ref(), writer, pointer);
        match &outcome {
            PointerOutcome::Written => self.collector.pointer_written(Some(writer.current())),
            PointerOutcome::Failed(_) => self.collector.pointer_written(None),
            PointerOutcome::Fenced(_) => self.collector.fenced(),
        }
        Event::PointerWritten { nonce, outcome }
    }
}

fn write_metadata(
    store: &dyn ObjectStore,
    path: &str,
    metadata: &CheckpointMetadata,
) -> Result<(String, u64), SnapshotFailure> {
    let bytes = metadata::encode(metadata);
    let object = ObjectPath::new(format!("{path}/{METADATA}"))
        .map_err(|error: PathError| SnapshotFailure::other(error.to_string()))?;
    store
        .create(&object, &bytes)
        .map_err(|error| SnapshotFailure::new(error.kind.is_of_the_store(), causes(&error)))?;
    Ok((sha256_hex(&bytes), bytes.len() as u64))
}
