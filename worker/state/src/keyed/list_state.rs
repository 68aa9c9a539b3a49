//! List state (Flink's `ListState`). With a time to live, each element has its own.

use std::slice;

use crate::codec::StateValue;
use crate::error::StateError;
use crate::key::StateKey;
use crate::keyed::backend::Access;
use crate::keyed::handle::{KeyedContext, state_handle};
use crate::table::Table;
use crate::ttl::{Timed, TtlConfig};

state_handle! {
    /// A list of values per key. A list without elements is no entry.
    ListState<V: StateValue> in Table of Vec<V>
}

impl<V: StateValue, N: StateKey> ListState<V, N> {
    /// Adds an element to the list of the current key.
    #[inline]
    pub fn add<C: KeyedContext>(&self, ctx: &mut C, element: V) -> Result<(), StateError> {
        self.add_all(ctx, std::iter::once(element))
    }

    /// Adds elements to the list of the current key.
    pub fn add_all<C: KeyedContext>(
        &self,
        ctx: &mut C,
        elements: impl IntoIterator<Item = V>,
    ) -> Result<(), StateError> {
        let mut elements = elements.into_iter().peekable();
        if elements.peek().is_none() {
            return Ok(());
        }
        let access = ctx.keyed().access(self.id)?;
        let Access {
            hash, key, now_ms, ..
        } = access;
        let namespace = &self.namespace;
        match access.ttl {
            None => {
                let table = access.table::<Table<K<C>, N, Vec<V>>>()?;
                let update = |list: &mut Vec<V>, more| list.extend(more);
                table.upsert_with(hash, key, namespace, elements, Iterator::collect, update)?;
            }
            Some(ttl) => {
                let elements = elements.map(|element| Timed::new(element, now_ms));
                let table = swept::<_, N, V>(access, ttl)?;
                let update = |list: &mut Vec<Timed<V>>, more| list.extend(more);
                table.upsert_with(hash, key, namespace, elements, Iterator::collect, update)?;
            }
        }
        Ok(())
    }

    /// Replaces the list of the current key.
    pub fn set<C: KeyedContext>(
        &self,
        ctx: &mut C,
        elements: impl IntoIterator<Item = V>,
    ) -> Result<(), StateError> {
        self.clear(ctx)?;
        self.add_all(ctx, elements)
    }

    /// The elements of the current key, in the order in which they were added.
    pub fn get<'a, C: KeyedContext>(&self, ctx: &'a mut C) -> Result<ListIter<'a, V>, StateError> {
        let access = ctx.keyed().access(self.id)?;
        let Access {
            hash, key, now_ms, ..
        } = access;
        let Some(ttl) = access.ttl else {
            let table = access.table::<Table<K<C>, N, Vec<V>>>()?;
            let list = table.get(hash, key, &self.namespace)?;
            return Ok(ListIter(Elements::Plain(
                list.map_or(&[][..], Vec::as_slice).iter(),
            )));
        };
        let table = swept::<_, N, V>(access, ttl)?;
        let Some(place) = table.find(hash, key, &self.namespace)? else {
            return Ok(ListIter(Elements::Timed([].iter())));
        };
        if table
            .at(place)
            .iter()
            .any(|element| ttl.hides(element, now_ms))
        {
            table
                .at_mut(place)
                .retain(|element| !ttl.hides(element, now_ms));
        }
        if table.at(place).is_empty() {
            table.remove(hash, key, &self.namespace)?;
            return Ok(ListIter(Elements::Timed([].iter())));
        }
        if table
            .at(place)
            .iter()
            .any(|element| ttl.read_renews(element, now_ms))
        {
            for element in table.at_mut(place) {
                if ttl.read_renews(element, now_ms) {
                    element.at_ms = now_ms;
                }
            }
        }
        Ok(ListIter(Elements::Timed(table.at(place).iter())))
    }

    /// Removes the list of the current key.
    pub fn clear<C: KeyedContext>(&self, ctx: &mut C) -> Result<(), StateError> {
        let access = ctx.keyed().access(self.id)?;
        let Access { hash, key, .. } = access;
        let namespace = &self.namespace;
        match access.ttl {
            None => access
                .table::<Table<K<C>, N, Vec<V>>>()?
                .remove(hash, key, namespace)
                .map(drop),
            Some(ttl) => swept::<_, N, V>(access, ttl)?
                .remove(hash, key, namespace)
                .map(drop),
        }
    }
}

type K<C> = <C as KeyedContext>::Key;

fn swept<'a, K: StateKey, N: StateKey, V: StateValue>(
    access: Access<'a, K>,
    ttl: TtlConfig,
) -> Result<&'a mut Table<K, N, Vec<Timed<V>>>, StateError> {
    let now_ms = access.now_ms;
    let table = access.table::<Table<K, N, Vec<Timed<V>>>>()?;
    table.sweep(ttl.sweep_size(), |list| {
        list.iter().all(|element| ttl.expired(element, now_ms))
    });
    Ok(table)
}

/// The elements of a list.
#[derive(Clone, Debug)]
pub struct ListIter<'a, V>(Elements<'a, V>);

#[derive(Clone, Debug)]
enum Elements<'a, V> {
    Plain(slice::Iter<'a, V>),
    Timed(slice::Iter<'a, Timed<V>>),
}

impl<'a, V> Iterator for ListIter<'a, V> {
    type Item = &'a V;

    fn next(&mut self) -> Option<&'a V> {
        match &mut self.0 {
            Elements::Plain(elements) => elements.next(),
            Elements::Timed(elements) => elements.next().map(|timed| &timed.value),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            Elements::Plain(elements) => elements.size_hint(),
            Elements::Timed(elements) => elements.size_hint(),
        }
    }
}

impl<V> ExactSizeIterator for ListIter<'_, V> {}
