//! What tasks put into a snapshot.

use std::collections::BTreeMap;

use weir_checkpoint::handle::{KeyedHandle, ObjectRef, OperatorSubtaskState, Stored, SubtaskState};
use weir_types::{CheckpointBarrier, CheckpointId, ExecutionAttemptId, KeyGroupRange, OperatorId};

use super::records::encode;
use super::restoring::own_range;
use super::{Ahead, Count, DELTAS_MAX, Element, Kind, Task, Upload};
use crate::bug::Bug;
use crate::graph::KEY_GROUPS;
use crate::message::Event;
use crate::plan::Point;
use crate::store::{Content, Row, Txn};
use crate::world::World;

impl Task {
    pub(super) fn snapshot(
        &mut self,
        world: &mut World,
        barrier: CheckpointBarrier,
    ) -> Result<(), String> {
        self.send_all(world, Element::Barrier(barrier));
        world.at_task_point(self.tm, Point::Forwarded)?;
        let id = barrier.id;
        let upload = self.upload(world, barrier);
        world.at_task_point(self.tm, Point::Frozen)?;
        self.uploads.insert(id, upload);
        let ok = !world.fails(world.plan.errors_per_mille);
        let slow = world.rng.chance(30);
        let delay = if slow {
            world.rng.between(20, 90)
        } else {
            world.rng.between(1, 8)
        };
        let attempt = self.attempt;
        world.push(delay, Event::Stored { attempt, id, ok });
        Ok(())
    }

    pub(super) fn upload(&mut self, world: &mut World, barrier: CheckpointBarrier) -> Upload {
        let mut state = SubtaskState {
            operators: Vec::new(),
            ended: false,
        };
        let mut part = OperatorSubtaskState {
            operator: OperatorId(self.attempt.vertex.0),
            keyed: Vec::new(),
            operator_state: None,
            raw: None,
            uncommitted: false,
        };
        let mut objects = Vec::new();
        let attempt = self.attempt;
        let inputs_ended = self.input_done;
        match &mut self.kind {
            Kind::Source(source) => {
                state.ended = source.ended;
                let splits = &source.splits;
                world.note(|| format!("{attempt} puts {splits:?} into {}", barrier.id));
                part.raw = Some(encode(&source.splits));
            }
            Kind::Count(count) => {
                state.ended = inputs_ended;
                let range = own_range(self.parallelism[1], attempt.subtask);
                part.keyed = count.snapshot(world, barrier, (attempt, range), &mut objects);
            }
            Kind::Sink(sink) => {
                state.ended = inputs_ended;
                let named = !world.has(Bug::NamesReused);
                let txn = Txn {
                    sink: attempt.vertex.0,
                    epoch: if named { attempt.epoch.0 } else { 0 },
                    checkpoint: if named {
                        barrier.id.0
                    } else {
                        sink.prepared.len() as u64
                    },
                    subtask: attempt.subtask.0,
                    attempt: if named { attempt.attempt.0 } else { 0 },
                };
                let mut rows = std::mem::take(&mut sink.open);
                if world.has(Bug::NotFlushed)
                    && let Some(last) = rows.pop()
                {
                    sink.open.push(last);
                }
                if !rows.is_empty() {
                    world.store.pending.insert(txn, (world.now, rows));
                    sink.prepared.push((barrier.id, txn));
                }
                let txns: Vec<Txn> = sink.prepared.iter().map(|(_, txn)| *txn).collect();
                part.uncommitted = !txns.is_empty();
                part.raw = Some(encode(&txns));
            }
        }
        state.operators.push(part);
        Upload { state, objects }
    }

    /// Now and then, what has changed since the newest checkpoint, which is complete, is stored for
    /// the number that the next one is expected to have.
    pub(super) fn write_ahead(&mut self, world: &mut World) -> Result<(), String> {
        let attempt = self.attempt;
        let Kind::Count(count) = &mut self.kind else {
            return Ok(());
        };
        if !world.plan.writes_ahead || !world.rng.chance(150) {
            return Ok(());
        }
        let Some(newest) = count.newest else {
            return Ok(());
        };
        let (base_counts, base) = &count.base;
        let is_base = |handle: &KeyedHandle| handle.checkpoint == newest;
        if count.ahead.is_some() || !base.last().is_some_and(is_base) || base.len() > DELTAS_MAX {
            return Ok(());
        }
        let id = CheckpointId(newest.0 + 1);
        let rows = changed(&count.counts, base_counts);
        let (epoch, vertex, subtask) = (attempt.epoch, attempt.vertex.0, attempt.subtask);
        let (n, round) = (attempt.attempt, count.rounds);
        count.rounds += 1;
        let path = format!("chk-{epoch}-{id}/{vertex}-{subtask}-{n}-ahead{round}");
        let range = own_range(self.parallelism[1], subtask);
        let handle = handle_of(&path, rows.len(), (id, Some(newest)), range);
        count.ahead = Some(Box::new(Ahead {
            of: id,
            counts: count.counts.clone(),
            handle,
        }));
        let created = world.store.create(&path, Content::Counts(rows), world.now);
        created.map_err(|text| world.violate(text))?;
        world.at_task_point(self.tm, Point::ObjectStored)
    }
}

/// What differs from `base`. Counts only grow, and no key goes.
fn changed(counts: &BTreeMap<u8, u32>, base: &BTreeMap<u8, u32>) -> Vec<Row> {
    let rows = counts.iter().map(|(key, count)| (*key, *count));
    rows.filter(|(key, count)| base.get(key) != Some(count))
        .collect()
}

fn handle_of(
    path: &str,
    rows: usize,
    (checkpoint, base): (CheckpointId, Option<CheckpointId>),
    range: KeyGroupRange,
) -> KeyedHandle {
    KeyedHandle {
        stored: Stored::Object(ObjectRef {
            path: path.to_owned(),
            size: rows as u64,
            checksum: 0,
        }),
        checkpoint,
        base,
        range,
        max_parallelism: KEY_GROUPS,
        states: Vec::new(),
    }
}

impl Count {
    fn snapshot(
        &mut self,
        world: &mut World,
        barrier: CheckpointBarrier,
        (attempt, range): (ExecutionAttemptId, KeyGroupRange),
        objects: &mut Vec<(String, Vec<Row>)>,
    ) -> Vec<KeyedHandle> {
        let (subtask, n, id) = (attempt.subtask, attempt.attempt, barrier.id);
        let vertex = attempt.vertex.0;
        let name = format!("{}-{id}-{vertex}-{subtask}-{n}", barrier.epoch);
        let savepoint = barrier.kind == weir_types::BarrierKind::Savepoint;
        self.newest = Some(id);
        let ahead = self.ahead.take().filter(|ahead| ahead.of == id);
        let (base_counts, base) = &self.base;
        let full = savepoint || base.is_empty() || base.len() > DELTAS_MAX;
        let (rows, mut handles) = match (full, ahead) {
            (true, _) => (changed(&self.counts, &BTreeMap::new()), Vec::new()),
            (false, None) => (changed(&self.counts, base_counts), base.clone()),
            (false, Some(ahead)) => {
                let handles = base.iter().cloned().chain([ahead.handle]);
                (changed(&self.counts, &ahead.counts), handles.collect())
            }
        };
        if full || !rows.is_empty() {
            let path = match savepoint {
                true => name,
                false => format!("shared/{name}"),
            };
            let before = handles.last().map(|handle: &KeyedHandle| handle.checkpoint);
            handles.push(handle_of(&path, rows.len(), (id, before), range));
            let place = match savepoint {
                true => format!("savepoint-{}-{id}/{path}", barrier.epoch),
                false => path,
            };
            objects.push((place, rows));
        } else if world.has(Bug::NoNewBytesNoState) {
            handles.clear();
            handles.push(KeyedHandle {
                stored: Stored::Inline(Vec::new()),
                checkpoint: id,
                base: None,
                range,
                max_parallelism: KEY_GROUPS,
                states: Vec::new(),
            });
            return handles;
        }
        if !savepoint {
            self.pending
                .insert(id, (self.counts.clone(), handles.clone()));
        } else if world.has(Bug::SavepointAsBase) && !self.base.1.is_empty() {
            self.pending
                .insert(id, (self.counts.clone(), self.base.1.clone()));
        }
        handles
    }
}
