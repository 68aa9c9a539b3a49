//! The entries of a shard that are in no slot: below it, or not read yet.

use super::Shard;
use crate::table::partial::Partial;
use crate::table::unread::Unread;

/// The entries of the key group that are in no slot.
#[derive(Debug)]
pub(super) enum Rest {
    /// They lie in the tier below.
    Below(Partial),
    /// They were restored, and nobody has asked for them yet.
    Unread(Unread),
}

impl<K: Eq, N: Eq, V> Shard<K, N, V> {
    /// Whether all entries of the key group are here.
    #[inline]
    pub(crate) fn is_complete(&self) -> bool {
        self.rest.is_none()
    }

    /// Of a shard that is not complete: what is known of the entries in the tier below.
    pub(crate) fn partial_mut(&mut self) -> Option<&mut Partial> {
        match self.rest.as_deref_mut() {
            Some(Rest::Below(partial)) => Some(partial),
            _ => None,
        }
    }

    /// Notes that an entry goes that only the tier below has, by its encoded key.
    pub(crate) fn remove_below(&mut self, key: &[u8]) {
        let write_key = |out: &mut Vec<u8>| {
            out.extend_from_slice(key);
            Ok(())
        };
        if let Some(Rest::Below(partial)) = self.rest.as_deref_mut() {
            partial.remove(write_key);
        }
        if let Some(changes) = &mut self.changes {
            changes.remove_unseen(write_key);
        }
    }

    /// Entries that were restored and not read yet.
    pub(crate) fn unread(&self) -> Option<&Unread> {
        match self.rest.as_deref() {
            Some(Rest::Unread(unread)) => Some(unread),
            _ => None,
        }
    }

    fn unread_mut(&mut self) -> Option<&mut Unread> {
        match self.rest.as_deref_mut() {
            Some(Rest::Unread(unread)) => Some(unread),
            _ => None,
        }
    }

    /// Takes over what was restored, to be read later.
    pub(crate) fn read_later(&mut self, unread: Unread) {
        self.rest = Some(Box::new(Rest::Unread(unread)));
    }

    /// The first entry that was not read yet.
    pub(crate) fn first_unread(&mut self) -> Option<usize> {
        self.unread_mut()?.first()
    }

    /// An entry was read; how many are left.
    pub(crate) fn forget_unread(&mut self, id: usize) -> usize {
        self.unread_mut().map_or(0, |unread| {
            unread.forget(id);
            unread.len()
        })
    }

    /// From now on changes are noted for the tier below. `complete`: it has nothing of this shard.
    pub(crate) fn lay_over(&mut self, complete: bool) {
        self.changes.get_or_insert_default();
        self.rest = (!complete).then(|| Box::new(Rest::Below(Partial::default())));
    }

    /// All entries are here now.
    pub(crate) fn complete(&mut self) {
        self.rest = None;
    }

    /// Forgets all entries: the tier below has them.
    pub(crate) fn evict(&mut self) {
        *self = Self::default();
        self.lay_over(false);
    }
}
