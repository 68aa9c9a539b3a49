//! What can go wrong inside an operator.

use weir_network::SendError;
use weir_state::StateError;

/// Any error of a user's function.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An operator could not go on.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The user's function said so.
    #[error("user function failed")]
    Function(#[source] BoxError),
    /// State could not be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// The next subtask is gone, or this one is being cancelled.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The subtask is being cancelled, and the operator has noticed it by itself.
    #[error("cancelled")]
    Cancelled,
    /// A source could not read.
    #[error("read the source")]
    Source(#[source] BoxError),
    /// A sink could not write.
    #[error("write to the sink")]
    Sink(#[source] BoxError),
    /// Something that trying again cannot mend, for example a type that no state can hold.
    #[error("{0}")]
    Invalid(String),
}

impl OperatorError {
    /// Wraps an error of a user's function.
    pub fn function(error: impl Into<BoxError>) -> Self {
        Self::Function(error.into())
    }
}

/// An error that trying again cannot mend, whatever the restart strategy says: a person has to do
/// what its text says (Flink's `SuppressRestartsException`).
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SuppressRestarts(BoxError);

impl SuppressRestarts {
    /// Wraps the error of a user's function, a source or a sink.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self(error.into())
    }
}
