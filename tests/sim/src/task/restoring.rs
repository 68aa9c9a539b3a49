//! What a task goes on from: the snapshot that its deployment names.

use weir_checkpoint::handle::{KeyedHandle, Stored, SubtaskRestore};
use weir_types::{ExecutionAttemptId, KeyGroupRange, SubtaskIndex};

use super::records::{decode, key_group, positions};
use super::{Kind, Task};
use crate::graph::KEY_GROUPS;
use crate::store::{Content, FOLDER, Row, Txn};
use crate::world::World;

impl Task {
    pub(super) fn restored(
        &mut self,
        restore: Option<&SubtaskRestore>,
        world: &mut World,
    ) -> Result<(), String> {
        let Some(restore) = restore else {
            return self.abort_others(world);
        };
        let ended = restore.ended;
        let operator = restore
            .operators
            .iter()
            .map(|(_, operator)| operator)
            .next();
        let Some(operator) = operator else {
            return Err("its operator is not in the snapshot".to_owned());
        };
        match &mut self.kind {
            Kind::Source(source) => {
                for (_, raw) in &operator.raw {
                    let mut own = positions(raw)?;
                    source.splits.append(&mut own);
                }
                source.ended = ended;
            }
            Kind::Count(count) => {
                for handle in &operator.keyed {
                    let rows = read_counts(world, &restore.base, handle, self.attempt)?;
                    let inside = |key: &u8| handle.range.contains(key_group(*key));
                    count
                        .counts
                        .extend(rows.into_iter().filter(|(key, _)| inside(key)));
                }
                if restore.own && !operator.keyed.is_empty() {
                    let handles = operator.keyed.clone();
                    // A file that was clipped is another subtask's: a base must be whole.
                    let own = own_range(self.parallelism[1], self.attempt.subtask);
                    if handles.iter().all(|handle| handle.range == own) {
                        count.base = (count.counts.clone(), handles);
                    }
                }
            }
            Kind::Sink(sink) => {
                for (_, raw) in &operator.raw {
                    let txns: Vec<Txn> = decode(raw)?;
                    let checkpoint = restore.checkpoint;
                    sink.prepared
                        .extend(txns.into_iter().map(|txn| (checkpoint, txn)));
                }
                self.commit(world, restore.checkpoint)?;
            }
        }
        self.abort_others(world)
    }
}

pub(super) fn own_range(parallelism: u32, subtask: SubtaskIndex) -> KeyGroupRange {
    KeyGroupRange::of_subtask(KEY_GROUPS, parallelism, subtask.0)
}

fn read_counts(
    world: &mut World,
    base: &str,
    handle: &KeyedHandle,
    attempt: ExecutionAttemptId,
) -> Result<Vec<Row>, String> {
    let object = match &handle.stored {
        Stored::Inline(_) => return Ok(Vec::new()),
        Stored::Object(object) => object,
        Stored::Files(_) => return Err("files where counts were".to_owned()),
    };
    if world.fails(world.plan.errors_per_mille) {
        return Err("the store does not answer".to_owned());
    }
    let path = match base.strip_prefix(FOLDER).unwrap_or(base) {
        "" => object.path.clone(),
        base => format!("{}/{}", base.trim_start_matches('/'), object.path),
    };
    match world.store.objects.get(&path).map(|object| &object.content) {
        Some(Content::Counts(rows)) => Ok(rows.clone()),
        _ if world.is_current(attempt) => {
            Err(world.violate(format!("object {path} of the restored snapshot is gone")))
        }
        _ => Err("a successor has let go of the snapshot".to_owned()),
    }
}
