//! Event times and watermarks where a stream has none yet (Flink's `WatermarkStrategy` and
//! `TimestampsAndWatermarksOperator`).
//!
//! A watermark goes out at most once per chunk, behind the chunk's records, and only if it
//! advanced; where Flink asks the generator every 200 ms, a chunk is asked about at its end, so
//! that a window's result does not wait for a timer. Only generators that a program brings itself
//! are asked on a timer as well, since they may advance without records. Watermarks from upstream
//! are replaced, except the last one, which says that the input has ended.

use std::sync::Arc;
use std::time::Duration;

use weir_network::Chunk;
use weir_types::{Clock, EventTime, SystemClock, Watermark};

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
    /// When the last records came, on the wall clock.
    last_activity_ms: i64,
    idle: bool,
    /// When a program's own generator is to be asked next.
    next_period_ms: Option<i64>,
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
            last_activity_ms: 0,
            idle: false,
            next_period_ms: None,
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

    fn idle_at(&self) -> Option<i64> {
        let timeout = self.strategy.idleness.filter(|_| !self.idle)?;
        Some(self.last_activity_ms.saturating_add(millis(timeout)))
    }
}

impl<T: Data> Operator for WatermarksOperator<T> {
    fn open(&mut self, context: &OperatorContext) -> Result<(), OperatorError> {
        self.clock = Arc::clone(&context.clock);
        self.metrics = Arc::clone(&context.metrics);
        self.last_activity_ms = self.clock.unix_ms();
        let periodic = matches!(self.generator, Generator::Custom(_));
        self.next_period_ms = periodic.then(|| self.last_activity_ms.saturating_add(PERIOD_MS));
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
            // Read only now: time spent waiting for room downstream is no idleness.
            self.last_activity_ms = self.clock.unix_ms();
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
        self.idle_at().into_iter().chain(self.next_period_ms).min()
    }

    fn processing_time(&mut self, now_ms: i64, out: &mut dyn Output) -> Result<(), OperatorError> {
        if self.idle_at().is_some_and(|at| at <= now_ms) {
            self.set_idle(true, out)?;
        }
        if self.next_period_ms.is_some_and(|at| at <= now_ms) {
            self.next_period_ms = Some(now_ms.saturating_add(PERIOD_MS));
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
