//! The enumerator of every source whose splits are known from the start: a queue.

use std::collections::VecDeque;

use serde::Serialize;
use weir_stream::BoxError;
use weir_stream::source::{SplitAnswer, SplitBytes, SplitEnumerator};
use weir_types::SubtaskIndex;

use crate::encoding::{EncodingError, decode, encode};

/// Hands out a fixed list of splits, one to whichever reader asks next, so that a fast reader
/// reads more of them than a slow one.
#[derive(Debug, Default)]
pub(crate) struct SplitQueue {
    pending: VecDeque<SplitBytes>,
}

impl SplitQueue {
    /// A queue of these splits.
    pub(crate) fn of<T: Serialize>(splits: &[T]) -> Result<Self, EncodingError> {
        Ok(Self {
            pending: splits.iter().map(encode).collect::<Result<_, _>>()?,
        })
    }
}

impl SplitEnumerator for SplitQueue {
    fn next_split(&mut self, _reader: SubtaskIndex) -> Result<SplitAnswer, BoxError> {
        Ok(self
            .pending
            .pop_front()
            .map_or(SplitAnswer::NoMore, SplitAnswer::Split))
    }

    fn add_splits_back(
        &mut self,
        splits: Vec<SplitBytes>,
        _reader: SubtaskIndex,
    ) -> Result<(), BoxError> {
        for split in splits.into_iter().rev() {
            self.pending.push_front(split);
        }
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, BoxError> {
        Ok(encode(&self.pending)?)
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), BoxError> {
        self.pending = decode(snapshot)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(queue: &mut SplitQueue) -> Vec<u32> {
        let mut splits = Vec::new();
        while let SplitAnswer::Split(split) = queue.next_split(SubtaskIndex(0)).expect("answers") {
            splits.push(decode(&split).expect("decodes"));
        }
        splits
    }

    #[test]
    fn a_restored_queue_hands_out_what_was_left() {
        let mut queue = SplitQueue::of(&[1u32, 2, 3]).expect("encodes");
        queue.next_split(SubtaskIndex(1)).expect("answers");
        let snapshot = queue.snapshot().expect("writes");
        assert_eq!(drain(&mut queue), [2, 3]);

        let mut fresh = SplitQueue::of(&[1u32, 2, 3]).expect("encodes");
        fresh.restore(&snapshot).expect("reads");
        assert_eq!(drain(&mut fresh), [2, 3]);
    }

    #[test]
    fn splits_that_come_back_are_handed_out_first_and_in_order() {
        let mut queue = SplitQueue::of(&[3u32]).expect("encodes");
        let back = vec![
            encode(&1u32).expect("encodes"),
            encode(&2u32).expect("encodes"),
        ];
        queue
            .add_splits_back(back, SubtaskIndex(0))
            .expect("takes them");
        assert_eq!(drain(&mut queue), [1, 2, 3]);
    }
}
