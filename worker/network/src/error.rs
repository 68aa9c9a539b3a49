//! What can go wrong on a channel, as each side sees it.

use std::time::Duration;

use weir_types::FaultClass;

use crate::PartitionId;

/// Why a channel is broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// The peer could not be reached.
    #[error("connect to {peer}: {cause}")]
    Connect {
        /// Who was called.
        peer: String,
        /// What the socket said.
        cause: String,
    },
    /// The handshake failed.
    #[error("{peer} refused the data connection: {reason}")]
    Refused {
        /// Who was called.
        peer: String,
        /// The peer's reason, or ours.
        reason: String,
    },
    /// The connection broke, or the peer went away.
    #[error("lost the data connection to {peer}: {cause}")]
    ConnectionLost {
        /// Who was at the other end.
        peer: String,
        /// What was seen.
        cause: String,
    },
    /// The producer never registered the partition. Flink's `PartitionNotFoundException`.
    #[error("no producer registered the partition within {waited:?}")]
    PartitionNotFound {
        /// How long was waited.
        waited: Duration,
    },
    /// Somebody else has asked for the partition before: each is consumed once.
    #[error("the partition has another consumer already")]
    AlreadyConsumed,
    /// The producer ended without an end of input: it failed or was cancelled.
    #[error("the producer stopped: {cause}")]
    ProducerGone {
        /// What it said.
        cause: String,
    },
    /// The consumer ended first: it failed or was cancelled.
    #[error("the consumer stopped: {cause}")]
    ConsumerGone {
        /// What it said.
        cause: String,
    },
    /// Ids of another epoch: they belong to a run of the job that is over.
    #[error("stale: epoch {theirs} is not the current epoch {ours}")]
    Stale {
        /// The epoch that was sent.
        theirs: u64,
        /// The epoch of this process.
        ours: u64,
    },
    /// The other side broke the rules.
    #[error("{peer} broke the exchange protocol: {cause}")]
    Protocol {
        /// Who was at the other end.
        peer: String,
        /// Which rule.
        cause: String,
    },
    /// The encoding of a chunk that cannot be split, such as a single row, is over the limit.
    #[error(
        "a chunk of `{type_name}` takes {bytes} bytes encoded, over the limit of {limit} bytes \
         (`chunk_bytes_max`)"
    )]
    ChunkTooLarge {
        /// The row type.
        type_name: &'static str,
        /// How large it is, as far as it was looked at.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Bytes that are no chunk, or a chunk that cannot be written as bytes.
    #[error("{0}")]
    Codec(String),
}

impl ChannelError {
    /// What may help.
    pub fn fault_class(&self) -> FaultClass {
        match self {
            Self::Connect { .. }
            | Self::ConnectionLost { .. }
            | Self::PartitionNotFound { .. }
            | Self::ProducerGone { .. }
            | Self::ConsumerGone { .. } => FaultClass::PartitionDataMissing,
            Self::ChunkTooLarge { .. } | Self::Codec(_) => FaultClass::NonRecoverable,
            Self::Refused { .. }
            | Self::AlreadyConsumed
            | Self::Stale { .. }
            | Self::Protocol { .. } => FaultClass::Recoverable,
        }
    }

    /// Whether this only passes on that the task at the other end has ended: the reason for a
    /// failure is to be looked for there.
    pub fn is_consequence(&self) -> bool {
        matches!(self, Self::ProducerGone { .. } | Self::ConsumerGone { .. })
    }
}

/// An input gate cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read {}: {cause}", self.place())]
pub struct GateError {
    /// The gate's channel.
    pub channel: usize,
    /// What the channel reads, if it was connected.
    pub partition: Option<Box<PartitionId>>,
    /// What happened.
    pub cause: ChannelError,
}

impl GateError {
    fn place(&self) -> String {
        match &self.partition {
            Some(partition) => format!("channel {} ({partition})", self.channel),
            None => format!("channel {}", self.channel),
        }
    }
}

/// An element was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The task is being cancelled.
    #[error("cancelled while sending to {partition}")]
    Cancelled {
        /// Where to.
        partition: PartitionId,
    },
    /// The channel is broken.
    #[error("send to {partition}: {cause}")]
    Channel {
        /// Where to.
        partition: PartitionId,
        /// What happened.
        cause: ChannelError,
    },
    /// A router could not tell where a record goes, for example because its key has no hash.
    #[error("route a record: {cause}")]
    Route {
        /// Why not.
        cause: String,
    },
    /// The sender has sent the end of input before.
    #[error("send to {partition} after its end of input")]
    Ended {
        /// Where to.
        partition: PartitionId,
    },
}

/// An element was not sent, and a caller that does not want to wait gets it back.
#[derive(Debug, thiserror::Error)]
pub enum TrySendError {
    /// There is no room now. The task's signal is notified when there is.
    #[error("the channel has no room")]
    Full(crate::Element),
    /// It will never go.
    #[error(transparent)]
    Failed(#[from] SendError),
}

/// A partition was not registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// The exchange is shut down.
    #[error("register {0}: the exchange of this process is shut down")]
    ShutDown(PartitionId),
    /// It is registered already.
    #[error("register {0}: it is registered already")]
    Duplicate(PartitionId),
    /// The producer belongs to another epoch.
    #[error("register {partition}: the current epoch is {epoch}")]
    Stale {
        /// What was to be registered.
        partition: PartitionId,
        /// The exchange's epoch.
        epoch: u64,
    },
}
