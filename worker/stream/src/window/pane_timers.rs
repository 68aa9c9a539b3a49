//! A pane's timers, as its trigger and the operator reach them.

use weir_state::{KeyedBackend, StateError, StateKey, TimerService};
use weir_types::{EventTime, Watermark};

use crate::keyed_runtime::KeyedRuntime;
use crate::window::{TriggerContext, Window};

/// The timers of one pane.
pub(super) struct PaneTimers<'a, K, W> {
    /// The pane's key and its hash, if it need not be the current one yet.
    pub(super) key: Option<(u64, &'a K)>,
    pub(super) window: &'a W,
    pub(super) timers: TimerService<W>,
    pub(super) watermark: Watermark,
    pub(super) backend: &'a mut KeyedBackend<K>,
}

/// The timers of the pane of the current key.
pub(super) fn current_pane<'a, K: StateKey, W: Window>(
    runtime: &'a mut KeyedRuntime<K, W>,
    window: &'a W,
) -> PaneTimers<'a, K, W> {
    PaneTimers {
        key: None,
        window,
        timers: runtime.timers(),
        watermark: runtime.watermark,
        backend: &mut runtime.backend,
    }
}

impl<K: StateKey, W: Window> PaneTimers<'_, K, W> {
    fn set_key(&mut self) {
        if let Some((hash, key)) = self.key.take() {
            self.backend.set_hashed_key_ref(hash, key);
        }
    }
}

impl<K: StateKey, W: Window> TriggerContext for PaneTimers<'_, K, W> {
    #[inline]
    fn watermark(&self) -> Watermark {
        self.watermark
    }

    fn register_event_time_timer(&mut self, time: i64) -> Result<(), StateError> {
        self.set_key();
        let time = EventTime(time);
        self.timers
            .register_event_time_timer(self.backend, self.window, time)
            .map(drop)
    }

    fn register_processing_time_timer(&mut self, time: i64) -> Result<(), StateError> {
        self.set_key();
        self.timers
            .register_processing_time_timer(self.backend, self.window, time)
            .map(drop)
    }

    fn delete_event_time_timer(&mut self, time: i64) -> Result<(), StateError> {
        self.set_key();
        let time = EventTime(time);
        self.timers
            .delete_event_time_timer(self.backend, self.window, time)
            .map(drop)
    }

    fn delete_processing_time_timer(&mut self, time: i64) -> Result<(), StateError> {
        self.set_key();
        self.timers
            .delete_processing_time_timer(self.backend, self.window, time)
            .map(drop)
    }
}
