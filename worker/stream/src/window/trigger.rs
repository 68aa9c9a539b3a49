//! When a pane's result goes out (Flink's `Trigger`s).

use weir_state::StateError;
use weir_types::Watermark;

use crate::window::Window;

/// What happens to a pane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TriggerResult {
    /// Nothing.
    Continue,
    /// Its result goes out.
    Fire,
    /// Its contents are dropped.
    Purge,
    /// Its result goes out, then its contents are dropped.
    FireAndPurge,
}

impl TriggerResult {
    /// Whether the result goes out.
    #[inline]
    pub fn fires(self) -> bool {
        matches!(self, Self::Fire | Self::FireAndPurge)
    }

    /// Whether the contents are dropped.
    #[inline]
    pub fn purges(self) -> bool {
        matches!(self, Self::Purge | Self::FireAndPurge)
    }
}

/// The timers of the pane that a trigger is asked about.
pub trait TriggerContext {
    /// No record at or before this time is still to come.
    fn watermark(&self) -> Watermark;

    /// Asks for [`Trigger::on_event_time`]. Asking twice for the same time is asking once.
    fn register_event_time_timer(&mut self, time: i64) -> Result<(), StateError>;

    /// Asks for [`Trigger::on_processing_time`].
    fn register_processing_time_timer(&mut self, time: i64) -> Result<(), StateError>;

    /// Takes the request back.
    fn delete_event_time_timer(&mut self, time: i64) -> Result<(), StateError>;

    /// Takes the request back.
    fn delete_processing_time_timer(&mut self, time: i64) -> Result<(), StateError>;
}

/// Says when a pane's result goes out. One per subtask, for all panes; what it must know of a
/// pane it is told.
pub trait Trigger<T, W: Window>: Clone + Send + 'static {
    /// The pane may lack its timer: called before [`Self::on_record`] for a pane's first record,
    /// and perhaps for others, so that most records cost no look at the timers.
    fn arm(&mut self, window: &W, context: &mut dyn TriggerContext) -> Result<(), StateError>;

    /// A record is in the pane.
    fn on_record(
        &mut self,
        window: &W,
        context: &mut dyn TriggerContext,
    ) -> Result<TriggerResult, StateError>;

    /// The watermark has passed a time that was asked for.
    fn on_event_time(&mut self, time: i64, window: &W) -> TriggerResult;

    /// The wall clock has passed a time that was asked for.
    fn on_processing_time(&mut self, time: i64, window: &W) -> TriggerResult;

    /// The window is over: take back all requests.
    fn clear(&mut self, window: &W, context: &mut dyn TriggerContext) -> Result<(), StateError>;
}

/// Fires when the watermark passes the window's end, and at each late record after it.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventTimeTrigger;

impl<T, W: Window> Trigger<T, W> for EventTimeTrigger {
    fn arm(&mut self, window: &W, context: &mut dyn TriggerContext) -> Result<(), StateError> {
        if window.max_timestamp() > context.watermark().0.0 {
            context.register_event_time_timer(window.max_timestamp())?;
        }
        Ok(())
    }

    #[inline]
    fn on_record(
        &mut self,
        window: &W,
        context: &mut dyn TriggerContext,
    ) -> Result<TriggerResult, StateError> {
        let over = window.max_timestamp() <= context.watermark().0.0;
        Ok(if over {
            TriggerResult::Fire
        } else {
            TriggerResult::Continue
        })
    }

    fn on_event_time(&mut self, time: i64, window: &W) -> TriggerResult {
        if time == window.max_timestamp() {
            TriggerResult::Fire
        } else {
            TriggerResult::Continue
        }
    }

    fn on_processing_time(&mut self, _time: i64, _window: &W) -> TriggerResult {
        TriggerResult::Continue
    }

    fn clear(&mut self, window: &W, context: &mut dyn TriggerContext) -> Result<(), StateError> {
        // A timer that the watermark has passed is gone: timers fire in the order of their times,
        // and a window is cleared at its end or later.
        if window.max_timestamp() > context.watermark().0.0 {
            context.delete_event_time_timer(window.max_timestamp())?;
        }
        Ok(())
    }
}

/// Fires when the wall clock passes the window's end.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessingTimeTrigger;

impl<T, W: Window> Trigger<T, W> for ProcessingTimeTrigger {
    fn arm(&mut self, window: &W, context: &mut dyn TriggerContext) -> Result<(), StateError> {
        context.register_processing_time_timer(window.max_timestamp())
    }

    #[inline]
    fn on_record(
        &mut self,
        _window: &W,
        _context: &mut dyn TriggerContext,
    ) -> Result<TriggerResult, StateError> {
        Ok(TriggerResult::Continue)
    }

    fn on_event_time(&mut self, _time: i64, _window: &W) -> TriggerResult {
        TriggerResult::Continue
    }

    fn on_processing_time(&mut self, _time: i64, _window: &W) -> TriggerResult {
        TriggerResult::Fire
    }

    fn clear(&mut self, window: &W, context: &mut dyn TriggerContext) -> Result<(), StateError> {
        context.delete_processing_time_timer(window.max_timestamp())
    }
}
