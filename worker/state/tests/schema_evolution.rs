//! A later version of a program continues state whose types it has changed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use weir_state::{
    AggregateFunction, KeyedBackend, KeyedSnapshot, OperatorStateBackend, SnapshotKind,
    StateDescriptor, StateError, TtlConfig,
};
use weir_types::{CheckpointId, KeyGroupRange};

const ALL: KeyGroupRange = KeyGroupRange { start: 0, end: 7 };

mod v1 {
    use serde::{Deserialize, Serialize};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub(super) struct Seen {
        pub(super) count: u32,
        pub(super) from: String,
    }
}

mod v2 {
    use serde::{Deserialize, Serialize};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub(super) struct Seen {
        pub(super) count: u64,
        #[serde(default)]
        pub(super) tags: Vec<String>,
    }
}

struct Sum<A>(std::marker::PhantomData<A>);

impl<A: Default + Clone + Send + 'static + serde::Serialize + serde::de::DeserializeOwned>
    AggregateFunction for Sum<A>
{
    type In = A;
    type Acc = A;
    type Out = A;

    fn create_accumulator(&self) -> A {
        A::default()
    }

    fn add(&self, accumulator: &mut A, input: A) {
        *accumulator = input;
    }

    fn result(&self, accumulator: &A) -> A {
        accumulator.clone()
    }

    fn merge(&self, _: &mut A, _: A) {}
}

fn old(count: u32) -> v1::Seen {
    let from = "somewhere".to_owned();
    v1::Seen { count, from }
}

fn new(count: u64) -> v2::Seen {
    let tags = Vec::new();
    v2::Seen { count, tags }
}

fn timed(name: &str) -> StateDescriptor {
    StateDescriptor::new(name).with_ttl(TtlConfig::new(Duration::from_secs(60)))
}

/// Every kind of state with values of the old type, in a full snapshot and one that continues it.
fn written() -> [KeyedSnapshot; 2] {
    let mut keyed = KeyedBackend::<u32>::new(8, ALL);
    keyed.set_now_ms(500);
    let value = keyed.value_state("value").unwrap();
    let list = keyed.list_state("list").unwrap();
    let map = keyed.map_state::<u8, _>("map").unwrap();
    let reduced = keyed
        .reducing_state("reduced", |a: &mut v1::Seen, b| *a = b)
        .unwrap();
    let mean = keyed
        .aggregating_state("sum", Sum::<u32>(std::marker::PhantomData))
        .unwrap();
    let timed_value = keyed.value_state(timed("timed")).unwrap();
    let timed_list = keyed.list_state(timed("timed list")).unwrap();
    for key in 0..20 {
        keyed.set_key(key).unwrap();
        value.set(&mut keyed, old(key)).unwrap();
        list.add_all(&mut keyed, [old(key), old(key + 1)]).unwrap();
        map.put(&mut keyed, 1, old(key)).unwrap();
        reduced.add(&mut keyed, old(key)).unwrap();
        mean.add(&mut keyed, key).unwrap();
        timed_value.set(&mut keyed, old(key)).unwrap();
        timed_list.add_all(&mut keyed, [old(key)]).unwrap();
    }
    keyed
        .snapshot_begin(CheckpointId(1), SnapshotKind::Full)
        .unwrap();
    let full = keyed.snapshot_finish().unwrap();
    keyed.confirm(CheckpointId(1));
    keyed.set_key(3).unwrap();
    value.clear(&mut keyed).unwrap();
    map.clear(&mut keyed).unwrap();
    keyed.set_key(4).unwrap();
    value.set(&mut keyed, old(400)).unwrap();
    keyed
        .snapshot_begin(CheckpointId(2), SnapshotKind::Incremental)
        .unwrap();
    [full, keyed.snapshot_finish().unwrap()]
}

#[test]
fn every_kind_of_state_is_read_with_a_new_type() {
    let mut keyed = KeyedBackend::<u32>::restored(8, ALL, written()).unwrap();
    keyed.set_now_ms(1000);
    let value = keyed.value_state("value").unwrap();
    let list = keyed.list_state("list").unwrap();
    let map = keyed.map_state::<u8, v2::Seen>("map").unwrap();
    let reduced = keyed
        .reducing_state("reduced", |a: &mut v2::Seen, b| *a = b)
        .unwrap();
    let sum = keyed
        .aggregating_state("sum", Sum::<u64>(std::marker::PhantomData))
        .unwrap();
    // A time to live may go in the same step.
    let timed_value = keyed.value_state("timed").unwrap();
    let timed_list = keyed.list_state(timed("timed list")).unwrap();
    for key in 0..20u32 {
        let count = u64::from(key);
        keyed.set_key(key).unwrap();
        let want = match key {
            3 => None,
            4 => Some(new(400)),
            _ => Some(new(count)),
        };
        assert_eq!(value.get(&mut keyed).unwrap(), want.as_ref());
        let found: Vec<v2::Seen> = list.get(&mut keyed).unwrap().cloned().collect();
        assert_eq!(found, [new(count), new(count + 1)]);
        let want = (key != 3).then(|| new(count));
        assert_eq!(map.get(&mut keyed, &1).unwrap(), want.as_ref());
        assert_eq!(reduced.get(&mut keyed).unwrap(), Some(&new(count)));
        assert_eq!(sum.get(&mut keyed).unwrap(), Some(count));
        assert_eq!(timed_value.get(&mut keyed).unwrap(), Some(&new(count)));
        let found: Vec<v2::Seen> = timed_list.get(&mut keyed).unwrap().cloned().collect();
        assert_eq!(found, [new(count)]);
    }
}

/// The state was asked for while a full snapshot was copied: that one has the old encoding, the
/// next one the new one.
#[test]
fn snapshots_from_before_and_after_the_change_are_read_together() {
    let [full, delta] = written();
    let mut keyed = KeyedBackend::<u32>::restored(8, ALL, [full, delta]).unwrap();
    keyed
        .snapshot_begin(CheckpointId(5), SnapshotKind::Full)
        .unwrap();
    let value = keyed.value_state::<v2::Seen>("value").unwrap();
    keyed.set_key(1).unwrap();
    value.set(&mut keyed, new(7)).unwrap();
    let full = keyed.snapshot_finish().unwrap();
    keyed.confirm(CheckpointId(5));
    keyed.set_key(2).unwrap();
    value.set(&mut keyed, new(8)).unwrap();
    keyed
        .snapshot_begin(CheckpointId(6), SnapshotKind::Incremental)
        .unwrap();
    let delta = keyed.snapshot_finish().unwrap();
    // Cut in two, so that one half is read with the old encoding only.
    let half = KeyGroupRange { start: 0, end: 3 };
    let other = KeyGroupRange { start: 4, end: 7 };
    let cut = |snapshot: &KeyedSnapshot, range| KeyedSnapshot {
        range,
        ..snapshot.clone()
    };
    let parts = [cut(&full, half), cut(&delta, half), cut(&full, other)];
    let mut keyed = KeyedBackend::<u32>::restored(8, ALL, parts.clone()).unwrap();
    // Nobody asked for it yet: both encodings go into the next snapshot.
    keyed
        .snapshot_begin(CheckpointId(9), SnapshotKind::Full)
        .unwrap();
    let again = keyed.snapshot_finish().unwrap();
    for snapshots in [parts.to_vec(), vec![again]] {
        let mut keyed = KeyedBackend::<u32>::restored(8, ALL, snapshots).unwrap();
        let value = keyed.value_state::<v2::Seen>("value").unwrap();
        for key in 0..20u32 {
            keyed.set_key(key).unwrap();
            let in_half = half.contains(keyed.key_group().unwrap());
            let want = match key {
                1 if in_half => Some(new(7)),
                2 if in_half => Some(new(8)),
                3 => None,
                4 => Some(new(400)),
                _ => Some(new(u64::from(key))),
            };
            assert_eq!(value.get(&mut keyed).unwrap(), want.as_ref(), "key {key}");
        }
    }
}

#[test]
fn what_cannot_be_read_is_refused_and_stays() {
    let mut keyed = KeyedBackend::<u32>::restored(8, ALL, written()).unwrap();
    let error = keyed.value_state::<String>("value").unwrap_err();
    assert!(matches!(error, StateError::Incompatible { .. }));
    let text = error.to_string();
    for part in [
        "state `value`",
        "it was struct `Seen` and is String",
        "keyed by `u32`",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let error = keyed.list_state::<v2::Seen>("value").unwrap_err();
    assert!(
        error.to_string().contains("it was Value state and is List"),
        "{error}"
    );
    let error = keyed.map_state::<u16, v2::Seen>("map").unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the type of its user key changed"),
        "{error}"
    );
    let value = keyed.value_state::<v2::Seen>("value").unwrap();
    keyed.set_key(4).unwrap();
    assert_eq!(value.get(&mut keyed).unwrap(), Some(&new(400)));

    let mut other_key = KeyedBackend::<u64>::restored(8, ALL, written()).unwrap();
    let error = other_key.value_state::<v1::Seen>("value").unwrap_err();
    assert!(
        error.to_string().contains("the type of its key changed"),
        "{error}"
    );
}

#[test]
fn operator_state_is_read_with_a_new_type() {
    let mut written = OperatorStateBackend::new();
    let list = written.list_state("list").unwrap();
    list.add(&mut written, old(1)).unwrap();
    let map = written.broadcast_state::<String, _>("map").unwrap();
    map.put(&mut written, "a".to_owned(), old(2)).unwrap();
    let mut read = OperatorStateBackend::restored(written.snapshot().unwrap());
    let error = read.list_state::<u64>("list").unwrap_err();
    assert!(
        error
            .to_string()
            .contains("it was struct `Seen` and is u64"),
        "{error}"
    );
    let list = read.list_state::<v2::Seen>("list").unwrap();
    assert_eq!(list.get(&mut read).unwrap(), [new(1)]);
    let map = read.broadcast_state::<String, v2::Seen>("map").unwrap();
    assert_eq!(map.get(&mut read, &"a".to_owned()).unwrap(), Some(&new(2)));
}
