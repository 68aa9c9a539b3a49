//! The words every other crate shares: ids, key groups, event time, faults, clock and randomness.
//!
//! Nothing here knows tokio, I/O or a wire format. Ids are newtypes, so that an epoch is never
//! passed where a checkpoint number is meant.

#![warn(missing_docs)]

mod causes;
mod clock;
mod fault;
mod hash;
mod ids;
mod key_group;
mod time;

pub use causes::causes;
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use fault::{Fault, FaultClass, FaultScope};
pub use hash::{Hash128, KeyHasher, hash_bytes, hash128};
pub use ids::{
    AttemptNumber, CheckpointId, Epoch, ExecutionAttemptId, JobId, OperatorId, ParseIdError,
    SlotIndex, SubtaskIndex, TaskManagerId, VertexId,
};
pub use key_group::{KeyGroup, KeyGroupRange, MAX_PARALLELISM_LIMIT, subtask_of_key_group};
pub use time::{BarrierKind, CheckpointBarrier, EventTime, Watermark};
