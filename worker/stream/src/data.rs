//! What can be a record.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A record type: any owned, cloneable type that serde can write and read. Implemented for all of
/// them; never by hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a record",
    label = "this type flows through the job, but is no `weir` record",
    note = "a record is an owned type with `#[derive(Clone, serde::Serialize, serde::Deserialize)]`; \
            take `String` instead of `&str`, and values instead of references"
)]
pub trait Data: Serialize + DeserializeOwned + Clone + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Clone + Send + 'static> Data for T {}
