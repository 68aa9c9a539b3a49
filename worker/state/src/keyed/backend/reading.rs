//! The backend's part in reading what was restored while records are processed: each use of the
//! state pays for a little, so that no record waits, and the memory that the snapshot takes is
//! given back soon.

use crate::error::StateError;
use crate::key::StateKey;
use crate::keyed::backend::KeyedBackend;
use crate::table::state_table::StateTable;

/// How much is read with each use of the state: an entry, if it is small.
const BYTES_PER_USE: usize = 128;

impl<K: StateKey> KeyedBackend<K> {
    #[cold]
    pub(super) fn read_some(&mut self, uses: u32) -> Result<(), StateError> {
        let mut budget = uses as usize * BYTES_PER_USE;
        for state in &mut self.states {
            if !read_on(&state.meta.name, &mut *state.table, &mut budget)? {
                return Ok(());
            }
        }
        self.unread = false;
        Ok(())
    }
}

/// Reads about so many bytes of a state that were not read yet. True if nothing is left.
pub(super) fn read_on(
    name: &str,
    table: &mut dyn StateTable,
    budget: &mut usize,
) -> Result<bool, StateError> {
    let read = table.read_on(budget);
    read.map_err(|source| StateError::decode(name, source))
}
