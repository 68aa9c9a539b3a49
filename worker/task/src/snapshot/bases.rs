//! What deltas of keyed state build on: by operator, the files of the newest confirmed checkpoint.
//! Pure.

use weir_checkpoint::handle::{KeyedHandle, Stored, StoredFile};
use weir_state::SnapshotKind;
use weir_types::CheckpointId;

use super::store::{Chain, StoredChains};

/// The files of the newest confirmed checkpoint of one operator, a full one first.
struct Base {
    checkpoint: CheckpointId,
    chain: Chain,
}

/// By the operators' places in their chain.
pub(super) struct Bases {
    operators: Vec<Option<Base>>,
    full_every: u32,
}

impl Bases {
    pub(super) fn new(operators: usize, full_every: u32) -> Self {
        Self {
            operators: (0..operators).map(|_| None).collect(),
            full_every,
        }
    }

    /// What the operator's next snapshot should be: a full one from time to time, so that a
    /// restore reads few files, and as soon as the deltas together outweigh a full one.
    pub(super) fn kind(&self, place: usize) -> SnapshotKind {
        let chain = self.operators[place].as_ref().map(|base| &base.chain);
        let Some((full, deltas)) = chain.and_then(|chain| chain.split_first()) else {
            return SnapshotKind::Full;
        };
        let weight: u64 = deltas.iter().map(size).sum();
        // What was written ahead of a checkpoint counts with it.
        let same = |a: &KeyedHandle, b: &KeyedHandle| a.checkpoint == b.checkpoint;
        let count = deltas.chunk_by(same).count();
        if count >= self.full_every as usize || weight > size(full) {
            SnapshotKind::Full
        } else {
            SnapshotKind::Incremental
        }
    }

    /// The files that a delta relative to `base` continues.
    pub(super) fn chain(&self, place: usize, base: CheckpointId) -> Chain {
        let known = self.operators[place].as_ref();
        let known = known.filter(|known| known.checkpoint == base);
        let known = known.expect("a delta is relative to the last checkpoint that was confirmed");
        known.chain.clone()
    }

    /// The files of a database in the newest confirmed checkpoint: one of the same name is the same
    /// file, and need not be stored again.
    pub(super) fn files(&self, place: usize) -> &[StoredFile] {
        let newest = self.operators[place].as_ref();
        match newest.and_then(|base| base.chain.last()) {
            Some(KeyedHandle {
                stored: Stored::Files(files),
                ..
            }) => files,
            _ => &[],
        }
    }

    /// The operator goes on with the files of a checkpoint of this job, if they are those of one
    /// former subtask: a database, or a full snapshot with deltas. Of several, the backend makes
    /// something new.
    pub(super) fn go_on_from(&mut self, place: usize, files: &[KeyedHandle]) {
        let continued = files.windows(2).all(|pair| match pair {
            [before, next] => next.base == Some(before.checkpoint) && next.range == before.range,
            _ => false,
        });
        if let (Some(last), true) = (files.last(), continued) {
            self.operators[place] = Some(Base {
                checkpoint: last.checkpoint,
                chain: files.to_vec(),
            });
        }
    }

    /// A checkpoint is complete, and these are its files.
    pub(super) fn confirm(&mut self, checkpoint: CheckpointId, chains: StoredChains) {
        for base in &mut self.operators {
            *base = None;
        }
        for (place, chain) in chains {
            self.operators[place] = Some(Base { checkpoint, chain });
        }
    }
}

fn size(handle: &KeyedHandle) -> u64 {
    handle.stored.size()
}

#[cfg(test)]
mod tests {
    use weir_checkpoint::handle::Stored;
    use weir_types::KeyGroupRange;

    use super::*;

    fn file(checkpoint: u64, bytes: usize) -> KeyedHandle {
        KeyedHandle {
            stored: Stored::Inline(vec![0; bytes]),
            checkpoint: CheckpointId(checkpoint),
            base: None,
            range: KeyGroupRange { start: 0, end: 127 },
            max_parallelism: 128,
            states: Vec::new(),
        }
    }

    fn kind_after(sizes: &[usize]) -> SnapshotKind {
        let mut bases = Bases::new(1, 3);
        let chain: Chain = (1..).zip(sizes).map(|(id, size)| file(id, *size)).collect();
        bases.confirm(CheckpointId(chain.len() as u64), vec![(0, chain)]);
        bases.kind(0)
    }

    #[test]
    fn the_first_snapshot_is_full() {
        assert_eq!(Bases::new(1, 3).kind(0), SnapshotKind::Full);
    }

    #[test]
    fn the_files_of_one_former_subtask_are_gone_on_from_and_those_of_two_are_not() {
        let delta = |checkpoint, base| KeyedHandle {
            base: Some(CheckpointId(base)),
            ..file(checkpoint, 1)
        };
        let chain = [file(1, 100), delta(2, 1), delta(5, 2)];
        let kind = |files: &[KeyedHandle]| {
            let mut bases = Bases::new(1, 3);
            bases.go_on_from(0, files);
            bases.kind(0)
        };
        assert_eq!(kind(&chain[..2]), SnapshotKind::Incremental);
        assert_eq!(kind(&chain), SnapshotKind::Incremental);
        let mut bases = Bases::new(1, 3);
        bases.go_on_from(0, &chain);
        assert_eq!(bases.chain(0, CheckpointId(5)), chain);
        for other in [
            [&chain[..2], &[file(2, 100)]].concat(),
            vec![file(1, 100), delta(3, 2)],
            Vec::new(),
        ] {
            assert_eq!(kind(&other), SnapshotKind::Full, "{other:?}");
        }
    }

    #[test]
    fn a_full_one_follows_when_there_are_many_deltas_or_heavy_ones() {
        assert_eq!(kind_after(&[100]), SnapshotKind::Incremental);
        assert_eq!(kind_after(&[100, 1, 1]), SnapshotKind::Incremental);
        assert_eq!(kind_after(&[100, 1, 1, 1]), SnapshotKind::Full);
        assert_eq!(kind_after(&[100, 50, 50]), SnapshotKind::Incremental);
        assert_eq!(kind_after(&[100, 50, 51]), SnapshotKind::Full);
    }
}
