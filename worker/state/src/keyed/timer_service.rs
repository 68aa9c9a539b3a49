//! Timers per key and namespace (Flink's `InternalTimerServiceImpl`).
//!
//! A timer is registered once, however often it is asked for. Due timers are taken one at a time,
//! so that what a timer does may register and delete others: one that is due already fires in
//! the same round. Timers are part of the backend's snapshots.

use weir_types::{EventTime, Watermark};

use crate::error::StateError;
use crate::key::StateKey;
use crate::keyed::backend::{Declared, KeyedBackend};
use crate::keyed::handle::{KeyedContext, StateDescriptor, StateId};
use crate::schema::ValueType;
use crate::snapshot::StateKind;
use crate::table::timer_queue::TimerQueue;

/// Handle of an operator's timers, event-time and processing-time ones.
#[derive(Debug)]
pub struct TimerService<N = ()> {
    event: StateId,
    processing: StateId,
    namespace: std::marker::PhantomData<fn() -> N>,
}

impl<N> Clone for TimerService<N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<N> Copy for TimerService<N> {}

/// A timer that is due. Its key is the current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer<N = ()> {
    /// What it was registered for, beside the key.
    pub namespace: N,
    /// When it was due, in milliseconds since 1970: event or processing time.
    pub time: i64,
}

impl<K: StateKey> KeyedBackend<K> {
    /// The timers with this name.
    pub fn timer_service<N: StateKey>(
        &mut self,
        name: &str,
    ) -> Result<TimerService<N>, StateError> {
        let mut queue = |prefix: &str| {
            let descriptor = StateDescriptor::new(format!("{prefix}{name}"));
            let declared = Declared {
                descriptor,
                kind: StateKind::Timers,
                values: ValueType::one::<()>(),
                user_key: None,
            };
            self.register::<N, _>(declared, TimerQueue::<K, N>::new, None)
        };
        // Flink's names.
        let event = queue("_timer_state/event_")?;
        let processing = queue("_timer_state/processing_")?;
        Ok(TimerService {
            event,
            processing,
            namespace: std::marker::PhantomData,
        })
    }
}

type Queue<C, N> = TimerQueue<<C as KeyedContext>::Key, N>;

impl<N: StateKey> TimerService<N> {
    /// Registers an event-time timer for the current key. False if there was one already.
    pub fn register_event_time_timer<C: KeyedContext>(
        &self,
        ctx: &mut C,
        namespace: &N,
        time: EventTime,
    ) -> Result<bool, StateError> {
        register(self.event, ctx, namespace, time.0)
    }

    /// Deletes an event-time timer of the current key. False if there was none.
    pub fn delete_event_time_timer<C: KeyedContext>(
        &self,
        ctx: &mut C,
        namespace: &N,
        time: EventTime,
    ) -> Result<bool, StateError> {
        delete(self.event, ctx, namespace, time.0)
    }

    /// Registers a processing-time timer (milliseconds since 1970) for the current key. False if
    /// there was one already.
    pub fn register_processing_time_timer<C: KeyedContext>(
        &self,
        ctx: &mut C,
        namespace: &N,
        time_ms: i64,
    ) -> Result<bool, StateError> {
        register(self.processing, ctx, namespace, time_ms)
    }

    /// Deletes a processing-time timer of the current key. False if there was none.
    pub fn delete_processing_time_timer<C: KeyedContext>(
        &self,
        ctx: &mut C,
        namespace: &N,
        time_ms: i64,
    ) -> Result<bool, StateError> {
        delete(self.processing, ctx, namespace, time_ms)
    }

    /// Takes the first event-time timer that the watermark makes due, and makes its key the
    /// current one. To be called until there is none.
    pub fn pop_event_time_timer<C: KeyedContext>(
        &self,
        ctx: &mut C,
        watermark: Watermark,
    ) -> Result<Option<Timer<N>>, StateError> {
        pop(self.event, ctx, watermark.0.0)
    }

    /// Takes the first processing-time timer that is due, and makes its key the current one. To be
    /// called until there is none.
    pub fn pop_processing_time_timer<C: KeyedContext>(
        &self,
        ctx: &mut C,
        now_ms: i64,
    ) -> Result<Option<Timer<N>>, StateError> {
        pop(self.processing, ctx, now_ms)
    }

    /// When the first event-time timer is due.
    pub fn next_event_time<C: KeyedContext>(
        &self,
        ctx: &mut C,
    ) -> Result<Option<EventTime>, StateError> {
        let queue = ctx.keyed().table::<Queue<C, N>>(self.event)?;
        Ok(queue.next_time()?.map(EventTime))
    }

    /// When the first processing-time timer is due, in milliseconds since 1970.
    pub fn next_processing_time<C: KeyedContext>(
        &self,
        ctx: &mut C,
    ) -> Result<Option<i64>, StateError> {
        ctx.keyed()
            .table::<Queue<C, N>>(self.processing)?
            .next_time()
    }

    /// How many event-time timers there are, of all keys. Those on disk are read: for tests.
    pub fn event_time_timers<C: KeyedContext>(&self, ctx: &mut C) -> Result<usize, StateError> {
        ctx.keyed().table::<Queue<C, N>>(self.event)?.len()
    }

    /// How many processing-time timers there are, of all keys. Those on disk are read: for tests.
    pub fn processing_time_timers<C: KeyedContext>(
        &self,
        ctx: &mut C,
    ) -> Result<usize, StateError> {
        ctx.keyed().table::<Queue<C, N>>(self.processing)?.len()
    }
}

fn register<C: KeyedContext, N: StateKey>(
    id: StateId,
    ctx: &mut C,
    namespace: &N,
    time: i64,
) -> Result<bool, StateError> {
    let access = ctx.keyed().access(id)?;
    let (hash, key) = (access.hash, access.key);
    access
        .table::<Queue<C, N>>()?
        .register(hash, key, namespace, time)
}

fn delete<C: KeyedContext, N: StateKey>(
    id: StateId,
    ctx: &mut C,
    namespace: &N,
    time: i64,
) -> Result<bool, StateError> {
    let access = ctx.keyed().access(id)?;
    let (hash, key) = (access.hash, access.key);
    access
        .table::<Queue<C, N>>()?
        .delete(hash, key, namespace, time)
}

fn pop<C: KeyedContext, N: StateKey>(
    id: StateId,
    ctx: &mut C,
    until: i64,
) -> Result<Option<Timer<N>>, StateError> {
    let backend = ctx.keyed();
    backend.look_ahead::<N>(id, until)?;
    let Some((key, namespace, time)) = backend.table::<Queue<C, N>>(id)?.pop(until) else {
        return Ok(None);
    };
    backend.set_key(key)?;
    Ok(Some(Timer { namespace, time }))
}
