//! Brings the two ends of a channel together, whichever comes first.
//!
//! Tasks are deployed in any order and on their own threads, so a consumer may ask for a partition
//! before its producer has registered it. The request then waits, for a limited time. Flink's
//! `ResultPartitionManager`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use weir_types::{Epoch, ExecutionAttemptId};

use crate::partition::{Partition, Target};
use crate::signal::lock;
use crate::{ChannelError, PartitionId, RegisterError};

pub(crate) struct Registry {
    epoch: Epoch,
    /// How long a request waits for its partition.
    patience: Duration,
    runtime: Handle,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Registered, and not yet asked for. A claimed partition leaves: each is consumed once.
    partitions: HashMap<PartitionId, Arc<Partition>>,
    /// Asked for, and not yet registered; with the number of the request.
    requests: HashMap<PartitionId, (u64, Target)>,
    next_request: u64,
    shut_down: bool,
}

impl Registry {
    pub(crate) fn new(epoch: Epoch, patience: Duration, runtime: Handle) -> Arc<Self> {
        Arc::new(Self {
            epoch,
            patience,
            runtime,
            state: Mutex::new(State::default()),
        })
    }

    /// A producer offers a partition.
    pub(crate) fn register(&self, partition: Arc<Partition>) -> Result<(), RegisterError> {
        let id = partition.id();
        if id.producer.epoch != self.epoch {
            return Err(RegisterError::Stale {
                partition: id,
                epoch: self.epoch.0,
            });
        }
        let mut state = lock(&self.state);
        if state.shut_down {
            return Err(RegisterError::ShutDown(id));
        }
        if state.partitions.contains_key(&id) {
            return Err(RegisterError::Duplicate(id));
        }
        match state.requests.remove(&id) {
            None => {
                state.partitions.insert(id, partition);
            }
            Some((_, target)) => {
                drop(state);
                partition.claim(target);
            }
        }
        Ok(())
    }

    /// A consumer asks for a partition. Whatever is wrong is told to the target.
    pub(crate) fn request(
        self: &Arc<Self>,
        consumer: &ExecutionAttemptId,
        id: PartitionId,
        target: Target,
    ) {
        for attempt in [consumer, &id.producer] {
            if attempt.epoch != self.epoch {
                let (theirs, ours) = (attempt.epoch.0, self.epoch.0);
                return target.fail(ChannelError::Stale { theirs, ours });
            }
        }
        let mut state = lock(&self.state);
        if state.shut_down {
            drop(state);
            return target.fail(shut_down());
        }
        if let Some(partition) = state.partitions.remove(&id) {
            drop(state);
            return partition.claim(target);
        }
        if state.requests.contains_key(&id) {
            drop(state);
            return target.fail(ChannelError::AlreadyConsumed);
        }
        let number = state.next_request;
        state.next_request += 1;
        state.requests.insert(id, (number, target));
        drop(state);
        let registry = Arc::downgrade(self);
        let patience = self.patience;
        self.runtime.spawn(async move {
            tokio::time::sleep(patience).await;
            expire(&registry, &id, number);
        });
    }

    /// A partition that nobody asked for is not offered any more.
    pub(crate) fn forget(&self, id: &PartitionId) {
        drop(lock(&self.state).partitions.remove(id));
    }

    /// Forgets all that a producer offered and nobody asked for.
    pub(crate) fn release(&self, producer: &ExecutionAttemptId) {
        let mut released = Vec::new();
        let mut state = lock(&self.state);
        state.partitions.retain(|id, partition| {
            let keep = id.producer != *producer;
            if !keep {
                released.push(Arc::clone(partition));
            }
            keep
        });
        drop(state);
        for partition in released {
            partition.abandon(ChannelError::ProducerGone {
                cause: "it was released".to_owned(),
            });
        }
    }

    /// Fails whatever waits, and everything that comes later.
    pub(crate) fn shut_down(&self) {
        let mut state = lock(&self.state);
        state.shut_down = true;
        let partitions = std::mem::take(&mut state.partitions);
        let requests = std::mem::take(&mut state.requests);
        drop(state);
        for partition in partitions.into_values() {
            partition.abandon(shut_down());
        }
        for (_, target) in requests.into_values() {
            target.fail(shut_down());
        }
    }
}

fn expire(registry: &Weak<Registry>, id: &PartitionId, number: u64) {
    let Some(registry) = registry.upgrade() else {
        return;
    };
    let mut state = lock(&registry.state);
    if state
        .requests
        .get(id)
        .is_some_and(|(waiting, _)| *waiting == number)
    {
        let request = state.requests.remove(id);
        drop(state);
        if let Some((_, target)) = request {
            target.fail(ChannelError::PartitionNotFound {
                waited: registry.patience,
            });
        }
    }
}

pub(crate) fn shut_down() -> ChannelError {
    ChannelError::ProducerGone {
        cause: "the exchange of its process was shut down".to_owned(),
    }
}
