//! From which snapshot a job's subtasks and enumerators go on. Pure.

use std::sync::Arc;

use weir_checkpoint::coordinator::OperatorInfo;
use weir_checkpoint::handle::SubtaskRestore;
use weir_checkpoint::metadata::CheckpointMetadata;
use weir_checkpoint::pointer::SnapshotKind;
use weir_checkpoint::restore::{self, RestoreError, RestoreOptions, RestorePlan};
use weir_graph::{ExecutionVertexId, JobGraph, Role};
use weir_types::{CheckpointId, Fault, FaultClass, OperatorId};

/// A snapshot to go on from.
#[derive(Clone, Debug)]
pub struct RestoreFrom {
    /// What it says of itself.
    pub metadata: Arc<CheckpointMetadata>,
    /// The folder that its objects' names are relative to.
    pub base: String,
    /// Whether its objects belong to this job's own checkpoints.
    pub own: bool,
    /// Whether it is the newest snapshot of this very job, not one that a person named.
    pub lineage: bool,
    /// Those before it that the job may go back to if it turns out to be damaged, oldest first.
    pub older: Vec<CheckpointMetadata>,
}

impl RestoreFrom {
    /// The newest snapshot of a job whose state folder this is.
    pub fn latest(folder: &str, metadata: CheckpointMetadata) -> Self {
        let (base, own) = place(folder, &metadata);
        Self {
            metadata: Arc::new(metadata),
            base,
            own,
            lineage: true,
            older: Vec::new(),
        }
    }

    /// The same with those that the job may go back to.
    #[must_use]
    pub fn with_older(mut self, older: Vec<CheckpointMetadata>) -> Self {
        self.older = older;
        self
    }
}

/// Whether a job can go on from a snapshot, as its start would find out, and what people should
/// know of it: which operators the snapshot and the program do not have in common. `folder` is the
/// job's state folder.
pub fn check_restore(
    job: &JobGraph,
    folder: &str,
    from: &RestoreFrom,
    allow_non_restored_state: bool,
) -> Result<Vec<String>, RestoreError> {
    let options = RestoreOptions {
        allow_non_restored_state,
    };
    let restoring = Restoring::new(job, folder.to_owned(), options, Some(from))?;
    Ok(restoring.plan.as_ref().map_or_else(Vec::new, differences))
}

fn differences(plan: &RestorePlan) -> Vec<String> {
    let snapshot = plan.snapshot();
    let left_behind = plan.left_behind.iter().map(|operator| {
        format!(
            "state of operator {operator} in {snapshot} is left behind: the program has no \
             operator with that id (`allowNonRestoredState`)"
        )
    });
    let starts_empty = plan.starts_empty.iter().map(|operator| {
        format!(
            "operator {operator} starts with no state: {snapshot} has none of an operator with \
             that id"
        )
    });
    left_behind.chain(starts_empty).collect()
}

/// The job's operators, and what they go on from.
#[derive(Debug)]
pub(crate) struct Restoring {
    program: Vec<OperatorInfo>,
    options: RestoreOptions,
    /// The job's state folder.
    folder: String,
    plan: Option<RestorePlan>,
    only_to_commit: bool,
}

impl Restoring {
    /// Plans the restore that a job starts with. An error means that nothing may run.
    pub(crate) fn new(
        job: &JobGraph,
        folder: String,
        options: RestoreOptions,
        from: Option<&RestoreFrom>,
    ) -> Result<Self, RestoreError> {
        let program = operators(job);
        let plan = match from {
            None => None,
            Some(from) => {
                let base = from.base.clone();
                Some(restore::plan(
                    &from.metadata,
                    base,
                    from.own,
                    &program,
                    options,
                )?)
            }
        };
        Ok(Self {
            program,
            options,
            folder,
            plan,
            only_to_commit: false,
        })
    }

    /// Subtasks are restored only so that their sinks commit: they have nothing to read.
    pub(crate) fn only_commit(&mut self) {
        self.only_to_commit = true;
    }

    /// The snapshot that the next attempts go on from.
    pub(crate) fn checkpoint(&self) -> Option<CheckpointId> {
        self.plan.as_ref().map(RestorePlan::checkpoint)
    }

    /// A newer snapshot has completed.
    pub(crate) fn advance(&mut self, latest: &CheckpointMetadata) -> Result<(), Fault> {
        if self.checkpoint() == Some(latest.id) {
            return Ok(());
        }
        let (base, own) = place(&self.folder, latest);
        let plan = restore::plan(latest, base, own, &self.program, self.options);
        let plan = plan.map_err(|error| {
            let cause = format!("restore checkpoint {}: {error}", latest.id);
            Fault::job(FaultClass::NonRecoverable, cause)
        })?;
        self.plan = Some(plan);
        Ok(())
    }

    pub(crate) fn subtask(&self, id: ExecutionVertexId) -> Option<SubtaskRestore> {
        let plan = self.plan.as_ref()?;
        let mut restore = plan.subtask(id.vertex, id.subtask);
        restore.ended |= self.only_to_commit;
        Some(restore)
    }

    pub(crate) fn enumerator(&self, operator: OperatorId) -> Option<Vec<u8>> {
        let plan = self.plan.as_ref()?;
        plan.enumerators.get(&operator).cloned()
    }
}

/// The folder that the objects of a job's own snapshot are relative to, and whether they are shared
/// with other checkpoints.
fn place(folder: &str, metadata: &CheckpointMetadata) -> (String, bool) {
    match metadata.kind {
        SnapshotKind::Checkpoint => (folder.to_owned(), true),
        SnapshotKind::Savepoint => {
            let path = metadata.kind.folder(metadata.epoch, metadata.id);
            (format!("{folder}/{path}"), false)
        }
    }
}

/// The job's operators, as snapshots know them.
pub(crate) fn operators(job: &JobGraph) -> Vec<OperatorInfo> {
    let mut operators = Vec::new();
    for vertex in &job.vertices {
        operators.extend(vertex.operators.iter().map(|operator| OperatorInfo {
            operator: operator.operator_id,
            vertex: vertex.id,
            name: operator.name.clone(),
            uid: operator.uid.clone(),
            parallelism: vertex.parallelism,
            max_parallelism: vertex.max_parallelism,
            source: (operator.role == Role::Source).then_some(operator.node),
        }));
    }
    operators
}
