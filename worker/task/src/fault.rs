//! What a subtask's end means: finished, canceled, or failed with a class and the causes.

use std::error::Error;

use weir_state::{ColdError, StateError};
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
        (Ok(Err(error)), _) => Outcome::Failed(class(&error), told(&error)),
        (Ok(Ok(())), Err(panic)) => Outcome::Failed(FaultClass::Recoverable, panic),
        (Ok(Ok(())), Ok(Err(error))) => {
            Outcome::Failed(operator_class(&error), format!("close: {}", causes(&error)))
        }
        (Ok(Ok(())), Ok(Ok(()))) => Outcome::Finished,
    }
}

fn told(error: &TaskError) -> String {
    let next_step = match error {
        TaskError::Restore(error) => error.next_step(),
        _ => None,
    };
    match next_step {
        Some(next_step) => format!("{}; {next_step}", causes(error)),
        None => causes(error),
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
        _ if is_incompatible(error) => FaultClass::NonRecoverable,
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

/// Whether a subtask may have ended because the local files that it began with are damaged. Until
/// it has come to a checkpoint of its own, anything of its own doing may be that; later, what its
/// state says about itself.
pub(crate) fn casts_doubt_on_state(
    outcome: &Result<Result<(), TaskError>, String>,
    has_confirmed: bool,
) -> bool {
    match outcome {
        Ok(Ok(()) | Err(TaskError::Cancelled | TaskError::Gate(_) | TaskError::Protocol(_))) => {
            false
        }
        Ok(Err(TaskError::Operator(OperatorError::Send(_)))) => false,
        Ok(Err(TaskError::Operator(error))) => !has_confirmed || is_of_files(error),
        Ok(Err(TaskError::Restore(_))) | Err(_) => !has_confirmed,
    }
}

fn is_of_files(error: &OperatorError) -> bool {
    within::<ColdError>(error).next().is_some()
}

/// Whether the restored state and the program do not fit: trying again gives the same. Some states
/// are declared by the first record only.
pub(crate) fn is_incompatible(error: &OperatorError) -> bool {
    // The outermost is no cause of itself.
    let outermost = match error {
        OperatorError::State(error) => Some(error),
        _ => None,
    };
    outermost.into_iter().chain(within(error)).any(|error| {
        matches!(
            error,
            StateError::Incompatible { .. }
                | StateError::Restore { .. }
                | StateError::RestoreGap { .. }
        )
    })
}

/// The errors of this type among the causes: a user's function that uses state may wrap an error of
/// it in its own, more than once.
fn within<E: Error + 'static>(error: &OperatorError) -> impl Iterator<Item = &E> {
    let first: &(dyn Error + 'static) = error;
    std::iter::successors(Some(first), |&error| error.source())
        .filter_map(|error| error.downcast_ref::<E>())
}

/// Whether keyed state failed because of the machine.
fn is_environment(error: &OperatorError) -> bool {
    within(error).any(|error| matches!(error, ColdError::DiskFull { .. }))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use weir_checkpoint::EnvelopeError;
    use weir_checkpoint::blob::BlobError;

    use super::*;
    use crate::restore::{ReadError, RestoreError};

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
    fn a_damaged_snapshot_is_told_with_how_to_restore_an_older_one_and_an_outage_is_not() {
        let failed = |source| {
            let error = RestoreError::Read {
                operator: "count".into(),
                checkpoint: weir_types::CheckpointId(7),
                what: "object `chk-1-7/keyed` in /state".to_owned(),
                source: Box::new(source),
            };
            match of_outcome(Ok(Err(error.into())), Ok(Ok(()))) {
                Outcome::Failed(class, cause) => (class, cause),
                other => panic!("{other:?}"),
            }
        };
        let (class, cause) = failed(ReadError::Checksum { found: 1, want: 2 });
        assert_eq!(class, FaultClass::StateDamaged);
        for part in [
            "from checkpoint 7: object `chk-1-7/keyed` in /state: its checksum is",
            "`weir checkpoints ls`",
            "`--restore PATH --rewind`",
            "`from: Path` and a new `nonce`",
        ] {
            assert!(cause.contains(part), "{part} is missing in {cause}");
        }
        let (class, cause) = failed(ReadError::Local {
            path: PathBuf::from("/scratch/1.sst"),
            source: std::io::Error::other("gone"),
        });
        assert_eq!(class, FaultClass::Environment);
        assert!(!cause.contains("--restore"), "{cause}");
        // An older snapshot may be read by this version, and the job lose what came since.
        let (class, cause) = failed(ReadError::Blob(BlobError::Envelope(
            EnvelopeError::Version {
                want: "blob",
                found: 9,
                supported: 1,
            },
        )));
        assert_eq!(class, FaultClass::NonRecoverable);
        assert!(cause.contains("--restore"), "{cause}");
    }

    fn wrapped(error: StateError) -> TaskError {
        let outer: weir_stream::BoxError = std::io::Error::other(error).into();
        TaskError::from(OperatorError::Function(outer))
    }

    #[test]
    fn a_failure_casts_doubt_on_what_the_subtask_began_with_if_it_may_come_from_that() {
        let damaged = || StateError::Cold {
            state: "counts".to_owned(),
            source: ColdError::Failed {
                action: "read state",
                folder: PathBuf::from("/scratch"),
                cause: "Corruption: block checksum mismatch".to_owned(),
            },
        };
        let neighbour = || {
            TaskError::Gate(weir_network::GateError {
                channel: 0,
                partition: None,
                cause: weir_network::ChannelError::AlreadyConsumed,
            })
        };
        let user = || TaskError::from(OperatorError::function("division by zero"));
        for (outcome, before, after) in [
            (Ok(Ok(())), false, false),
            (Ok(Err(TaskError::Cancelled)), false, false),
            (Ok(Err(neighbour())), false, false),
            (Ok(Err(user())), true, false),
            (Err("it panicked".to_owned()), true, false),
            (Ok(Err(wrapped(damaged()))), true, true),
        ] {
            let doubt = [false, true].map(|c| casts_doubt_on_state(&outcome, c));
            assert_eq!(doubt, [before, after], "{outcome:?}");
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
    fn state_of_another_type_is_not_tried_again_whoever_noticed() {
        let error = || StateError::Incompatible {
            state: "counts".to_owned(),
            snapshot: "u64".to_owned(),
            program: "String".to_owned(),
            cause: "an integer became a text".to_owned(),
        };
        let direct = TaskError::from(OperatorError::State(error()));
        let by_a_function = TaskError::from(OperatorError::function(error()));
        for error in [direct, by_a_function] {
            let outcome = of_outcome(Ok(Err(error)), Ok(Ok(())));
            let Outcome::Failed(class, cause) = outcome else {
                unreachable!("it failed");
            };
            assert_eq!(class, FaultClass::NonRecoverable, "{cause}");
        }
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
