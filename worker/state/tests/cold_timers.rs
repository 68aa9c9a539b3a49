//! Timers over a tier that takes what memory has no room for: what fires, in which order, how
//! often, and how much memory it takes. Beside them the timers of an older version.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/memory_tier.rs"]
mod memory_tier;

use std::collections::BTreeSet;
use std::sync::Arc;

use memory_tier::MemoryTier;
use proptest::prelude::*;
use weir_state::{
    ColdSetup, GroupBlock, KeyedBackend, KeyedSnapshot, MemoryBudget, SnapshotKind, Timer,
    TimerService, append_entry, encode, key_hash,
};
use weir_types::{CheckpointId, EventTime, KeyGroup, KeyGroupRange, Watermark};

const GROUPS: u32 = 16;
const RANGE: KeyGroupRange = KeyGroupRange { start: 0, end: 15 };

struct Timers {
    keyed: KeyedBackend<u32>,
    timers: TimerService<u8>,
    tier: Arc<MemoryTier>,
    checkpoint: u64,
}

impl Timers {
    /// With so many bytes for the tables; none: memory is all there is.
    fn open(memory: Option<usize>, snapshots: Vec<KeyedSnapshot>) -> Self {
        let tier = Arc::new(MemoryTier::default());
        let setup = memory.map(|bytes| ColdSetup {
            tier: Arc::clone(&tier) as _,
            memory: MemoryBudget::new(bytes).share(),
        });
        let mut keyed = KeyedBackend::open(GROUPS, RANGE, snapshots, setup).unwrap();
        let timers = keyed.timer_service("timers").unwrap();
        Self {
            keyed,
            timers,
            tier,
            checkpoint: 0,
        }
    }

    fn register(&mut self, key: u32, namespace: u8, time: i64) -> bool {
        self.keyed.set_key(key).unwrap();
        let new =
            self.timers
                .register_event_time_timer(&mut self.keyed, &namespace, EventTime(time));
        new.unwrap()
    }

    fn delete(&mut self, key: u32, namespace: u8, time: i64) -> bool {
        self.keyed.set_key(key).unwrap();
        let was = self
            .timers
            .delete_event_time_timer(&mut self.keyed, &namespace, EventTime(time));
        was.unwrap()
    }

    fn pop(&mut self, until: i64) -> Option<(i64, u32, u8)> {
        let watermark = Watermark(EventTime(until));
        let popped = self.timers.pop_event_time_timer(&mut self.keyed, watermark);
        popped.unwrap().map(|Timer { namespace, time }| {
            let key = *self.keyed.current_key().unwrap();
            (time, key, namespace)
        })
    }

    fn fire(&mut self, until: i64) -> Vec<(i64, u32, u8)> {
        std::iter::from_fn(|| self.pop(until)).collect()
    }

    fn next(&mut self) -> Option<i64> {
        let next = self.timers.next_event_time(&mut self.keyed);
        next.unwrap().map(|time| time.0)
    }

    fn count(&mut self) -> usize {
        self.timers.event_time_timers(&mut self.keyed).unwrap()
    }

    fn begin(&mut self) {
        self.checkpoint += 1;
        let checkpoint = CheckpointId(self.checkpoint);
        self.keyed
            .snapshot_begin(checkpoint, SnapshotKind::Full)
            .unwrap();
    }
}

#[derive(Clone, Debug)]
enum Op {
    Register(u32, u8, i64),
    Delete(u32, u8, i64),
    Fire(i64),
    Next,
    Begin,
    Step(usize),
    /// Goes on from a snapshot with so much memory.
    Restore(Option<usize>),
}

fn memory() -> impl Strategy<Value = Option<usize>> {
    prop_oneof![
        1 => Just(None),
        2 => Just(Some(1)),
        4 => (8_000..20_000usize).prop_map(Some),
        1 => Just(Some(1 << 20)),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let timer = || (0u32..30, 0u8..2, 0i64..30);
    prop_oneof![
        12 => timer().prop_map(|(key, namespace, time)| Op::Register(key, namespace, time)),
        6 => timer().prop_map(|(key, namespace, time)| Op::Delete(key, namespace, time)),
        2 => (0i64..30).prop_map(Op::Fire),
        2 => Just(Op::Next),
        1 => Just(Op::Begin),
        2 => (1usize..200).prop_map(Op::Step),
        1 => memory().prop_map(Op::Restore),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn timers_over_a_tier_fire_as_in_a_sorted_set(
        memory in memory(), ops in prop::collection::vec(op(), 1..300),
    ) {
        let mut timers = Timers::open(memory, Vec::new());
        let mut model = BTreeSet::new();
        let mut running = None;
        for op in ops {
            match op {
                Op::Register(key, namespace, time) => {
                    let new = timers.register(key, namespace, time);
                    prop_assert_eq!(new, model.insert((time, key, namespace)));
                }
                Op::Delete(key, namespace, time) => {
                    let was = timers.delete(key, namespace, time);
                    prop_assert_eq!(was, model.remove(&(time, key, namespace)));
                }
                Op::Fire(until) => {
                    let fired = timers.fire(until);
                    prop_assert!(fired.is_sorted_by_key(|(time, _, _)| *time));
                    let later = model.split_off(&(until + 1, 0, 0));
                    let due = std::mem::replace(&mut model, later);
                    prop_assert_eq!(fired.len(), due.len(), "each once");
                    prop_assert_eq!(fired.into_iter().collect::<BTreeSet<_>>(), due);
                }
                Op::Next => {
                    prop_assert_eq!(timers.next(), model.first().map(|(time, _, _)| *time));
                    prop_assert_eq!(timers.count(), model.len());
                }
                Op::Begin if running.is_none() => {
                    timers.begin();
                    running = Some(model.clone());
                }
                Op::Step(budget) if running.is_some() => {
                    if timers.keyed.snapshot_step(budget).unwrap().is_some() {
                        running = None;
                    }
                }
                Op::Restore(memory) => {
                    if running.is_none() {
                        timers.begin();
                        running = Some(model.clone());
                    }
                    let snapshot = timers.keyed.snapshot_finish().unwrap();
                    timers = Timers::open(memory, vec![snapshot]);
                    model = running.take().unwrap();
                }
                Op::Begin | Op::Step(_) => {}
            }
        }
        prop_assert_eq!(timers.next(), model.first().map(|(time, _, _)| *time));
        let fired = timers.fire(i64::MAX);
        prop_assert_eq!(fired.len(), model.len());
        prop_assert_eq!(fired.into_iter().collect::<BTreeSet<_>>(), model);
    }
}

/// With a byte of memory all that is not used at this moment is in the tier.
#[test]
fn what_a_timer_in_the_tier_may_meet() {
    let all_below = |times: &[i64]| {
        let mut timers = Timers::open(Some(1), Vec::new());
        for time in times {
            assert!(timers.register(1, 0, *time));
        }
        timers
    };
    let mut timers = all_below(&[20, 40]);
    assert!(!timers.register(1, 0, 40), "it is there");
    assert_eq!(timers.fire(i64::MAX), [(20, 1, 0), (40, 1, 0)]);

    let mut timers = all_below(&[20, 40]);
    assert!(
        timers.register(1, 0, 10),
        "before the first one in the tier"
    );
    assert!(timers.register(1, 0, 30), "between two in the tier");
    assert_eq!(timers.next(), Some(10));
    assert_eq!(timers.fire(30), [(10, 1, 0), (20, 1, 0), (30, 1, 0)]);
    assert!(timers.register(1, 0, 20), "it has fired");
    assert_eq!(timers.fire(i64::MAX), [(20, 1, 0), (40, 1, 0)]);

    let mut timers = all_below(&[20, 40]);
    assert!(timers.delete(1, 0, 40), "it never was in memory again");
    assert!(!timers.delete(1, 0, 40), "it is gone");
    assert!(timers.register(1, 0, 40), "so it is new");
    assert!(timers.delete(1, 0, 40) && timers.delete(1, 0, 20));
    assert_eq!((timers.next(), timers.count()), (None, 0));
    assert_eq!(timers.fire(i64::MAX), []);

    let mut timers = all_below(&[]);
    let all: BTreeSet<_> = (0..200).map(|key| (7, key, 0)).collect();
    for (time, key, namespace) in &all {
        assert!(timers.register(*key, *namespace, *time));
    }
    assert_eq!(timers.count(), 200);
    let fired = timers.fire(7);
    assert_eq!(fired.len(), 200, "of one time, each once");
    assert_eq!(fired.into_iter().collect::<BTreeSet<_>>(), all);

    let mut timers = all_below(&[i64::MAX, i64::MIN, -1, 0]);
    assert_eq!(timers.next(), Some(i64::MIN));
    let fired: Vec<_> = timers.fire(i64::MAX).iter().map(|timer| timer.0).collect();
    assert_eq!(fired, [i64::MIN, -1, 0, i64::MAX]);
}

/// Fifty times what memory has room for, of which a part is deleted, and more registered while they
/// fire.
#[test]
fn many_more_timers_than_memory_holds_fire_once_in_order_within_the_limit() {
    const LIMIT: usize = 256 << 10;
    let mut timers = Timers::open(Some(LIMIT), Vec::new());
    let time_of = |key: u32| i64::from(key.wrapping_mul(0x9E37_79B9) >> 8);
    let keys = 150_000;
    let mut most = 0;
    for key in 0..keys {
        assert!(timers.register(key, 0, time_of(key)));
        if key % 5 == 0 && key > keys / 2 {
            assert!(timers.register(key, 0, time_of(key) + 1));
            assert!(timers.delete(key, 0, time_of(key) + 1));
        }
        most = most.max(timers.keyed.memory_bytes());
    }
    for key in (0..keys).step_by(3) {
        assert!(timers.delete(key, 0, time_of(key)), "key {key}");
        most = most.max(timers.keyed.memory_bytes());
    }
    let before = timers.tier.reads();
    let (mut fired, mut last, mut again) = (vec![0u8; keys as usize], i64::MIN, 0);
    while let Some((time, key, namespace)) = timers.pop(i64::MAX) {
        assert!(time >= last, "{time} comes after {last}");
        last = time;
        if namespace == 0 {
            assert_eq!(time, time_of(key));
            fired[key as usize] += 1;
            if key % 100 == 1 {
                assert!(timers.register(key, 1, time + 1000));
            }
        } else {
            again += 1;
        }
        most = most.max(timers.keyed.memory_bytes());
    }
    for (key, times) in (0..keys).zip(fired) {
        assert_eq!(times, u8::from(key % 3 != 0), "key {key}");
    }
    assert_eq!(
        again,
        (0..keys)
            .filter(|key| key % 3 != 0 && key % 100 == 1)
            .count()
    );
    assert!(most <= LIMIT + LIMIT / 8, "{most} bytes of tables");
    let scans = timers.tier.reads() - before;
    assert!(
        scans < 30_000,
        "{scans} reads: several timers are read at a time"
    );
}

#[test]
fn with_room_for_all_nothing_is_read_and_a_restore_reads_each_key_group_once() {
    let mut timers = Timers::open(Some(64 << 20), Vec::new());
    for key in 0..5_000 {
        assert!(timers.register(key, 0, i64::from(key)));
    }
    timers.begin();
    let snapshot = timers.keyed.snapshot_finish().unwrap();
    assert_eq!(timers.fire(2_499).len(), 2_500);
    assert_eq!(timers.tier.reads(), 0);
    let mut timers = Timers::open(Some(64 << 20), vec![snapshot]);
    assert_eq!(
        timers.tier.reads(),
        0,
        "nothing is read before it is needed"
    );
    assert_eq!(timers.fire(i64::MAX).len(), 5_000);
    assert_eq!(timers.tier.reads(), u64::from(GROUPS));
}

/// A snapshot with the timers of all keys below 100 as version 1 wrote them.
fn of_version_1() -> KeyedSnapshot {
    let mut timers = Timers::open(None, Vec::new());
    timers.begin();
    let mut snapshot = timers.keyed.snapshot_finish().unwrap();
    for state in &mut snapshot.states {
        assert_eq!(state.meta.format_version, 2);
        state.meta.format_version = 1;
    }
    let mut blocks = vec![Vec::new(); GROUPS as usize];
    for key in 0..100u32 {
        let mut text = Vec::new();
        encode(&(key, 3u8, i64::from(key % 7)), &mut text).unwrap();
        let group = KeyGroup::of_hash(key_hash(&key).unwrap(), GROUPS);
        append_entry(&text, &[], &mut blocks[usize::from(group.0)]);
    }
    let blocks = RANGE.iter().zip(blocks);
    snapshot.states[0].blocks = blocks
        .map(|(group, bytes)| GroupBlock { group, bytes })
        .collect();
    snapshot
}

#[test]
fn timers_of_version_1_are_read_and_written_in_the_newest_one() {
    let all: BTreeSet<_> = (0..100u32)
        .map(|key| (i64::from(key % 7), key, 3))
        .collect();
    for memory in [None, Some(1), Some(3_000), Some(1 << 20)] {
        let mut timers = Timers::open(memory, vec![of_version_1()]);
        assert!(!timers.register(8, 3, 1), "it was restored");
        assert!(timers.delete(9, 3, 2) && timers.register(9, 3, 2));
        assert_eq!((timers.next(), timers.count()), (Some(0), 100));
        timers.begin();
        let snapshot = timers.keyed.snapshot_finish().unwrap();
        assert_eq!(snapshot.states[0].meta.format_version, 2);
        assert_eq!(timers.fire(9).into_iter().collect::<BTreeSet<_>>(), all);
        for memory in [None, Some(1)] {
            let mut timers = Timers::open(memory, vec![snapshot.clone()]);
            let fired = timers.fire(9);
            assert_eq!(fired.len(), 100, "nothing of version 1 is left");
            assert_eq!(fired.into_iter().collect::<BTreeSet<_>>(), all);
        }
    }
}

#[test]
fn a_delta_that_continues_timers_of_version_1_has_all_of_them() {
    let old = of_version_1();
    let mut timers = Timers::open(None, vec![old.clone()]);
    assert!(timers.delete(1, 3, 1) && timers.register(1, 4, 8));
    timers
        .keyed
        .snapshot_begin(CheckpointId(2), SnapshotKind::Incremental)
        .unwrap();
    let delta = timers.keyed.snapshot_finish().unwrap();
    assert_eq!(delta.base, Some(old.checkpoint));
    let mut again = Timers::open(None, vec![old.clone(), delta.clone()]);
    assert_eq!(again.fire(9), timers.fire(9));
    let mut again = Timers::open(Some(3_000), vec![old, delta]);
    let fired: BTreeSet<_> = again.fire(9).into_iter().collect();
    assert_eq!(fired.len(), 100);
    assert!(fired.contains(&(8, 1, 4)) && !fired.contains(&(1, 1, 3)));
}

/// Timers that the program has not asked for yet are in a snapshot as they were restored.
#[test]
fn a_snapshot_that_began_before_old_timers_were_asked_for_shows_them() {
    let setup = ColdSetup {
        tier: Arc::new(MemoryTier::default()),
        memory: MemoryBudget::new(3_000).share(),
    };
    let snapshots = vec![of_version_1()];
    let mut keyed = KeyedBackend::<u32>::open(GROUPS, RANGE, snapshots, Some(setup)).unwrap();
    keyed
        .snapshot_begin(CheckpointId(1), SnapshotKind::Full)
        .unwrap();
    keyed.timer_service::<u8>("timers").unwrap();
    let snapshot = keyed.snapshot_finish().unwrap();
    assert_eq!(snapshot.states[0].meta.format_version, 1);
    let mut timers = Timers::open(None, vec![snapshot]);
    assert_eq!(timers.fire(9).len(), 100);
}

#[test]
fn timers_of_a_later_version_are_refused() {
    let mut snapshot = of_version_1();
    snapshot.states[0].meta.format_version = 3;
    let mut keyed = KeyedBackend::<u32>::restored(GROUPS, RANGE, [snapshot]).unwrap();
    let error = keyed.timer_service::<u8>("timers").unwrap_err();
    assert!(error.to_string().contains("written in format 3"), "{error}");
}
