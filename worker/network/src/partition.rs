//! The name of a channel, and its producer's end before and after a consumer has come for it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, Weak};

use serde::{Deserialize, Serialize};
use weir_types::ExecutionAttemptId;

use crate::exchange::{Outlet, Registry};
use crate::queue::{ChannelQueue, Upstream, push_control};
use crate::signal::lock;
use crate::{ChannelError, Control, Element, SharedCodec, Signal};

/// An edge of the JobGraph, numbered over the whole job.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
pub struct EdgeId(pub u32);

impl fmt::Display for EdgeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// One channel as its producer sees it: what one attempt of a producer sends to one consumer.
/// Flink's `ResultPartitionID` with the subpartition's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PartitionId {
    /// Who sends. It holds the epoch and the attempt, so a stale one never matches.
    pub producer: ExecutionAttemptId,
    /// On which of its output edges.
    pub edge: EdgeId,
    /// To which of the edge's consumers: the consuming subtask's index for all-to-all edges.
    pub subpartition: u32,
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} edge {} subpartition {}",
            self.producer, self.edge, self.subpartition
        )
    }
}

/// Where a partition's consumer is.
#[derive(Clone)]
pub(crate) enum Target {
    Local(Arc<ChannelQueue>),
    Remote(Arc<Outlet>),
}

impl Target {
    pub(crate) fn has_room(&self) -> bool {
        match self {
            Self::Local(queue) => queue.has_room(),
            Self::Remote(outlet) => outlet.has_room(),
        }
    }

    /// Tells the consumer that nothing will come.
    pub(crate) fn fail(&self, cause: ChannelError) {
        match self {
            Self::Local(queue) => queue.fail(cause),
            Self::Remote(outlet) => outlet.refuse(cause),
        }
    }
}

enum State {
    /// No consumer has come yet; the controls sent so far are kept for it.
    Unclaimed(VecDeque<Element>),
    Claimed(Target),
    /// The producer ended early, or the exchange was shut down.
    Abandoned(ChannelError),
}

/// What a sender and the consumer's side of one channel share until they have found each other.
pub(crate) struct Partition {
    id: PartitionId,
    /// None if the consumer is known to be in the same process.
    codec: Option<SharedCodec>,
    signal: Arc<Signal>,
    /// Where the partition waits for its consumer.
    registry: Weak<Registry>,
    state: Mutex<State>,
}

impl Partition {
    pub(crate) fn new(
        id: PartitionId,
        codec: Option<SharedCodec>,
        signal: Arc<Signal>,
        registry: Weak<Registry>,
    ) -> Self {
        let state = Mutex::new(State::Unclaimed(VecDeque::new()));
        Self {
            id,
            codec,
            signal,
            registry,
            state,
        }
    }

    pub(crate) fn id(&self) -> PartitionId {
        self.id
    }

    pub(crate) fn codec(&self) -> &SharedCodec {
        self.codec
            .as_ref()
            .expect("remote consumers come through an exchange, which has the codec")
    }

    /// Where the consumer is, if it has come.
    pub(crate) fn target(&self) -> Result<Option<Target>, ChannelError> {
        match &*lock(&self.state) {
            State::Claimed(target) => Ok(Some(target.clone())),
            State::Unclaimed(_) => Ok(None),
            State::Abandoned(cause) => Err(cause.clone()),
        }
    }

    /// Keeps a control for the consumer that is to come. Returns false if it has come.
    pub(crate) fn hold_back(&self, control: Control) -> bool {
        match &mut *lock(&self.state) {
            State::Unclaimed(held_back) => {
                push_control(held_back, control.into());
                true
            }
            State::Claimed(_) | State::Abandoned(_) => false,
        }
    }

    /// The consumer has come. It gets what was held back, then whatever the sender sends.
    pub(crate) fn claim(&self, target: Target) {
        let mut state = lock(&self.state);
        let held_back = match &mut *state {
            State::Unclaimed(held_back) => std::mem::take(held_back),
            State::Claimed(_) => return target.fail(ChannelError::AlreadyConsumed),
            State::Abandoned(cause) => return target.fail(cause.clone()),
        };
        match &target {
            Target::Local(queue) => claim_local(queue, &self.signal, held_back),
            Target::Remote(outlet) => outlet.claim(&self.signal, held_back),
        }
        *state = State::Claimed(target);
        drop(state);
        self.signal.notify();
    }

    /// The producer ends early.
    pub(crate) fn abandon(&self, cause: ChannelError) {
        let mut state = lock(&self.state);
        let before = std::mem::replace(&mut *state, State::Abandoned(cause.clone()));
        drop(state);
        match before {
            State::Claimed(target) => target.fail(cause),
            State::Unclaimed(_) => {
                if let Some(registry) = self.registry.upgrade() {
                    registry.forget(&self.id);
                }
            }
            State::Abandoned(_) => {}
        }
        self.signal.notify();
    }
}

/// A gone consumer or a full queue shows at the next send.
fn claim_local(queue: &ChannelQueue, signal: &Arc<Signal>, held_back: VecDeque<Element>) {
    if queue.attach(Upstream::Local(Arc::clone(signal))).is_ok() {
        for control in held_back {
            drop(queue.try_push(control));
        }
    }
}
