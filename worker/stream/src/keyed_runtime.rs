//! What all keyed operators share: the state backend, time, timers, and getting at the key of each
//! row.
//!
//! Timers fire as Flink's `InternalTimerServiceImpl` fires them: in the order of their times, one
//! after the other, those included that a timer's function adds and that are due already. The
//! watermark is the new one while they fire. A processing-time timer fires once the clock is
//! *past* its time, as a watermark is, so that a window is not closed while its last millisecond
//! runs. Thousands may fire in a row: after each, and after each record that a user's function
//! takes, the subtask asks whether it is cancelled.

use std::any::type_name;
use std::marker::PhantomData;
use std::sync::Arc;

use weir_network::CancelToken;
use weir_state::{
    BackendRequest, KeyedBackend, SnapshotKind, StateError, StateKey, StateValue, Table, Timer,
    TimerService, key_hash,
};
use weir_types::{Clock, EventTime, KeyGroupRange, SystemClock, Watermark};

use crate::side_output::SideOutputs;
use crate::{OperatorContext, OperatorError, OperatorSnapshot, Output, SnapshotRequest};

/// Which clock a timer goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeDomain {
    /// The watermark.
    EventTime,
    /// The wall clock.
    ProcessingTime,
}

impl TimeDomain {
    /// The event time of what is emitted when a timer of this domain fires.
    pub(crate) fn timestamp(self, time: i64) -> Option<EventTime> {
        (self == Self::EventTime).then_some(EventTime(time))
    }
}

/// The keyed state, time and timers of one operator of one subtask, from restore over open to
/// snapshots. `N` is what timers are kept per, beside the key.
pub(crate) struct KeyedRuntime<K, N = ()> {
    pub(crate) backend: KeyedBackend<K>,
    pub(crate) watermark: Watermark,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) side: SideOutputs,
    pub(crate) cancel: CancelToken,
    timers: Option<TimerService<N>>,
    /// Kept up to date by [`Self::look_at_timers`], because asking the timers needs the backend.
    next_processing_time: Option<i64>,
    restored: Vec<OperatorSnapshot>,
}

impl<K: StateKey, N: StateKey> Default for KeyedRuntime<K, N> {
    /// Before it is opened it has no key groups worth speaking of.
    fn default() -> Self {
        let nowhere = KeyGroupRange { start: 0, end: 0 };
        Self {
            backend: KeyedBackend::new(1, nowhere),
            watermark: Watermark::MIN,
            clock: Arc::new(SystemClock),
            side: SideOutputs::default(),
            cancel: CancelToken::default(),
            timers: None,
            next_processing_time: None,
            restored: Vec::new(),
        }
    }
}

impl<K: StateKey, N: StateKey> KeyedRuntime<K, N> {
    /// Keeps snapshots until the key groups are known.
    pub(crate) fn restore(&mut self, snapshots: Vec<OperatorSnapshot>) {
        self.restored = snapshots;
    }

    /// Makes the backend, with what was restored.
    pub(crate) fn open(&mut self, context: &OperatorContext) -> Result<(), OperatorError> {
        let (mut keyed, mut files) = (Vec::new(), Vec::new());
        for snapshot in std::mem::take(&mut self.restored) {
            keyed.extend(snapshot.keyed);
            files.extend(snapshot.files);
        }
        let request = BackendRequest {
            operator: context.operator,
            attempt: context.attempt,
            max_parallelism: context.max_parallelism,
            key_groups: context.key_groups,
            files,
        };
        let factory = &*context.state_backend;
        self.backend = KeyedBackend::open_on(factory, &request, keyed)?;
        if let Some(tier) = self.backend.tier() {
            context.metrics.set_tier(Arc::downgrade(tier));
        }
        self.clock = Arc::clone(&context.clock);
        self.cancel = context.cancel.clone();
        self.backend.set_now_ms(self.clock.unix_ms());
        Ok(())
    }

    /// Freezes the keyed state.
    pub(crate) fn snapshot_begin(&mut self, request: SnapshotRequest) -> Result<(), StateError> {
        let kind = self.kind(request);
        self.backend.snapshot_begin(request.id, kind)
    }

    /// Freezes what has changed of the keyed state, if there is a use in it.
    pub(crate) fn snapshot_ahead(&mut self, request: SnapshotRequest) -> Result<bool, StateError> {
        let kind = self.kind(request);
        self.backend.snapshot_ahead(request.id, kind)
    }

    fn kind(&self, request: SnapshotRequest) -> SnapshotKind {
        match request {
            SnapshotRequest { files: true, .. } if self.backend.has_tier() => SnapshotKind::Files,
            SnapshotRequest { kind, .. } => kind,
        }
    }

    /// Makes the timers, for operators that have any. Those that were restored count at once.
    pub(crate) fn open_timers(&mut self, name: &str) -> Result<(), OperatorError> {
        self.timers = Some(self.backend.timer_service(name)?);
        self.look_at_timers()?;
        Ok(())
    }

    fn look_at_timers(&mut self) -> Result<(), StateError> {
        if let Some(timers) = self.timers {
            self.next_processing_time = timers.next_processing_time(&mut self.backend)?;
        }
        Ok(())
    }

    /// The timers' handle.
    #[inline]
    pub(crate) fn timers(&self) -> TimerService<N> {
        self.timers
            .expect("an operator that uses timers opens them")
    }

    /// To be called before records are looked at: what they do has the time of now.
    pub(crate) fn begin(&mut self) -> i64 {
        let now_ms = self.clock.unix_ms();
        self.backend.set_now_ms(now_ms);
        now_ms
    }

    /// To be called between two calls of a user's function: ends the operator if it is cancelled,
    /// and passes on side records if there are many.
    #[inline]
    pub(crate) fn between_calls(&mut self, out: &mut dyn Output) -> Result<(), OperatorError> {
        check(&self.cancel)?;
        if self.side.is_full() {
            self.side.flush(out)
        } else {
            Ok(())
        }
    }

    /// To be called after records were looked at or timers have fired.
    pub(crate) fn finish(&mut self, out: &mut dyn Output) -> Result<(), OperatorError> {
        self.look_at_timers()?;
        self.side.flush(out)
    }

    /// When [`Self::pop_processing_time_timer`] has something to give.
    pub(crate) fn next_processing_time(&self) -> Option<i64> {
        self.next_processing_time.map(|time| time.saturating_add(1))
    }

    /// Takes the first timer that the watermark has passed, and makes its key the current one.
    #[inline]
    pub(crate) fn pop_event_time_timer(&mut self) -> Result<Option<Timer<N>>, StateError> {
        let watermark = self.watermark;
        self.timers()
            .pop_event_time_timer(&mut self.backend, watermark)
    }

    /// Takes the first timer that the clock has passed, and makes its key the current one.
    #[inline]
    pub(crate) fn pop_processing_time_timer(
        &mut self,
        now_ms: i64,
    ) -> Result<Option<Timer<N>>, StateError> {
        self.timers()
            .pop_processing_time_timer(&mut self.backend, now_ms.saturating_sub(1))
    }
}

/// An error once the subtask is cancelled: asked before or after each record, it costs a load from
/// the cache.
#[inline]
pub(crate) fn check(cancel: &CancelToken) -> Result<(), OperatorError> {
    if cancel.is_cancelled() {
        return Err(OperatorError::Cancelled);
    }
    Ok(())
}

/// The methods by which an operator that has a [`KeyedRuntime`] in its field `runtime` takes part
/// in checkpoints.
macro_rules! keyed_state {
    () => {
        fn snapshot_begin(
            &mut self,
            request: $crate::SnapshotRequest,
        ) -> Result<$crate::OperatorSnapshot, $crate::OperatorError> {
            self.runtime.snapshot_begin(request)?;
            Ok($crate::OperatorSnapshot::default())
        }

        $crate::keyed_runtime::keyed_steps!();

        fn restore(
            &mut self,
            snapshots: Vec<$crate::OperatorSnapshot>,
        ) -> Result<(), $crate::OperatorError> {
            self.runtime.restore(snapshots);
            Ok(())
        }
    };
}
pub(crate) use keyed_state;

/// The part of [`keyed_state`] that follows the freeze.
macro_rules! keyed_steps {
    () => {
        fn snapshot_ahead(
            &mut self,
            request: $crate::SnapshotRequest,
        ) -> Result<bool, $crate::OperatorError> {
            Ok(self.runtime.snapshot_ahead(request)?)
        }

        fn ahead_extra_bytes(&self) -> usize {
            self.runtime.backend.ahead_extra_bytes()
        }

        fn snapshot_step(
            &mut self,
            budget: usize,
        ) -> Result<Option<weir_state::TakenSnapshot>, $crate::OperatorError> {
            match self.runtime.backend.snapshot_running() {
                Some(_) => Ok(self.runtime.backend.snapshot_poll(budget)?),
                None => Ok(None),
            }
        }

        fn snapshot_running(&self) -> Option<weir_types::CheckpointId> {
            self.runtime.backend.snapshot_running()
        }

        fn snapshot_waits(&self) -> bool {
            self.runtime.backend.snapshot_waits()
        }

        fn snapshot_confirm(&mut self, id: weir_types::CheckpointId) {
            self.runtime.backend.confirm(id);
        }

        fn snapshot_abort(&mut self, id: weir_types::CheckpointId) {
            self.runtime.backend.abort(id);
        }

        fn state_bytes(&mut self) -> usize {
            self.runtime.backend.memory_bytes()
        }
    };
}
pub(crate) use keyed_steps;

/// The methods by which an operator runs a user's function that has timers, from its timers to its
/// end. The operator has a [`KeyedRuntime`], an emitter and a function in its fields `runtime`,
/// `emitter` and `function`, and calls the function in a method
/// `on_timer(&mut self, time: i64, domain: TimeDomain, out: &mut dyn Output)`.
macro_rules! user_timers {
    () => {
        /// Timers that the watermark makes due fire, then it is passed on.
        fn watermark(
            &mut self,
            watermark: weir_types::Watermark,
            out: &mut dyn $crate::Output,
        ) -> Result<(), $crate::OperatorError> {
            self.runtime.begin();
            self.runtime.watermark = watermark;
            while let Some(timer) = self.runtime.pop_event_time_timer()? {
                self.on_timer(timer.time, $crate::TimeDomain::EventTime, out)
                    .map_err($crate::OperatorError::Function)?;
                self.runtime.between_calls(out)?;
            }
            self.runtime.finish(out)?;
            self.emitter.flush(out)?;
            out.control($crate::Control::Watermark(watermark))
        }

        fn next_processing_time(&self) -> Option<i64> {
            self.runtime.next_processing_time()
        }

        /// Timers that the clock has passed fire. What they emit has no event time.
        fn processing_time(
            &mut self,
            now_ms: i64,
            out: &mut dyn $crate::Output,
        ) -> Result<(), $crate::OperatorError> {
            self.runtime.begin();
            while let Some(timer) = self.runtime.pop_processing_time_timer(now_ms)? {
                self.on_timer(timer.time, $crate::TimeDomain::ProcessingTime, out)
                    .map_err($crate::OperatorError::Function)?;
                self.runtime.between_calls(out)?;
            }
            self.runtime.finish(out)?;
            self.emitter.flush(out)
        }

        fn close(&mut self) -> Result<(), $crate::OperatorError> {
            self.function
                .close()
                .map_err($crate::OperatorError::Function)
        }
    };
}
pub(crate) use user_timers;

/// The hash of a key, which says where its state lies.
#[inline]
pub(crate) fn hash_of<K: StateKey>(key: &K) -> Result<u64, StateError> {
    key_hash(key).map_err(|source| StateError::HashKey {
        type_name: type_name::<K>(),
        source,
    })
}

/// Tables of this size do not fit the cache next to everything else.
const BATCH_FROM_BYTES: usize = 1 << 20;

/// Gets at the keys of a chunk's rows, for operators that change one table in each row's place.
pub(crate) struct KeyedRows<K, T, S> {
    selector: S,
    keys: Vec<K>,
    hashes: Vec<u64>,
    row: PhantomData<fn(&T)>,
}

impl<K: StateKey, T, S: FnMut(&T) -> K> KeyedRows<K, T, S> {
    pub(crate) fn new(selector: S) -> Self {
        Self {
            selector,
            keys: Vec::new(),
            hashes: Vec::new(),
            row: PhantomData,
        }
    }

    /// Puts every row under its key into the table, in order, and gathers what `emit` makes of
    /// key and new value. For a large table the rows are looked up in groups, so that the
    /// processor waits for memory once per group; for others, the subtask asks before each row
    /// whether it is cancelled.
    pub(crate) fn upsert<V: StateValue, O>(
        &mut self,
        rows: Vec<T>,
        cancel: &CancelToken,
        table: &mut Table<K, (), V>,
        (insert, update): (impl Fn(T) -> V, impl Fn(&mut V, T)),
        mut emit: impl FnMut(&K, &V) -> O,
    ) -> Result<Vec<O>, OperatorError> {
        self.take_keys(&rows)?;
        let mut results = Vec::with_capacity(rows.len());
        if table.bytes() >= BATCH_FROM_BYTES {
            let rows = self.keys.iter().zip(rows);
            table.upsert_all(&self.hashes, &(), rows, (insert, update), |key, value| {
                results.push(emit(key, value));
            })?;
        } else {
            for ((key, hash), row) in self.keys.iter().zip(&self.hashes).zip(rows) {
                check(cancel)?;
                let value = table.upsert_with(*hash, key, &(), row, &insert, &update)?;
                results.push(emit(key, value));
            }
        }
        Ok(results)
    }

    fn take_keys(&mut self, rows: &[T]) -> Result<(), StateError> {
        self.keys.clear();
        self.hashes.clear();
        self.keys.extend(rows.iter().map(&mut self.selector));
        let mut failure = None;
        self.hashes
            .extend(self.keys.iter().map(|key| match hash_of(key) {
                Ok(hash) => hash,
                Err(error) => {
                    failure = Some(error);
                    0
                }
            }));
        failure.map_or(Ok(()), Err)
    }
}
