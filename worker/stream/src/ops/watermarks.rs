//! Event times and watermarks where a stream has none yet (Flink's `WatermarkStrategy` and
//! `TimestampsAndWatermarksOperator`).
//!
//! A watermark goes out at most once per chunk, behind the chunk's records, and only if it
//! advanced; where Flink asks the generator every 200 ms, a chunk is asked about at its end, so
//! that a window's result does not wait for a timer. Only generators that a program brings itself
//! are asked on a timer as well, since they may advance without records. Watermarks from upstream
//! are replaced, except the last one, which says that the input has ended.
//!
//! A stream is idle when there is nothing to read, not when nobody can read: time in which the
//! subtask waits for room downstream does not count, whichever of its outputs it waits at (Flink's
//! `PausableRelativeClock`, FLINK-35886). Idleness and periods are measured on the clock that never
//! goes back. Only the moment to be called at is told in the wall clock's time, as it is now: where
//! that one jumps, the moment jumps along.

use std::sync::Arc;
use std::time::Duration;

use weir_network::Chunk;
use weir_types::{Clock, EventTime, SystemClock, Timestamp, Watermark};

use crate::metrics::OperatorMetrics;
use crate::ops::no_state;
use crate::{Batch, Control, Data, Operator, OperatorContext, OperatorError, Output};

mod strategy;

pub use strategy::{WatermarkGenerator, WatermarkOutput, WatermarkStrategy};

use strategy::GeneratorKind;

/// How often a program's own generator is asked, beside the end of each chunk.
const PERIOD_MS: i64 = 200;

/// Gives records their event times, and makes watermarks.
pub struct WatermarksOperator<T> {
    strategy: WatermarkStrategy<T>,
    generator: Generator<T>,
    last: Watermark,
    clock: Arc<dyn Clock>,
    metrics: Arc<OperatorMetrics>,
    last_activity: Moment,
    idle: bool,
    /// When a program's own generator was last asked by the period; none without one.
    last_period: Option<Timestamp>,
}

/// A point in time, and for how long the subtask had waited for room downstream until then.
#[derive(Clone, Copy, Default)]
struct Moment {
    at: Timestamp,
    blocked: Duration,
}

enum Generator<T> {
    None,
    Bounded { bound_ms: i64, max: EventTime },
    Custom(Box<dyn WatermarkGenerator<T>>),
}

impl<T: Data> WatermarksOperator<T> {
    /// Follows the strategy.
    pub fn new(strategy: WatermarkStrategy<T>) -> Self {
        let generator = match &strategy.generator {
            GeneratorKind::None => Generator::None,
            GeneratorKind::Bounded(bound) => {
                let bound_ms = millis(*bound);
                // So that the first watermark is not before all times.
                let max = EventTime(i64::MIN.saturating_add(bound_ms).saturating_add(1));
                Generator::Bounded { bound_ms, max }
            }
            GeneratorKind::Custom(make) => Generator::Custom(make()),
        };
        Self {
            strategy,
            generator,
            last: Watermark::MIN,
            clock: Arc::new(SystemClock),
            metrics: Arc::default(),
            last_activity: Moment::default(),
            idle: false,
            last_period: None,
        }
    }

    /// The records' event times: the assigner's, or else those that they came with.
    fn event_times(
        &self,
        rows: &[T],
        came_with: Vec<EventTime>,
    ) -> Result<Vec<EventTime>, OperatorError> {
        if let Some(assign) = &self.strategy.assigner {
            return Ok(assign(rows, came_with));
        }
        let needed = !matches!(self.generator, Generator::None);
        if needed && came_with.len() != rows.len() {
            return Err(OperatorError::Invalid(
                "assign watermarks: the records have no event time: give the watermark strategy a \
                 timestamp assigner"
                    .to_owned(),
            ));
        }
        Ok(came_with)
    }

    /// Tells the generator of a chunk, and asks it for the watermark behind the chunk.
    fn observe(&mut self, rows: &[T], times: &[EventTime]) -> Option<Watermark> {
        match &mut self.generator {
            Generator::None => None,
            Generator::Bounded { bound_ms, max } => {
                *max = times.iter().copied().fold(*max, EventTime::max);
                Some(Watermark(EventTime(max.0 - *bound_ms - 1)))
            }
            Generator::Custom(generator) => {
                let mut out = WatermarkOutput::default();
                for (row, time) in rows.iter().zip(times) {
                    generator.on_event(row, *time, &mut out);
                }
                generator.on_periodic(&mut out);
                out.latest()
            }
        }
    }

    fn advance(
        &mut self,
        watermark: Option<Watermark>,
        out: &mut dyn Output,
    ) -> Result<(), OperatorError> {
        let Some(watermark) = watermark.filter(|watermark| *watermark > self.last) else {
            return Ok(());
        };
        self.last = watermark;
        self.set_idle(false, out)?;
        out.control(Control::Watermark(watermark))
    }

    fn set_idle(&mut self, idle: bool, out: &mut dyn Output) -> Result<(), OperatorError> {
        if self.idle == idle {
            return Ok(());
        }
        self.idle = idle;
        out.control(if idle { Control::Idle } else { Control::Active })
    }

    fn moment(&self) -> Moment {
        Moment {
            at: self.clock.now(),
            blocked: self.metrics.blocked(),
        }
    }

    /// In how many milliseconds the stream becomes idle if nothing comes; zero or less if it has.
    fn idle_in(&self) -> Option<i64> {
        let timeout = self.strategy.idleness.filter(|_| !self.idle)?;
        let (now, last) = (self.moment(), self.last_activity);
        let blocked = now.blocked.saturating_sub(last.blocked);
        let quiet = now.at.since(last.at).saturating_sub(blocked);
        Some(millis(timeout).saturating_sub(millis(quiet)))
    }

    /// In how many milliseconds the generator is to be asked; zero or less if it is time.
    fn period_in(&self) -> Option<i64> {
        let passed = self.clock.now().since(self.last_period?);
        Some(PERIOD_MS.saturating_sub(millis(passed)))
    }
}

impl<T: Data> Operator for WatermarksOperator<T> {
    fn open(&mut self, context: &OperatorContext) -> Result<(), OperatorError> {
        self.clock = Arc::clone(&context.clock);
        self.metrics = Arc::clone(&context.metrics);
        self.last_activity = self.moment();
        let periodic = matches!(self.generator, Generator::Custom(_));
        self.last_period = periodic.then_some(self.last_activity.at);
        Ok(())
    }

    fn process(
        &mut self,
        _input: usize,
        chunk: Box<dyn Chunk>,
        out: &mut dyn Output,
    ) -> Result<(), OperatorError> {
        let (rows, times) = Batch::<T>::from_chunk(chunk).into_parts();
        if rows.is_empty() {
            return Ok(());
        }
        self.set_idle(false, out)?;
        let times = self.event_times(&rows, times)?;
        let watermark = self.observe(&rows, &times);
        if let Some(newest) = times.last() {
            self.metrics.set_newest_event_time(*newest, &*self.clock);
        }
        out.emit(Box::new(Batch::with_timestamps(rows, times)))?;
        self.advance(watermark, out)?;
        if self.strategy.idleness.is_some() {
            // Only now: time that the operators behind this one take is no idleness.
            self.last_activity = self.moment();
        }
        Ok(())
    }

    fn watermark(
        &mut self,
        watermark: Watermark,
        out: &mut dyn Output,
    ) -> Result<(), OperatorError> {
        if watermark == Watermark::MAX {
            self.advance(Some(watermark), out)
        } else {
            Ok(())
        }
    }

    fn activity(&mut self, _active: bool, _out: &mut dyn Output) -> Result<(), OperatorError> {
        // Idleness is judged anew here, as the watermarks are.
        Ok(())
    }

    fn next_processing_time(&self) -> Option<i64> {
        let rest = self.idle_in().into_iter().chain(self.period_in()).min()?;
        Some(self.clock.unix_ms().saturating_add(rest))
    }

    fn processing_time(&mut self, _: i64, out: &mut dyn Output) -> Result<(), OperatorError> {
        if self.idle_in().is_some_and(|rest| rest <= 0) {
            self.set_idle(true, out)?;
        }
        if self.period_in().is_some_and(|rest| rest <= 0) {
            self.last_period = Some(self.clock.now());
            if let Generator::Custom(generator) = &mut self.generator {
                let mut collected = WatermarkOutput::default();
                generator.on_periodic(&mut collected);
                if !self.idle {
                    self.advance(collected.latest(), out)?;
                }
            }
        }
        Ok(())
    }

    no_state!();
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
