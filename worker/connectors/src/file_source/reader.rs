//! The reader of one subtask: takes splits one after the other, at the pace the user asked for.

use std::collections::VecDeque;
use std::sync::Arc;

use weir_stream::source::{Poll, SourceOutput, SourceReader, SplitBytes};
use weir_stream::{BoxError, CHUNK_ROWS, Data, OperatorContext};
use weir_types::Clock;

use super::bad_record::BadRecordHandler;
use super::format::{FileFormat, ReadOptions, SplitReader};
use super::split::FileSplit;
use crate::encoding::{decode, encode};
use crate::schedule::Schedule;

/// Reads splits of files. Made by [`crate::FileSource`].
pub struct FileReader<T> {
    format: Arc<dyn FileFormat<T>>,
    options: ReadOptions,
    opened: Option<Opened>,
    waiting: VecDeque<FileSplit>,
    current: Option<Box<dyn SplitReader<T>>>,
    has_all_splits: bool,
}

/// What is known from `open` on.
struct Opened {
    bad: BadRecordHandler,
    clock: Arc<dyn Clock>,
    pace: Option<Pace>,
}

/// How far a paced reader is.
struct Pace {
    schedule: Schedule,
    lines: u64,
}

impl<T> FileReader<T> {
    pub(super) fn new(format: Arc<dyn FileFormat<T>>, options: ReadOptions) -> Self {
        Self {
            format,
            options,
            opened: None,
            waiting: VecDeque::new(),
            current: None,
            has_all_splits: false,
        }
    }
}

impl<T: Data> SourceReader<T> for FileReader<T> {
    fn open(&mut self, context: &OperatorContext) -> Result<(), BoxError> {
        let pace = self.options.rate.map(|rate| {
            let share = rate / f64::from(context.parallelism.max(1));
            Pace {
                schedule: Schedule::from_now(share, &*context.clock),
                lines: 0,
            }
        });
        self.opened = Some(Opened {
            bad: BadRecordHandler::new(self.options.bad_records, Arc::clone(&context.metrics)),
            clock: Arc::clone(&context.clock),
            pace,
        });
        Ok(())
    }

    fn add_split(&mut self, split: SplitBytes) -> Result<(), BoxError> {
        self.waiting.push_back(decode(&split)?);
        Ok(())
    }

    fn no_more_splits(&mut self) {
        self.has_all_splits = true;
    }

    fn poll(&mut self, out: &mut SourceOutput<'_, T>) -> Result<Poll, BoxError> {
        let opened = self
            .opened
            .as_mut()
            .expect("a reader is opened before its first turn");
        let mut limit = CHUNK_ROWS;
        if let Some(pace) = &opened.pace {
            let now = opened.clock.now();
            let due = pace.schedule.due(now).saturating_sub(pace.lines);
            if due == 0 {
                return Ok(Poll::Wait(pace.schedule.pause(pace.lines, now)));
            }
            limit = usize::try_from(due).unwrap_or(CHUNK_ROWS).min(CHUNK_ROWS);
        }
        if self.current.is_none() {
            let Some(split) = self.waiting.pop_front() else {
                return Ok(if self.has_all_splits {
                    Poll::End
                } else {
                    Poll::NeedSplit
                });
            };
            let path = split.path().display();
            tracing::debug!(%path, start = split.start, end = split.end, "read a split");
            self.current = Some(self.format.open(split, &self.options)?);
        }
        let current = self.current.as_mut().expect("a split was opened just now");
        let turn = current.turn(limit, &mut opened.bad, out)?;
        if let Some(pace) = &mut opened.pace {
            pace.lines += turn.lines as u64;
        }
        if turn.done {
            self.current = None;
        }
        Ok(Poll::More)
    }

    fn snapshot(&mut self) -> Result<Vec<SplitBytes>, BoxError> {
        let rest = self.current.iter().map(|current| current.rest());
        let unfinished = rest.filter(|rest| rest.start < rest.end);
        let splits = unfinished.chain(self.waiting.iter().cloned());
        Ok(splits
            .map(|split| encode(&split))
            .collect::<Result<_, _>>()?)
    }
}
