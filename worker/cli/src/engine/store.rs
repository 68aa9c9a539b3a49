//! Questions about a store that need no JobManager, and their answers. The answers are also what
//! `--format json` prints, so their field names are an outside format.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// A place in a store, and which of the jobs there are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreRequest {
    /// A folder or a URI: what `--checkpoint-dir` was, or one job's folder in it.
    pub location: String,
    /// How the store is reached: `s3.endpoint` and so on.
    pub options: BTreeMap<String, String>,
    /// The names of the jobs that are meant; none: all of them.
    pub jobs: Vec<String>,
}

/// The jobs of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StoreListing {
    /// The store's address, as `--dir` takes it.
    pub location: String,
    /// By name.
    pub jobs: Vec<StoredJob>,
}

/// One job in a store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StoredJob {
    /// The name of its folder.
    pub name: String,
    /// Where it stands, for people: `running`, `stopped`, `finished`, …
    pub state: String,
    /// The epoch of its last leader.
    pub epoch: u64,
    /// The deployment of its last leader.
    pub deployment: u64,
    /// Its last leader, for people.
    pub holder: String,
    /// What is kept, oldest first.
    pub snapshots: Vec<StoredSnapshot>,
    /// Why its folder cannot be read, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// One checkpoint or savepoint in a store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StoredSnapshot {
    /// Its number.
    pub id: u64,
    /// The epoch that took it.
    pub epoch: u64,
    /// `checkpoint` or `savepoint`.
    pub kind: String,
    /// Its folder, as `--restore` takes it.
    pub location: String,
    /// When it was complete, in milliseconds since 1970.
    pub completed: i64,
    /// The operation that asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// Whether it is what `--restore latest` begins with.
    pub latest: bool,
    /// The bytes of the state in it, if its metadata could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_size: Option<u64>,
}

/// Which checkpoint or savepoint is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotChoice {
    /// A retained one of the job in `store`, by its number.
    Number(u64),
    /// The one whose folder is the location of `store`.
    Here,
}

/// A question about one checkpoint or savepoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InspectRequest {
    /// Where it lies.
    pub store: StoreRequest,
    /// Which one.
    pub which: SnapshotChoice,
}

/// What a checkpoint or savepoint consists of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SnapshotReport {
    /// Its folder, as `--restore` takes it.
    pub location: String,
    /// Its number.
    pub id: u64,
    /// The epoch that took it.
    pub epoch: u64,
    /// `checkpoint` or `savepoint`.
    pub kind: String,
    /// The job whose state it is: the id of its lineage.
    pub state_id: String,
    /// The operation that asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// When it was triggered, in milliseconds since 1970.
    pub triggered: i64,
    /// When it was complete, in milliseconds since 1970.
    pub completed: i64,
    /// The version of the program that wrote it.
    pub weir_version: String,
    /// Objects that it refers to.
    pub objects: u64,
    /// The bytes of the state in it, in objects and in the metadata.
    pub state_size: u64,
    /// How its keyed state is compressed, if it has any that can be read: `none` or `lz4`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<String>,
    /// In the order of the metadata.
    pub operators: Vec<OperatorReport>,
}

/// One operator in a checkpoint or savepoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct OperatorReport {
    /// The id that its state belongs to.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its uid, if the program gave it one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// How many subtasks it had.
    pub parallelism: u32,
    /// How many key groups there were.
    pub max_parallelism: u32,
    /// Subtasks that had processed all their input.
    pub ended: u32,
    /// Bytes of a source's enumerator.
    pub enumerator_size: u64,
    /// Its states by name, as far as the metadata tells them.
    pub states: Vec<StateReport>,
    /// By subtask; those without state are left out.
    pub subtasks: Vec<SubtaskReport>,
}

/// One state of an operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StateReport {
    /// Its name.
    pub name: String,
    /// Which kind: `value`, `list`, `map`, …
    pub kind: String,
    /// What it holds, for people.
    #[serde(rename = "type")]
    pub value_type: String,
}

/// One subtask's part of an operator's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SubtaskReport {
    /// The subtask, from 0.
    pub subtask: u32,
    /// Bytes of keyed state.
    pub keyed_size: u64,
    /// How many files the keyed state is in: a full one and those with changes.
    pub keyed_files: u32,
    /// Bytes of operator state.
    pub operator_size: u64,
    /// Bytes that the operator keeps for itself: split positions, prepared transactions.
    pub raw_size: u64,
    /// Whether the sink in it has results to commit.
    pub uncommitted: bool,
}

/// A question whether all is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FsckRequest {
    /// Where; also one checkpoint's or savepoint's folder.
    pub store: StoreRequest,
}

/// Whether all is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FsckReport {
    /// By name.
    pub jobs: Vec<JobCheck>,
}

/// One job, or one savepoint that lies by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct JobCheck {
    /// The name of its folder.
    pub name: String,
    /// What is wrong with the job as a whole: its pointer cannot be read, …
    pub problems: Vec<String>,
    /// Oldest first.
    pub snapshots: Vec<SnapshotCheck>,
}

/// One checkpoint or savepoint that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SnapshotCheck {
    /// Its number.
    pub id: u64,
    /// `checkpoint` or `savepoint`.
    pub kind: String,
    /// Its folder, as `--restore` takes it.
    pub location: String,
    /// Objects that were read and compared.
    pub objects: u64,
    /// Their bytes.
    pub size: u64,
    /// What is wrong with it: each with the object it concerns.
    pub problems: Vec<String>,
}

impl FsckReport {
    /// How many problems there are.
    pub fn problems(&self) -> usize {
        let of = |job: &JobCheck| {
            let snapshots = job.snapshots.iter().map(|snapshot| snapshot.problems.len());
            job.problems.len() + snapshots.sum::<usize>()
        };
        self.jobs.iter().map(of).sum()
    }
}

/// A question for what nothing needs, or the order to delete it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GcRequest {
    /// Where.
    pub store: StoreRequest,
    /// Delete; else only tell.
    pub delete: bool,
    /// What is younger than this stays in any case: a checkpoint under way may need it.
    pub grace: Duration,
}

/// The order to delete the checkpoints of a job that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClearRequest {
    /// The job's folder.
    pub store: StoreRequest,
    /// The deployment that the job is taken away for from whoever has it; none: it must be over.
    pub deployment: Option<u64>,
}

/// What nothing needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct GcReport {
    /// Whether it was deleted.
    pub deleted: bool,
    /// By name.
    pub jobs: Vec<JobGarbage>,
}

/// What nothing needs, of one job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct JobGarbage {
    /// The name of its folder.
    pub name: String,
    /// Objects that something needs.
    pub needed_objects: u64,
    /// Their bytes.
    pub needed_size: u64,
    /// Objects that nothing is known to need, but that are too young to tell.
    pub young_objects: u64,
    /// Their bytes.
    pub young_size: u64,
    /// Objects that nothing needs.
    pub garbage: Vec<GarbageObject>,
    /// Why nothing can be said of the job, or what could not be deleted.
    pub problems: Vec<String>,
}

/// An object that nothing needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct GarbageObject {
    /// Its name within the job's folder.
    pub path: String,
    /// Its bytes.
    pub size: u64,
    /// When it was last written, in milliseconds since 1970.
    pub modified: i64,
}
