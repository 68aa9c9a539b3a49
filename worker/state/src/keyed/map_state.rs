//! Map state (Flink's `MapState`). With a time to live, each entry has its own.

use crate::codec::StateValue;
use crate::error::StateError;
use crate::key::StateKey;
use crate::keyed::backend::Access;
use crate::keyed::handle::{KeyedContext, state_handle};

use crate::table::map_table::{MapTable, Walk};
use crate::ttl::{Timed, TtlConfig};

state_handle! {
    /// A map per key. Single entries are read, written and removed without the others, so that a
    /// map on disk may be larger than memory; what looks at all entries takes memory for all of
    /// them ([`Self::clear`], too), but for [`Self::for_each`]. Iteration is in the order in which
    /// entries came into memory: that in which they were added, as long as there is room for them.
    MapState<U: StateKey, V: StateValue>
}

type K<C> = <C as KeyedContext>::Key;

impl<U: StateKey, V: StateValue, N: StateKey> MapState<U, V, N> {
    /// The value of a user key.
    pub fn get<'a, C: KeyedContext>(
        &self,
        ctx: &'a mut C,
        user_key: &U,
    ) -> Result<Option<&'a V>, StateError> {
        let access = ctx.keyed().access(self.id)?;
        let Access {
            hash, key, now_ms, ..
        } = access;
        let namespace = &self.namespace;
        let Some(ttl) = access.ttl else {
            let table = access.table::<MapTable<K<C>, N, U, V>>()?;
            let found = table.find(hash, key, namespace, user_key)?;
            return Ok(found.map(|found| table.at(found.entry).1));
        };
        let table = swept::<_, N, U, V>(access, ttl)?;
        let Some(found) = table.find(hash, key, namespace, user_key)? else {
            return Ok(None);
        };
        let (_, timed) = table.at(found.entry);
        if ttl.hides(timed, now_ms) {
            table.remove(found);
            return Ok(None);
        }
        if ttl.read_renews(timed, now_ms) {
            table.at_mut(found.entry).at_ms = now_ms;
        }
        Ok(Some(&table.at(found.entry).1.value))
    }

    /// Whether there is a value for a user key.
    pub fn contains<C: KeyedContext>(&self, ctx: &mut C, user_key: &U) -> Result<bool, StateError> {
        self.get(ctx, user_key).map(|value| value.is_some())
    }

    /// Sets the value of a user key.
    pub fn put<C: KeyedContext>(
        &self,
        ctx: &mut C,
        user_key: U,
        value: V,
    ) -> Result<(), StateError> {
        let access = ctx.keyed().access(self.id)?;
        let Access {
            hash, key, now_ms, ..
        } = access;
        match access.ttl {
            None => {
                let table = access.table::<MapTable<K<C>, N, U, V>>()?;
                table.put(hash, key, &self.namespace, user_key, value)
            }
            Some(ttl) => {
                let table = swept::<_, N, U, V>(access, ttl)?;
                table.put(
                    hash,
                    key,
                    &self.namespace,
                    user_key,
                    Timed::new(value, now_ms),
                )
            }
        }
    }

    /// Sets the values of some user keys.
    pub fn put_all<C: KeyedContext>(
        &self,
        ctx: &mut C,
        entries: impl IntoIterator<Item = (U, V)>,
    ) -> Result<(), StateError> {
        entries
            .into_iter()
            .try_for_each(|(user_key, value)| self.put(ctx, user_key, value))
    }

    /// Takes the value of a user key out.
    pub fn remove<C: KeyedContext>(
        &self,
        ctx: &mut C,
        user_key: &U,
    ) -> Result<Option<V>, StateError> {
        let access = ctx.keyed().access(self.id)?;
        let Access {
            hash, key, now_ms, ..
        } = access;
        let namespace = &self.namespace;
        let Some(ttl) = access.ttl else {
            let table = access.table::<MapTable<K<C>, N, U, V>>()?;
            let found = table.find(hash, key, namespace, user_key)?;
            return Ok(found.map(|found| table.remove(found)));
        };
        let table = swept::<_, N, U, V>(access, ttl)?;
        let found = table.find(hash, key, namespace, user_key)?;
        let removed = found.map(|found| table.remove(found));
        Ok(removed
            .filter(|timed| !ttl.hides(timed, now_ms))
            .map(|timed| timed.value))
    }

    /// Shows all user keys and values, in no particular order. With state on disk this takes no
    /// memory for those that are not in it already, unlike [`Self::iter`]. It renews no time to
    /// live.
    pub fn for_each<C: KeyedContext>(
        &self,
        ctx: &mut C,
        mut visit: impl FnMut(&U, &V),
    ) -> Result<(), StateError> {
        let access = ctx.keyed().access(self.id)?;
        let Access {
            hash, key, now_ms, ..
        } = access;
        let of = (hash, key, &self.namespace);
        let Some(ttl) = access.ttl else {
            return access.table::<MapTable<K<C>, N, U, V>>()?.visit(of, visit);
        };
        let table = swept::<_, N, U, V>(access, ttl)?;
        table.visit(of, |user_key, timed| {
            if !ttl.hides(timed, now_ms) {
                visit(user_key, &timed.value);
            }
        })
    }

    /// All user keys and values.
    pub fn iter<'a, C: KeyedContext>(
        &self,
        ctx: &'a mut C,
    ) -> Result<MapIter<'a, K<C>, N, U, V>, StateError> {
        let access = ctx.keyed().access(self.id)?;
        let Access {
            hash, key, now_ms, ..
        } = access;
        let Some(ttl) = access.ttl else {
            let table = access.table::<MapTable<K<C>, N, U, V>>()?;
            let map = table.find_map(hash, key, &self.namespace)?;
            return Ok(MapIter(Entries::Plain(table.walk(map))));
        };
        let table = swept::<_, N, U, V>(access, ttl)?;
        let of = (hash, key, &self.namespace);
        table.retain(of, |_, timed| !ttl.hides(timed, now_ms))?;
        let map = table.find_map(hash, key, &self.namespace)?;
        let renewed = table
            .walk(map)
            .filter(|(_, _, timed)| ttl.read_renews(timed, now_ms));
        for place in renewed.map(|(place, _, _)| place).collect::<Vec<_>>() {
            table.at_mut(place).at_ms = now_ms;
        }
        Ok(MapIter(Entries::Timed(table.walk(map))))
    }

    /// All user keys.
    pub fn keys<'a, C: KeyedContext>(
        &self,
        ctx: &'a mut C,
    ) -> Result<impl Iterator<Item = &'a U> + use<'a, C, U, V, N>, StateError> {
        Ok(self.iter(ctx)?.map(|(user_key, _)| user_key))
    }

    /// All values.
    pub fn values<'a, C: KeyedContext>(
        &self,
        ctx: &'a mut C,
    ) -> Result<impl Iterator<Item = &'a V> + use<'a, C, U, V, N>, StateError> {
        Ok(self.iter(ctx)?.map(|(_, value)| value))
    }

    /// Whether the map has no entry.
    pub fn is_empty<C: KeyedContext>(&self, ctx: &mut C) -> Result<bool, StateError> {
        let access = ctx.keyed().access(self.id)?;
        if access.ttl.is_some() {
            return Ok(self.iter(ctx)?.next().is_none());
        }
        let Access { hash, key, .. } = access;
        let table = access.table::<MapTable<K<C>, N, U, V>>()?;
        table.is_empty(hash, key, &self.namespace)
    }

    /// Removes the entries that the function says no to. With state on disk this takes memory only
    /// for the keys of those that go, if they are not in it already.
    pub fn retain<C: KeyedContext>(
        &self,
        ctx: &mut C,
        mut keep: impl FnMut(&U, &V) -> bool,
    ) -> Result<(), StateError> {
        let access = ctx.keyed().access(self.id)?;
        let Access {
            hash, key, now_ms, ..
        } = access;
        let of = (hash, key, &self.namespace);
        let Some(ttl) = access.ttl else {
            return access.table::<MapTable<K<C>, N, U, V>>()?.retain(of, keep);
        };
        let table = swept::<_, N, U, V>(access, ttl)?;
        table.retain(of, |user_key, timed| {
            !ttl.hides(timed, now_ms) && keep(user_key, &timed.value)
        })
    }

    /// Removes the map of the current key.
    pub fn clear<C: KeyedContext>(&self, ctx: &mut C) -> Result<(), StateError> {
        self.retain(ctx, |_, _| false)
    }
}

fn swept<'a, K: StateKey, N: StateKey, U: StateKey, V: StateValue>(
    access: Access<'a, K>,
    ttl: TtlConfig,
) -> Result<&'a mut MapTable<K, N, U, Timed<V>>, StateError> {
    let now_ms = access.now_ms;
    let table = access.table::<MapTable<K, N, U, Timed<V>>>()?;
    table.sweep(ttl.sweep_size(), |timed| ttl.expired(timed, now_ms));
    Ok(table)
}

/// The entries of a map.
#[derive(Debug)]
pub struct MapIter<'a, K, N, U, V>(Entries<'a, K, N, U, V>);

#[derive(Debug)]
enum Entries<'a, K, N, U, V> {
    Plain(Walk<'a, K, N, U, V>),
    Timed(Walk<'a, K, N, U, Timed<V>>),
}

impl<'a, K: StateKey, N: StateKey, U: StateKey, V: StateValue> Iterator
    for MapIter<'a, K, N, U, V>
{
    type Item = (&'a U, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Entries::Plain(walk) => walk.next().map(|(_, user_key, value)| (user_key, value)),
            Entries::Timed(walk) => walk
                .next()
                .map(|(_, user_key, timed)| (user_key, &timed.value)),
        }
    }
}
