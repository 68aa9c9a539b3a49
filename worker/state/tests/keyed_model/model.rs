//! The operations on keyed state, once on a backend and once on plain collections.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use weir_state::{
    AggregateFunction, AggregatingState, KeyedBackend, ListState, MapState, Namespaced,
    ReducingState, TimerService, ValueState,
};
use weir_types::{EventTime, Watermark};

pub(crate) const MAX_PARALLELISM: u32 = 8;
pub(crate) const KEYS: usize = 20;

/// Stands for a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Window(pub(crate) u8);

pub(crate) fn key(n: usize) -> String {
    format!("key-{n}")
}

/// A change of the current key's state.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Set(u64),
    Modify(u64),
    ClearValue,
    Extra(u64),
    ClearExtra,
    Add(Vec<String>),
    ReplaceList(Vec<String>),
    ClearList,
    Put(u8, String),
    RemoveEntry(u8),
    RetainEven,
    ClearMap,
    Reduce(Window, u64),
    ClearReducing(Window),
    Aggregate(Window, u64),
    ClearAggregating(Window),
    Register(Window, i64),
    Delete(Window, i64),
    Advance(i64),
}

pub(crate) fn change() -> impl Strategy<Value = Change> {
    let window = || (0u8..3).prop_map(Window);
    let texts = || prop::collection::vec("[a-c]{0,3}", 0..4);
    prop_oneof![
        (0u64..1000).prop_map(Change::Set),
        (0u64..1000).prop_map(Change::Modify),
        Just(Change::ClearValue),
        (0u64..1000).prop_map(Change::Extra),
        Just(Change::ClearExtra),
        texts().prop_map(Change::Add),
        texts().prop_map(Change::ReplaceList),
        Just(Change::ClearList),
        (0u8..6, "[a-c]{0,3}").prop_map(|(user_key, value)| Change::Put(user_key, value)),
        (0u8..6, "[a-c]{0,3}").prop_map(|(user_key, value)| Change::Put(user_key, value)),
        (0u8..6).prop_map(Change::RemoveEntry),
        Just(Change::RetainEven),
        Just(Change::ClearMap),
        (window(), 0u64..1000).prop_map(|(window, value)| Change::Reduce(window, value)),
        window().prop_map(Change::ClearReducing),
        (window(), 0u64..1000).prop_map(|(window, value)| Change::Aggregate(window, value)),
        window().prop_map(Change::ClearAggregating),
        (window(), 0i64..50).prop_map(|(window, time)| Change::Register(window, time)),
        (window(), 0i64..50).prop_map(|(window, time)| Change::Register(window, time)),
        (window(), 0i64..50).prop_map(|(window, time)| Change::Delete(window, time)),
        (0i64..20).prop_map(Change::Advance),
    ]
}

/// Everything that belongs to one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OfKey {
    pub(crate) value: Option<u64>,
    pub(crate) extra: Option<u64>,
    pub(crate) list: Vec<String>,
    pub(crate) map: BTreeMap<u8, String>,
    pub(crate) reduced: BTreeMap<Window, u64>,
    pub(crate) mean: BTreeMap<Window, (u64, u64)>,
    pub(crate) timers: BTreeSet<(i64, Window)>,
}

impl OfKey {
    /// Finding out which timers there are changes them, which may take long.
    #[allow(dead_code, reason = "not every test leaves them out")]
    pub(crate) fn without_timers(self) -> Self {
        Self {
            timers: BTreeSet::new(),
            ..self
        }
    }
}

/// What a backend should hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model(BTreeMap<usize, OfKey>);

impl Model {
    pub(crate) fn read(&self, key: usize) -> OfKey {
        self.0.get(&key).cloned().unwrap_or_default()
    }

    pub(crate) fn change(&mut self, key: usize, change: &Change) {
        let of = self.0.entry(key).or_default();
        match change.clone() {
            Change::Set(value) => of.value = Some(value),
            Change::Modify(value) => of.value = Some(of.value.unwrap_or(7) + value),
            Change::ClearValue => of.value = None,
            Change::Extra(value) => of.extra = Some(value),
            Change::ClearExtra => of.extra = None,
            Change::Add(texts) => of.list.extend(texts),
            Change::ReplaceList(texts) => of.list = texts,
            Change::ClearList => of.list.clear(),
            Change::Put(user_key, value) => drop(of.map.insert(user_key, value)),
            Change::RemoveEntry(user_key) => drop(of.map.remove(&user_key)),
            Change::RetainEven => of.map.retain(|user_key, _| user_key % 2 == 0),
            Change::ClearMap => of.map.clear(),
            Change::Reduce(window, value) => *of.reduced.entry(window).or_default() += value,
            Change::ClearReducing(window) => drop(of.reduced.remove(&window)),
            Change::Aggregate(window, value) => {
                let (sum, count) = of.mean.entry(window).or_default();
                (*sum, *count) = (*sum + value, *count + 1);
            }
            Change::ClearAggregating(window) => drop(of.mean.remove(&window)),
            Change::Register(window, time) => drop(of.timers.insert((time, window))),
            Change::Delete(window, time) => drop(of.timers.remove(&(time, window))),
            // Fires the timers of all keys, but only those of one subtask: left to the backend's
            // own check, which puts them back.
            Change::Advance(_) => {}
        }
    }
}

struct Mean;

impl AggregateFunction for Mean {
    type In = u64;
    type Acc = (u64, u64);
    type Out = (u64, u64);

    fn create_accumulator(&self) -> (u64, u64) {
        (0, 0)
    }

    fn add(&self, (sum, count): &mut (u64, u64), input: u64) {
        (*sum, *count) = (*sum + input, *count + 1);
    }

    fn result(&self, accumulator: &(u64, u64)) -> (u64, u64) {
        *accumulator
    }

    fn merge(&self, accumulator: &mut (u64, u64), other: (u64, u64)) {
        (accumulator.0, accumulator.1) = (accumulator.0 + other.0, accumulator.1 + other.1);
    }
}

/// A backend with its states.
pub(crate) struct Backend {
    pub(crate) keyed: KeyedBackend<String>,
    value: ValueState<u64>,
    list: ListState<String>,
    map: MapState<u8, String>,
    reduced: Namespaced<ReducingState<u64, Window>>,
    mean: Namespaced<AggregatingState<Mean, Window>>,
    timers: TimerService<Window>,
}

impl Backend {
    /// Asks for all states but `extra`, which is left to when it is used.
    pub(crate) fn open(mut keyed: KeyedBackend<String>) -> Self {
        let sum = |sum: &mut u64, more| *sum += more;
        Self {
            value: keyed.value_state("value").unwrap(),
            list: keyed.list_state("list").unwrap(),
            map: keyed.map_state("map").unwrap(),
            reduced: keyed.namespaced_reducing_state("reduced", sum).unwrap(),
            mean: keyed.namespaced_aggregating_state("mean", Mean).unwrap(),
            timers: keyed.timer_service("timers").unwrap(),
            keyed,
        }
    }

    pub(crate) fn change(&mut self, n: usize, change: &Change) {
        let keyed = &mut self.keyed;
        keyed.set_key(key(n)).unwrap();
        match change.clone() {
            Change::Set(value) => self.value.set(keyed, value).unwrap(),
            Change::Modify(more) => {
                self.value
                    .modify(keyed, || 7, |value| *value += more)
                    .unwrap();
            }
            Change::ClearValue => self.value.clear(keyed).unwrap(),
            Change::Extra(value) => {
                keyed
                    .value_state("extra")
                    .unwrap()
                    .set(keyed, value)
                    .unwrap();
            }
            Change::ClearExtra => {
                keyed
                    .value_state::<u64>("extra")
                    .unwrap()
                    .clear(keyed)
                    .unwrap();
            }
            Change::Add(texts) => self.list.add_all(keyed, texts).unwrap(),
            Change::ReplaceList(texts) => self.list.set(keyed, texts).unwrap(),
            Change::ClearList => self.list.clear(keyed).unwrap(),
            Change::Put(user_key, value) => self.map.put(keyed, user_key, value).unwrap(),
            Change::RemoveEntry(user_key) => drop(self.map.remove(keyed, &user_key).unwrap()),
            Change::RetainEven => {
                self.map
                    .retain(keyed, |user_key, _| user_key % 2 == 0)
                    .unwrap();
            }
            Change::ClearMap => self.map.clear(keyed).unwrap(),
            Change::Reduce(window, value) => self.reduced.at(window).add(keyed, value).unwrap(),
            Change::ClearReducing(window) => self.reduced.at(window).clear(keyed).unwrap(),
            Change::Aggregate(window, value) => self.mean.at(window).add(keyed, value).unwrap(),
            Change::ClearAggregating(window) => self.mean.at(window).clear(keyed).unwrap(),
            Change::Register(window, time) => {
                let time = EventTime(time);
                self.timers
                    .register_event_time_timer(keyed, &window, time)
                    .unwrap();
            }
            Change::Delete(window, time) => {
                let time = EventTime(time);
                self.timers
                    .delete_event_time_timer(keyed, &window, time)
                    .unwrap();
            }
            Change::Advance(time) => self.advance(time),
        }
    }

    /// Fires timers, which must come in order, and registers them again.
    fn advance(&mut self, until: i64) {
        let keyed = &mut self.keyed;
        let before = self.timers.event_time_timers(keyed).unwrap();
        let mut fired = Vec::new();
        let watermark = Watermark(EventTime(until));
        while let Some(timer) = self.timers.pop_event_time_timer(keyed, watermark).unwrap() {
            fired.push((keyed.current_key().unwrap().clone(), timer));
        }
        assert!(fired.is_sorted_by_key(|(_, timer)| timer.time));
        assert!(fired.iter().all(|(_, timer)| timer.time <= until));
        let next = self.timers.next_event_time(keyed).unwrap();
        assert!(next.is_none_or(|next| next.0 > until));
        for (key, timer) in fired {
            keyed.set_key(key).unwrap();
            let time = EventTime(timer.time);
            let new = self
                .timers
                .register_event_time_timer(keyed, &timer.namespace, time);
            assert!(new.unwrap(), "it fired, so it was gone");
        }
        assert_eq!(self.timers.event_time_timers(keyed).unwrap(), before);
    }

    pub(crate) fn read(&mut self, n: usize) -> OfKey {
        let of = self.read_without_timers(n);
        let timers = self.timers_of_current_key();
        OfKey { timers, ..of }
    }

    pub(crate) fn read_without_timers(&mut self, n: usize) -> OfKey {
        let keyed = &mut self.keyed;
        keyed.set_key_ref(&key(n)).unwrap();
        let windows = || (0..3).map(Window);
        let extra = keyed.value_state("extra").unwrap();
        let mut seen = Vec::new();
        let see = |user_key: &u8, value: &String| seen.push((*user_key, value.clone()));
        self.map.for_each(keyed, see).unwrap();
        seen.sort_unstable();
        let some = self.map.get(keyed, &3).unwrap().cloned();
        let entries = self.map.iter(keyed).unwrap();
        let map: BTreeMap<_, _> = entries
            .map(|(user_key, value)| (*user_key, value.clone()))
            .collect();
        assert!(seen.iter().map(|(k, v)| (k, v)).eq(&map));
        assert_eq!(some.as_ref(), map.get(&3));
        assert_eq!(self.map.is_empty(keyed).unwrap(), map.is_empty());
        for user_key in 0..6 {
            assert_eq!(self.map.get(keyed, &user_key).unwrap(), map.get(&user_key));
        }
        OfKey {
            value: self.value.get(keyed).unwrap().copied(),
            extra: extra.get(keyed).unwrap().copied(),
            list: self.list.get(keyed).unwrap().cloned().collect(),
            map,
            reduced: windows()
                .filter_map(|window| Some((window, *self.reduced.at(window).get(keyed).unwrap()?)))
                .collect(),
            mean: windows()
                .filter_map(|window| Some((window, self.mean.at(window).get(keyed).unwrap()?)))
                .collect(),
            timers: BTreeSet::new(),
        }
    }

    /// Deleting tells whether a timer was there.
    fn timers_of_current_key(&mut self) -> BTreeSet<(i64, Window)> {
        let keyed = &mut self.keyed;
        let mut found = BTreeSet::new();
        for time in 0..50 {
            for window in (0..3).map(Window) {
                let at = EventTime(time);
                if self
                    .timers
                    .delete_event_time_timer(keyed, &window, at)
                    .unwrap()
                {
                    assert!(
                        self.timers
                            .register_event_time_timer(keyed, &window, at)
                            .unwrap()
                    );
                    found.insert((time, window));
                }
            }
        }
        found
    }
}
