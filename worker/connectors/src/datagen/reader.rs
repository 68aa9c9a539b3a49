//! The reader of one subtask: makes the records that are due.

use std::sync::Arc;

use weir_stream::source::{Poll, SourceOutput, SourceReader, SplitBytes};
use weir_stream::{BoxError, CHUNK_ROWS, Data, OperatorContext};
use weir_types::Clock;

use super::Generate;
use super::split::IndexSplit;
use crate::encoding::{decode, encode};
use crate::schedule::Schedule;

/// Makes the records of its splits. Made by [`DatagenSource`].
pub struct DatagenReader<T> {
    generator: Arc<dyn Generate<T>>,
    rate: Option<f64>,
    clock: Arc<dyn Clock>,
    splits: Vec<Paced>,
    has_all_splits: bool,
}

impl<T> DatagenReader<T> {
    pub(super) fn new(
        generator: Arc<dyn Generate<T>>,
        rate: Option<f64>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            generator,
            rate,
            clock,
            splits: Vec::new(),
            has_all_splits: false,
        }
    }
}

/// A split and when its records are due.
struct Paced {
    split: IndexSplit,
    schedule: Option<Schedule>,
}

impl<T: Data> SourceReader<T> for DatagenReader<T> {
    fn open(&mut self, context: &OperatorContext) -> Result<(), BoxError> {
        self.clock = Arc::clone(&context.clock);
        Ok(())
    }

    fn add_split(&mut self, split: SplitBytes) -> Result<(), BoxError> {
        let split: IndexSplit = decode(&split)?;
        let schedule = self.rate.map(|rate| match split.start_ms {
            Some(start_ms) => Schedule::from_unix_ms(rate, start_ms, &*self.clock),
            // Goes on from a checkpoint: the time in between is no backlog.
            None => Schedule::resumed(rate, split.next, &*self.clock),
        });
        self.splits.push(Paced { split, schedule });
        Ok(())
    }

    fn no_more_splits(&mut self) {
        self.has_all_splits = true;
    }

    fn poll(&mut self, out: &mut SourceOutput<'_, T>) -> Result<Poll, BoxError> {
        if !self.has_all_splits {
            // All of them before the first record: they are read side by side.
            return Ok(Poll::NeedSplit);
        }
        let now = self.clock.now();
        let mut room = CHUNK_ROWS as u64;
        while room > 0 {
            // A reader holds several splits only after a change of parallelism: the one that is
            // furthest behind goes first, so that event time advances on all of them together.
            let Some(Paced { split, schedule }) =
                self.splits.iter_mut().min_by_key(|paced| paced.split.next)
            else {
                let emitted = room < CHUNK_ROWS as u64;
                return Ok(if emitted { Poll::More } else { Poll::End });
            };
            let due = schedule.map_or(u64::MAX, |schedule| schedule.due(now));
            let until = split
                .run_end()
                .min(due)
                .min(split.next.saturating_add(room));
            if let Some(schedule) = schedule.filter(|_| until <= split.next) {
                return Ok(Poll::Wait(schedule.pause(split.next, now)));
            }
            let until = self.generator.emit(split.next..until, out);
            room -= until - split.next;
            split.advance(until);
            self.splits.retain(|paced| !paced.split.is_done());
            if out.turn_is_over() {
                break;
            }
        }
        Ok(Poll::More)
    }

    fn snapshot(&mut self) -> Result<Vec<SplitBytes>, BoxError> {
        let rest = self.splits.iter().map(|paced| IndexSplit {
            start_ms: None,
            ..paced.split.clone()
        });
        Ok(rest.map(|split| encode(&split)).collect::<Result<_, _>>()?)
    }
}
