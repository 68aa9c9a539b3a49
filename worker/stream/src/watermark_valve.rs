//! Brings the watermarks of several channels, or of two inputs, together into one.
//!
//! Both types are pure: they are told what arrived and answer what to pass on. They know neither
//! channels nor operators. The rules are Flink's, [`WatermarkValve`]'s those of
//! `StatusWatermarkValve` and [`CombinedWatermark`]'s those of `CombinedWatermarkStatus`, down to
//! the order in which a channel takes part again after it was idle. Two of them are as Flink has
//! corrected them: once all are idle, the highest of their watermarks counts, in whatever order
//! they became so (FLINK-38454), and a channel that takes part again may itself be what lets the
//! watermark advance (FLINK-40475).
//!
//! One rule is not Flink's, which has it open as FLINK-38477. There, a channel that has ended
//! says [`Watermark::MAX`] for ever: as soon as all others are idle, time comes to its end, and
//! whatever they send later is late. Here, a channel that has said [`Watermark::MAX`] is finished:
//! it takes part no more, and time comes to its end once all are finished. The valve of a later
//! attempt begins anew, so nothing ever has to take that back.

use weir_types::Watermark;

use crate::Control;

/// What a valve passes on.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ValveOutput {
    /// The common watermark has advanced to this.
    pub watermark: Option<Watermark>,
    /// All channels that are not finished have become idle (`false`), or one is active again
    /// (`true`).
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
    /// [`Watermark::MAX`]: it is finished.
    watermark: Watermark,
    active: bool,
    /// Whether the channel holds the common watermark back. A channel that comes back from being
    /// idle does so only once it has caught up with what was already passed on.
    aligned: bool,
}

impl Channel {
    fn is_finished(&self) -> bool {
        self.watermark == Watermark::MAX
    }
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

    /// Whether any channel is active, or all are finished.
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// A channel's watermark. What is behind what it said before has no effect, nor has what an
    /// idle channel says, unless it finishes.
    pub fn watermark(&mut self, channel: usize, watermark: Watermark) -> ValveOutput {
        if watermark == Watermark::MAX {
            return self.finished(channel);
        }
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

    /// A channel has become idle, or active again. It has no effect on one that is finished.
    pub fn activity(&mut self, channel: usize, active: bool) -> ValveOutput {
        let known = &self.channels[channel];
        if known.is_finished() || known.active == active {
            return ValveOutput::NOTHING;
        }
        if active {
            self.activated(channel)
        } else {
            self.left(channel)
        }
    }

    fn activated(&mut self, channel: usize) -> ValveOutput {
        let last = self.last;
        let channel = &mut self.channels[channel];
        channel.active = true;
        channel.aligned = channel.watermark >= last;
        let was_active = std::mem::replace(&mut self.active, true);
        ValveOutput {
            // It may be the only one that is aligned, and ahead of what was passed on.
            watermark: self.advance_to_minimum(),
            activity: (!was_active).then_some(true),
        }
    }

    /// A channel has said its last watermark. That the others are idle, or become so, must not let
    /// it through.
    fn finished(&mut self, channel: usize) -> ValveOutput {
        if self.channels[channel].is_finished() {
            return ValveOutput::NOTHING;
        }
        self.channels[channel].watermark = Watermark::MAX;
        if !self.channels.iter().all(Channel::is_finished) {
            return self.left(channel);
        }
        let was_active = std::mem::replace(&mut self.active, true);
        ValveOutput {
            watermark: self.advance(Watermark::MAX),
            activity: (!was_active).then_some(true),
        }
    }

    /// A channel takes no part from now on: it is idle, or finished.
    fn left(&mut self, channel: usize) -> ValveOutput {
        let channel = &mut self.channels[channel];
        channel.active = false;
        channel.aligned = false;
        let active = self.channels.iter().any(|channel| channel.active);
        let was_active = std::mem::replace(&mut self.active, active);
        let watermark = if active {
            self.advance_to_minimum()
        } else {
            // Nothing holds the watermark back for now, so all that was promised can be passed on.
            self.advance_to_maximum()
        };
        ValveOutput {
            watermark,
            activity: (was_active && !active).then_some(false),
        }
    }

    fn advance_to_minimum(&mut self) -> Option<Watermark> {
        let aligned = self.channels.iter().filter(|channel| channel.aligned);
        let minimum = aligned.map(|channel| channel.watermark).min()?;
        self.advance(minimum)
    }

    fn advance_to_maximum(&mut self) -> Option<Watermark> {
        let channels = self.channels.iter();
        let unfinished = channels.filter(|channel| !channel.is_finished());
        let maximum = unfinished.map(|channel| channel.watermark).max()?;
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
    /// [`Watermark::MAX`]: it is finished.
    watermark: Watermark,
    active: bool,
}

impl Partial {
    fn is_finished(&self) -> bool {
        self.watermark == Watermark::MAX
    }
}

/// The minimum watermark over the active ones of an operator's inputs, or the maximum while all
/// are idle (Flink's `CombinedWatermarkStatus`).
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

    /// Whether any input is active, or all are finished.
    pub fn is_active(&self) -> bool {
        let takes_part = |input: &Partial| input.active && !input.is_finished();
        self.inputs.iter().any(takes_part) || self.inputs.iter().all(Partial::is_finished)
    }

    /// An input's watermark; the input is active from now on.
    pub fn watermark(&mut self, input: usize, watermark: Watermark) -> ValveOutput {
        self.change(input, |partial| {
            partial.active = true;
            partial.watermark = partial.watermark.max(watermark);
        })
    }

    /// An input has become idle, or active again. It has no effect on one that is finished.
    pub fn activity(&mut self, input: usize, active: bool) -> ValveOutput {
        self.change(input, |partial| partial.active = active)
    }

    fn change(&mut self, input: usize, change: impl FnOnce(&mut Partial)) -> ValveOutput {
        let was_active = self.is_active();
        change(&mut self.inputs[input]);
        let is_active = self.is_active();
        let watermark = Some(self.common()).filter(|common| *common > self.last);
        self.last = watermark.unwrap_or(self.last);
        ValveOutput {
            watermark,
            activity: (was_active != is_active).then_some(is_active),
        }
    }

    fn common(&self) -> Watermark {
        let inputs = self.inputs.iter();
        let unfinished = inputs.filter(|input| !input.is_finished());
        let active = unfinished.clone().filter(|input| input.active);
        let minimum = active.map(|input| input.watermark).min();
        let maximum = || unfinished.map(|input| input.watermark).max();
        minimum.or_else(maximum).unwrap_or(Watermark::MAX)
    }
}

#[cfg(test)]
mod tests;
