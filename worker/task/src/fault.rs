//! What a subtask's end means: finished, canceled, or failed with a class and the causes.

use std::error::Error;

use weir_state::ColdError;
use weir_stream::{OperatorError, SuppressRestarts};
use weir_types::{FaultClass, causes};

use crate::run::TaskError;

/// How a subtask ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Finished,
    Canceled,
    Failed(FaultClass, String),
}

/// Judges what the loop and the closing of the operators gave; a panic is the outer error.
pub(crate) fn of_outcome(
    ran: Result<Result<(), TaskError>, String>,
    closed: Result<Result<(), OperatorError>, String>,
) -> Outcome {
    match (ran, closed) {
        (Err(panic), _) => Outcome::Failed(FaultClass::Recoverable, panic),
        (Ok(Err(TaskError::Cancelled)), _) => Outcome::Canceled,
        (Ok(Err(error)), _) => Outcome::Failed(class(&error), causes(&error)),
        (Ok(Ok(())), Err(panic)) => Outcome::Failed(FaultClass::Recoverable, panic),
        (Ok(Ok(())), Ok(Err(error))) => {
            Outcome::Failed(operator_class(&error), format!("close: {}", causes(&error)))
        }
        (Ok(Ok(())), Ok(Ok(()))) => Outcome::Finished,
    }
}

fn class(error: &TaskError) -> FaultClass {
    match error {
        TaskError::Cancelled => FaultClass::Recoverable,
        TaskError::Operator(error) => operator_class(error),
        TaskError::Gate(error) => error.cause.fault_class(),
        TaskError::Restore(error) => error.class(),
        TaskError::Protocol(_) => FaultClass::NonRecoverable,
    }
}

pub(crate) fn operator_class(error: &OperatorError) -> FaultClass {
    match error {
        _ if is_environment(error) => FaultClass::Environment,
        OperatorError::Invalid(_) => FaultClass::NonRecoverable,
        OperatorError::Function(cause)
        | OperatorError::Source(cause)
        | OperatorError::Sink(cause)
            if cause.is::<SuppressRestarts>() =>
        {
            FaultClass::NonRecoverable
        }
        OperatorError::Send(weir_network::SendError::Channel { cause, .. }) => cause.fault_class(),
        _ => FaultClass::Recoverable,
    }
}

/// Whether keyed state failed because of the machine. A user's function that uses state may wrap
/// the error in its own, more than once.
fn is_environment(error: &OperatorError) -> bool {
    let first: &(dyn Error + 'static) = error;
    std::iter::successors(Some(first), |&error| error.source())
        .filter_map(|error| error.downcast_ref::<ColdError>())
        .any(|error| matches!(error, ColdError::DiskFull { .. }))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use weir_state::StateError;

    use super::*;

    fn disk_full() -> StateError {
        StateError::Cold {
            state: "counts".to_owned(),
            source: ColdError::DiskFull {
                action: "write state",
                folder: PathBuf::from("/scratch"),
                cause: "no space left".to_owned(),
            },
        }
    }

    #[test]
    fn a_full_disk_is_the_machines_fault_also_below_a_users_function() {
        let direct = OperatorError::State(disk_full());
        let wrapped = OperatorError::Function(disk_full().into());
        let deeper: weir_stream::BoxError = std::io::Error::other(disk_full()).into();
        for error in [direct, wrapped, OperatorError::Function(deeper)] {
            let Outcome::Failed(class, cause) = of_outcome(Ok(Err(error.into())), Ok(Ok(())))
            else {
                unreachable!("it failed");
            };
            assert_eq!(class, FaultClass::Environment, "{cause}");
            assert!(
                cause.contains("/scratch") && cause.contains("free space"),
                "{cause}"
            );
        }
    }

    #[test]
    fn a_failure_names_all_its_causes_once() {
        let inner = std::io::Error::other("disk full");
        let error = TaskError::from(OperatorError::Sink(Box::new(inner)));
        assert_eq!(causes(&error), "write to the sink: disk full");
        let failed = of_outcome(Ok(Err(error)), Ok(Ok(())));
        assert_eq!(
            failed,
            Outcome::Failed(
                FaultClass::Recoverable,
                "write to the sink: disk full".to_owned()
            )
        );
    }

    #[test]
    fn what_only_a_person_can_mend_is_not_tried_again() {
        let cause = || Box::new(SuppressRestarts::new("move it away"));
        let function = || OperatorError::Function(cause());
        for error in [
            function(),
            OperatorError::Source(cause()),
            OperatorError::Sink(cause()),
        ] {
            let told = causes(&error);
            assert!(told.ends_with(": move it away"), "{told}");
            assert_eq!(operator_class(&error), FaultClass::NonRecoverable);
        }
        assert_eq!(
            operator_class(&OperatorError::function("x")),
            FaultClass::Recoverable
        );
    }

    #[test]
    fn an_error_while_closing_fails_a_subtask_that_ran_well() {
        let error = OperatorError::Invalid("x".to_owned());
        let outcome = of_outcome(Ok(Ok(())), Ok(Err(error)));
        assert_eq!(
            outcome,
            Outcome::Failed(FaultClass::NonRecoverable, "close: x".to_owned())
        );
    }

    #[test]
    fn a_cancelled_subtask_is_no_failure() {
        assert_eq!(
            of_outcome(Ok(Err(TaskError::Cancelled)), Ok(Ok(()))),
            Outcome::Canceled
        );
    }
}
