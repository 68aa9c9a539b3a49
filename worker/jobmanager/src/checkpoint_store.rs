//! The JobManager's side of the store: claims the job, reads what it goes on from, and completes
//! checkpoints.
//!
//! Calls to a store block, so a running job's are made by one thread of their own, in order; what
//! comes of them are events. What is to be done about a lost answer is decided by the pure writer
//! and the pure claim of `weir_checkpoint`; here they are only obeyed.

use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;
use weir_checkpoint::claim::{self, ClaimAction, ClaimOutcome, ClaimRefused, Claimant, LeaderTask};
use weir_checkpoint::collector::METADATA;
use weir_checkpoint::coordinator::{FailureKind, PointerOutcome, SnapshotFailure};
use weir_checkpoint::metadata::{self, CheckpointMetadata, sha256_hex};
use weir_checkpoint::pointer::{
    Nonces, POINTER, Pointer, PointerWriter, ReadResult, Rewind, Root, RunState, SnapshotRef,
    SwapResult, WriterAction,
};
use weir_storage::{ObjectPath, ObjectStore, PathError, StoreError, StoreErrorKind, Version};
use weir_types::{Epoch, causes};

use crate::collection::Collector;
use crate::job_master::Event;

/// How many requests may wait for the store. There is one pointer write and a few checkpoints.
const REQUESTS_WAITING_MAX: usize = 1024;

/// The first and the longest pause before a store is asked again.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How often a claim asks a store that does not answer.
const CLAIM_TRIES_MAX: u32 = 8;

/// Who wants to lead a job.
pub struct Claim {
    /// The job's state folder.
    pub store: Arc<dyn ObjectStore>,
    /// Who it is.
    pub claimant: Claimant,
    /// Randomness for telling writes apart.
    pub seed: u64,
    /// The epoch of another job's snapshot that it goes on from; 0 if there is none.
    pub above: Epoch,
    /// The job begins anew; see [`claim::Claim::anew`].
    pub anew: bool,
    /// What it begins with then, if that is a snapshot.
    pub begins_with: Option<Root>,
    /// What a person has it go back to by this claim.
    pub rewind: Option<Rewind>,
    /// The nonce of the pointer that all this was decided by, if it matters that it is the newest;
    /// see [`claim::Claim::looked_at`].
    pub looked_at: Option<u128>,
}

/// A job that is led by this process.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The pointer as the claim has written it.
    pub pointer: Pointer,
    /// Its version.
    pub version: String,
    /// What there is to do.
    pub task: LeaderTask,
}

/// This process does not lead the job.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The job is over.
    #[error("the job is over: {}", show(.0))]
    Over(RunState),
    /// It must not.
    #[error(transparent)]
    Refused(#[from] ClaimRefused),
    /// Another process was quicker.
    #[error("`{holder}` has claimed the job for epoch {epoch}")]
    Lost {
        /// Its epoch.
        epoch: Epoch,
        /// Its name.
        holder: String,
    },
    /// The folder could not be looked at.
    #[error("look into the job's state folder")]
    Store(#[source] StoreError),
    /// The pointer is damaged.
    #[error(
        "read the pointer in {folder}: {cause}; nothing is started, as it might begin with old \
         state: repair it"
    )]
    Damaged {
        /// Where.
        folder: String,
        /// What is wrong.
        cause: String,
    },
    /// The newest snapshot cannot be read.
    #[error(
        "restore {path}: {cause}; results after an older snapshot may be committed already, so the \
         job does not go back by itself: repair the snapshot"
    )]
    LatestUnreadable {
        /// Which one.
        path: String,
        /// Why.
        cause: String,
    },
}

fn show(state: &RunState) -> String {
    match state {
        RunState::Running => "it runs".to_owned(),
        RunState::Stopping(operation) => format!("it is being stopped by `{}`", operation.0),
        RunState::Stopped(operation) => format!("it was stopped by `{}`", operation.0),
        RunState::Finished => "it has finished".to_owned(),
        RunState::Failed => "it has failed".to_owned(),
        RunState::Cancelled => "it was cancelled".to_owned(),
        RunState::Deleted => "it was cancelled, and its checkpoints were deleted".to_owned(),
    }
}

/// Reads the pointer without claiming anything.
pub fn read_pointer(store: &dyn ObjectStore) -> Result<Option<Pointer>, ClaimError> {
    let found = store
        .read_register(&pointer_path())
        .map_err(ClaimError::Store)?;
    let Some((bytes, _)) = found else {
        return Ok(None);
    };
    let pointer = Pointer::decode(&bytes).map_err(|error| damaged(store, &error))?;
    Ok(Some(pointer))
}

fn damaged(store: &dyn ObjectStore, error: &dyn std::error::Error) -> ClaimError {
    ClaimError::Damaged {
        folder: store.location(),
        cause: causes(error),
    }
}

/// Claims a job. Blocks until that has ended one way or the other.
pub fn claim(claim: Claim) -> Result<Claimed, ClaimError> {
    let Claim {
        store,
        claimant,
        seed,
        above,
        anew,
        begins_with,
        rewind,
        looked_at,
    } = claim;
    let (claiming, mut next) = claim::Claim::new(claimant, Nonces::new(seed));
    let claiming = claiming.above(above).anew(anew).begins_with(begins_with);
    let mut claiming = claiming.rewind(rewind).looked_at(looked_at);
    loop {
        next = match next {
            ClaimAction::Read { tries } => {
                pause(tries);
                let read = read(store.as_ref());
                if matches!(read, ReadResult::Failed(_)) {
                    // A damaged pointer stays damaged; a store that answers nothing for so long
                    // is for a person to look at.
                    match read_pointer(store.as_ref()) {
                        Err(error @ ClaimError::Damaged { .. }) => return Err(error),
                        Err(error) if tries >= CLAIM_TRIES_MAX => return Err(error),
                        _ => {}
                    }
                }
                let objects = match &read {
                    ReadResult::Missing => has_snapshots(store.as_ref())?,
                    _ => false,
                };
                claiming.on_read(read, objects)
            }
            ClaimAction::Swap { expected, content } => {
                claiming.on_swap(swap(store.as_ref(), expected, &content))
            }
            ClaimAction::Done(outcome) => {
                return match *outcome {
                    ClaimOutcome::Leads {
                        pointer,
                        version,
                        task,
                    } => Ok(Claimed {
                        pointer: *pointer,
                        version,
                        task,
                    }),
                    ClaimOutcome::Over { run_state, .. } => Err(ClaimError::Over(run_state)),
                    ClaimOutcome::Lost { epoch, holder } => Err(ClaimError::Lost { epoch, holder }),
                    ClaimOutcome::Refused(why) => Err(why.into()),
                };
            }
        };
    }
}

/// Whether there is anything of snapshots in a job's state folder.
pub fn has_snapshots(store: &dyn ObjectStore) -> Result<bool, ClaimError> {
    let listed = store
        .list(&ObjectPath::default())
        .map_err(ClaimError::Store)?;
    let of_snapshots = |path: &str| {
        ["chk-", "savepoint-", "shared/", "taskowned/"]
            .iter()
            .any(|prefix| path.starts_with(prefix))
    };
    Ok(listed
        .iter()
        .any(|object| of_snapshots(object.path.as_str())))
}

/// A snapshot that the pointer names.
pub enum Found {
    /// It is there.
    Whole(Box<CheckpointMetadata>),
    /// Something of it is gone, or not what was written.
    Unreadable(String),
}

/// A snapshot's metadata, checked against what the pointer says of it. A store that does not answer
/// says nothing about it.
pub fn find_snapshot(store: &dyn ObjectStore, snapshot: &SnapshotRef) -> Result<Found, StoreError> {
    let path = match ObjectPath::new(format!("{}/{METADATA}", snapshot.path)) {
        Ok(path) => path,
        Err(error) => return Ok(Found::Unreadable(error.to_string())),
    };
    let bytes = match store.get(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind == StoreErrorKind::NotFound => {
            return Ok(Found::Unreadable(causes(&error)));
        }
        Err(error) => return Err(error),
    };
    if sha256_hex(&bytes) != snapshot.sha256 {
        return Ok(Found::Unreadable(format!(
            "its metadata has another checksum than the pointer says ({} bytes, {} expected)",
            bytes.len(),
            snapshot.size
        )));
    }
    Ok(match metadata::decode(&bytes) {
        Ok(metadata) => Found::Whole(Box::new(metadata)),
        Err(error) => Found::Unreadable(causes(&error)),
    })
}

/// The same where it does not matter why there is none.
pub(crate) fn read_snapshot(
    store: &dyn ObjectStore,
    snapshot: &SnapshotRef,
) -> Result<CheckpointMetadata, String> {
    match find_snapshot(store, snapshot) {
        Ok(Found::Whole(metadata)) => Ok(*metadata),
        Ok(Found::Unreadable(cause)) => Err(cause),
        Err(error) => Err(causes(&error)),
    }
}

/// Notes in the pointer of a claimed job that an operation needs something, before that is read.
pub fn record_root(
    store: &dyn ObjectStore,
    claimed: Claimed,
    root: Root,
    seed: u64,
) -> Result<Claimed, ClaimError> {
    moved(store, claimed, seed, |pointer| pointer.roots.push(root))
}

/// Lets go of all checkpoints of a claimed job, for good.
pub fn let_go(store: &dyn ObjectStore, claimed: Claimed, seed: u64) -> Result<Claimed, ClaimError> {
    moved(store, claimed, seed, Pointer::let_go)
}

/// Changes the pointer of a claimed job.
fn moved(
    store: &dyn ObjectStore,
    claimed: Claimed,
    seed: u64,
    change: impl FnOnce(&mut Pointer),
) -> Result<Claimed, ClaimError> {
    let Claimed {
        pointer,
        version,
        task,
    } = claimed;
    let mut nonces = Nonces::new(seed);
    let mut wanted = pointer.clone();
    change(&mut wanted);
    wanted.nonce = nonces.draw();
    let mut writer = PointerWriter::new(pointer, version, nonces);
    match outcome_of_write(store, &mut writer, wanted.clone()).1 {
        PointerOutcome::Written => {
            let found = store
                .read_register(&pointer_path())
                .map_err(ClaimError::Store)?;
            let (bytes, Version(version)) = found.ok_or(ClaimRefused::StateMissing)?;
            let now = Pointer::decode(&bytes).map_err(|error| damaged(store, &error))?;
            // The version is only good with the content that was written.
            if now.nonce != wanted.nonce {
                return Err(ClaimError::Lost {
                    epoch: now.epoch,
                    holder: now.holder,
                });
            }
            Ok(Claimed {
                pointer: wanted,
                version,
                task,
            })
        }
        PointerOutcome::Failed(reason) => Err(ClaimRefused::Write { reason }.into()),
        PointerOutcome::Fenced(other) => Err(ClaimError::Lost {
            epoch: other.epoch,
            holder: other.holder.clone(),
        }),
    }
}

/// The thread that completes checkpoints.
pub(crate) struct StoreThread {
    requests: blocking::SyncSender<Request>,
}

enum Request {
    Metadata {
        path: String,
        metadata: Box<CheckpointMetadata>,
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
    pub(crate) fn write_metadata(&self, path: String, metadata: Box<CheckpointMetadata>) {
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
                        self.collector.metadata_written(path, *metadata);
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
    store.create(&object, &bytes).map_err(|error| {
        let kind = match error.kind.is_of_the_store() {
            true => FailureKind::Storage,
            false => FailureKind::Other,
        };
        let reason = causes(&error);
        SnapshotFailure { kind, reason }
    })?;
    Ok((sha256_hex(&bytes), bytes.len() as u64))
}

/// Obeys the writer until the outcome is certain.
fn outcome_of_write(
    store: &dyn ObjectStore,
    writer: &mut PointerWriter,
    pointer: Pointer,
) -> (u128, PointerOutcome) {
    let mut next = Some(writer.write(pointer));
    loop {
        next = match next {
            Some(WriterAction::Swap { expected, content }) => {
                writer.on_swap(swap(store, Some(expected), &content))
            }
            Some(WriterAction::Read { tries }) => {
                pause(tries);
                writer.on_read(read(store))
            }
            Some(WriterAction::Done { nonce, outcome }) => {
                return (nonce, outcome);
            }
            None => unreachable!("the writer has a write to end"),
        };
    }
}

fn pointer_path() -> ObjectPath {
    ObjectPath::new(POINTER).expect("the pointer's name is a good name")
}

fn read(store: &dyn ObjectStore) -> ReadResult {
    match store.read_register(&pointer_path()) {
        Ok(Some((bytes, Version(version)))) => match Pointer::decode(&bytes) {
            Ok(pointer) => ReadResult::Found {
                pointer: Box::new(pointer),
                version,
            },
            Err(error) => ReadResult::Failed(causes(&error)),
        },
        Ok(None) => ReadResult::Missing,
        Err(error) => {
            tracing::warn!("{}", causes(&error));
            ReadResult::Failed(causes(&error))
        }
    }
}

fn swap(store: &dyn ObjectStore, expected: Option<String>, content: &Pointer) -> SwapResult {
    let expected = expected.map(Version);
    match store.swap_register(&pointer_path(), expected.as_ref(), &content.encode()) {
        Ok(Version(version)) => SwapResult::Written { version },
        Err(error) => match error.kind {
            StoreErrorKind::Conflict | StoreErrorKind::AlreadyExists => SwapResult::Conflict,
            StoreErrorKind::InDoubt | StoreErrorKind::Unavailable | StoreErrorKind::Other => {
                SwapResult::InDoubt(causes(&error))
            }
            StoreErrorKind::NotFound
            | StoreErrorKind::Truncated
            | StoreErrorKind::Denied
            | StoreErrorKind::NoSpace
            | StoreErrorKind::Unsuitable => SwapResult::Failed(causes(&error)),
        },
    }
}

/// Longer and longer before each further try.
fn pause(tries: u32) {
    if tries > 0 {
        let grown = PAUSE_MIN.saturating_mul(1 << tries.min(10));
        thread::sleep(grown.min(PAUSE_MAX));
    }
}
