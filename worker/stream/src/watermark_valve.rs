//! Brings the watermarks of several channels, or of two inputs, together into one.
//!
//! Both types are pure: they are told what arrived and answer what to pass on. They know neither
//! channels nor operators. The rules are Flink's, [`WatermarkValve`]'s those of
//! `StatusWatermarkValve` and [`CombinedWatermark`]'s those of `CombinedWatermarkStatus`, down to
//! the order in which a channel takes part again after it was idle.

use weir_types::Watermark;

use crate::Control;

/// What a valve passes on.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ValveOutput {
    /// The common watermark has advanced to this.
    pub watermark: Option<Watermark>,
    /// All channels have become idle (`false`), or one is active again (`true`).
    pub activity: Option<bool>,
}

impl ValveOutput {
    const NOTHING: Self = Self {
        watermark: None,
        activity: None,
    };

    /// What to pass on, in order: a watermark counts only while its channel is active, so it
    /// comes after `Active` and before `Idle`.
    pub fn controls(self) -> impl Iterator<Item = Control> {
        let active = self.activity == Some(true);
        let idle = self.activity == Some(false);
        active
            .then_some(Control::Active)
            .into_iter()
            .chain(self.watermark.map(Control::Watermark))
            .chain(idle.then_some(Control::Idle))
    }
}

#[derive(Clone, Copy, Debug)]
struct Channel {
    watermark: Watermark,
    active: bool,
    /// Whether the channel holds the common watermark back. A channel that comes back from being
    /// idle does so only once it has caught up with what was already passed on.
    aligned: bool,
}

/// The minimum watermark over all active channels of one input (Flink's `StatusWatermarkValve`).
#[derive(Clone, Debug)]
pub struct WatermarkValve {
    channels: Vec<Channel>,
    last: Watermark,
    active: bool,
}

impl WatermarkValve {
    /// A valve over this many channels, all active, none of which has sent a watermark.
    pub fn new(channels: usize) -> Self {
        let fresh = Channel {
            watermark: Watermark::MIN,
            active: true,
            aligned: true,
        };
        Self {
            channels: vec![fresh; channels],
            last: Watermark::MIN,
            active: true,
        }
    }

    /// The watermark that was passed on last.
    pub fn current(&self) -> Watermark {
        self.last
    }

    /// Whether any channel is active.
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// A channel's watermark. What an idle channel says, and what is behind what it said before,
    /// has no effect.
    pub fn watermark(&mut self, channel: usize, watermark: Watermark) -> ValveOutput {
        let last = self.last;
        let channel = &mut self.channels[channel];
        if !channel.active || watermark <= channel.watermark {
            return ValveOutput::NOTHING;
        }
        channel.watermark = watermark;
        channel.aligned |= watermark >= last;
        ValveOutput {
            watermark: self.advance_to_minimum(),
            activity: None,
        }
    }

    /// A channel has become idle, or active again.
    pub fn activity(&mut self, channel: usize, active: bool) -> ValveOutput {
        if self.channels[channel].active == active {
            return ValveOutput::NOTHING;
        }
        if active {
            self.activated(channel)
        } else {
            self.idled(channel)
        }
    }

    fn activated(&mut self, channel: usize) -> ValveOutput {
        let last = self.last;
        let channel = &mut self.channels[channel];
        channel.active = true;
        channel.aligned = channel.watermark >= last;
        let was_active = std::mem::replace(&mut self.active, true);
        ValveOutput {
            watermark: None,
            activity: (!was_active).then_some(true),
        }
    }

    fn idled(&mut self, channel: usize) -> ValveOutput {
        let channel = &mut self.channels[channel];
        channel.active = false;
        channel.aligned = false;
        let held_back = channel.watermark == self.last;
        self.active = self.channels.iter().any(|channel| channel.active);
        if self.active {
            let watermark = if held_back {
                self.advance_to_minimum()
            } else {
                None
            };
            return ValveOutput {
                watermark,
                activity: None,
            };
        }
        // Nothing will hold the watermark back for now, so all that was promised can be passed on.
        let watermark = if held_back {
            self.advance_to_maximum()
        } else {
            None
        };
        ValveOutput {
            watermark,
            activity: Some(false),
        }
    }

    fn advance_to_minimum(&mut self) -> Option<Watermark> {
        let aligned = self.channels.iter().filter(|channel| channel.aligned);
        let minimum = aligned.map(|channel| channel.watermark).min()?;
        self.advance(minimum)
    }

    fn advance_to_maximum(&mut self) -> Option<Watermark> {
        let maximum = self
            .channels
            .iter()
            .map(|channel| channel.watermark)
            .max()?;
        self.advance(maximum)
    }

    fn advance(&mut self, watermark: Watermark) -> Option<Watermark> {
        if watermark <= self.last {
            return None;
        }
        self.last = watermark;
        Some(watermark)
    }
}

#[derive(Clone, Copy, Debug)]
struct Partial {
    watermark: Watermark,
    active: bool,
}

/// The minimum watermark over the active ones of an operator's inputs (Flink's
/// `CombinedWatermarkStatus`).
#[derive(Clone, Debug)]
pub struct CombinedWatermark {
    inputs: Vec<Partial>,
    last: Watermark,
}

impl CombinedWatermark {
    /// Over this many inputs, all active.
    pub fn new(inputs: usize) -> Self {
        let fresh = Partial {
            watermark: Watermark::MIN,
            active: true,
        };
        Self {
            inputs: vec![fresh; inputs],
            last: Watermark::MIN,
        }
    }

    /// The watermark that was passed on last.
    pub fn current(&self) -> Watermark {
        self.last
    }

    /// Whether any input is active.
    pub fn is_active(&self) -> bool {
        self.inputs.iter().any(|input| input.active)
    }

    /// An input's watermark; the input is active from now on.
    pub fn watermark(&mut self, input: usize, watermark: Watermark) -> ValveOutput {
        self.change(input, |partial| {
            partial.active = true;
            partial.watermark = partial.watermark.max(watermark);
        })
    }

    /// An input has become idle, or active again.
    pub fn activity(&mut self, input: usize, active: bool) -> ValveOutput {
        self.change(input, |partial| partial.active = active)
    }

    fn change(&mut self, input: usize, change: impl FnOnce(&mut Partial)) -> ValveOutput {
        let was_active = self.is_active();
        change(&mut self.inputs[input]);
        let is_active = self.is_active();
        let active = self.inputs.iter().filter(|input| input.active);
        let minimum = active.map(|input| input.watermark).min();
        let watermark = minimum.filter(|minimum| *minimum > self.last);
        self.last = watermark.unwrap_or(self.last);
        ValveOutput {
            watermark,
            activity: (was_active != is_active).then_some(is_active),
        }
    }
}

#[cfg(test)]
mod tests;
