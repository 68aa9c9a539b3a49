//! One value per key and namespace, with or without a time to live: what value, reducing and
//! aggregating state are made of.

use crate::codec::StateValue;
use crate::error::StateError;
use crate::key::StateKey;
use crate::keyed::backend::Access;
use crate::table::Table;
use crate::ttl::{Timed, TtlConfig};

/// Reads the value.
#[inline]
pub(crate) fn get<'a, K: StateKey, N: StateKey, V: StateValue>(
    access: Access<'a, K>,
    namespace: &N,
) -> Result<Option<&'a V>, StateError> {
    let Some(ttl) = access.ttl else {
        let Access { hash, key, .. } = access;
        return access.table::<Table<K, N, V>>()?.get(hash, key, namespace);
    };
    let Access {
        hash, key, now_ms, ..
    } = access;
    let table = swept::<K, N, V>(access, ttl)?;
    let Some(place) = table.find(hash, key, namespace)? else {
        return Ok(None);
    };
    let timed = table.at(place);
    if ttl.hides(timed, now_ms) {
        table.remove(hash, key, namespace)?;
        return Ok(None);
    }
    if ttl.read_renews(timed, now_ms) {
        table.at_mut(place).at_ms = now_ms;
    }
    Ok(Some(&table.at(place).value))
}

/// Changes the value or sets the first one.
#[inline]
pub(crate) fn upsert<K: StateKey, N: StateKey, V: StateValue, A>(
    access: Access<'_, K>,
    namespace: &N,
    arg: A,
    insert: impl Fn(A) -> V,
    update: impl FnOnce(&mut V, A),
) -> Result<(), StateError> {
    let Access {
        hash, key, now_ms, ..
    } = access;
    let Some(ttl) = access.ttl else {
        let table = access.table::<Table<K, N, V>>()?;
        return table
            .upsert_with(hash, key, namespace, arg, insert, update)
            .map(drop);
    };
    let table = swept::<K, N, V>(access, ttl)?;
    let insert_timed = |arg| Timed::new(insert(arg), now_ms);
    let update_timed = |timed: &mut Timed<V>, arg| {
        if ttl.hides(timed, now_ms) {
            timed.value = insert(arg);
        } else {
            update(&mut timed.value, arg);
        }
        timed.at_ms = now_ms;
    };
    table
        .upsert_with(hash, key, namespace, arg, insert_timed, update_timed)
        .map(drop)
}

/// Takes the value out; None if it has expired.
pub(crate) fn take<K: StateKey, N: StateKey, V: StateValue>(
    access: Access<'_, K>,
    namespace: &N,
) -> Result<Option<V>, StateError> {
    let Access {
        hash, key, now_ms, ..
    } = access;
    let Some(ttl) = access.ttl else {
        return access
            .table::<Table<K, N, V>>()?
            .remove(hash, key, namespace);
    };
    let removed = swept::<K, N, V>(access, ttl)?.remove(hash, key, namespace)?;
    Ok(removed
        .filter(|timed| !ttl.hides(timed, now_ms))
        .map(|timed| timed.value))
}

fn swept<'a, K: StateKey, N: StateKey, V: StateValue>(
    access: Access<'a, K>,
    ttl: TtlConfig,
) -> Result<&'a mut Table<K, N, Timed<V>>, StateError> {
    let now_ms = access.now_ms;
    let table = access.table::<Table<K, N, Timed<V>>>()?;
    table.sweep(ttl.sweep_size(), |timed| ttl.expired(timed, now_ms));
    Ok(table)
}
