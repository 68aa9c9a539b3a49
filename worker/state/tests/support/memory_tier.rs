//! A tier in memory that is as late as a tier may be: what it is given waits in a queue, and is
//! applied a piece at a time, or all of it when somebody insists.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use weir_state::{
    ChangeSorter, ColdBatch, ColdError, ColdSnapshot, ColdSnapshotKind, ColdStateId, ColdStats,
    ColdTier, Found, GroupBlock, StateMeta, Visit, append_entry, group_prefix,
};
use weir_types::{CheckpointId, KeyGroup};

type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Debug)]
enum Work {
    Write(ColdBatch),
    Snapshot(CheckpointId),
}

#[derive(Debug, Default)]
struct Inner {
    states: Vec<(StateMeta, Entries)>,
    queue: VecDeque<Work>,
    pending: usize,
    most_pending: usize,
    asked: Option<CheckpointId>,
    taken: Option<(CheckpointId, ColdSnapshot)>,
    stats: ColdStats,
}

#[derive(Debug, Default)]
pub(crate) struct MemoryTier {
    inner: Mutex<Inner>,
}

impl Inner {
    fn work(&mut self) -> bool {
        match self.queue.pop_front() {
            None => return false,
            Some(Work::Write(batch)) => {
                let entries = &mut self.states[batch.state.0 as usize].1;
                for GroupBlock { group, bytes } in batch.blocks {
                    self.pending -= bytes.len();
                    let each = ChangeSorter::default().each(&bytes, |key, value| {
                        let key = [&group_prefix(group), key].concat();
                        self.stats.written_entries += 1;
                        match value {
                            Some(value) => drop(entries.insert(key, value.to_vec())),
                            None => drop(entries.remove(&key)),
                        }
                        Ok::<_, ColdError>(())
                    });
                    each.unwrap();
                }
            }
            Some(Work::Snapshot(checkpoint)) => {
                let blocks = self.states.iter().map(|(_, entries)| blocks_of(entries));
                let ids = (0..).map(ColdStateId);
                self.taken = Some((checkpoint, ColdSnapshot::Blocks(ids.zip(blocks).collect())));
            }
        }
        true
    }
}

fn blocks_of(entries: &Entries) -> Vec<GroupBlock> {
    let mut blocks: BTreeMap<KeyGroup, Vec<u8>> = BTreeMap::new();
    for (key, value) in entries {
        let group = KeyGroup(u16::from_be_bytes([key[0], key[1]]));
        append_entry(&key[2..], value, blocks.entry(group).or_default());
    }
    let blocks = blocks.into_iter();
    blocks
        .map(|(group, bytes)| GroupBlock { group, bytes })
        .collect()
}

impl MemoryTier {
    /// The most bytes that were ever waiting.
    #[allow(dead_code, reason = "not every test asks")]
    pub(crate) fn most_pending(&self) -> usize {
        self.inner.lock().unwrap().most_pending
    }
}

impl MemoryTier {
    /// Keys that were asked for, and scans.
    #[allow(dead_code, reason = "not every test asks")]
    pub(crate) fn reads(&self) -> u64 {
        self.inner.lock().unwrap().stats.read_keys
    }
}

impl ColdTier for MemoryTier {
    fn restored(&self) -> Vec<(StateMeta, ColdStateId)> {
        Vec::new()
    }

    fn open_state(&self, meta: &StateMeta) -> Result<ColdStateId, ColdError> {
        let states = &mut self.inner.lock().unwrap().states;
        let known = states.iter().position(|(known, _)| known.name == meta.name);
        let nth = known.unwrap_or_else(|| {
            states.push((meta.clone(), Entries::new()));
            states.len() - 1
        });
        states[nth].0 = meta.clone();
        Ok(ColdStateId(u32::try_from(nth).unwrap()))
    }

    fn expire(&self, _state: ColdStateId, _meta: &StateMeta, _until_ms: i64) {}

    fn write(&self, batch: ColdBatch) -> Result<(), ColdError> {
        let mut inner = self.inner.lock().unwrap();
        inner.pending += batch
            .blocks
            .iter()
            .map(|block| block.bytes.len())
            .sum::<usize>();
        inner.most_pending = inner.most_pending.max(inner.pending);
        inner.queue.push_back(Work::Write(batch));
        Ok(())
    }

    fn flush(&self) -> Result<(), ColdError> {
        while self.inner.lock().unwrap().work() {}
        Ok(())
    }

    fn pending_bytes(&self) -> usize {
        self.inner.lock().unwrap().pending
    }

    fn get(&self, state: ColdStateId, keys: &[&[u8]], found: Found) -> Result<(), ColdError> {
        assert!(keys.is_sorted_by(|a, b| a < b));
        let mut inner = self.inner.lock().unwrap();
        inner.stats.read_keys += keys.len() as u64;
        for (nth, key) in keys.iter().enumerate() {
            if let Some(value) = inner.states[state.0 as usize].1.get(*key) {
                found(nth, value)?;
            }
        }
        inner.work();
        Ok(())
    }

    fn scan(
        &self,
        state: ColdStateId,
        prefix: &[u8],
        from: &[u8],
        visit: Visit,
    ) -> Result<(), ColdError> {
        assert!(from.starts_with(prefix));
        let mut inner = self.inner.lock().unwrap();
        inner.stats.read_keys += 1;
        let entries = inner.states[state.0 as usize].1.range(from.to_vec()..);
        for (key, value) in entries.take_while(|(key, _)| key.starts_with(prefix)) {
            if !visit(key, value)? {
                break;
            }
        }
        inner.work();
        Ok(())
    }

    fn snapshot_begin(
        &self,
        checkpoint: CheckpointId,
        kind: ColdSnapshotKind,
    ) -> Result<(), ColdError> {
        assert_eq!(
            kind,
            ColdSnapshotKind::Blocks,
            "there are no files in memory"
        );
        let mut inner = self.inner.lock().unwrap();
        inner.asked = Some(checkpoint);
        inner.queue.push_back(Work::Snapshot(checkpoint));
        Ok(())
    }

    fn snapshot_take(&self, wait: bool) -> Result<Option<ColdSnapshot>, ColdError> {
        let mut inner = self.inner.lock().unwrap();
        loop {
            let asked = inner.asked;
            let ready = inner.taken.take_if(|(taken, _)| Some(*taken) == asked);
            if let Some((_, snapshot)) = ready {
                return Ok(Some(snapshot));
            }
            if !inner.work() || !wait {
                return Ok(None);
            }
        }
    }

    fn confirm(&self, _checkpoint: CheckpointId) {}

    fn abort(&self, _checkpoint: CheckpointId) {}

    fn stats(&self) -> ColdStats {
        self.inner.lock().unwrap().stats.clone()
    }
}
