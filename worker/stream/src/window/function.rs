//! What a pane keeps of its records, and what becomes of its contents when it fires.

use weir_state::{AggregateFunction, StateValue};
use weir_types::{Clock, EventTime, Watermark};

use crate::side_output::SideOutputs;
use crate::window::Window;
use crate::{BoxError, Collector, Data, OperatorContext, OutputTag};

/// What a pane keeps of its records.
pub trait Pane<T>: Send + 'static {
    /// What is kept.
    type Contents: StateValue;
    /// What a window function gets.
    type Result;

    /// The contents after the first record.
    fn first(&self, record: T) -> Self::Contents;

    /// Adds a record.
    fn add(&self, contents: &mut Self::Contents, record: T);

    /// What a window function gets.
    fn result(&self, contents: Self::Contents) -> Self::Result;
}

/// Keeps one record that the others are reduced into.
#[derive(Clone, Copy, Debug)]
pub struct ReducePane<F>(pub F);

impl<T: Data, F: Fn(&mut T, T) + Send + 'static> Pane<T> for ReducePane<F> {
    type Contents = T;
    type Result = T;

    #[inline]
    fn first(&self, record: T) -> T {
        record
    }

    #[inline]
    fn add(&self, contents: &mut T, record: T) {
        (self.0)(contents, record);
    }

    fn result(&self, contents: T) -> T {
        contents
    }
}

/// Keeps an accumulator.
#[derive(Clone, Copy, Debug)]
pub struct AggregatePane<A>(pub A);

impl<A: AggregateFunction> Pane<A::In> for AggregatePane<A> {
    type Contents = A::Acc;
    type Result = A::Out;

    #[inline]
    fn first(&self, record: A::In) -> A::Acc {
        let mut accumulator = self.0.create_accumulator();
        self.0.add(&mut accumulator, record);
        accumulator
    }

    #[inline]
    fn add(&self, contents: &mut A::Acc, record: A::In) {
        self.0.add(contents, record);
    }

    fn result(&self, contents: A::Acc) -> A::Out {
        self.0.result(&contents)
    }
}

/// Keeps all records, in the order in which they came.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListPane;

impl<T: Data> Pane<T> for ListPane {
    type Contents = Vec<T>;
    type Result = Vec<T>;

    fn first(&self, record: T) -> Vec<T> {
        vec![record]
    }

    #[inline]
    fn add(&self, contents: &mut Vec<T>, record: T) {
        contents.push(record);
    }

    fn result(&self, contents: Vec<T>) -> Vec<T> {
        contents
    }
}

/// Makes records of what a pane holds when it fires (Flink's `ProcessWindowFunction`). `I` is the
/// reduced record, the result of the aggregation, or all records.
pub trait ProcessWindowFunction<K, W, I, O>: Clone + Send + 'static {
    /// Called once before the first pane.
    fn open(&mut self, context: &OperatorContext) -> Result<(), BoxError> {
        let _nothing_to_open = context;
        Ok(())
    }

    /// Takes what a pane holds. Called again for the same pane when late records come in time.
    fn process(
        &mut self,
        key: &K,
        input: I,
        context: &mut WindowContext<'_, W>,
        out: &mut Collector<'_, O>,
    ) -> Result<(), BoxError>;

    /// Called last, also after an error.
    fn close(&mut self) -> Result<(), BoxError> {
        Ok(())
    }
}

/// Emits what the pane holds as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct PassOn;

impl<K, W, I: Data> ProcessWindowFunction<K, W, I, I> for PassOn {
    #[inline]
    fn process(
        &mut self,
        _key: &K,
        input: I,
        _context: &mut WindowContext<'_, W>,
        out: &mut Collector<'_, I>,
    ) -> Result<(), BoxError> {
        out.collect(input);
        Ok(())
    }
}

/// A closure over key, window and contents as a [`ProcessWindowFunction`] (Flink's
/// `WindowFunction`).
#[derive(Clone, Copy, Debug)]
pub struct ApplyWindow<F>(pub F);

impl<K, W, I, O, F> ProcessWindowFunction<K, W, I, O> for ApplyWindow<F>
where
    W: Window,
    O: Data,
    F: FnMut(&K, &W, I, &mut Collector<'_, O>) -> Result<(), BoxError> + Clone + Send + 'static,
{
    fn process(
        &mut self,
        key: &K,
        input: I,
        context: &mut WindowContext<'_, W>,
        out: &mut Collector<'_, O>,
    ) -> Result<(), BoxError> {
        (self.0)(key, &context.window, input, out)
    }
}

/// What a [`ProcessWindowFunction`] can ask and do beside emitting. What it emits has the
/// window's last time as its event time.
pub struct WindowContext<'a, W> {
    pub(super) window: W,
    pub(super) watermark: Watermark,
    pub(super) clock: &'a dyn Clock,
    pub(super) side: &'a mut SideOutputs,
}

impl<W: Window> WindowContext<'_, W> {
    /// The window.
    pub fn window(&self) -> W {
        self.window
    }

    /// No record at or before this time is still to come.
    pub fn watermark(&self) -> Watermark {
        self.watermark
    }

    /// The wall clock in milliseconds since 1970.
    pub fn processing_time(&self) -> i64 {
        self.clock.unix_ms()
    }

    /// Emits a record to a side output.
    pub fn side_output<T: Data>(&mut self, tag: &OutputTag<T>, record: T) {
        self.side
            .push(tag, record, Some(EventTime(self.window.max_timestamp())));
    }
}
