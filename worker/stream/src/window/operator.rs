//! Brings assigner, panes and trigger together (Flink's `WindowOperator`).
//!
//! A pane's contents are keyed state under the window as namespace; its timers are timers of the
//! same key and namespace. A record looks at the timers only when it is the first of its pane,
//! or when records may come late; so most records cost one probe of the panes per window.
//! A pane is dropped when the watermark passes the window's end and the allowed lateness.

use std::sync::Arc;

use weir_network::Chunk;
use weir_state::{Namespaced, StateError, StateKey, Timer, ValueState};
use weir_types::{EventTime, Watermark};

use crate::keyed_runtime::{KeyedRuntime, hash_of, keyed_state};
use crate::metrics::OperatorMetrics;
use crate::ops::records;
use crate::window::pane_timers::{PaneTimers, current_pane};
use crate::window::{
    Pane, ProcessWindowFunction, Trigger, TriggerContext, TriggerResult, Window, WindowAssigner,
    WindowContext, WindowOptions, WindowParts,
};
use crate::{
    Batch, Control, Data, Emitter, Operator, OperatorContext, OperatorError, Output, OutputTag,
};

const PANES: &str = "window-contents";
const TIMERS: &str = "window-timers";

/// Gathers the records of a keyed stream in windows.
pub struct WindowOperator<K, T, O, S, A, G, P, F>
where
    A: WindowAssigner<T>,
    P: Pane<T>,
{
    parts: WindowParts<S, A, G, P, F>,
    late_output: Option<OutputTag<T>>,
    lateness_ms: i64,
    late: LateRecords,
    runtime: KeyedRuntime<K, A::Window>,
    panes: Option<Panes<P::Contents, A::Window>>,
    emitter: Emitter<O>,
    /// The windows of the record at hand.
    windows: Vec<A::Window>,
}

type Panes<C, W> = Namespaced<ValueState<C, W>>;

/// Counts dropped records, and tells the operator's metrics once per chunk.
#[derive(Default)]
struct LateRecords {
    dropped: u64,
    metrics: Arc<OperatorMetrics>,
}

impl LateRecords {
    fn report(&mut self) {
        if self.dropped > 0 {
            self.metrics
                .add_late_records(std::mem::take(&mut self.dropped));
        }
    }
}

impl<K, T, O, S, A, G, P, F> WindowOperator<K, T, O, S, A, G, P, F>
where
    K: StateKey,
    T: Data,
    O: Data,
    S: FnMut(&T) -> K,
    A: WindowAssigner<T>,
    G: Trigger<T, A::Window>,
    P: Pane<T>,
    F: ProcessWindowFunction<K, A::Window, P::Result, O>,
{
    /// Puts the parts together.
    pub fn new(parts: WindowParts<S, A, G, P, F>, options: WindowOptions<T>) -> Self {
        let lateness = options.allowed_lateness.as_millis();
        Self {
            parts,
            late_output: options.late_output,
            lateness_ms: i64::try_from(lateness).unwrap_or(i64::MAX),
            late: LateRecords::default(),
            runtime: KeyedRuntime::default(),
            panes: None,
            emitter: Emitter::default(),
            windows: Vec::new(),
        }
    }

    fn panes(&self) -> Panes<P::Contents, A::Window> {
        self.panes.expect("records and timers come after open")
    }

    /// When a window's panes are dropped.
    #[inline]
    fn cleanup_time(&self, window: &A::Window) -> i64 {
        if self.parts.assigner.is_event_time() {
            window.max_timestamp().saturating_add(self.lateness_ms)
        } else {
            window.max_timestamp()
        }
    }

    fn take_record(
        &mut self,
        record: T,
        time: i64,
        timestamp: Option<EventTime>,
        out: &mut dyn Output,
    ) -> Result<(), OperatorError> {
        let mut windows = std::mem::take(&mut self.windows);
        windows.clear();
        self.parts.assigner.assign(&record, time, &mut windows);
        if self.parts.assigner.is_event_time() {
            let watermark = self.runtime.watermark.0.0;
            windows.retain(|window| self.cleanup_time(window) > watermark);
        }
        if let Some((last, others)) = windows.split_last() {
            let key = (self.parts.selector)(&record);
            let hash = hash_of(&key)?;
            for window in others {
                self.add(hash, &key, window, record.clone(), out)?;
            }
            self.add(hash, &key, last, record, out)?;
        } else {
            self.skip(record, time, timestamp);
        }
        self.windows = windows;
        Ok(())
    }

    /// Adds a record to one pane.
    #[inline]
    fn add(
        &mut self,
        hash: u64,
        key: &K,
        window: &A::Window,
        record: T,
        out: &mut dyn Output,
    ) -> Result<(), OperatorError> {
        let panes = self.panes();
        let pane = &self.parts.pane;
        let table = self.runtime.backend.namespaced_table_mut(panes)?;
        let mut is_new = false;
        let first = |record| {
            is_new = true;
            pane.first(record)
        };
        table.upsert_with(hash, key, window, record, first, |contents, record| {
            pane.add(contents, record);
        })?;
        if is_new || self.lateness_ms > 0 {
            self.runtime.backend.set_hashed_key_ref(hash, key);
            self.arm(window)?;
        }
        let mut timers = PaneTimers {
            key: Some((hash, key)),
            window,
            timers: self.runtime.timers(),
            watermark: self.runtime.watermark,
            backend: &mut self.runtime.backend,
        };
        let result = self.parts.trigger.on_record(window, &mut timers)?;
        if result != TriggerResult::Continue {
            self.runtime.backend.set_hashed_key_ref(hash, key);
            self.apply(result, false, window, out)?;
        }
        Ok(())
    }

    /// Gives the pane of the current key its timers. Not only a new pane may lack them: after a
    /// restore the watermark begins anew, and a pane that had fired but may still see late
    /// records fires again when the watermark passes its end again.
    fn arm(&mut self, window: &A::Window) -> Result<(), StateError> {
        let cleanup = self.cleanup_time(window);
        let event_time = self.parts.assigner.is_event_time();
        let mut timers = current_pane(&mut self.runtime, window);
        self.parts.trigger.arm(window, &mut timers)?;
        if !event_time {
            timers.register_processing_time_timer(cleanup)
        } else if cleanup < i64::MAX {
            timers.register_event_time_timer(cleanup)
        } else {
            Ok(())
        }
    }

    fn on_timer(
        &mut self,
        timer: Timer<A::Window>,
        event_time: bool,
        out: &mut dyn Output,
    ) -> Result<(), OperatorError> {
        let Timer {
            namespace: window,
            time,
        } = timer;
        let result = if event_time {
            self.parts.trigger.on_event_time(time, &window)
        } else {
            self.parts.trigger.on_processing_time(time, &window)
        };
        let own_clock = event_time == self.parts.assigner.is_event_time();
        let over = own_clock && time == self.cleanup_time(&window);
        self.apply(result, over, &window, out)?;
        if over {
            let mut timers = current_pane(&mut self.runtime, &window);
            self.parts.trigger.clear(&window, &mut timers)?;
        }
        self.runtime.between_calls(out)
    }

    /// Does what the trigger said with the pane of the current key.
    fn apply(
        &mut self,
        result: TriggerResult,
        over: bool,
        window: &A::Window,
        out: &mut dyn Output,
    ) -> Result<(), OperatorError> {
        let state = self.panes().at(*window);
        let backend = &mut self.runtime.backend;
        let contents = if over || result.purges() {
            state.take(backend)?
        } else if result.fires() {
            state.get(backend)?.cloned()
        } else {
            None
        };
        let Some(contents) = contents.filter(|_| result.fires()) else {
            return Ok(());
        };
        let mut context = WindowContext {
            window: *window,
            watermark: self.runtime.watermark,
            clock: &*self.runtime.clock,
            side: &mut self.runtime.side,
        };
        let timestamp = Some(EventTime(window.max_timestamp()));
        let key = self.runtime.backend.current_key()?;
        let input = self.parts.pane.result(contents);
        self.parts
            .function
            .process(
                key,
                input,
                &mut context,
                &mut self.emitter.collector(timestamp, out),
            )
            .map_err(OperatorError::Function)
    }

    /// A record that no window took. Where windows have gaps, it need not be late.
    fn skip(&mut self, record: T, time: i64, timestamp: Option<EventTime>) {
        let late = time.saturating_add(self.lateness_ms) <= self.runtime.watermark.0.0;
        if !late || !self.parts.assigner.is_event_time() {
            return;
        }
        match &self.late_output {
            Some(tag) => self.runtime.side.push(tag, record, timestamp),
            None => self.late.dropped += 1,
        }
    }

    fn flush(&mut self, out: &mut dyn Output) -> Result<(), OperatorError> {
        self.runtime.finish(out)?;
        self.emitter.flush(out)
    }
}

impl<K, T, O, S, A, G, P, F> Operator for WindowOperator<K, T, O, S, A, G, P, F>
where
    K: StateKey,
    T: Data,
    O: Data,
    S: FnMut(&T) -> K + Send,
    A: WindowAssigner<T>,
    G: Trigger<T, A::Window>,
    P: Pane<T>,
    F: ProcessWindowFunction<K, A::Window, P::Result, O>,
{
    fn open(&mut self, context: &OperatorContext) -> Result<(), OperatorError> {
        self.parts
            .assigner
            .check()
            .map_err(OperatorError::Invalid)?;
        self.runtime.open(context)?;
        self.runtime.open_timers(TIMERS)?;
        self.panes = Some(self.runtime.backend.namespaced_value_state(PANES)?);
        self.late.metrics = Arc::clone(&context.metrics);
        self.parts
            .function
            .open(context)
            .map_err(OperatorError::Function)?;
        Ok(())
    }

    fn process(
        &mut self,
        _input: usize,
        chunk: Box<dyn Chunk>,
        out: &mut dyn Output,
    ) -> Result<(), OperatorError> {
        let now_ms = self.runtime.begin();
        let event_time = self.parts.assigner.is_event_time();
        for (record, timestamp) in records(Batch::<T>::from_chunk(chunk)) {
            let time = match timestamp {
                _ if !event_time => now_ms,
                Some(timestamp) => timestamp.0,
                None => return Err(no_event_time()),
            };
            self.take_record(record, time, timestamp, out)?;
            self.runtime.between_calls(out)?;
        }
        self.late.report();
        self.flush(out)
    }

    fn watermark(
        &mut self,
        watermark: Watermark,
        out: &mut dyn Output,
    ) -> Result<(), OperatorError> {
        self.runtime.begin();
        self.runtime.watermark = watermark;
        while let Some(timer) = self.runtime.pop_event_time_timer()? {
            self.on_timer(timer, true, out)?;
        }
        self.flush(out)?;
        out.control(Control::Watermark(watermark))
    }

    fn next_processing_time(&self) -> Option<i64> {
        self.runtime.next_processing_time()
    }

    fn processing_time(&mut self, now_ms: i64, out: &mut dyn Output) -> Result<(), OperatorError> {
        self.runtime.begin();
        while let Some(timer) = self.runtime.pop_processing_time_timer(now_ms)? {
            self.on_timer(timer, false, out)?;
        }
        self.flush(out)
    }

    fn close(&mut self) -> Result<(), OperatorError> {
        self.parts.function.close().map_err(OperatorError::Function)
    }

    keyed_state!();
}

#[cold]
fn no_event_time() -> OperatorError {
    OperatorError::Invalid(
        "assign windows: a record has no event time: assign timestamps and watermarks before the \
         window, or use a processing-time window"
            .to_owned(),
    )
}

#[cfg(test)]
mod tests;
