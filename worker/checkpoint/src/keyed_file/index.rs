//! What stands at the front of a file of keyed state.

use serde::{Deserialize, Serialize};
use weir_state::StateMeta;
use weir_types::{CheckpointId, KeyGroup, KeyGroupRange, MAX_PARALLELISM_LIMIT};

use crate::envelope::Envelope;

/// Version 1: the index's body is the postcard encoding of [`Index`], a block is bytes of the
/// format that its state's meta names, or the LZ4 block compression of them.
pub(super) const V1: Envelope = Envelope {
    magic: *b"WEIRKEYS",
    version: 1,
    name: "file of keyed state",
};

/// LZ4 makes no block smaller than by this factor: what claims to be is no LZ4.
const LZ4_RATIO_MAX: u64 = 256;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Index {
    pub(super) checkpoint: CheckpointId,
    pub(super) base: Option<CheckpointId>,
    pub(super) max_parallelism: u32,
    pub(super) range: KeyGroupRange,
    pub(super) states: Vec<StateEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StateEntry {
    pub(super) meta: StateMeta,
    pub(super) complete: bool,
    pub(super) blocks: Vec<BlockEntry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BlockEntry {
    pub(super) group: KeyGroup,
    /// How many bytes it has in the file.
    pub(super) len: u64,
    /// How many bytes it has decompressed; none: it is not compressed.
    pub(super) plain_len: Option<u64>,
    /// Of its bytes in the file.
    pub(super) checksum: u64,
}

/// Where a block lies in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) state: usize,
    pub(super) offset: u64,
    pub(super) entry: BlockEntry,
}

impl Index {
    pub(super) fn seal(&self) -> Vec<u8> {
        V1.seal(self)
    }

    pub(super) fn from_body(body: &[u8]) -> Result<Self, String> {
        let (index, rest) =
            postcard::take_from_bytes::<Self>(body).map_err(|error| error.to_string())?;
        if !rest.is_empty() {
            return Err(format!("{} bytes are left over", rest.len()));
        }
        index.check()?;
        Ok(index)
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let Self {
            max_parallelism,
            range,
            ..
        } = self;
        if *max_parallelism > MAX_PARALLELISM_LIMIT
            || range.start > range.end
            || u32::from(range.end) >= *max_parallelism
        {
            return Err(format!("key groups {range} of {max_parallelism} cannot be"));
        }
        for state in &self.states {
            let name = &state.meta.name;
            let groups = state.blocks.iter().map(|block| block.group);
            if !groups.is_sorted_by(|one, next| one < next) {
                return Err(format!("the key groups of state `{name}` are not in order"));
            }
            for block in &state.blocks {
                let group = block.group;
                if !range.contains(group) {
                    return Err(format!("key group {group} of `{name}` is not of {range}"));
                }
                let most = block.len.saturating_mul(LZ4_RATIO_MAX);
                if block.plain_len.is_some_and(|plain| plain > most) {
                    return Err(format!("block {group} of `{name}` cannot become that long"));
                }
            }
        }
        Ok(())
    }

    /// All blocks in the order of the file, whose first one lies at `start`, and the file's end.
    pub(super) fn place(&self, start: u64) -> Result<(Vec<Placed>, u64), String> {
        let states = self.states.iter().enumerate();
        let mut blocks: Vec<Placed> = states
            .flat_map(|(state, entry)| {
                entry.blocks.iter().map(move |block| Placed {
                    state,
                    offset: 0,
                    entry: *block,
                })
            })
            .collect();
        blocks.sort_by_key(|block| (block.entry.group, block.state));
        let mut end = start;
        for block in &mut blocks {
            block.offset = end;
            end = end
                .checked_add(block.entry.len)
                .ok_or("its blocks have more bytes than there can be")?;
        }
        Ok((blocks, end))
    }
}
