//! Changes that are not in the database yet, as they came.

use std::collections::BTreeMap;

use weir_state::{ChangeSorter, ColdBatch, ColdError, ColdStateId, GroupBlock};
use weir_types::KeyGroup;

use crate::sst::each_change;

/// The changes of one state.
#[derive(Debug, Default)]
pub(crate) struct Groups(BTreeMap<KeyGroup, Vec<u8>>);

/// The changes of all states; later ones win.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    states: BTreeMap<ColdStateId, Groups>,
    bytes: usize,
}

impl Changes {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    pub(crate) fn states(&self) -> impl Iterator<Item = (ColdStateId, &Groups)> {
        self.states.iter().map(|(state, groups)| (*state, groups))
    }

    pub(crate) fn add(&mut self, batch: ColdBatch) {
        let groups = self.states.entry(batch.state).or_default();
        for GroupBlock { group, bytes } in batch.blocks {
            self.bytes += bytes.len();
            groups.add(group, bytes);
        }
    }

    /// Adds later ones.
    pub(crate) fn append(&mut self, later: Self) {
        self.bytes += later.bytes;
        for (state, groups) in later.states {
            let own = self.states.entry(state).or_default();
            groups
                .0
                .into_iter()
                .for_each(|(group, block)| own.add(group, block));
        }
    }
}

impl Groups {
    fn add(&mut self, group: KeyGroup, bytes: Vec<u8>) {
        let block = self.0.entry(group).or_default();
        if block.is_empty() {
            *block = bytes;
        } else {
            block.extend_from_slice(&bytes);
        }
    }

    /// Gives the last change of each key, in the order of the tier's keys.
    pub(crate) fn in_order(
        &self,
        sorter: &mut ChangeSorter,
        mut give: impl FnMut(&[u8], Option<&[u8]>) -> Result<(), ColdError>,
    ) -> Result<(), ColdError> {
        let mut groups = self.0.iter();
        groups.try_for_each(|(group, block)| each_change(sorter, *group, block, &mut give))
    }
}
