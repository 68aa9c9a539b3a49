//! Domain types to and from their messages. Only here and in the client and server beside it are
//! the generated types known.
//!
//! Encoding never fails. Decoding trusts nothing: a missing field, an id of the wrong length or an
//! unknown number is an error that names the field.

mod command;
mod common;
mod message;
mod registration;

pub(crate) use command::{command_from_wire, command_to_wire};
pub(crate) use common::{result_from_wire, result_to_wire};
pub(crate) use message::{message_from_wire, message_to_wire};
pub(crate) use registration::{
    info_from_wire, info_to_wire, registration_from_wire, registration_to_wire,
};

/// The longest message of a TaskManager. The largest are acknowledgements of checkpoints, which
/// hold a few small pieces of state for each operator of one subtask; what is larger is in objects.
pub(crate) const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// The longest command. A deployment that restores holds operator state of all former subtasks, so
/// it grows with the parallelism: 16 KiB of each of a thousand, for each operator of the chain. A
/// TaskManager can trust its JobManager with that much.
pub(crate) const COMMAND_BYTES_MAX: usize = 256 << 20;

/// The generated code.
#[allow(
    clippy::all,
    clippy::clone_on_ref_ptr,
    unreachable_pub,
    reason = "generated"
)]
pub(crate) mod pb {
    tonic::include_proto!("weir.v1");
}

/// Bytes that are a message, but none that makes sense.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("decode `{field}`: {cause}")]
pub(crate) struct WireError {
    field: &'static str,
    cause: String,
}

impl WireError {
    fn new(field: &'static str, cause: impl Into<String>) -> Self {
        Self {
            field,
            cause: cause.into(),
        }
    }

    fn missing(field: &'static str) -> Self {
        Self::new(field, "it is missing")
    }
}

/// A field that must be there.
fn required<T>(field: &'static str, value: Option<T>) -> Result<T, WireError> {
    value.ok_or_else(|| WireError::missing(field))
}

#[cfg(test)]
pub(crate) mod examples;
#[cfg(test)]
mod tests;
