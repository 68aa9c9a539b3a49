use std::time::Duration;

use proptest::prelude::*;
use weir_types::EventTime;

use super::*;
use crate::harness::{Event, TwoInputHarness};
use crate::window::{
    EventTimeTrigger, PassOn, ReducePane, TumblingWindows, WindowOperator, WindowOptions,
    WindowParts,
};

const MAX: Watermark = Watermark::MAX;

fn at(ms: i64) -> Watermark {
    Watermark(EventTime(ms))
}

fn controls(output: ValveOutput) -> Vec<Control> {
    output.controls().collect()
}

#[test]
fn the_slowest_channel_holds_the_watermark_back() {
    let mut valve = WatermarkValve::new(3);
    assert_eq!(controls(valve.watermark(0, at(5))), []);
    assert_eq!(controls(valve.watermark(1, at(9))), []);
    assert_eq!(
        controls(valve.watermark(2, at(7))),
        [Control::Watermark(at(5))]
    );
    assert_eq!(
        controls(valve.watermark(0, at(20))),
        [Control::Watermark(at(7))]
    );
}

#[test]
fn a_watermark_that_goes_back_is_ignored() {
    let mut valve = WatermarkValve::new(1);
    assert_eq!(
        controls(valve.watermark(0, at(5))),
        [Control::Watermark(at(5))]
    );
    assert_eq!(controls(valve.watermark(0, at(4))), []);
    assert_eq!(controls(valve.watermark(0, at(5))), []);
    assert_eq!(valve.current(), at(5));
}

#[test]
fn a_channel_that_becomes_idle_lets_the_others_advance() {
    let mut valve = WatermarkValve::new(2);
    assert_eq!(controls(valve.watermark(1, at(10))), []);
    assert_eq!(
        controls(valve.activity(0, false)),
        [Control::Watermark(at(10))]
    );
    assert_eq!(
        controls(valve.watermark(0, at(50))),
        [],
        "an idle channel has no say"
    );
}

#[test]
fn a_channel_that_comes_back_behind_holds_nothing_back_until_it_has_caught_up() {
    let mut valve = WatermarkValve::new(2);
    drop(controls(valve.activity(0, false)));
    assert_eq!(
        controls(valve.watermark(1, at(10))),
        [Control::Watermark(at(10))]
    );
    assert_eq!(controls(valve.activity(0, true)), []);
    assert_eq!(controls(valve.watermark(0, at(3))), []);
    assert_eq!(
        controls(valve.watermark(1, at(12))),
        [Control::Watermark(at(12))]
    );
    assert_eq!(controls(valve.watermark(0, at(12))), []);
    assert_eq!(
        controls(valve.watermark(1, at(20))),
        [],
        "the first holds it back again"
    );
}

#[test]
fn the_last_channel_to_become_idle_lets_everything_promised_through() {
    let mut valve = WatermarkValve::new(2);
    drop(controls(valve.watermark(0, at(5))));
    assert_eq!(
        controls(valve.watermark(1, at(9))),
        [Control::Watermark(at(5))]
    );
    assert_eq!(controls(valve.activity(1, false)), []);
    assert_eq!(
        controls(valve.activity(0, false)),
        [Control::Watermark(at(9)), Control::Idle]
    );
    assert_eq!(controls(valve.activity(1, true)), [Control::Active]);
}

#[test]
fn two_inputs_advance_with_the_slower_one_that_is_not_idle() {
    let mut combined = CombinedWatermark::new(2);
    assert_eq!(controls(combined.watermark(0, at(5))), []);
    assert_eq!(
        controls(combined.watermark(1, at(3))),
        [Control::Watermark(at(3))]
    );
    assert_eq!(
        controls(combined.activity(1, false)),
        [Control::Watermark(at(5))]
    );
    assert_eq!(controls(combined.activity(0, false)), [Control::Idle]);
    assert_eq!(
        controls(combined.watermark(1, at(8))),
        [Control::Active, Control::Watermark(at(8))]
    );
}

/// Three channels at 10, 30 and 50, of which the last has become idle, then the first, so that 30
/// was passed on, and the first is active again, behind.
fn the_first_of_three_is_back_behind() -> WatermarkValve {
    let mut valve = WatermarkValve::new(3);
    assert_eq!(controls(valve.watermark(2, at(50))), []);
    assert_eq!(controls(valve.watermark(1, at(30))), []);
    assert_eq!(
        controls(valve.watermark(0, at(10))),
        [Control::Watermark(at(10))]
    );
    assert_eq!(controls(valve.activity(2, false)), []);
    assert_eq!(
        controls(valve.activity(0, false)),
        [Control::Watermark(at(30))]
    );
    assert_eq!(controls(valve.activity(0, true)), []);
    valve
}

#[test]
fn the_only_channel_that_is_not_behind_brings_its_watermark_when_it_comes_back() {
    let mut valve = the_first_of_three_is_back_behind();
    assert_eq!(controls(valve.activity(1, false)), []);
    assert_eq!(
        controls(valve.activity(2, true)),
        [Control::Watermark(at(50))]
    );
    assert_eq!(controls(valve.watermark(2, at(50))), []);
    assert_eq!(
        controls(valve.watermark(2, at(60))),
        [Control::Watermark(at(60))]
    );
}

#[test]
fn the_last_to_become_idle_need_not_be_the_one_that_held_the_watermark_back() {
    let mut valve = the_first_of_three_is_back_behind();
    assert_eq!(controls(valve.activity(1, false)), []);
    assert_eq!(
        controls(valve.activity(0, false)),
        [Control::Watermark(at(50)), Control::Idle]
    );
    let mut valve = the_first_of_three_is_back_behind();
    assert_eq!(controls(valve.activity(0, false)), []);
    assert_eq!(
        controls(valve.activity(1, false)),
        [Control::Watermark(at(50)), Control::Idle],
        "the same in the other order"
    );
}

#[test]
fn inputs_that_all_become_idle_leave_the_higher_watermark_in_whatever_order() {
    for (first, then) in [(0, 1), (1, 0)] {
        let mut combined = CombinedWatermark::new(2);
        let mut passed_on = controls(combined.watermark(0, at(5)));
        passed_on.extend(controls(combined.watermark(1, at(4))));
        passed_on.extend(controls(combined.activity(first, false)));
        passed_on.extend(controls(combined.activity(then, false)));
        assert_eq!(
            passed_on,
            [
                Control::Watermark(at(4)),
                Control::Watermark(at(5)),
                Control::Idle
            ]
        );
        assert!(!combined.is_active());
    }
}

#[test]
fn a_finished_channel_takes_no_part_while_another_is_quiet() {
    let mut valve = WatermarkValve::new(2);
    assert_eq!(controls(valve.watermark(0, MAX)), []);
    assert_eq!(
        controls(valve.watermark(1, at(10))),
        [Control::Watermark(at(10))]
    );
    assert_eq!(controls(valve.activity(1, false)), [Control::Idle]);
    assert_eq!(controls(valve.activity(1, true)), [Control::Active]);
    assert_eq!(
        controls(valve.watermark(1, at(20))),
        [Control::Watermark(at(20))]
    );
    assert_eq!(controls(valve.watermark(1, MAX)), [Control::Watermark(MAX)]);
    assert!(valve.is_active());
}

#[test]
fn a_finished_input_takes_no_part_while_another_is_quiet() {
    let mut combined = CombinedWatermark::new(2);
    assert_eq!(controls(combined.watermark(0, MAX)), []);
    assert_eq!(
        controls(combined.watermark(1, at(10))),
        [Control::Watermark(at(10))]
    );
    assert_eq!(controls(combined.activity(1, false)), [Control::Idle]);
    assert_eq!(controls(combined.activity(1, true)), [Control::Active]);
    assert_eq!(
        controls(combined.watermark(1, at(20))),
        [Control::Watermark(at(20))]
    );
    assert_eq!(
        controls(combined.watermark(1, MAX)),
        [Control::Watermark(MAX)]
    );
    assert!(combined.is_active());
}

#[test]
fn a_channel_that_finishes_while_the_others_are_idle_leaves_what_these_have_promised() {
    let mut valve = WatermarkValve::new(2);
    assert_eq!(controls(valve.watermark(0, at(10))), []);
    assert_eq!(
        controls(valve.watermark(1, at(5))),
        [Control::Watermark(at(5))]
    );
    assert_eq!(controls(valve.activity(0, false)), []);
    assert_eq!(
        controls(valve.watermark(1, MAX)),
        [Control::Watermark(at(10)), Control::Idle]
    );
    assert_eq!(
        controls(valve.watermark(0, MAX)),
        [Control::Active, Control::Watermark(MAX)],
        "an idle channel may finish"
    );
}

#[test]
fn what_a_finished_channel_says_has_no_effect() {
    let mut valve = WatermarkValve::new(2);
    assert_eq!(controls(valve.watermark(0, MAX)), []);
    for active in [false, true] {
        assert_eq!(controls(valve.activity(0, active)), []);
    }
    assert_eq!(controls(valve.watermark(0, at(7))), []);
    assert_eq!(controls(valve.watermark(0, MAX)), []);
    assert_eq!(controls(valve.watermark(1, MAX)), [Control::Watermark(MAX)]);
    assert_eq!(controls(valve.activity(1, false)), []);
    assert!(valve.is_active());
}

#[test]
fn a_window_takes_records_after_the_end_of_one_input_and_a_quiet_phase_of_the_other() {
    let parts = WindowParts {
        selector: |record: &(u8, i64)| record.0,
        assigner: TumblingWindows::event_time(Duration::from_millis(10)),
        trigger: EventTimeTrigger,
        pane: ReducePane(|into: &mut (u8, i64), record: (u8, i64)| into.1 += record.1),
        function: PassOn,
    };
    let operator = WindowOperator::new(parts, WindowOptions::<(u8, i64)>::default());
    let mut harness =
        TwoInputHarness::<(u8, i64), (u8, i64), (u8, i64)>::open(operator).expect("it opens");
    harness.push_first((1, 1), Some(3)).expect("it is taken");
    harness.end_input(0).expect("it ends");
    harness.watermark(1, 2).expect("it advances");
    harness.activity(1, false).expect("it is quiet");
    assert_eq!(
        harness.take_events(),
        [Event::Watermark(2), Event::Idle],
        "the window may still get records"
    );
    harness.activity(1, true).expect("it is back");
    harness.push_second((1, 2), Some(4)).expect("it is taken");
    harness.watermark(1, 9).expect("it advances");
    assert_eq!(
        harness.take_events(),
        [
            Event::Active,
            Event::Record((1, 3), Some(9)),
            Event::Watermark(9)
        ]
    );
    assert_eq!(harness.metrics().late_records(), 0);
}

/// The rules told once more, as slowly as possible: nothing is kept that can be recomputed from
/// the history of each channel.
struct Model {
    /// Watermark, active, aligned.
    channels: Vec<(i64, bool, bool)>,
    passed_on: Vec<Control>,
}

impl Model {
    fn last(&self) -> i64 {
        let mut watermarks = self.passed_on.iter().filter_map(|control| match control {
            Control::Watermark(watermark) => Some(watermark.0.0),
            _ => None,
        });
        watermarks.next_back().unwrap_or(i64::MIN)
    }

    fn valve_is_idle(&self) -> bool {
        let mut changes = self
            .passed_on
            .iter()
            .filter(|c| !matches!(c, Control::Watermark(_)));
        changes.next_back() == Some(&Control::Idle)
    }

    fn emit_if_new(&mut self, watermark: Option<i64>) {
        if let Some(watermark) = watermark.filter(|watermark| *watermark > self.last()) {
            self.passed_on.push(Control::Watermark(at(watermark)));
        }
    }

    fn emit_minimum(&mut self) {
        let minimum = self
            .channels
            .iter()
            .filter(|(_, _, aligned)| *aligned)
            .map(|c| c.0)
            .min();
        self.emit_if_new(minimum);
    }

    /// One has become idle, or is finished and others are not.
    fn emit_without_it(&mut self) {
        if self.channels.iter().any(|(_, active, _)| *active) {
            self.emit_minimum();
            return;
        }
        let promised = self.channels.iter().map(|channel| channel.0);
        let highest = promised.filter(|time| *time != i64::MAX).max();
        self.emit_if_new(highest);
        if !self.valve_is_idle() {
            self.passed_on.push(Control::Idle);
        }
    }

    fn step(&mut self, channel: usize, step: Step) {
        let last = self.last();
        let (known, active, aligned) = self.channels[channel];
        if known == i64::MAX {
            return;
        }
        match step {
            Step::Watermark(time) if active && time > known => {
                self.channels[channel] = (time, active, aligned || time >= last);
                self.emit_minimum();
            }
            Step::Idle if active => {
                self.channels[channel] = (known, false, false);
                self.emit_without_it();
            }
            Step::Active if !active => {
                self.channels[channel] = (known, true, known >= last);
                if self.valve_is_idle() {
                    self.passed_on.push(Control::Active);
                }
                self.emit_minimum();
            }
            Step::Finish => {
                self.channels[channel] = (i64::MAX, false, false);
                if self.channels.iter().any(|(time, ..)| *time != i64::MAX) {
                    self.emit_without_it();
                    return;
                }
                if self.valve_is_idle() {
                    self.passed_on.push(Control::Active);
                }
                self.passed_on.push(Control::Watermark(MAX));
            }
            Step::Watermark(_) | Step::Idle | Step::Active => {}
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Watermark(i64),
    Idle,
    Active,
    Finish,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (-3i64..30).prop_map(Step::Watermark),
        3 => Just(Step::Idle),
        3 => Just(Step::Active),
        1 => Just(Step::Finish),
    ]
}

fn run(valve: &mut WatermarkValve, channel: usize, step: Step) -> Vec<Control> {
    controls(match step {
        Step::Watermark(time) => valve.watermark(channel, at(time)),
        Step::Idle => valve.activity(channel, false),
        Step::Active => valve.activity(channel, true),
        Step::Finish => valve.watermark(channel, MAX),
    })
}

proptest! {
    #[test]
    fn the_valve_passes_on_what_the_rules_say(
        channels in 1usize..4,
        steps in prop::collection::vec((any::<prop::sample::Index>(), step()), 0..60),
    ) {
        let mut valve = WatermarkValve::new(channels);
        let mut model =
            Model { channels: vec![(i64::MIN, true, true); channels], passed_on: Vec::new() };
        let mut passed_on = Vec::new();
        for (channel, step) in steps {
            let channel = channel.index(channels);
            passed_on.extend(run(&mut valve, channel, step));
            model.step(channel, step);
        }
        prop_assert_eq!(&passed_on, &model.passed_on);
        prop_assert_eq!(valve.is_active(), !model.valve_is_idle());
        let finished = model.channels.iter().all(|(time, ..)| *time == i64::MAX);
        prop_assert_eq!(valve.current() == MAX, finished);
    }

    #[test]
    fn once_all_are_idle_the_highest_watermark_counts_whatever_came_before(
        channels in 1usize..4,
        steps in prop::collection::vec((any::<prop::sample::Index>(), step()), 0..60),
        order in any::<prop::sample::Index>(),
    ) {
        let mut valve = WatermarkValve::new(channels);
        let mut combined = CombinedWatermark::new(channels);
        let mut highest = vec![i64::MIN; channels];
        let (mut active, mut finished) = (vec![true; channels], vec![false; channels]);
        for (channel, step) in steps {
            let channel = channel.index(channels);
            drop(run(&mut valve, channel, step));
            match step {
                _ if finished[channel] => {}
                Step::Watermark(time) if active[channel] => {
                    highest[channel] = highest[channel].max(time);
                    drop(controls(combined.watermark(channel, at(time))));
                }
                Step::Watermark(_) => {}
                Step::Idle | Step::Active => {
                    active[channel] = matches!(step, Step::Active);
                    drop(controls(combined.activity(channel, active[channel])));
                }
                Step::Finish => {
                    finished[channel] = true;
                    drop(controls(combined.watermark(channel, MAX)));
                }
            }
        }
        let (before, combined_before) = (valve.current(), combined.current());
        for channel in 0..channels {
            let channel = (order.index(channels) + channel) % channels;
            drop(controls(valve.activity(channel, false)));
            drop(controls(combined.activity(channel, false)));
        }
        let unfinished = (0..channels).filter(|channel| !finished[*channel]);
        let promised = unfinished.map(|channel| at(highest[channel])).max();
        let promised = promised.unwrap_or(MAX);
        prop_assert_eq!(valve.current(), promised.max(before));
        prop_assert_eq!(combined.current(), promised.max(combined_before));
    }

    #[test]
    fn without_idleness_the_watermark_is_the_smallest_maximum(
        channels in 1usize..4,
        steps in prop::collection::vec((any::<prop::sample::Index>(), -3i64..30), 0..60),
    ) {
        let mut valve = WatermarkValve::new(channels);
        let mut highest = vec![i64::MIN; channels];
        for (channel, time) in steps {
            let channel = channel.index(channels);
            drop(controls(valve.watermark(channel, at(time))));
            highest[channel] = highest[channel].max(time);
            prop_assert_eq!(valve.current().0.0, *highest.iter().min().expect("a channel"));
        }
    }
}
