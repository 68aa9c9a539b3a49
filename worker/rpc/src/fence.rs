//! Fencing: a message says for which epoch it is meant, and a receiver that lives in another epoch
//! cannot even look at it.

use weir_types::{Epoch, ExecutionAttemptId};

/// A message that is not for this epoch, or not for any of its attempts.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum FenceError {
    /// It comes from, or is meant for, another run of the job.
    #[error("a message of epoch {received} reached epoch {current}")]
    OtherEpoch {
        /// The receiver's epoch.
        current: Epoch,
        /// The message's epoch.
        received: Epoch,
    },
    /// It names an attempt of another epoch than its own.
    #[error("a message of epoch {epoch} names attempt {attempt} of another epoch")]
    OtherAttempt {
        /// The message's epoch.
        epoch: Epoch,
        /// The attempt that it names.
        attempt: ExecutionAttemptId,
    },
}

/// A message that may be about one attempt of a subtask.
pub trait FencedBody {
    /// The attempt that the message is about.
    fn attempt(&self) -> Option<ExecutionAttemptId>;
}

/// A message and the epoch it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct Fenced<T> {
    epoch: Epoch,
    body: T,
}

impl<T: FencedBody> Fenced<T> {
    /// Stamps a message.
    pub fn new(epoch: Epoch, body: T) -> Self {
        Self { epoch, body }
    }

    /// The epoch it belongs to.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The message, if it belongs to the receiver's epoch. Whether its attempt is still the current
    /// one is for the receiver to say.
    pub fn open(self, current: Epoch) -> Result<T, FenceError> {
        if self.epoch != current {
            return Err(FenceError::OtherEpoch {
                current,
                received: self.epoch,
            });
        }
        match self.body.attempt() {
            Some(attempt) if attempt.epoch != current => Err(FenceError::OtherAttempt {
                epoch: current,
                attempt,
            }),
            _ => Ok(self.body),
        }
    }

    pub(crate) fn parts(&self) -> (Epoch, &T) {
        (self.epoch, &self.body)
    }
}

#[cfg(test)]
mod tests {
    use weir_types::{AttemptNumber, SubtaskIndex, VertexId};

    use super::*;
    use crate::TaskExecutorCommand;

    fn attempt(epoch: u64) -> ExecutionAttemptId {
        ExecutionAttemptId {
            epoch: Epoch(epoch),
            vertex: VertexId(1),
            subtask: SubtaskIndex(0),
            attempt: AttemptNumber(0),
        }
    }

    #[test]
    fn a_message_of_another_epoch_cannot_be_opened() {
        let late = Fenced::new(Epoch(3), TaskExecutorCommand::Cancel(attempt(3)));
        assert!(late.clone().open(Epoch(3)).is_ok());
        let error = late.open(Epoch(4)).expect_err("epoch 4 fences epoch 3");
        assert_eq!(error.to_string(), "a message of epoch 3 reached epoch 4");
    }

    #[test]
    fn a_message_about_an_attempt_of_another_epoch_cannot_be_opened() {
        let mixed = Fenced::new(Epoch(4), TaskExecutorCommand::Cancel(attempt(3)));
        assert!(matches!(
            mixed.open(Epoch(4)),
            Err(FenceError::OtherAttempt { .. })
        ));
    }
}
