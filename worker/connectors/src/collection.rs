//! A source of records that the program holds in memory (Flink's `fromCollection`).

use std::sync::Arc;

use weir_stream::factory::EnumeratorContext;
use weir_stream::source::{Poll, Source, SourceOutput, SourceReader, SplitBytes, SplitEnumerator};
use weir_stream::{BoxError, CHUNK_ROWS, Data, OperatorContext};
use weir_types::EventTime;

use crate::encoding::{decode, encode};
use crate::split_queue::SplitQueue;

/// Emits the records of a collection in order, from one reader.
pub struct CollectionSource<T> {
    records: Arc<[(T, Option<EventTime>)]>,
}

impl<T> Clone for CollectionSource<T> {
    fn clone(&self) -> Self {
        Self {
            records: Arc::clone(&self.records),
        }
    }
}

impl<T: Data + Sync> CollectionSource<T> {
    /// Records without event time.
    pub fn new(records: impl IntoIterator<Item = T>) -> Self {
        Self {
            records: records.into_iter().map(|record| (record, None)).collect(),
        }
    }

    /// Records with their event times.
    pub fn with_timestamps(records: impl IntoIterator<Item = (T, EventTime)>) -> Self {
        Self {
            records: records
                .into_iter()
                .map(|(record, time)| (record, Some(time)))
                .collect(),
        }
    }
}

impl<T: Data + Sync> Source for CollectionSource<T> {
    type Out = T;
    type Reader = CollectionReader<T>;

    fn kind(&self) -> &'static str {
        "collection"
    }

    fn bounded(&self) -> bool {
        true
    }

    fn non_parallel(&self) -> bool {
        true
    }

    fn make_reader(&self) -> CollectionReader<T> {
        CollectionReader {
            records: Arc::clone(&self.records),
            next: None,
            has_all_splits: false,
        }
    }

    fn make_enumerator(
        &self,
        _context: &EnumeratorContext,
    ) -> Result<Box<dyn SplitEnumerator>, BoxError> {
        Ok(Box::new(SplitQueue::of(&[0u64])?))
    }
}

/// Reads a collection. Its one split is the index of the next record.
pub struct CollectionReader<T> {
    records: Arc<[(T, Option<EventTime>)]>,
    next: Option<usize>,
    has_all_splits: bool,
}

impl<T: Data + Sync> SourceReader<T> for CollectionReader<T> {
    fn open(&mut self, _context: &OperatorContext) -> Result<(), BoxError> {
        Ok(())
    }

    fn add_split(&mut self, split: SplitBytes) -> Result<(), BoxError> {
        let next: u64 = decode(&split)?;
        self.next = Some(usize::try_from(next)?);
        Ok(())
    }

    fn no_more_splits(&mut self) {
        self.has_all_splits = true;
    }

    fn poll(&mut self, out: &mut SourceOutput<'_, T>) -> Result<Poll, BoxError> {
        let Some(next) = &mut self.next else {
            return Ok(if self.has_all_splits {
                Poll::End
            } else {
                Poll::NeedSplit
            });
        };
        let rest = self.records.get(*next..).unwrap_or_default();
        let turn = &rest[..rest.len().min(CHUNK_ROWS)];
        for (record, time) in turn {
            match time {
                Some(time) => out.collect_at(record.clone(), *time),
                None => out.collect(record.clone()),
            }
            *next += 1;
            if out.turn_is_over() {
                break;
            }
        }
        if *next >= self.records.len() {
            self.next = None;
        }
        Ok(Poll::More)
    }

    fn snapshot(&mut self) -> Result<Vec<SplitBytes>, BoxError> {
        Ok(self
            .next
            .iter()
            .map(|next| encode(&(*next as u64)))
            .collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{TestReader, context, enumerator, read_all, turns_of_a_called_reader};

    #[test]
    fn a_collection_comes_out_in_order() {
        let records: Vec<u32> = (0..3000).collect();
        assert_eq!(
            read_all(&CollectionSource::new(records.clone())).expect("reads"),
            records
        );
        assert_eq!(
            read_all(&CollectionSource::<u32>::new([])).expect("reads"),
            [0; 0]
        );
    }

    #[test]
    fn a_reader_that_is_called_ends_its_turn_after_a_record() {
        let (turns, rows) = turns_of_a_called_reader(&CollectionSource::new(0u32..5));
        assert_eq!((turns, rows), (vec![1; 5], (0..5).collect()));
    }

    #[test]
    fn records_keep_their_event_times() {
        let source = CollectionSource::with_timestamps([("a".to_owned(), EventTime(7))]);
        let mut reader = TestReader::open(&source, context(0, 1));
        reader.run(&mut *enumerator(&source, 1)).expect("reads");
        assert_eq!(reader.out.0, [("a".to_owned(), Some(EventTime(7)))]);
    }

    #[test]
    fn a_restored_reader_emits_exactly_the_rest() {
        let source = CollectionSource::new(0u32..3000);
        let mut splits = enumerator(&source, 1);
        let mut first = TestReader::open(&source, context(0, 1));
        first.turn(&mut *splits).expect("asks for a split");
        first.turn(&mut *splits).expect("reads a chunk");
        let snapshot = first.snapshot();
        let mut second = TestReader::restored(&source, context(0, 1), &[snapshot]);
        second.run(&mut *splits).expect("reads");
        let mut rows = first.rows();
        assert!(!rows.is_empty() && rows.len() < 3000);
        rows.extend(second.rows());
        assert_eq!(rows, (0..3000).collect::<Vec<_>>());
    }
}
