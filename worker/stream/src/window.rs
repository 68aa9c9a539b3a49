//! Windows: finite pieces of an endless keyed stream.
//!
//! A [`WindowAssigner`] says to which windows a record belongs; a pane is the contents of one
//! window for one key; a [`Trigger`] says when a pane's result goes out. [`WindowOperator`] brings
//! them together as Flink's `WindowOperator` does. Windows that merge (sessions), global windows,
//! counts and evictors have their place behind the two traits, and are not here yet.

mod assigner;
mod function;
mod operator;
mod pane_timers;
mod parts;
mod trigger;

pub use assigner::{SlidingWindows, TimeWindow, TumblingWindows, Window, WindowAssigner};
pub use function::{
    AggregatePane, ApplyWindow, ListPane, Pane, PassOn, ProcessWindowFunction, ReducePane,
    WindowContext,
};
pub use operator::WindowOperator;
pub use parts::{WindowOptions, WindowParts};
pub use trigger::{
    EventTimeTrigger, ProcessingTimeTrigger, Trigger, TriggerContext, TriggerResult,
};
