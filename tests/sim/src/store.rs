//! The model store: the pointer's register, objects, and the sinks' files.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_checkpoint::metadata::CheckpointMetadata;
use weir_checkpoint::pointer::{Pointer, RunState, SnapshotKind};
use weir_types::{CheckpointId, Epoch};

use crate::plan::Ms;

/// The state folder, as processes call it.
pub(crate) const FOLDER: &str = "store";

/// A result that a sink has prepared, named so that no other has its name.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub(crate) struct Txn {
    /// The sink's vertex.
    pub(crate) sink: u128,
    pub(crate) epoch: u64,
    pub(crate) checkpoint: u64,
    pub(crate) subtask: u32,
    pub(crate) attempt: u32,
}

/// A row of the sink's output: a key, and how often it has been seen.
pub(crate) type Row = (u8, u32);

/// What an object holds.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Metadata(Arc<CheckpointMetadata>),
    Counts(Vec<Row>),
}

#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) content: Content,
    pub(crate) modified: Ms,
}

#[derive(Default)]
pub(crate) struct Store {
    pub(crate) register: Option<Pointer>,
    /// Of the register.
    pub(crate) version: u64,
    pub(crate) objects: BTreeMap<String, Object>,
    /// The snapshots that a pointer ever had as its newest.
    pub(crate) decided: BTreeSet<CheckpointId>,
    /// The snapshots that a pointer ever named for an operation.
    pub(crate) of_operation: BTreeMap<String, BTreeSet<CheckpointId>>,
    /// Prepared results, and since when.
    pub(crate) pending: BTreeMap<Txn, (Ms, Vec<Row>)>,
    /// By sink and its subtask, when the prepared results of older attempts were last cleaned up.
    pub(crate) cleaned: BTreeMap<(u128, u32), Ms>,
    pub(crate) committed: BTreeMap<Txn, Vec<Row>>,
    /// When a pointer last said that the job's checkpoints are deleted.
    pub(crate) deleted_at: Option<Ms>,
    /// The epoch in which it did: people have taken away what was committed in it and before.
    taken_away: Epoch,
    /// Results that were committed a second time by a planted bug.
    pub(crate) repeated: Vec<Row>,
    /// Nothing gets through until then.
    pub(crate) down_until: Ms,
    /// Nothing of these JobManagers gets through until then.
    pub(crate) cut_until: BTreeMap<usize, Ms>,
}

impl Store {
    pub(crate) fn version(&self) -> String {
        format!("v{}", self.version)
    }

    /// The compare-and-swap. Says whether it took place.
    pub(crate) fn swap(
        &mut self,
        expected: Option<&str>,
        content: Pointer,
        now: Ms,
    ) -> Result<bool, String> {
        let fits = match (&self.register, expected) {
            (None, None) => true,
            (Some(_), Some(expected)) => expected == self.version(),
            _ => false,
        };
        if !fits {
            return Ok(false);
        }
        if let Some(before) = &self.register {
            check_step(before, &content)?;
        }
        if let Some(latest) = &content.latest {
            self.decided.insert(latest.id);
        }
        for snapshot in &content.retained {
            if let Some(operation) = &snapshot.operation {
                let name = operation.0.split('~').next().unwrap_or_default();
                let all = self.of_operation.entry(name.to_owned()).or_default();
                all.insert(snapshot.id);
                if all.len() > 1 {
                    return Err(format!(
                        "operation {} has several snapshots: {all:?}",
                        operation.0
                    ));
                }
            }
        }
        if content.run_state == RunState::Deleted {
            self.deleted_at = Some(now);
            self.taken_away = content.epoch;
        }
        self.version += 1;
        self.register = Some(content);
        Ok(true)
    }

    /// Whether nothing of this JobManager gets through.
    pub(crate) fn is_out_of_reach(&self, jm: usize, now: Ms) -> bool {
        let cut = self.cut_until.get(&jm).is_some_and(|until| now < *until);
        cut || now < self.down_until
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.register
            .as_ref()
            .map_or(Epoch(0), |pointer| pointer.epoch)
    }

    /// Creates an object; one that is there must not change.
    pub(crate) fn create(&mut self, path: &str, content: Content, now: Ms) -> Result<(), String> {
        if self.objects.contains_key(path) {
            return Err(format!("object {path} is written a second time"));
        }
        let modified = now;
        self.objects
            .insert(path.to_owned(), Object { content, modified });
        Ok(())
    }

    pub(crate) fn metadata(&self, folder: &str) -> Option<&CheckpointMetadata> {
        match self.objects.get(&format!("{folder}/_metadata")) {
            Some(Object {
                content: Content::Metadata(metadata),
                ..
            }) => Some(metadata),
            _ => None,
        }
    }

    /// All objects that the pointer needs, found without the collector's code.
    pub(crate) fn needed(&self) -> Result<BTreeSet<String>, String> {
        let mut needed = BTreeSet::new();
        let Some(pointer) = &self.register else {
            return Ok(needed);
        };
        for snapshot in &pointer.retained {
            let folder = &snapshot.path;
            needed.insert(format!("{folder}/_metadata"));
            let metadata = self.metadata(folder);
            let metadata = metadata.ok_or_else(|| format!("the metadata of {folder} is gone"))?;
            for operator in &metadata.operators {
                for (_, state) in &operator.subtasks {
                    let handles = state.keyed.iter();
                    for object in handles.flat_map(|handle| handle.stored.objects()) {
                        needed.insert(match snapshot.kind {
                            SnapshotKind::Checkpoint => object.path.clone(),
                            SnapshotKind::Savepoint => format!("{folder}/{}", object.path),
                        });
                    }
                }
            }
        }
        Ok(needed)
    }

    /// What the pointer needs must be there.
    pub(crate) fn is_whole(&self) -> Result<(), String> {
        let needed = self.needed()?;
        match needed.iter().find(|path| !self.objects.contains_key(*path)) {
            Some(path) => Err(format!("the pointer needs {path}, which is gone")),
            None => Ok(()),
        }
    }

    /// Every row that is visible to readers of the output, in order.
    pub(crate) fn output(&self) -> Vec<Row> {
        let committed = self.committed.iter();
        let rows = committed.filter(|(txn, _)| txn.epoch > self.taken_away.0);
        let rows = rows.flat_map(|(_, rows)| rows);
        let mut rows: Vec<Row> = rows.chain(&self.repeated).copied().collect();
        rows.sort_unstable();
        rows
    }
}

/// What holds from each content of the pointer to the next.
fn check_step(before: &Pointer, after: &Pointer) -> Result<(), String> {
    let (old, new) = (&before.latest, &after.latest);
    let id = |latest: &Option<weir_checkpoint::pointer::SnapshotRef>| latest.as_ref().map(|l| l.id);
    let lets_go = after.run_state == RunState::Deleted && new.is_none();
    if id(new) < id(old) && !lets_go {
        return Err(format!(
            "latest goes back from {:?} to {:?}",
            id(old),
            id(new)
        ));
    }
    if after.epoch < before.epoch || after.deployment < before.deployment {
        return Err(format!(
            "epoch or deployment go back: {before:?} to {after:?}"
        ));
    }
    if after.last_id < before.last_id {
        return Err("numbers go back".to_owned());
    }
    let (was, is) = (&before.run_state, &after.run_state);
    if before.deployment == after.deployment && *is == RunState::Running && was != is {
        return Err(format!(
            "a job that is {was:?} runs again in the same deployment"
        ));
    }
    let decoded = Pointer::decode(&after.encode());
    match decoded {
        Ok(decoded) if decoded == *after => Ok(()),
        other => Err(format!("the pointer does not read back: {other:?}")),
    }
}
