use proptest::prelude::*;
use weir_types::EventTime;

use super::*;

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

/// Flink's rules told once more, as slowly as possible: nothing is kept that can be recomputed
/// from the history of each channel.
struct Model {
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

    fn step(&mut self, channel: usize, step: Step) {
        let last = self.last();
        match step {
            Step::Watermark(time) => {
                let (known, active, aligned) = self.channels[channel];
                if self.valve_is_idle() || !active || time <= known {
                    return;
                }
                self.channels[channel] = (time, active, aligned || time >= last);
                self.emit_minimum();
            }
            Step::Idle if self.channels[channel].1 => {
                let time = self.channels[channel].0;
                self.channels[channel] = (time, false, false);
                let all_idle = self.channels.iter().all(|(_, active, _)| !active);
                if all_idle {
                    if time == last {
                        let maximum = self.channels.iter().map(|channel| channel.0).max();
                        self.emit_if_new(maximum);
                    }
                    self.passed_on.push(Control::Idle);
                } else if time == last {
                    self.emit_minimum();
                }
            }
            Step::Active if !self.channels[channel].1 => {
                let time = self.channels[channel].0;
                self.channels[channel] = (time, true, time >= last);
                if self.valve_is_idle() {
                    self.passed_on.push(Control::Active);
                }
            }
            Step::Idle | Step::Active => {}
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Watermark(i64),
    Idle,
    Active,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (-3i64..30).prop_map(Step::Watermark),
        1 => Just(Step::Idle),
        1 => Just(Step::Active),
    ]
}

fn run(valve: &mut WatermarkValve, channel: usize, step: Step) -> Vec<Control> {
    controls(match step {
        Step::Watermark(time) => valve.watermark(channel, at(time)),
        Step::Idle => valve.activity(channel, false),
        Step::Active => valve.activity(channel, true),
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
