//! Timers: what fires, in which order, and what firing may change.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use proptest::prelude::*;
use weir_state::{KeyedBackend, Timer, TimerService};
use weir_types::{EventTime, KeyGroupRange, Watermark};

const RANGE: KeyGroupRange = KeyGroupRange { start: 0, end: 15 };

fn open() -> (KeyedBackend<u32>, TimerService<u8>) {
    let mut keyed = KeyedBackend::new(16, RANGE);
    let timers = keyed.timer_service("timers").unwrap();
    (keyed, timers)
}

fn fire(
    keyed: &mut KeyedBackend<u32>,
    timers: TimerService<u8>,
    until: i64,
) -> Vec<(i64, u32, u8)> {
    let mut fired = Vec::new();
    let watermark = Watermark(EventTime(until));
    while let Some(Timer { namespace, time }) =
        timers.pop_event_time_timer(keyed, watermark).unwrap()
    {
        fired.push((time, *keyed.current_key().unwrap(), namespace));
    }
    fired
}

#[test]
fn a_timer_fires_once_however_often_it_was_registered() {
    let (mut keyed, timers) = open();
    keyed.set_key(1).unwrap();
    for first in [true, false, false] {
        let new = timers
            .register_event_time_timer(&mut keyed, &0, EventTime(5))
            .unwrap();
        assert_eq!(new, first);
    }
    assert_eq!(fire(&mut keyed, timers, 4), []);
    assert_eq!(fire(&mut keyed, timers, 5), [(5, 1, 0)]);
    assert_eq!(fire(&mut keyed, timers, i64::MAX), []);
}

#[test]
fn a_deleted_and_again_registered_timer_fires_once() {
    let (mut keyed, timers) = open();
    keyed.set_key(1).unwrap();
    for _ in 0..3 {
        timers
            .register_event_time_timer(&mut keyed, &0, EventTime(5))
            .unwrap();
        timers
            .delete_event_time_timer(&mut keyed, &0, EventTime(5))
            .unwrap();
    }
    timers
        .register_event_time_timer(&mut keyed, &0, EventTime(5))
        .unwrap();
    assert_eq!(fire(&mut keyed, timers, 9), [(5, 1, 0)]);
}

#[test]
fn a_firing_timer_may_register_and_delete_others_that_are_due() {
    let (mut keyed, timers) = open();
    keyed.set_key(1).unwrap();
    for time in [1, 3, 5] {
        timers
            .register_event_time_timer(&mut keyed, &0, EventTime(time))
            .unwrap();
    }
    let watermark = Watermark(EventTime(5));
    let first = timers.pop_event_time_timer(&mut keyed, watermark).unwrap();
    assert_eq!(
        first,
        Some(Timer {
            namespace: 0,
            time: 1
        })
    );
    timers
        .delete_event_time_timer(&mut keyed, &0, EventTime(3))
        .unwrap();
    timers
        .register_event_time_timer(&mut keyed, &0, EventTime(2))
        .unwrap();
    timers
        .register_event_time_timer(&mut keyed, &0, EventTime(6))
        .unwrap();
    assert_eq!(fire(&mut keyed, timers, 5), [(2, 1, 0), (5, 1, 0)]);
    assert_eq!(
        timers.next_event_time(&mut keyed).unwrap(),
        Some(EventTime(6))
    );
}

#[test]
fn processing_time_timers_are_apart_from_event_time_ones() {
    let (mut keyed, timers) = open();
    keyed.set_key(1).unwrap();
    timers
        .register_processing_time_timer(&mut keyed, &0, 7)
        .unwrap();
    timers
        .register_event_time_timer(&mut keyed, &0, EventTime(3))
        .unwrap();
    assert_eq!(timers.next_processing_time(&mut keyed).unwrap(), Some(7));
    assert_eq!(
        timers.pop_processing_time_timer(&mut keyed, 6).unwrap(),
        None
    );
    let timer = Timer {
        namespace: 0,
        time: 7,
    };
    assert_eq!(
        timers.pop_processing_time_timer(&mut keyed, 7).unwrap(),
        Some(timer)
    );
    assert_eq!(timers.next_processing_time(&mut keyed).unwrap(), None);
    assert_eq!(timers.event_time_timers(&mut keyed).unwrap(), 1);
}

#[test]
fn the_order_of_firing_does_not_depend_on_that_of_registration() {
    let orders: [Vec<u32>; 2] = [(0..200).collect(), (0..200).rev().collect()];
    let fired = orders.map(|order| {
        let (mut keyed, timers) = open();
        for key in order {
            keyed.set_key(key).unwrap();
            for namespace in [0, 1] {
                let time = EventTime(i64::from(key % 3));
                timers
                    .register_event_time_timer(&mut keyed, &namespace, time)
                    .unwrap();
            }
        }
        fire(&mut keyed, timers, 10)
    });
    assert_eq!(fired[0].len(), 400);
    assert_eq!(fired[0], fired[1]);
}

#[test]
fn moving_a_timer_again_and_again_takes_no_memory() {
    let (mut keyed, timers) = open();
    keyed.set_key(1).unwrap();
    let mut most = 0;
    for time in 0..100_000 {
        timers
            .register_event_time_timer(&mut keyed, &0, EventTime(time))
            .unwrap();
        timers
            .delete_event_time_timer(&mut keyed, &0, EventTime(time - 1))
            .unwrap();
        if time < 1000 {
            most = most.max(keyed.bytes());
        } else {
            assert!(keyed.bytes() <= most, "after {time} moves");
        }
    }
}

proptest! {
    #[test]
    fn timers_fire_as_in_a_sorted_set(
        ops in prop::collection::vec((0u8..8, 0u32..10, 0u8..2, 0i64..30), 1..200),
    ) {
        let (mut keyed, timers) = open();
        let mut model = BTreeSet::new();
        for (what, key, namespace, time) in ops {
            keyed.set_key(key).unwrap();
            let (at, entry) = (EventTime(time), (time, key, namespace));
            match what {
                0..=4 => {
                    let new = timers.register_event_time_timer(&mut keyed, &namespace, at);
                    prop_assert_eq!(new.unwrap(), model.insert(entry));
                }
                5 | 6 => {
                    let was = timers.delete_event_time_timer(&mut keyed, &namespace, at);
                    prop_assert_eq!(was.unwrap(), model.remove(&entry));
                }
                _ => {
                    let fired = fire(&mut keyed, timers, time);
                    prop_assert!(fired.is_sorted_by_key(|(time, _, _)| *time));
                    let later = model.split_off(&(time + 1, 0, 0));
                    let due = std::mem::replace(&mut model, later);
                    prop_assert_eq!(fired.into_iter().collect::<BTreeSet<_>>(), due);
                }
            }
            let next = timers.next_event_time(&mut keyed).unwrap().map(|time| time.0);
            prop_assert_eq!(next, model.first().map(|(time, _, _)| *time));
            prop_assert_eq!(timers.event_time_timers(&mut keyed).unwrap(), model.len());
        }
    }
}
