//! Exchange between subtasks: result partitions, input gates, credits and framing.
//!
//! A producing subtask owns a [`ResultPartition`]: a [`Router`] and one [`ChannelSender`] per
//! consumer. A consuming subtask owns an [`InputGate`] with one channel per producer. Whether a
//! channel stays in the process or crosses a TCP connection is decided when the consumer asks for
//! it ([`Exchange::connect`]); neither side's code sees a difference.
//!
//! ```text
//!  producer thread                                             consumer thread
//!  ResultPartition                                             InputGate
//!    Router ─ ChannelSender ──── same process: pointers ──────▶ channel 0 ┐
//!           └ ChannelSender ─┐                                 channel 1 ┴─ poll()
//!              encode        └─ Exchange ══ TCP ══ Exchange ─────▶   decode
//! ```
//!
//! Every queue is bounded in bytes. A producer that finds no room waits on its own [`Signal`], on
//! which its mailbox and its input gate notify as well: **whoever calls `Signal::wait` looks at
//! everything that may have notified before it waits again.**
//!
//! How a task is put together:
//!
//! ```text
//! let signal  = Signal::new();                                  // one per task thread
//! let cancel  = CancelToken::new(signal.clone());
//! let context = SenderContext::new(cancel.clone(), clock);      // one per task thread
//! // inputs
//! let gate = InputGate::new(signal.clone(), producers, GateOptions::default());
//! for (channel, producer) in ... {
//!     let request = ConnectRequest { consumer, partition, codec, location };
//!     exchange.connect(request, gate.inlet(channel));
//! }
//! // outputs, one ResultPartition per edge
//! let senders = (0..consumers)
//!     .map(|n| PartitionId { producer, edge, subpartition: n })
//!     .map(|partition| exchange.register(partition, codec, context.clone()))
//!     .collect::<Result<Vec<_>, _>>()?;
//! let output = ResultPartition::new(router, senders);
//! ```

#![warn(missing_docs)]

mod element;
mod error;
mod exchange;
mod gate;
mod partition;
mod queue;
mod result_partition;
mod router;
mod sender;
mod signal;

pub use element::{Chunk, ChunkCodec, CodecError, Control, Element, SharedCodec};
pub use error::{ChannelError, GateError, RegisterError, SendError, TrySendError};
pub use exchange::{
    BindError, ConnectRequest, Exchange, ExchangeIdentity, ExchangeOptions, Location,
    PROTOCOL_VERSION,
};
pub use gate::{GateFill, GateOptions, Inlet, InputGate};
pub use partition::{EdgeId, PartitionId};
pub use result_partition::ResultPartition;
pub use router::{Broadcast, ChannelOutputs, Forward, Global, Router};
pub use sender::{ChannelSender, SenderContext};
pub use signal::{CancelToken, Signal, Wake};

#[cfg(feature = "testing")]
mod standalone;
#[cfg(test)]
mod testing;

#[cfg(feature = "testing")]
pub use standalone::Standalone;
