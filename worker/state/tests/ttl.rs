//! State with a time to live, on a clock that the test moves.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use weir_state::{
    KeyedBackend, KeyedSnapshot, SnapshotKind, StateDescriptor, TtlConfig, TtlUpdate, TtlVisibility,
};
use weir_types::{CheckpointId, KeyGroupRange};

const LIFE_MS: i64 = 10;
const RANGE: KeyGroupRange = KeyGroupRange { start: 0, end: 3 };

fn ttl() -> TtlConfig {
    TtlConfig::new(Duration::from_millis(10)).with_sweep_size(0)
}

fn backend() -> KeyedBackend<u32> {
    let mut keyed = KeyedBackend::new(4, RANGE);
    keyed.set_key(1).unwrap();
    keyed.set_now_ms(1000);
    keyed
}

fn snapshot(keyed: &mut KeyedBackend<u32>, n: u64) -> KeyedSnapshot {
    keyed
        .snapshot_begin(CheckpointId(n), SnapshotKind::Full)
        .unwrap();
    keyed.snapshot_finish().unwrap()
}

#[test]
fn a_value_lives_until_its_time_is_over_and_a_write_renews_it() {
    let mut keyed = backend();
    let state = keyed
        .value_state::<u8>(StateDescriptor::new("v").with_ttl(ttl()))
        .unwrap();
    state.set(&mut keyed, 1).unwrap();
    keyed.set_now_ms(1009);
    assert_eq!(
        state.get(&mut keyed).unwrap(),
        Some(&1),
        "a read does not renew it"
    );
    keyed.set_now_ms(1010);
    assert_eq!(state.get(&mut keyed).unwrap(), None);
    state.set(&mut keyed, 2).unwrap();
    keyed.set_now_ms(1015);
    state.set(&mut keyed, 3).unwrap();
    keyed.set_now_ms(1024);
    assert_eq!(state.get(&mut keyed).unwrap(), Some(&3));
}

#[test]
fn a_read_renews_a_value_if_the_state_says_so() {
    let mut keyed = backend();
    let ttl = ttl().with_update(TtlUpdate::OnReadAndWrite);
    let value = keyed
        .value_state::<u8>(StateDescriptor::new("v").with_ttl(ttl))
        .unwrap();
    let list = keyed
        .list_state::<u8>(StateDescriptor::new("l").with_ttl(ttl))
        .unwrap();
    let map = keyed
        .map_state::<u8, u8>(StateDescriptor::new("m").with_ttl(ttl))
        .unwrap();
    value.set(&mut keyed, 1).unwrap();
    list.add(&mut keyed, 2).unwrap();
    map.put(&mut keyed, 3, 4).unwrap();
    for now in [1009, 1018, 1027] {
        keyed.set_now_ms(now);
        assert_eq!(value.get(&mut keyed).unwrap(), Some(&1));
        assert_eq!(list.get(&mut keyed).unwrap().collect::<Vec<_>>(), [&2]);
        assert_eq!(
            map.iter(&mut keyed).unwrap().collect::<Vec<_>>(),
            [(&3, &4)]
        );
    }
    keyed.set_now_ms(1037);
    assert_eq!(value.get(&mut keyed).unwrap(), None);
    assert_eq!(list.get(&mut keyed).unwrap().len(), 0);
    assert!(map.is_empty(&mut keyed).unwrap());
}

#[test]
fn an_expired_value_is_seen_until_it_is_swept_if_the_state_says_so() {
    let mut keyed = backend();
    let ttl = ttl().with_visibility(TtlVisibility::ReturnExpiredIfNotCleanedUp);
    let kept = keyed
        .value_state::<u8>(StateDescriptor::new("kept").with_ttl(ttl))
        .unwrap();
    let swept = ttl.with_sweep_size(8);
    let swept = keyed
        .value_state::<u8>(StateDescriptor::new("swept").with_ttl(swept))
        .unwrap();
    kept.set(&mut keyed, 1).unwrap();
    swept.set(&mut keyed, 1).unwrap();
    keyed.set_now_ms(1100);
    assert_eq!(kept.get(&mut keyed).unwrap(), Some(&1));
    assert_eq!(swept.get(&mut keyed).unwrap(), None);
}

#[test]
fn a_sum_that_expired_begins_anew() {
    let mut keyed = backend();
    let descriptor = StateDescriptor::new("sum").with_ttl(ttl());
    let sum = keyed
        .reducing_state::<u32>(descriptor, |sum, more| *sum += more)
        .unwrap();
    sum.add(&mut keyed, 5).unwrap();
    keyed.set_now_ms(1009);
    sum.add(&mut keyed, 6).unwrap();
    assert_eq!(sum.get(&mut keyed).unwrap(), Some(&11));
    keyed.set_now_ms(1019);
    sum.add(&mut keyed, 7).unwrap();
    assert_eq!(sum.get(&mut keyed).unwrap(), Some(&7));
}

#[test]
fn each_element_of_a_list_and_each_entry_of_a_map_has_its_own_time() {
    let mut keyed = backend();
    let list = keyed
        .list_state::<u8>(StateDescriptor::new("l").with_ttl(ttl()))
        .unwrap();
    let map = keyed
        .map_state::<u8, u8>(StateDescriptor::new("m").with_ttl(ttl()))
        .unwrap();
    for n in 0..3 {
        keyed.set_now_ms(1000 + i64::from(n) * 5);
        list.add(&mut keyed, n).unwrap();
        map.put(&mut keyed, n, n).unwrap();
    }
    keyed.set_now_ms(1012);
    assert_eq!(list.get(&mut keyed).unwrap().collect::<Vec<_>>(), [&1, &2]);
    assert_eq!(map.keys(&mut keyed).unwrap().collect::<Vec<_>>(), [&1, &2]);
    assert_eq!(map.get(&mut keyed, &0).unwrap(), None);
    assert_eq!(map.remove(&mut keyed, &1).unwrap(), Some(1));
    keyed.set_now_ms(1020);
    assert_eq!(list.get(&mut keyed).unwrap().len(), 0);
    assert_eq!(map.remove(&mut keyed, &2).unwrap(), None, "it has expired");
}

#[test]
fn using_a_state_sweeps_the_expired_entries_of_other_keys() {
    let mut keyed = backend();
    let ttl = ttl().with_sweep_size(5);
    let value = keyed
        .value_state::<u8>(StateDescriptor::new("v").with_ttl(ttl))
        .unwrap();
    let map = keyed
        .map_state::<u8, u8>(StateDescriptor::new("m").with_ttl(ttl))
        .unwrap();
    for key in 0..100 {
        keyed.set_key(key).unwrap();
        value.set(&mut keyed, 1).unwrap();
        map.put(&mut keyed, 1, 1).unwrap();
    }
    keyed.set_now_ms(2000);
    for _ in 0..60 {
        value.get(&mut keyed).unwrap();
        map.get(&mut keyed, &1).unwrap();
    }
    let blocks: usize = snapshot(&mut keyed, 1)
        .states
        .iter()
        .map(|s| s.blocks.len())
        .sum();
    assert_eq!(blocks, 0, "nothing is left to be written");
}

#[test]
fn times_survive_a_restore_and_may_be_added_or_dropped_by_it() {
    let timed = |name: &str| StateDescriptor::new(name).with_ttl(ttl());
    let mut keyed = backend();
    let value = keyed.value_state::<u8>(timed("value")).unwrap();
    let list = keyed.list_state::<u8>(timed("list")).unwrap();
    let plain = keyed.value_state::<u8>("plain").unwrap();
    value.set(&mut keyed, 1).unwrap();
    list.add_all(&mut keyed, [2, 3]).unwrap();
    plain.set(&mut keyed, 4).unwrap();
    let snapshot = snapshot(&mut keyed, 1);

    let mut same = KeyedBackend::<u32>::restored(4, RANGE, [snapshot.clone()]).unwrap();
    same.set_key(1).unwrap();
    same.set_now_ms(1009);
    let value = same.value_state::<u8>(timed("value")).unwrap();
    assert_eq!(value.get(&mut same).unwrap(), Some(&1));
    same.set_now_ms(1010);
    assert_eq!(value.get(&mut same).unwrap(), None);

    let mut other = KeyedBackend::<u32>::restored(4, RANGE, [snapshot]).unwrap();
    other.set_key(1).unwrap();
    other.set_now_ms(5000);
    let value = other.value_state::<u8>("value").unwrap();
    let list = other.list_state::<u8>("list").unwrap();
    let now_timed = other.value_state::<u8>(timed("plain")).unwrap();
    other.set_now_ms(5009);
    assert_eq!(value.get(&mut other).unwrap(), Some(&1));
    assert_eq!(list.get(&mut other).unwrap().collect::<Vec<_>>(), [&2, &3]);
    assert_eq!(now_timed.get(&mut other).unwrap(), Some(&4));
    other.set_now_ms(5010);
    assert_eq!(now_timed.get(&mut other).unwrap(), None);
}

proptest! {
    #[test]
    fn expiry_is_what_a_map_of_times_says(
        renew in any::<bool>(),
        sweep in 0u32..4,
        ops in prop::collection::vec((0u32..6, 0u8..5, 0i64..6), 1..120),
    ) {
        let mut keyed = backend();
        let update =
            if renew { TtlUpdate::OnReadAndWrite } else { TtlUpdate::OnCreateAndWrite };
        let ttl = ttl().with_update(update).with_sweep_size(sweep);
        let value = keyed.value_state::<usize>(StateDescriptor::new("v").with_ttl(ttl)).unwrap();
        let map = keyed.map_state::<u8, usize>(StateDescriptor::new("m").with_ttl(ttl)).unwrap();
        let mut now = 1000;
        let mut values = BTreeMap::<u32, (usize, i64)>::new();
        let mut entries = BTreeMap::<(u32, u8), (usize, i64)>::new();
        for (n, (key, what, pass)) in ops.into_iter().enumerate() {
            now += pass;
            keyed.set_now_ms(now);
            keyed.set_key(key).unwrap();
            values.retain(|_, (_, at)| *at + LIFE_MS > now);
            entries.retain(|_, (_, at)| *at + LIFE_MS > now);
            match what {
                0 => {
                    value.set(&mut keyed, n).unwrap();
                    values.insert(key, (n, now));
                    map.put(&mut keyed, 0, n).unwrap();
                    entries.insert((key, 0), (n, now));
                }
                1 => {
                    map.put(&mut keyed, 1, n).unwrap();
                    entries.insert((key, 1), (n, now));
                }
                2 => {
                    let found = value.get(&mut keyed).unwrap().copied();
                    prop_assert_eq!(found, values.get(&key).map(|(value, _)| *value));
                    if let (true, Some((_, at))) = (renew, values.get_mut(&key)) {
                        *at = now;
                    }
                }
                3 => {
                    let found = map.get(&mut keyed, &1).unwrap().copied();
                    prop_assert_eq!(found, entries.get(&(key, 1)).map(|(value, _)| *value));
                    if let (true, Some((_, at))) = (renew, entries.get_mut(&(key, 1))) {
                        *at = now;
                    }
                }
                _ => {
                    let found: BTreeMap<u8, usize> =
                        map.iter(&mut keyed).unwrap().map(|(k, v)| (*k, *v)).collect();
                    let range = (key, 0)..=(key, u8::MAX);
                    let want = entries.range(range.clone()).map(|((_, k), (v, _))| (*k, *v));
                    prop_assert_eq!(found, want.collect::<BTreeMap<_, _>>());
                    for (_, (_, at)) in entries.range_mut(range) {
                        *at = if renew { now } else { *at };
                    }
                }
            }
        }
    }
}
