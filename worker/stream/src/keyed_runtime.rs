//! What all keyed operators share: the state backend, time, timers, and getting at the key of each
//! row.
//!
//! Timers fire as Flink's `InternalTimerServiceImpl` fires them: in the order of their times, one
//! after the other, those included that a timer's function adds and that are due already. The
//! watermark is the new one while they fire. A processing-time timer fires once the clock is
//! *past* its time, as a watermark is, so that a window is not closed while its last millisecond
//! runs.

use std::any::type_name;
use std::marker::PhantomData;
use std::sync::Arc;

use weir_state::{
    KeyedBackend, SnapshotKind, StateError, StateKey, StateValue, Table, Timer, TimerService,
    key_hash,
};
use weir_types::{CheckpointId, Clock, KeyGroupRange, SystemClock, Watermark};

use crate::side_output::SideOutputs;
use crate::{Commit, OperatorContext, OperatorError, OperatorSnapshot, Output};

/// Which clock a timer goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeDomain {
    /// The watermark.
    EventTime,
    /// The wall clock.
    ProcessingTime,
}

/// The keyed state, time and timers of one operator of one subtask, from restore over open to
/// snapshots. `N` is what timers are kept per, beside the key.
pub(crate) struct KeyedRuntime<K, N = ()> {
    pub(crate) backend: KeyedBackend<K>,
    pub(crate) watermark: Watermark,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) side: SideOutputs,
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
        let (max, range) = (context.max_parallelism, context.key_groups);
        let snapshots = std::mem::take(&mut self.restored).into_iter();
        let mut keyed = snapshots.filter_map(|snapshot| snapshot.keyed).peekable();
        self.backend = if keyed.peek().is_some() {
            KeyedBackend::restored(max, range, keyed)?
        } else {
            KeyedBackend::new(max, range)
        };
        self.clock = Arc::clone(&context.clock);
        self.backend.set_now_ms(self.clock.unix_ms());
        Ok(())
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

    /// Passes on side records between two calls of a user's function, if there are many.
    #[inline]
    pub(crate) fn flush_if_full(&mut self, out: &mut dyn Output) -> Result<(), OperatorError> {
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

    pub(crate) fn snapshot(&mut self, id: CheckpointId) -> Result<OperatorSnapshot, OperatorError> {
        self.backend.snapshot_begin(id, SnapshotKind::Full)?;
        let keyed = Some(self.backend.snapshot_finish()?);
        Ok(OperatorSnapshot {
            keyed,
            ..OperatorSnapshot::default()
        })
    }

    /// Later snapshots may build on a checkpoint that has completed.
    pub(crate) fn commit(&mut self, commit: Commit) {
        if let Commit::Checkpoint(id) = commit {
            self.backend.confirm(id);
        }
    }
}

/// The methods by which an operator that has a [`KeyedRuntime`] in its field `runtime` takes part
/// in checkpoints.
macro_rules! keyed_state {
    () => {
        fn snapshot(
            &mut self,
            id: weir_types::CheckpointId,
        ) -> Result<$crate::OperatorSnapshot, $crate::OperatorError> {
            self.runtime.snapshot(id)
        }

        fn restore(
            &mut self,
            snapshots: Vec<$crate::OperatorSnapshot>,
        ) -> Result<(), $crate::OperatorError> {
            self.runtime.restore(snapshots);
            Ok(())
        }

        fn commit(&mut self, commit: $crate::Commit) -> Result<(), $crate::OperatorError> {
            self.runtime.commit(commit);
            Ok(())
        }
    };
}
pub(crate) use keyed_state;

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
    /// processor waits for memory once per group.
    pub(crate) fn upsert<V: StateValue, O>(
        &mut self,
        rows: Vec<T>,
        table: &mut Table<K, (), V>,
        insert: impl Fn(T) -> V,
        update: impl Fn(&mut V, T),
        mut emit: impl FnMut(&K, &V) -> O,
    ) -> Result<Vec<O>, StateError> {
        self.take_keys(&rows)?;
        let mut results = Vec::with_capacity(rows.len());
        if table.bytes() >= BATCH_FROM_BYTES {
            let rows = self.keys.iter().zip(rows);
            table.upsert_all(&self.hashes, &(), rows, (insert, update), |key, value| {
                results.push(emit(key, value));
            })?;
        } else {
            for ((key, hash), row) in self.keys.iter().zip(&self.hashes).zip(rows) {
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
