//! One channel's queue, between whoever fills it (a producer's thread or a socket's reader) and
//! the one task thread that empties it.
//!
//! All of a channel's state lies behind one lock, which is held for a few instructions: both sides
//! take it once per element. Which channels have something to read is also kept in a bit set of
//! the whole gate, which the consumer looks at without a lock. A bit is only changed under its
//! channel's lock and is set exactly while the queue holds something, so a consumer that saw no
//! bit and then waits on its signal misses nothing: the element that made a queue non-empty
//! notified after it set the bit.
//!
//! Chunks are counted in bytes against the window. Controls are not, and so must not pile up by
//! themselves: see [`push_control`].

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use crate::signal::lock;
use crate::{ChannelError, Element, PartitionId, SharedCodec, Signal};

/// What every element costs beyond its own bytes: it bounds the number of small ones.
pub(crate) const ELEMENT_COST: usize = 64;

/// More barriers in one queue than any coordinator has in flight. The end of data counts as one.
const BARRIERS_MAX: usize = 1_024;

/// Which channels of a gate have something to read.
#[derive(Debug)]
pub(crate) struct ReadySet {
    words: Box<[AtomicU64]>,
    failed: AtomicBool,
    signal: Arc<Signal>,
}

impl ReadySet {
    pub(crate) fn new(channels: usize, signal: Arc<Signal>) -> Self {
        let words = (0..channels.div_ceil(64).max(1))
            .map(|_| AtomicU64::new(0))
            .collect();
        Self {
            words,
            failed: AtomicBool::new(false),
            signal,
        }
    }

    pub(crate) fn words(&self) -> &[AtomicU64] {
        &self.words
    }

    /// Whether any channel has failed.
    pub(crate) fn failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    fn set(&self, channel: usize) {
        self.words[channel / 64].fetch_or(1 << (channel % 64), Ordering::SeqCst);
    }

    fn clear(&self, channel: usize) {
        self.words[channel / 64].fetch_and(!(1 << (channel % 64)), Ordering::SeqCst);
    }
}

/// An element as it lies in a queue.
pub(crate) enum Payload {
    Element(Element),
    /// Part of a chunk, as it came from a socket.
    Fragment {
        bytes: Vec<u8>,
        /// Whether further fragments of the same chunk follow.
        more: bool,
    },
}

struct Item {
    payload: Payload,
    /// What it takes of the window.
    cost: usize,
}

/// Hears what a channel's consumer does, if the producer is in another process.
pub(crate) trait RemoteProducer: Send + Sync {
    /// So much of the window is free again.
    fn credit(&self, bytes: usize);
    /// The consumer reads no more.
    fn closed(&self, cause: &ChannelError);
}

/// Who fills the queue.
pub(crate) enum Upstream {
    None,
    Local(Arc<Signal>),
    Remote(Arc<dyn RemoteProducer>),
}

struct State {
    items: VecDeque<Item>,
    /// The cost of all items.
    bytes: usize,
    barriers: usize,
    upstream: Upstream,
    /// A local producer wants to be notified when there is room.
    waiting: bool,
    /// What was consumed and not yet given back as credit to a remote producer.
    unreturned: usize,
    /// The end of input was put in: nothing that happens to the producer matters any more.
    ended: bool,
    failure: Option<ChannelError>,
    /// The consumer is gone.
    closed: Option<ChannelError>,
}

pub(crate) struct ChannelQueue {
    index: usize,
    window: usize,
    ready: Arc<ReadySet>,
    state: Mutex<State>,
    source: OnceLock<(PartitionId, Option<SharedCodec>)>,
}

/// Why an element was not taken.
pub(crate) enum PushError {
    Full(Element),
    Closed(ChannelError),
}

impl ChannelQueue {
    pub(crate) fn new(index: usize, window: usize, ready: Arc<ReadySet>) -> Self {
        let state = State {
            items: VecDeque::new(),
            bytes: 0,
            barriers: 0,
            upstream: Upstream::None,
            waiting: false,
            unreturned: 0,
            ended: false,
            failure: None,
            closed: None,
        };
        Self {
            index,
            window,
            ready,
            state: Mutex::new(state),
            source: OnceLock::new(),
        }
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }

    pub(crate) fn window(&self) -> usize {
        self.window
    }

    /// Says what the channel reads. Returns false if it was said before.
    pub(crate) fn name(&self, partition: PartitionId, codec: Option<SharedCodec>) -> bool {
        self.source.set((partition, codec)).is_ok()
    }

    pub(crate) fn partition(&self) -> Option<PartitionId> {
        self.source.get().map(|(partition, _)| *partition)
    }

    pub(crate) fn codec(&self) -> Option<&SharedCodec> {
        self.source.get().and_then(|(_, codec)| codec.as_ref())
    }

    /// Says who fills the queue from now on. Fails if the consumer is gone.
    pub(crate) fn attach(&self, upstream: Upstream) -> Result<(), ChannelError> {
        let mut state = lock(&self.state);
        if let Some(cause) = &state.closed {
            return Err(cause.clone());
        }
        state.upstream = upstream;
        Ok(())
    }

    /// Takes a chunk if there is room; takes any control.
    pub(crate) fn try_push(&self, element: Element) -> Result<(), PushError> {
        let cost = match &element {
            Element::Chunk(chunk) => chunk.bytes().saturating_add(ELEMENT_COST),
            _ => 0,
        };
        let mut state = lock(&self.state);
        if let Some(cause) = &state.closed {
            return Err(PushError::Closed(cause.clone()));
        }
        if cost == 0 {
            state.put_control(element);
        } else if state.bytes < self.window {
            state.put(Item {
                payload: Payload::Element(element),
                cost,
            });
        } else {
            state.waiting = true;
            return Err(PushError::Full(element));
        }
        let wake = self.mark_ready(&state);
        drop(state);
        if wake {
            self.ready.signal.notify();
        }
        Ok(())
    }

    /// Takes a control from a socket. Returns whether the consumer has to be notified, which the
    /// caller may put off until it has nothing else to push. Fails if the peer sends more than any
    /// honest one would.
    pub(crate) fn push_control(&self, element: Element) -> Result<bool, &'static str> {
        let mut state = lock(&self.state);
        if state.closed.is_some() || state.failure.is_some() {
            return Ok(false);
        }
        if state.barriers >= BARRIERS_MAX {
            return Err("too many barriers on one channel");
        }
        state.put_control(element);
        Ok(self.mark_ready(&state))
    }

    /// Takes a fragment from a socket; returns as [`Self::push_control`] does. Fails if the peer
    /// goes over its credit: it may send while it has any, and at most a window at once.
    pub(crate) fn push_fragment(&self, bytes: Vec<u8>, more: bool) -> Result<bool, &'static str> {
        let cost = bytes.len().saturating_add(ELEMENT_COST);
        let mut state = lock(&self.state);
        if state.closed.is_some() || state.failure.is_some() {
            return Ok(false);
        }
        if state.bytes.saturating_add(state.unreturned) >= self.window {
            return Err("it sent more than its credit");
        }
        state.put(Item {
            payload: Payload::Fragment { bytes, more },
            cost,
        });
        Ok(self.mark_ready(&state))
    }

    /// Whether a chunk would be taken now. If not, the producer is notified when it would. A
    /// broken channel counts as having room: the send says what is wrong.
    pub(crate) fn has_room(&self) -> bool {
        let mut state = lock(&self.state);
        let room = state.bytes < self.window || state.closed.is_some();
        state.waiting = !room;
        room
    }

    /// Takes what lies in front.
    pub(crate) fn pop(&self) -> Option<Payload> {
        let mut state = lock(&self.state);
        let item = state.items.pop_front()?;
        if state.items.is_empty() {
            self.ready.clear(self.index);
        }
        if matches!(
            &item.payload,
            Payload::Element(Element::Barrier(_) | Element::EndOfData)
        ) {
            state.barriers -= 1;
        }
        if item.cost > 0 {
            state.bytes -= item.cost;
            self.give_room(state, item.cost);
        }
        Some(item.payload)
    }

    /// Lets the producer know that there is room; not each time, but when half of the window is
    /// free, so that it finds some work to do when it wakes.
    fn give_room(&self, mut state: std::sync::MutexGuard<'_, State>, freed: usize) {
        match &state.upstream {
            Upstream::None => {}
            Upstream::Local(signal) => {
                if state.waiting && state.bytes <= self.window / 2 {
                    let signal = Arc::clone(signal);
                    state.waiting = false;
                    drop(state);
                    signal.notify();
                }
            }
            Upstream::Remote(producer) => {
                let producer = Arc::clone(producer);
                state.unreturned += freed;
                if state.unreturned >= self.window / 2 {
                    let credit = std::mem::take(&mut state.unreturned);
                    drop(state);
                    producer.credit(credit);
                }
            }
        }
    }

    /// The producer's side is broken. What lies in the queue is dropped: the task fails anyway.
    pub(crate) fn fail(&self, cause: ChannelError) {
        let mut state = lock(&self.state);
        if state.ended || state.failure.is_some() || state.closed.is_some() {
            return;
        }
        let dropped = state.clear();
        self.ready.clear(self.index);
        state.failure = Some(cause);
        self.ready.failed.store(true, Ordering::SeqCst);
        drop(state);
        drop(dropped);
        self.ready.signal.notify();
    }

    pub(crate) fn failure(&self) -> Option<ChannelError> {
        lock(&self.state).failure.clone()
    }

    /// The consumer reads no more.
    pub(crate) fn close(&self, cause: ChannelError) {
        let mut state = lock(&self.state);
        if state.closed.is_some() {
            return;
        }
        let dropped = state.clear();
        self.ready.clear(self.index);
        state.closed = Some(cause.clone());
        let upstream = std::mem::replace(&mut state.upstream, Upstream::None);
        let ended = state.ended;
        drop(state);
        drop(dropped);
        match upstream {
            Upstream::None => {}
            Upstream::Local(signal) => signal.notify(),
            Upstream::Remote(producer) if !ended => producer.closed(&cause),
            Upstream::Remote(_) => {}
        }
    }

    /// Whether the consumer is gone.
    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.state).closed.is_some()
    }

    /// The cost of what lies in the queue.
    pub(crate) fn bytes(&self) -> usize {
        lock(&self.state).bytes
    }

    /// Returns whether the consumer has to be told.
    fn mark_ready(&self, state: &State) -> bool {
        let first = state.items.len() == 1;
        if first {
            self.ready.set(self.index);
        }
        first
    }

    /// What the consumer waits on.
    pub(crate) fn signal(&self) -> &Arc<Signal> {
        &self.ready.signal
    }
}

impl State {
    fn put(&mut self, item: Item) {
        self.bytes += item.cost;
        self.items.push_back(item);
    }

    fn put_control(&mut self, element: Element) {
        match element {
            Element::Barrier(_) | Element::EndOfData => self.barriers += 1,
            Element::EndOfInput => self.ended = true,
            _ => {}
        }
        push_control(
            &mut self.items,
            Item {
                payload: Payload::Element(element),
                cost: 0,
            },
        );
    }

    fn clear(&mut self) -> VecDeque<Item> {
        self.bytes = 0;
        self.barriers = 0;
        std::mem::take(&mut self.items)
    }
}

/// What [`push_control`] distinguishes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ControlKind {
    Watermark,
    Status,
    Other,
}

pub(crate) trait HasControlKind {
    fn control_kind(&self) -> ControlKind;
}

impl HasControlKind for Element {
    fn control_kind(&self) -> ControlKind {
        match self {
            Self::Watermark(_) => ControlKind::Watermark,
            Self::Idle | Self::Active => ControlKind::Status,
            _ => ControlKind::Other,
        }
    }
}

impl HasControlKind for Item {
    fn control_kind(&self) -> ControlKind {
        match &self.payload {
            Payload::Element(element) => element.control_kind(),
            Payload::Fragment { .. } => ControlKind::Other,
        }
    }
}

/// Appends a control and drops the ones it makes superfluous, so that at most three watermarks and
/// statuses stand between two other elements, however long nobody reads.
///
/// An older watermark says less than a newer one, and of two statuses next to each other only the
/// second matters. (A producer sends no watermark while it is idle.)
pub(crate) fn push_control<T: HasControlKind>(items: &mut VecDeque<T>, new: T) {
    let kind = new.control_kind();
    let last = |items: &VecDeque<T>| items.back().map(HasControlKind::control_kind);
    match kind {
        ControlKind::Other => {}
        ControlKind::Status => {
            if last(items) == Some(ControlKind::Status) {
                items.pop_back();
            }
        }
        ControlKind::Watermark => {
            let status = match last(items) {
                Some(ControlKind::Status) => items.pop_back(),
                _ => None,
            };
            if last(items) == Some(ControlKind::Watermark) {
                items.pop_back();
                if status.is_some() && last(items) == Some(ControlKind::Status) {
                    items.pop_back();
                }
            }
            items.extend(status);
        }
    }
    items.push_back(new);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weir_types::{EventTime, Watermark};

    use super::*;
    use crate::testing::{barrier, show};

    /// What a consumer knows of a channel's time when it comes to a barrier.
    fn seen_at_barriers<'a>(elements: impl IntoIterator<Item = &'a Element>) -> Vec<String> {
        let (mut watermark, mut active, mut seen) = (i64::MIN, true, Vec::new());
        for element in elements {
            match element {
                Element::Watermark(new) if active => watermark = watermark.max(new.0.0),
                Element::Idle => active = false,
                Element::Active => active = true,
                Element::Barrier(_) => {
                    seen.push(format!("{} {watermark} {active}", show(element)));
                }
                _ => {}
            }
        }
        seen
    }

    proptest! {
        #[test]
        fn leaving_out_superfluous_controls_changes_nothing_for_the_consumer(
            kinds in prop::collection::vec(0..4_u8, 0..60)
        ) {
            let (mut all, mut kept, mut active) = (Vec::new(), VecDeque::new(), true);
            for (n, kind) in (0_i64..).zip(kinds.into_iter().chain([3])) {
                let new = || match kind {
                    0 => Element::Watermark(Watermark(EventTime(n))),
                    1 => Element::Idle,
                    2 => Element::Active,
                    _ => Element::Barrier(barrier(n.unsigned_abs())),
                };
                if kind == 0 && !active {
                    continue;
                }
                active = match kind { 1 => false, 2 => true, _ => active };
                all.push(new());
                push_control(&mut kept, new());
                let run = kept.iter().rev().take_while(|e| e.control_kind() != ControlKind::Other);
                prop_assert!(run.count() <= 3);
            }
            prop_assert_eq!(seen_at_barriers(&kept), seen_at_barriers(&all));
        }
    }
}
