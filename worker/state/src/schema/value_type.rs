//! What a program declares a state's values to be, with the type erased.

use serde::de::DeserializeOwned;

use super::{Change, Probe, Schema, compare, migrate_front, probe};
use crate::codec::{CodecError, StateValue, decode_front, describe_type, encode};

/// Reads values of another schema from a record's bytes and appends them as they are written now.
type Rewrite = fn(&mut &[u8], Written<'_>, &mut Vec<u8>) -> Result<(), CodecError>;

/// How a record's values were written.
#[derive(Clone, Copy)]
pub(crate) struct Written<'a> {
    pub(crate) schema: &'a Schema,
    /// Each value has the time of its last use in front of it.
    pub(crate) timed: bool,
}

/// The type of a state's values.
#[derive(Clone, Copy)]
pub(crate) struct ValueType {
    name: fn() -> String,
    schema: fn() -> Schema,
    probe: fn(&[usize], Probe) -> bool,
    rewrite: Rewrite,
}

impl ValueType {
    /// A record holds one value.
    pub(crate) fn one<V: StateValue>() -> Self {
        Self::new::<V>(describe_type::<V>, rewrite_one::<V>)
    }

    /// A record holds a list.
    pub(crate) fn list<V: StateValue>() -> Self {
        Self::new::<V>(describe_type::<V>, rewrite_list::<V>)
    }

    /// A record holds one value of a map with these user keys.
    pub(crate) fn map_value<U: DeserializeOwned, V: StateValue>() -> Self {
        Self::new::<V>(describe_type::<(U, V)>, rewrite_one::<V>)
    }

    /// A record holds one value that need not be a state's value for all it can do.
    pub(crate) fn element<V: DeserializeOwned + serde::Serialize>() -> Self {
        Self::new::<V>(describe_type::<V>, rewrite_one::<V>)
    }

    fn new<V: DeserializeOwned>(name: fn() -> String, rewrite: Rewrite) -> Self {
        Self {
            name,
            schema: Schema::of::<V>,
            probe: probe::<V>,
            rewrite,
        }
    }

    /// The name that people see.
    pub(crate) fn name(&self) -> String {
        (self.name)()
    }

    /// What its encoding consists of.
    pub(crate) fn schema(&self) -> Schema {
        (self.schema)()
    }

    /// What has to be done with values of this schema, or where they differ.
    pub(crate) fn change_from(&self, written: &Schema, own: &Schema) -> Result<Change, String> {
        compare(written, own, &self.probe)
    }

    /// Writes a record's values as they are written now.
    pub(crate) fn rewrite(
        &self,
        mut bytes: &[u8],
        written: Written<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        (self.rewrite)(&mut bytes, written, out)?;
        if bytes.is_empty() {
            Ok(())
        } else {
            let cause = format!("{} bytes are left over", bytes.len());
            Err(CodecError {
                action: "decode",
                type_name: "a value of an older schema",
                cause,
            })
        }
    }
}

fn rewrite_one<V: DeserializeOwned + serde::Serialize>(
    bytes: &mut &[u8],
    written: Written<'_>,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    if written.timed {
        encode(&decode_front::<i64>(bytes)?, out)?;
    }
    encode(&migrate_front::<V>(written.schema, bytes)?, out)
}

fn rewrite_list<V: DeserializeOwned + serde::Serialize>(
    bytes: &mut &[u8],
    written: Written<'_>,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    let len = decode_front::<u64>(bytes)?;
    encode(&len, out)?;
    (0..len).try_for_each(|_| rewrite_one::<V>(bytes, written, out))
}
